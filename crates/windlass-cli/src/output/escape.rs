//! Makes stored text safe to print: nothing in it can move a cursor, ring a bell, change a colour or reorder a line.

/// Text on one line: control characters (line ends and tabs too) and marks that reorder text become visible escapes.
pub(crate) fn line(text: &str) -> String {
    escaped(text, is_unsafe)
}

/// The same for text that may have several lines.
pub(crate) fn lines(text: &str) -> String {
    escaped(text, |c| c != '\n' && is_unsafe(c))
}

/// JSON escapes the first 32 control characters itself; the rest of them may only stand inside strings, where this
/// gives them their escape too.
pub(crate) fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// Text as one word of a shell, whatever is in it.
pub(crate) fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn escaped(text: &str, is_unsafe: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Control characters (C0, DEL, C1 with its one-byte CSI), line separators, and the marks that set the direction of
/// text, with which one line can be made to read as another.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_stored_can_drive_a_terminal() {
        let hostile = "a\u{1b}[2Jb\rc\nd\te\u{9b}31mf\u{7}g\u{202e}h\u{7f}";
        assert_eq!(line(hostile), "a\\u{1b}[2Jb\\rc\\nd\\te\\u{9b}31mf\\u{7}g\\u{202e}h\\u{7f}");
        assert!(lines(hostile).contains('\n'));
        assert_eq!(line("Öl — 東京 ✓"), "Öl — 東京 ✓");
    }

    #[test]
    fn a_word_of_a_shell_is_what_was_written() {
        for text in ["redis://h?a=1&namespace=n", "file:./it's $HOME", "two words", ""] {
            let script = format!("printf %s {}", word(text));
            let said = std::process::Command::new("sh").args(["-c", &script]).output().expect("a shell");
            assert_eq!(String::from_utf8_lossy(&said.stdout), text);
        }
    }

    #[test]
    fn escaped_json_is_the_same_json() {
        let value = serde_json::json!({ "text": "a\u{1b}\u{9b}\u{202e}\u{7f}\n" });
        let text = json(&value.to_string());
        assert!(text.chars().all(|c| !is_unsafe(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("still JSON"), value);
    }
}
