//! A store as it was at a moment, in one file: made while it works, checked byte by byte, and brought back.
//!
//! The file is a tar archive: first `windlass-backup.json`, which says what follows ([`Manifest`]); then each segment of the
//! journal as it stood, a whole segment of FORMAT.md cut to its length; last `SHA256SUMS`, the digest of everything before
//! it, so that other programs can check it too. Every byte is determined or covered: one that differs is refused.
//!
//! `copy` makes it, on a thread of its own: the engine's thread only notes how far each segment goes. [`BackupFile`] reads
//! and checks one. [`restore`] makes a store of it, in which the leases of that moment have ended.

mod copy;
mod file;
mod layout;
mod restore;

use std::io;
use std::path::{Path, PathBuf};

pub(crate) use copy::begin;
pub use file::BackupFile;
pub use layout::Manifest;
pub use restore::restore;

/// Why a backup was not taken for one, or not brought back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The disk failed.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is no backup of a windlass store: {why}", path.display())]
    NotABackup {
        /// The file.
        path: PathBuf,
        /// What shows it.
        why: String,
    },
    /// A newer version made it.
    #[error("{} is a backup of version {found}, and this program reads up to {supported}; use a newer one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest that is read.
        supported: u32,
    },
    /// It is not what was written.
    #[error("{} is damaged at byte {at}: {what}; restore another backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it shows.
        at: u64,
        /// What is wrong.
        what: String,
    },
    /// There is something where the store is to go.
    #[error("{} is not empty, it holds {found:?}; restore into a new or an empty directory", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// One of its entries.
        found: String,
    },
    /// The restored store does not open.
    #[error(transparent)]
    Open(#[from] crate::OpenError),
}

impl BackupError {
    fn io<'a>(operation: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Self + 'a {
        move |source| Self::Io { operation, path: path.to_owned(), source }
    }
}
