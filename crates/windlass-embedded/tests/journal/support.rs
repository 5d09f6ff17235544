//! A history of what was appended and acknowledged, and replay checked against it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use windlass_embedded::disk::{Disk, SimDisk};
use windlass_embedded::journal::{
    BatchBuffer, Journal, JournalError, JournalOptions, OpenError, Position, Recovery, Replayed, Syncer,
};

/// Small segments, no threads: every run is the same.
pub(crate) fn small() -> JournalOptions {
    JournalOptions {
        segment_bytes_min: 8192,
        segment_bytes_max: 16384,
        spares: 1,
        inline_spares: true,
        ..JournalOptions::default()
    }
}

pub(crate) fn entropy() -> impl FnMut() -> u64 {
    let mut state = 0x0123_4567_89ab_cdef_u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state
    }
}

pub(crate) fn batch(body: &[u8]) -> BatchBuffer {
    let mut batch = BatchBuffer::new();
    batch.bytes_mut().extend_from_slice(body);
    batch
}

/// Replayed batches: number, place, body.
pub(crate) type Replay = Vec<(u64, Position, Vec<u8>)>;

pub(crate) fn open_with(
    disk: Arc<dyn Disk>,
    options: JournalOptions,
    salt: u64,
) -> Result<(Journal, Recovery, Replay), OpenError> {
    let mut replay = Vec::new();
    let mut entropy = entropy();
    let (journal, recovery) = Journal::open(disk, options, &mut || entropy() ^ salt, &mut |replayed| {
        if let Replayed::Batch { position, lsn, body, .. } = replayed {
            replay.push((lsn, position, body.to_vec()));
        }
        Ok(())
    })?;
    Ok((journal, recovery, replay))
}

thread_local! {
    /// No two starts of a store have the same randomness; each test has its own thread, so this repeats exactly.
    static OPENED: Cell<u64> = const { Cell::new(1) };
}

/// Makes what follows depend on this seed alone.
pub(crate) fn begin_with_seed(seed: u64) {
    OPENED.with(|opened| opened.set(seed << 16));
}

pub(crate) fn open(disk: &SimDisk) -> Result<(Journal, Recovery, Replay), OpenError> {
    open_with(Arc::new(disk.clone()), small(), OPENED.with(|opened| opened.replace(opened.get() + 1)))
}

/// What was appended, and how much of it may be relied on.
#[derive(Clone, Default)]
pub(crate) struct History {
    pub(crate) bodies: BTreeMap<u64, Vec<u8>>,
    pub(crate) acknowledged: u64,
    /// The first number in each segment that was not given back.
    pub(crate) segments: BTreeMap<u32, u64>,
}

impl History {
    /// Compares a replay with this history: nothing acknowledged is missing, nothing is altered, made up or reordered.
    pub(crate) fn check(&self, recovery: &Recovery, replay: &Replay) {
        let last = recovery.last_lsn;
        assert!(last >= self.acknowledged, "acknowledged up to {}, replayed up to {last}", self.acknowledged);
        assert!(
            self.bodies.keys().next_back().copied().unwrap_or(0) >= last,
            "batch {last} was never appended"
        );
        let oldest = self.segments.values().next().copied().unwrap_or(1);
        let first = replay.first().map_or(last + 1, |(lsn, ..)| *lsn);
        assert!(first <= oldest || oldest > last, "replay begins at {first}, batch {oldest} was still live");
        let expected: Vec<(u64, &[u8])> = self
            .bodies
            .range(first..last + 1)
            .filter(|(_, body)| !body.is_empty())
            .map(|(lsn, body)| (*lsn, body.as_slice()))
            .collect();
        let replayed: Vec<(u64, &[u8])> =
            replay.iter().map(|(lsn, _, body)| (*lsn, body.as_slice())).collect();
        assert_eq!(replayed, expected);
    }
}

/// A journal together with the history that it makes.
pub(crate) struct Recorded {
    pub(crate) journal: Journal,
    pub(crate) syncer: Syncer,
    pub(crate) history: History,
    /// Mixed into bodies, so that a batch of an earlier life is told from one with the same number.
    pub(crate) life: String,
}

impl Recorded {
    pub(crate) fn new(journal: Journal, history: History, life: &str) -> Self {
        Self { syncer: journal.syncer(), journal, history, life: life.to_owned() }
    }

    fn body(&self, bytes: usize) -> Vec<u8> {
        let text = format!("{} {} ", self.life, self.journal.next_lsn());
        text.bytes().cycle().take(bytes.max(text.len())).collect()
    }

    pub(crate) fn append(&mut self, bytes: usize) -> Result<(), JournalError> {
        let body = self.body(bytes);
        self.history.bodies.insert(self.journal.next_lsn(), body.clone());
        self.journal.append(batch(&body)).map(drop)
    }

    pub(crate) fn rotate(&mut self) -> Result<(), JournalError> {
        let body = self.body(60);
        let (lsn, segment) = (self.journal.next_lsn(), self.next_segment());
        self.history.bodies.insert(lsn, body.clone());
        self.history.segments.insert(segment, lsn);
        let appended = self.journal.rotate(batch(&body), 0)?;
        assert_eq!(appended.position, Position::start_of(segment));
        Ok(())
    }

    fn next_segment(&self) -> u32 {
        self.journal.segments().last().map_or(1, |segment| segment.sequence + 1)
    }

    pub(crate) fn sync(&mut self) -> Result<(), JournalError> {
        self.history.acknowledged = self.syncer.sync()?;
        Ok(())
    }

    pub(crate) fn watermark(&mut self) -> Result<(), JournalError> {
        self.history.bodies.insert(self.journal.next_lsn(), Vec::new());
        self.journal.append_watermark().map(drop)
    }

    pub(crate) fn reclaim(&mut self) -> Result<(), JournalError> {
        let oldest = *self.history.segments.keys().next().unwrap();
        // From here on the segment may be there or not.
        self.history.segments.remove(&oldest);
        self.journal.reclaim(oldest)
    }
}

/// A small generator for choices in tests; the seed is printed by whoever uses it.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}
