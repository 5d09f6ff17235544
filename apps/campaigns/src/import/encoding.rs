//! The letters of a file: UTF-8, UTF-16 as Excel's "Unicode text" has it, or Windows-1252 as old exports do.
//!
//! Everything becomes UTF-8 before it is split into rows. UTF-8 goes through unchecked, so that one damaged row costs
//! one row; a letter of the other encodings that cannot be read becomes U+FFFD, which is refused where it matters.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};

/// How much is read at a time.
const CHUNK_BYTES: usize = 64 * 1024;
/// The longest mark at the start of a file.
const MAX_MARK_BYTES: usize = 3;
/// The shares of NUL bytes, in percent, by which UTF-16 without a mark is known: Latin letters have one NUL each, all at
/// the even or all at the odd places.
const MANY_NULS: usize = 30;
const FEW_NULS: usize = 5;

/// How letters are written as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encoding {
    /// UTF-8, with or without a mark.
    #[serde(rename = "UTF-8")]
    Utf8,
    /// UTF-16, low byte first.
    #[serde(rename = "UTF-16LE")]
    Utf16Le,
    /// UTF-16, high byte first.
    #[serde(rename = "UTF-16BE")]
    Utf16Be,
    /// Western European Windows, which has every letter of Latin-1.
    #[serde(rename = "windows-1252")]
    Windows1252,
}

/// The letters of Windows-1252 from 0x80 to 0x9F; elsewhere it is Latin-1.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{fffd}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{fffd}', 'Ž', '\u{fffd}',
    '\u{fffd}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{fffd}', 'ž', 'Ÿ',
];

impl Encoding {
    /// What the start of a file is probably written in.
    pub(super) fn detect(head: &[u8]) -> Self {
        for encoding in [Encoding::Utf8, Encoding::Utf16Le, Encoding::Utf16Be] {
            if head.starts_with(encoding.mark()) {
                return encoding;
            }
        }
        let nul_percent = |from: usize| {
            let places = head.iter().skip(from).step_by(2);
            let count = places.clone().filter(|byte| **byte == 0).count();
            count * 100 / places.count().max(1)
        };
        match (nul_percent(0), nul_percent(1)) {
            (0..FEW_NULS, MANY_NULS..) => return Encoding::Utf16Le,
            (MANY_NULS.., 0..FEW_NULS) => return Encoding::Utf16Be,
            _ => {}
        }
        match std::str::from_utf8(head) {
            Ok(_) => Encoding::Utf8,
            // Only cut off at the end of what was looked at.
            Err(error) if error.error_len().is_none() => Encoding::Utf8,
            Err(_) => Encoding::Windows1252,
        }
    }

    fn mark(self) -> &'static [u8] {
        match self {
            Encoding::Utf8 => &[0xEF, 0xBB, 0xBF],
            Encoding::Utf16Le => &[0xFF, 0xFE],
            Encoding::Utf16Be => &[0xFE, 0xFF],
            // No text begins with what this would be; a mark of nothing would match every file.
            Encoding::Windows1252 => &[0xFF; 4],
        }
    }
}

/// Reads a file as UTF-8.
pub(super) struct Decoder<R> {
    source: R,
    encoding: Encoding,
    raw: Vec<u8>,
    /// Bytes at the start of `raw` that wait for the rest of their letter.
    waiting: usize,
    started: bool,
    bytes_read: u64,
}

impl<R: Read> Decoder<R> {
    pub(super) fn new(source: R, encoding: Encoding) -> Self {
        Self { source, encoding, raw: vec![0; CHUNK_BYTES], waiting: 0, started: false, bytes_read: 0 }
    }

    /// How many bytes of the file have been read.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Appends more text; `false` at the end of the file.
    pub(super) fn fill(&mut self, text: &mut Vec<u8>) -> io::Result<bool> {
        let (mut have, mut ended) = (self.waiting, false);
        let wanted = if self.started { self.waiting + 1 } else { MAX_MARK_BYTES };
        while have < wanted && !ended {
            match self.source.read(&mut self.raw[have..]) {
                Ok(0) => ended = true,
                Ok(read) => {
                    have += read;
                    self.bytes_read += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let mut from = 0;
        if !self.started {
            self.started = true;
            let mark = self.encoding.mark();
            from = if self.raw[..have].starts_with(mark) { mark.len() } else { 0 };
        }
        let used = from + decode(self.encoding, &self.raw[from..have], ended, text);
        self.raw.copy_within(used..have, 0);
        self.waiting = have - used;
        Ok(!ended)
    }
}

/// Appends the letters in `raw`, and says how many bytes they were; the last letter may wait for more.
fn decode(encoding: Encoding, raw: &[u8], ended: bool, text: &mut Vec<u8>) -> usize {
    match encoding {
        Encoding::Utf8 => {
            text.extend_from_slice(raw);
            raw.len()
        }
        Encoding::Windows1252 => {
            for byte in raw {
                match byte {
                    0x00..=0x7F => text.push(*byte),
                    0x80..=0x9F => push(text, WINDOWS_1252[usize::from(*byte) - 0x80]),
                    0xA0..=0xFF => push(text, char::from(*byte)),
                }
            }
            raw.len()
        }
        Encoding::Utf16Le => utf16(raw, u16::from_le_bytes, ended, text),
        Encoding::Utf16Be => utf16(raw, u16::from_be_bytes, ended, text),
    }
}

fn utf16(raw: &[u8], unit: fn([u8; 2]) -> u16, ended: bool, text: &mut Vec<u8>) -> usize {
    let mut units: Vec<u16> = raw.as_chunks::<2>().0.iter().map(|pair| unit(*pair)).collect();
    let half = units.last().is_some_and(|last| (0xD800..0xDC00).contains(last));
    if half && !ended {
        units.pop();
    }
    for letter in char::decode_utf16(units.iter().copied()) {
        push(text, letter.unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    if ended && raw.len() % 2 == 1 {
        push(text, char::REPLACEMENT_CHARACTER);
        return raw.len();
    }
    units.len() * 2
}

fn push(text: &mut Vec<u8>, letter: char) {
    text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
}
