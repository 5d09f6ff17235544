//! What an archiver has done, and what it has to tell.

use std::time::Duration;

use windlass_core::Time;

use crate::batch::Gap;
use crate::error::ArchiveError;

/// What one step came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Events archived by it.
    pub events: u64,
    /// Gaps found by it.
    pub gaps: Vec<Gap>,
    /// Jobs whose history retention has deleted.
    pub deleted: u64,
    /// Nothing was left to read when it ended.
    pub caught_up: bool,
}

/// What an archiver has done since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Events archived.
    pub events: u64,
    /// Of those, jobs taken in that the archive did not have.
    pub jobs: u64,
    /// Jobs taken in that it had already, because reading began anew (an adopted store, or one that lost its place).
    pub known: u64,
    /// Jobs whose history retention has deleted.
    pub deleted: u64,
    /// Gaps found.
    pub gaps: u64,
    /// Payloads archived, changed ones again.
    pub payloads: u64,
    /// Jobs whose payload the store had no more when it was asked.
    pub payloads_gone: u64,
    /// How old the newest archived event was when it was archived; 0 when there was nothing left to read.
    pub lag_ms: u64,
    /// When the newest archived event happened, in this run or an earlier one.
    pub last_event_at: Option<Time>,
}

/// What a running archiver has to tell.
#[derive(Debug)]
pub enum News<'a> {
    /// A step is done.
    Step(&'a Step, Standing),
    /// Something failed that may pass; it is tried again after that time.
    Trouble(&'a ArchiveError, Duration),
}
