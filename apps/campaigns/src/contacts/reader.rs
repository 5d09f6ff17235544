//! A user's own list: `name`, `email`, `phone`, `timezone` in any order, under the names people give them.
//!
//! It owns what a column is called, what an address must look like and what counts as a duplicate. Rows come
//! from [`super::rows`]; a row is a contact or a [`BadRow`], never neither.

use std::{
    collections::HashMap,
    fmt,
    fs::File,
    hash::{BuildHasher, RandomState},
    io::{self, BufReader, Read},
    path::Path,
};

use thiserror::Error;

use super::{
    Contact,
    rows::{MAX_ROW_BYTES, Malformed, RowSplitter},
};

/// The most columns of a file; spreadsheets have hundreds at worst.
const MAX_COLUMNS: usize = 1_000;
/// The longest e-mail address (RFC 5321, section 4.5.3.1.3, less the brackets).
const MAX_EMAIL_BYTES: usize = 254;
/// How many digits a phone number has (E.164; below 8 it cannot carry a country code and a subscriber).
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 8..=15;
/// How much of a bad value is shown, so that a message stays one line.
const SHOWN_CHARS: usize = 60;

/// Reads contacts from a file, one row at a time, in bounded memory but for 24 bytes an address.
pub struct ContactReader {
    rows: RowSplitter<Box<dyn io::BufRead + Send>>,
    columns: Columns,
    delimiter: u8,
    seen: Seen,
    line_of_header: u64,
}

/// What one row became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// Somebody to reach.
    Contact(Contact),
    /// A row that was skipped, and why.
    Bad(BadRow),
}

/// A row that is not a contact.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {reason}")]
pub struct BadRow {
    /// The line of the file on which the row starts, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: Reason,
}

/// Why a row is not a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Neither an e-mail address nor a phone number.
    NoAddress,
    /// The e-mail address cannot be one.
    BadEmail(String),
    /// The phone number is not one with its country code.
    BadPhone(String),
    /// The address stands in an earlier row already.
    Duplicate {
        /// The address.
        address: String,
        /// The line of its first appearance.
        first_line: u64,
    },
    /// More values than the header has columns, so that nobody can tell which is which.
    TooManyFields {
        /// Values in the row.
        fields: usize,
        /// Columns in the header.
        columns: usize,
    },
    /// Not UTF-8.
    NotUtf8,
    /// A line break within a name or an address, the trace of a misplaced quote.
    LineBreak(&'static str),
    /// A quote that is opened and never closed.
    OpenQuote,
    /// Text between a closing quote and the next delimiter.
    AfterQuote,
    /// A row longer than any real one.
    TooLong,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NoAddress => f.write_str("neither an e-mail address nor a phone number"),
            Reason::BadEmail(value) => write!(f, "{value:?} is not an e-mail address"),
            Reason::BadPhone(value) => {
                write!(f, "{value:?} is not a phone number with its country code, as in +15551234567")
            }
            Reason::Duplicate { address, first_line } => {
                write!(f, "{address} stands in line {first_line} already")
            }
            Reason::TooManyFields { fields, columns } => {
                write!(f, "{fields} values for {columns} columns; a value with a comma needs quotes")
            }
            Reason::NotUtf8 => f.write_str("not UTF-8"),
            Reason::LineBreak(column) => write!(f, "a line break within the {column}"),
            Reason::OpenQuote => f.write_str("a quote is opened and never closed"),
            Reason::AfterQuote => f.write_str("text follows a closing quote"),
            Reason::TooLong => write!(f, "longer than {MAX_ROW_BYTES} bytes"),
        }
    }
}

