//! The slots of a worker: how many handlers of each queue run, may run, and are asked for.
//!
//! Pure counting; it knows no store and no clock.

use std::collections::HashMap;
use windlass_core::QueueName;
use windlass_core::bounds::BATCH_ITEMS_MAX;

/// One queue of the worker.
struct Lane {
    name: QueueName,
    slots: u32,
    running: u32,
    /// Asked for by calls that are out.
    asked: u32,
    /// It gave less than was asked, and nothing has rung since.
    dry: bool,
}

impl Lane {
    fn free(&self) -> u32 {
        // Slots may have been lowered below what runs.
        self.slots.saturating_sub(self.running + self.asked)
    }
}

/// The queues of a worker in the order in which it prefers them.
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    by_name: HashMap<QueueName, usize>,
}

impl Lanes {
    pub(super) fn new(queues: Vec<(QueueName, u32)>) -> Self {
        let by_name = queues.iter().enumerate().map(|(lane, (name, _))| (name.clone(), lane)).collect();
        let lane = |(name, slots)| Lane { name, slots, running: 0, asked: 0, dry: false };
        Self { lanes: queues.into_iter().map(lane).collect(), by_name }
    }

    pub(super) fn len(&self) -> usize {
        self.lanes.len()
    }

    pub(super) fn name(&self, lane: usize) -> &QueueName {
        &self.lanes[lane].name
    }

    pub(super) fn of(&self, queue: &QueueName) -> Option<usize> {
        self.by_name.get(queue).copied()
    }

    pub(super) fn slots(&self) -> Vec<(QueueName, u32)> {
        self.lanes.iter().map(|lane| (lane.name.clone(), lane.slots)).collect()
    }

    pub(super) fn free(&self, lane: usize) -> u32 {
        self.lanes[lane].free()
    }

    pub(super) fn running(&self) -> u32 {
        self.lanes.iter().map(|lane| lane.running).sum()
    }

    /// Asks every queue that may have something for as much as there is room for, at most one batch.
    pub(super) fn ask(&mut self) -> Vec<(usize, u32)> {
        let mut left = BATCH_ITEMS_MAX as u32;
        let mut wants = Vec::new();
        for (place, lane) in self.lanes.iter_mut().enumerate().filter(|(_, lane)| !lane.dry) {
            let count = lane.free().min(left);
            if count > 0 {
                lane.asked += count;
                left -= count;
                wants.push((place, count));
            }
        }
        wants
    }

    /// A call that asked for that many has been answered, or has failed.
    pub(super) fn answered(&mut self, lane: usize, count: u32) {
        self.lanes[lane].asked -= count;
    }

    pub(super) fn started(&mut self, lane: usize) {
        self.lanes[lane].running += 1;
    }

    pub(super) fn freed(&mut self, lane: usize) {
        self.lanes[lane].running -= 1;
    }

    /// Queues that gave less than they were asked for have no more.
    pub(super) fn dry(&mut self, wants: &[(usize, u32)], got: &[u32]) {
        for &(lane, count) in wants {
            self.lanes[lane].dry |= got[lane] < count;
        }
    }

    /// Any queue may have something again.
    pub(super) fn wet(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.dry = false);
    }

    /// Dry queues with room: what the store is watched for.
    pub(super) fn thirsty(&self) -> Vec<usize> {
        let thirsty = |lane: &Lane| lane.dry && lane.free() > 0;
        self.lanes.iter().enumerate().filter(|(_, lane)| thirsty(lane)).map(|(place, _)| place).collect()
    }

    pub(super) fn set_slots(&mut self, lane: usize, slots: u32) {
        self.lanes[lane].slots = slots;
        self.lanes[lane].dry = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(slots: &[u32]) -> Lanes {
        let name = |i| QueueName::new(format!("q{i}")).unwrap();
        Lanes::new(slots.iter().enumerate().map(|(i, &slots)| (name(i), slots)).collect())
    }

    #[test]
    fn slots_are_asked_for_once_and_a_batch_holds_at_most_a_thousand() {
        let mut lanes = lanes(&[700, 700]);
        assert_eq!(lanes.ask(), [(0, 700), (1, 300)]);
        assert_eq!(lanes.ask(), [(1, 400)]);
        assert_eq!(lanes.ask(), []);
        lanes.answered(0, 700);
        lanes.started(0);
        assert_eq!(lanes.ask(), [(0, 699)]);
    }

    #[test]
    fn a_dry_queue_is_not_asked_again_until_something_rings() {
        let mut lanes = lanes(&[4, 4]);
        let wants = lanes.ask();
        wants.iter().for_each(|&(lane, count)| lanes.answered(lane, count));
        (0..4).for_each(|_| lanes.started(0));
        lanes.dry(&wants, &[4, 1]);
        lanes.started(1);
        assert_eq!(lanes.thirsty(), [1]);
        assert_eq!(lanes.ask(), []);
        lanes.freed(0);
        assert_eq!(lanes.ask(), [(0, 1)], "the other queue gave all that it was asked for");
        lanes.wet();
        assert_eq!(lanes.ask(), [(1, 3)]);
    }

    #[test]
    fn slots_lowered_below_what_runs_ask_for_nothing_and_revoke_nothing() {
        let mut lanes = lanes(&[4]);
        (0..4).for_each(|_| lanes.started(0));
        lanes.set_slots(0, 2);
        lanes.freed(0);
        assert_eq!(lanes.ask(), []);
        lanes.freed(0);
        lanes.freed(0);
        assert_eq!(lanes.ask(), [(0, 1)]);
    }
}
