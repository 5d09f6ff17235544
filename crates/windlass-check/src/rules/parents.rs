//! I11: a blocked job runs only after its parents, and always when they have ended.
//!
//! Sees, by calls: a child given while a parent certainly was live, or needed a success that nobody had asked to record.
//! By events in total order: a child claimed before each parent had ended as its edge asks. In a quiet look: a blocked
//! job whose parents have all ended.
//! Cannot see: parents that no recorded client enqueued. A look that is taken before upkeep has released the children
//! beyond the first 1,000 of a parent must not be taken for quiet.

use super::{Dump, Rule, Seen};
use crate::report::{Findings, Invariant::I11};
use crate::world::World;
use windlass_core::State;
use windlass_core::event::EventType;
use windlass_core::job::OnParent;

pub(super) struct Parents;

impl Rule for Parents {
    fn see(&mut self, seen: &Seen<'_>, world: &World, found: &mut Findings) {
        match seen {
            Seen::Given { given, .. } => {
                let id = given.lease.job;
                let Some(asked) = world.job(id).and_then(|job| job.asked.as_ref()) else { return };
                for parent in &asked.parents {
                    let Some(of) = world.job(parent.id).filter(|of| of.taken.is_some()) else { continue };
                    let unfinished =
                        parent.on == OnParent::Success && world.header.all_clients && !of.completing;
                    let live = of.surely_live_at(world.line, world);
                    let line = of.taken.map_or(0, |(line, _)| line);
                    found.hold(I11, !live && !unfinished, id, &[line, world.line], || {
                        format!("job {id} was given, and its parent {} had not ended as it must", parent.id)
                    });
                }
            }
            Seen::Event(event) if event.event == EventType::Claimed && world.total_order() => {
                let id = event.job;
                let Some(asked) = world.job(id).and_then(|job| job.asked.as_ref()) else { return };
                for parent in &asked.parents {
                    let Some(story) = world.job(parent.id).map(|of| &of.story).filter(|story| story.begun)
                    else {
                        continue;
                    };
                    let ended = match parent.on {
                        OnParent::Success => story.completed_ever,
                        OnParent::Always => story.ended_ever,
                    };
                    found.hold(I11, ended, id, &[story.line, world.line], || {
                        format!("job {id} was claimed, and its parent {} had not ended as it must", parent.id)
                    });
                }
            }
            Seen::Dump(dump) if dump.end.quiet => look(dump, world, found),
            _ => {}
        }
    }
}

fn look(dump: &Dump, world: &World, found: &mut Findings) {
    for (job, line) in dump.jobs.values().filter(|(job, _)| job.state == State::Blocked) {
        let Some(known) = world.job(job.id) else { continue };
        let Some(asked) = &known.asked else { continue };
        // Who was retried by hand waits for a parent's success even after its death.
        let by_hand = known.retried.is_some() || known.story.retried;
        let waits = asked.parents.iter().any(|parent| {
            dump.jobs.get(&parent.id).is_some_and(|(of, _)| match parent.on {
                OnParent::Success if by_hand => of.state != State::Completed,
                _ => !of.state.is_terminal(),
            })
        });
        found.hold(I11, waits, job.id, &[*line], || {
            format!("job {} is blocked, and all its parents have ended", job.id)
        });
    }
}
