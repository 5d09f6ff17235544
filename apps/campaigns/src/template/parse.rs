//! Template text to [`Template`], in one pass.
//!
//! The whole syntax: `{{name}}`, `{{name|default}}`, and a backslash in front of a brace. Backslashes elsewhere are
//! themselves, so that `C:\temp` needs no thought; in front of a `{`, `\{` is a brace and `\\` a backslash. Within a
//! default, `\}`, `\{` and `\\` stand for the character. What other engines have beyond that is refused with a hint.

use serde::Serialize;
use thiserror::Error;

use super::{Piece, Template, Variable, field_name};

/// The longest template, in bytes: more than twice what mail programs show before they cut a message.
pub const MAX_TEMPLATE_BYTES: usize = 256 * 1024;
/// How much of a wrong name an error shows.
const SHOWN_CHARS: usize = 40;

/// A template that cannot be understood, with the place and a way out.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[error("line {line}, column {column}: {what}; {hint}")]
pub struct TemplateError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

/// A mistake at a byte of the text.
struct Mistake {
    at: usize,
    what: String,
    hint: String,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// With the first mistake: a variable that is not closed or not a name, something other than a variable in double
    /// braces, a control character, or more than [`MAX_TEMPLATE_BYTES`].
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let checked = check_text(text).and_then(|()| pieces(text));
        match checked {
            Ok(pieces) => Ok(Self { pieces }),
            Err(Mistake { at, what, hint }) => {
                let before = &text[..at];
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
                Err(TemplateError { line, column, what, hint })
            }
        }
    }
}

impl std::str::FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        Self::parse(text)
    }
}

fn check_text(text: &str) -> Result<(), Mistake> {
    if text.len() > MAX_TEMPLATE_BYTES {
        return mistake(
            0,
            format!("the text has {} bytes and may have {MAX_TEMPLATE_BYTES}", text.len()),
            "put pictures on a web server and link to them",
        );
    }
    let control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    match text.char_indices().find(|(_, c)| control(*c)) {
        Some((at, c)) => mistake(
            at,
            format!("an invisible control character (U+{:04X})", u32::from(c)),
            "delete it, or paste the text again as plain text",
        ),
        None => Ok(()),
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, Mistake> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut at = 0;
    while let Some(found) = text[at..].find(['\\', '{']) {
        literal.push_str(&text[at..at + found]);
        at += found;
        let rest = &text[at..];
        let backslashes = rest.len() - rest.trim_start_matches('\\').len();
        if backslashes > 0 {
            let before_brace = rest[backslashes..].starts_with('{');
            let kept = if before_brace { backslashes / 2 } else { backslashes };
            literal.push_str(&rest[..kept]);
            at += backslashes;
            if before_brace && backslashes % 2 == 1 {
                literal.push('{');
                at += 1;
            }
        } else if rest.starts_with("{{") {
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            let (hole, used) = hole(rest, at)?;
            pieces.push(hole);
            at += used;
        } else {
            literal.push('{');
            at += 1;
        }
    }
    literal.push_str(&text[at..]);
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(pieces)
}

/// The variable at the start of `rest`, and how many bytes it takes.
fn hole(rest: &str, at: usize) -> Result<(Piece, usize), Mistake> {
    let inside = &rest[2..];
    let line = inside.split(['\n', '\r']).next().unwrap_or_default();
    let name_ends = line.find('|').unwrap_or(line.len()).min(line.find("}}").unwrap_or(line.len()));
    let Some(after) = line.get(name_ends..).filter(|after| !after.is_empty()) else {
        return mistake(
            at,
            "the variable that opens here is not closed on its line",
            "end it with }}, or write \\{{ for two braces as they are",
        );
    };
    let variable = name(&line[..name_ends], at)?;
    if after.starts_with("}}") {
        return Ok((Piece::Hole { variable, default: None }, 2 + name_ends + 2));
    }
    let (default, used) = default(&after[1..], at)?;
    Ok((Piece::Hole { variable, default: Some(default) }, 2 + name_ends + 1 + used))
}

fn name(written: &str, at: usize) -> Result<Variable, Mistake> {
    let trimmed = written.trim();
    let no_logic = "templates have variables and defaults only, as in {{first_name|there}}";
    if trimmed.is_empty() {
        return mistake(at, "a variable without a name", "write one, as in {{first_name}}");
    }
    Variable::parse(trimmed).or_else(|_| {
        let what = format!("{:?} is not the name of a variable", shown(trimmed));
        let first = trimmed.split_whitespace().next().unwrap_or_default();
        let logic = matches!(first, "if" | "else" | "endif" | "for" | "each" | "unless" | "end" | "include");
        match field_name(trimmed) {
            _ if logic || trimmed.starts_with(['#', '/', '^', '>', '!', '&', '{', '%', '=']) => {
                mistake(at, what, no_logic)
            }
            Some(meant) => {
                mistake(at, what, &format!("a name has no spaces or signs; did you mean {{{{{meant}}}}}?"))
            }
            None => mistake(at, what, no_logic),
        }
    })
}

/// The default in front of the first `}}`, and how many bytes it takes with them.
fn default(rest: &str, at: usize) -> Result<(String, usize), Mistake> {
    let Some(end) = end_of_default(rest) else {
        return mistake(
            at,
            "the default of the variable that opens here is not closed",
            "end it with }}; a default stands on one line",
        );
    };
    let raw = rest[..end].trim();
    let mut default = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some(&escaped @ ('\\' | '{' | '}'))) => {
                default.push(escaped);
                chars.next();
            }
            ('{', Some('{')) => {
                return mistake(
                    at,
                    "a variable within the default of another",
                    "a default is plain text; write \\{ for a brace",
                );
            }
            _ => default.push(c),
        }
    }
    Ok((default, end + 2))
}

fn end_of_default(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let mut at = 0;
    loop {
        match (bytes.get(at)?, bytes.get(at + 1)) {
            (b'\\', Some(b'\\' | b'{' | b'}')) => at += 2,
            (b'}', Some(b'}')) => return Some(at),
            (b'\n' | b'\r', _) => return None,
            _ => at += 1,
        }
    }
}

fn mistake<T>(at: usize, what: impl Into<String>, hint: &str) -> Result<T, Mistake> {
    Err(Mistake { at, what: what.into(), hint: hint.to_owned() })
}

/// The start of something that may be long.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
