//! Callbacks about texts and calls, and texts that come in: signed forms.
//!
//! The signature is over the address as the provider called it, so whoever verifies must know the public address of
//! this server; what a proxy made of it does not help. It has no time in it: a form that is recorded and sent again
//! is recognised by its event's id only.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::Url;
use ring::hmac;
use windlass::Time;

use super::{AnsweredBy, CallbackEvent, HookError, Progress, Reporter, TouchResult, What, bounded};
use crate::channel::ProviderKind;

/// The header with the signature.
pub const SIGNATURE_HEADER: &str = "X-Twilio-Signature";

/// The most fields of a form; the provider sends about thirty.
const MAX_FIELDS: usize = 300;
/// The largest form, in bytes; a text of 1,600 characters is below 15 KiB with every byte escaped.
const MAX_FORM_BYTES: usize = 64 * 1024;

/// The fields of a request's body, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    fields: Vec<(String, String)>,
}

impl Form {
    /// The fields of an `application/x-www-form-urlencoded` body; of a request without one, none.
    ///
    /// # Errors
    /// When it is larger than any that the provider sends.
    pub fn parse(body: &[u8]) -> Result<Self, HookError> {
        if body.len() > MAX_FORM_BYTES {
            return Err(HookError::Body(format!("{} bytes; at most {MAX_FORM_BYTES} are read", body.len())));
        }
        let fields: Vec<_> = form_urlencoded::parse(body).into_owned().take(MAX_FIELDS + 1).collect();
        if fields.len() > MAX_FIELDS {
            return Err(HookError::Body(format!("more than {MAX_FIELDS} fields")));
        }
        Ok(Self { fields })
    }

    /// The first value of a field that is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        values.find(|value| !value.is_empty())
    }

    /// What is signed after the address: each name with its values, sorted, and the same value of a name once.
    fn signed_text(&self) -> String {
        let mut fields: Vec<&(String, String)> = self.fields.iter().collect();
        fields.sort();
        fields.dedup();
        fields.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]).collect()
    }
}

/// Checks that the provider sent this form to `url`, which is the whole address as the provider called it, with its
/// query. The provider's port may be written or not where it is the scheme's own.
///
/// The comparison takes the same time wherever the signatures differ.
///
/// # Errors
/// [`HookError::Unsigned`] without a signature, [`HookError::Forged`] with one that does not fit.
pub fn verify(auth_token: &str, url: &str, form: &Form, signature: Option<&str>) -> Result<(), HookError> {
    let signature = signature.ok_or(HookError::Unsigned(SIGNATURE_HEADER))?;
    let signature = STANDARD.decode(signature.trim()).map_err(|_| HookError::Forged)?;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, auth_token.as_bytes());
    let fields = form.signed_text();
    let fits = |url: &str| hmac::verify(&key, format!("{url}{fields}").as_bytes(), &signature).is_ok();
    // An empty token would make a key that everybody has.
    let genuine = !auth_token.is_empty() && (fits(url) || other_port(url).is_some_and(|url| fits(&url)));
    if genuine { Ok(()) } else { Err(HookError::Forged) }
}

