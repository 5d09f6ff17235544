//! Durations and rates that are counted as they happen and never scanned: [`Histogram`] and [`Ring`].
//!
//! A histogram answers quantiles within 12.5 % from 164 counters; a ring holds counts by slot of time
//! for charts. Both are plain arrays: recording touches one counter and allocates nothing.
//! Both are written compactly (a flat list of numbers) and checked when they are read.
//! This module knows no queue and no clock: values, and the time of an addition, come in as arguments.

use crate::time::Time;
use serde::{Deserialize, Serialize};

/// Sub-buckets per power of two, as a power of two itself: 4, which bounds the error at 1/8.
const SUB_BITS: u32 = 2;
/// Values from 2^42 on share the last bucket: 50 days in microseconds, 139 years in milliseconds.
const VALUE_BITS: u32 = 42;
/// How many buckets there are: 4 for the values below 4, and 4 for each power of two from there.
const BUCKETS: usize = ((VALUE_BITS - SUB_BITS + 1) << SUB_BITS) as usize;

/// How often values of each size were recorded; every quantile is right within 12.5 %.
///
/// Values below 8 have a bucket of their own and are exact; from there on each power of two has four
/// equal buckets, and a quantile answers with the middle of its bucket. The count, the sum and the
/// largest value are exact. The unit is the caller's. It is written as a flat list:
/// sum, largest value, then pairs of bucket number and count.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<u64>", try_from = "Vec<u64>")]
pub struct Histogram {
    counts: [u64; BUCKETS],
    count: u64,
    sum: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], count: 0, sum: 0, max: 0 }
    }
}

impl std::fmt::Debug for Histogram {
    /// Shown by what people ask of it; 164 counters say nothing.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count)
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

impl Histogram {
    /// Counts one value, in constant time and without allocating.
    pub fn record(&mut self, value: u64) {
        self.record_many(value, 1);
    }

    /// Counts `times` values of that size.
    pub fn record_many(&mut self, value: u64, times: u64) {
        if times == 0 {
            return;
        }
        self.counts[bucket(value)] += times;
        self.count += times;
        self.sum = self.sum.saturating_add(value.saturating_mul(times));
        self.max = self.max.max(value);
    }

    /// Adds another histogram: the same as if all its values had been recorded here.
    pub fn merge(&mut self, other: &Histogram) {
        for (here, there) in self.counts.iter_mut().zip(&other.counts) {
            *here += there;
        }
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The sum of all values; stops at the largest number.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The largest value, exactly; 0 when there is none.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The mean of all values; 0 when there is none.
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 }
    }

    /// The value that a share `q` (0 to 1) of all values does not exceed, within 12.5 %; 0 when there
    /// is none. `quantile(1.0)` is the largest value, exactly.
    pub fn quantile(&self, q: f64) -> u64 {
        let rank = ((q.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).clamp(1, self.count.max(1));
        if self.count == 0 || rank == self.count {
            return self.max;
        }
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                let (low, width) = (lower(index), lower(index + 1) - lower(index));
                return (low + (width - 1) / 2).min(self.max);
            }
        }
        self.max
    }

    /// Every bucket that holds something, as (first value above it, count), the smallest first.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let held = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        held.map(|(index, count)| (lower(index + 1), *count))
    }
}

/// The bucket of a value: its highest bits, four to each power of two.
fn bucket(value: u64) -> usize {
    if value < 1 << SUB_BITS {
        return value as usize;
    }
    let power = value.ilog2();
    if power >= VALUE_BITS {
        return BUCKETS - 1;
    }
    let sub = (value >> (power - SUB_BITS)) & ((1 << SUB_BITS) - 1);
    ((power - SUB_BITS + 1) << SUB_BITS) as usize + sub as usize
}

/// The smallest value of a bucket; one past the last bucket it is 2^42.
fn lower(index: usize) -> u64 {
    let index = index as u64;
    if index < 1 << SUB_BITS {
        return index;
    }
    let (row, sub) = (index >> SUB_BITS, index & ((1 << SUB_BITS) - 1));
    ((1 << SUB_BITS) + sub) << (row - 1)
}

