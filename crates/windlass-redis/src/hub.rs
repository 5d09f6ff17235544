//! Whoever waits in this process: workers for work, readers for events, upkeep for its next time.
//!
//! What a call of this process owes is told here at once; what calls of other processes owe comes by a
//! channel of the server. The channel is a doorbell: a lost message costs a wait until the next upkeep,
//! never a job.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
use windlass_core::store::{Signal, Watch};
use windlass_core::{QueueName, Time, WorkerId};

use crate::wire::Bell;

/// Somebody who waits for the answer to a watch.
pub(crate) struct Ring(oneshot::Sender<Signal>);

impl windlass_core::watch::Ring for Ring {
    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

type Watchers = windlass_core::watch::Watchers<Ring>;

#[derive(Default)]
pub(crate) struct Hub {
    watchers: Mutex<Watchers>,
    /// Rung for each batch of new events.
    pub(crate) events: Notify,
    /// Rung when upkeep may have to come sooner than it thinks.
    pub(crate) sooner: Notify,
    due: Mutex<Option<Time>>,
}

impl Hub {
    fn watchers(&self) -> MutexGuard<'_, Watchers> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives everyone what a call owes them.
    pub(crate) fn tell(&self, bell: &Bell) {
        let mut rings = Vec::new();
        {
            let mut watchers = self.watchers();
            for (queue, jobs) in &bell.rings {
                watchers.ring(queue, *jobs, &mut rings);
            }
            for (worker, lease) in &bell.notices {
                watchers.notify(*worker, *lease, &mut rings);
            }
        }
        give(rings);
        if bell.events {
            self.events.notify_waiters();
        }
        if let Some(due) = bell.due {
            let mut known = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            if known.is_none_or(|known| due < known) {
                *known = Some(due);
                self.sooner.notify_one();
            }
        }
    }

    /// The earliest time told since the last question.
    pub(crate) fn take_due(&self) -> Option<Time> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Registers a watch; what is known to be claimable rings it at once.
    pub(crate) fn watch(&self, watch: Watch) -> oneshot::Receiver<Signal> {
        let (ring, rung) = oneshot::channel();
        let answered = self.watchers().watch(watch.worker, watch.queues, false, Ring(ring));
        give(answered);
        rung
    }

    /// The queues that somebody here waits for.
    pub(crate) fn waited_for(&self) -> Vec<QueueName> {
        self.watchers().queues().cloned().collect()
    }

    /// Wakes everyone, after messages may have been missed.
    pub(crate) fn rouse(&self) {
        let rings = self.watchers().rouse();
        give(rings);
        self.events.notify_waiters();
        *self.due.lock().unwrap_or_else(PoisonError::into_inner) = Some(Time::ZERO);
        self.sooner.notify_one();
    }

    /// Forgets a worker.
    pub(crate) fn forget(&self, worker: WorkerId) {
        self.watchers().forget(worker);
    }

    /// Everyone is told that the store shuts down.
    pub(crate) fn drain(&self) {
        let rings = self.watchers().drain();
        give(rings);
    }
}

fn give(rings: impl IntoIterator<Item = (Ring, Signal)>) {
    for (ring, signal) in rings {
        let _ = ring.0.send(signal);
    }
}
