//! Why is it not running? One reason for every live job, the same in API, CLI, dashboard and metrics.

use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The one thing that holds a job back most directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// A concurrency that lets no more in, as a store found it. [`Why::from`] puts it into words, the same for every store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Full {
    /// That of the job's queue.
    Queue {
        /// The queue's name.
        queue: String,
        /// Jobs that may run at once.
        most: u32,
    },
    /// That of the job's group.
    Group {
        /// The name of the group's queue.
        queue: String,
        /// Jobs that may run at once.
        most: u32,
        /// Jobs that run.
        running: u64,
    },
    /// That of a named limit.
    Limit {
        /// The limit's name.
        limit: String,
        /// The sum of costs that may run at once.
        most: u32,
        /// The sum of costs that run.
        in_use: u64,
        /// What the job takes.
        cost: u64,
    },
}

impl Full {
    fn reason(&self) -> Reason {
        match self {
            Full::Queue { .. } => Reason::QueueConcurrency,
            Full::Group { .. } => Reason::GroupConcurrency,
            Full::Limit { .. } => Reason::Limit,
        }
    }
}

/// Full by its jobs it opens by itself; closed, or too small, it waits for a person, who is told what to do.
impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Full::Queue { queue, most: 0 } => {
                write!(
                    f,
                    "queue {queue} is closed: its concurrency is set to 0; windlass queues set {queue} --concurrency N opens it"
                )
            }
            Full::Queue { queue, most } => write!(f, "{most} jobs of queue {queue} run, as many as may"),
            Full::Group { queue, most: 0, .. } => {
                write!(
                    f,
                    "its group is closed: its concurrency is set to 0; windlass groups set {queue} GROUP --concurrency N opens it"
                )
            }
            Full::Group { running, .. } => write!(f, "{running} jobs of its group run, as many as may"),
            Full::Limit { limit, most: 0, .. } => {
                write!(
                    f,
                    "limit {limit} is closed: its concurrency is set to 0; windlass limits set {limit} --concurrency N opens it"
                )
            }
            Full::Limit { limit, most, cost, .. } if *cost > u64::from(*most) => {
                write!(
                    f,
                    "limit {limit} lets {most} run at once, and this job takes {cost}; windlass limits set {limit} --concurrency {cost} lets it in"
                )
            }
            Full::Limit { limit, most, in_use, cost } => {
                write!(f, "limit {limit} is full: {in_use} of {most} in use, and this job takes {cost}")
            }
        }
    }
}

impl From<Full> for Why {
    fn from(full: Full) -> Self {
        Why { reason: full.reason(), detail: full.to_string(), eta: None, ahead: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_a_person_can_open_says_how() {
        let limit =
            |most, in_use, cost| Why::from(Full::Limit { limit: "smtp".into(), most, in_use, cost }).detail;
        assert_eq!(
            limit(0, 0, 1),
            "limit smtp is closed: its concurrency is set to 0; windlass limits set smtp --concurrency N opens it"
        );
        // What ran when it was closed changes nothing about that.
        assert_eq!(limit(0, 3, 1), limit(0, 0, 1));
        assert!(limit(2, 0, 5).contains("lets 2 run at once, and this job takes 5"), "{}", limit(2, 0, 5));
        assert_eq!(limit(10, 8, 4), "limit smtp is full: 8 of 10 in use, and this job takes 4");
        let queue = |most| Why::from(Full::Queue { queue: "mail".into(), most });
        assert!(queue(0).detail.contains("closed") && queue(0).detail.contains("queues set mail"));
        assert_eq!(queue(2).detail, "2 jobs of queue mail run, as many as may");
        let group = |most| Why::from(Full::Group { queue: "mail".into(), most, running: 2 }).detail;
        assert!(group(0).contains("closed") && group(0).contains("groups set mail"));
        assert_eq!(group(2), "2 jobs of its group run, as many as may");
    }
}
