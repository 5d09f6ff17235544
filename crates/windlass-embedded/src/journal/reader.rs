//! Reading back what was appended.
//!
//! The newest batches are answered from the very buffers that were appended; everything older goes through a small
//! cache of large blocks, because jobs that were enqueued together lie together. Nothing is mapped into memory: a
//! disk that fails must be an error here, not a signal. A segment that is given back meanwhile answers `Gone`.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::batch::{BATCH_HEADER_BYTES, BatchHeader};
use super::error::ReadError;
use super::segment::{SEGMENT_HEADER_BYTES, Segment};
use super::sync::Durability;
use super::{MAX_BATCH_BYTES, Position};

/// Blocks are read whole: large enough that the disk's speed counts and not its delay.
const BLOCK_BYTES: u32 = 256 * 1024;

/// 8 MiB at most: one block for each of the lanes that a busy store works on.
const BLOCKS: usize = 32;

/// Blocks that were missed lately: a second miss shows that a block is being read through, and only then it is
/// loaded. Thousands of groups served in turn miss everywhere, and pay for their own bytes alone.
const MISSES_REMEMBERED: usize = 16;

/// What the appending thread and all readers share.
pub(super) struct Library {
    pub(super) live: RwLock<BTreeMap<u32, Arc<Segment>>>,
    tail: Mutex<Tail>,
    blocks: Mutex<Blocks>,
    pub(super) durability: Arc<Durability>,
    /// The oldest segment of each hold.
    pub(super) holds: Mutex<Vec<u32>>,
}

/// The newest batches, as they were appended.
struct Tail {
    batches: VecDeque<(Position, Arc<Vec<u8>>)>,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Default)]
struct Blocks {
    cached: Vec<Block>,
    clock: u64,
    free: Option<Vec<u8>>,
    missed: VecDeque<(u32, u32)>,
}

struct Block {
    sequence: u32,
    number: u32,
    bytes: Arc<Vec<u8>>,
    used_at: u64,
}

impl Library {
    pub(super) fn new(
        live: BTreeMap<u32, Arc<Segment>>,
        durability: Arc<Durability>,
        tail_bytes_max: usize,
    ) -> Self {
        let tail = Tail { batches: VecDeque::new(), bytes: 0, bytes_max: tail_bytes_max };
        Self {
            live: RwLock::new(live),
            tail: Mutex::new(tail),
            blocks: Mutex::default(),
            durability,
            holds: Mutex::default(),
        }
    }

    pub(super) fn remember(&self, position: Position, batch: Arc<Vec<u8>>) {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        // What was allocated counts, not what was filled.
        tail.bytes += batch.capacity();
        tail.batches.push_back((position, batch));
        while tail.bytes > tail.bytes_max {
            let Some((_, oldest)) = tail.batches.pop_front() else { break };
            tail.bytes -= oldest.capacity();
        }
    }

    /// Takes a segment off the shelf; what is read of it from here on is thrown away.
    pub(super) fn withdraw(&self, sequence: u32) -> Option<Arc<Segment>> {
        let segment = self.live.write().unwrap_or_else(PoisonError::into_inner).remove(&sequence)?;
        segment.set_gone();
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.cached.retain(|block| block.sequence != sequence);
        Some(segment)
    }

    fn segment(&self, position: Position) -> Result<Arc<Segment>, ReadError> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(segment) = live.get(&position.segment) {
            return Ok(Arc::clone(segment));
        }
        let newest = live.keys().next_back().copied().unwrap_or(0);
        if position.segment > newest { Err(ReadError::NotWritten { position }) } else { Err(ReadError::Gone) }
    }

    fn read_tail(&self, position: Position, len: usize, out: &mut Vec<u8>) -> bool {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let after = tail.batches.partition_point(|(start, _)| *start <= position);
        let Some((start, batch)) = after.checked_sub(1).and_then(|index| tail.batches.get(index)) else {
            return false;
        };
        if start.segment != position.segment {
            return false;
        }
        let from = (position.offset - start.offset) as usize;
        let Some(bytes) = batch.get(from..from + len) else { return false };
        out.extend_from_slice(bytes);
        true
    }

    fn cached_block(&self, sequence: u32, number: u32) -> Option<Arc<Vec<u8>>> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.clock += 1;
        let clock = blocks.clock;
        let block = blocks.cached.iter_mut().find(|b| b.sequence == sequence && b.number == number)?;
        block.used_at = clock;
        Some(Arc::clone(&block.bytes))
    }

    /// Reads a block as far as its segment is written, and keeps it in place of the one unused for longest.
    fn load_block(&self, segment: &Segment, number: u32, end: u32) -> io::Result<Arc<Vec<u8>>> {
        let start = number * BLOCK_BYTES;
        let mut bytes = self.free_buffer();
        bytes.resize((end - start).min(BLOCK_BYTES) as usize, 0);
        // The disk is read without the lock: other readers find their blocks meanwhile.
        segment.file.read_exact_at(&mut bytes, u64::from(start))?;
        let bytes = Arc::new(bytes);
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.insert(segment.sequence(), number, Arc::clone(&bytes));
        Ok(bytes)
    }

    /// Whether the block was missed a moment ago too, so that reading all of it pays.
    fn is_read_through(&self, sequence: u32, number: u32) -> bool {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if blocks.missed.contains(&(sequence, number)) {
            return true;
        }
        if blocks.missed.len() >= MISSES_REMEMBERED {
            blocks.missed.pop_front();
        }
        blocks.missed.push_back((sequence, number));
        false
    }

    fn free_buffer(&self) -> Vec<u8> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner).free.take().unwrap_or_default()
    }
}

