//! What producers and workers say and hear: enqueue, claim, settle, heartbeat, report, cancel, watch.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use windlass_core::fingerprint::Fingerprint;
use windlass_core::job::{ErrorReport, Progress, Unique};
use windlass_core::lease::LeaseToken;
use windlass_core::name::{Tag, UniqueKey};
use windlass_core::store::{
    Beat, Cancelled, Claimed, ClaimedJob, Edit, EnqueueStatus, Enqueued, Hold, ReleaseReason, Report, Settle,
    Signal,
};
use windlass_core::{GroupKey, JobId, Kind, Lease, NewJob, QueueName, Rejection, State, Time, WorkerId};

use crate::page::{Done, ItemAnswer, answers};
use crate::payload::{self, Encoding};
use crate::spell::{option, retry, span};

/// A worker's id in JSON: `w-` and 16 hexadecimal digits.
pub mod worker {
    use super::{Cow, Deserialize, Deserializer, Serializer, WorkerId};
    use serde::de::Error;

    /// Reads a worker's id.
    ///
    /// # Errors
    /// A sentence that says what an id looks like.
    pub fn parse(text: &str) -> Result<WorkerId, String> {
        let digits = text.strip_prefix("w-").filter(|digits| digits.len() == 16);
        digits
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .map(WorkerId)
            .ok_or_else(|| format!("{text:?} is not a worker's id: w- and 16 hexadecimal digits"))
    }

    /// The id as text.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(id: &WorkerId, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    /// Reads the text.
    ///
    /// # Errors
    /// What an id looks like.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<WorkerId, D::Error> {
        parse(&Cow::<'de, str>::deserialize(from)?).map_err(D::Error::custom)
    }

    /// An id that may be missing.
    pub mod or_null {
        use super::{Cow, Deserialize, Deserializer, Error, Serializer, WorkerId, parse};

        /// The id as text, or null.
        ///
        /// # Errors
        /// The serializer's.
        pub fn serialize<S: Serializer>(id: &Option<WorkerId>, to: S) -> Result<S::Ok, S::Error> {
            match id {
                Some(id) => to.collect_str(id),
                None => to.serialize_none(),
            }
        }

        /// Reads the text, or null.
        ///
        /// # Errors
        /// What an id looks like.
        pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<WorkerId>, D::Error> {
            let text = Option::<Cow<'de, str>>::deserialize(from)?;
            text.map(|text| parse(&text)).transpose().map_err(D::Error::custom)
        }
    }
}

/// A lease as its holder shows it: opaque to everybody but the store that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseText {
    attempt: u32,
    token: LeaseToken,
}

impl LeaseText {
    /// The text of a lease.
    pub fn of(lease: &Lease) -> Self {
        Self { attempt: lease.attempt, token: lease.token }
    }

    /// The lease of that job.
    pub fn lease(self, job: JobId) -> Lease {
        // A store compares the token; when it runs out is the store's to know.
        Lease { job, attempt: self.attempt, token: self.token, deadline: Time::ZERO }
    }
}

impl std::fmt::Display for LeaseText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:x}.{:x}", self.attempt, self.token.counter, self.token.nonce)
    }
}

impl std::str::FromStr for LeaseText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let mut parts = text.split('.');
            let attempt = parts.next()?.parse().ok()?;
            let mut hex = || u64::from_str_radix(parts.next()?, 16).ok();
            let token = LeaseToken { counter: hex()?, nonce: hex()? };
            parts.next().is_none().then_some(Self { attempt, token })
        };
        read().ok_or_else(|| format!("{text:?} is not a lease: give it back as the claim gave it"))
    }
}

impl Serialize for LeaseText {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LeaseText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A job and the right to work on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// The job.
    pub id: JobId,
    /// The lease that its claim gave.
    pub lease: LeaseText,
}

impl Held {
    /// What a lease says of itself.
    pub fn of(lease: &Lease) -> Self {
        Self { id: lease.job, lease: LeaseText::of(lease) }
    }

    /// The lease.
    pub fn lease(self) -> Lease {
        self.lease.lease(self.id)
    }
}

