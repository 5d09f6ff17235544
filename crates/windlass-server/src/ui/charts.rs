//! What all queues have done lately, and each beside the others: what came in, what was completed, what failed, and how
//! long jobs wait and run. Everything is kept by the store; nothing is counted for the page.

use askama::Template;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use windlass_core::State;
use windlass_core::store::{QueueInfo, QueueSeries};
use windlass_core::{StoreError, Time};
use windlass_look::Frame;

use super::chart::{Chart, RANGES, Range};
use super::form::spelled;
use super::page::{Reply, show};
use super::rows::Count;
use super::visit::Visit;
use super::words::{self, When};
use crate::answer::Fault;
use crate::read::Pairs;
use crate::standing::is_old;

/// Queues that are charted, those with most to do; more take longer than a page should.
const QUEUES_CHARTED: usize = 100;
/// Charts that are asked for at once.
const AT_ONCE: usize = 8;

struct Tab {
    label: &'static str,
    at: String,
    is_here: bool,
}

struct Named {
    label: &'static str,
    chart: Chart,
}

/// One queue beside the others.
struct Row {
    name: String,
    at: String,
    waiting: u64,
    waiting_said: String,
    running: Count,
    oldest: Option<When>,
    is_old: bool,
    enqueued: Chart,
    completed: Chart,
    failed: Chart,
    wait: [String; 3],
    run: [String; 3],
}

/// A slot of the charts in numbers.
struct Slot {
    at: String,
    n: [String; 3],
}

#[derive(Template)]
#[template(path = "charts.html")]
struct ChartsPage {
    f: Frame,
    range: Range,
    tabs: Vec<Tab>,
    charts: Vec<Named>,
    /// What there is now: its name and number.
    now: Vec<(&'static str, String)>,
    rows: Vec<Row>,
    slots: Vec<Slot>,
    all: usize,
}

/// `GET /charts`.
pub(crate) async fn page(visit: Visit, mut query: Pairs) -> Reply {
    let word = query.take("range")?;
    query.end("range")?;
    let range = Range::of(word.as_deref());
    if word.as_deref().is_some_and(|word| word != range.word) {
        let words = RANGES.map(|range| range.word).join(", ");
        return Err(Fault::bad_request(format!("there is no range of that name; there are {words}")).into());
    }
    let mut queues = visit.store().queues(None, None).await?;
    let all = queues.len();
    let now = totals(&queues, visit.now);
    queues.sort_by_key(|info| std::cmp::Reverse((info.completed_last_minute, info.totals.claimed)));
    queues.truncate(QUEUES_CHARTED);
    queues.sort_by(|a, b| a.name.cmp(&b.name));
    let series = series(&visit, &queues).await?;
    let mut f = visit.frame("charts");
    f.every = 5;
    let sum =
        |of: fn(&QueueSeries) -> &[windlass_core::store::Series]| range.sum(series.iter().map(of), visit.now);
    let sums = [sum(|all| &all.enqueued), sum(|all| &all.completed), sum(|all| &all.failed)];
    let labels = ["Enqueued", "Completed", "Failed"];
    let charts = labels.into_iter().zip(&sums).map(|(label, sum)| Named { label, chart: range.draw(sum) });
    let rows = queues.iter().zip(&series).map(|(info, series)| Row::of(&f, info, series, range, visit.now));
    let page = ChartsPage {
        range,
        tabs: tabs(&f, range),
        charts: charts.collect(),
        now,
        rows: rows.collect(),
        slots: slots(range, &sums, visit.now),
        all,
        f,
    };
    show(&page)
}

async fn series(visit: &Visit, queues: &[QueueInfo]) -> Result<Vec<QueueSeries>, StoreError> {
    // A queue whose charts are not known has had nothing to do.
    let one =
        async |info: &QueueInfo| Ok(visit.store().series(info.name.clone(), None).await?.unwrap_or_default());
    stream::iter(queues.iter().map(one)).buffered(AT_ONCE).try_collect().await
}

fn tabs(f: &Frame, here: Range) -> Vec<Tab> {
    let at = |range: Range| format!("{}/charts?{}", f.base, spelled([("range", range.word)]));
    let tab = |range: Range| Tab { label: range.label, at: at(range), is_here: range == here };
    RANGES.into_iter().map(tab).collect()
}

fn totals(queues: &[QueueInfo], now: Time) -> Vec<(&'static str, String)> {
    let sum = |of: &dyn Fn(&QueueInfo) -> u64| words::count(queues.iter().map(of).sum());
    let oldest = queues.iter().filter_map(|info| info.oldest_ready).min();
    vec![
        ("Waiting", sum(&|info| info.counts.waiting())),
        ("Of these ready", sum(&|info| info.counts.of(State::Ready))),
        ("Running", sum(&|info| info.counts.of(State::Running))),
        ("Dead", sum(&|info| info.counts.of(State::Dead))),
        ("Completed in the last minute", sum(&|info| info.completed_last_minute)),
        ("Oldest ready job", oldest.map_or(words::NOTHING.to_owned(), |at| words::span(now.since(at)))),
    ]
}

impl Row {
    fn of(f: &Frame, info: &QueueInfo, series: &QueueSeries, range: Range, now: Time) -> Self {
        let times = |histogram| [0.5, 0.95, 0.99].map(|share| words::quantile(histogram, share));
        let waiting = info.counts.waiting();
        Self {
            name: info.name.to_string(),
            at: f.queue(&info.name),
            waiting,
            waiting_said: words::count(waiting),
            running: Count::of(f, info, State::Running),
            oldest: words::some_when(info.oldest_ready, now),
            is_old: is_old(info, now),
            enqueued: range.chart(&series.enqueued, now),
            completed: range.chart(&series.completed, now),
            failed: range.chart(&series.failed, now),
            wait: times(&info.wait_ms),
            run: times(&info.run_ms),
        }
    }
}

/// The charts in numbers, newest first, without slots in which nothing was.
fn slots(range: Range, sums: &[Vec<u64>; 3], now: Time) -> Vec<Slot> {
    let starts = range.starts(now).into_iter().enumerate().rev();
    let slot = |(place, at): (usize, Time)| {
        let n = [0, 1, 2].map(|which| sums[which][place]);
        (n != [0; 3]).then(|| Slot { at: at.to_string(), n: n.map(words::count) })
    };
    starts.filter_map(slot).collect()
}
