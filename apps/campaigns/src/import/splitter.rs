//! Text to rows, and rows to cells.
//!
//! A CSV parser that meets a quote which is never closed takes the rest of the file for one cell, and all the rows in
//! it are lost without a word. Here a row is bounded in bytes and lines, and of a row that turns out bad only the
//! first line is passed over, so that one wrong quote costs one row. The bound on lines also bounds the work: a file
//! of nothing but open quotes is read at most [`MAX_ROW_LINES`] times over. It does not know what columns mean.

use std::{
    borrow::Cow,
    io::{self, Read},
    ops::Range,
};

use super::encoding::Decoder;

/// The longest row, line breaks within quotes included, in bytes of UTF-8.
pub const MAX_ROW_BYTES: usize = 64 * 1024;
/// The most lines of a row; past them a quote was left open.
pub const MAX_ROW_LINES: u64 = 200;
/// How much of a bad line is kept to show it.
const EXCERPT_BYTES: usize = 1_000;

/// One row as it stands in the file.
pub(super) struct RawRow {
    /// The line it starts on, from 1.
    pub(super) line: u64,
    /// Where its bytes are, without the line end, until the next row is asked for; or why it is none.
    pub(super) place: Result<Range<usize>, BadLine>,
}

/// A line that begins no row.
pub(super) struct BadLine {
    pub(super) why: Malformed,
    /// Its start.
    pub(super) excerpt: Vec<u8>,
}

/// Why some lines are not a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// A quote was opened and not closed within the bounds, or only by the quote of a later row.
    OpenQuote,
    /// Something other than a separator follows a closing quote.
    AfterQuote,
    /// Longer than the bound.
    TooLong,
}

/// Splits a text into rows. A row ends at LF, CRLF or CR outside quotes; blank lines are passed over.
pub(super) struct Splitter<R> {
    decoder: Decoder<R>,
    separator: u8,
    window: Vec<u8>,
    /// Where the next row begins in the window.
    start: usize,
    ended: bool,
    /// The line on which the next row begins.
    line: u64,
}

/// Where a scan of a row's bytes stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scan {
    CellStart,
    Plain,
    Quoted,
    QuoteInQuoted,
}

/// What a scan came to: the length of a row and the lines it has, or why it is none.
enum Scanned {
    Row { length: usize, lines: u64 },
    Bad(Malformed),
}

impl<R: Read> Splitter<R> {
    pub(super) fn new(decoder: Decoder<R>, separator: u8) -> Self {
        Self { decoder, separator, window: Vec::new(), start: 0, ended: false, line: 1 }
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.decoder.bytes_read()
    }

    /// The bytes of the row handed out last.
    pub(super) fn bytes(&self, place: Range<usize>) -> &[u8] {
        self.window.get(place).unwrap_or_default()
    }

    /// The next row that is not blank, or `None` at the end.
    pub(super) fn next_row(&mut self) -> io::Result<Option<RawRow>> {
        while self.has(0)? {
            let line = self.line;
            let place = match self.scan()? {
                Scanned::Row { length, lines } => {
                    let place = self.start..self.start + length;
                    self.start += length;
                    self.pass_line_end()?;
                    self.line += lines;
                    Ok(place)
                }
                Scanned::Bad(why) => {
                    self.line += 1;
                    Err(BadLine { why, excerpt: self.pass_line()? })
                }
            };
            let blank = place.as_ref().is_ok_and(|place| self.window[place.clone()].trim_ascii().is_empty());
            if !blank {
                return Ok(Some(RawRow { line, place }));
            }
        }
        Ok(None)
    }

    /// Whether there is a byte `at` places behind the start, read from the file if need be.
    fn has(&mut self, at: usize) -> io::Result<bool> {
        while self.start + at >= self.window.len() && !self.ended {
            self.window.drain(..self.start);
            self.start = 0;
            self.ended = !self.decoder.fill(&mut self.window)?;
        }
        Ok(self.start + at < self.window.len())
    }

