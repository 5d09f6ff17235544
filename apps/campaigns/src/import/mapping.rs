//! What each column of a file means: proposed by [`super::sniff`], changed by a person, kept with the import.
//!
//! A target is written as a word (`email`, `consent.sms`, `field:plan`), in JSON as on pages.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::MAX_COLUMNS;
use crate::{channel::Channel, template};

/// What is in front of the name of a free field.
const FIELD_PREFIX: &str = "field:";

/// What one column means.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// The e-mail address.
    Email,
    /// The phone number.
    Phone,
    /// The whole name.
    Name,
    /// The first name.
    FirstName,
    /// The last name.
    LastName,
    /// The company.
    Company,
    /// The job title.
    Title,
    /// The city.
    City,
    /// The state, by its name or code.
    State,
    /// The postal code.
    Zip,
    /// The account: what colleagues have in common, written the same in each of their rows.
    Account,
    /// The country, by its name or code.
    Country,
    /// The time zone.
    TimeZone,
    /// Whether the contact agreed to messages of this channel.
    Consent(Channel),
    /// Labels, several in one cell.
    Tags,
    /// A free field of this name ([`template::is_field_name`]).
    Field(String),
    /// Nothing; the column is not read.
    Ignore,
}

/// The words of the targets that need no name; `time_zone` and `tz` are one.
const WORDS: &[(&str, Target)] = &[
    ("email", Target::Email),
    ("phone", Target::Phone),
    ("name", Target::Name),
    ("first_name", Target::FirstName),
    ("last_name", Target::LastName),
    ("company", Target::Company),
    ("account", Target::Account),
    ("title", Target::Title),
    ("city", Target::City),
    ("state", Target::State),
    ("zip", Target::Zip),
    ("country", Target::Country),
    ("tz", Target::TimeZone),
    ("time_zone", Target::TimeZone),
    ("consent.email", Target::Consent(Channel::Email)),
    ("consent.sms", Target::Consent(Channel::Sms)),
    ("consent.voicemail", Target::Consent(Channel::Voicemail)),
    ("tags", Target::Tags),
    ("ignore", Target::Ignore),
];

/// A word that is no target.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} is nothing that a column can be; it is one of email, phone, name, first_name, last_name, company, \
     account, title, city, state, zip, country, tz, consent.email, consent.sms, consent.voicemail, tags, field:NAME with a NAME of \
     lower-case letters, digits and _, or ignore"
)]
pub struct BadTarget(pub String);

impl Target {
    /// Every target but the free fields, in the order in which pages list them.
    pub fn all() -> impl Iterator<Item = Target> {
        WORDS.iter().filter(|(word, _)| *word != "time_zone").map(|(_, target)| target.clone())
    }
}

impl FromStr for Target {
    type Err = BadTarget;

    fn from_str(word: &str) -> Result<Self, BadTarget> {
        if let Some(name) = word.strip_prefix(FIELD_PREFIX).filter(|name| template::is_field_name(name)) {
            return Ok(Target::Field(name.to_owned()));
        }
        let known = WORDS.iter().find(|(known, _)| *known == word).map(|(_, target)| target.clone());
        known.ok_or_else(|| BadTarget(word.chars().take(80).collect()))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, WORDS.iter().find(|(_, target)| target == self)) {
            (Target::Field(name), _) => write!(f, "{FIELD_PREFIX}{name}"),
            (_, word) => f.write_str(word.map_or("ignore", |(word, _)| word)),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = BadTarget;

    fn try_from(word: String) -> Result<Self, BadTarget> {
        word.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

/// What every column of a file means, in the file's order; has an address, and nothing twice that can be only once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Target>", into = "Vec<Target>")]
pub struct Mapping(Vec<Target>);

/// Why columns cannot mean this.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadMapping {
    /// Nobody could be reached.
    #[error("no column is the e-mail address and none the phone number; choose at least one")]
    NoAddress,
    /// Two columns are the same thing.
    #[error("two columns are {target}: the {first}th and the {second}th; choose one")]
    Twice {
        /// What both are.
        target: Target,
        /// The earlier column, from 1.
        first: usize,
        /// The later one.
        second: usize,
    },
    /// A field's name that no template could write.
    #[error("{0:?} is not the name of a field; use lower-case letters, digits and _")]
    FieldName(String),
    /// More columns than [`MAX_COLUMNS`].
    #[error("{0} columns are mapped, and {MAX_COLUMNS} are the most")]
    TooMany(usize),
}

impl Mapping {
    /// The mapping of columns in the file's order.
    ///
    /// # Errors
    /// When there is neither e-mail nor phone, or two columns are one thing; only tags may come from several.
    pub fn new(columns: Vec<Target>) -> Result<Self, BadMapping> {
        if columns.len() > MAX_COLUMNS {
            return Err(BadMapping::TooMany(columns.len()));
        }
        for (at, target) in columns.iter().enumerate() {
            if let Target::Field(name) = target
                && !template::is_field_name(name)
            {
                return Err(BadMapping::FieldName(name.chars().take(80).collect()));
            }
            let many = matches!(target, Target::Tags | Target::Ignore);
            let first = columns[..at].iter().position(|earlier| earlier == target && !many);
            if let Some(first) = first {
                return Err(BadMapping::Twice { target: target.clone(), first: first + 1, second: at + 1 });
            }
        }
        let reaches = |target: &Target| matches!(target, Target::Email | Target::Phone);
        if columns.iter().any(reaches) { Ok(Self(columns)) } else { Err(BadMapping::NoAddress) }
    }

    /// The targets, in the file's order.
    pub fn columns(&self) -> &[Target] {
        &self.0
    }
}

impl TryFrom<Vec<Target>> for Mapping {
    type Error = BadMapping;

    fn try_from(columns: Vec<Target>) -> Result<Self, BadMapping> {
        Self::new(columns)
    }
}

impl From<Mapping> for Vec<Target> {
    fn from(mapping: Mapping) -> Self {
        mapping.0
    }
}
