//! JSON Schemas of what is spelled: instants, spans, rates, leases and the other texts that have one reader in
//! [`crate::spell`]. A field of such a text names its type here, so that the OpenAPI document says what the reader takes.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use windlass_core::State;
use windlass_core::bounds::BATCH_ITEMS_MAX;

use crate::flow::Named;
use crate::idempotency::{IdempotencyKey, KEY_BYTES_MAX};
use crate::page::{Done, ItemAnswer, Refusal};
use crate::queue::ByState;
use crate::work::{JobRequest, LeaseText, Settlement};

macro_rules! spelled {
    ($($(#[$doc:meta])* $type:ident $schema:tt;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $type {}

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

spelled! {
    /// An instant, as [`crate::time`] writes it.
    Instant {
        "description": "An instant in RFC 3339. Answers give it in UTC, to the millisecond; `never` lies beyond all calendars.",
        "anyOf": [{ "type": "string", "format": "date-time" }, { "const": "never" }],
        "examples": ["2026-11-21T09:30:00.000Z"],
    };
    /// A span, as [`crate::spell::span`] reads it.
    Span {
        "type": "string",
        "description": "A span of time: numbers with the units d, h, m, s and ms, the longest first.",
        "pattern": "^([0-9]{1,10}d)?([0-9]{1,10}h)?([0-9]{1,10}m)?([0-9]{1,10}s)?([0-9]{1,10}ms)?$",
        "minLength": 2,
        "examples": ["250ms", "10m", "1h30m"],
    };
    /// An instant, or how long ago it was.
    Past {
        "type": "string",
        "description": "An instant in RFC 3339, or how long ago it was (`1h`).",
        "pattern": "^([0-9]{4}-[0-9]{2}-[0-9]{2}T.+|([0-9]+(d|h|m|s|ms))+)$",
        "examples": ["2026-11-21T09:30:00Z", "1h"],
    };
    /// A rate, as [`crate::spell::rate`] reads it.
    RateText {
        "type": "string",
        "description": "So many in a span of time, and how many at once after a rest.",
        "pattern": "^ *[0-9]+ */ *([0-9]*(d|h|m|s|ms))+ *(, *burst=[0-9]+ *)?$",
        "examples": ["10/s", "100/1m,burst=20"],
    };
    /// A retry policy, as [`crate::spell::retry`] reads it.
    RetryText {
        "type": "string",
        "description": "A retry policy.",
        "pattern": "^(default|never|exponential|list|(exponential|fixed|list)\\(.*\\)) *$",
        "examples": ["exponential(base=5s,cap=30m,max=12)", "fixed(10s,max=5)", "list(1s,10s,1m)", "never"],
    };
    /// A named limit with its cost, as [`crate::spell::option`] reads it.
    LimitText {
        "type": "string",
        "description": "A named limit, with how much of it the job takes (1 unless said).",
        "pattern": "^[A-Za-z0-9._:-]{1,128}(=[0-9]+)?$",
        "examples": ["smtp", "smtp=2"],
    };
    /// A parent, as [`crate::spell::option`] reads it.
    ParentText {
        "type": "string",
        "description": "A job to wait for: its id, and `=always` if its end counts however it comes.",
        "pattern": "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}(=(success|always))?$",
        "examples": ["01a20349-19a4-7000-a26a-6a7218659a2a=always"],
    };
    /// How long a unique key stays taken, as [`crate::spell::option`] reads it.
    UniqueText {
        "type": "string",
        "description": "How long a unique key stays taken: while its job is `live`, `until-start`, or for a span.",
        "pattern": "^(live|until-start|([0-9]+(d|h|m|s|ms))+)$",
        "examples": ["live", "until-start", "1h"],
    };
    /// What a taken key means, as [`crate::spell::option`] reads it.
    ConflictText {
        "type": "string",
        "description": "What an enqueue does when its unique key is taken.",
        "enum": ["existing", "replace", "reschedule", "refuse"],
    };
    /// A worker's id, as [`crate::work::worker`] reads it.
    WorkerText {
        "type": "string",
        "description": "A worker's id, at random at each start.",
        "pattern": "^w-[0-9a-fA-F]{16}$",
        "examples": ["w-00000000000000a1"],
    };
    /// A number of 64 bits in hexadecimal.
    Hex64 {
        "type": "string",
        "description": "A number of 64 bits in hexadecimal.",
        "pattern": "^[0-9a-fA-F]{1,16}$",
    };
    /// Several states of a filter.
    StatesText {
        "type": "string",
        "description": "States, several with commas between.",
        "pattern": "^[ ,]*((scheduled|ready|running|retrying|blocked|completed|dead|cancelled)[ ,]*)*$",
        "examples": ["dead,retrying"],
    };
    /// Several ids of a filter.
    IdsText {
        "type": "string",
        "description": "Ids, several with commas between.",
        "pattern": "^[ ,]*([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}[ ,]*)*$",
    };
    /// Bytes in base64 (RFC 4648, with padding).
    Base64 {
        "type": "string",
        "description": "Bytes in base64 (RFC 4648, with padding).",
        "contentEncoding": "base64",
        "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
    };
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("NamedOf{}", T::schema_name()).into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "additionalProperties": schemas.subschema_for::<T>(),
            "propertyNames": { "pattern": "^[^=]+$" },
            "minProperties": 1,
            "maxProperties": BATCH_ITEMS_MAX,
        })
    }
}

/// A settlement of several.
#[derive(Debug)]
pub enum SettlementItem {}

impl JsonSchema for SettlementItem {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "SettlementItem".into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A settlement. One whose values break a rule is refused by itself, and stops no other.",
            "anyOf": [schemas.subschema_for::<Settlement<'static>>(), { "type": "object" }],
        })
    }
}

