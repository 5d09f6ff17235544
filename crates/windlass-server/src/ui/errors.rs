//! Failure modes: the few faults behind the many dead jobs.

use askama::Template;
use windlass_core::bounds::BATCH_ITEMS_MAX;
use windlass_core::fingerprint::Fingerprint;
use windlass_core::store::{FailureMode, Filter};
use windlass_core::{JobId, QueueName, State, Time};

use super::confirm::{ITEMS_NAMED, Question, ask, is_confirmed};
use super::flash::Flash;
use super::form::{Fields, back, told};
use super::page::{Reply, Wrong, show};
use super::trouble::jobs_of_mode;
use super::visit::{Frame, Visit};
use super::words::{self, When};
use crate::answer::Fault;
use crate::read::{self, Pairs};

/// Modes of a page, those with most dead jobs first.
const MODES_SHOWN: usize = 200;
/// Jobs looked at to find the dead ones of a mode.
const BUDGET: usize = 1_000_000;

/// A failure mode in a table.
pub(crate) struct ModeRow {
    pub(crate) title: String,
    pub(crate) fingerprint: String,
    /// Whether the jobs of the mode can be found: what is counted under `other` has many fingerprints.
    pub(crate) is_one: bool,
    pub(crate) at: String,
    pub(crate) dead: u64,
    pub(crate) dead_said: String,
    pub(crate) failures: String,
    pub(crate) queue: String,
    pub(crate) queue_at: String,
    pub(crate) kind: String,
    pub(crate) first_seen: When,
    pub(crate) last_seen: When,
    pub(crate) sample: String,
    pub(crate) sample_short: String,
}

impl ModeRow {
    pub(crate) fn of(f: &Frame, mode: &FailureMode, now: Time) -> Self {
        Self {
            title: mode.title.clone(),
            fingerprint: mode.fingerprint.to_string(),
            is_one: mode.fingerprint != Fingerprint::default(),
            at: jobs_of_mode(f, mode),
            dead: mode.dead,
            dead_said: words::count(mode.dead),
            failures: words::count(mode.failures),
            queue: mode.queue.to_string(),
            queue_at: f.queue(&mode.queue),
            kind: mode.kind.to_string(),
            first_seen: When::new(mode.first_seen, now),
            last_seen: When::new(mode.last_seen, now),
            sample: f.job(mode.sample),
            sample_short: words::short(mode.sample),
        }
    }
}

#[derive(Template)]
#[template(path = "errors.html")]
struct ErrorsPage {
    f: Frame,
    queue: Option<String>,
    rows: Vec<ModeRow>,
    is_full: bool,
}

/// `GET /errors`.
pub(crate) async fn page(visit: Visit, mut query: Pairs) -> Reply {
    let queue = query.take_value::<QueueName>("queue")?;
    query.end("queue")?;
    let modes = visit.store().errors(queue.clone(), MODES_SHOWN).await?;
    let f = visit.frame("errors");
    let rows: Vec<ModeRow> = modes.iter().map(|mode| ModeRow::of(&f, mode, visit.now)).collect();
    let is_full = rows.len() == MODES_SHOWN;
    show(&ErrorsPage { queue: queue.map(|queue| queue.to_string()), rows, is_full, f })
}

/// `POST /errors/retry`: the dead jobs of a mode, a thousand at a time.
pub(crate) async fn retry(visit: Visit, fields: Fields) -> Reply {
    let queue = QueueName::new(fields.word("queue"))?;
    let print: Fingerprint = read::value("fingerprint", fields.word("fingerprint"))?;
    let home = format!("{}/errors", visit.base());
    let known = visit.store().errors(Some(queue.clone()), usize::MAX).await?;
    let mode = known.iter().find(|mode| mode.fingerprint == print);
    let (title, all) = mode.map_or((String::new(), 0), |mode| (mode.title.clone(), mode.dead));
    let ids = dead_jobs(&visit, &queue, print).await?;
    if ids.is_empty() {
        let text =
            "No dead job of that failure mode was found: they were retried, deleted or pruned meanwhile.";
        return Ok(back(&visit, &fields, &home, Flash::bad(text)));
    }
    if is_confirmed(&fields) {
        let answers = visit.store().retry(ids, None).await?;
        return Ok(back(&visit, &fields, &home, told(&answers, "retried")));
    }
    let n = words::many(ids.len() as u64, "dead job", "dead jobs");
    let rest = all.saturating_sub(ids.len() as u64);
    let mut means = vec!["Each job becomes ready in its queue, with all its tries."];
    if rest > 0 {
        means.push("One step retries a thousand jobs: come back for those that are left.");
    }
    let back = fields.back().unwrap_or(&home).to_owned();
    ask(
        &visit,
        Question {
            place: "errors",
            title: format!("Retry {n} of queue {queue}?"),
            means,
            items: [(title, format!("failure mode {print}"))]
                .into_iter()
                .chain(ids.iter().take(ITEMS_NAMED - 1).map(|id| (id.to_string(), String::new())))
                .collect(),
            more: ids.len().saturating_sub(ITEMS_NAMED - 1),
            action: format!("{home}/retry"),
            fields: vec![
                ("queue", queue.to_string()),
                ("fingerprint", print.to_string()),
                ("back", back.clone()),
            ],
            button: format!("Retry {n}"),
            is_danger: false,
            back,
        },
    )
}

/// Up to a thousand of them.
async fn dead_jobs(visit: &Visit, queue: &QueueName, print: Fingerprint) -> Result<Vec<JobId>, Wrong> {
    if print == Fingerprint::default() {
        return Err(Fault::bad_request(
            "the failures counted as other are of many modes: retry them from the list of jobs",
        )
        .into());
    }
    let filter = Filter {
        queue: Some(queue.clone()),
        states: vec![State::Dead],
        fingerprint: Some(print),
        ..Filter::default()
    };
    let page = visit.store().list(filter, None, BATCH_ITEMS_MAX, BUDGET).await??;
    Ok(page.items.iter().map(|job| job.id).collect())
}
