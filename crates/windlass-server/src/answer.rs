//! How handlers answer: JSON, or a problem.

use axum::body::Bytes;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use windlass_api::page::{Done, ItemAnswer, answers};
use windlass_api::problem::{self, Problem};
use windlass_api::work::Results;
use windlass_core::store::PerItem;
use windlass_core::{Rejection, StoreError};

use crate::fence::{ENDED, FORBIDDEN};

/// What a handler gives.
pub(crate) type Answer = Result<Response, Fault>;

/// A request that was not done.
#[derive(Debug)]
pub(crate) struct Fault(pub(crate) Box<Problem>);

impl Fault {
    pub(crate) fn new(code: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(code, detail)))
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self(Box::new(self.0.hint(hint)))
    }

    /// An argument of the address or its query that makes no sense.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new("bad_request", detail)
    }

    pub(crate) fn not_found(what: impl std::fmt::Display) -> Self {
        Rejection::NotFound { what: what.to_string() }.into()
    }
}

impl From<Rejection> for Fault {
    fn from(rejection: Rejection) -> Self {
        Self(Box::new((&rejection).into()))
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error.operation {
            FORBIDDEN => return Rejection::Forbidden { what: error.cause }.into(),
            ENDED => return Self::new("unauthorized", error.cause),
            _ => {}
        }
        tracing::warn!(%error, "the store failed");
        Self(Box::new((&error).into()))
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let problem = self.0;
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = bytes(status, problem::MEDIA_TYPE, &problem);
        let headers = response.headers_mut();
        if let Some(seconds) = problem.retry_after_seconds() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

fn bytes<T: Serialize>(status: StatusCode, media_type: &'static str, body: &T) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => (status, [(header::CONTENT_TYPE, media_type)], Bytes::from(body)).into_response(),
        // Shapes have nothing that JSON cannot say; a map with keys that are no text would be a fault of this program.
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// 200 with that body.
pub(crate) fn json<T: Serialize>(body: &T) -> Answer {
    Ok(bytes(StatusCode::OK, "application/json", body))
}

/// That status with that body.
pub(crate) fn json_with<T: Serialize>(status: StatusCode, body: &T) -> Answer {
    Ok(bytes(status, "application/json", body))
}

/// 204: done, and no more to say.
pub(crate) fn done() -> Answer {
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Text as it is.
pub(crate) fn text(body: String) -> Answer {
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response())
}

/// A list that has no pages.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ListOf{T}")]
pub(crate) struct Items<T> {
    /// The items.
    pub(crate) items: Vec<T>,
}

/// 200 with a list.
pub(crate) fn items<T: Serialize>(items: impl IntoIterator<Item = T>) -> Answer {
    json(&Items { items: items.into_iter().collect() })
}

/// 200 with one answer for each item of a batch.
pub(crate) fn results(all: PerItem<()>) -> Answer {
    json(&Results::<Done> { results: answers(all) })
}

/// 200 with what was done for each item of a batch.
pub(crate) fn results_of<T, S: Serialize + From<T>>(all: PerItem<T>) -> Answer {
    let results = all.into_iter().map(|item| ItemAnswer(item.map(S::from))).collect();
    json(&Results::<S> { results })
}

/// The answer to a batch of one.
pub(crate) fn only<T>(mut all: PerItem<T>) -> Result<T, Fault> {
    match all.pop() {
        Some(item) => Ok(item?),
        None => Err(Fault::new("internal", "the store gave no answer for the item")),
    }
}
