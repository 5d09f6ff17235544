//! The journal: an endless row of batches on a disk, of which the oldest part is given back.
//!
//! One thread appends ([`Journal`]), one makes durable ([`Syncer`]), any number read ([`Reader`]); a thread of the
//! journal's own keeps zero-written segments in stock (`spares.rs`). A batch's body is opaque here: facts, snapshots
//! and what a segment still holds of value are the engine's business. FORMAT.md gives every byte.
//!
//! The life of a batch: the engine fills a [`BatchBuffer`], `append` writes it behind the last one, `sync` makes it
//! durable, and from then on every later batch states so. After a crash `recovery.rs` uses those statements to tell a
//! torn tail (cut) from damage (refused). After every start, and whenever a segment is full, the engine calls
//! `rotate` with a snapshot; it never appends behind a tail that an earlier process left.
//!
//! Nothing here knows the time, and chance comes in through one argument of [`Journal::open`].

use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

mod batch;
mod doctor;
mod error;
mod hold;
mod open;
mod reader;
mod recovery;
mod scan;
mod segment;
mod spares;
mod sync;

pub use batch::{BATCH_HEADER_BYTES, BatchBuffer};
pub use doctor::{Cut, Problem, RepairReport, SegmentReport, VerifyReport, newest, repair, verify};
pub use error::{JournalError, OpenError, ReadError, ReplayError};
pub(crate) use hold::{HOLDS_MAX, Hold};
pub use open::{Recovery, Replayed};
pub use reader::{BatchRun, Reader, StoredBatch};
pub(crate) use segment::unused_segment_name;
pub use segment::{FORMAT_VERSION, SEGMENT_HEADER_BYTES};
pub use sync::Syncer;

use batch::FLAG_SNAPSHOT;
use reader::Library;
use segment::{Header, Segment};
use spares::Spares;
use sync::Durability;

/// Segments in stock below which [`Journal::space_low`] asks for restraint: one to write to, one to rotate into.
pub const RESERVE_SEGMENTS: usize = 2;

/// The largest segment: offsets are 32 bits wide, and pages are whole.
const MAX_SEGMENT_BYTES: u64 = (u32::MAX - u32::MAX % SEGMENT_HEADER_BYTES) as u64;

/// The largest batch, header and padding included; the largest segment holds one of it behind an equal snapshot.
pub const MAX_BATCH_BYTES: u64 = (MAX_SEGMENT_BYTES - SEGMENT_HEADER_BYTES as u64) / 2;

/// Writes end at multiples of this where possible: the unit in which the system caches files.
const PAGE_BYTES: u64 = 4096;

/// How a journal uses its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalOptions {
    /// Size of the first segment; each one that was filled is followed by one of twice its size. Rounded up to pages.
    pub segment_bytes_min: u32,
    /// The largest size that segments grow to, save for batches that need more.
    pub segment_bytes_max: u32,
    /// Zero-written segments kept ready, once the store has half filled its first segment.
    pub spares: usize,
    /// Bytes of the newest batches kept in memory for readers.
    pub tail_cache_bytes: usize,
    /// Use no threads: spares are made and replay is read inside the calls, so that a simulation repeats exactly.
    pub inline_spares: bool,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            segment_bytes_min: 1024 * 1024,
            segment_bytes_max: 64 * 1024 * 1024,
            spares: 2,
            tail_cache_bytes: 4 * 1024 * 1024,
            inline_spares: false,
        }
    }
}

/// A place in the journal; later places are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The segment's sequence number.
    pub segment: u32,
    /// Bytes from the start of the segment's file.
    pub offset: u32,
}

impl Position {
    /// Where the first batch of a segment stands.
    pub fn start_of(segment: u32) -> Self {
        Self { segment, offset: SEGMENT_HEADER_BYTES }
    }
}

/// What was appended.
#[derive(Debug, Clone)]
pub struct Appended {
    /// Its number.
    pub lsn: u64,
    /// Where it starts; its body starts [`BATCH_HEADER_BYTES`] later.
    pub position: Position,
    /// Header, body and padding as written.
    pub bytes: Arc<Vec<u8>>,
}