impl Blocks {
    fn insert(&mut self, sequence: u32, number: u32, bytes: Arc<Vec<u8>>) {
        self.clock += 1;
        let block = Block { sequence, number, bytes, used_at: self.clock };
        let same = self.cached.iter().position(|b| b.sequence == sequence && b.number == number);
        let oldest = || (0..self.cached.len()).min_by_key(|index| self.cached[*index].used_at);
        let place = same.or_else(|| if self.cached.len() < BLOCKS { None } else { oldest() });
        match place {
            Some(index) => {
                let replaced = std::mem::replace(&mut self.cached[index], block);
                self.free = Arc::try_unwrap(replaced.bytes).ok();
            }
            None => self.cached.push(block),
        }
    }
}

/// Reads what was appended, from any thread.
#[derive(Clone)]
pub struct Reader {
    pub(super) library: Arc<Library>,
}

/// A row of batches as [`Reader::batches`] found them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRun {
    /// The batches, oldest first; those that only state a watermark are left out.
    pub batches: Vec<StoredBatch>,
    /// Where to go on; nothing more was to be had when `batches` is empty.
    pub next: Position,
}

/// One batch read back, its checksum verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBatch {
    /// Where the batch starts; its body starts [`BATCH_HEADER_BYTES`] later.
    pub position: Position,
    /// Its number.
    pub lsn: u64,
    /// Whether it is the snapshot that opens its segment.
    pub snapshot: bool,
    /// Its body.
    pub body: Vec<u8>,
}

impl Reader {
    /// The `len` bytes at `position`, as they were appended, durable or not. Their checksum is not verified again.
    ///
    /// # Errors
    /// [`ReadError::Gone`] when the segment was given back, also while reading.
    pub fn read(&self, position: Position, len: usize) -> Result<Vec<u8>, ReadError> {
        let mut out = Vec::with_capacity(len);
        self.read_into(position, len, &mut out)?;
        Ok(out)
    }

