//! Directories that are not to be had: each is refused with a clear reason and left as it was.

use crate::script::{START, block_on, options, queue};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use windlass_core::store::{Admin, Queue, Store};
use windlass_core::{JobId, Kind, NewJob};
use windlass_embedded::clock::ManualClock;
use windlass_embedded::disk::{Disk, DiskFile, OpenDirectoryError, SimDisk};
use windlass_embedded::journal::OpenError as JournalOpenError;
use windlass_embedded::lock::LockError;
use windlass_embedded::{EmbeddedOptions, EmbeddedStore, OpenError};

const HOLD: &str = "WINDLASS_CRASH_HOLD";

fn fill(store: &EmbeddedStore) -> JobId {
    let id = JobId::named(START, "a job");
    let job = NewJob::new(id, queue("q"), Kind::new("kind").unwrap(), *b"{}");
    let now = Some(START);
    block_on(store.enqueue(vec![job], false, now)).unwrap().remove(0).unwrap();
    id
}

fn small() -> EmbeddedOptions {
    options(ManualClock::new(START), 1)
}

fn listing(path: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let one = |path: std::path::PathBuf| {
        (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap())
    };
    let mut all: Vec<_> = entries.map(one).collect();
    all.sort();
    all
}

#[test]
fn a_second_open_in_the_same_process_is_refused_and_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path(), small()).unwrap();
    let again = EmbeddedStore::open(directory.path(), small());
    let Err(OpenError::Locked(LockError::Held { pid, .. })) = again else { panic!("{again:?}") };
    assert_eq!(pid, Some(std::process::id()));
    fill(&store);
    drop(store);
    drop(EmbeddedStore::open(directory.path(), small()).expect("given up with the last handle"));
}

/// Started again by itself with a directory it is the other process; without one it checks the same within itself.
#[test]
fn a_directory_held_by_another_process_is_refused_with_that_process_named() {
    if let Some(directory) = std::env::var_os(HOLD) {
        let store = EmbeddedStore::open(Path::new(&directory), small()).unwrap();
        println!("holding");
        let _ = std::io::stdin().read(&mut [0]);
        drop(store);
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let test = "directory::a_directory_held_by_another_process_is_refused_with_that_process_named";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(HOLD, directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("holding")), "the other process ended early");
    let refused = EmbeddedStore::open(directory.path(), small()).unwrap_err();
    let said = refused.to_string();
    let OpenError::Locked(LockError::Held { pid, command, .. }) = refused else { panic!("{said}") };
    assert_eq!(pid, Some(child.id()));
    assert!(command.contains(test) && said.contains(&child.id().to_string()), "{said}");
    child.kill().unwrap();
    child.wait().unwrap();
    drop(EmbeddedStore::open(directory.path(), small()).expect("the kernel gave the lock back"));
}

#[test]
fn a_foreign_directory_is_refused_and_nothing_is_written_to_it() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("thesis.txt"), "mine").unwrap();
    let before = listing(directory.path());
    let refused = EmbeddedStore::open(directory.path(), small()).unwrap_err();
    assert!(matches!(&refused, OpenError::Directory(OpenDirectoryError::NotOurs { .. })), "{refused}");
    assert!(refused.to_string().contains("thesis.txt"), "{refused}");
    assert_eq!(listing(directory.path()), before);
}

#[test]
fn a_missing_directory_is_not_made_unless_asked_for() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("store");
    let refused = EmbeddedStore::open(&path, EmbeddedOptions { create: false, ..small() }).unwrap_err();
    assert!(matches!(&refused, OpenError::Directory(OpenDirectoryError::Missing { .. })), "{refused}");
    assert!(!path.exists());
}

/// The only segment of a closed store, for damage.
fn closed_store(directory: &Path) -> std::path::PathBuf {
    let store = EmbeddedStore::open(directory, small()).unwrap();
    fill(&store);
    block_on(store.close()).unwrap();
    let names = listing(directory).into_iter().filter(|(name, bytes)| {
        name.ends_with(".wlj") && bytes[8_192..].iter().any(|byte| *byte != 0) || name == "000001.wlj"
    });
    directory.join(names.map(|(name, _)| name).next().unwrap())
}

#[test]
fn a_newer_format_is_refused_and_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let segment = closed_store(directory.path());
    let mut bytes = std::fs::read(&segment).unwrap();
    // The format's number stands behind the eight bytes that name the file's kind, in both copies of the header.
    for at in [0, 2_048] {
        bytes[at + 8] += 1;
        let sum = crc32c::crc32c(&bytes[at..at + 252]);
        bytes[at + 252..at + 256].copy_from_slice(&sum.to_le_bytes());
    }
    std::fs::write(&segment, &bytes).unwrap();
    let before: Vec<_> = listing(directory.path()).into_iter().filter(|(name, _)| name != "lock").collect();
    let refused = EmbeddedStore::open(directory.path(), small()).unwrap_err();
    assert!(matches!(&refused, OpenError::Journal(JournalOpenError::NewerFormat { .. })), "{refused}");
    assert!(refused.to_string().contains("newer version"), "{refused}");
    let after: Vec<_> = listing(directory.path()).into_iter().filter(|(name, _)| name != "lock").collect();
    assert_eq!(after, before);
}

