//! The clock of a client: wall time for ids and due times, replaced by a virtual one in tests.
//!
//! Leases never use it: a worker counts those on the monotonic clock of its own process.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use windlass_core::Time;

/// Where a client reads the time.
#[derive(Clone, Default)]
pub(crate) enum WallClock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that tests move.
    #[cfg_attr(not(feature = "embedded"), allow(dead_code))]
    Other(Arc<dyn Fn() -> Time + Send + Sync>),
}

impl WallClock {
    pub(crate) fn now(&self) -> Time {
        match self {
            WallClock::System => time_of(SystemTime::now()),
            WallClock::Other(now) => now(),
        }
    }
}

/// An instant that a job may be told to run at: a [`Time`] or a [`SystemTime`].
pub trait IntoTime {
    /// The instant in milliseconds since the Unix epoch; instants before it become 0.
    fn into_time(self) -> Time;
}

impl IntoTime for Time {
    fn into_time(self) -> Time {
        self
    }
}

impl IntoTime for SystemTime {
    fn into_time(self) -> Time {
        time_of(self)
    }
}

fn time_of(at: SystemTime) -> Time {
    Time(whole_ms(at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)))
}

/// The duration in whole milliseconds; one that does not fit becomes the longest.
pub(crate) fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
