//! Numbers, ages and names as pages say them, and the addresses that links lead to.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use windlass_api::spell::{moment, span};
use windlass_core::histogram::Histogram;
use windlass_core::{JobId, Time};

/// What stands for a number that nobody knows yet.
pub(crate) const NOTHING: &str = "–";

/// What a part of an address may hold as it is: the characters of names, and those that no browser takes for anything else.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// A whole number with its thousands apart: `12,345`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut told = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            told.push(',');
        }
        told.push(digit);
    }
    told
}

/// A number of things, with its noun: `1 job`, `12 jobs`.
pub(crate) fn many(n: u64, one: &str, more: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { more })
}

/// An instant: exactly, and how far away it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct When {
    /// RFC 3339.
    pub(crate) exact: String,
    /// `3m ago`, `in 10s`, `now`.
    pub(crate) said: String,
}

impl When {
    pub(crate) fn new(at: Time, now: Time) -> Self {
        let said = if at == Time::NEVER { "never".to_owned() } else { moment::distance(at, now) };
        Self { exact: at.to_string(), said }
    }

    pub(crate) fn some(at: Option<Time>, now: Time) -> Option<Self> {
        at.map(|at| Self::new(at, now))
    }
}

/// A span for people: `1m30s`.
pub(crate) fn span(ms: u64) -> String {
    if ms == 0 { "0ms".to_owned() } else { span::rough(ms) }
}

/// That quantile of a histogram of milliseconds.
pub(crate) fn quantile(histogram: &Histogram, share: f64) -> String {
    if histogram.count() == 0 { NOTHING.to_owned() } else { span(histogram.quantile(share)) }
}

/// Bytes for people.
pub(crate) fn bytes(n: usize) -> String {
    match n {
        0..=1_023 => many(n as u64, "byte", "bytes"),
        1_024..=1_048_575 => format!("{:.1} KiB", n as f64 / 1_024.0),
        _ => format!("{:.1} MiB", n as f64 / 1_048_576.0),
    }
}

/// The end of an id: its beginning is the time, which jobs that were enqueued together share.
pub(crate) fn short(id: JobId) -> String {
    let mut told = String::from("…");
    // The last 8 of 32 digits.
    let _ = write!(told, "{:08x}", id.0 & 0xffff_ffff);
    told
}

/// A text as a part of a path or of a query.
pub(crate) fn part(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// The address of the jobs that a filter means.
pub(crate) fn jobs_at(base: &str, filter: &str) -> String {
    format!("{base}/jobs?filter={}", part(filter))
}

/// One condition of a filter; its value stands in quotes where it has to.
pub(crate) fn condition(name: &str, value: &str) -> String {
    if value.starts_with('"') || value.contains(char::is_whitespace) || value.is_empty() {
        format!("{name}:\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        format!("{name}:{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_api::filter::FilterShape;

    #[test]
    fn numbers_have_their_thousands_apart() {
        for (n, said) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(count(n), said);
        }
        assert_eq!(many(1, "job", "jobs"), "1 job");
    }

    #[test]
    fn a_condition_is_read_back_as_it_was_meant() {
        for value in ["a", "a b", "\"quoted\"", "back\\slash and space", "x:y", "tab\there"] {
            let mut shape = FilterShape::default();
            shape.add(&condition("group", value)).expect(value);
            assert_eq!(shape.group.as_deref(), Some(value));
        }
    }

    #[test]
    fn a_part_of_an_address_holds_nothing_that_leads_elsewhere() {
        assert_eq!(part("mail:eu-1.v2_x"), "mail:eu-1.v2_x");
        assert_eq!(part("a/b?c&d=<e>\"'#"), "a%2Fb%3Fc%26d%3D%3Ce%3E%22%27%23");
    }
}
