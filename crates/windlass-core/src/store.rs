//! The contract: what a store does, as three object-safe traits over plain structs.
//!
//! [`Queue`] is the working day of producers and workers, [`Admin`] is for people and dashboards,
//! [`Upkeep`] is what has to happen on a clock.
//! Every verb is a batch where a batch makes sense, and answers per item; an item that is refused
//! stops no other. Every verb takes `at`: `None` uses the store's clock, `Some` is set by tests
//! only, and then always.
//! No answer is given before every fact that it depends on is durable at the store's level; only a
//! claim's own record may lag (rule h of `docs/contract.md`).

use crate::event::{Cursor, Event};
use crate::fingerprint::Fingerprint;
use crate::histogram::Histogram;
use crate::job::{ErrorReport, JobBody, JobDetail, JobId, JobView, NewJob, Progress, State};
use crate::lease::{Lease, WorkerId};
use crate::limit::LimitSettings;
use crate::name::{GroupKey, Kind, LimitName, QueueName, ScheduleName, Tag};
use crate::queue::{GroupSettings, QueueSettings};
use crate::schedule::{CatchUp, Overlap, Timing};
use crate::time::Time;
use crate::why::Why;
use crate::{Rejection, StoreError};
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::pin::Pin;

/// What every verb returns: boxed once per batch, which costs nothing beside a sync or a round trip.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;
/// One answer per item.
pub type PerItem<T> = Vec<Result<T, Rejection>>;

/// What an acknowledged write survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AckLevel {
    /// Nothing: it lives in memory.
    None,
    /// The last `ms` may be lost.
    Window {
        /// The width of the window.
        ms: u64,
    },
    /// kill -9 of every process.
    Process,
    /// Power loss of the store's host.
    Power,
}

impl std::fmt::Display for AckLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AckLevel::None => f.write_str("none"),
            AckLevel::Window { ms } => write!(f, "window({ms} ms)"),
            AckLevel::Process => f.write_str("process"),
            AckLevel::Power => f.write_str("power"),
        }
    }
}

/// What became of one enqueue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EnqueueStatus {
    /// A new job.
    Created,
    /// The id was known: live, kept, or remembered after its end. Nothing changed.
    Known,
    /// Another job holds the unique key; it is the one answered.
    Existing,
    /// The holder of the unique key got the new payload.
    Replaced,
    /// The holder of the unique key got the new time.
    Rescheduled,
}

/// The answer to one enqueue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enqueued {
    /// The job: the new one, or the one that was there.
    pub id: JobId,
    /// What became of the enqueue.
    pub status: EnqueueStatus,
    /// Where that job stands; a remembered id answers with the state it ended in.
    pub state: State,
}

/// A worker asks for jobs; what it has finished is settled first, in the same round trip.
#[derive(Clone, Debug, Default)]
pub struct Claim {
    /// Settled before anything is claimed, so that freed slots can be claimed at once.
    pub settle_first: Vec<Settle>,
    /// How many jobs of which queue, in the order in which the worker prefers the queues.
    pub wants: Vec<(QueueName, u32)>,
    /// Who asks.
    pub worker: WorkerId,
    /// The worker's random number for these leases, never 0 in production.
    pub nonce: u64,
}

/// The answer to a claim.
#[derive(Clone, Debug, Default)]
pub struct Claimed {
    /// One answer per settlement, in their order.
    pub settled: PerItem<()>,
    /// The jobs, each under its own lease.
    pub jobs: Vec<ClaimedJob>,
    /// When asking again may give more without any other event; none when only an event can.
    pub try_again_at: Option<Time>,
}

/// A job as its worker gets it.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimedJob {
    /// The right to work on it; every settlement shows it.
    pub lease: Lease,
    /// How long the lease holds from the claim and from each heartbeat.
    pub lease_ms: u64,
    /// Its queue.
    pub queue: QueueName,
    /// Its kind.
    pub kind: Kind,
    /// Its group.
    pub group: Option<GroupKey>,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Its priority.
    pub priority: i8,
    /// Failures of this generation before this attempt.
    pub failures: u32,
    /// Losses of this generation before this attempt.
    pub losses: u32,
    /// Snoozes of this generation.
    pub snoozes: u32,
    /// When it was enqueued.
    pub enqueued_at: Time,
    /// When it last became ready.
    pub ready_at: Time,
    /// What the last attempt left.
    pub checkpoint: Option<Vec<u8>>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// How long this attempt may take.
    pub timeout_ms: Option<u64>,
    /// Trace context of its enqueuer.
    pub trace: Option<String>,
}

