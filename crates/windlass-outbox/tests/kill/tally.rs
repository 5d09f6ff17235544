//! What was written and what was run, row by row.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use windlass_core::store::ClaimedJob;

/// Rows by what became of their transaction, and first attempts of their jobs.
#[derive(Default)]
pub(crate) struct Tally {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    committed: BTreeSet<u64>,
    rolled_back: BTreeSet<u64>,
    /// Each attempt that was seen, by row.
    seen: BTreeMap<u64, Vec<u32>>,
}

impl Tally {
    /// What became of the rows of one transaction; none when the server was killed before it told.
    pub(crate) fn wrote(&self, rows: &[u64], committed: Option<bool>) {
        let mut inner = self.inner.lock().unwrap();
        match committed {
            Some(true) => inner.committed.extend(rows),
            Some(false) => inner.rolled_back.extend(rows),
            None => {}
        }
    }

    pub(crate) fn ran(&self, jobs: &[ClaimedJob]) {
        let mut inner = self.inner.lock().unwrap();
        for job in jobs {
            let row = std::str::from_utf8(&job.payload).unwrap().parse().unwrap();
            inner.seen.entry(row).or_default().push(job.lease.attempt);
        }
    }

    /// Committed rows whose jobs nobody has run yet.
    pub(crate) fn missing(&self) -> usize {
        let inner = self.inner.lock().unwrap();
        inner.committed.iter().filter(|row| !inner.seen.contains_key(row)).count()
    }

    /// One job for each committed row, none for one that was rolled back. A job has each attempt once; a second job of
    /// the same row would begin again with the first attempt.
    pub(crate) fn check(&self) {
        let inner = self.inner.lock().unwrap();
        assert_eq!(
            inner.committed.iter().find(|row| !inner.seen.contains_key(row)),
            None,
            "a row gave no job"
        );
        assert_eq!(
            inner.rolled_back.iter().find(|row| inner.seen.contains_key(row)),
            None,
            "a rolled-back row gave a job"
        );
        for (row, attempts) in &inner.seen {
            let distinct: BTreeSet<u32> = attempts.iter().copied().collect();
            assert_eq!(distinct.len(), attempts.len(), "row {row} gave several jobs: attempts {attempts:?}");
        }
        assert!(inner.committed.len() > 100, "only {} rows were committed", inner.committed.len());
        println!("{} committed, {} rolled back", inner.committed.len(), inner.rolled_back.len());
    }
}
