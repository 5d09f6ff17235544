//! Payloads for people: JSON with a line for each of its parts, digit by digit as it was written.

use serde_json::value::RawValue;
use windlass_api::payload::{Encoding, Value, compact};
use windlass_core::bounds;

use super::words;

/// Bytes shown on a page; the whole of a larger one is for programs.
const SHOWN_BYTES_MOST: usize = 64 << 10;

/// Bytes as a page shows them.
pub(crate) struct Shown {
    pub(crate) text: String,
    pub(crate) encoding: &'static str,
    pub(crate) size: String,
    /// Whether only the beginning is shown.
    pub(crate) is_cut: bool,
}

impl Shown {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let whole = text(bytes);
        let cut = bounds::cut(&whole, SHOWN_BYTES_MOST);
        Self {
            is_cut: cut.len() < whole.len(),
            text: cut.to_owned(),
            encoding: encoding(bytes).as_str(),
            size: words::bytes(bytes.len()),
        }
    }
}

/// How to read the bytes; JSON over several lines is JSON for people.
pub(crate) fn encoding(bytes: &[u8]) -> Encoding {
    match Value::new(bytes) {
        Value::Text(text) if is_json(text) => Encoding::Json,
        value => value.encoding(),
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

/// The bytes as text: JSON in lines, other text as it is, anything else in base64.
pub(crate) fn text(bytes: &[u8]) -> String {
    match Value::new(bytes) {
        Value::Json(raw) => pretty(raw.get()),
        Value::Text(text) if is_json(text) => pretty(text),
        Value::Text(text) => text.to_owned(),
        Value::Base64(digits) => digits,
    }
}

/// Valid JSON with a line for each member and element, its tokens untouched: no number passes through a float.
fn pretty(json: &str) -> String {
    let tight = compact(json);
    let mut told = String::with_capacity(tight.len() * 2);
    let (mut depth, mut inside_string, mut escaped) = (0_usize, false, false);
    let mut chars = tight.chars().peekable();
    while let Some(c) = chars.next() {
        if inside_string {
            told.push(c);
            inside_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '"' => {
                inside_string = true;
                told.push(c);
            }
            '{' | '[' => {
                told.push(c);
                match chars.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => told.push(end),
                    None => {
                        depth += 1;
                        line(&mut told, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut told, depth);
                told.push(c);
            }
            ',' => {
                told.push(c);
                line(&mut told, depth);
            }
            ':' => told.push_str(": "),
            c => told.push(c),
        }
    }
    told
}

/// Deeper than this nothing is indented: a payload of brackets alone would grow by its square.
const DEPTH_SHOWN: usize = 40;

fn line(told: &mut String, depth: usize) {
    told.push('\n');
    for _ in 0..depth.min(DEPTH_SHOWN) {
        told.push_str("  ");
    }
}

/// The bytes that an edited text means: JSON is checked, and written without the white space that was for people.
///
/// # Errors
/// Where it is not JSON.
pub(crate) fn edited(text: &str) -> Result<Vec<u8>, String> {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) => Ok(compact(raw.get()).into_bytes()),
        Err(error) => Err(format!("this is not JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_a_line_for_each_part_and_keeps_every_digit() {
        let payload = br#"{"n":12345678901234567890123,"f":1.0,"a":[],"o":{},"l":[1,"a,\"b:{"]}"#;
        let told = text(payload);
        let lines = "{\n  \"n\": 12345678901234567890123,\n  \"f\": 1.0,\n  \"a\": [],\n  \"o\": {},\n  \"l\": [\n    1,\n    \"a,\\\"b:{\"\n  ]\n}";
        assert_eq!(told, lines);
        assert_eq!(edited(&told).expect("json"), payload);
        assert!(edited("{\"a\":}").expect_err("no json").contains("line 1"));
    }

    #[test]
    fn what_is_no_json_is_shown_as_it_is() {
        assert_eq!((text(b"hello <b>"), encoding(b"hello")), ("hello <b>".to_owned(), Encoding::Text));
        assert_eq!((text(&[0xff]), encoding(&[0xff])), ("/w==".to_owned(), Encoding::Base64));
        assert_eq!(
            (text(b"{\n\"a\":1}"), encoding(b"{\n\"a\":1}")),
            ("{\n  \"a\": 1\n}".to_owned(), Encoding::Json)
        );
        let shown = Shown::of(&vec![b'['; 200_000]);
        assert!(shown.is_cut && shown.text.len() == SHOWN_BYTES_MOST);
        assert!(text(format!("{}{}", "[".repeat(100), "]".repeat(100)).as_bytes()).len() < 20_000);
    }
}
