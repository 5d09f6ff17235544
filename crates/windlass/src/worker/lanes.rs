//! The slots of a worker: how many handlers of each queue run, may run, and are asked for.
//!
//! Pure counting; it knows no store, and time only as it is told.

use std::collections::HashMap;
use std::time::{Duration, Instant};
use windlass_core::QueueName;
use windlass_core::bounds::BATCH_ITEMS_MAX;

/// For how many calls' time jobs are claimed ahead: one call may have to wait for the one before it.
const CALLS_AHEAD: u32 = 2;

/// After how many calls' time without a count the last one is forgotten: a burst comes with each call or two.
const CALLS_REMEMBERED: u32 = 8;

/// One queue of the worker.
struct Lane {
    name: QueueName,
    slots: u32,
    running: u32,
    /// Claimed ahead of a slot.
    waiting: u32,
    /// Asked for by calls that are out.
    asked: u32,
    /// Slots that have come free since the start.
    freed: u64,
    /// From when its pace is counted, and how many had come free then.
    counted: Option<(Instant, u64)>,
    /// How many came free in the time of a call, by the last count.
    measured: u32,
    /// How long the last call took that asked it.
    call: Duration,
    /// How many slots come free until an answer is there: what a call may ask for beyond the free ones.
    pace: u32,
    /// It gave less than was asked, and nothing has rung since.
    dry: bool,
}

impl Lane {
    fn free(&self) -> u32 {
        // Slots may have been lowered below what runs.
        self.slots.saturating_sub(self.running + self.waiting + self.asked)
    }

    /// Counts over at least the time of a call; a slot that comes free between two calls would have come free during one,
    /// had it been given a job.
    fn count(&mut self, now: Instant) {
        let (from, freed) = *self.counted.get_or_insert((now, self.freed));
        let took = now.saturating_duration_since(from);
        if took < self.call || took.is_zero() {
            return;
        }
        let each_call = (self.freed - freed) as f64 * self.call.as_secs_f64() / took.as_secs_f64();
        let before = std::mem::replace(&mut self.measured, each_call.round() as u32);
        // Ends come in bursts, when a call brings jobs: the better of two counts has a whole one. A count of long ago says
        // nothing of the handlers of now.
        let before = if took > self.call * CALLS_REMEMBERED { 0 } else { before };
        self.pace = self.measured.max(before).saturating_mul(CALLS_AHEAD);
        self.counted = Some((now, self.freed));
    }

    fn free_and_ahead(&self) -> u32 {
        (self.slots.saturating_add(self.pace)).saturating_sub(self.running + self.waiting + self.asked)
    }
}

/// What a call asks a lane for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Want {
    pub(super) lane: usize,
    pub(super) count: u32,
}

/// The queues of a worker in the order in which it prefers them.
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    by_name: HashMap<QueueName, usize>,
}

