//! The lines of a history: what clients asked and were told, what workers did, what was broken, and what a store showed.
//!
//! One JSON object a line, each with the process that wrote it (`by`), the wall time (`at`, in milliseconds), that
//! process's monotonic time (`us`, in microseconds) and exactly one word that says what the line is. Payloads, results
//! and texts of errors are left out: no invariant needs them, and a history may be handed around.
//!
//! **The order of the lines is the order of time.** The line of a call is written before the call is made, the line of
//! its answer after the answer has come; so an answer that stands above another call's line came before that call.
//! All lines stand in this one module, because together they are one format with one version; most of it is comments.
//! `docs/history.md` is the page for people. A change that an old reader would misread raises [`VERSION`].

use serde::{Deserialize, Serialize};
use windlass_core::error::Outcome;
use windlass_core::event::{Cause, Event, EventType};
use windlass_core::job::{JobView, NewJob, Parent, Unique};
use windlass_core::limit::{LimitSettings, LimitUse};
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::store::{
    AckLevel, Beat, Cancelled, ClaimedJob, Counts, Edit, Enqueued, LimitInfo, QueueInfo, ScheduleInfo,
    ScheduleSpec, Settle,
};
use windlass_core::{
    GroupKey, JobId, Lease, LimitName, QueueName, Rejection, ScheduleName, State, Time, WorkerId,
};

/// The version that this crate writes and reads; another one is refused.
pub const VERSION: u32 = 1;

/// The first line of every history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the format.
    pub windlass_history: u32,
    /// Which kind of store it was.
    pub store: String,
    /// What an acknowledged write was promised to survive.
    pub ack_level: AckLevel,
    /// How far the events of different jobs can be compared.
    pub events: EventOrder,
    /// Whether every client of the store is recorded, and the store was empty at the beginning: only then does a job
    /// that nobody asked for, or an attempt that nobody was given, mean anything.
    #[serde(default)]
    pub all_clients: bool,
    /// How far the clocks of the clients and the store's may be apart.
    #[serde(default)]
    pub skew_ms: u64,
}

/// What the order of a store's events says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventOrder {
    /// All of them stand in the order in which they took effect.
    Total,
    /// Only those of one job do.
    PerJob,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Flat", into = "Flat")]
pub struct Line {
    /// The process that wrote it, by a name that no other one has.
    pub by: String,
    /// When, by the wall clock; the time that the verb was given, where a test gave one.
    pub at: Time,
    /// When, by that process's monotonic clock.
    pub us: u64,
    /// What the line says.
    pub says: Says,
}

