//! What a disk holds, and what of it counts.
//!
//! [`survey`] reads the headers and orders the segments; [`judge`] decides about the first place where no valid batch
//! stands. The rule: every batch and header states the highest LSN that was durable when it was written. If anything
//! behind that place states that the missing batch was durable, acknowledged bytes are damaged and the store is
//! refused. If nothing does, no acknowledgement can have rested on it: a torn tail, which is cut.
//!
//! Recovery changes nothing before the caller took all batches, and then only retires what was cut, newest first. So
//! it may be interrupted anywhere, any number of times, and comes to the same end.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::batch::{BATCH_HEADER_BYTES, BatchHeader};
use super::error::{Blame, OpenError};
use super::scan::{Span, Stop, search};
use super::segment::{
    COPY_BYTES, COPY_OFFSETS, Copy, Header, SEGMENT_HEADER_BYTES, Segment, file_number, rewrite_header,
};
use crate::disk::{Disk, DiskFile};

/// A segment file whose header could be read.
pub(super) struct SegmentFile {
    pub(super) name: String,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) len: u64,
    /// The copy that counts: the first whole one.
    pub(super) header: Header,
    pub(super) copies: [Option<Header>; 2],
}

/// Everything that is named like a segment.
pub(super) struct Survey {
    /// Live segments by sequence.
    pub(super) live: BTreeMap<u32, SegmentFile>,
    pub(super) spares: Vec<SegmentFile>,
    /// Files that a crash left half made.
    pub(super) unfinished: Vec<String>,
    /// Files that cannot be used, each with the reason; a store with one of these is refused.
    pub(super) problems: Vec<(String, OpenError)>,
    pub(super) store_id: Option<u128>,
    pub(super) next_number: u64,
    /// The oldest segment that was cut.
    pub(super) first_cut: Option<u32>,
}

/// Reads all headers. `settle` first makes the disk and what is read of it agree: bytes that the system still holds
/// are synced, bytes that it shows although the disk never got them are dropped.
pub(super) fn survey(disk: &dyn Disk, blame: &Blame, settle: bool) -> Result<Survey, OpenError> {
    let mut survey = Survey {
        live: BTreeMap::new(),
        spares: Vec::new(),
        unfinished: Vec::new(),
        problems: Vec::new(),
        store_id: None,
        next_number: 1,
        first_cut: None,
    };
    for name in disk.list().map_err(blame.io("list", "the directory"))? {
        let Some(number) = file_number(&name) else { continue };
        survey.next_number = survey.next_number.max(number + 1);
        if !name.ends_with(".wlj") {
            survey.unfinished.push(name);
            continue;
        }
        let file = disk.open(&name).map_err(blame.io("open", &name))?;
        if settle {
            file.sync_data().map_err(blame.io("sync", &name))?;
            file.drop_cache(0, u64::from(SEGMENT_HEADER_BYTES));
        }
        match read_header(file, &name, blame).map_err(blame.io("read", &name))? {
            Ok(found) => survey.file(found, blame),
            Err(problem) => survey.problems.push((name, problem)),
        }
    }
    Ok(survey)
}

impl Survey {
    fn file(&mut self, found: SegmentFile, blame: &Blame) {
        let store_id = *self.store_id.get_or_insert(found.header.store_id);
        if found.header.store_id != store_id {
            let problem = blame.foreign(&found.name, "it belongs to another store");
            self.problems.push((found.name, problem));
        } else if !found.header.live {
            self.spares.push(found);
        } else if let Some(other) = self.live.get(&found.header.sequence) {
            let reason = format!("it has the same sequence number as {}", other.name);
            self.problems.push((found.name.clone(), blame.foreign(&found.name, reason)));
        } else {
            self.live.insert(found.header.sequence, found);
        }
    }

