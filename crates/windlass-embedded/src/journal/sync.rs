//! What is durable, and who may say so.
//!
//! The appending thread notes what it wrote; any thread with a [`Syncer`] makes it durable, oldest segment first. One
//! sync runs at a time and covers everything that was noted before it began. The first failure is final: after it no
//! sync succeeds and nothing is appended, because the system may since have dropped the bytes it could not write.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::error::JournalError;
use super::segment::Segment;
use super::spares::Spares;
use crate::disk::DiskFile;

/// Shared between the appending thread, the syncing thread and the spares thread.
pub(super) struct Durability {
    durable_lsn: AtomicU64,
    poisoned: AtomicBool,
    reason: OnceLock<String>,
    written: Mutex<Written>,
    turn: Mutex<()>,
}

struct Written {
    lsn: u64,
    /// Files with bytes that no sync has covered, by sequence: an older segment is synced before a newer one.
    files: BTreeMap<u32, Arc<dyn DiskFile>>,
}

impl Durability {
    pub(super) fn new(durable_lsn: u64) -> Self {
        Self {
            durable_lsn: AtomicU64::new(durable_lsn),
            poisoned: AtomicBool::new(false),
            reason: OnceLock::new(),
            written: Mutex::new(Written { lsn: durable_lsn, files: BTreeMap::new() }),
            turn: Mutex::new(()),
        }
    }

    pub(super) fn durable_lsn(&self) -> u64 {
        self.durable_lsn.load(Ordering::Acquire)
    }

    /// Tells that everything up to `lsn` has been written, lastly to this segment.
    pub(super) fn note_written(&self, segment: &Segment, lsn: u64) {
        let mut written = self.written();
        written.lsn = written.lsn.max(lsn);
        written.files.entry(segment.sequence()).or_insert_with(|| Arc::clone(&segment.file));
    }

    /// The newest batch that was written, durable or not.
    pub(super) fn written_lsn(&self) -> u64 {
        self.written().lsn
    }

    /// Stops the journal for good; the first reason is kept.
    pub(super) fn poison(&self, operation: &str, error: &io::Error) -> JournalError {
        let reason = self.reason.get_or_init(|| {
            tracing::error!(operation, %error, "the journal stops: what is durable is no longer known");
            format!("cannot {operation}: {error}")
        });
        self.poisoned.store(true, Ordering::Release);
        JournalError::Poisoned { reason: reason.clone() }
    }

    pub(super) fn check(&self) -> Result<(), JournalError> {
        if !self.poisoned.load(Ordering::Acquire) {
            return Ok(());
        }
        let reason = self.reason.get().cloned().unwrap_or_default();
        Err(JournalError::Poisoned { reason })
    }

    fn sync(&self) -> Result<u64, JournalError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.check()?;
        let (lsn, files) = {
            let mut written = self.written();
            (written.lsn, std::mem::take(&mut written.files))
        };
        for file in files.values() {
            file.sync_data().map_err(|error| self.poison("sync the journal", &error))?;
        }
        // The spares thread may have met a failure meanwhile that the system reports only once.
        self.check()?;
        self.durable_lsn.fetch_max(lsn, Ordering::AcqRel);
        Ok(lsn)
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes appended batches durable, from any thread, while appending goes on.
#[derive(Clone)]
pub struct Syncer {
    pub(super) durability: Arc<Durability>,
    pub(super) spares: Arc<Spares>,
}

impl Syncer {
    /// Returns once every batch that was appended before the call survives a power cut; the answer is the highest
    /// such LSN. Waits for a sync that another thread has under way; costs nothing when nothing was written since.
    ///
    /// # Errors
    /// [`JournalError::Poisoned`], from the first failure on, for ever.
    pub fn sync(&self) -> Result<u64, JournalError> {
        let durable_lsn = self.durability.sync()?;
        self.spares.wake_for_durable(durable_lsn);
        Ok(durable_lsn)
    }

    /// The highest LSN known to survive a power cut.
    pub fn durable_lsn(&self) -> u64 {
        self.durability.durable_lsn()
    }

    /// Answers the first failure, once there was one.
    ///
    /// # Errors
    /// [`JournalError::Poisoned`].
    pub fn check(&self) -> Result<(), JournalError> {
        self.durability.check()
    }
}

impl std::fmt::Debug for Syncer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Syncer").field("durable_lsn", &self.durable_lsn()).finish_non_exhaustive()
    }
}
