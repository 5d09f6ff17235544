//! Payloads: where they come from (the argument itself, `@file`, `-`) and how they are shown.
//!
//! A payload is bytes; by default it is JSON, and a payload that was meant to be JSON and is not is nearly always a
//! quoting mistake of the shell, so it is refused unless `--raw` says that the bytes are meant.

use std::io::Read;

use serde_json::value::RawValue;
use windlass_core::bounds::PAYLOAD_BYTES_MAX;

use crate::fault::Fault;

/// What a job without a payload argument carries: an object, because most kinds decode one.
const EMPTY: &str = "{}";

/// The bytes that the argument means.
///
/// # Errors
/// When the file cannot be read, holds more than a payload may, or is not JSON and `raw` is not set.
pub(crate) fn read(argument: Option<&str>, raw: bool) -> Result<Vec<u8>, Fault> {
    let (bytes, what) = match argument {
        None => (EMPTY.as_bytes().to_vec(), "payload".to_owned()),
        Some("-") => (read_bounded(std::io::stdin().lock(), "stdin")?, "stdin".to_owned()),
        Some(text) => match text.strip_prefix('@') {
            Some(path) => {
                let file = std::fs::File::open(path).map_err(|error| Fault::file(path, &error))?;
                (read_bounded(file, path)?, path.to_owned())
            }
            None => (text.as_bytes().to_vec(), "payload".to_owned()),
        },
    };
    if !raw && let Err(error) = serde_json::from_slice::<&RawValue>(&bytes) {
        return Err(Fault::usage(format!("{what} is not JSON: {error}")).next(
            "quote it for the shell ('{\"to\":\"a@b.c\"}'), or pass --raw to send the bytes as they are",
        ));
    }
    Ok(bytes)
}

/// Reads one byte more than is allowed, so that a payload that is too long is told from one that just fits.
fn read_bounded(from: impl Read, what: &str) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    from.take(PAYLOAD_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Fault::file(what, &error))?;
    if bytes.len() > PAYLOAD_BYTES_MAX {
        return Err(
            Fault::usage(format!("{what}: more than 1 MiB")).next("store it elsewhere and pass its address")
        );
    }
    Ok(bytes)
}

/// Bytes as JSON shows them: the value they hold, or a string with [`Shown::encoding`] beside it.
#[derive(Debug, serde::Serialize)]
#[serde(untagged)]
pub(crate) enum Shown {
    /// The bytes are JSON; this is it, without white space between its parts, numbers as they were written.
    Json(Box<RawValue>),
    /// The bytes are UTF-8.
    Text(String),
    /// Anything else, as hexadecimal digits.
    Hex(String),
}

impl Shown {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Shown::Hex(bytes.iter().map(|byte| format!("{byte:02x}")).collect());
        };
        let value = serde_json::from_str::<&RawValue>(text).ok().map(|raw| compact(raw.get()));
        match value.and_then(|compact| RawValue::from_string(compact).ok()) {
            Some(value) => Shown::Json(value),
            None => Shown::Text(text.to_owned()),
        }
    }

    /// How to read the value: `json`, `text` or `hex`.
    pub(crate) fn encoding(&self) -> &'static str {
        match self {
            Shown::Json(_) => "json",
            Shown::Text(_) => "text",
            Shown::Hex(_) => "hex",
        }
    }

    /// The same for people.
    pub(crate) fn text(&self) -> String {
        match self {
            Shown::Json(value) => value.get().to_owned(),
            Shown::Text(text) => text.clone(),
            Shown::Hex(digits) => format!("0x{digits}"),
        }
    }
}

/// Valid JSON without white space outside its strings, so that one object stays on one line.
pub(crate) fn compact(json: &str) -> String {
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
    fn json_keeps_its_digits_and_loses_its_white_space() {
        let shown =
            Shown::new(b"{ \"n\" : 12345678901234567890123,\n \"s\": \"a \\\" b\\\\\" , \"t\": 1.0 }");
        assert_eq!(shown.text(), r#"{"n":12345678901234567890123,"s":"a \" b\\","t":1.0}"#);
    }

    #[test]
    fn what_is_not_json_is_text_and_what_is_not_text_is_hexadecimal() {
        for (bytes, encoding, json) in [
            (&b"hello"[..], "text", r#""hello""#),
            (&[0xff, 0x00], "hex", r#""ff00""#),
            (b"[1, 2]", "json", "[1,2]"),
        ] {
            let shown = Shown::new(bytes);
            assert_eq!(shown.encoding(), encoding);
            assert_eq!(serde_json::to_string(&shown).expect("json"), json);
        }
    }

    #[test]
    fn a_payload_that_is_not_json_is_refused_unless_raw() {
        assert!(read(Some("{to:1}"), false).expect_err("not JSON").next.expect("advice").contains("--raw"));
        assert_eq!(read(Some("{to:1}"), true).expect("raw"), b"{to:1}");
        assert_eq!(read(None, false).expect("empty"), b"{}");
        assert!(read(Some("@/no/such/file"), false).expect_err("no file").message.contains("/no/such/file"));
    }
}
