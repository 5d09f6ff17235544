//! What can go wrong with a journal, for whoever has to act on it.

use std::io;

use super::Position;
use super::segment::FORMAT_VERSION;

/// Why a journal could not be opened. Nothing on the disk has been changed then, save that writes were synced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The disk failed.
    #[error("{place}: cannot {operation} {file}: {source}")]
    Io {
        /// The store's directory.
        place: String,
        /// What was tried.
        operation: &'static str,
        /// On which file.
        file: String,
        /// The disk's answer.
        source: io::Error,
    },
    /// A newer version of this program wrote the store.
    #[error("{place}: {file} has format {found}; this version reads up to {supported}; use a newer version")]
    NewerFormat {
        /// The store's directory.
        place: String,
        /// The file that says so.
        file: String,
        /// Its format.
        found: u32,
        /// The newest format that this code reads.
        supported: u32,
    },
    /// A file is named like a segment and is none of this store.
    #[error(
        "{place}: {file} is not a segment of this store: {reason}; move it away if it does not belong here"
    )]
    Foreign {
        /// The store's directory.
        place: String,
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Bytes that were acknowledged as durable are damaged or missing. Opening would lose them silently.
    #[error(
        "{place}: {file} is damaged at byte {offset}: batch {lsn} cannot be read, yet {witness}; \
         restore a backup, or run `windlass doctor --repair {place}`, which cuts the store there and reports what it drops"
    )]
    Corrupt {
        /// The store's directory.
        place: String,
        /// The damaged file, or the one after which a segment is missing.
        file: String,
        /// Its sequence number; 0 when its header cannot be read.
        segment: u32,
        /// Where the damage begins.
        offset: u32,
        /// The first batch that is lost.
        lsn: u64,
        /// What proves that it was durable.
        witness: String,
    },
    /// The visitor did not take a batch.
    #[error("{place}: batch {lsn} at byte {} of segment {}: {source}", position.offset, position.segment)]
    Replay {
        /// The store's directory.
        place: String,
        /// The batch's place.
        position: Position,
        /// Its number.
        lsn: u64,
        /// The visitor's reason.
        source: ReplayError,
    },
}

/// The visitor's reason for refusing a batch whose checksum holds: a bug or a foreign writer, never a torn write.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct ReplayError {
    /// What is wrong, for people.
    pub reason: String,
}

impl ReplayError {
    /// A refusal with this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// Why a journal did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The segment has no room for this batch: call `rotate`. Nothing was written.
    #[error("the batch takes {needed} bytes and the segment has {remaining} left")]
    Full {
        /// What the batch takes.
        needed: u64,
        /// What the segment has.
        remaining: u64,
    },
    /// No segment can ever hold this. Nothing was written.
    #[error("{needed} bytes are more than one segment can hold")]
    TooLarge {
        /// What would be needed.
        needed: u64,
    },
    /// No segment is left and the disk has no space for another. Nothing was written; try again later.
    #[error("no space is left for another segment")]
    NoSpace,
    /// The first segment was not begun: call `rotate`.
    #[error("the journal has no segment yet")]
    NotBegun,
    /// Only the oldest segment, and never the current one, can be given back.
    #[error("segment {sequence} is not the oldest one")]
    NotOldest {
        /// The segment that was asked for.
        sequence: u32,
    },
    /// A write or a sync failed, now or before: nobody knows what is durable, so nothing more is written. Restart.
    #[error("the journal has stopped: {reason}")]
    Poisoned {
        /// The first failure.
        reason: String,
    },
    /// The disk failed while no durability was at stake.
    #[error("cannot {operation}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The disk's answer.
        source: io::Error,
    },
}

/// Why bytes could not be read back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The segment was given back: what it held has ended or stands elsewhere.
    #[error("the segment was given back")]
    Gone,
    /// Nothing was ever written there.
    #[error("nothing was written at byte {} of segment {}", position.offset, position.segment)]
    NotWritten {
        /// The place.
        position: Position,
    },
    /// The bytes do not pass their checksum any more.
    #[error("the batch at byte {} of segment {} is damaged", position.offset, position.segment)]
    Damaged {
        /// The place.
        position: Position,
    },
    /// The disk failed.
    #[error("cannot read segment {}: {source}", position.segment)]
    Io {
        /// The place.
        position: Position,
        /// The disk's answer.
        source: io::Error,
    },
}

/// Makes errors that name the store's place.
#[derive(Clone)]
pub(super) struct Blame {
    pub(super) place: String,
}

impl Blame {
    pub(super) fn io<'a>(
        &'a self,
        operation: &'static str,
        file: &'a str,
    ) -> impl Fn(io::Error) -> OpenError + 'a {
        move |source| OpenError::Io { place: self.place.clone(), operation, file: file.to_owned(), source }
    }

    pub(super) fn foreign(&self, file: &str, reason: impl Into<String>) -> OpenError {
        OpenError::Foreign { place: self.place.clone(), file: file.to_owned(), reason: reason.into() }
    }

    pub(super) fn version(&self, file: &str, found: u32) -> OpenError {
        if found < FORMAT_VERSION {
            return self.foreign(file, format!("format {found} never existed"));
        }
        let (place, file) = (self.place.clone(), file.to_owned());
        OpenError::NewerFormat { place, file, found, supported: FORMAT_VERSION }
    }
}