/// The file as a whole cannot be read as a list of contacts.
#[derive(Debug, Error)]
pub enum ContactsError {
    /// The system refused.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// There is no header row.
    #[error("{0}: the file is empty; it needs a header row such as name,email,phone,timezone")]
    Empty(String),
    /// The file is UTF-16.
    #[error("{0}: the file is UTF-16; save it as CSV UTF-8")]
    Utf16(String),
    /// The header cannot be understood.
    #[error("{path}, line {line}: {why}")]
    Header {
        /// The file.
        path: String,
        /// The line of the header, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Name,
    Email,
    Phone,
    Timezone,
}

struct Columns {
    known: Vec<Option<Known>>,
    extra: Vec<String>,
}

/// Every address met so far, by a keyed 128-bit fingerprint, with the line of its first appearance.
#[derive(Default)]
struct Seen {
    keys: [RandomState; 2],
    lines: HashMap<u128, u64>,
}

impl ContactReader {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// When the file cannot be read or its first row names neither an e-mail nor a phone column.
    pub fn open(path: &Path) -> Result<Self, ContactsError> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| ContactsError::Io { path: name.clone(), error })?;
        Self::from_reader(file, &name)
    }

    /// Reads a list from anywhere; `name` stands for it in messages.
    ///
    /// # Errors
    /// As [`ContactReader::open`].
    pub fn from_reader(source: impl Read + Send + 'static, name: &str) -> Result<Self, ContactsError> {
        let failed = |error| ContactsError::Io { path: name.to_owned(), error };
        let source = without_bom(source, name)?;
        let mut rows = RowSplitter::new(source);
        let header = rows.next_row().map_err(failed)?.ok_or_else(|| ContactsError::Empty(name.to_owned()))?;
        let line = header.line;
        let bad = |why: String| ContactsError::Header { path: name.to_owned(), line, why };
        let bytes = header.bytes.map_err(|malformed| bad(Reason::from(malformed).to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| bad(Reason::NotUtf8.to_string()))?;
        if text.contains('\r') {
            return Err(bad("lines end with CR alone; save the file with LF or CRLF".to_owned()));
        }
        let delimiter = delimiter_of(&text);
        rows.set_delimiter(delimiter);
        let columns = Columns::parse(&split(text.as_bytes(), delimiter)).map_err(bad)?;
        Ok(Self { rows, columns, delimiter, seen: Seen::default(), line_of_header: line })
    }

    /// The names of the columns that are kept without being understood, in the order of [`Contact::extra`].
    pub fn extra_columns(&self) -> &[String] {
        &self.columns.extra
    }

    /// The line of the header row, from 1.
    pub fn line_of_header(&self) -> u64 {
        self.line_of_header
    }

    /// The next row, or `None` at the end.
    ///
    /// # Errors
    /// When the system fails to read on.
    pub fn next_row(&mut self) -> io::Result<Option<Row>> {
        let Some(raw) = self.rows.next_row()? else { return Ok(None) };
        let read = raw.bytes.map_err(Reason::from).and_then(|bytes| self.contact(&bytes, raw.line));
        Ok(Some(match read {
            Ok(contact) => Row::Contact(contact),
            Err(reason) => {
                self.rows.give_back();
                Row::Bad(BadRow { line: raw.line, reason })
            }
        }))
    }

    fn contact(&mut self, bytes: &[u8], line: u64) -> Result<Contact, Reason> {
        let fields = split(bytes, self.delimiter);
        let columns = self.columns.known.len();
        // Spreadsheets leave out trailing empty cells, so a short row is whole; one that is too long has only
        // empty cells too many, or is not what it seems.
        if fields.iter().skip(columns).any(|field| !field.trim_ascii().is_empty()) {
            return Err(Reason::TooManyFields { fields: fields.len(), columns });
        }
        let mut contact =
            Contact { extra: Vec::with_capacity(self.columns.extra.len()), ..Contact::default() };
        for (position, known) in self.columns.known.iter().enumerate() {
            let bytes = fields.get(position).map_or(&[][..], Vec::as_slice);
            let value = std::str::from_utf8(bytes).map_err(|_| Reason::NotUtf8)?;
            contact.set(*known, value)?;
        }
        if contact.email.is_none() && contact.phone.is_none() {
            return Err(Reason::NoAddress);
        }
        self.seen.admit(&contact, line)?;
        Ok(contact)
    }
}

impl Iterator for ContactReader {
    type Item = io::Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_row().transpose()
    }
}

impl Contact {
    fn set(&mut self, known: Option<Known>, value: &str) -> Result<(), Reason> {
        let Some(known) = known else {
            self.extra.push(value.to_owned());
            return Ok(());
        };
        let value = value.trim();
        if value.contains(['\n', '\r']) {
            return Err(Reason::LineBreak(known.name()));
        }
        if value.is_empty() {
            return Ok(());
        }
        match known {
            Known::Name => self.name = value.to_owned(),
            Known::Timezone => self.timezone = Some(value.to_owned()),
            Known::Email => {
                let whole = value.len() <= MAX_EMAIL_BYTES && value.parse::<lettre::Address>().is_ok();
                self.email =
                    Some(if whole { value.to_owned() } else { return Err(Reason::BadEmail(shown(value))) });
            }
            Known::Phone => {
                self.phone = Some(e164(value).ok_or_else(|| Reason::BadPhone(shown(value)))?);
            }
        }
        Ok(())
    }
}

