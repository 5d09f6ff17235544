//! A mail as a person reads it: header fields without their encoding, and the texts of its parts.
//!
//! It reads what senders usually write (RFC 2045 to 2047): quoted-printable, base64, multipart to a small depth. What
//! it cannot read it shows as it came.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::Serialize;

/// The most parts that are shown, and how deep they may lie.
const MAX_PARTS: usize = 50;
const MAX_DEPTH: usize = 5;

/// One part of a mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Part {
    pub(super) content_type: String,
    pub(super) text: String,
}

/// The header's fields, unfolded and decoded, and the rest.
pub(super) fn split(raw: &[u8]) -> (Vec<(String, String)>, &[u8]) {
    let end = raw.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    // A mail may begin with its empty line, or have no body.
    let (header, body) = match end {
        _ if raw.starts_with(b"\r\n") => (&raw[..0], &raw[2..]),
        Some(end) => (&raw[..end + 2], &raw[end + 4..]),
        None => (raw, &raw[raw.len()..]),
    };
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in String::from_utf8_lossy(header).split("\r\n") {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    for (_, value) in &mut fields {
        *value = decoded_words(value);
    }
    (fields, body)
}

/// The first field of that name.
pub(super) fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// The texts of a mail.
pub(super) fn parts(raw: &[u8]) -> Vec<Part> {
    let mut parts = Vec::new();
    collect(raw, 0, &mut parts);
    parts
}

fn collect(raw: &[u8], depth: usize, parts: &mut Vec<Part>) {
    let (fields, body) = split(raw);
    let content_type = field(&fields, "Content-Type").unwrap_or("text/plain").to_owned();
    if let Some(boundary) = boundary(&content_type).filter(|_| depth < MAX_DEPTH) {
        for part in pieces(body, &boundary) {
            if parts.len() < MAX_PARTS {
                collect(part, depth + 1, parts);
            }
        }
        return;
    }
    let encoding = field(&fields, "Content-Transfer-Encoding").unwrap_or_default().to_ascii_lowercase();
    let bytes = match encoding.as_str() {
        "quoted-printable" => quoted_printable(body, false),
        "base64" => {
            let packed: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
            BASE64.decode(packed).unwrap_or_else(|_| body.to_vec())
        }
        _ => body.to_vec(),
    };
    parts.push(Part { content_type, text: String::from_utf8_lossy(&bytes).into_owned() });
}

fn boundary(content_type: &str) -> Option<String> {
    if !content_type.to_ascii_lowercase().starts_with("multipart/") {
        return None;
    }
    let parameter = content_type.split(';').map(str::trim).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"').to_owned())
    })?;
    (!parameter.is_empty()).then_some(parameter)
}

fn pieces<'a>(body: &'a [u8], boundary: &str) -> Vec<&'a [u8]> {
    let mark = format!("--{boundary}");
    let mut pieces = Vec::new();
    let (mut at, mut begun) = (0, None);
    while at < body.len() {
        let end = body[at..].iter().position(|byte| *byte == b'\n').map_or(body.len(), |end| at + end + 1);
        let line = body[at..end].trim_ascii_end();
        if line.starts_with(mark.as_bytes()) {
            if let Some(from) = begun {
                // The line end before a boundary belongs to the boundary.
                pieces.push(body[from..at].strip_suffix(b"\r\n").unwrap_or(&body[from..at]));
            }
            if line.ends_with(b"--") && line.len() == mark.len() + 2 {
                return pieces;
            }
            begun = Some(end);
        }
        at = end;
    }
    pieces
}

fn quoted_printable(text: &[u8], underscores: bool) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            b'_' if underscores => plain.push(b' '),
            b'=' if text[at..].starts_with(b"\r\n") => at += 2,
            b'=' => match text.get(at..at + 2).and_then(hex) {
                Some(decoded) => {
                    plain.push(decoded);
                    at += 2;
                }
                None => plain.push(byte),
            },
            byte => plain.push(byte),
        }
    }
    plain
}

fn hex(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// `=?utf-8?b?...?=` as what it means (RFC 2047); the blanks between two such words are no blanks.
fn decoded_words(value: &str) -> String {
    let mut plain = String::new();
    let mut last_was_word = false;
    for word in value.split_inclusive(' ') {
        let bare = word.trim_end();
        let decoded = bare.strip_prefix("=?").and_then(|word| word.strip_suffix("?=")).and_then(|word| {
            let mut fields = word.splitn(3, '?');
            let (_, encoding, text) = (fields.next()?, fields.next()?, fields.next()?);
            let bytes = match encoding {
                "b" | "B" => BASE64.decode(text).ok()?,
                "q" | "Q" => quoted_printable(text.as_bytes(), true),
                _ => return None,
            };
            Some(String::from_utf8_lossy(&bytes).into_owned())
        });
        let is_word = decoded.is_some();
        if is_word && last_was_word && plain.ends_with(' ') {
            plain.pop();
        }
        plain.push_str(decoded.as_deref().unwrap_or(bare));
        plain.push_str(&word[bare.len()..]);
        last_was_word = is_word;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_shown_as_it_was_meant() {
        let raw = b"Subject: =?utf-8?b?R3LDvMOf?= =?utf-8?q?e_und=21?= more\r\nX-Long: a\r\n\tb\r\n\
            Content-Type: multipart/alternative; boundary=\"b1\"\r\n\r\npreamble\r\n--b1\r\n\
            Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=\r\n=C3=9Fe\r\n--b1\r\n\
            Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+\r\naGk8L2I+\r\n--b1--\r\nend";
        let (fields, _) = split(raw);
        assert_eq!(field(&fields, "subject"), Some("Gr\u{fc}\u{df}e und! more"));
        assert_eq!(field(&fields, "x-long"), Some("a b"));
        let texts: Vec<(String, String)> =
            parts(raw).into_iter().map(|part| (part.content_type, part.text)).collect();
        assert_eq!(
            texts,
            [
                ("text/plain".to_owned(), "Gr\u{fc}\u{df}e".to_owned()),
                ("text/html".to_owned(), "<b>hi</b>".to_owned())
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_shown_as_it_came() {
        for raw in [
            &b""[..],
            b"\r\n",
            b"no header",
            b"a: b",
            b"\xff\xfe: x\r\n\r\n\xff",
            b"Content-Type: multipart/x; boundary=\r\n\r\nx",
        ] {
            parts(raw);
        }
        assert_eq!(parts(b"Content-Transfer-Encoding: base64\r\n\r\n???")[0].text, "???");
        assert_eq!(parts(b"Content-Transfer-Encoding: quoted-printable\r\n\r\na=zz=")[0].text, "a=zz=");
        assert_eq!(parts(b"\r\nbody")[0].text, "body");
    }
}
