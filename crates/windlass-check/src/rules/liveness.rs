//! I15: when faults stop and workers are up, all due jobs end, save behind a shut ordered group.
//!
//! Only asked for (`--complete`): whoever recorded the history says that faults had stopped, that workers were up for
//! long enough, and that the last look is the end. Then a live job of that look must have an excuse: its time lies ahead,
//! its queue is paused, a dead head shuts its group, or it waits for a parent that is excused itself.
//! Cannot see: whether the workers were up, or knew the job's kind.

use super::{Dump, Rule, Seen};
use crate::format::DumpJob;
use crate::report::{Findings, Invariant::I15};
use crate::world::World;
use std::collections::HashSet;
use windlass_core::queue::OnHeadDeath;
use windlass_core::{GroupKey, JobId, QueueName, State};

/// What the newest look leaves to be said, should it be the last.
#[derive(Default)]
pub(super) struct Liveness {
    judged: Vec<(JobId, u64, State, bool)>,
}

impl Rule for Liveness {
    fn see(&mut self, seen: &Seen<'_>, world: &World, _: &mut Findings) {
        let Seen::Dump(dump) = seen else { return };
        let shut: HashSet<(&QueueName, Option<&GroupKey>)> = dump
            .jobs
            .values()
            .map(|(job, _)| job)
            .filter(|job| job.state == State::Dead)
            .map(|job| (&job.queue, job.group.as_ref()))
            .filter(|(queue, group)| world.ordered(queue, *group) == Some(OnHeadDeath::Block))
            .collect();
        let of = |(job, line): &(DumpJob, u64)| {
            let ok = job.state.is_terminal() || is_excused(job, dump, &shut, world);
            (job.id, *line, job.state, ok)
        };
        self.judged = dump.jobs.values().map(of).collect();
    }

    fn finish(&mut self, _: &World, found: &mut Findings) {
        for (id, line, state, ok) in &self.judged {
            found.hold(I15, *ok, *id, &[*line], || format!("job {id} has not ended: it is {state}, and due"));
        }
    }
}

fn is_excused(
    job: &DumpJob,
    dump: &Dump,
    shut: &HashSet<(&QueueName, Option<&GroupKey>)>,
    world: &World,
) -> bool {
    let paused = dump.queues.iter().any(|(queue, _)| queue.name == job.queue && queue.settings.paused);
    let behind = shut.contains(&(&job.queue, job.group.as_ref()));
    match job.state {
        State::Running => false,
        State::Scheduled | State::Retrying => paused || behind || job.since > dump.at,
        State::Ready => paused || behind,
        // The parent that it waits for is judged by itself.
        State::Blocked => world.job(job.id).is_some_and(|known| {
            let by_hand = known.retried.is_some() || known.story.retried;
            known.asked.as_ref().is_none_or(|asked| {
                asked.parents.iter().any(|parent| {
                    dump.jobs.get(&parent.id).is_some_and(|(of, _)| {
                        !of.state.is_terminal() || (by_hand && of.state != State::Completed)
                    })
                })
            })
        }),
        State::Completed | State::Dead | State::Cancelled => true,
    }
}
