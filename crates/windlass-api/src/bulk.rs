//! Operations on all jobs that a filter means: begun, watched, paused and ended as a thing of their own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use windlass_core::{State, Time};

use crate::filter::FilterShape;

/// What is done to each job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Another life for jobs that have ended.
    Retry,
    /// The end of jobs that have not.
    Cancel,
    /// Due now.
    RunNow,
    /// Gone, with their history.
    Delete,
}

impl Action {
    /// The action's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::Retry => "retry",
            Action::Cancel => "cancel",
            Action::RunNow => "run_now",
            Action::Delete => "delete",
        }
    }

    /// The states that it is for, where a filter names none: nobody who retries the jobs of a queue means those that have
    /// completed.
    pub const fn states(self) -> &'static [State] {
        match self {
            Action::Retry => &[State::Dead],
            Action::Cancel => {
                &[State::Scheduled, State::Ready, State::Running, State::Retrying, State::Blocked]
            }
            Action::RunNow => &[State::Scheduled, State::Retrying],
            Action::Delete => &[State::Completed, State::Dead, State::Cancelled],
        }
    }

    /// Those states as a condition of a filter that names none: `dead`, or several with commas between.
    pub fn states_text(self) -> String {
        self.states().iter().map(|state| state.as_str()).collect::<Vec<_>>().join(",")
    }
}

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It goes on, in whichever server has it.
    Running,
    /// Somebody stopped it for a while.
    Paused,
    /// It has been through all jobs.
    Done,
    /// Somebody ended it; what was done stays done.
    Aborted,
    /// It cannot go on; `why` says so.
    Failed,
}

impl Stage {
    /// Whether it may still go on.
    pub const fn is_open(self) -> bool {
        matches!(self, Stage::Running | Stage::Paused)
    }

    /// The stage's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Stage::Running => "running",
            Stage::Paused => "paused",
            Stage::Done => "done",
            Stage::Aborted => "aborted",
            Stage::Failed => "failed",
        }
    }
}

/// An operation is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BulkRequest {
    /// What is done to each job.
    pub action: Action,
    /// Which jobs, in the words of a search: `queue:email state:dead`. All jobs are meant by no text, so one must be
    /// there. Where it names no state, the action's are meant: dead to retry, those that have not ended to cancel, scheduled
    /// and retrying to run now, those that have ended to delete.
    pub filter: String,
    /// Jobs per time (`20/s`); as fast as leaves the store to others unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::RateText>"))]
    pub rate: Option<String>,
    /// Only count, and show some.
    #[serde(default)]
    pub dry_run: bool,
    /// How many jobs are meant, by whoever asks: refused when there are more by more than a tenth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<u64>,
}

/// What an operation would do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Preview {
    /// Jobs that the filter means, as far as was looked.
    pub matched: u64,
    /// Jobs that were looked at.
    pub examined: u64,
    /// Whether all were looked at; if not there may be more.
    pub complete: bool,
    /// Some of them.
    pub sample: Vec<crate::job::JobRow>,
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Bulk {
    /// Its id.
    pub id: String,
    /// What is done to each job.
    pub action: Action,
    /// Which jobs; spans are counted from when it began.
    pub filter: FilterShape,
    /// Jobs per time.
    pub rate: Option<String>,
    /// Who began it, as the audit log names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The only queues that it touches, where whoever began it was limited to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queues: Vec<String>,
    /// Where it stands.
    pub stage: Stage,
    /// Why it failed.
    pub why: Option<String>,
    /// When it began.
    #[serde(with = "crate::time")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Instant"))]
    pub began_at: Time,
    /// When it came to its end.
    #[serde(with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub ended_at: Option<Time>,
    /// Jobs that it means, as far as that was known when it began.
    #[serde(default)]
    pub expected: Option<u64>,
    /// Jobs that were looked at.
    pub examined: u64,
    /// Jobs that it was done to.
    pub done: u64,
    /// Jobs that it could not be done to, by the code of the refusal: a job that was claimed meanwhile, for one.
    pub refused: BTreeMap<String, u64>,
    /// The first jobs that refused, with the code.
    pub refused_first: Vec<(windlass_core::JobId, String)>,
    /// Where to go on.
    pub cursor: Option<String>,
    /// The server that has it, until which time unless it says more.
    pub owner: Option<String>,
    /// See `owner`.
    #[serde(with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub owned_until: Option<Time>,
    /// How often a server that had it ended without a word. What each did after its last note is done, and is not in
    /// the counts.
    #[serde(default)]
    pub lost: u32,
}