/// A live segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its place in the order of segments.
    pub sequence: u32,
    /// Bytes in use, the header page included.
    pub bytes_used: u32,
    /// Bytes of its file.
    pub capacity: u32,
}

/// The appending side of a journal. One process at a time may have a disk open; see [`crate::lock`].
pub struct Journal {
    options: JournalOptions,
    library: Arc<Library>,
    durability: Arc<Durability>,
    spares: Arc<Spares>,
    spares_thread: Option<JoinHandle<()>>,
    store_id: u128,
    salts: Salts,
    current: Option<Arc<Segment>>,
    /// Sequence and end of the segment before the one that the next `rotate` begins, when no segment is current.
    previous: Option<(u32, u32)>,
    next_sequence: u32,
    next_lsn: u64,
    target_bytes: u32,
    /// Segments of which the second copy of the header still waits for their first batch to be durable.
    unconfirmed: Vec<Arc<Segment>>,
}

impl Journal {
    /// Begins a new segment with `snapshot` as its first batch and room for `at_least_bytes` behind it. Nothing is
    /// durable before the next sync, which makes the old segment durable first.
    ///
    /// # Errors
    /// [`JournalError::NoSpace`] when no spare is left and none can be made: nothing has changed then.
    pub fn rotate(&mut self, snapshot: BatchBuffer, at_least_bytes: u32) -> Result<Appended, JournalError> {
        self.durability.check()?;
        self.confirm()?;
        let stored = snapshot.stored_bytes();
        let needed = u64::from(SEGMENT_HEADER_BYTES) + stored + u64::from(at_least_bytes);
        let needed = needed.next_multiple_of(PAGE_BYTES);
        if stored > MAX_BATCH_BYTES || needed > MAX_SEGMENT_BYTES {
            return Err(JournalError::TooLarge { needed: stored.max(needed) });
        }
        self.make_oldest_durable()?;
        let next_sequence =
            self.next_sequence.checked_add(1).ok_or(JournalError::TooLarge { needed: u64::MAX })?;
        if let Some(current) = &self.current {
            self.target_bytes = target_after(current, false, &self.options);
        }
        let spare = self.spares.take(needed as u32, self.target_bytes)?;
        let previous =
            self.current.as_ref().map(|current| (current.sequence(), current.end())).or(self.previous);
        let (prev_sequence, prev_end) = previous.unwrap_or((0, 0));
        let header = Header {
            live: true,
            store_id: self.store_id,
            sequence: self.next_sequence,
            capacity: spare.capacity,
            salt: self.salts.next(),
            first_lsn: self.next_lsn,
            durable_lsn: self.durability.durable_lsn(),
            prev_sequence,
            prev_end,
        };
        // Only the first copy: the second keeps saying "spare" until the first one and this batch are durable.
        let written = segment::write_copy(&*spare.file, 0, &header);
        written.map_err(|error| self.durability.poison("begin a segment", &error))?;
        let segment = Arc::new(Segment::new(header, spare.name, spare.file, SEGMENT_HEADER_BYTES));
        let appended = self.write(&segment, snapshot, FLAG_SNAPSHOT)?;
        self.library
            .live
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(segment.sequence(), Arc::clone(&segment));
        self.unconfirmed.push(Arc::clone(&segment));
        if self.current.replace(segment).is_some() {
            self.spares.start();
        }
        self.next_sequence = next_sequence;
        self.run_inline();
        Ok(appended)
    }

    /// Writes a batch behind the last one, with one write and without copying it. It is durable after the next sync.
    ///
    /// # Errors
    /// [`JournalError::Full`] when it does not fit: nothing has changed then. A failed write stops the journal.
    pub fn append(&mut self, batch: BatchBuffer) -> Result<Appended, JournalError> {
        self.durability.check()?;
        self.confirm()?;
        let segment = Arc::clone(self.current.as_ref().ok_or(JournalError::NotBegun)?);
        let (needed, remaining) = (batch.stored_bytes(), u64::from(self.remaining()));
        if needed > MAX_BATCH_BYTES {
            return Err(JournalError::TooLarge { needed });
        }
        if needed > remaining {
            return Err(JournalError::Full { needed, remaining });
        }
        let was_half_filled = segment.is_filled_to(1, 2);
        let appended = self.write(&segment, batch, 0)?;
        if !was_half_filled && segment.is_filled_to(1, 2) {
            self.spares.start();
        }
        self.run_inline();
        Ok(appended)
    }

