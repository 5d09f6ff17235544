//! I17: recovery gives the same state. Two looks with nothing but an end and a reopen between them are compared.
//!
//! Sees: a job that appeared, vanished or changed: state, queue, group, priority, attempts, failures, losses, snoozes,
//! time. What time alone may do meanwhile is allowed: what was due becomes ready, a lease that ran out or whose worker
//! has ended with the store is lost, ended jobs are pruned by an event, schedules tick.
//! Cannot see: payloads, results and error histories. A test that wants them compares the jobs itself.

use super::{Dump, Rule, Seen};
use crate::format::{Ask, DumpJob};
use crate::report::{Findings, Invariant::I17};
use crate::world::World;
use std::collections::HashMap;
use windlass_core::{JobId, State};

#[derive(Default)]
pub(super) struct Reopen {
    last: HashMap<JobId, (DumpJob, u64)>,
    /// Somebody has asked something since: the looks cannot be compared.
    touched: bool,
    any: bool,
}

impl Rule for Reopen {
    fn see(&mut self, seen: &Seen<'_>, world: &World, found: &mut Findings) {
        match seen {
            Seen::Begun(begun) if !matches!(begun.ask, Ask::Close {}) => self.touched = true,
            Seen::Dump(dump) => {
                if dump.begins.reopened && self.any && !self.touched {
                    self.compare(dump, world, found);
                }
                self.last.clone_from(&dump.jobs);
                (self.touched, self.any) = (false, true);
            }
            _ => {}
        }
    }
}

impl Reopen {
    fn compare(&self, dump: &Dump, world: &World, found: &mut Findings) {
        for (id, (before, line)) in &self.last {
            let after = dump.jobs.get(id);
            let removed =
                world.gone.contains(id) || world.job(*id).is_some_and(|job| job.story.removed.is_some());
            let same =
                after.is_some_and(|(after, _)| before == after || may_become(before, after, dump, world));
            let to = after.map_or(dump.line, |(_, line)| *line);
            found.hold(I17, same || (after.is_none() && removed), *id, &[*line, to], || match after {
                None => format!(
                    "job {id} was {} before the store was opened again, and is not there",
                    before.state
                ),
                Some((after, _)) => {
                    format!("job {id} was {before:?} before the store was opened again, and is {after:?}")
                }
            });
        }
        if world.schedules.is_empty() {
            for (id, (_, line)) in dump.jobs.iter().filter(|(id, _)| !self.last.contains_key(id)) {
                found.hold(I17, false, *id, &[*line], || {
                    format!("job {id} was not there before the store was opened again")
                });
            }
        }
    }
}

/// What time, and the end of workers inside the store, may do by themselves.
fn may_become(before: &DumpJob, after: &DumpJob, dump: &Dump, world: &World) -> bool {
    let kept = DumpJob { state: after.state, since: after.since, losses: after.losses, ..before.clone() };
    if kept != *after {
        return false;
    }
    match before.state {
        State::Running => {
            let held = world.job(before.id).and_then(|job| job.held);
            let over = held.is_none_or(|held| held.deadline <= dump.at.plus_ms(world.header.skew_ms));
            (dump.begins.workers_ended || over)
                && after.losses <= before.losses + 1
                && after.state != State::Completed
        }
        State::Scheduled | State::Retrying => {
            after.state == State::Ready && before.since <= dump.at.plus_ms(world.header.skew_ms)
        }
        _ => false,
    }
}
