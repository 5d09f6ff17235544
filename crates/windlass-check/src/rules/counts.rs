//! I16: counts equal a scan when the store is quiet; and a scan equals what the events have told.
//!
//! Sees: in a quiet look, each queue's count of each state against the jobs listed; where all events were read, each
//! listed job's attempts and end against its story, and each job of a story against the list.
//! Cannot see: counts of groups, kinds and failure modes, nor totals and charts.

use super::{Dump, Rule, Seen};
use crate::report::{Findings, Invariant::I16};
use crate::world::World;
use std::collections::HashMap;
use windlass_core::{QueueName, State};

pub(super) struct Counting;

impl Rule for Counting {
    fn see(&mut self, seen: &Seen<'_>, world: &World, found: &mut Findings) {
        let Seen::Dump(dump) = seen else { return };
        if !dump.end.quiet {
            return;
        }
        compare_counts(dump, found);
        if dump.end.events_complete {
            compare_stories(dump, world, found);
        }
    }
}

fn compare_counts(dump: &Dump, found: &mut Findings) {
    let mut listed: HashMap<&QueueName, [u64; 8]> = HashMap::new();
    for (job, _) in dump.jobs.values() {
        listed.entry(&job.queue).or_default()[job.state as usize] += 1;
    }
    for (queue, line) in &dump.queues {
        let listed = listed.remove(&queue.name).unwrap_or_default();
        for state in State::ALL {
            let (counted, listed) = (queue.counts.of(state), listed[state as usize]);
            found.hold(I16, counted == listed, None, &[*line], || {
                format!("queue {} counts {counted} {state} jobs, and lists {listed}", queue.name)
            });
        }
    }
    for (queue, _) in listed {
        found.hold(I16, false, None, &[dump.line], || format!("queue {queue} has jobs, and is not counted"));
    }
}

fn compare_stories(dump: &Dump, world: &World, found: &mut Findings) {
    for (id, job) in world.jobs.iter().filter(|(_, job)| job.story.begun && !job.story.unsure) {
        let story = &job.story;
        match dump.jobs.get(id) {
            Some((seen, line)) => {
                let ended = seen.state.is_terminal().then_some(seen.state);
                let told = (story.ended.map(|(state, _)| state), story.attempt, story.running.is_some());
                let listed = (ended, seen.attempt, seen.state == State::Running);
                let same = story.removed.is_none() && told == listed;
                found.hold(I16, same, *id, &[story.line, *line], || {
                    format!(
                        "job {id} is {} in attempt {}, and its events say otherwise",
                        seen.state, seen.attempt
                    )
                });
            }
            None => found.hold(I16, story.removed.is_some(), *id, &[story.line, dump.line], || {
                format!("job {id} is not listed, and no event removed it")
            }),
        }
    }
}
