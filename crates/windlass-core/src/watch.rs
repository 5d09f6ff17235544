//! Workers that wait: who is rung when something becomes claimable, or when a lease of theirs is
//! asked to stop.
//!
//! A watch is answered once; the worker claims and, if it still has room, watches again. A watch
//! that begins while work is there is answered at once, so no ring is lost between claim and watch.
//! A ring is given per free slot: a job wakes one worker that can take it, not all.
//! How a ring reaches whoever waits is the store's own business: `R` is its handle for that.

use crate::store::Signal;
use crate::{Lease, QueueName, WorkerId};
use std::collections::{HashMap, VecDeque};

/// Leases remembered for a worker that is not watching: more would have to be unread for minutes,
/// and its heartbeats tell it the same.
const PENDING_MAX: usize = 1_000;

struct Watcher<R> {
    worker: WorkerId,
    queues: Vec<(QueueName, u32)>,
    ring: R,
}

/// Everyone who waits.
pub struct Watchers<R> {
    next: u64,
    waiting: HashMap<u64, Watcher<R>>,
    by_queue: HashMap<QueueName, VecDeque<u64>>,
    by_worker: HashMap<WorkerId, u64>,
    pending: HashMap<WorkerId, Vec<Lease>>,
    draining: bool,
}

/// Reaches somebody who waits, once.
pub trait Ring {
    /// Whether nobody waits there any more.
    fn is_closed(&self) -> bool;
}

impl<R> Default for Watchers<R> {
    fn default() -> Self {
        Self {
            next: 0,
            waiting: HashMap::new(),
            by_queue: HashMap::new(),
            by_worker: HashMap::new(),
            pending: HashMap::new(),
            draining: false,
        }
    }
}

impl<R: Ring> Watchers<R> {
    /// Registers a watch; `work` says that something is claimable already.
    pub fn watch(
        &mut self,
        worker: WorkerId,
        queues: Vec<(QueueName, u32)>,
        work: bool,
        ring: R,
    ) -> Option<(R, Signal)> {
        if let Some(old) = self.by_worker.remove(&worker) {
            self.waiting.remove(&old);
        }
        if self.draining {
            return Some((ring, Signal::Drain));
        }
        if let Some(lease) = self.pending.get_mut(&worker).and_then(Vec::pop) {
            return Some((ring, Signal::Cancel(lease)));
        }
        if work {
            return Some((ring, Signal::Work));
        }
        let at = self.next;
        self.next += 1;
        for (queue, slots) in &queues {
            if *slots > 0 {
                let line = self.by_queue.entry(queue.clone()).or_default();
                line.push_back(at);
                // Watches that were answered or given up leave their numbers behind.
                if line.len() > 64 && line.len() > 2 * self.waiting.len() {
                    line.retain(|at| self.waiting.contains_key(at));
                }
            }
        }
        self.by_worker.insert(worker, at);
        self.waiting.insert(at, Watcher { worker, queues, ring });
        None
    }

    /// Rings workers of a queue until their free slots cover `jobs`.
    pub fn ring(&mut self, queue: &QueueName, mut jobs: u64, rings: &mut Vec<(R, Signal)>) {
        while jobs > 0 {
            let Some(at) = self.by_queue.get_mut(queue).and_then(VecDeque::pop_front) else { return };
            let Some(watcher) = self.waiting.remove(&at) else { continue };
            self.by_worker.remove(&watcher.worker);
            if watcher.ring.is_closed() {
                continue;
            }
            let slots = watcher.queues.iter().find(|(name, _)| name == queue).map_or(1, |(_, slots)| *slots);
            jobs = jobs.saturating_sub(u64::from(slots));
            rings.push((watcher.ring, Signal::Work));
        }
    }

    /// Tells a worker that a lease of its is asked to stop, now or when it watches next.
    pub fn notify(&mut self, worker: WorkerId, lease: Lease, rings: &mut Vec<(R, Signal)>) {
        if let Some(watcher) = self.by_worker.remove(&worker).and_then(|at| self.waiting.remove(&at))
            && !watcher.ring.is_closed()
        {
            rings.push((watcher.ring, Signal::Cancel(lease)));
            return;
        }
        let pending = self.pending.entry(worker).or_default();
        if pending.len() < PENDING_MAX {
            pending.push(lease);
        }
    }

    /// The queues that somebody waits for.
    pub fn queues(&self) -> impl Iterator<Item = &QueueName> {
        let waits = |line: &VecDeque<u64>| line.iter().any(|at| self.waiting.contains_key(at));
        self.by_queue.iter().filter(move |(_, line)| waits(line)).map(|(queue, _)| queue)
    }

    /// Wakes everyone who waits, for what they may have missed.
    pub fn rouse(&mut self) -> Vec<(R, Signal)> {
        self.by_queue.clear();
        self.by_worker.clear();
        self.waiting.drain().map(|(_, watcher)| (watcher.ring, Signal::Work)).collect()
    }

    /// Forgets a worker.
    pub fn forget(&mut self, worker: WorkerId) {
        self.pending.remove(&worker);
        if let Some(at) = self.by_worker.remove(&worker) {
            self.waiting.remove(&at);
        }
    }

    /// Everyone is told that the store shuts down.
    pub fn drain(&mut self) -> Vec<(R, Signal)> {
        self.draining = true;
        self.by_queue.clear();
        self.by_worker.clear();
        self.waiting.drain().map(|(_, watcher)| (watcher.ring, Signal::Drain)).collect()
    }
}
