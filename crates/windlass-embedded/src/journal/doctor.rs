//! Looking at a journal without opening it, and cutting one that is damaged.
//!
//! [`verify`] reads everything, changes nothing and lists every problem. [`repair`] makes a damaged journal openable
//! by cutting it at the first damage, as recovery would cut a torn tail; what it cuts off is kept beside the journal
//! in `salvage-*.bin` files, durable before anything is touched, and the report says what was dropped. Which facts
//! those were only the engine could say.

use std::io;
use std::ops::ControlFlow;

use super::batch::BatchHeader;
use super::error::{Blame, OpenError};
use super::recovery::{self, Survey, Verdict};
use super::scan::{self, Span, Stop, search};
use super::segment::{Header, SEGMENT_HEADER_BYTES, rewrite_header};
use crate::disk::{Disk, DiskFile};

/// Bytes are copied and zeroed in pieces of this size.
const PIECE_BYTES: usize = 1024 * 1024;

/// What [`verify`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Where the journal is.
    pub place: String,
    /// The store's id; none when there is no readable segment.
    pub store_id: Option<u128>,
    /// Live segments, oldest first.
    pub segments: Vec<SegmentReport>,
    /// Segments in stock.
    pub spares: usize,
    /// Their bytes.
    pub spare_bytes: u64,
    /// The highest LSN that anything states as durable.
    pub durable_lsn: u64,
    /// The highest LSN of any valid batch.
    pub last_lsn: u64,
    /// Bytes behind the last acknowledged batch that the next start will cut; no problem.
    pub torn_bytes: u64,
    /// Everything that makes opening refuse, or will.
    pub problems: Vec<Problem>,
    /// Damage that the next start heals by itself.
    pub warnings: Vec<String>,
}

/// One live segment as verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentReport {
    /// Its file.
    pub file: String,
    /// Its place in the order.
    pub sequence: u32,
    /// Bytes of its file.
    pub capacity: u32,
    /// Where its last valid batch ends.
    pub bytes_used: u32,
    /// Valid batches.
    pub batches: u64,
    /// The number that its first batch should have.
    pub first_lsn: u64,
}

/// One place where acknowledged bytes are damaged or missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// Where it begins.
    pub offset: u32,
    /// The first batch that is missing; 0 when not known.
    pub lsn: u64,
    /// What is wrong, for people.
    pub text: String,
}

/// What [`repair`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepairReport {
    /// Where the journal is.
    pub place: String,
    /// What was cut off, in the order of the journal; empty when nothing was damaged.
    pub cuts: Vec<Cut>,
    /// The last batch that is kept.
    pub last_lsn: u64,
}

/// A part of the journal that [`repair`] dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The file that it was in.
    pub file: String,
    /// The segment's sequence number; 0 when its header could not be read.
    pub segment: u32,
    /// Where it began.
    pub offset: u32,
    /// Its bytes.
    pub bytes: u64,
    /// Batches in it that could still be read; with the damaged ones there were more.
    pub batches: u64,
    /// The highest number among these; 0 when there are none.
    pub last_lsn: u64,
    /// The file that keeps the bytes; none when they were all zeros.
    pub salvaged_to: Option<String>,
}

