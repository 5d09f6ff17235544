//! Who holds a job, and until when.
//!
//! Whoever settles a job shows the [`Lease`] it was given; a store compares the whole token, so a
//! stale holder cannot end, extend or even annotate an attempt that is no longer its own.

use crate::job::JobId;
use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A worker process, by a random id made when it starts, never by host, pod or configured name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(pub u64);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w-{:016x}", self.0)
    }
}

/// What fences one lease off from every other: equal only to itself, for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LeaseToken {
    /// Grows with every lease of the store and never restarts; its high bits are the start epoch.
    pub counter: u64,
    /// Sent by the claimer; protects against a store that was restored or failed over.
    pub nonce: u64,
}

/// The right to work on one attempt of a job until its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// The job held.
    pub job: JobId,
    /// The attempt, numbered from 1 and never reset.
    pub attempt: u32,
    /// The fence.
    pub token: LeaseToken,
    /// When the lease runs out by the store's clock unless a heartbeat moves it.
    pub deadline: Time,
}
