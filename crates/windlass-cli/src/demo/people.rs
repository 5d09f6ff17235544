//! Whom the day reaches: the user's own list, or people made up from a seed.

use std::path::Path;

use serde::Serialize;
use windlass_campaigns::contacts::{BadRow, ContactList, ContactReader, ContactsError, MAX_CONTACTS, Row};

use crate::fault::{Exit, Fault};
use crate::output::Output;

/// Bad rows that are shown one by one; all are counted, and `--json` has more.
const SHOWN: usize = 20;
/// Bad rows that `--json` names one by one.
const NAMED: usize = 1_000;

/// The contacts of the day.
pub(super) struct People {
    /// The list.
    pub(super) list: ContactList,
    /// Whether the rehearsed providers may refuse some of them for good.
    pub(super) may_be_refused: bool,
    /// Rows that were skipped.
    pub(super) skipped: u64,
    /// The first of them.
    pub(super) skipped_rows: Vec<SkippedRow>,
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
    pub(super) fn generated(size: u32, seed: u64) -> Self {
        let list = ContactList::generated(size, seed);
        Self { list, may_be_refused: true, skipped: 0, skipped_rows: Vec::new() }
    }

    /// The user's own list. Bad rows are reported and skipped.
    ///
    /// # Errors
    /// With exit code 2 for a file that is no list of contacts, or that nobody is left on.
    pub(super) fn read(path: &Path, out: &Output) -> Result<Self, Fault> {
        let mut contacts = Vec::new();
        let mut skipped = 0;
        let mut skipped_rows = Vec::new();
        let reader = ContactReader::open(path).map_err(|error| refusal(&error))?;
        for row in reader {
            match row.map_err(|error| Fault::file(path.display(), &error))? {
                Row::Contact(_) if contacts.len() >= MAX_CONTACTS as usize => {
                    return Err(Fault::usage(format!(
                        "{} has more than {MAX_CONTACTS} contacts",
                        path.display()
                    )));
                }
                Row::Contact(contact) => contacts.push(contact),
                Row::Bad(BadRow { line, reason }) => {
                    skipped += 1;
                    if skipped_rows.len() < NAMED {
                        skipped_rows.push(SkippedRow { line, reason: reason.to_string() });
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
        Ok(Self { list: ContactList::of(contacts), may_be_refused: false, skipped, skipped_rows })
    }
}

fn refusal(error: &ContactsError) -> Fault {
    Fault::new(Exit::Usage, "usage", error.to_string())
        .next("the first row names the columns: name,email,phone,timezone")
}
