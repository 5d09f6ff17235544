//! How the contract's types cross to SQL and back.

use bytes::{BufMut, BytesMut};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::error::Error;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use windlass_core::{JobId, Rejection, StoreError, Time};

/// A job's id as `uuid`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Id(pub(crate) JobId);

impl ToSql for Id {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_u128(self.0.0);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::UUID
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Id {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(JobId(u128::from_be_bytes(raw.try_into()?))))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::UUID
    }
}

/// JSON as `jsonb`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Json(pub(crate) Value);

impl ToSql for Json {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_u8(1);
        serde_json::to_writer(out.writer(), &self.0)?;
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSONB
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Json {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        match raw.split_first() {
            Some((1, text)) => Ok(Self(serde_json::from_slice(text)?)),
            _ => Err("jsonb of an unknown version".into()),
        }
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSONB
    }
}

/// A time as SQL keeps it: what lies beyond its numbers lies beyond every clock.
pub(crate) fn ms(at: Time) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

/// A number without a sign, by its bits.
pub(crate) fn bits(n: u64) -> i64 {
    n.cast_signed()
}

/// A time that SQL answered.
pub(crate) fn time(ms: i64) -> Time {
    Time(u64::try_from(ms).unwrap_or(0))
}

/// A value of a plain struct as JSON.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// A struct out of JSON that this crate's own functions made.
pub(crate) fn read<T: DeserializeOwned>(operation: &'static str, value: Value) -> Result<T, StoreError> {
    serde_json::from_value(value).map_err(|why| {
        StoreError::refused(operation, format!("the schema answered what this program does not know: {why}"))
    })
}

/// What a rejection's `what` or `verb` may be, when it comes back from SQL.
const WORDS: [&str; 24] = [
    "payload",
    "batch",
    "priority",
    "run_at",
    "delay",
    "timeout",
    "limits",
    "parents",
    "id",
    "result",
    "checkpoint",
    "weight",
    "cancel",
    "edit",
    "retry",
    "delete",
    "run_now",
    "settings",
    "schedule",
    "meta",
    "retry policy",
    "snooze",
    "tags",
    "unique key",
];

/// The rejection that SQL put into words.
pub(crate) fn rejection(operation: &'static str, value: Value) -> Result<Rejection, StoreError> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |key: &str| value.get(key).and_then(Value::as_u64).unwrap_or_default();
    let small = |key: &str| u32::try_from(number(key)).unwrap_or(u32::MAX);
    let word = |key: &str| WORDS.into_iter().find(|word| *word == text(key)).unwrap_or("argument");
    let field = |key: &str| value.get(key).cloned().unwrap_or_default();
    Ok(match text("code").as_str() {
        "invalid" => Rejection::Invalid { what: word("what"), why: text("why") },
        "not_found" => Rejection::NotFound { what: text("what") },
        "stale" => Rejection::Stale,
        "wrong_state" => {
            Rejection::WrongState { verb: word("verb"), state: read(operation, field("state"))? }
        }
        "unique_conflict" => Rejection::UniqueConflict { holder: read(operation, field("holder"))? },
        "queue_full" => Rejection::QueueFull { retry_after_ms: number("retry_after_ms") },
        "out_of_space" => Rejection::OutOfSpace,
        "cost_too_high" => {
            Rejection::CostTooHigh { limit: text("limit"), cost: small("cost"), most: small("most") }
        }
        "bad_parents" => Rejection::BadParents { why: text("why") },
        "version_conflict" => {
            Rejection::VersionConflict { given: number("given"), current: number("current") }
        }
        "batch_refused" => Rejection::BatchRefused,
        "has_live_children" => Rejection::HasLiveChildren,
        "too_many_snoozes" => Rejection::TooManySnoozes { snoozes: small("snoozes") },
        "bad_cursor" => Rejection::BadCursor,
        other => {
            let why = format!("the schema refused in a word that this program does not know: {other:?}");
            return Err(StoreError::refused(operation, why));
        }
    })
}

/// One answer per item, each null or a rejection.
pub(crate) fn per_item(
    operation: &'static str,
    answers: Value,
) -> Result<Vec<Result<(), Rejection>>, StoreError> {
    let answers: Vec<Value> = read(operation, answers)?;
    let one = |answer: Value| match answer {
        Value::Null => Ok(Ok(())),
        why => rejection(operation, why).map(Err),
    };
    answers.into_iter().map(one).collect()
}
