//! When a contact may be reached: campaign's window, recipient's clock, legal hours, holidays.
//!
//! One question is answered here, exactly to the millisecond: may this recipient be reached by this channel
//! at this instant, and if not, why and when next? [`look`] is the answer; it is open if and only if the
//! campaign's window and the recipient's are both open ([`WindowPolicy`], [`Recipient`], [`RuleTable`]).
//! [`Delay`] says when the next step is due, [`forecast()`] when a campaign will be through, [`heat()`] how a week looks.
//!
//! Everything is pure: the instant is an argument, the time zones are compiled in ([`Zone`]), nothing reads a
//! clock, a file or the network. What is decided with a verdict (defer, skip, send) and where it is stored is
//! not known here.
//!
//! A window is a set of clock readings: an instant is inside if the clock on the wall of its zone then reads
//! a time inside. So a window over the hour that a zone repeats in autumn is open in both, and one in the
//! hour that is left out in spring never opens that day. docs/sending-windows.md tells this with examples.

pub mod course;
pub mod delay;
pub mod forecast;
pub mod heat;
pub mod holidays;
pub mod places;
pub mod policy;
pub mod recipient;
pub mod rules;
mod span;
pub mod verdict;
pub mod week;
pub mod zone;

pub use course::{Lot, Pace, Paces, course};
pub use delay::{Delay, DelayError};
pub use forecast::{Caps, DayForecast, Forecast, Group, forecast, open_ms};
pub use heat::{WeekOfHours, heat};
pub use holidays::{Calendar, Holidays};
pub use places::Place;
pub use policy::{HoursIn, OnNoZone, PolicyError, WindowPolicy};
pub use recipient::{Located, NoZone, Recipient, RecipientError, ZoneSource};
pub use rules::{Rule, RuleTable, RulesError};
pub use verdict::{ClosedReason, Evaluation, Verdict, ZoneReading, look};
pub use week::{Week, WeekError};
pub use zone::{Zone, ZoneError};

/// How far ahead an opening is looked for: a window that does not open within it never does, for a campaign.
///
/// More than a year, so that a window of a single day of the year is found, and no more, so that an empty
/// intersection is told in a millisecond.
pub const HORIZON_DAYS: u32 = 400;

/// Milliseconds in a minute, an hour and a day of 24 hours.
pub(crate) const MINUTE_MS: i64 = 60_000;
pub(crate) const HOUR_MS: i64 = 60 * MINUTE_MS;
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;
pub(crate) const HORIZON_MS: i64 = HORIZON_DAYS as i64 * DAY_MS;
