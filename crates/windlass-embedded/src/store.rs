//! The door: every verb of the contract as a request to the engine.
//!
//! A verb is a closure that runs on the engine's thread and an answer that comes when what it
//! depends on is durable. Payloads of claimed jobs are read here, on the caller's side, so that the
//! engine never waits for a read.

use crate::codec::Decoder;
use crate::decide::Core;
use crate::decide::claim::Taken;
use crate::engine::{Message, Request, Shared, Wait};
use crate::events::{self, Names};
use crate::fact::{Fact, JobFact};
use crate::journal::{FORMAT_VERSION, Position, ReadError, Reader as JournalReader};
use crate::machine::ReaderPlace;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::oneshot;
use windlass_core::bounds::{BATCH_BYTES_MAX, BATCH_ITEMS_MAX, BODIES_BYTES_MAX};
use windlass_core::event::Cursor;
use windlass_core::job::{JobBody, JobDetail, JobId, JobView, NewJob};
use windlass_core::limit::LimitSettings;
use windlass_core::name::{GroupKey, LimitName, QueueName, ScheduleName};
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::store::{
    AckLevel, Admin, Backup, Beat, Cancelled, Claim, Claimed, ClaimedJob, Edit, Enqueued, EventPage,
    FailureMode, Filter, From, GroupInfo, Hello, LimitInfo, Page, PerItem, Queue, QueueInfo, QueueSeries,
    Reader, Report, ScheduleInfo, ScheduleSpec, Settle, Signal, Store, StoreFuture, StoreInfo, Upkeep,
    UpkeepReport, Watch, WorkerInfo,
};
use windlass_core::why::Why;
use windlass_core::{Lease, Rejection, State, StoreError, Time, WorkerId};

/// Facts of one item beside what it brings itself: names, tags, limits and keys at their bounds.
const ITEM_BYTES: usize = 640;
/// JSON may escape every byte of a text into six.
const ESCAPED: usize = 6;

/// A store in one directory, or in memory. Cloning gives another handle to the same store.
#[derive(Clone)]
pub struct EmbeddedStore(pub(crate) Arc<Handle>);

pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) reader: JournalReader,
    pub(crate) kind: &'static str,
    pub(crate) level: AckLevel,
    pub(crate) recovery: String,
    pub(crate) thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Handle {
    /// The last handle closes the store in good order.
    fn drop(&mut self) {
        let _ = self.shared.post(Message::Close(Box::new(|_| {})));
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedStore").field("kind", &self.0.kind).finish_non_exhaustive()
    }
}

impl EmbeddedStore {
    /// What an acknowledged write survives.
    pub fn ack_level(&self) -> AckLevel {
        self.0.level
    }

    /// How the last open went, in words for people.
    pub fn recovery(&self) -> &str {
        &self.0.recovery
    }

