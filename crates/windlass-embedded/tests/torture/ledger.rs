//! The outside ledger: what the store has acknowledged, in a file that the store knows nothing of.
//!
//! Records have a fixed length and are written with one `write` per answer, after the answer. The page cache survives
//! kill -9, so what is in the file was acknowledged; an acknowledgement may be missing in it, never the reverse.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use windlass_core::event::EventType;
use windlass_core::{JobId, Lease, LeaseToken, Time};

/// What was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Said {
    /// A new job was taken in, alone or as a follow-up.
    Created = 1,
    /// The enqueue was answered with a job that was there.
    Existing = 2,
    /// A lease was given.
    Claimed = 3,
    Completed = 4,
    Failed = 5,
    Snoozed = 6,
    Released = 7,
    /// The job is cancelled.
    Cancelled = 8,
    /// Its holder is asked to stop.
    CancelAsked = 9,
    Retried = 10,
    Deleted = 11,
}

const ALL: [Said; 11] = [
    Said::Created,
    Said::Existing,
    Said::Claimed,
    Said::Completed,
    Said::Failed,
    Said::Snoozed,
    Said::Released,
    Said::Cancelled,
    Said::CancelAsked,
    Said::Retried,
    Said::Deleted,
];

impl Said {
    /// Whether an event records the end of an attempt that was acknowledged so.
    pub(crate) fn is_end(self, event: EventType) -> bool {
        match self {
            Said::Completed => event == EventType::Completed,
            Said::Failed => matches!(event, EventType::Failed | EventType::Died),
            Said::Snoozed => event == EventType::Snoozed,
            Said::Released => event == EventType::Released,
            _ => false,
        }
    }
}

/// One acknowledgement; the lease is all zeros where there is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) said: Said,
    pub(crate) job: JobId,
    pub(crate) attempt: u32,
    pub(crate) token: LeaseToken,
}

/// Bytes of one record.
pub(crate) const RECORD_BYTES: usize = 40;

impl Record {
    pub(crate) fn of_job(said: Said, job: JobId) -> Self {
        Self { said, job, attempt: 0, token: LeaseToken::default() }
    }

    pub(crate) fn of_lease(said: Said, lease: &Lease) -> Self {
        Self { said, job: lease.job, attempt: lease.attempt, token: lease.token }
    }

    pub(crate) fn lease(&self) -> Lease {
        Lease { job: self.job, attempt: self.attempt, token: self.token, deadline: Time::ZERO }
    }

    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&[self.said as u8, 0, 0, 0]);
        into.extend_from_slice(&self.attempt.to_le_bytes());
        into.extend_from_slice(&self.job.0.to_le_bytes());
        into.extend_from_slice(&self.token.counter.to_le_bytes());
        into.extend_from_slice(&self.token.nonce.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Self {
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let said = ALL.into_iter().find(|said| *said as u8 == bytes[0]).expect("a kind of record");
        Self {
            said,
            attempt: u32::from_le_bytes(bytes[4..8].try_into().unwrap()),
            job: JobId(u128::from_le_bytes(bytes[8..24].try_into().unwrap())),
            token: LeaseToken { counter: u64_at(24), nonce: u64_at(32) },
        }
    }
}

/// The writing side, in the process that will be killed.
pub(crate) struct Ledger(File);

impl Ledger {
    pub(crate) fn append_to(path: &Path) -> Self {
        Self(File::options().append(true).create(true).open(path).unwrap())
    }

    /// One write for all records of one answer.
    pub(crate) fn write(&self, records: &[Record]) {
        let mut bytes = Vec::with_capacity(records.len() * RECORD_BYTES);
        records.iter().for_each(|record| record.encode(&mut bytes));
        if !bytes.is_empty() {
            let written = (&self.0).write(&bytes).unwrap();
            assert_eq!(written, bytes.len(), "the ledger's disk is full");
        }
    }
}

/// The reading side: the records since the last call, whole ones only.
pub(crate) struct LedgerReader {
    file: File,
    read: u64,
}

impl LedgerReader {
    pub(crate) fn open(path: &Path) -> Self {
        drop(Ledger::append_to(path));
        Self { file: File::open(path).unwrap(), read: 0 }
    }

    /// Called when nobody writes. A record that a kill has torn would be no acknowledgement: it is cut off.
    pub(crate) fn news(&mut self, path: &Path) -> Vec<Record> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(self.read)).unwrap();
        self.file.read_to_end(&mut bytes).unwrap();
        let whole = bytes.len() - bytes.len() % RECORD_BYTES;
        self.read += whole as u64;
        if whole < bytes.len() {
            File::options().write(true).open(path).unwrap().set_len(self.read).unwrap();
        }
        bytes[..whole].chunks_exact(RECORD_BYTES).map(Record::decode).collect()
    }
}
