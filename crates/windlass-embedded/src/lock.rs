//! One process owns a directory.
//!
//! The lock is the kernel's (`flock` on the file `lock`), so it ends with its process however that ends. The file's
//! text names the holder for people; nobody ever decides by it.

#![expect(clippy::disallowed_methods, reason = "a lock is a matter of the real file system")]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};

/// Enough to recognise a process by, and a bound on what is read from a file that anybody may have filled.
const COMMAND_BYTES: usize = 512;

/// Exclusive ownership of a store's directory, given up when dropped or when the process ends.
#[derive(Debug)]
pub struct DirectoryLock {
    file: File,
}

/// Why the directory could not be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process (or another store in this one) has the directory open.
    #[error("the store in {} is in use by process {}: {command}", path.display(), display_pid(*pid))]
    Held {
        /// The directory.
        path: PathBuf,
        /// The holder's process id; none in the instant before the holder has written it.
        pid: Option<u32>,
        /// The holder's command line, cut to a bounded length.
        command: String,
    },
    /// The system refused.
    #[error("cannot lock {}: {source}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl DirectoryLock {
    /// The file that is locked.
    pub const NAME: &str = "lock";

    /// Takes the lock of the existing directory `path` or says at once who holds it; never waits.
    ///
    /// # Errors
    /// [`LockError::Held`] with the holder's process id and command line.
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        let lock_path = path.join(Self::NAME);
        let failure = |source: io::Error| LockError::Io { path: lock_path.clone(), source };
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file =
            rustix::fs::open(&lock_path, flags, Mode::RUSR | Mode::WUSR).map_err(|e| failure(e.into()))?;
        let file = File::from(file);
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if has_that_name(&file, &lock_path) => {}
            // Who erases a store removes the file that it holds: a lock on that one would keep nobody out.
            Ok(()) => return Err(failure(io::Error::other("the store has been erased just now"))),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let (pid, command) = read_holder(&file);
                return Err(LockError::Held { path: path.to_owned(), pid, command });
            }
            Err(e) => return Err(failure(e.into())),
        }
        let holder = format!("{}\n{}\n", std::process::id(), own_command());
        file.set_len(0).and_then(|()| file.write_all_at(holder.as_bytes(), 0)).map_err(failure)?;
        Ok(Self { file })
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing the file gives the lock back; an old name left in it would only mislead people.
        let _ = self.file.set_len(0);
    }
}

fn has_that_name(file: &File, path: &Path) -> bool {
    let (held, named) = (rustix::fs::fstat(file), rustix::fs::lstat(path));
    held.is_ok_and(|held| named.is_ok_and(|named| (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)))
}

fn own_command() -> String {
    // Whoever looks at the directory sees it, and it may hold a token, or the password of another server.
    let arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    printable(&windlass_core::url::command_line(arguments))
}

fn read_holder(file: &File) -> (Option<u32>, String) {
    let mut bytes = [0; COMMAND_BYTES + 16];
    let read = file.read_at(&mut bytes, 0).unwrap_or(0);
    let text = String::from_utf8_lossy(&bytes[..read]);
    let mut lines = text.lines();
    let pid = lines.next().and_then(|line| line.parse().ok());
    (pid, printable(lines.next().unwrap_or("unknown command")))
}

/// One line without control characters, cut to the bound: it will be shown on terminals.
fn printable(text: &str) -> String {
    let mut end = text.len().min(COMMAND_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn display_pid(pid: Option<u32>) -> String {
    pid.map_or_else(|| "(not named yet)".to_owned(), |pid| pid.to_string())
}
