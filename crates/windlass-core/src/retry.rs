//! When a failed job is tried again, and when it is not any more.
//!
//! The delay after a failure is a pure function of (policy, job id, number of failures): every store
//! gives the same one, a replay gives it again, and no random source is needed. Jitter comes from a
//! fixed 32-bit mix that Lua (doubles, 53 bits) and SQL (signed 64-bit integers) can restate exactly;
//! [`jitter_bits`] says how.
//! This module knows no job record and no clock: [`crate::lifecycle`] decides that a job failed, the
//! store adds the delay to its own time.

use crate::job::JobId;
use serde::{Deserialize, Serialize};

/// Failures that a policy may allow: beyond it a job hammers at a fault instead of telling anybody.
pub const FAILURES_MAX: u32 = 1_000;
/// Longest delay a policy may hold (30 days): a later try belongs in a schedule.
pub const RETRY_DELAY_MS_MAX: u64 = 30 * 86_400_000;
/// Delays in a list: longer ones are an exponential policy in disguise, and are stored with every job.
pub const RETRY_LIST_MAX: usize = 100;
/// The floor of full jitter is the ceiling divided by this.
const JITTER_FLOOR_PART: u64 = 10;
/// Bits of the mix that jitter uses: with delays below 2^32 ms the product stays below 2^53.
const JITTER_BITS: u32 = 20;

/// How much of a delay is left to chance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// Spread evenly from a tenth of the delay (at least 1 ms) to the whole of it.
    ///
    /// Jobs that failed together must not come back together, so the window is as wide as it can be.
    /// It does not begin at 0 because a try at once meets the same fault and spends a failure for
    /// nothing, and because the shortest delay should grow with the failures too.
    #[default]
    Full,
    /// The whole delay, always.
    None,
}

/// Decides the delay after each failure, the same on every store, and how many failures make a job dead.
///
/// The default is exponential with full jitter: 5 s doubled up to 30 min, 12 attempts, over about an
/// hour (56 min on average, at most 1 h 43 min):
///
/// | failure | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11 | 12 |
/// |---|---|---|---|---|---|---|---|---|---|---|---|---|
/// | longest delay, s | 5 | 10 | 20 | 40 | 80 | 160 | 320 | 640 | 1,280 | 1,800 | 1,800 | dead |
/// | mean delay, s | 2.75 | 5.5 | 11 | 22 | 44 | 88 | 176 | 352 | 704 | 990 | 990 | |
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RetryPolicy {
    /// `base_ms` after the first failure, doubled with each one up to `cap_ms`.
    Exponential {
        /// Delay after the first failure.
        base_ms: u64,
        /// Longest delay.
        cap_ms: u64,
        /// The failure that makes the job dead.
        max_failures: u32,
        /// How much of the delay is left to chance.
        #[serde(default)]
        jitter: Jitter,
    },
    /// The same delay after every failure.
    Fixed {
        /// The delay.
        delay_ms: u64,
        /// The failure that makes the job dead.
        max_failures: u32,
    },
    /// The n-th delay after the n-th failure; the failure after the last delay makes the job dead.
    List {
        /// The delays; an empty list means that no failure is retried.
        delays_ms: Vec<u64>,
    },
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::Exponential { base_ms: 5_000, cap_ms: 1_800_000, max_failures: 12, jitter: Jitter::Full }
    }
}

impl RetryPolicy {
    /// The policy under which the first failure is the last.
    pub const fn never() -> Self {
        Self::List { delays_ms: Vec::new() }
    }

    /// The number of failures at which the job is dead; always at least 1.
    pub fn max_failures(&self) -> u32 {
        match self {
            Self::Exponential { max_failures, .. } | Self::Fixed { max_failures, .. } => {
                (*max_failures).max(1)
            }
            Self::List { delays_ms } => u32::try_from(delays_ms.len()).unwrap_or(u32::MAX).saturating_add(1),
        }
    }