/// Why a holder gives a job back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseReason {
    /// The worker shuts down.
    Shutdown,
    /// No handler for that kind, or the payload does not decode: back after a growing delay, so
    /// that a newer worker can take it (rule i).
    NoHandler,
    /// The worker claimed more than it can run.
    Unstarted,
}

/// What a rate-limited snooze holds back besides its own job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// Every job of the queue.
    Queue,
    /// Every job of the group.
    Group,
    /// Every job that takes the named limit.
    Limit(LimitName),
}

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Settle {
    /// T5: done; the follow-ups are enqueued in the same step.
    Complete {
        /// The right to say so.
        lease: Lease,
        /// Kept with the job, at most 64 KiB.
        result: Option<Vec<u8>>,
        /// Jobs that exist if and only if this completion does.
        then: Vec<NewJob>,
    },
    /// T6: failed.
    Fail {
        /// The right to say so.
        lease: Lease,
        /// What went wrong.
        error: ErrorReport,
        /// The worker's own delay instead of the policy's.
        retry_in_ms: Option<u64>,
        /// No further try.
        fatal: bool,
    },
    /// T8: later; neither failure nor loss.
    Snooze {
        /// The right to say so.
        lease: Lease,
        /// How much later.
        delay_ms: u64,
        /// In the worker's words, shown by `why`.
        reason: String,
        /// What else is held back until then.
        holds: Option<Hold>,
    },
    /// T8: given back; neither failure nor loss.
    Release {
        /// The right to say so.
        lease: Lease,
        /// Why.
        reason: ReleaseReason,
    },
}

impl Settle {
    /// The lease shown.
    pub fn lease(&self) -> &Lease {
        match self {
            Settle::Complete { lease, .. }
            | Settle::Fail { lease, .. }
            | Settle::Snooze { lease, .. }
            | Settle::Release { lease, .. } => lease,
        }
    }
}

/// The answer to one heartbeat of a current lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// The new deadline.
    pub deadline: Time,
    /// Somebody asked the job to stop.
    pub cancel_requested: bool,
}

/// What a holder says about its attempt while it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The right to say so.
    pub lease: Lease,
    /// How far it is.
    pub progress: Option<Progress>,
    /// Lines added to the attempt's log.
    pub log: Option<String>,
    /// What the next attempt gets.
    pub checkpoint: Option<Vec<u8>>,
}

/// What a cancellation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Cancelled {
    /// The job is cancelled.
    Now,
    /// Its holder was asked to stop.
    Requested,
}

/// What a worker waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Watch {
    /// Who waits.
    pub worker: WorkerId,
    /// Its queues with the free slots of each; a wake is given per free slot.
    pub queues: Vec<(QueueName, u32)>,
}

/// Why a watch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Something may be claimable.
    Work,
    /// That lease was asked to stop, or is no longer current.
    Cancel(Lease),
    /// The store shuts down: finish and stop claiming.
    Drain,
}

/// A worker process introduces itself, for people and for `no_worker`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Its random id.
    pub worker: WorkerId,
    /// Where it runs.
    pub host: String,
    /// Its own version.
    pub version: String,
    /// Its queues with the slots of each.
    pub queues: Vec<(QueueName, u32)>,
}