/// Reads a whole journal and lists all problems; changes nothing. `progress` gets bytes done and bytes to do.
///
/// # Errors
/// Only when the disk fails; everything else is in the report.
pub fn verify(disk: &dyn Disk, progress: &mut dyn FnMut(u64, u64)) -> Result<VerifyReport, OpenError> {
    let blame = Blame { place: disk.place() };
    let survey = recovery::survey(disk, &blame, false)?;
    let mut report = VerifyReport {
        place: blame.place.clone(),
        store_id: survey.store_id,
        spares: survey.spares.len(),
        spare_bytes: survey.spares.iter().map(|spare| spare.len).sum(),
        durable_lsn: survey.durable_lsn(),
        ..VerifyReport::default()
    };
    let (run, beyond) = survey.spans();
    let total = run.iter().chain(&beyond).map(|span| u64::from(span.bound)).sum();
    let (mut holes, mut done, mut next_lsn) = (Vec::new(), 0, None);
    for span in run.iter().chain(&beyond) {
        let first_lsn = span.segment.header.first_lsn;
        if let Some(expected) = next_lsn.filter(|expected| *expected != first_lsn) {
            holes.push(Hole::at(span, SEGMENT_HEADER_BYTES, 0, expected));
        }
        let read = walk(span, &mut report, &mut holes);
        next_lsn = Some(read.map_err(blame.io("read", &span.segment.name))?);
        done += u64::from(span.bound);
        progress(done, total);
    }
    report.last_lsn = next_lsn.unwrap_or(1).saturating_sub(1);
    for hole in holes {
        if hole.lsn <= report.durable_lsn {
            report.problems.push(hole.problem());
        } else {
            report.torn_bytes += hole.bytes;
        }
    }
    for (file, problem) in survey.problems {
        report.problems.push(Problem { file, offset: 0, lsn: 0, text: problem.to_string() });
    }
    for found in survey.live.values().chain(&survey.spares) {
        if found.copies.iter().any(Option::is_none) {
            report.warnings.push(format!("{}: one of the two copies of its header is damaged", found.name));
        }
    }
    for name in survey.unfinished {
        report.warnings.push(format!("{name}: left half made by a crash, removed at the next start"));
    }
    Ok(report)
}

/// Shows the bodies of the newest segment's batches, and of the one before it, should the newest be torn at once.
///
/// # Errors
/// When the disk fails.
pub fn newest(disk: &dyn Disk, visit: &mut dyn FnMut(&[u8])) -> Result<(), OpenError> {
    let blame = Blame { place: disk.place() };
    let (run, _) = recovery::survey(disk, &blame, false)?.spans();
    for span in run.iter().rev().take(2) {
        let shown = scan::scan(std::slice::from_ref(span), false, |piece| {
            for found in &piece.batches {
                visit(&piece.bytes[found.at + super::BATCH_HEADER_BYTES..][..found.header.body_len as usize]);
            }
            Ok::<(), std::convert::Infallible>(())
        });
        let Ok(_stop) = shown.map_err(|(_, source)| blame.io("read", &span.segment.name)(source))?;
    }
    Ok(())
}

/// Bytes of a segment that hold no valid batch although one should stand there.
struct Hole {
    file: String,
    offset: u32,
    bytes: u64,
    lsn: u64,
}

impl Hole {
    fn at(span: &Span, offset: u32, bytes: u64, lsn: u64) -> Self {
        Self { file: span.segment.name.clone(), offset, bytes, lsn }
    }

    fn problem(self) -> Problem {
        let text = if self.bytes == 0 {
            format!("batch {} should have come before this segment", self.lsn)
        } else {
            format!(
                "batch {} and {} bytes from there on are damaged, and were acknowledged",
                self.lsn, self.bytes
            )
        };
        Problem { file: self.file, offset: self.offset, lsn: self.lsn, text }
    }
}

/// Goes through the valid batches of one segment, stepping over damage; answers the LSN expected behind it.
fn walk(span: &Span, report: &mut VerifyReport, holes: &mut Vec<Hole>) -> io::Result<u64> {
    let header = span.segment.header;
    let (mut at, mut next_lsn, mut batches) = (SEGMENT_HEADER_BYTES, header.first_lsn, 0);
    let mut durable_lsn = report.durable_lsn;
    search(span, SEGMENT_HEADER_BYTES, 0, |offset, batch: &BatchHeader| {
        if offset != at || batch.lsn != next_lsn {
            holes.push(Hole::at(span, at, u64::from(offset - at), next_lsn));
        }
        batches += 1;
        durable_lsn = durable_lsn.max(batch.durable_lsn);
        next_lsn = batch.lsn + 1;
        at = offset + batch.stored_bytes() as u32;
        ControlFlow::Continue(())
    })?;
    if span.sealed && at != span.bound {
        holes.push(Hole::at(span, at, u64::from(span.bound.saturating_sub(at)), next_lsn));
    } else if !span.sealed {
        // Nothing valid follows; whether a durable batch is missing here shows in what is stated elsewhere.
        let stop = Stop { span: 0, offset: at, lsn: next_lsn };
        holes.push(Hole::at(span, at, u64::from(recovery::begun(span, stop)? - at), next_lsn));
    }
    report.durable_lsn = durable_lsn;
    report.segments.push(SegmentReport {
        file: span.segment.name.clone(),
        sequence: span.segment.sequence(),
        capacity: header.capacity,
        bytes_used: at,
        batches,
        first_lsn: header.first_lsn,
    });
    Ok(next_lsn)
}

