//! Named limits: what is in use, who waits for what, and who is let back when something frees.
//!
//! A lane whose head a limit refuses leaves the ready order and waits in that limit's line, one
//! line per queue, in the order of priority and virtual time; so a claim never looks at it again
//! until the limit can admit it. When a slot frees (a job ends, time opens a rate, the limit is
//! raised) one lane per queue is *woken*. Whoever was woken and leaves the order, for whatever
//! reason, passes the free slot on to the next in line, so no slot is ever left lying.

use super::Machine;
use super::lanes::Standing;
use super::slots::NONE;
use super::timers::Timer;
use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet};
use windlass_core::limit::LimitSettings;
use windlass_core::rate::Tat;
use windlass_core::{LimitName, Time};

/// Lanes of one queue that wait for a limit: groups by priority and virtual time, and each group's
/// lanes in the order in which their heads became ready, whatever else they take.
#[derive(Default)]
pub(crate) struct Line {
    /// (priority negated, virtual time, group); the time may be behind the group's and is then
    /// brought up to date by whoever looks.
    order: BTreeSet<(i8, u64, u32)>,
    /// Each group's time in `order`, and its lanes by the sequence of their heads.
    lanes: BTreeMap<(i8, u32), Turn>,
}

/// A group's time in a line's order, and its waiting lanes by the sequence of their heads.
type Turn = (u64, BTreeSet<(u64, u32)>);

impl Line {
    fn insert(&mut self, priority: i8, group: u32, vt: u64, seq: u64, lane: u32) {
        let entry = self.lanes.entry((-priority, group)).or_insert_with(|| {
            self.order.insert((-priority, vt, group));
            (vt, BTreeSet::new())
        });
        entry.1.insert((seq, lane));
    }

    fn remove(&mut self, priority: i8, group: u32, seq: u64, lane: u32) {
        let Some((vt, lanes)) = self.lanes.get_mut(&(-priority, group)) else { return };
        lanes.remove(&(seq, lane));
        if lanes.is_empty() {
            self.order.remove(&(-priority, *vt, group));
            self.lanes.remove(&(-priority, group));
        }
    }

    fn set_time(&mut self, priority: i8, group: u32, vt: u64) {
        if let Some((old, _)) = self.lanes.get_mut(&(priority, group)) {
            self.order.remove(&(priority, *old, group));
            self.order.insert((priority, vt, group));
            *old = vt;
        }
    }

    /// Lanes that wait.
    pub(crate) fn len(&self) -> usize {
        self.lanes.values().map(|(_, lanes)| lanes.len()).sum()
    }
}

/// A named limit of the store.
pub(crate) struct Limit {
    pub(crate) name: LimitName,
    pub(crate) settings: LimitSettings,
    /// Whether somebody has set it; a limit that is only named admits everything.
    pub(crate) is_set: bool,
    pub(crate) in_use: u64,
    pub(crate) tat: Tat,
    pub(crate) hold_until: u64,
    pub(crate) timer_at: u64,
    pub(crate) lines: BTreeMap<u16, Line>,
    /// Limit sets that name it.
    pub(crate) sets: u32,
}

impl Limit {
    pub(crate) fn leave_line(&mut self, queue: u16, priority: i8, group: u32, seq: u64, lane: u32) {
        if let Some(line) = self.lines.get_mut(&queue) {
            line.remove(priority, group, seq, lane);
            if line.order.is_empty() {
                self.lines.remove(&queue);
            }
        }
    }

    /// Whether it admits that cost now; if not, when time alone opens it.
    pub(crate) fn open(&self, now: u64, cost: u32) -> Result<(), Option<u64>> {
        if self.settings.concurrency.is_some_and(|most| self.in_use + u64::from(cost) > u64::from(most)) {
            return Err(None);
        }
        if self.hold_until > now {
            return Err(Some(self.hold_until));
        }
        match self.settings.rate {
            Some(rate) => rate.admit(self.tat, Time(now), cost).map(|_| ()).map_err(|at| Some(at.0)),
            None => Ok(()),
        }
    }
}

/// A set of limits with costs, shared by all lanes that take the same.
pub(crate) struct LimitSet {
    pub(crate) uses: Vec<(u32, u32)>,
    refs: u32,
}

/// Interned sets; number 0 is the empty one.
#[derive(Default)]
pub(crate) struct LimitSets {
    sets: super::slots::Slab<LimitSet>,
    numbers: HashMap<Vec<(u32, u32)>, u32>,
}

impl LimitSets {
    pub(crate) fn hold(&mut self, set: u32) {
        if set != 0 {
            self.sets[set - 1].refs += 1;
        }
    }