impl From<Histogram> for Vec<u64> {
    fn from(histogram: Histogram) -> Vec<u64> {
        let mut list = vec![histogram.sum, histogram.max];
        for (index, count) in histogram.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            list.extend([index as u64, *count]);
        }
        list
    }
}

impl TryFrom<Vec<u64>> for Histogram {
    type Error = String;

    fn try_from(list: Vec<u64>) -> Result<Self, String> {
        let [sum, max, pairs @ ..] = list.as_slice() else {
            return Err("a histogram begins with its sum and its largest value".into());
        };
        let mut histogram = Histogram { sum: *sum, max: *max, ..Histogram::default() };
        let (pairs, []) = pairs.as_chunks::<2>() else {
            return Err("a histogram's buckets come in pairs".into());
        };
        for [index, count] in pairs {
            let place = usize::try_from(*index).ok().and_then(|index| histogram.counts.get_mut(index));
            let place = place.ok_or_else(|| format!("a histogram has no bucket {index}"))?;
            *place = place.checked_add(*count).ok_or("a histogram's count is too large")?;
            histogram.count =
                histogram.count.checked_add(*count).ok_or("a histogram's count is too large")?;
        }
        Ok(histogram)
    }
}

/// Counts of the last `N` slots of time, each `slot_ms` wide and aligned to the Unix epoch.
///
/// A slot holds what was added while it lasted, or nothing. A clock that steps back by less than the
/// ring adds to the older slots; one that steps back further starts the ring afresh, since otherwise
/// the charts would stand still until the old time comes again. Counts stop at the largest `u32`.
/// It is written as a flat list: width, number of the newest slot, then the counts from the newest
/// back, where a 0 is followed by how many slots are empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<u64>", try_from = "Vec<u64>")]
pub struct Ring<const N: usize> {
    slot_ms: u64,
    newest: u64,
    counts: [u32; N],
}

/// Five minutes by second.
pub type Seconds = Ring<300>;
/// A day by minute.
pub type Minutes = Ring<1440>;
/// A week by hour.
pub type Hours = Ring<168>;

impl Seconds {
    /// An empty ring of seconds.
    pub fn by_second() -> Self {
        Self::new(1_000)
    }
}

impl Minutes {
    /// An empty ring of minutes.
    pub fn by_minute() -> Self {
        Self::new(60_000)
    }
}

impl Hours {
    /// An empty ring of hours.
    pub fn by_hour() -> Self {
        Self::new(3_600_000)
    }
}

impl<const N: usize> Ring<N> {
    /// An empty ring with slots of that width (at least 1 ms).
    pub fn new(slot_ms: u64) -> Self {
        Self { slot_ms: slot_ms.max(1), newest: 0, counts: [0; N] }
    }

    /// The width of a slot.
    pub fn slot_ms(&self) -> u64 {
        self.slot_ms
    }

    /// Adds `n` to the slot of `now`, without allocating; costs one step per slot since the last time.
    pub fn add(&mut self, now: Time, n: u32) {
        let slot = now.0 / self.slot_ms;
        if slot > self.newest {
            self.clear_up_to(slot);
        } else if self.newest - slot >= N as u64 {
            self.counts = [0; N];
            self.newest = slot;
        }
        let place = &mut self.counts[(slot % N as u64) as usize];
        *place = place.saturating_add(n);
    }

    fn clear_up_to(&mut self, slot: u64) {
        if slot - self.newest >= N as u64 {
            self.counts = [0; N];
        } else {
            for passed in self.newest + 1..=slot {
                self.counts[(passed % N as u64) as usize] = 0;
            }
        }
        self.newest = slot;
    }

    /// The `N` slots that end with the one of `now`, oldest first: start and count, empty ones too.
    pub fn iter(&self, now: Time) -> impl Iterator<Item = (Time, u32)> + '_ {
        let last = now.0 / self.slot_ms;
        let first = (last + 1).saturating_sub(N as u64);
        (first..=last).map(|slot| (Time(slot * self.slot_ms), self.at(slot)))
    }

    /// The sum of the last `slots` whole slots before the one of `now`, which is not over yet.
    pub fn sum_before(&self, now: Time, slots: u64) -> u64 {
        let current = now.0 / self.slot_ms;
        let first = current.saturating_sub(slots.min(N as u64));
        (first..current).map(|slot| u64::from(self.at(slot))).sum()
    }

    fn at(&self, slot: u64) -> u32 {
        let held = slot <= self.newest && self.newest - slot < N as u64;
        if held { self.counts[(slot % N as u64) as usize] } else { 0 }
    }
}

