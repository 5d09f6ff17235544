//! Holds every request and answer of a test against the OpenAPI document.
//!
//! An answer must have a status, a type and a body that its operation allows, with no field that the document does not
//! name; the body of a request that was taken must be one that the document allows. So neither can drift from the other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use jsonschema::Validator;
use serde_json::{Value, json};
use windlass::Client;
use windlass_server::Options;

use crate::home::Home;

/// Bodies of tests that are looked at; a stream is longer, and is not.
const BODY_MOST: usize = 16 << 20;
/// Schemas that are open on purpose: what else there is to know of a problem depends on its code.
const OPEN: [&str; 2] = ["Problem", "Refusal"];

/// The document, and what was found against it.
struct Document {
    whole: Value,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
    faults: Mutex<Vec<String>>,
}

impl Document {
    fn new() -> Arc<Self> {
        let mut whole: Value = serde_json::from_str(&windlass_server::openapi()).expect("a document");
        for (name, schema) in whole["components"]["schemas"].as_object_mut().expect("schemas") {
            if !OPEN.contains(&name.as_str()) {
                close(schema);
            }
        }
        Arc::new(Self { whole, validators: Mutex::default(), faults: Mutex::default() })
    }

    /// What was found so far.
    fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fault(&self, fault: String) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    /// The operation of a request, with its place in the document.
    fn operation(&self, method: &str, path: &str) -> Option<(String, &Value)> {
        let matches = |template: &str| {
            let (mut known, mut said) = (template.split('/'), path.split('/'));
            loop {
                match (known.next(), said.next()) {
                    (None, None) => return true,
                    (Some(known), Some(said)) if known == said || known.starts_with('{') => {}
                    _ => return false,
                }
            }
        };
        let paths = self.whole["paths"].as_object()?;
        // A word is meant before a parameter: /v1/jobs/search is no job.
        let (template, operations) = paths
            .iter()
            .filter(|(path, _)| matches(path))
            .min_by_key(|(path, _)| path.matches('{').count())?;
        let operation = operations.get(method)?;
        Some((format!("{method} {template}"), operation))
    }

    fn validate(&self, place: String, schema: &Value, body: &[u8]) {
        let body = match serde_json::from_slice::<Value>(body) {
            Ok(body) => body,
            // Deeper than any schema looks.
            Err(error) if error.to_string().contains("recursion limit") => return,
            Err(_) => {
                let text = String::from_utf8_lossy(body);
                return self
                    .fault(format!("{place}: is not JSON: {}", text.chars().take(500).collect::<String>()));
            }
        };
        let validator = {
            let mut all = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
            let build = || {
                let schema = json!({
                    "$schema": "https://json-schema.org/draft/2020-12/schema",
                    "allOf": [schema],
                    "components": self.whole["components"],
                });
                Arc::new(
                    jsonschema::options().should_validate_formats(true).build(&schema).expect("a schema"),
                )
            };
            all.entry(place.clone()).or_insert_with(build).clone()
        };
        for fault in validator.iter_errors(&body).take(3) {
            self.fault(format!("{place}: {}: {fault}\nof {body}", fault.instance_path()));
        }
    }

    fn answer(&self, place: &str, operation: &Value, status: StatusCode, headers: &HeaderMap, body: &[u8]) {
        let place = format!("{place} {}", status.as_u16());
        let Some(mut response) = operation["responses"].get(status.as_str()) else {
            return self.fault(format!("{place}: no such status: {}", String::from_utf8_lossy(body)));
        };
        if let Some(Value::String(to)) = response.get("$ref") {
            response = self.whole.pointer(&to[1..]).expect("a response");
        }
        let kind = kind(headers);
        match response.get("content") {
            None if body.is_empty() => {}
            None => self.fault(format!("{place}: has a body: {}", String::from_utf8_lossy(body))),
            Some(content) => match content.get(&kind) {
                None => self.fault(format!("{place}: answers {kind:?}, and not one of {content}")),
                Some(media) if kind.ends_with("json") && kind != "application/x-ndjson" => {
                    self.validate(format!("{place} {kind}"), &media["schema"], body);
                }
                Some(_) => {}
            },
        }
    }
}

/// Lets every object have the fields that it names and no others, by itself or in one of the objects that it may be.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields)
            if fields.contains_key("properties") && fields.get("oneOf").is_some_and(Value::is_array) =>
        {
            fields.insert("unevaluatedProperties".into(), false.into());
            fields.get_mut("properties").into_iter().for_each(close);
            let variants = fields.get_mut("oneOf").and_then(Value::as_array_mut);
            for properties in variants.into_iter().flatten().filter_map(|one| one.get_mut("properties")) {
                close(properties);
            }
        }
        Value::Object(fields) => {
            if fields.get("properties").is_some_and(Value::is_object)
                && !fields.contains_key("additionalProperties")
            {
                fields.insert("additionalProperties".into(), false.into());
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(list) => list.iter_mut().for_each(close),
        _ => {}
    }
}

fn kind(headers: &HeaderMap) -> String {
    let said = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    said.split(';').next().unwrap_or_default().trim().to_owned()
}

/// Whether the whole of it is there without waiting for anybody.
fn is_whole(headers: &HeaderMap) -> bool {
    let kind = kind(headers);
    kind != "application/x-ndjson" && kind != "text/event-stream"
}

/// The layer.
async fn hold(State(document): State<Arc<Document>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let Some((place, operation)) = document.operation(&request.method().as_str().to_lowercase(), &path)
    else {
        return next.run(request).await;
    };
    let length = request.headers().get("content-length").and_then(|text| text.to_str().ok()?.parse().ok());
    let (request, sent) =
        if length.is_some_and(|length: usize| length <= BODY_MOST) && is_whole(request.headers()) {
            let (parts, body) = request.into_parts();
            // Whoever breaks off while sending gets what the server makes of it.
            let body = to_bytes(body, BODY_MOST).await.unwrap_or_default();
            (Request::from_parts(parts, Body::from(body.clone())), body)
        } else {
            (request, Bytes::new())
        };
    let response = next.run(request).await;
    if !is_whole(response.headers()) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("an answer");
    let media = operation.pointer("/requestBody/content/application~1json/schema");
    // What is taken as a payload may be anything.
    let is_read = parts.status.is_success() && !sent.is_empty() && !place.ends_with("/queues/{queue}/jobs");
    if let Some(schema) = media.filter(|_| is_read) {
        document.validate(format!("{place}: the request"), schema, &sent);
    }
    document.answer(&place, operation, parts.status, &parts.headers, &body);
    Response::from_parts(parts, Body::from(body))
}

/// A server for this machine alone, before that client's store, that is held to the document.
#[allow(dead_code, reason = "each test target uses its part")]
pub(crate) fn held(client: &Client) -> Home {
    held_with(client, Options::default())
}

/// The same, set up so.
pub(crate) fn held_with(client: &Client, options: Options) -> Home {
    let document = Document::new();
    let around = document.clone();
    Home::around(
        client,
        options,
        |router| router.layer(from_fn_with_state(around, hold)),
        move || {
            let faults = document.faults();
            assert!(
                faults.is_empty() || std::thread::panicking(),
                "the OpenAPI document says otherwise:\n{}",
                faults.join("\n")
            );
        },
    )
}