/// Cuts a damaged journal at its first damage, so that it can be opened, and reports what that dropped. A journal
/// without damage is left as it is. May be interrupted and called again.
///
/// # Errors
/// When the disk fails, or when a file is of a newer format or of another store: those are never touched.
pub fn repair(disk: &dyn Disk) -> Result<RepairReport, OpenError> {
    let blame = Blame { place: disk.place() };
    let mut survey = recovery::survey(disk, &blame, true)?;
    let mut report = RepairReport { place: blame.place.clone(), ..RepairReport::default() };
    let mut problems = std::mem::take(&mut survey.problems);
    let is_damage = |problem: &OpenError| matches!(problem, OpenError::Corrupt { .. });
    if let Some(index) = problems.iter().position(|(_, problem)| !is_damage(problem)) {
        return Err(problems.swap_remove(index).1);
    }
    for (name, _) in &problems {
        report.cuts.push(restore(disk, name, &blame)?);
    }
    if !problems.is_empty() {
        survey = recovery::survey(disk, &blame, true)?;
    }
    let (run, beyond) = survey.spans();
    if run.is_empty() {
        return Ok(report);
    }
    recovery::distrust_caches(&run, survey.durable_lsn());
    recovery::distrust_caches(&beyond, 0);
    let scanned = scan::scan(&run, true, |_| Ok::<(), OpenError>(()));
    let stop = scanned.map_err(|(span, source)| blame.io("read", &run[span].segment.name)(source))??;
    report.last_lsn = stop.lsn - 1;
    let stopped_in = run[stop.span].segment.name.clone();
    let verdict = recovery::judge(&survey, &run, &beyond, stop).map_err(blame.io("read", &stopped_in))?;
    if matches!(verdict, Verdict::Torn { .. }) {
        return Ok(report);
    }
    for (index, span) in run.iter().skip(stop.span).chain(&beyond).enumerate() {
        let from = if index == 0 { stop.offset } else { SEGMENT_HEADER_BYTES };
        report.cuts.push(salvage(disk, span, from).map_err(blame.io("salvage", &span.segment.name))?);
    }
    disk.sync_dir().map_err(blame.io("sync", "the directory"))?;
    cut_off(&survey, &run, &beyond, stop, &blame)?;
    Ok(report)
}

/// Gives a file that was cut short its length back, in zeros, so that the rest can be judged as usual; takes one
/// without a readable header out of the journal.
fn restore(disk: &dyn Disk, name: &str, blame: &Blame) -> Result<Cut, OpenError> {
    let file = disk.open(name).map_err(blame.io("open", name))?;
    let copies = recovery::read_copies(&*file).map_err(blame.io("read", name))?;
    let Some(header) = copies[0].whole().or(copies[1].whole()) else {
        return set_aside(disk, name, blame);
    };
    let len = file.len().map_err(blame.io("open", name))?.min(u64::from(header.capacity)) as u32;
    clear(&*file, len, header.capacity).map_err(blame.io("lengthen", name))?;
    let (file, bytes) = (name.to_owned(), u64::from(header.capacity - len));
    let segment = header.sequence;
    Ok(Cut { file, segment, offset: len, bytes, batches: 0, last_lsn: 0, salvaged_to: None })
}

fn set_aside(disk: &dyn Disk, name: &str, blame: &Blame) -> Result<Cut, OpenError> {
    let salvaged =
        unused_name(disk, name.trim_end_matches(".wlj")).map_err(blame.io("list", "the directory"))?;
    let bytes = disk.open(name).and_then(|file| file.len()).map_err(blame.io("open", name))?;
    disk.rename(name, &salvaged).and_then(|()| disk.sync_dir()).map_err(blame.io("rename", name))?;
    let file = name.to_owned();
    Ok(Cut { file, segment: 0, offset: 0, bytes, batches: 0, last_lsn: 0, salvaged_to: Some(salvaged) })
}

