//! I4: the counter of tokens only grows, and so do attempts. As clients see it.
//!
//! Sees: a claim that began after another one was answered and got a smaller or equal counter, over the whole store; an
//! attempt of a job that is not larger than one answered before; the same token given twice; a look that shows fewer
//! attempts than were given. A power cut may un-count attempts; after a failover, or one that takes the
//! last moments of a store whose level is a window, only the nonce protects.
//! Cannot see: the order of claims that overlap.

use super::{Rule, Seen};
use crate::format::FaultKind;
use crate::report::{Findings, Invariant::I4};
use crate::world::{FaultSeen, World};
use windlass_core::store::AckLevel;

/// The largest counter answered so far with its line; and what it was when each claim began.
#[derive(Default)]
pub(super) struct Counters {
    /// Counters answered by that line, growing in both: only its last steps are asked for.
    steps: Vec<(u64, u64)>,
}

impl Counters {
    /// The largest counter answered before that line.
    fn before(&self, line: u64) -> Option<(u64, u64)> {
        let until = self.steps.partition_point(|(answered, _)| *answered < line);
        until.checked_sub(1).map(|last| self.steps[last])
    }
}

/// Steps kept: a claim that takes longer than so many others is compared with fewer of them.
const STEPS_MAX: usize = 100_000;

/// Whether counters may begin again where the store was before that fault: after a failover, and after what takes the
/// last moments of a store that promises no more than that.
fn begins_again(world: &World, fault: &FaultSeen) -> bool {
    let window = matches!(world.header.ack_level, AckLevel::Window { .. });
    fault.what == FaultKind::Failover || (window && fault.takes_since.is_some())
}

impl Rule for Counters {
    fn see(&mut self, seen: &Seen<'_>, world: &World, found: &mut Findings) {
        match seen {
            Seen::Given { given, begun } => {
                let (id, token, attempt) = (given.lease.job, given.lease.token, given.lease.attempt);
                if let Some((answered, counter)) = self.before(begun.line)
                    && !world.faults.iter().any(|fault| fault.line > answered && begins_again(world, fault))
                {
                    found.hold(I4, token.counter > counter, id, &[answered, begun.line, world.line], || {
                        format!(
                            "job {id} was given with counter {}, after {counter} had been answered",
                            token.counter
                        )
                    });
                }
                if let Some(job) = world.job(id) {
                    let (last, answered) = job.attempt;
                    if answered > 0 && answered < begun.line && !world.power_since(answered) {
                        found.hold(I4, attempt > last, id, &[answered, world.line], || {
                            format!("job {id} was given as attempt {attempt}, after attempt {last} had been")
                        });
                    }
                    let again = job.held.is_some_and(|held| held.lease.token == token);
                    found.hold(I4, !again, id, &[job.counter.1, world.line], || {
                        format!("job {id} was given twice with one token")
                    });
                }
                if self.steps.last().is_none_or(|(_, most)| token.counter > *most) {
                    match self.steps.last_mut().filter(|(line, _)| *line == world.line) {
                        Some(last) => last.1 = token.counter,
                        None => self.steps.push((world.line, token.counter)),
                    }
                }
                if self.steps.len() > STEPS_MAX {
                    self.steps.drain(..STEPS_MAX / 2);
                }
            }
            // Counters may begin again where the store was before.
            Seen::Fault(_) if world.faults.last().is_some_and(|fault| begins_again(world, fault)) => {
                self.steps.clear();
            }
            Seen::DumpedJob { job, line, dump } => {
                let Some(known) = world.job(job.id) else { return };
                let (attempt, answered) = known.attempt;
                if answered > 0 && answered < dump.line && !world.power_since(answered) {
                    let id = job.id;
                    found.hold(I4, job.attempt >= attempt, id, &[answered, *line], || {
                        format!(
                            "job {id} was given as attempt {attempt}, and the store counts {}",
                            job.attempt
                        )
                    });
                }
            }
            _ => {}
        }
    }
}
