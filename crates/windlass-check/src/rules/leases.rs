//! I2, I3: at most one current lease per job, and a stale token changes nothing. As clients see it.
//!
//! Sees: a second lease of a job answered while the first one certainly held (not settled, its deadline ahead, no fault);
//! a settlement, heartbeat or report that was accepted from a token which was certainly stale; a current holder told
//! that it is stale.
//! Cannot see: what a rejected stale token may have changed inside a job; two leases that overlap only within the
//! intervals of their calls. The events see more: `life`.

use super::{Rule, Seen};
use crate::format::{How, Item};
use crate::report::Findings;
use crate::report::Invariant::{I2, I3, I14};
use crate::world::{Job, Open, World};
use windlass_core::Lease;
use windlass_core::event::EventType;

pub(super) struct Leases;

impl Rule for Leases {
    fn see(&mut self, seen: &Seen<'_>, world: &World, found: &mut Findings) {
        match seen {
            Seen::Given { given, begun } => {
                let id = given.lease.job;
                let Some(job) = world.job(id) else { return };
                let Some(held) = job.held.filter(|held| held.line < begun.line) else { return };
                found.hold(I2, !world.surely_holds(&held, 0), id, &[held.line, world.line], || {
                    let (first, second) = (held.lease.attempt, given.lease.attempt);
                    format!("job {id} was given as attempt {second} while attempt {first} held it")
                });
            }
            Seen::Settled { settle, told, begun } => {
                let Some(job) = world.job(settle.lease.job) else { return };
                match told {
                    Item::Ok(()) => {
                        let lease = &settle.lease;
                        let holds = !is_stale(job, lease, begun, world)
                            || may_be_repeated(job, lease, settle.how, begun);
                        found.hold(I3, holds, lease.job, &stale_lines(job, begun, world), || {
                            let (how, attempt, id) = (settle.how, lease.attempt, lease.job);
                            format!(
                                "{how:?} of attempt {attempt} of job {id} was accepted with a stale token"
                            )
                        });
                    }
                    Item::Rejected(why) if why.is_stale() => refused(job, &settle.lease, begun, world, found),
                    Item::Rejected(_) => {}
                }
            }
            Seen::Beat { lease, told, begun } => {
                hold_on(lease, told.is_ok(), is_refused(told), begun, world, found);
            }
            Seen::Reported { lease, told, begun } => {
                hold_on(lease, told.is_ok(), is_refused(told), begun, world, found);
            }
            _ => {}
        }
    }
}

fn is_refused<T>(told: &Item<T>) -> bool {
    matches!(told, Item::Rejected(why) if why.is_stale())
}

fn hold_on(lease: &Lease, ok: bool, stale: bool, begun: &Open, world: &World, found: &mut Findings) {
    let Some(job) = world.job(lease.job) else { return };
    if ok {
        let (id, attempt) = (lease.job, lease.attempt);
        found.hold(I3, !is_stale(job, lease, begun, world), id, &stale_lines(job, begun, world), || {
            format!("a heartbeat or report of attempt {attempt} of job {id} was accepted with a stale token")
        });
    } else if stale {
        refused(job, lease, begun, world, found);
    }
}

/// Whether the token certainly was not the job's current one when that call began. A fault may have taken the claim or
/// the settlement that ended it.
fn is_stale(job: &Job, lease: &Lease, begun: &Open, world: &World) -> bool {
    let newer = job.held.is_some_and(|held| {
        held.lease.token.counter > lease.token.counter
            && held.line < begun.line
            && !world.power_since(held.line)
    });
    let ended = job.settled.iter().any(|s| {
        s.token == lease.token
            && s.done == Some(true)
            && s.answered < begun.line
            && !world.may_be_taken(s.answered, s.answered_at)
    });
    // The events remember what the settlements of long ago came to.
    let told =
        job.story.line < begun.line && job.story.ends.iter().any(|(_, attempt)| *attempt == lease.attempt);
    newer || ended || told
}

/// A second acknowledgement with the same token and outcome is answered ok (rule b); so the first may have been any call
/// with that token and verb that was not refused. Asked to stop, every verb but complete has the same outcome.
fn may_be_repeated(job: &Job, lease: &Lease, how: How, begun: &Open) -> bool {
    job.settled.iter().any(|settled| {
        let same = settled.how == how
            || (job.cancelled.is_some() && how != How::Complete && settled.how != How::Complete);
        settled.token == lease.token && same && settled.done != Some(false) && settled.line != begun.line
    }) || job.story.ends.iter().any(|(event, attempt)| {
        let same = how.is_recorded_by(*event) || (*event == EventType::Cancelled && how != How::Complete);
        *attempt == lease.attempt && same
    })
}

fn stale_lines(job: &Job, begun: &Open, world: &World) -> [u64; 3] {
    [job.held.map_or(0, |held| held.line), begun.line, world.line]
}

/// The holder of a lease that certainly held was told that it is stale.
fn refused(job: &Job, lease: &Lease, begun: &Open, world: &World, found: &mut Findings) {
    let Some(held) = job.held.filter(|held| held.lease.token == lease.token) else { return };
    let (id, attempt) = (lease.job, lease.attempt);
    let alone = !job.settled.iter().any(|s| s.token == lease.token && s.line != begun.line);
    found.hold(
        I14,
        !(alone && world.surely_holds(&held, begun.line)),
        id,
        &[held.line, begun.line, world.line],
        || format!("attempt {attempt} of job {id} was told that it is stale, and nothing had ended it"),
    );
}
