//! The two ways in which a verb does not do what was asked.
//!
//! A [`Rejection`] is the contract saying no: expected, exhaustive, with a code for machines and a
//! text for people.
//! A [`StoreError`] is the world failing: which operation, why, and whether trying again is safe.

use crate::job::JobId;
use crate::time::Time;
use serde::{Deserialize, Serialize};

/// The contract said no; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "code", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rejection {
    /// An argument breaks a rule of the contract.
    #[error("{what}: {why}")]
    Invalid {
        /// Which argument.
        #[serde(deserialize_with = "leak")]
        what: Word,
        /// What is wrong with it.
        why: String,
    },
    /// No job, queue, limit or schedule of that name is known.
    #[error("{what} not found")]
    NotFound {
        /// What was asked for, for example `job 0199…`.
        what: String,
    },
    /// The lease token is not the job's current one: the lease ran out, was ended or was never given.
    #[error("stale lease: the job is no longer held by this lease")]
    Stale,
    /// The job's state does not allow the verb.
    #[error("{verb} is not possible while the job is {state}")]
    WrongState {
        /// The verb asked for.
        #[serde(deserialize_with = "leak")]
        verb: Word,
        /// The state the job is in.
        state: crate::job::State,
    },
    /// Another live job holds the unique key, and the policy does not allow to change it.
    #[error("unique key is held by job {holder}")]
    UniqueConflict {
        /// The job that holds the key.
        holder: JobId,
    },
    /// The queue holds as many waiting jobs as its `max_waiting` allows.
    #[error("queue {queue} is full; try again in {retry_after_ms} ms")]
    QueueFull {
        /// The queue.
        #[serde(default)]
        queue: String,
        /// A hint from the queue's recent rate of work.
        retry_after_ms: u64,
    },
    /// The store has no room for new work; running work goes on.
    #[error("the store is out of space: enqueues are refused, running work goes on")]
    OutOfSpace,
    /// A named limit asked for by the job cannot ever admit its cost.
    #[error("limit {limit}: cost {cost} is above its burst or concurrency of {most}")]
    CostTooHigh {
        /// The limit.
        limit: String,
        /// The cost that the job asked for.
        cost: u32,
        /// The most that the limit can admit at once.
        most: u32,
    },
    /// A parent is unknown, or the parents form a cycle.
    #[error("parents: {why}")]
    BadParents {
        /// Which rule is broken, and by which job.
        why: String,
    },
    /// The version given for a compare-and-set is not the current one.
    #[error("version {given} is not current (it is {current})")]
    VersionConflict {
        /// The version that the caller gave.
        given: u64,
        /// The version that stands.
        current: u64,
    },
    /// Another item of an `all_or_nothing` batch was refused.
    #[error("not done: another item of this all-or-nothing batch was refused")]
    BatchRefused,
    /// The job has children that are still live, so it cannot be removed.
    #[error("job has live children; cancel or finish them first")]
    HasLiveChildren,
    /// A snooze beyond the most that one generation may take.
    #[error("the job has been snoozed {snoozes} times; fail or complete it")]
    TooManySnoozes {
        /// How often it was snoozed.
        snoozes: u32,
    },
    /// A cursor that the store has never given, or that it can no longer follow.
    #[error("cursor is not valid here: start again without one")]
    BadCursor,
    /// Whoever asks may not do this. No store says it: it is said by a server that knows who asks.
    #[error("{what}")]
    Forbidden {
        /// Who may not do what, and what they may.
        what: String,
    },
}

/// A word of a bounded set. Named apart because serde would borrow a plain `&'static str` from what it reads.
pub type Word = &'static str;

/// `&'static str` fields come back from JSON by way of a bounded set of words.
fn leak<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Word, D::Error> {
    let text = String::deserialize(d)?;
    Ok(WORDS.iter().copied().find(|w| *w == text).unwrap_or("argument"))
}

/// The words that `what` and `verb` may hold.
const WORDS: &[&str] = &[
    "queue name",
    "kind",
    "limit name",
    "schedule name",
    "group key",
    "unique key",
    "tag",
    "payload",
    "batch",
    "priority",
    "run_at",
    "delay",
    "timeout",
    "limits",
    "parents",
    "id",
    "result",
    "checkpoint",
    "log",
    "error",
    "weight",
    "cancel",
    "edit",
    "retry",
    "delete",
    "run_now",
    "settings",
    "schedule",
    "limit",
    "meta",
    "worker",
    "expires_at",
    "retry policy",
    "complete",
    "fail",
    "snooze",
    "release",
    "heartbeat",
    "filter",
    "rate",
    "tags",
    "claim",
];

impl Rejection {
    /// The stable code for machines, in snake_case.
    pub fn code(&self) -> &'static str {
        match self {
            Rejection::Invalid { .. } => "invalid",
            Rejection::NotFound { .. } => "not_found",
            Rejection::Stale => "stale",
            Rejection::WrongState { .. } => "wrong_state",
            Rejection::UniqueConflict { .. } => "unique_conflict",
            Rejection::QueueFull { .. } => "queue_full",
            Rejection::OutOfSpace => "out_of_space",
            Rejection::CostTooHigh { .. } => "cost_too_high",
            Rejection::BadParents { .. } => "bad_parents",
            Rejection::VersionConflict { .. } => "version_conflict",
            Rejection::BatchRefused => "batch_refused",
            Rejection::HasLiveChildren => "has_live_children",
            Rejection::TooManySnoozes { .. } => "too_many_snoozes",
            Rejection::BadCursor => "bad_cursor",
            Rejection::Forbidden { .. } => "forbidden",
        }
    }

    /// When trying the same again may succeed, if the answer knows.
    pub fn retry_at(&self, now: Time) -> Option<Time> {
        match self {
            Rejection::QueueFull { retry_after_ms, .. } => Some(now.plus_ms(*retry_after_ms)),
            _ => None,
        }
    }
}

/// Whether an operation that failed may have taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It took no effect; the same call may be made again.
    NotDone,
    /// Nobody knows; the same call with the same ids is safe, another one is not.
    Unknown,
}

/// The world failed: storage, connection, or the store has stopped.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{operation}: {cause}")]
pub struct StoreError {
    /// What was being done, in the verb's own name.
    pub operation: &'static str,
    /// Why it failed, for people.
    pub cause: String,
    /// Whether it may have taken effect.
    pub outcome: Outcome,
    /// Whether trying again can help while this store stays open.
    pub retryable: bool,
    /// What to do about it, for people, where whoever failed knows.
    pub hint: Option<String>,
}

impl StoreError {
    /// An error after which the store takes no more work until it is opened again.
    pub fn stopped(operation: &'static str, cause: impl Into<String>) -> Self {
        Self { operation, cause: cause.into(), outcome: Outcome::Unknown, retryable: false, hint: None }
    }

    /// A refusal before anything was done.
    pub fn refused(operation: &'static str, cause: impl Into<String>) -> Self {
        Self { operation, cause: cause.into(), outcome: Outcome::NotDone, retryable: false, hint: None }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