macro_rules! says {
    ($($(#[$doc:meta])* $variant:ident $word:ident $of:ty;)*) => {
        /// What a line says.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Says { $($(#[$doc])* $variant($of),)* }

        /// A line as it stands in the file: the word is the name of the one field that is there.
        // One optional field for each word reads three times faster than a flattened enum, which serde buffers.
        #[derive(Clone, Serialize, Deserialize)]
        struct Flat {
            by: String,
            at: Time,
            us: u64,
            $(#[serde(default, skip_serializing_if = "Option::is_none")] $word: Option<$of>,)*
        }

        impl From<Line> for Flat {
            fn from(line: Line) -> Self {
                let mut flat = Flat { by: line.by, at: line.at, us: line.us, $($word: None,)* };
                match line.says { $(Says::$variant(of) => flat.$word = Some(of),)* }
                flat
            }
        }

        impl TryFrom<Flat> for Line {
            type Error = &'static str;
            fn try_from(flat: Flat) -> Result<Self, Self::Error> {
                let mut says = None;
                $(if let Some(of) = flat.$word {
                    if says.replace(Says::$variant(of)).is_some() {
                        return Err("a line says one thing");
                    }
                })*
                let says = says.ok_or("no word that this version knows")?;
                Ok(Line { by: flat.by, at: flat.at, us: flat.us, says })
            }
        }
    };
}

says! {
    /// A process begins to write.
    Process process Process;
    /// A call is about to be made.
    Call call Call;
    /// Its answer has come.
    Answer answer Answer;
    /// A handler of a worker begins or ends.
    Handler handler Handler;
    /// Something was broken on purpose, or was seen to break.
    Fault fault Fault;
    /// A transaction of the caller in which jobs were enqueued.
    Transaction transaction Transaction;
    /// A full look at the store begins.
    Dump dump DumpBegins;
    /// One job of that look.
    Job job DumpJob;
    /// One queue of it.
    Queue queue DumpQueue;
    /// One named limit of it.
    Limit limit DumpLimit;
    /// One schedule of it.
    Schedule schedule DumpSchedule;
    /// One event, in the order in which the store gave them.
    Event event SeenEvent;
    /// The look ends.
    DumpEnd dump_end DumpEnd;
}

/// A process that writes to the history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// What it is, for people.
    #[serde(default)]
    pub role: String,
}

/// One call of a verb.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Its number, used once by its process.
    pub id: u64,
    /// What is asked.
    pub ask: Ask,
}

/// What is asked: the verb with what the invariants need of its arguments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// T1.
    Enqueue {
        /// The jobs.
        jobs: Vec<Asked>,
        /// The transaction of the caller in which they are enqueued.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transaction: Option<String>,
    },
    /// T5, T6, T8, then T3.
    Claim {
        /// Settled first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        settle: Vec<AskedSettle>,
        /// How many of which queue.
        wants: Vec<(QueueName, u32)>,
        /// Who asks.
        worker: WorkerId,
        /// Its random number.
        nonce: u64,
    },
    /// T4.
    Heartbeat {
        /// The leases shown.
        leases: Vec<Lease>,
    },
    /// Progress, log and checkpoint.
    Report {
        /// The leases shown.
        leases: Vec<Lease>,
    },
    /// T9, T10.
    Cancel {
        /// Which jobs.
        jobs: Vec<JobId>,
    },
    /// T12.
    Retry {
        /// Which jobs.
        jobs: Vec<JobId>,
    },
    /// T14.
    RunNow {
        /// Which jobs.
        jobs: Vec<JobId>,
    },
    /// T13.
    Delete {
        /// Which jobs.
        jobs: Vec<JobId>,
    },
    /// T14.
    Edit {
        /// Which jobs, and what of them; without payloads.
        edits: Vec<Edit>,
    },
    /// Pauses or resumes.
    Pause {
        /// Which queue.
        queue: QueueName,
        /// Whether it pauses.
        paused: bool,
    },
    /// Sets a queue.
    SetQueue {
        /// Which one.
        queue: QueueName,
        /// Its settings.
        settings: QueueSettings,
    },
    /// Sets a group.
    SetGroup {
        /// Of which queue.
        queue: QueueName,
        /// Which group.
        group: Option<GroupKey>,
        /// Its settings; none gives it the queue's.
        settings: Option<GroupSettings>,
    },
    /// Sets a named limit.
    SetLimit {
        /// Which one.
        limit: LimitName,
        /// Its settings; none removes it.
        settings: Option<LimitSettings>,
    },
    /// Sets a schedule.
    SetSchedule {
        /// The schedule; without its payload.
        spec: ScheduleSpec,
    },
    /// Removes a schedule.
    DeleteSchedule {
        /// Which one.
        schedule: ScheduleName,
    },
    /// The store is closed in order.
    Close {},
}

/// A job as it is asked for, without its payload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Its identity.
    pub id: JobId,
    /// Where it waits.
    pub queue: QueueName,
    /// Its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupKey>,
    /// Not before that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_at: Option<Time>,
    /// Not before that long after the store takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// Cancelled if it has not started by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Its unique key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique: Option<Unique>,
    /// Named limits it takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitUse>,
    /// Jobs it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<Parent>,
}

impl From<&NewJob> for Asked {
    fn from(job: &NewJob) -> Self {
        Self {
            id: job.id,
            queue: job.queue.clone(),
            group: job.group.clone(),
            run_at: job.run_at,
            delay_ms: job.delay_ms,
            expires_at: job.expires_at,
            unique: job.unique.clone(),
            limits: job.limits.clone(),
            parents: job.parents.clone(),
        }
    }
}

/// How an attempt is to end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AskedSettle {
    /// The lease shown.
    pub lease: Lease,
    /// The verb.
    pub how: How,
    /// For how long a failure or a snooze asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// The follow-ups of a completion.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<Asked>,
}

