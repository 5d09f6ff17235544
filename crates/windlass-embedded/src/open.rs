//! Opening a store: replay, what a new start owes, and the threads.

use crate::clock::{Clock, Entropy, Now, SystemClock, SystemEntropy};
use crate::codec::Decoder;
use crate::compact::Compactor;
use crate::decide::{Core, Out};
use crate::disk::{Disk, FileDisk, MemoryDisk, OpenDirectoryError};
use crate::engine::{Ack, Engine, Shared, SyncQueue, TimeBase};
use crate::fact::Fact;
use crate::journal::{
    BATCH_HEADER_BYTES, Journal, JournalError, JournalOptions, Position, Recovery, ReplayError, Replayed,
};
use crate::lock::{DirectoryLock, LockError};
use crate::machine::Machine;
use crate::machine::slots::{Nursery, chunks_of, empty_chunk};
use crate::store::{EmbeddedStore, Handle};
use crate::watch::Watchers;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use windlass_core::event::Cause;
use windlass_core::store::AckLevel;

/// What becomes of leases that the last process left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtOpen {
    /// They end as lost: the workers lived in the process that owned the store, and it is gone.
    #[default]
    EndLeases,
    /// They hold for one full lease again: the workers live elsewhere and may still be at work.
    RenewLeases,
}

/// At least so much of the event log stays for readers that come later; a directory of that size hurts nobody.
const SLACK_BYTES_DEFAULT: u64 = 256 << 20;
/// So much of it stays for a reader that is behind: hours of a busy queue, on a disk that people would not miss.
const READERS_BYTES_DEFAULT: u64 = 1 << 30;

