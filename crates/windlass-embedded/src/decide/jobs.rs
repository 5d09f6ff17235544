//! T9 to T14: what people and parents do to jobs that no settlement is about.

use super::Core;
use crate::fact::{Fact, JobFact, Origin};
use crate::machine::flow::{Errand, Verdict};
use crate::machine::slots::flag;
use windlass_core::bounds::{DELAY_MS_MAX, PAYLOAD_BYTES_MAX, PRIORITY_MAX, PRIORITY_MIN};
use windlass_core::event::Cause;
use windlass_core::lifecycle::{Step, Verb};
use windlass_core::store::{Cancelled, Edit};
use windlass_core::{JobId, Rejection, State};

impl Core {
    /// T9, T10.
    pub(crate) fn cancel(&mut self, id: JobId) -> Result<Cancelled, Rejection> {
        let at = self.known(id)?;
        match self.ask(at, Verb::Cancel)? {
            Step::RequestCancel => {
                let group = self.machine.group_name(at);
                let job = self.machine.job_ref(at, &group);
                self.emit(&Fact::CancelRequested { job });
                self.machine.notify_holder(at);
                Ok(Cancelled::Requested)
            }
            Step::Already if self.machine.slots.at(at).state() == State::Running => Ok(Cancelled::Requested),
            Step::Already => Ok(Cancelled::Now),
            _ => {
                self.end(at, Cause::Requested);
                Ok(Cancelled::Now)
            }
        }
    }

    /// Ends a job that is not running as cancelled.
    pub(crate) fn end(&mut self, at: u32, cause: Cause) {
        let group = self.machine.group_name(at);
        let job = self.machine.job_ref(at, &group);
        self.emit(&Fact::Cancelled { job, cause });
        self.parent_ended(at);
    }

    /// T12. The unique key is checked again; parents that have not ended are waited for again.
    pub(crate) fn retry(&mut self, id: JobId) -> Result<(), Rejection> {
        let at = self.known(id)?;
        let parents = self.machine.extra(at).map(|extra| extra.parents.clone()).unwrap_or_default();
        let blocked = self.machine.must_wait(&parents);
        self.ask(at, Verb::Retry { blocked })?;
        let key = self.machine.extra(at).and_then(|extra| extra.unique.clone());
        if let Some(unique) = key
            && let Some(holder) = self.machine.unique.get(unique.key.as_str(), self.machine.now.wall)
            && holder.id != id.0
        {
            return Err(Rejection::UniqueConflict { holder: JobId(holder.id) });
        }
        let group = self.machine.group_name(at);
        let job = self.machine.job_ref(at, &group);
        let seq = if blocked { 0 } else { self.machine.take_seq() };
        self.emit(&Fact::Retried { job, seq });
        self.revive_children(at);
        Ok(())
    }

    /// Retrying a parent revives the children that its end cancelled.
    fn revive_children(&mut self, parent: u32) {
        let children = self.machine.extra(parent).map(|extra| extra.children.clone()).unwrap_or_default();
        let id = self.machine.slots.at(parent).id;
        for (done, child) in children.iter().enumerate() {
            if self.children_left == 0 {
                self.machine.releases.push_back((id, done, Errand::Revive));
                return;
            }
            self.children_left -= 1;
            self.revive_child(*child);
        }
    }

    fn revive_child(&mut self, child: u128) {
        if self.machine.find(JobId(child)).is_some_and(|at| self.machine.is_revivable(at)) {
            // A child whose unique key is taken meanwhile stays cancelled; that is its answer.
            let _ = self.retry(JobId(child));
        }
    }

    /// T14: due now.
    pub(crate) fn run_now(&mut self, id: JobId) -> Result<(), Rejection> {
        let at = self.known(id)?;
        if self.ask(at, Verb::RunNow)? == Step::Stay {
            return Ok(());
        }
        self.promote(at, Cause::Requested);
        Ok(())
    }

    /// T2: its time has come.
    pub(crate) fn promote(&mut self, at: u32, cause: Cause) {
        let group = self.machine.group_name(at);
        let job = self.machine.job_ref(at, &group);
        let seq = self.machine.take_seq();
        self.emit(&Fact::Promoted { job, seq, cause });
    }

    /// T13 by somebody.
    pub(crate) fn delete(&mut self, id: JobId) -> Result<(), Rejection> {
        let at = self.known(id)?;
        self.ask(at, Verb::Delete)?;
        if self.machine.has_live_children(at) {
            return Err(Rejection::HasLiveChildren);
        }
        self.remove(at, Cause::Requested);
        Ok(())
    }

    /// T13.
    pub(crate) fn remove(&mut self, at: u32, cause: Cause) {
        let group = self.machine.group_name(at);
        let job = self.machine.job_ref(at, &group);
        let state = self.machine.slots.at(at).state() as u8;
        self.emit(&Fact::Removed { job, state, cause });
    }

