//! Where the tests open the engine: a directory, memory, or a simulated disk, on a clock that they move.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use windlass_core::Time;
use windlass_core::store::Store;
use windlass_embedded::clock::ManualClock;
use windlass_embedded::disk::SimDisk;
use windlass_embedded::{Ack, AtOpen, EmbeddedOptions, EmbeddedStore};
use windlass_testkit::{End, Place, START, Subject};

/// A place that a test keeps a hand on while a subject lives there.
#[derive(Clone)]
pub(crate) struct Spot {
    ground: Arc<Mutex<Ground>>,
    clock: Arc<ManualClock>,
    leases: Arc<Mutex<AtOpen>>,
    ack: Arc<Mutex<Ack>>,
    slack_bytes: u64,
    readers_bytes: u64,
}

enum Ground {
    Memory,
    Directory(TempDir),
    Disk(SimDisk),
}

#[allow(dead_code, reason = "each test target uses its part")]
impl Spot {
    fn new(ground: Ground) -> Self {
        Self {
            ground: Arc::new(Mutex::new(ground)),
            clock: ManualClock::new(START),
            leases: Arc::new(Mutex::new(AtOpen::RenewLeases)),
            ack: Arc::default(),
            slack_bytes: EmbeddedOptions::default().slack_bytes,
            readers_bytes: EmbeddedOptions::default().readers_bytes,
        }
    }

    /// A store that gives segments back as soon as it can.
    pub(crate) fn tight(self) -> Self {
        Self { slack_bytes: 0, ..self }
    }

    /// A store that waits for readers for no more than a segment.
    pub(crate) fn short_log(self) -> Self {
        Self { readers_bytes: 1 << 20, ..self }
    }

    /// A `memory:` store.
    pub(crate) fn memory() -> Self {
        Self::new(Ground::Memory)
    }

    /// A `file:` store in a directory of its own.
    pub(crate) fn directory() -> Self {
        Self::new(Ground::Directory(tempfile::tempdir().expect("a temporary directory")))
    }

    /// A store on a simulated disk, at that time.
    pub(crate) fn disk(disk: SimDisk, now: Time) -> Self {
        let spot = Self::new(Ground::Disk(disk));
        spot.clock.advance_ms(now.since(START));
        spot
    }

    /// The directory.
    pub(crate) fn path(&self) -> std::path::PathBuf {
        match &*self.ground.lock().expect("no test panics while it holds this lock") {
            Ground::Directory(directory) => directory.path().to_owned(),
            Ground::Memory | Ground::Disk(_) => panic!("a file: store"),
        }
    }

    /// From the next open on.
    pub(crate) fn set_ack(&self, ack: Ack) {
        *self.ack.lock().expect("no test panics while it holds this lock") = ack;
    }

    /// What the next open is given.
    pub(crate) fn options(&self) -> EmbeddedOptions {
        EmbeddedOptions {
            clock: self.clock.clone(),
            leases: *self.leases.lock().expect("no test panics while it holds this lock"),
            ack_level: *self.ack.lock().expect("no test panics while it holds this lock"),
            slack_bytes: self.slack_bytes,
            readers_bytes: self.readers_bytes,
            ..EmbeddedOptions::default()
        }
    }

    /// The store that lives here.
    pub(crate) fn subject(&self) -> Subject {
        Subject::at_place(Box::new(self.clone()))
    }
}

impl Place for Spot {
    fn open(&mut self) -> Pin<Box<dyn Future<Output = Arc<dyn Store>> + '_>> {
        Box::pin(async {
            let options = self.options();
            let store = match &*self.ground.lock().expect("no test panics while it holds this lock") {
                Ground::Memory => EmbeddedStore::memory(options),
                Ground::Directory(directory) => {
                    EmbeddedStore::open(directory.path(), options).expect("the directory opens")
                }
                Ground::Disk(disk) => {
                    EmbeddedStore::on_disk(Arc::new(disk.clone()), options).expect("the disk opens")
                }
            };
            Arc::new(store) as Arc<dyn Store>
        })
    }

    fn end(&mut self, how: End) {
        let leases = if how == End::WithWorkers { AtOpen::EndLeases } else { AtOpen::RenewLeases };
        *self.leases.lock().expect("no test panics while it holds this lock") = leases;
        let mut ground = self.ground.lock().expect("no test panics while it holds this lock");
        match &*ground {
            // What the files hold now is what kill -9 leaves: the page cache survives it, the owner's memory does not.
            Ground::Directory(directory) if how == End::Killed => {
                // The owner may still give segments back by itself: a copy counts only if nothing moved meanwhile, since
                // no kill leaves an old part of one file beside a new part of another.
                let left = loop {
                    let left = tempfile::tempdir().expect("a temporary directory");
                    copy(directory.path(), left.path());
                    if contents(directory.path()) == contents(left.path()) {
                        break left;
                    }
                };
                *ground = Ground::Directory(left);
            }
            Ground::Memory | Ground::Directory(_) | Ground::Disk(_) => {}
        }
    }

    fn now(&self) -> Time {
        self.clock.now()
    }

    fn advance_ms(&self, ms: u64) {
        self.clock.advance_ms(ms);
    }

    fn at(&self) -> Option<Time> {
        None
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        match std::fs::copy(entry.path(), to.join(entry.file_name())) {
            Ok(_) => {}
            // A spare segment got its name meanwhile. Nobody calls now, so no segment that holds something moves.
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => {}
            Err(why) => panic!("{}: {why}", entry.path().display()),
        }
    }
}

/// Every file with what it holds.
fn contents(of: &Path) -> std::collections::BTreeMap<std::ffi::OsString, Option<Vec<u8>>> {
    let entries = std::fs::read_dir(of).expect("a directory").map(|entry| entry.expect("an entry"));
    entries.map(|entry| (entry.file_name(), std::fs::read(entry.path()).ok())).collect()
}