    /// Runs something on the engine's thread; the answer comes when what `wait` names is durable.
    async fn call<T: Send + 'static>(
        &self,
        at: Option<Time>,
        bytes: usize,
        run: impl FnOnce(&mut Core) -> (Wait, T) + Send + 'static,
    ) -> Result<T, StoreError> {
        self.request(false, at, bytes, bytes, run).await
    }

    /// As `call`, for a verb that changes nothing.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        at: Option<Time>,
        wait: Wait,
        run: impl FnOnce(&mut Core) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        self.request(true, at, 0, 0, move |core| (wait, run(core))).await
    }

    /// As `call`, for a verb that brings less when space runs out.
    async fn call_when_low<T: Send + 'static>(
        &self,
        at: Option<Time>,
        bytes: usize,
        bytes_when_low: usize,
        run: impl FnOnce(&mut Core) -> (Wait, T) + Send + 'static,
    ) -> Result<T, StoreError> {
        self.request(false, at, bytes, bytes_when_low, run).await
    }

    async fn request<T: Send + 'static>(
        &self,
        looks: bool,
        at: Option<Time>,
        bytes: usize,
        bytes_when_low: usize,
        run: impl FnOnce(&mut Core) -> (Wait, T) + Send + 'static,
    ) -> Result<T, StoreError> {
        let (tell, told) = oneshot::channel();
        let request = Request {
            looks,
            at: at.map(|at| at.0),
            bytes,
            bytes_when_low,
            run: Box::new(move |core| match core {
                Ok(core) => {
                    let (wait, answer) = run(core);
                    let send: crate::engine::Send = Box::new(move |failed| {
                        let _ = tell.send(match failed {
                            None => Ok(answer),
                            Some(why) => Err(why),
                        });
                    });
                    (wait, send)
                }
                Err(why) => {
                    let send: crate::engine::Send = Box::new(move |_| {
                        let _ = tell.send(Err(why));
                    });
                    (Wait::Nothing, send)
                }
            }),
        };
        if self.0.shared.post(Message::Call(request)).is_err() {
            return Err(self.0.shared.stopped());
        }
        told.await.unwrap_or_else(|_| Err(self.0.shared.stopped()))
    }

    /// A verb whose answer waits for every fact so far.
    fn verb<'a, T: Send + 'static>(
        &'a self,
        at: Option<Time>,
        bytes: usize,
        run: impl FnOnce(&mut Core) -> T + Send + 'static,
    ) -> StoreFuture<'a, T> {
        Box::pin(self.call(at, bytes, move |core| (Wait::All, run(core))))
    }

    /// A verb that changes nothing, whose answer waits for every fact so far.
    fn looking<'a, T: Send + 'static>(
        &'a self,
        at: Option<Time>,
        run: impl FnOnce(&mut Core) -> T + Send + 'static,
    ) -> StoreFuture<'a, T> {
        Box::pin(self.look(at, Wait::All, run))
    }

    /// The job as its worker gets it, read from where the engine said that it stands.
    async fn fetch(&self, taken: Taken) -> Result<ClaimedJob, StoreError> {
        let record = self.read(taken.lease.job, taken.place, taken.len, false).await?;
        let fact = job_of(&record)?;
        let checkpoint = match taken.checkpoint {
            None => None,
            Some((place, len)) => {
                let bytes = self.read(taken.lease.job, place, len, true).await?;
                match Fact::decode(&mut Decoder::new(&bytes), true) {
                    Ok(Fact::Checkpoint { bytes, .. }) => Some(bytes.to_vec()),
                    _ => return Err(StoreError::stopped("claim", "a checkpoint does not read back whole")),
                }
            }
        };
        let options = crate::decide::list::options_of(&fact);
        Ok(ClaimedJob {
            lease: taken.lease,
            lease_ms: taken.lease_ms,
            queue: taken.queue,
            kind: taken.kind,
            group: if taken.group.is_empty() { None } else { GroupKey::new(&*taken.group).ok() },
            payload: fact.payload.to_vec(),
            priority: taken.priority,
            failures: taken.failures,
            losses: taken.losses,
            snoozes: taken.snoozes,
            enqueued_at: Time(fact.enqueued_at),
            ready_at: taken.ready_at,
            checkpoint,
            tags: options.tags,
            timeout_ms: options.timeout_ms,
            trace: options.trace,
        })
    }

    /// What one job brings to its handler; none when it has gone since the engine said where its record stands.
    async fn body(
        &self,
        job: JobId,
        (place, len, priority): (Position, u32, i8),
    ) -> Result<Option<JobBody>, StoreError> {
        let record = match self.0.reader.read(place, len as usize) {
            Ok(record) => record,
            Err(ReadError::Gone) => {
                let again = move |core: &mut Core| {
                    let slot = *core.machine.slots.at(core.machine.find(job)?);
                    Some(core.read(slot.place(), slot.len()))
                };
                match self.look(None, Wait::Nothing, again).await? {
                    Some(record) => record.map_err(|why| StoreError::refused("bodies", why.to_string()))?,
                    None => return Ok(None),
                }
            }
            Err(why) => return Err(StoreError::stopped("bodies", why.to_string())),
        };
        let fact = job_of(&record)?;
        let options = crate::decide::list::options_of(&fact);
        let (tags, trace) = (options.tags, options.trace);
        Ok(Some(JobBody { payload: fact.payload.to_vec(), priority, tags, trace }))
    }

    /// Bytes of the journal. What was moved by compaction in between is asked of the engine.
    async fn read(
        &self,
        job: JobId,
        place: Position,
        len: u32,
        checkpoint: bool,
    ) -> Result<Vec<u8>, StoreError> {
        match self.0.reader.read(place, len as usize) {
            Ok(bytes) => return Ok(bytes),
            Err(ReadError::Gone) => {}
            Err(why) => return Err(StoreError::stopped("read", why.to_string())),
        }
        let found = self
            .call(None, 0, move |core| {
                let read = core.known(job).and_then(|at| {
                    let slot = *core.machine.slots.at(at);
                    let kept = core.machine.extra(at).and_then(|extra| {
                        extra.kept.iter().find(|k| k.what == crate::machine::extra::What::Checkpoint).copied()
                    });
                    match kept.filter(|_| checkpoint) {
                        Some(kept) => core.read(kept.place(), kept.len),
                        None => core.read(slot.place(), slot.len()),
                    }
                });
                (Wait::Nothing, read)
            })
            .await?;
        found.map_err(|why| StoreError::refused("read", why.to_string()))
    }
}

