//! Rows of a comma-separated file, one at a time, with the line each starts on.
//!
//! A CSV parser that meets a quote that is never closed takes the rest of the file for one field, and all the
//! rows in it are lost without a word. Here a row is bounded, and a row that turns out bad gives back every line
//! but its first ([`RowSplitter::give_back`]), so that one wrong quote costs one row. It does not know what the
//! columns mean.

use std::{
    collections::VecDeque,
    io::{self, BufRead, Read},
};

/// The longest row, quoted line breaks included; past it a quote was left open or the file is no list.
pub(super) const MAX_ROW_BYTES: usize = 64 * 1024;

/// One row as it stands in the file, without its line end.
pub(super) struct RawRow {
    /// The line it starts on, from 1.
    pub(super) line: u64,
    /// Its bytes, or why they are no row.
    pub(super) bytes: Result<Vec<u8>, Malformed>,
}

/// Why some lines are not a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// A quote was opened and not closed within the bound.
    OpenQuote,
    /// Something other than a delimiter follows a closing quote.
    AfterQuote,
    /// A line without quotes is longer than the bound.
    TooLong,
}

/// Splits a file into rows.
pub(super) struct RowSplitter<R> {
    source: R,
    delimiter: u8,
    /// Lines that were read ahead of their turn, with their numbers.
    ahead: VecDeque<Line>,
    lines_read: u64,
    /// The lines of the row handed out last, kept until the next one is asked for.
    last: Vec<Line>,
}

struct Line {
    number: u64,
    /// With its line end.
    bytes: Vec<u8>,
    cut: bool,
}

/// Where a scan of a row's bytes ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scan {
    FieldStart,
    Plain,
    Quoted,
    QuoteInQuoted,
}

impl<R: BufRead> RowSplitter<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, delimiter: b',', ahead: VecDeque::new(), lines_read: 0, last: Vec::new() }
    }

    pub(super) fn set_delimiter(&mut self, delimiter: u8) {
        self.delimiter = delimiter;
    }

    /// The next row that is not blank, or `None` at the end of the file.
    pub(super) fn next_row(&mut self) -> io::Result<Option<RawRow>> {
        self.last.clear();
        loop {
            let Some(first) = self.next_line()? else { return Ok(None) };
            if !first.bytes.iter().all(u8::is_ascii_whitespace) {
                return self.row_from(first).map(Some);
            }
        }
    }

    /// Makes every line but the first of the row handed out last come again, each as the start of a row.
    pub(super) fn give_back(&mut self) {
        while self.last.len() > 1 {
            if let Some(line) = self.last.pop() {
                self.ahead.push_front(line);
            }
        }
    }

    fn row_from(&mut self, first: Line) -> io::Result<RawRow> {
        let line = first.number;
        let mut state = Scan::FieldStart;
        let mut bytes = Vec::new();
        let mut next = Some(first);
        while let Some(part) = next {
            let scanned = scan(&part.bytes, self.delimiter, state);
            let too_long = part.cut || bytes.len() + part.bytes.len() > MAX_ROW_BYTES;
            bytes.extend_from_slice(&part.bytes);
            self.last.push(part);
            state = match scanned {
                Ok(state) => state,
                Err(malformed) => return Ok(RawRow { line, bytes: Err(malformed) }),
            };
            if too_long {
                let why = if state == Scan::Quoted { Malformed::OpenQuote } else { Malformed::TooLong };
                return Ok(RawRow { line, bytes: Err(why) });
            }
            if state != Scan::Quoted {
                trim_line_end(&mut bytes);
                return Ok(RawRow { line, bytes: Ok(bytes) });
            }
            next = self.next_line()?;
        }
        Ok(RawRow { line, bytes: Err(Malformed::OpenQuote) })
    }

    fn next_line(&mut self) -> io::Result<Option<Line>> {
        if let Some(line) = self.ahead.pop_front() {
            return Ok(Some(line));
        }
        let mut bytes = Vec::new();
        let bound = MAX_ROW_BYTES as u64 + 1;
        self.source.by_ref().take(bound).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let cut = bytes.len() > MAX_ROW_BYTES && bytes.last() != Some(&b'\n');
        if cut {
            self.skip_to_line_end()?;
        }
        self.lines_read += 1;
        Ok(Some(Line { number: self.lines_read, bytes, cut }))
    }

    /// Passes over the rest of an overlong line without holding it.
    fn skip_to_line_end(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.source.fill_buf()?;
            let (used, ended) = match buffer.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            self.source.consume(used);
            if ended {
                return Ok(());
            }
        }
    }
}

/// Follows the quoting of one physical line; the line end inside a quoted field belongs to the field.
fn scan(bytes: &[u8], delimiter: u8, mut state: Scan) -> Result<Scan, Malformed> {
    for &byte in bytes {
        let separator = byte == delimiter || byte == b'\r' || byte == b'\n';
        state = match (state, byte) {
            (Scan::Quoted, b'"') => Scan::QuoteInQuoted,
            (Scan::Quoted, _) => Scan::Quoted,
            (Scan::QuoteInQuoted, b'"') => Scan::Quoted,
            (Scan::FieldStart, b'"') => Scan::Quoted,
            (_, _) if separator => Scan::FieldStart,
            (Scan::QuoteInQuoted, _) => return Err(Malformed::AfterQuote),
            // A quote inside a plain field is an ordinary character, as in `Bob "The Man" Smith`.
            _ => Scan::Plain,
        };
    }
    Ok(state)
}

fn trim_line_end(bytes: &mut Vec<u8>) {
    for end in [b'\n', b'\r'] {
        if bytes.last() == Some(&end) {
            bytes.pop();
        }
    }
}
