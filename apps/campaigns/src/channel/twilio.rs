//! The HTTP API behind SMS and voicemail: one form POST, its answers, and the status of what was sent.
//!
//! It owns the meaning of the provider's answers, as data: what each HTTP class and the few error codes that
//! differ from their class say about another attempt. It does not know texts or recipients; [`super::sms`] and
//! [`super::voicemail`] do.

use std::time::Duration;

use reqwest::{
    Client, StatusCode, Url,
    header::{HeaderMap, RETRY_AFTER},
};
use serde::Deserialize;

use super::{CAMPAIGN_HEADER, Channel, ChannelConfigError, JOB_HEADER, SendError, SendOutcome};
use crate::plan::CampaignId;

/// The header by which a provider could recognise a repeat; it carries the job's id.
pub const IDEMPOTENCY_HEADER: &str = "Idempotency-Key";

/// How long a request may take; a reply lost to this limit is reported as such.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections kept between requests; above the SMS queue's concurrency, so that none is wasted.
const MAX_KEPT_CONNECTIONS: usize = 64;
/// What to wait when the provider slows us down without saying for how long.
const DEFAULT_RETRY_MS: u64 = 1_000;
/// The longest wait taken from the provider's words; the lease of a snoozed job does not care, people do.
const MAX_RETRY_MS: u64 = 24 * 3_600_000;
/// The most that is read of an answer; the real ones are below 2 KiB.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Error codes whose meaning for a retry differs from that of their HTTP class; the rest go by the class.
const CODE_RULES: [(u32, Rule); 3] = [
    (20003, Rule::OursToMend),
    (20429, Rule::Slow),
    (21611, Rule::Slow), // The sender's own queue at the provider is full.
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Wait and try again; nothing was taken.
    Slow,
    /// Another attempt gets the same answer.
    Permanent,
    /// Wrong credentials or settings: not the contact's fault, so it is worth retrying while people mend it.
    OursToMend,
    /// Refused before anything was taken.
    NotTaken,
    /// The provider broke; it may have taken the message.
    Unknown,
}

/// A client of the provider at one address; shared by reference among any number of tasks.
#[derive(Clone, Debug)]
pub struct ProviderClient {
    http: Client,
    account: Url,
    account_sid: String,
    auth_token: String,
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

#[derive(Deserialize)]
struct StatusAnswer {
    status: String,
}

impl ProviderClient {
    /// A client for `base_url` (such as `https://api.twilio.com`); connects with the first request, not now.
    ///
    /// # Errors
    /// When the address is not HTTP, or is plain HTTP to another machine (the token would travel in clear text).
    pub fn new(base_url: &str, account_sid: &str, auth_token: &str) -> Result<Self, ChannelConfigError> {
        let bad = |why: &str| ChannelConfigError::Address {
            url: super::without_credentials(base_url),
            why: why.to_owned(),
        };
        let base = Url::parse(base_url).map_err(|error| bad(&error.to_string()))?;
        let local = base.host_str().is_some_and(super::is_loopback);
        match base.scheme() {
            "https" => {}
            "http" if local => {}
            "http" => return Err(bad("use https:// to any other machine than this one")),
            _ => return Err(bad("use https://")),
        }
        let account = base
            .join(&format!("/2010-04-01/Accounts/{account_sid}/"))
            .map_err(|error| bad(&error.to_string()))?;
        super::choose_tls();
        let mut http = Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(MAX_KEPT_CONNECTIONS)
            .redirect(reqwest::redirect::Policy::none());
        if local {
            // A proxy of the environment must not see this machine's own traffic.
            http = http.no_proxy();
        }
        if base.scheme() == "http" {
            // Without TLS there is nothing to verify, and a host without root certificates must not matter.
            http = http.tls_certs_only(std::iter::empty());
        }
        let http = http.build().map_err(|error| ChannelConfigError::Client(whole_text(&error)))?;
        Ok(Self { http, account, account_sid: account_sid.to_owned(), auth_token: auth_token.to_owned() })
    }

    /// Posts one form to a resource of the account and gives the provider's verdict.
    pub(crate) async fn post(
        &self,
        resource: &str,
        form: &[(&str, &str)],
        job: &str,
        campaign: CampaignId,
    ) -> SendOutcome {
        let url = match self.account.join(resource) {
            Ok(url) => url,
            Err(error) => return SendOutcome::Transient(SendError::not_sent(error)),
        };
        let request = self
            .http
            .post(url)
            .basic_auth(&self.account_sid, Some(&self.auth_token))
            .header(IDEMPOTENCY_HEADER, job)
            .header(JOB_HEADER, job)
            .header(CAMPAIGN_HEADER, campaign.to_string())
            .form(form);
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return SendOutcome::Transient(unanswered(&error)),
        };
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = match read_bounded(answer).await {
            Ok(body) => body,
            // The status line alone settles a refusal; an acceptance without its id does not.
            Err(_) if !status.is_success() => Vec::new(),
            Err(why) => return SendOutcome::Transient(SendError::reply_lost(why)),
        };
        verdict(status, &headers, &body)
    }