fn invalid(what: &'static str) -> impl Fn(String) -> Rejection {
    move |why| Rejection::Invalid { what, why }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

// ---- enqueue ----

/// A job as it is asked for. Only queue and kind must be said, and where the address names the queue, not even those:
/// a job's kind is its queue's name unless it has another.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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
    pub priority: Option<i8>,
    /// Not before that long from now (`10m`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Cow<'a, str>>,
    /// Not before that time (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_at: Option<Cow<'a, str>>,
    /// Cancelled if it has not started that long from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<Cow<'a, str>>,
    /// Cancelled if it has not started by that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Cow<'a, str>>,
    /// How long one attempt may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Cow<'a, str>>,
    /// At most one live job with this key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique: Option<UniqueKey>,
    /// Keep the key for a span (`1h`) or `until-start`; while the job is live unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique_for: Option<Cow<'a, str>>,
    /// What to do when the key is taken: `existing`, `replace`, `reschedule` or `refuse`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<Cow<'a, str>>,
    /// Named limits that it takes when it starts: `NAME` or `NAME=COST`, up to four.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Vec<Cow<'a, str>>>,
    /// Jobs that it waits for: `ID` (has completed) or `ID=always` (has ended, however).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Vec<Cow<'a, str>>>,
    /// For people and filters, up to eight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
    /// Failures at which it is dead, with the default delays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_failures: Option<u32>,
    /// Its own retry policy: `exponential(base=5s,cap=30m,max=12)`, `fixed(10s,max=5)`, `list(1s,10s)`, `never`.
    #[serde(skip_serializing_if = "Option::is_none")]
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
#[serde(bound(deserialize = "T: serde::de::DeserializeOwned"))]
pub struct Results<T> {
    /// One for each item.
    pub results: Vec<ItemAnswer<T>>,
}

// ---- claim and settle ----

/// A queue that jobs are wanted of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Want {
    /// As many as the request's `max`.
    Name(QueueName),
    /// That many.
    Some {
        /// The queue.
        queue: QueueName,
        /// At most that many.
        max: u32,
    },
}

/// A worker asks for jobs; what it has finished is settled first, in the same step.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClaimRequest<'a> {
    /// The queues, in the order in which they are preferred.
    pub queues: Vec<Want>,
    /// Jobs at most, where a queue does not say its own number; 1 unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// Who asks; a new id for each request unless said.
    #[serde(with = "worker::or_null", skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// The worker's random number for these leases, in hexadecimal; the server's own unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Cow<'a, str>>,
    /// How long to wait for a first job (`20s`); not at all unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<Cow<'a, str>>,
    /// Settled before anything is claimed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub settle: Vec<Settlement<'a>>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Well.
    Complete,
    /// Not well: tried again by its policy, or dead.
    Fail,
    /// Later; neither failure nor loss.
    Snooze,
    /// Given back; neither failure nor loss.
    Release,
}

/// What went wrong: its message, or more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ErrorShape {
    /// The message alone.
    Message(String),
    /// All of it.
    Report {
        /// The error's type or class.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        class: Option<String>,
        /// What is shown first.
        message: String,
        /// The source chain or backtrace below it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
        /// Which failure mode it belongs to; found out from class and message unless said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fingerprint: Option<Fingerprint>,
    },
}

impl ErrorShape {
    /// The whole of a report.
    pub fn of(error: &ErrorReport) -> Self {
        ErrorShape::Report {
            class: error.class.clone(),
            message: error.message.clone(),
            detail: error.detail.clone(),
            fingerprint: Some(error.fingerprint),
        }
    }

    /// The report, and whether it says its failure mode itself.
    fn report(self) -> (ErrorReport, bool) {
        match self {
            ErrorShape::Message(message) => (ErrorReport { message, ..ErrorReport::default() }, false),
            ErrorShape::Report { class, message, detail, fingerprint } => {
                let said = fingerprint.is_some();
                (ErrorReport { class, message, detail, fingerprint: fingerprint.unwrap_or_default() }, said)
            }
        }
    }
}

/// The end of one attempt. Where the address names the job and the end, they need not be said again.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settlement<'a> {
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<Op>,
    /// The job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<JobId>,
    /// The lease that its claim gave.
    pub lease: LeaseText,
    /// `complete`: kept with the job, at most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::payload::present")]
    pub result: Option<Cow<'a, RawValue>>,
    /// How to read the result: `json` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_encoding: Option<Encoding>,
    /// `complete`: jobs that exist if and only if this completion does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<JobRequest<'a>>,
    /// `fail`: what went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorShape>,
    /// `fail`: the worker's own delay instead of the policy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_in: Option<Cow<'a, str>>,
    /// `fail`: no further try.
    #[serde(default, skip_serializing_if = "is_false")]
    pub fatal: bool,
    /// `snooze`: how much later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Cow<'a, str>>,
    /// `snooze`: in the worker's words; `release`: `shutdown`, `no_handler` or `unstarted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
    /// `snooze`: what else is held back until then: `"queue"`, `"group"` or `{"limit":"NAME"}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<Hold>,
}

