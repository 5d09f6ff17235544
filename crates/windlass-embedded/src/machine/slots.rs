//! One 64-byte slot per known job, and the index that finds it by id.
//!
//! Slots live in chunks, so growing never copies what is there; the index is split in shards, so
//! that no growth rehashes more than a thousandth of it. Both together are what a waiting job
//! costs in memory: 64 bytes and about 8 of index, payload and options staying on disk.
//! Slots know nothing of order: `next` and `prev` belong to whichever list the job's state puts it
//! in (a lane, or its queue's list of ended jobs).

use super::census::Census;
use crate::journal::Position;
use hashbrown::HashTable;
use std::cell::Cell;
use windlass_core::State;

/// No slot, lane, lease or extra.
pub(crate) const NONE: u32 = u32::MAX;

/// What stands in [`Slot::flags`].
pub(crate) mod flag {
    /// The job is linked in a lane or a list of ended jobs.
    pub(crate) const LINKED: u8 = 1;
    /// `aux` names an entry of settled attempts, not an extra.
    pub(crate) const SETTLED: u8 = 2;
    /// The job was snoozed, not merely scheduled.
    pub(crate) const SNOOZED: u8 = 4;
    /// The job came back because no handler knew it.
    pub(crate) const NO_HANDLER: u8 = 8;
    /// Somebody asked the running attempt to stop.
    pub(crate) const CANCEL: u8 = 16;
}

/// Everything that is kept in memory for a job that nothing special has happened to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) id: u128,
    /// Order of becoming ready (lanes) or of ending.
    pub(crate) seq: u64,
    /// Due, ready since, or ended at (wall clock, ms).
    pub(crate) when: u64,
    segment: u32,
    offset: u32,
    /// Bytes of the record in the low 24 bits... of a length that 1 MiB of payload keeps below 2^24.
    len_and_state: u32,
    pub(crate) next: u32,
    pub(crate) prev: u32,
    pub(crate) lane: u32,
    /// Lease (running), settled entry (flag), extra, or [`NONE`].
    pub(crate) aux: u32,
    pub(crate) kind: u16,
    /// The low 16 bits of the attempt; the rest is in the extra.
    pub(crate) attempt: u16,
}

const LEN_BITS: u32 = (1 << 24) - 1;
const STATE_BITS: u32 = 0b111 << 24;
const FLAG_SHIFT: u32 = 27;

impl Slot {
    pub(crate) fn new(id: u128, state: State, kind: u16, lane: u32) -> Self {
        Self {
            id,
            seq: 0,
            when: 0,
            segment: 0,
            offset: 0,
            len_and_state: u32::from(state as u8) << 24,
            next: NONE,
            prev: NONE,
            lane,
            aux: NONE,
            kind,
            attempt: 0,
        }
    }

    pub(crate) fn state(&self) -> State {
        let number = (self.len_and_state & STATE_BITS) >> 24;
        State::from_number(number as u8).expect("three bits name one of eight states")
    }

    pub(crate) fn place(&self) -> Position {
        Position { segment: self.segment, offset: self.offset }
    }

    pub(crate) fn len(&self) -> u32 {
        self.len_and_state & LEN_BITS
    }

    pub(crate) fn put(&mut self, place: Position, len: u32) {
        assert!(len <= LEN_BITS, "a record is bounded by payload and options to far less than 16 MiB");
        self.segment = place.segment;
        self.offset = place.offset;
        self.len_and_state = (self.len_and_state & !LEN_BITS) | len;
    }

    pub(crate) fn is(&self, flag: u8) -> bool {
        (self.len_and_state >> FLAG_SHIFT) & u32::from(flag) != 0
    }

    pub(crate) fn set(&mut self, flag: u8, on: bool) {
        let bit = u32::from(flag) << FLAG_SHIFT;
        self.len_and_state = if on { self.len_and_state | bit } else { self.len_and_state & !bit };
    }
}

const CHUNK: usize = 4_096;

/// Slots, their free list, and how many of each state and queue every chunk holds, so that lists skip chunks.
#[derive(Default)]
pub(crate) struct Slots {
    chunks: Vec<Box<[Slot]>>,
    states: Vec<[u16; 8]>,
    queues: Vec<Census>,
    used: usize,
    free: Vec<u32>,
    live: usize,
    /// Chunks that somebody makes ahead while a journal is replayed.
    nursery: Option<Nursery>,
}

