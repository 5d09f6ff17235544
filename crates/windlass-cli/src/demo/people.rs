//! Whom the day reaches: the user's own list, or people made up from a seed.
//!
//! A made-up person is computed from their number, so that whoever asks later (the account, at the end) is told the same.
//! Everybody lives where the campaigns do, but for some who live two hours west and are asleep when the day begins: what the
//! providers' logs say of these two zones needs nobody's calendar.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use serde::Serialize;
use windlass_campaigns::import::{self, ImportError, ImportedContact, MAX_ROWS, Rows, SNIFF_BYTES, sniff};
use windlass_campaigns::optout::Country;
use windlass_campaigns::store::contacts::NewContact;
use windlass_doubles::seed::mix;

use crate::fault::{Exit, Fault};
use crate::output::Output;

/// The most people of a day: what one file of contacts may have.
pub(super) const PEOPLE_MAX: u64 = MAX_ROWS;
/// Bad rows that are shown one by one; all are counted, and `--json` has more.
const SHOWN: usize = 20;
/// Bad rows that `--json` names one by one.
const NAMED: usize = 1_000;
/// Of a hundred people so many have a mailbox; all have a phone.
const WITH_MAILBOX_PERCENT: u32 = 61;
/// One of so many who have no mailbox lives in the west.
const WESTERN_ONE_OF: u64 = 40;
/// One of so many has asked not to be reached, before the day.
const OPTED_OUT_ONE_OF: u64 = 500;
/// A day with fewer people has nobody who has: a campaign of two might have nobody left, and is not launched then.
const OPTED_OUT_FROM: u32 = 1_000;

const FIRST_NAMES: [&str; 24] = [
    "Ada", "Alan", "Amara", "Anders", "Astrid", "Bruno", "Carmen", "Chidi", "Dalia", "Diego", "Elena",
    "Fatima", "Grace", "Hugo", "Ines", "Jonas", "Keiko", "Leila", "Mateo", "Nadia", "Omar", "Priya", "Samir",
    "Zoe",
];
const LAST_NAMES: [&str; 24] = [
    "Abbott", "Adeyemi", "Almeida", "Bakker", "Becker", "Chen", "Costa", "Dubois", "Farouk", "Garcia",
    "Haddad", "Hansen", "Ito", "Kaya", "Khan", "Lopez", "Moreau", "Novak", "Okafor", "Patel", "Rossi",
    "Silva", "Weber", "Zhang",
];

/// Where somebody lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// Where the campaigns are.
    East,
    /// Two hours behind.
    West,
}

impl Home {
    /// The zone's name.
    pub(super) fn zone(self) -> &'static str {
        match self {
            Home::East => "America/New_York",
            Home::West => "America/Denver",
        }
    }
}

/// The contacts of the day.
#[derive(Clone, Debug)]
pub(super) struct People {
    who: Who,
    /// How many there are.
    pub(super) count: u32,
    /// Rows that were skipped.
    pub(super) skipped: u64,
    /// The first of them.
    pub(super) skipped_rows: Vec<SkippedRow>,
}

#[derive(Clone, Debug)]
enum Who {
    MadeUp { seed: u64 },
    Listed(Vec<NewContact>),
}

/// A row of the user's file that is no contact.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SkippedRow {
    /// Its line, from 1.
    pub(super) line: u64,
    /// What is wrong with it.
    pub(super) reason: String,
}

impl People {
    /// People who do not exist.
    pub(super) fn made_up(count: u32, seed: u64) -> Self {
        Self { who: Who::MadeUp { seed }, count, skipped: 0, skipped_rows: Vec::new() }
    }

    /// The user's own list. Bad rows are reported and skipped.
    ///
    /// # Errors
    /// With exit code 2 for a file that is no list of contacts, or that nobody is left on.
    pub(super) fn read(path: &Path, out: &Output) -> Result<Self, Fault> {
        let unreadable = |error: &std::io::Error| {
            Fault::usage(format!("{}: {error}", path.display())).next("name a CSV file that can be read")
        };
        let refused = |error: &dyn std::fmt::Display| {
            Fault::new(Exit::Usage, "usage", format!("{}: {error}", path.display()))
                .next("the first row names the columns, as in: name,email,phone")
        };
        let mut head = Vec::new();
        let file = File::open(path).map_err(|error| unreadable(&error))?;
        file.take(SNIFF_BYTES as u64).read_to_end(&mut head).map_err(|error| unreadable(&error))?;
        let preview = sniff(&head, Some(Country::US)).map_err(|error| refused(&error))?;
        let mapping = preview.mapping().map_err(|error| refused(&error))?;
        let file = BufReader::new(File::open(path).map_err(|error| unreadable(&error))?);
        let mut rows = Rows::new(file, preview.format, mapping, import::Options::default())
            .map_err(|error| refused(&error))?;
        let (mut contacts, mut skipped, mut skipped_rows) = (Vec::new(), 0, Vec::new());
        let failed = |error: ImportError| match error {
            ImportError::Io(error) => unreadable(&error),
            error => refused(&error),
        };
        while let Some(row) = rows.next_row().map_err(failed)? {
            match row {
                Ok(row) => contacts.push(contact(row)),
                Err(error) => {
                    skipped += 1;
                    if skipped_rows.len() < NAMED {
                        skipped_rows.push(SkippedRow { line: error.line, reason: error.why });
                    }
                }
            }
        }
        for row in skipped_rows.iter().take(SHOWN) {
            out.say(&format!("{}, line {}: {}; skipped", path.display(), row.line, row.reason));
        }
        if skipped > SHOWN as u64 {
            out.say(&format!("{} more rows were skipped; --json names them", skipped - SHOWN as u64));
        }
        if contacts.is_empty() {
            return Err(Fault::usage(format!("{} has no contact that could be reached", path.display())));
        }
        let count = u32::try_from(contacts.len()).unwrap_or(u32::MAX);
        Ok(Self { who: Who::Listed(contacts), count, skipped, skipped_rows })
    }