/// The same address with the scheme's own port written if it was not, and without it if it was.
fn other_port(url: &str) -> Option<String> {
    let parsed = Url::parse(url).ok()?;
    let default = match parsed.scheme() {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let start = url.find("://")? + 3;
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    match url[..end].strip_suffix(default) {
        Some(bare) => Some(format!("{bare}{}", &url[end..])),
        None if parsed.port().is_none() => Some(format!("{}{default}{}", &url[..end], &url[end..])),
        None => None,
    }
}

/// What a form says, whichever of the provider's callbacks it is.
///
/// # Errors
/// [`HookError::Body`] when it names neither a message nor a call.
pub fn parse(form: &Form) -> Result<CallbackEvent, HookError> {
    let message = form.get("MessageSid").or_else(|| form.get("SmsSid"));
    match (form.get("CallSid"), message) {
        // A text within a call names both; its status is the text's.
        (_, Some(sid)) => Ok(message_event(sid, form)),
        (Some(sid), None) => Ok(call_event(sid, form)),
        (None, None) => {
            Err(HookError::Body("it has neither MessageSid nor CallSid, so it is about nothing".to_owned()))
        }
    }
}

fn message_event(sid: &str, form: &Form) -> CallbackEvent {
    let status = form.get("MessageStatus").or_else(|| form.get("SmsStatus")).unwrap_or("received");
    // A text that comes in has a status, too; only reports on ours have `MessageStatus`.
    if form.get("MessageStatus").is_none() && matches!(status, "received" | "receiving") {
        let field = |name| bounded(form.get(name).unwrap_or_default());
        let (from, to, body) = (field("From"), field("To"), field("Body"));
        let opt_out = form.get("OptOutType").map(bounded);
        return event(sid, "received", None, What::Inbound { from, to, body, opt_out });
    }
    let progress = with_error(Progress::of(Reporter::TwilioMessage, status), form);
    event(sid, status, None, What::Progress(progress))
}

fn call_event(sid: &str, form: &Form) -> CallbackEvent {
    let answered_by = form.get("AnsweredBy").map(AnsweredBy::of);
    let at = form.get("Timestamp").and_then(rfc2822);
    let Some(status) = form.get("CallStatus") else {
        return match answered_by {
            Some(by) => event(sid, "answered-by", at, What::Answered { by }),
            None => event(sid, "nothing", at, What::Other { word: String::new() }),
        };
    };
    let mut progress = with_error(Progress::of(Reporter::TwilioCall, status), form);
    let by_fax = answered_by == Some(AnsweredBy::Fax);
    if by_fax && progress.result == Some(TouchResult::Delivered) {
        progress.result = Some(TouchResult::Failed);
        progress.code = Some(ProviderKind::Twilio.code("fax"));
    }
    progress.answered_by = answered_by;
    event(sid, status, at, What::Progress(progress))
}

fn with_error(progress: Progress, form: &Form) -> Progress {
    let number = form.get("ErrorCode").and_then(|code| code.parse().ok());
    Progress { why: form.get("ErrorMessage").map(bounded), ..progress.with_code(number) }
}

fn event(sid: &str, step: &str, at: Option<Time>, what: What) -> CallbackEvent {
    let (provider_id, step) = (bounded(sid), bounded(step));
    CallbackEvent {
        provider: ProviderKind::Twilio,
        event_id: format!("{provider_id}/{step}"),
        provider_id,
        touch: None,
        campaign: None,
        recipient: None,
        at,
        what,
    }
}

fn rfc2822(text: &str) -> Option<Time> {
    let at = DateTimeParser::new().parse_timestamp(text).ok()?;
    u64::try_from(at.as_millisecond()).ok().map(Time)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";
    const SIGNATURE: &str = "0/KCTR6DLpKmkAf8muzZqo1nDgQ=";

    fn form(body: &str) -> Form {
        Form::parse(body.as_bytes()).unwrap()
    }

    fn documented() -> Form {
        form(
            "To=%2B18005551212&CallSid=CA1234567890ABCDE&Caller=%2B12349013030&Digits=1234&From=%2B12349013030",
        )
    }

    fn signature(token: &str, text: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.as_bytes());
        STANDARD.encode(hmac::sign(&key, text.as_bytes()))
    }

    #[test]
    fn the_providers_own_example_is_genuine_and_nothing_near_it_is() {
        let form = documented();
        assert!(verify("12345", URL, &form, Some(SIGNATURE)).is_ok());
        let forged = |token, url, form: &Form, signature| {
            matches!(verify(token, url, form, signature), Err(HookError::Forged))
        };
        assert!(forged("12346", URL, &form, Some(SIGNATURE)));
        assert!(forged("12345", "https://mycompany.com/myapp.php?foo=1&bar=3", &form, Some(SIGNATURE)));
        assert!(forged("12345", "http://mycompany.com/myapp.php?foo=1&bar=2", &form, Some(SIGNATURE)));
        assert!(forged("12345", URL, &Form::default(), Some(SIGNATURE)));
        assert!(forged("12345", URL, &form, Some("")));
        assert!(forged("12345", URL, &form, Some("not base64!")));
        assert!(forged("12345", URL, &form, Some("0/KCTR6DLpKmkAf8muzZqo1nDg==")));
        let empty = signature("", &format!("{URL}{}", form.signed_text()));
        assert!(forged("", URL, &form, Some(&empty)), "a token that was never set verifies nothing");
        assert!(matches!(verify("12345", URL, &form, None), Err(HookError::Unsigned(_))));
    }

    #[test]
    fn a_repeated_field_is_signed_with_each_of_its_values_once() {
        let form = form("B=2&A=z&A=x&A=z&a=1&C=");
        assert_eq!(form.signed_text(), "AxAzB2Ca1");
    }

    #[test]
    fn the_schemes_own_port_may_be_written_or_not() {
        for (seen, signed, genuine) in [
            ("https://x.org/h?a=1", "https://x.org:443/h?a=1", true),
            ("https://x.org:443/h", "https://x.org/h", true),
            ("http://x.org", "http://x.org:80", true),
            ("https://x.org:8443/h", "https://x.org/h", false),
            ("https://x.org/h", "https://x.org:8443/h", false),
            ("https://[::1]/h", "https://[::1]:443/h", true),
        ] {
            let made = signature("t", signed);
            assert_eq!(verify("t", seen, &Form::default(), Some(&made)).is_ok(), genuine, "{seen} {signed}");
        }
    }

    #[test]
    fn a_form_without_bounds_is_refused() {
        assert!(Form::parse(&vec![b'a'; MAX_FORM_BYTES + 1]).is_err());
        assert!(Form::parse("a=1&".repeat(MAX_FIELDS + 1).as_bytes()).is_err());
    }

    fn progress(body: &str) -> (String, Progress) {
        let event = parse(&form(body)).unwrap();
        match event.what {
            What::Progress(progress) => (event.event_id, progress),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_status_of_a_text_is_an_event() {
        let (id, sent) = progress("MessageSid=SM1&SmsSid=SM1&MessageStatus=sent&SmsStatus=sent&To=%2B1555");
        assert_eq!((id.as_str(), sent.result, sent.code), ("SM1/sent", Some(TouchResult::Sent), None));
        let (_, lost) = progress("MessageSid=SM1&MessageStatus=undelivered&ErrorCode=30003&ErrorMessage=off");
        assert_eq!(lost.result, Some(TouchResult::Bounced));
        assert_eq!((lost.code.as_deref(), lost.why.as_deref()), (Some("twilio/30003"), Some("off")));
        let (_, failed) = progress("MessageSid=SM1&MessageStatus=failed&ErrorCode=");
        assert_eq!(failed.code.as_deref(), Some("twilio/failed"), "a failure without a number has its word");
        let (_, odd) = progress("MessageSid=SM1&MessageStatus=teleported");
        assert_eq!((odd.word.as_str(), odd.result, odd.code), ("teleported", None, None));
    }

    #[test]
    fn every_status_of_a_call_is_an_event_with_who_answered() {
        let (id, done) = progress(
            "CallSid=CA1&CallStatus=completed&AnsweredBy=machine_end_beep&Timestamp=Sun%2C+09+Sep+2001+01%3A46%3A40+%2B0000",
        );
        assert_eq!((id.as_str(), done.result), ("CA1/completed", Some(TouchResult::Delivered)));
        assert_eq!(done.answered_by, Some(AnsweredBy::MachineEndBeep));
        let (_, busy) = progress("CallSid=CA1&CallStatus=busy");
        assert_eq!((busy.result, busy.code.as_deref()), (Some(TouchResult::Failed), Some("twilio/busy")));
        let (_, fax) = progress("CallSid=CA1&CallStatus=completed&AnsweredBy=fax");
        assert_eq!((fax.result, fax.code.as_deref()), (Some(TouchResult::Failed), Some("twilio/fax")));
        let (_, odd) = progress("CallSid=CA1&CallStatus=completed&AnsweredBy=parrot");
        assert_eq!(odd.answered_by, Some(AnsweredBy::Other("parrot".to_owned())));

        let timed =
            parse(&form("CallSid=CA1&CallStatus=ringing&Timestamp=Sun,+09+Sep+2001+01:46:40+%2B0000"));
        assert_eq!(timed.unwrap().at, Some(Time(1_000_000_000_000)));
    }

    #[test]
    fn who_answered_may_come_beside_the_call() {
        let event = parse(&form("CallSid=CA1&AccountSid=AC1&AnsweredBy=human&MachineDetectionDuration=2000"));
        let event = event.unwrap();
        assert_eq!(event.what, What::Answered { by: AnsweredBy::Human });
        assert_ne!(event.event_id, "CA1/completed");
    }

    #[test]
    fn a_text_that_comes_in_is_told_from_a_report_on_ours() {
        let inbound = form(
            "MessageSid=SM9&SmsStatus=received&From=%2B15550000001&To=%2B1999&Body=Stop+it%21&OptOutType=STOP",
        );
        let expected = What::Inbound {
            from: "+15550000001".to_owned(),
            to: "+1999".to_owned(),
            body: "Stop it!".to_owned(),
            opt_out: Some("STOP".to_owned()),
        };
        assert_eq!(parse(&inbound).unwrap().what, expected);
        assert!(parse(&form("Body=hello")).is_err());
    }

    proptest! {
        #[test]
        fn no_body_breaks_the_parser_or_passes_for_the_providers(body in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(form) = Form::parse(&body) {
                let _ = parse(&form);
                prop_assert!(verify("token", URL, &form, Some(SIGNATURE)).is_err());
            }
        }
    }
}