/// The verbs that end an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// T5.
    Complete,
    /// T6.
    Fail,
    /// T8.
    Snooze,
    /// T8.
    Release,
}

impl How {
    /// Whether an event of that type records it.
    pub fn is_recorded_by(self, event: EventType) -> bool {
        match self {
            How::Complete => event == EventType::Completed,
            How::Fail => matches!(event, EventType::Failed | EventType::Died),
            How::Snooze => event == EventType::Snoozed,
            How::Release => event == EventType::Released,
        }
    }
}

impl From<&Settle> for AskedSettle {
    fn from(settle: &Settle) -> Self {
        let (how, delay_ms) = match settle {
            Settle::Complete { .. } => (How::Complete, None),
            Settle::Fail { retry_in_ms, .. } => (How::Fail, *retry_in_ms),
            Settle::Snooze { delay_ms, .. } => (How::Snooze, Some(*delay_ms)),
            Settle::Release { .. } => (How::Release, None),
        };
        let then = match settle {
            Settle::Complete { then, .. } => then.iter().map(Asked::from).collect(),
            _ => Vec::new(),
        };
        Self { lease: *settle.lease(), how, delay_ms, then }
    }
}

/// The answer to one call of the same process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The call's number.
    pub id: u64,
    /// What was answered.
    pub told: Told,
}

/// What was answered. A call without an answer is one of which nobody knows what became.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// To an enqueue, one for each job.
    Enqueued(Vec<Item<Enqueued>>),
    /// To a claim.
    Claimed {
        /// One for each settlement.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        settled: Vec<Item<()>>,
        /// The jobs given.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        jobs: Vec<Given>,
    },
    /// To a heartbeat, one for each lease.
    Beats(Vec<Item<Beat>>),
    /// To a cancellation, one for each job.
    Cancelled(Vec<Item<Cancelled>>),
    /// To report, retry, run_now, delete and edit, one for each.
    Items(Vec<Item<()>>),
    /// To what sets one thing.
    One(Item<()>),
    /// The world failed.
    Failed {
        /// Whether it may have taken effect.
        outcome: Outcome,
        /// Why, for people.
        cause: String,
    },
}

/// The answer to one item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item<T> {
    /// Done.
    Ok(T),
    /// The contract said no.
    Rejected(Refusal),
}

/// A rejection by its code; the text is for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Its stable code: `stale`, `wrong_state`, …
    pub code: String,
    /// What it said.
    #[serde(default)]
    pub why: String,
}

impl Refusal {
    /// Whether the lease shown was told to be stale.
    pub fn is_stale(&self) -> bool {
        self.code == Rejection::Stale.code()
    }
}

impl<T> Item<T> {
    /// Whether it was done.
    pub fn is_ok(&self) -> bool {
        matches!(self, Item::Ok(_))
    }
}

impl<T> From<Result<T, Rejection>> for Item<T> {
    fn from(result: Result<T, Rejection>) -> Self {
        match result {
            Ok(value) => Item::Ok(value),
            Err(why) => Item::Rejected(Refusal { code: why.code().to_owned(), why: why.to_string() }),
        }
    }
}

/// A job as it was given to a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Given {
    /// The right to work on it.
    pub lease: Lease,
    /// Its queue.
    pub queue: QueueName,
    /// Its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupKey>,
}

impl From<&ClaimedJob> for Given {
    fn from(job: &ClaimedJob) -> Self {
        Self { lease: job.lease, queue: job.queue.clone(), group: job.group.clone() }
    }
}

/// What a worker does with a lease.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Handler {
    /// Under which lease.
    pub lease: Lease,
    /// Whether it begins or ends.
    pub phase: Phase,
}

/// The two ends of a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It begins.
    Started,
    /// It ends, however.
    Ended,
}

/// A fault, written by whoever causes or sees it, before anything is asked of the store again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// What broke.
    pub what: FaultKind,
    /// Whether the store's level covers it, where that does not follow from the level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covered: Option<bool>,
}

/// What can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A client or worker was killed; the store lives elsewhere.
    ClientKilled,
    /// The store's process was killed, with the clients and workers inside it.
    StoreKilled,
    /// The store ended in order and came back.
    StoreStopped,
    /// The store's host lost power: what was not synced is gone.
    PowerCut,
    /// Another node of the store took over.
    Failover,
    /// A connection was cut, delayed or doubled.
    Connection,
    /// A clock jumped.
    Clock,
}

