//! What is counted as it happens, so that nothing is ever scanned to answer a question.

use super::Machine;
use super::slots::flag;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use windlass_core::bounds::COUNTED_PER_QUEUE_MAX;
use windlass_core::fingerprint::Fingerprint;
use windlass_core::histogram::{Histogram, Hours, Minutes, Seconds};
use windlass_core::store::{QueueSeries, Series, Totals};
use windlass_core::{State, Time};

/// One counter over time: five minutes by second, a day by minute, a week by hour.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Chart {
    seconds: Seconds,
    minutes: Minutes,
    hours: Hours,
}

impl Default for Chart {
    fn default() -> Self {
        Self { seconds: Seconds::by_second(), minutes: Minutes::by_minute(), hours: Hours::by_hour() }
    }
}

impl Chart {
    pub(crate) fn add(&mut self, wall: u64) {
        let now = Time(wall);
        self.seconds.add(now, 1);
        self.minutes.add(now, 1);
        self.hours.add(now, 1);
    }

    pub(crate) fn last_minute(&self, wall: u64) -> u64 {
        self.seconds.sum_before(Time(wall), 60)
    }

    fn series(&self, wall: u64) -> Vec<Series> {
        let now = Time(wall);
        let points = |all: &mut dyn Iterator<Item = (Time, u32)>| -> Vec<(Time, u64)> {
            all.filter(|(_, n)| *n > 0).map(|(at, n)| (at, u64::from(n))).collect()
        };
        vec![
            Series { slot_ms: self.seconds.slot_ms(), points: points(&mut self.seconds.iter(now)) },
            Series { slot_ms: self.minutes.slot_ms(), points: points(&mut self.minutes.iter(now)) },
            Series { slot_ms: self.hours.slot_ms(), points: points(&mut self.hours.iter(now)) },
        ]
    }
}

/// A failure mode of a queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Mode {
    pub(crate) title: String,
    pub(crate) kind: u16,
    pub(crate) dead: u64,
    pub(crate) failures: u64,
    pub(crate) first_seen: u64,
    pub(crate) last_seen: u64,
    pub(crate) sample: windlass_core::JobId,
}

/// Everything that a queue counts besides its jobs by state.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) totals: Totals,
    pub(crate) wait_ms: Box<Histogram>,
    pub(crate) run_ms: Box<Histogram>,
    pub(crate) enqueued: Box<Chart>,
    pub(crate) completed: Box<Chart>,
    pub(crate) failed: Box<Chart>,
    pub(crate) modes: BTreeMap<u64, Mode>,
}

impl Tally {
    pub(crate) fn series(&self, wall: u64) -> QueueSeries {
        QueueSeries {
            enqueued: self.enqueued.series(wall),
            completed: self.completed.series(wall),
            failed: self.failed.series(wall),
        }
    }

    /// Counts a failure under its mode; beyond the bound it is counted under mode 0, "other".
    pub(crate) fn fail(&mut self, print: Fingerprint, title: &str, kind: u16, job: u128, wall: u64) {
        let known = self.modes.contains_key(&print.0);
        let print = if known || self.modes.len() < COUNTED_PER_QUEUE_MAX { print.0 } else { 0 };
        let mode = self.modes.entry(print).or_insert_with(|| Mode {
            title: if print == 0 { "other".into() } else { title.into() },
            kind,
            dead: 0,
            failures: 0,
            first_seen: wall,
            last_seen: wall,
            sample: windlass_core::JobId(job),
        });
        mode.failures += 1;
        mode.kind = kind;
        mode.last_seen = wall;
        mode.sample = windlass_core::JobId(job);
    }
}

impl Machine {
    /// Moves a job from one state to another in every count.
    pub(crate) fn change_state(&mut self, at: u32, to: State) {
        let from = self.slots.at(at).state();
        self.slots.set_state(at, to);
        let group = self.group_of(at);
        let g = &mut self.groups[group];
        g.counts[from as usize] -= 1;
        g.counts[to as usize] += 1;
        let counts = &mut self.queues[usize::from(g.queue)].counts.0;
        counts[from as usize] -= 1;
        counts[to as usize] += 1;
        if from == State::Dead || to == State::Dead {
            self.count_dead(at, from, to);
        }
    }

    /// Counts a job that is new to the machine, or (`by` = -1) one that leaves it.
    pub(crate) fn count(&mut self, at: u32, by: i8) {
        let state = self.slots.at(at).state();
        let group = self.group_of(at);
        let g = &mut self.groups[group];
        let n = &mut g.counts[state as usize];
        *n = n.checked_add_signed(i32::from(by)).expect("what leaves was counted when it came");
        let n = &mut self.queues[usize::from(g.queue)].counts.0[state as usize];
        *n = n.checked_add_signed(i64::from(by)).expect("what leaves was counted when it came");
        if state == State::Dead {
            let (from, to) = if by > 0 { (State::Ready, state) } else { (state, State::Ready) };
            self.count_dead(at, from, to);
        }
    }

    fn count_dead(&mut self, at: u32, from: State, to: State) {
        let Some(print) = self.extra(at).and_then(|extra| extra.fingerprint) else { return };
        let queue = self.queue_of(at);
        let modes = &mut self.tally(queue).modes;
        let print = if modes.contains_key(&print.0) { print.0 } else { 0 };
        if let Some(mode) = modes.get_mut(&print) {
            if to == State::Dead {
                mode.dead += 1;
            } else if from == State::Dead {
                mode.dead = mode.dead.saturating_sub(1);
            }
        }
    }

    /// After a replay: dead jobs by failure mode. A snapshot has counted jobs whose records, copied
    /// forward behind it, were counted again.
    pub(crate) fn recount_dead(&mut self) {
        for queue in &mut self.queues {
            for mode in queue.tally.modes.values_mut() {
                mode.dead = 0;
            }
        }
        let mut dead = [false; 8];
        dead[State::Dead as usize] = true;
        let mut from = 0;
        while let Some(at) = self.slots.next_in(from, &dead) {
            self.count_dead(at, State::Ready, State::Dead);
            from = at + 1;
        }
    }

    /// Whether a waiting job was snoozed by its worker rather than scheduled.
    pub(crate) fn was_snoozed(&self, at: u32) -> bool {
        self.slots.at(at).is(flag::SNOOZED)
    }
}
