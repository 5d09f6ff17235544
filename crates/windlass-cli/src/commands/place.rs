//! The directory of `windlass dev`: gone with its owner, and when that was killed, with the next one.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, geteuid, test_kill_process};
use windlass_embedded::lock::DirectoryLock;

use crate::fault::Fault;

/// What the name of a temporary one begins with; the owner's process id follows.
const PREFIX: &str = "windlass-dev-";

/// A directory that goes with its owner, unless it was named.
pub(crate) struct Place {
    path: PathBuf,
    stays: bool,
}

impl Place {
    /// The directory that was named, or a new one. What owners that were killed have left behind goes first.
    ///
    /// # Errors
    /// When no directory can be made.
    pub(crate) fn new(persist: Option<PathBuf>) -> Result<Self, Fault> {
        if let Some(path) = persist {
            return Ok(Self { path, stays: true });
        }
        let temporary = std::env::temp_dir();
        sweep(&temporary);
        let path = temporary.join(format!("{PREFIX}{}", std::process::id()));
        // Somebody else's directory of that name is not taken over.
        std::fs::create_dir(&path).map_err(|error| Fault::file(path.display(), &error))?;
        Ok(Self { path, stays: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is there when its owner has gone.
    pub(crate) fn stays(&self) -> bool {
        self.stays
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.stays {
            // The next owner's sweep takes what is left.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// Removes the directories whose owners were killed: ours, of our name, whose process is gone and whose lock is free.
fn sweep(temporary: &Path) {
    let Ok(entries) = std::fs::read_dir(temporary) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if !is_left(&entry.file_name(), &path) {
            continue;
        }
        // The lock is the kernel's: whoever holds it lives, also where its process id means nothing here.
        if let Ok(_lock) = DirectoryLock::acquire(&path)
            && let Err(error) = std::fs::remove_dir_all(&path)
        {
            tracing::warn!(path = %path.display(), %error, "what a killed `windlass dev` left stays there");
        }
    }
}

/// Whether a process that is gone has left that directory, by all that can be seen without touching it.
fn is_left(name: &OsStr, path: &Path) -> bool {
    let owner =
        name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|id| id.parse::<u32>().ok());
    let Some(owner) = owner else { return false };
    let is_ours =
        std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir() && meta.uid() == geteuid().as_raw());
    // One without a lock is being made, or is not what it seems.
    let was_open = std::fs::symlink_metadata(path.join(DirectoryLock::NAME)).is_ok_and(|meta| meta.is_file());
    is_ours && was_open && !is_alive(owner)
}

/// Whether another process of that id lives.
fn is_alive(id: u32) -> bool {
    let process = i32::try_from(id).ok().and_then(Pid::from_raw);
    id != std::process::id() && process.is_some_and(|process| test_kill_process(process) != Err(Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than the kernel gives: nobody has it.
    const NOBODY: u32 = i32::MAX as u32;

    fn made(temporary: &Path, name: &str, locked: bool) -> PathBuf {
        let path = temporary.join(name);
        std::fs::create_dir(&path).expect("a directory");
        std::fs::write(path.join("segment"), "x").expect("a file");
        if locked {
            drop(DirectoryLock::acquire(&path).expect("a lock"));
        }
        path
    }

    #[test]
    fn what_a_killed_owner_left_goes_and_nothing_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let temporary = directory.path();
        let left = made(temporary, &format!("{PREFIX}{NOBODY}"), true);
        let parent = std::os::unix::process::parent_id();
        let kept = [
            made(temporary, &format!("{PREFIX}{}", NOBODY - 1), false),
            made(temporary, &format!("{PREFIX}{parent}"), true),
            made(temporary, &format!("{PREFIX}mine"), true),
            made(temporary, &format!("other-{NOBODY}"), true),
            made(temporary, &format!("{PREFIX}{}", NOBODY - 2), true),
        ];
        let elsewhere = made(temporary, "elsewhere", true);
        let link = temporary.join(format!("{PREFIX}{}", NOBODY - 3));
        std::os::unix::fs::symlink(&elsewhere, &link).expect("a link");
        let held = DirectoryLock::acquire(&kept[4]).expect("a lock");
        sweep(temporary);
        assert!(!left.exists());
        for path in kept.iter().chain([&elsewhere, &link]) {
            assert!(path.join("segment").exists(), "{}", path.display());
        }
        drop(held);
        sweep(temporary);
        assert!(!kept[4].exists() && kept[1].exists());
    }
}
