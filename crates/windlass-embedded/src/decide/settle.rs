//! T4 to T8: what the holder of a lease says about its attempt.

use super::Core;
use crate::fact::Fact;
use crate::machine::extra::{Ack, AckOutcome, What};
use crate::machine::slots::flag;
use windlass_core::bounds::{self, cut};
use windlass_core::event::Cause;
use windlass_core::job::ErrorReport;
use windlass_core::lifecycle::{Step, Token, Verb, step};
use windlass_core::store::{Beat, Hold, ReleaseReason, Report, Settle};
use windlass_core::{JobId, Lease, Rejection, State, Time};

impl Core {
    /// Ends one attempt as its holder says.
    pub(crate) fn settle(&mut self, settle: &Settle) -> Result<(), Rejection> {
        let lease = settle.lease();
        let Some(at) = self.machine.find(lease.job) else { return Err(Rejection::Stale) };
        match settle {
            Settle::Complete { result, then, .. } => self.complete(at, lease, result.as_deref(), then),
            Settle::Fail { error, retry_in_ms, fatal, .. } => {
                self.fail(at, lease, error, *retry_in_ms, *fatal)
            }
            Settle::Snooze { delay_ms, reason, holds, .. } => {
                self.snooze(at, lease, *delay_ms, reason, holds.as_ref())
            }
            Settle::Release { reason, .. } => self.release(at, lease, *reason),
        }
    }

    /// How the token shown compares with the job's.
    fn token(&self, at: u32, lease: &Lease, outcome: AckOutcome) -> Token {
        let slot = self.machine.slots.at(at);
        if slot.state() == State::Running {
            let entry = &self.machine.leases[slot.aux];
            if entry.counter == lease.token.counter && entry.nonce == lease.token.nonce {
                return Token::Current;
            }
        }
        let shown = Ack { counter: lease.token.counter, nonce: lease.token.nonce, outcome };
        let settled = if slot.is(flag::SETTLED) { Some(self.machine.settled[slot.aux].ack()) } else { None };
        let ended = self.machine.extra(at).and_then(|extra| extra.ack);
        let cancelled = Ack { outcome: AckOutcome::Cancelled, ..shown };
        if settled == Some(shown)
            || ended == Some(shown)
            || (ended == Some(cancelled) && outcome != AckOutcome::Completed)
        {
            Token::Repeated
        } else {
            Token::Stale
        }
    }

    fn allowed(&self, at: u32, verb: Verb, lease: &Lease, outcome: AckOutcome) -> Result<Step, Rejection> {
        step(self.standing(at), verb, self.token(at, lease, outcome))
    }

    fn complete(
        &mut self,
        at: u32,
        lease: &Lease,
        result: Option<&[u8]>,
        then: &[windlass_core::NewJob],
    ) -> Result<(), Rejection> {
        if self.allowed(at, Verb::Complete, lease, AckOutcome::Completed)? == Step::Already {
            return Ok(());
        }
        bound("result", result.map_or(0, <[u8]>::len), bounds::RESULT_BYTES_MAX)?;
        if then.len() > bounds::FOLLOW_UPS_MAX {
            let why = format!("{} follow-ups are more than 1,000", then.len());
            return Err(Rejection::Invalid { what: "batch", why });
        }
        if !then.is_empty() && self.space_low {
            return Err(Rejection::OutOfSpace);
        }
        let order = self.follow_ups_in_order(then)?;
        let (held, group) = (self.machine.held(at), self.machine.group_name(at));
        let job = self.machine.job_ref(at, &group);
        self.emit(&Fact::Completed { job, held, result });
        for follow_up in order {
            // Checked above: what is refused here meets a unique key that is held, and is there already.
            let _ = self.take_in(&then[follow_up], false);
        }
        self.parent_ended(at);
        Ok(())
    }

