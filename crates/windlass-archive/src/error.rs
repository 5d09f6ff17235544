//! Why an archive cannot be opened, or cannot go on.

use windlass_core::{Rejection, StoreError};

/// What is wrong, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The text is no URL of an archive.
    #[error("{url:?} names no archive: {why}; try sqlite:./archive.db or postgres://user@host/database")]
    BadUrl {
        /// What was given, without its password.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// Another archiver writes there now.
    #[error("{target} is being written by another archiver; one is enough, stop either of them")]
    Held {
        /// The archive.
        target: String,
    },
    /// A newer version of this program has made the tables.
    #[error(
        "{target} has version {found} of the tables, this program knows {known}: a newer Windlass has been here; update this program"
    )]
    Newer {
        /// The archive.
        target: String,
        /// The version found.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The database holds other things.
    #[error("{target} holds tables that are no archive; name a file or schema of its own")]
    NotAnArchive {
        /// The database.
        target: String,
    },
    /// The archive is written under another name.
    #[error(
        "{target} is the archive named {found:?}, not {name:?}; use that name, or another database for this one"
    )]
    OtherName {
        /// The archive.
        target: String,
        /// Its name.
        found: String,
        /// The name given.
        name: String,
    },
    /// The store and the archive do not belong together.
    #[error(
        "the store's archive {name:?} is not {target}: it is another store or another database, or one of them was erased, restored or forgotten; \
         choose another name; or let the store forget the archive of that name, if it is given up; \
         or adopt the store: what was archived stays, and reading begins with the oldest event that is kept"
    )]
    OtherStore {
        /// The archive.
        target: String,
        /// The name given.
        name: String,
    },
    /// Somebody else has moved the archive's place meanwhile.
    #[error(
        "{target} has been written by another archiver since this one read its place; one is enough, stop either of them"
    )]
    Overtaken {
        /// The archive.
        target: String,
    },
    /// The database failed; nothing of the batch was written, or all of it.
    #[error("{doing} {target}: {cause}")]
    Database {
        /// The archive.
        target: String,
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        cause: String,
        /// Whether the same may succeed later.
        retryable: bool,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store said no.
    #[error(transparent)]
    Rejected(#[from] Rejection),
}

impl ArchiveError {
    /// Whether waiting can help: the database or the store is away for a moment.
    pub fn is_retryable(&self) -> bool {
        match self {
            ArchiveError::Database { retryable, .. } => *retryable,
            ArchiveError::Store(error) => error.retryable,
            _ => false,
        }
    }
}
