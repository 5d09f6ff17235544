//! The directory of a demo: new, its own, and gone afterwards unless it is to be kept.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::fault::Fault;

/// How often a removal is tried; the demo has said its result, so it is no fault if all fail.
const REMOVALS_MAX: u32 = 20;
/// The pause between two tries: a killed process is gone within a few milliseconds.
const REMOVAL_PAUSE: Duration = Duration::from_millis(50);

/// The directory; removed when dropped.
pub(super) struct Room {
    path: PathBuf,
    /// The directory was there before, empty: only what is in it is ours.
    was_there: bool,
    keep: Cell<bool>,
}

impl Room {
    /// Makes the directory, or takes an empty one.
    ///
    /// # Errors
    /// With exit code 2 for one that holds something.
    pub(super) fn make(named: Option<&Path>, keep: bool) -> Result<Self, Fault> {
        let path = named
            .map_or_else(|| PathBuf::from(format!("windlass-demo-{}", std::process::id())), PathBuf::from);
        let failed = |error: &std::io::Error| Fault::file(path.display(), error);
        let was_there = match std::fs::read_dir(&path) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    let told =
                        format!("{} is not empty: a demo begins in a new or empty directory", path.display());
                    return Err(Fault::usage(told));
                }
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                std::fs::create_dir_all(&path).map_err(|error| failed(&error))?;
                false
            }
            Err(error) => return Err(Fault::usage(format!("{}: {error}", path.display()))),
        };
        Ok(Self { path, was_there, keep: Cell::new(keep) })
    }

    /// A directory inside it for one pass.
    pub(super) fn part(&self, name: &str) -> Result<PathBuf, Fault> {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path).map_err(|error| Fault::file(path.display(), &error))?;
        Ok(path)
    }

    /// Where it is, if it stays.
    pub(super) fn kept(&self) -> Option<&Path> {
        self.keep.get().then_some(self.path.as_path())
    }

    /// Keeps the directory for whoever looks for the reason of the fault, unless there is nothing to look for.
    pub(super) fn keep_after(&self, fault: Fault) -> Fault {
        if fault.code == super::pass::INTERRUPTED {
            return fault;
        }
        self.keep.set(true);
        fault.next(format!("its data and logs are kept in {}", self.path.display()))
    }
}

impl Room {
    fn remove(&self) -> std::io::Result<()> {
        if !self.was_there {
            return std::fs::remove_dir_all(&self.path);
        }
        for entry in std::fs::read_dir(&self.path)? {
            std::fs::remove_dir_all(entry?.path())?;
        }
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.keep.get() {
            return;
        }
        // A worker process that has just been killed may still put a file beside those that are removed.
        for _ in 0..REMOVALS_MAX {
            match self.remove() {
                Ok(()) => return,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
                Err(_) => std::thread::sleep(REMOVAL_PAUSE),
            }
        }
    }
}
