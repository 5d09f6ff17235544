//! Segments in stock, and the way back of those given up.
//!
//! A new segment is written with zeros and synced before anybody may use it, so that a commit overwrites blocks which
//! exist: that halves the cost of a sync, and a full disk is met here, ahead of time, never by a commit. A segment
//! given back is first marked spare on the disk itself, strictly in order, and only then reused or deleted: so
//! whatever a crash leaves is a run of segments without a gap, and nothing that a later segment ended comes back.
//!
//! All of it happens on a thread of its own, which sleeps unless there is something to do; with `inline_spares` the
//! same steps run inside the journal's calls, in a fixed order.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::error::JournalError;
use super::segment::{
    COPY_BYTES, COPY_OFFSETS, Header, SEGMENT_HEADER_BYTES, Segment, file_name, rewrite_header,
    unfinished_name,
};
use super::sync::Durability;
use super::{JournalOptions, RESERVE_SEGMENTS};
use crate::disk::{Disk, DiskFile};

/// Zeros are written in pieces of this size: large enough for the disk's speed, small enough that a commit which comes
/// meanwhile waits for a fraction of a millisecond.
const ZERO_PIECE_BYTES: usize = 256 * 1024;

/// Spares kept above the wanted number, so that steady rotation neither makes nor deletes files.
const SURPLUS_SEGMENTS: usize = 2;

/// No segment waits to be marked spare.
const NOTHING_RETIRES: u64 = u64::MAX;

/// A segment file that is written with zeros or with batches of the past, and marked spare on the disk.
pub(super) struct Spare {
    pub(super) name: String,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) capacity: u32,
}

pub(super) struct Spares {
    disk: Arc<dyn Disk>,
    durability: Arc<Durability>,
    store_id: u128,
    wanted: usize,
    bytes_max: u32,
    pool: Mutex<Pool>,
    changed: Condvar,
    /// The LSN that must be durable before the next segment is marked spare; read without the lock by every sync.
    retires_at: AtomicU64,
}

struct Pool {
    ready: VecDeque<Spare>,
    retiring: VecDeque<Retiring>,
    /// The size of the next segment to make.
    target_bytes: u32,
    /// Nothing is made ahead before the store has grown into its first segment.
    started: bool,
    stop: bool,
    /// Bytes of the file that a step under way works on.
    busy_bytes: u64,
    making: bool,
    /// Why the last try to make a segment failed, until one succeeds.
    stalled: Option<io::ErrorKind>,
    /// Something has changed since: one more try is due.
    retry: bool,
    next_number: u64,
}

struct Retiring {
    segment: Arc<Segment>,
    after_lsn: u64,
}

enum Step {
    Retire(Arc<Segment>),
    Make { number: u64, bytes: u32 },
    Delete(Spare),
}

