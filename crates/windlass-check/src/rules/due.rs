//! I9: nothing is claimed from a queue after its pause was acknowledged, nor before it is due.
//!
//! Sees: a claim that began after a pause was answered and ended before a resume began; a claim answered before the time
//! that the enqueue, the snooze or the failure of the job asked for, unless somebody has moved the job meanwhile.
//! Cannot see: delays that come from a retry policy; a job claimed too early by less than the clocks are apart.

use super::{Rule, Seen};
use crate::report::{Findings, Invariant::I9};
use crate::world::World;

pub(super) struct Due;

impl Rule for Due {
    fn see(&mut self, seen: &Seen<'_>, world: &World, found: &mut Findings) {
        let Seen::Given { given, begun } = seen else { return };
        let id = given.lease.job;
        if let Some(paused) =
            world.paused.get(&given.queue).and_then(|set| set.between_lines(begun.line, world.line))
        {
            let open = paused.iter().any(|paused| !**paused);
            found.hold(I9, open, id, &[begun.line, world.line], || {
                format!(
                    "job {id} was given although the pause of queue {} was acknowledged before",
                    given.queue
                )
            });
        }
        // Answers may cross: a lease that is older than one already seen was given before the job was put off.
        let newest = world.job(id).is_none_or(|job| given.lease.token.counter > job.counter.0);
        if let Some((due, line)) = world.due(id).filter(|_| newest) {
            let now = world.at.plus_ms(world.header.skew_ms);
            found.hold(I9, now >= due, id, &[line, world.line], || {
                format!("job {id} was given at {}, and is due at {due}", world.at)
            });
        }
    }
}
