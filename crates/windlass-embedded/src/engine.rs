//! The engine: one thread that decides and writes, one that makes durable.
//!
//! Callers leave requests in the inbox. The engine's thread takes whatever has gathered, decides it
//! request by request, and writes the facts as one batch. The sync thread makes everything written
//! so far durable with one sync and gives the answers that waited for it; meanwhile the next batch
//! is decided and written. So the more callers there are, the more share a sync, and no timer is
//! needed. A claim waits for the facts that it depends on, not for its own.
//!
//! A failed sync stops the engine for good: nobody knows what is on disk, so nothing is
//! acknowledged any more until the store is opened again.

use crate::clock::{Clock, Now};
use crate::compact::Compactor;
use crate::decide::{Core, Out};
use crate::fact::Fact;
use crate::journal::{BatchBuffer, Journal, JournalError, Position, Syncer};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use windlass_core::StoreError;

/// A batch is written when it has gathered that much: more would only delay the first answer.
const FLUSH_BYTES: usize = 512 << 10;
/// Room kept in a segment for what one request may cause beside what it brings: released children,
/// ticks, removals.
pub(crate) const REQUEST_ROOM: usize = 512 << 10;
/// Room that a request or a round of upkeep gets when the disk is full and the rest of the segment
/// is all there is; they do less at once then.
const TIGHT_ROOM: usize = 64 << 10;
/// Room kept for the word that a segment is given back: without it a full disk would never get space again.
const GIVE_BACK_ROOM: usize = 256;
/// Children and steps of upkeep that fit into it.
const TIGHT_STEPS: usize = 64;
/// Steps of upkeep between two requests: keeps every request's wait short.
const UPKEEP_STEPS: usize = 512;
/// How long the store must be idle before it states in the journal that all of it is durable.
const IDLE: Duration = Duration::from_secs(1);

/// What an answer has to wait for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    /// Every fact so far but claims.
    All,
    /// Every fact so far, claims too: what a reader of events must see.
    Every,
    /// The record at that place.
    Place(Position),
    /// Nothing.
    Nothing,
}

/// What a call does on the engine's thread.
type Run = Box<dyn FnOnce(Result<&mut Core, StoreError>) -> (Wait, Send) + std::marker::Send>;
/// Gives the answer, or the error that came instead.
pub(crate) type Send = Box<dyn FnOnce(Option<StoreError>) + std::marker::Send>;

/// One call: runs on the engine's thread against the core, or is told why it cannot.
pub(crate) struct Request {
    /// It only looks: a store that nobody has changed since it was opened stays as it is.
    pub(crate) looks: bool,
    /// The time that a test gave it.
    pub(crate) at: Option<u64>,
    /// The most bytes of facts that it brings.
    pub(crate) bytes: usize,
    /// The same when space runs out: nothing for enqueues, which are refused then.
    pub(crate) bytes_when_low: usize,
    pub(crate) run: Run,
}

/// What the inbox holds.
pub(crate) enum Message {
    Call(Request),
    /// Every fact that made the segment useless is durable: it can be given back.
    Reclaim(u32),
    /// A backup has let go of the segments that it held.
    Released,
    /// A clock that does not run by itself was moved, or spare space may be back.
    Wake,
    /// Finish and stop; told when it is done.
    Close(Send),
}

#[derive(Default)]
struct Inbox {
    messages: Vec<Message>,
    closed: bool,
}