/// A settlement as a store takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// The verb and its words.
    pub settle: Settle,
    /// A failure that does not say its mode: whoever knows the job's kind finds it out.
    pub lacks_fingerprint: bool,
}

impl<'a> Settlement<'a> {
    /// How a settlement is said over the wire, so that [`Settlement::settled`] reads the same one.
    pub fn of(settle: &'a Settle) -> Self {
        let lease = settle.lease();
        let mut said = Self {
            op: None,
            id: Some(lease.job),
            lease: LeaseText::of(lease),
            result: None,
            result_encoding: None,
            then: Vec::new(),
            error: None,
            retry_in: None,
            fatal: false,
            delay: None,
            reason: None,
            holds: None,
        };
        match settle {
            Settle::Complete { result, then, .. } => {
                said.op = Some(Op::Complete);
                let (result, encoding) = payload::show_some(result.as_deref());
                said.result_encoding = payload::said(result.as_deref(), encoding);
                said.result = result;
                said.then = then.iter().map(JobRequest::of).collect();
            }
            Settle::Fail { error, retry_in_ms, fatal, .. } => {
                said.op = Some(Op::Fail);
                said.error = Some(ErrorShape::of(error));
                said.retry_in = retry_in_ms.map(|ms| span::exact(ms).into());
                said.fatal = *fatal;
            }
            Settle::Snooze { delay_ms, reason, holds, .. } => {
                said.op = Some(Op::Snooze);
                said.delay = Some(span::exact(*delay_ms).into());
                said.reason = Some(reason.as_str().into());
                said.holds.clone_from(holds);
            }
            Settle::Release { reason, .. } => {
                said.op = Some(Op::Release);
                said.reason = Some(spell_release(*reason).into());
            }
        }
        said
    }

    /// The settlement that is meant. `new_id` makes the ids of follow-ups that bring none, `now` is what their spans
    /// count from.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] with the field and what is wrong with it.
    pub fn settled(self, mut new_id: impl FnMut() -> JobId, now: Time) -> Result<Settled, Rejection> {
        let op = self.op.ok_or_else(|| {
            invalid("settings")("the settlement names no op: complete, fail, snooze or release".into())
        })?;
        let job = self.id.ok_or_else(|| invalid("id")("the settlement names no job".into()))?;
        let lease = self.lease.lease(job);
        let read_span = |what, text: Option<Cow<'_, str>>| {
            text.map(|text| span::parse(&text)).transpose().map_err(invalid(what))
        };
        let mut lacks_fingerprint = false;
        let settle = match op {
            Op::Complete => Settle::Complete {
                lease,
                result: payload::read_some(self.result.as_deref(), self.result_encoding)
                    .map_err(invalid("result"))?,
                then: self
                    .then
                    .into_iter()
                    .map(|job| job.job(None, new_id(), now))
                    .collect::<Result<_, _>>()?,
            },
            Op::Fail => {
                let error =
                    self.error.ok_or_else(|| invalid("error")("a failure says what went wrong".into()))?;
                let (error, says_its_mode) = error.report();
                lacks_fingerprint = !says_its_mode;
                Settle::Fail {
                    lease,
                    error,
                    retry_in_ms: read_span("retry", self.retry_in)?,
                    fatal: self.fatal,
                }
            }
            Op::Snooze => Settle::Snooze {
                lease,
                delay_ms: read_span("delay", self.delay)?
                    .ok_or_else(|| invalid("delay")("a snooze says how much later".into()))?,
                reason: self.reason.map(Cow::into_owned).unwrap_or_default(),
                holds: self.holds,
            },
            Op::Release => Settle::Release {
                lease,
                reason: match self.reason {
                    Some(reason) => release_reason(&reason).map_err(invalid("release"))?,
                    None => ReleaseReason::Unstarted,
                },
            },
        };
        Ok(Settled { settle, lacks_fingerprint })
    }
}

