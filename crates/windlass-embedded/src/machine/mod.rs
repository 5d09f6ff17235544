//! The machine: every job in memory, as a pure function of the facts in the journal.
//!
//! `decide` (the sibling module) answers verbs and makes facts; this module applies them. A replay
//! calls only [`Machine::apply`], with the same facts in the same order, and arrives at the same
//! state. There is no clock, no file, no thread, no randomness and no iteration over hash order in
//! here; the time of a fact is the [`Fact::Tick`] before it.
//!
//! Each module owns one index: `slots` (jobs by id), `lanes` (the ready order), `limits`, `leases`,
//! `timers`, `unique`, `flow` (parents), `retention` (ended jobs), `schedules`, `counts`.

pub(crate) mod census;
pub(crate) mod counts;
pub(crate) mod extra;
pub(crate) mod flow;
pub(crate) mod lanes;
pub(crate) mod leases;
pub(crate) mod limits;
pub(crate) mod retention;
pub(crate) mod schedules;
pub(crate) mod slots;
pub(crate) mod snapshot;
pub(crate) mod timers;
pub(crate) mod unique;
pub(crate) mod workers;

mod apply;

use crate::clock::Now;
use crate::fact::Ref;
use crate::journal::Position;
use counts::Tally;
use extra::{Extra, LeaseEntry, Settled};
use flow::Errand;
use hashbrown::{HashMap, HashSet};
use lanes::{Group, Lane, Queue};
use limits::{Limit, LimitSets};
use retention::Remembered;
use schedules::Schedules;
use slots::{IdIndex, NONE, Slab, Slots, flag};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use timers::Timers;
use unique::UniqueIndex;
use windlass_core::event::Cursor;
use windlass_core::name::LimitName;
use windlass_core::store::WorkerInfo;
use windlass_core::{JobId, Kind, QueueName, State, WorkerId};

/// All state of a store.
pub(crate) struct Machine {
    pub(crate) now: Now,
    pub(crate) epoch: u64,
    pub(crate) next_counter: u64,
    pub(crate) next_seq: u64,
    pub(crate) slots: Slots,
    pub(crate) index: IdIndex,
    pub(crate) lanes: Slab<Lane>,
    pub(crate) lane_index: HashMap<(u32, i8, u32), u32>,
    pub(crate) groups: Slab<Group>,
    pub(crate) queues: Vec<Queue>,
    pub(crate) queue_numbers: HashMap<QueueName, u16>,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) kind_numbers: HashMap<Kind, u16>,
    pub(crate) limits: Slab<Limit>,
    pub(crate) limit_numbers: BTreeMap<LimitName, u32>,
    pub(crate) limit_sets: LimitSets,
    pub(crate) leases: Slab<LeaseEntry>,
    pub(crate) extras: Slab<Box<Extra>>,
    pub(crate) settled: Slab<Settled>,
    pub(crate) timers: Timers,
    pub(crate) unique: UniqueIndex,
    pub(crate) remembered: Remembered,
    pub(crate) schedules: Schedules,
    pub(crate) readers: BTreeMap<String, ReaderPlace>,
    pub(crate) meta: BTreeMap<String, (u64, Vec<u8>)>,
    pub(crate) workers: BTreeMap<WorkerId, WorkerInfo>,
    pub(crate) live: LiveBytes,
    /// Segments up to this one may be gone; none while it is not told.
    pub(crate) given_back: Option<u32>,
    /// Children that upkeep goes on with: their parent, how many of them are done, and what to do.
    pub(crate) releases: VecDeque<(u128, usize, Errand)>,
    /// Queues in which something may have become claimable since the engine last rang.
    pub(crate) touched: Vec<u16>,
    /// Leases whose holder should hear of it: a cancellation was asked for, or the lease ended.
    pub(crate) notices: Vec<(WorkerId, windlass_core::Lease)>,
    /// Set while the journal is replayed: nobody waits, and order is repaired at the end.
    pub(crate) replaying: bool,
    pub(crate) unsorted: HashSet<u32>,
    /// Edges met in a replay before their parent: parent, child.
    pub(crate) orphans: Vec<(u128, u128)>,
}