/// A step of a transaction of the caller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transaction {
    /// Its name, used once.
    pub name: String,
    /// The step.
    pub step: TransactionStep,
}

/// How far a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransactionStep {
    /// Its commit is about to be sent.
    Committing,
    /// Its commit was acknowledged.
    Committed,
    /// It was rolled back, or ended without a commit.
    RolledBack,
    /// Nobody knows.
    Unknown,
}

/// A full look at the store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DumpBegins {
    /// Nothing but an end and a reopen of the store lies between the last look and this one (I17).
    #[serde(default)]
    pub reopened: bool,
    /// Workers that lived in the store's process have ended with it.
    #[serde(default)]
    pub workers_ended: bool,
}

/// A job as the store lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DumpJob {
    /// Identity.
    pub id: JobId,
    /// Where it stands.
    pub state: State,
    /// Its queue.
    pub queue: QueueName,
    /// Its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupKey>,
    /// Its priority.
    #[serde(default)]
    pub priority: i8,
    /// Attempts so far.
    pub attempt: u32,
    /// Failures of this generation.
    pub failures: u32,
    /// Losses of this generation.
    pub losses: u32,
    /// Snoozes of this generation.
    pub snoozes: u32,
    /// When it came to stand so, or is due.
    pub since: Time,
}

impl From<JobView> for DumpJob {
    fn from(view: JobView) -> Self {
        Self {
            id: view.id,
            state: view.state,
            queue: view.queue,
            group: view.group,
            priority: view.priority,
            attempt: view.attempt,
            failures: view.failures,
            losses: view.losses,
            snoozes: view.snoozes,
            since: view.since,
        }
    }
}

/// A queue as the store counts it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DumpQueue {
    /// Its name.
    pub name: QueueName,
    /// Its settings.
    pub settings: QueueSettings,
    /// Its jobs by state, as the store counts them.
    pub counts: Counts,
}

impl From<QueueInfo> for DumpQueue {
    fn from(info: QueueInfo) -> Self {
        Self { name: info.name, settings: info.settings, counts: info.counts }
    }
}

/// A named limit as the store counts it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DumpLimit {
    /// Its name.
    pub name: LimitName,
    /// The sum of costs of running jobs.
    pub in_use: u64,
}

impl From<LimitInfo> for DumpLimit {
    fn from(info: LimitInfo) -> Self {
        Self { name: info.name, in_use: info.in_use }
    }
}

/// A schedule as the store counts it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DumpSchedule {
    /// Its name.
    pub name: ScheduleName,
    /// The last tick that made or skipped a job.
    pub last_tick: Option<Time>,
    /// Ticks that made a job.
    pub ticks: u64,
}

impl From<ScheduleInfo> for DumpSchedule {
    fn from(info: ScheduleInfo) -> Self {
        Self { name: info.spec.name, last_tick: info.last_tick, ticks: info.ticks }
    }
}

/// An event without its texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeenEvent {
    /// When it happened, by the store's wall clock.
    pub at: Time,
    /// What happened.
    #[serde(rename = "type")]
    pub event: EventType,
    /// The job.
    pub job: JobId,
    /// Its queue.
    pub queue: QueueName,
    /// Its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupKey>,
    /// The attempt that it concerns.
    pub attempt: u32,
    /// Why.
    #[serde(default, skip_serializing_if = "is_none")]
    pub cause: Cause,
    /// Who held the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
}

fn is_none(cause: &Cause) -> bool {
    *cause == Cause::None
}

impl From<&Event> for SeenEvent {
    fn from(event: &Event) -> Self {
        Self {
            at: event.at,
            event: event.event,
            job: event.job,
            queue: event.queue.clone(),
            group: event.group.clone(),
            attempt: event.attempt,
            cause: event.cause,
            worker: event.worker,
        }
    }
}

/// How a look ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DumpEnd {
    /// Nothing moved while it was taken: only then can counts be compared.
    pub quiet: bool,
    /// Every event since the beginning of the history stands in it, up to this look.
    pub events_complete: bool,
}
