//! I13: a transactional enqueue is visible if and only if the transaction committed.
//!
//! Sees: a job of a transaction that was given, told of or shown before its commit was sent, or although it was rolled
//! back; a job of a committed transaction that a look does not show, although nothing could have ended it.
//! Cannot see: transactions whose end nobody knows; they may be in or out, but not seen before they ended.

use super::{Rule, Seen};
use crate::format::TransactionStep as Step;
use crate::report::{Findings, Invariant::I13};
use crate::world::World;
use std::collections::HashSet;
use windlass_core::JobId;

#[derive(Default)]
pub(super) struct Transactions {
    /// Jobs of transactions that somebody was given, told of or shown.
    seen: HashSet<JobId>,
}

impl Rule for Transactions {
    fn see(&mut self, seen: &Seen<'_>, world: &World, found: &mut Findings) {
        let (id, what) = match seen {
            Seen::Given { given, .. } => (given.lease.job, "given to a worker"),
            Seen::Event(event) => (event.job, "told of"),
            Seen::DumpedJob { job, .. } => (job.id, "shown"),
            Seen::Transaction(of) if of.step == Step::RolledBack => {
                // It was seen while the transaction was open, by an event or a claim that came too early.
                for id in world.transactions.get(&of.name).into_iter().flat_map(|seen| &seen.jobs) {
                    let seen = self.seen.contains(id);
                    found.hold(I13, !seen, *id, &[world.line], || {
                        format!("job {id} was seen, and its transaction {} was rolled back", of.name)
                    });
                }
                return;
            }
            Seen::Dump(dump) => {
                for (name, transaction) in &world.transactions {
                    let Some((Step::Committed, line)) = transaction.step else { continue };
                    for id in &transaction.jobs {
                        let Some(job) = world.job(*id).filter(|_| line < dump.line) else { continue };
                        let untold = dump.end.events_complete && job.story.is_blank();
                        let owed = job.surely_live_at(dump.line, world) || untold;
                        let taken = job.taken.is_some_and(|(line, at)| world.may_be_taken(line, at));
                        let lost = owed && !taken && !dump.jobs.contains_key(id);
                        found.hold(I13, !lost, *id, &[line, dump.line], || {
                            format!("transaction {name} committed, and the store does not have its job {id}")
                        });
                    }
                }
                return;
            }
            _ => return,
        };
        let Some(job) = world.job(id) else { return };
        let Some(name) = &job.transaction else { return };
        self.seen.insert(id);
        let step = world.transactions.get(name).and_then(|transaction| transaction.step);
        let line = step.map_or(job.asked_by.0, |(_, line)| line);
        let committed = step.is_some_and(|(step, _)| step != Step::RolledBack);
        found.hold(I13, committed, id, &[line, world.line], || {
            let how = if step.is_some() { "was rolled back" } else { "had not been committed" };
            format!("job {id} was {what}, and its transaction {name} {how}")
        });
    }
}
