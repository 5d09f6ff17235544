//! One job: where it stands and why it does not run, what became of its attempts, what it brings along, and what can be
//! done with it.

mod attempts;
mod curl;
mod edit;
mod flow;

use askama::Template;
use axum::extract::Path;
use windlass_api::spell::{option, retry};
use windlass_core::fingerprint::Fingerprint;
use windlass_core::job::JobDetail;
use windlass_core::why::Why;
use windlass_core::{JobId, State, Time};

use self::attempts::AttemptRow;
use self::flow::Relatives;
use super::bulk::Act;
use super::json::Shown;
use super::page::{Reply, Wrong, show};
use super::visit::Visit;
use super::words::{self, When};
use crate::answer::Fault;
use crate::read::job_id;
use windlass_look::Frame;

pub(crate) use attempts::log;
pub(crate) use edit::{form, save};

/// Bytes of the newest log that the page shows: its last two or three screens.
const LOG_BYTES_SHOWN: usize = 16 << 10;

/// Bytes with their name.
struct Bytes {
    id: &'static str,
    label: &'static str,
    shown: Shown,
}

/// Why the job stands where it stands.
struct WhyView {
    /// The reason's word.
    reason: &'static str,
    detail: String,
    eta: Option<When>,
    ahead: Option<String>,
}

/// How far a handler says it is.
struct ProgressView {
    percent: u8,
    message: Option<String>,
}

