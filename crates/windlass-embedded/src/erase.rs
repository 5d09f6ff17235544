//! The end of a store: all its files removed, so that no crash on the way leaves a part of it that opens.
//!
//! A file without a header is put beside the segments first, for which every open refuses the directory as damaged; it
//! goes last. Whose directory it is, and which files are a store's, is known in `disk/file.rs` alone.

use std::path::Path;

use crate::disk::{Disk, FileDisk, OpenDirectoryError};
use crate::journal::unused_segment_name;
use crate::lock::DirectoryLock;
use crate::open::OpenError;
use crate::store::EmbeddedStore;

impl EmbeddedStore {
    /// Erases the store in that directory, salvaged pieces included, and the directory if nothing else is in it; `false` when
    /// there is no store. An erasure that was cut off can be made again.
    ///
    /// # Errors
    /// [`OpenError::Locked`] while a process works on it, [`OpenError::Directory`] for a directory that is not a store's.
    pub fn erase(path: &Path) -> Result<bool, OpenError> {
        let disk = match FileDisk::open(path, false) {
            Ok(disk) => disk,
            Err(OpenDirectoryError::Missing { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if disk.store_files()?.is_empty() {
            return Ok(false);
        }
        let lock = DirectoryLock::acquire(path)?;
        let files = disk.store_files()?;
        let mark = unused_segment_name(&files);
        disk.create(&mark, 0).and_then(|_| disk.sync_dir()).map_err(|e| disk.failed("write to", e))?;
        for name in files.iter().map(String::as_str).chain([mark.as_str(), DirectoryLock::NAME]) {
            disk.discard(name)?;
        }
        disk.sync_dir().map_err(|e| disk.failed("sync", e))?;
        disk.remove_directory();
        drop(lock);
        Ok(true)
    }
}
