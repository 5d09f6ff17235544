//! A look at the head of a file: how it is written, what its columns probably mean, and its first rows to show.

use serde::{Deserialize, Serialize};

use super::{
    Encoding, ImportError, MAX_COLUMNS, Mapping, SNIFF_BYTES, Target, contact,
    encoding::Decoder,
    guess,
    rows::malformed,
    splitter::{self, Splitter},
};
use crate::optout::Country;

/// How many rows are looked at, the headings included.
const LOOKED_AT_ROWS: usize = 25;
/// How many rows are shown.
const SHOWN_ROWS: usize = 10;
/// The longest first row: as many columns as there may be, with 32 letters each. A file without lines is one such row.
const MAX_HEADINGS_BYTES: usize = 16 * 1024;
/// What other kinds of files begin with.
const OTHER_KINDS: &[(&[u8], &str)] = &[
    (b"PK\x03\x04", "an Excel workbook or another zip archive"),
    (b"\xD0\xCF\x11\xE0", "an old Excel workbook"),
    (b"%PDF", "a PDF"),
    (b"\x1F\x8B", "a compressed file"),
    (b"<!DOCTYPE", "a web page"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (b"<?xml", "XML"),
    (b"BEGIN:VCARD", "a file of vCards"),
    (b"SQLite format 3", "a database"),
    (b"{\"", "JSON"),
    (b"[{", "JSON"),
];

/// What stands between two cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Separator {
    /// `,`
    Comma,
    /// `;`, as spreadsheets write in half the world.
    Semicolon,
    /// A tab.
    Tab,
    /// `|`
    Bar,
}

impl Separator {
    /// Every separator; of two that fit alike, the first is taken.
    pub const ALL: [Separator; 4] = [Separator::Comma, Separator::Semicolon, Separator::Tab, Separator::Bar];

    /// The character.
    pub fn byte(self) -> u8 {
        match self {
            Separator::Comma => b',',
            Separator::Semicolon => b';',
            Separator::Tab => b'\t',
            Separator::Bar => b'|',
        }
    }
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// Its letters.
    pub encoding: Encoding,
    /// What stands between its cells.
    pub separator: Separator,
    /// Whether its first row is headings.
    pub header: bool,
}

/// What a look at the head of a file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// How it is probably written.
    pub format: Format,
    /// The headings; `Column 1` and on when it has none.
    pub headings: Vec<String>,
    /// The first rows, values shortened, all as wide as the headings.
    pub rows: Vec<Vec<String>>,
    /// What each column probably means, to be made a [`Mapping`] once somebody has agreed.
    pub columns: Vec<Target>,
    /// What somebody should know before agreeing.
    pub notes: Vec<String>,
}

impl Preview {
    /// The proposed mapping.
    ///
    /// # Errors
    /// When no column seems to be an address.
    pub fn mapping(&self) -> Result<Mapping, super::BadMapping> {
        Mapping::new(self.columns.clone())
    }
}

/// Looks at the first bytes of a file, at best [`SNIFF_BYTES`]; `home` is where phone numbers without a country code
/// are from.
///
/// # Errors
/// When the file is empty, of another kind, its first row cannot be read, or it has more than [`MAX_COLUMNS`].
pub fn sniff(head: &[u8], home: Option<Country>) -> Result<Preview, ImportError> {
    let head = &head[..head.len().min(SNIFF_BYTES)];
    let start = head.trim_ascii_start();
    if let Some((_, kind)) = OTHER_KINDS.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Err(ImportError::NotCsv(kind));
    }
    let encoding = Encoding::detect(head);
    if encoding == Encoding::Utf8 && head.contains(&0) {
        return Err(ImportError::NotCsv("a file with NUL bytes, which no text has"));
    }
    let mut looks: Vec<(Look, Separator)> = Separator::ALL
        .into_iter()
        .map(|separator| (Look::at(head, encoding, separator), separator))
        .collect();
    // The last of several best would win; the first shall.
    looks.reverse();
    let Some((look, separator)) = looks.into_iter().max_by_key(|(look, _)| look.score()) else {
        return Err(ImportError::Empty);
    };
    if let Some(error) = look.error {
        return Err(error);
    }
    let mut rows = look.rows.into_iter();
    let first = rows.next().ok_or(ImportError::Empty)?;
    if first.len() > MAX_COLUMNS {
        return Err(ImportError::TooManyColumns(first.len()));
    }
    if first.iter().map(String::len).sum::<usize>() > MAX_HEADINGS_BYTES {
        let why = format!(
            "it is longer than {MAX_HEADINGS_BYTES} bytes; is this a list with a row for each contact?"
        );
        return Err(ImportError::Header { line: 1, why });
    }
    let header = is_header(&first);
    let format = Format { encoding, separator, header };
    let width = first.len();
    let headings: Vec<String> = if header {
        first.iter().map(|heading| heading.trim().to_owned()).collect()
    } else {
        (1..=width).map(|number| format!("Column {number}")).collect()
    };
    let all: Vec<Vec<String>> =
        if header { rows.collect() } else { std::iter::once(first).chain(rows).collect() };
    let columns = guess::columns(&headings, header, &all, home);
    let mut notes = notes(format, &columns);
    if all.is_empty() {
        notes.push("There is no row below the headings.".to_owned());
    }
    let shown = |row: &Vec<String>| {
        (0..width).map(|at| row.get(at).map_or_else(String::new, |cell| contact::shown(cell))).collect()
    };
    let rows = all.iter().take(SHOWN_ROWS).map(shown).collect();
    Ok(Preview { format, headings, rows, columns, notes })
}

