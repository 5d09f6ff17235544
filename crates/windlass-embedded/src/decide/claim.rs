//! T3: a worker takes jobs, in the order of priority, fairness and arrival, as far as limits admit.

use super::Core;
use crate::fact::{Fact, Held};
use crate::journal::Position;
use crate::machine::slots::NONE;
use std::sync::Arc;
use windlass_core::{JobId, Kind, Lease, LeaseToken, QueueName, State, Time, WorkerId};

/// Lanes that one claim moves into the lines of closed limits before it answers with what it has:
/// each moves once, so a claim after a limit has closed pays for a part and the next for the rest.
const MOVES_MAX: usize = 1_000;

/// The least time until a worker is told to ask again.
const AGAIN_MS_MIN: u64 = 50;

/// A claimed job; its payload is read from `place` by whoever asked.
#[derive(Clone)]
pub(crate) struct Taken {
    pub(crate) lease: Lease,
    pub(crate) lease_ms: u64,
    pub(crate) queue: QueueName,
    pub(crate) kind: Kind,
    pub(crate) group: Arc<str>,
    pub(crate) priority: i8,
    pub(crate) failures: u32,
    pub(crate) losses: u32,
    pub(crate) snoozes: u32,
    pub(crate) ready_at: Time,
    pub(crate) place: Position,
    pub(crate) len: u32,
    pub(crate) checkpoint: Option<(Position, u32)>,
    /// Nothing but its enqueue brought it here, so the claim depends on that fact alone.
    pub(crate) fresh: bool,
}

/// What a look at a queue found.
enum Found {
    Job(u32),
    Nothing,
    /// Time alone will open the queue.
    At(u64),
    /// So much was held back that the look was cut short.
    Cut,
}

impl Core {
    /// The jobs, and when asking again may give more (wall clock).
    pub(crate) fn claim(
        &mut self,
        wants: &[(QueueName, u32)],
        worker: WorkerId,
        nonce: u64,
    ) -> (Vec<Taken>, Option<u64>) {
        let mut jobs = Vec::new();
        let mut again: Option<u64> = None;
        let mut sooner = |at: u64| again = Some(again.map_or(at, |old| old.min(at)));
        let mut moves = 0;
        for (name, n) in wants {
            let Some(queue) = self.machine.queue_number(name) else { continue };
            for _ in 0..*n {
                match self.look(queue, &mut moves) {
                    Found::Job(at) => jobs.push(self.take(at, worker, nonce)),
                    Found::Nothing => {
                        if let Some(at) = self.later(queue) {
                            sooner(at);
                        }
                        break;
                    }
                    Found::At(store) => {
                        sooner(self.to_wall(store));
                        break;
                    }
                    Found::Cut => {
                        sooner(self.machine.now.wall);
                        break;
                    }
                }
            }
        }
        (jobs, again)
    }

    /// When time may bring something into a queue that has nothing now: an early guess costs the
    /// worker a question, so it is not asked for more often than every [`AGAIN_MS_MIN`].
    fn later(&self, queue: u16) -> Option<u64> {
        let machine = &self.machine;
        let counts = &machine.queues[usize::from(queue)].counts;
        let waits = counts.of(State::Scheduled) + counts.of(State::Retrying) > 0;
        let held = counts.of(State::Ready) > 0;
        let due = machine.timers.wall.first().map(|(at, _)| *at).filter(|_| waits);
        let opens = machine.timers.store.first().map(|(at, _)| self.to_wall(*at)).filter(|_| held);
        let at = [due, opens].into_iter().flatten().min()?;
        Some(at.max(machine.now.wall + AGAIN_MS_MIN))
    }

    /// The job that runs next in a queue. Groups and lanes that turn out to be held back leave the
    /// order on the way.
    fn look(&mut self, queue: u16, moves: &mut usize) -> Found {
        let now = self.machine.now.store;
        loop {
            let q = &self.machine.queues[usize::from(queue)];
            let Some((_, _, group)) = q.order.first().copied() else { return Found::Nothing };
            match q.open(now) {
                Ok(()) => {}
                Err(None) => return Found::Nothing,
                Err(Some(at)) => {
                    self.machine.set_queue_timer(queue, at);
                    return Found::At(at);
                }
            }
            if *moves >= MOVES_MAX {
                return Found::Cut;
            }
            if let Err(shut) = self.machine.group_open(group, now) {
                self.machine.park(group, shut);
                *moves += 1;
                continue;
            }
            let g = &self.machine.groups[group];
            let (_, _, lane) = *g.standing.first().expect("a group stands in the order only with a lane");
            let set = self.machine.lanes[lane].limits;
            let head = self.machine.head(lane);
            let set = if g.places.is_some() { self.machine.lane_of(head).limits } else { set };
            if let Some(limit) = self.machine.stands_behind(lane, set, queue) {
                self.machine.wait_at_limit(lane, limit, None);
                *moves += 1;
                continue;
            }
            if let Err((limit, opens_at)) = self.machine.limits_open(set, now) {
                self.machine.wait_at_limit(lane, limit, opens_at);
                *moves += 1;
                continue;
            }
            return Found::Job(head);
        }
    }

    /// Gives the job to the worker under a new lease.
    fn take(&mut self, at: u32, worker: WorkerId, nonce: u64) -> Taken {
        let machine = &mut self.machine;
        let slot = *machine.slots.at(at);
        let now = machine.now;
        let counter = machine.next_counter;
        let lane = slot.lane;
        let group = machine.lanes[lane].group;
        let queue = usize::from(machine.groups[group].queue);
        let lease_ms = machine.queues[queue].settings.lease_ms;
        let deadline = now.store + lease_ms;
        let held = Held { counter, nonce, worker: worker.0, started_at: now.wall };
        let key = machine.groups[group].key.clone();
        let mut job = machine.job_ref(at, &key);
        job.attempt += 1;
        self.write(&Fact::Claimed { job, held, deadline });
        self.machine.apply_claimed(at, held, deadline);
        let machine = &mut self.machine;
        if machine.lanes[lane].woken_by != NONE {
            machine.pass_on(lane);
        }
        let extra = machine.extra(at);
        let checkpoint = extra.and_then(|extra| {
            let kept = extra.kept.iter().find(|k| k.what == crate::machine::extra::What::Checkpoint)?;
            Some((kept.place(), kept.len))
        });
        Taken {
            lease: Lease {
                job: JobId(slot.id),
                attempt: job.attempt,
                token: LeaseToken { counter, nonce },
                deadline: Time(deadline),
            },
            lease_ms,
            queue: machine.queues[queue].name.clone(),
            kind: machine.kinds[usize::from(slot.kind)].clone(),
            priority: machine.lanes[lane].priority,
            failures: extra.map_or(0, |e| e.failures),
            losses: extra.map_or(0, |e| e.losses),
            snoozes: extra.map_or(0, |e| e.snoozes),
            ready_at: Time(slot.when),
            place: slot.place(),
            len: slot.len(),
            checkpoint,
            fresh: job.attempt == 1 && extra.is_none_or(|e| e.parents.is_empty() && e.generation == 0),
            group: key.clone(),
        }
    }
}
