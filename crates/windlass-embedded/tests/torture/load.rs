//! The process that will be killed: producers, workers and an operator on one store, as fast as it goes.
//!
//! Every call and answer goes to the history before the task does anything else. What the store refuses although it may
//! not ends the process with a message, which the checker takes as a failure.

use crate::dice::Dice;
use crate::makeup::{self, KEYS, QUEUES};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use windlass_check::{Recorder, Recording};
use windlass_core::job::{ErrorReport, OnParent, Parent, Progress};
use windlass_core::limit::LimitUse;
use windlass_core::store::{
    Admin, Cancelled, Claim, ClaimedJob, EnqueueStatus, Filter, Queue, ReleaseReason, Report, Settle, Watch,
};
use windlass_core::{GroupKey, JobId, Kind, Lease, NewJob, QueueName, Rejection, State, Time, WorkerId};
use windlass_embedded::clock::{Clock, SystemClock};
use windlass_embedded::journal::JournalOptions;
use windlass_embedded::{EmbeddedOptions, EmbeddedStore};

const PRODUCERS: u64 = 3;
const WORKERS: u64 = 3;
/// Largest batch that a producer sends.
const BATCH_MAX: u64 = 200;
/// Jobs that one claim asks for of each queue.
const WANTED: u32 = 60;
/// Jobs made in this cycle and not yet ended, above which producers wait: keeps producers and workers in step.
const BACKLOG_MAX: usize = 3_000;
/// How often the operator looks for dead jobs.
const OPERATOR_EVERY: Duration = Duration::from_millis(25);
/// How long a worker waits for work before it asks again all the same.
const WATCH_MAX: Duration = Duration::from_millis(20);
/// Printed when the store is open; the checker waits for it.
pub(crate) const READY: &str = "torture: ready";

/// What the checker tells the process it starts.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    pub(crate) directory: PathBuf,
    pub(crate) history: PathBuf,
    pub(crate) cycle: u64,
    pub(crate) seed: u64,
    pub(crate) small_segments: bool,
}

const VARIABLE: &str = "WINDLASS_TORTURE_CHILD";

impl Orders {
    /// As the environment of the process that gets them.
    pub(crate) fn variable(&self) -> (&'static str, String) {
        let (directory, history) = (self.directory.display(), self.history.display());
        let small = u8::from(self.small_segments);
        (VARIABLE, format!("{directory}\n{history}\n{}\n{}\n{small}", self.cycle, self.seed))
    }

    /// The orders in this process's environment, if it was started to be killed.
    pub(crate) fn given() -> Option<Self> {
        let text = std::env::var(VARIABLE).ok()?;
        let parts: Vec<&str> = text.lines().collect();
        Some(Self {
            directory: Path::new(parts[0]).to_owned(),
            history: Path::new(parts[1]).to_owned(),
            cycle: parts[2].parse().unwrap(),
            seed: parts[3].parse().unwrap(),
            small_segments: parts[4] == "1",
        })
    }
}

/// The journal of a cycle: small segments make it rotate and reclaim all the time.
pub(crate) fn options(small_segments: bool) -> EmbeddedOptions {
    let mut options = EmbeddedOptions::default();
    if small_segments {
        let journal = JournalOptions::default();
        options.journal =
            JournalOptions { segment_bytes_min: 256 << 10, segment_bytes_max: 1 << 20, spares: 2, ..journal };
    }
    options
}

/// Works until it is killed, or until the checker is gone.
pub(crate) fn run(orders: &Orders) {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(3);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(work(orders));
}

/// What all tasks share.
struct Bench {
    store: Recording<Arc<EmbeddedStore>>,
    cycle: u64,
    names: BTreeMap<&'static str, QueueName>,
    kind: Kind,
    room: Semaphore,
    numbers: AtomicU64,
}

async fn work(orders: &Orders) {
    let store = EmbeddedStore::open(&orders.directory, options(orders.small_segments))
        .unwrap_or_else(|why| panic!("the store does not open after a kill: {why}"));
    let recorder = Recorder::append(&orders.history, "load").unwrap();
    let store = Recording::new(Arc::new(store), Arc::new(recorder));
    makeup::set_up(&store).await;
    let bench = Arc::new(Bench {
        store,
        cycle: orders.cycle,
        names: QUEUES.into_iter().map(|name| (name, makeup::queue(name))).collect(),
        kind: Kind::new("torture").unwrap(),
        room: Semaphore::new(BACKLOG_MAX),
        numbers: AtomicU64::new(0),
    });
    println!("{READY}");
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..PRODUCERS {
        let (bench, dice) = (Arc::clone(&bench), Dice::new(orders.seed ^ task << 20));
        tasks.spawn(async move { produce(&bench, task, dice).await });
    }
    for task in 10..10 + WORKERS {
        let (bench, dice) = (Arc::clone(&bench), Dice::new(orders.seed ^ task << 20));
        tasks.spawn(async move { Worker::new(&bench, task, dice).run().await });
    }
    let (for_operator, dice) = (Arc::clone(&bench), Dice::new(orders.seed ^ 0x0123_4567));
    tasks.spawn(async move { operate(&for_operator, dice).await });
    if let Some(ended) = tasks.join_next().await {
        eprintln!("a task of the load has ended: {ended:?}");
        std::process::exit(4);
    }
}

