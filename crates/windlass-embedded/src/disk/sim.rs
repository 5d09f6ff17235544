//! A disk that behaves as badly as real ones may, for tests.
//!
//! Every write, creation, rename and removal that no sync has covered yet is kept in a log. [`SimDisk::crash`] makes
//! the disk that a power cut leaves behind: each entry of that log is kept, lost or torn by itself, in any
//! combination. Faults can be planned: the n-th read, write or sync fails, the power goes after n operations, space
//! ends after n bytes. After a failed sync the written bytes stay visible but never reach the disk, as on Linux.
//!
//! The value is a plain model without threads, time or chance: the test chooses every fate.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile};

/// Space is handed out in blocks of this size, as file systems do.
const BLOCK_BYTES: u64 = 4096;

/// What becomes of one un-synced operation in a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It reached the disk in time.
    Kept,
    /// It did not.
    Lost,
    /// Only the first bytes of the write did; for names the same as [`Fate::Lost`].
    Prefix(usize),
    /// Only the last bytes of the write did: all from this one on.
    Suffix(usize),
}

/// One operation that a power cut may still undo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsynced {
    /// A write of `bytes` bytes at `offset` of the file that has this name now.
    Write {
        /// The file's name, empty when it has been removed.
        name: String,
        /// Where the write began.
        offset: u64,
        /// How much it wrote.
        bytes: usize,
    },
    /// A creation, rename or removal.
    Name(String),
}

/// The classes of operations that are counted, and that can be told to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// [`DiskFile::read_exact_at`].
    Read,
    /// [`DiskFile::write_all_at`].
    Write,
    /// [`DiskFile::sync_data`] and [`Disk::sync_dir`].
    Sync,
    /// [`Disk::create`], [`Disk::rename`] and [`Disk::remove`].
    Name,
}

/// A simulated disk; clones share it.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Default)]
struct State {
    files: BTreeMap<u64, FileState>,
    names: BTreeMap<String, u64>,
    names_on_disk: BTreeMap<String, u64>,
    unsynced: Vec<Change>,
    next_file: u64,
    counts: BTreeMap<Operation, u64>,
    total: u64,
    power_off_after: Option<u64>,
    failures: Vec<Failure>,
    space_left: Option<u64>,
}

#[derive(Clone, Default)]
struct FileState {
    cached: Vec<u8>,
    on_disk: Vec<u8>,
    allocated: BTreeSet<u64>,
}

#[derive(Clone)]
enum Change {
    Length { file: u64, bytes: usize },
    Write { file: u64, offset: usize, bytes: Vec<u8> },
    Create { name: String, file: u64 },
    Remove { name: String },
    Rename { from: String, to: String },
}

#[derive(Clone)]
struct Failure {
    operation: Operation,
    nth: u64,
    lasting: bool,
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state();
        f.debug_struct("SimDisk")
            .field("names", &state.names)
            .field("counts", &state.counts)
            .finish_non_exhaustive()
    }
}

impl SimDisk {
    /// An empty disk without faults.
    pub fn new() -> Self {
        Self { state: Arc::default() }
    }

    /// A copy that shares nothing with this disk, un-synced operations included.
    pub fn fork(&self) -> Self {
        Self { state: Arc::new(Mutex::new(self.state().clone())) }
    }

    /// What a power cut now could undo, oldest first; the n-th answers to the n-th fate of [`SimDisk::crash`].
    pub fn unsynced(&self) -> Vec<Unsynced> {
        let state = self.state();
        state.unsynced.iter().map(|change| state.describe(change)).collect()
    }

