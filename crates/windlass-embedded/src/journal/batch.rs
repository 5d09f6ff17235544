//! One batch: the unit that is appended, checked and replayed whole.
//!
//! Owns the bytes of the batch header and its checksum. The body is opaque here. The checksum covers where the batch
//! belongs (salt and sequence of its segment, offset), so that a batch left over from an earlier use of the file, or
//! written to the wrong place, never passes for one of this place.

use super::segment::Place;

/// Bytes of the header in front of every batch's body.
pub const BATCH_HEADER_BYTES: usize = 32;

/// Every batch starts at a multiple of this, so that a search for one can go in steps.
pub(crate) const BATCH_ALIGNMENT: usize = 8;

/// The first four bytes of every batch.
pub(crate) const BATCH_MAGIC: [u8; 4] = *b"WLB\x9c";

/// The batch is the snapshot that opens its segment.
pub(crate) const FLAG_SNAPSHOT: u32 = 1;

/// The body of a batch in the making, with room for its header in front, so that appending copies nothing.
#[derive(Debug, Clone)]
pub struct BatchBuffer(Vec<u8>);

impl BatchBuffer {
    /// An empty body.
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// An empty body with room for `body_bytes`.
    pub fn with_capacity(body_bytes: usize) -> Self {
        let mut bytes = Vec::with_capacity(BATCH_HEADER_BYTES + body_bytes + BATCH_ALIGNMENT);
        bytes.resize(BATCH_HEADER_BYTES, 0);
        Self(bytes)
    }

    /// The buffer to write the body to: push behind what is there and leave the first [`BATCH_HEADER_BYTES`] alone.
    ///
    /// A byte at index `i` of this vector will stand at the batch's position plus `i`.
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    /// The body written so far.
    pub fn body(&self) -> &[u8] {
        self.0.get(BATCH_HEADER_BYTES..).unwrap_or_default()
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.body().is_empty()
    }

    /// The bytes that the batch takes of its segment: header, body and padding.
    pub fn stored_bytes(&self) -> u64 {
        stored_bytes(self.body().len() as u64)
    }

    /// Fills in header and padding for this place.
    pub(crate) fn finish(mut self, place: Place, flags: u32, lsn: u64, durable_lsn: u64) -> Vec<u8> {
        // A caller that cut its own buffer short loses its body, never the header's room.
        if self.0.len() < BATCH_HEADER_BYTES {
            self.0.resize(BATCH_HEADER_BYTES, 0);
        }
        let body_len = u32::try_from(self.body().len()).expect("the journal refuses batches above 4 GiB");
        let mut header = BatchHeader { body_len, crc: 0, flags, lsn, durable_lsn };
        header.crc = header.checksum(place, self.body());
        self.0[..BATCH_HEADER_BYTES].copy_from_slice(&header.encode());
        let padded = self.0.len().next_multiple_of(BATCH_ALIGNMENT);
        self.0.resize(padded, 0);
        self.0
    }
}

impl Default for BatchBuffer {
    fn default() -> Self {
        Self::new()
    }
}

/// Header, body and padding of a body of this length.
pub(crate) fn stored_bytes(body_len: u64) -> u64 {
    (BATCH_HEADER_BYTES as u64 + body_len).next_multiple_of(BATCH_ALIGNMENT as u64)
}

/// The header of a batch. All numbers are little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) body_len: u32,
    pub(crate) crc: u32,
    pub(crate) flags: u32,
    pub(crate) lsn: u64,
    /// The highest LSN that was known durable when this batch was written.
    pub(crate) durable_lsn: u64,
}

impl BatchHeader {
    /// Reads a header; `None` without the magic. Nothing is believed of it before [`BatchHeader::checksum`] agrees.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; BATCH_HEADER_BYTES] = bytes.first_chunk()?;
        if bytes[..4] != BATCH_MAGIC {
            return None;
        }
        Some(Self {
            body_len: u32_at(bytes, 4),
            crc: u32_at(bytes, 8),
            flags: u32_at(bytes, 12),
            lsn: u64_at(bytes, 16),
            durable_lsn: u64_at(bytes, 24),
        })
    }

    fn encode(&self) -> [u8; BATCH_HEADER_BYTES] {
        let mut bytes = [0; BATCH_HEADER_BYTES];
        bytes[..4].copy_from_slice(&BATCH_MAGIC);
        bytes[4..8].copy_from_slice(&self.body_len.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.crc.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.flags.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.lsn.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.durable_lsn.to_le_bytes());
        bytes
    }

    /// Header, body and padding.
    pub(crate) fn stored_bytes(&self) -> u64 {
        stored_bytes(u64::from(self.body_len))
    }

    /// The checksum that a batch with this header and body must carry at this place.
    pub(crate) fn checksum(&self, place: Place, body: &[u8]) -> u32 {
        crc32c::crc32c_append(self.checksum_without_body(place), body)
    }

    /// The checksum of everything in front of the body, to be continued over the body in pieces.
    pub(crate) fn checksum_without_body(&self, place: Place) -> u32 {
        let mut covered = [0; 16 + BATCH_HEADER_BYTES - 4];
        covered[..8].copy_from_slice(&place.salt.to_le_bytes());
        covered[8..12].copy_from_slice(&place.sequence.to_le_bytes());
        covered[12..16].copy_from_slice(&place.offset.to_le_bytes());
        let header = self.encode();
        covered[16..24].copy_from_slice(&header[..8]);
        covered[24..].copy_from_slice(&header[12..]);
        crc32c::crc32c(&covered)
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let field = bytes[at..].first_chunk().expect("callers pass whole headers");
    u32::from_le_bytes(*field)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let field = bytes[at..].first_chunk().expect("callers pass whole headers");
    u64::from_le_bytes(*field)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { salt: 7, sequence: 3, offset: 4096 };

    #[test]
    fn a_batch_is_valid_at_its_own_place_alone() {
        let mut buffer = BatchBuffer::new();
        buffer.bytes_mut().extend_from_slice(b"fact");
        let bytes = buffer.finish(PLACE, 0, 9, 8);
        assert_eq!(bytes.len(), 40);
        let header = BatchHeader::decode(&bytes).unwrap();
        assert_eq!((header.lsn, header.durable_lsn, header.body_len), (9, 8, 4));
        assert_eq!(header.checksum(PLACE, b"fact"), header.crc);
        let others =
            [Place { salt: 8, ..PLACE }, Place { sequence: 4, ..PLACE }, Place { offset: 4104, ..PLACE }];
        for other in others {
            assert_ne!(header.checksum(other, b"fact"), header.crc);
        }
    }

    #[test]
    fn every_flipped_bit_of_header_and_body_is_seen() {
        let mut buffer = BatchBuffer::new();
        buffer.bytes_mut().extend_from_slice(b"fact");
        let bytes = buffer.finish(PLACE, FLAG_SNAPSHOT, 9, 8);
        for bit in 0..36 * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let seen = BatchHeader::decode(&damaged)
                .is_none_or(|h| h.body_len != 4 || h.checksum(PLACE, &damaged[32..36]) != h.crc);
            assert!(seen, "bit {bit}");
        }
    }
}
