//! Workers of this process that wait: who is rung when something becomes claimable, or when a lease is asked to stop.
//!
//! A watch is answered once. A ring is given per free slot: a job wakes one worker that can take it, not all. Rings come
//! from this process's own verbs at once, from other processes over the listener, and from the polls of upkeep.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use tokio::sync::{Notify, oneshot};
use windlass_core::store::{Signal, Watch};
use windlass_core::{Lease, QueueName, WorkerId};

/// Leases remembered for a worker that is not watching; its heartbeats tell it the same.
const PENDING_MAX: usize = 1_000;

struct Watcher {
    worker: WorkerId,
    /// Rings of its queues before it came.
    rings_before: u64,
    queues: Vec<(QueueName, u32)>,
    ring: oneshot::Sender<Signal>,
}

#[derive(Default)]
struct Watchers {
    next: u64,
    waiting: HashMap<u64, Watcher>,
    by_queue: HashMap<String, VecDeque<u64>>,
    by_worker: HashMap<WorkerId, u64>,
    pending: HashMap<WorkerId, Vec<Lease>>,
    rings: HashMap<String, u64>,
    draining: bool,
}

/// Everyone of this process who waits.
#[derive(Default)]
pub(crate) struct Hub {
    watchers: Mutex<Watchers>,
    /// Something was written: readers of events look again.
    pub(crate) written: Notify,
}

impl Watchers {
    /// Rings of these queues so far.
    fn rings_of(&self, queues: &[(QueueName, u32)]) -> u64 {
        queues.iter().map(|(queue, _)| self.rings.get(queue.as_str()).copied().unwrap_or(0)).sum()
    }
}

impl Hub {
    fn all(&self) -> std::sync::MutexGuard<'_, Watchers> {
        // A panic elsewhere leaves plain data behind that is whole at every statement.
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a watch: its number, for [`Hub::answer`], and where its signal comes.
    pub(crate) fn watch(&self, watch: Watch) -> (u64, oneshot::Receiver<Signal>) {
        let (ring, rung) = oneshot::channel();
        let mut all = self.all();
        if let Some(old) = all.by_worker.remove(&watch.worker) {
            all.waiting.remove(&old);
        }
        let at = all.next;
        all.next += 1;
        let told = if all.draining {
            Some(Signal::Drain)
        } else {
            all.pending.get_mut(&watch.worker).and_then(Vec::pop).map(Signal::Cancel)
        };
        if let Some(signal) = told {
            let _ = ring.send(signal);
            return (at, rung);
        }
        let waiting = all.waiting.len();
        let Watchers { waiting: known, by_queue, .. } = &mut *all;
        for (queue, slots) in &watch.queues {
            if *slots > 0 {
                let line = by_queue.entry(queue.as_str().to_owned()).or_default();
                line.push_back(at);
                // Watches that were answered or given up leave their numbers behind.
                if line.len() > 64 && line.len() > 2 * waiting {
                    line.retain(|at| known.contains_key(at));
                }
            }
        }
        let rings_before = all.rings_of(&watch.queues);
        all.by_worker.insert(watch.worker, at);
        all.waiting.insert(at, Watcher { worker: watch.worker, rings_before, queues: watch.queues, ring });
        (at, rung)
    }

    /// A look found work for that watch. If its queues were rung while the look was under way, the ring has counted the
    /// same work and woken whom it needs.
    pub(crate) fn answer(&self, at: u64) {
        let mut all = self.all();
        let rung = all.waiting.get(&at).is_none_or(|w| all.rings_of(&w.queues) != w.rings_before);
        if rung {
            return;
        }
        if let Some(watcher) = all.waiting.remove(&at) {
            all.by_worker.remove(&watcher.worker);
            let _ = watcher.ring.send(Signal::Work);
        }
    }

    /// Rings workers of a queue until their free slots cover `jobs`.
    pub(crate) fn ring(&self, queue: &str, mut jobs: u64) {
        let mut all = self.all();
        if !all.by_queue.contains_key(queue) {
            return;
        }
        *all.rings.entry(queue.to_owned()).or_default() += 1;
        while jobs > 0 {
            let Some(at) = all.by_queue.get_mut(queue).and_then(VecDeque::pop_front) else { return };
            let Some(watcher) = all.waiting.remove(&at) else { continue };
            all.by_worker.remove(&watcher.worker);
            if watcher.ring.is_closed() {
                continue;
            }
            let slots =
                watcher.queues.iter().find(|(name, _)| name.as_str() == queue).map_or(1, |(_, slots)| *slots);
            jobs = jobs.saturating_sub(u64::from(slots));
            let _ = watcher.ring.send(Signal::Work);
        }
    }

    /// Tells a worker that a lease of its is asked to stop or has ended, now or when it watches next.
    pub(crate) fn notify(&self, worker: WorkerId, lease: Lease) {
        let mut all = self.all();
        if let Some(watcher) = all.by_worker.remove(&worker).and_then(|at| all.waiting.remove(&at))
            && !watcher.ring.is_closed()
        {
            let _ = watcher.ring.send(Signal::Cancel(lease));
            return;
        }
        let pending = all.pending.entry(worker).or_default();
        if pending.len() < PENDING_MAX {
            pending.push(lease);
        }
    }

    /// Queues that somebody of this process waits for.
    pub(crate) fn watched(&self) -> Vec<String> {
        let all = self.all();
        let names = all.waiting.values().flat_map(|w| w.queues.iter().filter(|(_, slots)| *slots > 0));
        let mut names: Vec<String> = names.map(|(name, _)| name.as_str().to_owned()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Forgets a worker.
    pub(crate) fn forget(&self, worker: WorkerId) {
        let mut all = self.all();
        all.pending.remove(&worker);
        if let Some(at) = all.by_worker.remove(&worker) {
            all.waiting.remove(&at);
        }
    }

    /// Everyone is told that the store shuts down.
    pub(crate) fn drain(&self) {
        let mut all = self.all();
        all.draining = true;
        all.by_queue.clear();
        all.by_worker.clear();
        for (_, watcher) in all.waiting.drain() {
            let _ = watcher.ring.send(Signal::Drain);
        }
        drop(all);
        self.written.notify_waiters();
    }
}
