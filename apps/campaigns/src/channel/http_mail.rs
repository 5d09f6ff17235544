//! Mail by HTTP: one JSON POST in the shape of SendGrid's `v3/mail/send`.
//!
//! The same [`Email`] as over SMTP, with the same checks. The provider has no idempotency for mails, so a repeat is
//! recognisable by its Message-ID only. The touch and the campaign travel as `custom_args`, which come back with
//! every event about the mail.

use reqwest::{Client, StatusCode, Url, header::HeaderMap};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ChannelConfigError, Email, ProviderKind, Refusal, SendError, SendOutcome,
    email::{Checked, Unsendable},
    http::{self, MAX_ANSWER_BYTES, Verdict, read_bounded, retry_after_ms, unanswered, verdict_of},
    shortened, without_credentials,
};

/// The name under which a mail's touch comes back with its events.
pub const TOUCH_ARG: &str = "touch";
/// The name under which a mail's campaign comes back with its events.
pub const CAMPAIGN_ARG: &str = "campaign";

/// The header in which the provider names an accepted mail; its events name it too, with more behind it.
const MESSAGE_ID_HEADER: &str = "x-message-id";
/// How many of the errors of one answer are shown.
const MAX_ERRORS_SHOWN: usize = 3;

/// A client of one account at the provider; shared by reference among any number of tasks.
#[derive(Clone)]
pub struct HttpMailClient {
    http: Client,
    send: Url,
    key: String,
}

impl std::fmt::Debug for HttpMailClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key stays out of every log.
        f.debug_struct("HttpMailClient").field("send", &self.send.as_str()).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Refused {
    #[serde(default)]
    errors: Vec<RefusedPart>,
}

#[derive(Deserialize)]
struct RefusedPart {
    message: Option<String>,
    field: Option<String>,
}

impl HttpMailClient {
    /// A client for `base_url` (such as `https://api.sendgrid.com`); connects with the first request, not now.
    ///
    /// # Errors
    /// When the address is not HTTP, or is plain HTTP to another machine (the key would travel in clear text).
    pub fn new(base_url: &str, key: &str) -> Result<Self, ChannelConfigError> {
        let (http, base) = http::client(base_url)?;
        let address = |why: String| ChannelConfigError::Address { url: without_credentials(base_url), why };
        let mut send = base.join("/v3/mail/send").map_err(|error| address(error.to_string()))?;
        // Credentials in the address would be sent beside the key.
        let bare = send.set_username("").and_then(|()| send.set_password(None));
        bare.map_err(|()| address("it cannot be asked for mail".to_owned()))?;
        Ok(Self { http, send, key: key.to_owned() })
    }

    /// Sends one mail, or says why not.
    pub async fn send(&self, email: &Email<'_>) -> SendOutcome {
        let body = match body(email) {
            Ok(body) => body,
            Err(unsendable) => return unsendable.into(),
        };
        let request = self.http.post(self.send.clone()).bearer_auth(&self.key).json(&body);
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return SendOutcome::Unanswered(unanswered(&error)),
        };
        let (status, headers) = (answer.status(), answer.headers().clone());
        // The status line alone settles both ends: an acceptance has no body, and a refusal's body only explains.
        let body = read_bounded(answer, MAX_ANSWER_BYTES).await.unwrap_or_default();
        verdict(status, &headers, &body, email.message_id)
    }
}

fn body(email: &Email<'_>) -> Result<Value, Unsendable> {
    let Checked { from, reply_to, to, subject, headers } = email.check()?;
    let mailbox = |mailbox: lettre::message::Mailbox| match mailbox.name {
        Some(name) => json!({ "email": mailbox.email.to_string(), "name": name }),
        None => json!({ "email": mailbox.email.to_string() }),
    };
    let mut all_headers = serde_json::Map::from_iter([("Message-ID".to_owned(), email.message_id.into())]);
    all_headers.extend(headers.into_iter().map(|(name, value)| (name, value.into())));
    let mut content = vec![json!({ "type": "text/plain", "value": email.text })];
    content.extend(email.html.map(|html| json!({ "type": "text/html", "value": html })));
    let mut body = json!({
        "personalizations": [{
            "to": [mailbox(to)],
            "custom_args": { TOUCH_ARG: email.touch, CAMPAIGN_ARG: email.campaign },
        }],
        "from": mailbox(from),
        "subject": subject,
        "content": content,
        "headers": all_headers,
    });
    if let Some(reply_to) = reply_to {
        body["reply_to"] = mailbox(reply_to);
    }
    Ok(body)
}

fn verdict(status: StatusCode, headers: &HeaderMap, body: &[u8], message_id: &str) -> SendOutcome {
    if status.is_success() {
        let named = headers.get(MESSAGE_ID_HEADER).and_then(|id| id.to_str().ok());
        return SendOutcome::Sent { provider_id: named.unwrap_or(message_id).to_owned() };
    }
    let refused: Refused = serde_json::from_slice(body).unwrap_or(Refused { errors: Vec::new() });
    let reasons = refused.errors.into_iter().take(MAX_ERRORS_SHOWN).filter_map(|error| {
        let message = error.message?;
        Some(error.field.map_or(message.clone(), |field| format!("{field}: {message}")))
    });
    let mut reason = reasons.collect::<Vec<_>>().join("; ");
    if reason.is_empty() {
        "no reason given".clone_into(&mut reason);
    }
    let why = shortened(&format!("{}: {reason}", status.as_u16()));
    let retry_after_ms = retry_after_ms(headers).or_else(|| reset_ms(headers));
    match verdict_of(status, retry_after_ms) {
        Verdict::Refused(class) => {
            let code = ProviderKind::HttpMail.code(status.as_u16());
            SendOutcome::Refused(Refusal { code, why, class, retry_after_ms })
        }
        Verdict::NotTaken => SendOutcome::Unanswered(SendError::not_sent(why)),
        Verdict::MayBeTaken => SendOutcome::Unanswered(SendError::reply_lost(why)),
    }
}

