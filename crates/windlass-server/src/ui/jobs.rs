//! The list of jobs: one search box in the language of filters, pages by cursor, and buttons for the rows that are ticked.

use askama::Template;
use axum::http::StatusCode;
use windlass_api::filter::{CONDITIONS, FilterShape};
use windlass_core::bounds::LIST_BUDGET_DEFAULT;
use windlass_core::job::JobView;
use windlass_core::store::{Counts, Page};
use windlass_core::{JobId, State, Time};
use windlass_look::Frame;

use super::operations::{self, Offer};
use super::page::{Reply, show_with};
use super::visit::Visit;
use super::words::{self, When};
use crate::count;
use crate::read::Pairs;

/// Jobs of a page.
const JOBS_SHOWN: usize = 50;

/// A job in a table.
pub(crate) struct JobLine {
    pub(crate) id: String,
    pub(crate) short: String,
    pub(crate) at: String,
    pub(crate) state: &'static str,
    pub(crate) kind: String,
    pub(crate) queue: String,
    pub(crate) queue_at: String,
    pub(crate) group: Option<(String, String)>,
    pub(crate) attempt: u32,
    pub(crate) since: When,
    pub(crate) since_word: &'static str,
    /// Why it ended, in a word.
    pub(crate) cause: Option<&'static str>,
    pub(crate) error: Option<String>,
}

impl JobLine {
    pub(crate) fn of(f: &Frame, view: &JobView, now: Time) -> Self {
        let group = |key: &windlass_core::GroupKey| {
            (key.to_string(), f.jobs(&[("queue", view.queue.as_str()), ("group", key.as_str())]))
        };
        Self {
            id: view.id.to_string(),
            short: words::short(view.id),
            at: f.job(view.id),
            state: view.state.as_str(),
            kind: view.kind.to_string(),
            queue: view.queue.to_string(),
            queue_at: f.queue(&view.queue),
            group: view.group.as_ref().map(group),
            attempt: view.attempt,
            since: words::when(view.since, now),
            since_word: since_word(view.state),
            cause: view.cause.map(windlass_core::event::Cause::as_str).filter(|_| view.state.is_terminal()),
            error: view.last_error.clone(),
        }
    }
}

/// What the time of a state is.
pub(crate) fn since_word(state: State) -> &'static str {
    match state {
        State::Scheduled | State::Retrying => "due",
        State::Ready => "ready since",
        State::Running => "started",
        State::Blocked => "blocked since",
        State::Completed | State::Dead | State::Cancelled => "ended",
    }
}

/// A state as a switch of the filter.
struct Chip {
    state: &'static str,
    count: Option<String>,
    at: String,
    is_on: bool,
}

#[derive(Template)]
#[template(path = "jobs.html")]
struct JobsPage {
    f: Frame,
    filter: String,
    fault: Option<String>,
    chips: Vec<Chip>,
    rows: Vec<JobLine>,
    conditions: [(&'static str, &'static str); 11],
    /// Whether the page shows what comes after a cursor.
    first: Option<String>,
    next: Option<String>,
    examined: String,
    /// Whether the page is not full because the search stopped to look.
    stopped: bool,
    /// What can be done to one of those shown, at least: the button's value, its label, whether it destroys.
    acts: Vec<(&'static str, &'static str, bool)>,
    /// What can be done to all jobs that the filter means.
    offers: Vec<Offer>,
}

/// The buttons for ticked jobs that one of these jobs allows.
fn acts(jobs: &[JobView]) -> Vec<(&'static str, &'static str, bool)> {
    let any = |allows: fn(State) -> bool| jobs.iter().any(|job| allows(job.state));
    let all = [
        (any(State::is_terminal), ("retry", "Retry", false)),
        (any(|state| matches!(state, State::Scheduled | State::Retrying)), ("run-now", "Run now", false)),
        (any(|state| !state.is_terminal()), ("cancel", "Cancel…", false)),
        (any(|state| state != State::Running), ("delete", "Delete…", true)),
    ];
    all.into_iter().filter_map(|(may, act)| may.then_some(act)).collect()
}

