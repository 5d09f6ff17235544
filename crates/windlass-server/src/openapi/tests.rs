//! The document stands for the routes, says what is valid, and is the one that is committed.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::{document, operations, text};
use crate::routes::table;

/// Routes that only browsers ask for.
fn is_documented(path: &str) -> bool {
    path.starts_with("/v1/")
        || ["/healthz", "/readyz", "/metrics", "/openapi.json", "/problems/{code}"].contains(&path)
}

#[test]
fn every_route_has_its_operation_and_every_operation_its_route() {
    let routes: BTreeSet<(String, &str)> = table()
        .into_iter()
        .filter(|(_, path, _)| is_documented(path))
        .map(|(method, path, _)| (method.to_lowercase(), path))
        .collect();
    let mut operations: BTreeSet<(String, &str)> = BTreeSet::new();
    for operation in operations::all() {
        let place = (operation.method.to_owned(), operation.path);
        assert!(operations.insert(place.clone()), "{place:?} has two operations");
    }
    let missing: Vec<_> = routes.difference(&operations).collect();
    assert!(
        missing.is_empty(),
        "{missing:?} stand in routes.rs, and the OpenAPI document says nothing of them: add an operation for each in \
         crates/windlass-server/src/openapi/operations/ (its noun's module), then write the document with\n\n    \
         WINDLASS_WRITE_DOCS=1 cargo nextest run -p windlass-server openapi\n"
    );
    let gone: Vec<_> = operations.difference(&routes).collect();
    assert!(gone.is_empty(), "{gone:?} have an operation in openapi/operations/ and no route in routes.rs");
}

#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    if std::env::var_os("WINDLASS_WRITE_DOCS").is_some() {
        std::fs::write(&place, text()).expect("docs/openapi.json is written");
    }
    let committed = std::fs::read_to_string(&place).unwrap_or_default();
    assert!(
        committed == text(),
        "docs/openapi.json is not what the code says; write it with\n\n    \
         WINDLASS_WRITE_DOCS=1 cargo nextest run -p windlass-server openapi\n"
    );
}

/// Calls `with` for every object of the document, with its place.
fn each(value: &Value, place: &str, with: &mut dyn FnMut(&str, &serde_json::Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            with(place, fields);
            for (name, value) in fields {
                each(value, &format!("{place}/{}", name.replace('~', "~0").replace('/', "~1")), with);
            }
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(at, value)| each(value, &format!("{place}/{at}"), with));
        }
        _ => {}
    }
}

/// What holds a value against the schema at that place of the document.
fn validator(document: &Value, place: &str) -> jsonschema::Validator {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "allOf": [document.pointer(place).expect("a place")],
        "components": document["components"],
    });
    jsonschema::options().should_validate_formats(true).build(&schema).expect("a schema")
}

#[test]
fn every_example_is_valid_against_its_schema() {
    let document = document();
    let mut seen = 0;
    each(&document, "", &mut |place, fields| {
        let body = fields.get("example").filter(|_| fields.contains_key("schema"));
        let texts = fields.get("examples").and_then(Value::as_array);
        let own = texts.into_iter().flatten().map(|example| (place.to_owned(), example));
        for (schema, example) in
            body.map(|example| (format!("{place}/schema"), example)).into_iter().chain(own)
        {
            seen += 1;
            let faults: Vec<String> =
                validator(&document, &schema).iter_errors(example).map(|fault| fault.to_string()).collect();
            assert!(faults.is_empty(), "{place}: {example}: {faults:?}");
        }
    });
    assert!(seen > 40, "{seen}");
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let document = document();
    let mut named = BTreeSet::new();
    each(&document, "", &mut |place, fields| {
        if let Some(Value::String(to)) = fields.get("$ref") {
            let pointer = to.strip_prefix('#').unwrap_or_else(|| panic!("{place}: {to}"));
            assert!(document.pointer(pointer).is_some(), "{place}: {to}");
            named.insert(to.rsplit('/').next().unwrap_or_default().to_owned());
        }
        assert!(!fields.contains_key("x-read"), "{place}");
    });
    for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
        assert!(named.contains(name), "{name} is nowhere used");
        assert!(jsonschema::meta::is_valid(schema), "{name}");
    }
}

#[test]
fn every_operation_says_its_scope_and_has_a_name_of_its_own() {
    let document = document();
    let mut names = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let name = operation["operationId"].as_str().expect("a name");
            assert!(names.insert(name.to_owned()), "{method} {path}: {name} is taken");
            assert!(operation["x-windlass-scope"].is_string() && operation["summary"].is_string());
        }
    }
}
