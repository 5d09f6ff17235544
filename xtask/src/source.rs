//! The code of a Rust file without its comments and string literals.
//!
//! The tidy rules look for words in code. A comment that explains why nothing sleeps, or a test that holds the word in a
//! string, is not code; both are blanked here, with line breaks kept so that line numbers stay true. Not a parser: it
//! knows where comments, strings and characters begin and end, and nothing else.

/// `text` with every comment, string and character literal replaced by blanks.
pub(crate) fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    let mut after_word = false;
    while let Some(first) = rest.chars().next() {
        let blanked = blanked_length(rest, after_word);
        let (piece, tail) = rest.split_at(blanked.unwrap_or(first.len_utf8()));
        if blanked.is_some() {
            code.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            code.push(first);
        }
        after_word = blanked.is_none() && (first.is_alphanumeric() || first == '_');
        rest = tail;
    }
    code
}

/// How many bytes at the start of `rest` are a comment or a literal; none when code goes on.
///
/// `after_word` tells that the byte before belongs to a name, where an `r` cannot open a raw string.
fn blanked_length(rest: &str, after_word: bool) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment_length(rest));
    }
    if rest.starts_with('"') {
        return Some(quoted_length(rest, '"'));
    }
    if rest.starts_with('\'') {
        return character_length(rest);
    }
    if after_word { None } else { raw_string_length(rest) }
}

/// Block comments nest in Rust, so the first `*/` need not be the end.
fn block_comment_length(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0_usize);
    while let Some(tail) = rest.get(at..).filter(|tail| !tail.is_empty()) {
        if tail.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if tail.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += tail.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn quoted_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// A quote opens a character only when it also closes after one character or one escape; otherwise it is a lifetime.
fn character_length(rest: &str) -> Option<usize> {
    let mut inside = rest.char_indices().skip(1);
    let (_, first) = inside.next()?;
    if first == '\\' {
        return Some(quoted_length(rest, '\''));
    }
    let (at, second) = inside.next()?;
    (second == '\'').then_some(at + 1)
}

fn raw_string_length(rest: &str) -> Option<usize> {
    let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
        rest.strip_prefix(prefix).is_some_and(|tail| tail.trim_start_matches('#').starts_with('"'))
    })?;
    let tail = &rest[prefix.len()..];
    let hashes = tail.len() - tail.trim_start_matches('#').len();
    let close = format!("\"{}", "#".repeat(hashes));
    let opened = prefix.len() + hashes + 1;
    Some(rest[opened..].find(&close).map_or(rest.len(), |at| opened + at + close.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left, with every run of blanks shown as one: how wide a blank is matters to nobody.
    fn left_of(text: &str) -> String {
        code_only(text).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn code_stays_as_it_is() {
        let text = "fn f<'a>(x: &'a str) -> r#type { x.len() / 2 }\n";
        assert_eq!(code_only(text), text);
    }

    #[test]
    fn comments_are_blanked_and_lines_are_kept() {
        assert_eq!(code_only("a // gone\nb"), "a        \nb");
        assert_eq!(code_only("a /* x /* y */ \n z */ b"), "a              \n      b");
        assert_eq!(left_of("a /* open"), "a");
    }

    #[test]
    fn strings_are_blanked_whatever_they_contain() {
        assert_eq!(left_of(r#"f("a \" // b") + g"#), "f( ) + g");
        assert_eq!(left_of(r###"f(r#"a " b"#) + g"###), "f( ) + g");
        assert_eq!(left_of("f(br\"a\\\") + g"), "f( ) + g");
        assert_eq!(left_of("f(\"é\n\") + g"), "f( ) + g");
        assert_eq!(left_of("bar\"x\"z"), "bar z");
    }

    #[test]
    fn a_quote_is_a_character_or_a_lifetime() {
        assert_eq!(left_of(r"['x', '\'', '\u{1F600}', b'\\', 'é'] // x"), "[ , , , b , ]");
        assert_eq!(left_of("['\"'] // x"), "[ ]");
        assert_eq!(left_of("'label: loop {}"), "'label: loop {}");
    }
}