fn job_of(record: &[u8]) -> Result<JobFact<'_>, StoreError> {
    match Fact::decode(&mut Decoder::new(record), true) {
        Ok(Fact::Job(job)) => Ok(job),
        Ok(_) => Err(StoreError::stopped("read", "a job's record is not where it should be")),
        Err(why) => Err(StoreError::stopped("read", format!("a job's record is damaged: {why}"))),
    }
}

/// The most bytes that a job's record takes.
fn bytes_of(job: &NewJob) -> usize {
    let retry = job.retry.as_ref().map_or(0, |_| 4_096);
    let options = (job.tags.len() + job.limits.len()) * 300 * ESCAPED + job.parents.len() * 80 + retry;
    let unique = job.unique.as_ref().map_or(0, |_| 256 * ESCAPED + 64);
    job.payload.len() + options + unique + job.trace.as_ref().map_or(0, |t| t.len() * ESCAPED) + ITEM_BYTES
}

fn bytes_of_settle(settle: &Settle) -> usize {
    ITEM_BYTES
        + match settle {
            Settle::Complete { result, then, .. } => {
                result.as_ref().map_or(0, Vec::len) + then.iter().map(bytes_of).sum::<usize>()
            }
            Settle::Fail { error, .. } => {
                let detail = error.detail.as_ref().map_or(0, String::len);
                (error.message.len() + detail).min(windlass_core::bounds::ERROR_BYTES_MAX) * ESCAPED + 2_048
            }
            Settle::Snooze { reason, .. } => reason.len() + ITEM_BYTES,
            Settle::Release { .. } => 0,
        }
}

fn too_many<T>(n: usize) -> Option<PerItem<T>> {
    (n > BATCH_ITEMS_MAX).then(|| {
        let why = format!("{n} items are more than 1,000; send several batches");
        (0..n).map(|_| Err(Rejection::Invalid { what: "batch", why: why.clone() })).collect()
    })
}

fn none_done(why: &str, n: usize) -> Vec<Result<(), Rejection>> {
    (0..n).map(|_| Err(Rejection::Invalid { what: "batch", why: why.into() })).collect()
}

