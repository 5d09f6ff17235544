//! The data directory that version 0.1 wrote, which every later version opens.
//!
//! `fixtures/embedded-0.1` was written once by this very script; it is never written again. To write the fixture of
//! a new version: `WINDLASS_WRITE_FIXTURE=fixtures/embedded-X.Y cargo test -p windlass-embedded --test engine_crash
//! golden`, with the path counted from the workspace's root.

use crate::dump::{difference, dump, list};
use crate::script::{KINDS, LONG_SEGMENT, block_on, options, tell};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use windlass_core::Time;
use windlass_core::store::{Admin, Queue, Store};
use windlass_embedded::EmbeddedStore;
use windlass_embedded::clock::ManualClock;
use windlass_embedded::disk::{Disk, MemoryDisk, SimDisk};

const WRITE: &str = "WINDLASS_WRITE_FIXTURE";
const SEED: u64 = 0x676f_6c64;
const STEPS: u64 = 3 * KINDS;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Segments are kept without the zeros behind what was written, each with its whole length beside it.
fn write_fixture(directory: &Path) {
    assert!(!directory.exists(), "{} is there; a fixture is never written again", directory.display());
    std::fs::create_dir_all(directory).unwrap();
    let disk = SimDisk::new();
    let told = block_on(tell(Arc::new(disk.clone()), SEED, LONG_SEGMENT, STEPS, || ()));
    let mut lengths = String::new();
    for name in disk.list().unwrap() {
        let bytes = disk.bytes(&name);
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        std::fs::write(directory.join(&name), &bytes[..used]).unwrap();
        lengths.push_str(&format!("{name} {}\n", bytes.len()));
    }
    let last = told.last().expect("the last step");
    std::fs::write(directory.join("lengths.txt"), lengths).unwrap();
    std::fs::write(directory.join("clock_ms.txt"), format!("{}\n", last.at.0)).unwrap();
    std::fs::write(directory.join("content.jsonl"), &last.text).unwrap();
}

/// A copy of the directory, as it stood when it was written.
fn copy(directory: &Path) -> MemoryDisk {
    let disk = MemoryDisk::new();
    for line in std::fs::read_to_string(directory.join("lengths.txt")).unwrap().lines() {
        let (name, length) = line.split_once(' ').expect("a name and a length");
        let file = disk.create(name, length.parse().unwrap()).unwrap();
        file.write_all_at(&std::fs::read(directory.join(name)).unwrap(), 0).unwrap();
    }
    disk
}

#[test]
fn the_directory_that_version_0_1_wrote_opens_with_everything_in_it() {
    if let Some(path) = std::env::var_os(WRITE) {
        write_fixture(&root().join(path));
        return;
    }
    let fixture = root().join("fixtures/embedded-0.1");
    let at = std::fs::read_to_string(fixture.join("clock_ms.txt")).unwrap().trim().parse().unwrap();
    let content = std::fs::read_to_string(fixture.join("content.jsonl")).unwrap();
    let clock = ManualClock::new(Time(at));
    let store = EmbeddedStore::on_disk(Arc::new(copy(&fixture)), options(clock, 5)).unwrap();
    block_on(async {
        let text = dump(&store).await.unwrap();
        assert!(text == content, "{}", difference(&content, &text));
        // And it goes on from there.
        let known = list(&store).await.unwrap();
        assert!(known.len() > 20, "the fixture holds {} jobs", known.len());
        let live = known.iter().find(|view| view.state.is_waiting()).expect("a live job").id;
        assert!(store.cancel(vec![live], None).await.unwrap()[0].is_ok());
        assert!(store.get(live).await.unwrap().unwrap().view.state.is_terminal());
        store.close().await.unwrap();
    });
}