fn spell_release(reason: ReleaseReason) -> &'static str {
    match reason {
        ReleaseReason::Shutdown => "shutdown",
        ReleaseReason::NoHandler => "no_handler",
        ReleaseReason::Unstarted => "unstarted",
    }
}

fn release_reason(text: &str) -> Result<ReleaseReason, String> {
    match text {
        "shutdown" => Ok(ReleaseReason::Shutdown),
        "no_handler" => Ok(ReleaseReason::NoHandler),
        "unstarted" => Ok(ReleaseReason::Unstarted),
        _ => Err(format!("{text:?} is none of shutdown, no_handler, unstarted")),
    }
}

/// A job as its worker gets it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClaimedJobShape<'a> {
    /// The job.
    pub id: JobId,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// What every settlement, heartbeat and report of this attempt shows.
    pub lease: LeaseText,
    /// When the lease runs out by the store's clock, unless a heartbeat moves it.
    #[serde(with = "crate::time")]
    pub deadline: Time,
    /// How long the lease holds from the claim and from each heartbeat.
    pub lease_ms: u64,
    /// Its queue.
    pub queue: QueueName,
    /// Its kind.
    pub kind: Kind,
    /// Its group.
    pub group: Option<GroupKey>,
    /// Its payload.
    pub payload: Cow<'a, RawValue>,
    /// How to read the payload.
    pub payload_encoding: Encoding,
    /// Its priority.
    pub priority: i8,
    /// Failures of this generation before this attempt.
    pub failures: u32,
    /// Losses of this generation before this attempt.
    pub losses: u32,
    /// Snoozes of this generation.
    pub snoozes: u32,
    /// When it was enqueued.
    #[serde(with = "crate::time")]
    pub enqueued_at: Time,
    /// When it last became ready.
    #[serde(with = "crate::time")]
    pub ready_at: Time,
    /// What the last attempt left.
    #[serde(default, deserialize_with = "crate::payload::present")]
    pub checkpoint: Option<Cow<'a, RawValue>>,
    /// How to read the checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_encoding: Option<Encoding>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// How long this attempt may take.
    pub timeout_ms: Option<u64>,
    /// Trace context of its enqueuer.
    pub trace: Option<Cow<'a, str>>,
}

impl<'a> ClaimedJobShape<'a> {
    /// The job as it is told.
    pub fn of(job: &'a ClaimedJob) -> Self {
        let (payload, payload_encoding) = payload::show(&job.payload);
        let (checkpoint, checkpoint_encoding) = payload::show_some(job.checkpoint.as_deref());
        Self {
            id: job.lease.job,
            attempt: job.lease.attempt,
            lease: LeaseText::of(&job.lease),
            deadline: job.lease.deadline,
            lease_ms: job.lease_ms,
            queue: job.queue.clone(),
            kind: job.kind.clone(),
            group: job.group.clone(),
            payload,
            payload_encoding,
            priority: job.priority,
            failures: job.failures,
            losses: job.losses,
            snoozes: job.snoozes,
            enqueued_at: job.enqueued_at,
            ready_at: job.ready_at,
            checkpoint,
            checkpoint_encoding,
            tags: job.tags.clone(),
            timeout_ms: job.timeout_ms,
            trace: job.trace.as_deref().map(Cow::Borrowed),
        }
    }

    /// The job as a worker knows it.
    ///
    /// # Errors
    /// What is wrong with a value.
    pub fn into_job(self) -> Result<ClaimedJob, String> {
        Ok(ClaimedJob {
            lease: Lease { deadline: self.deadline, ..self.lease.lease(self.id) },
            lease_ms: self.lease_ms,
            queue: self.queue,
            kind: self.kind,
            group: self.group,
            payload: payload::read(&self.payload, self.payload_encoding)?,
            priority: self.priority,
            failures: self.failures,
            losses: self.losses,
            snoozes: self.snoozes,
            enqueued_at: self.enqueued_at,
            ready_at: self.ready_at,
            checkpoint: payload::read_some(self.checkpoint.as_deref(), self.checkpoint_encoding)?,
            tags: self.tags,
            timeout_ms: self.timeout_ms,
            trace: self.trace.map(Cow::into_owned),
        })
    }
}

