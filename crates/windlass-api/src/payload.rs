//! Bytes in JSON: a payload is opaque bytes, and nearly always JSON itself.
//!
//! What is shown has an encoding beside it, by which exactly the same bytes are read back:
//!
//! | encoding | the value is |
//! |---|---|
//! | `json` | the JSON that the bytes are, digit by digit as they were written |
//! | `text` | a string: the bytes are UTF-8, and not JSON on one line |
//! | `base64` | a string: the bytes in base64 (RFC 4648, with padding) |

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// How a value holds its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// The bytes are the value's own JSON.
    #[default]
    Json,
    /// The bytes are the string's UTF-8.
    Text,
    /// The bytes are what the string is the base64 of.
    Base64,
}

impl Encoding {
    /// The encoding's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Encoding::Json => "json",
            Encoding::Text => "text",
            Encoding::Base64 => "base64",
        }
    }

    /// Whether it goes without saying.
    pub fn is_json(&self) -> bool {
        *self == Encoding::Json
    }
}

/// Bytes on their way into JSON.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// They are JSON.
    Json(&'a RawValue),
    /// They are UTF-8.
    Text(&'a str),
    /// They are anything.
    Base64(String),
}

impl<'a> Value<'a> {
    /// Bytes as JSON can say them so that they can be read back.
    pub fn new(bytes: &'a [u8]) -> Self {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Value::Base64(STANDARD.encode(bytes));
        };
        // JSON over several lines would break those who read one object a line.
        let one_line = !text.contains(['\n', '\r']);
        match serde_json::from_str::<&RawValue>(text) {
            Ok(raw) if one_line && raw.get().len() == text.len() => Value::Json(raw),
            _ => Value::Text(text),
        }
    }

    /// How to read it back.
    pub fn encoding(&self) -> Encoding {
        match self {
            Value::Json(_) => Encoding::Json,
            Value::Text(_) => Encoding::Text,
            Value::Base64(_) => Encoding::Base64,
        }
    }

    /// The same for people: JSON without white space between its parts.
    pub fn text(&self) -> String {
        match self {
            Value::Json(raw) => compact(raw.get()),
            Value::Text(text) => match serde_json::from_str::<&RawValue>(text) {
                Ok(raw) => compact(raw.get()),
                Err(_) => (*text).to_owned(),
            },
            Value::Base64(digits) => format!("base64:{digits}"),
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Json(raw) => raw.serialize(to),
            Value::Text(text) => to.serialize_str(text),
            Value::Base64(digits) => to.serialize_str(digits),
        }
    }
}

/// A value and its encoding.
pub fn show(bytes: &[u8]) -> (Cow<'_, RawValue>, Encoding) {
    let value = Value::new(bytes);
    let encoding = value.encoding();
    let raw = match value {
        Value::Json(raw) => Cow::Borrowed(raw),
        // A string is always JSON.
        other => Cow::Owned(serde_json::value::to_raw_value(&other).unwrap_or_default()),
    };
    (raw, encoding)
}

/// The same for bytes that may be missing.
pub fn show_some(bytes: Option<&[u8]>) -> (Option<Cow<'_, RawValue>>, Option<Encoding>) {
    bytes.map(show).unzip()
}

/// The bytes that a value means.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn read(value: &RawValue, encoding: Encoding) -> Result<Vec<u8>, String> {
    if encoding == Encoding::Json {
        return Ok(value.get().as_bytes().to_vec());
    }
    let text: Cow<'_, str> = serde_json::from_str(value.get())
        .map_err(|_| format!("is said to be {}, so it must be a string", encoding.as_str()))?;
    match encoding {
        Encoding::Base64 => {
            STANDARD.decode(text.as_bytes()).map_err(|error| format!("is not base64: {error}"))
        }
        _ => Ok(text.into_owned().into_bytes()),
    }
}

/// The same for a value that may be missing; without a word it is JSON, and a `null` without a word is no value.
///
/// # Errors
/// As [`read`].
pub fn read_some(value: Option<&RawValue>, encoding: Option<Encoding>) -> Result<Option<Vec<u8>>, String> {
    let value = value.filter(|value| encoding.is_some() || !is_null(value));
    value.map(|value| read(value, encoding.unwrap_or_default())).transpose()
}

fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

/// The encoding where it has to be said: it is not JSON, or without a word the value would pass for none.
pub fn said(value: Option<&RawValue>, encoding: Option<Encoding>) -> Option<Encoding> {
    encoding.filter(|encoding| !encoding.is_json() || value.is_some_and(is_null))
}

/// Reads a value that is there, `null` too, which a plain `Option` would take for none.
///
/// # Errors
/// The deserializer's.
pub fn present<'de, 'a, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Cow<'a, RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(from).map(|value| Some(Cow::Owned(value)))
}

/// [`present`] for values that are owned.
///
/// # Errors
/// The deserializer's.
pub fn present_owned<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(from).map(Some)
}

/// A value for people.
pub fn text(value: &RawValue, encoding: Encoding) -> String {
    match read(value, encoding) {
        Ok(bytes) => Value::new(&bytes).text(),
        Err(_) => value.get().to_owned(),
    }
}

/// Valid JSON without white space outside its strings, so that one object stays on one line.
pub fn compact(json: &str) -> String {
    let mut inside_string = false;
    let mut escaped = false;
    json.chars()
        .filter(|c| {
            let keep = inside_string || !c.is_ascii_whitespace();
            match c {
                '"' if !escaped => inside_string = !inside_string,
                _ => {}
            }
            escaped = inside_string && !escaped && *c == '\\';
            keep
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_back_exactly_as_they_were() {
        for (bytes, encoding) in [
            (&b"{\"n\": 12345678901234567890123, \"t\":1.0}"[..], Encoding::Json),
            (b"[1, 2]", Encoding::Json),
            (b"\"\\ud800\"", Encoding::Json),
            (b"null", Encoding::Json),
            (b"hello", Encoding::Text),
            (b"", Encoding::Text),
            (b" {}", Encoding::Text),
            (b"{\n\"a\": 1\n}", Encoding::Text),
            (&[0xff, 0x00], Encoding::Base64),
        ] {
            let (value, said) = show(bytes);
            assert_eq!(said, encoding, "{bytes:?}");
            assert_eq!(read(&value, said).expect("its own value"), bytes);
            assert!(!value.get().contains('\n'));
        }
    }

    #[test]
    fn people_see_json_without_white_space_between_its_parts() {
        let shown =
            Value::new(b"{ \"n\" : 12345678901234567890123,\n \"s\": \"a \\\" b\\\\\" , \"t\": 1.0 }");
        assert_eq!(shown.text(), r#"{"n":12345678901234567890123,"s":"a \" b\\","t":1.0}"#);
        assert_eq!(Value::new(b"hello").text(), "hello");
        assert_eq!(Value::new(&[0xff]).text(), "base64:/w==");
    }

    #[test]
    fn a_value_that_is_not_what_it_is_said_to_be_is_refused() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).expect("json");
        assert!(read(&raw("{}"), Encoding::Text).expect_err("no string").contains("string"));
        assert!(read(&raw("\"???\""), Encoding::Base64).expect_err("no base64").contains("base64"));
    }
}
