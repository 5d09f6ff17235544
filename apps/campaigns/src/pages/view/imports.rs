//! Contacts from a file: choosing it, saying what its columns mean, and watching it go.

use askama::Template;

use super::{Choice, Count, Input, When};
use crate::{channel::Channel, pages::Shell};

/// An import in the list.
#[derive(Clone, Debug)]
pub struct ImportRow {
    /// Its number.
    pub id: i64,
    /// The file's name.
    pub file: String,
    /// The list that it fills; empty until it is chosen.
    pub list: String,
    /// Where it stands: the word of an [`ImportStatus`](crate::model::import::ImportStatus).
    pub status: String,
    /// Why it failed; may be empty.
    pub why: String,
    /// Whether it is over.
    pub is_over: bool,
    /// How far it is, from 0 to 100.
    pub percent: u8,
    /// Rows that became new contacts.
    pub added: Count,
    /// Rows of contacts who were known.
    pub known: Count,
    /// Rows whose address stands in an earlier row.
    pub twice: Count,
    /// Rows that were refused for another reason.
    pub refused: Count,
    /// When its file came in.
    pub began: When,
}

/// The imports, and the form that begins one.
#[derive(Clone, Debug, Template)]
#[template(path = "imports.html")]
pub struct ImportsPage {
    /// What stands around it.
    pub s: Shell,
    /// Imports, newest first.
    pub rows: Vec<ImportRow>,
    /// The way through them.
    pub pages: super::Pages,
    /// What was wrong with the file that was chosen.
    pub fault: Option<String>,
    /// The largest file, in words.
    pub most: String,
}

/// A column of the file.
#[derive(Clone, Debug, Default)]
pub struct ColumnForm {
    /// Its place, from 0.
    pub index: usize,
    /// What stands over it.
    pub heading: String,
    /// What stands in it, in its first rows.
    pub samples: Vec<String>,
    /// What it may mean; what is proposed is chosen.
    pub targets: Vec<Choice>,
}

/// What becomes of a row of the file.
#[derive(Clone, Debug, Default)]
pub struct TriedRow {
    /// Its line, from 1.
    pub line: u64,
    /// Why it would be refused; what follows is empty then.
    pub refused: Option<String>,
    /// The contact's name.
    pub name: String,
    /// Their mailbox.
    pub email: String,
    /// Their number.
    pub phone: String,
    /// Their time zone, and where they are.
    pub place: String,
    /// To what the row says that they have agreed.
    pub agreed: Vec<Channel>,
    /// What else is kept, by name.
    pub fields: Vec<(String, String)>,
}

/// What the columns of a file mean: asked before anything is read.
#[derive(Clone, Debug, Template)]
#[template(path = "mapping.html")]
pub struct MappingPage {
    /// What stands around it.
    pub s: Shell,
    /// The import.
    pub id: i64,
    /// The file's name.
    pub file: String,
    /// How large it is, and how it is written: `12.3 MB, 24 columns apart by semicolons`.
    pub format: String,
    /// What somebody should know of it.
    pub notes: Vec<String>,
    /// What is wrong with what was chosen.
    pub fault: Option<String>,
    /// Its columns.
    pub columns: Vec<ColumnForm>,
    /// What becomes of its first rows by what is chosen.
    pub tried: Vec<TriedRow>,
    /// The list that it fills.
    pub list: Input,
    /// The names of lists that there are.
    pub lists: Vec<String>,
    /// What becomes of contacts who are known.
    pub known: Vec<Choice>,
    /// On which basis those have agreed of whom a column says so.
    pub basis: Vec<Choice>,
    /// The country of numbers that do not say theirs.
    pub country: Input,
    /// Its letters.
    pub encoding: Vec<Choice>,
    /// What its first row is.
    pub header: Vec<Choice>,
}

/// An import that goes on, or is over.
#[derive(Clone, Debug, Template)]
#[template(path = "import.html")]
pub struct ImportPage {
    /// What stands around it; fetched again each second while it goes on.
    pub s: Shell,
    /// The same as in the list.
    pub row: ImportRow,
    /// Rows that were read.
    pub rows: Count,
    /// Why it failed, or waits.
    pub why: String,
    /// When it was over.
    pub ended: Option<When>,
    /// What was wrong with rows: the code, what it means, and how many there are.
    pub codes: Vec<(String, String, Count)>,
    /// Why contacts were kept without their number, in the same way.
    pub without_number: Vec<(String, String, Count)>,
    /// The first rows that were refused, with why.
    pub first: Vec<String>,
    /// Whether there is a file of the refused rows.
    pub has_file: bool,
    /// Whether more rows were refused than that file holds.
    pub is_cut: bool,
}

impl ImportPage {
    /// Whether it goes on.
    pub fn is_open(&self) -> bool {
        !self.row.is_over
    }
}