/// How a store is opened.
#[derive(Clone)]
pub struct EmbeddedOptions {
    /// What an acknowledgement survives.
    pub ack_level: Ack,
    /// Make the directory if there is none.
    pub create: bool,
    /// What becomes of leases from before.
    pub leases: AtOpen,
    /// Where the engine reads the time.
    pub clock: Arc<dyn Clock>,
    /// Where it takes random numbers.
    pub entropy: Arc<dyn Entropy>,
    /// Sizes of the journal's segments.
    pub journal: JournalOptions,
    /// Bytes that may lie dead beside the live ones before old segments are given back, and the event log in them with
    /// them: history against disk.
    pub slack_bytes: u64,
    /// Bytes of the event log that a registered reader may hold back from being trimmed, and jobs with them.
    pub readers_bytes: u64,
    /// Open although segments at the front are missing, and lose what they held: what `windlass doctor --repair` does.
    pub without_missing_segments: bool,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            ack_level: Ack::Power,
            create: true,
            leases: AtOpen::EndLeases,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            journal: JournalOptions::default(),
            slack_bytes: SLACK_BYTES_DEFAULT,
            readers_bytes: READERS_BYTES_DEFAULT,
            without_missing_segments: false,
        }
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory is missing, not ours, or not accessible.
    #[error(transparent)]
    Directory(#[from] OpenDirectoryError),
    /// Another process owns it.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// Its journal cannot be read.
    #[error(transparent)]
    Journal(#[from] crate::journal::OpenError),
    /// The first write failed.
    #[error("cannot begin a new segment: {0}")]
    Begin(#[from] crate::journal::JournalError),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

impl EmbeddedStore {
    /// Opens the store in a directory, taking sole ownership of it.
    ///
    /// # Errors
    /// [`OpenError`], which says what to do; [`OpenError::Locked`] names the process that owns it.
    pub fn open(path: &Path, options: EmbeddedOptions) -> Result<Self, OpenError> {
        let disk = FileDisk::open(path, options.create)?;
        let lock = DirectoryLock::acquire(path)?;
        let level = match options.ack_level {
            Ack::Power => AckLevel::Power,
            Ack::Process => AckLevel::Process,
        };
        start(Arc::new(disk), "embedded", level, options, Some(lock))
    }

    /// A store in memory: the same engine on a disk that is gone with the process.
    ///
    /// # Panics
    /// When the system gives no thread, as `std::thread::spawn` does.
    pub fn memory(options: EmbeddedOptions) -> Self {
        let mut options = options;
        options.ack_level = Ack::Process;
        options.journal.inline_spares = true;
        start(Arc::new(MemoryDisk::new()), "memory", AckLevel::None, options, None)
            .expect("an empty disk in memory opens, and the system gives three threads")
    }

    /// Opens the store on any disk: for simulation.
    ///
    /// # Errors
    /// As [`EmbeddedStore::open`].
    pub fn on_disk(disk: Arc<dyn Disk>, options: EmbeddedOptions) -> Result<Self, OpenError> {
        let level = match options.ack_level {
            Ack::Power => AckLevel::Power,
            Ack::Process => AckLevel::Process,
        };
        start(disk, "embedded", level, options, None)
    }
}

/// Opens the store in a directory that is locked already.
pub(crate) fn open_locked(
    disk: Arc<FileDisk>,
    options: EmbeddedOptions,
    lock: DirectoryLock,
) -> Result<EmbeddedStore, OpenError> {
    start(disk, "embedded", AckLevel::Power, options, Some(lock))
}

/// Jobs that a replay makes room for at once: what a snapshot says is checked by nothing else than this.
const OUTLOOK_JOBS_MAX: usize = 1 << 28;
/// Jobs below which a replay ends before a thread of its own would pay.
const NURSERY_JOBS_MIN: usize = 100_000;
/// Chunks made ahead, 256 KiB each: the replay takes one in a few milliseconds.
const NURSERY_AHEAD: usize = 8;

fn start(
    disk: Arc<dyn Disk>,
    kind: &'static str,
    level: AckLevel,
    options: EmbeddedOptions,
    lock: Option<DirectoryLock>,
) -> Result<EmbeddedStore, OpenError> {
    let entropy = Arc::clone(&options.entropy);
    let mut machine = Machine::new(entropy.next_u64());
    let threads = !options.journal.inline_spares;
    let (ground, mut first) = (Arc::clone(&disk), None);
    let (journal, recovery) =
        Journal::open(disk, options.journal.clone(), &mut || entropy.next_u64(), &mut |shown| match shown {
            Replayed::Outlook { body } => prepare(&mut machine, body, threads),
            Replayed::Segment { sequence } => {
                first.get_or_insert(sequence);
                Ok(())
            }
            Replayed::Batch { position, body, .. } => replay(&mut machine, position, body),
            Replayed::End => match missing(machine.given_back, first) {
                Some(why) if !options.without_missing_segments => Err(ReplayError::new(why)),
                _ => Ok(()),
            },
        })?;
    // What is gone by now, with or without anybody's word, is missed no more.
    let told = machine.given_back;
    machine.given_back = told.max(Some(first.map_or(0, |first| first - 1)));
    let gone_unsaid = machine.given_back != told;
    machine.finish_replay();

    let wall = options.clock.wall_ms();
    let time = TimeBase {
        steady_at_open: options.clock.steady_ms(),
        // Store time goes on where it stood; time that passed while nobody was there counts too.
        store_at_open: machine.now.store.max(wall),
        clock: Arc::clone(&options.clock),
    };
    machine.now = Now { wall, store: time.store_at_open };
    let shared = Shared::new();
    let syncs = SyncQueue::new();
    let syncer = journal.syncer();
    let reader = journal.reader();
    let core = Core {
        machine,
        out: Out::new(Position { segment: 0, offset: 0 }),
        space_low: false,
        watchers: Watchers::default(),
        reader: reader.clone(),
        disk_bytes: 0,
        first_segment: 0,
        reach: 0,
        children_left: 0,
    };
    let mut engine = Engine {
        core,
        journal,
        shared: Arc::clone(&shared),
        syncs: Arc::clone(&syncs),
        syncer: syncer.clone(),
        ack: options.ack_level,
        time,
        compactor: Compactor::new(
            Arc::clone(&shared),
            reader.clone(),
            options.slack_bytes,
            options.readers_bytes,
        )?,
        pending: Vec::new(),
        unsynced: VecDeque::new(),
        last_dirty: 0,
        last_lsn: 0,
        marked: false,
        more_due: false,
        begun: false,
        giving_back: None,
        check_compaction: false,
    };
    if recovery.fresh || gone_unsaid || engine.core.machine.leases.iter().next().is_some() {
        engine.begin(options.leases)?;
    } else {
        must_be_writable(&*ground)?;
        engine.wait_with_begin(recovery.last_lsn);
    }

    let posting = Arc::clone(&shared);
    options.clock.on_change(Arc::new(move || {
        let _ = posting.post(crate::engine::Message::Wake);
    }));
    let (syncing, queue) = (Arc::clone(&shared), syncs);
    let sync_thread = std::thread::Builder::new()
        .name("windlass-sync".into())
        .spawn(move || queue.run(&syncer, &syncing))?;
    let thread = std::thread::Builder::new().name("windlass-engine".into()).spawn(move || {
        engine.run();
        let _ = sync_thread.join();
        drop(lock);
    })?;
    Ok(EmbeddedStore(Arc::new(Handle {
        shared,
        reader,
        kind,
        level,
        recovery: describe(&recovery),
        thread: Mutex::new(Some(thread)),
    })))
}

/// A file that is made and removed to see whether that can be done; a crash in between leaves it, and nobody minds.
const PROBE: &str = "probe";

/// A store that cannot be written is refused when it is opened, not at its first change. One that is merely full is
/// not: it can still be looked at, and emptied.
fn must_be_writable(disk: &dyn Disk) -> Result<(), OpenError> {
    match disk.create(PROBE, 0).map(drop) {
        Err(why) if why.kind() == std::io::ErrorKind::StorageFull => return Ok(()),
        Err(why) if why.kind() != std::io::ErrorKind::AlreadyExists => return Err(not_writable(disk, why)),
        _ => {}
    }
    disk.remove(PROBE).map_err(|why| not_writable(disk, why))
}

fn not_writable(disk: &dyn Disk, source: std::io::Error) -> OpenError {
    let (place, file) = (disk.place(), PROBE.to_owned());
    OpenError::Journal(crate::journal::OpenError::Io { place, operation: "create and remove", file, source })
}

/// What is wrong when a journal begins with this segment and states that all up to another one may be gone.
pub(crate) fn missing(given_back: Option<u32>, first: Option<u32>) -> Option<String> {
    // The first versions did not state it.
    let (given_back, first) = (given_back?, first?);
    let missing = given_back + 1..first;
    (!missing.is_empty()).then(|| {
        format!(
            "the journal begins with segment {first}, and segments {} to {} are missing although what they hold is \
             needed; restore a backup, or run `windlass doctor --repair`, which goes on without them",
            missing.start,
            first - 1,
        )
    })
}

/// What a batch says of segments that may be gone.
pub(crate) fn given_back_in(body: &[u8]) -> Option<u32> {
    let mut from = Decoder::new(body);
    let mut through = None;
    while let Ok(fact) = Fact::decode(&mut from, false) {
        through = through.max(match fact {
            Fact::GivenBack { through } => Some(through),
            Fact::Snapshot { state } => Machine::given_back_in_snapshot(state),
            _ => None,
        });
    }
    through
}

/// Makes room for the jobs that are to come.
fn prepare(machine: &mut Machine, snapshot: &[u8], threads: bool) -> Result<(), ReplayError> {
    let mut from = Decoder::new(snapshot);
    let mut jobs = 0;
    while let Ok(fact) = Fact::decode(&mut from, false) {
        if let Fact::Snapshot { state } = fact {
            jobs = Machine::jobs_in_snapshot(state).min(OUTLOOK_JOBS_MAX);
        }
    }
    machine.index.reserve(jobs);
    if threads && jobs >= NURSERY_JOBS_MIN {
        machine.slots.set_nursery(Some(nursery(chunks_of(jobs))?));
    }
    Ok(())
}

/// A thread that makes so many chunks of slots, a few ahead; it ends with them, or when nobody takes them any more.
fn nursery(chunks: usize) -> Result<Nursery, ReplayError> {
    let (made, taken) = std::sync::mpsc::sync_channel(NURSERY_AHEAD);
    let work = move || {
        for _ in 0..chunks {
            if made.send(empty_chunk()).is_err() {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("windlass-nursery".into()).spawn(work);
    thread.map_err(|why| ReplayError::new(format!("cannot start a thread: {why}")))?;
    Ok(Box::new(taken.into_iter()))
}

/// Applies one batch of the journal.
fn replay(machine: &mut Machine, position: Position, body: &[u8]) -> Result<(), ReplayError> {
    let mut from = Decoder::new(body);
    while !from.is_empty() {
        let at = from.pos();
        let fact = Fact::decode(&mut from, false).map_err(|why| ReplayError::new(why.to_string()))?;
        let place = Position {
            segment: position.segment,
            offset: position.offset + (BATCH_HEADER_BYTES + at) as u32,
        };
        machine.apply(&fact, place, (from.pos() - at) as u32).map_err(ReplayError::new)?;
    }
    Ok(())
}

fn describe(recovery: &Recovery) -> String {
    if recovery.fresh {
        return "new store".into();
    }
    let mut said = format!(
        "replayed {} batches, {} bytes, {} segments",
        recovery.batches, recovery.bytes, recovery.segments
    );
    if recovery.torn_bytes > 0 {
        said.push_str(&format!(
            "; cut a torn tail of {} bytes that was never acknowledged",
            recovery.torn_bytes
        ));
    }
    for healed in &recovery.healed_headers {
        said.push_str("; ");
        said.push_str(healed);
    }
    said
}

impl Engine {
    /// Nobody holds a lease: until somebody wants to change something, the store is what it was.
    fn wait_with_begin(&mut self, last_lsn: u64) {
        self.core.out = Out::new(self.journal.next_position());
        self.marked = true;
        self.shared.durable.send_replace(last_lsn);
        self.count_disk();
    }

    /// Writes what a start owes, before the first change; false while the disk has no room for it.
    pub(crate) fn begin_once(&mut self) -> Result<bool, JournalError> {
        if self.begun {
            return Ok(true);
        }
        // There are no leases, so nothing becomes of them.
        match self.begin(AtOpen::RenewLeases) {
            Err(JournalError::NoSpace) => {
                self.core.space_low = true;
                if self.begun {
                    // The epoch is written: no claim may be answered before it is durable.
                    self.syncer.sync()?;
                }
                Ok(self.begun)
            }
            outcome => outcome.map(|()| true),
        }
    }

    /// What a start owes before anybody is served: a new segment, a new epoch of lease counters, and
    /// the leases of the process before.
    fn begin(&mut self, leases: AtOpen) -> Result<(), JournalError> {
        let now = self.core.machine.now;
        self.rotate(crate::engine::REQUEST_ROOM)?;
        self.begun = true;
        self.core.begin(now);
        let epoch = self.core.machine.epoch + 1;
        self.core.emit(&Fact::Epoch { epoch });
        let held: Vec<(u32, u32)> = self.core.machine.leases.iter().map(|(at, l)| (at, l.slot)).collect();
        for (lease, slot) in held {
            match leases {
                AtOpen::EndLeases => {
                    self.start_room(1_024)?;
                    self.core.begin(now);
                    self.core.lose(slot, Cause::Restart);
                }
                AtOpen::RenewLeases => {
                    let deadline = now.store + self.core.machine.leases[lease].lease_ms;
                    self.core.machine.leases[lease].deadline = deadline;
                    let grace = self.core.machine.leases[lease].grace_until;
                    let at = if grace == 0 { deadline } else { grace.min(deadline) };
                    self.core.machine.move_lease_timer(lease, at);
                }
            }
        }
        self.start_room(0)?;
        let durable = self.syncer.sync()?;
        self.shared.durable.send_replace(durable);
        Ok(())
    }
}
