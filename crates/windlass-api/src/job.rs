//! Jobs: in a list, by themselves, and why one is not running.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use windlass_core::event::Cause;
use windlass_core::fingerprint::Fingerprint;
use windlass_core::job::{AttemptRecord, ErrorReport, JobBody, JobDetail, JobView, Parent, Progress, Unique};
use windlass_core::limit::LimitUse;
use windlass_core::name::Tag;
use windlass_core::retry::RetryPolicy;
use windlass_core::why::{Reason, Why};
use windlass_core::{GroupKey, JobId, Kind, QueueName, State, Time, WorkerId};

use crate::payload::{self, Encoding};
use crate::work::worker;

/// A job in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JobRow {
    /// Identity.
    pub id: JobId,
    /// Where it stands.
    pub state: State,
    /// Its queue.
    pub queue: QueueName,
    /// Its kind.
    pub kind: Kind,
    /// Its group.
    pub group: Option<GroupKey>,
    /// Its priority.
    pub priority: i8,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Attempts so far, over all generations.
    pub attempt: u32,
    /// Failures of this generation.
    pub failures: u32,
    /// Losses of this generation.
    pub losses: u32,
    /// Snoozes of this generation.
    pub snoozes: u32,
    /// When it was enqueued.
    #[serde(with = "crate::time")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Instant"))]
    pub enqueued_at: Time,
    /// Due time, time of becoming ready, start, or end, by state.
    #[serde(with = "crate::time")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Instant"))]
    pub since: Time,
    /// The last error's first line.
    pub last_error: Option<String>,
    /// The last error's failure mode.
    pub fingerprint: Option<Fingerprint>,
    /// Why it ended, when it did not complete.
    pub cause: Option<Cause>,
}

impl From<JobView> for JobRow {
    fn from(view: JobView) -> Self {
        Self {
            id: view.id,
            state: view.state,
            queue: view.queue,
            kind: view.kind,
            group: view.group,
            priority: view.priority,
            tags: view.tags,
            attempt: view.attempt,
            failures: view.failures,
            losses: view.losses,
            snoozes: view.snoozes,
            enqueued_at: view.enqueued_at,
            since: view.since,
            last_error: view.last_error,
            fingerprint: view.fingerprint,
            cause: view.cause,
        }
    }
}

impl From<JobRow> for JobView {
    fn from(row: JobRow) -> Self {
        Self {
            id: row.id,
            state: row.state,
            queue: row.queue,
            kind: row.kind,
            group: row.group,
            priority: row.priority,
            tags: row.tags,
            attempt: row.attempt,
            failures: row.failures,
            losses: row.losses,
            snoozes: row.snoozes,
            enqueued_at: row.enqueued_at,
            since: row.since,
            last_error: row.last_error,
            fingerprint: row.fingerprint,
            cause: row.cause,
        }
    }
}

/// One attempt of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AttemptShape {
    /// Which attempt.
    pub attempt: u32,
    /// Who held it.
    #[serde(with = "worker")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::WorkerText"))]
    pub worker: WorkerId,
    /// When it was claimed.
    #[serde(with = "crate::time")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Instant"))]
    pub started_at: Time,
    /// When it ended; null while it runs.
    #[serde(with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub ended_at: Option<Time>,
    /// How it ended: the event's word.
    pub outcome: String,
    /// With what error, if with one.
    pub error: Option<ErrorReport>,
}

impl From<AttemptRecord> for AttemptShape {
    fn from(attempt: AttemptRecord) -> Self {
        let AttemptRecord { attempt, worker, started_at, ended_at, outcome, error } = attempt;
        Self { attempt, worker, started_at, ended_at, outcome, error }
    }
}

impl From<AttemptShape> for AttemptRecord {
    fn from(attempt: AttemptShape) -> Self {
        let AttemptShape { attempt, worker, started_at, ended_at, outcome, error } = attempt;
        Self { attempt, worker, started_at, ended_at, outcome, error }
    }
}

/// Everything about one job: its row, and the rest.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JobRecord {
    /// What a list shows.
    #[serde(flatten)]
    pub row: JobRow,
    /// What only the job itself shows.
    #[serde(flatten)]
    pub rest: JobRest,
}

