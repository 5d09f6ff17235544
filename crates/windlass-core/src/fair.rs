//! The fair order among groups: one virtual time per group, and who is behind goes first.
//!
//! A group's virtual time is what it has been given, divided by its weight. A claim takes from the
//! backlogged group with the smallest one and charges it; the store breaks ties by a fixed order.
//! This is start-time fair queuing (Goyal, Vin, Cheng, 1996) over jobs of equal size.
//!
//! The store also keeps one *floor* per queue: the virtual time that the group served last had before
//! it was charged, raised and never lowered ([`VirtualTime::arrive`] is the maximum). A group that
//! becomes ready starts at its own time or the floor, whichever is later.
//! This module knows no group and no order structure; only the numbers are here.

use crate::bounds::WEIGHT_MAX;
use serde::{Deserialize, Serialize};

/// Virtual time per job at weight 1.
///
/// At 1,000,000 jobs a second, all of weight 1 and all in one group, a `u64` lasts for
/// 2^64 / 2^12 / 10^6 s, that is 142 years. It is above the largest weight, as [`VirtualTime::charge`]
/// needs; the error of a virtual time is below 2 / 4,096 of a job per weight, however long it runs.
/// A store whose numbers end at 2^53 subtracts the floor from all its groups now and then: only
/// differences matter, as long as what is subtracted is a multiple of `SCALE`.
pub const SCALE: u64 = 1 << 12;

/// How much a group has been given for its weight; the smallest goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VirtualTime(pub u64);

impl VirtualTime {
    /// Where every queue begins.
    pub const ZERO: VirtualTime = VirtualTime(0);

    /// The time after `jobs` were taken at `weight`: later by `jobs * SCALE / weight`, with no drift.
    ///
    /// If each charge were rounded by itself, a group of weight 999 would gain a little on every claim,
    /// without end. Instead the line is divided into cells of `SCALE / weight`, whose borders are
    /// rounded up from their exact places, and a charge moves by whole cells: rounding errors cancel
    /// out, and the sum of any number of charges is off by less than 2.
    /// A weight of 0 counts as 1, one above [`WEIGHT_MAX`] as that. At the end of time it stays there.
    #[must_use]
    pub fn charge(self, weight: u16, jobs: u32) -> Self {
        let weight = u64::from(weight.clamp(1, WEIGHT_MAX));
        // The border below `cell` is at `cell * SCALE / weight`, rounded up. All products are below
        // 2^32 * 2^12 + 2^22, far inside 53 bits too.
        let border = |cell: u64| (cell * SCALE).div_ceil(weight);
        let cell = self.0 % SCALE * weight / SCALE;
        Self(self.0.saturating_add(border(cell + u64::from(jobs)) - border(cell)))
    }