    fn fail(
        &mut self,
        at: u32,
        lease: &Lease,
        error: &ErrorReport,
        retry_in_ms: Option<u64>,
        fatal: bool,
    ) -> Result<(), Rejection> {
        let policy = match self.machine.extra(at).and_then(|extra| extra.retry.clone()) {
            Some(policy) => policy,
            None => self.machine.queues[usize::from(self.machine.queue_of(at))].settings.retry.clone(),
        };
        let failures = self.machine.extra(at).map_or(0, |extra| extra.failures) + 1;
        let dead = fatal || failures >= policy.max_failures();
        let to = match self.allowed(at, Verb::Fail { dead }, lease, AckOutcome::Failed)? {
            Step::Already => return Ok(()),
            Step::To(to) => to,
            _ => return Err(Rejection::Stale),
        };
        if to == State::Cancelled {
            return self.end_cancelled(at, Cause::Requested);
        }
        let error = error.bounded();
        let error = serde_json::to_vec(&error).expect("our own plain structs always serialise");
        let id = JobId(self.machine.slots.at(at).id);
        let delay = retry_in_ms.unwrap_or_else(|| policy.delay_ms(id, failures)).min(bounds::DELAY_MS_MAX);
        let retry_at = self.machine.now.wall.saturating_add(delay);
        let cause = match (dead, fatal) {
            (false, _) => Cause::None,
            (true, true) => Cause::Fatal,
            (true, false) => Cause::Exhausted,
        };
        let (held, group) = (self.machine.held(at), self.machine.group_name(at));
        let job = self.machine.job_ref(at, &group);
        self.emit(&Fact::Failed { job, held, dead, cause, retry_at, error: &error });
        if dead {
            self.parent_ended(at);
        }
        Ok(())
    }

    fn snooze(
        &mut self,
        at: u32,
        lease: &Lease,
        delay_ms: u64,
        reason: &str,
        holds: Option<&Hold>,
    ) -> Result<(), Rejection> {
        let step = self.allowed(at, Verb::Snooze, lease, AckOutcome::Snoozed)?;
        if step == Step::Already {
            return Ok(());
        }
        bound("snooze", reason.len(), bounds::EVENT_TEXT_BYTES_MAX)?;
        if delay_ms > bounds::DELAY_MS_MAX {
            return Err(Rejection::Invalid { what: "delay", why: "is more than ten years".into() });
        }
        if step == Step::To(State::Cancelled) {
            return self.end_cancelled(at, Cause::Requested);
        }
        let snoozes = self.machine.extra(at).map_or(0, |extra| extra.snoozes);
        if snoozes >= bounds::SNOOZES_MAX {
            return Err(Rejection::TooManySnoozes { snoozes });
        }
        let (held, group) = (self.machine.held(at), self.machine.group_name(at));
        let job = self.machine.job_ref(at, &group);
        let until = self.machine.now.wall.saturating_add(delay_ms);
        let cause = if holds.is_some() { Cause::RateLimited } else { Cause::None };
        if let Some(hold) = holds {
            let until = self.machine.now.store.saturating_add(delay_ms);
            let (what, name) = match hold {
                Hold::Queue => (0, ""),
                Hold::Group => (1, &*group),
                Hold::Limit(name) => (2, name.as_str()),
            };
            self.emit(&Fact::Held { what, queue: job.queue, name, until });
        }
        self.emit(&Fact::Snoozed { job, held, until, cause, reason });
        Ok(())
    }

    fn release(&mut self, at: u32, lease: &Lease, reason: ReleaseReason) -> Result<(), Rejection> {
        let delayed = reason == ReleaseReason::NoHandler;
        match self.allowed(at, Verb::Release { delayed }, lease, AckOutcome::Released)? {
            Step::Already => return Ok(()),
            Step::To(State::Cancelled) => return self.end_cancelled(at, Cause::Requested),
            _ => {}
        }
        let (held, group) = (self.machine.held(at), self.machine.group_name(at));
        let job = self.machine.job_ref(at, &group);
        let (until, seq, cause) = match reason {
            ReleaseReason::NoHandler => {
                let times = self.machine.extra(at).map_or(0, |extra| extra.no_handler).min(16);
                let delay = (bounds::NO_HANDLER_DELAY_MS_MIN << times).min(bounds::NO_HANDLER_DELAY_MS_MAX);
                (self.machine.now.wall + delay, 0, Cause::NoHandler)
            }
            ReleaseReason::Shutdown => (0, self.machine.take_seq(), Cause::Shutdown),
            ReleaseReason::Unstarted => (0, self.machine.take_seq(), Cause::None),
        };
        self.emit(&Fact::Released { job, held, until, seq, cause });
        Ok(())
    }

