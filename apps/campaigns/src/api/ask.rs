//! How handlers read what is asked: a part of the address, the query, a JSON body.
//!
//! Each stands in for axum's own of the same name, and tells what is wrong as a problem (RFC 9457), in words for whoever
//! wrote the request.

use axum::{
    Json,
    body::Bytes,
    extract::{
        FromRequest, FromRequestParts, Request,
        path::ErrorKind,
        rejection::{JsonRejection, PathRejection},
    },
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use super::answer::Fault;
use crate::store::PAGE_MAX;

/// Entries of a page when nothing is said: what a screen shows.
const PAGE_USUAL: u32 = 50;

/// The part of the address that names one thing.
#[derive(Debug)]
pub(super) struct Path<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(Fault::bad(why_not(rejection))),
        }
    }
}

fn why_not(rejection: PathRejection) -> String {
    let PathRejection::FailedToDeserializePathParams(failed) = rejection else {
        return rejection.body_text();
    };
    match failed.into_kind() {
        ErrorKind::ParseError { value, .. }
        | ErrorKind::ParseErrorAtKey { value, .. }
        | ErrorKind::ParseErrorAtIndex { value, .. } => {
            format!("the address has {value:?} where a number belongs, as in /v1/campaigns/7")
        }
        ErrorKind::InvalidUtf8InPathParam { .. } => "the address is not UTF-8".to_owned(),
        other => format!("the address: {other}"),
    }
}

/// What stands behind the question mark.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(Fault::bad(plainly("the query", &rejection.body_text()))),
        }
    }
}

/// A JSON body.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, state: &S) -> Result<Self, Fault> {
        let (parts, body) = request.into_parts();
        let body = Bytes::from_request(Request::from_parts(parts.clone(), body), state).await;
        let body = body.map_err(|rejection| Fault::bad(rejection.body_text()))?;
        // A list would be taken for the fields in their order.
        if body.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| *byte == b'[') {
            return Err(Fault::bad("the body: a JSON object is wanted here, and not a list"));
        }
        let request = Request::from_parts(parts, body.into());
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(JsonRejection::MissingJsonContentType(_)) => {
                Err(Fault::bad("the body must be JSON: send Content-Type: application/json"))
            }
            Err(rejection) => Err(Fault::bad(plainly("the body", &rejection.body_text()))),
        }
    }
}

/// A JSON body that may be left out.
#[derive(Debug)]
pub(super) struct MaybeBody<T>(pub(super) T);

impl<S: Send + Sync, T: Default + DeserializeOwned> FromRequest<S> for MaybeBody<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, state: &S) -> Result<Self, Fault> {
        let (parts, body) = request.into_parts();
        let body = Bytes::from_request(Request::from_parts(parts.clone(), body), state).await;
        let body = body.map_err(|rejection| Fault::bad(rejection.body_text()))?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        let Body(value) = Body::from_request(Request::from_parts(parts, body.into()), state).await?;
        Ok(Self(value))
    }
}

/// What the library says of a request, without its words for its own types.
fn plainly(where_: &str, said: &str) -> String {
    let said = [
        "Failed to deserialize query string: ",
        "Failed to deserialize the JSON body into the target type: ",
    ]
    .iter()
    .find_map(|preface| said.strip_prefix(preface))
    .unwrap_or(said);
    let mut said = said.replace("invalid digit found in string", "a whole number belongs here");
    const STRUCT: &str = "expected struct ";
    if let Some(at) = said.find(STRUCT) {
        // What it is called in the program is nobody's business.
        let name = &said[at + STRUCT.len()..];
        let end = name.find(|c: char| !c.is_alphanumeric()).unwrap_or(name.len());
        said.replace_range(at..at + STRUCT.len() + end, "expected an object");
    }
    for (type_, word) in [
        ("expected a string", "expected text"),
        ("expected a sequence", "expected a list"),
        ("expected a map", "expected an object"),
        ("expected a boolean", "expected true or false"),
        ("expected i64", "expected a whole number"),
        ("expected u64", "expected a whole number of 0 or more"),
        ("expected u32", "expected a whole number of 0 or more"),
        ("expected u16", "expected a whole number of 0 or more"),
        ("expected u8", "expected a whole number from 0 to 255"),
        ("invalid type: ", "it is "),
        ("invalid value: ", "it is "),
        ("it is map", "it is an object"),
        ("it is sequence", "it is a list"),
        ("it is string", "it is the text"),
        ("it is integer", "it is the number"),
        ("it is floating point", "it is the number"),
        ("unknown variant ", "unknown word "),
    ] {
        said = said.replace(type_, word);
    }
    format!("{where_}: {said}")
}

/// How many entries a page has: what is asked for, if a page may have so many.
pub(super) fn page_of(limit: Option<u32>) -> Result<u32, Fault> {
    let limit = limit.unwrap_or(PAGE_USUAL);
    if (1..=PAGE_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(Fault::bad(format!(
        "limit: {limit} is not between 1 and {PAGE_MAX}; ask for more with the next page"
    )))
}
