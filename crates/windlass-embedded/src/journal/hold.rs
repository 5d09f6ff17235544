//! A look at the whole journal that lasts: what a backup copies.
//!
//! Sealed segments never change, and of the open one the part up to a batch's end never does. So it is enough to note
//! how far each segment goes, and to keep the oldest from being given back while they are read. A hold is a request,
//! not a right: whoever holds back too much is told that its segments are gone.

use std::io;
use std::sync::{Arc, PoisonError};

use super::reader::{Library, Reader};
use super::segment::{COPY_BYTES, COPY_OFFSETS, Header, SEGMENT_HEADER_BYTES, Segment, file_name};

/// Holds at once: more backups than these would only read the same bytes against each other.
pub(crate) const HOLDS_MAX: usize = 4;

/// All segments as they stood at one moment, kept from being given back until it is dropped.
pub(crate) struct Hold {
    library: Arc<Library>,
    oldest: u32,
    /// The segments, oldest first.
    pub(crate) segments: Vec<Held>,
    /// The last batch in them.
    pub(crate) last_lsn: u64,
}

/// One segment, as far as it went at that moment.
pub(crate) struct Held {
    /// The name that a copy gets.
    pub(crate) name: String,
    /// Its place in the order of segments.
    pub(crate) sequence: u32,
    /// The length of a copy, in whole pages.
    pub(crate) bytes: u32,
    segment: Arc<Segment>,
    /// Where its batches end.
    end: u32,
    header: Header,
}

impl Library {
    /// The oldest segment that anybody holds.
    pub(super) fn held_from(&self) -> Option<u32> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().min()
    }
}

impl Reader {
    /// Holds everything that has been appended. Called on the appending thread, so that nothing is appended meanwhile;
    /// its work is one entry for each segment. None when [`HOLDS_MAX`] are held already, or there is nothing to hold.
    pub(crate) fn hold(&self) -> Option<Hold> {
        let live = self.library.live.read().unwrap_or_else(PoisonError::into_inner);
        let oldest = *live.keys().next()?;
        let last_lsn = self.library.durability.written_lsn();
        {
            let mut holds = self.library.holds.lock().unwrap_or_else(PoisonError::into_inner);
            if holds.len() >= HOLDS_MAX {
                return None;
            }
            holds.push(oldest);
        }
        let mut segments: Vec<Held> =
            live.values().enumerate().map(|(n, segment)| held(n, segment)).collect();
        if let Some(newest) = segments.last_mut() {
            // A copy that ends before its last batch is damaged, never taken for a torn tail.
            newest.header.durable_lsn = last_lsn;
        }
        Some(Hold { library: Arc::clone(&self.library), oldest, segments, last_lsn })
    }
}

fn held(number: usize, segment: &Arc<Segment>) -> Held {
    let end = segment.end();
    let bytes = end.next_multiple_of(SEGMENT_HEADER_BYTES);
    Held {
        name: file_name(number as u64 + 1),
        sequence: segment.sequence(),
        bytes,
        segment: Arc::clone(segment),
        end,
        header: Header { capacity: bytes, ..segment.header },
    }
}

impl Held {
    /// Fills `into` from byte `at` of the copy: header, batches, and zeros to the end of the page. False when the
    /// segment has been given back meanwhile, and what was read means nothing.
    pub(crate) fn read(&self, at: u32, into: &mut [u8]) -> io::Result<bool> {
        let page = SEGMENT_HEADER_BYTES;
        let header = into.len().min(page.saturating_sub(at) as usize);
        if header > 0 {
            let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
            for copy in COPY_OFFSETS {
                bytes[copy as usize..][..COPY_BYTES].copy_from_slice(&self.header.encode());
            }
            into[..header].copy_from_slice(&bytes[at as usize..][..header]);
        }
        let from = at.max(page);
        let batches = (into.len() - header).min(self.end.saturating_sub(from) as usize);
        self.segment.file.read_exact_at(&mut into[header..header + batches], u64::from(from))?;
        into[header + batches..].fill(0);
        Ok(!self.segment.is_gone())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut holds = self.library.holds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = holds.iter().position(|oldest| *oldest == self.oldest) {
            holds.swap_remove(at);
        }
    }
}