impl Queue for EmbeddedStore {
    fn enqueue(
        &self,
        jobs: Vec<NewJob>,
        all_or_nothing: bool,
        at: Option<Time>,
    ) -> StoreFuture<'_, PerItem<Enqueued>> {
        if let Some(refused) = too_many(jobs.len()) {
            return Box::pin(async { Ok(refused) });
        }
        let bytes: usize = jobs.iter().map(bytes_of).sum();
        if bytes > BATCH_BYTES_MAX {
            let why = format!("the batch has {bytes} bytes, more than 256 MiB; send several batches");
            let refused =
                jobs.iter().map(|_| Err(Rejection::Invalid { what: "batch", why: why.clone() })).collect();
            return Box::pin(async { Ok(refused) });
        }
        Box::pin(
            self.call_when_low(at, bytes, 0, move |core| (Wait::All, core.enqueue(&jobs, all_or_nothing))),
        )
    }

    fn claim(&self, claim: Claim, at: Option<Time>) -> StoreFuture<'_, Claimed> {
        Box::pin(async move {
            if claim.settle_first.len() > BATCH_ITEMS_MAX {
                let settled =
                    none_done("more than 1,000 settlements; send several batches", claim.settle_first.len());
                return Ok(Claimed { settled, ..Claimed::default() });
            }
            let mut wants = claim.wants;
            let mut left = BATCH_ITEMS_MAX as u32;
            for (_, n) in &mut wants {
                *n = (*n).min(left);
                left -= *n;
            }
            let jobs: u32 = wants.iter().map(|(_, n)| *n).sum();
            let bytes =
                claim.settle_first.iter().map(bytes_of_settle).sum::<usize>() + jobs as usize * ITEM_BYTES;
            let (settle_first, worker, nonce) = (claim.settle_first, claim.worker, claim.nonce);
            let (settled, taken, again) = self
                .call(at, bytes, move |core| {
                    core.machine.warm(settle_first.iter().map(|settle| settle.lease().job.0));
                    let settled: PerItem<()> =
                        settle_first.iter().map(|settle| core.settle(settle)).collect();
                    let (taken, again) = core.claim(&wants, worker, nonce);
                    core.heard_of(worker);
                    let wait = if !settled.is_empty() || taken.iter().any(|job| !job.fresh) {
                        Wait::All
                    } else {
                        taken.iter().map(|job| job.place).max().map_or(Wait::Nothing, Wait::Place)
                    };
                    (wait, (settled, taken, again))
                })
                .await?;
            let mut jobs = Vec::with_capacity(taken.len());
            for job in taken {
                jobs.push(self.fetch(job).await?);
            }
            Ok(Claimed { settled, jobs, try_again_at: again.map(Time) })
        })
    }

    fn heartbeat(&self, leases: Vec<Lease>, at: Option<Time>) -> StoreFuture<'_, PerItem<Beat>> {
        Box::pin(self.call(at, 0, move |core| {
            let beats = leases.iter().map(|lease| core.heartbeat(lease)).collect();
            core.heard_of_holders(&leases);
            (Wait::Nothing, beats)
        }))
    }

    fn report(&self, reports: Vec<Report>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        if let Some(refused) = too_many(reports.len()) {
            return Box::pin(async { Ok(refused) });
        }
        let bytes = |r: &Report| {
            let message = r.progress.as_ref().and_then(|p| p.message.as_ref()).map_or(0, String::len);
            let log = r.log.as_ref().map_or(0, |l| l.len().min(windlass_core::bounds::LOG_BYTES_MAX));
            message.min(8 << 10) + log + r.checkpoint.as_ref().map_or(0, Vec::len) + 3 * ITEM_BYTES
        };
        let bytes = reports.iter().map(bytes).sum();
        self.verb(at, bytes, move |core| reports.iter().map(|report| core.report(report)).collect())
    }

    fn cancel(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<Cancelled>> {
        if let Some(refused) = too_many(jobs.len()) {
            return Box::pin(async { Ok(refused) });
        }
        self.verb(at, jobs.len() * ITEM_BYTES, move |core| {
            core.children_budget();
            jobs.iter().map(|id| core.cancel(*id)).collect()
        })
    }

    fn watch(&self, watch: Watch) -> StoreFuture<'_, Signal> {
        Box::pin(async move {
            let (ring, rung) = oneshot::channel();
            self.call(None, 0, move |core| {
                core.watch(watch, ring);
                (Wait::Nothing, ())
            })
            .await?;
            rung.await.or(Ok(Signal::Work))
        })
    }

    fn hello(&self, hello: Hello, at: Option<Time>) -> StoreFuture<'_, ()> {
        self.verb(at, 0, move |core| core.machine.greet(hello))
    }

    fn bye(&self, worker: WorkerId, at: Option<Time>) -> StoreFuture<'_, ()> {
        self.verb(at, 0, move |core| core.bye(worker))
    }
}

