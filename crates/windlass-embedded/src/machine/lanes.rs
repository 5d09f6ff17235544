//! The ready order: queues hold groups by virtual time, groups hold lanes, lanes hold jobs.
//!
//! A lane is a first-in-first-out list of ready jobs that agree in group, priority and named
//! limits, so that whatever holds its head back holds all of it back. Only what can run *stands*:
//! a lane whose limit is closed waits at that limit, a group that is at its own concurrency or rate
//! is parked. So a claim looks at the first group, its first lane and that lane's head, however
//! many jobs or groups are held back.
//!
//! A queue's order is (priority, virtual time, group): one entry per group that can run, under its
//! best priority. A group that comes back stands level with the group served last.
//!
//! An ordered group has one list of its own instead. A job takes its place when it first becomes
//! ready and keeps it until it ends; only the head can stand.

use super::Machine;
use super::counts::Tally;
use super::slots::{NONE, flag};
use super::timers::Timer;
use hashbrown::HashMap;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;
use windlass_core::fair::VirtualTime;
use windlass_core::queue::{GroupSettings, OnHeadDeath, QueueSettings};
use windlass_core::rate::Tat;
use windlass_core::store::Counts;
use windlass_core::{QueueName, State, Time};

/// A doubly linked list through the slots.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    pub(crate) head: u32,
    pub(crate) tail: u32,
    pub(crate) len: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { head: NONE, tail: NONE, len: 0 }
    }
}

/// Where a lane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing in it can run, or it is empty.
    Idle,
    /// In its group's order, under that sequence.
    In { key: u64 },
    /// In the line of that limit, under that sequence.
    AtLimit { limit: u32, seq: u64 },
}

/// Ready jobs of one group, priority and set of limits.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) group: u32,
    pub(crate) priority: i8,
    pub(crate) limits: u32,
    pub(crate) list: List,
    pub(crate) standing: Standing,
    /// The limit whose free slot woke it, until it used the slot or passed it on.
    pub(crate) woken_by: u32,
    /// Jobs, in whatever state, that name this lane.
    pub(crate) refs: u32,
    /// Whether it has an entry in its queue's heap of oldest jobs.
    pub(crate) in_oldest: bool,
}

/// A group of a queue.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) queue: u16,
    pub(crate) key: Arc<str>,
    /// Its own settings; none means the queue's defaults.
    pub(crate) own: Option<Box<GroupSettings>>,
    pub(crate) vt: VirtualTime,
    pub(crate) tat: Tat,
    /// Held back until then (store time) by a rate-limited snooze.
    pub(crate) hold_until: u64,
    pub(crate) running: u32,
    pub(crate) claimed: u64,
    pub(crate) counts: [u32; 8],
    pub(crate) parked: bool,
    /// Where its timer stands, 0 for none.
    pub(crate) timer_at: u64,
    pub(crate) standing: BTreeSet<(i8, u64, u32)>,
    /// Its entry in the queue's order.
    pub(crate) entry: Option<(i8, u64)>,
    pub(crate) lanes: u32,
    pub(crate) woken_lanes: u32,
    /// The places of an ordered group; none for any other.
    pub(crate) places: Option<List>,
}

/// A queue.
pub(crate) struct Queue {
    pub(crate) name: QueueName,
    pub(crate) settings: QueueSettings,
    pub(crate) order: BTreeSet<(i8, u64, u32)>,
    /// The virtual time of the group served last: where newcomers stand level.
    pub(crate) floor: VirtualTime,
    pub(crate) tat: Tat,
    pub(crate) hold_until: u64,
    pub(crate) timer_at: u64,
    pub(crate) running: u32,
    pub(crate) groups: HashMap<Arc<str>, u32>,
    pub(crate) counts: Counts,
    pub(crate) tally: Tally,
    /// Ended jobs, oldest first: completed, dead, cancelled.
    pub(crate) ended: [List; 3],
    pub(crate) retention_at: u64,
    /// Until then nothing is removed: all that could be has live children.
    pub(crate) retention_rests_until: u64,
    /// Lanes by the sequence of their heads, kept lazily: only a read pays for it.
    pub(crate) oldest: BinaryHeap<Reverse<(u64, u32)>>,
    pub(crate) touched: bool,
}