    /// The disk that a power cut leaves: each un-synced operation meets its own fate ([`Fate::Lost`] where none is
    /// given). The new disk has no faults planned; this one is not changed, so other fates can be tried.
    pub fn crash(&self, fates: &[Fate]) -> Self {
        let mut state = self.state().clone();
        let changes = std::mem::take(&mut state.unsynced);
        for (number, change) in changes.into_iter().enumerate() {
            state.settle(change, fates.get(number).copied().unwrap_or(Fate::Lost));
        }
        let mut rebooted = State { next_file: state.next_file, ..State::default() };
        for (name, file) in state.names_on_disk {
            let mut content = state.files.remove(&file).unwrap_or_default();
            content.cached.clone_from(&content.on_disk);
            rebooted.files.insert(file, content);
            rebooted.names.insert(name.clone(), file);
            rebooted.names_on_disk.insert(name, file);
        }
        Self { state: Arc::new(Mutex::new(rebooted)) }
    }

    /// Every operation after the next `operations` fails and does nothing: the power went off there.
    pub fn power_off_after(&self, operations: u64) {
        let mut state = self.state();
        state.power_off_after = Some(state.total + operations);
    }

    /// Takes back [`SimDisk::power_off_after`] as if only the process had ended: un-synced operations stay.
    pub fn power_on(&self) {
        self.state().power_off_after = None;
    }

    /// Lets the n-th operation of this class from now (1 = the next one) fail with EIO, and all later ones if `lasting`.
    pub fn fail_nth(&self, operation: Operation, nth: u64, lasting: bool) {
        let mut state = self.state();
        let nth = state.count(operation) + nth;
        state.failures.push(Failure { operation, nth, lasting });
    }

    /// Lets no more than `bytes` further bytes be allocated; `None` takes the bound away.
    pub fn limit_space(&self, bytes: Option<u64>) {
        self.state().space_left = bytes;
    }

    /// How many operations of this class were asked for so far.
    pub fn count(&self, operation: Operation) -> u64 {
        self.state().count(operation)
    }

    /// How many operations of the classes that change the disk were asked for so far.
    pub fn changes(&self) -> u64 {
        self.state().total
    }

