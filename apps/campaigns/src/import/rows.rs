//! The rows of a file, one at a time: a [`Row`] each, and the counts of all.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
    io::Read,
};

use serde::Serialize;
use thiserror::Error;

use super::{
    Format, ImportError, ImportedContact, MAX_COLUMNS, MAX_ROW_BYTES, MAX_ROWS, Mapping, Options,
    contact::{self, Fault},
    encoding::Decoder,
    sniff::is_separator_line,
    splitter::{self, BadLine, Malformed, RawRow, Splitter},
};

/// What a row became.
pub type Row = Result<ImportedContact, RowError>;

/// A row that is not a contact.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}{}: {why}", place(.column.as_deref(), .value))]
pub struct RowError {
    /// The line of the file on which the row starts, from 1.
    pub line: u64,
    /// The heading of the column; `None` when it is the row as a whole.
    pub column: Option<String>,
    /// The value, shortened; empty when it is the row as a whole.
    pub value: String,
    /// What is wrong, for programs.
    pub code: RowCode,
    /// What is wrong, for people.
    pub why: String,
    /// The row's cells as they stand in the file; of a line that is no row, its start as one cell.
    pub cells: Vec<String>,
}

fn place(column: Option<&str>, value: &str) -> String {
    match column {
        Some(column) => format!(", {column} {value:?}"),
        None => String::new(),
    }
}

macro_rules! row_codes {
    ($($code:ident $name:literal $says:literal,)*) => {
        /// What is wrong with a row, for programs; a code never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[non_exhaustive]
        pub enum RowCode {
            $(
                #[doc = $says]
                #[serde(rename = $name)]
                $code,
            )*
        }

        impl RowCode {
            /// Every code.
            pub const ALL: &[RowCode] = &[$(RowCode::$code),*];

            /// The code as APIs and pages write it.
            pub fn name(self) -> &'static str {
                match self { $(RowCode::$code => $name),* }
            }

            /// What it means, for people.
            pub fn says(self) -> &'static str {
                match self { $(RowCode::$code => $says),* }
            }
        }
    };
}

row_codes! {
    NoAddress "no_address" "Neither an e-mail address nor a phone number.",
    BadEmail "bad_email" "The e-mail address cannot be one.",
    BadPhone "bad_phone" "The phone number cannot be one.",
    BadTimeZone "bad_time_zone" "There is no such time zone.",
    BadCountry "bad_country" "There is no such country.",
    BadState "bad_state" "There is no such state or province.",
    BadConsent "bad_consent" "Neither yes nor no.",
    BadTags "bad_tags" "Too many labels, or too long ones.",
    Duplicate "duplicate" "The address stands in an earlier row.",
    TooLong "too_long" "A value longer than its field.",
    LineBreak "line_break" "A line break in a value that has one line.",
    Control "control_character" "An invisible control character.",
    Damaged "damaged_text" "Letters were lost before the file was made.",
    Encoding "wrong_encoding" "The row is not in the file's encoding.",
    Width "wrong_width" "More values than the file has columns.",
    OpenQuote "open_quote" "A quote is opened and never closed.",
    AfterQuote "after_quote" "Text follows a closing quote.",
    RowTooLong "row_too_long" "A row longer than any real one.",
}

/// How far an import is, and what became of its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Rows read that are not blank; the sum of the next three.
    pub rows: u64,
    /// Rows that became contacts.
    pub contacts: u64,
    /// Rows whose address stands in an earlier row.
    pub duplicates: u64,
    /// Rows with another fault.
    pub failed: u64,
    /// Bytes of the file read so far.
    pub bytes: u64,
    /// How often each fault was found.
    pub by_code: BTreeMap<RowCode, u64>,
}

/// Reads contacts from a file, one row at a time, in memory bounded by [`MAX_ROWS`].
///
/// As an iterator it ends after the first [`ImportError`].
pub struct Rows<R> {
    splitter: Splitter<R>,
    separator: u8,
    mapping: Mapping,
    options: Options,
    headings: Vec<String>,
    seen: Seen,
    counts: Counts,
    /// A row that was read before its turn, to see whether it is the line by which Excel names its separator.
    first: Option<RawRow>,
    ended: bool,
}

impl<R: Read> Rows<R> {
    /// Reads the headings, if the file has any, and is ready for the first row.
    ///
    /// # Errors
    /// When the file cannot be read, is empty, its headings cannot be read or are not as many as the mapping has.
    pub fn new(source: R, format: Format, mapping: Mapping, options: Options) -> Result<Self, ImportError> {
        let separator = format.separator.byte();
        let mut splitter = Splitter::new(Decoder::new(source, format.encoding), separator);
        let mut first = splitter.next_row()?.ok_or(ImportError::Empty)?;
        if first.place.as_ref().is_ok_and(|place| is_separator_line(splitter.bytes(place.clone()))) {
            first = splitter.next_row()?.ok_or(ImportError::Empty)?;
        }
        let mapped = mapping.columns().len();
        let mut headings: Vec<String> = (1..=mapped).map(|number| format!("Column {number}")).collect();
        let mut kept = None;
        if format.header {
            headings = read_headings(&splitter, &first, separator)?;
            if headings.len() != mapped {
                return Err(ImportError::Mapping { mapped, found: headings.len() });
            }
        } else {
            kept = Some(first);
        }
        Ok(Self {
            splitter,
            separator,
            mapping,
            options,
            headings,
            seen: Seen::default(),
            counts: Counts::default(),
            first: kept,
            ended: false,
        })
    }

    /// The headings of the columns; `Column 1` and on when the file has none.
    pub fn headings(&self) -> &[String] {
        &self.headings
    }