/// A job of a flow: as any other, save that it names those it waits for by their names too.
#[derive(Debug)]
pub enum FlowJobRequest {}

impl JsonSchema for FlowJobRequest {
    fn schema_name() -> Cow<'static, str> {
        "FlowJobRequest".into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        let mut job = JobRequest::<'static>::json_schema(schemas);
        if let Some(after) = job.pointer_mut("/properties/after/items") {
            *after = serde_json::json!({
                "type": "string",
                "description": "A job to wait for: its name in the flow or its id, and `=always` if its end counts \
                    however it comes.",
                "examples": ["extract", "extract=always"],
            });
        }
        job
    }
}

impl JsonSchema for IdempotencyKey {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "IdempotencyKey".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^[!#-\[\]-~]([ !#-\[\]-~]*[!#-\[\]-~])?$",
            "minLength": 1,
            "maxLength": KEY_BYTES_MAX,
            "examples": ["8e03978e-40d5-43dd-bc93-6894a57f9324"],
        })
    }
}

impl JsonSchema for LeaseText {
    fn schema_name() -> Cow<'static, str> {
        "Lease".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "The right to work on a job: opaque, to be given back as the claim gave it.",
            "pattern": "^[0-9]{1,10}\\.[0-9a-fA-F]{1,16}\\.[0-9a-fA-F]{1,16}$",
            "examples": ["1.1.9e3779b97f4a7c15"],
        })
    }
}

impl JsonSchema for ByState {
    fn schema_name() -> Cow<'static, str> {
        "ByState".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let count = || serde_json::json!({ "type": "integer", "minimum": 0 });
        let counts: serde_json::Map<_, _> =
            State::ALL.map(|state| (state.as_str().to_owned(), count())).into_iter().collect();
        json_schema!({
            "type": "object",
            "description": "Jobs by state.",
            "properties": counts,
            "required": State::ALL.map(State::as_str),
        })
    }
}

impl JsonSchema for Done {
    fn schema_name() -> Cow<'static, str> {
        "Done".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "description": "It was done, and there is no more to say.", "maxProperties": 0 })
    }
}

impl<T: JsonSchema> JsonSchema for ItemAnswer<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("ItemAnswerOf{}", T::schema_name()).into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        let refused = schemas.subschema_for::<Refusal<'static>>();
        json_schema!({
            "oneOf": [
                schemas.subschema_for::<T>(),
                {
                    "type": "object",
                    "description": "The item was refused, and nothing of it was done.",
                    "properties": { "error": refused },
                    "required": ["error"],
                },
            ],
        })
    }
}

impl JsonSchema for crate::spell::span::Span {
    fn schema_name() -> Cow<'static, str> {
        Span::schema_name()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        Span::json_schema(schemas)
    }
}