/// What callers share with the engine.
pub(crate) struct Shared {
    inbox: Mutex<Inbox>,
    arrived: Condvar,
    stopped: Mutex<Option<StoreError>>,
    /// The newest durable LSN, for readers of events that wait.
    pub(crate) durable: tokio::sync::watch::Sender<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A panic on another thread leaves plain data behind that is whole at every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            inbox: Mutex::default(),
            arrived: Condvar::new(),
            stopped: Mutex::new(None),
            durable: tokio::sync::watch::channel(0).0,
        })
    }

    /// Leaves a message; a closed inbox gives it back.
    pub(crate) fn post(&self, message: Message) -> Result<(), Message> {
        let mut inbox = lock(&self.inbox);
        if inbox.closed {
            return Err(message);
        }
        inbox.messages.push(message);
        let first = inbox.messages.len() == 1;
        drop(inbox);
        if first {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Why the engine takes no more work.
    pub(crate) fn stopped(&self) -> StoreError {
        lock(&self.stopped).clone().unwrap_or_else(|| StoreError::stopped("call", "the store is closed"))
    }

    /// Whether it takes no more work: from then on the files may be somebody else's.
    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.inbox).closed
    }

    fn stop(&self, why: &StoreError) {
        lock(&self.stopped).get_or_insert_with(|| why.clone());
    }

    /// Takes everything that has gathered; waits for the first message, at most `for_ms`.
    fn take(&self, wait: Option<Duration>, into: &mut Vec<Message>) {
        let mut inbox = lock(&self.inbox);
        if inbox.messages.is_empty() {
            inbox = match wait {
                Some(wait) => {
                    self.arrived.wait_timeout(inbox, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.arrived.wait(inbox).unwrap_or_else(PoisonError::into_inner),
            };
        }
        std::mem::swap(&mut inbox.messages, into);
    }

    fn close(&self) -> Vec<Message> {
        let mut inbox = lock(&self.inbox);
        inbox.closed = true;
        std::mem::take(&mut inbox.messages)
    }
}

/// Answers that wait for a sync.
#[derive(Default)]
struct Due {
    answers: Vec<(u64, Send)>,
    /// Something was written since the last sync began.
    written: bool,
    stop: bool,
}

/// The sync thread's side.
pub(crate) struct SyncQueue {
    due: Mutex<Due>,
    some: Condvar,
}

impl SyncQueue {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { due: Mutex::default(), some: Condvar::new() })
    }

    fn push(&self, answers: &mut Vec<(u64, Send)>) {
        let mut due = lock(&self.due);
        due.answers.append(answers);
        due.written = true;
        drop(due);
        self.some.notify_one();
    }

    /// Ends the thread after a last sync.
    pub(crate) fn stop(&self) {
        lock(&self.due).stop = true;
        self.some.notify_one();
    }

    /// The sync thread: one sync for all that wait, again and again.
    pub(crate) fn run(&self, syncer: &Syncer, shared: &Shared) {
        let mut waiting: Vec<(u64, Send)> = Vec::new();
        loop {
            let stop = {
                let mut due = lock(&self.due);
                while !due.written && !due.stop {
                    due = self.some.wait(due).unwrap_or_else(PoisonError::into_inner);
                }
                due.written = false;
                waiting.append(&mut due.answers);
                due.stop && waiting.is_empty()
            };
            match syncer.sync() {
                Ok(durable) => {
                    shared.durable.send_replace(durable);
                    let mut later = Vec::new();
                    for (lsn, send) in waiting.drain(..) {
                        if lsn <= durable {
                            send(None);
                        } else {
                            later.push((lsn, send));
                        }
                    }
                    waiting = later;
                }
                Err(why) => {
                    let why = StoreError::stopped("sync", why.to_string());
                    shared.stop(&why);
                    for (_, send) in waiting.drain(..) {
                        send(Some(why.clone()));
                    }
                    // The engine's thread notices at its next write; wake it, so that it does.
                    let _ = shared.post(Message::Wake);
                }
            }
            if stop {
                return;
            }
        }
    }
}

/// How far acknowledgements go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ack {
    /// They survive power loss: one sync per group of calls.
    #[default]
    Power,
    /// They survive kill -9 of the process: no sync; power loss may take the last seconds.
    Process,
}

/// Turns the clock's two times into the engine's.
pub(crate) struct TimeBase {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) steady_at_open: u64,
    pub(crate) store_at_open: u64,
}

impl TimeBase {
    fn now(&self, at: Option<u64>) -> Now {
        if let Some(at) = at {
            return Now { wall: at, store: at };
        }
        let passed = self.clock.steady_ms().saturating_sub(self.steady_at_open);
        Now { wall: self.clock.wall_ms(), store: self.store_at_open + passed }
    }
}

/// The engine's thread and what it owns.
pub(crate) struct Engine {
    pub(crate) core: Core,
    pub(crate) journal: Journal,
    pub(crate) shared: Arc<Shared>,
    pub(crate) syncs: Arc<SyncQueue>,
    pub(crate) syncer: Syncer,
    pub(crate) ack: Ack,
    pub(crate) time: TimeBase,
    pub(crate) compactor: Compactor,
    /// Answers of the batch in the making.
    pub(crate) pending: Vec<(Wait, Send)>,
    /// Batches that are written and not known durable: LSN and start.
    pub(crate) unsynced: VecDeque<(u64, Position)>,
    /// The newest batch with a fact that answers depend on.
    pub(crate) last_dirty: u64,
    pub(crate) last_lsn: u64,
    /// Whether the newest batch states that all before it is durable.
    pub(crate) marked: bool,
    /// Something is due that did not fit into the last round.
    pub(crate) more_due: bool,
    /// What a start owes has been written. A store that is only looked at owes nothing: see [`Engine::begin`].
    pub(crate) begun: bool,
    /// A segment that is stated to be given back, and the LSN of that statement: it goes when that is durable.
    pub(crate) giving_back: Option<(u32, u64)>,
    /// A segment was begun or given back since compaction was last thought of.
    pub(crate) check_compaction: bool,
}

