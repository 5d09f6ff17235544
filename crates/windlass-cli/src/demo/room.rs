//! Where a demo happens: a new directory, and on a server new namespaces; gone afterwards unless they are to be kept.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::connect;
use crate::fault::Fault;

/// How often a removal is tried; the demo has said its result, so it is no fault if all fail.
const REMOVALS_MAX: u32 = 20;
/// The pause between two tries: a killed process is gone within a few milliseconds.
const REMOVAL_PAUSE: Duration = Duration::from_millis(50);

/// The directory, removed when dropped, and what was made on a server.
pub(super) struct Room {
    path: PathBuf,
    /// The server on which the stores are, if they are not in the directory.
    server: Option<String>,
    /// The stores made on it.
    made: RefCell<Vec<String>>,
    /// The directory was there before, empty: only what is in it is ours.
    was_there: bool,
    keep: Cell<bool>,
}

/// The place of one pass.
pub(super) struct Part {
    /// Its directory.
    pub(super) dir: PathBuf,
    /// Its store, as a URL.
    pub(super) store: String,
}

impl Part {
    /// The application's database.
    pub(super) fn database(&self) -> String {
        format!("sqlite:{}", self.dir.join("campaigns.db").display())
    }

    /// Whether the store is one that several processes open.
    pub(super) fn is_on_a_server(&self) -> bool {
        !self.store.starts_with("file:")
    }
}

impl Room {
    /// Makes the directory, or takes an empty one.
    ///
    /// # Errors
    /// With exit code 2 for one that holds something.
    pub(super) fn make(named: Option<&Path>, keep: bool, server: Option<&str>) -> Result<Self, Fault> {
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
        let server = server.map(str::to_owned);
        Ok(Self { path, server, made: RefCell::default(), was_there, keep: Cell::new(keep) })
    }

    /// A place inside it for one pass.
    pub(super) fn part(&self, name: &str) -> Result<Part, Fault> {
        let dir = self.path.join(name);
        std::fs::create_dir_all(&dir).map_err(|error| Fault::file(dir.display(), &error))?;
        let store = match &self.server {
            Some(server) => {
                // A name that needs quotes nowhere.
                let namespace = format!("demo_{}_{}", std::process::id(), name.replace('-', "_"));
                let store = connect::in_namespace(server, &namespace);
                self.made.borrow_mut().push(store.clone());
                store
            }
            None => format!("file:{}", dir.join("store").display()),
        };
        Ok(Part { dir, store })
    }

    /// A command on the store of the first pass, as it can be given to a shell.
    pub(super) fn command(&self, command: &str) -> String {
        connect::on_made_store(command, &self.first_store())
    }

    /// The application's database of the first pass.
    pub(super) fn first_database(&self) -> String {
        format!("sqlite:{}", self.path.join("day").join("campaigns.db").display())
    }

    /// The store of the first pass.
    pub(super) fn first_store(&self) -> String {
        let first = self.made.borrow().first().cloned();
        first.unwrap_or_else(|| format!("file:{}", self.path.join("day").join("store").display()))
    }

    /// Erases what was made on a server, unless it is to be kept.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub(super) async fn leave(&self) -> Result<(), Fault> {
        if self.keep.get() {
            return Ok(());
        }
        let made = self.made.take();
        for store in made {
            connect::erase_url(&store).await?;
        }
        Ok(())
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
