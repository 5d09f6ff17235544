//! The schemas of requests and answers under one roof.
//!
//! A type may be read otherwise than it is written: a field with a default is not asked for, but always told. So there
//! are two sets; where both have a type and agree on it, it stands in the document once, otherwise what is read gets
//! `Input` behind its name.

use std::collections::BTreeSet;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// Where schemas stand in the document.
const PLACE: &str = "#/components/schemas/";
/// What is read by `api::queues::merged`, which knows the fields that there are, and refuses others.
const CLOSED: [&str; 4] = ["QueueSettings", "GroupSettings", "LimitSettings", "Retention"];

/// How a schema is made: of a type, by a generator.
pub(super) type Make = fn(&mut SchemaGenerator) -> Schema;

/// The schema of that type.
pub(super) fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The schemas that have been asked for so far.
pub(super) struct Schemas {
    read: SchemaGenerator,
    written: SchemaGenerator,
    /// Answers that several operations have, by their names.
    pub(super) responses: Map<String, Value>,
}

/// Marks a schema of a request until its names are settled.
const READ: &str = "x-read";

impl Schemas {
    pub(super) fn new() -> Self {
        let settings = || {
            let mut settings = SchemaSettings::draft2020_12();
            settings.definitions_path = "/components/schemas".into();
            settings
        };
        Self {
            read: settings().for_deserialize().into_generator(),
            written: settings().for_serialize().into_generator(),
            responses: Map::new(),
        }
    }

    /// The schema of something that a request brings.
    pub(super) fn read(&mut self, make: Make) -> Value {
        let mut schema = make(&mut self.read).to_value();
        if let Value::Object(fields) = &mut schema {
            fields.insert(READ.into(), true.into());
            return schema;
        }
        schema
    }

    /// The schema of something that an answer has.
    pub(super) fn written(&mut self, make: Make) -> Value {
        make(&mut self.written).to_value()
    }

    /// The document with all schemas in their place.
    pub(super) fn into_document(mut self, mut document: Value) -> Value {
        document["components"]["responses"] = Value::Object(self.responses);
        let mut read = self.read.take_definitions(true);
        let mut written = self.written.take_definitions(true);
        for (name, schema) in &mut read {
            if CLOSED.contains(&name.as_str()) {
                close(schema);
            }
        }
        for schema in read.values_mut().chain(written.values_mut()) {
            tidy(schema);
        }
        tidy(&mut document);
        let apart = apart(&read, &written);
        // Rust's types are called Shapes beside the core's own; the document has no other types to tell them from,
        // save where one of that name is in it too.
        let names: BTreeSet<String> = read.keys().chain(written.keys()).cloned().collect();
        let plain = |name: &str| {
            let plain = name.replace("Shape", "");
            if names.contains(&plain) { name.to_owned() } else { plain }
        };
        let renamed = |name: &str| {
            if apart.contains(name) { format!("{}Input", plain(name)) } else { plain(name) }
        };
        let mut all: Map<String, Value> = Map::new();
        for (name, mut schema) in written {
            point(&mut schema, false, &plain);
            all.insert(plain(&name), schema);
        }
        for (name, mut schema) in read {
            point(&mut schema, false, &renamed);
            all.insert(renamed(&name), schema);
        }
        point(&mut document, true, &renamed);
        point(&mut document, false, &plain);
        document["components"]["schemas"] = Value::Object(all);
        document
    }
}

/// The names that both sets have and do not agree on, by themselves or in what they point at.
fn apart(read: &Map<String, Value>, written: &Map<String, Value>) -> BTreeSet<String> {
    let mut apart: BTreeSet<String> = read
        .iter()
        .filter(|(name, schema)| written.get(*name).is_some_and(|other| other != *schema))
        .map(|(name, _)| name.clone())
        .collect();
    loop {
        let more: Vec<String> = read
            .iter()
            .filter(|(name, schema)| {
                written.contains_key(*name)
                    && !apart.contains(*name)
                    && apart.iter().any(|other| points_at(schema, other))
            })
            .map(|(name, _)| name.clone())
            .collect();
        if more.is_empty() {
            return apart;
        }
        apart.extend(more);
    }
}

fn points_at(schema: &Value, name: &str) -> bool {
    match schema {
        Value::Object(fields) => fields.iter().any(|(key, value)| {
            if key == "$ref" {
                value.as_str().and_then(|place| place.strip_prefix(PLACE)) == Some(name)
            } else {
                points_at(value, name)
            }
        }),
        Value::Array(list) => list.iter().any(|value| points_at(value, name)),
        _ => false,
    }
}

/// Points every reference at the name that its schema got; with `marked` only inside of what [`Schemas::read`] gave,
/// which loses its mark.
fn point(value: &mut Value, marked: bool, renamed: &dyn Fn(&str) -> String) {
    match value {
        Value::Object(fields) => {
            let inside = fields.remove(READ).is_some();
            let marked = marked && !inside;
            if !marked
                && let Some(Value::String(place)) = fields.get_mut("$ref")
                && let Some(name) = place.strip_prefix(PLACE)
            {
                *place = format!("{PLACE}{}", renamed(name));
            }
            fields.values_mut().for_each(|value| point(value, marked, renamed));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| point(value, marked, renamed)),
        _ => {}
    }
}

/// Lets an object have the fields that it names and no others.
fn close(schema: &mut Value) {
    schema["additionalProperties"] = false.into();
}

/// Bounds of numbers in words of JSON instead of Rust's, descriptions without what only rustdoc understands.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some((min, max)) = fields.get("format").and_then(Value::as_str).and_then(bounds_of) {
                fields.remove("format");
                fields.entry("minimum").or_insert(min);
                fields.entry("maximum").or_insert(max);
            }
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = plain(text);
            }
            if fields.get("default") == Some(&Value::Null) {
                fields.remove("default");
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Array(list) => list.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// What a number of that Rust type may be.
fn bounds_of(format: &str) -> Option<(Value, Value)> {
    Some(match format {
        "uint8" => (json!(0), json!(u8::MAX)),
        "uint16" => (json!(0), json!(u16::MAX)),
        "uint32" => (json!(0), json!(u32::MAX)),
        "uint64" | "uint" => (json!(0), json!(u64::MAX)),
        "int8" => (json!(i8::MIN), json!(i8::MAX)),
        _ => return None,
    })
}

/// The first paragraph of a comment, without links into the code.
fn plain(text: &str) -> String {
    let paragraph = text.split("\n\n").next().unwrap_or(text).replace('\n', " ");
    paragraph.replace("[`", "`").replace("`]", "`")
}
