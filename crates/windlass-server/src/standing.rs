//! How queues and workers do: the definitions that pages and the monitor share.
//!
//! Each is a question to what the store has counted already. What a person is shown as wrong and what a rule is told of
//! are the same thing, because both ask here.

use windlass_core::store::{QueueInfo, WorkerInfo};
use windlass_core::{QueueName, State, Time};

/// A ready job that waits for longer is worth a look.
const OLD_MS: u64 = 60_000;
/// A worker that holds jobs and was not heard of for so long has missed several heartbeats.
const SILENT_MS: u64 = 30_000;

/// How a queue does: its word, and the icon of the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Paused,
    Closed,
    NoWorker,
    Full,
    Working,
    Waiting,
    Idle,
}

impl Standing {
    /// How that queue does among those workers; what a person has to look into comes first.
    pub(crate) fn of(info: &QueueInfo, has_worker: bool) -> Self {
        let ready = info.counts.of(State::Ready);
        let settings = &info.settings;
        if settings.paused {
            Standing::Paused
        } else if settings.limits.concurrency == Some(0) {
            Standing::Closed
        } else if ready > 0 && !has_worker && info.counts.of(State::Running) == 0 {
            Standing::NoWorker
        } else if is_full_by(info, 100) {
            Standing::Full
        } else if info.counts.of(State::Running) > 0 {
            Standing::Working
        } else if info.counts.waiting() > 0 {
            Standing::Waiting
        } else {
            Standing::Idle
        }
    }

    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Standing::Paused => "paused",
            Standing::Closed => "closed",
            Standing::NoWorker => "no worker",
            Standing::Full => "full",
            Standing::Working => "working",
            Standing::Waiting => "waiting",
            Standing::Idle => "idle",
        }
    }

    /// Its icon, which the colour follows too.
    pub(crate) fn icon(self) -> &'static str {
        match self {
            Standing::Paused => "paused",
            Standing::Closed | Standing::NoWorker | Standing::Full => "warning",
            Standing::Working => "running",
            Standing::Waiting => "scheduled",
            Standing::Idle => "idle",
        }
    }
}

/// Whether somebody takes jobs of that queue: a worker that said so, or one that said nothing and did it.
pub(crate) fn has_worker(info: &QueueInfo, workers: &[WorkerInfo]) -> bool {
    let asks = |(queue, slots): &(QueueName, u32)| *queue == info.name && *slots > 0;
    workers.iter().any(|worker| worker.hello.queues.iter().any(asks))
        || info.counts.of(State::Running) > 0
        || info.completed_last_minute > 0
}

/// How long the longest-waiting ready job waits.
pub(crate) fn waits_ms(info: &QueueInfo, now: Time) -> u64 {
    info.oldest_ready.map_or(0, |at| now.since(at))
}

/// Whether a ready job waits for longer than is usual.
pub(crate) fn is_old(info: &QueueInfo, now: Time) -> bool {
    waits_ms(info, now) > OLD_MS
}

/// Whether a queue holds that share of a hundred of the jobs that it may.
pub(crate) fn is_full_by(info: &QueueInfo, percent: u64) -> bool {
    info.settings
        .max_waiting
        // A queue that may hold none is closed, not full.
        .filter(|most| *most > 0)
        .is_some_and(|most| u128::from(info.counts.waiting()) * 100 >= u128::from(most) * u128::from(percent))
}

/// Whether a worker that holds jobs sends no heartbeats. One that holds none has nothing to say, however long.
pub(crate) fn is_silent(worker: &WorkerInfo, now: Time) -> bool {
    worker.running > 0 && now.since(worker.seen_at) > SILENT_MS
}
