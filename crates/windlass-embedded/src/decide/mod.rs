//! Decisions: verbs come in, facts go out, and each fact is applied as it is made.
//!
//! One verb a file. A decision reads the machine, asks `windlass_core::lifecycle` what is allowed,
//! and emits facts; it never changes the machine in any other way, so that a replay of the facts
//! gives the same state. The batch of facts that it writes becomes durable as one.

pub(crate) mod admin;
pub(crate) mod claim;
pub(crate) mod enqueue;
pub(crate) mod jobs;
pub(crate) mod list;
pub(crate) mod relocate;
pub(crate) mod settings;
pub(crate) mod settle;
pub(crate) mod upkeep;
pub(crate) mod why;

use crate::clock::Now;
use crate::fact::Fact;
use crate::journal::{BATCH_HEADER_BYTES, BatchBuffer, Position};
use crate::machine::Machine;
use windlass_core::lifecycle::{Standing, Step, Token, Verb, step};
use windlass_core::{JobId, Kind, QueueName, Rejection};

/// Lease counters are `epoch << EPOCH_SHIFT` and up: 2^24 starts of 2^40 leases each.
pub(crate) const EPOCH_SHIFT: u32 = 40;

/// The batch that is being written.
pub(crate) struct Out {
    buf: BatchBuffer,
    start: Position,
    /// What the last tick in it says.
    dated: Option<Now>,
    /// A fact was written that an answer may depend on: anything but a claim.
    pub(crate) dirty: bool,
}

impl Out {
    pub(crate) fn new(start: Position) -> Self {
        Self { buf: BatchBuffer::with_capacity(16 << 10), start, dated: None, dirty: false }
    }

    fn write(&mut self, fact: &Fact<'_>) -> (Position, u32) {
        let bytes = self.buf.bytes_mut();
        let at = bytes.len();
        fact.encode(bytes);
        let len = bytes.len() - at;
        let offset = self.start.offset + at as u32;
        (Position { segment: self.start.segment, offset }, len as u32)
    }

    /// Bytes of the batch so far, its header included.
    pub(crate) fn bytes(&self) -> usize {
        BATCH_HEADER_BYTES + self.buf.body().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// The batch from its start, header space included: what a position in it indexes.
    pub(crate) fn all_bytes(&mut self) -> &[u8] {
        self.buf.bytes_mut()
    }

    pub(crate) fn start(&self) -> Position {
        self.start
    }

    pub(crate) fn into_buffer(self) -> BatchBuffer {
        self.buf
    }
}

/// The machine and the batch of facts that it is about to owe the journal.
pub(crate) struct Core {
    pub(crate) machine: Machine,
    pub(crate) out: Out,
    /// Space runs out: enqueues are refused, everything that ends work goes on.
    pub(crate) space_low: bool,
    /// Workers that wait for work, in the order in which they asked.
    pub(crate) watchers: crate::watch::Watchers,
    /// Reads back records of jobs that are edited or shown.
    pub(crate) reader: crate::journal::Reader,
    /// Bytes on disk, as of the last rotation.
    pub(crate) disk_bytes: u64,
    /// The oldest segment that is kept, for readers of events.
    pub(crate) first_segment: u32,
    /// The oldest segment that readers may hold back jobs from, as of the last rotation.
    pub(crate) reach: u32,
    /// Children that the verb being decided may still release in its own step.
    pub(crate) children_left: usize,
}

impl Core {
    /// Dates everything that follows.
    pub(crate) fn begin(&mut self, now: Now) {
        self.machine.now = Now { wall: now.wall, store: now.store.max(self.machine.now.store) };
    }

    /// Gives the verb that is decided next its share of children to release.
    pub(crate) fn children_budget(&mut self) {
        self.children_left = windlass_core::bounds::CHILDREN_PER_STEP;
    }

    /// Where the next batch begins, or this one ends as it stands.
    pub(crate) fn next_position(&self) -> Position {
        let start = self.out.start();
        if self.out.is_empty() {
            return start;
        }
        let end = (self.out.bytes() as u32).next_multiple_of(8);
        Position { segment: start.segment, offset: start.offset + end }
    }

    /// Writes a fact and applies it.
    pub(crate) fn emit(&mut self, fact: &Fact<'_>) {
        let (place, len) = self.write(fact);
        self.out.dirty = true;
        self.machine.apply(fact, place, len).expect("a fact just decided from this state applies to it");
    }

    /// Writes a fact, behind the tick that dates it if the last one does not.
    pub(crate) fn write(&mut self, fact: &Fact<'_>) -> (Position, u32) {
        let now = self.machine.now;
        if self.out.dated != Some(now) {
            self.out.dated = Some(now);
            self.out.write(&Fact::Tick { wall: now.wall, store: now.store });
        }
        self.out.write(fact)
    }

    /// What the state table says about a verb on a job that needs no lease.
    pub(crate) fn ask(&self, at: u32, verb: Verb) -> Result<Step, Rejection> {
        step(self.standing(at), verb, Token::Current)
    }

    pub(crate) fn standing(&self, at: u32) -> Standing {
        let slot = self.machine.slots.at(at);
        Standing {
            state: slot.state(),
            cancel_requested: slot.is(crate::machine::slots::flag::CANCEL),
            started: self.machine.attempt(at) > 0,
        }
    }

    pub(crate) fn known(&self, id: JobId) -> Result<u32, Rejection> {
        self.machine.find(id).ok_or_else(|| Rejection::NotFound { what: format!("job {id}") })
    }

    pub(crate) fn queue_for(&mut self, name: &QueueName) -> Result<u16, Rejection> {
        if let Some(number) = self.machine.queue_number(name) {
            return Ok(number);
        }
        let number = self.machine.queues.len();
        if number >= windlass_core::bounds::QUEUES_MAX {
            return Err(Rejection::Invalid {
                what: "queue name",
                why: "this store has 60,000 queues; use groups inside a queue for tenants or campaigns"
                    .into(),
            });
        }
        self.emit(&Fact::Queue { number: number as u16, name: name.as_str() });
        Ok(number as u16)
    }

    pub(crate) fn kind_for(&mut self, name: &Kind) -> Result<u16, Rejection> {
        if let Some(number) = self.machine.kind_numbers.get(name) {
            return Ok(*number);
        }
        let number = self.machine.kinds.len();
        if number >= windlass_core::bounds::KINDS_MAX {
            return Err(Rejection::Invalid {
                what: "kind",
                why: "this store has 60,000 kinds; a kind names a handler, data belongs in the payload"
                    .into(),
            });
        }
        self.emit(&Fact::Kind { number: number as u16, name: name.as_str() });
        Ok(number as u16)
    }

    /// Store time as a wall-clock instant, for answers.
    pub(crate) fn to_wall(&self, store: u64) -> u64 {
        self.machine.now.wall + store.saturating_sub(self.machine.now.store)
    }
}
