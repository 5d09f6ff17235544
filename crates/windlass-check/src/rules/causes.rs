//! I14: every extra execution has a recorded cause; with no faults there is none.
//!
//! Sees: a handler started twice under one lease, or under none; a lease that the store took away before its deadline; a
//! restart told by an event although nothing ended; attempts that no worker was given, more than calls were lost.
//! `leases` and `life` see the rest: a second lease without a reason, by calls and by events.
//! Cannot see: why a lease ran out. That a worker was too slow is a cause.

use super::{Rule, Seen};
use crate::format::Phase;
use crate::report::{Findings, Invariant::I14};
use crate::world::World;
use std::collections::{HashMap, HashSet};
use windlass_core::event::{Cause, EventType};
use windlass_core::{JobId, LeaseToken};

#[derive(Default)]
pub(super) struct Causes {
    /// Leases of which a handler runs or ran, by job; forgotten with the job.
    started: HashMap<JobId, HashSet<(u64, u64)>>,
}

fn key(token: LeaseToken) -> (u64, u64) {
    (token.counter, token.nonce)
}

impl Rule for Causes {
    fn see(&mut self, seen: &Seen<'_>, world: &World, found: &mut Findings) {
        match seen {
            Seen::Given { given, begun } if world.header.all_clients => {
                let id = given.lease.job;
                let Some(job) = world.job(id).filter(|job| job.asked.is_some()) else { return };
                let known = u64::from(job.attempt.0);
                let unheard = u64::from(given.lease.attempt).saturating_sub(known + 1);
                let lost = world.mishaps_since(job);
                found.hold(I14, unheard <= lost, id, &[job.attempt.1, begun.line, world.line], || {
                    let attempt = given.lease.attempt;
                    format!("job {id} was given as attempt {attempt}, and nobody was given {unheard} attempts before it")
                });
            }
            Seen::Handler(handler) if handler.phase == Phase::Started => {
                let (id, attempt) = (handler.lease.job, handler.lease.attempt);
                let Some(job) = world.job(id) else { return };
                let given = job.held.map_or(0, |held| held.line);
                let first = self.started.entry(id).or_default().insert(key(handler.lease.token));
                found.hold(I14, first, id, &[given, world.line], || {
                    format!("a second handler was started for attempt {attempt} of job {id}")
                });
                let known =
                    job.held.is_some_and(|held| held.lease.token.counter >= handler.lease.token.counter);
                found.hold(I14, known, id, &[given, world.line], || {
                    format!(
                        "a handler was started for attempt {attempt} of job {id}, and nobody was given it"
                    )
                });
            }
            Seen::Event(event) => {
                let id = event.job;
                if event.event == EventType::Removed {
                    self.started.remove(&id);
                }
                let lost = event.event == EventType::Lost
                    || (event.event == EventType::Died && event.cause == Cause::Lost);
                if !lost {
                    return;
                }
                if event.cause == Cause::Restart {
                    return found.hold(I14, !world.faults.is_empty(), id, &[world.line], || {
                        format!(
                            "attempt {} of job {id} was lost by a restart, and nothing ended",
                            event.attempt
                        )
                    });
                }
                let Some(job) = world.job(id).filter(|job| job.cancelled.is_none()) else { return };
                let Some(held) = job.held.filter(|held| held.lease.attempt == event.attempt) else { return };
                if !world.fault_since(held.begun) {
                    let over = event.at.plus_ms(world.header.skew_ms) >= held.deadline;
                    found.hold(I14, over, id, &[held.line, world.line], || {
                        let (attempt, deadline) = (event.attempt, held.deadline);
                        format!(
                            "attempt {attempt} of job {id} was lost at {}; it was held until {deadline}",
                            event.at
                        )
                    });
                }
            }
            _ => {}
        }
    }
}
