//! What commands print: data on stdout in one of three forms, messages on stderr.
//!
//! *Human* is an aligned table or record, cut to the terminal's width when there is one; *plain* is one record a line,
//! fields separated by tabs, never cut; *json* is one object a line. Whatever comes out of a store is escaped here,
//! because a payload, key or error text may hold anything, ANSI sequences included.

pub(crate) mod confirm;
pub(crate) mod escape;
pub(crate) mod progress;
pub(crate) mod shape;
pub(crate) mod table;

use std::io::{IsTerminal, Write};

use serde::Serialize;
use windlass_core::Time;

use crate::fault::Fault;
use crate::values::moment;

/// The form of everything on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Human,
    Plain,
    Json,
}

/// One item of a list.
pub(crate) trait Row: Serialize {
    /// The headings; those that may be cut on a narrow terminal are marked.
    const COLUMNS: &'static [table::Column];
    /// One text per column. `exact` asks for times and spans that can be read back.
    fn cells(&self, now: Time, exact: bool) -> Vec<String>;
}

/// One object shown by itself.
pub(crate) trait Record: Serialize {
    /// Names and values in the order in which people want them; several lines are allowed in a value.
    fn fields(&self, now: Time, exact: bool) -> Vec<(&'static str, String)>;
}

/// Where a command's answer goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) form: Form,
    pub(crate) quiet: bool,
    /// ANSI styles are allowed on stdout.
    style: bool,
    /// ANSI styles are allowed on stderr.
    style_messages: bool,
    /// Columns of the terminal that stdout is, if it is one.
    width: Option<usize>,
}

impl Output {
    pub(crate) fn new(form: Form, quiet: bool, color: bool) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let width = terminal.then(table::terminal_width).flatten();
        let style_messages = color && std::io::stderr().is_terminal();
        Self { form, quiet, style: color && terminal && form == Form::Human, style_messages, width }
    }

    /// Prints a list; an empty one prints nothing on stdout in any form.
    pub(crate) fn list<T: Row>(&self, items: &[T]) -> Result<(), Fault> {
        let now = moment::now();
        match self.form {
            Form::Json => items.iter().try_for_each(|item| self.json(item)),
            Form::Plain => items.iter().try_for_each(|item| self.line(&plain_line(item.cells(now, true)))),
            Form::Human if items.is_empty() => Ok(()),
            Form::Human => {
                let rows = items.iter().map(|item| item.cells(now, false)).collect();
                self.text(&table::render(T::COLUMNS, rows, self.width, self.style))
            }
        }
    }

    /// Prints one object.
    pub(crate) fn record<T: Record>(&self, item: &T) -> Result<(), Fault> {
        let now = moment::now();
        match self.form {
            Form::Json => self.json(item),
            Form::Plain => {
                let fields = item.fields(now, true).into_iter();
                fields
                    .map(|(name, value)| plain_line(vec![name.to_owned(), value]))
                    .try_for_each(|line| self.line(&line))
            }
            Form::Human => self.text(&table::render_record(item.fields(now, false), self.style)),
        }
    }

    /// Prints one JSON object on a line of its own.
    pub(crate) fn json<T: Serialize>(&self, item: &T) -> Result<(), Fault> {
        let text = serde_json::to_string(item)
            .map_err(|error| Fault::failed(format!("cannot write JSON: {error}")))?;
        self.line(&escape::json(&text))
    }

    /// What a command that changes something says of it: a sentence for people, an object for `--json`, and for
    /// `--plain` the fields of the object's row.
    pub(crate) fn done<T: Serialize>(&self, item: &T, sentence: &str, fields: &[&str]) -> Result<(), Fault> {
        match self.form {
            Form::Json => self.json(item),
            Form::Plain => self.line(&plain_line(fields.iter().map(|field| (*field).to_owned()).collect())),
            Form::Human => self.line(&escape::line(sentence)),
        }
    }

    /// Prints text that is already safe, a line end added.
    pub(crate) fn line(&self, line: &str) -> Result<(), Fault> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush()).map_err(Fault::from)
    }

    /// Prints text that is already safe as it is.
    pub(crate) fn text(&self, text: &str) -> Result<(), Fault> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Fault::from)
    }

    /// A message for people on stderr; silent with `-q`.
    pub(crate) fn say(&self, message: &str) {
        if !self.quiet {
            // When stderr is closed there is nobody left to tell.
            let _ = writeln!(std::io::stderr().lock(), "{}", escape::lines(message));
        }
    }

    /// What must not go unheard although the command goes on, `-q` or not.
    pub(crate) fn warn(&self, message: &str) {
        let mut err = std::io::stderr().lock();
        let _ = if self.form == Form::Json {
            writeln!(err, "{}", escape::json(&serde_json::json!({ "warning": message }).to_string()))
        } else {
            writeln!(err, "warning: {}", escape::lines(message))
        };
    }

    /// The next step worth suggesting; only people get one.
    pub(crate) fn hint(&self, message: &str) {
        if self.form == Form::Human {
            self.say(message);
        }
    }

    /// Says why the command failed, `-q` or not.
    pub(crate) fn fault(&self, fault: &Fault) {
        let mut err = std::io::stderr().lock();
        let _ = if self.form == Form::Json {
            writeln!(err, "{}", escape::json(&fault.to_json().to_string()))
        } else {
            let word = if self.style_messages { "\u{1b}[1;31merror:\u{1b}[0m" } else { "error:" };
            let next = fault.advice().map(|next| format!("\n  {}", escape::lines(&next))).unwrap_or_default();
            writeln!(err, "{word} {}{next}", escape::lines(&fault.message))
        };
    }

    /// Whether a question can be asked and answered.
    pub(crate) fn can_ask(&self) -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }
}

/// Tabs separate fields, so none may stand inside one.
fn plain_line(cells: Vec<String>) -> String {
    cells.iter().map(|cell| escape::line(cell)).collect::<Vec<_>>().join("\t")
}
