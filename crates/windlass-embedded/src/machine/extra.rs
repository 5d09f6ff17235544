//! What only some jobs have: options beside the payload, failures, leases, ended attempts.
//!
//! A fresh job has none of it in memory. The parts that the engine decides by are kept here; the
//! rest (tags, trace, texts of errors) stays in the journal and is read when somebody asks.

use crate::journal::Position;
use serde::{Deserialize, Serialize};
use windlass_core::event::Cause;
use windlass_core::fingerprint::Fingerprint;
use windlass_core::job::{OnParent, Parent, Unique};
use windlass_core::limit::LimitUse;
use windlass_core::name::Tag;
use windlass_core::retry::RetryPolicy;

/// The part of a job that never changes unless it is edited, as JSON beside the payload; left out
/// altogether when all of it is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Options {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry: Option<RetryPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unique: Option<Unique>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) limits: Vec<LimitUse>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) parents: Vec<Parent>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trace: Option<String>,
    /// The due time that a blocked job keeps until its parents let it go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) due: Option<u64>,
}

/// A fact in the journal that a job still needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    pub(crate) len: u32,
    pub(crate) attempt: u32,
    pub(crate) what: What,
    /// When it was written, by the wall clock.
    #[serde(default)]
    pub(crate) at: u64,
}

impl Kept {
    pub(crate) fn place(&self) -> Position {
        Position { segment: self.segment, offset: self.offset }
    }
}

/// What a kept fact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum What {
    /// The end of an attempt by failure or loss.
    Attempt,
    /// Lines of a log.
    Log,
    /// The newest checkpoint.
    Checkpoint,
    /// The newest progress.
    Progress,
}

/// The last attempt that was settled: what a second ack is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ack {
    pub(crate) counter: u64,
    pub(crate) nonce: u64,
    pub(crate) outcome: AckOutcome,
}

/// How it was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AckOutcome {
    Completed,
    Failed,
    Snoozed,
    Released,
    /// By anything but a completion, after a cancellation was asked for.
    Cancelled,
}

/// A completed job without an extra: its ack, and where the completion stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    pub(crate) counter: u64,
    pub(crate) nonce: u64,
    pub(crate) place: Position,
    pub(crate) len: u32,
    /// The job's extra, or none.
    pub(crate) extra: u32,
}

/// A current lease. `deadline` is in store time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeaseEntry {
    pub(crate) slot: u32,
    pub(crate) counter: u64,
    pub(crate) nonce: u64,
    pub(crate) worker: u64,
    pub(crate) started_at: u64,
    pub(crate) deadline: u64,
    pub(crate) lease_ms: u64,
    /// Where its timer stands; moved lazily, so that a heartbeat touches no timer.
    pub(crate) timer_at: u64,
    /// When the grace after a cancellation ends, in store time; 0 for none.
    pub(crate) grace_until: u64,
    pub(crate) extra: u32,
}

/// Everything that makes a job more than a slot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extra {
    pub(crate) unique: Option<Unique>,
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) expires_at: Option<u64>,
    pub(crate) attempt_high: u32,
    pub(crate) failures: u32,
    pub(crate) losses: u32,
    pub(crate) snoozes: u32,
    pub(crate) no_handler: u32,
    pub(crate) generation: u32,
    pub(crate) cause: Cause,
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) last_error: Option<Box<str>>,
    pub(crate) reason: Option<Box<str>>,
    pub(crate) due: Option<u64>,
    pub(crate) parents: Vec<(u128, OnParent)>,
    pub(crate) parents_left: u32,
    pub(crate) children: Vec<u128>,
    pub(crate) kept: Vec<Kept>,
    pub(crate) ack: Option<Ack>,
    pub(crate) log_bytes: u32,
}

/// The changing part of a job in a record that was copied forward or edited.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Dynamic {
    pub(crate) failures: u32,
    pub(crate) losses: u32,
    pub(crate) snoozes: u32,
    pub(crate) no_handler: u32,
    pub(crate) generation: u32,
    pub(crate) cause: u8,
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) last_error: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) kept: Vec<Kept>,
    pub(crate) ack: Option<Ack>,
    pub(crate) log_bytes: u32,
    pub(crate) snoozed: bool,
    pub(crate) cancel_requested: bool,
    pub(crate) unique_given_up: bool,
    pub(crate) lease: Option<DynamicLease>,
    /// Of a completed job: the token of its completion and where that stands.
    pub(crate) settled: Option<(u64, u64, u32, u32, u32)>,
}

/// The lease in such a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DynamicLease {
    pub(crate) counter: u64,
    pub(crate) nonce: u64,
    pub(crate) worker: u64,
    pub(crate) started_at: u64,
    pub(crate) deadline: u64,
}

impl Settled {
    pub(crate) fn ack(&self) -> Ack {
        Ack { counter: self.counter, nonce: self.nonce, outcome: AckOutcome::Completed }
    }
}
