//! A real directory as a [`Disk`].
//!
//! Owns the directory handle and the rules of access: the directory is ours alone (0700 when we make it), files are
//! 0600, symbolic links are not followed, and a directory that holds something else is refused before anything is
//! written. Every file is reached relative to the open directory, so renaming a parent directory does no harm.

#![expect(clippy::disallowed_methods, reason = "this is the one door to the file system")]

use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags};

use super::{Disk, DiskFile};

/// A directory of the file system.
#[derive(Debug)]
pub struct FileDisk {
    directory: File,
    path: PathBuf,
    read_only: bool,
}

/// Why a directory was not taken as a store's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenDirectoryError {
    /// There is no such directory and it was not to be created.
    #[error("there is no store in {}: the directory does not exist", path.display())]
    Missing {
        /// The directory asked for.
        path: PathBuf,
    },
    /// The path leads to something that is no directory.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// The path asked for.
        path: PathBuf,
    },
    /// The directory holds files that are not a store's; nothing was written to it.
    #[error("{} is not a windlass store: it holds {found:?}; give an empty or a new directory", path.display())]
    NotOurs {
        /// The directory asked for.
        path: PathBuf,
        /// One entry that is not a store's.
        found: String,
    },
    /// The system refused.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl FileDisk {
    /// Opens the directory of a store, making it (0700, parents too) when `create` says so.
    ///
    /// # Errors
    /// [`OpenDirectoryError::NotOurs`] when it holds entries but no store: nothing has been written then.
    pub fn open(path: &Path, create: bool) -> Result<Self, OpenDirectoryError> {
        if create {
            make_directory(path)?;
        }
        Self::open_directory(path, false)
    }

    /// Opens the directory of a store for reading alone: whatever writes is refused.
    ///
    /// # Errors
    /// As [`FileDisk::open`].
    pub fn open_read_only(path: &Path) -> Result<Self, OpenDirectoryError> {
        Self::open_directory(path, true)
    }

    /// The directory's path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open_directory(path: &Path, read_only: bool) -> Result<Self, OpenDirectoryError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| match e {
            rustix::io::Errno::NOENT => OpenDirectoryError::Missing { path: path.to_owned() },
            rustix::io::Errno::NOTDIR => OpenDirectoryError::NotADirectory { path: path.to_owned() },
            e => io_failure("open", path, e.into()),
        })?;
        let directory = File::from(directory);
        let metadata = directory.metadata().map_err(|e| io_failure("examine", path, e))?;
        if metadata.mode() & 0o022 != 0 {
            tracing::warn!(path = %path.display(), "other users may write to this store's directory");
        }
        let disk = Self { directory, path: path.to_owned(), read_only };
        let entries = disk.entries().map_err(|e| io_failure("list", path, e))?;
        let holds_segments = entries.iter().any(|entry| entry.ends_with(".wlj"));
        if !holds_segments && let Some(found) = entries.into_iter().find(|entry| !is_store_name(entry)) {
            return Err(OpenDirectoryError::NotOurs { path: path.to_owned(), found });
        }
        Ok(disk)
    }

    /// The files of the store that are there, its lock left out.
    pub(crate) fn store_files(&self) -> Result<Vec<String>, OpenDirectoryError> {
        let mut names = self.entries().map_err(|e| self.failed("list", e))?;
        names.retain(|name| is_store_name(name) && !matches!(name.as_str(), "lock" | "lost+found"));
        Ok(names)
    }

    /// Removes a file that may have gone already.
    pub(crate) fn discard(&self, name: &str) -> Result<(), OpenDirectoryError> {
        match self.remove(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("remove files of", error))
            }
            _ => Ok(()),
        }
    }

    /// Removes the directory itself where that can be: it may hold somebody's files, be a mount, or stand in a place where
    /// nothing may be removed.
    pub(crate) fn remove_directory(&self) {
        let _ = std::fs::remove_dir(&self.path);
    }

    /// Makes the directory its owner's alone.
    pub(crate) fn make_private(&self) -> io::Result<()> {
        Ok(rustix::fs::fchmod(&self.directory, Mode::RWXU)?)
    }

    /// What the system refused to do with this directory.
    pub(crate) fn failed(&self, operation: &'static str, source: io::Error) -> OpenDirectoryError {
        io_failure(operation, &self.path, source)
    }

    fn entries(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.directory)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn open_at(&self, name: &str, flags: OFlags) -> io::Result<File> {
        check_name(name)?;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.directory, name, flags, Mode::RUSR | Mode::WUSR)?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is not a regular file")));
        }
        Ok(file)
    }
}

impl Disk for FileDisk {
    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.open_at(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?;
        file.set_len(bytes)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        // NONBLOCK keeps a named pipe that somebody put there from hanging us; regular files ignore it.
        let access = if self.read_only { OFlags::RDONLY } else { OFlags::RDWR };
        Ok(Arc::new(RealFile(self.open_at(name, access | OFlags::NONBLOCK)?)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.entries()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        Ok(rustix::fs::unlinkat(&self.directory, name, AtFlags::empty())?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        Ok(rustix::fs::renameat(&self.directory, from, &self.directory, to)?)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.directory.sync_all()
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

struct RealFile(File);

impl DiskFile for RealFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    fn drop_cache(&self, offset: u64, bytes: u64) {
        let advice = rustix::fs::Advice::DontNeed;
        // A refused hint costs nothing but the hint.
        let _ = rustix::fs::fadvise(&self.0, offset, std::num::NonZeroU64::new(bytes), advice);
    }

    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    fn expect_sequential_reads(&self, sequential: bool) {
        use rustix::fs::Advice;
        let advice = if sequential { Advice::Sequential } else { Advice::Normal };
        let _ = rustix::fs::fadvise(&self.0, 0, None, advice);
    }
}

/// Opens one file for reading, wherever it lies.
pub(crate) fn open_file(path: &Path) -> io::Result<Arc<dyn DiskFile>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok(Arc::new(RealFile(file)))
}

fn make_directory(path: &Path) -> Result<(), OpenDirectoryError> {
    let existed = path.exists();
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            OpenDirectoryError::NotADirectory { path: path.to_owned() }
        }
        _ => io_failure("create", path, e),
    })?;
    if !existed {
        // The directory's own name must be as durable as what is acknowledged inside it.
        let absolute = std::path::absolute(path).map_err(|e| io_failure("resolve", path, e))?;
        if let Some(parent) = absolute.parent() {
            let synced = File::open(parent).and_then(|parent| parent.sync_all());
            synced.map_err(|e| io_failure("sync the parent of", path, e))?;
        }
    }
    Ok(())
}

/// Names that a store may leave behind; a directory with these alone is a store that had no time to grow.
fn is_store_name(name: &str) -> bool {
    matches!(name, "lock" | "windlass.sock" | "lost+found")
        || [".wlj", ".new", ".hint"].iter().any(|suffix| name.ends_with(suffix))
        || name.starts_with("salvage-")
}

fn check_name(name: &str) -> io::Result<()> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is not a file name")));
    }
    Ok(())
}

fn io_failure(operation: &'static str, path: &Path, source: io::Error) -> OpenDirectoryError {
    OpenDirectoryError::Io { operation, path: path.to_owned(), source }
}