/// An option: name, value, and where the value leads.
struct OptionRow {
    label: &'static str,
    value: String,
    at: Option<String>,
}

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    f: Frame,
    id: String,
    at: String,
    state: &'static str,
    kind: String,
    queue: String,
    queue_at: String,
    group: Option<(String, String)>,
    /// What applications beside have of it: a word and an address.
    beside: Vec<(String, String)>,
    since: When,
    since_word: &'static str,
    enqueued: When,
    cancel_requested: bool,
    holder: Option<(String, When)>,
    why: Option<WhyView>,
    cause: Option<&'static str>,
    error: Option<String>,
    mode: Option<String>,
    progress: Option<ProgressView>,
    acts: Vec<Act>,
    may_edit: bool,
    edit_label: &'static str,
    counters: Vec<(&'static str, String)>,
    attempts: Vec<AttemptRow>,
    unlisted: u32,
    newest: u32,
    newest_log: String,
    log_is_cut: bool,
    bytes: Vec<Bytes>,
    options: Vec<OptionRow>,
    tags: Vec<(String, String)>,
    /// Those it waits for, and those that wait for it, under their names; without those that there are none of.
    flow: Vec<(&'static str, Relatives)>,
    curl: Vec<(&'static str, String)>,
}

/// Reads a job, or says that it is not known.
async fn find(visit: &Visit, id: JobId) -> Result<JobDetail, Wrong> {
    let hint = "it was deleted, or retention removed it; the archive keeps jobs for longer, if there is one";
    visit.store().get(id).await?.ok_or_else(|| Fault::not_found(format!("job {id}")).hint(hint).into())
}

/// `GET /jobs/{id}`.
pub(crate) async fn page(visit: Visit, Path(id): Path<String>) -> Reply {
    let id = job_id(&id)?;
    let job = find(&visit, id).await?;
    let state = job.view.state;
    let mut why = if state.is_terminal() { None } else { visit.store().why(id, None).await?.ok() };
    if let Some(why) = &mut why {
        visit.app.options().push.explain(why, &job.view.queue, visit.now);
    }
    let whole_log = visit.store().logs(id, job.view.attempt).await?.unwrap_or_default();
    let newest_log = end_of(&whole_log).to_owned();
    let mut f = visit.frame("jobs");
    // Progress, logs and heartbeats are no events.
    f.every = if state == State::Running { 2 } else { 10 };
    let (parents, children) = tokio::try_join!(
        Relatives::parents(&visit, &f, &job.parents),
        Relatives::children(&visit, &f, &job.children),
    )?;
    let flow = [("Waits for", parents), ("Waited for by", children)];
    let attempts = attempts::rows(&f, &job, visit.now);
    let page = JobPage {
        at: f.job(id),
        id: id.to_string(),
        state: state.as_str(),
        kind: job.view.kind.to_string(),
        queue: job.view.queue.to_string(),
        queue_at: f.queue(&job.view.queue),
        group: job.view.group.as_ref().map(|key| {
            (key.to_string(), f.jobs(&[("queue", job.view.queue.as_str()), ("group", key.as_str())]))
        }),
        beside: visit.beside(&f, job.view.kind.as_str(), &job.payload),
        since: words::when(job.view.since, visit.now),
        since_word: super::jobs::since_word(state),
        enqueued: words::when(job.view.enqueued_at, visit.now),
        cancel_requested: job.cancel_requested,
        holder: job
            .worker
            .map(|worker| (worker.to_string(), words::when(job.deadline.unwrap_or(visit.now), visit.now))),
        error: job.view.last_error.clone().filter(|error| !says(&why, error)),
        why: why.map(|why| why_view(why, visit.now)),
        cause: job.view.cause.map(windlass_core::event::Cause::as_str),
        mode: job.view.fingerprint.map(|print| alike(&f, &job, print)),
        // What an attempt said that has ended is no progress any more.
        progress: job
            .progress
            .clone()
            .filter(|_| state == State::Running)
            .map(|said| ProgressView { percent: said.percent.min(100), message: said.message }),
        acts: acts(state),
        may_edit: state != State::Running,
        edit_label: match state {
            State::Completed => "Edit a copy",
            State::Dead | State::Cancelled => "Edit and retry",
            _ => "Edit",
        },
        counters: counters(&job),
        unlisted: job.view.attempt.saturating_sub(attempts.len() as u32),
        attempts,
        newest: job.view.attempt,
        log_is_cut: newest_log.len() < whole_log.len(),
        newest_log,
        bytes: bytes(&job),
        options: options(&f, &job, visit.now),
        tags: job.view.tags.iter().map(|tag| (tag.to_string(), f.jobs(&[("tag", tag.as_str())]))).collect(),
        flow: flow.into_iter().filter(|(_, all)| all.all > 0).collect(),
        curl: curl::lines(&visit.app, &f.server, &job),
        f,
    };
    show(&page)
}

/// The jobs of its queue that failed the same way and are not done: in those states they are found at once.
fn alike(f: &Frame, job: &JobDetail, print: Fingerprint) -> String {
    let (queue, print) = (job.view.queue.as_str(), print.to_string());
    f.jobs(&[("queue", queue), ("state", "dead,retrying"), ("fingerprint", &print)])
}

/// Whether why it does not run is said with the error itself.
fn says(why: &Option<Why>, error: &str) -> bool {
    why.as_ref().is_some_and(|why| why.detail.contains(error))
}

fn why_view(why: Why, now: Time) -> WhyView {
    WhyView {
        reason: why.reason.as_str(),
        detail: why.detail,
        eta: words::some_when(why.eta, now),
        ahead: why
            .ahead
            .map(|n| words::many(n, "job of its group is before it", "jobs of its group are before it")),
    }
}

/// The last lines of a log.
fn end_of(log: &str) -> &str {
    if log.len() <= LOG_BYTES_SHOWN {
        return log;
    }
    let mut from = log.len() - LOG_BYTES_SHOWN;
    while !log.is_char_boundary(from) {
        from += 1;
    }
    let end = &log[from..];
    // A line of which only the end is left says less than it seems to.
    end.split_once('\n').map_or(end, |(_, whole)| whole)
}

/// What its state allows.
fn acts(state: State) -> Vec<Act> {
    match state {
        State::Scheduled | State::Retrying => vec![Act::RunNow, Act::Cancel, Act::Delete],
        State::Ready | State::Blocked => vec![Act::Cancel, Act::Delete],
        State::Running => vec![Act::Cancel],
        State::Completed | State::Dead | State::Cancelled => vec![Act::Retry, Act::Delete],
    }
}

/// What is counted of this generation.
fn counters(job: &JobDetail) -> Vec<(&'static str, String)> {
    let number = |n: u32| words::count(u64::from(n));
    vec![
        ("Attempts", number(job.view.attempt)),
        ("Failures", number(job.view.failures)),
        ("Losses", number(job.view.losses)),
        ("Snoozes", number(job.view.snoozes)),
        ("Priority", job.view.priority.to_string()),
    ]
}

fn bytes(job: &JobDetail) -> Vec<Bytes> {
    let some =
        |id, label, bytes: Option<&Vec<u8>>| bytes.map(|bytes| Bytes { id, label, shown: Shown::of(bytes) });
    [
        some("payload", "Payload", Some(&job.payload)),
        some("result", "Result", job.result.as_ref()),
        some("checkpoint", "Checkpoint", job.checkpoint.as_ref()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn options(f: &Frame, job: &JobDetail, now: Time) -> Vec<OptionRow> {
    let plain = |label, value| OptionRow { label, value, at: None };
    let mut all = Vec::new();
    if let Some(unique) = &job.unique {
        let (scope, conflict) =
            (option::spell_unique_scope(unique.scope), option::spell_on_conflict(unique.on_conflict));
        all.push(plain("Unique key", format!("{} ({scope}, {conflict})", unique.key)));
    }
    for limit in &job.limits {
        let at = Some(format!("{}/limits", f.base));
        all.push(OptionRow { label: "Limit", value: option::spell_limit_use(limit), at });
    }
    let retry = job.retry.as_ref().map_or_else(|| "the queue's".to_owned(), retry::spell);
    all.push(plain("Retry policy", retry));
    all.extend(job.expires_at.map(|at| plain("Expires", format!("{} ({})", at, words::when(at, now).said))));
    all.extend(job.timeout_ms.map(|ms| plain("Timeout of an attempt", words::span(ms))));
    all.extend(job.trace.clone().map(|trace| plain("Trace", trace)));
    all
}
