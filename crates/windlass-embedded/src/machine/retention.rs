//! Ended jobs: how long they stay, and which ids are remembered when they are gone.

use super::Machine;
use super::lanes::List;
use super::slots::{NONE, flag, mix};
use super::timers::Timer;
use hashbrown::HashTable;
use std::collections::VecDeque;
use windlass_core::bounds::{REMEMBERED_MAX, REMEMBERED_MS};
use windlass_core::{JobId, State};

/// Which of a queue's lists of ended jobs that state has.
fn list_number(state: State) -> usize {
    match state {
        State::Completed => 0,
        State::Dead => 1,
        _ => 2,
    }
}

/// How long retention rests when every job that it looked at has live children; the end of a child ends the rest.
const REST_MS: u64 = 1_000;

const ENDED: [State; 3] = [State::Completed, State::Dead, State::Cancelled];

/// An id whose job is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gone {
    pub(crate) id: u128,
    pub(crate) at: u64,
    pub(crate) state: State,
    /// Which segment's fact remembers it.
    pub(crate) segment: u32,
}

/// The newest ended ids, so that an enqueue that comes twice stays one job.
pub(crate) struct Remembered {
    ring: VecDeque<Gone>,
    /// How many have left the ring: entry `i` of the index stands at `i - base`.
    base: u32,
    index: HashTable<u32>,
    key: u64,
}

impl Remembered {
    pub(crate) fn new(key: u64) -> Self {
        Self { ring: VecDeque::new(), base: 0, index: HashTable::new(), key }
    }

    pub(crate) fn find(&self, id: u128, now: u64) -> Option<State> {
        let at = *self
            .index
            .find(mix(id, self.key), |at| self.ring[at.wrapping_sub(self.base) as usize].id == id)?;
        let gone = &self.ring[at.wrapping_sub(self.base) as usize];
        (gone.at.saturating_add(REMEMBERED_MS) > now).then_some(gone.state)
    }

    /// As [`super::slots::IdIndex::warm`].
    pub(crate) fn warm(&self, ids: impl Iterator<Item = u128>) {
        let known = ids.filter(|id| self.index.find(mix(*id, self.key), |_| false).is_some());
        std::hint::black_box(known.count());
    }

    pub(crate) fn push(&mut self, gone: Gone) {
        while self.ring.len() >= REMEMBERED_MAX
            || self.ring.front().is_some_and(|oldest| oldest.at.saturating_add(REMEMBERED_MS) <= gone.at)
        {
            self.pop();
        }
        let at = self.base.wrapping_add(self.ring.len() as u32);
        self.ring.push_back(gone);
        let (ring, base, key) = (&self.ring, self.base, self.key);
        self.index
            .insert_unique(mix(gone.id, key), at, |at| mix(ring[at.wrapping_sub(base) as usize].id, key));
    }

    fn pop(&mut self) {
        let Some(gone) = self.ring.front().copied() else { return };
        if let Ok(entry) = self.index.find_entry(mix(gone.id, self.key), |at| *at == self.base) {
            entry.remove();
        }
        self.ring.pop_front();
        self.base = self.base.wrapping_add(1);
    }

    /// The oldest segment whose facts are still needed to remember ids.
    pub(crate) fn oldest_segment(&self) -> Option<u32> {
        self.ring.front().map(|gone| gone.segment)
    }

    /// Ids that are remembered by facts of that segment, oldest first, at most `most`; they are
    /// taken out, to be remembered anew behind the others.
    pub(crate) fn take_of_segment(&mut self, segment: u32, now: u64, most: usize) -> Vec<Gone> {
        let mut taken = Vec::new();
        while taken.len() < most && self.ring.front().is_some_and(|gone| gone.segment <= segment) {
            if let Some(gone) = self.ring.front().copied()
                && gone.at.saturating_add(REMEMBERED_MS) > now
            {
                taken.push(gone);
            }
            self.pop();
        }
        taken
    }
}

impl Machine {
    /// Puts a job that has just ended behind the others of its queue and state.
    pub(crate) fn enter_ended(&mut self, at: u32) {
        let (queue, state) = (self.queue_of(at), self.slots.at(at).state());
        let list = self.queues[usize::from(queue)].ended[list_number(state)];
        let slot = self.slots.at_mut(at);
        slot.prev = list.tail;
        slot.next = NONE;
        slot.set(flag::LINKED, true);
        if list.tail != NONE {
            self.slots.at_mut(list.tail).next = at;
        }
        let list = &mut self.queues[usize::from(queue)].ended[list_number(state)];
        if list.head == NONE {
            list.head = at;
        }
        list.tail = at;
        list.len += 1;
        if list.len == 1 || !self.replaying {
            self.plan_retention(queue);
        }
    }