/// The verbs of producers and workers.
pub trait Queue: Send + Sync {
    /// T1. Takes the batch in one atomic step, one answer per item in order; with `all_or_nothing`,
    /// one refused item refuses all.
    fn enqueue(
        &self,
        jobs: Vec<NewJob>,
        all_or_nothing: bool,
        at: Option<Time>,
    ) -> StoreFuture<'_, PerItem<Enqueued>>;
    /// T5, T6, T8, then T3: settles, then claims, in one step and one round trip.
    fn claim(&self, claim: Claim, at: Option<Time>) -> StoreFuture<'_, Claimed>;
    /// T4. Moves the deadline of every lease that is still current; [`Rejection::Stale`] means
    /// `lease_lost`: stop that handler and say nothing more.
    fn heartbeat(&self, leases: Vec<Lease>, at: Option<Time>) -> StoreFuture<'_, PerItem<Beat>>;
    /// Records progress, log and checkpoint of running attempts.
    fn report(&self, reports: Vec<Report>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>>;
    /// T9, T10.
    fn cancel(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<Cancelled>>;
    /// Waits until something concerns that worker. Best effort: the heartbeat's answer is truth.
    fn watch(&self, watch: Watch) -> StoreFuture<'_, Signal>;
    /// A worker is there. Said again, it counts from then with what it says now.
    fn hello(&self, hello: Hello, at: Option<Time>) -> StoreFuture<'_, ()>;
    /// A worker is gone; its leases stay until they are settled or run out.
    fn bye(&self, worker: WorkerId, at: Option<Time>) -> StoreFuture<'_, ()>;
}

/// Which jobs a list shows; an empty filter shows all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Of these ids.
    pub ids: Vec<JobId>,
    /// In this queue.
    pub queue: Option<QueueName>,
    /// In one of these states.
    pub states: Vec<State>,
    /// In this group.
    pub group: Option<GroupKey>,
    /// Of this kind.
    pub kind: Option<Kind>,
    /// Failed in this mode.
    pub fingerprint: Option<Fingerprint>,
    /// With this tag.
    pub tag: Option<Tag>,
    /// Enqueued at or after.
    pub after: Option<Time>,
    /// Enqueued before.
    pub before: Option<Time>,
    /// Whose last error's text holds this.
    pub error_contains: Option<String>,
    /// Whose payload holds this.
    pub payload_contains: Option<String>,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where to go on; none at the end.
    pub next: Option<String>,
    /// How many jobs were looked at to fill the page.
    pub examined: usize,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { items: Vec::new(), next: None, examined: 0 }
    }
}

/// A change to one job that is not running.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edit {
    /// Which job.
    pub id: JobId,
    /// Its new payload.
    #[serde(default)]
    pub payload: Option<Vec<u8>>,
    /// Its new priority.
    #[serde(default)]
    pub priority: Option<i8>,
    /// Its new time.
    #[serde(default)]
    pub run_at: Option<Time>,
}

/// Jobs by state, indexed by [`State`]'s number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts(pub [u64; 8]);

impl Counts {
    /// Jobs in that state.
    pub fn of(&self, state: State) -> u64 {
        self.0[state as usize]
    }

    /// Live jobs that no worker holds.
    pub fn waiting(&self) -> u64 {
        State::ALL.into_iter().filter(|s| s.is_waiting()).map(|s| self.of(s)).sum()
    }
}

/// What a queue has done since it exists; only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Totals {
    /// Jobs taken in.
    pub enqueued: u64,
    /// Attempts started.
    pub claimed: u64,
    /// Jobs that ended well.
    pub completed: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Jobs that became dead letters.
    pub died: u64,
    /// Leases that ran out.
    pub lost: u64,
    /// Attempts postponed.
    pub snoozed: u64,
    /// Attempts given back.
    pub released: u64,
    /// Of those, because no handler knew the kind.
    pub no_handler: u64,
    /// Jobs cancelled.
    pub cancelled: u64,
}

/// A queue as people see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueueInfo {
    /// Its name.
    pub name: QueueName,
    /// Its settings.
    pub settings: QueueSettings,
    /// Its jobs by state.
    pub counts: Counts,
    /// What it has done.
    pub totals: Totals,
    /// When the longest-waiting ready job became ready.
    pub oldest_ready: Option<Time>,
    /// Groups that have live jobs.
    pub groups: u64,
    /// From ready to claimed, in milliseconds.
    pub wait_ms: Histogram,
    /// From claimed to settled, in milliseconds.
    pub run_ms: Histogram,
    /// Completions in the last minute.
    pub completed_last_minute: u64,
}

/// A group as people see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupInfo {
    /// Its key; none is the group of jobs without one.
    pub key: Option<GroupKey>,
    /// Its settings in force.
    pub settings: GroupSettings,
    /// Whether they are its own, not the queue's defaults.
    pub own_settings: bool,
    /// Its jobs by state.
    pub counts: Counts,
    /// Attempts started since the group exists in memory.
    pub claimed: u64,
    /// Held until, by a rate-limited snooze.
    pub held_until: Option<Time>,
    /// Shut by the death of its head.
    pub shut_by: Option<JobId>,
}

