//! Job ids and other random numbers of this process: cheap, monotone, without a system call each.
//!
//! An id is a UUIDv7: 48 bits of wall time, a 12-bit sequence within the millisecond and 62 bits that
//! two processes share only by a chance of 2^-62. The sequence is one atomic word for the whole
//! process, so ids made later sort later, whichever task made them.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use windlass_core::{JobId, Time};

/// How far ids may run ahead of the clock before they are taken back to it: a clock that jumped
/// forward and was set back would otherwise make ids that stores refuse as lying in the future.
const AHEAD_MS_MAX: u64 = 60_000;

/// The last (millisecond << 12 | sequence) given out.
static LAST: AtomicU64 = AtomicU64::new(0);

/// The next id at that time; larger than every id made before in this process.
pub(crate) fn next(now: Time) -> JobId {
    let floor = now.0 << 12;
    let step = |last: u64| {
        if last > floor.saturating_add(AHEAD_MS_MAX << 12) { floor } else { floor.max(last + 1) }
    };
    let mut last = LAST.load(Ordering::Relaxed);
    let stamp = loop {
        let next = step(last);
        match LAST.compare_exchange_weak(last, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => break next,
            Err(other) => last = other,
        }
    };
    let sequence = u128::from(stamp & 0xfff) << 64;
    JobId::from_parts(Time(stamp >> 12), sequence | u128::from(random()))
}

/// 64 random bits, never 0; not for secrets.
pub(crate) fn random() -> u64 {
    static SEED: OnceLock<(u64, u64)> = OnceLock::new();
    static CALLS: AtomicU64 = AtomicU64::new(1);
    // The keys of RandomState come from the operating system.
    let (seed, salt) = *SEED.get_or_init(|| {
        let keys = RandomState::new();
        (keys.hash_one(1u8), keys.hash_one(2u8))
    });
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    mix(mix(seed.wrapping_add(call.wrapping_mul(0x9e37_79b9_7f4a_7c15))) ^ salt).max(1)
}

/// The finaliser of SplitMix64 (Sebastiano Vigna, public domain).
fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_only_grow_and_carry_their_time_even_when_the_clock_stands_or_is_set_back() {
        let now = Time(1_763_700_000_000);
        let mut last = next(now);
        assert_eq!(last.time(), now);
        for i in 0..10_000u64 {
            let id = next(Time(now.0 - i % 3));
            assert!(id > last, "{id} after {last}");
            last = id;
        }
        assert!(last.time().since(now) <= 3, "10,000 ids fit in three milliseconds: {}", last.time());
        let later = Time(now.0 + 500_000);
        assert_eq!(next(later).time(), later);
        // The clock was wrong by minutes and is right again.
        assert_eq!(next(now).time(), now);
    }

    #[test]
    fn random_numbers_are_never_zero_and_do_not_repeat_at_once() {
        let some: std::collections::HashSet<u64> = (0..10_000).map(|_| random()).collect();
        assert_eq!(some.len(), 10_000);
        assert!(!some.contains(&0));
    }
}
