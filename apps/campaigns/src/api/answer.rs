//! How the API answers: JSON, or a problem (RFC 9457).

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{app::AppError, db::DbError};

/// What a handler gives.
pub(super) type Answer<T> = Result<Json<T>, Fault>;

/// A request that was not done.
#[derive(Debug)]
pub(crate) struct Fault {
    status: StatusCode,
    code: &'static str,
    detail: String,
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    code: &'static str,
    detail: &'a str,
}

impl Fault {
    /// A request that makes no sense.
    pub(super) fn bad(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "bad_request", detail: detail.into() }
    }

    /// A request that takes the scope `payloads`.
    pub(super) fn payloads() -> Self {
        let detail = "this has names, addresses and texts: it takes a key with the scope payloads";
        Self { status: StatusCode::FORBIDDEN, code: "forbidden", detail: detail.to_owned() }
    }
}

/// What programs are told of an error: a status, and a code that never changes its meaning.
pub(crate) fn verdict(error: &AppError) -> (StatusCode, &'static str) {
    match error {
        AppError::Unknown { .. } => (StatusCode::NOT_FOUND, "not_found"),
        AppError::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
        AppError::Invalid { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
        AppError::Db(DbError::Refused(_)) => (StatusCode::CONFLICT, "conflict"),
        AppError::Db(_) => (StatusCode::SERVICE_UNAVAILABLE, "database_failed"),
        AppError::Queue(_) => (StatusCode::SERVICE_UNAVAILABLE, "queue_failed"),
    }
}

impl From<AppError> for Fault {
    fn from(error: AppError) -> Self {
        let (status, code) = verdict(&error);
        if status.is_server_error() {
            tracing::error!("a request failed: {error}");
        }
        Self { status, code, detail: error.to_string() }
    }
}

impl From<DbError> for Fault {
    fn from(error: DbError) -> Self {
        AppError::from(error).into()
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let problem = Problem {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Problem"),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
        };
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        (self.status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}

/// The address there is not.
pub(super) async fn nowhere() -> Fault {
    Fault {
        status: StatusCode::NOT_FOUND,
        code: "no_such_route",
        detail: "there is nothing at this address".to_owned(),
    }
}