/// The answer to a claim.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClaimedShape<'a> {
    /// One answer for each settlement, in their order.
    pub settled: Vec<ItemAnswer<Done>>,
    /// The jobs, each under its own lease.
    #[serde(borrow)]
    pub jobs: Vec<ClaimedJobShape<'a>>,
    /// When asking again may give more without any other event.
    #[serde(with = "crate::time::or_null")]
    pub try_again_at: Option<Time>,
}

impl<'a> ClaimedShape<'a> {
    /// The answer as it is told.
    pub fn of(claimed: &'a Claimed, settled: Vec<Result<(), Rejection>>) -> Self {
        Self {
            settled: answers(settled),
            jobs: claimed.jobs.iter().map(ClaimedJobShape::of).collect(),
            try_again_at: claimed.try_again_at,
        }
    }

    /// The answer as a worker knows it.
    ///
    /// # Errors
    /// What is wrong with a value.
    pub fn into_claimed(self) -> Result<Claimed, String> {
        Ok(Claimed {
            settled: self.settled.into_iter().map(|item| item.0.map(|Done {}| ())).collect(),
            jobs: self.jobs.into_iter().map(ClaimedJobShape::into_job).collect::<Result<_, _>>()?,
            try_again_at: self.try_again_at,
        })
    }
}

/// Settlements alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettleRequest<'a> {
    /// What ended, and how.
    #[serde(borrow)]
    pub settle: Vec<Settlement<'a>>,
}

// ---- while it runs ----

/// Leases whose deadlines are to move.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatRequest {
    /// The leases.
    pub leases: Vec<Held>,
}

/// The answer to the heartbeat of one lease that is still current.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeatShape {
    /// The new deadline.
    #[serde(with = "crate::time")]
    pub deadline: Time,
    /// Somebody asked the job to stop.
    pub cancel_requested: bool,
}

impl From<Beat> for BeatShape {
    fn from(beat: Beat) -> Self {
        Self { deadline: beat.deadline, cancel_requested: beat.cancel_requested }
    }
}

impl From<BeatShape> for Beat {
    fn from(shape: BeatShape) -> Self {
        Self { deadline: shape.deadline, cancel_requested: shape.cancel_requested }
    }
}

/// What a holder says of its attempt. Where the address names the job, it need not be said again.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportShape<'a> {
    /// The job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<JobId>,
    /// The lease that its claim gave.
    pub lease: LeaseText,
    /// How far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Lines added to the attempt's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Cow<'a, str>>,
    /// What the next attempt gets.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::payload::present")]
    pub checkpoint: Option<Cow<'a, RawValue>>,
    /// How to read the checkpoint: `json` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_encoding: Option<Encoding>,
}

impl<'a> ReportShape<'a> {
    /// The report as it is said.
    pub fn of(report: &'a Report) -> Self {
        let (checkpoint, encoding) = payload::show_some(report.checkpoint.as_deref());
        Self {
            id: Some(report.lease.job),
            lease: LeaseText::of(&report.lease),
            progress: report.progress.clone(),
            log: report.log.as_deref().map(Cow::Borrowed),
            checkpoint_encoding: payload::said(checkpoint.as_deref(), encoding),
            checkpoint,
        }
    }

    /// The report that is meant.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] with what is wrong.
    pub fn report(self) -> Result<Report, Rejection> {
        let job = self.id.ok_or_else(|| invalid("id")("the report names no job".into()))?;
        Ok(Report {
            lease: self.lease.lease(job),
            progress: self.progress,
            log: self.log.map(Cow::into_owned),
            checkpoint: payload::read_some(self.checkpoint.as_deref(), self.checkpoint_encoding)
                .map_err(invalid("checkpoint"))?,
        })
    }
}

/// Reports of running attempts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportRequest<'a> {
    /// The reports.
    #[serde(borrow)]
    pub reports: Vec<ReportShape<'a>>,
}

/// Jobs by their ids.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ids {
    /// The ids.
    pub ids: Vec<JobId>,
}

/// What a cancellation came to: `now`, or `requested` of the job's holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelledShape {
    /// The word.
    pub cancelled: Cancelled,
}

/// A worker waits until something concerns it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchRequest {
    /// Who waits.
    #[serde(with = "worker")]
    pub worker: WorkerId,
    /// Its queues with the free slots of each.
    pub queues: Vec<crate::store::Slots>,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "signal", rename_all = "snake_case")]
