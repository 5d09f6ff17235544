//! One segment file: its header page, its place in the sequence, its name.
//!
//! The header stands twice in the first page. Whoever changes it writes the first copy and lets a sync pass before
//! the second is touched, so at every moment at least one copy is whole, whatever a power cut tears. Therefore a file
//! with no whole copy is damage, never a trace of a crash, and a flipped bit in one copy costs nothing.
//!
//! A file's number in its name means nothing: the sequence number in the header orders segments, so that taking a
//! spare into use, or giving a segment back, changes no name.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::batch::{u32_at, u64_at};
use crate::disk::DiskFile;

/// The version that this code writes, and the only one it reads.
pub const FORMAT_VERSION: u32 = 1;

/// The header page; batches begin behind it.
pub const SEGMENT_HEADER_BYTES: u32 = 4096;

/// Bytes of each of the two copies of the header.
pub(crate) const COPY_BYTES: usize = 256;

/// Where the copies stand: in different sectors of the header page.
pub(crate) const COPY_OFFSETS: [u64; 2] = [0, 2048];

/// The first eight bytes of a segment; the high bit and the line ends catch transfers that mangle bytes.
const MAGIC: [u8; 8] = *b"\x89WLJ\r\n\x1a\n";

const STATE_SPARE: u32 = 1;
const STATE_LIVE: u32 = 2;

/// What a batch's checksum is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) salt: u64,
    pub(crate) sequence: u32,
    pub(crate) offset: u32,
}

/// One copy of a segment's header. A spare has the store's id and the capacity; all else is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) live: bool,
    pub(crate) store_id: u128,
    pub(crate) sequence: u32,
    pub(crate) capacity: u32,
    pub(crate) salt: u64,
    pub(crate) first_lsn: u64,
    /// The highest LSN known durable when this copy was written; the second copy is written later and says more.
    pub(crate) durable_lsn: u64,
    /// The segment before this one and where its batches end; both 0 for the first of a store.
    pub(crate) prev_sequence: u32,
    pub(crate) prev_end: u32,
}

/// What stands where a copy of a header should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copy {
    Whole(Header),
    /// Written whole, by a version that this code does not know.
    Version(u32),
    Damaged,
    /// Not even the magic.
    Foreign,
}

impl Copy {
    pub(crate) fn whole(self) -> Option<Header> {
        if let Self::Whole(header) = self { Some(header) } else { None }
    }
}

impl Header {
    pub(crate) fn spare(store_id: u128, capacity: u32) -> Self {
        Self {
            live: false,
            store_id,
            sequence: 0,
            capacity,
            salt: 0,
            first_lsn: 0,
            durable_lsn: 0,
            prev_sequence: 0,
            prev_end: 0,
        }
    }

    pub(crate) fn encode(&self) -> [u8; COPY_BYTES] {
        let mut bytes = [0; COPY_BYTES];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &MAGIC);
        put(8, &FORMAT_VERSION.to_le_bytes());
        put(12, &(if self.live { STATE_LIVE } else { STATE_SPARE }).to_le_bytes());
        put(16, &self.store_id.to_le_bytes());
        put(32, &self.sequence.to_le_bytes());
        put(36, &self.capacity.to_le_bytes());
        put(40, &self.salt.to_le_bytes());
        put(48, &self.first_lsn.to_le_bytes());
        put(56, &self.durable_lsn.to_le_bytes());
        put(64, &self.prev_sequence.to_le_bytes());
        put(68, &self.prev_end.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..COPY_BYTES - 4]);
        bytes[COPY_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; COPY_BYTES]) -> Copy {
        if bytes[..8] != MAGIC {
            return Copy::Foreign;
        }
        // Magic, version and checksum keep their places in every version, so that a version can be believed.
        if u32_at(bytes, COPY_BYTES - 4) != crc32c::crc32c(&bytes[..COPY_BYTES - 4]) {
            return Copy::Damaged;
        }
        let version = u32_at(bytes, 8);
        if version != FORMAT_VERSION {
            return Copy::Version(version);
        }
        let live = match u32_at(bytes, 12) {
            STATE_LIVE => true,
            STATE_SPARE => false,
            _ => return Copy::Damaged,
        };
        Copy::Whole(Self {
            live,
            store_id: u128::from(u64_at(bytes, 16)) | u128::from(u64_at(bytes, 24)) << 64,
            sequence: u32_at(bytes, 32),
            capacity: u32_at(bytes, 36),
            salt: u64_at(bytes, 40),
            first_lsn: u64_at(bytes, 48),
            durable_lsn: u64_at(bytes, 56),
            prev_sequence: u32_at(bytes, 64),
            prev_end: u32_at(bytes, 68),
        })
    }

    /// The same segment, whatever was known durable when each copy was written.
    pub(crate) fn is_same_use(&self, other: &Self) -> bool {
        Self { durable_lsn: 0, ..*self } == Self { durable_lsn: 0, ..*other }
    }
}

