//! Everything that is in no job record, written at the head of every segment.
//!
//! A replay may begin with any segment whose predecessors were reclaimed: the snapshot at its head
//! sets the machine's settings, totals, virtual times, rates, schedules, readers and values, and
//! the facts behind it go on from there. JSON, so that a field can be added without a new format.

use super::counts::Tally;
use super::slots::NONE;
use super::unique::Holder;
use super::{Machine, ReaderPlace};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use windlass_core::event::Cursor;
use windlass_core::fair::VirtualTime;
use windlass_core::limit::LimitSettings;
use windlass_core::name::LimitName;
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::rate::Tat;
use windlass_core::store::ScheduleSpec;
use windlass_core::{JobId, Kind, QueueName, Time};

#[derive(Serialize, Deserialize)]
#[serde(default)]
#[derive(Default)]
struct State {
    epoch: u64,
    next_counter: u64,
    next_seq: u64,
    /// Jobs known at that time: how large a replay's index should be from the start.
    jobs: u64,
    /// Segments up to this one had been given back; unknown to the first versions.
    given_back: Option<u32>,
    queues: Vec<QueueState>,
    kinds: Vec<Kind>,
    groups: Vec<GroupState>,
    limits: Vec<LimitState>,
    schedules: Vec<ScheduleState>,
    readers: Vec<(String, Cursor)>,
    /// Which of them keep jobs, and from when on.
    keepers: Vec<(String, u64)>,
    meta: Vec<(String, u64, Vec<u8>)>,
    unique: Vec<(String, JobId, u64)>,
}

#[derive(Serialize, Deserialize)]
struct QueueState {
    name: QueueName,
    settings: QueueSettings,
    floor: VirtualTime,
    tat: Tat,
    hold_until: u64,
    tally: Tally,
}

#[derive(Serialize, Deserialize)]
struct GroupState {
    queue: u16,
    key: String,
    own: Option<Box<GroupSettings>>,
    vt: VirtualTime,
    tat: Tat,
    hold_until: u64,
    claimed: u64,
}

#[derive(Serialize, Deserialize)]
struct LimitState {
    name: LimitName,
    settings: LimitSettings,
    is_set: bool,
    tat: Tat,
    hold_until: u64,
}

#[derive(Serialize, Deserialize)]
struct ScheduleState {
    spec: ScheduleSpec,
    through: Time,
    last_tick: Option<Time>,
    last_job: Option<JobId>,
    ticks: u64,
    skipped: u64,
}

impl Machine {
    /// Jobs that were known when the snapshot was written; 0 where it does not say.
    pub(crate) fn jobs_in_snapshot(bytes: &[u8]) -> usize {
        #[derive(Deserialize)]
        struct Outlook {
            #[serde(default)]
            jobs: usize,
        }
        serde_json::from_slice(bytes).map_or(0, |outlook: Outlook| outlook.jobs)
    }

    /// Segments up to which one may be gone, by a snapshot; none where it does not say.
    pub(crate) fn given_back_in_snapshot(bytes: &[u8]) -> Option<u32> {
        #[derive(Deserialize)]
        struct Told {
            given_back: Option<u32>,
        }
        serde_json::from_slice(bytes).ok().and_then(|told: Told| told.given_back)
    }

    /// The snapshot as JSON. Groups that stand level and have no settings of their own need none.
    pub(crate) fn snapshot(&mut self) -> Vec<u8> {
        self.forget_idle_groups();
        self.rebuild_oldest();
        let now = self.now.store;
        let state = State {
            epoch: self.epoch,
            next_counter: self.next_counter,
            next_seq: self.next_seq,
            jobs: self.slots.len() as u64,
            given_back: self.given_back,
            queues: self
                .queues
                .iter()
                .map(|q| QueueState {
                    name: q.name.clone(),
                    settings: q.settings.clone(),
                    floor: q.floor,
                    tat: q.tat,
                    hold_until: q.hold_until,
                    tally: q.tally.clone(),
                })
                .collect(),
            kinds: self.kinds.clone(),
            groups: self
                .groups
                .iter()
                .filter(|(_, g)| {
                    g.own.is_some()
                        || g.hold_until > now
                        || g.tat.ms() > now
                        || g.vt > self.queues[usize::from(g.queue)].floor
                })
                .map(|(_, g)| GroupState {
                    queue: g.queue,
                    key: g.key.as_ref().to_owned(),
                    own: g.own.clone(),
                    vt: g.vt,
                    tat: g.tat,
                    hold_until: g.hold_until,
                    claimed: g.claimed,
                })
                .collect(),
            limits: self
                .limit_numbers
                .values()
                .map(|at| &self.limits[*at])
                .map(|l| LimitState {
                    name: l.name.clone(),
                    settings: l.settings,
                    is_set: l.is_set,
                    tat: l.tat,
                    hold_until: l.hold_until,
                })
                .collect(),
            schedules: self
                .schedules
                .by_name
                .values()
                .map(|s| ScheduleState {
                    spec: s.spec.clone(),
                    through: s.through,
                    last_tick: s.last_tick,
                    last_job: s.last_job,
                    ticks: s.ticks,
                    skipped: s.skipped,
                })
                .collect(),
            readers: self.readers.iter().map(|(name, at)| (name.clone(), at.cursor)).collect(),
            keepers: self
                .readers
                .iter()
                .filter_map(|(name, at)| Some((name.clone(), at.keeps_from?)))
                .collect(),
            meta: self
                .meta
                .iter()
                .map(|(k, (version, value))| (k.clone(), *version, value.clone()))
                .collect(),
            unique: self
                .unique
                .expiring
                .iter()
                .filter_map(|(until, key)| {
                    let holder = self.unique.holders.get(key)?;
                    Some((key.as_ref().to_owned(), JobId(holder.id), *until))
                })
                .collect(),
        };
        serde_json::to_vec(&state).expect("our own plain structs always serialise")
    }

