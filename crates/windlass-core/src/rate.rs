//! Rate limits: so many grants per period, with a burst (GCRA, the generic cell rate algorithm of
//! ITU-T I.371, in its virtual scheduling form).
//!
//! One [`Tat`] per limit is all the state there is; no timer refills anything. The arithmetic is exact:
//! a `Tat` counts in fractions of 1 / `count` of a millisecond, so that the span of one grant,
//! `period_ms / count`, is a whole number of them. Nothing is rounded when something is granted;
//! only the answer "try again at" is rounded, up to the next millisecond. So the limit is never
//! exceeded, and a limit that is always asked for gives exactly its rate, for ever.
//! This module knows no clock and no name of a limit, and takes nothing by itself: whoever takes
//! several limits together asks all of them first and keeps the new states only if all said yes.

use crate::time::Time;
use serde::{Deserialize, Serialize};

/// Grants per period, and burst: above a million the queue itself is the limit.
pub const RATE_COUNT_MAX: u32 = 1_000_000;
/// Longest period (30 days): the next longer one that people mean is a calendar month, not a span.
pub const RATE_PERIOD_MS_MAX: u64 = 30 * 86_400_000;
/// Bits of a [`Tat`] that hold the fraction; `RATE_COUNT_MAX` fits into them.
const FRACTION_BITS: u32 = 20;
/// The last millisecond that a [`Tat`] can name (in the year 2527).
const TAT_MS_MAX: u64 = u64::MAX >> FRACTION_BITS;

/// At most `count` grants per `period_ms` in the long run, and `burst` at once.
///
/// In any span of t ms there are at most `burst + count * t / period_ms` grants, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Grants per period.
    pub count: u32,
    /// The period.
    pub period_ms: u64,
    /// Grants at once after a rest; a cost above it can never be admitted.
    pub burst: u32,
}

/// The theoretical arrival time of a limit: when it will have earned everything it has granted.
///
/// The upper 44 bits are milliseconds since the Unix epoch, the lower 20 a numerator over the rate's
/// `count`. A store with 53-bit numbers keeps the two parts apart: with milliseconds counted from the
/// question's `now`, no number in [`Rate::admit`] is above 2 x `RATE_COUNT_MAX * RATE_PERIOD_MS_MAX`,
/// which is below 2^53. The default is a limit that was never asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tat(pub u64);

impl Tat {
    /// Whole milliseconds since the Unix epoch.
    pub const fn ms(self) -> u64 {
        self.0 >> FRACTION_BITS
    }

    /// What is left beyond [`Tat::ms`], over the rate's `count`.
    pub const fn fraction(self) -> u32 {
        (self.0 & ((1 << FRACTION_BITS) - 1)) as u32
    }

    const fn new(ms: u64, fraction: u64) -> Self {
        if ms > TAT_MS_MAX { Self(u64::MAX) } else { Self((ms << FRACTION_BITS) | fraction) }
    }
}

impl Rate {
    /// Refuses a rate that cannot be kept.
    ///
    /// # Errors
    /// A sentence for people that names the value and the bound.
    pub fn validate(&self) -> Result<(), String> {
        if !(1..=RATE_COUNT_MAX).contains(&self.count) {
            return Err(format!("count of {} is not between 1 and 1,000,000", self.count));
        }
        if !(1..=RATE_PERIOD_MS_MAX).contains(&self.period_ms) {
            return Err(format!("period of {} ms is not between 1 ms and 30 days", self.period_ms));
        }
        if !(1..=RATE_COUNT_MAX).contains(&self.burst) {
            return Err(format!("burst of {} is not between 1 and 1,000,000", self.burst));
        }
        Ok(())
    }

    /// Grants `cost` at `now` if the limit allows it, and never otherwise: the new state, or the first
    /// time at which the same question could be granted if nobody else is granted before.
    ///
    /// A state that another rate left, or a clock that stepped back, counts as at most one burst of
    /// debt under this rate: a limit made faster is fast at once, and one made slower starts from a
    /// state that it could have reached itself.
    ///
    /// # Errors
    /// When to ask again; [`Time::NEVER`] when `cost` is above the burst, which callers refuse earlier.
    pub fn admit(&self, tat: Tat, now: Time, cost: u32) -> Result<Tat, Time> {
        if cost > self.burst {
            return Err(Time::NEVER);
        }
        let (count, full) = (u64::from(self.count.max(1)), self.full());
        let wanted = self.used(tat, now) + u64::from(cost) * self.period_ms;
        if wanted > full {
            return Err(now.plus_ms((wanted - full).div_ceil(count)));
        }
        Ok(Tat::new(now.0.saturating_add(wanted / count), wanted % count))
    }

    /// How much could be granted at `now`, together.
    pub fn available(&self, tat: Tat, now: Time) -> u32 {
        let free = self.full() - self.used(tat, now);
        // At most the burst, since `full` is the burst times the period.
        u32::try_from(free / self.period_ms.max(1)).unwrap_or(u32::MAX)
    }