impl Queue {
    pub(crate) fn new(name: QueueName) -> Self {
        Self {
            name,
            settings: QueueSettings::default(),
            order: BTreeSet::new(),
            floor: VirtualTime::ZERO,
            tat: Tat::default(),
            hold_until: 0,
            timer_at: 0,
            running: 0,
            groups: HashMap::new(),
            counts: Counts::default(),
            tally: Tally::default(),
            ended: [List::default(); 3],
            retention_at: 0,
            retention_rests_until: 0,
            oldest: BinaryHeap::new(),
            touched: false,
        }
    }

    /// Whether a claim may take one more job now; if not, when time alone opens it.
    pub(crate) fn open(&self, now: u64) -> Result<(), Option<u64>> {
        if self.settings.paused {
            return Err(None);
        }
        if self.settings.limits.concurrency.is_some_and(|most| self.running >= most) {
            return Err(None);
        }
        if self.hold_until > now {
            return Err(Some(self.hold_until));
        }
        match self.settings.limits.rate {
            Some(rate) => match rate.admit(self.tat, Time(now), 1) {
                Ok(_) => Ok(()),
                Err(at) => Err(Some(at.0)),
            },
            None => Ok(()),
        }
    }
}

/// Why a group cannot run now.
pub(crate) enum Shut {
    /// As many of it run as may.
    Concurrency,
    /// Its rate or a hold opens it at that store time.
    Until(u64),
}

impl Machine {
    /// The settings in force for a group.
    pub(crate) fn group_settings(&self, group: u32) -> GroupSettings {
        let g = &self.groups[group];
        g.own.as_deref().copied().unwrap_or(self.queues[usize::from(g.queue)].settings.groups)
    }

    /// The group of that key, made if nobody has named it yet.
    pub(crate) fn group_for(&mut self, queue: u16, key: &str) -> u32 {
        if let Some(group) = self.queues[usize::from(queue)].groups.get(key) {
            return *group;
        }
        let key: Arc<str> = Arc::from(key);
        let floor = self.queues[usize::from(queue)].floor;
        let ordered = self.queues[usize::from(queue)].settings.groups.ordered;
        let group = self.groups.insert(Group {
            queue,
            key: key.clone(),
            own: None,
            vt: floor,
            tat: Tat::default(),
            hold_until: 0,
            running: 0,
            claimed: 0,
            counts: [0; 8],
            parked: false,
            timer_at: 0,
            standing: BTreeSet::new(),
            entry: None,
            lanes: 0,
            woken_lanes: 0,
            places: ordered.then(List::default),
        });
        self.queues[usize::from(queue)].groups.insert(key, group);
        group
    }

    /// Forgets groups that nothing refers to and that stand level anyway.
    pub(crate) fn forget_idle_groups(&mut self) {
        let idle: Vec<u32> = self
            .groups
            .iter()
            .filter(|(_, g)| {
                g.lanes == 0
                    && g.own.is_none()
                    && g.hold_until <= self.now.store
                    && g.tat.ms() <= self.now.store
                    && g.vt <= self.queues[usize::from(g.queue)].floor
            })
            .map(|(at, _)| at)
            .collect();
        for at in idle {
            let group = self.groups.remove(at);
            if group.timer_at != 0 {
                self.timers.store.remove(&(group.timer_at, Timer::Group(at)));
            }
            self.queues[usize::from(group.queue)].groups.remove(&group.key);
        }
    }

    /// The lane of that group, priority and set of limits, made if there is none.
    pub(crate) fn lane_for(&mut self, group: u32, priority: i8, limits: u32) -> u32 {
        if let Some(lane) = self.lane_index.get(&(group, priority, limits)) {
            return *lane;
        }
        let lane = self.lanes.insert(Lane {
            group,
            priority,
            limits,
            list: List::default(),
            standing: Standing::Idle,
            woken_by: NONE,
            refs: 0,
            in_oldest: false,
        });
        self.lane_index.insert((group, priority, limits), lane);
        self.groups[group].lanes += 1;
        self.limit_sets.hold(limits);
        lane
    }

    /// One job fewer names the lane; the last one takes it away.
    pub(crate) fn drop_lane_ref(&mut self, lane: u32) {
        self.lanes[lane].refs -= 1;
        if self.lanes[lane].refs > 0 {
            return;
        }
        debug_assert_eq!(self.lanes[lane].standing, Standing::Idle, "an unused lane is empty");
        let gone = self.lanes.remove(lane);
        self.lane_index.remove(&(gone.group, gone.priority, gone.limits));
        self.groups[gone.group].lanes -= 1;
        self.drop_limit_set(gone.limits);
    }

