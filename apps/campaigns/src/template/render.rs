//! A template and one contact's values make one message, or the list of what is missing.
//!
//! A value that is empty or only blanks is missing: an empty first name reads as badly as none. Values are data,
//! never template text: braces in them stay braces, and in HTML they are escaped. TwiML is escaped by the channel.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::Value;
use thiserror::Error;

use super::{Piece, Template, Variable, field_name};

/// The longest message, in bytes; a template at its bound whose values are long stops here.
pub const MAX_RENDERED_BYTES: usize = 1024 * 1024;

/// What the text is for, and so how values are written into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The text of a mail, a text message, spoken words: values as they are, without control characters.
    Text,
    /// One line, such as a subject: line breaks and tabs become spaces, so that no value starts a header of its own.
    Line,
    /// HTML: values and defaults are escaped for text and for quoted attributes. They are not safe within scripts,
    /// styles and unquoted attributes, and [`super::lint`] refuses the last.
    Html,
}

/// Why there is no message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RenderError {
    /// The contact lacks values, and the template has no defaults for them.
    #[error("no value and no default for {}", names(.0))]
    Missing(
        /// Each variable once, in the order of its use.
        Vec<Variable>,
    ),
    /// The message would be longer than [`MAX_RENDERED_BYTES`].
    #[error(
        "the message is longer than {MAX_RENDERED_BYTES} bytes; shorten the template or the contact's fields"
    )]
    TooLong,
}

fn names(variables: &[Variable]) -> String {
    variables.iter().map(Variable::as_str).collect::<Vec<_>>().join(", ")
}

/// What the variables of one message stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values(BTreeMap<String, String>);

impl Values {
    /// No values.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the value of a variable, such as `first_name` or `sender.name`; blanks around it do not count.
    ///
    /// A name that no template can write is kept and never asked for.
    pub fn set(&mut self, variable: &str, value: impl Into<String>) -> &mut Self {
        self.0.insert(variable.to_lowercase(), value.into());
        self
    }

    /// Sets a contact's free fields, each as `field.` and its name in the form of [`field_name`].
    ///
    /// Numbers and truth values are written as JSON writes them, lists with commas; `null` and objects are no values.
    pub fn set_fields(&mut self, fields: &serde_json::Map<String, Value>) -> &mut Self {
        for (heading, value) in fields {
            if let (Some(name), Some(value)) = (field_name(heading), text_of(value)) {
                self.0.insert(format!("field.{name}"), value);
            }
        }
        self
    }

    /// The value of a variable, without blanks around it; `None` when nothing is left.
    pub fn get(&self, variable: &Variable) -> Option<Cow<'_, str>> {
        let given = |name: &str| self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
        match given(variable.as_str()) {
            Some(value) => Some(Cow::Borrowed(value)),
            None if variable.as_str() == "name" => match (given("first_name"), given("last_name")) {
                (Some(first), Some(last)) => Some(Cow::Owned(format!("{first} {last}"))),
                (Some(only), None) | (None, Some(only)) => Some(Cow::Borrowed(only)),
                (None, None) => None,
            },
            None => None,
        }
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Array(items) => Some(items.iter().filter_map(text_of).collect::<Vec<_>>().join(", ")),
        Value::Null | Value::Object(_) => None,
    }
}

impl Template {
    /// The whole message.
    ///
    /// # Errors
    /// When a variable has neither value nor default, or the message would be too long.
    pub fn render(&self, values: &Values, mode: Mode) -> Result<String, RenderError> {
        let mut missing: Vec<Variable> = Vec::new();
        let message = self.fill(mode, |variable, default| {
            values.get(variable).or(default.map(Cow::Borrowed)).unwrap_or_else(|| {
                if !missing.contains(variable) {
                    missing.push(variable.clone());
                }
                Cow::Borrowed("")
            })
        });
        if missing.is_empty() { message } else { Err(RenderError::Missing(missing)) }
    }

    /// A message for measuring and looking at: what has neither value nor default becomes `stand_in`.
    pub(super) fn sample(&self, values: Option<&Values>, stand_in: &str) -> String {
        self.fill(Mode::Text, |variable, default| {
            let value = values.and_then(|values| values.get(variable));
            Cow::Owned(value.map_or_else(|| default.unwrap_or(stand_in).to_owned(), Cow::into_owned))
        })
        .unwrap_or_default()
    }

    fn fill<'a>(
        &'a self,
        mode: Mode,
        mut value: impl FnMut(&'a Variable, Option<&'a str>) -> Cow<'a, str>,
    ) -> Result<String, RenderError> {
        let mut message = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) if mode == Mode::Line => push_line(&mut message, text),
                Piece::Text(text) => message.push_str(text),
                Piece::Hole { variable, default } => {
                    push(&mut message, mode, &value(variable, default.as_deref()));
                }
            }
            if message.len() > MAX_RENDERED_BYTES {
                return Err(RenderError::TooLong);
            }
        }
        Ok(message)
    }
}

fn push(message: &mut String, mode: Mode, value: &str) {
    match mode {
        Mode::Line => push_line(message, value),
        Mode::Text => message.extend(value.chars().filter(is_written)),
        Mode::Html => {
            for c in value.chars().filter(is_written) {
                match c {
                    '&' => message.push_str("&amp;"),
                    '<' => message.push_str("&lt;"),
                    '>' => message.push_str("&gt;"),
                    '"' => message.push_str("&quot;"),
                    '\'' => message.push_str("&#39;"),
                    _ => message.push(c),
                }
            }
        }
    }
}

fn push_line(message: &mut String, text: &str) {
    // The two separators of Unicode break lines in some programs though they are no control characters.
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    message.extend(text.chars().map(|c| if breaks(c) { ' ' } else { c }));
}

fn is_written(c: &char) -> bool {
    !c.is_control() || matches!(c, '\n' | '\r' | '\t')
}
