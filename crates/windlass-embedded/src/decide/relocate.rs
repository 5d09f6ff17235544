//! Records copied forward, so that the oldest segment can be given back.

use super::Core;
use crate::codec::Decoder;
use crate::fact::{Fact, JobFact, Origin};
use crate::journal::Position;
use crate::machine::extra::{Dynamic, DynamicLease};
use crate::machine::slots::{NONE, flag};
use windlass_core::job::UniqueScope;
use windlass_core::{JobId, Rejection, State};

/// The bytes of a job's record, read back from the journal.
pub(crate) struct Record(pub(crate) Vec<u8>);

impl Record {
    /// The record as a fact, its payload checked.
    pub(crate) fn fact(&self) -> Result<JobFact<'_>, Rejection> {
        match Fact::decode(&mut Decoder::new(&self.0), true) {
            Ok(Fact::Job(job)) => Ok(job),
            _ => Err(Rejection::NotFound { what: "the job's record (it does not read back whole)".into() }),
        }
    }
}

/// A fact of an old segment that may still be needed.
pub(crate) struct Candidate {
    pub(crate) id: u128,
    pub(crate) place: Position,
    pub(crate) bytes: Vec<u8>,
}

impl Core {
    /// The record of a known job, from the batch being written or from the journal.
    pub(crate) fn record(&mut self, at: u32) -> Result<Record, Rejection> {
        let slot = *self.machine.slots.at(at);
        self.read(slot.place(), slot.len()).map(Record)
    }

    pub(crate) fn read(&mut self, place: Position, len: u32) -> Result<Vec<u8>, Rejection> {
        let start = self.out.start();
        if place >= start {
            let from = (place.offset - start.offset) as usize;
            let bytes = self.out.all_bytes();
            return Ok(bytes[from..from + len as usize].to_vec());
        }
        self.reader
            .read(place, len as usize)
            .map_err(|why| Rejection::NotFound { what: format!("the job's record ({why})") })
    }

    /// The changing part of a job as JSON, empty when nothing has happened to it.
    pub(crate) fn dynamic_of(&self, at: u32) -> Vec<u8> {
        let slot = *self.machine.slots.at(at);
        let machine = &self.machine;
        let running = slot.state() == State::Running;
        let extra = machine.extra(at).cloned().unwrap_or_default();
        let settled = slot.is(flag::SETTLED).then(|| machine.settled[slot.aux]);
        let given_up = extra.unique.is_none() && machine.attempt(at) > 0;
        let until_start = |scope| scope == UniqueScope::UntilStart;
        let dynamic = Dynamic {
            failures: extra.failures,
            losses: extra.losses,
            snoozes: extra.snoozes,
            no_handler: extra.no_handler,
            generation: extra.generation,
            cause: extra.cause as u8,
            fingerprint: extra.fingerprint,
            last_error: extra.last_error.as_deref().map(Into::into),
            reason: extra.reason.as_deref().map(Into::into),
            kept: extra.kept.clone(),
            ack: extra.ack,
            log_bytes: extra.log_bytes,
            snoozed: slot.is(flag::SNOOZED),
            cancel_requested: running && slot.is(flag::CANCEL),
            unique_given_up: given_up
                || extra.unique.as_ref().is_some_and(|u| until_start(u.scope) && slot.attempt > 0),
            lease: (running && slot.aux != NONE).then(|| {
                let lease = &machine.leases[slot.aux];
                DynamicLease {
                    counter: lease.counter,
                    nonce: lease.nonce,
                    worker: lease.worker,
                    started_at: lease.started_at,
                    deadline: lease.deadline,
                }
            }),
            settled: settled.map(|s| (s.counter, s.nonce, s.place.segment, s.place.offset, s.len)),
        };
        let fresh = Dynamic { unique_given_up: dynamic.unique_given_up, ..Dynamic::default() };
        if dynamic == fresh && (!dynamic.unique_given_up || extra.unique.is_none()) && slot.attempt == 0 {
            return Vec::new();
        }
        serde_json::to_vec(&dynamic).expect("our own plain structs always serialise")
    }

    /// Copies forward what is still needed of these facts; answers how many bytes that were.
    pub(crate) fn relocate(&mut self, candidates: &[Candidate]) -> usize {
        let before = self.out.bytes();
        for candidate in candidates {
            let Some(at) = self.machine.find(JobId(candidate.id)) else { continue };
            let slot = *self.machine.slots.at(at);
            if slot.place() == candidate.place {
                self.copy_record(at, &candidate.bytes);
            } else if self.keeps(at, candidate.place) {
                self.emit(&Fact::Kept {
                    id: candidate.id,
                    segment: candidate.place.segment,
                    offset: candidate.place.offset,
                    fact: &candidate.bytes,
                });
            }
        }
        self.out.bytes() - before
    }

    fn copy_record(&mut self, at: u32, bytes: &[u8]) {
        let Ok(Fact::Job(old)) = Fact::decode(&mut Decoder::new(bytes), true) else { return };
        let slot = *self.machine.slots.at(at);
        let dynamic = self.dynamic_of(at);
        let group = self.machine.group_name(at);
        let fact = Fact::Job(JobFact {
            origin: Origin::Moved,
            job: self.machine.job_ref(at, &group),
            state: slot.state() as u8,
            priority: self.machine.lane_of(at).priority,
            enqueued_at: old.enqueued_at,
            when: slot.when,
            seq: slot.seq,
            dynamic: &dynamic,
            options: old.options,
            payload: old.payload,
        });
        self.emit(&fact);
    }

    /// Whether the job still needs the fact at that place.
    fn keeps(&self, at: u32, place: Position) -> bool {
        let slot = self.machine.slots.at(at);
        let settled = slot.is(flag::SETTLED) && self.machine.settled[slot.aux].place == place;
        settled || self.machine.extra(at).is_some_and(|extra| extra.kept.iter().any(|k| k.place() == place))
    }

    /// Remembers anew the ended ids that only facts up to that segment remember.
    pub(crate) fn remember_anew(&mut self, segment: u32, most: usize) -> usize {
        let taken = self.machine.remembered.take_of_segment(segment, self.machine.now.wall, most);
        for gone in &taken {
            self.emit(&Fact::Remembered { id: gone.id, state: gone.state as u8, at: gone.at });
        }
        taken.len()
    }
}