    /// The delay before the next try after that many failures (1 is the first); the same for the same
    /// job and failure on every store, and never an overflow.
    ///
    /// Whether there is a next try is [`RetryPolicy::max_failures`]'s business; beyond it this goes on
    /// with the longest delay (exponential) or the last one (list; 0 when it is empty).
    pub fn delay_ms(&self, id: JobId, failures: u32) -> u64 {
        let failures = failures.max(1);
        match self {
            Self::Exponential { base_ms, cap_ms, jitter, .. } => {
                let ceiling_ms = doubled(*base_ms, failures - 1).min(*cap_ms);
                match jitter {
                    Jitter::None => ceiling_ms,
                    Jitter::Full => jittered(ceiling_ms, jitter_bits(id, failures)),
                }
            }
            Self::Fixed { delay_ms, .. } => *delay_ms,
            Self::List { delays_ms } => {
                let nth = usize::try_from(failures - 1).unwrap_or(usize::MAX);
                delays_ms.get(nth).or(delays_ms.last()).copied().unwrap_or(0)
            }
        }
    }

    /// Refuses a policy that breaks a bound.
    ///
    /// # Errors
    /// A sentence for people that names the value and the bound.
    pub fn validate(&self) -> Result<(), String> {
        let delay = |what: &str, ms: u64| match ms {
            0..=RETRY_DELAY_MS_MAX => Ok(()),
            _ => Err(format!("{what} of {ms} ms is longer than 30 days")),
        };
        let failures = |n: u32| match n {
            1..=FAILURES_MAX => Ok(()),
            _ => Err(format!("max_failures of {n} is not between 1 and 1,000")),
        };
        match self {
            Self::Exponential { base_ms, cap_ms, max_failures, .. } => {
                failures(*max_failures)?;
                delay("cap_ms", *cap_ms)?;
                if *base_ms == 0 {
                    return Err("base_ms of 0 never grows; use a fixed delay".into());
                }
                if base_ms > cap_ms {
                    return Err(format!("base_ms of {base_ms} is more than cap_ms of {cap_ms}"));
                }
                Ok(())
            }
            Self::Fixed { delay_ms, max_failures } => {
                failures(*max_failures)?;
                delay("delay_ms", *delay_ms)
            }
            Self::List { delays_ms } => {
                if delays_ms.len() > RETRY_LIST_MAX {
                    return Err(format!("{} delays are more than 100", delays_ms.len()));
                }
                delays_ms.iter().try_for_each(|ms| delay("a delay in delays_ms", *ms))
            }
        }
    }
}

/// `base` doubled `times` times, stopping at the largest number.
fn doubled(base: u64, times: u32) -> u64 {
    if base == 0 || times < base.leading_zeros() { base << times.min(63) } else { u64::MAX }
}

/// A delay between a tenth of the ceiling (at least 1 ms) and the ceiling, both included.
fn jittered(ceiling_ms: u64, bits: u32) -> u64 {
    let floor_ms = (ceiling_ms / JITTER_FLOOR_PART).max(1);
    let span = u128::from(ceiling_ms.max(floor_ms) - floor_ms) + 1;
    // The quotient is below the span, which came from a u64.
    floor_ms + ((span * u128::from(bits)) >> JITTER_BITS) as u64
}

/// A fixed 20-bit hash of (id, failures), evenly spread: the chance in every jittered delay.
///
/// The four 32-bit words of the id, the high one first, then the number of failures are folded with
/// `h = mix(h xor word)` from `h = 0x9e3779b9`; `mix` is the 32-bit finaliser of MurmurHash3 (Austin
/// Appleby, public domain), and the answer is the upper 20 bits.
///
/// To restate it where a product of two 32-bit numbers does not fit (Lua 5.1: 53 bits; SQL `bigint`:
/// 63 bits), multiply by halves: `((a >> 16) * m % 65536) * 65536 + (a & 65535) * m`, modulo 2^32;
/// every step stays below 2^49. The delay is
/// `floor + trunc((ceiling - floor + 1) * bits / 2^20)` with `floor = max(1, trunc(ceiling / 10))`,
/// below 2^53 for every delay that a policy may hold.
pub fn jitter_bits(id: JobId, failures: u32) -> u32 {
    let words = [96, 64, 32, 0].map(|shift| (id.0 >> shift) as u32);
    let folded = words.into_iter().chain([failures]).fold(0x9e37_79b9, |h: u32, word| mix(h ^ word));
    folded >> (32 - JITTER_BITS)
}