/// A named limit as people see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimitInfo {
    /// Its name.
    pub name: LimitName,
    /// Its settings; a limit that jobs name but nobody has set admits everything.
    pub settings: LimitSettings,
    /// The sum of costs of running jobs.
    pub in_use: u64,
    /// Lanes that wait for it.
    pub waiting_lanes: u64,
    /// Closed until, by its rate or a rate-limited snooze.
    pub closed_until: Option<Time>,
}

/// A schedule: one job per tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScheduleSpec {
    /// Its name, unique in the store.
    pub name: ScheduleName,
    /// When it ticks.
    pub timing: Timing,
    /// What a tick does while the job of the last one is live.
    pub overlap: Overlap,
    /// What happens to ticks that fell into a time when nobody was there.
    pub catch_up: CatchUp,
    /// The queue of its jobs.
    pub queue: QueueName,
    /// The kind of its jobs.
    pub kind: Kind,
    /// The payload of its jobs.
    pub payload: Vec<u8>,
    /// The group of its jobs.
    #[serde(default)]
    pub group: Option<GroupKey>,
    /// The priority of its jobs.
    #[serde(default)]
    pub priority: i8,
    /// Ticks make no jobs while it is paused, and are not caught up later.
    #[serde(default)]
    pub paused: bool,
}

impl ScheduleSpec {
    /// The job of one tick: its id is made of schedule and tick, so that a tick is one job for ever.
    pub fn job_at(&self, tick: Time) -> NewJob {
        let id = JobId::named(tick, &format!("schedule:{}", self.name));
        let mut job = NewJob::new(id, self.queue.clone(), self.kind.clone(), self.payload.clone());
        job.group.clone_from(&self.group);
        job.priority = self.priority;
        job
    }

    /// Refuses a schedule whose ticks or whose jobs no store takes.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] that names the fault.
    pub fn validate(&self, now: Time) -> Result<(), Rejection> {
        let refuse = |why| Rejection::Invalid { what: "schedule", why };
        self.timing.validate().map_err(refuse)?;
        self.catch_up.validate().map_err(refuse)?;
        self.job_at(now).validate(now)
    }
}

/// A schedule as people see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScheduleInfo {
    /// The schedule.
    pub spec: ScheduleSpec,
    /// The last tick that made or skipped a job.
    pub last_tick: Option<Time>,
    /// The job of the last tick that made one.
    pub last_job: Option<JobId>,
    /// The next tick.
    pub next_tick: Option<Time>,
    /// Ticks that made a job.
    pub ticks: u64,
    /// Ticks skipped by overlap or catch-up policy.
    pub skipped: u64,
}

/// Dead and retrying jobs that failed the same way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailureMode {
    /// Which mode.
    pub fingerprint: Fingerprint,
    /// Its normalised message.
    pub title: String,
    /// The queue it was seen in.
    pub queue: QueueName,
    /// The kind it was seen in last.
    pub kind: Kind,
    /// Dead jobs in it now.
    pub dead: u64,
    /// Failures of that mode since the store counts it.
    pub failures: u64,
    /// First seen.
    pub first_seen: Time,
    /// Last seen.
    pub last_seen: Time,
    /// A job that failed so.
    pub sample: JobId,
}

/// Where a read of the event log begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// With the oldest event that is kept.
    Earliest,
    /// With the next one to come.
    Latest,
    /// After that place.
    After(Cursor),
}

/// A stretch of the event log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventPage {
    /// The events.
    pub events: Vec<Event>,
    /// Where to go on, also when there are none yet.
    pub next: Cursor,
    /// Events between the cursor given and the first one here were trimmed.
    pub gap: bool,
}

/// A reader whose place holds back the trimming of the log, and pruning if it asks for that, up to a byte bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reader {
    /// Its name.
    pub name: String,
    /// It has read up to here.
    pub cursor: Cursor,
    /// Retention removes no job that ended at this time or later; none holds back no job. A reader that has yet to
    /// read more than the bound, or has no place in the log that is kept, holds back no job either.
    #[serde(default)]
    pub keeps_from: Option<Time>,
}

impl Reader {
    /// A reader that needs the log, and no job.
    pub fn of_log(name: impl Into<String>, cursor: Cursor) -> Self {
        Self { name: name.into(), cursor, keeps_from: None }
    }
}