    pub(crate) fn uses(&self, set: u32) -> &[(u32, u32)] {
        if set == 0 { &[] } else { &self.sets[set - 1].uses }
    }
}

impl Machine {
    /// The limit of that name, made open if nobody has named it yet.
    pub(crate) fn limit_for(&mut self, name: &LimitName) -> u32 {
        if let Some(limit) = self.limit_numbers.get(name) {
            return *limit;
        }
        let limit = self.limits.insert(Limit {
            name: name.clone(),
            settings: LimitSettings::default(),
            is_set: false,
            in_use: 0,
            tat: Tat::default(),
            hold_until: 0,
            timer_at: 0,
            lines: BTreeMap::new(),
            sets: 0,
        });
        self.limit_numbers.insert(name.clone(), limit);
        limit
    }

    /// The number of a set of limits; made if it is new, and kept while a lane names it.
    pub(crate) fn limit_set_for(&mut self, uses: &[windlass_core::limit::LimitUse]) -> u32 {
        if uses.is_empty() {
            return 0;
        }
        let mut uses: Vec<(u32, u32)> = uses.iter().map(|u| (self.limit_for(&u.name), u.cost)).collect();
        uses.sort_unstable();
        if let Some(set) = self.limit_sets.numbers.get(&uses) {
            return *set;
        }
        for (limit, _) in &uses {
            self.limits[*limit].sets += 1;
        }
        let set = self.limit_sets.sets.insert(LimitSet { uses: uses.clone(), refs: 0 }) + 1;
        self.limit_sets.numbers.insert(uses, set);
        set
    }

    pub(crate) fn drop_limit_set(&mut self, set: u32) {
        if set == 0 {
            return;
        }
        self.limit_sets.sets[set - 1].refs -= 1;
        if self.limit_sets.sets[set - 1].refs > 0 {
            return;
        }
        let gone = self.limit_sets.sets.remove(set - 1);
        self.limit_sets.numbers.remove(&gone.uses);
        for (limit, _) in gone.uses {
            self.limits[limit].sets -= 1;
            self.forget_limit(limit);
        }
    }

    /// Forgets a limit that nobody names, has set, or that owes nothing.
    pub(crate) fn forget_limit(&mut self, limit: u32) {
        let l = &self.limits[limit];
        if l.sets > 0 || l.is_set || l.in_use > 0 || l.hold_until > self.now.store {
            return;
        }
        let gone = self.limits.remove(limit);
        if gone.timer_at != 0 {
            self.timers.store.remove(&(gone.timer_at, Timer::Limit(limit)));
        }
        self.limit_numbers.remove(&gone.name);
    }

    /// Whether all limits of a set admit one more job: together or not at all.
    ///
    /// # Errors
    /// The first limit that refuses, and when time alone opens it.
    pub(crate) fn limits_open(&self, set: u32, now: u64) -> Result<(), (u32, Option<u64>)> {
        for (limit, cost) in self.limit_sets.uses(set) {
            self.limits[*limit].open(now, *cost).map_err(|at| (*limit, at))?;
        }
        Ok(())
    }

    /// Charges the rates of a set for a job that starts now; its slots are taken with the lease.
    pub(crate) fn charge_limits(&mut self, set: u32, now: u64) {
        for i in 0..self.limit_sets.uses(set).len() {
            let (limit, cost) = self.limit_sets.uses(set)[i];
            let l = &mut self.limits[limit];
            if let Some(rate) = l.settings.rate
                && let Ok(tat) = rate.admit(l.tat, Time(now), cost)
            {
                l.tat = tat;
            }
        }
    }

    /// Gives them back when the job's lease ends, and wakes who waits.
    pub(crate) fn free_limits(&mut self, set: u32) {
        for i in 0..self.limit_sets.uses(set).len() {
            let (limit, cost) = self.limit_sets.uses(set)[i];
            self.limits[limit].in_use -= u64::from(cost);
            self.wake_limit(limit);
        }
    }

    /// The limit in whose line others of the queue wait that come before this lane: a job that takes
    /// little must not pass one that waits for much, for ever. A lane that was woken, or is of a
    /// higher priority than all that wait, stands behind nobody.
    pub(crate) fn stands_behind(&self, lane: u32, set: u32, queue: u16) -> Option<u32> {
        let l = &self.lanes[lane];
        let uses = self.limit_sets.uses(set).iter().map(|(limit, _)| *limit);
        uses.filter(|limit| *limit != l.woken_by).find(|limit| {
            let Some(line) = self.limits[*limit].lines.get(&queue) else { return false };
            let before = line.order.range(..=(-l.priority, u64::MAX, u32::MAX));
            before
                .into_iter()
                .any(|(priority, _, group)| self.possible(*limit, line, *priority, *group).is_some())
        })
    }

