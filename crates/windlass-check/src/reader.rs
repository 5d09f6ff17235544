//! Reads a history line by line, and says which line is none.

use crate::format::{Header, Line, VERSION};
use std::io::{self, BufRead};

/// Why a file is not a history that can be judged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The file cannot be read.
    #[error("line {line}: cannot be read: {cause}")]
    Io {
        /// Where.
        line: u64,
        /// Why.
        cause: io::Error,
    },
    /// It does not begin as a history.
    #[error("line 1: not a history: it must begin with {{\"windlass_history\":{VERSION},…}}: {why}")]
    NotAHistory {
        /// What is there instead.
        why: String,
    },
    /// It was written by another version.
    #[error("line 1: a history of version {found}; this program reads version {VERSION}")]
    Version {
        /// Its version.
        found: u64,
    },
    /// A line says nothing that the format knows.
    #[error("line {line}: {why}")]
    Line {
        /// Which.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
}

/// The lines of a history after its header, each with its number.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    from: R,
    text: Vec<u8>,
    pub(crate) number: u64,
    pub(crate) torn: u64,
    /// The last line read had no newline yet: the next byte, should the file grow, only ends it.
    open_ended: bool,
}

/// The number of the version alone, so that another version is told from another file.
#[derive(serde::Deserialize)]
struct Versioned {
    windlass_history: u64,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn open(from: R) -> Result<(Header, Self), HistoryError> {
        let mut lines = Self { from, text: Vec::new(), number: 0, torn: 0, open_ended: false };
        let not_a_history = |why: String| HistoryError::NotAHistory { why };
        if !lines.read()? {
            return Err(not_a_history("the file is empty".into()));
        }
        let versioned: Versioned =
            serde_json::from_slice(&lines.text).map_err(|why| not_a_history(in_words(&why)))?;
        if versioned.windlass_history != u64::from(VERSION) {
            return Err(HistoryError::Version { found: versioned.windlass_history });
        }
        let header = serde_json::from_slice(&lines.text).map_err(|why| not_a_history(in_words(&why)))?;
        Ok((header, lines))
    }

    /// The next line that is not empty; false at the end of the file as it stands now.
    fn read(&mut self) -> Result<bool, HistoryError> {
        loop {
            self.text.clear();
            let read = self.from.read_until(b'\n', &mut self.text);
            self.number += 1;
            let read = read.map_err(|cause| HistoryError::Io { line: self.number, cause })?;
            if read == 0 {
                self.number -= 1;
                return Ok(false);
            }
            if std::mem::replace(&mut self.open_ended, self.text.last() != Some(&b'\n')) && self.text == b"\n"
            {
                self.number -= 1;
            }
            if !self.text.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }

    /// The next whole line; none at the end. A line that stops in the middle was torn by a kill and is left out.
    pub(crate) fn next(&mut self) -> Result<Option<Line>, HistoryError> {
        while self.read()? {
            // Without its end: a line that was torn inside a text must look torn, not as if it held a line feed.
            match serde_json::from_slice(self.text.trim_ascii_end()) {
                Ok(line) => return Ok(Some(line)),
                Err(why) if why.is_eof() => self.torn += 1,
                Err(why) => {
                    return Err(HistoryError::Line { line: self.number, why: in_words(&why) });
                }
            }
        }
        Ok(None)
    }
}

/// What is wrong with a line of JSON. The parser counts lines too, and sees only one.
fn in_words(why: &serde_json::Error) -> String {
    let text = why.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    format!("{what} (column {})", why.column())
}