impl Admin for EmbeddedStore {
    fn get(&self, id: JobId) -> StoreFuture<'_, Option<JobDetail>> {
        Box::pin(async move {
            let detail = self.look(None, Wait::All, move |core| core.get(id)).await?;
            detail.map_err(|why| StoreError::refused("get", why.to_string()))
        })
    }

    fn bodies(&self, jobs: Vec<JobId>) -> StoreFuture<'_, Vec<Option<JobBody>>> {
        Box::pin(async move {
            let asked = jobs.clone();
            let records = self.look(None, Wait::All, move |core| core.records(&asked)).await?;
            let mut bodies = Vec::with_capacity(records.len());
            for (job, record) in jobs.into_iter().zip(records) {
                bodies.push(match record {
                    Some(record) => self.body(job, record).await?,
                    None => None,
                });
            }
            Ok(bodies)
        })
    }

    fn logs(&self, id: JobId, attempt: u32) -> StoreFuture<'_, Result<String, Rejection>> {
        self.looking(None, move |core| core.logs(id, attempt))
    }

    fn list(
        &self,
        filter: Filter,
        cursor: Option<String>,
        limit: usize,
        budget: usize,
    ) -> StoreFuture<'_, Result<Page<JobView>, Rejection>> {
        self.looking(None, move |core| core.list(&filter, cursor.as_deref(), limit, budget))
    }

    fn why(&self, id: JobId, at: Option<Time>) -> StoreFuture<'_, Result<Why, Rejection>> {
        self.looking(at, move |core| core.why(id))
    }

    fn edit(&self, edits: Vec<Edit>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        if let Some(refused) = too_many(edits.len()) {
            return Box::pin(async { Ok(refused) });
        }
        Box::pin(async move {
            let mut answers = Vec::with_capacity(edits.len());
            for edit in edits {
                // A record is written anew with all that it holds: payload, options, changing part.
                let bytes = windlass_core::bounds::PAYLOAD_BYTES_MAX + (256 << 10);
                answers.push(self.call(at, bytes, move |core| (Wait::All, core.edit(&edit))).await?);
            }
            Ok(answers)
        })
    }

    fn retry(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        if let Some(refused) = too_many(jobs.len()) {
            return Box::pin(async { Ok(refused) });
        }
        self.verb(at, jobs.len() * ITEM_BYTES, move |core| {
            core.children_budget();
            jobs.iter().map(|id| core.retry(*id)).collect()
        })
    }

    fn run_now(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        if let Some(refused) = too_many(jobs.len()) {
            return Box::pin(async { Ok(refused) });
        }
        self.verb(at, jobs.len() * ITEM_BYTES, move |core| jobs.iter().map(|id| core.run_now(*id)).collect())
    }

    fn delete(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        if let Some(refused) = too_many(jobs.len()) {
            return Box::pin(async { Ok(refused) });
        }
        self.verb(at, jobs.len() * ITEM_BYTES, move |core| jobs.iter().map(|id| core.delete(*id)).collect())
    }

    fn set_queue(
        &self,
        name: QueueName,
        settings: QueueSettings,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>> {
        self.verb(at, 16 << 10, move |core| core.set_queue(&name, &settings))
    }

    fn pause(
        &self,
        name: QueueName,
        paused: bool,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>> {
        self.verb(at, 16 << 10, move |core| core.pause(&name, paused))
    }

    fn queues(&self, name: Option<QueueName>, at: Option<Time>) -> StoreFuture<'_, Vec<QueueInfo>> {
        self.looking(at, move |core| core.queues(name.as_ref()))
    }

    fn series(&self, name: QueueName, at: Option<Time>) -> StoreFuture<'_, Result<QueueSeries, Rejection>> {
        self.looking(at, move |core| {
            let missing = || Rejection::NotFound { what: format!("queue {name}") };
            let number = core.machine.queue_number(&name).ok_or_else(missing)?;
            Ok(core.machine.queues[usize::from(number)].tally.series(core.machine.now.wall))
        })
    }

    fn set_group(
        &self,
        queue: QueueName,
        key: Option<GroupKey>,
        settings: Option<GroupSettings>,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>> {
        self.verb(at, 4 << 10, move |core| core.set_group(&queue, key.as_ref(), settings.as_ref()))
    }

    fn groups(
        &self,
        queue: QueueName,
        after: Option<GroupKey>,
        limit: usize,
    ) -> StoreFuture<'_, Page<GroupInfo>> {
        self.looking(None, move |core| core.groups(&queue, after.as_ref(), limit))
    }

    fn set_limit(
        &self,
        name: LimitName,
        settings: Option<LimitSettings>,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>> {
        self.verb(at, 4 << 10, move |core| core.set_limit(&name, settings.as_ref()))
    }

    fn limits(&self, after: Option<LimitName>, limit: usize) -> StoreFuture<'_, Page<LimitInfo>> {
        self.looking(None, move |core| core.limits(after.as_ref(), limit))
    }

    fn set_schedule(&self, spec: ScheduleSpec, at: Option<Time>) -> StoreFuture<'_, Result<(), Rejection>> {
        // The payload is written as JSON numbers, at most four bytes each.
        let bytes = spec.payload.len() * 4 + (16 << 10);
        self.verb(at, bytes, move |core| core.set_schedule(&spec))
    }

    fn delete_schedule(
        &self,
        name: ScheduleName,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>> {
        self.verb(at, 1 << 10, move |core| core.delete_schedule(&name))
    }

    fn schedules(&self) -> StoreFuture<'_, Vec<ScheduleInfo>> {
        self.looking(None, |core| core.schedules())
    }

    fn events(
        &self,
        from: From,
        limit: usize,
        wait_ms: u64,
    ) -> StoreFuture<'_, Result<EventPage, Rejection>> {
        Box::pin(async move {
            let mut durable = self.0.shared.durable.subscribe();
            let deadline = tokio::time::Instant::now() + std::time::Duration::from_millis(wait_ms);
            let mut from = from;
            loop {
                let (names, first, end) = self.look(None, Wait::Every, |core| core.log_state()).await?;
                let mut cursor = match from {
                    From::Earliest => events::cursor_of(Position::start_of(first), 0),
                    From::Latest => events::cursor_of(end, 0),
                    From::After(cursor) => cursor,
                };
                if cursor.place > events::cursor_of(end, 0).place {
                    return Ok(Err(Rejection::BadCursor));
                }
                if cursor == Cursor::default() {
                    cursor = events::cursor_of(Position::start_of(first), 0);
                }
                // Events of this stretch name only queues and kinds that the names hold: both are as of `end`.
                let lsn = *durable.borrow_and_update();
                let page = match events::read(&self.0.reader, &names, cursor, (first, end), limit.max(1), lsn)
                {
                    Ok(page) => page,
                    Err(events::Unreadable::Cursor) => return Ok(Err(Rejection::BadCursor)),
                    Err(events::Unreadable::Journal(why)) => return Err(StoreError::stopped("events", why)),
                };
                if !page.events.is_empty() || page.gap || wait_ms == 0 {
                    return Ok(Ok(page));
                }
                from = From::After(page.next);
                if tokio::time::timeout_at(deadline, durable.changed()).await.is_err() {
                    return Ok(Ok(page));
                }
            }
        })
    }

    fn set_reader(&self, reader: Reader) -> StoreFuture<'_, ()> {
        self.verb(None, 1 << 10, move |core| core.set_reader(&reader))
    }

    fn delete_reader(&self, name: String) -> StoreFuture<'_, ()> {
        self.verb(None, 1 << 10, move |core| core.delete_reader(&name))
    }

    fn readers(&self) -> StoreFuture<'_, Vec<Reader>> {
        self.looking(None, |core| {
            let all = core.machine.readers.iter();
            let reader = |(name, at): (&String, &ReaderPlace)| Reader {
                name: name.clone(),
                cursor: at.cursor,
                keeps_from: at.keeps_from.map(Time),
            };
            all.map(reader).collect()
        })
    }

    fn errors(&self, queue: Option<QueueName>, limit: usize) -> StoreFuture<'_, Vec<FailureMode>> {
        self.looking(None, move |core| core.errors(queue.as_ref(), limit))
    }

    fn workers(&self, at: Option<Time>) -> StoreFuture<'_, Vec<WorkerInfo>> {
        self.looking(at, |core| core.machine.workers_there())
    }

    fn info(&self) -> StoreFuture<'_, StoreInfo> {
        let (store, ack_level, recovery) = (self.0.kind.to_owned(), self.0.level, self.0.recovery.clone());
        self.looking(None, move |core| StoreInfo {
            store,
            ack_level,
            disk_bytes: core.disk_bytes,
            live_bytes: core.machine.live.total(),
            jobs: core.machine.slots.len() as u64,
            recovery,
            space_low: core.space_low,
            server: None,
            namespace: None,
            format: format!("version {FORMAT_VERSION}"),
            settings: Vec::new(),
            // Events lie in the journal, beside everything else.
            event_bytes: None,
            memory_bytes: None,
            warnings: Vec::new(),
        })
    }

    fn backup(&self) -> StoreFuture<'_, Backup> {
        Box::pin(crate::backup::begin(self))
    }

    fn meta(&self, key: String) -> StoreFuture<'_, (Vec<u8>, u64)> {
        self.looking(None, move |core| {
            core.machine.meta.get(&key).map_or((Vec::new(), 0), |(version, value)| (value.clone(), *version))
        })
    }

    fn set_meta(&self, key: String, value: Vec<u8>, version: u64) -> StoreFuture<'_, Result<u64, Rejection>> {
        let bytes = key.len() + value.len().min(windlass_core::bounds::META_BYTES_MAX) + ITEM_BYTES;
        self.verb(None, bytes, move |core| core.set_meta(&key, &value, version))
    }
}