/// Writes one copy of the header without syncing it.
pub(crate) fn write_copy(file: &dyn DiskFile, copy: usize, header: &Header) -> io::Result<()> {
    file.write_all_at(&header.encode(), COPY_OFFSETS[copy])
}

/// Writes both copies, each durable before the next, so that the segment is never without a whole one.
pub(crate) fn rewrite_header(file: &dyn DiskFile, order: [usize; 2], header: &Header) -> io::Result<()> {
    for copy in order {
        write_copy(file, copy, header)?;
        file.sync_data()?;
    }
    Ok(())
}

/// A live segment.
pub(crate) struct Segment {
    pub(crate) header: Header,
    pub(crate) name: String,
    pub(crate) file: Arc<dyn DiskFile>,
    /// Where its batches end so far.
    end: AtomicU32,
    /// Set before the file is handed over for reuse: what was read of it afterwards means nothing.
    gone: AtomicBool,
}

impl Segment {
    pub(crate) fn new(header: Header, name: String, file: Arc<dyn DiskFile>, end: u32) -> Self {
        Self { header, name, file, end: AtomicU32::new(end), gone: AtomicBool::new(false) }
    }

    pub(crate) fn sequence(&self) -> u32 {
        self.header.sequence
    }

    pub(crate) fn place(&self, offset: u32) -> Place {
        Place { salt: self.header.salt, sequence: self.header.sequence, offset }
    }

    pub(crate) fn end(&self) -> u32 {
        self.end.load(Ordering::Acquire)
    }

    pub(crate) fn set_end(&self, end: u32) {
        self.end.store(end, Ordering::Release);
    }

    /// Whether at least this part of its room for batches is used.
    pub(crate) fn is_filled_to(&self, parts: u32, of: u32) -> bool {
        let room = u64::from(self.header.capacity - SEGMENT_HEADER_BYTES);
        u64::from(self.end() - SEGMENT_HEADER_BYTES) * u64::from(of) >= room * u64::from(parts)
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(crate) fn set_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }
}

/// The file name of a number.
pub(crate) fn file_name(number: u64) -> String {
    format!("{number:06}.wlj")
}

/// The name of a file that is still being written with zeros; one that a crash left is removed at the next start.
pub(crate) fn unfinished_name(number: u64) -> String {
    format!("{number:06}.new")
}

/// A name for a segment beside these files.
pub(crate) fn unused_segment_name(files: &[String]) -> String {
    file_name(files.iter().filter_map(|name| file_number(name)).max().map_or(1, |number| number + 1))
}

/// The number in the name of a segment or an unfinished one.
pub(crate) fn file_number(name: &str) -> Option<u64> {
    name.strip_suffix(".wlj").or_else(|| name.strip_suffix(".new"))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_and_any_flipped_bit_is_seen() {
        let header = Header {
            live: true,
            store_id: u128::MAX - 5,
            sequence: 4,
            capacity: 8192,
            salt: u64::MAX - 9,
            first_lsn: 77,
            durable_lsn: 70,
            prev_sequence: 3,
            prev_end: 4999,
        };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Copy::Whole(header));
        for bit in 0..COPY_BYTES * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(Header::decode(&damaged), Copy::Damaged | Copy::Foreign), "bit {bit}");
        }
    }
}
