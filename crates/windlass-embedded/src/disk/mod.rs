//! The seam between the engine and the disk.
//!
//! Everything that the store keeps goes through [`Disk`] and [`DiskFile`]: a flat directory of named files that are
//! read and written at offsets and made durable on request. Three forms exist: [`FileDisk`] (a real directory),
//! [`MemoryDisk`] (for `memory:` stores) and [`SimDisk`] (which forgets, tears and fails on demand).
//!
//! The traits know nothing of segments or batches; those live in [`crate::journal`]. Nothing outside `disk/file.rs`
//! and `lock.rs` touches the file system.

use std::io;
use std::sync::Arc;

mod file;
mod memory;
mod sim;

pub(crate) use file::open_file;
pub use file::{FileDisk, OpenDirectoryError};
pub use memory::MemoryDisk;
pub use sim::{Fate, Operation, SimDisk, Unsynced};

/// A flat directory of files in which nothing is durable until it has been synced.
///
/// A name (after `create`, `rename` or `remove`) is durable once [`Disk::sync_dir`] returned, bytes once
/// [`DiskFile::sync_data`] did. Names never contain a path separator.
pub trait Disk: Send + Sync + 'static {
    /// Creates a file that must not exist yet, readable by its owner alone, with the length set to `bytes`.
    ///
    /// Reads of it give zeros, but its blocks need not be allocated.
    ///
    /// # Errors
    /// `AlreadyExists`, `StorageFull`, or what the system reports.
    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens an existing regular file; a symbolic link is refused.
    ///
    /// # Errors
    /// `NotFound`, or what the system reports.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// The names of all files, sorted.
    ///
    /// # Errors
    /// What the system reports.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Removes a name; handles that are open stay usable.
    ///
    /// # Errors
    /// `NotFound`, or what the system reports.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Gives a file another name in one step, replacing a file that has it.
    ///
    /// # Errors
    /// `NotFound`, or what the system reports.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Returns once all creations, renames and removals so far survive a power cut.
    ///
    /// # Errors
    /// What the system reports.
    fn sync_dir(&self) -> io::Result<()>;

    /// Where this disk is, for messages to people.
    fn place(&self) -> String;
}

/// One open file. All calls may come from several threads at once.
#[expect(clippy::len_without_is_empty, reason = "an empty file means nothing here, and asking may fail")]
pub trait DiskFile: Send + Sync {
    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before, or what the system reports.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `buf` at `offset`; a read sees it at once, a power cut may still lose any part of it.
    ///
    /// # Errors
    /// `StorageFull`, or what the system reports; an unknown part may have been written then.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;

    /// Returns once every write that ended before this call survives a power cut.
    ///
    /// # Errors
    /// What the system reports. After an error nobody knows what is durable, and a later success proves nothing.
    fn sync_data(&self) -> io::Result<()>;

    /// The length of the file in bytes.
    ///
    /// # Errors
    /// What the system reports.
    fn len(&self) -> io::Result<u64>;

    /// Asks that the next read of this range comes from the disk itself, where the range holds no unwritten bytes.
    ///
    /// After a failed sync the system may show bytes that the disk never got; recovery asks for the truth.
    fn drop_cache(&self, offset: u64, bytes: u64) {
        let _ = (offset, bytes);
    }

    /// Tells whether the file is about to be read from front to back; a hint.
    fn expect_sequential_reads(&self, sequential: bool) {
        let _ = sequential;
    }
}
