//! When the next round of upkeep is.
//!
//! The server says what is due by its own clock. Each round tells what that clock shows, and from there on only time
//! that has passed here is counted: the clocks of two machines may differ by as much as they like.

use std::time::Duration;

use tokio::time::Instant;
use windlass_core::Time;
use windlass_core::store::UpkeepReport;

/// The longest rest: what another process made due is told, and looked for this often in case it was not.
const REST_MAX: Duration = Duration::from_millis(2_000);
/// The shortest rest after a round that found nothing to do: what is due and cannot be done is not asked for without end.
const REST_MIN: Duration = Duration::from_millis(20);
/// The rest after a round that failed.
pub(crate) const REST_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// The plan of one process.
pub(crate) struct Pace {
    wake_at: Instant,
    /// What the server's clock showed at the last round, and when that was.
    seen: Option<(Time, Instant)>,
}

impl Pace {
    /// A first round at once.
    pub(crate) fn new(now: Instant) -> Self {
        Self { wake_at: now, seen: None }
    }

    /// When the next round is.
    pub(crate) fn wake_at(&self) -> Instant {
        self.wake_at
    }

    /// Something is due at that time by the server's clock: the next round is no later, and never put off.
    pub(crate) fn told(&mut self, due: Time, now: Instant) {
        self.wake_at = self.wake_at.min(self.instant_of(due, now));
    }

    /// A round is over.
    pub(crate) fn rounded(&mut self, report: &UpkeepReport, server: Time, now: Instant) {
        self.seen = Some((server, now));
        let soonest = if report.done == 0 { now + REST_MIN } else { now };
        let wanted = report.next_due.map_or(now + REST_MAX, |due| self.instant_of(due, now));
        self.wake_at = wanted.clamp(soonest, now + REST_MAX);
    }

    /// A round has failed.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.wake_at = now + REST_AFTER_FAILURE;
    }

    /// When the server's clock will show that time; now when it has, or nobody knows what it shows.
    fn instant_of(&self, due: Time, now: Instant) -> Instant {
        let Some((server, at)) = self.seen else { return now };
        let ahead = Duration::from_millis(due.since(server));
        at.checked_add(ahead).map_or(now + REST_MAX, |then| then.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;
    /// Far from any clock that this machine may have.
    const SERVER: Time = Time(5_000_000_000_000);

    fn after(next_due: Option<u64>, done: usize) -> (Pace, Instant) {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        let report = UpkeepReport { done, next_due: next_due.map(|ms| SERVER.plus_ms(ms)) };
        pace.rounded(&report, SERVER, now);
        (pace, now)
    }

    #[test]
    fn the_servers_clock_alone_says_what_is_due() {
        let (pace, now) = after(Some(300), 0);
        assert_eq!(pace.wake_at(), now + MS(300));
        let (pace, now) = after(None, 0);
        assert_eq!(pace.wake_at(), now + REST_MAX);
        let (pace, now) = after(Some(3_600_000), 0);
        assert_eq!(pace.wake_at(), now + REST_MAX, "somebody's message may be lost");
    }

    #[test]
    fn what_is_told_brings_the_next_round_forward_and_never_puts_it_off() {
        let (mut pace, now) = after(None, 0);
        for passed in [100, 900, 1_700] {
            pace.told(SERVER.plus_ms(3_600_000), now + MS(passed));
            assert_eq!(pace.wake_at(), now + REST_MAX, "however often something later is told");
        }
        pace.told(SERVER.plus_ms(1_800), now + MS(1_700));
        assert_eq!(pace.wake_at(), now + MS(1_800));
        pace.told(Time::ZERO, now + MS(1_750));
        assert_eq!(pace.wake_at(), now + MS(1_750));
    }

    #[test]
    fn what_is_due_and_cannot_be_done_is_asked_for_with_a_rest() {
        let (pace, now) = after(Some(0), 0);
        assert_eq!(pace.wake_at(), now + REST_MIN);
        let (pace, now) = after(Some(0), 500);
        assert_eq!(pace.wake_at(), now, "a round that did something may have more to do");
    }
}