    /// What has become of a message or call, in the provider's words (`queued`, `sent`, `delivered`, ...).
    ///
    /// # Errors
    /// When the provider does not answer or does not know the id.
    pub async fn status(&self, channel: Channel, provider_id: &str) -> Result<String, SendError> {
        let resource = match channel {
            Channel::Voicemail => "Calls",
            Channel::Sms | Channel::Email => "Messages",
        };
        let url =
            self.account.join(&format!("{resource}/{provider_id}.json")).map_err(SendError::not_sent)?;
        let request = self.http.get(url).basic_auth(&self.account_sid, Some(&self.auth_token));
        let answer = request.send().await.map_err(|error| SendError::not_sent(whole_text(&error)))?;
        let status = answer.status();
        let body = read_bounded(answer).await.map_err(SendError::not_sent)?;
        match serde_json::from_slice::<StatusAnswer>(&body) {
            Ok(answer) if status.is_success() => Ok(answer.status),
            _ => Err(SendError::not_sent(format!("{status} for the status of {provider_id}"))),
        }
    }
}

async fn read_bounded(mut answer: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| whole_text(&error))? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(format!("an answer above {MAX_ANSWER_BYTES} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn unanswered(error: &reqwest::Error) -> SendError {
    let why = whole_text(error);
    // Nothing can have arrived over a connection that never stood, nor from a request that was never built.
    if error.is_connect() || error.is_builder() {
        SendError::not_sent(why)
    } else {
        SendError::reply_lost(why)
    }
}

fn verdict(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> SendOutcome {
    if status.is_success() {
        return match serde_json::from_slice::<Accepted>(body) {
            Ok(accepted) => SendOutcome::Sent { provider_id: accepted.sid },
            Err(error) => {
                SendOutcome::Transient(SendError::reply_lost(format!("{status} without a sid: {error}")))
            }
        };
    }
    let refused: Refused = serde_json::from_slice(body).unwrap_or(Refused { code: None, message: None });
    let code = refused.code.map_or_else(|| status.as_u16().to_string(), |code| code.to_string());
    let why =
        format!("{} {}: {}", status.as_u16(), code, refused.message.as_deref().unwrap_or("no reason given"));
    match rule(status, refused.code, headers) {
        Rule::Slow => {
            SendOutcome::RetryLater { after_ms: retry_after_ms(headers).unwrap_or(DEFAULT_RETRY_MS), why }
        }
        Rule::Permanent => SendOutcome::Permanent { code, why },
        Rule::OursToMend | Rule::NotTaken => SendOutcome::Transient(SendError::not_sent(why)),
        Rule::Unknown => SendOutcome::Transient(SendError::reply_lost(why)),
    }
}

fn rule(status: StatusCode, code: Option<u32>, headers: &HeaderMap) -> Rule {
    if let Some((_, rule)) = CODE_RULES.iter().find(|(listed, _)| Some(*listed) == code) {
        return *rule;
    }
    match status.as_u16() {
        429 => Rule::Slow,
        503 if retry_after_ms(headers).is_some() => Rule::Slow,
        503 => Rule::NotTaken,
        401 | 403 | 404 | 405 => Rule::OursToMend,
        408 => Rule::NotTaken,
        400..=499 => Rule::Permanent,
        // A redirect means a wrong address; it is never followed, for it would carry the token along.
        300..=399 => Rule::OursToMend,
        _ => Rule::Unknown,
    }
}

/// The delay of a `Retry-After` in seconds; its date form is not used by this API and counts as absent.
fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(seconds.saturating_mul(1_000).min(MAX_RETRY_MS))
}

/// reqwest's own text leaves out the cause, which is the part that helps.
fn whole_text(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
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

        let slow = decide(429, Some("3"), r#"{"code":20429,"message":"Too Many Requests"}"#);
        assert!(matches!(slow, SendOutcome::RetryLater { after_ms: 3_000, .. }), "{slow:?}");
        let slow = decide(429, None, "not json");
        assert!(matches!(slow, SendOutcome::RetryLater { after_ms: DEFAULT_RETRY_MS, .. }), "{slow:?}");
        let slow = decide(429, Some("99999999999999999999"), "");
        assert!(matches!(slow, SendOutcome::RetryLater { after_ms: DEFAULT_RETRY_MS, .. }), "{slow:?}");
        let slow = decide(400, None, r#"{"code":21611,"message":"queue full"}"#);
        assert!(matches!(slow, SendOutcome::RetryLater { .. }), "{slow:?}");

        let permanent = decide(400, None, r#"{"code":21211,"message":"Invalid 'To'"}"#);
        assert!(
            matches!(&permanent, SendOutcome::Permanent { code, .. } if code == "21211"),
            "{permanent:?}"
        );

        for (status, body, may_have_arrived) in [
            (500, "", true),
            (502, "<html>", true),
            (503, "", false),
            (401, r#"{"code":20003}"#, false),
            (302, "", false),
            (201, "{}", true),
        ] {
            let outcome = decide(status, None, body);
            let SendOutcome::Transient(error) = &outcome else { panic!("{status}: {outcome:?}") };
            assert_eq!(error.may_have_arrived, may_have_arrived, "{status}");
        }
    }

    #[test]
    fn a_token_is_never_sent_in_clear_text_to_another_machine() {
        assert!(ProviderClient::new("http://api.example.com", "AC1", "t").is_err());
        assert!(ProviderClient::new("ftp://127.0.0.1", "AC1", "t").is_err());
        assert!(ProviderClient::new("http://127.0.0.1:1", "AC1", "t").is_ok());
        let error =
            ProviderClient::new("http://u:secret@api.example.com", "AC1", "t").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
