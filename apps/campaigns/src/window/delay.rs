//! When the next step of a sequence is due.
//!
//! Wall time: minutes and hours are elapsed time, days are days of the recipient's calendar that keep the
//! time of day, so that a step at 9:30 is followed by one at 9:30 also over a change of the clock. Business
//! time counts only what lies inside the campaign's window: hours while it is open, days on which it opens.
//!
//! A due instant says when a step may go at the earliest; whether it may go then is asked of [`super::look`]
//! as for every message. So a delay may well end outside the window.

use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use windlass::Time;

use super::policy::{HoursIn, WindowPolicy};
use super::recipient::Recipient;
use super::span::{self, Layer, weekday};
use super::verdict::campaign_layers;
use super::zone::{self, Zone, civil, date_ms};
use super::{DAY_MS, HOUR_MS, MINUTE_MS};

/// Longest delay: a step a year later is a new campaign, and counting business time stays short.
const MAX_DAYS: u32 = 366;
/// How far business time is counted: ten years are enough for 366 days of one a week.
const COUNTED_MS: i64 = 10 * 366 * DAY_MS;

/// How long after one step the next is due; in JSON `{"unit": "business_days", "count": 2}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "unit", content = "count", rename_all = "snake_case")]
pub enum Delay {
    /// Elapsed minutes.
    Minutes(u32),
    /// Elapsed hours.
    Hours(u32),
    /// Days of the recipient's calendar, at the same time of day.
    Days(u32),
    /// Hours during which the campaign's window is open.
    BusinessHours(u32),
    /// Days on which the campaign's window opens, at the same time of day.
    BusinessDays(u32),
}

/// A delay that no step may have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a delay of {0:?} is longer than {MAX_DAYS} days: make it shorter, or a campaign of its own")]
pub struct DelayError(pub Delay);

impl Delay {
    /// Refuses delays of more than a year.
    ///
    /// # Errors
    ///
    /// [`DelayError`] with the delay.
    pub fn checked(self) -> Result<Delay, DelayError> {
        let (count, per_day) = match self {
            Delay::Minutes(n) => (n, 24 * 60),
            Delay::Hours(n) | Delay::BusinessHours(n) => (n, 24),
            Delay::Days(n) | Delay::BusinessDays(n) => (n, 1),
        };
        if count > MAX_DAYS * per_day { Err(DelayError(self)) } else { Ok(self) }
    }

    /// The instant at which the delay after `from` is over; never before `from`.
    ///
    /// A recipient who may be in several zones has the latest of their instants; one without a zone is taken
    /// to be in the campaign's. A time of day that the day does not have is taken as much later as the clock
    /// was moved; one that it has twice, the first time. Business days are dates of the clocks that the
    /// policy reads its hours on. `None` when the window opens too seldom for the business time to pass
    /// within ten years.
    pub fn due(self, from: Time, policy: &WindowPolicy, recipient: &Recipient) -> Option<Time> {
        let at = zone::ms(from);
        let zones = recipient.locate().map_or_else(|_| vec![policy.zone.clone()], |located| located.zones);
        let due = match self {
            Delay::Minutes(n) => at.saturating_add(i64::from(n) * MINUTE_MS),
            Delay::Hours(n) => at.saturating_add(i64::from(n) * HOUR_MS),
            Delay::Days(0) | Delay::BusinessDays(0) => at,
            Delay::Days(n) => latest(&zones, |zone| days_later(zone, at, n, |_| true))?,
            Delay::BusinessHours(n) => {
                hours_later(&campaign_layers(policy, &zones), at, i64::from(n) * HOUR_MS)?
            }
            Delay::BusinessDays(n) => {
                let clocks = match policy.hours_in {
                    HoursIn::Campaign => std::slice::from_ref(&policy.zone),
                    HoursIn::Recipient => &zones[..],
                };
                latest(clocks, |zone| days_later(zone, at, n, |date| is_business_day(policy, date)))?
            }
        };
        Some(zone::time(due.max(at)))
    }
}

/// The latest of the instants of several zones; `None` if one has none.
fn latest(zones: &[Zone], due: impl Fn(&Zone) -> Option<i64>) -> Option<i64> {
    zones.iter().map(due).try_fold(i64::MIN, |last, next| Some(last.max(next?)))
}

/// The same time of day on the n-th following date that counts.
fn days_later(zone: &Zone, at: i64, n: u32, counts: impl Fn(Date) -> bool) -> Option<i64> {
    let local = at + zone.stretch(at).offset;
    let mut date = civil(local).date();
    let last = date.saturating_add((COUNTED_MS / DAY_MS).days());
    let mut left = n;
    while left > 0 {
        date = date.tomorrow().ok().filter(|date| *date <= last)?;
        left -= u32::from(counts(date));
    }
    zone.instant(date, local.rem_euclid(DAY_MS))
}

/// Whether the campaign's window opens on a date: it has hours that day and it is no holiday.
fn is_business_day(policy: &WindowPolicy, date: Date) -> bool {
    policy.week.opens_on(weekday(date_ms(date).div_euclid(DAY_MS))) && policy.holidays.holiday(date).is_none()
}

/// The instant at which the layers will have been open together for `wanted` milliseconds.
fn hours_later(layers: &[Layer<'_>], at: i64, wanted: i64) -> Option<i64> {
    let bound = at.saturating_add(COUNTED_MS);
    let (mut at, mut left) = (at, wanted);
    while left > 0 {
        let open = span::opens(layers, at, bound)?;
        let close = span::closes(layers, open, bound).unwrap_or(bound);
        if close - open >= left {
            return Some(open + left);
        }
        left -= close - open;
        at = close;
        if at >= bound {
            return None;
        }
    }
    Some(at)
}
