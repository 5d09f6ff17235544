//! The rows that failed, as a CSV file that can be mended and imported again: why in front, then the row as it was.
//!
//! No cell is a formula to a spreadsheet: one that begins like one gets an apostrophe in front, which an import takes
//! away again. The reason stands in front so that a row of the wrong width does not hide it.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use super::{RowError, Separator, cells};

/// The heading of the column with the reasons; an import leaves it out.
pub const ERROR_HEADING: &str = "import_error";
/// The mark by which Excel knows UTF-8.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// Writes failed rows.
pub struct ErrorFile<W: Write> {
    csv: csv::Writer<W>,
    /// The place of an earlier import's reasons, which the new ones replace.
    replaced: Option<usize>,
    headings: Option<Vec<String>>,
}

impl<W: Write> ErrorFile<W> {
    /// A file for rows of a file with these headings. Nothing is written before the first row.
    pub fn new(target: W, separator: Separator, headings: &[String]) -> Self {
        let csv = csv::WriterBuilder::new().delimiter(separator.byte()).flexible(true).from_writer(target);
        let replaced = headings.iter().position(|heading| heading.eq_ignore_ascii_case(ERROR_HEADING));
        Self { csv, replaced, headings: Some(headings.to_vec()) }
    }

    /// Writes a row that failed.
    ///
    /// # Errors
    /// When the target cannot be written.
    pub fn write(&mut self, error: &RowError) -> io::Result<()> {
        if let Some(headings) = self.headings.take() {
            // The mark must not be quoted, as a cell with it would be.
            let first = format!("{}{ERROR_HEADING}", String::from_utf8_lossy(MARK));
            self.line(&first, &headings)?;
        }
        self.line(&error.to_string(), &error.cells)
    }

    /// Hands everything that was written to the target.
    ///
    /// # Errors
    /// When the target cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.csv.flush()
    }

    /// Ends the file and gives the target back.
    ///
    /// # Errors
    /// When the target cannot be written.
    pub fn finish(self) -> io::Result<W> {
        self.csv.into_inner().map_err(csv::IntoInnerError::into_error)
    }

    fn line(&mut self, reason: &str, cells: &[String]) -> io::Result<()> {
        let kept = cells.iter().enumerate().filter(|(at, _)| Some(*at) != self.replaced);
        let guarded = kept.map(|(_, cell)| cells::guard(cell));
        let row = std::iter::once(Cow::Borrowed(reason)).chain(guarded);
        self.csv.write_record(row.map(|cell| cell.into_owned())).map_err(io::Error::other)
    }
}
