//! The record of a job, as `lua/prelude/record.lua` lays it out: written here for a new job, from its
//! names on; read here whole.

use windlass_core::event::{Cause, EventType};
use windlass_core::fingerprint::Fingerprint;
use windlass_core::job::{
    AttemptRecord, ErrorReport, JobBody, JobDetail, JobOptions, JobView, NewJob, Progress,
};
use windlass_core::name::{GroupKey, Kind, QueueName};
use windlass_core::store::ClaimedJob;
use windlass_core::{JobId, Lease, LeaseToken, State, Time, WorkerId};

use crate::wire::{Misread, Read, Unpack};

/// A job's queue, kind and group, each behind its length.
pub(crate) fn names_of(job: &NewJob) -> Vec<u8> {
    let mut names = Vec::with_capacity(64);
    for name in [job.queue.as_str(), job.kind.as_str(), job.group.as_ref().map_or("", |g| g.as_str())] {
        // Every name and key is at most 255 bytes long.
        names.push(name.len() as u8);
        names.extend_from_slice(name.as_bytes());
    }
    names
}

/// A new job's record from its names on, and whether it has options.
pub(crate) fn body_of(job: &NewJob) -> (Vec<u8>, bool) {
    let options = JobOptions::of(job);
    let mut body = names_of(job);
    body.reserve_exact(job.payload.len());
    if let Some(options) = &options {
        let json = serde_json::to_vec(options).expect("our own plain structs always serialise");
        body.extend_from_slice(&(json.len() as u32).to_be_bytes());
        body.extend_from_slice(&json);
    }
    body.extend_from_slice(&job.payload);
    (body, options.is_some())
}

mod flag {
    pub(super) const EXT: u64 = 1;
    pub(super) const OPTIONS: u64 = 2;
    pub(super) const CANCEL: u64 = 128;
}

/// The acknowledgement of a completion, in a record.
const ACK_COMPLETED: u64 = 1;

