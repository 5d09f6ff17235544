//! Legal calling hours: an editable, dated table of who may be called and texted when.
//!
//! The table is data. [`RuleTable::built_in`] is compiled in from `tables/calling_hours.toml`; an operator
//! who knows better copies the file, edits it and has it read by [`RuleTable::parse`], which says what is
//! wrong in which row. All rows that hold for a recipient hold at once, so the strictest wins: a state's row
//! can only narrow the federal one. E-mail is not covered by any of these laws and no row may name it.
//!
//! What the rows say was read by programmers and not by lawyers: it is a starting point and no legal advice.
//! Rows of which the reading is not certain say `verify` in their source.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::holidays::Holidays;
use super::places::Place;
use super::week::Week;
use crate::channel::Channel;

/// One row: in this place, for these channels and between these dates, only in these hours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// A name of its own in the table, which is stored with every send that it was applied to.
    pub id: String,
    /// The state (`US-FL`) or country (`US`) in which it holds.
    pub place: Place,
    /// The channels that it covers.
    pub channels: Vec<Channel>,
    /// The first date on which it holds; before it the row does not restrict.
    pub valid_from: Date,
    /// The last date on which it holds, if an end is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Date>,
    /// The hours in which sending is allowed, by the recipient's clock; a day left out is forbidden.
    pub hours: Week,
    /// Days on which sending is forbidden altogether.
    #[serde(default, skip_serializing_if = "Holidays::is_empty")]
    pub closed_on: Holidays,
    /// The text that it comes from, for people; `verify` in it marks a reading that is not certain.
    pub source: String,
}

/// The rows in force, and which edition of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleTable {
    /// The name of the edition, by its date; stored with every send.
    pub edition: String,
    /// The rows, in the order in which they are written.
    #[serde(rename = "rule")]
    pub rules: Vec<Rule>,
}

/// A table that cannot be used; the text says which row and what to write.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RulesError {
    /// Not TOML, or a row without what a row needs; the text of the reader has line and column.
    #[error("the table of calling hours cannot be read: {0}")]
    Toml(String),
    /// Two rows have one name.
    #[error("the table of calling hours has two rows with id {0:?}: give each row its own")]
    SameId(String),
    /// A row names no channel or e-mail.
    #[error("row {0:?} covers {1}: name \"sms\", \"voicemail\" or both; e-mail has no calling hours")]
    Channels(String, &'static str),
    /// A row ends before it begins.
    #[error("row {id:?} ends on {until} before it begins on {from}: swap valid_from and valid_until")]
    Dates {
        /// The row.
        id: String,
        /// Its first date.
        from: Date,
        /// Its last date.
        until: Date,
    },
    /// A row has no source.
    #[error("row {0:?} has no source: write the law that it comes from")]
    NoSource(String),
}

static BUILT_IN: LazyLock<RuleTable> = LazyLock::new(|| {
    // A test reads the file; a table that could not be read would forbid nothing, which must not pass in
    // silence.
    RuleTable::parse(include_str!("tables/calling_hours.toml"))
        .unwrap_or_else(|why| unreachable!("the compiled-in table is read by a test: {why}"))
});

impl RuleTable {
    /// The table that is compiled in.
    pub fn built_in() -> &'static RuleTable {
        &BUILT_IN
    }

    /// Reads an edited table; the file of [`RuleTable::built_in_text`] shows the form.
    ///
    /// # Errors
    ///
    /// [`RulesError`] for the first thing that is wrong, with the row's id or the line and column.
    pub fn parse(text: &str) -> Result<RuleTable, RulesError> {
        let table: RuleTable = toml::from_str(text).map_err(|why| RulesError::Toml(why.to_string()))?;
        let mut ids = BTreeSet::new();
        for rule in &table.rules {
            rule.check()?;
            if !ids.insert(&rule.id) {
                return Err(RulesError::SameId(rule.id.clone()));
            }
        }
        Ok(table)
    }

    /// The text of the built-in table, to be copied and edited.
    pub fn built_in_text() -> &'static str {
        include_str!("tables/calling_hours.toml")
    }

    /// The rows that hold for a channel in any of these places, whatever the date.
    pub(crate) fn holding<'a>(
        &'a self,
        places: &'a [Place],
        channel: Channel,
    ) -> impl Iterator<Item = &'a Rule> + 'a {
        self.rules.iter().filter(move |rule| {
            rule.channels.contains(&channel) && places.iter().any(|place| rule.place.holds_in(*place))
        })
    }
}

impl Rule {
    fn check(&self) -> Result<(), RulesError> {
        let id = || self.id.clone();
        if self.channels.is_empty() {
            return Err(RulesError::Channels(id(), "no channel"));
        }
        if self.channels.contains(&Channel::Email) {
            return Err(RulesError::Channels(id(), "e-mail"));
        }
        if let Some(until) = self.valid_until.filter(|until| *until < self.valid_from) {
            return Err(RulesError::Dates { id: id(), from: self.valid_from, until });
        }
        if self.source.trim().is_empty() {
            return Err(RulesError::NoSource(id()));
        }
        Ok(())
    }
}
