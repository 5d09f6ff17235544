//! Why is it not running? One reason for every live job, the same in API, CLI, dashboard and metrics.

use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The one thing that holds a job back most directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Its time has not come.
    Scheduled,
    /// It failed and waits for its next try.
    RetryBackoff,
    /// Its worker postponed it.
    Snoozed,
    /// Its queue is paused.
    QueuePaused,
    /// As many jobs of its queue run as may.
    QueueConcurrency,
    /// As many jobs of its group run as may.
    GroupConcurrency,
    /// A named limit admits no more at once.
    Limit,
    /// A rate of its queue, group or limit admits it later.
    RateLimited,
    /// Others stand before it in the fair order.
    FairShare,
    /// An earlier job of its ordered group has not ended.
    OrderedBehind,
    /// Its parents have not ended.
    WaitingOnParents,
    /// No worker asks for its queue.
    NoWorker,
    /// Workers gave it back because they do not know its kind or cannot decode it.
    NoHandler,
    /// It is running.
    Running,
    /// It has ended.
    Ended,
}

impl Reason {
    /// The reason's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Scheduled => "scheduled",
            Reason::RetryBackoff => "retry_backoff",
            Reason::Snoozed => "snoozed",
            Reason::QueuePaused => "queue_paused",
            Reason::QueueConcurrency => "queue_concurrency",
            Reason::GroupConcurrency => "group_concurrency",
            Reason::Limit => "limit",
            Reason::RateLimited => "rate_limited",
            Reason::FairShare => "fair_share",
            Reason::OrderedBehind => "ordered_behind",
            Reason::WaitingOnParents => "waiting_on_parents",
            Reason::NoWorker => "no_worker",
            Reason::NoHandler => "no_handler",
            Reason::Running => "running",
            Reason::Ended => "ended",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The answer to "why is it not running?".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// The reason.
    pub reason: Reason,
    /// What it is about, in a sentence for people.
    pub detail: String,
    /// When it may change, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta: Option<Time>,
    /// Jobs before it in its own group, an upper bound by sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<u64>,
}