impl Bench {
    fn now(&self) -> Time {
        Time(SystemClock.wall_ms())
    }

    fn id(&self, task: u64) -> JobId {
        makeup::id(self.now(), self.cycle, task, self.numbers.fetch_add(1, Ordering::Relaxed))
    }

    fn job(&self, task: u64, name: &str, dice: &mut Dice) -> NewJob {
        let bytes = if dice.once_in(50) { 6_000 } else { 40 + dice.roll(200) as usize };
        NewJob::new(self.id(task), self.names[name].clone(), self.kind.clone(), vec![b'x'; bytes])
    }

    /// A job of one of the many makes; `earlier` are ids that may be its parents.
    fn any_job(&self, task: u64, dice: &mut Dice, earlier: &[JobId]) -> NewJob {
        let group = |dice: &mut Dice, n: u64| Some(GroupKey::new(format!("g{}", dice.roll(n))).unwrap());
        match dice.roll(100) {
            0..40 => self.job(task, "plain", dice),
            40..62 => {
                let job = self.job(task, "fair", dice);
                NewJob { group: group(dice, 25), priority: dice.roll(5) as i8 - 2, ..job }
            }
            62..72 => NewJob { group: group(dice, 30), ..self.job(task, "ordered", dice) },
            72..76 => NewJob { group: group(dice, 10), ..self.job(task, "parked", dice) },
            76..84 => {
                let slots = LimitUse { name: makeup::limit("slots"), cost: 1 + dice.roll(2) as u32 };
                let pace = LimitUse { name: makeup::limit("pace"), cost: 1 };
                NewJob { limits: vec![slots, pace], ..self.job(task, "limited", dice) }
            }
            84..90 => NewJob { delay_ms: Some(1 + dice.roll(60)), ..self.job(task, "later", dice) },
            90..94 => {
                let key = 1 + dice.roll(KEYS);
                let job = self.job(task, "later", dice);
                NewJob { unique: makeup::unique(key), ..job }
            }
            _ => {
                let on = if dice.once_in(2) { OnParent::Success } else { OnParent::Always };
                let parents = earlier.last().map(|id| Parent { id: *id, on }).into_iter().collect();
                NewJob { parents, ..self.job(task, "plain", dice) }
            }
        }
    }
}

async fn produce(bench: &Bench, task: u64, mut dice: Dice) {
    loop {
        let count = 1 + dice.roll(BATCH_MAX);
        bench.room.acquire_many(count as u32).await.unwrap().forget();
        let mut ids: Vec<JobId> = Vec::new();
        let mut jobs: Vec<NewJob> = Vec::new();
        for _ in 0..count {
            let job = bench.any_job(task, &mut dice, &ids);
            // Only a job without a unique key is sure to be taken in, and so may be a parent.
            if job.unique.is_none() {
                ids.push(job.id);
            }
            jobs.push(job);
        }
        let all_or_nothing = jobs.iter().all(|job| job.unique.is_none());
        let answers = bench.store.enqueue(jobs, all_or_nothing, None).await.unwrap();
        let mut refused = 0;
        for answer in answers {
            match answer {
                Ok(done) if done.status == EnqueueStatus::Created => {}
                Ok(_) | Err(Rejection::UniqueConflict { .. }) => refused += 1,
                Err(why) => panic!("an enqueue was refused: {why}"),
            }
        }
        bench.room.add_permits(refused);
        if dice.once_in(4) {
            cancel_some(bench, &ids, &mut dice).await;
        }
    }
}

async fn cancel_some(bench: &Bench, ids: &[JobId], dice: &mut Dice) {
    let some: Vec<JobId> = ids.iter().filter(|_| dice.once_in(40)).copied().collect();
    for answer in bench.store.cancel(some, None).await.unwrap() {
        match answer {
            Ok(Cancelled::Now) => bench.room.add_permits(1),
            Ok(Cancelled::Requested) => {}
            Err(Rejection::WrongState { .. } | Rejection::NotFound { .. }) => {}
            Err(why) => panic!("a cancellation was refused: {why}"),
        }
    }
}

/// Retries or deletes dead jobs, so that shut groups open again.
async fn operate(bench: &Bench, mut dice: Dice) {
    let mut ticks = tokio::time::interval(OPERATOR_EVERY);
    loop {
        ticks.tick().await;
        let dead = Filter { states: vec![State::Dead], ..Filter::default() };
        let page = bench.store.list(dead, None, 50, 5_000).await.unwrap().unwrap();
        let (retried, deleted): (Vec<JobId>, Vec<JobId>) =
            page.items.iter().map(|view| view.id).partition(|_| dice.once_in(2));
        let _ = bench.store.retry(retried, None).await.unwrap();
        let _ = bench.store.delete(deleted, None).await.unwrap();
    }
}

