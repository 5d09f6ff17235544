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
    serde_json::from_value(value).map_err(|why| unknown(operation, &why))
}

/// An answer that this crate's own functions never give.
pub(crate) fn unknown(operation: &'static str, why: &serde_json::Error) -> StoreError {
    StoreError::refused(operation, format!("the schema answered what this program does not know: {why}"))
}

/// The rejection that SQL put into words: as `Rejection` is written in JSON.
pub(crate) fn rejection(operation: &'static str, value: Value) -> Result<Rejection, StoreError> {
    read(operation, value)
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