impl Spares {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        durability: Arc<Durability>,
        store_id: u128,
        options: &JournalOptions,
        ready: Vec<Spare>,
        target_bytes: u32,
        next_number: u64,
    ) -> Self {
        let pool = Pool {
            ready: ready.into(),
            retiring: VecDeque::new(),
            target_bytes,
            started: false,
            stop: false,
            busy_bytes: 0,
            making: false,
            stalled: None,
            retry: false,
            next_number,
        };
        Self {
            disk,
            durability,
            store_id,
            wanted: options.spares,
            bytes_max: options.segment_bytes_max,
            pool: Mutex::new(pool),
            changed: Condvar::new(),
            retires_at: AtomicU64::new(NOTHING_RETIRES),
        }
    }

    /// Takes a segment of at least `needed` bytes, the largest in stock; waits for one that is being made, or makes it.
    pub(super) fn take(&self, needed: u32, target_bytes: u32) -> Result<Spare, JournalError> {
        let mut pool = self.pool();
        pool.target_bytes = target_bytes;
        loop {
            if let Some(spare) = pool.take_fitting(needed) {
                // A failure to make one is worth another try now that the stock is lower.
                pool.retry = true;
                self.changed.notify_all();
                return Ok(spare);
            }
            if !pool.making {
                break;
            }
            pool = self.changed.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
        let number = pool.number();
        drop(pool);
        let bytes = needed.max(target_bytes);
        let made = self.make(number, bytes);
        let mut pool = self.pool();
        pool.stalled = made.as_ref().err().map(io::Error::kind);
        made.map_err(|source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => JournalError::NoSpace,
            _ => JournalError::Io { operation: "make a segment", source },
        })
    }

    /// Begins to keep spares ahead.
    pub(super) fn start(&self) {
        self.pool().started = true;
        self.changed.notify_all();
    }

    /// Tries again to make spares after a failure.
    pub(super) fn retry(&self) {
        let mut pool = self.pool();
        if pool.stalled.is_some() {
            pool.retry = true;
            self.changed.notify_all();
        }
    }

    /// Queues a segment to be marked spare once `after_lsn` is durable.
    pub(super) fn retire(&self, segment: Arc<Segment>, after_lsn: u64) {
        let mut pool = self.pool();
        pool.retiring.push_back(Retiring { segment, after_lsn });
        self.publish_retiring(&pool);
        self.changed.notify_all();
    }

    /// Wakes the thread when this LSN lets a segment be marked spare.
    pub(super) fn wake_for_durable(&self, durable_lsn: u64) {
        if self.retires_at.load(Ordering::Acquire) <= durable_lsn {
            // The lock keeps the wake-up from falling between the thread's look at the queue and its sleep.
            drop(self.pool());
            self.changed.notify_all();
        }
    }

    pub(super) fn stop(&self) {
        self.pool().stop = true;
        self.changed.notify_all();
    }

    /// Bytes of files that are in stock, given back or being made.
    pub(super) fn disk_bytes(&self) -> u64 {
        let pool = self.pool();
        let retiring: u64 = pool.retiring.iter().map(|r| u64::from(r.segment.header.capacity)).sum();
        pool.ready_bytes() + retiring + pool.busy_bytes
    }

    pub(super) fn ready_bytes(&self) -> u64 {
        self.pool().ready_bytes()
    }

    pub(super) fn space_low(&self) -> bool {
        let pool = self.pool();
        pool.stalled.is_some() && pool.ready.len() < RESERVE_SEGMENTS
    }

    /// The thread: works until stopped; what may be marked spare by then still is.
    pub(super) fn run(&self) {
        loop {
            let mut pool = self.pool();
            let step = loop {
                match self.next_step(&mut pool) {
                    Some(step) => break step,
                    None if pool.stop => return,
                    None => pool = self.changed.wait(pool).unwrap_or_else(PoisonError::into_inner),
                }
            };
            drop(pool);
            self.perform(step);
        }
    }

    /// Does what there is to do, here and now.
    pub(super) fn run_inline(&self) {
        loop {
            let step = self.next_step(&mut self.pool());
            match step {
                Some(step) => self.perform(step),
                None => return,
            }
        }
    }

    fn next_step(&self, pool: &mut Pool) -> Option<Step> {
        if self.durability.check().is_err() {
            return None;
        }
        let durable_lsn = self.durability.durable_lsn();
        if pool.retiring.front().is_some_and(|first| first.after_lsn <= durable_lsn)
            && let Some(retiring) = pool.retiring.pop_front()
        {
            self.publish_retiring(pool);
            pool.busy_bytes = u64::from(retiring.segment.header.capacity);
            return Some(Step::Retire(retiring.segment));
        }
        if pool.stop {
            return None;
        }
        let large = pool.ready.iter().filter(|spare| spare.capacity >= pool.target_bytes).count();
        if pool.started && large < self.wanted && (pool.stalled.is_none() || pool.retry) {
            (pool.making, pool.retry) = (true, false);
            pool.busy_bytes = u64::from(pool.target_bytes);
            return Some(Step::Make { number: pool.number(), bytes: pool.target_bytes });
        }
        pool.take_superfluous(self.wanted, large, self.bytes_max).map(Step::Delete)
    }

    fn perform(&self, step: Step) {
        match step {
            Step::Retire(segment) => {
                let header = Header::spare(self.store_id, segment.header.capacity);
                let marked = rewrite_header(&*segment.file, [0, 1], &header);
                let mut pool = self.pool();
                pool.busy_bytes = 0;
                match marked {
                    Ok(()) => pool.ready.push_back(Spare {
                        name: segment.name.clone(),
                        file: Arc::clone(&segment.file),
                        capacity: segment.header.capacity,
                    }),
                    Err(error) => {
                        self.durability.poison("mark a segment spare", &error);
                    }
                }
            }
            Step::Make { number, bytes } => {
                let made = self.make(number, bytes);
                let mut pool = self.pool();
                (pool.busy_bytes, pool.making) = (0, false);
                match made {
                    Ok(spare) => {
                        pool.stalled = None;
                        pool.ready.push_back(spare);
                    }
                    Err(error) if pool.stop && error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        tracing::warn!(%error, bytes, "cannot make a spare segment");
                        pool.stalled = Some(error.kind());
                    }
                }
            }
            Step::Delete(spare) => {
                // A name that a power cut brings back is a spare again: no harm, so no sync of the directory.
                if let Err(error) = self.disk.remove(&spare.name) {
                    tracing::warn!(%error, file = spare.name, "cannot delete a superfluous segment");
                }
            }
        }
        self.changed.notify_all();
    }

    /// Makes a file that is whole and durable before it bears the name of a segment.
    fn make(&self, number: u64, bytes: u32) -> io::Result<Spare> {
        let unfinished = unfinished_name(number);
        let file = self.disk.create(&unfinished, u64::from(bytes))?;
        let name = file_name(number);
        let made = self.fill(&*file, bytes).and_then(|()| {
            self.disk.rename(&unfinished, &name)?;
            self.disk.sync_dir()
        });
        match made {
            Ok(()) => Ok(Spare { name, file, capacity: bytes }),
            Err(error) => {
                // Space is given back where possible; a left-over is removed at the next start anyway.
                let _ = self.disk.remove(&unfinished);
                Err(error)
            }
        }
    }

    fn fill(&self, file: &dyn DiskFile, bytes: u32) -> io::Result<()> {
        let header = Header::spare(self.store_id, bytes).encode();
        let mut page = vec![0; SEGMENT_HEADER_BYTES as usize];
        for offset in COPY_OFFSETS {
            page[offset as usize..][..COPY_BYTES].copy_from_slice(&header);
        }
        file.write_all_at(&page, 0)?;
        let zeros = vec![0; ZERO_PIECE_BYTES.min((bytes - SEGMENT_HEADER_BYTES) as usize)];
        let mut at = u64::from(SEGMENT_HEADER_BYTES);
        while at < u64::from(bytes) {
            if self.pool().stop {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let piece = (u64::from(bytes) - at).min(zeros.len() as u64);
            file.write_all_at(&zeros[..piece as usize], at)?;
            // Synced piece by piece: a commit that comes meanwhile waits behind one piece, not behind a segment.
            file.sync_data()?;
            // Zeros need no place in the system's cache, and memory that was just given back is the quickest to get.
            file.drop_cache(at, piece);
            at += piece;
        }
        Ok(())
    }

    fn publish_retiring(&self, pool: &Pool) {
        let lsn = pool.retiring.front().map_or(NOTHING_RETIRES, |first| first.after_lsn);
        self.retires_at.store(lsn, Ordering::Release);
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    fn ready_bytes(&self) -> u64 {
        self.ready.iter().map(|spare| u64::from(spare.capacity)).sum()
    }

    fn take_fitting(&mut self, needed: u32) -> Option<Spare> {
        let fitting = self.ready.iter().enumerate().filter(|(_, spare)| spare.capacity >= needed);
        // The largest below the target's double would waste least, but sizes differ only while a store grows.
        let (index, _) = fitting.max_by_key(|(index, spare)| (spare.capacity, std::cmp::Reverse(*index)))?;
        self.ready.remove(index)
    }

    /// The spare to delete: oversized ones first, small ones when enough of the right size are there, then surplus.
    fn take_superfluous(&mut self, wanted: usize, large: usize, bytes_max: u32) -> Option<Spare> {
        if self.stalled.is_some() {
            return None;
        }
        let is_small = |spare: &Spare| spare.capacity < self.target_bytes;
        let oversized = self.ready.iter().position(|spare| spare.capacity > bytes_max.max(self.target_bytes));
        let small = self.ready.iter().position(is_small).filter(|_| self.started && large >= wanted);
        let surplus = (self.ready.len() > wanted + SURPLUS_SEGMENTS)
            .then(|| self.ready.iter().position(is_small).unwrap_or(self.ready.len() - 1));
        let index = oversized.or(small).or(surplus)?;
        self.ready.remove(index)
    }
}