    fn list_mut(&mut self, lane: u32) -> &mut List {
        let group = self.lanes[lane].group;
        match &mut self.groups[group].places {
            Some(places) => places,
            None => &mut self.lanes[lane].list,
        }
    }

    fn list(&self, lane: u32) -> List {
        let l = &self.lanes[lane];
        self.groups[l.group].places.unwrap_or(l.list)
    }

    pub(crate) fn is_ordered(&self, at: u32) -> bool {
        self.groups[self.group_of(at)].places.is_some()
    }

    /// Puts a job that has become ready (its `seq` is set) where it may be claimed.
    pub(crate) fn enter(&mut self, at: u32) {
        let lane = self.slots.at(at).lane;
        let ordered = self.is_ordered(at);
        if !self.slots.at(at).is(flag::LINKED) {
            let behind = self.list(lane).tail;
            self.link(at, lane, behind);
        }
        let head = self.list(lane).head;
        if ordered {
            if head == at && self.lanes[lane].standing == Standing::Idle {
                self.stand(lane);
            }
        } else if self.lanes[lane].standing == Standing::Idle {
            self.stand(lane);
        }
        self.touch(self.groups[self.lanes[lane].group].queue);
    }

    /// Links a slot at the tail. While a journal is replayed a job may come that was copied forward
    /// and belongs further up; its lane is sorted at the end.
    fn link(&mut self, at: u32, lane: u32, tail: u32) {
        if tail != NONE && self.slots.at(tail).seq > self.slots.at(at).seq {
            self.unsorted.insert(lane);
        }
        let slot = self.slots.at_mut(at);
        slot.prev = tail;
        slot.next = NONE;
        slot.set(flag::LINKED, true);
        if tail != NONE {
            self.slots.at_mut(tail).next = at;
        }
        let list = self.list_mut(lane);
        if list.head == NONE {
            list.head = at;
        }
        list.tail = at;
        list.len += 1;
    }

    fn unlink(&mut self, at: u32) {
        let slot = *self.slots.at(at);
        if slot.prev != NONE {
            self.slots.at_mut(slot.prev).next = slot.next;
        }
        if slot.next != NONE {
            self.slots.at_mut(slot.next).prev = slot.prev;
        }
        let list = self.list_mut(slot.lane);
        if list.head == at {
            list.head = slot.next;
        }
        if list.tail == at {
            list.tail = slot.prev;
        }
        list.len -= 1;
        let slot = self.slots.at_mut(at);
        slot.set(flag::LINKED, false);
        slot.next = NONE;
        slot.prev = NONE;
    }

    /// Takes a ready job out of the order. In an ordered group it keeps its place while it is live,
    /// and as a dead head where the group is shut by it.
    pub(crate) fn leave(&mut self, at: u32, target: Option<State>) {
        let lane = self.slots.at(at).lane;
        let ordered = self.is_ordered(at);
        if !ordered {
            let was_head = self.lanes[lane].list.head == at;
            self.unlink(at);
            if self.lanes[lane].list.len == 0 {
                self.clear_standing(lane);
            } else if was_head {
                self.rekey(lane);
            }
            return;
        }
        if self.list(lane).head == at {
            self.clear_standing(lane);
        }
        if !target.is_some_and(|state| self.keeps_place(at, state)) {
            self.leave_place(at);
        }
    }

    /// Whether a job of an ordered group stays in line when it goes to that state.
    pub(crate) fn keeps_place(&self, at: u32, target: State) -> bool {
        let group = self.group_of(at);
        match target {
            State::Dead => {
                self.group_settings(group).on_head_death == OnHeadDeath::Block
                    && self.groups[group].places.is_some_and(|places| places.head == at)
            }
            state => !state.is_terminal() && state != State::Blocked,
        }
    }

    /// Gives up the place of a job in its ordered group and lets the next one stand.
    pub(crate) fn leave_place(&mut self, at: u32) {
        if !self.slots.at(at).is(flag::LINKED) {
            return;
        }
        let lane = self.slots.at(at).lane;
        let was_head = self.list(lane).head == at;
        self.unlink(at);
        let next = self.list(lane).head;
        if was_head && next != NONE && self.slots.at(next).state() == State::Ready {
            let lane = self.slots.at(next).lane;
            if self.lanes[lane].standing == Standing::Idle {
                self.stand(lane);
            }
            self.touch(self.queue_of(next));
        }
    }

    /// The job that a standing lane offers.
    pub(crate) fn head(&self, lane: u32) -> u32 {
        self.list(lane).head
    }

