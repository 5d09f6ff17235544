//! Whom a server has seen before: the memory of greylisting.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    sync::Mutex,
};

/// How many pairs of sender and recipient are remembered; then all are forgotten, and everybody is new again.
const MAX_SEEN: usize = 1_000_000;

#[derive(Debug, Default)]
pub(super) struct Greylist {
    keys: RandomState,
    seen: Mutex<HashSet<u64>>,
}

impl Greylist {
    /// Whether this pair comes for the first time; from now on it does not.
    pub(super) fn is_new(&self, from: &str, to: &str) -> bool {
        let mut seen = self.seen.lock().expect("no code panics while it holds the memory");
        if seen.len() >= MAX_SEEN {
            seen.clear();
        }
        seen.insert(self.keys.hash_one((from.to_lowercase(), to.to_lowercase())))
    }
}
