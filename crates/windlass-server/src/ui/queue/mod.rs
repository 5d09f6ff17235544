//! One queue: its counts and charts, how long its jobs wait and run, its groups, its failure modes and its settings.

mod field;
mod groups;
mod settings;
mod target;

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use windlass_core::store::QueueInfo;
use windlass_core::{GroupKey, QueueName, State};

use self::field::GroupForm;
use self::groups::GroupsView;
use self::settings::QueueForm;
use self::target::{TargetForm, TargetView};
use super::chart::{Chart, RANGES, Range};
use super::errors::ModeRow;
use super::form::{Fields, back, said};
use super::page::{Reply, Wrong, show_with};
use super::rows::{Count, Standing, has_worker};
use super::visit::Visit;
use super::words::{self, When};
use crate::answer::Fault;
use crate::failures::Marks;
use crate::read::Pairs;
use windlass_look::{Flash, Frame};

pub(crate) use field::{Field, faults, limits, spell_concurrency, spell_rate};
pub(crate) use groups::{reset_group, set_group};
pub(crate) use settings::set;
pub(crate) use target::{remove as remove_target, rotate as rotate_target, set as set_target};

/// Failure modes shown of a queue.
const MODES_SHOWN: usize = 20;

/// A chart with its name.
struct Named {
    label: &'static str,
    chart: Chart,
}

/// A tab of the charts.
struct Tab {
    label: &'static str,
    at: String,
    is_here: bool,
}

/// Quantiles of a time.
struct Times {
    label: &'static str,
    hint: &'static str,
    p50: String,
    p95: String,
    p99: String,
    max: String,
    count: String,
}

#[derive(Template)]
#[template(path = "queue.html")]
struct QueuePage {
    f: Frame,
    name: String,
    at: String,
    standing: Standing,
    is_paused: bool,
    counts: Vec<Count>,
    oldest: Option<When>,
    completed_a_minute: String,
    range: Range,
    tabs: Vec<Tab>,
    charts: Vec<Named>,
    times: Vec<Times>,
    totals: Vec<(&'static str, &'static str, String)>,
    groups: GroupsView,
    modes: Vec<ModeRow>,
    target: TargetView,
    form: QueueForm,
}

/// What is shown of a queue beside the queue itself.
struct Shown {
    range: Range,
    after: Option<GroupKey>,
    edit: Option<String>,
    form: Option<QueueForm>,
    group_form: Option<GroupForm>,
    target: Option<TargetForm>,
    /// A secret that was just made.
    secret: Option<String>,
    status: StatusCode,
}

impl Default for Shown {
    fn default() -> Self {
        Self {
            range: RANGES[0],
            after: None,
            edit: None,
            form: None,
            group_form: None,
            target: None,
            secret: None,
            status: StatusCode::OK,
        }
    }
}

impl Shown {
    /// What is wrong with the form that came in.
    fn faults(&self) -> Vec<String> {
        let mut all = vec!["Nothing was changed.".to_owned()];
        all.extend(self.form.iter().flat_map(QueueForm::faults));
        all.extend(self.group_form.iter().flat_map(GroupForm::faults));
        all.extend(self.target.iter().flat_map(TargetForm::faults));
        all
    }
}

/// `GET /queues/{queue}`.
pub(crate) async fn page(visit: Visit, Path(queue): Path<String>, mut query: Pairs) -> Reply {
    let range = Range::of(query.take("range")?.as_deref());
    let (after, edit) = (query.take_value::<GroupKey>("after")?, query.take("edit")?);
    query.end("range, after and edit")?;
    draw(&visit, &QueueName::new(queue)?, Shown { range, after, edit, ..Shown::default() }).await
}

async fn find(visit: &Visit, queue: &QueueName) -> Result<QueueInfo, Wrong> {
    let found = visit.store().queues(Some(queue.clone()), None).await?.into_iter().next();
    let hint =
        "a queue begins with its first job or its first setting; the list of queues says which there are";
    found.ok_or_else(|| Fault::not_found(format!("queue {queue}")).hint(hint).into())
}

