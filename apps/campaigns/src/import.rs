//! Contacts from a CSV file, as a stream: every row becomes a contact or an error with its place, and none is lost.
//!
//! The story of one import: [`sniff`] looks at the head of the file and proposes what its columns mean; a person
//! agrees or changes it, which makes a [`Mapping`]; [`Rows`] reads the file by it, a row at a time; what fails goes
//! through [`ErrorFile`] into a file that can be mended and imported again.
//!
//! Files come from strangers: encodings, separators, quotes, widths and sizes are all wrong sometimes. One wrong
//! quote costs one row, memory is bounded whatever the file holds, and nothing in a file is believed. Who of the
//! contacts is new, suppressed or erased is the database's to say.

mod cells;
mod contact;
mod encoding;
mod error_file;
mod guess;
mod mapping;
mod rows;
mod sniff;
mod splitter;

#[cfg(test)]
mod tests;

use std::io;

use thiserror::Error;

pub use cells::{country_by_form, guard, state_by_form, zone_by_form};
pub use contact::{Consent, ImportedContact, Options};
pub use encoding::Encoding;
pub use error_file::{ERROR_HEADING, ErrorFile};
pub use mapping::{BadMapping, BadTarget, Mapping, Target};
pub use rows::{Counts, Row, RowCode, RowError, Rows};
pub use sniff::{Format, Preview, Separator, sniff};
pub use splitter::{MAX_ROW_BYTES, MAX_ROW_LINES};

/// The most rows of one file. Each costs up to 36 bytes while the file is read, to know it again: 36 MB for a million.
pub const MAX_ROWS: u64 = 1_000_000;
/// The most columns of a file; spreadsheets have hundreds at worst.
pub const MAX_COLUMNS: usize = 500;
/// How much of a file [`sniff`] wants: enough for two dozen rows of any real list.
pub const SNIFF_BYTES: usize = 64 * 1024;

/// The file as a whole cannot be read as a list of contacts.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The file or its upload failed.
    #[error("reading failed: {0}")]
    Io(#[from] io::Error),
    /// There is nothing in it.
    #[error("the file is empty; it needs a row of headings and a row for each contact")]
    Empty,
    /// It is another kind of file.
    #[error("this is {0}; save the list as CSV UTF-8 and import that")]
    NotCsv(
        /// What it is, as in "an Excel workbook".
        &'static str,
    ),
    /// The first row cannot be read.
    #[error("line {line}, the row of headings: {why}")]
    Header {
        /// The line of the file, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// More columns than [`MAX_COLUMNS`].
    #[error(
        "the file has {0} columns, and {MAX_COLUMNS} are the most; leave out those that no message needs"
    )]
    TooManyColumns(usize),
    /// The mapping is of another file.
    #[error("the columns of {mapped} are mapped, and the file has {found}; look at the file again")]
    Mapping {
        /// How many columns the mapping has.
        mapped: usize,
        /// How many the file has.
        found: usize,
    },
    /// More rows than [`MAX_ROWS`]; what was read up to here stands.
    #[error("the file has more than {MAX_ROWS} rows; split it")]
    TooManyRows,
}