pub enum SignalShape {
    /// Nothing happened for as long as the server lets a request wait: ask again.
    None,
    /// Something may be claimable.
    Work,
    /// That attempt was asked to stop, or its lease is no longer current.
    Cancel {
        /// The job.
        id: JobId,
        /// Its lease.
        lease: LeaseText,
        /// Until when it is held.
        #[serde(with = "crate::time")]
        deadline: Time,
    },
    /// The store shuts down: finish and stop claiming.
    Drain,
}

impl From<Signal> for SignalShape {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Work => SignalShape::Work,
            Signal::Cancel(lease) => {
                SignalShape::Cancel { id: lease.job, lease: LeaseText::of(&lease), deadline: lease.deadline }
            }
            Signal::Drain => SignalShape::Drain,
        }
    }
}

impl SignalShape {
    /// The signal; none when nothing happened.
    pub fn signal(self) -> Option<Signal> {
        match self {
            SignalShape::None => None,
            SignalShape::Work => Some(Signal::Work),
            SignalShape::Cancel { id, lease, deadline } => {
                Some(Signal::Cancel(Lease { deadline, ..lease.lease(id) }))
            }
            SignalShape::Drain => Some(Signal::Drain),
        }
    }
}

// ---- people ----

/// A change to a job that is not running; what is not said stays. Where the address names the job, it need not be said
/// again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EditShape<'a> {
    /// The job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<JobId>,
    /// Its new payload.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "crate::payload::present")]
    pub payload: Option<Cow<'a, RawValue>>,
    /// How to read the payload: `json` unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_encoding: Option<Encoding>,
    /// Its new priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i8>,
    /// Its new time.
    #[serde(with = "crate::time::or_null", skip_serializing_if = "Option::is_none")]
    pub run_at: Option<Time>,
}

impl<'a> EditShape<'a> {
    /// The change as it is said.
    pub fn of(edit: &'a Edit) -> Self {
        let (payload, encoding) = payload::show_some(edit.payload.as_deref());
        let payload_encoding = payload::said(payload.as_deref(), encoding);
        Self { id: Some(edit.id), payload, payload_encoding, priority: edit.priority, run_at: edit.run_at }
    }

    /// The change that is meant.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] with what is wrong.
    pub fn edit(self) -> Result<Edit, Rejection> {
        let id = self.id.ok_or_else(|| invalid("id")("the edit names no job".into()))?;
        let encoding = self.payload_encoding.unwrap_or_default();
        let payload = self.payload.map(|value| payload::read(&value, encoding)).transpose();
        Ok(Edit {
            id,
            payload: payload.map_err(invalid("payload"))?,
            priority: self.priority,
            run_at: self.run_at,
        })
    }
}