async fn draw(visit: &Visit, queue: &QueueName, shown: Shown) -> Reply {
    let store = visit.store();
    let info = find(visit, queue).await?;
    let (series, workers, modes, marks) = tokio::try_join!(
        store.series(queue.clone(), None),
        store.workers(None),
        store.errors(Some(queue.clone()), MODES_SHOWN),
        Marks::read(&visit.app),
    )?;
    let series = series.unwrap_or_default();
    let mut f = visit.frame("queues");
    f.every = 5;
    if shown.secret.is_some() {
        f.address = f.queue(queue);
        f.flash = Some(Flash::good("A secret was made. It stands below, and is shown this once."));
    }
    if shown.status != StatusCode::OK {
        // The page answers a form: it has no address of its own, and what is wrong may stand far down.
        f.address = f.queue(queue);
        f.flash = Some(Flash::bad(shown.faults().join("\n")));
    }
    let groups = GroupsView::load(visit, &info, &shown).await?;
    let target = TargetView::load(visit, queue, &shown).await?;
    let chart = |label, series: &[_]| Named { label, chart: shown.range.chart(series, visit.now) };
    let page = QueuePage {
        name: queue.to_string(),
        at: f.queue(queue),
        standing: Standing::of(&info, has_worker(&info, &workers)),
        is_paused: info.settings.paused,
        counts: State::ALL.into_iter().map(|state| Count::of(&f, &info, state)).collect(),
        oldest: words::some_when(info.oldest_ready, visit.now),
        completed_a_minute: words::count(info.completed_last_minute),
        range: shown.range,
        tabs: tabs(&f, queue, shown.range),
        charts: vec![
            chart("Enqueued", &series.enqueued),
            chart("Completed", &series.completed),
            chart("Failed", &series.failed),
        ],
        times: times(&info),
        totals: totals(&info),
        groups,
        modes: modes.iter().map(|mode| ModeRow::of(&f, mode, &marks, visit.now)).collect(),
        target,
        form: shown.form.unwrap_or_else(|| QueueForm::of(&info.settings)),
        f,
    };
    show_with(shown.status, &page)
}

fn tabs(f: &Frame, queue: &QueueName, here: Range) -> Vec<Tab> {
    let at = |range: Range| format!("{}?range={}", f.queue(queue), range.word);
    RANGES
        .into_iter()
        .map(|range| Tab { label: range.label, at: at(range), is_here: range == here })
        .collect()
}

fn times(info: &QueueInfo) -> Vec<Times> {
    let one = |label, hint, histogram: &windlass_core::histogram::Histogram| Times {
        label,
        hint,
        p50: words::quantile(histogram, 0.5),
        p95: words::quantile(histogram, 0.95),
        p99: words::quantile(histogram, 0.99),
        max: if histogram.count() == 0 { words::NOTHING.to_owned() } else { words::span(histogram.max()) },
        count: words::count(histogram.count()),
    };
    vec![
        one("Wait", "from ready to claimed", &info.wait_ms),
        one("Run", "from claimed to settled", &info.run_ms),
    ]
}

/// What the queue has done: word, meaning, number.
fn totals(info: &QueueInfo) -> Vec<(&'static str, &'static str, String)> {
    let all = &info.totals;
    [
        ("enqueued", "jobs taken in", all.enqueued),
        ("claimed", "attempts started", all.claimed),
        ("completed", "jobs that ended well", all.completed),
        ("failed", "attempts that failed", all.failed),
        ("died", "jobs that became dead letters", all.died),
        ("lost", "leases that ran out", all.lost),
        ("snoozed", "attempts postponed", all.snoozed),
        ("released", "attempts given back", all.released),
        ("no handler", "of those, because no handler knew the kind", all.no_handler),
        ("cancelled", "jobs cancelled", all.cancelled),
    ]
    .map(|(word, meaning, n)| (word, meaning, words::count(n)))
    .to_vec()
}

async fn set_paused(visit: Visit, queue: String, fields: Fields, paused: bool) -> Reply {
    let queue = QueueName::new(queue)?;
    find(&visit, &queue).await?;
    let done = if paused {
        format!("Queue {queue} is paused: nothing is claimed from it, and running jobs go on.")
    } else {
        format!("Queue {queue} goes on.")
    };
    let flash: Flash = said(visit.store().pause(queue.clone(), paused, None).await?, done);
    Ok(back(&visit, &fields, &visit.frame("").queue(&queue), flash))
}

/// `POST /queues/{queue}/pause`.
pub(crate) async fn pause(visit: Visit, Path(queue): Path<String>, fields: Fields) -> Reply {
    set_paused(visit, queue, fields, true).await
}

/// `POST /queues/{queue}/resume`.
pub(crate) async fn resume(visit: Visit, Path(queue): Path<String>, fields: Fields) -> Reply {
    set_paused(visit, queue, fields, false).await
}
