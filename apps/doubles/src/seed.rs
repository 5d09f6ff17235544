//! Repeatable pseudo-randomness: the same seed makes the same faults.
//!
//! It owns one mixing function and one lock-free stream of draws. It is for plausible data and fault rates,
//! never for anything that must be hard to guess.

use std::sync::atomic::{AtomicU64, Ordering};

/// The `n`th value of the stream named by `seed` (SplitMix64, Steele, Lea and Flood, OOPSLA 2014).
pub fn mix(seed: u64, n: u64) -> u64 {
    let mut z = seed.wrapping_add(n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A stream of draws that many tasks share without a lock; the sequence depends on the seed alone.
#[derive(Debug)]
pub(crate) struct Draws {
    seed: u64,
    drawn: AtomicU64,
}

impl Draws {
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        Self { seed: mix(seed, purpose), drawn: AtomicU64::new(0) }
    }

    /// A value below `bound`; `bound` must not be 0.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        mix(self.seed, self.drawn.fetch_add(1, Ordering::Relaxed)) % bound
    }
}