    /// T14: payload, priority or time of a job that is not running; the payload alone also of one that may be retried.
    pub(crate) fn edit(&mut self, edit: &Edit) -> Result<(), Rejection> {
        let at = self.known(edit.id)?;
        let now = self.machine.now.wall;
        let verb = match (edit.priority, edit.run_at) {
            (None, None) => Verb::EditPayload,
            (_, run_at) => Verb::Edit { due: run_at.is_none_or(|run_at| run_at.0 <= now) },
        };
        self.ask(at, verb)?;
        let refuse = |what, why: &str| Err(Rejection::Invalid { what, why: why.into() });
        if edit.payload.as_ref().is_some_and(|payload| payload.len() > PAYLOAD_BYTES_MAX) {
            return refuse("payload", "is more than 1 MiB");
        }
        if let Some(priority) = edit.priority.filter(|p| !(PRIORITY_MIN..=PRIORITY_MAX).contains(p)) {
            return refuse("priority", &format!("{priority} is not between -9 and 9"));
        }
        if edit.priority.is_some_and(|p| p != 0) && self.machine.is_ordered(at) {
            return refuse("priority", "must be 0 in an ordered group");
        }
        if edit.run_at.is_some_and(|at| at.0 > now.saturating_add(DELAY_MS_MAX)) {
            return refuse("run_at", "the time lies more than ten years ahead");
        }
        self.rewrite(at, Origin::Edited, edit.payload.as_deref(), edit.priority, edit.run_at.map(|at| at.0))
    }

    /// Writes a job's record anew with what changes.
    pub(crate) fn rewrite(
        &mut self,
        at: u32,
        origin: Origin,
        payload: Option<&[u8]>,
        priority: Option<i8>,
        due: Option<u64>,
    ) -> Result<(), Rejection> {
        let record = self.record(at)?;
        let old = record.fact()?;
        let slot = *self.machine.slots.at(at);
        let now = self.machine.now.wall;
        let (state, when) = match (slot.state(), due) {
            (State::Blocked, _) | (_, None) => (slot.state(), slot.when),
            (State::Retrying, Some(due)) if due > now => (State::Retrying, due),
            (_, Some(due)) if due > now => (State::Scheduled, due),
            (_, Some(_)) if slot.state() == State::Ready => (State::Ready, slot.when),
            (_, Some(_)) => (State::Ready, now),
        };
        let fresh_order = state == State::Ready
            && (slot.state() != State::Ready
                || priority.is_some_and(|p| p != self.machine.lane_of(at).priority));
        let seq = if fresh_order { self.machine.take_seq() } else { slot.seq };
        let dynamic = self.dynamic_of(at);
        // A blocked job keeps its time until its parents let it go.
        let blocked_until = due.filter(|_| state == State::Blocked).map(|due| {
            let mut options = super::list::options_of(&old);
            options.due = (due > now).then_some(due);
            serde_json::to_vec(&options).expect("our own plain structs always serialise")
        });
        let group = self.machine.group_name(at);
        let fact = Fact::Job(JobFact {
            origin,
            job: self.machine.job_ref(at, &group),
            state: state as u8,
            priority: priority.unwrap_or(self.machine.lane_of(at).priority),
            enqueued_at: old.enqueued_at,
            when,
            seq,
            dynamic: &dynamic,
            options: blocked_until.as_deref().unwrap_or(old.options),
            payload: payload.unwrap_or(old.payload),
        });
        self.emit(&fact);
        Ok(())
    }

    /// T11: a job has ended; its children are let go, forbidden, or wait on.
    pub(crate) fn parent_ended(&mut self, at: u32) {
        let Some(extra) = self.machine.extra(at) else { return };
        if extra.children.is_empty() {
            return;
        }
        let children = extra.children.clone();
        let id = self.machine.slots.at(at).id;
        for (done, child) in children.iter().enumerate() {
            if self.children_left == 0 {
                self.machine.releases.push_back((id, done, Errand::Release));
                return;
            }
            self.children_left -= 1;
            self.release_child(at, *child);
        }
    }

    /// Does for one child what its parent's end means.
    pub(crate) fn release_child(&mut self, parent: u32, child: u128) {
        let (at, verdict) = self.machine.verdict(parent, child);
        match verdict {
            Verdict::Nothing | Verdict::StillWaits => {}
            Verdict::Forbidden => self.end(at, Cause::ParentFailed),
            Verdict::Go => {
                let due = self.machine.extra(at).and_then(|extra| extra.due);
                let ahead = due.is_some_and(|due| due > self.machine.now.wall);
                let seq = if ahead { 0 } else { self.machine.take_seq() };
                let group = self.machine.group_name(at);
                let job = self.machine.job_ref(at, &group);
                self.emit(&Fact::Unblocked { job, seq });
            }
        }
    }

    /// Goes on with the children of parents that had more than one step could release.
    pub(crate) fn release_more(&mut self, budget: usize) -> usize {
        let mut done = 0;
        while done < budget {
            let Some((parent, from, errand)) = self.machine.releases.pop_front() else { break };
            let Some(at) = self.machine.find(JobId(parent)) else { continue };
            let children = self.machine.extra(at).map(|extra| extra.children.clone()).unwrap_or_default();
            let until = children.len().min(from + (budget - done));
            for child in &children[from.min(until)..until] {
                match errand {
                    Errand::Release => self.release_child(at, *child),
                    Errand::Resume => {
                        let (slot, verdict) = self.machine.verdict(at, *child);
                        if verdict != Verdict::Forbidden || !self.machine.waits_for_retry(slot) {
                            self.release_child(at, *child);
                        }
                    }
                    Errand::Revive => self.revive_child(*child),
                }
            }
            done += until.saturating_sub(from).max(1);
            if until < children.len() {
                self.machine.releases.push_front((parent, until, errand));
            }
        }
        done
    }

    /// Whether a waiting job was given back because no handler knew it.
    pub(crate) fn lacks_handler(&self, at: u32) -> bool {
        self.machine.slots.at(at).is(flag::NO_HANDLER)
    }
}