/// Empty chunks of slots, made elsewhere: memory that is touched for the first time costs the system as much time as
/// a replay takes for the jobs that go into it.
pub(crate) type Nursery = Box<dyn Iterator<Item = Box<[Slot]>> + Send>;

/// A chunk without jobs.
pub(crate) fn empty_chunk() -> Box<[Slot]> {
    vec![Slot::new(0, State::Scheduled, 0, NONE); CHUNK].into_boxed_slice()
}

/// Chunks that so many jobs fill.
pub(crate) fn chunks_of(jobs: usize) -> usize {
    jobs.div_ceil(CHUNK)
}

impl Slots {
    /// Takes chunks from there until it ends or is taken away.
    pub(crate) fn set_nursery(&mut self, nursery: Option<Nursery>) {
        self.nursery = nursery;
    }

    /// A place for a job of that queue.
    pub(crate) fn insert(&mut self, slot: Slot, queue: u16) -> u32 {
        let at = self.free.pop().unwrap_or_else(|| {
            if self.used.is_multiple_of(CHUNK) {
                let made = self.nursery.as_mut().and_then(Iterator::next);
                self.chunks.push(made.unwrap_or_else(empty_chunk));
                self.states.push([0; 8]);
                self.queues.push(Census::default());
            }
            self.used += 1;
            u32::try_from(self.used - 1).expect("four thousand million jobs do not fit in memory")
        });
        self.states[at as usize / CHUNK][slot.state() as usize] += 1;
        self.queues[at as usize / CHUNK].enter(queue);
        *self.at_mut(at) = slot;
        self.live += 1;
        at
    }

    /// The job of that queue is gone.
    pub(crate) fn remove(&mut self, at: u32, queue: u16) {
        let slot = *self.at(at);
        self.states[at as usize / CHUNK][slot.state() as usize] -= 1;
        self.queues[at as usize / CHUNK].leave(queue);
        self.at_mut(at).id = 0;
        self.free.push(at);
        self.live -= 1;
    }

    pub(crate) fn set_state(&mut self, at: u32, state: State) {
        let counts = &mut self.states[at as usize / CHUNK];
        let slot = &mut self.chunks[at as usize / CHUNK][at as usize % CHUNK];
        counts[slot.state() as usize] -= 1;
        counts[state as usize] += 1;
        slot.len_and_state = (slot.len_and_state & !STATE_BITS) | (u32::from(state as u8) << 24);
    }

    pub(crate) fn at(&self, at: u32) -> &Slot {
        &self.chunks[at as usize / CHUNK][at as usize % CHUNK]
    }

    pub(crate) fn at_mut(&mut self, at: u32) -> &mut Slot {
        &mut self.chunks[at as usize / CHUNK][at as usize % CHUNK]
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Whether a number that came from outside is one of a slot.
    pub(crate) fn holds(&self, at: u32) -> bool {
        (at as usize) < self.used
    }

    /// The next slot at or behind `from` whose state is wanted, skipping chunks that hold none.
    pub(crate) fn next_in(&self, from: u32, wanted: &[bool; 8]) -> Option<u32> {
        self.next_near(from, wanted, None)
    }

    /// The same, skipping chunks without a job of that queue too. What it finds may be another queue's.
    pub(crate) fn next_near(&self, from: u32, wanted: &[bool; 8], queue: Option<u16>) -> Option<u32> {
        let mut at = from as usize;
        while at < self.used {
            let counts = &self.states[at / CHUNK];
            if !counts.iter().zip(wanted).any(|(n, want)| *want && *n > 0)
                || queue.is_some_and(|queue| !self.queues[at / CHUNK].has(queue))
            {
                at = (at / CHUNK + 1) * CHUNK;
                continue;
            }
            let slot = &self.chunks[at / CHUNK][at % CHUNK];
            if slot.id != 0 && wanted[slot.state() as usize] {
                return Some(at as u32);
            }
            at += 1;
        }
        None
    }
}

/// Shards of the index: a growth rehashes one of them, 18 million jobs / 1,024 = 18,000 entries.
const SHARDS: usize = 1_024;
/// How much more the last shard holds than the first, which is nearly twice as much. Were all alike, all would be full
/// at the same moment, and 14 million jobs would be hashed anew within seconds; so one after the other is.
const SHARD_BEND: f64 = 0.343;

/// Late entries before they go into their tables: enough to keep the processor's queue of loads full, and few enough
/// to lie in its first cache.
const LATE_MAX: usize = 512;

/// Finds a job's slot by its id.
pub(crate) struct IdIndex {
    shards: Vec<HashTable<u32>>,
    key: u64,
    /// The last answer: a verb looks its job up when it decides, and its fact does when it applies;
    /// the second look would be another cache miss.
    last: Cell<(u128, u32)>,
    /// Entries that a replay has not put into their tables yet: hash and slot.
    late: Vec<(u64, u32)>,
}

/// The share of all jobs in the shards before that one: [`IdIndex::shard`] the other way round.
fn share_before(shard: usize) -> f64 {
    let bent = shard as f64 / SHARDS as f64;
    let line = 1.0 + SHARD_BEND;
    (line - (line * line - 4.0 * SHARD_BEND * bent).sqrt()) / (2.0 * SHARD_BEND)
}

impl IdIndex {
    /// `key` comes from the store's own random id, so that nobody can choose ids that collide.
    pub(crate) fn new(key: u64) -> Self {
        let shards = (0..SHARDS).map(|_| HashTable::new()).collect();
        Self { shards, key, last: Cell::new((0, NONE)), late: Vec::new() }
    }

