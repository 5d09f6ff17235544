//! Going through segments from their first batch on, at the disk's speed.
//!
//! Owns the reading ahead: one thread reads pieces and verifies checksums while the caller works on the piece before.
//! It stops at the first place where no valid batch stands, and judges nothing: whether that is an end, a torn tail
//! or damage is decided in `recovery.rs`. Memory is bounded by three pieces, or by the largest batch.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::batch::{BATCH_ALIGNMENT, BATCH_HEADER_BYTES, BATCH_MAGIC, BatchHeader};
use super::segment::{SEGMENT_HEADER_BYTES, Segment};

/// How much is read at once.
const PIECE_BYTES: usize = 4 * 1024 * 1024;

/// Pieces that wait for the caller; with the one being read and the one being worked on, this bounds the memory.
const PIECES_AHEAD: usize = 1;

/// A segment and how far its batches can reach.
pub(super) struct Span {
    pub(super) segment: Arc<Segment>,
    /// For a sealed segment the end that its successor states, else the end of the file.
    pub(super) bound: u32,
    pub(super) sealed: bool,
}

/// A piece of a segment with the valid batches that it holds whole.
pub(super) struct Piece {
    pub(super) span: usize,
    pub(super) bytes: Vec<u8>,
    pub(super) batches: Vec<Found>,
}

/// A valid batch within a piece.
pub(super) struct Found {
    pub(super) offset: u32,
    /// Index of its header in the piece's bytes.
    pub(super) at: usize,
    pub(super) header: BatchHeader,
}

/// Where no further valid batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stop {
    pub(super) span: usize,
    pub(super) offset: u32,
    /// The LSN that was expected there.
    pub(super) lsn: u64,
}

/// Hands out pieces in order; `ahead` reads and verifies on a second thread.
pub(super) fn scan<E>(
    spans: &[Span],
    ahead: bool,
    mut visit: impl FnMut(&Piece) -> Result<(), E>,
) -> Result<Result<Stop, E>, (usize, io::Error)> {
    if !ahead {
        let mut failure = None;
        let stop = Scanner::new(spans).run(|piece| match visit(&piece) {
            Ok(()) => ControlFlow::Continue(piece.bytes),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        });
        return match failure {
            Some(error) => Ok(Err(error)),
            None => stop.map(Ok),
        };
    }
    std::thread::scope(|scope| {
        let (pieces, arrived) = sync_channel(PIECES_AHEAD);
        let (returned, buffers) = sync_channel(PIECES_AHEAD + 2);
        let reading = scope.spawn(move || read_ahead(spans, &pieces, &buffers));
        let mut failure = None;
        for piece in arrived {
            if let Err(error) = visit(&piece) {
                failure = Some(error);
                break;
            }
            // A full or closed channel only means that the buffer is not needed again.
            let _ = returned.try_send(piece.bytes);
        }
        match failure {
            Some(error) => Ok(Err(error)),
            None => reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map(Ok),
        }
    })
}

fn read_ahead(
    spans: &[Span],
    pieces: &SyncSender<Piece>,
    buffers: &Receiver<Vec<u8>>,
) -> Result<Stop, (usize, io::Error)> {
    Scanner::new(spans).run(|piece| match pieces.send(piece) {
        Ok(()) => ControlFlow::Continue(buffers.try_recv().unwrap_or_default()),
        Err(_) => ControlFlow::Break(()),
    })
}

struct Scanner<'a> {
    spans: &'a [Span],
    next_lsn: u64,
}

/// Worth a fifth of the speed of a cold start; taken back, because later reads of the segment are scattered.
struct SequentialReads<'a>(&'a Segment);

impl<'a> SequentialReads<'a> {
    fn of(span: &'a Span) -> Self {
        span.segment.file.expect_sequential_reads(true);
        Self(&span.segment)
    }
}

impl Drop for SequentialReads<'_> {
    fn drop(&mut self) {
        self.0.file.expect_sequential_reads(false);
    }
}

enum Parsed {
    /// The next batch is not wholly in the buffer; this many bytes of it are needed.
    Needs(usize),
    Invalid,
}

impl<'a> Scanner<'a> {
    fn new(spans: &'a [Span]) -> Self {
        let next_lsn = spans.first().map_or(1, |span| span.segment.header.first_lsn);
        Self { spans, next_lsn }
    }

