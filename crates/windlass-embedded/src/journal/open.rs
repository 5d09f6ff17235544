//! Opening: replay what counts, refuse damage, cut a torn tail, and take stock.
//!
//! The order matters: nothing on the disk changes before the visitor took every batch, what is cut is durably cut
//! before anything can be appended, and every spare is one on the disk too before it can be used.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::batch::{BATCH_HEADER_BYTES, FLAG_SNAPSHOT};
use super::error::{Blame, OpenError, ReplayError};
use super::reader::Library;
use super::recovery::{self, SegmentFile, Survey, Verdict};
use super::scan::{self, Span, Stop};
use super::segment::{SEGMENT_HEADER_BYTES, Segment};
use super::spares::{Spare, Spares};
use super::sync::Durability;
use super::{Journal, JournalOptions, Position, Salts, target_after};
use crate::disk::Disk;

/// The newest segment may be torn at its first batch; the one before it then says nearly the same.
const OUTLOOK_SEGMENTS: usize = 2;

/// What replay shows, in order.
#[derive(Debug)]
pub enum Replayed<'a> {
    /// Before all else, the snapshot that opens the newest segment, if it can be read: only an outlook on how much is
    /// to come. It is shown again where it stands.
    Outlook {
        /// The batch's body.
        body: &'a [u8],
    },
    /// Everything was shown, and nothing on the disk has been changed yet.
    End,
    /// A segment begins.
    Segment {
        /// Its sequence number.
        sequence: u32,
    },
    /// A batch, its checksum verified and its bytes durable.
    Batch {
        /// Where it starts; its body starts [`BATCH_HEADER_BYTES`] later.
        position: Position,
        /// Its number, one more than that of the batch before.
        lsn: u64,
        /// Whether it is the snapshot that opens its segment.
        snapshot: bool,
        /// What was appended, never empty.
        body: &'a [u8],
    },
}

/// What opening found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The store's random id, made when it was created; it never changes.
    pub store_id: u128,
    /// Whether there was nothing to replay.
    pub fresh: bool,
    /// Segments replayed.
    pub segments: usize,
    /// Batches replayed, those that only state a watermark included.
    pub batches: u64,
    /// Bytes of these batches.
    pub bytes: u64,
    /// The last batch's number, 0 before the first.
    pub last_lsn: u64,
    /// Bytes of what looks like batches that were begun but never acknowledged; they are cut.
    pub torn_bytes: u64,
    /// Segments that held nothing but such bytes.
    pub torn_segments: usize,
    /// Files of which one copy of the header was damaged or out of date, and was written anew.
    pub healed_headers: Vec<String>,
}

impl Journal {
    /// Opens the journal of `disk`, or begins one if it is empty, and shows `visit` all batches in order.
    ///
    /// What is shown is durable. Call [`Journal::rotate`] before anything else is appended.
    ///
    /// # Errors
    /// See [`OpenError`]; bytes on the disk are only ever changed after `visit` took every batch.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: JournalOptions,
        entropy: &mut dyn FnMut() -> u64,
        visit: &mut dyn FnMut(Replayed<'_>) -> Result<(), ReplayError>,
    ) -> Result<(Self, Recovery), OpenError> {
        let options = options.in_whole_pages();
        let blame = Blame { place: disk.place() };
        let mut survey = recovery::survey(&*disk, &blame, true)?;
        if let Some((_, problem)) = survey.problems.drain(..).next() {
            return Err(problem);
        }
        let store_id = survey.store_id.unwrap_or_else(|| u128::from(entropy()) << 64 | u128::from(entropy()));
        let salts = Salts { state: entropy() };
        let (run, beyond) = survey.spans();
        recovery::distrust_caches(&run, survey.durable_lsn());
        recovery::distrust_caches(&beyond, 0);
        let mut recovery = Recovery { store_id, fresh: run.is_empty(), ..Recovery::default() };
        let stop = replay(&run, &options, &blame, visit, &mut recovery)?;
        let kept = match stop {
            Some(stop) => cut(&mut survey, run, &beyond, stop, &blame, &mut recovery)?,
            None => Vec::new(),
        };
        let next_sequence = kept.last().map(|segment| segment.sequence() + 1);
        let next_sequence = next_sequence.or(stop.and(recovery.first_sequence(&survey))).unwrap_or(1);
        let target_bytes =
            kept.last().map_or(options.segment_bytes_min, |last| target_after(last, true, &options));
        let next_number = survey.next_number;
        let ready = stock(&*disk, survey, &blame)?;

        let durability = Arc::new(Durability::new(recovery.last_lsn));
        let previous = kept.last().map(|last| (last.sequence(), last.end()));
        let live: BTreeMap<_, _> = kept.into_iter().map(|segment| (segment.sequence(), segment)).collect();
        let library = Arc::new(Library::new(live, Arc::clone(&durability), options.tail_cache_bytes));
        let spares = Arc::new(Spares::new(
            disk,
            Arc::clone(&durability),
            store_id,
            &options,
            ready,
            target_bytes,
            next_number,
        ));
        let spares_thread = if options.inline_spares { None } else { Some(start_thread(&spares, &blame)?) };
        let next_lsn = recovery.last_lsn + 1;
        let journal = Self {
            options,
            library,
            durability,
            spares,
            spares_thread,
            store_id,
            salts,
            current: None,
            previous,
            next_sequence,
            next_lsn,
            target_bytes,
            unconfirmed: Vec::new(),
        };
        Ok((journal, recovery))
    }
}