    /// The first time, `now` or later, at which `cost` could be granted if nothing is granted before.
    pub fn next_at(&self, tat: Tat, now: Time, cost: u32) -> Time {
        self.admit(tat, now, cost).map_or_else(|at| at, |_| now)
    }

    /// The whole burst, in fractions of a millisecond: each grant spans `period_ms` of them.
    fn full(&self) -> u64 {
        u64::from(self.burst).saturating_mul(self.period_ms)
    }

    /// What is granted and not yet earned again at `now`, in the same fractions, at most the burst.
    fn used(&self, tat: Tat, now: Time) -> u64 {
        if tat.ms() < now.0 {
            return 0;
        }
        let count = u64::from(self.count);
        // A fraction that another rate left may be too large for this one; it is still below 1 ms.
        let fraction = u64::from(tat.fraction()).min(count.saturating_sub(1));
        (tat.ms() - now.0).saturating_mul(count).saturating_add(fraction).min(self.full())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Time = Time(1_763_700_000_000);

    fn rate(count: u32, period_ms: u64, burst: u32) -> Rate {
        let rate = Rate { count, period_ms, burst };
        rate.validate().expect("a rate within its bounds");
        rate
    }

    #[test]
    fn a_rested_limit_gives_its_burst_at_once_and_then_its_rate() {
        let rate = rate(2, 1_000, 3);
        let mut tat = Tat::default();
        assert_eq!(rate.available(tat, START), 3);
        for left in [2, 1, 0] {
            tat = rate.admit(tat, START, 1).expect("within the burst");
            assert_eq!(rate.available(tat, START), left);
        }
        assert_eq!(rate.admit(tat, START, 1), Err(START.plus_ms(500)));
        assert_eq!(rate.admit(tat, START.plus_ms(499), 1), Err(START.plus_ms(500)));
        assert_eq!(rate.next_at(tat, START, 2), START.plus_ms(1_000));
        assert!(rate.admit(tat, START.plus_ms(500), 1).is_ok());
        assert_eq!(rate.available(tat, START.plus_ms(1_500)), 3);
        assert_eq!(rate.available(tat, START.plus_ms(900_000)), 3);
    }

    #[test]
    fn a_limit_that_is_always_asked_gives_exactly_its_rate_for_ever() {
        // Spans of one grant that are no whole number of milliseconds, nor of microseconds.
        for (count, period_ms) in
            [(3, 1_000), (7, 60_000), (999_983, 86_400_000), (700_001, 1_000), (1_000_000, 1_000)]
        {
            let rate = rate(count, period_ms, 1_000);
            let (mut tat, mut granted) = (Tat::default(), 0u64);
            // Jumps of half the burst's span, so that the limit never rests.
            let step_ms = (500 * period_ms / u64::from(count)).max(1);
            let steps = 20_000;
            for step in 0..=steps {
                let now = START.plus_ms(step * step_ms);
                let free = rate.available(tat, now);
                tat = rate.admit(tat, now, free).expect("what is available is granted");
                granted += u64::from(free);
            }
            let exact = 1_000 + u64::from(count) * steps * step_ms / period_ms;
            assert_eq!(granted, exact, "{rate:?}");
        }
    }

    #[test]
    fn a_grant_a_third_of_a_millisecond_early_is_refused() {
        let thirds = rate(3, 1_000, 1);
        let tat = thirds.admit(Tat::default(), START, 1).expect("rested");
        assert_eq!((tat.ms(), tat.fraction()), (START.0 + 333, 1));
        assert_eq!(thirds.admit(tat, START.plus_ms(333), 1), Err(START.plus_ms(334)));
        let tat = thirds.admit(tat, START.plus_ms(334), 1).expect("earned");
        assert_eq!(thirds.admit(tat, START.plus_ms(667), 1), Err(START.plus_ms(668)));
    }

    #[test]
    fn a_cost_above_the_burst_is_never_admitted() {
        let rate = rate(10, 1_000, 5);
        assert_eq!(rate.admit(Tat::default(), START, 6), Err(Time::NEVER));
        assert!(rate.admit(Tat::default(), START, 5).is_ok());
    }

    #[test]
    fn a_rate_changed_live_starts_from_at_most_one_burst_of_debt() {
        let slow = rate(1, 86_400_000, 10);
        let tat = slow.admit(Tat::default(), START, 10).expect("within the burst");
        let fast = rate(100, 1_000, 50);
        assert_eq!(fast.admit(tat, START, 1), Err(START.plus_ms(10)));
        assert_eq!(fast.available(tat, START.plus_ms(500)), 0);
        let tat = fast.admit(tat, START.plus_ms(500), 0).expect("no cost");
        assert_eq!(fast.available(tat, START.plus_ms(1_000)), 50);
        // The other way: what the fast one used is soon earned, and the slow one begins rested.
        let tat = fast.admit(Tat::default(), START, 50).expect("within the burst");
        assert_eq!(slow.available(tat, START), 9);
        // A fraction over a larger count is read as less than one millisecond.
        let thirds = rate(3, 1_000, 1).admit(Tat::default(), START, 1).expect("rested");
        assert_eq!(thirds.fraction(), 1);
        assert_eq!(rate(1, 10, 100).available(thirds, START.plus_ms(333)), 100);
    }

    #[test]
    fn a_clock_that_steps_back_closes_the_limit_for_no_longer_than_one_burst() {
        let rate = rate(1, 1_000, 2);
        let tat = rate.admit(Tat::default(), START.plus_ms(86_400_000), 2).expect("rested");
        assert_eq!(rate.admit(tat, START, 1), Err(START.plus_ms(1_000)));
    }

    #[test]
    fn extremes_neither_overflow_nor_grant_too_much() {
        let rate = rate(RATE_COUNT_MAX, RATE_PERIOD_MS_MAX, RATE_COUNT_MAX);
        assert!(2 * u128::from(RATE_COUNT_MAX) * u128::from(RATE_PERIOD_MS_MAX) < 1 << 53);
        assert!(u64::from(RATE_COUNT_MAX) < 1 << FRACTION_BITS);
        for (tat, now) in [(Tat(u64::MAX), Time::ZERO), (Tat(0), Time::NEVER), (Tat(u64::MAX), Time::NEVER)] {
            let (used, all) = (rate.used(tat, now), rate.full());
            assert!(used <= all);
            assert!(rate.admit(tat, now, u32::MAX).is_err());
            let _ = rate.admit(tat, now, RATE_COUNT_MAX);
        }
        // A rate that nobody validated gives nothing, but does not divide by zero either.
        let broken = Rate { count: 0, period_ms: 0, burst: 0 };
        assert_eq!(broken.available(Tat::default(), START), 0);
        assert_eq!(broken.admit(Tat::default(), START, 1), Err(Time::NEVER));
        assert_eq!(Rate { count: 0, period_ms: 5, burst: 3 }.next_at(Tat::default(), START, 1), START);
    }

    #[test]
    fn a_rate_beyond_its_bounds_is_refused_with_the_value_named() {
        for (count, period_ms, burst, said) in [
            (0, 1_000, 1, "count of 0"),
            (1_000_001, 1_000, 1, "count of 1000001"),
            (1, 0, 1, "period of 0"),
            (1, RATE_PERIOD_MS_MAX + 1, 1, "30 days"),
            (1, 1, 0, "burst of 0"),
            (1, 1, 1_000_001, "burst"),
        ] {
            let refused = Rate { count, period_ms, burst }.validate().expect_err(said);
            assert!(refused.contains(said), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn grants_in_any_window_stay_within_burst_and_rate(
            count in 1u32..2_000,
            period_ms in 1u64..5_000,
            burst in 1u32..40,
            steps in prop::collection::vec((0u64..60, 0u32..6), 1..150),
        ) {
            let rate = rate(count, period_ms, burst);
            let (mut tat, mut now) = (Tat::default(), START);
            let mut granted: Vec<(u64, u64)> = Vec::new();
            for (gap_ms, cost) in steps {
                now = now.plus_ms(gap_ms * period_ms / u64::from(count) / 8 + gap_ms % 3);
                let cost = cost.min(burst);
                let free = rate.available(tat, now);
                match rate.admit(tat, now, cost) {
                    Ok(next) => {
                        prop_assert!(cost <= free);
                        prop_assert!(next >= tat);
                        tat = next;
                        granted.push((now.0, u64::from(cost)));
                    }
                    Err(at) => {
                        prop_assert!(cost > free && at > now);
                        prop_assert!(rate.admit(tat, at, cost).is_ok(), "told to come at {at}");
                        prop_assert!(rate.admit(tat, at.minus_ms(1), cost).is_err(), "could have come earlier");
                    }
                }
            }
            for first in 0..granted.len() {
                let mut sum = 0;
                for last in first..granted.len() {
                    sum += granted[last].1;
                    let t_ms = granted[last].0 - granted[first].0;
                    // sum <= burst + count * t / period, without dividing.
                    prop_assert!(sum * period_ms <= u64::from(burst) * period_ms + u64::from(count) * t_ms);
                }
            }
        }

        #[test]
        fn the_state_agrees_with_a_bucket_of_exact_fractions(
            count in 1u32..500,
            period_ms in 1u64..3_000,
            burst in 1u32..20,
            steps in prop::collection::vec((0u64..2_000, 1u32..4), 1..100),
        ) {
            // A token bucket in units of 1 / period of a token: the model that GCRA must equal.
            let rate = rate(count, period_ms, burst);
            let full = u64::from(burst) * period_ms;
            let (mut tat, mut now, mut level) = (Tat::default(), START, full);
            for (gap_ms, cost) in steps {
                now = now.plus_ms(gap_ms);
                level = (level + gap_ms * u64::from(count)).min(full);
                let allowed = u64::from(cost) * period_ms <= level;
                let answer = rate.admit(tat, now, cost);
                prop_assert_eq!(answer.is_ok(), allowed);
                if let Ok(next) = answer {
                    tat = next;
                    level -= u64::from(cost) * period_ms;
                }
                prop_assert_eq!(u64::from(rate.available(tat, now)), level / period_ms);
            }
        }
    }
}