    /// As [`Reader::read`], behind what `out` holds; after an error `out` holds what it held.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read_into(&self, position: Position, len: usize, out: &mut Vec<u8>) -> Result<(), ReadError> {
        if self.library.read_tail(position, len, out) {
            return Ok(());
        }
        let held = out.len();
        let segment = self.library.segment(position)?;
        let read = read_blocks(&self.library, &segment, position, len, out);
        // Checked last: bytes that were read before the segment was withdrawn were still its own.
        let read = if segment.is_gone() { Err(ReadError::Gone) } else { read };
        if read.is_err() {
            out.truncate(held);
        }
        read
    }

    /// The batches from `from` on, at least one when there is one, up to about `max_bytes` of bodies, as far as they
    /// are durable. `from` is a batch's position, [`Position::start_of`] a segment, or the `next` of an earlier run.
    ///
    /// # Errors
    /// [`ReadError::Gone`] when `from` was given back; [`ReadError::Damaged`] when a checksum fails.
    pub fn batches(&self, from: Position, max_bytes: usize) -> Result<BatchRun, ReadError> {
        self.batches_up_to(from, max_bytes, self.library.durability.durable_lsn())
    }

    /// As [`Reader::batches`], up to this LSN instead of the durable one.
    ///
    /// # Errors
    /// As [`Reader::batches`].
    pub fn batches_up_to(&self, from: Position, max_bytes: usize, lsn: u64) -> Result<BatchRun, ReadError> {
        let mut run = BatchRun { batches: Vec::new(), next: from };
        let mut left = max_bytes;
        loop {
            let segment = match self.library.segment(run.next) {
                Ok(segment) => segment,
                Err(ReadError::NotWritten { .. }) => return Ok(run),
                Err(_) if !run.batches.is_empty() => return Ok(run),
                Err(error) => return Err(error),
            };
            let sealed = self.is_sealed(run.next.segment);
            if run.next.offset >= segment.end() {
                if !sealed {
                    return Ok(run);
                }
                run.next = Position::start_of(run.next.segment + 1);
                continue;
            }
            let read = read_batch(&segment, run.next, lsn);
            match if segment.is_gone() { Err(ReadError::Gone) } else { read } {
                Ok(None) => return Ok(run),
                Ok(Some((batch, end))) => {
                    if !run.batches.is_empty() && batch.body.len() > left {
                        return Ok(run);
                    }
                    left = left.saturating_sub(batch.body.len());
                    run.next.offset = end;
                    if !batch.body.is_empty() {
                        run.batches.push(batch);
                    }
                }
                // What was found so far is good; the error comes back with the next call.
                Err(_) if !run.batches.is_empty() => return Ok(run),
                Err(error) => return Err(error),
            }
            if left == 0 && !run.batches.is_empty() {
                return Ok(run);
            }
        }
    }

    fn is_sealed(&self, sequence: u32) -> bool {
        let live = self.library.live.read().unwrap_or_else(PoisonError::into_inner);
        live.keys().next_back().is_some_and(|newest| *newest > sequence)
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

fn read_blocks(
    library: &Library,
    segment: &Segment,
    position: Position,
    len: usize,
    out: &mut Vec<u8>,
) -> Result<(), ReadError> {
    let end = segment.end();
    let from = u64::from(position.offset);
    let until = from + len as u64;
    if until > u64::from(end) || position.offset < SEGMENT_HEADER_BYTES {
        return Err(ReadError::NotWritten { position });
    }
    let failed = |source| ReadError::Io { position, source };
    if len >= BLOCK_BYTES as usize {
        let held = out.len();
        out.resize(held + len, 0);
        return segment.file.read_exact_at(&mut out[held..], from).map_err(failed);
    }
    let mut at = position.offset;
    while u64::from(at) < until {
        let (number, within) = (at / BLOCK_BYTES, (at % BLOCK_BYTES) as usize);
        let wanted = ((until - u64::from(at)) as usize).min(BLOCK_BYTES as usize - within);
        let cached = library.cached_block(segment.sequence(), number);
        // A block of the current segment may have been read when it was shorter.
        let block = match cached.filter(|bytes| bytes.len() >= within + wanted) {
            Some(bytes) => bytes,
            None if library.is_read_through(segment.sequence(), number) => {
                library.load_block(segment, number, end).map_err(failed)?
            }
            None => {
                let held = out.len();
                out.resize(held + wanted, 0);
                segment.file.read_exact_at(&mut out[held..], u64::from(at)).map_err(failed)?;
                at += wanted as u32;
                continue;
            }
        };
        out.extend_from_slice(&block[within..within + wanted]);
        at += wanted as u32;
    }
    Ok(())
}

/// The batch at this place and where it ends; `None` when its LSN is above the bound.
fn read_batch(
    segment: &Segment,
    position: Position,
    lsn: u64,
) -> Result<Option<(StoredBatch, u32)>, ReadError> {
    let failed = |source| ReadError::Io { position, source };
    let damaged = || ReadError::Damaged { position };
    let mut header = [0; BATCH_HEADER_BYTES];
    let from = u64::from(position.offset);
    if from + BATCH_HEADER_BYTES as u64 > u64::from(segment.end()) {
        return Err(damaged());
    }
    segment.file.read_exact_at(&mut header, from).map_err(failed)?;
    let header = BatchHeader::decode(&header).ok_or_else(damaged)?;
    let end = from + header.stored_bytes();
    if end > u64::from(segment.end()) || header.stored_bytes() > MAX_BATCH_BYTES {
        return Err(damaged());
    }
    let mut body = vec![0; header.body_len as usize];
    segment.file.read_exact_at(&mut body, from + BATCH_HEADER_BYTES as u64).map_err(failed)?;
    if header.checksum(segment.place(position.offset), &body) != header.crc {
        return Err(damaged());
    }
    if header.lsn > lsn {
        return Ok(None);
    }
    let snapshot = header.flags & super::batch::FLAG_SNAPSHOT != 0;
    Ok(Some((StoredBatch { position, lsn: header.lsn, snapshot, body }, end as u32)))
}
