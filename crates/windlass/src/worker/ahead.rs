//! Jobs that were claimed ahead of a free slot, in the order in which they came.
//!
//! A worker whose handlers end faster than the store answers would stand idle between two calls, so it claims as many
//! jobs beyond its slots as come free until an answer is there (the product of rate and delay, as of a window in TCP). They wait
//! here, their leases kept by the heartbeat like any other. One that has not started after [`AHEAD_MS_MAX`] is given back: the jobs before it
//! are slower than those that it was counted by, and another worker may be idle.

use crate::ctx::Held;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a claimed job waits for a slot: many calls' time, and little beside what a job waits that its worker
/// cannot start.
pub(super) const AHEAD_MS_MAX: u64 = 100;

/// Claimed jobs without a slot, lane by lane.
pub(super) struct Ahead {
    lanes: Vec<VecDeque<(Instant, Arc<Held>)>>,
}

impl Ahead {
    pub(super) fn new(lanes: usize) -> Self {
        Self { lanes: (0..lanes).map(|_| VecDeque::new()).collect() }
    }

    /// One that has just been claimed waits.
    pub(super) fn push(&mut self, held: Arc<Held>, now: Instant) {
        let until = now + Duration::from_millis(AHEAD_MS_MAX);
        self.lanes[held.lane].push_back((until, held));
    }

    /// The one that has waited longest.
    pub(super) fn pop(&mut self, lane: usize) -> Option<Arc<Held>> {
        self.lanes[lane].pop_front().map(|(_, held)| held)
    }

    /// When the first of all has waited long enough.
    pub(super) fn next(&self) -> Option<Instant> {
        self.lanes.iter().filter_map(|lane| lane.front()).map(|(until, _)| *until).min()
    }

    /// Takes those out that have waited long enough, and all others of their lanes: they stand behind them.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<Arc<Held>> {
        let late =
            |lane: &&mut VecDeque<(Instant, Arc<Held>)>| lane.front().is_some_and(|(until, _)| *until <= now);
        self.lanes.iter_mut().filter(late).flat_map(|lane| lane.drain(..)).map(|(_, held)| held).collect()
    }

    /// Takes all of them out.
    pub(super) fn all(&mut self) -> Vec<Arc<Held>> {
        self.lanes.iter_mut().flat_map(|lane| lane.drain(..)).map(|(_, held)| held).collect()
    }
}

#[cfg(all(test, feature = "embedded"))]
mod tests {
    use super::*;
    use crate::worker::beat::tests::held;

    #[test]
    fn who_waits_too_long_is_given_back_with_all_behind_it() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut ahead = Ahead::new(1);
        assert_eq!(ahead.next(), None);
        let jobs = [held(30_000, 0), held(30_000, 0), held(30_000, 0)];
        for (job, ms) in jobs.iter().zip([0, 0, 60]) {
            ahead.push(job.clone(), after(ms));
        }
        assert_eq!(ahead.next(), Some(after(AHEAD_MS_MAX)));
        assert!(Arc::ptr_eq(&ahead.pop(0).unwrap(), &jobs[0]), "the first that came");
        assert!(ahead.overdue(after(AHEAD_MS_MAX - 1)).is_empty());
        assert_eq!(ahead.overdue(after(AHEAD_MS_MAX)).len(), 2);
        assert!(ahead.pop(0).is_none() && ahead.next().is_none());
    }
}
