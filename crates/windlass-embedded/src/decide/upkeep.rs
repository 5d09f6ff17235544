//! What has to happen on a clock, in bounded steps.

use super::Core;
use crate::fact::Fact;
use crate::machine::slots::flag;
use crate::machine::timers::Timer;
use windlass_core::State;
use windlass_core::bounds::LOSSES_MAX;
use windlass_core::event::Cause;
use windlass_core::lifecycle::{Step, Token, Verb, step};

impl Core {
    /// Does at most `budget` steps that are due now; answers how many it did.
    pub(crate) fn upkeep(&mut self, budget: usize) -> usize {
        self.children_left = windlass_core::bounds::CHILDREN_PER_STEP.min(budget);
        let mut done = self.release_more(budget);
        done += self.tick_schedules(budget - done.min(budget));
        let now = self.machine.now;
        done += self.machine.unique.expire(now.wall, budget.saturating_sub(done));
        while done < budget {
            let Some((at, timer)) = self.machine.timers.store.first().copied() else { break };
            if at > now.store {
                break;
            }
            self.machine.timers.store.remove(&(at, timer));
            self.on_store_timer(timer);
            done += 1;
        }
        while done < budget {
            let Some((at, lease)) = self.machine.timers.leases.first().copied() else { break };
            if at > now.store {
                break;
            }
            self.machine.timers.leases.remove(&(at, lease));
            self.on_lease_timer(lease);
            done += 1;
        }
        while done < budget {
            let Some((at, timer)) = self.machine.timers.wall.first().copied() else { break };
            if at > now.wall {
                break;
            }
            self.on_wall_timer(at, timer);
            done += 1;
        }
        done
    }

    /// The earliest instant, by wall clock, at which there is something to do.
    pub(crate) fn next_due(&self) -> Option<u64> {
        if !self.machine.releases.is_empty() {
            return Some(self.machine.now.wall);
        }
        let (wall, store) = self.machine.timers.next();
        let store = store.map(|at| self.to_wall(at));
        let unique = self.machine.unique.expiring.first().map(|(at, _)| *at);
        let tick = if self.space_low { None } else { self.machine.next_tick() };
        [wall, store, unique, tick].into_iter().flatten().min()
    }

    /// The most bytes that the next tick of a schedule brings.
    pub(crate) fn next_tick_bytes(&self) -> usize {
        let next =
            self.machine.schedules.due.first().and_then(|(_, name)| self.machine.schedules.by_name.get(name));
        next.map_or(0, |schedule| schedule.spec.payload.len() + 4_096)
    }

    fn on_store_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Group(group) => {
                if self.machine.groups.get(group).is_some() {
                    self.machine.groups[group].timer_at = 0;
                    self.machine.unpark(group);
                }
            }
            Timer::Limit(limit) => {
                if self.machine.limits.get(limit).is_some() {
                    self.machine.limits[limit].timer_at = 0;
                    self.machine.wake_limit(limit);
                    self.machine.forget_limit(limit);
                }
            }
            Timer::Queue(queue) => {
                self.machine.queues[queue as usize].timer_at = 0;
                self.machine.touch(queue as u16);
            }
            Timer::Due(_) | Timer::Expiry(_) | Timer::Retention(_) => {
                unreachable!("these timers stand in wall time")
            }
        }
    }

    fn on_wall_timer(&mut self, at: u64, timer: Timer) {
        match timer {
            Timer::Due(job) => self.promote(job, Cause::None),
            Timer::Expiry(job) => {
                self.machine.timers.wall.remove(&(at, timer));
                if matches!(step(self.standing(job), Verb::ExpireUnstarted, Token::Current), Ok(Step::To(_)))
                {
                    self.end(job, Cause::Expired);
                }
            }
            Timer::Retention(queue) => {
                match self.machine.next_removable(queue as u16, self.kept_from()) {
                    Some(job) => self.remove(job, Cause::Retention),
                    None => self.machine.rest_retention(queue as u16),
                }
                self.machine.plan_retention(queue as u16);
            }
            Timer::Group(_) | Timer::Limit(_) | Timer::Queue(_) => {
                unreachable!("these timers stand in store time")
            }
        }
    }

    /// From which end on readers need jobs, if any does. One that has reached the bound of the log needs none.
    fn kept_from(&self) -> Option<u64> {
        let readers = self.machine.readers.values();
        readers.filter(|reader| reader.segment() >= self.reach).filter_map(|reader| reader.keeps_from).min()
    }

    /// T7 or T10: the lease ran out, or its grace did; or a heartbeat has moved it meanwhile.
    fn on_lease_timer(&mut self, lease: u32) {
        let entry = self.machine.leases[lease];
        let now = self.machine.now.store;
        let at = entry.slot;
        let ends =
            if entry.grace_until != 0 { entry.deadline.min(entry.grace_until) } else { entry.deadline };
        if ends > now {
            self.machine.leases[lease].timer_at = ends;
            self.machine.timers.leases.insert((ends, lease));
            return;
        }
        let grace_over = entry.grace_until != 0 && entry.grace_until <= now;
        let notice = self.machine.lease_of(at);
        if grace_over {
            self.end_cancelled(at, Cause::GraceOver).expect("ending a cancellation refuses nothing");
        } else {
            self.lose(at, Cause::Lost);
        }
        if let Some(lease) = notice {
            self.machine.notices.push((windlass_core::WorkerId(entry.worker), lease));
        }
    }

    /// T7: the attempt is lost. No failure is spent; too many losses are a dead letter.
    pub(crate) fn lose(&mut self, at: u32, cause: Cause) {
        if self.machine.slots.at(at).is(flag::CANCEL) {
            // Its cause tells that its holder has not settled it.
            self.end_cancelled(at, cause).expect("ending a cancellation refuses nothing");
            return;
        }
        let losses = self.machine.extra(at).map_or(0, |extra| extra.losses) + 1;
        let dead = losses >= LOSSES_MAX;
        let to = step(self.standing(at), Verb::Expire { dead }, Token::Current);
        debug_assert!(matches!(to, Ok(Step::To(State::Retrying | State::Dead))), "{to:?}");
        let (held, group) = (self.machine.held(at), self.machine.group_name(at));
        let job = self.machine.job_ref(at, &group);
        let retry_at = self.machine.now.wall;
        let cause = if dead { Cause::Lost } else { cause };
        self.emit(&Fact::Lost { job, held, dead, cause, retry_at });
        if dead {
            self.parent_ended(at);
        }
    }
}