/// A whole record.
pub(crate) struct Record<'a> {
    id: JobId,
    state: State,
    flags: u64,
    priority: i8,
    enqueued_at: Time,
    when: Time,
    attempt: u32,
    failures: u32,
    losses: u32,
    snoozes: u32,
    cause: Cause,
    token: LeaseToken,
    worker: WorkerId,
    started_at: Time,
    deadline: Time,
    ack: u64,
    print: u64,
    queue: QueueName,
    kind: Kind,
    group: Option<GroupKey>,
    options: JobOptions,
    payload: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads a record.
    pub(crate) fn read(id: JobId, bytes: &'a [u8]) -> Read<Self> {
        let mut from = Unpack(bytes);
        let state = State::from_number(from.int(1)? as u8).ok_or(Misread("state"))?;
        let flags = from.int(2)?;
        let priority = from.int(1)? as u8 as i8;
        let enqueued_at = Time(from.int(6)?);
        let when = Time(from.int(6)?);
        let (_seq, _number) = (from.int(6)?, from.int(6)?);
        let mut record = Record {
            id,
            state,
            flags,
            priority,
            enqueued_at,
            when,
            attempt: 0,
            failures: 0,
            losses: 0,
            snoozes: 0,
            cause: Cause::None,
            token: LeaseToken::default(),
            worker: WorkerId(0),
            started_at: Time::ZERO,
            deadline: Time::ZERO,
            ack: 0,
            print: 0,
            queue: QueueName::new("q").map_err(|_| Misread("queue"))?,
            kind: Kind::new("k").map_err(|_| Misread("kind"))?,
            group: None,
            options: JobOptions::default(),
            payload: &[],
        };
        if flags & flag::EXT != 0 {
            record.attempt = from.u32(4)?;
            record.failures = from.u32(2)?;
            record.losses = from.u32(1)?;
            record.snoozes = from.u32(2)?;
            let (_no_handler, _generation) = (from.int(2)?, from.int(4)?);
            record.cause = Cause::from_number(from.int(1)? as u8);
            let (_expires, _until_due) = (from.int(6)?, from.int(6)?);
            record.token = LeaseToken { counter: from.int(8)?, nonce: from.int(8)? };
            record.worker = WorkerId(from.int(8)?);
            record.started_at = Time(from.int(6)?);
            record.deadline = Time(from.int(6)?);
            let (_grace, _ack_counter, _ack_nonce) = (from.int(6)?, from.int(8)?, from.int(8)?);
            record.ack = from.int(1)?;
            record.print = from.int(8)?;
            let _log_bytes = from.int(4)?;
        }
        record.queue = QueueName::new(from.text(1)?).map_err(|_| Misread("queue"))?;
        record.kind = Kind::new(from.text(1)?).map_err(|_| Misread("kind"))?;
        record.group = GroupKey::new(from.text(1)?).ok();
        if flags & flag::OPTIONS != 0 {
            let json = from.text(4)?;
            record.options = serde_json::from_str(json).map_err(|_| Misread("options"))?;
        }
        record.payload = from.0;
        Ok(record)
    }

    /// Whether the record says that the job waits for a worker.
    pub(crate) fn waits(&self) -> bool {
        self.state == State::Ready
    }

    /// The job as its head says it runs, which `lua/prelude/plain.lua` lays out: state, token, worker, start, place,
    /// deadline.
    pub(crate) fn started(mut self, head: &[u8]) -> Read<Self> {
        let mut from = Unpack(head);
        self.state = State::from_number(from.int(1)? as u8).ok_or(Misread("state"))?;
        self.token = LeaseToken { counter: from.int(8)?, nonce: from.int(8)? };
        self.worker = WorkerId(from.int(8)?);
        self.started_at = Time(from.int(6)?);
        let _place = from.int(6)?;
        self.deadline = Time(from.int(6)?);
        self.attempt = 1;
        Ok(self)
    }

    /// The job as the worker gets it that has just claimed it.
    pub(crate) fn claimed(self, checkpoint: Option<Vec<u8>>) -> ClaimedJob {
        ClaimedJob {
            lease: Lease { job: self.id, attempt: self.attempt, token: self.token, deadline: self.deadline },
            lease_ms: self.deadline.since(self.started_at),
            queue: self.queue,
            kind: self.kind,
            group: self.group,
            payload: self.payload.to_vec(),
            priority: self.priority,
            failures: self.failures,
            losses: self.losses,
            snoozes: self.snoozes,
            enqueued_at: self.enqueued_at,
            ready_at: self.when,
            checkpoint,
            tags: self.options.tags,
            timeout_ms: self.options.timeout_ms,
            trace: self.options.trace,
        }
    }

    /// What a list shows.
    pub(crate) fn view(&self, last_error: Option<String>) -> JobView {
        let cause = Some(self.cause).filter(|cause| *cause != Cause::None);
        JobView {
            id: self.id,
            state: self.state,
            queue: self.queue.clone(),
            kind: self.kind.clone(),
            group: self.group.clone(),
            priority: self.priority,
            tags: self.options.tags.clone(),
            attempt: self.attempt,
            failures: self.failures,
            losses: self.losses,
            snoozes: self.snoozes,
            enqueued_at: self.enqueued_at,
            since: if self.state == State::Running { self.started_at } else { self.when },
            last_error,
            fingerprint: (self.print != 0).then_some(Fingerprint(self.print)),
            // That somebody asked for it is the common case, which is not written.
            cause: cause.or((self.state == State::Cancelled).then_some(Cause::Requested)),
        }
    }

    /// What the job brings to its handler.
    pub(crate) fn body(self) -> JobBody {
        JobBody {
            payload: self.payload.to_vec(),
            priority: self.priority,
            tags: self.options.tags,
            trace: self.options.trace,
        }
    }

    /// The payload.
    pub(crate) fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Everything about the job, with what stands beside its record.
    pub(crate) fn detail(&self, extras: &Extras, children: Vec<JobId>) -> JobDetail {
        let running = self.state == State::Running;
        let mut attempts = extras.attempts.clone();
        let attempt = |ended_at, outcome: &str| AttemptRecord {
            attempt: self.attempt,
            worker: self.worker,
            started_at: self.started_at,
            ended_at,
            outcome: outcome.to_owned(),
            error: None,
        };
        if running {
            attempts.push(attempt(None, "running"));
        } else if self.state == State::Completed && self.ack == ACK_COMPLETED {
            attempts.push(attempt(Some(self.when), EventType::Completed.as_str()));
        }
        JobDetail {
            view: self.view(extras.last_error.clone()),
            payload: self.payload.to_vec(),
            result: extras.result.clone().filter(|_| self.state == State::Completed),
            checkpoint: extras.checkpoint.clone(),
            progress: extras.progress.clone(),
            attempts,
            unique: self.options.unique.clone(),
            limits: self.options.limits.clone(),
            parents: self.options.parents.clone(),
            children,
            retry: self.options.retry.clone(),
            expires_at: self.options.expires_at,
            timeout_ms: self.options.timeout_ms,
            trace: self.options.trace.clone(),
            cancel_requested: running && self.flags & flag::CANCEL != 0,
            worker: running.then_some(self.worker),
            deadline: running.then_some(self.deadline),
        }
    }
}

/// What stands beside a job's record, in a hash of its own.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    attempts: Vec<AttemptRecord>,
    last_error: Option<String>,
    result: Option<Vec<u8>>,
    checkpoint: Option<Vec<u8>>,
    progress: Option<Progress>,
}

impl Extras {
    /// Reads the hash.
    pub(crate) fn read(pairs: Vec<(Vec<u8>, Vec<u8>)>) -> Read<Self> {
        let mut extras = Self::default();
        for (field, value) in pairs {
            match (field.first(), field.len()) {
                (Some(b'a'), _) => extras.attempts.push(attempt_of(&field[1..], &value)?),
                (Some(b'e'), 1) => extras.last_error = Some(String::from_utf8_lossy(&value).into_owned()),
                (Some(b'R'), 1) => extras.result = Some(value),
                (Some(b'c'), 1) => extras.checkpoint = Some(value),
                (Some(b'p'), 1) => extras.progress = serde_json::from_slice(&value).ok(),
                _ => {}
            }
        }
        extras.attempts.sort_by_key(|attempt| attempt.attempt);
        Ok(extras)
    }
}

fn attempt_of(number: &[u8], packed: &[u8]) -> Read<AttemptRecord> {
    let number = std::str::from_utf8(number).ok().and_then(|text| text.parse().ok());
    let mut from = Unpack(packed);
    let outcome = EventType::ALL.get(from.int(1)? as usize).ok_or(Misread("outcome"))?;
    let worker = WorkerId(from.int(8)?);
    let (started_at, ended_at) = (Time(from.int(6)?), Time(from.int(6)?));
    let error: Option<ErrorReport> = serde_json::from_slice(from.0).ok();
    Ok(AttemptRecord {
        attempt: number.ok_or(Misread("attempt"))?,
        worker,
        started_at,
        ended_at: Some(ended_at),
        outcome: outcome.to_string(),
        error,
    })
}
