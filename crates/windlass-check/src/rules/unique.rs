//! I5: at most one live job per unique key.
//!
//! Sees: a job taken in as new, or retried, while another job certainly was live and held its key; two live jobs with one
//! key in one look. With events in total order this is exact; by calls alone it needs that nobody could have ended the
//! first one. Judges keys that are held while their job is live, until it starts, and for a time.
//! Cannot see: keys of jobs that were enqueued by clients that were not recorded.

use super::{Dump, Rule, Seen};
use crate::format::Item;
use crate::report::{Findings, Invariant::I5};
use crate::world::{Job, World};
use windlass_core::event::EventType;
use windlass_core::job::{Unique as Key, UniqueScope};
use windlass_core::store::EnqueueStatus;
use windlass_core::{JobId, Time};

pub(super) struct Unique;

fn key_of(job: &Job) -> Option<&Key> {
    job.asked.as_ref()?.unique.as_ref()
}

impl Rule for Unique {
    fn see(&mut self, seen: &Seen<'_>, world: &World, found: &mut Findings) {
        match seen {
            Seen::Enqueued { asked, told: Item::Ok(done), begun }
                if done.status == EnqueueStatus::Created =>
            {
                let Some(key) = &asked.unique else { return };
                let holds = |id: &JobId, job: &Job| {
                    let before = job.taken.is_some_and(|(line, _)| line < begun.line);
                    let holds = match key_of(job).map(|key| key.scope) {
                        Some(UniqueScope::WhileLive) => job.surely_live_at(world.line, world),
                        Some(UniqueScope::For { ttl_ms }) => {
                            world.at.plus_ms(world.header.skew_ms) < job.asked_by.1.plus_ms(ttl_ms)
                        }
                        _ => false,
                    };
                    *id != done.id
                        && before
                        && holds
                        && !world.power_since(job.taken.map_or(0, |(line, _)| line))
                };
                judge(key, done.id, world, found, holds);
            }
            Seen::Event(event) if world.total_order() && world.job(event.job).is_some() => {
                let retried = event.event == EventType::Retried;
                if event.event != EventType::Enqueued && !retried {
                    return;
                }
                let Some(job) = world.job(event.job) else { return };
                let Some(key) = key_of(job) else { return };
                // Given up for good at its start, and kept for a time whatever happens: a retry takes neither again.
                if retried && key.scope != UniqueScope::WhileLive {
                    return;
                }
                judge(key, event.job, world, found, |id, job| *id != event.job && story_holds(job, event.at));
            }
            Seen::Dump(dump) => look(dump, world, found),
            _ => {}
        }
    }
}

fn story_holds(job: &Job, at: Time) -> bool {
    match key_of(job).map(|key| key.scope) {
        Some(UniqueScope::WhileLive) => job.story.is_live(),
        Some(UniqueScope::UntilStart) => job.story.is_live() && job.story.attempt == 0,
        Some(UniqueScope::For { ttl_ms }) => job.story.is_live() && at < job.asked_by.1.plus_ms(ttl_ms),
        None => false,
    }
}

fn judge(key: &Key, id: JobId, world: &World, found: &mut Findings, holds: impl Fn(&JobId, &Job) -> bool) {
    let others = world.keys.get(&key.key).map(Vec::as_slice).unwrap_or_default();
    let other = others.iter().find_map(|id| world.job(*id).filter(|job| holds(id, job)).map(|job| (id, job)));
    let line = other.map_or(0, |(_, job)| job.story.line.max(job.taken.map_or(0, |(line, _)| line)));
    found.hold(I5, other.is_none(), id, &[line, world.line], || {
        let other = other.map_or(id, |(id, _)| *id);
        format!("job {id} came to live with key {}, which live job {other} held", key.key)
    });
}

fn look(dump: &Dump, world: &World, found: &mut Findings) {
    for (key, ids) in &world.keys {
        let live = |id: &&JobId| {
            let while_live =
                world.job(**id).and_then(key_of).is_some_and(|k| k.scope == UniqueScope::WhileLive);
            while_live && dump.jobs.get(id).is_some_and(|(job, _)| !job.state.is_terminal())
        };
        let mut live = ids.iter().filter(live);
        let Some(first) = live.next() else { continue };
        let second = live.find(|id| *id != first);
        let lines = [first, second.unwrap_or(first)].map(|id| dump.jobs.get(id).map_or(0, |(_, line)| *line));
        found.hold(I5, second.is_none(), *first, &lines, || format!("two live jobs hold key {key}"));
    }
}