    /// Takes an ended job out of its list.
    pub(crate) fn leave_ended(&mut self, at: u32) {
        let slot = *self.slots.at(at);
        if !slot.is(flag::LINKED) {
            return;
        }
        let queue = usize::from(self.queue_of(at));
        if slot.prev != NONE {
            self.slots.at_mut(slot.prev).next = slot.next;
        }
        if slot.next != NONE {
            self.slots.at_mut(slot.next).prev = slot.prev;
        }
        let list = &mut self.queues[queue].ended[list_number(slot.state())];
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

    /// When the queue's oldest ended job of that state may be removed, by age or because there are
    /// too many (then at once).
    fn removable_at(&self, queue: u16, state: State) -> Option<u64> {
        let q = &self.queues[usize::from(queue)];
        let list = q.ended[list_number(state)];
        if list.head == NONE {
            return None;
        }
        let keep = &q.settings.retention;
        let (age, count) = match state {
            State::Completed => (keep.completed_ms, keep.completed_count),
            State::Dead => (keep.dead_ms, keep.dead_count),
            _ => (keep.cancelled_ms, keep.cancelled_count),
        };
        if u64::from(list.len) > count {
            return Some(0);
        }
        Some(self.slots.at(list.head).when.saturating_add(age))
    }

    /// Sets the queue's timer for its next removal.
    pub(crate) fn plan_retention(&mut self, queue: u16) {
        let next = ENDED.into_iter().filter_map(|state| self.removable_at(queue, state)).min();
        let now = self.now.wall;
        let q = &mut self.queues[usize::from(queue)];
        // A clock that was set back must not make the rest longer.
        let rest =
            Some(q.retention_rests_until).filter(|until| *until <= now.saturating_add(REST_MS)).unwrap_or(0);
        let wanted = next.map_or(0, |next| next.max(rest).max(1));
        if q.retention_at == wanted {
            return;
        }
        let timer = Timer::Retention(u32::from(queue));
        if q.retention_at != 0 {
            self.timers.wall.remove(&(q.retention_at, timer));
        }
        q.retention_at = wanted;
        if wanted != 0 {
            self.timers.wall.insert((wanted, timer));
        }
    }

    /// Nothing that could be removed may be: it has live children, or a reader needs it.
    pub(crate) fn rest_retention(&mut self, queue: u16) {
        self.queues[usize::from(queue)].retention_rests_until = self.now.wall.saturating_add(REST_MS);
    }

    /// A job has ended: parents that were kept for its sake may go.
    pub(crate) fn wake_retention(&mut self, child: u32) {
        let Some(extra) = self.extra(child) else { return };
        let parents: Vec<u32> = extra.parents.iter().filter_map(|(id, _)| self.find(JobId(*id))).collect();
        for parent in parents {
            let queue = self.queue_of(parent);
            if std::mem::take(&mut self.queues[usize::from(queue)].retention_rests_until) != 0 {
                self.plan_retention(queue);
            }
        }
    }

    /// The next ended job of a queue that retention removes now. One with live children goes to
    /// the end of its list instead: it is asked again later. Its end stays when it was: no fact tells of the detour,
    /// so that the next replay would show another time. None that ended at `kept_from` or later is removed: a reader
    /// needs it.
    pub(crate) fn next_removable(&mut self, queue: u16, kept_from: Option<u64>) -> Option<u32> {
        for state in ENDED {
            let rounds = self.queues[usize::from(queue)].ended[list_number(state)].len.min(64);
            for _ in 0..rounds {
                if self.removable_at(queue, state).is_none_or(|at| at > self.now.wall) {
                    break;
                }
                let head = self.queues[usize::from(queue)].ended[list_number(state)].head;
                if kept_from.is_some_and(|from| self.slots.at(head).when >= from) {
                    break;
                }
                if !self.has_live_children(head) {
                    return Some(head);
                }
                self.leave_ended(head);
                self.enter_ended(head);
            }
        }
        None
    }

    /// Brings the lists into the order of their ends after a replay met records copied forward.
    pub(crate) fn sort_ended(&mut self) {
        for queue in 0..self.queues.len() as u16 {
            for state in ENDED {
                let list = self.queues[usize::from(queue)].ended[list_number(state)];
                let mut members = Vec::with_capacity(list.len as usize);
                let mut at = list.head;
                while at != NONE {
                    members.push(at);
                    at = self.slots.at(at).next;
                }
                let key = |at: &u32| (self.slots.at(*at).when, self.slots.at(*at).seq);
                if members.is_sorted_by_key(key) {
                    continue;
                }
                members.sort_by_key(key);
                self.queues[usize::from(queue)].ended[list_number(state)] = List::default();
                for at in members {
                    self.enter_ended(at);
                }
            }
            self.plan_retention(queue);
        }
    }
}
