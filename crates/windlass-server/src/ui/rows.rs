//! Queues as rows of a table: their counts, how they do, and the last hour as a line.

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use windlass_core::store::{QueueInfo, WorkerInfo};
use windlass_core::{State, StoreError};
use windlass_look::Frame;

use super::chart::{Chart, HOUR};
use super::visit::Visit;
use super::words::{self, When};
use crate::standing::is_old;
pub(crate) use crate::standing::{Standing, has_worker};

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
            oldest: words::some_when(info.oldest_ready, visit.now),
            is_old: is_old(info, visit.now),
            completed_a_minute: info.completed_last_minute,
            completed_said: words::count(info.completed_last_minute),
            hour: HOUR.chart(&completed, visit.now),
            wait: words::quantile(&info.wait_ms, 0.95),
            run: words::quantile(&info.run_ms, 0.95),
        })
    };
    stream::iter(queues.iter().map(one)).buffered(AT_ONCE).try_collect().await
}