fn notes(format: Format, columns: &[Target]) -> Vec<String> {
    let mut notes = Vec::new();
    if format.encoding == Encoding::Windows1252 {
        notes.push(
            "The file is not UTF-8 and is read as windows-1252; look at letters such as é below.".to_owned(),
        );
    }
    if !format.header {
        notes.push("The first row has an address, so that the file seems to have no headings.".to_owned());
    }
    if !columns.iter().any(|target| matches!(target, Target::Email | Target::Phone)) {
        notes.push("No column looks like an e-mail address or a phone number; choose one.".to_owned());
    }
    notes
}

/// The head of a file, split by one separator.
struct Look {
    rows: Vec<Vec<String>>,
    named: bool,
    error: Option<ImportError>,
}

impl Look {
    fn at(head: &[u8], encoding: Encoding, separator: Separator) -> Self {
        let mut look = Self { rows: Vec::new(), named: false, error: None };
        let mut splitter = Splitter::new(Decoder::new(head, encoding), separator.byte());
        while look.rows.len() < LOOKED_AT_ROWS {
            // Reading from memory cannot fail.
            let Ok(Some(row)) = splitter.next_row() else { break };
            let place = match row.place {
                Ok(place) => place,
                Err(bad) if look.rows.is_empty() => {
                    look.error = Some(ImportError::Header { line: row.line, why: malformed(bad.why).1 });
                    break;
                }
                Err(_) => continue,
            };
            let bytes = splitter.bytes(place);
            if look.rows.is_empty() && is_separator_line(bytes) {
                look.named = bytes.get(4) == Some(&separator.byte());
                continue;
            }
            let text = String::from_utf8_lossy(bytes);
            let cells: Vec<String> =
                splitter::cells(&text, separator.byte()).into_iter().map(|cell| cell.into_owned()).collect();
            if cells.iter().any(|cell| !cell.trim().is_empty()) {
                look.rows.push(cells);
            }
        }
        // The last row may be cut off where the look ends.
        if head.len() == SNIFF_BYTES && look.rows.len() > 2 && look.rows.len() < LOOKED_AT_ROWS {
            look.rows.pop();
        }
        look
    }

    /// Larger is likelier: named by Excel, then known headings, then rows as wide as the first.
    fn score(&self) -> (bool, usize, usize, usize) {
        let Some(first) = self.rows.first() else { return (self.named, 0, 0, 0) };
        let known = first.iter().filter(|heading| guess::is_known(heading)).count();
        let width = first.len();
        let alike = if width > 1 { self.rows.iter().filter(|row| row.len() == width).count() } else { 0 };
        (self.named, known, alike, width)
    }
}

/// Whether a row is the line by which Excel names its separator, as in `sep=;`.
pub(super) fn is_separator_line(row: &[u8]) -> bool {
    row.len() <= 5 && row.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"sep="))
}

fn is_header(first: &[String]) -> bool {
    !first.iter().any(|cell| guess::is_address(cell))
}