/// The 32-bit finaliser of MurmurHash3.
fn mix(mut h: u32) -> u32 {
    h ^= h >> 16;
    h = h.wrapping_mul(0x85eb_ca6b);
    h ^= h >> 13;
    h = h.wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    fn id(n: u64) -> JobId {
        JobId::from_parts(Time(1_763_700_000_000 + n / 7), u128::from(n) * 0x9e37_79b9_7f4a_7c15)
    }

    #[test]
    fn the_default_gives_twelve_attempts_over_about_an_hour() {
        let policy = RetryPolicy::default();
        policy.validate().expect("the default is within its own bounds");
        assert_eq!(policy.max_failures(), 12);
        let jobs = 2_000;
        let total_ms: u64 =
            (0..jobs).map(|n| (1..12).map(|failures| policy.delay_ms(id(n), failures)).sum::<u64>()).sum();
        let mean_s = total_ms / jobs / 1_000;
        assert!((3_300..3_500).contains(&mean_s), "{mean_s} s");
    }

    #[test]
    fn full_jitter_uses_the_whole_window_and_nothing_outside_it() {
        let policy = RetryPolicy::Exponential {
            base_ms: 1_000,
            cap_ms: 600_000,
            max_failures: 20,
            jitter: Jitter::Full,
        };
        for failures in [1, 2, 5, 9, 15] {
            let ceiling = (1_000u64 << (failures - 1)).min(600_000);
            let delays: Vec<u64> = (0..20_000).map(|n| policy.delay_ms(id(n), failures)).collect();
            let (low, high) = (*delays.iter().min().expect("some"), *delays.iter().max().expect("some"));
            assert!(low >= ceiling / 10 && high <= ceiling, "{low}..{high} of {ceiling}");
            assert!((high - low) * 10 >= ceiling * 8, "{low}..{high} spans less than 80 % of {ceiling}");
            // Evenly: each tenth of the window holds a tenth of the jobs, within a tenth.
            let mut tenths = [0u32; 10];
            for delay in delays {
                let place = (delay - ceiling / 10) * 10 / (ceiling - ceiling / 10 + 1);
                tenths[usize::try_from(place).expect("small")] += 1;
            }
            assert!(tenths.iter().all(|n| (1_800..2_200).contains(n)), "{tenths:?}");
        }
    }

    #[test]
    fn a_delay_is_the_same_on_every_store_and_in_every_version() {
        let vectors = [
            (0u128, 1u32, 222_004u32, 1_452u64),
            (1, 1, 600_185, 3_076),
            (0x019a_a5d4_0d20_7000_8000_0000_0000_0001, 1, 268_721, 1_653),
            (0x019a_a5d4_0d20_7000_8000_0000_0000_0001, 2, 777_585, 7_674),
            (u128::MAX, 1_000, 896_709, 1_565_373),
        ];
        for (n, failures, bits, delay) in vectors {
            let got = (jitter_bits(JobId(n), failures), RetryPolicy::default().delay_ms(JobId(n), failures));
            assert_eq!(got, (bits, delay), "{n:#x} {failures}");
        }
    }

    #[test]
    fn the_mix_can_be_restated_in_fifty_three_bits() {
        let by_halves = |a: u32, m: u32| {
            let (a, m) = (u64::from(a), u64::from(m));
            let (high, low) = (((a >> 16) * m % 65_536) * 65_536, (a & 65_535) * m);
            assert!(high + low < 1 << 53);
            ((high + low) % (1 << 32)) as u32
        };
        for n in 0..10_000u32 {
            let a = n.wrapping_mul(2_654_435_761);
            assert_eq!(by_halves(a, 0x85eb_ca6b), a.wrapping_mul(0x85eb_ca6b));
            assert_eq!(by_halves(a, 0xc2b2_ae35), a.wrapping_mul(0xc2b2_ae35));
        }
        assert!((u128::from(RETRY_DELAY_MS_MAX) + 1) << JITTER_BITS < 1 << 53);
    }

    #[test]
    fn no_number_of_failures_overflows() {
        for (base_ms, cap_ms) in [(1, u64::MAX), (u64::MAX, u64::MAX), (0, 0), (5_000, 1_800_000)] {
            for jitter in [Jitter::Full, Jitter::None] {
                let policy = RetryPolicy::Exponential { base_ms, cap_ms, max_failures: 1_000, jitter };
                for failures in [0, 1, 2, 63, 64, 65, 1_000, u32::MAX] {
                    assert!(policy.delay_ms(id(1), failures) <= cap_ms.max(1));
                }
            }
        }
        let unspread = RetryPolicy::Exponential {
            base_ms: 4,
            cap_ms: RETRY_DELAY_MS_MAX,
            max_failures: 1_000,
            jitter: Jitter::None,
        };
        assert_eq!([1, 2, 3, 4].map(|n| unspread.delay_ms(id(0), n)), [4, 8, 16, 32]);
        let delays: Vec<u64> = (1..=1_000).map(|n| unspread.delay_ms(id(0), n)).collect();
        assert!(delays.is_sorted(), "a delay never shrinks with the failures");
        assert_eq!(delays.last(), Some(&RETRY_DELAY_MS_MAX));
    }

    #[test]
    fn a_jittered_delay_is_never_zero() {
        let policy =
            RetryPolicy::Exponential { base_ms: 1, cap_ms: 1, max_failures: 3, jitter: Jitter::Full };
        assert!((0..1_000).all(|n| policy.delay_ms(id(n), 1) == 1));
    }

    #[test]
    fn a_list_gives_its_delays_in_order_and_then_the_job_is_dead() {
        let policy = RetryPolicy::List { delays_ms: vec![10, 20, 30] };
        assert_eq!([1, 2, 3, 4].map(|n| policy.delay_ms(id(0), n)), [10, 20, 30, 30]);
        assert_eq!(policy.max_failures(), 4);
        assert_eq!(RetryPolicy::never().max_failures(), 1);
        assert_eq!(RetryPolicy::never().delay_ms(id(0), 1), 0);
    }

    #[test]
    fn a_policy_beyond_its_bounds_is_refused_with_the_value_named() {
        let exponential = |base_ms, cap_ms, max_failures| RetryPolicy::Exponential {
            base_ms,
            cap_ms,
            max_failures,
            jitter: Jitter::Full,
        };
        let month = RETRY_DELAY_MS_MAX;
        assert!(exponential(1, month, 1_000).validate().is_ok());
        assert!(RetryPolicy::List { delays_ms: vec![month; 100] }.validate().is_ok());
        let refused = [
            (exponential(1, month + 1, 1), "30 days"),
            (exponential(0, 1, 1), "base_ms"),
            (exponential(2, 1, 1), "cap_ms"),
            (exponential(1, 1, 0), "max_failures"),
            (exponential(1, 1, 1_001), "1,000"),
            (RetryPolicy::Fixed { delay_ms: month + 1, max_failures: 1 }, "30 days"),
            (RetryPolicy::Fixed { delay_ms: 1, max_failures: 1_001 }, "1001"),
            (RetryPolicy::List { delays_ms: vec![1; 101] }, "101"),
            (RetryPolicy::List { delays_ms: vec![1, month + 1] }, "30 days"),
        ];
        for (policy, said) in refused {
            assert!(policy.validate().expect_err(said).contains(said), "{policy:?}");
        }
    }

    #[test]
    fn a_policy_reads_and_writes_as_json_and_refuses_unknown_fields() {
        let text = r#"{"exponential":{"base_ms":5000,"cap_ms":1800000,"max_failures":12}}"#;
        assert_eq!(
            serde_json::from_str::<RetryPolicy>(text).expect("jitter may be left out"),
            RetryPolicy::default()
        );
        let again = serde_json::to_string(&RetryPolicy::default()).expect("plain data");
        assert_eq!(
            serde_json::from_str::<RetryPolicy>(&again).expect("its own text"),
            RetryPolicy::default()
        );
        assert!(
            serde_json::from_str::<RetryPolicy>(r#"{"fixed":{"delay_ms":1,"max_failures":1,"x":1}}"#)
                .is_err()
        );
    }
}
