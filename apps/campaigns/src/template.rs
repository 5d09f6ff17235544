//! Message templates: a text with variables, and nothing that can loop, branch or fail half-way.
//!
//! [`Template::parse`] reads the text once, with the place of every mistake; [`Template::render`] either gives the
//! whole message or names every variable that is missing, so that no "Hi ," is ever sent. [`lint`] says before the
//! launch what recipients, carriers and the law would say after it, and [`sms`] counts what a text message costs.
//!
//! The parser is our own, a page long. An engine with expressions (minijinja, tera, handlebars) would let a sales
//! person's template loop, call a filter that does not exist, or print an empty string for a name that is spelled
//! wrongly; with those gone, what is left of an engine is this page, and its mistakes can be told in plain words.
//!
//! It knows nothing of contacts as rows and of channels' wire formats: values come in as [`Values`], and TwiML or a
//! MIME part is made by the channel. The user's view is docs/templates.md.

mod lint;
mod parse;
mod render;
pub mod sms;
mod variable;

#[cfg(test)]
mod tests;

pub use lint::{Code, Draft, Finding, Part, Severity, lint};
pub use parse::{MAX_TEMPLATE_BYTES, TemplateError};
pub use render::{MAX_RENDERED_BYTES, Mode, RenderError, Values};
pub use variable::{BadVariable, KNOWN, Known, Source, Variable, field_name, is_field_name};

use std::fmt;

/// A parsed template: literal text and variables in turn.
///
/// Its `Display` is template text again, and parsing that gives an equal template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

/// Two pieces of text never follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Hole { variable: Variable, default: Option<String> },
}

impl Template {
    /// Every variable once, in the order of its first use.
    pub fn variables(&self) -> Vec<&Variable> {
        self.distinct(|_| true)
    }

    /// The variables that some use leaves without a default: a contact that lacks one cannot be sent to.
    pub fn required(&self) -> Vec<&Variable> {
        self.distinct(|default| default.is_none())
    }

    fn distinct(&self, wanted: impl Fn(&Option<String>) -> bool) -> Vec<&Variable> {
        let mut met = std::collections::HashSet::new();
        let holes = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Hole { variable, default } if wanted(default) => Some(variable),
            Piece::Hole { .. } | Piece::Text(_) => None,
        });
        holes.filter(|variable| met.insert(*variable)).collect()
    }

    /// Whether `variable` is used at least once.
    pub fn uses(&self, variable: &str) -> bool {
        self.variables().iter().any(|used| used.as_str() == variable)
    }

    /// The literal text between the variables.
    fn texts(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Hole { .. } => None,
        })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, piece) in self.pieces.iter().enumerate() {
            match piece {
                Piece::Text(text) => {
                    let before_hole = matches!(self.pieces.get(at + 1), Some(Piece::Hole { .. }));
                    write_text(f, text, before_hole)?;
                }
                Piece::Hole { variable, default: None } => write!(f, "{{{{{variable}}}}}")?,
                Piece::Hole { variable, default: Some(default) } => {
                    write!(f, "{{{{{variable}|")?;
                    for c in default.chars() {
                        if matches!(c, '\\' | '{' | '}') {
                            f.write_str("\\")?;
                        }
                        write!(f, "{c}")?;
                    }
                    f.write_str("}}")?;
                }
            }
        }
        Ok(())
    }
}

/// Writes literal text so that the parser reads exactly it: backslashes count only in front of a brace.
fn write_text(f: &mut fmt::Formatter<'_>, text: &str, before_hole: bool) -> fmt::Result {
    let mut chars = text.chars().peekable();
    let mut backslashes = 0;
    while let Some(c) = chars.next() {
        if c == '\\' {
            backslashes += 1;
            continue;
        }
        let doubled = if c == '{' { 2 * backslashes } else { backslashes };
        f.write_str(&"\\".repeat(std::mem::take(&mut backslashes).max(doubled)))?;
        let opens = match chars.peek() {
            Some(next) => *next == '{',
            None => before_hole,
        };
        f.write_str(if c == '{' && opens { "\\" } else { "" })?;
        write!(f, "{c}")?;
    }
    f.write_str(&"\\".repeat(if before_hole { 2 * backslashes } else { backslashes }))
}