    /// What became of the rows so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The next row that is not blank, or `None` at the end.
    ///
    /// # Errors
    /// When the file cannot be read on, or has more than [`MAX_ROWS`].
    pub fn next_row(&mut self) -> Result<Option<Row>, ImportError> {
        loop {
            let raw = match self.first.take() {
                Some(first) => Some(first),
                None => self.splitter.next_row()?,
            };
            self.counts.bytes = self.splitter.bytes_read();
            let Some(raw) = raw else { return Ok(None) };
            let Some(row) = self.row(raw) else { continue };
            if self.counts.rows == MAX_ROWS {
                return Err(ImportError::TooManyRows);
            }
            self.counts.rows += 1;
            match &row {
                Ok(_) => self.counts.contacts += 1,
                Err(error) => {
                    let duplicate = error.code == RowCode::Duplicate;
                    *if duplicate { &mut self.counts.duplicates } else { &mut self.counts.failed } += 1;
                    *self.counts.by_code.entry(error.code).or_default() += 1;
                }
            }
            return Ok(Some(row));
        }
    }

    /// What a row is; `None` when all its cells are empty.
    fn row(&mut self, raw: RawRow) -> Option<Row> {
        let line = raw.line;
        let whole = |code, why: String, cells| {
            Some(Err(RowError { line, column: None, value: String::new(), code, why, cells }))
        };
        let place = match raw.place {
            Ok(place) => place,
            Err(BadLine { why, excerpt }) => {
                let (code, why) = malformed(why);
                return whole(code, why, vec![String::from_utf8_lossy(&excerpt).into_owned()]);
            }
        };
        let bytes = self.splitter.bytes(place);
        let Ok(text) = std::str::from_utf8(bytes) else {
            let lossy = String::from_utf8_lossy(bytes);
            let why = "the row is not UTF-8; import the file again as windows-1252, or save it as CSV UTF-8";
            let cells = owned(&splitter::cells(&lossy, self.separator));
            return whole(RowCode::Encoding, why.to_owned(), cells);
        };
        let cells = splitter::cells(text, self.separator);
        let columns = self.headings.len();
        // Spreadsheets leave out trailing empty cells, so a short row is whole; one that is too long has only empty
        // cells too many, or is not what it seems.
        let filled = cells.iter().rposition(|cell| !cell.trim().is_empty())? + 1;
        if filled > columns {
            let why = format!(
                "{filled} values for {columns} columns; a value with the separator in it needs quotes"
            );
            return whole(RowCode::Width, why, owned(&cells));
        }
        let read = contact::read(&cells, &self.mapping, &self.options);
        let admitted = read.and_then(|contact| self.seen.admit(contact, line));
        Some(admitted.map_err(|Fault { column, value, code, why }| RowError {
            line,
            column: column.and_then(|at| self.headings.get(at)).map(|heading| contact::shown(heading)),
            value,
            code,
            why,
            cells: owned(&cells),
        }))
    }
}

impl<R: Read> Iterator for Rows<R> {
    type Item = Result<Row, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.next_row().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

fn read_headings<R: Read>(
    splitter: &Splitter<R>,
    first: &RawRow,
    separator: u8,
) -> Result<Vec<String>, ImportError> {
    let line = first.line;
    let bad = |why: String| ImportError::Header { line, why };
    let place = first.place.as_ref().map_err(|BadLine { why, .. }| bad(malformed(*why).1))?;
    let text = std::str::from_utf8(splitter.bytes(place.clone()))
        .map_err(|_| bad("it is not UTF-8; choose another encoding".to_owned()))?;
    let headings = splitter::cells(text, separator);
    if headings.len() > MAX_COLUMNS {
        return Err(ImportError::TooManyColumns(headings.len()));
    }
    Ok(headings.iter().map(|heading| heading.trim().to_owned()).collect())
}

fn owned(cells: &[Cow<'_, str>]) -> Vec<String> {
    cells.iter().map(|cell| cell.clone().into_owned()).collect()
}

pub(super) fn malformed(why: Malformed) -> (RowCode, String) {
    match why {
        Malformed::OpenQuote => (
            RowCode::OpenQuote,
            "a quote is opened and not closed where the value ends; delete it, or close it".to_owned(),
        ),
        Malformed::AfterQuote => (
            RowCode::AfterQuote,
            "text follows a closing quote; a quote within a value is written twice".to_owned(),
        ),
        Malformed::TooLong => (RowCode::RowTooLong, format!("the row is longer than {MAX_ROW_BYTES} bytes")),
    }
}

/// Every address met so far, by a keyed hash, with the line of its first row.
///
/// Sixty-four bits make two of a million addresses look alike once in 37 million files. The key is random so that
/// nobody can make a file of colliding addresses; nothing else depends on it.
#[derive(Default)]
struct Seen {
    key: RandomState,
    lines: HashMap<u64, u32>,
}

impl Seen {
    /// Passes a contact whose address, the e-mail if it has one and else the phone, was not met before.
    fn admit(&mut self, mut contact: ImportedContact, line: u64) -> Result<ImportedContact, Fault> {
        contact.line = line;
        let (hash, shown) = match (&contact.email, &contact.phone) {
            (Some(email), _) => (self.key.hash_one(email.key()), email.as_str()),
            (None, Some(phone)) => (self.key.hash_one(phone.as_str()), phone.as_str()),
            (None, None) => return Ok(contact),
        };
        match self.lines.get(&hash) {
            Some(first) => {
                let why = format!("{} stands in line {first} already", contact::shown(shown));
                Err(Fault { column: None, value: String::new(), code: RowCode::Duplicate, why })
            }
            None => {
                self.lines.insert(hash, u32::try_from(line).unwrap_or(u32::MAX));
                Ok(contact)
            }
        }
    }
}
