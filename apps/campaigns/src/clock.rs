//! The application's clock: the wall's, or one that runs faster for a rehearsal.
//!
//! Windows, delays, caps and warm-ups are about the application's time; the queue is about the wall's. The clock translates:
//! a touch that is due in eight hours of a rehearsal at 480 times the speed is a job that is due in a minute. The clock
//! stands in the database, so that every process of an installation has the same one.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass::Time;

/// The fastest clock: a day in about nine seconds. Above it a second of the wall is hours, and no order of a day is left.
pub const MAX_SPEED: u32 = 10_000;

/// A clock that may run faster than the wall's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// The moment of the wall at which the two are read against each other.
    wall: Time,
    /// The application's time at that moment.
    here: Time,
    /// How many seconds pass here in one of the wall's.
    speed: u32,
}

impl Clock {
    /// The wall's own time.
    pub const WALL: Clock = Clock { wall: Time(0), here: Time(0), speed: 1 };

    /// A clock that stands at `here` when the wall's stands at `wall`, and runs `speed` times as fast; within 1 and
    /// [`MAX_SPEED`].
    pub fn running(wall: Time, here: Time, speed: u32) -> Self {
        Self { wall, here, speed: speed.clamp(1, MAX_SPEED) }
    }

    /// How many seconds pass here in one of the wall's.
    pub fn speed(&self) -> u32 {
        self.speed
    }

    /// The application's time at that moment of the wall.
    pub fn at(&self, wall: Time) -> Time {
        let speed = u64::from(self.speed);
        if wall >= self.wall {
            Time(self.here.0.saturating_add((wall.0 - self.wall.0).saturating_mul(speed)))
        } else {
            Time(self.here.0.saturating_sub((self.wall.0 - wall.0).saturating_mul(speed)))
        }
    }

    /// The first moment of the wall at which the application's time is that.
    pub fn wall_at(&self, here: Time) -> Time {
        let speed = u64::from(self.speed);
        if here >= self.here {
            // Rounded up, so that a job which is due then does not find that it is too early.
            Time(self.wall.0.saturating_add((here.0 - self.here.0).div_ceil(speed)))
        } else {
            Time(self.wall.0.saturating_sub((self.here.0 - here.0) / speed))
        }
    }

    /// How long the wall takes for that much of the application's time; at least a millisecond.
    pub fn wall_span(&self, span: Duration) -> Duration {
        (span / self.speed).max(Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_that_is_translated_and_back_is_not_too_early() {
        let clock = Clock::running(Time(1_000_003), Time(77_777), 480);
        for here in (0..200_000).step_by(37) {
            let wall = clock.wall_at(Time(here));
            assert!(clock.at(wall).0 >= here, "{here}");
            assert!(clock.at(wall).0 < here + 480, "{here}");
        }
        assert_eq!(Clock::WALL.at(Time(5)), Time(5));
        assert_eq!(Clock::WALL.wall_at(Time(5)), Time(5));
    }

    #[test]
    fn a_span_is_shorter_by_the_speed_and_never_nothing() {
        let clock = Clock::running(Time(0), Time(0), 60);
        assert_eq!(clock.wall_span(Duration::from_secs(60)), Duration::from_secs(1));
        assert_eq!(clock.wall_span(Duration::ZERO), Duration::from_millis(1));
        assert_eq!(Clock::running(Time(0), Time(0), u32::MAX).speed(), MAX_SPEED);
    }
}
