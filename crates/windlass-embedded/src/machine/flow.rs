//! Parents and children: who waits for whom, and what a parent's end lets go or forbids.

use super::Machine;
use super::slots::NONE;
use std::collections::BTreeSet;
use windlass_core::event::Cause;
use windlass_core::job::OnParent;
use windlass_core::{JobId, State};

/// What the end of a parent means for one child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The child does not wait for it any more, or never did.
    Nothing,
    /// The last one it waited for: it may go.
    Go,
    /// It waits for others still; `parents_left` is now that.
    StillWaits,
    /// This end forbids it.
    Forbidden,
}

/// What upkeep does with the children of a job that has more of them than one step takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Errand {
    /// The job has ended: let them go, or cancel them.
    Release,
    /// The same, found after a replay: a child that was retried by hand although the job had failed waits
    /// for the job's retry, and is not cancelled over again with its siblings.
    Resume,
    /// The job has been retried: revive those that its end cancelled.
    Revive,
}

impl Machine {
    /// After a replay: what an end or a retry still owed to children when the process stopped.
    pub(crate) fn find_errands(&mut self) {
        let mut errands = BTreeSet::new();
        let mut wanted = [false; 8];
        wanted[State::Blocked as usize] = true;
        wanted[State::Cancelled as usize] = true;
        let mut from = 0;
        while let Some(at) = self.slots.next_in(from, &wanted) {
            from = at + 1;
            let blocked = self.slots.at(at).state() == State::Blocked;
            let owed = blocked || (self.is_revivable(at) && self.knows_parents_of(at));
            if !owed {
                continue;
            }
            for (parent, _) in self.extra(at).map(|extra| extra.parents.as_slice()).unwrap_or_default() {
                let Some(slot) = self.find(JobId(*parent)) else { continue };
                let state = self.slots.at(slot).state();
                // One that was retried although a parent had failed waits for that parent's retry.
                let owed =
                    if self.waits_for_retry(at) { state == State::Completed } else { state.is_terminal() };
                if owed == blocked {
                    errands.insert((*parent, if blocked { Errand::Resume } else { Errand::Revive }));
                }
            }
        }
        self.releases.extend(errands.into_iter().map(|(parent, errand)| (parent, 0, errand)));
    }

    /// Whether a blocked job waits for the retry of a parent that has failed.
    pub(crate) fn waits_for_retry(&self, at: u32) -> bool {
        self.slots.at(at).state() == State::Blocked
            && self.extra(at).is_some_and(|extra| extra.generation > 0)
    }

    /// Whether what became of each parent of a job is still known. A parent that nobody remembers may be
    /// the one that cancelled it: then no retry of another one is owed to it.
    fn knows_parents_of(&self, at: u32) -> bool {
        self.extra(at).is_some_and(|extra| {
            extra.parents.iter().all(|(id, _)| {
                self.find(JobId(*id)).is_some() || self.remembered.find(*id, self.now.wall).is_some()
            })
        })
    }

    /// Whether a job was cancelled by a parent's end, and none of its parents forbids it any more.
    pub(crate) fn is_revivable(&self, at: u32) -> bool {
        self.slots.at(at).state() == State::Cancelled
            && self.extra(at).is_some_and(|extra| {
                extra.cause == Cause::ParentFailed
                    && extra.parents.iter().all(|(id, on)| {
                        // One that was removed forbids it for good, if that is what its end did.
                        let live = self.find(JobId(*id)).map(|p| self.slots.at(p).state());
                        let state = live.or_else(|| self.remembered.find(*id, self.now.wall));
                        state.is_none_or(|state| !state.is_terminal() || released_by(state, *on))
                    })
            })
    }

    /// Registers a job with each of its parents. While a journal is replayed the copy of a child may come before that
    /// of its parent: such edges are joined at the end.
    pub(crate) fn know_parents(&mut self, at: u32) {
        let id = self.slots.at(at).id;
        let parents = self.extra(at).map(|extra| extra.parents.clone()).unwrap_or_default();
        for (parent, _) in parents {
            match self.find(JobId(parent)) {
                Some(slot) => self.extra_mut(slot).children.push(id),
                None if self.replaying => self.orphans.push((parent, id)),
                None => {}
            }
        }
    }

    /// After a replay: the edges whose parent came after the child.
    pub(crate) fn join_orphans(&mut self) {
        for (parent, child) in std::mem::take(&mut self.orphans) {
            if let Some(parent) = self.find(JobId(parent))
                && self.find(JobId(child)).is_some()
            {
                self.extra_mut(parent).children.push(child);
            }
        }
    }

    /// Counts the parents that a blocked job waits for.
    pub(crate) fn wait_for_parents(&mut self, at: u32) {
        let parents = self.extra(at).map(|extra| extra.parents.clone()).unwrap_or_default();
        let mut left = 0;
        for (parent, on) in parents {
            let Some(slot) = self.find(JobId(parent)) else { continue };
            if !released_by(self.slots.at(slot).state(), on) {
                left += 1;
            }
        }
        self.extra_mut(at).parents_left = left;
    }

    /// What `parent`, which has just ended, means for a child.
    pub(crate) fn verdict(&self, parent: u32, child: u128) -> (u32, Verdict) {
        let (parent_id, parent_state) = (self.slots.at(parent).id, self.slots.at(parent).state());
        let Some(at) = self.find(JobId(child)) else { return (NONE, Verdict::Nothing) };
        if self.slots.at(at).state() != State::Blocked {
            return (at, Verdict::Nothing);
        }
        let Some(extra) = self.extra(at) else { return (at, Verdict::Nothing) };
        let Some((_, on)) = extra.parents.iter().find(|(id, _)| *id == parent_id) else {
            return (at, Verdict::Nothing);
        };
        if !released_by(parent_state, *on) {
            return (at, if parent_state.is_terminal() { Verdict::Forbidden } else { Verdict::Nothing });
        }
        let waits = extra.parents.iter().any(|(id, on)| {
            *id != parent_id
                && self.find(JobId(*id)).is_some_and(|p| !released_by(self.slots.at(p).state(), *on))
        });
        (at, if waits { Verdict::StillWaits } else { Verdict::Go })
    }

    /// Whether a job has to wait for one of its parents as they stand now.
    pub(crate) fn must_wait(&self, parents: &[(u128, OnParent)]) -> bool {
        parents.iter().any(|(id, on)| {
            self.find(JobId(*id)).is_some_and(|p| !released_by(self.slots.at(p).state(), *on))
        })
    }

    /// Whether some child of the job is live.
    pub(crate) fn has_live_children(&self, at: u32) -> bool {
        self.extra(at).is_some_and(|extra| {
            extra.children.iter().any(|child| {
                self.find(JobId(*child)).is_some_and(|c| !self.slots.at(c).state().is_terminal())
            })
        })
    }
}

/// Whether a parent in that state lets a child of that edge go. A parent that is gone has let go.
pub(crate) fn released_by(state: State, on: OnParent) -> bool {
    match on {
        OnParent::Success => state == State::Completed,
        OnParent::Always => state.is_terminal(),
    }
}