    /// Appends an empty batch, which states what is durable by now; `None` when nothing is gained by it. Synced, it
    /// lets recovery tell damage from a torn tail up to here: for quiet moments and before closing.
    ///
    /// # Errors
    /// As [`Journal::append`]; a full segment is no error.
    pub fn append_watermark(&mut self) -> Result<Option<Appended>, JournalError> {
        let batch = BatchBuffer::new();
        if self.current.is_none() || u64::from(self.remaining()) < batch.stored_bytes() {
            return Ok(None);
        }
        self.append(batch).map(Some)
    }

    /// Where the next batch will start, if [`Journal::remaining`] has room for it; its body starts
    /// [`BATCH_HEADER_BYTES`] later.
    pub fn next_position(&self) -> Position {
        match &self.current {
            Some(current) => Position { segment: current.sequence(), offset: current.end() },
            None => Position::start_of(self.next_sequence),
        }
    }

    /// The number that the next batch will have.
    pub fn next_lsn(&self) -> u64 {
        self.next_lsn
    }

    /// Bytes left in the current segment, to be compared with [`BatchBuffer::stored_bytes`].
    pub fn remaining(&self) -> u32 {
        self.current.as_ref().map_or(0, |current| current.header.capacity - current.end())
    }

    /// A handle to make appended batches durable from any thread.
    pub fn syncer(&self) -> Syncer {
        Syncer { durability: Arc::clone(&self.durability), spares: Arc::clone(&self.spares) }
    }

    /// A handle to read from any thread.
    pub fn reader(&self) -> Reader {
        Reader { library: Arc::clone(&self.library) }
    }

    /// All live segments, oldest first.
    pub fn segments(&self) -> impl Iterator<Item = SegmentInfo> + use<> {
        let live = self.library.live.read().unwrap_or_else(PoisonError::into_inner);
        let info = |segment: &Arc<Segment>| SegmentInfo {
            sequence: segment.sequence(),
            bytes_used: segment.end(),
            capacity: segment.header.capacity,
        };
        live.values().map(info).collect::<Vec<_>>().into_iter()
    }

    /// Gives the oldest segment back: readers get `Gone` at once; its file is reused only after everything that was
    /// appended so far is durable and the file is durably marked spare.
    ///
    /// # Errors
    /// [`JournalError::NotOldest`] for any other segment, and for the current one.
    pub fn reclaim(&mut self, sequence: u32) -> Result<(), JournalError> {
        self.durability.check()?;
        let oldest = self.segments().next().map(|segment| segment.sequence);
        let is_current = self.current.as_ref().is_some_and(|current| current.sequence() == sequence);
        if oldest != Some(sequence) || is_current {
            return Err(JournalError::NotOldest { sequence });
        }
        let segment = self.library.withdraw(sequence).ok_or(JournalError::NotOldest { sequence })?;
        self.unconfirmed.retain(|unconfirmed| unconfirmed.sequence() != sequence);
        self.spares.retire(segment, self.next_lsn - 1);
        self.run_inline();
        Ok(())
    }

    /// Bytes of all files: live, in stock, and on their way back.
    pub fn disk_bytes(&self) -> u64 {
        let live: u64 = self.segments().map(|segment| u64::from(segment.capacity)).sum();
        live + self.spares.disk_bytes()
    }

    /// Bytes of segments in stock.
    pub fn spare_bytes(&self) -> u64 {
        self.spares.ready_bytes()
    }

    /// Whether spares could not be made and fewer than [`RESERVE_SEGMENTS`] are left: the time to refuse new work, so
    /// that what is left serves to end the work that is there.
    pub fn space_low(&self) -> bool {
        self.spares.space_low()
    }

    /// Tries again to make spares after a failure; call it now and then while [`Journal::space_low`].
    pub fn retry_spares(&self) {
        self.spares.retry();
        self.run_inline();
    }