    /// The visible bytes of a file.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.files[&state.names[name]].cached.clone()
    }

    /// Replaces a file's bytes, on the disk itself: damage, or a directory written elsewhere. Creates the file if needed.
    pub fn set_bytes(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.state();
        let state = &mut *state;
        let file = *state.names.entry(name.to_owned()).or_insert_with(|| {
            state.next_file += 1;
            state.next_file
        });
        state.names_on_disk.insert(name.to_owned(), file);
        let allocated = (0..(bytes.len() as u64).div_ceil(BLOCK_BYTES)).collect();
        state.files.insert(file, FileState { cached: bytes.clone(), on_disk: bytes, allocated });
    }

    /// Flips one bit of a file, on the disk itself.
    ///
    /// # Panics
    /// When there is no such file or it is shorter.
    pub fn flip_bit(&self, name: &str, offset: usize, bit: u8) {
        let mut state = self.state();
        let file = state.names[name];
        let content = state.files.get_mut(&file).expect("every name has a file");
        content.cached[offset] ^= 1 << bit;
        content.on_disk[offset] ^= 1 << bit;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&self, operation: Operation) -> u64 {
        self.counts.get(&operation).copied().unwrap_or(0)
    }

    fn start(&mut self, operation: Operation) -> io::Result<()> {
        let count = self.counts.entry(operation).or_insert(0);
        *count += 1;
        let count = *count;
        if operation != Operation::Read {
            self.total += 1;
        }
        if self.power_off_after.is_some_and(|after| self.total > after) {
            return Err(io::Error::other("the power is off"));
        }
        let failure = self.failures.iter().find(|failure| {
            failure.operation == operation && (failure.nth == count || failure.lasting && failure.nth < count)
        });
        match failure {
            Some(_) => Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())),
            None => Ok(()),
        }
    }

    fn file(&mut self, file: u64) -> &mut FileState {
        self.files.entry(file).or_default()
    }

    fn allocate(&mut self, file: u64, offset: u64, bytes: u64) -> io::Result<()> {
        let blocks: Vec<u64> = (offset / BLOCK_BYTES..(offset + bytes).div_ceil(BLOCK_BYTES))
            .filter(|block| !self.files[&file].allocated.contains(block))
            .collect();
        let wanted = blocks.len() as u64 * BLOCK_BYTES;
        if let Some(left) = &mut self.space_left {
            if *left < wanted {
                return Err(io::ErrorKind::StorageFull.into());
            }
            *left -= wanted;
        }
        self.file(file).allocated.extend(blocks);
        Ok(())
    }

    fn settle(&mut self, change: Change, fate: Fate) {
        if fate == Fate::Lost {
            return;
        }
        let kept = fate == Fate::Kept;
        match change {
            Change::Length { file, bytes } if kept => {
                let content = &mut self.file(file).on_disk;
                content.resize(bytes.max(content.len()), 0);
            }
            Change::Write { file, offset, bytes } => {
                let range = match fate {
                    Fate::Prefix(len) => 0..len.min(bytes.len()),
                    Fate::Suffix(from) => from.min(bytes.len())..bytes.len(),
                    Fate::Kept | Fate::Lost => 0..bytes.len(),
                };
                put(&mut self.file(file).on_disk, offset + range.start, &bytes[range]);
            }
            Change::Create { name, file } if kept => {
                self.names_on_disk.insert(name, file);
            }
            Change::Remove { name } if kept => {
                self.names_on_disk.remove(&name);
            }
            Change::Rename { from, to } if kept => {
                if let Some(file) = self.names_on_disk.remove(&from) {
                    self.names_on_disk.insert(to, file);
                }
            }
            Change::Length { .. } | Change::Create { .. } | Change::Remove { .. } | Change::Rename { .. } => {
            }
        }
    }

    fn describe(&self, change: &Change) -> Unsynced {
        match change {
            Change::Length { file, bytes } => {
                Unsynced::Name(format!("length {bytes} of {}", self.name_of(*file)))
            }
            Change::Write { file, offset, bytes } => {
                Unsynced::Write { name: self.name_of(*file), offset: *offset as u64, bytes: bytes.len() }
            }
            Change::Create { name, .. } => Unsynced::Name(format!("create {name}")),
            Change::Remove { name } => Unsynced::Name(format!("remove {name}")),
            Change::Rename { from, to } => Unsynced::Name(format!("rename {from} to {to}")),
        }
    }

    fn name_of(&self, file: u64) -> String {
        self.names.iter().find(|(_, id)| **id == file).map(|(name, _)| name.clone()).unwrap_or_default()
    }

    /// Separates the un-synced operations that a sync is to cover from the others.
    fn take_unsynced(&mut self, covered: impl Fn(&Change) -> bool) -> Vec<Change> {
        let all = std::mem::take(&mut self.unsynced);
        let (taken, left) = all.into_iter().partition(covered);
        self.unsynced = left;
        taken
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if content.len() < offset + bytes.len() {
        content.resize(offset + bytes.len(), 0);
    }
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}

impl Disk for SimDisk {
    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.start(Operation::Name)?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.next_file += 1;
        let file = state.next_file;
        state.file(file).cached.resize(bytes as usize, 0);
        state.names.insert(name.to_owned(), file);
        state.unsynced.push(Change::Create { name: name.to_owned(), file });
        state.unsynced.push(Change::Length { file, bytes: bytes as usize });
        Ok(Arc::new(SimFile { disk: self.clone(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = *self.state().names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), file }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.start(Operation::Name)?;
        let file = state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        let freed = state.files[&file].allocated.len() as u64 * BLOCK_BYTES;
        if let Some(left) = &mut state.space_left {
            *left += freed;
        }
        state.unsynced.push(Change::Remove { name: name.to_owned() });
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.start(Operation::Name)?;
        let file = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), file);
        state.unsynced.push(Change::Rename { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state();
        state.start(Operation::Sync)?;
        let names =
            state.take_unsynced(|change| !matches!(change, Change::Length { .. } | Change::Write { .. }));
        for change in names {
            state.settle(change, Fate::Kept);
        }
        Ok(())
    }

    fn place(&self) -> String {
        "simulated".to_owned()
    }
}

struct SimFile {
    disk: SimDisk,
    file: u64,
}

impl SimFile {
    fn is_mine(&self, change: &Change) -> bool {
        matches!(change, Change::Length { file, .. } | Change::Write { file, .. } if *file == self.file)
    }
}

impl DiskFile for SimFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.start(Operation::Read)?;
        let content = &state.file(self.file).cached;
        let range = offset as usize..offset as usize + buf.len();
        buf.copy_from_slice(content.get(range).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.start(Operation::Write)?;
        state.allocate(self.file, offset, buf.len() as u64)?;
        put(&mut state.file(self.file).cached, offset as usize, buf);
        state.unsynced.push(Change::Write { file: self.file, offset: offset as usize, bytes: buf.to_vec() });
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let started = state.start(Operation::Sync);
        let powered = state.power_off_after.is_none_or(|after| state.total <= after);
        if started.is_err() && !powered {
            return started;
        }
        let mine = state.take_unsynced(|change| self.is_mine(change));
        // A failed sync leaves its pages marked clean: they are seen until dropped, and are never written again.
        started?;
        for change in mine {
            state.settle(change, Fate::Kept);
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().file(self.file).cached.len() as u64)
    }

