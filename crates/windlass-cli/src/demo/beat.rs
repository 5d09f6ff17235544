//! What a process of the day says of the queues, a few times a second: one JSON object a line on its stdout.

use serde::{Deserialize, Serialize};
use windlass_campaigns::flow::queues::SENDER_WARM_UP;
use windlass_core::Time;
use windlass_core::job::State;
use windlass_core::store::QueueInfo;

/// The queues at one moment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Beat {
    /// Every queue of the application.
    pub(super) queues: Vec<QueueBeat>,
}

/// One queue at one moment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct QueueBeat {
    /// Its name.
    pub(super) name: String,
    /// How many of its jobs may run at once.
    pub(super) concurrency: Option<u32>,
    /// Jobs that wait, for whatever.
    pub(super) waiting: u64,
    /// Of those, jobs that wait for another try.
    pub(super) retrying: u64,
    /// Jobs that a worker holds.
    pub(super) running: u64,
    /// Jobs that ended well.
    pub(super) completed: u64,
    /// Dead letters.
    pub(super) dead: u64,
    /// How long the longest-waiting ready job has waited.
    pub(super) oldest_ms: u64,
}

impl Beat {
    pub(super) fn of(queues: &[QueueInfo], now: Time) -> Self {
        Self { queues: queues.iter().map(|queue| QueueBeat::of(queue, now)).collect() }
    }

    /// Whether no queue has anything left to do today: what is done at midnight waits for it.
    pub(super) fn is_idle(&self) -> bool {
        let today = || self.queues.iter().filter(|queue| queue.name != SENDER_WARM_UP.name);
        today().next().is_some() && today().all(|queue| queue.waiting + queue.running == 0)
    }

    /// Jobs that ended, well or as dead letters.
    pub(super) fn ended(&self) -> u64 {
        self.queues.iter().map(|queue| queue.completed + queue.dead).sum()
    }

    /// Dead letters of all queues.
    pub(super) fn dead(&self) -> u64 {
        self.queues.iter().map(|queue| queue.dead).sum()
    }

    /// Jobs of all queues that wait for another try.
    pub(super) fn retrying(&self) -> u64 {
        self.queues.iter().map(|queue| queue.retrying).sum()
    }
}

impl QueueBeat {
    fn of(queue: &QueueInfo, now: Time) -> Self {
        Self {
            name: queue.name.to_string(),
            concurrency: queue.settings.limits.concurrency,
            waiting: queue.counts.waiting(),
            retrying: queue.counts.of(State::Retrying),
            running: queue.counts.of(State::Running),
            completed: queue.totals.completed,
            dead: queue.counts.of(State::Dead),
            oldest_ms: queue.oldest_ready.map_or(0, |since| now.since(since)),
        }
    }
}
