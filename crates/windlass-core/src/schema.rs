//! JSON Schemas of the types whose JSON is written by hand: names, ids and what is packed into a text or a list.
//!
//! Everything else derives its schema beside its serde form. Only who documents the API asks for any of it
//! (feature `schema`), so no user of a store compiles it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::bounds::KEY_BYTES_MAX;
use crate::event::Cursor;
use crate::fingerprint::Fingerprint;
use crate::histogram::Histogram;
use crate::job::JobId;
use crate::name::{GroupKey, Kind, LimitName, QueueName, ScheduleName, Tag, UniqueKey};

/// A text with a rule of its own, known by its type's name.
macro_rules! texts {
    ($($type:ident $schema:expr;)*) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    )*};
}

fn name(description: &str) -> Schema {
    json_schema!({ "type": "string", "description": description, "pattern": "^(?!\\.{1,2}$)[A-Za-z0-9._:-]{1,128}$" })
}

fn key(description: &str) -> Schema {
    json_schema!({
        "type": "string",
        "description": format!("{description}: up to {KEY_BYTES_MAX} bytes of UTF-8, no control characters."),
        "minLength": 1,
        "maxLength": KEY_BYTES_MAX,
        "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$",
    })
}

texts! {
    QueueName name("The name of a queue.");
    Kind name("The kind of a job: which handler understands its payload.");
    LimitName name("The name of a limit that jobs of any queue may share.");
    ScheduleName name("The name of a schedule.");
    GroupKey key("The key of a group inside a queue");
    UniqueKey key("A unique key");
    Tag key("A tag of a job");
    JobId json_schema!({
        "type": "string",
        "description": "A job's id: a UUID of version 7, whose time may lie at most an hour ahead.",
        "format": "uuid",
    });
    Cursor json_schema!({
        "type": "string",
        "description": "A place in the event log: opaque, and ordered by the log alone.",
        "pattern": "^[0-9a-f]{1,16}-[0-9a-f]{1,8}$",
    });
    Fingerprint json_schema!({
        "type": "string",
        "description": "A failure mode: equal for equal kind, class and normalised message.",
        "pattern": "^[0-9a-fA-F]{16}$",
    });
    Histogram json_schema!({
        "type": "array",
        "description": "The sum, the largest value, then pairs of a bucket's number and its count.",
        "items": { "type": "integer", "minimum": 0 },
        "minItems": 2,
    });
}