/// A worker as people see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// What it said of itself.
    pub hello: Hello,
    /// When it was last heard of.
    pub seen_at: Time,
    /// Leases that it holds.
    pub running: u64,
}

impl WorkerInfo {
    /// Whether it still counts as there: heard of lately, or holding leases that have not run out.
    pub fn is_there(&self, now: Time) -> bool {
        self.running > 0 || now.since(self.seen_at) <= crate::bounds::WORKER_SILENT_MS
    }
}

/// What kind of store this is and what it gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StoreInfo {
    /// `embedded`, `memory`, `redis`, `postgres` or `http`.
    pub store: String,
    /// What an acknowledged write survives.
    pub ack_level: AckLevel,
    /// Bytes on disk, spare segments included.
    pub disk_bytes: u64,
    /// Bytes of live records.
    pub live_bytes: u64,
    /// Jobs known, ended ones included.
    pub jobs: u64,
    /// How the last open went, in words for people.
    pub recovery: String,
    /// Enqueues are refused because space runs out.
    pub space_low: bool,
    /// The server and its version, as it names itself; none where the engine is inside.
    #[serde(default)]
    pub server: Option<String>,
    /// The namespace on that server.
    #[serde(default)]
    pub namespace: Option<String>,
    /// The version of the bytes, keys or tables that hold the jobs, and where functions do the work, whose they are.
    #[serde(default)]
    pub format: String,
    /// Settings of the server on which the level and the bounds rest, in the server's own words.
    #[serde(default)]
    pub settings: Vec<(String, String)>,
    /// Bytes of the event log, where it is kept apart.
    #[serde(default)]
    pub event_bytes: Option<u64>,
    /// Memory that the server uses, that of other namespaces included.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// What an operator should look into, each with what to do.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Counters by slot of time for charts, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Width of a slot.
    pub slot_ms: u64,
    /// Start of each slot that holds something, with its count.
    pub points: Vec<(Time, u64)>,
}

/// The charts of one queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueueSeries {
    /// Enqueues by second, minute and hour.
    pub enqueued: Vec<Series>,
    /// Completions by second, minute and hour.
    pub completed: Vec<Series>,
    /// Failures by second, minute and hour.
    pub failed: Vec<Series>,
}

/// A store as it was at a moment, as one file that comes piece by piece.
pub struct Backup {
    /// The length of the file.
    pub bytes: u64,
    /// Its pieces.
    pub pieces: Box<dyn Pieces>,
}

impl std::fmt::Debug for Backup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backup").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// A file that comes piece by piece. It is whole only when the end has come without an error.
pub trait Pieces: Send {
    /// The next piece, none behind the last.
    fn next(&mut self) -> StoreFuture<'_, Option<Vec<u8>>>;
}

