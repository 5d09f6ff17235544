//! Giving old segments back: which one, when, and how what it still holds is carried on.
//!
//! Only the oldest segment is ever given back, so a record that a later fact ended cannot come back
//! to life. What jobs still need of it is copied to the tail by the engine, in chunks that this
//! module's thread reads and hands over one by one, each only when the one before is durable: so
//! copying goes at the speed at which there is nothing better to do, and commits never wait for it.

use crate::codec::Decoder;
use crate::decide::relocate::Candidate;
use crate::engine::{Message, Request, Shared, Wait};
use crate::fact::Fact;
use crate::journal::{Journal, Position, Reader, SegmentInfo};
use crate::machine::{Machine, ReaderPlace};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

/// Dead bytes above which copying begins, in percent of the live ones.
const DEAD_PERCENT: u64 = 100;
/// A chunk of records that is handed to the engine at once.
const CHUNK_BYTES: usize = 256 << 10;
/// Ended ids carried on in one step.
const REMEMBER_STEP: usize = 1_000;

/// What the engine knows of the compaction.
pub(crate) struct Compactor {
    busy: bool,
    /// Bytes that may lie dead before anything is copied: the fixed part of the bound on disk use.
    slack_bytes: u64,
    /// Bytes that readers of the event log may hold back from being reclaimed.
    readers_bytes: u64,
    /// The segment that was found useless, and the LSN that must be durable before it goes.
    settled: Option<(u32, u64)>,
    work: Option<SyncSender<u32>>,
    thread: Option<JoinHandle<()>>,
}

impl Compactor {
    /// With its thread, or without one when there is nothing to write to.
    pub(crate) fn new(
        shared: Arc<Shared>,
        reader: Reader,
        slack_bytes: u64,
        readers_bytes: u64,
    ) -> std::io::Result<Self> {
        let (work, orders) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("windlass-compact".into())
            .spawn(move || run(&orders, &shared, &reader))?;
        Ok(Self {
            busy: false,
            slack_bytes,
            readers_bytes,
            settled: None,
            work: Some(work),
            thread: Some(thread),
        })
    }

    /// The segment to give back next, and the LSN that must be durable first.
    pub(crate) fn wanted(
        &mut self,
        journal: &Journal,
        machine: &Machine,
        last_lsn: u64,
    ) -> Option<(u32, u64)> {
        if self.busy {
            return None;
        }
        let used = journal.disk_bytes().saturating_sub(journal.spare_bytes());
        let live = machine.live.total();
        if used <= live + live * DEAD_PERCENT / 100 + self.slack_bytes {
            self.settled = None;
            return None;
        }
        let mut segments = journal.segments();
        let oldest = segments.next()?;
        segments.next()?;
        let read_from = machine.readers.values().map(ReaderPlace::segment).min();
        let held = read_from.into_iter().chain(journal.held_from()).min();
        if held.is_some_and(|held| held <= oldest.sequence) && !self.is_overdue(journal, machine) {
            return None;
        }
        match self.settled {
            Some((segment, lsn)) if segment == oldest.sequence => Some((segment, lsn)),
            _ => {
                self.settled = Some((oldest.sequence, last_lsn));
                self.settled
            }
        }
    }

    /// Whether readers and backups have held back as much as they may: the store goes on without them then.
    pub(crate) fn is_overdue(&self, journal: &Journal, machine: &Machine) -> bool {
        let used = journal.disk_bytes().saturating_sub(journal.spare_bytes());
        used > 2 * machine.live.total() + self.slack_bytes + self.readers_bytes
    }

    /// The oldest of these segments (oldest first) that is within the bytes that readers may hold back: what they keep
    /// counts as live, so without a bound of its own it would keep itself.
    pub(crate) fn reach(&self, segments: &[SegmentInfo]) -> u32 {
        let mut bytes = 0;
        let within = segments.iter().rev().take_while(|segment| {
            bytes += u64::from(segment.bytes_used);
            bytes <= self.readers_bytes
        });
        let newest = segments.last().map_or(0, |segment| segment.sequence);
        within.last().map_or(newest, |segment| segment.sequence)
    }

    /// Lets the thread carry on what the segment still holds.
    pub(crate) fn start(&mut self, segment: u32) {
        self.busy = self.work.as_ref().is_some_and(|work| work.try_send(segment).is_ok());
    }

    /// The segment is gone, or could not go.
    pub(crate) fn done(&mut self) {
        self.busy = false;
        self.settled = None;
    }

