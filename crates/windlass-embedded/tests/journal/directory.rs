//! The directory of a store: whose it is, who may read it, and that one process owns it.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use windlass_embedded::disk::{Disk, FileDisk, OpenDirectoryError};
use windlass_embedded::journal::verify;
use windlass_embedded::lock::{DirectoryLock, LockError};

use crate::support::{batch, open_with, small};

const HOLD: &str = "WINDLASS_TEST_HOLD_LOCK";

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn directory_and_files_belong_to_their_owner_alone() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("a").join("store");
    let missing = FileDisk::open(&path, false).unwrap_err();
    assert!(matches!(missing, OpenDirectoryError::Missing { .. }), "{missing}");
    let disk = FileDisk::open(&path, true).unwrap();
    let _lock = DirectoryLock::acquire(&path).unwrap();
    let (mut journal, _, _) = open_with(Arc::new(disk), small(), 0).unwrap();
    journal.rotate(batch(b"snapshot"), 0).unwrap();
    assert_eq!(mode(&path), 0o700);
    for entry in std::fs::read_dir(&path).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn a_directory_with_other_files_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("thesis.txt"), "mine").unwrap();
    let error = FileDisk::open(directory.path(), true).unwrap_err();
    assert!(matches!(&error, OpenDirectoryError::NotOurs { found, .. } if found == "thesis.txt"), "{error}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    let file = directory.path().join("thesis.txt");
    let error = FileDisk::open(&file, true).unwrap_err();
    assert!(matches!(error, OpenDirectoryError::NotADirectory { .. }), "{error}");
}

#[test]
fn an_empty_directory_and_one_with_a_lock_alone_are_taken() {
    let directory = tempfile::tempdir().unwrap();
    FileDisk::open(directory.path(), false).unwrap();
    drop(DirectoryLock::acquire(directory.path()).unwrap());
    FileDisk::open(directory.path(), false).unwrap();
}

#[test]
fn symbolic_links_and_strange_names_are_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let outside = tempfile::NamedTempFile::new().unwrap();
    symlink(outside.path(), directory.path().join("000001.wlj")).unwrap();
    let disk = FileDisk::open(directory.path(), false).unwrap();
    assert!(disk.open("000001.wlj").is_err());
    assert!(disk.create("000001.wlj", 10).is_err());
    assert!(disk.create("../escaped", 10).is_err());
    assert!(disk.open("..").is_err());
    symlink(outside.path(), directory.path().join("lock")).unwrap();
    assert!(matches!(DirectoryLock::acquire(directory.path()), Err(LockError::Io { .. })));
}

#[test]
fn a_directory_that_is_only_read_can_be_verified_and_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(FileDisk::open(directory.path(), false).unwrap());
    let (mut journal, _, _) = open_with(disk, small(), 0).unwrap();
    journal.rotate(batch(b"snapshot"), 0).unwrap();
    journal.syncer().sync().unwrap();
    drop(journal);
    let disk = FileDisk::open_read_only(directory.path()).unwrap();
    let report = verify(&disk, &mut |_, _| ()).unwrap();
    assert_eq!((report.problems.len(), report.last_lsn), (0, 1));
    let file = disk.open(&report.segments[0].file).unwrap();
    assert!(file.write_all_at(b"x", 0).is_err());
}

#[test]
fn the_process_that_holds_a_directory_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = hold_in_child(directory.path());
    match DirectoryLock::acquire(directory.path()).unwrap_err() {
        LockError::Held { pid, command, .. } => {
            assert_eq!(pid, Some(child.id()));
            assert!(command.contains("the_lock_file_names_its_holder"), "{command}");
        }
        error => panic!("{error}"),
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let lock = DirectoryLock::acquire(directory.path()).unwrap();
    let again = DirectoryLock::acquire(directory.path()).unwrap_err();
    assert!(matches!(again, LockError::Held { pid: Some(pid), .. } if pid == std::process::id()), "{again}");
    drop(lock);
    DirectoryLock::acquire(directory.path()).unwrap();
}

/// Starts this very test program again, to do nothing but hold the lock until it is killed.
fn hold_in_child(directory: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "directory::the_lock_file_names_its_holder", "--nocapture"])
        .env(HOLD, directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("holding")), "the child ended early");
    child
}

/// Run by itself it checks the lock's text; started by the test above it is the other process.
#[test]
fn the_lock_file_names_its_holder() {
    let given = std::env::var_os(HOLD);
    let own = tempfile::tempdir().unwrap();
    let directory = given.as_ref().map_or(own.path(), Path::new);
    let lock = DirectoryLock::acquire(directory).unwrap();
    let text = std::fs::read_to_string(directory.join("lock")).unwrap();
    assert!(text.starts_with(&format!("{}\n", std::process::id())), "{text}");
    if given.is_some() {
        println!("holding");
        // Ends when the parent goes away, should it not kill us.
        let _ = std::io::stdin().read(&mut [0]);
    }
    drop(lock);
    assert_eq!(std::fs::read_to_string(directory.join("lock")).unwrap(), "");
}
