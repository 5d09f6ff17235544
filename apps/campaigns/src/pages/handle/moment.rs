//! Moments as forms have them: a day and a time on the clocks of a zone.

use jiff::{Timestamp, civil::DateTime, tz::TimeZoneDatabase};
use windlass::Time;

/// The moment of `2026-11-23 09:00` on the clocks of that zone.
///
/// # Errors
/// How it is written.
pub(super) fn instant(zone: &str, text: &str) -> Result<Time, String> {
    let how = "a day and a time, as 2026-11-23 09:00";
    let at: DateTime = text.parse().map_err(|_| how.to_owned())?;
    let zone = TimeZoneDatabase::bundled().get(zone).map_err(|why| why.to_string())?;
    let at = at.to_zoned(zone).map_err(|why| why.to_string())?.timestamp();
    u64::try_from(at.as_millisecond()).map(Time).map_err(|_| how.to_owned())
}

/// What those clocks show at that moment.
pub(super) fn local(zone: &str, at: Time) -> String {
    let at = Timestamp::from_millisecond(i64::try_from(at.0).unwrap_or(i64::MAX));
    let zone = TimeZoneDatabase::bundled().get(zone);
    match (at, zone) {
        (Ok(at), Ok(zone)) => at.to_zoned(zone).strftime("%Y-%m-%d %H:%M").to_string(),
        _ => String::new(),
    }
}