impl Engine {
    /// Runs until the store is closed or its journal fails.
    pub(crate) fn run(mut self) {
        let mut messages = Vec::new();
        loop {
            let wait = self.wait();
            self.shared.take(wait, &mut messages);
            let idle = messages.is_empty();
            let mut closing = None;
            let outcome = self.round(&mut messages, idle, &mut closing);
            if let Err(why) = outcome {
                let why = StoreError::stopped("journal", why.to_string());
                self.fail(&why, messages);
                if let Some(told) = closing {
                    told(Some(why));
                }
                self.syncs.stop();
                return;
            }
            if let Some(told) = closing {
                self.finish(told, messages);
                return;
            }
        }
    }

    /// How long to sleep when nobody calls.
    fn wait(&self) -> Option<Duration> {
        if self.more_due {
            return Some(Duration::ZERO);
        }
        let due = self.core.next_due().filter(|_| self.time.clock.runs()).map(|at| {
            let now = self.time.now(None).wall;
            // A clock that was set back must not put the engine to sleep for hours.
            Duration::from_millis(at.saturating_sub(now).clamp(1, 60_000))
        });
        let idle = (!self.marked).then_some(IDLE);
        [due, idle].into_iter().flatten().min()
    }

    /// One round: what is due, what was asked, one write.
    fn round(
        &mut self,
        messages: &mut Vec<Message>,
        idle: bool,
        closing: &mut Option<Send>,
    ) -> Result<(), JournalError> {
        self.syncer.check()?;
        self.more_due = false;
        self.core.space_low = self.journal.space_low();
        if self.core.space_low {
            self.journal.retry_spares();
            self.core.space_low = self.journal.space_low();
        }
        self.upkeep(None)?;
        for message in messages.drain(..) {
            match message {
                Message::Call(request) => self.call(request)?,
                Message::Reclaim(segment) => self.give_back(segment)?,
                Message::Released => self.check_compaction = true,
                Message::Wake => {}
                Message::Close(told) => *closing = Some(told),
            }
        }
        self.flush()?;
        if idle && !self.more_due {
            self.mark()?;
        }
        self.compact()
    }

    fn call(&mut self, request: Request) -> Result<(), JournalError> {
        if let Some(at) = request.at {
            self.upkeep(Some(at))?;
        }
        if request.looks && !self.begun {
            self.core.begin(self.time.now(request.at));
            let answer = (request.run)(Ok(&mut self.core));
            self.pending.push(answer);
            return Ok(());
        }
        let begun = self.begin_once()?;
        if self.core.out.bytes() >= FLUSH_BYTES {
            self.flush()?;
        }
        let roomy = begun && self.make_room(request.bytes + REQUEST_ROOM)?;
        if !roomy && !self.fits(request.bytes_when_low + TIGHT_ROOM + GIVE_BACK_ROOM) {
            let why = StoreError {
                operation: "write",
                cause: "no space is left on the disk, and the reserve is used up".into(),
                outcome: windlass_core::error::Outcome::NotDone,
                retryable: true,
                hint: None,
            };
            let (_, send) = (request.run)(Err(why));
            send(None);
            return Ok(());
        }
        self.core.begin(self.time.now(request.at));
        self.core.children_budget();
        if !roomy {
            self.core.children_left = TIGHT_STEPS;
        }
        let answer = (request.run)(Ok(&mut self.core));
        self.pending.push(answer);
        Ok(())
    }

