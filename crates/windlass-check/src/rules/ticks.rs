//! I12: one job per schedule tick.
//!
//! The id of a tick's job is made of its schedule and its tick (`JobId::named(tick, "schedule:NAME")`), so a second job
//! for a tick is a second job with one id, which `life` finds. Here: by events, every job that no client asked for must be
//! the job of a tick that its schedule's timing has; in a look, a schedule must have counted as many ticks as jobs.
//! Cannot see: a tick that was due and made no job (that is for the catch-up policy to say); histories in which not
//! every client is recorded.

use super::{Rule, Seen};
use crate::format::Ask;
use crate::report::{Findings, Invariant::I12};
use crate::world::World;
use std::collections::HashMap;
use windlass_core::event::EventType;
use windlass_core::schedule::Compiled;
use windlass_core::{JobId, ScheduleName};

/// A schedule as clients have set it.
#[derive(Default)]
struct Known {
    /// Every timing that it ever had: a tick of an earlier one may be applied late.
    timings: Vec<Compiled>,
    jobs: u64,
    /// Removed by somebody: what it counted is gone with it.
    removed: bool,
}

#[derive(Default)]
pub(super) struct Ticks {
    schedules: HashMap<ScheduleName, Known>,
}

impl Rule for Ticks {
    fn see(&mut self, seen: &Seen<'_>, world: &World, found: &mut Findings) {
        match seen {
            Seen::Begun(begun) => match &begun.ask {
                Ask::SetSchedule { spec } => {
                    let known = self.schedules.entry(spec.name.clone()).or_default();
                    known.timings.extend(spec.timing.compile());
                }
                Ask::DeleteSchedule { schedule } => {
                    self.schedules.entry(schedule.clone()).or_default().removed = true;
                }
                _ => {}
            },
            Seen::Event(event) if event.event == EventType::Enqueued && world.header.all_clients => {
                if self.schedules.is_empty() || world.job(event.job).is_some_and(|job| job.asked.is_some()) {
                    return;
                }
                let (id, tick) = (event.job, event.job.time());
                let made = |name: &ScheduleName| id == JobId::named(tick, &format!("schedule:{name}"));
                let schedule = self.schedules.iter_mut().find(|(name, _)| made(name));
                let is_tick = schedule.is_some_and(|(_, known)| {
                    known.jobs += 1;
                    known.timings.iter().any(|timing| timing.next_after(tick.minus_ms(1)) == Some(tick))
                });
                found.hold(I12, is_tick, id, &[world.line], || {
                    format!("job {id} was taken in; nobody asked for it, and no schedule ticks at {tick}")
                });
            }
            Seen::Dump(dump) if dump.end.quiet && dump.end.events_complete && world.header.all_clients => {
                for (schedule, line) in &dump.schedules {
                    let Some(known) = self.schedules.get(&schedule.name).filter(|known| !known.removed)
                    else {
                        continue;
                    };
                    let (name, counted, made) = (&schedule.name, schedule.ticks, known.jobs);
                    found.hold(I12, counted == made || world.power_since(0), None, &[*line], || {
                        format!("schedule {name} counts {counted} ticks, and {made} jobs were made")
                    });
                }
            }
            _ => {}
        }
    }
}