    /// Puts a lane that has something to run into its group's order.
    pub(crate) fn stand(&mut self, lane: u32) {
        let head = self.head(lane);
        debug_assert_ne!(head, NONE, "an empty lane does not stand");
        let key = self.slots.at(head).seq;
        let group = self.lanes[lane].group;
        self.lanes[lane].standing = Standing::In { key };
        let priority = self.lanes[lane].priority;
        self.groups[group].standing.insert((-priority, key, lane));
        if !self.lanes[lane].in_oldest {
            self.lanes[lane].in_oldest = true;
            let queue = self.groups[group].queue;
            self.queues[usize::from(queue)].oldest.push(Reverse((key, lane)));
        }
        self.refresh(group);
    }

    /// Takes a lane out of wherever it is and passes on a slot that it was woken for.
    pub(crate) fn clear_standing(&mut self, lane: u32) {
        let (group, priority) = (self.lanes[lane].group, self.lanes[lane].priority);
        match self.lanes[lane].standing {
            Standing::Idle => return,
            Standing::In { key } => {
                self.groups[group].standing.remove(&(-priority, key, lane));
                self.refresh(group);
            }
            Standing::AtLimit { limit, seq } => {
                let queue = self.groups[group].queue;
                self.limits[limit].leave_line(queue, priority, group, seq, lane);
                self.lanes[lane].standing = Standing::Idle;
                // Whoever is first in line now may want less than this one did.
                self.wake_one(limit, queue);
                return;
            }
        }
        self.lanes[lane].standing = Standing::Idle;
        self.pass_on(lane);
    }

    /// The head of a lane changed: its key in the group's order follows, if there is anything to be
    /// ordered against.
    fn rekey(&mut self, lane: u32) {
        let (group, priority) = (self.lanes[lane].group, self.lanes[lane].priority);
        let Standing::In { key } = self.lanes[lane].standing else { return };
        let fresh = self.slots.at(self.lanes[lane].list.head).seq;
        if key != fresh {
            let g = &mut self.groups[group];
            g.standing.remove(&(-priority, key, lane));
            g.standing.insert((-priority, fresh, lane));
            self.lanes[lane].standing = Standing::In { key: fresh };
        }
    }

    /// Brings a group's entry in the queue's order up to date.
    pub(crate) fn refresh(&mut self, group: u32) {
        let g = &mut self.groups[group];
        let queue = &mut self.queues[usize::from(g.queue)];
        let best = if g.parked { None } else { g.standing.first().map(|(priority, _, _)| *priority) };
        if g.entry.is_none() && best.is_some() {
            g.vt = g.vt.arrive(queue.floor);
        }
        let wanted = best.map(|priority| (priority, g.vt.0));
        if wanted == g.entry {
            return;
        }
        if let Some((priority, vt)) = g.entry {
            queue.order.remove(&(priority, vt, group));
        }
        if let Some((priority, vt)) = wanted {
            queue.order.insert((priority, vt, group));
        }
        g.entry = wanted;
    }

    /// Whether a group may start one more job now.
    pub(crate) fn group_open(&self, group: u32, now: u64) -> Result<(), Shut> {
        let g = &self.groups[group];
        let limits = match &g.own {
            Some(own) => own.limits,
            None => self.queues[usize::from(g.queue)].settings.groups.limits,
        };
        if limits.concurrency.is_some_and(|most| g.running >= most) {
            return Err(Shut::Concurrency);
        }
        if g.hold_until > now {
            return Err(Shut::Until(g.hold_until));
        }
        match limits.rate {
            Some(rate) => rate.admit(g.tat, Time(now), 1).map(|_| ()).map_err(|at| Shut::Until(at.0)),
            None => Ok(()),
        }
    }

    /// Takes a group that cannot run out of its queue's order, until a slot or time opens it.
    pub(crate) fn park(&mut self, group: u32, shut: Shut) {
        self.groups[group].parked = true;
        if let Shut::Until(at) = shut {
            self.set_group_timer(group, at);
        }
        self.refresh(group);
        if self.groups[group].woken_lanes > 0 {
            let woken: Vec<u32> = self.groups[group].standing.iter().map(|(_, _, lane)| *lane).collect();
            for lane in woken {
                self.pass_on(lane);
            }
        }
    }

    /// Lets a parked group back; if it is still shut, the next claim parks it again.
    pub(crate) fn unpark(&mut self, group: u32) {
        if self.groups[group].parked {
            self.groups[group].parked = false;
            self.refresh(group);
            self.touch(self.groups[group].queue);
        }
    }