/// Changes to jobs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EditRequest<'a> {
    /// The changes.
    #[serde(borrow)]
    pub edits: Vec<EditShape<'a>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::LimitName;
    use windlass_core::job::{OnConflict, OnParent, Parent, UniqueScope};
    use windlass_core::limit::LimitUse;
    use windlass_core::retry::RetryPolicy;

    const NOW: Time = Time(1_763_700_000_000);

    fn id(n: u128) -> JobId {
        JobId::from_parts(NOW, n)
    }

    fn lease() -> Lease {
        let token = LeaseToken { counter: 1 << 63, nonce: u64::MAX };
        Lease { job: id(1), attempt: 7, token, deadline: Time::ZERO }
    }

    fn full() -> NewJob {
        let queue = QueueName::new("email").expect("a name");
        let mut job = NewJob::new(id(2), queue, Kind::new("send").expect("a name"), *b"{\"a\": 1}");
        job.group = Some(GroupKey::new("campaign \"7\"").expect("a key"));
        job.priority = -3;
        job.run_at = Some(NOW.plus_ms(5));
        job.expires_at = Some(NOW.plus_ms(86_400_001));
        job.retry = Some(RetryPolicy::Fixed { delay_ms: 1_001, max_failures: 3 });
        job.unique = Some(Unique {
            key: UniqueKey::new("k").expect("a key"),
            scope: UniqueScope::For { ttl_ms: 1_500 },
            on_conflict: OnConflict::Replace,
        });
        job.limits = vec![LimitUse { name: LimitName::new("smtp").expect("a name"), cost: 3 }];
        job.parents = vec![Parent { id: id(3), on: OnParent::Always }];
        job.tags = vec![Tag::new("x=y").expect("a tag")];
        job.timeout_ms = Some(61_001);
        job.trace = Some("00-abc".into());
        job
    }

    #[test]
    fn a_job_goes_over_the_wire_whole() {
        let plain = NewJob::new(id(4), full().queue, full().kind, [0xff, 0x00]);
        for job in [
            full(),
            plain,
            NewJob { run_at: None, delay_ms: Some(10), ..full() },
            NewJob { payload: b"null".to_vec(), expires_at: Some(Time::NEVER), ..full() },
        ] {
            let text = serde_json::to_string(&JobRequest::of(&job)).expect("json");
            let read: JobRequest<'_> = serde_json::from_str(&text).expect("its own text");
            assert_eq!(read.job(None, id(99), NOW).expect("a job"), job, "{text}");
        }
    }

    #[test]
    fn a_settlement_goes_over_the_wire_whole() {
        let error = ErrorReport {
            class: Some("E".into()),
            message: "boom".into(),
            detail: Some("at x".into()),
            fingerprint: Fingerprint::default(),
        };
        let limit = Hold::Limit(LimitName::new("smtp").expect("a name"));
        for settle in [
            Settle::Complete { lease: lease(), result: Some(b"ok".to_vec()), then: vec![full()] },
            Settle::Complete { lease: lease(), result: None, then: vec![] },
            Settle::Complete { lease: lease(), result: Some(b"null".to_vec()), then: vec![] },
            Settle::Fail { lease: lease(), error, retry_in_ms: Some(5), fatal: true },
            Settle::Snooze { lease: lease(), delay_ms: 0, reason: "later".into(), holds: Some(limit) },
            Settle::Snooze {
                lease: lease(),
                delay_ms: 61_000,
                reason: String::new(),
                holds: Some(Hold::Queue),
            },
            Settle::Release { lease: lease(), reason: ReleaseReason::NoHandler },
        ] {
            let text = serde_json::to_string(&Settlement::of(&settle)).expect("json");
            let read: Settlement<'_> = serde_json::from_str(&text).expect("its own text");
            let settled = read.settled(|| id(99), NOW).expect("a settlement");
            assert_eq!(settled, Settled { settle, lacks_fingerprint: false }, "{text}");
        }
    }

    #[test]
    fn what_a_person_writes_is_enough() {
        let read: JobRequest<'_> =
            serde_json::from_str(r#"{"payload":{"to":"a@b.c"},"delay":"10m"}"#).expect("json");
        let queue = QueueName::new("email").expect("a name");
        let job = read.job(Some(&queue), id(5), NOW).expect("a job");
        assert_eq!((job.kind.as_str(), job.delay_ms, job.id), ("email", Some(600_000), id(5)));
        let lease = LeaseText::of(&lease());
        let text = format!(r#"{{"op":"fail","id":"{}","lease":"{lease}","error":"boom"}}"#, id(1));
        let settled = serde_json::from_str::<Settlement<'_>>(&text).expect("json").settled(|| id(9), NOW);
        assert!(settled.expect("a settlement").lacks_fingerprint);
        let claim: ClaimRequest<'_> =
            serde_json::from_str(r#"{"queues":["email",{"queue":"sms","max":3}],"max":10,"wait":"20s"}"#)
                .expect("json");
        assert_eq!(claim.queues.len(), 2);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_the_name_of_its_field() {
        let told = |text: &str| {
            let read: JobRequest<'_> = serde_json::from_str(text).expect("json");
            read.job(None, id(5), NOW).expect_err("refused").to_string()
        };
        assert!(told("{}").contains("names no queue"));
        assert!(told(r#"{"queue":"q","delay":"soon"}"#).contains("10m"));
        assert!(told(r#"{"queue":"q","on_conflict":"refuse"}"#).contains("need unique"));
        assert!(told(r#"{"queue":"q","payload":1,"payload_encoding":"text"}"#).contains("string"));
        assert!(
            serde_json::from_str::<JobRequest<'_>>(r#"{"dealy":"1s"}"#)
                .expect_err("no field")
                .to_string()
                .contains("delay")
        );
        for bad in ["", "1", "1.2", "1.2.3.4", "x.1.1", "1.g.1"] {
            assert!(bad.parse::<LeaseText>().is_err(), "{bad}");
        }
    }
}
