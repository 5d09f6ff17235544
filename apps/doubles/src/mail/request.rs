//! What a request asks to send, and what is wrong with it, in the words of the mail API.

use std::collections::{BTreeMap, HashSet};

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;

/// The most personalizations of a request, and the most recipients of all of them.
const MAX_PERSONALIZATIONS: usize = 1_000;
const MAX_RECIPIENTS: usize = 1_000;
/// The header fields that the provider writes itself.
const RESERVED: [&str; 12] = [
    "x-sg-id",
    "x-sg-eid",
    "received",
    "dkim-signature",
    "content-type",
    "content-transfer-encoding",
    "to",
    "from",
    "subject",
    "reply-to",
    "cc",
    "bcc",
];

/// The body of `POST /v3/mail/send`, as far as it means something here.
#[derive(Debug, Deserialize)]
pub(super) struct SendRequest {
    #[serde(default)]
    pub(super) personalizations: Vec<Personalization>,
    pub(super) from: Option<Address>,
    pub(super) subject: Option<String>,
    #[serde(default)]
    pub(super) content: Vec<Content>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) custom_args: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) categories: Vec<String>,
    pub(super) template_id: Option<String>,
    #[serde(default)]
    pub(super) mail_settings: MailSettings,
}

#[derive(Debug, Deserialize)]
pub(super) struct Personalization {
    #[serde(default)]
    pub(super) to: Vec<Address>,
    #[serde(default)]
    pub(super) cc: Vec<Address>,
    #[serde(default)]
    pub(super) bcc: Vec<Address>,
    pub(super) subject: Option<String>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) custom_args: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Address {
    pub(super) email: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Content {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) value: String,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct MailSettings {
    #[serde(default)]
    pub(super) sandbox_mode: Switch,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Switch {
    #[serde(default)]
    pub(super) enable: bool,
}

/// An error in the provider's shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) message: String,
    pub(super) field: Option<String>,
    /// When the limit is over, in seconds since 1970.
    pub(super) reset_s: Option<u64>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), field: None, reset_s: None }
    }

    fn of(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::new(StatusCode::BAD_REQUEST, message) }
    }

    pub(super) fn unauthorised() -> Self {
        let words = "The provided authorization grant is invalid, expired, or revoked";
        Self::new(StatusCode::UNAUTHORIZED, words)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let errors = json!({ "errors": [{ "message": self.message, "field": self.field, "help": null }] });
        let mut response = (self.status, Json(errors)).into_response();
        if let Some(reset_s) = self.reset_s {
            let headers = response.headers_mut();
            headers.insert("x-ratelimit-limit", 600.into());
            headers.insert("x-ratelimit-remaining", 0.into());
            headers.insert("x-ratelimit-reset", reset_s.into());
        }
        response
    }
}

impl Personalization {
    /// Everybody whom it reaches.
    pub(super) fn recipients(&self) -> impl Iterator<Item = &str> {
        self.to.iter().chain(&self.cc).chain(&self.bcc).map(|address| address.email.as_str())
    }
}

impl SendRequest {
    /// The request in these bytes, when the provider would take it.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Problem> {
        let request: Self = serde_json::from_slice(bytes)
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("Bad Request: {error}")))?;
        request.check()?;
        Ok(request)
    }

    fn check(&self) -> Result<(), Problem> {
        if self.personalizations.is_empty() {
            let words = "The personalizations field is required and must have at least one personalization.";
            return Err(Problem::of("personalizations", words));
        }
        let recipients: usize = self.personalizations.iter().map(|one| one.recipients().count()).sum();
        if self.personalizations.len() > MAX_PERSONALIZATIONS || recipients > MAX_RECIPIENTS {
            return Err(Problem::of(
                "personalizations",
                "There are more than 1000 personalizations or recipients.",
            ));
        }
        let from = self.from.as_ref();
        let from = from.ok_or_else(|| {
            Problem::of("from", "The from object must be provided for every email send. It is an object that requires the email parameter.")
        })?;
        if !is_address(&from.email) {
            return Err(Problem::of("from.email", "The from email does not contain a valid address."));
        }
        for (nth, one) in self.personalizations.iter().enumerate() {
            self.check_one(nth, one)?;
        }
        if self.template_id.is_none() {
            if self.content.is_empty() {
                return Err(Problem::of(
                    "content",
                    "Unless a valid template_id is provided, the content parameter is required. There must be at least one defined content block.",
                ));
            }
            for (nth, content) in self.content.iter().enumerate() {
                if content.value.is_empty() {
                    let words = "The content value must be a string at least one character in length.";
                    return Err(Problem::of(format!("content.{nth}.value"), words));
                }
                if nth > 0 && content.kind == "text/plain" {
                    let words = "If present, text/plain must be first, followed by text/html.";
                    return Err(Problem::of("content", words));
                }
            }
        }
        reserved("headers", &self.headers)
    }

    fn check_one(&self, nth: usize, one: &Personalization) -> Result<(), Problem> {
        let field = |name: &str| format!("personalizations.{nth}.{name}");
        if one.to.is_empty() {
            let words = "The to array is required for all personalization objects, and must have at least one email object with a valid email address.";
            return Err(Problem::of(field("to"), words));
        }
        let mut seen = HashSet::new();
        for email in one.recipients() {
            if !is_address(email) {
                return Err(Problem::of(field("to"), "Does not contain a valid address."));
            }
            if !seen.insert(email.to_ascii_lowercase()) {
                let words = "Each email address in the personalization block should be unique between to, cc, and bcc.";
                return Err(Problem::of(field("to"), words));
            }
        }
        let subject = one.subject.as_ref().or(self.subject.as_ref());
        if self.template_id.is_none() && subject.is_none_or(String::is_empty) {
            let words = "The subject is required. You can get around this requirement if you use a template with a subject defined or if every personalization has a subject defined.";
            return Err(Problem::of("subject", words));
        }
        reserved(&field("headers"), &one.headers)
    }
}

fn reserved(field: &str, headers: &BTreeMap<String, String>) -> Result<(), Problem> {
    match headers.keys().find(|name| RESERVED.contains(&name.to_ascii_lowercase().as_str())) {
        Some(name) => {
            Err(Problem::of(format!("{field}.{name}"), "This header is reserved and cannot be set."))
        }
        None => Ok(()),
    }
}

fn is_address(email: &str) -> bool {
    let (local, domain) = email.rsplit_once('@').unwrap_or_default();
    let plain = email.len() <= 320 && !email.contains(|c: char| c.is_whitespace() || c.is_control());
    plain && !local.is_empty() && domain.contains('.')
}