/// Copies what a segment holds from `from` on, zeros at the end left out, and makes the copy durable.
fn salvage(disk: &dyn Disk, span: &Span, from: u32) -> io::Result<Cut> {
    let (mut batches, mut last_lsn) = (0, 0);
    search(span, from, 0, |_, batch| {
        (batches, last_lsn) = (batches + 1, batch.lsn);
        ControlFlow::Continue(())
    })?;
    let file = &*span.segment.file;
    let mut until = from;
    each_piece(file, from, span.bound, |at, piece| {
        if let Some(last) = piece.iter().rposition(|byte| *byte != 0) {
            until = at + last as u32 + 1;
        }
        Ok(())
    })?;
    let sequence = span.segment.sequence();
    let mut cut = Cut {
        file: span.segment.name.clone(),
        segment: sequence,
        offset: from,
        bytes: u64::from(until - from),
        batches,
        last_lsn,
        salvaged_to: None,
    };
    if cut.bytes > 0 {
        let name = unused_name(disk, &format!("segment-{sequence}-byte-{from}"))?;
        let copy = disk.create(&name, cut.bytes)?;
        each_piece(file, from, until, |at, piece| copy.write_all_at(piece, u64::from(at - from)))?;
        copy.sync_data()?;
        cut.salvaged_to = Some(name);
    }
    Ok(cut)
}

/// Cuts at `stop`. Every step leaves a journal that is either still refused, or opens with the same batches.
fn cut_off(
    survey: &Survey,
    run: &[Span],
    beyond: &[Span],
    stop: Stop,
    blame: &Blame,
) -> Result<(), OpenError> {
    let keeps_part = stop.offset > SEGMENT_HEADER_BYTES;
    let kept = stop.span + usize::from(keeps_part);
    let dropped: Vec<&Span> = run[kept..].iter().chain(beyond).collect();
    for span in dropped.into_iter().rev() {
        let found = &survey.live[&span.segment.sequence()];
        recovery::make_spare(found).map_err(blame.io("mark as spare", &found.name))?;
    }
    for span in &run[..kept] {
        let found = &survey.live[&span.segment.sequence()];
        let states_too_much = |copy: &Header| copy.live && copy.durable_lsn >= stop.lsn;
        if found.copies.iter().flatten().any(states_too_much) {
            let durable_lsn = found.header.durable_lsn.min(stop.lsn - 1);
            let order = if found.copies[1].is_none() { [1, 0] } else { [0, 1] };
            let written = rewrite_header(&*found.file, order, &Header { durable_lsn, ..found.header });
            written.map_err(blame.io("write the header of", &found.name))?;
        }
    }
    if keeps_part {
        let found = &survey.live[&run[stop.span].segment.sequence()];
        let end = recovery::usable_capacity(found);
        clear(&*found.file, stop.offset, end).map_err(blame.io("clear", &found.name))?;
    }
    Ok(())
}

fn clear(file: &dyn DiskFile, from: u32, end: u32) -> io::Result<()> {
    let zeros = vec![0; PIECE_BYTES.min(end.saturating_sub(from) as usize)];
    let mut at = from;
    while at < end {
        let len = ((end - at) as usize).min(PIECE_BYTES);
        file.write_all_at(&zeros[..len], u64::from(at))?;
        at += len as u32;
    }
    file.sync_data()
}

fn each_piece(
    file: &dyn DiskFile,
    from: u32,
    until: u32,
    mut take: impl FnMut(u32, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut bytes = vec![0; PIECE_BYTES.min(until.saturating_sub(from) as usize)];
    let mut at = from;
    while at < until {
        let len = ((until - at) as usize).min(PIECE_BYTES);
        file.read_exact_at(&mut bytes[..len], u64::from(at))?;
        take(at, &bytes[..len])?;
        at += len as u32;
    }
    Ok(())
}

/// A name for a salvage file that nothing has yet: repeated repairs keep all that any of them cut.
fn unused_name(disk: &dyn Disk, what: &str) -> io::Result<String> {
    let names = disk.list()?;
    let mut name = format!("salvage-{what}.bin");
    let mut copy = 1;
    while names.contains(&name) {
        copy += 1;
        name = format!("salvage-{what}-{copy}.bin");
    }
    Ok(name)
}
