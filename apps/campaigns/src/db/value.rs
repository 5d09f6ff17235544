//! What goes into a statement and comes out of a row.
//!
//! Numbers, texts, bytes and nothing: both databases mean the same by these. Times are numbers of milliseconds, booleans 0 and 1,
//! and what has a shape of its own is JSON in a text.

use serde::{Serialize, de::DeserializeOwned};
use windlass::Time;

use super::DbError;

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// NULL.
    Null,
    /// BIGINT.
    Int(i64),
    /// TEXT.
    Text(String),
    /// BYTEA: a piece of somebody's file.
    Bytes(Vec<u8>),
}

impl Value {
    /// Anything that serialises, as its JSON.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Self {
        Value::Text(serde_json::to_string(value).expect("our own plain types always serialise"))
    }

    /// As [`Value::json`], NULL for nothing.
    pub fn json_or_null<T: Serialize>(value: &Option<T>) -> Self {
        value.as_ref().map_or(Value::Null, Self::json)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Value::Int(i64::from(value))
    }
}

impl From<u16> for Value {
    fn from(value: u16) -> Self {
        Value::Int(i64::from(value))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Int(i64::from(value))
    }
}

impl From<Time> for Value {
    fn from(value: Time) -> Self {
        // A time after the year 292,000,000 is no time.
        Value::Int(i64::try_from(value.0).unwrap_or(i64::MAX))
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Value::Bytes(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        // PostgreSQL has no NUL in a text, so nobody has.
        Value::Text(value.replace('\u{0}', ""))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        if value.contains('\u{0}') { value.as_str().into() } else { Value::Text(value) }
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        value.as_str().into()
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// One row, read column by column from the left: each read takes the next.
#[derive(Clone, Debug)]
pub struct Row {
    values: std::vec::IntoIter<Value>,
}

impl Row {
    pub(super) fn new(values: Vec<Value>) -> Self {
        Self { values: values.into_iter() }
    }

    fn next(&mut self) -> Result<Value, DbError> {
        self.values.next().ok_or_else(|| DbError::Row("it has too few columns".to_owned()))
    }

    /// The next column, a number.
    ///
    /// # Errors
    /// When it is none.
    pub fn int(&mut self) -> Result<i64, DbError> {
        self.maybe_int()?.ok_or_else(|| DbError::Row("a number is missing".to_owned()))
    }

    /// The next column, a number or NULL.
    ///
    /// # Errors
    /// When it is a text.
    pub fn maybe_int(&mut self) -> Result<Option<i64>, DbError> {
        match self.next()? {
            Value::Null => Ok(None),
            Value::Int(value) => Ok(Some(value)),
            Value::Text(text) => Err(DbError::Row(format!("{text:?} is no number"))),
            Value::Bytes(_) => Err(DbError::Row("bytes are no number".to_owned())),
        }
    }

    /// The next column, a number that is not negative and fits.
    ///
    /// # Errors
    /// When it is none such.
    pub fn small(&mut self) -> Result<u32, DbError> {
        let value = self.int()?;
        u32::try_from(value).map_err(|_| DbError::Row(format!("{value} is out of range")))
    }

    /// The next column, 0 or 1.
    ///
    /// # Errors
    /// When it is no number.
    pub fn bool(&mut self) -> Result<bool, DbError> {
        Ok(self.int()? != 0)
    }

    /// The next column, a time.
    ///
    /// # Errors
    /// When it is none.
    pub fn time(&mut self) -> Result<Time, DbError> {
        Ok(Time(u64::try_from(self.int()?).unwrap_or(0)))
    }

    /// The next column, a time or NULL.
    ///
    /// # Errors
    /// When it is a text.
    pub fn maybe_time(&mut self) -> Result<Option<Time>, DbError> {
        Ok(self.maybe_int()?.map(|ms| Time(u64::try_from(ms).unwrap_or(0))))
    }

    /// The next column, a text.
    ///
    /// # Errors
    /// When it is none.
    pub fn text(&mut self) -> Result<String, DbError> {
        self.maybe_text()?.ok_or_else(|| DbError::Row("a text is missing".to_owned()))
    }

    /// The next column, a text or NULL.
    ///
    /// # Errors
    /// When it is a number.
    pub fn maybe_text(&mut self) -> Result<Option<String>, DbError> {
        match self.next()? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            Value::Int(value) => Err(DbError::Row(format!("{value} is no text"))),
            Value::Bytes(_) => Err(DbError::Row("bytes are no text".to_owned())),
        }
    }

    /// The next column, bytes.
    ///
    /// # Errors
    /// When it is something else.
    pub fn bytes(&mut self) -> Result<Vec<u8>, DbError> {
        match self.next()? {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(DbError::Row("bytes are missing".to_owned())),
        }
    }

    /// The next column, JSON.
    ///
    /// # Errors
    /// When it is not what is expected.
    pub fn json<T: DeserializeOwned>(&mut self) -> Result<T, DbError> {
        let text = self.text()?;
        serde_json::from_str(&text).map_err(|error| DbError::Row(error.to_string()))
    }

    /// The next column, JSON or NULL.
    ///
    /// # Errors
    /// When it is not what is expected.
    pub fn maybe_json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, DbError> {
        let Some(text) = self.maybe_text()? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|error| DbError::Row(error.to_string()))
    }

    /// The next column, a word that something is named by.
    ///
    /// # Errors
    /// When nothing is named so.
    pub fn word<T: DeserializeOwned>(&mut self) -> Result<T, DbError> {
        let text = self.text()?;
        serde_json::from_value(serde_json::Value::String(text))
            .map_err(|error| DbError::Row(error.to_string()))
    }
}
