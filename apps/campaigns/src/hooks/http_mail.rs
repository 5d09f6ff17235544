//! Events of mails sent by HTTP: a signed JSON array.
//!
//! The signature is over a timestamp and the raw body, so a request that is recorded and sent again later is refused
//! by its age. An entry that cannot be read is counted and the others are kept: one odd event must not make the
//! provider send the whole batch for a day.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::Value;
use windlass::Time;

use super::{CallbackEvent, HookError, Progress, Reporter, What, bounded};
use crate::channel::{
    ProviderKind,
    http_mail::{CAMPAIGN_ARG, TOUCH_ARG},
};

/// The header with the signature.
pub const SIGNATURE_HEADER: &str = "X-Twilio-Email-Event-Webhook-Signature";
/// The header with the time of the signature, in seconds since 1970.
pub const TIMESTAMP_HEADER: &str = "X-Twilio-Email-Event-Webhook-Timestamp";
/// How far from now a signature may be, in milliseconds: what clocks differ by and a slow network takes. The provider
/// names no bound of its own; five minutes is the custom among signed webhooks.
pub const MAX_AWAY_MS: u64 = 5 * 60_000;

/// The most events of one request; the provider sends batches of at most about a megabyte.
const MAX_EVENTS: usize = 10_000;
/// What stands before the point in the key of this curve (RFC 5480): the algorithm and the curve's name.
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The length of an uncompressed point.
const P256_POINT_BYTES: usize = 65;

/// The provider's key, as its settings page shows it.
#[derive(Clone, Debug)]
pub struct VerificationKey {
    key: UnparsedPublicKey<Vec<u8>>,
}

impl VerificationKey {
    /// The key in base64, with or without the lines that name it as a public key.
    ///
    /// # Errors
    /// [`HookError::Key`] when it is not a key of the curve P-256.
    pub fn parse(text: &str) -> Result<Self, HookError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
        let der =
            STANDARD.decode(lines.collect::<String>()).map_err(|_| HookError::Key("it is not base64"))?;
        let point = der.strip_prefix(&P256_PREFIX).filter(|point| point.len() == P256_POINT_BYTES);
        let point = point.ok_or(HookError::Key("it is not a public key of the curve P-256"))?;
        Ok(Self { key: UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point.to_vec()) })
    }

    /// Checks that the provider signed this body, and no more than `max_away_ms` before or after `now`
    /// ([`MAX_AWAY_MS`] unless there is a reason).
    ///
    /// # Errors
    /// [`HookError::Unsigned`] without the two headers, [`HookError::Forged`] when they do not fit, and
    /// [`HookError::Stale`] when they fit and are of another time.
    pub fn verify(
        &self,
        body: &[u8],
        signature: Option<&str>,
        timestamp: Option<&str>,
        now: Time,
        max_away_ms: u64,
    ) -> Result<(), HookError> {
        let signature = signature.ok_or(HookError::Unsigned(SIGNATURE_HEADER))?;
        let timestamp = timestamp.ok_or(HookError::Unsigned(TIMESTAMP_HEADER))?;
        let signature = STANDARD.decode(signature.trim()).map_err(|_| HookError::Forged)?;
        let signed = [timestamp.as_bytes(), body].concat();
        self.key.verify(&signed, &signature).map_err(|_| HookError::Forged)?;
        let seconds: u64 = timestamp.trim().parse().map_err(|_| HookError::Forged)?;
        let at = Time(seconds.saturating_mul(1_000));
        let away_ms = now.since(at).max(at.since(now));
        if away_ms > max_away_ms {
            return Err(HookError::Stale { away_ms, bound_ms: max_away_ms });
        }
        Ok(())
    }
}

/// The events of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Those that could be read, in their order.
    pub events: Vec<CallbackEvent>,
    /// How many could not.
    pub unreadable: usize,
}

#[derive(Deserialize)]
struct Entry {
    event: String,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    sg_event_id: Option<String>,
    #[serde(default)]
    sg_message_id: Option<String>,
    #[serde(default)]
    timestamp: Option<u64>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    response: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    bounce_classification: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    sg_machine_open: Option<bool>,
    /// Our own tags come back beside the provider's fields.
    #[serde(flatten)]
    others: serde_json::Map<String, Value>,
}

/// What a body says.
///
/// # Errors
/// [`HookError::Body`] when it is not an array, or longer than any that the provider sends.
pub fn parse(body: &[u8]) -> Result<Batch, HookError> {
    let entries: Vec<Value> =
        serde_json::from_slice(body).map_err(|error| HookError::Body(error.to_string()))?;
    if entries.len() > MAX_EVENTS {
        return Err(HookError::Body(format!("{} events; at most {MAX_EVENTS} are read", entries.len())));
    }
    let mut batch = Batch::default();
    for entry in entries {
        match serde_json::from_value::<Entry>(entry).ok().and_then(event) {
            Some(event) => batch.events.push(event),
            None => batch.unreadable += 1,
        }
    }
    Ok(batch)
}