    /// Sets everything that the snapshot holds.
    pub(crate) fn load_snapshot(&mut self, bytes: &[u8]) -> Result<(), String> {
        let state: State = serde_json::from_slice(bytes).map_err(|e| format!("snapshot: {e}"))?;
        self.epoch = self.epoch.max(state.epoch);
        self.next_counter = self.next_counter.max(state.next_counter);
        self.next_seq = self.next_seq.max(state.next_seq);
        self.given_back = self.given_back.max(state.given_back);
        for (number, q) in state.queues.into_iter().enumerate() {
            let number = number as u16;
            self.define_queue(number, q.name)?;
            self.apply_queue_settings(number, q.settings);
            let queue = &mut self.queues[usize::from(number)];
            queue.floor = q.floor;
            queue.tat = q.tat;
            queue.hold_until = q.hold_until;
            queue.tally = q.tally;
        }
        for (number, kind) in state.kinds.into_iter().enumerate() {
            self.define_kind(number as u16, kind)?;
        }
        for g in state.groups {
            if usize::from(g.queue) >= self.queues.len() {
                return Err("snapshot: a group of an unknown queue".into());
            }
            let at = self.group_for(g.queue, &g.key);
            self.apply_group_settings(at, g.own.map(|own| *own));
            let group = &mut self.groups[at];
            group.tat = g.tat;
            group.hold_until = g.hold_until;
            group.claimed = g.claimed;
            self.set_vt(at, g.vt);
        }
        for l in state.limits {
            let at = self.limit_for(&l.name);
            let limit = &mut self.limits[at];
            limit.settings = l.settings;
            limit.is_set = l.is_set;
            limit.tat = l.tat;
            limit.hold_until = l.hold_until;
        }
        for s in state.schedules {
            let name = s.spec.name.clone();
            self.schedules.set(s.spec, s.through)?;
            if let Some(schedule) = self.schedules.by_name.get_mut(&name) {
                schedule.last_tick = s.last_tick;
                schedule.last_job = s.last_job;
                schedule.ticks = s.ticks;
                schedule.skipped = s.skipped;
            }
        }
        let place = |(name, cursor)| (name, ReaderPlace { cursor, keeps_from: None });
        self.readers = state.readers.into_iter().map(place).collect();
        for (name, at) in state.keepers {
            if let Some(reader) = self.readers.get_mut(&name) {
                reader.keeps_from = Some(at);
            }
        }
        self.meta = state.meta.into_iter().map(|(key, version, value)| (key, (version, value))).collect();
        for (key, id, until) in state.unique {
            self.unique.take(&key, Holder { id: id.0, until });
        }
        Ok(())
    }

    /// Throws out entries of lanes that are gone or were entered twice.
    fn rebuild_oldest(&mut self) {
        let entries: usize = self.queues.iter().map(|q| q.oldest.len()).sum();
        if entries <= 2 * self.lanes.len() + 1_000 {
            return;
        }
        for queue in &mut self.queues {
            queue.oldest.clear();
        }
        let lanes: Vec<(u32, u16, u32)> =
            self.lanes.iter().map(|(at, lane)| (at, self.groups[lane.group].queue, self.head(at))).collect();
        for (lane, queue, head) in lanes {
            let ready = head != NONE && self.slots.at(head).state() == windlass_core::State::Ready;
            self.lanes[lane].in_oldest = ready;
            if ready {
                let key = self.slots.at(head).seq;
                self.queues[usize::from(queue)].oldest.push(Reverse((key, lane)));
            }
        }
    }
}