    /// Makes room for so many jobs at once, so that no table grows step by step on the way there.
    pub(crate) fn reserve(&mut self, jobs: usize) {
        for (number, shard) in self.shards.iter_mut().enumerate() {
            let share = share_before(number + 1) - share_before(number);
            let mean = (jobs as f64 * share) as usize;
            // Hashing is fair: a shard of n holds more than n + 4 sqrt(n) once in 30,000 times.
            let most = mean + 4 * mean.isqrt();
            shard.reserve(most, |_| unreachable!("the tables are reserved while they are empty"));
        }
    }

    fn hash(&self, id: u128) -> u64 {
        mix(id, self.key)
    }

    /// By bits that the tables inside do not look at: they place by the lowest and tag by the highest.
    fn shard(hash: u64) -> usize {
        const ONE: u64 = 1 << 32;
        const BEND: u64 = (SHARD_BEND * ONE as f64) as u64;
        let part = (hash >> 24) % ONE;
        // Bent from a straight line to nearly log2(1 + part), whose slope halves from one end to the other.
        let bent = part + ((part * (ONE - part) / ONE) * BEND) / ONE;
        (bent * SHARDS as u64 / ONE) as usize
    }

    pub(crate) fn find(&self, slots: &Slots, id: u128) -> Option<u32> {
        let (last, at) = self.last.get();
        if last == id {
            return (at != NONE).then_some(at);
        }
        debug_assert!(self.late.is_empty(), "a replay catches up before it looks for a job");
        let hash = self.hash(id);
        let found = self.shards[Self::shard(hash)].find(hash, |at| slots.at(*at).id == id).copied();
        self.last.set((id, found.unwrap_or(NONE)));
        found
    }

    /// Looks all of them up for nothing but the cache: the looks do not depend on each other, so the
    /// processor waits for many memory lines at once that the verbs would wait for one by one.
    pub(crate) fn warm(&self, slots: &Slots, ids: impl Iterator<Item = u128>) {
        let known = ids.filter(|id| {
            let hash = self.hash(*id);
            self.shards[Self::shard(hash)].find(hash, |at| slots.at(*at).id == *id).is_some()
        });
        std::hint::black_box(known.count());
    }

    /// The job is known to stand there: the next look for it needs no look.
    pub(crate) fn expect(&self, id: u128, at: u32) {
        self.last.set((id, at));
    }

    pub(crate) fn insert(&mut self, slots: &Slots, id: u128, at: u32) {
        self.last.set((id, at));
        let (hash, key) = (self.hash(id), self.key);
        self.shards[Self::shard(hash)].insert_unique(hash, at, |at| mix(slots.at(*at).id, key));
    }

    /// As [`IdIndex::insert`] for a replay, which looks for another job only after [`IdIndex::catch_up`].
    pub(crate) fn insert_late(&mut self, slots: &Slots, id: u128, at: u32) {
        self.last.set((id, at));
        self.late.push((self.hash(id), at));
        if self.late.len() >= LATE_MAX {
            self.catch_up(slots);
        }
    }

    /// Puts late entries into their tables, one directly after the other: they do not depend on each other, so the
    /// processor waits for many memory lines at once.
    pub(crate) fn catch_up(&mut self, slots: &Slots) {
        let key = self.key;
        for (hash, at) in self.late.drain(..) {
            self.shards[Self::shard(hash)].insert_unique(hash, at, |at| mix(slots.at(*at).id, key));
        }
    }

