//! The HTTP API behind SMS and voicemail: one form POST each, its answers, and the status of what was sent.
//!
//! It owns what an answer's HTTP class says about another attempt, and the few error codes whose class is not
//! that of their status. What is done about a code is the error table's business. It does not know campaigns.
//!
//! A text whose reply was lost can be looked for before it is sent again ([`TwilioClient::find_sms`]). There is
//! nothing alike for calls: a list of calls cannot show whether a message was heard, so a call is placed at most once
//! and a lost reply goes to a person.

use reqwest::{Client, StatusCode, Url, header::HeaderMap};
use serde::Deserialize;

use super::{
    Channel, ChannelConfigError, ProviderKind, Refusal, RefusalClass, SendError, SendOutcome, Sms, Voicemail,
    http::{
        self, MAX_ANSWER_BYTES, Verdict, read_bounded, retry_after_ms, unanswered, verdict_of, whole_text,
    },
    shortened,
};

mod find;

pub use find::Found;

/// Error codes that come with status 400 and are not about the message; the rest go by their status.
const CODE_CLASSES: [(u32, RefusalClass); 3] = [
    (20003, RefusalClass::Ours),
    (20429, RefusalClass::Temporary),
    (21611, RefusalClass::Temporary), // The sender's own queue at the provider is full.
];

/// A client of one account at the provider; shared by reference among any number of tasks.
#[derive(Clone)]
pub struct TwilioClient {
    http: Client,
    account: Url,
    account_sid: String,
    auth_token: String,
}

impl std::fmt::Debug for TwilioClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token stays out of every log.
        f.debug_struct("TwilioClient").field("account_sid", &self.account_sid).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Accepted {
    sid: String,
}

#[derive(Deserialize)]
struct Refused {
    code: Option<u32>,
    message: Option<String>,
}

/// What has become of a message or call, in the provider's words.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ProviderStatus {
    /// Such as `queued`, `sent`, `delivered`; [`crate::hooks::TouchResult::of`] knows what the words mean.
    pub status: String,
    /// The provider's error code, when the way ended in one.
    #[serde(default)]
    pub error_code: Option<u32>,
}

impl TwilioClient {
    /// A client for `base_url` (such as `https://api.twilio.com`); connects with the first request, not now.
    ///
    /// # Errors
    /// When the address is not HTTP, or is plain HTTP to another machine (the token would travel in clear text).
    pub fn new(base_url: &str, account_sid: &str, auth_token: &str) -> Result<Self, ChannelConfigError> {
        let (http, base) = http::client(base_url)?;
        let account = base.join(&format!("/2010-04-01/Accounts/{account_sid}/")).map_err(|error| {
            ChannelConfigError::Address {
                url: super::without_credentials(base_url),
                why: format!("account {account_sid:?}: {error}"),
            }
        })?;
        Ok(Self { http, account, account_sid: account_sid.to_owned(), auth_token: auth_token.to_owned() })
    }

    /// Sends one text, or says why not.
    pub async fn send_sms(&self, sms: &Sms<'_>) -> SendOutcome {
        self.post("Messages.json", &sms.form(), sms.headers).await
    }

    /// Places one call, or says why not.
    pub async fn place_call(&self, call: &Voicemail<'_>) -> SendOutcome {
        self.post("Calls.json", &call.form(), call.headers).await
    }

    async fn post(
        &self,
        resource: &str,
        form: &impl serde::Serialize,
        headers: &[(&str, &str)],
    ) -> SendOutcome {
        let url = match self.account.join(resource) {
            Ok(url) => url,
            Err(error) => return SendOutcome::Unanswered(SendError::not_sent(error)),
        };
        let mut request =
            self.http.post(url).basic_auth(&self.account_sid, Some(&self.auth_token)).form(form);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return SendOutcome::Unanswered(unanswered(&error)),
        };
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = match read_bounded(answer, MAX_ANSWER_BYTES).await {
            Ok(body) => body,
            // The status line alone settles a refusal; an acceptance without its id does not.
            Err(_) if !status.is_success() => Vec::new(),
            Err(why) => return SendOutcome::Unanswered(SendError::reply_lost(why)),
        };
        verdict(status, &headers, &body)
    }

    /// What has become of a message or call.
    ///
    /// # Errors
    /// When the provider does not answer or does not know the id.
    pub async fn status(&self, channel: Channel, provider_id: &str) -> Result<ProviderStatus, SendError> {
        let resource = match channel {
            Channel::Voicemail => "Calls",
            Channel::Sms | Channel::Email => "Messages",
        };
        let url =
            self.account.join(&format!("{resource}/{provider_id}.json")).map_err(SendError::not_sent)?;
        let request = self.http.get(url).basic_auth(&self.account_sid, Some(&self.auth_token));
        let answer = request.send().await.map_err(|error| SendError::not_sent(whole_text(&error)))?;
        let status = answer.status();
        let body = read_bounded(answer, MAX_ANSWER_BYTES).await.map_err(SendError::not_sent)?;
        match serde_json::from_slice::<ProviderStatus>(&body) {
            Ok(answer) if status.is_success() => Ok(answer),
            _ => Err(SendError::not_sent(format!("{status} for the status of {provider_id}"))),
        }
    }
}

