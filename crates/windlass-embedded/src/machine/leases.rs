//! Leases: who holds which job until when, and what its start and end take and give back.

use super::Machine;
use super::extra::LeaseEntry;
use super::slots::{NONE, flag};
use crate::fact::Held;
use windlass_core::{JobId, Lease, LeaseToken, State, Time, WorkerId};

impl Machine {
    /// Starts the lease of a job whose state is running from now on, and takes its slots.
    pub(crate) fn start_lease(&mut self, at: u32, held: Held, deadline: u64, lease_ms: u64) {
        let (lane, extra) = (self.slots.at(at).lane, self.slots.at(at).aux);
        let (group, set) = (self.lanes[lane].group, self.lanes[lane].limits);
        let queue = usize::from(self.groups[group].queue);
        let lease = self.leases.insert(LeaseEntry {
            slot: at,
            counter: held.counter,
            nonce: held.nonce,
            worker: held.worker,
            started_at: held.started_at,
            deadline,
            lease_ms,
            timer_at: deadline,
            grace_until: 0,
            extra,
        });
        self.slots.at_mut(at).aux = lease;
        self.timers.leases.insert((deadline, lease));
        self.groups[group].running += 1;
        self.queues[queue].running += 1;
        if set != 0 {
            for i in 0..self.limit_sets.uses(set).len() {
                let (limit, cost) = self.limit_sets.uses(set)[i];
                self.limits[limit].in_use += u64::from(cost);
            }
        }
    }

    /// Ends the lease and gives back what it held. The job's state must still be running.
    pub(crate) fn end_lease(&mut self, at: u32) -> LeaseEntry {
        let index = self.slots.at(at).aux;
        let lease = self.leases.remove(index);
        self.timers.leases.remove(&(lease.timer_at, index));
        let slot = self.slots.at_mut(at);
        slot.aux = lease.extra;
        slot.set(flag::CANCEL, false);
        let lane = slot.lane;
        let (group, set) = (self.lanes[lane].group, self.lanes[lane].limits);
        let queue = self.groups[group].queue;
        self.groups[group].running -= 1;
        let q = &mut self.queues[usize::from(queue)];
        q.running -= 1;
        if q.settings.limits.concurrency.is_some() {
            self.touch(queue);
        }
        if self.groups[group].parked {
            self.unpark(group);
        }
        if set != 0 {
            self.free_limits(set);
        }
        lease
    }

    /// The lease of a running job as its holder knows it.
    pub(crate) fn lease_of(&self, at: u32) -> Option<Lease> {
        let slot = self.slots.at(at);
        if slot.state() != State::Running || slot.aux == NONE {
            return None;
        }
        let lease = &self.leases[slot.aux];
        Some(Lease {
            job: JobId(slot.id),
            attempt: self.attempt(at),
            token: LeaseToken { counter: lease.counter, nonce: lease.nonce },
            deadline: Time(lease.deadline),
        })
    }

    /// Who held the job and since when: for the fact that ends the attempt.
    pub(crate) fn held(&self, at: u32) -> Held {
        let lease = &self.leases[self.slots.at(at).aux];
        Held {
            counter: lease.counter,
            nonce: lease.nonce,
            worker: lease.worker,
            started_at: lease.started_at,
        }
    }

    /// Tells the holder of a running job that something about its lease changed.
    pub(crate) fn notify_holder(&mut self, at: u32) {
        if let Some(lease) = self.lease_of(at) {
            let worker = WorkerId(self.leases[self.slots.at(at).aux].worker);
            self.notices.push((worker, lease));
        }
    }
}
