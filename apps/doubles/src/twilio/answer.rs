//! The provider's answers that are no resource: errors in its shape, and the parameters of requests.

use axum::{
    Json,
    extract::rejection::BytesRejection,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::json;

/// An error in the provider's shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) code: u32,
    pub(super) message: String,
    pub(super) retry_after_s: Option<u64>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after_s: None }
    }

    pub(super) fn bad(code: u32, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn unauthorised() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, 20003, "Authenticate")
    }

    pub(super) fn not_found(path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, 20404, format!("The requested resource {path} was not found"))
    }

    pub(super) fn too_many(retry_after_s: u64) -> Self {
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, 20429, "Too Many Requests");
        Self { retry_after_s: Some(retry_after_s), ..problem }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({
            "code": self.code,
            "message": self.message,
            "more_info": format!("https://www.twilio.com/docs/errors/{}", self.code),
            "status": self.status.as_u16(),
        });
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let realm = header::HeaderValue::from_static("Basic realm=\"Twilio API\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
        }
        response
    }
}

/// The words of the refusals that a sender meets most, by code.
pub(super) fn words_of(code: u32, to: &str, from: &str) -> String {
    match code {
        21211 => format!("Invalid 'To' Phone Number: {to}"),
        21212 => format!("Invalid 'From' Number: {from}"),
        21408 => "Permission to send an SMS has not been enabled for the region indicated by the 'To' number"
            .to_owned(),
        21606 => format!("The 'From' phone number {from} is not a valid, SMS-capable inbound phone number"),
        21610 => "Attempt to send to unsubscribed recipient".to_owned(),
        21611 => format!("This 'From' number {from} has exceeded the maximum number of queued messages"),
        21612 => {
            format!("Message cannot be sent with the current combination of 'To' ({to}) and 'From' ({from})")
        }
        21614 => format!("'To' number {to} is not a valid mobile number"),
        21210 => format!("'From' phone number {from} is not verified or owned by your account"),
        21214 => format!("'To' phone number {to} cannot be reached"),
        21215 => format!("Account not authorized to call {to}"),
        21216 => format!("Call blocked by Twilio blocklist: {to}"),
        21217 => format!("Phone number {to} does not appear to be valid"),
        code => format!("Refused with error {code}"),
    }
}

/// The parameters of a request, in their order; a name may come more than once.
#[derive(Clone, Debug, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn read(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// The form of a request's body.
    pub(super) fn of_form(
        headers: &HeaderMap,
        body: Result<axum::body::Bytes, BytesRejection>,
    ) -> Result<Self, Problem> {
        let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        match body {
            Ok(body) if kind.starts_with(b"application/x-www-form-urlencoded") => Ok(Self::read(&body)),
            _ => Err(Problem::bad(20001, "The body is not a form, or too large")),
        }
    }

    /// The value of a parameter; nothing when it is absent or empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// All values of a parameter that may come more than once, those separated by blanks too.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let named = self.0.iter().filter(|(key, _)| key == name);
        named.flat_map(|(_, value)| value.split_ascii_whitespace()).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// The user and the password of a request.
pub(super) fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}