/// The verbs of people and dashboards.
pub trait Admin: Send + Sync {
    /// Everything about one job; none when it is not known (or no longer).
    fn get(&self, id: JobId) -> StoreFuture<'_, Option<JobDetail>>;
    /// What these jobs bring to their handlers, in the order asked; none for one that is not known (or no longer).
    /// Answers for the first ones: as many as a batch has, and as their payloads fit in
    /// [`crate::bounds::BODIES_BYTES_MAX`], but one at least. Ask again for the rest.
    fn bodies(&self, jobs: Vec<JobId>) -> StoreFuture<'_, Vec<Option<JobBody>>>;
    /// The log of one attempt.
    fn logs(&self, id: JobId, attempt: u32) -> StoreFuture<'_, Result<String, Rejection>>;
    /// One page of jobs; looks at `budget` jobs at most and says where to go on.
    fn list(
        &self,
        filter: Filter,
        cursor: Option<String>,
        limit: usize,
        budget: usize,
    ) -> StoreFuture<'_, Result<Page<JobView>, Rejection>>;
    /// Why that job is not running.
    fn why(&self, id: JobId, at: Option<Time>) -> StoreFuture<'_, Result<Why, Rejection>>;
    /// T14.
    fn edit(&self, edits: Vec<Edit>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>>;
    /// T12.
    fn retry(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>>;
    /// T14.
    fn run_now(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>>;
    /// T13.
    fn delete(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>>;

    /// Sets a queue; in force for every claim that begins after the answer.
    fn set_queue(
        &self,
        name: QueueName,
        settings: QueueSettings,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>>;
    /// Pauses or resumes: no claim that begins after the answer takes from a paused queue.
    fn pause(
        &self,
        name: QueueName,
        paused: bool,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>>;
    /// All queues, or the one named.
    fn queues(&self, name: Option<QueueName>, at: Option<Time>) -> StoreFuture<'_, Vec<QueueInfo>>;
    /// Charts of one queue.
    fn series(&self, name: QueueName, at: Option<Time>) -> StoreFuture<'_, Result<QueueSeries, Rejection>>;
    /// Sets a group; `None` gives it the queue's defaults again.
    fn set_group(
        &self,
        queue: QueueName,
        key: Option<GroupKey>,
        settings: Option<GroupSettings>,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>>;
    /// Groups of a queue by key.
    fn groups(
        &self,
        queue: QueueName,
        after: Option<GroupKey>,
        limit: usize,
    ) -> StoreFuture<'_, Page<GroupInfo>>;
    /// Sets a named limit; `None` removes it.
    fn set_limit(
        &self,
        name: LimitName,
        settings: Option<LimitSettings>,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>>;
    /// Named limits by name.
    fn limits(&self, after: Option<LimitName>, limit: usize) -> StoreFuture<'_, Page<LimitInfo>>;
    /// Creates or changes a schedule; its next tick lies after the answer.
    fn set_schedule(&self, spec: ScheduleSpec, at: Option<Time>) -> StoreFuture<'_, Result<(), Rejection>>;
    /// Removes a schedule; jobs that it made stay.
    fn delete_schedule(&self, name: ScheduleName, at: Option<Time>)
    -> StoreFuture<'_, Result<(), Rejection>>;
    /// All schedules.
    fn schedules(&self) -> StoreFuture<'_, Vec<ScheduleInfo>>;

    /// The next events; waits up to `wait_ms` for the first one when there are none.
    fn events(&self, from: From, limit: usize, wait_ms: u64)
    -> StoreFuture<'_, Result<EventPage, Rejection>>;
    /// Registers a reader or moves its place.
    fn set_reader(&self, reader: Reader) -> StoreFuture<'_, ()>;
    /// Forgets a reader.
    fn delete_reader(&self, name: String) -> StoreFuture<'_, ()>;
    /// All readers.
    fn readers(&self) -> StoreFuture<'_, Vec<Reader>>;

    /// Failure modes of a queue, or of all, most dead first.
    fn errors(&self, queue: Option<QueueName>, limit: usize) -> StoreFuture<'_, Vec<FailureMode>>;
    /// Workers that said hello and not bye, and of which something was heard within [`crate::bounds::WORKER_SILENT_MS`]
    /// or that hold leases.
    fn workers(&self, at: Option<Time>) -> StoreFuture<'_, Vec<WorkerInfo>>;
    /// What this store is and gives.
    fn info(&self) -> StoreFuture<'_, StoreInfo>;
    /// A copy of the whole store as it is when asked, with everything acknowledged before, made while it goes on working.
    /// Stores on a server of their own have none: that server's tools make one.
    fn backup(&self) -> StoreFuture<'_, Backup> {
        let refused = StoreError::refused("backup", "this store makes no backup of itself");
        Box::pin(async { Err(refused) })
    }
    /// A value kept for the server, with its version; version 0 when there is none.
    fn meta(&self, key: String) -> StoreFuture<'_, (Vec<u8>, u64)>;
    /// Replaces the value if `version` is current; answers the new version.
    fn set_meta(&self, key: String, value: Vec<u8>, version: u64) -> StoreFuture<'_, Result<u64, Rejection>>;
}

/// What upkeep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpkeepReport {
    /// Steps taken.
    pub done: usize,
    /// When there is something to do again; in the past when the budget ran out.
    pub next_due: Option<Time>,
}

/// What has to happen on a clock: promotion, expiry, releases, pruning, ticks, folding of counts.
pub trait Upkeep: Send + Sync {
    /// Does at most `budget` steps that are due; bounded, idempotent, without a leader.
    fn upkeep(&self, budget: usize, at: Option<Time>) -> StoreFuture<'_, UpkeepReport>;
}

/// A whole store, as the client holds it.
pub trait Store: Queue + Admin + Upkeep {
    /// Stops taking work, finishes what was taken, makes it durable and lets go of everything.
    fn close(&self) -> StoreFuture<'_, ()>;
}