impl Upkeep for EmbeddedStore {
    fn upkeep(&self, budget: usize, at: Option<Time>) -> StoreFuture<'_, UpkeepReport> {
        let budget = budget.min(BATCH_ITEMS_MAX);
        self.verb(at, budget * ITEM_BYTES, move |core| {
            let done = core.upkeep(budget);
            UpkeepReport { done, next_due: core.next_due().map(Time) }
        })
    }
}

impl Store for EmbeddedStore {
    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let (tell, told) = oneshot::channel();
            let close = Message::Close(Box::new(move |failed| {
                let _ = tell.send(failed);
            }));
            if self.0.shared.post(close).is_err() {
                return Ok(());
            }
            let outcome = told.await.ok().flatten();
            let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(thread) = thread {
                // The engine has told that it is done; what is left is its stack.
                let _ = thread.join();
            }
            outcome.map_or(Ok(()), Err)
        })
    }
}

impl Core {
    /// Where the records of the first of these jobs stand, and their priorities: as many as one answer has.
    fn records(&self, jobs: &[JobId]) -> Vec<Option<(Position, u32, i8)>> {
        let mut bytes = 0;
        let record = |id: &JobId| {
            let at = self.machine.find(*id)?;
            let slot = self.machine.slots.at(at);
            Some((slot.place(), slot.len(), self.machine.lane_of(at).priority))
        };
        let fits = |record: &Option<(Position, u32, i8)>| {
            let first = bytes == 0;
            bytes += record.map_or(0, |(_, len, _)| len as usize);
            first || bytes <= BODIES_BYTES_MAX
        };
        jobs.iter().take(BATCH_ITEMS_MAX).map(record).take_while(fits).collect()
    }