    /// Does what is due. What does not fit into one round goes on in the next.
    fn upkeep(&mut self, at: Option<u64>) -> Result<(), JournalError> {
        let now = self.time.now(at);
        self.core.begin(now);
        if self.core.next_due().is_none_or(|due| due > now.wall) {
            return Ok(());
        }
        if !self.begin_once()? {
            return Ok(());
        }
        self.core.begin(now);
        let mut steps = UPKEEP_STEPS;
        if !self.make_room(REQUEST_ROOM + self.core.next_tick_bytes())? {
            if !self.fits(TIGHT_ROOM + GIVE_BACK_ROOM) {
                return Ok(());
            }
            steps = TIGHT_STEPS;
        }
        self.core.begin(now);
        let done = self.core.upkeep(steps);
        self.more_due |= done > 0 && self.core.next_due().is_some_and(|due| due <= now.wall);
        if self.core.out.bytes() >= FLUSH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn fits(&self, bytes: usize) -> bool {
        self.core.out.bytes() + bytes <= self.journal.remaining() as usize
    }

    /// Sees to it that so many more bytes fit into the segment; false when the disk has no room.
    fn make_room(&mut self, bytes: usize) -> Result<bool, JournalError> {
        if self.fits(bytes) {
            return Ok(true);
        }
        self.flush()?;
        match self.rotate(bytes) {
            Ok(()) => Ok(true),
            Err(JournalError::NoSpace) => {
                self.core.space_low = true;
                Ok(false)
            }
            Err(why) => Err(why),
        }
    }

    /// Begins a new segment with a snapshot of everything that is in no job record.
    pub(crate) fn rotate(&mut self, bytes: usize) -> Result<(), JournalError> {
        let mut snapshot = BatchBuffer::new();
        let now = self.core.machine.now;
        let state = self.core.machine.snapshot();
        Fact::Tick { wall: now.wall, store: now.store }.encode(snapshot.bytes_mut());
        Fact::Snapshot { state: &state }.encode(snapshot.bytes_mut());
        let least = u32::try_from(bytes).unwrap_or(u32::MAX);
        let appended = self.journal.rotate(snapshot, least)?;
        self.note(appended.lsn, appended.position);
        self.core.out = Out::new(self.journal.next_position());
        self.syncs.push(&mut Vec::new());
        self.check_compaction = true;
        self.count_disk();
        Ok(())
    }

    pub(crate) fn count_disk(&mut self) {
        self.core.disk_bytes = self.journal.disk_bytes();
        let segments: Vec<_> = self.journal.segments().collect();
        self.core.first_segment = segments.first().map_or(0, |segment| segment.sequence);
        self.core.reach = self.compactor.reach(&segments);
    }

    /// Writes what a start has to say, in as many batches and segments as it takes.
    pub(crate) fn start_room(&mut self, bytes: usize) -> Result<(), JournalError> {
        if bytes == 0 || self.core.out.bytes() >= FLUSH_BYTES {
            self.flush()?;
        }
        if self.make_room(bytes + REQUEST_ROOM)? { Ok(()) } else { Err(JournalError::NoSpace) }
    }

    fn note(&mut self, lsn: u64, position: Position) {
        self.last_lsn = lsn;
        self.unsynced.push_back((lsn, position));
        self.marked = false;
    }

    /// Writes the batch in the making and gives, or hands on, its answers.
    fn flush(&mut self) -> Result<(), JournalError> {
        if !self.core.out.is_empty() {
            let dirty = self.core.out.dirty;
            let batch = std::mem::replace(&mut self.core.out, Out::new(self.journal.next_position()));
            let appended = self.journal.append(batch.into_buffer())?;
            self.note(appended.lsn, appended.position);
            if dirty {
                self.last_dirty = appended.lsn;
            }
            self.core.out = Out::new(self.journal.next_position());
        }
        let mut rings = Vec::new();
        self.core.rings(&mut rings);
        let durable = if self.ack == Ack::Process { u64::MAX } else { self.syncer.durable_lsn() };
        if self.ack == Ack::Process {
            self.shared
                .durable
                .send_if_modified(|lsn| std::mem::replace(lsn, self.last_lsn) != self.last_lsn);
        }
        while self.unsynced.front().is_some_and(|(lsn, _)| *lsn <= durable) {
            self.unsynced.pop_front();
        }
        let mut later = Vec::new();
        for (wait, send) in self.pending.drain(..) {
            let lsn = match wait {
                Wait::Nothing => 0,
                Wait::All => self.last_dirty,
                Wait::Every => self.last_lsn,
                Wait::Place(place) => {
                    let holds = self.unsynced.iter().rev().find(|(_, start)| *start <= place);
                    holds.map_or(0, |(lsn, _)| *lsn)
                }
            };
            if lsn <= durable { send(None) } else { later.push((lsn, send)) }
        }
        let last_dirty = self.last_dirty;
        for (ring, signal) in rings {
            let send: Send = Box::new(move |_| {
                let _ = ring.0.send(signal);
            });
            if last_dirty <= durable { send(None) } else { later.push((last_dirty, send)) }
        }
        if !later.is_empty() {
            self.syncs.push(&mut later);
        }
        Ok(())
    }

    /// Idle: makes everything durable and states so, so that after a crash even the last batches are
    /// known to have been acknowledged.
    fn mark(&mut self) -> Result<(), JournalError> {
        if self.marked {
            return Ok(());
        }
        self.syncer.sync()?;
        if self.journal.remaining() > 4_096 && self.journal.append_watermark()?.is_some() {
            self.last_lsn = self.journal.next_lsn() - 1;
            self.core.out = Out::new(self.journal.next_position());
            self.syncer.sync()?;
        }
        self.shared.durable.send_replace(self.syncer.durable_lsn());
        self.unsynced.clear();
        self.marked = true;
        Ok(())
    }

    /// Nothing in the segment is needed: it goes as soon as that is stated durably. So a segment that is missing is
    /// told from one that went.
    fn give_back(&mut self, segment: u32) -> Result<(), JournalError> {
        if !self.fits(GIVE_BACK_ROOM) && !self.make_room(GIVE_BACK_ROOM)? {
            // Found again when there is room.
            self.compactor.done();
            return Ok(());
        }
        self.core.begin(self.time.now(None));
        self.core.emit(&Fact::GivenBack { through: segment });
        self.flush()?;
        self.giving_back = Some((segment, self.last_lsn));
        self.syncs.push(&mut Vec::new());
        Ok(())
    }

    fn reclaim(&mut self, segment: u32) -> Result<(), JournalError> {
        match self.journal.reclaim(segment) {
            Ok(()) => self.core.machine.live.forget(segment),
            Err(JournalError::NotOldest { .. }) => {}
            Err(why) => return Err(why),
        }
        self.compactor.done();
        self.check_compaction = true;
        self.count_disk();
        Ok(())
    }

    /// Whether a backup still reads that segment, and may.
    fn is_held(&self, segment: u32) -> bool {
        self.journal.held_from().is_some_and(|held| held <= segment)
            && !self.core.space_low
            && !self.compactor.is_overdue(&self.journal, &self.core.machine)
    }

    /// Gives back the oldest segment when too much of the disk holds nothing that is needed.
    fn compact(&mut self) -> Result<(), JournalError> {
        if let Some((segment, lsn)) = self.giving_back {
            if self.syncer.durable_lsn() < lsn {
                self.syncs.push(&mut Vec::new());
                return Ok(());
            }
            if self.is_held(segment) {
                // The backup that began meanwhile reads it, and wakes the engine when it has.
                return Ok(());
            }
            self.giving_back = None;
            return self.reclaim(segment);
        }
        if !self.check_compaction {
            return Ok(());
        }
        let oldest = self.compactor.wanted(&self.journal, &self.core.machine, self.last_lsn);
        let Some((segment, through)) = oldest else {
            self.check_compaction = false;
            return Ok(());
        };
        // Only what is durable is read back, and only what a durable fact has ended may go.
        if self.syncer.durable_lsn() < through {
            self.syncs.push(&mut Vec::new());
            return Ok(());
        }
        let empty = self.core.machine.live.of(segment) == 0
            && self.core.machine.remembered.oldest_segment().is_none_or(|oldest| oldest > segment);
        if !empty {
            self.compactor.start(segment);
            return Ok(());
        }
        self.give_back(segment)
    }

    /// The journal failed: everyone is told, and nothing is taken any more.
    fn fail(&mut self, why: &StoreError, rest: Vec<Message>) {
        tracing::error!(%why, "the engine has stopped");
        self.shared.stop(why);
        let why = self.shared.stopped();
        let late = self.shared.close();
        for (_, send) in self.pending.drain(..) {
            send(Some(why.clone()));
        }
        for message in rest.into_iter().chain(late) {
            refuse(message, &why);
        }
    }

    /// A close in good order: the last facts are durable and stated so.
    fn finish(mut self, told: Send, rest: Vec<Message>) {
        for (ring, signal) in self.core.watchers.drain() {
            let _ = ring.0.send(signal);
        }
        let why = StoreError::refused("call", "the store is closed");
        self.shared.stop(&why);
        for message in rest.into_iter().chain(self.shared.close()) {
            refuse(message, &why);
        }
        let outcome = self.flush().and_then(|()| self.mark());
        self.compactor.stop();
        self.syncs.stop();
        drop(self.journal);
        told(outcome.err().map(|why| StoreError::stopped("close", why.to_string())));
    }
}

fn refuse(message: Message, why: &StoreError) {
    match message {
        Message::Call(request) => {
            let (_, send) = (request.run)(Err(why.clone()));
            send(None);
        }
        Message::Close(told) => told(None),
        Message::Reclaim(_) | Message::Released | Message::Wake => {}
    }
}