    /// Where a group stands when it becomes ready: at `floor` if it lies behind it, else where it was.
    ///
    /// So a late group is level: it does not wait for what the others did before it came, it is not
    /// paid for its absence, and leaving for a moment does not wipe out what it was given.
    #[must_use]
    pub fn arrive(self, floor: VirtualTime) -> Self {
        self.max(floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_charge_is_the_work_divided_by_the_weight() {
        for weight in [1, 2, 4, 8, 16, 64, 512] {
            let after = VirtualTime::ZERO.charge(weight, 10);
            assert_eq!(after.0, 10 * SCALE / u64::from(weight));
        }
        assert_eq!(VirtualTime(7).charge(3, 0), VirtualTime(7));
        assert_eq!(VirtualTime::ZERO.charge(0, 1), VirtualTime::ZERO.charge(1, 1));
        assert_eq!(VirtualTime::ZERO.charge(u16::MAX, 5), VirtualTime::ZERO.charge(1_000, 5));
        assert_eq!(VirtualTime(u64::MAX - 3).charge(1, u32::MAX), VirtualTime(u64::MAX));
    }

    #[test]
    fn charges_never_drift_whatever_the_weight_the_start_and_the_batches() {
        for weight in 1..=1_000u16 {
            for start in [0u64, 1, 4_095, 4_096, 123_456_789_012_345 + u64::from(weight)] {
                let (mut at, mut jobs) = (VirtualTime(start), 0u64);
                for batch in [1u32, 1, 1, 7, 1, 100, 3, 1_000, 1, 2].iter().cycle().take(200) {
                    at = at.charge(weight, *batch);
                    jobs += u64::from(*batch);
                    let exact = (jobs * SCALE) as f64 / f64::from(weight);
                    let moved = (at.0 - start) as f64;
                    assert!((moved - exact).abs() < 2.0, "weight {weight} from {start}: {moved} for {exact}");
                }
            }
        }
    }

    #[test]
    fn a_group_that_comes_late_is_level_and_one_that_left_keeps_its_debt() {
        let floor = VirtualTime(90 * SCALE);
        assert_eq!(VirtualTime::ZERO.arrive(floor), floor);
        assert_eq!(VirtualTime(95 * SCALE).arrive(floor), VirtualTime(95 * SCALE));
    }

    /// A queue with nothing but its fair order.
    struct Queue {
        groups: Vec<Group>,
        floor: VirtualTime,
    }

    struct Group {
        weight: u16,
        at: VirtualTime,
        backlog: u32,
        claimed: u64,
        backlogged_since: Option<usize>,
    }

    impl Queue {
        fn new(weights: &[u16]) -> Self {
            let group = |weight: &u16| Group {
                weight: *weight,
                at: VirtualTime::ZERO,
                backlog: 0,
                claimed: 0,
                backlogged_since: None,
            };
            Self { groups: weights.iter().map(group).collect(), floor: VirtualTime::ZERO }
        }

        fn arrive(&mut self, group: usize, jobs: u32, step: usize) {
            let group = &mut self.groups[group];
            if group.backlog == 0 && jobs > 0 {
                group.at = group.at.arrive(self.floor);
                group.backlogged_since = Some(step);
            }
            group.backlog += jobs;
        }

        /// Takes up to `batch` jobs from the group that is furthest behind.
        fn claim(&mut self, batch: u32) -> Option<usize> {
            let order = |i: &usize| (self.groups[*i].at, *i);
            let chosen = (0..self.groups.len()).filter(|i| self.groups[*i].backlog > 0).min_by_key(order)?;
            let group = &mut self.groups[chosen];
            self.floor = self.floor.arrive(group.at);
            let jobs = batch.min(group.backlog);
            group.at = group.at.charge(group.weight, jobs);
            group.backlog -= jobs;
            group.claimed += u64::from(jobs);
            if group.backlog == 0 {
                group.backlogged_since = None;
            }
            Some(chosen)
        }
    }

    proptest! {
        /// For every pair and every interval in which both stay backlogged: |a/wa - b/wb| is at most
        /// one pick each, n/wa + n/wb. With picks of one job that is below one batch of the contract.
        #[test]
        fn two_backlogged_groups_differ_by_at_most_one_pick_each(
            weights in prop::collection::vec(prop_oneof![1u16..5, 1u16..1_001, Just(999u16)], 2..8),
            steps in prop::collection::vec((0usize..8, 0u32..60, 0u32..3), 50..400),
            batch in 1u32..12,
        ) {
            let mut queue = Queue::new(&weights);
            let n = weights.len();
            // Claims of every group after each step, to look at every interval afterwards.
            let mut history: Vec<Vec<(u64, Option<usize>)>> = Vec::new();
            for (step, (group, jobs, claims)) in steps.into_iter().enumerate() {
                queue.arrive(group % n, jobs, step);
                for _ in 0..claims {
                    queue.claim(batch);
                }
                history.push(queue.groups.iter().map(|g| (g.claimed, g.backlogged_since)).collect());
            }
            for a in 0..n {
                for b in a + 1..n {
                    let (wa, wb) = (f64::from(weights[a]), f64::from(weights[b]));
                    let bound = f64::from(batch) / wa + f64::from(batch) / wb + 4.0 / SCALE as f64;
                    // Along a run in which both stay backlogged, the extremes of the difference tell all.
                    let mut run: Option<(usize, usize, f64, f64)> = None;
                    for now in &history {
                        let (Some(sa), Some(sb)) = (now[a].1, now[b].1) else { run = None; continue };
                        let ahead = now[a].0 as f64 / wa - now[b].0 as f64 / wb;
                        let (low, high) = match run {
                            Some((ra, rb, low, high)) if (ra, rb) == (sa, sb) => (low.min(ahead), high.max(ahead)),
                            _ => (ahead, ahead),
                        };
                        run = Some((sa, sb, low, high));
                        prop_assert!(high - low <= bound, "{low}..{high} is wider than {bound}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_small_campaign_does_not_wait_for_a_whale() {
        let mut queue = Queue::new(&[1, 1]);
        queue.arrive(0, 50_000, 0);
        for _ in 0..20_000 {
            queue.claim(1);
        }
        queue.arrive(1, 100, 1);
        let mut claims = 0;
        while queue.groups[1].backlog > 0 {
            queue.claim(1);
            claims += 1;
        }
        assert!(claims <= 201, "{claims} claims for 100 jobs beside a whale");
    }

    #[test]
    fn weights_share_the_queue_in_proportion() {
        let mut queue = Queue::new(&[1, 3, 999]);
        for group in 0..3 {
            queue.arrive(group, 1_000_000, 0);
        }
        for _ in 0..1_003_000 / 2 {
            queue.claim(1);
        }
        let claimed: Vec<u64> = queue.groups.iter().map(|g| g.claimed).collect();
        assert!((499..=501).contains(&claimed[0]), "{claimed:?}");
        assert!((1_498..=1_502).contains(&claimed[1]), "{claimed:?}");
    }
}
