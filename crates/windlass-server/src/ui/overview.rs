//! The overview: what is wrong now, how much there is, and every queue in a line.

use askama::Template;
use windlass_core::store::{LimitInfo, Page, QueueInfo};
use windlass_core::{State, StoreError};
use windlass_look::Frame;

use super::operations::{self, Operation};
use super::page::{Reply, show};
use super::rows::{QueueRow, rows};
use super::trouble::{self, Seen, Trouble};
use super::visit::Visit;
use super::words;
use crate::failures::Marks;

/// Queues in the table: more are a page of their own.
const QUEUES_SHOWN: usize = 50;
/// Failure modes that are looked at for the newest.
const MODES_READ: usize = 500;
/// Limits that are looked at for those that are closed.
const LIMITS_READ: usize = 500;

/// A sum over all queues.
pub(crate) struct Total {
    pub(crate) label: &'static str,
    pub(crate) n: u64,
    pub(crate) said: String,
    pub(crate) at: String,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    f: Frame,
    troubles: Vec<Trouble>,
    /// Operations on many jobs that are open.
    operations: Vec<Operation>,
    totals: Vec<Total>,
    completed: String,
    workers: String,
    rows: Vec<QueueRow>,
    all: usize,
    calm: String,
}

/// `GET /` of a browser.
pub(crate) async fn page(visit: &Visit) -> Reply {
    let store = visit.store();
    let (info, queues, workers, modes, limits, marks) = tokio::try_join!(
        store.info(),
        store.queues(None, None),
        store.workers(None),
        store.errors(None, MODES_READ),
        limits(visit),
        Marks::read(&visit.app),
    )?;
    let seen = Seen {
        info: &info,
        queues: &queues,
        workers: &workers,
        modes: &modes,
        marks: &marks,
        limits: &limits.items,
    };
    let troubles = trouble::find(visit, &seen).await?;
    let shown = shown(&queues);
    let rows = rows(visit, &shown, &workers).await?;
    let mut f = visit.frame("overview");
    let operations = operations::open(visit, &f).await?;
    f.every = if operations.is_empty() { 10 } else { 1 };
    let completed: u64 = queues.iter().map(|info| info.completed_last_minute).sum();
    let page = OverviewPage {
        totals: totals(&f, &queues),
        troubles,
        operations,
        completed: words::count(completed),
        workers: words::count(workers.len() as u64),
        rows,
        all: queues.len(),
        calm: calm(queues.len() as u64, workers.len() as u64),
        f,
    };
    show(&page)
}

/// Limits belong to all queues: whoever is limited to some sees none of them.
async fn limits(visit: &Visit) -> Result<Page<LimitInfo>, StoreError> {
    if visit.app.caller().queues().is_some() {
        return Ok(Page::default());
    }
    visit.store().limits(None, LIMITS_READ).await
}

/// All queues by name; if they are too many, those with most to look into.
fn shown(queues: &[QueueInfo]) -> Vec<QueueInfo> {
    let mut all: Vec<&QueueInfo> = queues.iter().collect();
    if all.len() > QUEUES_SHOWN {
        let weight = |info: &QueueInfo| {
            (info.counts.of(State::Dead), info.counts.waiting(), info.completed_last_minute)
        };
        all.sort_by_key(|info| std::cmp::Reverse(weight(info)));
        all.truncate(QUEUES_SHOWN);
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all.into_iter().cloned().collect()
}

fn totals(f: &Frame, queues: &[QueueInfo]) -> Vec<Total> {
    let order = [
        State::Ready,
        State::Running,
        State::Scheduled,
        State::Retrying,
        State::Blocked,
        State::Dead,
        State::Completed,
        State::Cancelled,
    ];
    order
        .into_iter()
        .map(|state| {
            let n = queues.iter().map(|info| info.counts.of(state)).sum();
            let at = f.jobs(&[("state", state.as_str())]);
            Total { label: state.as_str(), n, said: words::count(n), at }
        })
        .collect()
}

fn calm(queues: u64, workers: u64) -> String {
    format!(
        "{} and {}: no dead jobs, no ready job waits for more than a minute, nothing is paused or closed.",
        words::many(queues, "queue", "queues"),
        words::many(workers, "worker", "workers")
    )
}
