//! The API as a document (OpenAPI 3.1), made of the code and of nothing else.
//!
//! [`operations`] says of each route what it takes and answers, in the types that its handler reads and writes;
//! `routes` says where it is and who may use it; [`schemas`] makes the schemas of the types. A route without an
//! operation, or an operation without a route, fails a test, and so does an answer of a test that its operation does not
//! allow: the document cannot drift from the server.
//!
//! **A new route** gets its operation in the module of its noun in `operations/`, and
//! `WINDLASS_WRITE_DOCS=1 cargo nextest run -p windlass-server openapi` writes the document that is committed.

mod operation;
mod operations;
mod schemas;

use std::sync::OnceLock;

use axum::body::Bytes;
use axum::http::header;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::routes::{Scope, table};
pub(crate) use operations::Listed;
use schemas::Schemas;

/// What stands before everything else in the document.
const ABOUT: &str = "A durable job queue over HTTP. Bodies are JSON of any content type; a field that does not exist is \
    refused. Times are RFC 3339 in UTC, spans are spelled (`10m`), or milliseconds where the name ends in `_ms`. A \
    request that fails is answered by a problem (RFC 9457) with a stable `code`. docs/http-api.md has the guarantees.";

/// `GET /openapi.json`: this API as a document.
pub(crate) async fn openapi() -> Answer {
    static TEXT: OnceLock<Bytes> = OnceLock::new();
    let text = TEXT.get_or_init(|| Bytes::from(text()));
    Ok(([(header::CONTENT_TYPE, "application/json")], text.clone()).into_response())
}

/// The document as it is served and committed.
pub fn text() -> String {
    // A value of strings, numbers, lists and maps is always JSON.
    let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
    text.push('\n');
    text
}

/// The document.
fn document() -> Value {
    let scopes: Vec<(String, &'static str, Scope)> = table();
    let mut schemas = Schemas::new();
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations::all() {
        let scope = scopes.iter().find(|(method, path, _)| {
            method.eq_ignore_ascii_case(operation.method) && *path == operation.path
        });
        // Every operation has its route: a test sees to it.
        let Some((_, path, scope)) = scope else { continue };
        let place = paths.entry(*path).or_insert_with(|| json!({}));
        if let Value::Object(place) = place {
            place.insert(operation.method.to_owned(), operation.written(*scope, &mut schemas));
        }
    }
    let written = json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "info": {
            "title": "Windlass",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The server that gave this document." }],
        "tags": operations::TAGS.map(|(name, description)| json!({ "name": name, "description": description })),
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of the server. One that runs without takes requests without.",
                },
            },
        },
    });
    sorted(schemas.into_document(written))
}

/// The same with the names of every object in their order, whatever order maps keep in this build.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<(String, Value)> = map.into_iter().collect();
            pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(pairs.into_iter().map(|(name, value)| (name, sorted(value))).collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
