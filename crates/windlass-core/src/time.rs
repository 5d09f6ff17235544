//! Instants and spans as the store counts them: whole milliseconds.
//!
//! A [`Time`] is never read from a clock here; stores pass it in, and tests set it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An instant in milliseconds since the Unix epoch; ordering is the order of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Time(pub u64);

impl Time {
    /// The earliest instant.
    pub const ZERO: Time = Time(0);
    /// Later than every instant that a job can name.
    pub const NEVER: Time = Time(u64::MAX);

    /// This instant moved `ms` milliseconds later; stops at [`Time::NEVER`] instead of wrapping.
    pub const fn plus_ms(self, ms: u64) -> Time {
        Time(self.0.saturating_add(ms))
    }

    /// This instant moved `ms` milliseconds earlier; stops at [`Time::ZERO`] instead of wrapping.
    pub const fn minus_ms(self, ms: u64) -> Time {
        Time(self.0.saturating_sub(ms))
    }

    /// Milliseconds from `earlier` to this instant, 0 when `earlier` lies after it.
    pub const fn since(self, earlier: Time) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Time {
    /// RFC 3339 in UTC with milliseconds, as the API and the command line print it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = i64::try_from(self.0).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_millisecond(ms) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => f.write_str("never"),
        }
    }
}
