//! The timetable of a shutdown: finish, ask, cut off, give back, go.
//!
//! Nothing is claimed any more from the first step on. Handlers have the grace to finish; then they are
//! asked to stop; then they are cut off and their jobs given back, no try spent. A handler that blocks
//! its thread cannot be cut off: its job is given back all the same, and what it still says is not
//! heard. The last step waits until the store has taken everything, but not for ever.

use crate::ctx::Held;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use windlass_core::LeaseToken;
use windlass_core::store::{ReleaseReason, Settle};

/// How long handlers have to stop after they were asked to.
const ASKED: Duration = Duration::from_millis(1_000);
/// How long a cut-off handler may take to be gone; one that blocks its thread takes longer.
const CUT_OFF: Duration = Duration::from_millis(500);
/// How long the last settlements may take; a store that is away must not keep a process alive.
const FLUSH: Duration = Duration::from_millis(10_000);

/// What a shutdown came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Attempts that ended by themselves after the shutdown had begun.
    pub done: usize,
    /// Jobs given back to the queue, no try spent.
    pub returned: usize,
    /// Handlers that were cut off in the middle; their jobs are among those given back.
    pub aborted: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Working,
    /// Handlers may finish.
    Grace,
    /// Handlers are asked to stop.
    Asked,
    /// Handlers are cut off.
    CutOff,
    /// Only the store's answers are waited for.
    Flush,
    Over,
}

pub(super) struct Stopping {
    phase: Phase,
    until: Option<Instant>,
    grace: Duration,
    /// Attempts whose jobs were given back over their heads.
    unheard: HashSet<LeaseToken>,
    pub(super) report: ShutdownReport,
}

impl Stopping {
    pub(super) fn new(grace: Duration) -> Self {
        let unheard = HashSet::new();
        Self { phase: Phase::Working, until: None, grace, unheard, report: ShutdownReport::default() }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// When [`Stopping::further`] has something to do whatever happens.
    pub(super) fn next(&self) -> Option<Instant> {
        self.until
    }

    /// Begins the shutdown; a second call can only shorten its grace.
    pub(super) fn stop(&mut self, grace: Option<Duration>, now: Instant) {
        let until = now + grace.unwrap_or(self.grace);
        match self.phase {
            Phase::Working => (self.phase, self.until) = (Phase::Grace, Some(until)),
            Phase::Grace if grace.is_some() => self.until = self.until.map(|at| at.min(until)),
            _ => {}
        }
    }

    /// Whether what that attempt says still counts.
    pub(super) fn hears(&self, token: &LeaseToken) -> bool {
        !self.unheard.contains(token)
    }

    /// An attempt has ended.
    pub(super) fn count(&mut self, settle: &Settle) {
        if self.phase == Phase::Working {
            return;
        }
        match settle {
            Settle::Release { reason: ReleaseReason::Shutdown, .. } => {
                self.report.returned += 1;
                self.report.aborted += usize::from(self.phase != Phase::Asked);
            }
            _ => self.report.done += 1,
        }
    }

    /// A job came too late to be started.
    pub(super) fn returned_unstarted(&mut self) {
        self.report.returned += 1;
    }

    /// Goes on as far as time and the running handlers allow; answers the attempts that are given up.
    pub(super) fn further(&mut self, now: Instant, running: &[Arc<Held>], quiet: bool) -> Vec<Arc<Held>> {
        loop {
            let late = self.until.is_some_and(|until| until <= now);
            let (phase, wait) = match self.phase {
                Phase::Working | Phase::Over => return Vec::new(),
                Phase::Flush if quiet || late => (Phase::Over, Duration::ZERO),
                Phase::Grace | Phase::Asked | Phase::CutOff if running.is_empty() => (Phase::Flush, FLUSH),
                Phase::Grace if late => {
                    running.iter().for_each(|held| held.request_shutdown());
                    (Phase::Asked, ASKED)
                }
                Phase::Asked if late => {
                    running.iter().for_each(|held| held.cut_off());
                    (Phase::CutOff, CUT_OFF)
                }
                Phase::CutOff if late => {
                    (self.phase, self.until) = (Phase::Flush, Some(now + FLUSH));
                    self.unheard.extend(running.iter().map(|held| held.job.lease.token));
                    self.report.returned += running.len();
                    self.report.aborted += running.len();
                    return running.to_vec();
                }
                Phase::Grace | Phase::Asked | Phase::CutOff | Phase::Flush => return Vec::new(),
            };
            (self.phase, self.until) = (phase, Some(now + wait));
        }
    }
}

#[cfg(all(test, feature = "embedded"))]
mod tests {
    use super::*;
    use crate::worker::beat::tests::held;

    const GRACE: Duration = Duration::from_secs(30);

    #[test]
    fn handlers_may_finish_then_are_asked_then_cut_off_then_given_up() {
        let start = Instant::now();
        let mut stopping = Stopping::new(GRACE);
        assert!(stopping.further(start, &[], true).is_empty());
        assert_eq!(stopping.phase(), Phase::Working);
        stopping.stop(None, start);
        let running = [held(30_000, 0)];
        let at = |stopping: &mut Stopping, ms: u64| {
            stopping.further(start + Duration::from_millis(ms), &running, true).len()
        };
        assert_eq!((at(&mut stopping, 29_999), stopping.phase()), (0, Phase::Grace));
        assert!(!running[0].is_shutting_down());
        assert_eq!((at(&mut stopping, 30_000), stopping.phase()), (0, Phase::Asked));
        assert!(running[0].is_shutting_down() && !running[0].is_over());
        assert_eq!((at(&mut stopping, 31_000), stopping.phase()), (0, Phase::CutOff));
        assert!(running[0].is_over());
        assert_eq!((at(&mut stopping, 31_500), stopping.phase()), (1, Phase::Flush));
        assert!(!stopping.hears(&running[0].job.lease.token), "what it still says is not heard");
        assert_eq!(stopping.report, ShutdownReport { done: 0, returned: 1, aborted: 1 });
    }

    #[test]
    fn the_last_word_is_waited_for_but_not_for_ever() {
        let start = Instant::now();
        let mut stopping = Stopping::new(GRACE);
        stopping.stop(None, start);
        assert!(stopping.further(start, &[], false).is_empty());
        assert_eq!(stopping.phase(), Phase::Flush);
        assert!(stopping.further(start + FLUSH - Duration::from_millis(1), &[], false).is_empty());
        assert_eq!(stopping.phase(), Phase::Flush);
        assert!(stopping.further(start + FLUSH, &[], false).is_empty());
        assert_eq!(stopping.phase(), Phase::Over);
    }

    #[test]
    fn a_second_order_can_only_shorten_the_grace() {
        let start = Instant::now();
        let mut stopping = Stopping::new(GRACE);
        stopping.stop(None, start);
        stopping.stop(Some(Duration::from_secs(90)), start);
        assert_eq!(stopping.next(), Some(start + GRACE));
        stopping.stop(Some(Duration::ZERO), start);
        assert_eq!(stopping.next(), Some(start));
    }
}
