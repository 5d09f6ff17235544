//! Numbers, times and names as pages say them, and the addresses that links lead to.

use std::fmt::Display;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands for a number that nobody knows yet.
pub const NOTHING: &str = "–";

/// What a part of an address may hold as it is: the characters of names, and those that no browser takes for anything else.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// A whole number with its thousands apart: `12,345`.
pub fn count(n: u64) -> String {
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
pub fn many(n: u64, one: &str, more: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { more })
}

/// Bytes for people.
pub fn bytes(n: usize) -> String {
    match n {
        0..=1_023 => many(n as u64, "byte", "bytes"),
        1_024..=1_048_575 => format!("{:.1} KiB", n as f64 / 1_024.0),
        _ => format!("{:.1} MiB", n as f64 / 1_048_576.0),
    }
}

/// A share of a whole in percent, rounded down, so that only all of it is 100: `93 %`. Of nothing it is 0.
pub fn share(part: u64, whole: u64) -> u8 {
    let percent = u128::from(part.min(whole)) * 100 / u128::from(whole.max(1));
    u8::try_from(percent).unwrap_or(100)
}

/// A span of milliseconds in at most two units, for people: `1m30s`, `2d4h`.
pub fn span(ms: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    if ms == 0 {
        return "0ms".to_owned();
    }
    let Some(first) = UNITS.iter().position(|(_, length)| ms >= *length) else { return format!("{ms}ms") };
    let (unit, length) = UNITS[first];
    let mut told = format!("{}{unit}", ms / length);
    if let Some((unit, shorter)) = UNITS.get(first + 1)
        && ms % length >= *shorter
    {
        told.push_str(&format!("{}{unit}", ms % length / shorter));
    }
    told
}

/// How far an instant lies from now, both in milliseconds: `3m ago`, `in 10s`, `now`.
pub fn distance(at_ms: u64, now_ms: u64) -> String {
    /// Below it two clocks agree as far as a person cares.
    const NOW_MS: u64 = 1_000;
    match at_ms.abs_diff(now_ms) {
        ms if ms < NOW_MS => "now".to_owned(),
        ms if at_ms < now_ms => format!("{} ago", span(ms)),
        ms => format!("in {}", span(ms)),
    }
}

/// An instant: exactly, and how far away it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct When {
    /// RFC 3339.
    pub exact: String,
    /// `3m ago`, `in 10s`, `now`.
    pub said: String,
}

impl When {
    /// The instant that is spelled so and is so many milliseconds after the beginning of the same era as now.
    pub fn new(exact: impl Display, at_ms: u64, now_ms: u64) -> Self {
        Self { exact: exact.to_string(), said: distance(at_ms, now_ms) }
    }
}

/// A text as a part of a path or of a query.
pub fn part(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// The address of the jobs that a filter means.
pub fn jobs_at(base: &str, filter: &str) -> String {
    format!("{base}/jobs?filter={}", part(filter))
}

/// One condition of a filter of jobs; its value stands in quotes where it has to.
pub fn condition(name: &str, value: &str) -> String {
    if value.starts_with('"') || value.contains(char::is_whitespace) || value.is_empty() {
        format!("{name}:\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        format!("{name}:{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_thousands_apart() {
        for (n, said) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(count(n), said);
        }
        assert_eq!(many(1, "job", "jobs"), "1 job");
    }

    #[test]
    fn only_all_of_it_is_a_hundred_percent() {
        for ((part, whole), said) in [((0, 0), 0), ((999, 1_000), 99), ((7, 7), 100), ((9, 7), 100)] {
            assert_eq!(share(part, whole), said);
        }
        assert_eq!(share(u64::MAX - 1, u64::MAX), 99);
    }

    #[test]
    fn an_instant_is_told_by_its_distance() {
        let now = 1_000_000_000;
        assert_eq!(distance(now - 180_000, now), "3m ago");
        assert_eq!(distance(now + 10_000, now), "in 10s");
        assert_eq!((distance(now, now).as_str(), distance(now - 999, now).as_str()), ("now", "now"));
    }

    #[test]
    fn a_part_of_an_address_holds_nothing_that_leads_elsewhere() {
        assert_eq!(part("mail:eu-1.v2_x"), "mail:eu-1.v2_x");
        assert_eq!(part("a/b?c&d=<e>\"'#"), "a%2Fb%3Fc%26d%3D%3Ce%3E%22%27%23");
    }
}