/// Where a reader of the event log stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReaderPlace {
    pub(crate) cursor: Cursor,
    /// It needs the jobs that ended then or later (wall clock, ms).
    pub(crate) keeps_from: Option<u64>,
}

impl ReaderPlace {
    /// The segment that it reads in.
    pub(crate) fn segment(&self) -> u32 {
        (self.cursor.place >> 32) as u32
    }
}

/// Bytes of each segment that jobs still need.
#[derive(Default)]
pub(crate) struct LiveBytes {
    first: u32,
    bytes: VecDeque<u64>,
    total: u64,
}

impl LiveBytes {
    pub(crate) fn add(&mut self, segment: u32, len: u32) {
        if self.bytes.is_empty() {
            self.first = segment;
        }
        while segment < self.first {
            self.bytes.push_front(0);
            self.first -= 1;
        }
        while segment - self.first >= self.bytes.len() as u32 {
            self.bytes.push_back(0);
        }
        self.bytes[(segment - self.first) as usize] += u64::from(len);
        self.total += u64::from(len);
    }

    pub(crate) fn sub(&mut self, segment: u32, len: u32) {
        if let Some(bytes) = segment.checked_sub(self.first).and_then(|at| self.bytes.get_mut(at as usize)) {
            *bytes -= u64::from(len);
            self.total -= u64::from(len);
        }
    }

    pub(crate) fn of(&self, segment: u32) -> u64 {
        segment.checked_sub(self.first).and_then(|at| self.bytes.get(at as usize)).copied().unwrap_or(0)
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn forget(&mut self, segment: u32) {
        while self.first <= segment && !self.bytes.is_empty() {
            debug_assert_eq!(self.bytes[0], 0, "a reclaimed segment holds nothing that is needed");
            self.bytes.pop_front();
            self.first += 1;
        }
    }
}

impl Machine {
    /// An empty machine; `key` seeds the id index.
    pub(crate) fn new(key: u64) -> Self {
        Self {
            now: Now::default(),
            epoch: 0,
            next_counter: 1,
            next_seq: 1,
            slots: Slots::default(),
            index: IdIndex::new(key),
            lanes: Slab::default(),
            lane_index: HashMap::new(),
            groups: Slab::default(),
            queues: Vec::new(),
            queue_numbers: HashMap::new(),
            kinds: Vec::new(),
            kind_numbers: HashMap::new(),
            limits: Slab::default(),
            limit_numbers: BTreeMap::new(),
            limit_sets: LimitSets::default(),
            leases: Slab::default(),
            extras: Slab::default(),
            settled: Slab::default(),
            timers: Timers::default(),
            unique: UniqueIndex::default(),
            remembered: Remembered::new(key),
            schedules: Schedules::default(),
            readers: BTreeMap::new(),
            meta: BTreeMap::new(),
            workers: BTreeMap::new(),
            live: LiveBytes::default(),
            given_back: None,
            releases: VecDeque::new(),
            touched: Vec::new(),
            notices: Vec::new(),
            replaying: true,
            unsorted: HashSet::new(),
            orphans: Vec::new(),
        }
    }

    /// The slot of a known job.
    pub(crate) fn find(&self, id: JobId) -> Option<u32> {
        self.index.find(&self.slots, id.0)
    }

    /// Brings what a batch of verbs about these jobs will look at into the cache.
    pub(crate) fn warm(&self, ids: impl Iterator<Item = u128> + Clone) {
        self.index.warm(&self.slots, ids.clone());
        if self.remembered.oldest_segment().is_some() {
            self.remembered.warm(ids);
        }
    }

    pub(crate) fn lane_of(&self, at: u32) -> &Lane {
        &self.lanes[self.slots.at(at).lane]
    }

    pub(crate) fn group_of(&self, at: u32) -> u32 {
        self.lane_of(at).group
    }