    /// The oldest segment that a reader holds; see [`Reader::hold`].
    pub(crate) fn held_from(&self) -> Option<u32> {
        self.library.held_from()
    }

    /// The store's random id.
    pub fn store_id(&self) -> u128 {
        self.store_id
    }

    fn write(
        &mut self,
        segment: &Arc<Segment>,
        batch: BatchBuffer,
        flags: u32,
    ) -> Result<Appended, JournalError> {
        let lsn = self.next_lsn;
        let offset = segment.end();
        let mut bytes = batch.finish(segment.place(offset), flags, lsn, self.durability.durable_lsn());
        let stored = bytes.len();
        let end = u64::from(offset) + stored as u64;
        // Zeros up to the end of the page: a page that is written whole need not be read from a recycled file first.
        let padded = end.next_multiple_of(PAGE_BYTES).min(u64::from(segment.header.capacity));
        bytes.resize((padded - u64::from(offset)) as usize, 0);
        let written = segment.file.write_all_at(&bytes, u64::from(offset));
        written.map_err(|error| self.durability.poison("append to the journal", &error))?;
        bytes.truncate(stored);
        let (position, bytes) = (Position { segment: segment.sequence(), offset }, Arc::new(bytes));
        segment.set_end(end as u32);
        self.next_lsn += 1;
        self.durability.note_written(segment, lsn);
        self.library.remember(position, Arc::clone(&bytes));
        Ok(Appended { lsn, position, bytes })
    }

    /// A store that has a second segment has a durable first one. Else a power cut could keep a later segment without
    /// it, and nobody could tell that from a first segment that was given back. Waits once in a store's life, if ever.
    fn make_oldest_durable(&self) -> Result<(), JournalError> {
        let live = self.library.live.read().unwrap_or_else(PoisonError::into_inner);
        let first_lsn = live.values().next().map(|oldest| oldest.header.first_lsn);
        drop(live);
        if first_lsn.is_some_and(|first_lsn| first_lsn > self.durability.durable_lsn()) {
            self.syncer().sync()?;
        }
        Ok(())
    }

    /// Writes the second copy of the header of each segment whose first batch is durable by now.
    fn confirm(&mut self) -> Result<(), JournalError> {
        let durable_lsn = self.durability.durable_lsn();
        while let Some(segment) = self.unconfirmed.first().filter(|s| s.header.first_lsn <= durable_lsn) {
            let header = Header { durable_lsn, ..segment.header };
            let written = segment::write_copy(&*segment.file, 1, &header);
            written.map_err(|error| self.durability.poison("confirm a segment", &error))?;
            self.durability.note_written(segment, 0);
            self.unconfirmed.remove(0);
        }
        Ok(())
    }

    fn run_inline(&self) {
        if self.options.inline_spares {
            self.spares.run_inline();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.spares.stop();
        if let Some(thread) = self.spares_thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the spares thread has panicked");
        }
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("next_position", &self.next_position()).finish_non_exhaustive()
    }
}

impl JournalOptions {
    fn in_whole_pages(mut self) -> Self {
        let whole = |bytes: u32| {
            let bytes = u64::from(bytes.max(2 * SEGMENT_HEADER_BYTES)).next_multiple_of(PAGE_BYTES);
            bytes.min(MAX_SEGMENT_BYTES) as u32
        };
        self.segment_bytes_min = whole(self.segment_bytes_min);
        self.segment_bytes_max = whole(self.segment_bytes_max).max(self.segment_bytes_min);
        self
    }
}

/// Numbers that look random, from one that is: salts must differ between uses of a file, not be secret.
struct Salts {
    state: u64,
}

impl Salts {
    /// One step of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators").
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// The size for the segment after this one: twice its size when it was used, and after a start half when it was not.
fn target_after(last: &Segment, at_start: bool, options: &JournalOptions) -> u32 {
    let capacity = last.header.capacity;
    let target = match at_start {
        false if last.is_filled_to(1, 4) => capacity.saturating_mul(2),
        true if !last.is_filled_to(1, 4) => capacity / 2,
        _ => capacity,
    };
    target.next_multiple_of(SEGMENT_HEADER_BYTES).clamp(options.segment_bytes_min, options.segment_bytes_max)
}
