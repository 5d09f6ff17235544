//! A worker asks for jobs, and gets them under leases.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use windlass_core::name::Tag;
use windlass_core::store::{Claimed, ClaimedJob};
use windlass_core::{GroupKey, JobId, Kind, Lease, QueueName, Rejection, Time, WorkerId};

use super::{LeaseText, Settlement, worker};
use crate::page::{Done, ItemAnswer, answers};
use crate::payload::{self, Encoding};

/// A queue that jobs are wanted of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ClaimRequest<'a> {
    /// The queues, in the order in which they are preferred.
    pub queues: Vec<Want>,
    /// Jobs at most, where a queue does not say its own number; 1 unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// Who asks; a new id for each request unless said.
    #[serde(with = "worker::or_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::WorkerText>"))]
    pub worker: Option<WorkerId>,
    /// The worker's random number for these leases, in hexadecimal; the server's own unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Hex64>"))]
    pub nonce: Option<Cow<'a, str>>,
    /// How long to wait for a first job (`20s`); not at all unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Span>"))]
    pub wait: Option<Cow<'a, str>>,
    /// Settled before anything is claimed.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::object::list")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<crate::schema::SettlementItem>", length(max = 1000))
    )]
    pub settle: Vec<Settlement<'a>>,
}

/// A job as its worker gets it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClaimedJobShape<'a> {
    /// The job.
    pub id: JobId,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// What every settlement, heartbeat and report of this attempt shows.
    pub lease: LeaseText,
    /// When the lease runs out by the store's clock, unless a heartbeat moves it.
    #[serde(with = "crate::time")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Instant"))]
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
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Instant"))]
    pub enqueued_at: Time,
    /// When it last became ready.
    #[serde(with = "crate::time")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Instant"))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClaimedShape<'a> {
    /// One answer for each settlement, in their order.
    pub settled: Vec<ItemAnswer<Done>>,
    /// The jobs, each under its own lease.
    #[serde(borrow)]
    pub jobs: Vec<ClaimedJobShape<'a>>,
    /// When asking again may give more without any other event.
    #[serde(with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
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