    /// The live segments as spans for scanning, oldest first, up to the first gap; then those behind the gap, as
    /// witnesses only.
    pub(super) fn spans(&self) -> (Vec<Span>, Vec<Span>) {
        let (mut run, mut beyond): (Vec<Span>, Vec<Span>) = (Vec::new(), Vec::new());
        for (sequence, found) in &self.live {
            let end_of_file = u64::from(found.header.capacity).min(found.len) as u32;
            let next = self.live.get(&(sequence + 1)).filter(|next| next.header.prev_sequence == *sequence);
            let bound = next.map_or(end_of_file, |next| next.header.prev_end);
            let segment = Segment::new(found.header, found.name.clone(), Arc::clone(&found.file), 0);
            let span =
                Span { segment: Arc::new(segment), bound: bound.min(end_of_file), sealed: next.is_some() };
            let contiguous = run.last().is_none_or(|last| last.segment.sequence() + 1 == *sequence);
            if contiguous && beyond.is_empty() { run.push(span) } else { beyond.push(span) }
        }
        (run, beyond)
    }

    /// The highest LSN that any header states as durable.
    pub(super) fn durable_lsn(&self) -> u64 {
        self.live.values().map(SegmentFile::durable_lsn).max().unwrap_or(0)
    }
}

impl SegmentFile {
    /// The highest LSN that this header states as durable.
    fn durable_lsn(&self) -> u64 {
        let live = self.copies.iter().flatten().filter(|copy| copy.live);
        let stated = live.map(|copy| copy.durable_lsn).max().unwrap_or(0);
        // While the first batch is not durable, nobody writes the second copy, so no crash can have torn it.
        if self.copies[1].is_none() { stated.max(self.header.first_lsn) } else { stated }
    }
}

/// Has the bytes read from the disk itself in every segment that may hold more than what was certainly synced.
pub(super) fn distrust_caches(spans: &[Span], durable_lsn: u64) {
    for (index, span) in spans.iter().enumerate() {
        let last = spans.get(index + 1).map(|next| next.segment.header.first_lsn.saturating_sub(1));
        if last.is_none_or(|last| last > durable_lsn) {
            span.segment.file.drop_cache(0, u64::from(span.segment.header.capacity));
        }
    }
}

fn read_header(
    file: Arc<dyn DiskFile>,
    name: &str,
    blame: &Blame,
) -> io::Result<Result<SegmentFile, OpenError>> {
    let len = file.len()?;
    let copies = read_copies(&*file)?;
    if let Some(version) =
        copies.iter().find_map(|copy| if let Copy::Version(v) = copy { Some(*v) } else { None })
    {
        return Ok(Err(blame.version(name, version)));
    }
    let whole = copies.map(Copy::whole);
    let Some(header) = whole[0].or(whole[1]) else {
        let problem = if copies == [Copy::Foreign; 2] {
            blame.foreign(name, "it does not begin like one")
        } else {
            blame.corrupt(name, 0, 0, 0, "the file exists, and both copies of its header are damaged")
        };
        return Ok(Err(problem));
    };
    if header.capacity < SEGMENT_HEADER_BYTES || header.live && header.sequence == 0 {
        return Ok(Err(blame.foreign(name, "its header makes no sense")));
    }
    // A file has its full length before it gets the name of a segment.
    if header.live && len < u64::from(header.capacity) {
        let witness = format!("its header states {} bytes and the file has {len}", header.capacity);
        let len = len.min(u64::from(u32::MAX)) as u32;
        return Ok(Err(blame.corrupt(name, header.sequence, len, header.first_lsn, witness)));
    }
    Ok(Ok(SegmentFile { name: name.to_owned(), file, len, header, copies: whole }))
}

/// Both copies of a header as they stand in the file.
pub(super) fn read_copies(file: &dyn DiskFile) -> io::Result<[Copy; 2]> {
    let len = file.len()?;
    let mut copies = [Copy::Foreign; 2];
    for (copy, offset) in copies.iter_mut().zip(COPY_OFFSETS) {
        let mut bytes = [0; COPY_BYTES];
        if offset + COPY_BYTES as u64 <= len {
            file.read_exact_at(&mut bytes, offset)?;
        }
        *copy = if bytes == [0; COPY_BYTES] { Copy::Damaged } else { Header::decode(&bytes) };
    }
    Ok(copies)
}

impl Blame {
    pub(super) fn corrupt(
        &self,
        file: &str,
        segment: u32,
        offset: u32,
        lsn: u64,
        witness: impl Into<String>,
    ) -> OpenError {
        let (place, file) = (self.place.clone(), file.to_owned());
        OpenError::Corrupt { place, file, segment, offset, lsn, witness: witness.into() }
    }
}