impl Columns {
    fn parse(header: &[Vec<u8>]) -> Result<Self, String> {
        if header.len() > MAX_COLUMNS {
            return Err(format!("{} columns are more than {MAX_COLUMNS}", header.len()));
        }
        let mut columns = Columns { known: Vec::new(), extra: Vec::new() };
        for name in header {
            let name = String::from_utf8_lossy(name).trim().to_owned();
            let known = Known::of(&name);
            match known {
                Some(known) if columns.known.contains(&Some(known)) => {
                    return Err(format!(
                        "the {} column appears twice, the second time as {name:?}",
                        known.name()
                    ));
                }
                Some(_) => {}
                None => columns.extra.push(name),
            }
            columns.known.push(known);
        }
        if !columns.known.contains(&Some(Known::Email)) && !columns.known.contains(&Some(Known::Phone)) {
            let names: Vec<String> = columns.extra.iter().take(10).map(|name| shown(name)).collect();
            return Err(format!(
                "no e-mail or phone column among {names:?}; the first row must name the columns, as in \
                 name,email,phone,timezone"
            ));
        }
        Ok(columns)
    }
}

impl Known {
    fn of(name: &str) -> Option<Self> {
        let plain: String = name.chars().filter(|c| !matches!(c, ' ' | '_' | '-')).collect();
        Some(match plain.to_lowercase().as_str() {
            "name" | "fullname" | "contact" | "contactname" => Known::Name,
            "email" | "mail" | "emailaddress" | "mailaddress" => Known::Email,
            "phone" | "mobile" | "cell" | "cellphone" | "telephone" | "tel" | "phonenumber"
            | "mobilephone" | "mobilenumber" => Known::Phone,
            "timezone" | "tz" => Known::Timezone,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Known::Name => "name",
            Known::Email => "e-mail address",
            Known::Phone => "phone number",
            Known::Timezone => "time zone",
        }
    }
}

impl Seen {
    /// Takes both addresses of a contact, or neither.
    fn admit(&mut self, contact: &Contact, line: u64) -> Result<(), Reason> {
        let addresses = [&contact.email, &contact.phone];
        let mut fresh = Vec::with_capacity(addresses.len());
        for address in addresses.into_iter().flatten() {
            let folded = address.to_lowercase();
            let [high, low] = [&self.keys[0], &self.keys[1]].map(|key| key.hash_one(&folded));
            let fingerprint = (u128::from(high) << 64) | u128::from(low);
            if let Some(first_line) = self.lines.get(&fingerprint) {
                return Err(Reason::Duplicate { address: address.clone(), first_line: *first_line });
            }
            fresh.push(fingerprint);
        }
        self.lines.extend(fresh.into_iter().map(|fingerprint| (fingerprint, line)));
        Ok(())
    }
}

impl From<Malformed> for Reason {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::OpenQuote => Reason::OpenQuote,
            Malformed::AfterQuote => Reason::AfterQuote,
            Malformed::TooLong => Reason::TooLong,
        }
    }
}

fn without_bom(
    mut source: impl Read + Send + 'static,
    name: &str,
) -> Result<Box<dyn io::BufRead + Send>, ContactsError> {
    let failed = |error| ContactsError::Io { path: name.to_owned(), error };
    let mut start = Vec::new();
    source.by_ref().take(3).read_to_end(&mut start).map_err(failed)?;
    if start.starts_with(&[0xFF, 0xFE]) || start.starts_with(&[0xFE, 0xFF]) {
        return Err(ContactsError::Utf16(name.to_owned()));
    }
    if start == [0xEF, 0xBB, 0xBF] {
        start.clear();
    }
    Ok(Box::new(BufReader::new(io::Cursor::new(start).chain(source))))
}

/// The delimiter under which the header has the most columns we know; spreadsheets write `;` in half the world.
fn delimiter_of(header: &str) -> u8 {
    let known = |delimiter: u8| {
        let fields = split(header.as_bytes(), delimiter);
        fields.iter().filter(|field| Known::of(String::from_utf8_lossy(field).trim()).is_some()).count()
    };
    let mut best = b',';
    for delimiter in [b';', b'\t'] {
        if known(delimiter) > known(best) {
            best = delimiter;
        }
    }
    best
}

fn split(row: &[u8], delimiter: u8) -> Vec<Vec<u8>> {
    let mut record = csv::ByteRecord::new();
    let read = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .buffer_capacity(row.len().max(1))
        .from_reader(row)
        .read_byte_record(&mut record);
    match read {
        Ok(true) => record.iter().map(<[u8]>::to_vec).collect(),
        // Reading from memory cannot fail; an empty row has no fields.
        Ok(false) | Err(_) => Vec::new(),
    }
}

/// The number in E.164, or `None` when it has no country code or cannot be a number.
fn e164(value: &str) -> Option<String> {
    let plain: String =
        value.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}')).collect();
    let digits = plain.strip_prefix('+').or_else(|| plain.strip_prefix("00"))?;
    let whole = PHONE_DIGITS.contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0');
    whole.then(|| format!("+{digits}"))
}

fn shown(value: &str) -> String {
    value.chars().take(SHOWN_CHARS).collect()
}
