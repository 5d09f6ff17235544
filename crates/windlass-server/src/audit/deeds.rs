//! What a call has done to the store, noted where it is done.

use std::sync::{Mutex, PoisonError};

use windlass_core::bounds;
use windlass_core::store::PerItem;

/// Deeds that one record names; a call that does more says so.
const DEEDS_MOST: usize = 8;
/// Bytes of each.
const DEED_BYTES_MOST: usize = 300;

/// The deeds of one call.
#[derive(Debug, Default)]
pub(crate) struct Deeds(Mutex<All>);

#[derive(Clone, Debug, Default)]
pub(crate) struct All {
    pub(crate) done: Vec<String>,
    pub(crate) jobs: u64,
    pub(crate) refused: u64,
    more: u64,
}

impl Deeds {
    /// Notes a deed.
    pub(crate) fn note(&self, what: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.done.len() < DEEDS_MOST {
            all.done.push(bounds::cut(what, DEED_BYTES_MOST).to_owned());
        } else {
            all.more += 1;
        }
    }

    /// Notes what came of a verb for each of some jobs.
    pub(crate) fn jobs<T>(&self, verb: &str, answers: &PerItem<T>) {
        let (count, refused) =
            (answers.len() as u64, answers.iter().filter(|answer| answer.is_err()).count() as u64);
        {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.jobs += count;
            all.refused += refused;
        }
        let jobs = if count == 1 { "job" } else { "jobs" };
        let but = if refused > 0 { format!(", {refused} refused") } else { String::new() };
        self.note(&format!("{verb} {count} {jobs}{but}"));
    }

    /// All of them.
    pub(crate) fn all(&self) -> All {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if all.more > 0 {
            all.done.push(format!("and {} more", all.more));
        }
        all
    }
}