/// `GET /jobs`.
pub(crate) async fn page(visit: Visit, mut query: Pairs) -> Reply {
    let (filter, cursor) = (query.take("filter")?.unwrap_or_default(), query.take("cursor")?);
    query.end("filter and cursor")?;
    let filter = filter.trim().to_owned();
    // Somebody who has an id has it from a log, and wants that job.
    if let Ok(id) = filter.parse::<JobId>() {
        return Ok(visit.go(&visit.frame("jobs").job(id), None));
    }
    let mut shape = FilterShape::default();
    let meant = shape.add(&filter).and_then(|()| shape.filter(visit.now));
    let (page, fault) = match meant {
        Ok(meant) => {
            let list = visit.store().list(meant, cursor.clone(), JOBS_SHOWN, LIST_BUDGET_DEFAULT).await?;
            match list {
                Ok(page) => (page, None),
                Err(refused) => (Page::default(), Some(refused.to_string())),
            }
        }
        Err(why) => (Page::default(), Some(why)),
    };
    let counts = count::by_state(&visit.app, &shape).await?;
    let f = visit.frame("jobs");
    let status = if fault.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let view = JobsPage {
        chips: chips(&f, &shape, counts.as_ref()),
        rows: page.items.iter().map(|job| JobLine::of(&f, job, visit.now)).collect(),
        conditions: CONDITIONS,
        first: cursor.is_some().then(|| words::jobs_at(&f.base, &filter)),
        next: page
            .next
            .as_ref()
            .map(|next| format!("{}&cursor={}", words::jobs_at(&f.base, &filter), words::part(next))),
        examined: words::many(page.examined as u64, "job", "jobs"),
        stopped: page.next.is_some() && page.items.len() < JOBS_SHOWN,
        acts: acts(&page.items),
        offers: if fault.is_none() { operations::offers(&f, &shape) } else { Vec::new() },
        filter,
        fault,
        f,
    };
    show_with(status, &view)
}

/// A switch for each state: the filter with that state in it, or without.
fn chips(f: &Frame, shape: &FilterShape, counts: Option<&Counts>) -> Vec<Chip> {
    let text = shape.state.clone().unwrap_or_default();
    let on: Vec<&str> = text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    State::ALL
        .into_iter()
        .map(|state| {
            let (word, is_on) = (state.as_str(), on.contains(&state.as_str()));
            let others = on.iter().copied().filter(|other| *other != word);
            let states: Vec<&str> = others.chain((!is_on).then_some(word)).collect();
            let state_field = (!states.is_empty()).then(|| states.join(","));
            let changed = FilterShape { state: state_field, ..shape.clone() };
            Chip {
                state: word,
                count: counts.map(|counts| words::count(counts.of(state))),
                at: words::jobs_at(&f.base, &spelled(&changed)),
                is_on,
            }
        })
        .collect()
}

/// The text of a filter's fields.
pub(crate) fn spelled(shape: &FilterShape) -> String {
    let fields = [
        ("queue", &shape.queue),
        ("state", &shape.state),
        ("group", &shape.group),
        ("kind", &shape.kind),
        ("fingerprint", &shape.fingerprint),
        ("tag", &shape.tag),
        ("after", &shape.after),
        ("before", &shape.before),
        ("error", &shape.error),
        ("payload", &shape.payload),
        ("id", &shape.id),
    ];
    let spelled =
        fields.into_iter().filter_map(|(name, value)| Some(words::condition(name, value.as_deref()?)));
    spelled.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_read_back_from_its_text() {
        let text = r#"queue:email state:dead,retrying group:"a b" error:"timed \"out\" c:\\x" after:1h payload:{"x":1}"#;
        let mut shape = FilterShape::default();
        shape.add(text).expect("a filter");
        let mut again = FilterShape::default();
        again.add(&spelled(&shape)).expect("its own text");
        assert_eq!(again, shape);
        // Every condition there is has its place in the text.
        let all: Vec<String> = CONDITIONS.iter().map(|(name, _)| format!("{name}:x")).collect();
        let mut shape = FilterShape::default();
        shape.add(&all.join(" ")).expect("a filter");
        assert_eq!(spelled(&shape), all.join(" "));
    }
}