    pub(crate) fn set_group_timer(&mut self, group: u32, at: u64) {
        let old = std::mem::replace(&mut self.groups[group].timer_at, at);
        if old != 0 {
            self.timers.store.remove(&(old, Timer::Group(group)));
        }
        self.timers.store.insert((at, Timer::Group(group)));
    }

    pub(crate) fn set_queue_timer(&mut self, queue: u16, at: u64) {
        let old = std::mem::replace(&mut self.queues[usize::from(queue)].timer_at, at);
        if old != 0 {
            self.timers.store.remove(&(old, Timer::Queue(u32::from(queue))));
        }
        self.timers.store.insert((at, Timer::Queue(u32::from(queue))));
    }

    /// When the longest-waiting ready job of the queue became ready. Lazy: entries of the heap are
    /// never later than their lane's head, so the first one that is exact is the oldest.
    pub(crate) fn oldest_ready(&mut self, queue: u16) -> Option<u64> {
        loop {
            let Reverse((key, lane)) = *self.queues[usize::from(queue)].oldest.peek()?;
            let exact = self.lanes.get(lane).filter(|l| self.groups[l.group].queue == queue && l.in_oldest);
            let head = exact.map(|_| self.list(lane).head).filter(|head| *head != NONE);
            let head = head.filter(|head| self.slots.at(*head).state() == State::Ready);
            match head {
                Some(head) if self.slots.at(head).seq == key => return Some(self.slots.at(head).when),
                Some(head) => {
                    let seq = self.slots.at(head).seq;
                    let heap = &mut self.queues[usize::from(queue)].oldest;
                    heap.pop();
                    heap.push(Reverse((seq, lane)));
                }
                None => {
                    self.queues[usize::from(queue)].oldest.pop();
                    if exact_lane(self, lane, queue) {
                        self.lanes[lane].in_oldest = false;
                    }
                }
            }
        }
    }

    /// Puts the lanes that a replay left out of order into the order of their sequences.
    pub(crate) fn sort_lanes(&mut self) {
        let mut unsorted: Vec<u32> = std::mem::take(&mut self.unsorted).into_iter().collect();
        unsorted.sort_unstable();
        for lane in unsorted {
            self.sort_lane(lane);
        }
    }

    /// Puts the ordered group of a job into its order at once: what a replayed fact does may hang on who is its head.
    pub(crate) fn sort_places(&mut self, at: u32) {
        if self.unsorted.is_empty() || !self.is_ordered(at) {
            return;
        }
        let group = self.group_of(at);
        let own = self.slots.at(at).lane;
        let lanes: Vec<u32> = match self.groups[group].lanes {
            1 => vec![own],
            _ => self
                .unsorted
                .iter()
                .copied()
                .filter(|lane| self.lanes.get(*lane).is_some_and(|l| l.group == group))
                .collect(),
        };
        for lane in lanes {
            if self.unsorted.remove(&lane) {
                self.sort_lane(lane);
            }
        }
    }

    fn sort_lane(&mut self, lane: u32) {
        if self.lanes.get(lane).is_none() {
            return;
        }
        let list = self.list(lane);
        if list.len == 0 {
            return;
        }
        let head_lane = self.slots.at(list.head).lane;
        let mut members = Vec::with_capacity(list.len as usize);
        let mut at = list.head;
        while at != NONE {
            members.push(at);
            at = self.slots.at(at).next;
        }
        members.sort_by_key(|at| self.slots.at(*at).seq);
        if self.lanes[head_lane].standing != Standing::Idle {
            self.clear_standing(head_lane);
        }
        for (i, at) in members.iter().enumerate() {
            let prev = if i == 0 { NONE } else { members[i - 1] };
            let next = members.get(i + 1).copied().unwrap_or(NONE);
            let slot = self.slots.at_mut(*at);
            slot.prev = prev;
            slot.next = next;
        }
        let (head, tail) = (members[0], members[members.len() - 1]);
        let lane = self.slots.at(head).lane;
        *self.list_mut(lane) = List { head, tail, len: list.len };
        if self.slots.at(head).state() == State::Ready && self.lanes[lane].standing == Standing::Idle {
            self.stand(lane);
        }
    }
}

fn exact_lane(machine: &Machine, lane: u32, queue: u16) -> bool {
    machine.lanes.get(lane).is_some_and(|l| machine.groups[l.group].queue == queue)
}