/// The verdict about the place where the valid batches end.
pub(super) enum Verdict {
    /// Nothing that was acknowledged is missing. Bytes of batches that were begun and are cut.
    Torn { bytes: u64 },
    /// A batch that was durable is missing, for this reason.
    Corrupt { witness: String },
}

/// Decides whether what is missing at `stop` was ever durable.
pub(super) fn judge(survey: &Survey, run: &[Span], beyond: &[Span], stop: Stop) -> io::Result<Verdict> {
    for found in survey.live.values() {
        let stated = found.durable_lsn();
        if stated >= stop.lsn {
            let witness = format!("the header of {} states that batch {stated} was durable", found.name);
            return Ok(Verdict::Corrupt { witness });
        }
    }
    let mut torn_bytes = 0;
    let mut witness = None;
    let places = run.iter().skip(stop.span).chain(beyond);
    for (index, span) in places.enumerate() {
        let from = if index == 0 { stop.offset } else { SEGMENT_HEADER_BYTES };
        let mut end = from;
        if index == 0 {
            end = begun(span, stop)?;
        }
        search(span, from, stop.lsn, |offset, header| {
            end = end.max(offset + header.stored_bytes() as u32);
            if header.durable_lsn < stop.lsn {
                return ControlFlow::Continue(());
            }
            let (name, lsn, durable) = (&span.segment.name, header.lsn, header.durable_lsn);
            witness = Some(format!("batch {lsn} in {name} states that batch {durable} was durable"));
            ControlFlow::Break(())
        })?;
        if let Some(witness) = witness {
            return Ok(Verdict::Corrupt { witness });
        }
        torn_bytes += u64::from(end - from);
    }
    Ok(Verdict::Torn { bytes: torn_bytes })
}

/// Where the batch that was begun at `stop` would have ended; `stop` itself when none was.
pub(super) fn begun(span: &Span, stop: Stop) -> io::Result<u32> {
    let left = span.bound.saturating_sub(stop.offset);
    if left < BATCH_HEADER_BYTES as u32 {
        return Ok(stop.offset);
    }
    let mut bytes = [0; BATCH_HEADER_BYTES];
    span.segment.file.read_exact_at(&mut bytes, u64::from(stop.offset))?;
    let header = BatchHeader::decode(&bytes).filter(|header| header.lsn == stop.lsn);
    Ok(header.map_or(stop.offset, |header| stop.offset + header.stored_bytes().min(u64::from(left)) as u32))
}

/// Marks a segment spare, by way of states that are each whole. Its copies may differ or be damaged.
pub(super) fn make_spare(found: &SegmentFile) -> io::Result<()> {
    let capacity = usable_capacity(found);
    let spare = Header::spare(found.header.store_id, capacity);
    match found.copies {
        [first, second] if first == Some(spare) && second == Some(spare) => Ok(()),
        // With the second copy damaged, the first is the only whole one: it is touched last.
        [_, None] => rewrite_header(&*found.file, [1, 0], &spare),
        [_, Some(_)] => rewrite_header(&*found.file, [0, 1], &spare),
    }
}

/// Makes both copies of a live segment's header whole again and equal in what they say of its use.
pub(super) fn heal(found: &SegmentFile, durable_lsn: u64) -> io::Result<bool> {
    let header = Header { durable_lsn, ..found.header };
    let needs = |copy: Option<Header>| copy.is_none_or(|copy| !copy.is_same_use(&header));
    let damaged = [needs(found.copies[0]), needs(found.copies[1])];
    for (copy, _) in damaged.iter().enumerate().filter(|(_, damaged)| **damaged) {
        super::segment::write_copy(&*found.file, copy, &header)?;
        found.file.sync_data()?;
    }
    Ok(damaged[0] || damaged[1])
}

/// What the file really has room for, in whole pages.
pub(super) fn usable_capacity(found: &SegmentFile) -> u32 {
    let len = u64::from(found.header.capacity).min(found.len) as u32;
    len - len % SEGMENT_HEADER_BYTES
}
