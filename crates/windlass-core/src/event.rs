//! The event log: every transition of every job, in order per job, for whoever reads along.

use crate::job::JobId;
use crate::lease::WorkerId;
use crate::name::{GroupKey, Kind, QueueName};
use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum EventType {
    /// A job was taken in.
    Enqueued = 0,
    /// Its time came.
    Promoted = 1,
    /// A worker took it.
    Claimed = 2,
    /// It ended well.
    Completed = 3,
    /// An attempt failed; the job will be tried again.
    Failed = 4,
    /// The job is a dead letter now.
    Died = 5,
    /// Its lease ran out; the job will be tried again.
    Lost = 6,
    /// Its holder postponed it.
    Snoozed = 7,
    /// Its holder gave it back.
    Released = 8,
    /// It ended as cancelled.
    Cancelled = 9,
    /// Its holder was asked to stop.
    CancelRequested = 10,
    /// Somebody started a new generation.
    Retried = 11,
    /// Its parents let it go.
    Unblocked = 12,
    /// Somebody changed it or made it due.
    Edited = 13,
    /// It was removed, by retention or by somebody.
    Removed = 14,
}

impl EventType {
    /// Every type, in the order of their numbers.
    pub const ALL: [EventType; 15] = [
        EventType::Enqueued,
        EventType::Promoted,
        EventType::Claimed,
        EventType::Completed,
        EventType::Failed,
        EventType::Died,
        EventType::Lost,
        EventType::Snoozed,
        EventType::Released,
        EventType::Cancelled,
        EventType::CancelRequested,
        EventType::Retried,
        EventType::Unblocked,
        EventType::Edited,
        EventType::Removed,
    ];

    /// The type's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            EventType::Enqueued => "enqueued",
            EventType::Promoted => "promoted",
            EventType::Claimed => "claimed",
            EventType::Completed => "completed",
            EventType::Failed => "failed",
            EventType::Died => "died",
            EventType::Lost => "lost",
            EventType::Snoozed => "snoozed",
            EventType::Released => "released",
            EventType::Cancelled => "cancelled",
            EventType::CancelRequested => "cancel_requested",
            EventType::Retried => "retried",
            EventType::Unblocked => "unblocked",
            EventType::Edited => "edited",
            EventType::Removed => "removed",
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a transition took place, where its type does not say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Cause {
    /// Nothing to add.
    #[default]
    None = 0,
    /// The error was fatal.
    Fatal = 1,
    /// No try was left.
    Exhausted = 2,
    /// Its lease ran out too often, or once.
    Lost = 3,
    /// It had not started by its `expires_at`.
    Expired = 4,
    /// A parent ended in a way that forbids it.
    ParentFailed = 5,
    /// A person or program asked for it.
    Requested = 6,
    /// A cancelled attempt did not end within the grace.
    GraceOver = 7,
    /// No handler of that worker knows the kind, or the payload does not decode.
    NoHandler = 8,
    /// The worker shut down.
    Shutdown = 9,
    /// A limit, queue or group of its provider asked to slow down.
    RateLimited = 10,
    /// Retention by age or count.
    Retention = 11,
    /// The process that held it ended (embedded store, at reopen).
    Restart = 12,
    /// A new payload or time for the holder of a unique key.
    Unique = 13,
}

impl Cause {
    /// Every cause, in the order of their numbers.
    pub const ALL: [Cause; 14] = [
        Cause::None,
        Cause::Fatal,
        Cause::Exhausted,
        Cause::Lost,
        Cause::Expired,
        Cause::ParentFailed,
        Cause::Requested,
        Cause::GraceOver,
        Cause::NoHandler,
        Cause::Shutdown,
        Cause::RateLimited,
        Cause::Retention,
        Cause::Restart,
        Cause::Unique,
    ];

    /// The cause's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::None => "none",
            Cause::Fatal => "fatal",
            Cause::Exhausted => "exhausted",
            Cause::Lost => "lost",
            Cause::Expired => "expired",
            Cause::ParentFailed => "parent_failed",
            Cause::Requested => "requested",
            Cause::GraceOver => "grace_over",
            Cause::NoHandler => "no_handler",
            Cause::Shutdown => "shutdown",
            Cause::RateLimited => "rate_limited",
            Cause::Retention => "retention",
            Cause::Restart => "restart",
            Cause::Unique => "unique",
        }
    }

    /// The cause of that number; unknown ones read as [`Cause::None`].
    pub fn from_number(number: u8) -> Cause {
        Self::ALL.get(number as usize).copied().unwrap_or(Cause::None)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A place in the event log: opaque, ordered, and good for as long as the log keeps what follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cursor {
    /// The store's own high part (embedded: segment and offset).
    pub place: u64,
    /// How many events of that place have been read.
    pub index: u32,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:x}", self.place, self.index)
    }
}

impl std::str::FromStr for Cursor {
    type Err = crate::Rejection;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (place, index) = text.split_once('-')?;
            Some(Cursor {
                place: u64::from_str_radix(place, 16).ok()?,
                index: u32::from_str_radix(index, 16).ok()?,
            })
        };
        parse().ok_or(crate::Rejection::BadCursor)
    }
}

impl TryFrom<String> for Cursor {
    type Error = crate::Rejection;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> String {
        cursor.to_string()
    }
}

/// One transition of one job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Where to go on reading after this event.
    pub cursor: Cursor,
    /// When it happened, by the store's wall clock.
    pub at: Time,
    /// What happened.
    #[serde(rename = "type")]
    pub event: EventType,
    /// The job.
    pub job: JobId,
    /// Its queue.
    pub queue: QueueName,
    /// Its kind.
    pub kind: Kind,
    /// Its group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupKey>,
    /// The attempt that it concerns, 0 before the first.
    pub attempt: u32,
    /// Why, where the type does not say it.
    #[serde(default, skip_serializing_if = "is_none")]
    pub cause: Cause,
    /// Who held the job, for what ends an attempt or starts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// The error's or snooze's text, cut at 4 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The result, cut at 4 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Vec<u8>>,
}

fn is_none(cause: &Cause) -> bool {
    *cause == Cause::None
}