    /// Runs until a place without a valid batch, or until the taker breaks off; the taker gives a used buffer back.
    fn run(
        mut self,
        mut take: impl FnMut(Piece) -> ControlFlow<(), Vec<u8>>,
    ) -> Result<Stop, (usize, io::Error)> {
        let mut buffer = Vec::new();
        let mut stop = Stop { span: 0, offset: SEGMENT_HEADER_BYTES, lsn: self.next_lsn };
        for (index, span) in self.spans.iter().enumerate() {
            stop = Stop { span: index, offset: SEGMENT_HEADER_BYTES, lsn: self.next_lsn };
            if span.segment.header.first_lsn != self.next_lsn {
                return Ok(stop);
            }
            let _hint = SequentialReads::of(span);
            // A buffer keeps its old bytes and length until it is read into: filling it with zeros would cost time.
            let mut bytes = std::mem::take(&mut buffer);
            let mut held = 0;
            let mut needed = BATCH_HEADER_BYTES;
            while stop.offset < span.bound {
                let filled = u64::from(stop.offset) + held as u64;
                let left = u64::from(span.bound).saturating_sub(filled) as usize;
                if held + left < needed {
                    return Ok(stop);
                }
                let more = (PIECE_BYTES.max(needed) - held).min(left);
                bytes.resize(held + more, 0);
                span.segment.file.read_exact_at(&mut bytes[held..], filled).map_err(|e| (index, e))?;
                let (batches, at, parsed) = self.parse(span, stop.offset, &bytes);
                let remainder = bytes[at..].to_vec();
                stop = Stop { span: index, offset: stop.offset + at as u32, lsn: self.next_lsn };
                match take(Piece { span: index, bytes, batches }) {
                    ControlFlow::Continue(used) => bytes = used,
                    ControlFlow::Break(()) => return Ok(stop),
                }
                match parsed {
                    Parsed::Invalid => return Ok(stop),
                    Parsed::Needs(bytes_needed) => needed = bytes_needed,
                }
                held = remainder.len();
                bytes.resize(bytes.len().max(held), 0);
                bytes[..held].copy_from_slice(&remainder);
            }
            buffer = bytes;
        }
        Ok(stop)
    }

    /// The valid batches at the start of `bytes`, where they end, and why there are no more.
    fn parse(&mut self, span: &Span, start: u32, bytes: &[u8]) -> (Vec<Found>, usize, Parsed) {
        let mut batches = Vec::new();
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            if rest.len() < BATCH_HEADER_BYTES {
                return (batches, at, Parsed::Needs(BATCH_HEADER_BYTES));
            }
            let offset = start + at as u32;
            let Some(header) = BatchHeader::decode(rest).filter(|header| header.lsn == self.next_lsn) else {
                return (batches, at, Parsed::Invalid);
            };
            let stored = header.stored_bytes();
            if stored > u64::from(span.bound - offset) {
                return (batches, at, Parsed::Invalid);
            }
            let stored = stored as usize;
            if rest.len() < stored {
                return (batches, at, Parsed::Needs(stored));
            }
            let body = &rest[BATCH_HEADER_BYTES..][..header.body_len as usize];
            if header.checksum(span.segment.place(offset), body) != header.crc {
                return (batches, at, Parsed::Invalid);
            }
            batches.push(Found { offset, at, header });
            self.next_lsn += 1;
            at += stored;
        }
    }
}

/// The body of a segment's first batch, if it is whole.
pub(super) fn first_body(span: &Span) -> io::Result<Option<Vec<u8>>> {
    let at = u64::from(SEGMENT_HEADER_BYTES);
    let bound = u64::from(span.bound);
    if at + BATCH_HEADER_BYTES as u64 > bound {
        return Ok(None);
    }
    let mut header = [0; BATCH_HEADER_BYTES];
    span.segment.file.read_exact_at(&mut header, at)?;
    let Some(header) = BatchHeader::decode(&header).filter(|header| at + header.stored_bytes() <= bound)
    else {
        return Ok(None);
    };
    let mut body = vec![0; header.body_len as usize];
    span.segment.file.read_exact_at(&mut body, at + BATCH_HEADER_BYTES as u64)?;
    let whole = header.checksum(span.segment.place(SEGMENT_HEADER_BYTES), &body) == header.crc;
    Ok(whole.then_some(body))
}

/// Looks for valid batches of this segment within `from..span.bound` at every place where one may start, and shows
/// those whose LSN is at least `lsn`.
pub(super) fn search(
    span: &Span,
    from: u32,
    lsn: u64,
    mut found: impl FnMut(u32, &BatchHeader) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    let mut at = u64::from(from).next_multiple_of(BATCH_ALIGNMENT as u64);
    let bound = u64::from(span.bound);
    while at + BATCH_HEADER_BYTES as u64 <= bound {
        let len = (bound - at).min(PIECE_BYTES as u64) as usize;
        buffer.resize(len, 0);
        span.segment.file.read_exact_at(&mut buffer, at)?;
        let mut within = 0;
        while within + BATCH_HEADER_BYTES <= len {
            let offset = at + within as u64;
            let candidate = &buffer[within..];
            within += BATCH_ALIGNMENT;
            if candidate[..BATCH_MAGIC.len()] != BATCH_MAGIC {
                continue;
            }
            let Some(header) = BatchHeader::decode(candidate).filter(|header| header.lsn >= lsn) else {
                continue;
            };
            if offset + header.stored_bytes() > bound || !is_valid(&span.segment, offset, &header)? {
                continue;
            }
            if found(offset as u32, &header).is_break() {
                return Ok(());
            }
            within += (header.stored_bytes() as usize) - BATCH_ALIGNMENT;
        }
        at += within as u64;
    }
    Ok(())
}

/// Verifies a batch whose header is known, reading its body in pieces.
fn is_valid(segment: &Segment, offset: u64, header: &BatchHeader) -> io::Result<bool> {
    let mut crc = header.checksum_without_body(segment.place(offset as u32));
    let mut at = offset + BATCH_HEADER_BYTES as u64;
    let mut left = header.body_len as usize;
    let mut piece = vec![0; left.min(PIECE_BYTES)];
    while left > 0 {
        let len = left.min(PIECE_BYTES);
        segment.file.read_exact_at(&mut piece[..len], at)?;
        crc = crc32c::crc32c_append(crc, &piece[..len]);
        at += len as u64;
        left -= len;
    }
    Ok(crc == header.crc)
}
