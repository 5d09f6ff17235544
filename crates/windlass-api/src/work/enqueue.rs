//! A job as it is asked for, and what became of it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use windlass_core::job::Unique;
use windlass_core::name::{Tag, UniqueKey};
use windlass_core::store::{EnqueueStatus, Enqueued};
use windlass_core::{GroupKey, JobId, Kind, NewJob, QueueName, Rejection, State, Time};

use super::invalid;
use crate::page::ItemAnswer;
use crate::payload::{self, Encoding};
use crate::spell::{option, retry, span};

/// A job as it is asked for. Only queue and kind must be said, and where the address names the queue, not even those:
/// a job's kind is its queue's name unless it has another.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct JobRequest<'a> {
    /// Its queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueName>,
    /// Its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Its payload; `{}` when left out.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "crate::payload::present")]
    pub payload: Option<Cow<'a, RawValue>>,
    /// How to read the payload: `json` unless said.
    #[serde(skip_serializing_if = "Encoding::is_json")]
    pub payload_encoding: Encoding,
    /// Its id (a UUID): the same id sent twice is one job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<JobId>,
    /// The group that it shares its queue in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupKey>,
    /// -9 to 9, higher first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = -9, max = 9)))]
    pub priority: Option<i8>,
    /// Not before that long from now (`10m`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Span>"))]
    pub delay: Option<Cow<'a, str>>,
    /// Not before that time (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub run_at: Option<Cow<'a, str>>,
    /// Cancelled if it has not started that long from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Span>"))]
    pub expires_in: Option<Cow<'a, str>>,
    /// Cancelled if it has not started by that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub expires_at: Option<Cow<'a, str>>,
    /// How long one attempt may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Span>"))]
    pub timeout: Option<Cow<'a, str>>,
    /// At most one live job with this key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique: Option<UniqueKey>,
    /// Keep the key for a span (`1h`) or `until-start`; while the job is live unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::UniqueText>"))]
    pub unique_for: Option<Cow<'a, str>>,
    /// What to do when the key is taken: `existing`, `replace`, `reschedule` or `refuse`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::ConflictText>"))]
    pub on_conflict: Option<Cow<'a, str>>,
    /// Named limits that it takes when it starts: `NAME` or `NAME=COST`, up to four.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<Vec<crate::schema::LimitText>>", length(max = 4))
    )]
    pub limits: Option<Vec<Cow<'a, str>>>,
    /// Jobs that it waits for: `ID` (has completed) or `ID=always` (has ended, however).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<Vec<crate::schema::ParentText>>", length(max = 1000))
    )]
    pub after: Option<Vec<Cow<'a, str>>>,
    /// For people and filters, up to eight.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = 8)))]
    pub tags: Option<Vec<Tag>>,
    /// Failures at which it is dead, with the default delays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_failures: Option<u32>,
    /// Its own retry policy: `exponential(base=5s,cap=30m,max=12)`, `fixed(10s,max=5)`, `list(1s,10s)`, `never`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::RetryText>"))]
    pub retry: Option<Cow<'a, str>>,
    /// W3C trace context of its enqueuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Cow<'a, str>>,
}

/// Payload of a job that brings none: an object, because most kinds decode one.
pub const EMPTY_PAYLOAD: &[u8] = b"{}";

impl<'a> JobRequest<'a> {
    /// How a job is asked for over the wire, so that [`JobRequest::job`] makes the same job of it.
    pub fn of(job: &'a NewJob) -> Self {
        let (payload, payload_encoding) = payload::show(&job.payload);
        let text = |ms: Option<u64>| ms.map(|ms| Cow::Owned(span::exact(ms)));
        let time = |at: Option<Time>| at.map(|at| Cow::Owned(at.to_string()));
        let list =
            |texts: Vec<String>| (!texts.is_empty()).then(|| texts.into_iter().map(Cow::Owned).collect());
        let unique = job.unique.as_ref();
        let (scope, policy) = (unique.map(|unique| unique.scope), unique.map(|unique| unique.on_conflict));
        Self {
            queue: Some(job.queue.clone()),
            kind: Some(job.kind.clone()),
            payload: Some(payload),
            payload_encoding,
            id: Some(job.id),
            group: job.group.clone(),
            priority: (job.priority != 0).then_some(job.priority),
            delay: text(job.delay_ms),
            run_at: time(job.run_at),
            expires_in: None,
            expires_at: time(job.expires_at),
            timeout: text(job.timeout_ms),
            unique: unique.map(|unique| unique.key.clone()),
            unique_for: scope
                .filter(|scope| *scope != Default::default())
                .map(|scope| option::spell_unique_scope(scope).into()),
            on_conflict: policy
                .filter(|policy| *policy != Default::default())
                .map(|policy| option::spell_on_conflict(policy).into()),
            limits: list(job.limits.iter().map(option::spell_limit_use).collect()),
            after: list(job.parents.iter().map(option::spell_parent).collect()),
            tags: (!job.tags.is_empty()).then(|| job.tags.clone()),
            max_failures: None,
            retry: job.retry.as_ref().map(|policy| retry::spell(policy).into()),
            trace: job.trace.as_deref().map(Cow::Borrowed),
        }
    }

