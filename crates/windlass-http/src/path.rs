//! Paths of requests: names stand in them as they are, keys behind a `~` and percent-encoded.
//!
//! Names are letters, digits and `. _ : -`, all of which a path may hold. A key is any text. Some clients and proxies take
//! a segment `..` for a way up even when its dots are encoded, so that the API has every key stand behind a `~`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What is encoded: all but RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One segment that holds a key, whatever is in it.
pub(crate) fn key(text: &str) -> String {
    format!("~{}", utf8_percent_encode(text, ENCODED))
}

/// The path with those of the parameters that have a value.
pub(crate) fn with_query(path: &str, pairs: &[(&str, Option<&str>)]) -> String {
    let said = pairs.iter().filter_map(|(name, value)| Some((name, (*value)?)));
    let said: Vec<String> =
        said.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, ENCODED))).collect();
    match said.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{}", said.join("&")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Uri;
    use percent_encoding::percent_decode_str;

    #[test]
    fn a_key_is_one_segment_and_comes_back_whole() {
        for text in ["../x/ü%", ".", "..", "a b+c", "~", "%2E%2E", "?#&=", "\u{1f600}"] {
            let segment = key(text);
            assert!(!segment.contains(['/', '?', '#', ' ', '+']), "{segment}");
            let uri: Uri = format!("http://h/v1/{segment}/settings").parse().expect("a URL");
            let parts: Vec<&str> = uri.path().split('/').collect();
            let ["", "v1", sent, "settings"] = parts[..] else { panic!("{uri}") };
            let decoded = percent_decode_str(sent).decode_utf8().expect("UTF-8");
            assert_eq!(decoded.strip_prefix('~'), Some(text));
        }
        assert_eq!(key("../x/ü%"), "~..%2Fx%2F%C3%BC%25");
    }

    #[test]
    fn a_parameter_without_a_value_is_not_said() {
        assert_eq!(with_query("/v1/limits", &[("after", None)]), "/v1/limits");
        let path = with_query("/v1/limits", &[("after", Some("a+b&c")), ("x", None), ("limit", Some("7"))]);
        assert_eq!(path, "/v1/limits?after=a%2Bb%26c&limit=7");
    }
}