impl Recovery {
    /// Where the order of segments begins again when not even the first one held a whole batch.
    fn first_sequence(&self, survey: &Survey) -> Option<u32> {
        survey.first_cut.filter(|_| self.segments == 0)
    }
}

/// Shows the visitor all valid batches; answers where they end, or `None` when there are no segments.
fn replay(
    run: &[Span],
    options: &JournalOptions,
    blame: &Blame,
    visit: &mut dyn FnMut(Replayed<'_>) -> Result<(), ReplayError>,
    recovery: &mut Recovery,
) -> Result<Option<Stop>, OpenError> {
    if run.is_empty() {
        return Ok(None);
    }
    for span in run.iter().rev().take(OUTLOOK_SEGMENTS) {
        let body = scan::first_body(span).map_err(blame.io("read", &span.segment.name))?;
        let Some(body) = body else { continue };
        let position = Position::start_of(span.segment.sequence());
        let refused = |source| OpenError::Replay { place: blame.place.clone(), position, lsn: 0, source };
        visit(Replayed::Outlook { body: &body }).map_err(refused)?;
        break;
    }
    let mut shown = None;
    let scanned = scan::scan(run, !options.inline_spares, |piece| {
        let sequence = run[piece.span].segment.sequence();
        for found in &piece.batches {
            let position = Position { segment: sequence, offset: found.offset };
            let lsn = found.header.lsn;
            let refused = |source| OpenError::Replay { place: blame.place.clone(), position, lsn, source };
            if shown != Some(sequence) {
                visit(Replayed::Segment { sequence }).map_err(refused)?;
                shown = Some(sequence);
                recovery.segments += 1;
            }
            let body = &piece.bytes[found.at + BATCH_HEADER_BYTES..][..found.header.body_len as usize];
            if !body.is_empty() {
                let snapshot = found.header.flags & FLAG_SNAPSHOT != 0;
                visit(Replayed::Batch { position, lsn, snapshot, body }).map_err(refused)?;
            }
            recovery.batches += 1;
            recovery.bytes += found.header.stored_bytes();
        }
        Ok(())
    });
    let stop = scanned.map_err(|(span, source)| blame.io("read", &run[span].segment.name)(source))??;
    recovery.last_lsn = stop.lsn - 1;
    recovery.fresh = recovery.segments == 0;
    let position = Position { segment: run[stop.span].segment.sequence(), offset: stop.offset };
    let refused =
        |source| OpenError::Replay { place: blame.place.clone(), position, lsn: recovery.last_lsn, source };
    visit(Replayed::End).map_err(refused)?;
    Ok(Some(stop))
}

/// Refuses damage, cuts a torn tail durably, and answers the segments that stay.
fn cut(
    survey: &mut Survey,
    run: Vec<Span>,
    beyond: &[Span],
    stop: Stop,
    blame: &Blame,
    recovery: &mut Recovery,
) -> Result<Vec<Arc<Segment>>, OpenError> {
    let segment = &run[stop.span].segment;
    let name = segment.name.clone();
    match recovery::judge(survey, &run, beyond, stop).map_err(blame.io("read", &name))? {
        Verdict::Torn { bytes } => recovery.torn_bytes = bytes,
        Verdict::Corrupt { witness } => {
            return Err(blame.corrupt(&name, segment.sequence(), stop.offset, stop.lsn, witness));
        }
    }
    let kept = stop.span + usize::from(stop.offset > SEGMENT_HEADER_BYTES);
    let torn = run[kept..].iter().chain(beyond);
    let torn: Vec<u32> = torn.map(|span| span.segment.sequence()).collect();
    recovery.torn_segments = torn.len();
    survey.first_cut = torn.first().copied();
    // Newest first: whatever a crash in between leaves is a shorter torn tail.
    for sequence in torn.into_iter().rev() {
        let found = survey.live.remove(&sequence).expect("spans are made of live segments");
        recovery::make_spare(&found).map_err(blame.io("mark as spare", &found.name))?;
        survey.spares.push(SegmentFile { copies: [None, None], ..found });
    }
    for found in survey.live.values() {
        let healed = recovery::heal(found, recovery.last_lsn);
        if healed.map_err(blame.io("write the header of", &found.name))? {
            recovery.healed_headers.push(found.name.clone());
        }
    }
    let ends = run.into_iter().take(kept).enumerate().map(|(index, span)| {
        span.segment.set_end(if index == stop.span { stop.offset } else { span.bound });
        span.segment
    });
    Ok(ends.collect())
}

/// Makes sure that every spare is one on the disk too, and removes what a crash left half made.
fn stock(disk: &dyn Disk, survey: Survey, blame: &Blame) -> Result<Vec<Spare>, OpenError> {
    for name in &survey.unfinished {
        disk.remove(name).map_err(blame.io("remove", name))?;
    }
    let mut ready = Vec::new();
    for found in survey.spares {
        let capacity = recovery::usable_capacity(&found);
        if capacity < 2 * SEGMENT_HEADER_BYTES {
            disk.remove(&found.name).map_err(blame.io("remove", &found.name))?;
            continue;
        }
        if found.copies != [None, None] {
            recovery::make_spare(&found).map_err(blame.io("mark as spare", &found.name))?;
        }
        ready.push(Spare { name: found.name, file: found.file, capacity });
    }
    Ok(ready)
}

fn start_thread(spares: &Arc<Spares>, blame: &Blame) -> Result<JoinHandle<()>, OpenError> {
    let spares = Arc::clone(spares);
    let builder = std::thread::Builder::new().name("windlass-spares".to_owned());
    builder
        .spawn(move || spares.run())
        .map_err(|error: io::Error| blame.io("start a thread for", "spares")(error))
}