fn verdict(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> SendOutcome {
    if status.is_success() {
        return match serde_json::from_slice::<Accepted>(body) {
            Ok(accepted) => SendOutcome::Sent { provider_id: accepted.sid },
            Err(error) => {
                SendOutcome::Unanswered(SendError::reply_lost(format!("{status} without a sid: {error}")))
            }
        };
    }
    let refused: Refused = serde_json::from_slice(body).unwrap_or(Refused { code: None, message: None });
    let code = refused.code.map_or_else(|| status.as_u16().to_string(), |code| code.to_string());
    let reason = refused.message.as_deref().unwrap_or("no reason given");
    let why = shortened(&format!("{} {code}: {reason}", status.as_u16()));
    let retry_after_ms = retry_after_ms(headers);
    let listed = CODE_CLASSES.iter().find(|(listed, _)| Some(*listed) == refused.code);
    let class = match listed
        .map_or_else(|| verdict_of(status, retry_after_ms), |(_, class)| Verdict::Refused(*class))
    {
        Verdict::Refused(class) => class,
        Verdict::NotTaken => return SendOutcome::Unanswered(SendError::not_sent(why)),
        Verdict::MayBeTaken => return SendOutcome::Unanswered(SendError::reply_lost(why)),
    };
    let code = ProviderKind::Twilio.code(code);
    SendOutcome::Refused(Refusal { code, why, class, retry_after_ms })
}

#[cfg(test)]
mod tests {
    use reqwest::header::RETRY_AFTER;

    use super::*;

    fn headers(retry_after: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(RETRY_AFTER, value.parse().unwrap());
        }
        headers
    }

    fn decide(status: u16, retry_after: Option<&str>, body: &str) -> SendOutcome {
        verdict(StatusCode::from_u16(status).unwrap(), &headers(retry_after), body.as_bytes())
    }

    #[test]
    fn every_class_of_answer_has_its_outcome() {
        let sent = decide(201, None, r#"{"sid":"SM1","status":"queued"}"#);
        assert_eq!(sent, SendOutcome::Sent { provider_id: "SM1".to_owned() });

        use RefusalClass::{Ours, Permanent, Temporary};
        for (status, retry_after, body, code, class, retry_after_ms) in [
            (429, Some("3"), r#"{"code":20429,"message":"x"}"#, "twilio/20429", Temporary, Some(3_000)),
            (429, None, "not json", "twilio/429", Temporary, None),
            (429, Some("99999999999999999999"), "", "twilio/429", Temporary, None),
            (400, None, r#"{"code":21611,"message":"queue full"}"#, "twilio/21611", Temporary, None),
            (503, Some("2"), "", "twilio/503", Temporary, Some(2_000)),
            (400, None, r#"{"code":21211,"message":"Invalid 'To'"}"#, "twilio/21211", Permanent, None),
            (401, None, r#"{"code":20003}"#, "twilio/20003", Ours, None),
            (403, None, "", "twilio/403", Ours, None),
            (302, None, "", "twilio/302", Ours, None),
        ] {
            let outcome = decide(status, retry_after, body);
            let SendOutcome::Refused(refusal) = &outcome else { panic!("{status}: {outcome:?}") };
            let seen = (refusal.code.as_str(), refusal.class, refusal.retry_after_ms);
            assert_eq!(seen, (code, class, retry_after_ms), "{status} {body}");
        }

        for (status, body, may_have_arrived) in
            [(500, "", true), (502, "<html>", true), (503, "", false), (408, "", false), (201, "{}", true)]
        {
            let outcome = decide(status, None, body);
            let SendOutcome::Unanswered(error) = &outcome else { panic!("{status}: {outcome:?}") };
            assert_eq!(error.may_have_arrived, may_have_arrived, "{status}");
        }
    }

    #[test]
    fn a_token_is_never_sent_in_clear_text_to_another_machine_nor_shown() {
        assert!(TwilioClient::new("http://api.example.com", "AC1", "t").is_err());
        assert!(TwilioClient::new("ftp://127.0.0.1", "AC1", "t").is_err());
        let client = TwilioClient::new("http://127.0.0.1:1", "AC1", "hush").unwrap();
        assert!(!format!("{client:?}").contains("hush"));
        let error = TwilioClient::new("http://u:secret@api.example.com", "AC1", "t").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
