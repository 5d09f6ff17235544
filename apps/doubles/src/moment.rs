//! The clock of the wall, and the forms in which providers write what it shows.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn timestamp(at_ms: u64) -> Timestamp {
    i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}

/// As mail and Twilio write it: `Thu, 30 Jul 2015 20:12:31 +0000` (RFC 2822).
pub(crate) fn rfc2822(at_ms: u64) -> String {
    timestamp(at_ms).strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// As people read it: `2015-07-30 20:12:31`, UTC.
pub(crate) fn plain(at_ms: u64) -> String {
    timestamp(at_ms).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The span that a filter names: one second for a moment (`2015-07-30T20:12:31Z`), a day in UTC for a date
/// (`2015-07-30`); the first millisecond and the first one behind it.
pub(crate) fn span(text: &str) -> Option<(u64, u64)> {
    let ms = |at: Timestamp| u64::try_from(at.as_millisecond()).unwrap_or(0);
    if let Ok(at) = text.parse::<Timestamp>() {
        let second = at.as_second().max(0).unsigned_abs() * 1_000;
        return Some((second, second + 1_000));
    }
    let date: Date = text.parse().ok()?;
    let day = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some((ms(day), ms(day) + 86_400_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_providers_do_and_read_as_filters_name_them() {
        assert_eq!(rfc2822(1_438_287_151_999), "Thu, 30 Jul 2015 20:12:31 +0000");
        assert_eq!(plain(0), "1970-01-01 00:00:00");
        assert_eq!(span("1970-01-02"), Some((86_400_000, 172_800_000)));
        assert_eq!(span("1970-01-01T00:00:02Z"), Some((2_000, 3_000)));
        assert_eq!(span("1970-01-01T01:00:02.5+01:00"), Some((2_000, 3_000)));
        assert_eq!(span("yesterday"), None);
    }
}
