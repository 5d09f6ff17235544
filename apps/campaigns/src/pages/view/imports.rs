//! Contacts from a file: choosing it, saying what its columns mean, and watching it go.

use askama::Template;

use super::{Choice, Count, Input, When, percent};
use crate::pages::Shell;

/// An import in the list.
#[derive(Clone, Debug)]
pub struct ImportRow {
    /// Its number.
    pub id: i64,
    /// The file's name.
    pub file: String,
    /// The list that it fills.
    pub list: String,
    /// `waiting` for its columns, `reading`, `done`, `failed`, `cancelled`.
    pub status: String,
    /// Contacts that were new.
    pub added: Count,
    /// That were known, and are changed.
    pub updated: Count,
    /// Rows that could not be read.
    pub wrong: Count,
    /// When it began.
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
    /// How it is written: `UTF-8, semicolons, 24 columns`.
    pub format: String,
    /// What is wrong with what was chosen.
    pub fault: Option<String>,
    /// Its columns.
    pub columns: Vec<ColumnForm>,
    /// The list that it fills.
    pub list: Input,
    /// The names of lists that there are.
    pub lists: Vec<String>,
    /// The country of numbers that do not say theirs.
    pub country: Input,
    /// On which basis the contacts of the file have agreed; empty where the file says it.
    pub basis: Vec<Choice>,
    /// What proves it.
    pub proof: Input,
}

/// A row that could not be read.
#[derive(Clone, Debug, Default)]
pub struct WrongRow {
    /// Its line in the file, from 1.
    pub line: u64,
    /// What is wrong, for programs.
    pub code: String,
    /// What is wrong.
    pub what: String,
}

/// An import that goes on, or is over.
#[derive(Clone, Debug, Template)]
#[template(path = "import.html")]
pub struct ImportPage {
    /// What stands around it; fetched again each second while it goes on.
    pub s: Shell,
    /// The same as in the list.
    pub row: ImportRow,
    /// Bytes that were read.
    pub read: Count,
    /// Bytes of the file.
    pub all: Count,
    /// Rows that were read.
    pub rows: Count,
    /// Rows a second.
    pub per_second: Count,
    /// Contacts who are as they were.
    pub unchanged: Count,
    /// Rows of contacts who stand in the file twice.
    pub twice: Count,
    /// Contacts of the file who are suppressed or erased, and stay so.
    pub held: Count,
    /// The first rows that could not be read.
    pub wrong: Vec<WrongRow>,
    /// Why it failed.
    pub why: Option<String>,
    /// When it was over.
    pub ended: Option<When>,
}

impl ImportPage {
    /// Whether it goes on.
    pub fn is_open(&self) -> bool {
        self.row.status == "reading"
    }

    /// How far it is.
    pub fn percent(&self) -> u8 {
        percent(self.read, self.all)
    }
}