    /// What a reader of events needs to know: names by number, the oldest segment, and where the log
    /// ends.
    fn log_state(&self) -> (Names, u32, Position) {
        let names = Names {
            queues: self.machine.queues.iter().map(|q| q.name.clone()).collect(),
            kinds: self.machine.kinds.clone(),
        };
        (names, self.first_segment, self.next_position())
    }

    fn watch(&mut self, watch: Watch, ring: oneshot::Sender<Signal>) {
        let now = self.machine.now.store;
        let work = watch.queues.iter().any(|(name, slots)| {
            let Some(number) = self.machine.queue_number(name) else { return false };
            let queue = &self.machine.queues[usize::from(number)];
            if *slots == 0 || queue.order.is_empty() {
                return false;
            }
            match queue.open(now) {
                Ok(()) => true,
                Err(Some(at)) => {
                    self.machine.set_queue_timer(number, at);
                    false
                }
                Err(None) => false,
            }
        });
        if let Some((ring, signal)) =
            self.watchers.watch(watch.worker, watch.queues, work, crate::watch::Bell(ring))
        {
            let _ = ring.0.send(signal);
        }
    }

    /// Rings that this batch owes: workers for what has become claimable, holders for their leases.
    pub(crate) fn rings(&mut self, rings: &mut Vec<crate::watch::Ring>) {
        let now = self.machine.now.store;
        while let Some(number) = self.machine.touched.pop() {
            let queue = &mut self.machine.queues[usize::from(number)];
            queue.touched = false;
            if queue.order.is_empty() {
                continue;
            }
            match queue.open(now) {
                Ok(()) => {}
                Err(Some(at)) => {
                    self.machine.set_queue_timer(number, at);
                    continue;
                }
                Err(None) => continue,
            }
            let ready = queue.counts.of(State::Ready);
            let room =
                queue.settings.limits.concurrency.map_or(u64::MAX, |most| u64::from(most - queue.running));
            self.watchers.ring(&queue.name, ready.min(room), rings);
        }
        for (worker, lease) in std::mem::take(&mut self.machine.notices) {
            self.watchers.notify(worker, lease, rings);
        }
    }

    fn bye(&mut self, worker: WorkerId) {
        self.machine.workers.remove(&worker);
        self.watchers.forget(worker);
    }

    fn heard_of(&mut self, worker: WorkerId) {
        let now = Time(self.machine.now.wall);
        if let Some(info) = self.machine.workers.get_mut(&worker) {
            info.seen_at = now;
        }
    }

    fn heard_of_holders(&mut self, leases: &[Lease]) {
        let holder = leases.iter().find_map(|lease| {
            let at = self.machine.find(lease.job)?;
            let slot = self.machine.slots.at(at);
            (slot.state() == State::Running).then(|| WorkerId(self.machine.leases[slot.aux].worker))
        });
        if let Some(worker) = holder {
            self.heard_of(worker);
        }
    }
}
