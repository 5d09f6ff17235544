//! The attempts of a job, the newest first, and the log of one of them.

use askama::Template;
use axum::extract::Path;
use windlass_core::Time;
use windlass_core::job::JobDetail;
use windlass_look::Frame;

use super::super::page::{Reply, show};
use super::super::visit::Visit;
use super::super::words::{self, When};
use super::{alike, find};
use crate::read::{self, job_id};

/// One attempt.
pub(crate) struct AttemptRow {
    pub(crate) attempt: u32,
    pub(crate) worker: String,
    pub(crate) started: When,
    /// From the end of the attempt before, or from the enqueue.
    pub(crate) waited: String,
    pub(crate) ran: String,
    /// The event's word.
    pub(crate) outcome: String,
    /// The state whose icon and colour the outcome has.
    pub(crate) icon: &'static str,
    pub(crate) class: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) detail: Option<String>,
    pub(crate) mode: Option<String>,
    pub(crate) log: String,
}

/// The rows of the attempts that are kept.
pub(crate) fn rows(f: &Frame, job: &JobDetail, now: Time) -> Vec<AttemptRow> {
    let mut before = job.view.enqueued_at;
    let mut rows = Vec::with_capacity(job.attempts.len());
    for attempt in &job.attempts {
        let error = attempt.error.as_ref();
        rows.push(AttemptRow {
            attempt: attempt.attempt,
            worker: attempt.worker.to_string(),
            started: words::when(attempt.started_at, now),
            waited: words::span(attempt.started_at.since(before)),
            ran: words::span(attempt.ended_at.unwrap_or(now).since(attempt.started_at)),
            outcome: attempt.outcome.clone(),
            icon: icon(&attempt.outcome),
            class: error.and_then(|error| error.class.clone()),
            message: error.map(|error| error.message.clone()),
            detail: error.and_then(|error| error.detail.clone()),
            mode: error.map(|error| alike(f, job, error.fingerprint)),
            log: format!("{}/attempts/{}/log", f.job(job.view.id), attempt.attempt),
        });
        before = attempt.ended_at.unwrap_or(now);
    }
    rows.reverse();
    rows
}

fn icon(outcome: &str) -> &'static str {
    match outcome {
        "completed" => "completed",
        "failed" | "lost" => "retrying",
        "died" => "dead",
        "running" => "running",
        "cancelled" => "cancelled",
        _ => "scheduled",
    }
}

#[derive(Template)]
#[template(path = "log.html")]
struct LogPage {
    f: Frame,
    id: String,
    at: String,
    attempt: u32,
    is_running: bool,
    log: String,
    older: Option<String>,
    newer: Option<String>,
}

/// `GET /jobs/{id}/attempts/{attempt}/log`: what the attempt wrote.
pub(crate) async fn log(visit: Visit, Path((id, attempt)): Path<(String, String)>) -> Reply {
    let (id, attempt): (_, u32) = (job_id(&id)?, read::value("attempt", &attempt)?);
    let job = find(&visit, id).await?;
    let log = visit.store().logs(id, attempt).await??;
    let mut f = visit.frame("jobs");
    let is_running = job.worker.is_some() && job.view.attempt == attempt;
    f.every = if is_running { 2 } else { 0 };
    let other = |attempt: u32| format!("{}/attempts/{attempt}/log", f.job(id));
    show(&LogPage {
        id: id.to_string(),
        at: f.job(id),
        attempt,
        is_running,
        log,
        older: (attempt > 1).then(|| other(attempt - 1)),
        newer: (attempt < job.view.attempt).then(|| other(attempt + 1)),
        f,
    })
}