#[test]
fn a_damaged_segment_is_refused_with_the_place_and_the_repair_command() {
    let directory = tempfile::tempdir().unwrap();
    let segment = closed_store(directory.path());
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[4_096 + 40] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    let refused = EmbeddedStore::open(directory.path(), small()).unwrap_err();
    assert!(matches!(&refused, OpenError::Journal(JournalOpenError::Corrupt { .. })), "{refused}");
    let said = refused.to_string();
    assert!(said.contains("windlass doctor --repair") && said.contains("byte 4096"), "{said}");
}

/// A disk that lets itself be read and nothing else.
struct ReadOnly(SimDisk);

fn refused<T>() -> std::io::Result<T> {
    Err(std::io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Disk for ReadOnly {
    fn create(&self, _name: &str, _bytes: u64) -> std::io::Result<Arc<dyn DiskFile>> {
        refused()
    }

    fn open(&self, name: &str) -> std::io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(ReadOnlyFile(self.0.open(name)?)))
    }

    fn list(&self) -> std::io::Result<Vec<String>> {
        self.0.list()
    }

    fn remove(&self, _name: &str) -> std::io::Result<()> {
        refused()
    }

    fn rename(&self, _from: &str, _to: &str) -> std::io::Result<()> {
        refused()
    }

    fn sync_dir(&self) -> std::io::Result<()> {
        Ok(())
    }

    fn place(&self) -> String {
        self.0.place()
    }
}

struct ReadOnlyFile(Arc<dyn DiskFile>);

impl DiskFile for ReadOnlyFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn write_all_at(&self, _buf: &[u8], _offset: u64) -> std::io::Result<()> {
        refused()
    }

    fn sync_data(&self) -> std::io::Result<()> {
        Ok(())
    }

    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }
}

#[test]
fn a_read_only_directory_is_refused_with_the_systems_reason() {
    let disk = SimDisk::new();
    let store = EmbeddedStore::on_disk(Arc::new(disk.clone()), small()).unwrap();
    let id = fill(&store);
    drop(store);
    for disk in [ReadOnly(SimDisk::new()), ReadOnly(disk.clone())] {
        let said = EmbeddedStore::on_disk(Arc::new(disk), small()).unwrap_err().to_string();
        assert!(said.contains("read-only"), "{said}");
    }
    let store = EmbeddedStore::on_disk(Arc::new(disk), small()).unwrap();
    assert!(block_on(store.get(id)).unwrap().is_some(), "the attempt has done no harm");
}

#[test]
fn an_erased_store_is_gone_with_its_directory() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("store");
    let store = EmbeddedStore::open(&path, small()).unwrap();
    fill(&store);
    let held = EmbeddedStore::erase(&path);
    assert!(matches!(held, Err(OpenError::Locked(LockError::Held { .. }))), "{held:?}");
    let id = fill(&store);
    drop(store);
    assert!(
        block_on(EmbeddedStore::open(&path, small()).unwrap().get(id)).unwrap().is_some(),
        "left as it was"
    );
    std::fs::write(path.join("salvage-1.bin"), "payloads").unwrap();
    assert!(EmbeddedStore::erase(&path).unwrap());
    assert!(!path.exists());
    assert!(!EmbeddedStore::erase(&path).unwrap(), "there is none any more");
    assert_eq!(block_on(EmbeddedStore::open(&path, small()).unwrap().info()).unwrap().jobs, 0);
}

#[test]
fn files_that_are_not_the_stores_are_not_erased() {
    let directory = tempfile::tempdir().unwrap();
    let mine = [("thesis.txt".to_owned(), b"mine".to_vec())];
    std::fs::write(directory.path().join("thesis.txt"), "mine").unwrap();
    let told = EmbeddedStore::erase(directory.path());
    assert!(
        matches!(told, Err(OpenError::Directory(OpenDirectoryError::NotOurs { .. }))),
        "no store at all: {told:?}"
    );
    assert_eq!(listing(directory.path()), mine);
    std::fs::remove_file(directory.path().join("thesis.txt")).unwrap();
    fill(&EmbeddedStore::open(directory.path(), small()).unwrap());
    std::fs::write(directory.path().join("thesis.txt"), "mine").unwrap();
    assert!(EmbeddedStore::erase(directory.path()).unwrap());
    assert_eq!(listing(directory.path()), mine);
    let empty = tempfile::tempdir().unwrap();
    assert!(!EmbeddedStore::erase(empty.path()).unwrap(), "an empty directory is no store");
    assert_eq!(listing(empty.path()), []);
}

#[test]
fn what_half_an_erasure_leaves_does_not_open_and_can_be_erased() {
    let directory = tempfile::tempdir().unwrap();
    fill(&EmbeddedStore::open(directory.path(), small()).unwrap());
    // The system does not remove a directory as it does a file: the erasure stops before it comes to the segments.
    let obstacle = directory.path().join("000000.new");
    std::fs::create_dir(&obstacle).unwrap();
    EmbeddedStore::erase(directory.path()).expect_err("stopped");
    std::fs::remove_dir(&obstacle).unwrap();
    let told = EmbeddedStore::open(directory.path(), small());
    assert!(matches!(told, Err(OpenError::Journal(_))), "{told:?}");
    assert!(EmbeddedStore::erase(directory.path()).unwrap());
    assert!(!directory.path().exists());
}