    /// The first of them.
    pub(super) fn first(&self, count: u32) -> Self {
        Self { count: count.min(self.count), skipped: 0, skipped_rows: Vec::new(), who: self.who.clone() }
    }

    /// Whether providers may refuse some of them, and some may have opted out: whoever is on a user's own list is reached,
    /// as its owner expects.
    pub(super) fn are_made_up(&self) -> bool {
        matches!(self.who, Who::MadeUp { .. })
    }

    /// The person of that number, from 0.
    pub(super) fn get(&self, number: u32) -> NewContact {
        let mut contact = match &self.who {
            Who::MadeUp { seed } => made_up(*seed, number),
            Who::Listed(contacts) => contacts.get(number as usize).cloned().unwrap_or_default(),
        };
        contact.time_zone = Some(self.home(number).zone().to_owned());
        contact
    }

    /// Where the person of that number lives.
    pub(super) fn home(&self, number: u32) -> Home {
        match &self.who {
            Who::MadeUp { seed }
                if !has_mailbox(number) && mix(*seed, u64::from(number)).is_multiple_of(WESTERN_ONE_OF) =>
            {
                Home::West
            }
            _ => Home::East,
        }
    }

    /// Whether the person of that number has asked not to be reached.
    pub(super) fn has_opted_out(&self, number: u32) -> bool {
        match &self.who {
            Who::MadeUp { seed } => {
                self.count >= OPTED_OUT_FROM
                    && mix(seed.rotate_left(7), u64::from(number)).is_multiple_of(OPTED_OUT_ONE_OF)
            }
            Who::Listed(_) => false,
        }
    }

    /// Whether the person of that number can be reached by phone alone.
    pub(super) fn has_phone_alone(&self, number: u32) -> bool {
        match &self.who {
            Who::MadeUp { .. } => !has_mailbox(number),
            Who::Listed(contacts) => {
                contacts.get(number as usize).is_some_and(|contact| contact.email.is_none())
            }
        }
    }
}

/// Numbers next to each other are people of the same campaign, who are not all alike.
fn has_mailbox(number: u32) -> bool {
    number.wrapping_mul(37) % 100 < WITH_MAILBOX_PERCENT
}

fn made_up(seed: u64, number: u32) -> NewContact {
    let draw = mix(seed, u64::from(number));
    let [first, last] = [(FIRST_NAMES, draw), (LAST_NAMES, draw >> 20)].map(|(names, draw)| {
        let place = usize::try_from(draw % names.len() as u64).unwrap_or_default();
        names[place]
    });
    // A domain and an area code that belong to nobody (RFC 2606; 555 is not given out).
    let email = format!("{}.{}.{number}@example.com", first.to_lowercase(), last.to_lowercase());
    NewContact {
        email: has_mailbox(number).then_some(email),
        phone: Some(format!("+1555{number:07}")),
        name: Some(format!("{first} {last}")),
        fields: [("first_name".to_owned(), first.to_owned())].into(),
        ..NewContact::default()
    }
}

fn contact(row: ImportedContact) -> NewContact {
    let parts = [row.first_name.as_deref(), row.last_name.as_deref()];
    let whole = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let name = row.name.or_else(|| (!whole.is_empty()).then_some(whole));
    let first = row
        .first_name
        .or_else(|| name.as_deref().and_then(|name| name.split_whitespace().next()).map(str::to_owned));
    NewContact {
        email: row.email.map(|email| email.as_str().to_owned()),
        phone: row.phone.map(|phone| phone.as_str().to_owned()),
        name,
        fields: first.map(|first| ("first_name".to_owned(), first)).into_iter().collect(),
        ..NewContact::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn made_up_people_are_the_same_whenever_somebody_asks_and_share_no_address() {
        let (one, other) = (People::made_up(20_000, 7), People::made_up(20_000, 7));
        let (mut addresses, mut west, mut out) = (HashSet::new(), 0, 0);
        for number in 0..20_000 {
            let person = one.get(number);
            assert_eq!(person, other.get(number));
            assert_eq!(person.email.is_none(), one.has_phone_alone(number));
            assert!(person.email.is_none_or(|email| addresses.insert(email)));
            assert!(addresses.insert(person.phone.unwrap()));
            west += u32::from(one.home(number) == Home::West);
            out += u32::from(one.has_opted_out(number));
        }
        assert!((100..300).contains(&west) && (20..60).contains(&out), "{west} in the west, {out} opted out");
        assert_ne!(People::made_up(1, 8).get(0), one.get(0));
    }
}