    fn scan(&mut self) -> io::Result<Scanned> {
        let mut state = Scan::CellStart;
        let (mut at, mut lines) = (0, 1);
        while self.has(at)? {
            let byte = self.window[self.start + at];
            let ends = byte == b'\n' || byte == b'\r';
            state = match (state, byte) {
                (Scan::Quoted, b'"') => Scan::QuoteInQuoted,
                (Scan::Quoted, _) => {
                    // Of CRLF only the second counts.
                    let crlf =
                        byte == b'\r' && self.has(at + 1)? && self.window[self.start + at + 1] == b'\n';
                    lines += u64::from(ends && !crlf);
                    if lines > MAX_ROW_LINES {
                        return Ok(Scanned::Bad(Malformed::OpenQuote));
                    }
                    Scan::Quoted
                }
                (Scan::QuoteInQuoted | Scan::CellStart, b'"') => Scan::Quoted,
                (_, _) if ends => return Ok(Scanned::Row { length: at, lines }),
                (_, _) if byte == self.separator => Scan::CellStart,
                // Blanks around quotes, as people write them by hand.
                (Scan::CellStart | Scan::QuoteInQuoted, b' ') => state,
                // Lines later, it is the next quote that closed one left open.
                (Scan::QuoteInQuoted, _) if lines > 1 => return Ok(Scanned::Bad(Malformed::OpenQuote)),
                (Scan::QuoteInQuoted, _) => return Ok(Scanned::Bad(Malformed::AfterQuote)),
                // A quote inside a plain cell is an ordinary character, as in `Bob "The Man" Smith`.
                (Scan::CellStart | Scan::Plain, _) => Scan::Plain,
            };
            at += 1;
            if at > MAX_ROW_BYTES {
                let why = if state == Scan::Quoted { Malformed::OpenQuote } else { Malformed::TooLong };
                return Ok(Scanned::Bad(why));
            }
        }
        Ok(match state {
            Scan::Quoted => Scanned::Bad(Malformed::OpenQuote),
            _ => Scanned::Row { length: at, lines },
        })
    }

    /// Passes over LF, CRLF or CR at the start. The row before stays where it is in the window.
    fn pass_line_end(&mut self) -> io::Result<()> {
        let Some(&first) = self.window.get(self.start) else { return Ok(()) };
        while first == b'\r' && self.start + 1 == self.window.len() && !self.ended {
            self.ended = !self.decoder.fill(&mut self.window)?;
        }
        let crlf = first == b'\r' && self.window.get(self.start + 1) == Some(&b'\n');
        self.start += if crlf { 2 } else { 1 };
        Ok(())
    }

    /// Passes over the first line without holding it; gives its start.
    fn pass_line(&mut self) -> io::Result<Vec<u8>> {
        let mut excerpt = Vec::new();
        while self.has(0)? {
            let rest = &self.window[self.start..];
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let part = &rest[..end.unwrap_or(rest.len())];
            excerpt.extend_from_slice(&part[..part.len().min(EXCERPT_BYTES - excerpt.len())]);
            self.start += part.len();
            if end.is_some() {
                self.pass_line_end()?;
                break;
            }
        }
        Ok(excerpt)
    }
}

/// The cells of a row, without the quotes around them.
pub(super) fn cells(row: &str, separator: u8) -> Vec<Cow<'_, str>> {
    let mut cells = Vec::with_capacity(16);
    let mut rest = row;
    loop {
        let opened = rest.trim_start_matches(' ').strip_prefix('"');
        let (cell, after) = match opened {
            Some(quoted) => quoted_cell(quoted),
            None => {
                let end = rest.bytes().position(|byte| byte == separator).unwrap_or(rest.len());
                (Cow::Borrowed(&rest[..end]), &rest[end..])
            }
        };
        cells.push(cell);
        // Behind a closing quote there are blanks at most, by the scan.
        let end = after.bytes().position(|byte| byte == separator);
        match end {
            Some(end) => rest = &after[end + 1..],
            None => return cells,
        }
    }
}

/// The text up to the closing quote, and what follows the quote.
fn quoted_cell(quoted: &str) -> (Cow<'_, str>, &str) {
    let mut text = Cow::Borrowed("");
    let mut rest = quoted;
    loop {
        let end = rest.find('"').unwrap_or(rest.len());
        let (part, after) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
        let doubled = after.starts_with('"');
        let part = if doubled { &rest[..=end] } else { part };
        if text.is_empty() {
            text = Cow::Borrowed(part);
        } else {
            text.to_mut().push_str(part);
        }
        if !doubled {
            return (text, after);
        }
        rest = &after[1..];
    }
}