/// What a list does not show of a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JobRest {
    /// The payload as it was enqueued or last edited.
    pub payload: Box<RawValue>,
    /// How to read the payload: `json`, `text` or `base64`.
    pub payload_encoding: Encoding,
    /// The result, if it completed with one and it is still kept.
    #[serde(default, deserialize_with = "payload::present_owned")]
    pub result: Option<Box<RawValue>>,
    /// How to read the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_encoding: Option<Encoding>,
    /// The checkpoint for the next attempt.
    #[serde(default, deserialize_with = "payload::present_owned")]
    pub checkpoint: Option<Box<RawValue>>,
    /// How to read the checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_encoding: Option<Encoding>,
    /// The newest progress.
    pub progress: Option<Progress>,
    /// Attempts with their errors, oldest first, at most the newest 25.
    pub attempts: Vec<AttemptShape>,
    /// Its unique key, if it brought one.
    pub unique: Option<Unique>,
    /// Named limits it takes.
    pub limits: Vec<LimitUse>,
    /// Jobs it waits or waited for.
    pub parents: Vec<Parent>,
    /// Jobs that wait for it.
    pub children: Vec<JobId>,
    /// Its own retry policy.
    pub retry: Option<RetryPolicy>,
    /// When it is cancelled if it has not started.
    #[serde(with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub expires_at: Option<Time>,
    /// How long one attempt may take.
    pub timeout_ms: Option<u64>,
    /// Trace context of its enqueuer.
    pub trace: Option<String>,
    /// Whether its running attempt was asked to stop.
    pub cancel_requested: bool,
    /// Who holds it, while it runs.
    #[serde(with = "worker::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::WorkerText>"))]
    pub worker: Option<WorkerId>,
    /// Until when it is held.
    #[serde(with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub deadline: Option<Time>,
}

impl<'de> Deserialize<'de> for JobRecord {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        // Raw values cannot be read through a flattened struct, so each half reads the whole by itself.
        let raw = Box::<RawValue>::deserialize(from)?;
        let row = serde_json::from_str(raw.get()).map_err(D::Error::custom)?;
        let rest = serde_json::from_str(raw.get()).map_err(D::Error::custom)?;
        Ok(Self { row, rest })
    }
}

impl From<JobDetail> for JobRecord {
    fn from(job: JobDetail) -> Self {
        let (payload, payload_encoding) = payload::show(&job.payload);
        let (result, result_encoding) = payload::show_some(job.result.as_deref());
        let (checkpoint, checkpoint_encoding) = payload::show_some(job.checkpoint.as_deref());
        let rest = JobRest {
            payload: payload.into_owned(),
            payload_encoding,
            result: result.map(Cow::into_owned),
            result_encoding,
            checkpoint: checkpoint.map(Cow::into_owned),
            checkpoint_encoding,
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
            worker: job.worker,
            deadline: job.deadline,
        };
        Self { row: job.view.into(), rest }
    }
}

impl TryFrom<JobRecord> for JobDetail {
    type Error = String;

    fn try_from(record: JobRecord) -> Result<Self, String> {
        let rest = record.rest;
        Ok(Self {
            view: record.row.into(),
            payload: payload::read(&rest.payload, rest.payload_encoding)?,
            result: payload::read_some(rest.result.as_deref(), rest.result_encoding)?,
            checkpoint: payload::read_some(rest.checkpoint.as_deref(), rest.checkpoint_encoding)?,
            progress: rest.progress,
            attempts: rest.attempts.into_iter().map(AttemptRecord::from).collect(),
            unique: rest.unique,
            limits: rest.limits,
            parents: rest.parents,
            children: rest.children,
            retry: rest.retry,
            expires_at: rest.expires_at,
            timeout_ms: rest.timeout_ms,
            trace: rest.trace,
            cancel_requested: rest.cancel_requested,
            worker: rest.worker,
            deadline: rest.deadline,
        })
    }
}

/// What a job brings to its handler.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BodyShape {
    /// Its payload.
    pub payload: Box<RawValue>,
    /// How to read the payload.
    pub payload_encoding: Encoding,
    /// Its priority.
    pub priority: i8,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Trace context of its enqueuer.
    pub trace: Option<String>,
}

impl From<JobBody> for BodyShape {
    fn from(body: JobBody) -> Self {
        let (payload, payload_encoding) = payload::show(&body.payload);
        let payload = payload.into_owned();
        Self { payload, payload_encoding, priority: body.priority, tags: body.tags, trace: body.trace }
    }
}

impl TryFrom<BodyShape> for JobBody {
    type Error = String;

    fn try_from(body: BodyShape) -> Result<Self, String> {
        let payload = payload::read(&body.payload, body.payload_encoding)?;
        Ok(Self { payload, priority: body.priority, tags: body.tags, trace: body.trace })
    }
}

/// Why a job is not running.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WhyRecord {
    /// The job.
    pub id: JobId,
    /// The reason's word.
    pub reason: Reason,
    /// What it is about, in a sentence.
    pub detail: String,
    /// When it may change, where that is known.
    #[serde(with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub eta: Option<Time>,
    /// Jobs before it in its own group, an upper bound.
    pub ahead: Option<u64>,
}

impl WhyRecord {
    /// The answer about that job.
    pub fn new(id: JobId, why: Why) -> Self {
        Self { id, reason: why.reason, detail: why.detail, eta: why.eta, ahead: why.ahead }
    }
}

impl From<WhyRecord> for Why {
    fn from(record: WhyRecord) -> Self {
        Self { reason: record.reason, detail: record.detail, eta: record.eta, ahead: record.ahead }
    }
}