    /// The attempt ends in a cancellation that was asked for before.
    pub(crate) fn end_cancelled(&mut self, at: u32, cause: Cause) -> Result<(), Rejection> {
        let group = self.machine.group_name(at);
        let job = self.machine.job_ref(at, &group);
        self.emit(&Fact::Cancelled { job, cause });
        self.parent_ended(at);
        Ok(())
    }

    /// T4. Moves the deadline in memory only: after a reopen every lease gets its full time anyway.
    pub(crate) fn heartbeat(&mut self, lease: &Lease) -> Result<Beat, Rejection> {
        let at = self.machine.find(lease.job).ok_or(Rejection::Stale)?;
        self.allowed(at, Verb::Heartbeat, lease, AckOutcome::Completed)?;
        let now = self.machine.now.store;
        let entry = &mut self.machine.leases[self.machine.slots.at(at).aux];
        entry.deadline = now + entry.lease_ms;
        let deadline = Time(entry.deadline);
        Ok(Beat { deadline, cancel_requested: self.machine.slots.at(at).is(flag::CANCEL) })
    }

    /// Progress, log and checkpoint of a running attempt.
    pub(crate) fn report(&mut self, report: &Report) -> Result<(), Rejection> {
        let at = self.machine.find(report.lease.job).ok_or(Rejection::Stale)?;
        self.allowed(at, Verb::Report, &report.lease, AckOutcome::Completed)?;
        bound("checkpoint", report.checkpoint.as_ref().map_or(0, Vec::len), bounds::CHECKPOINT_BYTES_MAX)?;
        let group = self.machine.group_name(at);
        let job = self.machine.job_ref(at, &group);
        if let Some(progress) = &report.progress {
            let message = progress.message.as_deref().map(|m| cut(m, bounds::EVENT_TEXT_BYTES_MAX));
            self.emit(&Fact::Progress { job, percent: progress.percent.min(100), message });
        }
        if let Some(bytes) = &report.checkpoint {
            self.emit(&Fact::Checkpoint { job, bytes });
        }
        if let Some(text) = report.log.as_deref().filter(|text| !text.is_empty()) {
            self.log(at, text);
        }
        Ok(())
    }

    fn log(&mut self, at: u32, text: &str) {
        let attempt = self.machine.attempt(at);
        let used = self.machine.extra(at).map_or(0, |extra| {
            let any = extra.kept.iter().any(|k| k.what == What::Log && k.attempt == attempt);
            if any { extra.log_bytes as usize } else { 0 }
        });
        const CUT: &str = "\n… the log of this attempt is full; what follows was dropped\n";
        if used >= bounds::LOG_BYTES_MAX {
            return;
        }
        let room = bounds::LOG_BYTES_MAX - used;
        let group = self.machine.group_name(at);
        let job = self.machine.job_ref(at, &group);
        if text.len() <= room {
            self.emit(&Fact::Log { job, text });
        } else {
            // Filled up to the bound, so that nothing is added behind the line that says so.
            let head = cut(text, room.saturating_sub(CUT.len()));
            let fill = "\n".repeat(room.saturating_sub(head.len() + CUT.len()));
            let text = format!("{head}{fill}{CUT}");
            self.emit(&Fact::Log { job, text: &text });
        }
    }
}

fn bound(what: &'static str, bytes: usize, most: usize) -> Result<(), Rejection> {
    if bytes <= most {
        return Ok(());
    }
    Err(Rejection::Invalid { what, why: format!("{bytes} bytes are more than {most}") })
}
