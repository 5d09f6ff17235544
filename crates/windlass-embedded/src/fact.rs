//! Facts: what the journal holds. Each is something that has happened, with its resulting values,
//! never a command to be decided again.
//!
//! A batch is a sequence of facts; it begins with a [`Fact::Tick`] that dates those behind it.
//! Queues and kinds are numbered once and never renumbered; groups are named in full, so that a
//! reader of the event log needs no history to understand a batch.
//! `FORMAT.md` draws the bytes; this module is their only encoder and decoder.

use crate::codec::{Decoder, Encoder, Malformed};
use windlass_core::event::Cause;

/// Which job a fact is about, with what its event shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ref<'a> {
    pub(crate) id: u128,
    pub(crate) queue: u16,
    pub(crate) kind: u16,
    /// Empty for the group of jobs without a key.
    pub(crate) group: &'a str,
    pub(crate) attempt: u32,
}

/// Why a whole job record stands in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A new job.
    Enqueued = 0,
    /// Copied forward so that an old segment could be reclaimed; no event.
    Moved = 1,
    /// Changed by an edit.
    Edited = 2,
    /// Changed by the conflict policy of its unique key.
    Conflicted = 3,
}

/// A whole job as the journal has it. `dynamic` is present when the job is not fresh.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JobFact<'a> {
    pub(crate) origin: Origin,
    pub(crate) job: Ref<'a>,
    pub(crate) state: u8,
    pub(crate) priority: i8,
    pub(crate) enqueued_at: u64,
    pub(crate) when: u64,
    pub(crate) seq: u64,
    /// JSON of `machine::extra::Dynamic`, or empty.
    pub(crate) dynamic: &'a [u8],
    /// JSON of `machine::extra::Options`, or empty.
    pub(crate) options: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// How an attempt was held: in every fact that ends one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) counter: u64,
    pub(crate) nonce: u64,
    pub(crate) worker: u64,
    pub(crate) started_at: u64,
}

