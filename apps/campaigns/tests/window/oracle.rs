//! A slow second opinion: what a clock shows at an instant is asked of jiff, and hours are compared as text.
//!
//! Shares nothing with the code under test but the words of the question: no offsets, no tables, no
//! arithmetic on local time. Time goes by in steps of a minute, on which all clocks of the last fifty years
//! change.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Hours of a week as they are written, and dates that are closed.
#[derive(Clone, Debug)]
pub(crate) struct Hours {
    /// Three letters of a weekday, from and to as `HH:MM`.
    pub(crate) stretches: Vec<(&'static str, String, String)>,
    pub(crate) closed: Vec<Date>,
    /// The dates between which the hours hold at all.
    pub(crate) valid: Option<(Date, Date)>,
}

/// Hours read on a clock.
pub(crate) type Clocked = (Hours, TimeZone);

/// Whether all hours are open at an instant in milliseconds.
pub(crate) fn open(all: &[Clocked], at: i64) -> bool {
    all.iter().all(|(hours, zone)| {
        let now = Timestamp::from_millisecond(at).unwrap().to_zoned(zone.clone());
        let date = now.date();
        if hours.valid.is_some_and(|(first, last)| date < first || date > last) {
            return true;
        }
        if hours.closed.contains(&date) {
            return false;
        }
        let clock = now.strftime("%H:%M").to_string();
        let today = now.strftime("%a").to_string().to_lowercase();
        let eve = date.yesterday().unwrap().strftime("%a").to_string().to_lowercase();
        hours.stretches.iter().any(|(day, from, to)| {
            if from < to {
                *day == today && *from <= clock && clock < *to
            } else {
                (*day == today && *from <= clock) || (*day == eve && clock < *to)
            }
        })
    })
}

/// The first full minute after `at`, within `minutes`, at which it is otherwise than at `at`.
///
/// The millisecond before it is looked at as well, so that an edge is where the minute is and not before.
pub(crate) fn change(all: &[Clocked], at: i64, minutes: i64) -> Option<i64> {
    let now = open(all, at);
    let next = at.div_euclid(60_000) * 60_000 + 60_000;
    let edge = (0..minutes).map(|n| next + n * 60_000).find(|edge| open(all, *edge) != now)?;
    assert_eq!(open(all, edge - 1), now, "an edge inside a minute before {edge}");
    Some(edge)
}
