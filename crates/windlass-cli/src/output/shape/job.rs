//! Jobs: in a list, by themselves, and why one is not running.

use serde::Serialize;
use windlass_core::fingerprint::Fingerprint;
use windlass_core::job::{
    AttemptRecord, JobDetail, JobView, OnParent, Parent, Progress, Unique, UniqueScope,
};
use windlass_core::limit::LimitUse;
use windlass_core::retry::RetryPolicy;
use windlass_core::why::Why;
use windlass_core::{JobId, Time};

use super::{joined, or_dash, push_some, rfc3339, rfc3339_or_null, time_cell, time_field};
use crate::output::table::{self, Column};
use crate::output::{Record, Row};
use crate::values::payload::Shown;
use crate::values::{retry, span};

/// A job in a list.
#[derive(Debug, Serialize)]
pub(crate) struct JobRow {
    id: JobId,
    state: &'static str,
    queue: String,
    kind: String,
    group: Option<String>,
    priority: i8,
    tags: Vec<String>,
    attempt: u32,
    failures: u32,
    losses: u32,
    snoozes: u32,
    #[serde(serialize_with = "rfc3339")]
    enqueued_at: Time,
    /// Due time, time of becoming ready, start, or end, by state.
    #[serde(serialize_with = "rfc3339")]
    since: Time,
    last_error: Option<String>,
    fingerprint: Option<Fingerprint>,
    cause: Option<String>,
}

impl From<JobView> for JobRow {
    fn from(view: JobView) -> Self {
        Self {
            id: view.id,
            state: view.state.as_str(),
            queue: view.queue.into(),
            kind: view.kind.into(),
            group: view.group.map(String::from),
            priority: view.priority,
            tags: view.tags.into_iter().map(String::from).collect(),
            attempt: view.attempt,
            failures: view.failures,
            losses: view.losses,
            snoozes: view.snoozes,
            enqueued_at: view.enqueued_at,
            since: view.since,
            last_error: view.last_error,
            fingerprint: view.fingerprint,
            cause: view.cause.map(|cause| cause.to_string()),
        }
    }
}

impl Row for JobRow {
    const COLUMNS: &'static [Column] = &[
        table::text("ID"),
        table::text("STATE"),
        table::cut("QUEUE"),
        table::cut("KIND"),
        table::cut("GROUP"),
        table::number("PRI"),
        table::number("TRY"),
        table::text("SINCE"),
        table::cut("ERROR"),
    ];

    fn cells(&self, now: Time, exact: bool) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.state.to_owned(),
            self.queue.clone(),
            self.kind.clone(),
            or_dash(self.group.as_ref()),
            self.priority.to_string(),
            self.attempt.to_string(),
            time_cell(self.since, now, exact),
            or_dash(self.last_error.as_ref()),
        ]
    }
}

/// One attempt of a job.
#[derive(Debug, Serialize)]
struct AttemptShape {
    attempt: u32,
    worker: String,
    #[serde(serialize_with = "rfc3339")]
    started_at: Time,
    #[serde(serialize_with = "rfc3339_or_null")]
    ended_at: Option<Time>,
    outcome: String,
    error: Option<windlass_core::job::ErrorReport>,
}

impl From<AttemptRecord> for AttemptShape {
    fn from(attempt: AttemptRecord) -> Self {
        Self {
            attempt: attempt.attempt,
            worker: attempt.worker.to_string(),
            started_at: attempt.started_at,
            ended_at: attempt.ended_at,
            outcome: attempt.outcome,
            error: attempt.error,
        }
    }
}

impl AttemptShape {
    fn line(&self, now: Time, exact: bool) -> String {
        let took = self.ended_at.map(|end| format!(" after {}", span::rough(end.since(self.started_at))));
        let error = self.error.as_ref().map(|error| match &error.class {
            Some(class) => format!(": {class}: {}", error.message),
            None => format!(": {}", error.message),
        });
        let started = time_cell(self.started_at, now, exact);
        let (took, error) = (took.unwrap_or_default(), error.unwrap_or_default());
        format!("#{} {started} on {}: {}{took}{error}", self.attempt, self.worker, self.outcome)
    }
}

/// Everything about one job.
#[derive(Debug, Serialize)]
pub(crate) struct JobRecord {
    #[serde(flatten)]
    row: JobRow,
    payload: Shown,
    payload_encoding: &'static str,
    result: Option<Shown>,
    checkpoint: Option<Shown>,
    progress: Option<Progress>,
    attempts: Vec<AttemptShape>,
    unique: Option<Unique>,
    limits: Vec<LimitUse>,
    parents: Vec<Parent>,
    children: Vec<JobId>,
    retry: Option<RetryPolicy>,
    #[serde(serialize_with = "rfc3339_or_null")]
    expires_at: Option<Time>,
    timeout_ms: Option<u64>,
    trace: Option<String>,
    cancel_requested: bool,
    worker: Option<String>,
    #[serde(serialize_with = "rfc3339_or_null")]
    deadline: Option<Time>,
}

