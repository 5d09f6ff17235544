//! The rules of a job's life, applied to the event log one event after the other.
//!
//! It knows no store: it is told events, and answers what must be true of every job after them. An event that breaks a
//! rule (a second lease, a repeat without a cause, an attempt out of step, an ordered group out of order, a unique key
//! held twice) is a panic that names the job and its last events.

use crate::makeup;
use std::collections::{BTreeMap, HashMap, HashSet};
use windlass_core::event::{Event, EventType};
use windlass_core::{JobId, State};

/// One job as its events tell it.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) attempt: u32,
    pub(crate) running: bool,
    /// How the present generation ended, if it has.
    pub(crate) ended: Option<State>,
    /// How each attempt ended, and which it was.
    pub(crate) ends: Vec<(EventType, u32)>,
    /// The next attempt has a reason.
    cause: bool,
    queue: usize,
    /// Group and place in it, in ordered groups.
    place: Option<(String, u64)>,
    trail: Vec<(EventType, u32)>,
}

/// Events of a job kept for the message of a failure.
const TRAIL_MAX: usize = 12;

/// All jobs that have not been removed, and the ids of those that have.
#[derive(Default)]
pub(crate) struct History {
    pub(crate) lives: HashMap<JobId, Life>,
    pub(crate) removed: HashMap<JobId, Vec<(EventType, u32)>>,
    lines: HashMap<(usize, String), BTreeMap<u64, JobId>>,
    holders: HashMap<u64, HashSet<JobId>>,
    next_place: u64,
}

impl History {
    /// How each attempt of a job ended, be the job removed or not; none when it never was.
    pub(crate) fn ends(&self, job: JobId) -> Option<&[(EventType, u32)]> {
        let life = self.lives.get(&job).map(|life| &life.ends);
        life.or_else(|| self.removed.get(&job)).map(Vec::as_slice)
    }

    pub(crate) fn take(&mut self, event: &Event) {
        let job = event.job;
        if event.event == EventType::Enqueued {
            return self.enqueued(event);
        }
        let life = self.lives.get_mut(&job);
        let life = life.unwrap_or_else(|| panic!("{} of job {job}, which is not there", event.event));
        life.trail.push((event.event, event.attempt));
        if life.trail.len() > TRAIL_MAX {
            life.trail.remove(0);
        }
        assert_eq!(makeup::QUEUES[life.queue], event.queue.as_str(), "job {job} changed its queue");
        match event.event {
            EventType::Claimed => {
                let next = life.attempt + 1;
                let allowed = !life.running && life.ended.is_none() && event.attempt == next;
                assert!(allowed && (next == 1 || life.cause), "unexplained claim of job {job}: {life:?}");
                (life.running, life.cause, life.attempt) = (true, false, next);
                if let Some((group, place)) = life.place.clone() {
                    let line = &self.lines[&(life.queue, group)];
                    let (head, first) = line.first_key_value().expect("the job itself stands there");
                    let told = (&self.lives[first], &self.lives[&job]);
                    assert_eq!(*head, place, "job {job} overtook job {first}: {told:?}");
                }
            }
            EventType::Completed
            | EventType::Failed
            | EventType::Lost
            | EventType::Snoozed
            | EventType::Released
            | EventType::Died => {
                let holds = life.running && event.attempt == life.attempt;
                assert!(holds, "{} of job {job}, which nobody holds: {life:?}", event.event);
                life.running = false;
                life.cause = true;
                life.ends.push((event.event, event.attempt));
                match event.event {
                    EventType::Completed => self.end(job, State::Completed),
                    EventType::Died => self.end(job, State::Dead),
                    _ => {}
                }
            }
            EventType::Cancelled => {
                assert!(life.ended.is_none(), "job {job} ended twice: {life:?}");
                if life.running {
                    life.ends.push((event.event, event.attempt));
                }
                life.running = false;
                life.cause = true;
                self.end(job, State::Cancelled);
            }
            EventType::CancelRequested => assert!(life.running, "nobody holds job {job}: {life:?}"),
            EventType::Promoted | EventType::Unblocked | EventType::Edited => {
                assert!(life.ended.is_none() && !life.running, "{} of job {job}: {life:?}", event.event);
            }
            EventType::Retried => self.retried(job),
            EventType::Removed => self.remove(job),
            EventType::Enqueued => unreachable!("handled above"),
        }
    }

    fn enqueued(&mut self, event: &Event) {
        let job = event.job;
        assert!(!self.removed.contains_key(&job), "the id of removed job {job} was issued again");
        let queue =
            makeup::QUEUES.iter().position(|name| *name == event.queue.as_str()).expect("a known queue");
        let mut life = Life {
            attempt: 0,
            running: false,
            ended: None,
            ends: Vec::new(),
            cause: false,
            queue,
            place: None,
            trail: vec![(EventType::Enqueued, 0)],
        };
        if makeup::is_ordered(event.queue.as_str()) {
            let group = event.group.as_ref().expect("jobs of ordered queues have a group").to_string();
            life.place = Some((group, 0));
        }
        assert!(self.lives.insert(job, life).is_none(), "job {job} was taken in twice");
        self.join(job);
        self.hold_key(job);
    }

    /// Takes the last place of its ordered group.
    fn join(&mut self, job: JobId) {
        let life = self.lives.get_mut(&job).expect("a known job");
        if let Some((group, place)) = &mut life.place {
            self.next_place += 1;
            *place = self.next_place;
            self.lines.entry((life.queue, group.clone())).or_default().insert(self.next_place, job);
        }
    }

    fn leave(&mut self, job: JobId) {
        let life = &self.lives[&job];
        if let Some((group, place)) = &life.place {
            self.lines.get_mut(&(life.queue, group.clone())).expect("its line").remove(place);
        }
    }

    fn hold_key(&mut self, job: JobId) {
        let key = makeup::key_of(job);
        if key > 0 {
            let holders = self.holders.entry(key).or_default();
            holders.insert(job);
            assert_eq!(holders.len(), 1, "key {key} has several live holders: {holders:?}");
        }
    }

    fn free_key(&mut self, job: JobId) {
        if let Some(holders) = self.holders.get_mut(&makeup::key_of(job)) {
            holders.remove(&job);
        }
    }

    fn end(&mut self, job: JobId, state: State) {
        let life = self.lives.get_mut(&job).expect("a known job");
        assert!(life.ended.is_none(), "job {job} ended twice: {life:?}");
        life.ended = Some(state);
        // A dead head keeps its place where its death shuts the group.
        if !(state == State::Dead && makeup::is_blocking(makeup::QUEUES[life.queue])) {
            self.leave(job);
        }
        self.free_key(job);
    }

    fn retried(&mut self, job: JobId) {
        let life = self.lives.get_mut(&job).expect("a known job");
        let ended = life.ended.take().unwrap_or_else(|| panic!("live job {job} was retried: {life:?}"));
        life.cause = true;
        if !(ended == State::Dead && makeup::is_blocking(makeup::QUEUES[life.queue])) {
            self.join(job);
        }
        self.hold_key(job);
    }

    fn remove(&mut self, job: JobId) {
        assert!(!self.lives[&job].running, "running job {job} was removed");
        self.leave(job);
        self.free_key(job);
        let life = self.lives.remove(&job).expect("a known job");
        self.removed.insert(job, life.ends);
    }
}
