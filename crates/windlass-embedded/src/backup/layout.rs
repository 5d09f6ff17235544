//! Where everything stands in a backup. A writer and a reader that know the manifest agree on every byte but the contents.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::journal::{FORMAT_VERSION, Hold};

/// The version of the layout.
pub(super) const BACKUP_VERSION: u32 = 1;
/// The first member.
pub(super) const MANIFEST: &str = "windlass-backup.json";
/// The last member; `sha256sum -c` reads it.
pub(super) const SUMS: &str = "SHA256SUMS";
/// The unit of a tar archive.
pub(super) const BLOCK: u64 = 512;
/// Zeros at the end of a tar archive.
pub(super) const TRAILER_BYTES: u64 = 2 * BLOCK;
/// The largest manifest that is read: a hundred thousand segments take less.
pub(super) const MANIFEST_BYTES_MAX: u64 = 16 << 20;

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the layout.
    pub windlass_backup: u32,
    /// The version of the program that made it.
    pub made_by: String,
    /// When, in milliseconds since 1970 by the clock of the store.
    pub made_at_ms: u64,
    /// The version of the segments.
    pub journal_format: u32,
    /// The last batch in it: everything that was acknowledged before the backup began stands up to there.
    pub last_lsn: u64,
    /// Jobs that the store knew, ended ones included.
    pub jobs: u64,
    /// Of those, how many were running.
    pub running: u64,
    /// The segments, oldest first.
    pub segments: Vec<SegmentEntry>,
}

/// One segment of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentEntry {
    /// Its file.
    pub file: String,
    /// Its place in the order of segments.
    pub sequence: u32,
    /// Its length.
    pub bytes: u64,
}

impl Manifest {
    pub(super) fn of(hold: &Hold, (jobs, running): (u64, u64), made_at_ms: u64) -> Self {
        let segments = hold.segments.iter().map(|held| SegmentEntry {
            file: held.name.clone(),
            sequence: held.sequence,
            bytes: held.bytes.into(),
        });
        Self {
            windlass_backup: BACKUP_VERSION,
            made_by: env!("CARGO_PKG_VERSION").to_owned(),
            made_at_ms,
            journal_format: FORMAT_VERSION,
            last_lsn: hold.last_lsn,
            jobs,
            running,
            segments: segments.collect(),
        }
    }

    /// The file's length, given that of the manifest's own text.
    pub(super) fn file_bytes(&self, manifest_bytes: u64) -> u64 {
        let segments: u64 = self.segments.iter().map(|segment| member_bytes(segment.bytes)).sum();
        member_bytes(manifest_bytes) + segments + member_bytes(self.sums_bytes()) + TRAILER_BYTES
    }

    /// The length of the digests.
    pub(super) fn sums_bytes(&self) -> u64 {
        let names = self.segments.iter().map(|segment| segment.file.as_str());
        names.chain([MANIFEST]).map(|name| sum_line("", name).len() as u64 + 64).sum()
    }
}

/// What a member takes with its header and its padding.
pub(super) fn member_bytes(bytes: u64) -> u64 {
    BLOCK + bytes.next_multiple_of(BLOCK)
}

/// The header of a member: there is one way to write it.
pub(super) fn member_header(name: &str, bytes: u64, made_at_ms: u64) -> [u8; BLOCK as usize] {
    let mut header = tar::Header::new_ustar();
    // Names are our own and short, so they always fit.
    let _ = header.set_path(name);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(bytes);
    header.set_mtime(made_at_ms / 1_000);
    header.set_cksum();
    *header.as_bytes()
}

/// A line of the digests.
pub(super) fn sum_line(digest: &str, name: &str) -> String {
    format!("{digest}  {name}\n")
}

/// A digest on its way.
#[derive(Default)]
pub(super) struct Sum(Sha256);

impl Sum {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// In hexadecimal.
    pub(super) fn done(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
