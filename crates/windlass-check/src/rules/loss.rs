//! I1: no acknowledged enqueue is lost by a fault that the store's level covers; nor is another acknowledged write.
//!
//! Sees: every job acknowledged as new before a full look must be in the look, or its removal must be told by an event or
//! possible by what clients asked for; every acknowledged settlement must be told by an event, where all events were
//! read; where every client is recorded, no job that nobody asked for may appear.
//! Cannot see: a job that ended, was removed by retention and whose events were not read; a lost edit of a payload.

use super::{Dump, Rule, Seen};
use crate::format::{Ask, Item};
use crate::report::{Findings, Invariant::I1};
use crate::story::Story;
use crate::world::{Ack, Job, World};
use std::collections::HashMap;
use windlass_core::JobId;
use windlass_core::event::EventType;
use windlass_core::store::EnqueueStatus;

/// Acknowledged jobs that every look must show, with the line of the acknowledgement.
#[derive(Default)]
pub(super) struct Loss {
    owed: HashMap<JobId, u64>,
}

impl Rule for Loss {
    fn see(&mut self, seen: &Seen<'_>, world: &World, found: &mut Findings) {
        match seen {
            // What a transaction of the caller enqueues is owed by its commit: `transactions`.
            Seen::Enqueued { told: Item::Ok(done), begun, .. }
                if done.status == EnqueueStatus::Created
                    && !matches!(begun.ask, Ask::Enqueue { transaction: Some(_), .. }) =>
            {
                self.owed.entry(done.id).or_insert(world.line);
            }
            Seen::Settled { settle, told, .. } if told.is_ok() => {
                for then in settle.then.iter().filter(|then| then.unique.is_none()) {
                    self.owed.entry(then.id).or_insert(world.line);
                }
            }
            Seen::Dump(dump) => {
                self.compare_jobs(dump, world, found);
                compare_settlements(dump, world, found);
            }
            Seen::DumpedJob { job, line, .. } => {
                let known = world.job(job.id).is_some_and(|job| job.asked.is_some());
                if !known && world.header.all_clients && world.schedules.is_empty() {
                    let id = job.id;
                    found.hold(I1, false, id, &[*line], || {
                        format!("job {id} is there, and nobody asked for it")
                    });
                }
            }
            _ => {}
        }
    }
}

impl Loss {
    fn compare_jobs(&mut self, dump: &Dump, world: &World, found: &mut Findings) {
        self.owed.retain(|id, line| {
            if *line > dump.line {
                return true;
            }
            let (Some(job), false) = (world.job(*id), dump.jobs.contains_key(id)) else {
                found.judge(I1);
                // A job that is gone was seen to be removed.
                return world.job(*id).is_some();
            };
            if job.story.removed.is_some() || job.deleted.is_some() {
                found.judge(I1);
                return false;
            }
            let taken_at = job.taken.map_or(world.at, |(_, at)| at);
            if world.may_be_taken(*line, taken_at) {
                found.losses_not_covered += 1;
                return false;
            }
            // Retention removes what has ended; without its events nobody can say whether it has.
            if !dump.end.events_complete && !job.surely_live_at(dump.line, world) {
                return false;
            }
            let told_since =
                if job.story.line > 0 { ", and no event removed it" } else { ", and no event tells of it" };
            found.hold(I1, false, *id, &[*line, job.story.line, dump.line], || {
                format!("job {id} was acknowledged, and the store no longer has it{told_since}")
            });
            false
        });
    }
}

/// Every settlement that was acknowledged before the look is an event of its attempt.
fn compare_settlements(dump: &Dump, world: &World, found: &mut Findings) {
    if !dump.end.events_complete {
        return;
    }
    for (id, job) in &world.jobs {
        for (ack, line, at) in job.acks.iter().filter(|(_, line, _)| *line < dump.line) {
            if job.story.begun && !job.story.unsure {
                let told = match ack {
                    Ack::Cancelled => job.story.cancelled_ever,
                    Ack::CancelRequested => job.story.cancel_requested_ever || job.story.removed.is_some(),
                    Ack::Retried => job.story.retried,
                    Ack::Deleted => job.story.removed.is_some(),
                };
                if !told && world.may_be_taken(*line, *at) {
                    found.losses_not_covered += 1;
                    continue;
                }
                found.hold(I1, told, *id, &[*line, job.story.line], || {
                    format!("{ack:?} was acknowledged for job {id}, and no event tells of it")
                });
            }
        }
        for settled in job.settled.iter().filter(|s| s.done == Some(true) && s.answered < dump.line) {
            if job.story.unsure || !job.story.begun {
                continue;
            }
            let told = is_told(&job.story, job, settled);
            if !told && world.may_be_taken(settled.answered, settled.answered_at) {
                found.losses_not_covered += 1;
                continue;
            }
            found.hold(I1, told, *id, &[settled.line, settled.answered, job.story.line], || {
                let (how, attempt, ends) = (settled.how, settled.attempt, &job.story.ends);
                format!(
                    "{how:?} of attempt {attempt} of job {id} was acknowledged, and its events say {ends:?}"
                )
            });
        }
    }
}

fn is_told(story: &Story, job: &Job, settled: &crate::world::Settled) -> bool {
    // Asked to stop, a job that its holder gives back ends as cancelled.
    let cancelled = |event: EventType| event == EventType::Cancelled && job.cancelled.is_some();
    let told = |(event, attempt): &(EventType, u32)| {
        *attempt == settled.attempt && (settled.how.is_recorded_by(*event) || cancelled(*event))
    };
    story.ends.iter().any(told)
}
