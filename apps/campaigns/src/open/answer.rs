//! How the world is answered: nothing, a sentence for the telephone, or a problem for programs (RFC 9457).

use axum::{
    extract::rejection::BytesRejection,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{app::AppError, channel::voicemail::escaped, hooks::HookError};

/// After how many seconds a program may ask again that met a failure of ours.
const AGAIN_AFTER_S: &str = "30";

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into() }
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "no_such_route", "there is nothing at this address")
    }

    pub(super) fn method_not_allowed() -> Self {
        let detail = "the address does not take this method: callbacks are sent with POST";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
    }

    /// The same words whatever was wrong: they tell a stranger nothing, and the log tells us.
    pub(super) fn forbidden() -> Self {
        let detail = "the request does not show that it comes from its provider: a signature or key is missing or wrong";
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    pub(super) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", detail)
    }

    pub(super) fn of_another_kind(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    }

    /// A body that was not read to its end.
    pub(super) fn unread(status: StatusCode, detail: impl Into<String>) -> Self {
        let code = if status == StatusCode::PAYLOAD_TOO_LARGE { "too_large" } else { "bad_request" };
        Self::new(status, code, detail)
    }

    pub(super) fn unknown(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<HookError> for Problem {
    fn from(error: HookError) -> Self {
        match error {
            HookError::Body(_) => Self::bad(error.to_string()),
            HookError::Unsigned(_) | HookError::Forged | HookError::Stale { .. } | HookError::Key(_) => {
                Self::forbidden()
            }
        }
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        Self::unread(rejection.status(), rejection.body_text())
    }
}

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        // The world hears no more of it than that it may ask again.
        tracing::error!(%error, "a request of the world was not done");
        let detail = "the application could not do it now: ask again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
        });
        let headers =
            [(header::CONTENT_TYPE, "application/problem+json"), (header::CACHE_CONTROL, "no-store")];
        let mut response = (self.status, headers, body.to_string()).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, header::HeaderValue::from_static(AGAIN_AFTER_S));
        }
        response
    }
}

/// What a text is answered with; nothing is an empty document, which is how one says so.
pub(super) fn twiml(message: Option<&str>) -> Response {
    let inner = message.map(|text| format!("<Message>{}</Message>", escaped(text))).unwrap_or_default();
    let document = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>{inner}</Response>");
    ([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], document).into_response()
}
