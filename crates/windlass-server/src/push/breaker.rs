//! The circuit breaker of a target: after failures in a row nothing is sent for a while, then one request finds out.
//!
//! Closed, everything is sent. After [`FAILURES`] in a row it opens: for five seconds at first, twice as long after
//! each probe that failed, a minute at most. Then one request is let through; its success closes the circuit.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use windlass_api::target::Circuit;

/// Failures in a row after which a target is taken to be down: one bad job among good ones never comes so far.
const FAILURES: u32 = 5;
/// How long it is left alone at first: about as long as a restart takes.
const OPEN_FIRST: Duration = Duration::from_secs(5);
/// How long at most: how much later than necessary work goes on once the target is back.
const OPEN_MOST: Duration = Duration::from_secs(60);
/// How long others wait while a probe is under way, before they ask again.
const PROBE_PAUSE: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Breaker(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    state: State,
    failures: u32,
    /// How long it was open last.
    opened_for: Duration,
}

#[derive(Default)]
enum State {
    #[default]
    Closed,
    Open {
        until: Instant,
    },
    HalfOpen,
}

/// The right to send one request. Dropped without a word it was neither a success nor a failure.
pub(crate) struct Pass<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
    entered: Instant,
    is_used: bool,
}

impl Breaker {
    /// The right to send, or how long to wait.
    pub(crate) fn enter(&self, now: Instant) -> Result<Pass<'_>, Duration> {
        let mut inner = self.inner();
        let is_probe = match inner.state {
            State::Closed => false,
            State::HalfOpen => return Err(PROBE_PAUSE),
            State::Open { until } => {
                let left = until.saturating_duration_since(now);
                if !left.is_zero() {
                    return Err(left);
                }
                inner.state = State::HalfOpen;
                true
            }
        };
        Ok(Pass { breaker: self, is_probe, entered: now, is_used: false })
    }

    /// Where it stands, for how long still, and the failures in a row.
    pub(crate) fn look(&self, now: Instant) -> (Circuit, Option<Duration>, u32) {
        let inner = self.inner();
        let (circuit, left) = match inner.state {
            State::Closed => (Circuit::Closed, None),
            State::HalfOpen => (Circuit::HalfOpen, None),
            State::Open { until } => (Circuit::Open, Some(until.saturating_duration_since(now))),
        };
        (circuit, left, inner.failures)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// The target is there: it has answered.
    pub(crate) fn succeeded(mut self) {
        self.is_used = true;
        *self.breaker.inner() = Inner::default();
    }

    /// The target failed; how long the circuit is open now, if it is.
    pub(crate) fn failed(mut self, now: Instant) -> Option<Duration> {
        self.is_used = true;
        let mut inner = self.breaker.inner();
        inner.failures = inner.failures.saturating_add(1);
        match inner.state {
            // Sent before it opened: it says nothing new.
            State::Open { until } => Some(until.saturating_duration_since(now)),
            State::HalfOpen if !self.is_probe => Some(PROBE_PAUSE),
            State::Closed if inner.failures < FAILURES => None,
            State::Closed | State::HalfOpen => {
                inner.opened_for = (inner.opened_for * 2).clamp(OPEN_FIRST, OPEN_MOST);
                inner.state = State::Open { until: now + inner.opened_for };
                Some(inner.opened_for)
            }
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        // A probe that was given up says nothing; the next one may be sent at once.
        if self.is_probe && !self.is_used {
            self.breaker.inner().state = State::Open { until: self.entered };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(breaker: &Breaker, now: Instant) -> Pass<'_> {
        breaker.enter(now).unwrap_or_else(|wait| panic!("it is open for {wait:?}"))
    }

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::default();
        for _ in 1..FAILURES {
            assert_eq!(pass(&breaker, now).failed(now), None);
        }
        assert_eq!(pass(&breaker, now).failed(now), Some(OPEN_FIRST));
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_one_probe_at_a_time_finds_out() {
        let mut now = Instant::now();
        let breaker = opened(now);
        assert_eq!(breaker.enter(now).err(), Some(OPEN_FIRST));
        for open_for in [10, 20, 40, 60, 60].map(Duration::from_secs) {
            now += breaker.look(now).1.expect("it is open");
            let probe = pass(&breaker, now);
            assert_eq!(breaker.enter(now).err(), Some(PROBE_PAUSE));
            assert_eq!(breaker.look(now).0, Circuit::HalfOpen);
            assert_eq!(probe.failed(now), Some(open_for));
        }
        now += OPEN_MOST;
        pass(&breaker, now).succeeded();
        assert_eq!(breaker.look(now), (Circuit::Closed, None, 0));
        // From the beginning, also how long it opens for.
        for _ in 1..FAILURES {
            assert_eq!(pass(&breaker, now).failed(now), None);
        }
        assert_eq!(pass(&breaker, now).failed(now), Some(OPEN_FIRST));
    }

    #[test]
    fn a_success_between_failures_keeps_it_closed() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..FAILURES * 3 {
            assert_eq!(pass(&breaker, now).failed(now), None);
            pass(&breaker, now).succeeded();
        }
    }

    #[test]
    fn what_was_sent_before_it_opened_opens_it_no_longer() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        let early: Vec<_> = (0..FAILURES + 3).map(|_| pass(&breaker, now)).collect();
        let told: Vec<_> = early.into_iter().map(|pass| pass.failed(now)).collect();
        let (before, after) = told.split_at(FAILURES as usize - 1);
        assert!(before.iter().all(Option::is_none), "{told:?}");
        assert!(after.iter().all(|open| *open == Some(OPEN_FIRST)), "{told:?}");
    }

    #[test]
    fn a_probe_that_is_given_up_makes_room_for_another() {
        let now = Instant::now();
        let (breaker, now) = (opened(now), now + OPEN_FIRST);
        drop(pass(&breaker, now));
        drop(pass(&breaker, now));
    }
}
