//! I2, I3, I4, I10, I14 as the store's events tell them: what may follow what in the life of one job.
//!
//! Sees: a claim of a job that is held or has ended; an attempt that is not the next one, or has no cause; an end that
//! nobody's attempt came to, or another worker's; a second end of a generation; a change of an ended job.
//! Cannot see: what the store did without telling an event; what the trimmed part of a log told.

use super::{Rule, Seen};
use crate::format::SeenEvent;
use crate::report::Findings;
use crate::report::Invariant::{self, I2, I3, I4, I10, I14};
use crate::story::Story;
use crate::world::World;
use windlass_core::event::{Cause, EventType as E};

pub(super) struct Life;

impl Rule for Life {
    fn see(&mut self, seen: &Seen<'_>, world: &World, found: &mut Findings) {
        let Seen::Event(event) = seen else { return };
        let blank = Story::default();
        let story = world.job(event.job).map_or(&blank, |job| &job.story);
        let gone = world.gone.contains(&event.job) || story.removed.is_some();
        let mut hold = |invariant: Invariant, holds: bool, why: &str| {
            found.hold(invariant, holds, event.job, &[story.line, world.line], || {
                format!("{} of job {}, attempt {}: {why}", event.event, event.job, event.attempt)
            });
        };
        if event.event == E::Enqueued {
            // A removed id is remembered for a day or a million others; longer histories are not judged by it.
            return hold(I10, !story.begun && !gone || story.unsure, "a job is taken in once");
        }
        if gone {
            return hold(I10, false, "the job was removed");
        }
        if !story.begun {
            return;
        }
        follow(event, story, world, &mut hold);
    }
}

fn follow(event: &SeenEvent, story: &Story, world: &World, hold: &mut impl FnMut(Invariant, bool, &str)) {
    let running = story.running.is_some();
    let current = running && event.attempt == story.attempt;
    match event.event {
        E::Claimed => {
            hold(I10, story.ended.is_none(), "the job had ended");
            hold(I2, !running, "another lease held it");
            let next = event.attempt == story.attempt + 1;
            hold(I4, next || world.power_since(story.line), "attempts go up one by one");
            if event.attempt > 1 {
                hold(I14, story.cause, "nothing had ended the attempt before");
            }
        }
        E::Completed | E::Failed | E::Died | E::Lost | E::Snoozed | E::Released => {
            hold(I10, story.ended.is_none(), "the job had ended already");
            if event.event == E::Died && event.cause == Cause::Lost && !running {
                return hold(I10, false, "nobody held the job");
            }
            hold(I3, current, "that attempt did not hold the job");
            let claimer = story.running.and_then(|(_, worker, _)| worker);
            let other = event.worker.is_some() && claimer.is_some() && event.worker != claimer;
            hold(I3, !other, "another worker holds that attempt");
        }
        E::Cancelled => hold(I10, story.ended.is_none(), "the job had ended already"),
        E::CancelRequested => hold(I10, running, "nobody held the job"),
        E::Promoted | E::Unblocked => {
            hold(I10, story.ended.is_none() && !running, "the job had ended, or was held");
        }
        E::Edited => {
            let completed = matches!(story.ended, Some((windlass_core::State::Completed, _)));
            hold(I10, !completed && !running, "the job had completed, or was held");
        }
        E::Retried => hold(I10, story.ended.is_some(), "the job had not ended"),
        E::Removed => hold(I10, !running, "the job was held"),
        E::Enqueued => {}
    }
}