    /// Ends the thread; what it was doing is done again after the next open.
    pub(crate) fn stop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(orders: &Receiver<u32>, shared: &Arc<Shared>, reader: &Reader) {
    while let Ok(segment) = orders.recv() {
        if carry_on(segment, shared, reader).is_none() {
            return;
        }
    }
}

/// Copies what is needed of a segment forward and asks for it to be given back. None when the
/// engine takes no more work.
fn carry_on(segment: u32, shared: &Arc<Shared>, reader: &Reader) -> Option<()> {
    let mut from = Position::start_of(segment);
    let mut chunk = Vec::new();
    let mut bytes = 0;
    let mut whole = false;
    while !whole {
        let run = match reader.batches(from, CHUNK_BYTES) {
            Ok(run) if !run.batches.is_empty() => run,
            Ok(_) => return give_up(segment, "its end cannot be found"),
            Err(why) => return give_up(segment, &why.to_string()),
        };
        for batch in &run.batches {
            if batch.position.segment != segment {
                // The next segment's first batch is the proof that this one was read to its end.
                whole = true;
                break;
            }
            let Some(found) = candidates(batch.position, &batch.body) else {
                return give_up(segment, "a fact in it does not decode");
            };
            bytes += found.iter().map(|candidate| candidate.bytes.len()).sum::<usize>();
            chunk.extend(found);
            if bytes >= CHUNK_BYTES {
                hand_over(shared, std::mem::take(&mut chunk))?;
                bytes = 0;
            }
        }
        from = run.next;
    }
    hand_over(shared, chunk)?;
    while ask(shared, REMEMBER_STEP * 32, move |core| core.remember_anew(segment, REMEMBER_STEP))?
        == REMEMBER_STEP
    {}
    shared.post(Message::Reclaim(segment)).ok()
}

/// A segment that cannot be read whole is kept, and nothing behind it is given back either, until
/// the store is opened again: losing a record would be worse than losing disk space.
fn give_up(segment: u32, why: &str) -> Option<()> {
    tracing::error!(
        segment,
        why,
        "the oldest segment cannot be given back; compaction stops until the next open"
    );
    Some(())
}

/// The facts of a batch that a job may still need.
fn candidates(start: Position, body: &[u8]) -> Option<Vec<Candidate>> {
    let mut found = Vec::new();
    let mut from = Decoder::new(body);
    while !from.is_empty() {
        let at = from.pos();
        let fact = Fact::decode(&mut from, false).ok()?;
        let (id, shift) = match fact {
            Fact::Job(job) => (job.job.id, 0),
            Fact::Completed { job, .. }
            | Fact::Failed { job, .. }
            | Fact::Lost { job, .. }
            | Fact::Log { job, .. }
            | Fact::Checkpoint { job, .. }
            | Fact::Progress { job, .. } => (job.id, 0),
            Fact::Kept { id, fact, .. } => (id, from.pos() - at - fact.len()),
            _ => continue,
        };
        let offset = start.offset as usize + crate::journal::BATCH_HEADER_BYTES + at + shift;
        let place = Position { segment: start.segment, offset: offset as u32 };
        found.push(Candidate { id, place, bytes: body[at + shift..from.pos()].to_vec() });
    }
    Some(found)
}

fn hand_over(shared: &Arc<Shared>, chunk: Vec<Candidate>) -> Option<()> {
    if chunk.is_empty() {
        return Some(());
    }
    // A copy carries its changing part as JSON beside the record.
    let bytes = chunk.iter().map(|c| c.bytes.len() + 4_096).sum();
    ask(shared, bytes, move |core| core.relocate(&chunk)).map(|_| ())
}

/// Runs something on the engine's thread and waits until it is durable.
fn ask(
    shared: &Arc<Shared>,
    bytes: usize,
    run: impl FnOnce(&mut crate::decide::Core) -> usize + Send + 'static,
) -> Option<usize> {
    let (tell, told) = mpsc::channel();
    let request = Request {
        looks: false,
        at: None,
        bytes,
        bytes_when_low: bytes,
        run: Box::new(move |core| {
            let done = core.map(run).ok();
            (
                Wait::All,
                Box::new(move |failed| {
                    let _ = tell.send(done.filter(|_| failed.is_none()));
                }),
            )
        }),
    };
    shared.post(Message::Call(request)).ok()?;
    told.recv().ok().flatten()
}
