//! Instants: RFC 3339 in both directions, and "that long ago" where a filter asks for one.

use windlass_core::Time;

use super::span;

/// Reads `2026-11-21T09:30:00Z`, any offset, any precision.
///
/// # Errors
/// A sentence with an example.
pub fn parse(text: &str) -> Result<Time, String> {
    let fault = || format!("{text:?} is not a time: write RFC 3339, for example 2026-11-21T09:30:00Z");
    let at: jiff::Timestamp = text.parse().map_err(|_| fault())?;
    u64::try_from(at.as_millisecond()).map(Time).map_err(|_| format!("{text:?} lies before 1970"))
}

/// Reads a time, or a span that says how long before `now` it was.
///
/// # Errors
/// A sentence with examples of both.
pub fn parse_past(text: &str, now: Time) -> Result<Time, String> {
    match (parse(text), span::parse(text)) {
        (Ok(at), _) => Ok(at),
        (_, Ok(ms)) => Ok(now.minus_ms(ms)),
        _ => Err(format!(
            "{text:?} is neither a time nor how long ago it was: write 2026-11-21T09:30:00Z, or 10m for ten minutes ago"
        )),
    }
}

/// How far `at` lies from `now`, for tables: `3m ago`, `in 10s`, `now`.
pub fn distance(at: Time, now: Time) -> String {
    /// Below it the two clocks agree as far as a person cares.
    const NOW_MS: u64 = 1_000;
    match (now.since(at), at.since(now)) {
        (ago, 0) if ago >= NOW_MS => format!("{} ago", span::rough(ago)),
        (0, ahead) if ahead >= NOW_MS => format!("in {}", span::rough(ahead)),
        _ => "now".to_owned(),
    }
}

/// The instant on the clocks of a zone of the IANA time zone database, with its day: `Mon 2026-11-23 09:00:00`.
///
/// # Errors
/// A sentence for a zone that there is not.
pub fn in_zone(at: Time, zone: &str) -> Result<String, String> {
    let fault = |_| format!("{zone:?} is no time zone: write a name like Europe/Berlin or UTC");
    let zone = jiff::tz::TimeZone::get(zone).map_err(fault)?;
    let at = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let at = at.ok_or("the instant lies beyond all calendars")?;
    Ok(at.to_zoned(zone).strftime("%a %Y-%m-%d %H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_back_from_its_own_spelling() {
        let at = Time(1_795_253_400_123);
        assert_eq!(parse(&at.to_string()), Ok(at));
        assert_eq!(parse("2026-11-21T10:30:00+01:00"), parse("2026-11-21T09:30:00Z"));
        assert!(parse("tomorrow").expect_err("no time").contains("RFC 3339"));
    }

    #[test]
    fn an_instant_is_told_on_the_clocks_of_a_zone() {
        let at = parse("2026-11-23T08:00:00Z").expect("a time");
        assert_eq!(in_zone(at, "Europe/Berlin").as_deref(), Ok("Mon 2026-11-23 09:00:00"));
        assert!(in_zone(at, "Europe/Atlantis").expect_err("no zone").contains("Europe/Berlin"));
        assert!(in_zone(Time(u64::MAX), "UTC").is_err());
    }

    #[test]
    fn a_span_means_that_long_ago_where_the_past_is_asked_for() {
        let now = Time(1_795_253_400_123);
        assert_eq!(parse_past("10m", now), Ok(now.minus_ms(600_000)));
        assert_eq!(parse_past("2026-11-21T09:30:00Z", now), parse("2026-11-21T09:30:00Z"));
        assert!(parse_past("soon", now).is_err());
    }

    #[test]
    fn distances_are_told_in_both_directions() {
        let now = Time(1_000_000_000);
        assert_eq!(distance(now.minus_ms(180_000), now), "3m ago");
        assert_eq!(distance(now.plus_ms(10_000), now), "in 10s");
        assert_eq!(distance(now, now), "now");
    }
}
