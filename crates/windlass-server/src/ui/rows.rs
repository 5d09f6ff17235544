//! Queues as rows of a table: their counts, how they do, and the last hour as a line.

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use windlass_core::store::{QueueInfo, WorkerInfo};
use windlass_core::{QueueName, State, StoreError};

use super::chart::{Chart, HOUR};
use super::visit::{Frame, Visit};
use super::words::{self, When};

/// The states that a table of queues has a column for, in the order of the columns.
pub(crate) const COLUMNS: [State; 6] =
    [State::Ready, State::Scheduled, State::Running, State::Retrying, State::Blocked, State::Dead];
/// Charts that are asked for at once.
const AT_ONCE: usize = 8;

/// A number that leads to the jobs it counts.
pub(crate) struct Count {
    pub(crate) state: &'static str,
    pub(crate) n: u64,
    pub(crate) said: String,
    pub(crate) at: String,
}

impl Count {
    pub(crate) fn of(f: &Frame, info: &QueueInfo, state: State) -> Self {
        let n = info.counts.of(state);
        let at = f.jobs(&[("queue", info.name.as_str()), ("state", state.as_str())]);
        Self { state: state.as_str(), n, said: words::count(n), at }
    }
}

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
        } else if ready > 0 && !has_worker {
            Standing::NoWorker
        } else if settings.max_waiting.is_some_and(|most| info.counts.waiting() >= most) {
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

/// One queue in a table.
pub(crate) struct QueueRow {
    pub(crate) name: String,
    pub(crate) at: String,
    pub(crate) standing: Standing,
    pub(crate) counts: Vec<Count>,
    pub(crate) oldest: Option<When>,
    pub(crate) is_old: bool,
    pub(crate) completed_a_minute: u64,
    pub(crate) completed_said: String,
    pub(crate) hour: Chart,
    pub(crate) wait: String,
    pub(crate) run: String,
}

/// A ready job that waits for longer is worth a look.
pub(crate) const OLD_MS: u64 = 60_000;

/// The rows of those queues, each with its last hour.
pub(crate) async fn rows(
    visit: &Visit,
    queues: &[QueueInfo],
    workers: &[WorkerInfo],
) -> Result<Vec<QueueRow>, StoreError> {
    let frame = visit.frame("queues");
    let one = async |info: &QueueInfo| {
        let series = visit.store().series(info.name.clone(), None).await?;
        // A queue whose charts are not known has had nothing to do.
        let completed = series.map(|series| series.completed).unwrap_or_default();
        Ok(QueueRow {
            name: info.name.to_string(),
            at: frame.queue(&info.name),
            standing: Standing::of(info, has_worker(info, workers)),
            counts: COLUMNS.into_iter().map(|state| Count::of(&frame, info, state)).collect(),
            oldest: When::some(info.oldest_ready, visit.now),
            is_old: info.oldest_ready.is_some_and(|at| visit.now.since(at) > OLD_MS),
            completed_a_minute: info.completed_last_minute,
            completed_said: words::count(info.completed_last_minute),
            hour: HOUR.chart(&completed, visit.now),
            wait: words::quantile(&info.wait_ms, 0.95),
            run: words::quantile(&info.run_ms, 0.95),
        })
    };
    stream::iter(queues.iter().map(one)).buffered(AT_ONCE).try_collect().await
}