    fn drop_cache(&self, offset: u64, bytes: u64) {
        let mut state = self.disk.state();
        let mut content = state.file(self.file).on_disk.clone();
        for change in &state.unsynced {
            match change {
                Change::Length { file, bytes } if *file == self.file => {
                    content.resize(content.len().max(*bytes), 0);
                }
                Change::Write { file, offset, bytes } if *file == self.file => {
                    put(&mut content, *offset, bytes)
                }
                _ => {}
            }
        }
        let cached = &mut state.file(self.file).cached;
        content.resize(cached.len(), 0);
        let until = (offset + bytes).min(cached.len() as u64) as usize;
        let dropped = (offset as usize).min(until)..until;
        cached[dropped.clone()].copy_from_slice(&content[dropped]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(disk: &SimDisk, name: &str) -> Vec<u8> {
        disk.bytes(name)
    }

    fn durable_file(disk: &SimDisk) -> Arc<dyn DiskFile> {
        let file = disk.create("a", 4).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir().unwrap();
        file
    }

    #[test]
    fn each_unsynced_write_is_kept_lost_or_torn_by_itself() {
        let disk = SimDisk::new();
        let file = durable_file(&disk);
        file.write_all_at(b"ab", 0).unwrap();
        file.write_all_at(b"cd", 2).unwrap();
        assert_eq!(disk.unsynced().len(), 2);
        assert_eq!(read(&disk.crash(&[Fate::Lost, Fate::Kept]), "a"), b"\0\0cd");
        assert_eq!(read(&disk.crash(&[Fate::Prefix(1), Fate::Suffix(1)]), "a"), b"a\0\0d");
        file.sync_data().unwrap();
        assert_eq!(read(&disk.crash(&[]), "a"), b"abcd");
    }

    #[test]
    fn a_name_is_lost_until_the_directory_is_synced() {
        let disk = SimDisk::new();
        let file = disk.create("a", 4).unwrap();
        file.sync_data().unwrap();
        disk.rename("a", "b").unwrap();
        assert!(disk.crash(&[]).list().unwrap().is_empty());
        disk.sync_dir().unwrap();
        assert_eq!(disk.crash(&[]).list().unwrap(), ["b"]);
    }

    #[test]
    fn bytes_of_a_failed_sync_are_seen_until_the_cache_is_dropped() {
        let disk = SimDisk::new();
        let file = durable_file(&disk);
        file.write_all_at(b"abcd", 0).unwrap();
        disk.fail_nth(Operation::Sync, 1, false);
        assert!(file.sync_data().is_err());
        assert_eq!(read(&disk, "a"), b"abcd");
        file.sync_data().unwrap();
        assert_eq!(read(&disk.crash(&[]), "a"), b"\0\0\0\0");
        file.drop_cache(0, 4);
        assert_eq!(read(&disk, "a"), b"\0\0\0\0");
    }
}