    /// The job that is meant. `id` is taken where it brings none, `now` is what spans count from, and `queue` what the
    /// address says.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] with the field and what is wrong with it.
    pub fn job(self, queue: Option<&QueueName>, id: JobId, now: Time) -> Result<NewJob, Rejection> {
        let read_span = |what, text: Option<Cow<'_, str>>| {
            text.map(|text| span::parse(&text)).transpose().map_err(invalid(what))
        };
        let read_time = |what, text: Option<Cow<'_, str>>| {
            text.map(|text| crate::time::read(&text)).transpose().map_err(invalid(what))
        };
        let named = match (self.queue, queue) {
            (Some(named), Some(queue)) if named != *queue => {
                let why = format!("the address says {queue}, the job says {named}");
                return Err(Rejection::Invalid { what: "queue name", why });
            }
            (named, queue) => named.or_else(|| queue.cloned()),
        };
        let queue = named.ok_or_else(|| invalid("queue name")("the job names no queue".into()))?;
        let kind = match self.kind {
            Some(kind) => kind,
            None => Kind::new(queue.as_str())?,
        };
        let bytes = match &self.payload {
            Some(value) => payload::read(value, self.payload_encoding).map_err(invalid("payload"))?,
            None => EMPTY_PAYLOAD.to_vec(),
        };
        let mut job = NewJob::new(self.id.unwrap_or(id), queue, kind, bytes);
        job.group = self.group;
        job.priority = self.priority.unwrap_or(0);
        job.delay_ms = read_span("delay", self.delay)?;
        job.run_at = read_time("run_at", self.run_at)?;
        job.expires_at =
            match (read_time("expires_at", self.expires_at)?, read_span("expires_at", self.expires_in)?) {
                (Some(_), Some(_)) => {
                    return Err(invalid("expires_at")("expires_at and expires_in exclude each other".into()));
                }
                (at, after) => at.or(after.map(|ms| now.plus_ms(ms))),
            };
        job.timeout_ms = read_span("timeout", self.timeout)?;
        job.unique = match (self.unique, self.unique_for, self.on_conflict) {
            (Some(key), scope, policy) => {
                let scope = scope.map(|text| option::unique_scope(&text)).transpose();
                let policy = policy.map(|text| option::on_conflict(&text)).transpose();
                Some(Unique {
                    key,
                    scope: scope.map_err(invalid("unique key"))?.unwrap_or_default(),
                    on_conflict: policy.map_err(invalid("unique key"))?.unwrap_or_default(),
                })
            }
            (None, None, None) => None,
            _ => return Err(invalid("unique key")("unique_for and on_conflict need unique".into())),
        };
        let limits = self.limits.unwrap_or_default();
        job.limits = limits
            .iter()
            .map(|text| option::limit_use(text))
            .collect::<Result<_, _>>()
            .map_err(invalid("limits"))?;
        let after = self.after.unwrap_or_default();
        job.parents = after
            .iter()
            .map(|text| option::parent(text))
            .collect::<Result<_, _>>()
            .map_err(invalid("parents"))?;
        job.tags = self.tags.unwrap_or_default();
        job.retry = match (self.retry, self.max_failures) {
            (Some(_), Some(_)) => {
                return Err(invalid("retry policy")("retry and max_failures exclude each other".into()));
            }
            (Some(text), None) => Some(retry::read(&text).map_err(invalid("retry policy"))?),
            (None, max) => max.map(retry::with_max_failures),
        };
        job.trace = self.trace.map(Cow::into_owned);
        Ok(job)
    }
}

/// What became of one enqueue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EnqueuedShape {
    /// The job: the new one, or the one that was there.
    pub id: JobId,
    /// `created`, `known`, `existing`, `replaced` or `rescheduled`.
    pub status: EnqueueStatus,
    /// Where that job stands.
    pub state: State,
}

impl From<Enqueued> for EnqueuedShape {
    fn from(enqueued: Enqueued) -> Self {
        Self { id: enqueued.id, status: enqueued.status, state: enqueued.state }
    }
}

impl From<EnqueuedShape> for Enqueued {
    fn from(shape: EnqueuedShape) -> Self {
        Self { id: shape.id, status: shape.status, state: shape.state }
    }
}

/// The answers to a batch, in the order of its items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "ResultsOf{T}"))]
#[serde(bound(deserialize = "T: serde::de::DeserializeOwned"))]
pub struct Results<T> {
    /// One for each item.
    pub results: Vec<ItemAnswer<T>>,
}
