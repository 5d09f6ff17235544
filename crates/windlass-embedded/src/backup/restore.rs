//! Bringing a backup back.
//!
//! A directory becomes a store in one step, or says what happened to it: while files are written it holds a name that is no
//! store's, so that nobody opens it, and the segments get their names newest first, so that a run that lacks its beginning
//! is refused. Then the store is opened once. That proves it, and it ends the leases of the moment of the backup: what
//! their holders did since is not in this store, so none of them may end a job in it.

use std::path::Path;
use std::sync::Arc;

use super::{BackupError, BackupFile};
use crate::disk::{Disk, FileDisk, OpenDirectoryError};
use crate::lock::DirectoryLock;
use crate::open::{AtOpen, EmbeddedOptions, OpenError, open_locked};

/// Stands in the directory until everything is there. No store is opened beside it.
const UNFINISHED: &str = "restore-unfinished";

/// Makes a store of a backup, in a directory that is new or empty, and proves it by opening it. The directory is 0700 then,
/// the files are 0600, everything is durable, and no lease of the backup is in force. `progress` gets bytes done and bytes to
/// do.
///
/// # Errors
/// [`BackupError::Damaged`] before anything is written; [`BackupError::NotEmpty`] likewise.
pub fn restore(
    backup: &BackupFile,
    into: &Path,
    options: EmbeddedOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), BackupError> {
    backup.verify(&mut |done, all| progress(done, all + all / 2))?;
    let disk = match FileDisk::open(into, true) {
        Err(OpenDirectoryError::NotOurs { path, found }) => {
            return Err(BackupError::NotEmpty { path, found });
        }
        opened => opened.map_err(OpenError::from)?,
    };
    let fault = |operation| BackupError::io(operation, into);
    let none_s = |name: &String| !matches!(name.as_str(), "lost+found" | DirectoryLock::NAME);
    let found = disk.list().map_err(fault("list"))?.into_iter().find(none_s);
    if let Some(found) = found {
        return Err(BackupError::NotEmpty { path: into.to_owned(), found });
    }
    let lock = DirectoryLock::acquire(into).map_err(OpenError::from)?;
    disk.make_private().map_err(fault("protect"))?;
    disk.create(UNFINISHED, 0).and_then(|_| disk.sync_dir()).map_err(fault("write to"))?;
    if let Err(why) = write(backup, &disk, &fault) {
        clear(backup, &disk);
        return Err(why);
    }
    disk.remove(UNFINISHED).and_then(|()| disk.sync_dir()).map_err(fault("write to"))?;
    let options = EmbeddedOptions { leases: AtOpen::EndLeases, create: false, ..options };
    // Its end makes what the start wrote durable.
    drop(open_locked(Arc::new(disk), options, lock)?);
    Ok(())
}

/// The name of a segment that is being written.
fn unfinished(name: &str) -> String {
    format!("{}.new", name.trim_end_matches(".wlj"))
}

/// Removes what was written, as far as the disk lets it, so that the same restore can be tried again.
fn clear(backup: &BackupFile, disk: &FileDisk) {
    for segment in &backup.manifest().segments {
        let _ = disk.remove(&unfinished(&segment.file));
        let _ = disk.remove(&segment.file);
    }
    let _ = disk.remove(UNFINISHED);
}

fn write<F>(
    backup: &BackupFile,
    disk: &FileDisk,
    fault: &dyn Fn(&'static str) -> F,
) -> Result<(), BackupError>
where
    F: Fn(std::io::Error) -> BackupError,
{
    for (segment, from) in backup.segments() {
        let file = disk.create(&unfinished(&segment.file), segment.bytes).map_err(fault("write to"))?;
        backup.each_piece(from, segment.bytes, |at, piece| {
            file.write_all_at(piece, at).map_err(fault("write to"))
        })?;
        file.sync_data().map_err(fault("sync"))?;
    }
    disk.sync_dir().map_err(fault("sync"))?;
    for segment in backup.manifest().segments.iter().rev() {
        disk.rename(&unfinished(&segment.file), &segment.file).map_err(fault("write to"))?;
        disk.sync_dir().map_err(fault("sync"))?;
    }
    Ok(())
}
