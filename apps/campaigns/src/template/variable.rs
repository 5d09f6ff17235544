//! The names of variables: which exist, where their values come from, and what a wrong one was meant to be.
//!
//! A contact's free fields have a prefix of their own (`field.plan`), so that a standard variable added later never
//! changes what somebody's template means. It does not know values; see [`super::Values`].

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest name of a free field, in characters; a spreadsheet's heading longer than this is a sentence.
const MAX_FIELD_CHARS: usize = 64;
/// The longest name of a variable: a free field's with its prefix.
const MAX_VARIABLE_CHARS: usize = MAX_FIELD_CHARS + FIELD_PREFIX.len();
/// What stands before the name of a free field.
const FIELD_PREFIX: &str = "field.";
/// How many letters may differ for a name to count as a misspelling.
const MAX_TYPOS: usize = 2;

/// Where a variable's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The contact's own row.
    Contact,
    /// The campaign.
    Campaign,
    /// The mailbox or number that sends.
    Sender,
    /// Made for each message.
    Message,
}

/// A variable that every template may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Known {
    /// The name as templates write it.
    pub name: &'static str,
    /// Where its value comes from.
    pub source: Source,
    /// What it stands for, for people.
    pub says: &'static str,
}

/// Every standard variable, in the order in which pages list them.
pub const KNOWN: &[Known] = &[
    known("first_name", Source::Contact, "the contact's first name"),
    known("last_name", Source::Contact, "the contact's last name"),
    known("name", Source::Contact, "the whole name; first and last name when the list has no whole one"),
    known("email", Source::Contact, "the contact's e-mail address"),
    known("phone", Source::Contact, "the contact's phone number"),
    known("company", Source::Contact, "the company the contact works for"),
    known("title", Source::Contact, "the contact's job title"),
    known("city", Source::Contact, "the contact's city"),
    known("state", Source::Contact, "the contact's state"),
    known("zip", Source::Contact, "the contact's postal code"),
    known("country", Source::Contact, "the contact's country"),
    known("campaign.name", Source::Campaign, "the campaign's name"),
    known("sender.name", Source::Sender, "the name the message is from"),
    known("sender.email", Source::Sender, "the address the mail is from"),
    known("sender.phone", Source::Sender, "the number to call or text back"),
    known("sender.company", Source::Sender, "the company the message is from"),
    known("unsubscribe_url", Source::Message, "the contact's own link that ends all mail"),
    known(
        "postal_address",
        Source::Message,
        "the sender's postal address, which the law wants in every mail",
    ),
];

const fn known(name: &'static str, source: Source, says: &'static str) -> Known {
    Known { name, source, says }
}

/// The name of a variable: well formed and in lower case, though not necessarily one that exists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Variable(String);

/// A text that cannot be the name of a variable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} is not the name of a variable; names have letters, digits and _, and one dot as in field.plan"
)]
pub struct BadVariable(pub String);

impl Variable {
    /// Reads a name; capitals are folded, so that `First_Name` is `first_name`.
    ///
    /// # Errors
    /// When the text has other characters than letters, digits, `_` and one dot between two words, or is longer than
    /// any name.
    pub fn parse(text: &str) -> Result<Self, BadVariable> {
        let folded = text.to_lowercase();
        let word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_');
        let (first, second) = folded.split_once('.').map_or((&*folded, None), |(a, b)| (a, Some(b)));
        if !word(first) || !second.is_none_or(word) || folded.chars().count() > MAX_VARIABLE_CHARS {
            return Err(BadVariable(super::parse::shown(text)));
        }
        Ok(Self(folded))
    }

    /// The variable of the free field with this name, if it is one ([`is_field_name`]).
    pub fn of_field(name: &str) -> Option<Self> {
        is_field_name(name).then(|| Self(format!("{FIELD_PREFIX}{name}")))
    }

    /// The name, as templates write it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The standard variable of this name.
    pub fn known(&self) -> Option<&'static Known> {
        KNOWN.iter().find(|known| known.name == self.0)
    }

    /// The free field that it stands for.
    pub fn field(&self) -> Option<&str> {
        self.0.strip_prefix(FIELD_PREFIX)
    }

    /// The name that was probably meant, among the standard ones and `fields`.
    pub(super) fn meant<'a>(&self, fields: impl Iterator<Item = &'a str>) -> Option<String> {
        let bare = |name: &str| name.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
        let own = bare(self.field().unwrap_or(&self.0));
        // Of two that are as near, the standard one: a list's own column may have its name.
        let standard = KNOWN.iter().map(|known| (false, known.name.to_owned(), bare(known.name)));
        let free = fields.map(|field| (true, format!("{FIELD_PREFIX}{field}"), bare(field)));
        standard
            .chain(free)
            .map(|(is_free, name, bare)| (typos(&own, &bare), is_free, bare.len(), name))
            // A short name is one typo away from half of all short names.
            .filter(|(typos, _, length, name)| *typos <= MAX_TYPOS.min(length / 4) && *name != self.0)
            .min()
            .map(|(.., name)| name)
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for Variable {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Variable {
    type Error = BadVariable;

    fn try_from(text: String) -> Result<Self, BadVariable> {
        Self::parse(&text)
    }
}

impl From<Variable> for String {
    fn from(variable: Variable) -> Self {
        variable.0
    }
}

/// The name of the free field that a heading such as `Plan Type` becomes, here `plan_type`; the same name for the same
/// heading always. `None` when the heading has neither letter nor digit.
pub fn field_name(heading: &str) -> Option<String> {
    let mut name = String::new();
    for c in heading.to_lowercase().chars() {
        if c.is_alphanumeric() {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    let name: String = name.chars().take(MAX_FIELD_CHARS).collect();
    let name = name.trim_end_matches('_');
    (!name.is_empty()).then(|| name.to_owned())
}

/// Whether `name` is the name of a free field as [`field_name`] makes them.
pub fn is_field_name(name: &str) -> bool {
    field_name(name).as_deref() == Some(name)
}

/// How many single letters must change, go or come for `a` to become `b` (Levenshtein).
fn typos(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