/// One fact. `next` fields hold the due time of a job that waits, or its sequence if it is ready.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fact<'a> {
    /// Everything behind it, up to the next one, happened then.
    Tick { wall: u64, store: u64 },
    /// The store was opened; lease counters from here on carry this epoch.
    Epoch { epoch: u64 },
    /// That number is that queue from here on.
    Queue { number: u16, name: &'a str },
    /// That number is that kind from here on.
    Kind { number: u16, name: &'a str },
    /// A whole job.
    Job(JobFact<'a>),
    /// T2 and run-now: ready.
    Promoted { job: Ref<'a>, seq: u64, cause: Cause },
    /// T3.
    Claimed { job: Ref<'a>, held: Held, deadline: u64 },
    /// T5.
    Completed { job: Ref<'a>, held: Held, result: Option<&'a [u8]> },
    /// T6: retrying at `retry_at`, or dead. `error` is JSON of an `ErrorReport`.
    Failed { job: Ref<'a>, held: Held, dead: bool, cause: Cause, retry_at: u64, error: &'a [u8] },
    /// T7: likewise, by loss.
    Lost { job: Ref<'a>, held: Held, dead: bool, cause: Cause, retry_at: u64 },
    /// T8: scheduled again.
    Snoozed { job: Ref<'a>, held: Held, until: u64, cause: Cause, reason: &'a str },
    /// T8: ready again with `seq`, or scheduled for `until` when that is not 0.
    Released { job: Ref<'a>, held: Held, until: u64, seq: u64, cause: Cause },
    /// T9, T10, T11, T14.
    Cancelled { job: Ref<'a>, cause: Cause },
    /// T10.
    CancelRequested { job: Ref<'a> },
    /// T12: ready with `seq`, or blocked when that is 0.
    Retried { job: Ref<'a>, seq: u64 },
    /// T11: ready with `seq`, or scheduled for its own time when that is 0.
    Unblocked { job: Ref<'a>, seq: u64 },
    /// T13.
    Removed { job: Ref<'a>, state: u8, cause: Cause },
    /// Those ended ids are still remembered (copied forward).
    Remembered { id: u128, state: u8, at: u64 },
    /// Lines of an attempt's log.
    Log { job: Ref<'a>, text: &'a str },
    /// What the next attempt gets.
    Checkpoint { job: Ref<'a>, bytes: &'a [u8] },
    /// How far the attempt is.
    Progress { job: Ref<'a>, percent: u8, message: Option<&'a str> },
    /// A fact that a job still needs, copied forward from `(segment, offset)`.
    Kept { id: u128, segment: u32, offset: u32, fact: &'a [u8] },
    /// Settings of a queue (JSON).
    SetQueue { queue: u16, settings: &'a [u8] },
    /// Settings of a group (JSON), empty for the queue's defaults.
    SetGroup { queue: u16, group: &'a str, settings: &'a [u8] },
    /// Settings of a named limit (JSON), empty for none.
    SetLimit { name: &'a str, settings: &'a [u8] },
    /// A rate-limited snooze holds something back until then (store time).
    Held { what: u8, queue: u16, name: &'a str, until: u64 },
    /// A schedule (JSON of its spec), empty for none.
    SetSchedule { name: &'a str, spec: &'a [u8] },
    /// A schedule ticked; `job` is 0 when the tick made none.
    Ticked { name: &'a str, tick: u64, job: u128, skipped: u32 },
    /// A reader of the event log and its place.
    Reader { name: &'a str, place: u64, index: u32, what: ReaderFact },
    /// A value kept for the server.
    Meta { key: &'a str, version: u64, value: &'a [u8] },
    /// Everything that is in no job record (JSON); the first fact of every segment.
    Snapshot { state: &'a [u8] },
    /// Nothing in the segments up to that one is needed: they may be gone from here on.
    GivenBack { through: u32 },
}

/// What is said of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReaderFact {
    /// It reads the log.
    Reads,
    /// It is forgotten.
    Gone,
    /// It reads the log, and needs the jobs that ended at that time (wall clock, ms) or later.
    KeepsFrom(u64),
}

impl<'a> Ref<'a> {
    fn encode(&self, out: &mut Encoder<'_>) {
        out.u128(self.id);
        out.u16(self.queue);
        out.u16(self.kind);
        out.u32(self.attempt);
        out.short(self.group);
    }

    fn decode(from: &mut Decoder<'a>) -> Result<Self, Malformed> {
        Ok(Ref {
            id: from.u128()?,
            queue: from.u16()?,
            kind: from.u16()?,
            attempt: from.u32()?,
            group: from.short()?,
        })
    }
}

impl Held {
    fn encode(&self, out: &mut Encoder<'_>) {
        out.u64(self.counter);
        out.u64(self.nonce);
        out.u64(self.worker);
        out.u64(self.started_at);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, Malformed> {
        Ok(Held { counter: from.u64()?, nonce: from.u64()?, worker: from.u64()?, started_at: from.u64()? })
    }
}

impl<'a> JobFact<'a> {
    fn encode(&self, out: &mut Encoder<'_>) {
        out.u8(self.origin as u8);
        self.job.encode(out);
        out.u8(self.state);
        out.u8(self.priority as u8);
        out.u64(self.enqueued_at);
        out.u64(self.when);
        out.u64(self.seq);
        out.bytes(self.dynamic);
        out.bytes(self.options);
        out.u32(crc32c::crc32c_append(crc32c::crc32c(self.options), self.payload));
        out.bytes(self.payload);
    }

    fn decode(from: &mut Decoder<'a>, verify: bool) -> Result<Self, Malformed> {
        let origin = match from.u8()? {
            0 => Origin::Enqueued,
            1 => Origin::Moved,
            2 => Origin::Edited,
            3 => Origin::Conflicted,
            _ => return Err(Malformed("unknown origin of a job record")),
        };
        let job = Ref::decode(from)?;
        let state = from.u8()?;
        let priority = from.u8()? as i8;
        let (enqueued_at, when, seq) = (from.u64()?, from.u64()?, from.u64()?);
        let (dynamic, options) = (from.bytes()?, from.bytes()?);
        let crc = from.u32()?;
        let payload = from.bytes()?;
        if verify && crc != crc32c::crc32c_append(crc32c::crc32c(options), payload) {
            return Err(Malformed("the payload's checksum does not match"));
        }
        Ok(JobFact { origin, job, state, priority, enqueued_at, when, seq, dynamic, options, payload })
    }
}

mod tag {
    pub(super) const TICK: u8 = 1;
    pub(super) const EPOCH: u8 = 2;
    pub(super) const QUEUE: u8 = 3;
    pub(super) const KIND: u8 = 4;
    pub(super) const JOB: u8 = 5;
    pub(super) const PROMOTED: u8 = 6;
    pub(super) const CLAIMED: u8 = 7;
    pub(super) const COMPLETED: u8 = 8;
    pub(super) const FAILED: u8 = 9;
    pub(super) const LOST: u8 = 10;
    pub(super) const SNOOZED: u8 = 11;
    pub(super) const RELEASED: u8 = 12;
    pub(super) const CANCELLED: u8 = 13;
    pub(super) const CANCEL_REQUESTED: u8 = 14;
    pub(super) const RETRIED: u8 = 15;
    pub(super) const UNBLOCKED: u8 = 16;
    pub(super) const REMOVED: u8 = 17;
    pub(super) const REMEMBERED: u8 = 18;
    pub(super) const LOG: u8 = 19;
    pub(super) const CHECKPOINT: u8 = 20;
    pub(super) const PROGRESS: u8 = 21;
    pub(super) const KEPT: u8 = 22;
    pub(super) const SET_QUEUE: u8 = 23;
    pub(super) const SET_GROUP: u8 = 24;
    pub(super) const SET_LIMIT: u8 = 25;
    pub(super) const HELD: u8 = 26;
    pub(super) const SET_SCHEDULE: u8 = 27;
    pub(super) const TICKED: u8 = 28;
    pub(super) const READER: u8 = 29;
    pub(super) const META: u8 = 30;
    pub(super) const SNAPSHOT: u8 = 31;
    pub(super) const GIVEN_BACK: u8 = 32;
}

impl<'a> Fact<'a> {
    /// Appends the fact's bytes.
    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        let out = &mut Encoder(to);
        match *self {
            Fact::Tick { wall, store } => {
                out.u8(tag::TICK);
                out.u64(wall);
                out.u64(store);
            }
            Fact::Epoch { epoch } => {
                out.u8(tag::EPOCH);
                out.u64(epoch);
            }
            Fact::Queue { number, name } => {
                out.u8(tag::QUEUE);
                out.u16(number);
                out.short(name);
            }
            Fact::Kind { number, name } => {
                out.u8(tag::KIND);
                out.u16(number);
                out.short(name);
            }
            Fact::Job(job) => {
                out.u8(tag::JOB);
                job.encode(out);
            }
            Fact::Promoted { job, seq, cause } => {
                out.u8(tag::PROMOTED);
                job.encode(out);
                out.u64(seq);
                out.u8(cause as u8);
            }
            Fact::Claimed { job, held, deadline } => {
                out.u8(tag::CLAIMED);
                job.encode(out);
                held.encode(out);
                out.u64(deadline);
            }
            Fact::Completed { job, held, result } => {
                out.u8(tag::COMPLETED);
                job.encode(out);
                held.encode(out);
                out.u8(u8::from(result.is_some()));
                out.bytes(result.unwrap_or_default());
            }
            Fact::Failed { job, held, dead, cause, retry_at, error } => {
                out.u8(tag::FAILED);
                job.encode(out);
                held.encode(out);
                out.u8(u8::from(dead));
                out.u8(cause as u8);
                out.u64(retry_at);
                out.bytes(error);
            }
            Fact::Lost { job, held, dead, cause, retry_at } => {
                out.u8(tag::LOST);
                job.encode(out);
                held.encode(out);
                out.u8(u8::from(dead));
                out.u8(cause as u8);
                out.u64(retry_at);
            }
            Fact::Snoozed { job, held, until, cause, reason } => {
                out.u8(tag::SNOOZED);
                job.encode(out);
                held.encode(out);
                out.u64(until);
                out.u8(cause as u8);
                out.bytes(reason.as_bytes());
            }
            Fact::Released { job, held, until, seq, cause } => {
                out.u8(tag::RELEASED);
                job.encode(out);
                held.encode(out);
                out.u64(until);
                out.u64(seq);
                out.u8(cause as u8);
            }
            Fact::Cancelled { job, cause } => {
                out.u8(tag::CANCELLED);
                job.encode(out);
                out.u8(cause as u8);
            }
            Fact::CancelRequested { job } => {
                out.u8(tag::CANCEL_REQUESTED);
                job.encode(out);
            }
            Fact::Retried { job, seq } => {
                out.u8(tag::RETRIED);
                job.encode(out);
                out.u64(seq);
            }
            Fact::Unblocked { job, seq } => {
                out.u8(tag::UNBLOCKED);
                job.encode(out);
                out.u64(seq);
            }
            Fact::Removed { job, state, cause } => {
                out.u8(tag::REMOVED);
                job.encode(out);
                out.u8(state);
                out.u8(cause as u8);
            }
            Fact::Remembered { id, state, at } => {
                out.u8(tag::REMEMBERED);
                out.u128(id);
                out.u8(state);
                out.u64(at);
            }
            Fact::Log { job, text } => {
                out.u8(tag::LOG);
                job.encode(out);
                out.bytes(text.as_bytes());
            }
            Fact::Checkpoint { job, bytes } => {
                out.u8(tag::CHECKPOINT);
                job.encode(out);
                out.bytes(bytes);
            }
            Fact::Progress { job, percent, message } => {
                out.u8(tag::PROGRESS);
                job.encode(out);
                out.u8(percent);
                out.u8(u8::from(message.is_some()));
                out.bytes(message.unwrap_or_default().as_bytes());
            }
            Fact::Kept { id, segment, offset, fact } => {
                out.u8(tag::KEPT);
                out.u128(id);
                out.u32(segment);
                out.u32(offset);
                out.bytes(fact);
            }
            Fact::SetQueue { queue, settings } => {
                out.u8(tag::SET_QUEUE);
                out.u16(queue);
                out.bytes(settings);
            }
            Fact::SetGroup { queue, group, settings } => {
                out.u8(tag::SET_GROUP);
                out.u16(queue);
                out.short(group);
                out.bytes(settings);
            }
            Fact::SetLimit { name, settings } => {
                out.u8(tag::SET_LIMIT);
                out.short(name);
                out.bytes(settings);
            }
            Fact::Held { what, queue, name, until } => {
                out.u8(tag::HELD);
                out.u8(what);
                out.u16(queue);
                out.short(name);
                out.u64(until);
            }
            Fact::SetSchedule { name, spec } => {
                out.u8(tag::SET_SCHEDULE);
                out.short(name);
                out.bytes(spec);
            }
            Fact::Ticked { name, tick, job, skipped } => {
                out.u8(tag::TICKED);
                out.short(name);
                out.u64(tick);
                out.u128(job);
                out.u32(skipped);
            }
            Fact::Reader { name, place, index, what } => {
                out.u8(tag::READER);
                out.short(name);
                out.u64(place);
                out.u32(index);
                match what {
                    ReaderFact::Reads => out.u8(0),
                    ReaderFact::Gone => out.u8(1),
                    ReaderFact::KeepsFrom(at) => {
                        out.u8(2);
                        out.u64(at);
                    }
                }
            }
            Fact::Meta { key, version, value } => {
                out.u8(tag::META);
                out.short(key);
                out.u64(version);
                out.bytes(value);
            }
            Fact::Snapshot { state } => {
                out.u8(tag::SNAPSHOT);
                out.bytes(state);
            }
            Fact::GivenBack { through } => {
                out.u8(tag::GIVEN_BACK);
                out.u32(through);
            }
        }
    }

    /// The next fact of a batch. `verify` checks a job's payload against its own checksum, which a
    /// reader of a single record needs and a replay, whose batch has been checked, does not.
    pub(crate) fn decode(from: &mut Decoder<'a>, verify: bool) -> Result<Fact<'a>, Malformed> {
        fn text<'a>(from: &mut Decoder<'a>) -> Result<&'a str, Malformed> {
            std::str::from_utf8(from.bytes()?).map_err(|_| Malformed("a text is not UTF-8"))
        }
        fn cause(from: &mut Decoder<'_>) -> Result<Cause, Malformed> {
            Ok(Cause::from_number(from.u8()?))
        }
        Ok(match from.u8()? {
            tag::TICK => Fact::Tick { wall: from.u64()?, store: from.u64()? },
            tag::EPOCH => Fact::Epoch { epoch: from.u64()? },
            tag::QUEUE => Fact::Queue { number: from.u16()?, name: from.short()? },
            tag::KIND => Fact::Kind { number: from.u16()?, name: from.short()? },
            tag::JOB => Fact::Job(JobFact::decode(from, verify)?),
            tag::PROMOTED => {
                Fact::Promoted { job: Ref::decode(from)?, seq: from.u64()?, cause: cause(from)? }
            }
            tag::CLAIMED => {
                Fact::Claimed { job: Ref::decode(from)?, held: Held::decode(from)?, deadline: from.u64()? }
            }
            tag::COMPLETED => {
                let (job, held) = (Ref::decode(from)?, Held::decode(from)?);
                let some = from.u8()? != 0;
                let bytes = from.bytes()?;
                Fact::Completed { job, held, result: some.then_some(bytes) }
            }
            tag::FAILED => Fact::Failed {
                job: Ref::decode(from)?,
                held: Held::decode(from)?,
                dead: from.u8()? != 0,
                cause: cause(from)?,
                retry_at: from.u64()?,
                error: from.bytes()?,
            },
            tag::LOST => Fact::Lost {
                job: Ref::decode(from)?,
                held: Held::decode(from)?,
                dead: from.u8()? != 0,
                cause: cause(from)?,
                retry_at: from.u64()?,
            },
            tag::SNOOZED => Fact::Snoozed {
                job: Ref::decode(from)?,
                held: Held::decode(from)?,
                until: from.u64()?,
                cause: cause(from)?,
                reason: text(from)?,
            },
            tag::RELEASED => Fact::Released {
                job: Ref::decode(from)?,
                held: Held::decode(from)?,
                until: from.u64()?,
                seq: from.u64()?,
                cause: cause(from)?,
            },
            tag::CANCELLED => Fact::Cancelled { job: Ref::decode(from)?, cause: cause(from)? },
            tag::CANCEL_REQUESTED => Fact::CancelRequested { job: Ref::decode(from)? },
            tag::RETRIED => Fact::Retried { job: Ref::decode(from)?, seq: from.u64()? },
            tag::UNBLOCKED => Fact::Unblocked { job: Ref::decode(from)?, seq: from.u64()? },
            tag::REMOVED => Fact::Removed { job: Ref::decode(from)?, state: from.u8()?, cause: cause(from)? },
            tag::REMEMBERED => Fact::Remembered { id: from.u128()?, state: from.u8()?, at: from.u64()? },
            tag::LOG => Fact::Log { job: Ref::decode(from)?, text: text(from)? },
            tag::CHECKPOINT => Fact::Checkpoint { job: Ref::decode(from)?, bytes: from.bytes()? },
            tag::PROGRESS => {
                let (job, percent) = (Ref::decode(from)?, from.u8()?);
                let some = from.u8()? != 0;
                let message = text(from)?;
                Fact::Progress { job, percent, message: some.then_some(message) }
            }
            tag::KEPT => Fact::Kept {
                id: from.u128()?,
                segment: from.u32()?,
                offset: from.u32()?,
                fact: from.bytes()?,
            },
            tag::SET_QUEUE => Fact::SetQueue { queue: from.u16()?, settings: from.bytes()? },
            tag::SET_GROUP => {
                Fact::SetGroup { queue: from.u16()?, group: from.short()?, settings: from.bytes()? }
            }
            tag::SET_LIMIT => Fact::SetLimit { name: from.short()?, settings: from.bytes()? },
            tag::HELD => {
                Fact::Held { what: from.u8()?, queue: from.u16()?, name: from.short()?, until: from.u64()? }
            }
            tag::SET_SCHEDULE => Fact::SetSchedule { name: from.short()?, spec: from.bytes()? },
            tag::TICKED => Fact::Ticked {
                name: from.short()?,
                tick: from.u64()?,
                job: from.u128()?,
                skipped: from.u32()?,
            },
            tag::READER => Fact::Reader {
                name: from.short()?,
                place: from.u64()?,
                index: from.u32()?,
                what: match from.u8()? {
                    0 => ReaderFact::Reads,
                    1 => ReaderFact::Gone,
                    2 => ReaderFact::KeepsFrom(from.u64()?),
                    _ => return Err(Malformed("unknown kind of reader")),
                },
            },
            tag::META => Fact::Meta { key: from.short()?, version: from.u64()?, value: from.bytes()? },
            tag::SNAPSHOT => Fact::Snapshot { state: from.bytes()? },
            tag::GIVEN_BACK => Fact::GivenBack { through: from.u32()? },
            _ => return Err(Malformed("unknown fact")),
        })
    }
}