impl From<JobDetail> for JobRecord {
    fn from(job: JobDetail) -> Self {
        let payload = Shown::new(&job.payload);
        Self {
            row: job.view.into(),
            payload_encoding: payload.encoding(),
            payload,
            result: job.result.as_deref().map(Shown::new),
            checkpoint: job.checkpoint.as_deref().map(Shown::new),
            progress: job.progress,
            attempts: job.attempts.into_iter().map(AttemptShape::from).collect(),
            unique: job.unique,
            limits: job.limits,
            parents: job.parents,
            children: job.children,
            retry: job.retry,
            expires_at: job.expires_at,
            timeout_ms: job.timeout_ms,
            trace: job.trace,
            cancel_requested: job.cancel_requested,
            worker: job.worker.map(|worker| worker.to_string()),
            deadline: job.deadline,
        }
    }
}

impl Record for JobRecord {
    fn fields(&self, now: Time, exact: bool) -> Vec<(&'static str, String)> {
        let row = &self.row;
        let mut fields = vec![
            ("id", row.id.to_string()),
            ("state", row.state.to_owned()),
            ("queue", row.queue.clone()),
            ("kind", row.kind.clone()),
        ];
        push_some(&mut fields, "group", row.group.as_ref());
        push_some(&mut fields, "priority", (row.priority != 0).then_some(row.priority));
        push_some(&mut fields, "tags", joined(&row.tags));
        fields.push(("enqueued", time_field(row.enqueued_at, now, exact)));
        fields.push(("since", time_field(row.since, now, exact)));
        push_some(&mut fields, "expires", self.expires_at.map(|at| time_field(at, now, exact)));
        push_some(&mut fields, "cause", row.cause.as_ref());
        let spent = format!(
            "{} (failures {}, losses {}, snoozes {})",
            row.attempt, row.failures, row.losses, row.snoozes
        );
        fields.push(("attempt", spent));
        push_some(&mut fields, "worker", self.worker.as_ref());
        push_some(&mut fields, "lease until", self.deadline.map(|at| time_field(at, now, exact)));
        push_some(&mut fields, "cancel", self.cancel_requested.then_some("requested"));
        push_some(
            &mut fields,
            "progress",
            self.progress.as_ref().map(|progress| {
                format!("{} % {}", progress.percent, progress.message.as_deref().unwrap_or_default())
            }),
        );
        push_some(&mut fields, "unique", self.unique.as_ref().map(unique_text));
        let limits: Vec<String> =
            self.limits.iter().map(|limit| format!("{}={}", limit.name, limit.cost)).collect();
        push_some(&mut fields, "limits", joined(&limits));
        let parents: Vec<String> = self.parents.iter().map(parent_text).collect();
        push_some(&mut fields, "after", joined(&parents));
        push_some(&mut fields, "children", joined(&self.children));
        push_some(&mut fields, "retry", self.retry.as_ref().map(retry::spell));
        push_some(&mut fields, "timeout", self.timeout_ms.map(span::exact));
        push_some(&mut fields, "trace", self.trace.as_ref());
        fields.push(("payload", self.payload.text()));
        push_some(&mut fields, "result", self.result.as_ref().map(Shown::text));
        push_some(&mut fields, "checkpoint", self.checkpoint.as_ref().map(Shown::text));
        push_some(&mut fields, "fingerprint", row.fingerprint);
        let attempts: Vec<String> = self.attempts.iter().map(|attempt| attempt.line(now, exact)).collect();
        push_some(&mut fields, "attempts", (!attempts.is_empty()).then(|| attempts.join("\n")));
        fields
    }
}

fn unique_text(unique: &Unique) -> String {
    match unique.scope {
        UniqueScope::WhileLive => unique.key.to_string(),
        UniqueScope::UntilStart => format!("{} (until its start)", unique.key),
        UniqueScope::For { ttl_ms } => format!("{} (for {})", unique.key, span::exact(ttl_ms)),
    }
}

fn parent_text(parent: &Parent) -> String {
    match parent.on {
        OnParent::Success => parent.id.to_string(),
        OnParent::Always => format!("{}=always", parent.id),
    }
}

/// Why a job is not running.
#[derive(Debug, Serialize)]
pub(crate) struct WhyRecord {
    id: JobId,
    reason: &'static str,
    detail: String,
    #[serde(serialize_with = "rfc3339_or_null")]
    eta: Option<Time>,
    ahead: Option<u64>,
}

impl WhyRecord {
    pub(crate) fn new(id: JobId, why: Why) -> Self {
        Self { id, reason: why.reason.as_str(), detail: why.detail, eta: why.eta, ahead: why.ahead }
    }
}

impl Record for WhyRecord {
    fn fields(&self, now: Time, exact: bool) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("id", self.id.to_string()),
            ("reason", self.reason.to_owned()),
            ("detail", self.detail.clone()),
        ];
        push_some(&mut fields, "until", self.eta.map(|at| time_field(at, now, exact)));
        push_some(&mut fields, "ahead", self.ahead.map(|ahead| format!("at most {ahead} jobs of its group")));
        fields
    }
}