/// The event of an entry; none when it names neither a mail nor itself.
fn event(entry: Entry) -> Option<CallbackEvent> {
    let tag = |name: &str| match entry.others.get(name)? {
        Value::String(text) => Some(bounded(text)),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let (touch, campaign) = (tag(TOUCH_ARG), tag(CAMPAIGN_ARG));
    let provider_id = entry.sg_message_id.as_deref().map(message_of);
    if provider_id.is_none() && touch.is_none() {
        return None;
    }
    let provider_id = provider_id.unwrap_or_default();
    let word = bounded(&entry.event);
    let event_id = match &entry.sg_event_id {
        Some(id) => bounded(id),
        None => format!("{provider_id}/{word}/{}", entry.timestamp.unwrap_or_default()),
    };
    let what = match word.as_str() {
        "processed" | "deferred" | "delivered" | "bounce" | "dropped" => What::Progress(progress(&entry)),
        "open" => What::Opened { by_machine: entry.sg_machine_open.unwrap_or(false) },
        "click" => What::Clicked { url: bounded(entry.url.as_deref().unwrap_or_default()) },
        "spamreport" => What::Complained,
        "unsubscribe" | "group_unsubscribe" => What::Unsubscribed,
        _ => What::Other { word },
    };
    let at = entry.timestamp.map(|seconds| Time(seconds.saturating_mul(1_000)));
    let recipient = entry.email.as_deref().map(bounded);
    Some(CallbackEvent {
        provider: ProviderKind::HttpMail,
        event_id,
        provider_id,
        touch,
        campaign,
        recipient,
        at,
        what,
    })
}

fn progress(entry: &Entry) -> Progress {
    let word = match (entry.event.as_str(), entry.kind.as_deref()) {
        ("bounce", Some("blocked")) => "blocked",
        (word, _) => word,
    };
    let why = entry.reason.as_deref().or(entry.response.as_deref()).map(bounded);
    let answer = why.as_deref().unwrap_or_default();
    let code = match word {
        "bounce" | "blocked" => Some(bounce_code(word, answer, entry)),
        "deferred" => smtp_code(answer, entry.status.as_deref()),
        "dropped" => Some(ProviderKind::HttpMail.code(format_args!("dropped-{}", slug(answer)))),
        _ => None,
    };
    let why = why.filter(|_| code.is_some());
    let bounce_class = entry.bounce_classification.as_deref().map(bounded);
    Progress { code, why, bounce_class, ..Progress::of(Reporter::HttpMail, word) }
}

/// The recipient's server's own code where it has a detail, which says what was wrong; else the provider's class.
fn bounce_code(word: &str, answer: &str, entry: &Entry) -> String {
    let detailed = smtp_code(answer, entry.status.as_deref()).filter(|code| code.contains('.'));
    detailed.unwrap_or_else(|| match entry.bounce_classification.as_deref().map(slug) {
        Some(class) if class != UNEXPLAINED => ProviderKind::HttpMail.code(format_args!("{word}-{class}")),
        _ => ProviderKind::HttpMail.code(word),
    })
}

/// The recipient's server's own code, as in `550 5.1.1 no such user`; with the provider's `status` where the answer
/// has no detail and the status has one.
pub(super) fn smtp_code(answer: &str, status: Option<&str>) -> Option<String> {
    let mut words = answer.split(|c: char| c.is_whitespace() || c == '-').filter(|word| !word.is_empty());
    let basic = words.next().filter(|word| {
        word.len() == 3 && word.starts_with(['4', '5']) && word.bytes().all(|byte| byte.is_ascii_digit())
    });
    let told = basic.and(words.next()).and_then(detail);
    // `x.0.0` says no more than that it failed.
    let given = status.and_then(detail).filter(|status| !status.ends_with(".0.0"));
    let parts: Vec<&str> = basic.into_iter().chain(told.or(given)).collect();
    if parts.is_empty() { None } else { Some(ProviderKind::Smtp.code(parts.join("-"))) }
}

/// An enhanced status code (RFC 3463) of a failure.
fn detail(word: &str) -> Option<&str> {
    let word = word.trim_end_matches([':', ',']);
    let parts: Vec<&str> = word.split('.').collect();
    let numbers =
        parts.iter().all(|part| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()));
    (parts.len() == 3 && matches!(parts[0], "4" | "5") && numbers).then_some(word)
}