/// One worker process's life within this one: claims, settles with the next claim, and now and then holds on.
struct Worker<'a> {
    bench: &'a Bench,
    task: u64,
    id: WorkerId,
    dice: Dice,
    ending: Vec<Settle>,
    held: Vec<Lease>,
}

impl<'a> Worker<'a> {
    fn new(bench: &'a Bench, task: u64, dice: Dice) -> Self {
        let id = WorkerId(bench.cycle << 8 | task);
        Self { bench, task, id, dice, ending: Vec::new(), held: Vec::new() }
    }

    async fn run(mut self) {
        let wants: Vec<(QueueName, u32)> =
            self.bench.names.values().map(|name| (name.clone(), WANTED)).collect();
        loop {
            let nonce = 1 + self.dice.roll(u64::MAX >> 11);
            let settle_first = std::mem::take(&mut self.ending);
            let claim =
                Claim { settle_first: settle_first.clone(), wants: wants.clone(), worker: self.id, nonce };
            let answer = self.bench.store.claim(claim, None).await.unwrap();
            let mut ended = 0;
            for (settle, outcome) in settle_first.iter().zip(answer.settled) {
                outcome.unwrap_or_else(|why| panic!("the holder of a job was told: {why}"));
                ended += self.makes_room(settle);
            }
            self.bench.room.add_permits(ended);
            self.hold_on().await;
            let idle = answer.jobs.is_empty() && self.ending.is_empty();
            for job in answer.jobs {
                self.handle(job);
            }
            if idle {
                let watch = Watch { worker: self.id, queues: wants.clone() };
                // Whatever rings first: the next round finds out by itself.
                let _ = tokio::time::timeout(WATCH_MAX, self.bench.store.watch(watch)).await;
            } else if self.dice.once_in(8) {
                self.intrude().await;
            }
        }
    }

    /// 1 when that settlement made room for another job of this cycle.
    fn makes_room(&self, settle: &Settle) -> usize {
        let own = makeup::cycle_of(settle.lease().job) == self.bench.cycle;
        usize::from(own && matches!(settle, Settle::Complete { .. }))
    }

    /// What the handler comes to.
    fn handle(&mut self, job: ClaimedJob) {
        let lease = job.lease;
        let ending = match self.dice.roll(1_000) {
            0..30 => {
                let error = ErrorReport { message: "the torture's own".into(), ..ErrorReport::default() };
                let retry_in_ms = self.dice.once_in(2).then(|| self.dice.roll(20));
                Settle::Fail { lease, error, retry_in_ms, fatal: self.dice.once_in(6) }
            }
            30..50 => {
                let delay_ms = 1 + self.dice.roll(20);
                Settle::Snooze { lease, delay_ms, reason: "not yet".into(), holds: None }
            }
            50..65 => Settle::Release { lease, reason: ReleaseReason::Unstarted },
            65..90 => return self.held.push(lease),
            90..120 => {
                let then = vec![self.bench.any_job(self.task, &mut self.dice, &[lease.job])];
                // Follow-ups take no part in the backlog's bound, so only their makers' room is counted.
                Settle::Complete { lease, result: Some(b"{\"ok\":true}".to_vec()), then }
            }
            _ => Settle::Complete { lease, result: None, then: Vec::new() },
        };
        self.ending.push(ending);
    }

    /// Jobs held over a round are heard of, and then completed.
    async fn hold_on(&mut self) {
        let held = std::mem::take(&mut self.held);
        for beat in self.bench.store.heartbeat(held.clone(), None).await.unwrap() {
            beat.unwrap_or_else(|why| panic!("the heartbeat of a holder was told: {why}"));
        }
        let report = |lease: &Lease| Report {
            lease: *lease,
            progress: Some(Progress { percent: 50, message: Some("half".into()) }),
            log: Some("a line\n".into()),
            checkpoint: Some(b"here".to_vec()),
        };
        let reports: Vec<Report> = held.iter().map(report).collect();
        for told in self.bench.store.report(reports, None).await.unwrap() {
            told.unwrap_or_else(|why| panic!("the report of a holder was told: {why}"));
        }
        let done = held.into_iter().map(|lease| Settle::Complete { lease, result: None, then: Vec::new() });
        self.ending.extend(done);
    }

    /// Shows a lease with a wrong nonce, and one with a counter that was never given.
    async fn intrude(&self) {
        let Some(settle) = self.ending.first() else { return };
        let mut wrong = *settle.lease();
        wrong.token.nonce ^= 1;
        let mut ahead = *settle.lease();
        ahead.token.counter += 1;
        let complete = |lease| Settle::Complete { lease, result: None, then: Vec::new() };
        let settle_first = vec![complete(wrong), complete(ahead)];
        let claim = Claim { settle_first, worker: self.id, nonce: 7, ..Claim::default() };
        let answer = self.bench.store.claim(claim, None).await.unwrap();
        assert!(answer.settled.iter().all(|told| *told == Err(Rejection::Stale)), "{:?}", answer.settled);
    }
}