impl<const N: usize> From<Ring<N>> for Vec<u64> {
    fn from(ring: Ring<N>) -> Vec<u64> {
        let mut list = vec![ring.slot_ms, ring.newest];
        let mut empty = 0;
        for age in 0..(N as u64).min(ring.newest + 1) {
            match ring.at(ring.newest - age) {
                0 => empty += 1,
                count => {
                    if empty > 0 {
                        list.extend([0, empty]);
                        empty = 0;
                    }
                    list.push(u64::from(count));
                }
            }
        }
        list
    }
}

impl<const N: usize> TryFrom<Vec<u64>> for Ring<N> {
    type Error = String;

    fn try_from(list: Vec<u64>) -> Result<Self, String> {
        let [slot_ms @ 1..=u64::MAX, newest, counts @ ..] = list.as_slice() else {
            return Err("a ring begins with the width of its slots and the number of the newest".into());
        };
        let mut ring = Ring { slot_ms: *slot_ms, newest: *newest, counts: [0; N] };
        let (mut age, mut counts) = (0u64, counts.iter());
        while let Some(count) = counts.next() {
            if *count == 0 {
                age = age.saturating_add(*counts.next().ok_or("a ring ends within a gap")?);
                continue;
            }
            if age >= N as u64 || age > *newest {
                return Err(format!("a ring of {N} slots holds more"));
            }
            ring.counts[((newest - age) % N as u64) as usize] =
                u32::try_from(*count).map_err(|_| format!("a ring's count of {count} is too large"))?;
            age += 1;
        }
        Ok(ring)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        assert_eq!(BUCKETS, 164);
        assert_eq!(lower(BUCKETS), 1 << VALUE_BITS);
        for index in 0..BUCKETS {
            assert_eq!(bucket(lower(index)), index);
            assert_eq!(bucket(lower(index + 1) - 1), index);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn small_values_are_exact_and_an_empty_histogram_answers_zero() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.quantile(0.5), histogram.max(), histogram.count()), (0, 0, 0));
        for value in 0..8 {
            histogram.record(value);
        }
        for (rank, value) in (0..8).enumerate() {
            assert_eq!(histogram.quantile((rank + 1) as f64 / 8.0), value);
        }
        assert_eq!((histogram.sum(), histogram.mean()), (28, 3.5));
    }

    #[test]
    fn broken_lists_are_refused() {
        for list in [vec![], vec![1], vec![1, 1, 5], vec![1, 1, 164, 1], vec![1, 1, 0, u64::MAX, 1, 1]] {
            assert!(Histogram::try_from(list.clone()).is_err(), "{list:?}");
        }
        let refused: [&[u64]; 6] = [&[], &[1], &[0, 5], &[1, 9, 0], &[1, 1, 1, 1, 1], &[1, 9, 1 << 32]];
        for list in refused {
            assert!(Ring::<4>::try_from(list.to_vec()).is_err(), "{list:?}");
        }
        assert!(Ring::<4>::try_from(vec![1, 9, 0, 4, 1]).is_err());
    }

    #[test]
    fn a_ring_holds_its_last_slots_and_forgets_older_ones() {
        let mut ring = Ring::<4>::new(1_000);
        for (second, n) in [(100, 1), (100, 2), (101, 5), (103, 7)] {
            ring.add(Time(second * 1_000 + 999), n);
        }
        let seen =
            |ring: &Ring<4>, second: u64| ring.iter(Time(second * 1_000)).map(|(_, n)| n).collect::<Vec<_>>();
        assert_eq!(seen(&ring, 103), [3, 5, 0, 7]);
        assert_eq!(seen(&ring, 105), [0, 7, 0, 0]);
        assert_eq!(ring.sum_before(Time(103_500), 2), 5);
        assert_eq!(ring.sum_before(Time(104_500), 99), 15);
        ring.add(Time(105_000), 1);
        assert_eq!(seen(&ring, 105), [0, 7, 0, 1]);
        assert_eq!(ring.iter(Time(105_000)).next(), Some((Time(102_000), 0)));
        ring.add(Time(900_000), 4);
        assert_eq!(seen(&ring, 900), [0, 0, 0, 4]);
    }

    #[test]
    fn a_clock_that_steps_back_adds_to_older_slots_or_starts_afresh() {
        let mut ring = Ring::<4>::new(1_000);
        ring.add(Time(100_000), 1);
        ring.add(Time(98_000), 2);
        assert_eq!(ring.iter(Time(100_000)).map(|(_, n)| n).collect::<Vec<_>>(), [0, 2, 0, 1]);
        ring.add(Time(90_000), 3);
        assert_eq!(ring.iter(Time(90_000)).map(|(_, n)| n).collect::<Vec<_>>(), [0, 0, 0, 3]);
        ring.add(Time(90_000), u32::MAX);
        assert_eq!(ring.iter(Time(90_000)).last(), Some((Time(90_000), u32::MAX)));
    }

    #[test]
    fn a_quiet_ring_is_written_in_a_few_numbers() {
        let mut ring = Minutes::by_minute();
        ring.add(Time(1_763_700_000_000), 3);
        ring.add(Time(1_763_700_000_000 + 1_000 * 60_000), 9);
        assert_eq!(Vec::from(ring), [60_000, 29_396_000, 9, 0, 999, 3]);
    }

    fn exact(values: &mut [u64], q: f64) -> u64 {
        values.sort_unstable();
        let rank = ((q * values.len() as f64).ceil() as usize).clamp(1, values.len());
        values[rank - 1]
    }

    proptest! {
        #[test]
        fn every_quantile_is_right_within_an_eighth(
            mut values in prop::collection::vec(prop_oneof![0u64..20, 0u64..100_000, 0u64..1 << 42], 1..300),
            q in 0.0f64..=1.0,
        ) {
            let mut histogram = Histogram::default();
            values.iter().for_each(|value| histogram.record(*value));
            let (told, right) = (histogram.quantile(q), exact(&mut values, q));
            prop_assert!(told.abs_diff(right) * 8 <= right, "{told} for {right}");
            prop_assert_eq!(histogram.quantile(1.0), *values.last().expect("some"));
            prop_assert_eq!(histogram.sum(), values.iter().sum::<u64>());
        }

        #[test]
        fn merging_is_recording_everything_in_one(
            a in prop::collection::vec(any::<u64>(), 0..50),
            b in prop::collection::vec(0u64..10_000, 0..50),
        ) {
            let of = |values: &[u64]| values.iter().fold(Histogram::default(), |mut h, v| { h.record(*v); h });
            let mut merged = of(&a);
            merged.merge(&of(&b));
            prop_assert_eq!(&merged, &of(&[a, b].concat()));
            let text = serde_json::to_string(&merged).expect("plain numbers");
            prop_assert_eq!(serde_json::from_str::<Histogram>(&text).expect("its own text"), merged);
        }

        #[test]
        fn a_ring_agrees_with_a_map_and_survives_being_written(
            steps in prop::collection::vec((0u64..7_000, 0u32..5), 0..100),
        ) {
            let (mut ring, mut now) = (Ring::<5>::new(1_000), Time(0));
            let mut model = std::collections::BTreeMap::<u64, u32>::new();
            for (gap_ms, n) in steps {
                now = now.plus_ms(gap_ms);
                ring.add(now, n);
                *model.entry(now.0 / 1_000).or_default() += n;
                for (start, count) in ring.iter(now) {
                    prop_assert_eq!(count, model.get(&(start.0 / 1_000)).copied().unwrap_or(0));
                }
            }
            let text = serde_json::to_string(&ring).expect("plain numbers");
            let again: Ring<5> = serde_json::from_str(&text).expect("its own text");
            prop_assert!(again.iter(now).eq(ring.iter(now)));
        }
    }
}
