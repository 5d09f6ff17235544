//! Spans of time: `250ms`, `10m`, `1h30m`, `7d`.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;

/// Units in milliseconds, the longest first, which is also the order in which a span names them.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A span in milliseconds as an argument, or as a text in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Its length.
    pub ms: u64,
}

impl std::str::FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        parse(text).map(|ms| Self { ms })
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&exact(self.ms))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// The milliseconds that `text` spells.
///
/// # Errors
/// A sentence that says what a span looks like.
pub fn parse(text: &str) -> Result<u64, String> {
    let fault = || format!("{text:?} is not a span of time: write 250ms, 10s, 10m, 1h30m or 7d");
    let mut total: u64 = 0;
    let mut rest = text;
    let mut units = UNITS.as_slice();
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().map_err(|_| fault())?;
        let letters =
            rest[digits..].len() - rest[digits..].trim_start_matches(|c: char| c.is_ascii_lowercase()).len();
        let unit = &rest[digits..digits + letters];
        let place = units.iter().position(|(name, _)| *name == unit).ok_or_else(fault)?;
        total = number.checked_mul(units[place].1).and_then(|ms| total.checked_add(ms)).ok_or_else(fault)?;
        // Each unit at most once and in descending order: `5m2h` is a slip of the pen more often than a wish.
        units = &units[place + 1..];
        rest = &rest[digits + letters..];
    }
    if text.is_empty() { Err(fault()) } else { Ok(total) }
}

/// The exact spelling of a span; [`parse`] reads it back.
pub fn exact(ms: u64) -> String {
    if ms == 0 {
        return "0ms".to_owned();
    }
    let mut rest = ms;
    let mut text = String::new();
    for (unit, length) in UNITS {
        if rest >= length {
            text.push_str(&format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    text
}

/// A span in at most two units, for tables: exact enough for people.
pub fn rough(ms: u64) -> String {
    let Some(first) = UNITS.iter().position(|(_, length)| ms >= *length) else { return "0s".to_owned() };
    let second = (first + 1).min(UNITS.len() - 1);
    // Above a second nobody reads milliseconds.
    let second = if UNITS[second].0 == "ms" { first } else { second };
    exact(ms - ms % UNITS[second].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_read_back_from_its_own_spelling() {
        for (text, ms) in
            [("250ms", 250), ("10m", 600_000), ("1h30m", 5_400_000), ("7d", 604_800_000), ("0ms", 0)]
        {
            assert_eq!(parse(text), Ok(ms));
            assert_eq!(exact(ms), text);
        }
        assert_eq!(parse("0s"), Ok(0));
    }

    #[test]
    fn what_is_not_a_span_is_refused_with_an_example() {
        for bad in [
            "",
            "10",
            "m",
            "5m2h",
            "1h1h",
            "-5m",
            "1.5h",
            "10 m",
            "10min",
            "99999999999999999999d",
            "9999999999999999d",
        ] {
            let said = parse(bad).expect_err(bad);
            assert!(said.contains("1h30m"), "{said}");
        }
    }

    #[test]
    fn a_table_shows_at_most_two_units() {
        assert_eq!(rough(90_061_001), "1d1h");
        assert_eq!(rough(61_001), "1m1s");
        assert_eq!(rough(1_999), "1s");
        assert_eq!(rough(12), "12ms");
        assert_eq!(rough(0), "0s");
    }
}