    /// Moves a standing lane into the line of the limit that refused its head.
    pub(crate) fn wait_at_limit(&mut self, lane: u32, limit: u32, opens_at: Option<u64>) {
        let woken_by = std::mem::replace(&mut self.lanes[lane].woken_by, NONE);
        self.clear_standing(lane);
        let (group, priority) = (self.lanes[lane].group, self.lanes[lane].priority);
        let (queue, vt) = (self.groups[group].queue, self.groups[group].vt.0);
        let seq = self.slots.at(self.head(lane)).seq;
        self.lanes[lane].standing = Standing::AtLimit { limit, seq };
        self.limits[limit].lines.entry(queue).or_default().insert(priority, group, vt, seq, lane);
        if let Some(at) = opens_at {
            self.set_limit_timer(limit, at);
        }
        if woken_by != NONE {
            self.groups[group].woken_lanes -= 1;
            if woken_by != limit {
                self.wake_one(woken_by, queue);
            }
        }
    }

    fn set_limit_timer(&mut self, limit: u32, at: u64) {
        let old = self.limits[limit].timer_at;
        if old == at || (old != 0 && old <= at && old > self.now.store) {
            return;
        }
        if old != 0 {
            self.timers.store.remove(&(old, Timer::Limit(limit)));
        }
        self.limits[limit].timer_at = at;
        self.timers.store.insert((at, Timer::Limit(limit)));
    }

    fn cost(&self, lane: u32, limit: u32) -> u32 {
        let uses = self.limit_sets.uses(self.lanes[lane].limits);
        uses.iter().find(|(l, _)| *l == limit).map_or(1, |(_, cost)| *cost)
    }

    /// The lane of a queue that the limit lets back next: (sequence, lane).
    fn first_in_line(&mut self, limit: u32, queue: u16) -> Option<(u64, u32)> {
        loop {
            let line = self.limits[limit].lines.get(&queue)?;
            let first = line.order.iter().find_map(|(priority, vt, group)| {
                let found = self.possible(limit, line, *priority, *group)?;
                Some((*priority, *vt, *group, found))
            });
            let (priority, vt, group, found) = first?;
            let now = self.groups[group].vt.0;
            if vt == now {
                return Some(found);
            }
            // The group was served since it came here: it takes its turn behind those that were not.
            self.limits[limit].lines.get_mut(&queue)?.set_time(priority, group, now);
        }
    }

    /// The first lane of a group in line whose cost the limit can admit at all. One whose cost has
    /// become impossible, since the limit was lowered, holds back nobody but itself.
    fn possible(&self, limit: u32, line: &Line, priority: i8, group: u32) -> Option<(u64, u32)> {
        let most = self.limits[limit].settings.most();
        let (_, lanes) = line.lanes.get(&(priority, group))?;
        lanes.iter().find(|(_, lane)| self.cost(*lane, limit) <= most).copied()
    }

    /// Something of the limit is free: one lane of each queue may try.
    pub(crate) fn wake_limit(&mut self, limit: u32) {
        if self.limits[limit].lines.is_empty() {
            return;
        }
        let queues: Vec<u16> = self.limits[limit].lines.keys().copied().collect();
        for queue in queues {
            self.wake_one(limit, queue);
        }
    }

    /// Lets the first lane of a queue's line back into the order, if the limit admits its head. One
    /// that cannot stand now (its group is parked) is let back too, but the next one is asked.
    pub(crate) fn wake_one(&mut self, limit: u32, queue: u16) {
        loop {
            let Some((seq, lane)) = self.first_in_line(limit, queue) else { return };
            let (group, priority) = (self.lanes[lane].group, self.lanes[lane].priority);
            let cost = self.cost(lane, limit);
            if let Err(opens_at) = self.limits[limit].open(self.now.store, cost) {
                if let Some(at) = opens_at {
                    self.set_limit_timer(limit, at);
                }
                return;
            }
            self.limits[limit].leave_line(queue, priority, group, seq, lane);
            self.lanes[lane].standing = Standing::Idle;
            self.stand(lane);
            self.touch(queue);
            if !self.groups[group].parked {
                self.lanes[lane].woken_by = limit;
                self.groups[group].woken_lanes += 1;
                return;
            }
        }
    }

    /// A lane that was woken used its slot or leaves the order: the next in line may try.
    pub(crate) fn pass_on(&mut self, lane: u32) {
        let limit = std::mem::replace(&mut self.lanes[lane].woken_by, NONE);
        if limit != NONE {
            let group = self.lanes[lane].group;
            self.groups[group].woken_lanes -= 1;
            let queue = self.groups[group].queue;
            self.wake_one(limit, queue);
        }
    }
}