    pub(crate) fn queue_of(&self, at: u32) -> u16 {
        self.groups[self.group_of(at)].queue
    }

    /// The job's extra, if it has one, whatever `aux` names at the moment.
    pub(crate) fn extra_index(&self, at: u32) -> u32 {
        let slot = self.slots.at(at);
        if slot.aux == NONE {
            NONE
        } else if slot.state() == State::Running {
            self.leases[slot.aux].extra
        } else if slot.is(flag::SETTLED) {
            self.settled[slot.aux].extra
        } else {
            slot.aux
        }
    }

    pub(crate) fn extra(&self, at: u32) -> Option<&Extra> {
        self.extras.get(self.extra_index(at)).map(|extra| &**extra)
    }

    /// The job's extra, made if it has none.
    pub(crate) fn extra_mut(&mut self, at: u32) -> &mut Extra {
        let mut index = self.extra_index(at);
        if index == NONE {
            index = self.extras.insert(Box::default());
            self.link_extra(at, index);
        }
        &mut self.extras[index]
    }

    pub(crate) fn link_extra(&mut self, at: u32, index: u32) {
        let slot = *self.slots.at(at);
        if slot.aux != NONE && slot.state() == State::Running {
            self.leases[slot.aux].extra = index;
        } else if slot.aux != NONE && slot.is(flag::SETTLED) {
            self.settled[slot.aux].extra = index;
        } else {
            self.slots.at_mut(at).aux = index;
        }
    }

    pub(crate) fn attempt(&self, at: u32) -> u32 {
        let low = u32::from(self.slots.at(at).attempt);
        self.extra(at).map_or(low, |extra| (extra.attempt_high << 16) | low)
    }

    pub(crate) fn set_attempt(&mut self, at: u32, attempt: u32) {
        self.slots.at_mut(at).attempt = attempt as u16;
        if attempt >> 16 != 0 {
            self.extra_mut(at).attempt_high = attempt >> 16;
        }
    }

    /// The name of the job's group, shared, so that a fact can borrow it while the machine changes.
    pub(crate) fn group_name(&self, at: u32) -> Arc<str> {
        self.groups[self.group_of(at)].key.clone()
    }

    pub(crate) fn job_ref<'a>(&self, at: u32, group: &'a str) -> Ref<'a> {
        let slot = self.slots.at(at);
        self.index.expect(slot.id, at);
        Ref { id: slot.id, queue: self.queue_of(at), kind: slot.kind, group, attempt: self.attempt(at) }
    }

    /// Reserves the next place in the order of becoming ready.
    pub(crate) fn take_seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq - 1
    }

    /// The queue's number, or none when nobody has named it yet.
    pub(crate) fn queue_number(&self, name: &QueueName) -> Option<u16> {
        self.queue_numbers.get(name).copied()
    }

    /// Remembers that jobs of the queue may have become claimable.
    pub(crate) fn touch(&mut self, queue: u16) {
        let q = &mut self.queues[usize::from(queue)];
        if !q.touched && !self.replaying {
            q.touched = true;
            self.touched.push(queue);
        }
    }

    pub(crate) fn tally(&mut self, queue: u16) -> &mut Tally {
        &mut self.queues[usize::from(queue)].tally
    }

    /// Notes that the record at `place` is needed by a job.
    pub(crate) fn need(&mut self, place: Position, len: u32) {
        self.live.add(place.segment, len);
    }

    /// Notes that it no longer is.
    pub(crate) fn unneed(&mut self, place: Position, len: u32) {
        self.live.sub(place.segment, len);
    }

    /// After a replay: puts back into order what was copied forward out of order.
    pub(crate) fn finish_replay(&mut self) {
        self.index.catch_up(&self.slots);
        self.slots.set_nursery(None);
        self.sort_lanes();
        self.sort_ended();
        self.recount_dead();
        self.join_orphans();
        self.find_errands();
        self.replaying = false;
    }
}