impl Lanes {
    pub(super) fn new(queues: Vec<(QueueName, u32)>) -> Self {
        let by_name = queues.iter().enumerate().map(|(lane, (name, _))| (name.clone(), lane)).collect();
        let lane = |(name, slots)| Lane {
            name,
            slots,
            running: 0,
            waiting: 0,
            asked: 0,
            freed: 0,
            counted: None,
            measured: 0,
            call: Duration::ZERO,
            pace: 0,
            dry: false,
        };
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

    /// Asks every queue that may have something for as much as there is room for, at most one batch; `ahead` of their slots
    /// too, if it is to be sent with settlements now.
    pub(super) fn ask(&mut self, ahead: Option<Instant>) -> Vec<Want> {
        if let Some(now) = ahead {
            self.lanes.iter_mut().for_each(|lane| lane.count(now));
        }
        let ahead = ahead.is_some();
        let mut left = BATCH_ITEMS_MAX as u32;
        let mut wants = Vec::new();
        for (place, lane) in self.lanes.iter_mut().enumerate().filter(|(_, lane)| !lane.dry) {
            let count = if ahead { lane.free_and_ahead() } else { lane.free() }.min(left);
            if count > 0 {
                lane.asked += count;
                left -= count;
                wants.push(Want { lane: place, count });
            }
        }
        wants
    }

    /// A call that asked for that has been answered, or has failed, after that time.
    pub(super) fn answered(&mut self, want: &Want, took: Duration) {
        let lane = &mut self.lanes[want.lane];
        lane.asked -= want.count;
        lane.call = took;
    }

    /// Whether a job could start there now.
    pub(super) fn has_slot(&self, lane: usize) -> bool {
        self.lanes[lane].running < self.lanes[lane].slots
    }

    pub(super) fn started(&mut self, lane: usize) {
        self.lanes[lane].running += 1;
    }

    pub(super) fn freed(&mut self, lane: usize) {
        self.lanes[lane].running -= 1;
        self.lanes[lane].freed += 1;
    }

    /// A job was claimed ahead of a slot.
    pub(super) fn waits(&mut self, lane: usize) {
        self.lanes[lane].waiting += 1;
    }

    /// One that waited starts, or is gone.
    pub(super) fn waited(&mut self, lane: usize) {
        self.lanes[lane].waiting -= 1;
    }

    /// One that waited is given back: its lane's pace is not what it was.
    pub(super) fn given_back(&mut self, lane: usize) {
        self.waited(lane);
        let lane = &mut self.lanes[lane];
        (lane.counted, lane.measured, lane.pace) = (None, 0, 0);
    }

    /// Queues that gave less than they were asked for have no more.
    pub(super) fn dry(&mut self, wants: &[Want], got: &[u32]) {
        for want in wants {
            self.lanes[want.lane].dry |= got[want.lane] < want.count;
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

    fn counts(wants: &[Want]) -> Vec<(usize, u32)> {
        wants.iter().map(|want| (want.lane, want.count)).collect()
    }

    fn asked(lanes: &mut Lanes) -> Vec<(usize, u32)> {
        counts(&lanes.ask(None))
    }

    #[test]
    fn as_many_are_asked_for_ahead_as_come_free_while_a_call_is_out() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let call = Duration::from_millis(10);
        let mut lanes = lanes(&[4]);
        let run = |lanes: &mut Lanes, wants: &[Want]| {
            lanes.answered(&wants[0], call);
            let starts = wants[0].count.min(4 - lanes.running());
            (0..starts).for_each(|_| lanes.started(0));
            (starts..wants[0].count).for_each(|_| lanes.waits(0));
        };
        let wants = lanes.ask(Some(after(0)));
        assert_eq!(counts(&wants), [(0, 4)], "nothing is known yet");
        run(&mut lanes, &wants);
        (0..4).for_each(|_| lanes.freed(0));
        let wants = lanes.ask(Some(after(20)));
        assert_eq!(
            counts(&wants),
            [(0, 8)],
            "four in twenty milliseconds are two for each of two calls of ten"
        );
        run(&mut lanes, &wants);
        lanes.freed(0);
        assert_eq!(
            counts(&lanes.ask(None)),
            [],
            "a call that settles nothing asks for slots alone, and one waits for it"
        );
        assert_eq!(counts(&lanes.ask(Some(after(25)))), [(0, 1)], "too soon to count anew");
        lanes.waited(0);
        lanes.given_back(0);
        assert_eq!(lanes.lanes[0].pace, 0, "who had to be given back was counted wrong");
        assert_eq!(lanes.lanes[0].free(), 0, "none is free");
    }

    #[test]
    fn a_pace_of_long_ago_is_forgotten() {
        let start = Instant::now();
        let call = Duration::from_millis(10);
        let mut lanes = lanes(&[4]);
        let cycle = |lanes: &mut Lanes, ms: u64| {
            let wants = lanes.ask(Some(start + Duration::from_millis(ms)));
            for want in &wants {
                lanes.answered(want, call);
            }
            (0..4).for_each(|_| lanes.started(0));
            (0..4).for_each(|_| lanes.freed(0));
            wants.iter().map(|want| want.count).sum::<u32>()
        };
        assert_eq!([0, 10, 20].map(|ms| cycle(&mut lanes, ms)), [4, 12, 12], "four in the time of each call");
        assert_eq!(
            cycle(&mut lanes, 20 + 10 * u64::from(CALLS_REMEMBERED)),
            4 + 8,
            "a pause is not the end of a burst"
        );
        assert_eq!(cycle(&mut lanes, 60_000), 4);
    }

    #[test]
    fn slow_handlers_bring_nothing_ahead() {
        let start = Instant::now();
        let mut lanes = lanes(&[100]);
        let wants = lanes.ask(Some(start));
        lanes.answered(&wants[0], Duration::from_millis(2));
        (0..100).for_each(|_| lanes.started(0));
        for tenth in 1..50 {
            // One in ten milliseconds: a fifth of one while a call is out.
            lanes.freed(0);
            let wants = lanes.ask(Some(start + Duration::from_millis(10 * tenth)));
            assert_eq!(counts(&wants), [(0, 1)]);
            lanes.answered(&wants[0], Duration::from_millis(2));
            lanes.started(0);
        }
    }

    #[test]
    fn slots_are_asked_for_once_and_a_batch_holds_at_most_a_thousand() {
        let mut lanes = lanes(&[700, 700]);
        let wants = lanes.ask(None);
        assert_eq!(counts(&wants), [(0, 700), (1, 300)]);
        assert_eq!(asked(&mut lanes), [(1, 400)]);
        assert_eq!(asked(&mut lanes), []);
        lanes.answered(&wants[0], Duration::ZERO);
        lanes.started(0);
        assert_eq!(asked(&mut lanes), [(0, 699)]);
    }

    #[test]
    fn a_dry_queue_is_not_asked_again_until_something_rings() {
        let mut lanes = lanes(&[4, 4]);
        let wants = lanes.ask(None);
        wants.iter().for_each(|want| lanes.answered(want, Duration::ZERO));
        (0..4).for_each(|_| lanes.started(0));
        lanes.dry(&wants, &[4, 1]);
        lanes.started(1);
        assert_eq!(lanes.thirsty(), [1]);
        assert_eq!(asked(&mut lanes), []);
        lanes.freed(0);
        assert_eq!(asked(&mut lanes), [(0, 1)], "the other queue gave all that it was asked for");
        lanes.wet();
        assert_eq!(asked(&mut lanes), [(1, 3)]);
    }

    #[test]
    fn slots_lowered_below_what_runs_ask_for_nothing_and_revoke_nothing() {
        let mut lanes = lanes(&[4]);
        (0..4).for_each(|_| lanes.started(0));
        lanes.set_slots(0, 2);
        lanes.freed(0);
        assert_eq!(asked(&mut lanes), []);
        lanes.freed(0);
        lanes.freed(0);
        assert_eq!(asked(&mut lanes), [(0, 1)]);
    }
}
