//! Who is there, for people and for `no_worker`. In memory alone: a worker that goes on says hello again after a restart.

use super::Machine;
use windlass_core::bounds::WORKER_FORGOTTEN_MS;
use windlass_core::store::{Hello, WorkerInfo};
use windlass_core::{Time, WorkerId};

impl Machine {
    /// A worker is there. Those of which nothing was heard for long make room for a new one.
    pub(crate) fn greet(&mut self, hello: Hello) {
        let seen_at = Time(self.now.wall);
        if self.workers.insert(hello.worker, WorkerInfo { hello, seen_at, running: 0 }).is_none() {
            self.workers.retain(|_, worker| seen_at.since(worker.seen_at) <= WORKER_FORGOTTEN_MS);
        }
    }

    /// The workers that are there now, by id, with the leases that each holds.
    pub(crate) fn workers_there(&self) -> Vec<WorkerInfo> {
        let now = Time(self.now.wall);
        let mut all: Vec<WorkerInfo> = self.workers.values().cloned().collect();
        for (_, lease) in self.leases.iter() {
            if let Ok(at) = all.binary_search_by_key(&WorkerId(lease.worker), |w| w.hello.worker) {
                all[at].running += 1;
            }
        }
        all.retain(|worker| worker.is_there(now));
        all
    }

    /// Whether a worker that is there asks for that queue. Leases are counted only for workers that said nothing lately.
    pub(crate) fn has_worker(&self, queue: &windlass_core::QueueName) -> bool {
        let now = Time(self.now.wall);
        let asks =
            |worker: &WorkerInfo| worker.hello.queues.iter().any(|(q, slots)| q == queue && *slots > 0);
        let all = || self.workers.values().filter(|worker| asks(worker));
        all().any(|worker| worker.is_there(now))
            || all().next().is_some() && self.workers_there().iter().any(asks)
    }
}