    pub(crate) fn remove(&mut self, slots: &Slots, id: u128) {
        self.last.set((id, NONE));
        let hash = self.hash(id);
        if let Ok(entry) = self.shards[Self::shard(hash)].find_entry(hash, |at| slots.at(*at).id == id) {
            entry.remove();
        }
    }
}

/// 128 bits and a key to 64, by two rounds of folded multiplication (as in wyhash, public domain).
pub(crate) fn mix(id: u128, key: u64) -> u64 {
    let fold = |a: u64, b: u64| {
        let wide = u128::from(a) * u128::from(b);
        (wide as u64) ^ (wide >> 64) as u64
    };
    let low = fold(id as u64 ^ key, 0xa076_1d64_78bd_642f ^ key.rotate_left(32));
    fold((id >> 64) as u64 ^ low, 0xe703_7ed1_a0b4_28db ^ key)
}

/// A vector with holes that are filled again: small things that come and go.
pub(crate) struct Slab<T> {
    items: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { items: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub(crate) fn insert(&mut self, item: T) -> u32 {
        if let Some(at) = self.free.pop() {
            self.items[at as usize] = Some(item);
            return at;
        }
        self.items.push(Some(item));
        u32::try_from(self.items.len() - 1).expect("four thousand million entries do not fit in memory")
    }

    pub(crate) fn remove(&mut self, at: u32) -> T {
        self.free.push(at);
        self.items[at as usize].take().expect("an index is removed once")
    }

    pub(crate) fn get(&self, at: u32) -> Option<&T> {
        self.items.get(at as usize).and_then(Option::as_ref)
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len() - self.free.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.items.iter().enumerate().filter_map(|(at, item)| item.as_ref().map(|item| (at as u32, item)))
    }
}

impl<T> std::ops::Index<u32> for Slab<T> {
    type Output = T;
    fn index(&self, at: u32) -> &T {
        self.items[at as usize].as_ref().expect("an index is used only while its entry lives")
    }
}

impl<T> std::ops::IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, at: u32) -> &mut T {
        self.items[at as usize].as_mut().expect("an index is used only while its entry lives")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_fills_one_cache_line_of_64_bytes() {
        assert_eq!(std::mem::size_of::<Slot>(), 64);
    }

    #[test]
    fn place_state_and_flags_share_their_word_without_touching_each_other() {
        let mut slot = Slot::new(7, State::Cancelled, 1, 2);
        slot.put(Position { segment: 3, offset: 9 }, LEN_BITS);
        for flag in [flag::LINKED, flag::SETTLED, flag::SNOOZED, flag::NO_HANDLER, flag::CANCEL] {
            assert!(!slot.is(flag));
            slot.set(flag, true);
            assert!(slot.is(flag));
        }
        assert_eq!((slot.state(), slot.len()), (State::Cancelled, LEN_BITS));
        slot.set(flag::SNOOZED, false);
        assert!(!slot.is(flag::SNOOZED) && slot.is(flag::NO_HANDLER));
    }

    #[test]
    fn shards_grow_one_after_the_other_and_room_made_at_once_is_enough() {
        const JOBS: usize = 1 << 19;
        let (slots, mut index) = (Slots::default(), IdIndex::new(42));
        index.reserve(JOBS);
        let room: Vec<usize> = index.shards.iter().map(HashTable::capacity).collect();
        for id in 0..JOBS as u128 {
            index.insert_late(&slots, id, 0);
        }
        index.catch_up(&slots);
        let after: Vec<usize> = index.shards.iter().map(HashTable::capacity).collect();
        assert_eq!(room, after, "no table has grown");
        let held = |shards: std::ops::Range<usize>| -> usize {
            index.shards[shards].iter().map(HashTable::len).sum()
        };
        let ratio = held(SHARDS - 64..SHARDS) as f64 / held(0..64) as f64;
        assert!((1.85..2.15).contains(&ratio), "the last shards hold {ratio} times what the first ones do");
    }

    #[test]
    fn the_index_finds_every_job_and_forgets_removed_ones() {
        let (mut slots, mut index) = (Slots::default(), IdIndex::new(42));
        for id in 1..10_000u128 {
            let at = slots.insert(Slot::new(id, State::Ready, 0, 0), 0);
            index.insert(&slots, id, at);
        }
        for id in (1..10_000u128).step_by(3) {
            let at = index.find(&slots, id).expect("there");
            index.remove(&slots, id);
            slots.remove(at, 0);
        }
        for id in 1..10_000u128 {
            assert_eq!(index.find(&slots, id).is_some(), id % 3 != 1, "{id}");
        }
    }
}