/// A reason as the end of a code: `Bounced Address` is `bounced-address`.
fn slug(reason: &str) -> String {
    let mut slug = String::new();
    for c in reason.chars().take(MAX_SLUG_CHARS) {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { UNEXPLAINED.to_owned() } else { slug.to_owned() }
}

/// In place of a reason that has no letters.
const UNEXPLAINED: &str = "unexplained";
/// The longest reason in a code; the provider's own are below 40.
const MAX_SLUG_CHARS: usize = 60;

/// The id that the mail was accepted under, without what the provider's machines add behind it.
fn message_of(id: &str) -> String {
    let ends = [".filter", ".recvd", ".recv"];
    let end = ends.iter().filter_map(|mark| id.find(mark)).min();
    bounded(&id[..end.unwrap_or(id.len())])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ring::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
    };

    use super::{
        super::TouchResult::{self, Bounced, Delivered, Failed, OnItsWay, Sent},
        *,
    };

    const NOW: Time = Time(1_700_000_000_000);

    fn keys() -> (EcdsaKeyPair, VerificationKey) {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap();
        let spki = [&P256_PREFIX[..], pair.public_key().as_ref()].concat();
        let pem =
            format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(spki));
        let key = VerificationKey::parse(&pem).unwrap();
        (pair, key)
    }

    #[test]
    fn the_example_of_the_providers_own_library_is_genuine() {
        let key = VerificationKey::parse(
            "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==",
        )
        .unwrap();
        let body = concat!(
            r#"[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address","#,
            r#""sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA","#,
            r#""sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0","#,
            r#""smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]"#,
            "\r\n",
        );
        let signature = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=";
        let verified =
            key.verify(body.as_bytes(), Some(signature), Some("1600112502"), Time(1_600_112_502_000), 0);
        verified.unwrap();
        let batch = parse(body.as_bytes()).unwrap();
        assert_eq!(batch.events[0].provider_id, "LRzXl_NHStOGhQ4kofSm_A");
    }

    #[test]
    fn a_body_that_was_changed_is_forged_and_one_from_another_time_is_stale() {
        let (pair, key) = keys();
        let body = br#"[{"event":"open"}]"#;
        let sign = |timestamp: &str| {
            let signed = [timestamp.as_bytes(), body].concat();
            STANDARD.encode(pair.sign(&SystemRandom::new(), &signed).unwrap())
        };
        let seconds = |offset: i64| (1_700_000_000 + offset).to_string();
        let check = |body: &[u8], signature: &str, timestamp: &str| {
            key.verify(body, Some(signature), Some(timestamp), NOW, MAX_AWAY_MS)
        };
        let now = seconds(0);
        assert!(check(body, &sign(&now), &now).is_ok());
        assert!(matches!(check(b"[]", &sign(&now), &now), Err(HookError::Forged)));
        assert!(
            matches!(check(body, &sign(&now), &seconds(1)), Err(HookError::Forged)),
            "the time is signed"
        );
        assert!(matches!(check(body, "AAAA", &now), Err(HookError::Forged)));
        assert!(matches!(check(body, &sign("soon"), "soon"), Err(HookError::Forged)));
        for (offset, fresh) in [(-300, true), (300, true), (-301, false), (301, false)] {
            let at = seconds(offset);
            let seen = check(body, &sign(&at), &at);
            assert_eq!(seen.is_ok(), fresh, "{offset}: {seen:?}");
            assert!(fresh || matches!(seen, Err(HookError::Stale { away_ms: 301_000, .. })));
        }
        assert!(matches!(key.verify(body, None, Some(&now), NOW, 0), Err(HookError::Unsigned(_))));
        assert!(matches!(key.verify(body, Some("AAAA"), None, NOW, 0), Err(HookError::Unsigned(_))));
        for wrong in ["", "not base64!", "AAAA"] {
            assert!(matches!(VerificationKey::parse(wrong), Err(HookError::Key(_))), "{wrong}");
        }
    }

    #[test]
    fn every_event_of_a_mail_has_its_meaning() {
        type Seen<'a> = (Option<TouchResult>, Option<&'a str>);
        let table: [(&str, Seen<'_>); 14] = [
            (r#""event":"processed""#, (Some(Sent), None)),
            (r#""event":"delivered","response":"250 OK""#, (Some(Delivered), None)),
            (
                r#""event":"deferred","response":"421 4.7.28 slow","attempt":"5""#,
                (Some(OnItsWay), Some("smtp/421-4.7.28")),
            ),
            (r#""event":"deferred","response":"later""#, (Some(OnItsWay), None)),
            (
                r#""event":"bounce","type":"bounce","status":"5.0.0","reason":"550 5.1.1 gone""#,
                (Some(Bounced), Some("smtp/550-5.1.1")),
            ),
            (
                r#""event":"bounce","type":"bounce","status":"5.1.1","reason":"no such user""#,
                (Some(Bounced), Some("smtp/5.1.1")),
            ),
            (
                r#""event":"bounce","type":"bounce","status":"5.2.2","reason":"552 full""#,
                (Some(Bounced), Some("smtp/552-5.2.2")),
            ),
            (
                r#""event":"bounce","type":"bounce","status":"5.0.0","reason":"gone""#,
                (Some(Bounced), Some("mail/bounce")),
            ),
            (
                r#""event":"bounce","type":"blocked","reason":"unable to connect""#,
                (Some(Bounced), Some("mail/blocked")),
            ),
            (
                r#""event":"bounce","reason":"550-5.7.26 unauthenticated""#,
                (Some(Bounced), Some("smtp/550-5.7.26")),
            ),
            (
                r#""event":"bounce","type":"bounce","reason":"550 gone","bounce_classification":"Invalid Address""#,
                (Some(Bounced), Some("mail/bounce-invalid-address")),
            ),
            (
                r#""event":"bounce","type":"blocked","reason":"554 no","bounce_classification":"Reputation""#,
                (Some(Bounced), Some("mail/blocked-reputation")),
            ),
            (
                r#""event":"dropped","reason":"Spam Reporting Address""#,
                (Some(Failed), Some("mail/dropped-spam-reporting-address")),
            ),
            (r#""event":"dropped""#, (Some(Failed), Some("mail/dropped-unexplained"))),
        ];
        for (fields, expected) in table {
            let batch = parse(format!(r#"[{{"sg_message_id":"m1",{fields}}}]"#).as_bytes()).unwrap();
            let What::Progress(progress) = &batch.events[0].what else { panic!("{batch:?}") };
            assert_eq!((progress.result, progress.code.as_deref()), expected, "{fields}");
        }
        for (fields, expected) in [
            (r#""event":"open","sg_machine_open":true"#, What::Opened { by_machine: true }),
            (r#""event":"open""#, What::Opened { by_machine: false }),
            (r#""event":"click","url":"https://x.org""#, What::Clicked { url: "https://x.org".to_owned() }),
            (r#""event":"spamreport""#, What::Complained),
            (r#""event":"unsubscribe""#, What::Unsubscribed),
            (r#""event":"group_unsubscribe""#, What::Unsubscribed),
            (r#""event":"group_resubscribe""#, What::Other { word: "group_resubscribe".to_owned() }),
        ] {
            let batch = parse(format!(r#"[{{"sg_message_id":"m1",{fields}}}]"#).as_bytes()).unwrap();
            assert_eq!(batch.events[0].what, expected, "{fields}");
        }
    }

    #[test]
    fn our_tags_come_back_and_an_odd_entry_costs_only_itself() {
        let body = r#"[
            {"event":"bounce","sg_event_id":"e1","sg_message_id":"m1.recvd-7-1","timestamp":1700000000,"touch":"17",
             "campaign":3,"bounce_classification":"Invalid Address","type":"bounce","status":"5.1.1","reason":"x"},
            {"event":"open"}, 7, {"sg_message_id":"m1"}, {"event":"open","touch":"18","timestamp":1700000001},
            {"event":"delivered","touch":"19","timestamp":"soon"}
        ]"#;
        let batch = parse(body.as_bytes()).unwrap();
        assert_eq!((batch.events.len(), batch.unreadable), (2, 4));
        let first = &batch.events[0];
        assert_eq!((first.event_id.as_str(), first.provider_id.as_str(), first.at), ("e1", "m1", Some(NOW)));
        assert_eq!((first.touch.as_deref(), first.campaign.as_deref()), (Some("17"), Some("3")));
        let What::Progress(progress) = &first.what else { panic!("{first:?}") };
        assert_eq!(progress.bounce_class.as_deref(), Some("Invalid Address"));
        assert_eq!(batch.events[1].touch.as_deref(), Some("18"));
        assert_eq!(parse(body.as_bytes()).unwrap(), batch, "the same report has the same ids");
        assert!(parse(b"{}").is_err() && parse(b"").is_err());
    }

    proptest! {
        #[test]
        fn no_body_breaks_the_parser(reason in "\\PC{0,60}", status in "\\PC{0,12}", id in "\\PC{0,40}") {
            let entry = serde_json::json!([{
                "event": "bounce", "sg_message_id": id, "reason": reason, "status": status, "type": "blocked",
            }]);
            let batch = parse(entry.to_string().as_bytes()).unwrap();
            prop_assert_eq!(batch.events.len(), 1);
            let _ = parse(reason.as_bytes());
        }
    }
}