/// The time to the reset that this provider names instead of a `Retry-After`: an instant of its own clock, so it is
/// compared with that clock's time in the same answer.
fn reset_ms(headers: &HeaderMap) -> Option<u64> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let reset_s: i64 = text("x-ratelimit-reset")?.trim().parse().ok()?;
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text("date")?).ok()?;
    let wait_s = u64::try_from(reset_s.checked_sub(date.as_second())?).ok()?;
    wait_s.checked_mul(1_000).filter(|wait_ms| *wait_ms <= MAX_RESET_MS)
}

/// The longest wait taken from a reset; the provider's periods are a minute.
const MAX_RESET_MS: u64 = 3_600_000;

#[cfg(test)]
mod tests {
    use windlass::Time;

    use super::{
        super::{RefusalClass, Unsubscribe},
        *,
    };

    fn email() -> Email<'static> {
        Email {
            message_id: "<t17.a1@example.com>",
            touch: "17",
            campaign: "3",
            from: "Ann <ann@example.com>",
            reply_to: Some("desk@example.com"),
            to: "bob@example.org",
            to_name: "Bob\r\n",
            subject: "Hello\r\nBcc: eve@example.com",
            text: "für dich",
            html: Some("<p>für dich</p>"),
            unsubscribe: Some(Unsubscribe {
                https_url: "https://example.com/u",
                mailto: Some("u@example.com"),
            }),
            feedback_id: None,
            date: Time(0),
            headers: &[],
        }
    }

    #[test]
    fn a_mail_has_the_shape_that_the_provider_documents() {
        let expected = json!({
            "personalizations": [{
                "to": [{ "email": "bob@example.org", "name": "Bob" }],
                "custom_args": { "touch": "17", "campaign": "3" },
            }],
            "from": { "email": "ann@example.com", "name": "Ann" },
            "reply_to": { "email": "desk@example.com" },
            "subject": "Hello  Bcc: eve@example.com",
            "content": [
                { "type": "text/plain", "value": "für dich" },
                { "type": "text/html", "value": "<p>für dich</p>" },
            ],
            "headers": {
                "Message-ID": "<t17.a1@example.com>",
                "List-Unsubscribe": "<https://example.com/u>, <mailto:u@example.com>",
                "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            },
        });
        assert_eq!(body(&email()).unwrap(), expected);
        let local: SendOutcome = body(&Email { to: "bob", ..email() }).unwrap_err().into();
        assert!(matches!(&local, SendOutcome::Refused(no) if no.code == "local/address"), "{local:?}");
    }

    #[test]
    fn every_class_of_answer_has_its_outcome() {
        let decide = |status: u16, header: Option<(&'static str, &str)>, body: &str| {
            let mut headers = HeaderMap::new();
            if let Some((name, value)) = header {
                headers.insert(name, value.parse().unwrap());
            }
            verdict(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes(), "<m@x>")
        };
        let sent = |id: &str| SendOutcome::Sent { provider_id: id.to_owned() };
        assert_eq!(decide(202, Some(("x-message-id", "abc")), ""), sent("abc"));
        assert_eq!(decide(202, None, ""), sent("<m@x>"), "an acceptance is one without a name, too");

        use RefusalClass::{Ours, Permanent, Temporary};
        let wrong = r#"{"errors":[{"message":"bad address","field":"personalizations.0.to","help":null}]}"#;
        for (status, header, body, code, class, wait, part) in [
            (400, None, wrong, "mail/400", Permanent, None, "personalizations.0.to: bad address"),
            (401, None, "{}", "mail/401", Ours, None, "no reason"),
            (413, None, "<html>", "mail/413", Permanent, None, "no reason"),
            (429, Some(("retry-after", "5")), "", "mail/429", Temporary, Some(5_000), "429"),
            (301, None, "", "mail/301", Ours, None, "301"),
        ] {
            let outcome = decide(status, header, body);
            let SendOutcome::Refused(no) = &outcome else { panic!("{status}: {outcome:?}") };
            assert_eq!((no.code.as_str(), no.class, no.retry_after_ms), (code, class, wait), "{status}");
            assert!(no.why.contains(part), "{}", no.why);
        }
        let reset = |reset: &str, date: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-ratelimit-reset", reset.parse().unwrap());
            headers.insert("date", date.parse().unwrap());
            reset_ms(&headers)
        };
        let date = "Sun, 09 Sep 2001 01:46:40 GMT";
        assert_eq!(reset("1000000007", date), Some(7_000));
        for wrong in ["999999999", "1000003601", "soon", "-9223372036854775808", "9223372036854775807"] {
            assert_eq!(reset(wrong, date), None, "{wrong}");
        }
        assert_eq!(reset("1000000007", "today"), None);

        for (status, may_have_arrived) in [(500, true), (502, true), (503, false)] {
            let SendOutcome::Unanswered(error) = decide(status, None, "") else { panic!("{status}") };
            assert_eq!(error.may_have_arrived, may_have_arrived, "{status}");
        }
    }

    #[test]
    fn a_key_is_never_sent_in_clear_text_to_another_machine_nor_shown() {
        assert!(HttpMailClient::new("http://api.example.com", "k").is_err());
        let client = HttpMailClient::new("http://127.0.0.1:1", "hush").unwrap();
        assert!(!format!("{client:?}").contains("hush"));
    }
}
