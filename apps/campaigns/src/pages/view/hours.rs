//! When the law lets somebody be called and texted: the dated table of rules, with where each comes from.

use askama::Template;

use super::Input;
use crate::pages::Shell;

/// A rule.
#[derive(Clone, Debug, Default)]
pub struct HoursRow {
    /// Its name, which stands with every message that it held for.
    pub id: String,
    /// Where it holds: `US-FL`.
    pub place: String,
    /// What it covers: `sms, voicemail`.
    pub channels: String,
    /// The hours, on the recipient's clock.
    pub hours: String,
    /// Days on which nothing may go out; may be empty.
    pub closed_on: String,
    /// Its dates; empty for a law older than the table.
    pub dates: String,
    /// Whether it holds today.
    pub holds: bool,
    /// The law.
    pub source: String,
    /// Whether its reading is not certain.
    pub is_uncertain: bool,
}

/// The table.
#[derive(Clone, Debug, Template)]
#[template(path = "hours.html")]
pub struct HoursPage {
    /// What stands around it.
    pub s: Shell,
    /// The edition that holds in this process.
    pub edition: String,
    /// Whether somebody here has edited it.
    pub is_edited: bool,
    /// The edition that other processes read when they start, where it is another one.
    pub stored: Option<String>,
    /// Its rows, in their order.
    pub rows: Vec<HoursRow>,
    /// The whole table as text.
    pub text: Input,
    /// Whether the text is in the middle of being written.
    pub is_open: bool,
}

impl HoursPage {
    /// How many rows are to be read with a lawyer first.
    pub fn uncertain(&self) -> usize {
        self.rows.iter().filter(|row| row.is_uncertain).count()
    }
}
