//! What a text message costs: its encoding and its segments, counted as the network counts.
//!
//! A message whose every character is in the GSM 7-bit alphabet (3GPP TS 23.038, section 6.2.1) has 160 of them in
//! one segment or 153 in each of several; a single other character makes the whole message UCS-2, with 70 or 67. A
//! character of the extension table takes two places, and neither it nor a surrogate pair is cut by a segment's end.
//! Most messages lose the short encoding to a curly quote from a word processor; [`plainer`] says what to write.

use serde::Serialize;

/// The most characters that a provider takes in one message (Twilio answers 21617 above it).
pub const MAX_CHARS: usize = 1_600;

/// The basic table, without the escape to the extension.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZ\
    ÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// The extension table: an escape and a character.
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// Characters outside the alphabet with what says the same inside it.
const PLAINER: &[(&str, &str)] = &[
    ("‘’‚‛′`´", "'"),
    ("“”„‟″«»", "\""),
    ("‐‑‒–—―−", "-"),
    ("…", "..."),
    ("•·‣", "-"),
    ("\u{a0}\u{2007}\u{202f}\u{2002}\u{2003}\u{2009}\t", " "),
    ("\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}\u{ad}", ""),
    ("™", "(TM)"),
    ("®", "(R)"),
    ("©", "(C)"),
    ("×", "x"),
    ("áâã", "a"),
    ("ÁÂÃÀ", "A"),
    ("êë", "e"),
    ("ÊËÈ", "E"),
    ("íîï", "i"),
    ("ÍÎÏÌ", "I"),
    ("óôõ", "o"),
    ("ÓÔÕÒ", "O"),
    ("úû", "u"),
    ("ÚÛÙ", "U"),
    ("ç", "c"),
    ("ýÿ", "y"),
];

/// How a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Encoding {
    /// Seven bits a character; 160 in one segment.
    #[serde(rename = "GSM-7")]
    Gsm7,
    /// Sixteen bits a unit; 70 in one segment.
    #[serde(rename = "UCS-2")]
    Ucs2,
}

impl Encoding {
    /// The units of a message that fits one segment.
    pub fn single(self) -> usize {
        match self {
            Encoding::Gsm7 => 160,
            Encoding::Ucs2 => 70,
        }
    }

    /// The units of each segment of a longer message; the rest is the header that joins them.
    pub fn joined(self) -> usize {
        match self {
            Encoding::Gsm7 => 153,
            Encoding::Ucs2 => 67,
        }
    }

    fn units(self, c: char) -> usize {
        match self {
            Encoding::Gsm7 if EXTENSION.contains(c) => 2,
            Encoding::Gsm7 => 1,
            Encoding::Ucs2 => c.len_utf16(),
        }
    }
}

/// What a message amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Size {
    /// How it travels.
    pub encoding: Encoding,
    /// Septets or 16-bit units, without the headers of segments.
    pub units: usize,
    /// How many messages are paid for; 0 for an empty text.
    pub segments: usize,
    /// Characters as providers count them against [`MAX_CHARS`]: 16-bit units.
    pub chars: usize,
}

/// A character that costs the message its short encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Costly {
    /// The character.
    pub found: char,
    /// What says the same in the short encoding, if anything does.
    pub instead: Option<&'static str>,
}

/// Counts a message exactly as the network does.
pub fn size(text: &str) -> Size {
    let encoding = if text.chars().all(is_gsm7) { Encoding::Gsm7 } else { Encoding::Ucs2 };
    let units = text.chars().map(|c| encoding.units(c)).sum();
    let segments = if units == 0 {
        0
    } else if units <= encoding.single() {
        1
    } else {
        joined_segments(text, encoding)
    };
    Size { encoding, units, segments, chars: text.encode_utf16().count() }
}

/// Every character that costs the message its short encoding, each once, in order.
pub fn costly(text: &str) -> Vec<Costly> {
    let mut found: Vec<Costly> = Vec::new();
    for c in text.chars().filter(|c| !is_gsm7(*c)) {
        if found.iter().all(|costly| costly.found != c) {
            found.push(Costly { found: c, instead: instead(c) });
        }
    }
    found
}

/// The text with every costly character replaced that has a replacement; a proposal, never done unasked.
pub fn plainer(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match instead(c) {
            Some(instead) if !is_gsm7(c) => plain.push_str(instead),
            _ => plain.push(c),
        }
    }
    plain
}

fn joined_segments(text: &str, encoding: Encoding) -> usize {
    let mut segments = 1;
    let mut used = 0;
    for c in text.chars() {
        let units = encoding.units(c);
        if used + units > encoding.joined() {
            segments += 1;
            used = 0;
        }
        used += units;
    }
    segments
}

fn is_gsm7(c: char) -> bool {
    // Nearly every character of nearly every message.
    c.is_ascii_alphanumeric() || BASIC.contains(c) || EXTENSION.contains(c)
}

fn instead(c: char) -> Option<&'static str> {
    PLAINER.iter().find(|(costly, _)| costly.contains(c)).map(|(_, plain)| *plain)
}
