//! A store around another one that counts calls and fails when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use windlass::core::error::Outcome;
use windlass::core::event::Cursor;
use windlass::core::lease::{Lease, WorkerId};
use windlass::core::limit::LimitSettings;
use windlass::core::name::{GroupKey, LimitName, QueueName, ScheduleName};
use windlass::core::queue::{GroupSettings, QueueSettings};
use windlass::core::store::*;
use windlass::core::why::Why;
use windlass::core::{
    JobId, NewJob, Rejection, StoreError, Time, job::JobBody, job::JobDetail, job::JobView,
};
use windlass::{Client, open};

pub(crate) struct Watched {
    inner: Client,
    pub(crate) enqueues: AtomicUsize,
    pub(crate) enqueued: AtomicUsize,
    pub(crate) claims: AtomicUsize,
    pub(crate) beats: AtomicUsize,
    pub(crate) upkeeps: AtomicUsize,
    /// So many more claims fail.
    pub(crate) failing_claims: AtomicU64,
    /// So many more claims that settle something fail, every other one after the fact.
    pub(crate) failing_settles: AtomicU64,
    /// So many more heartbeats fail.
    pub(crate) failing_beats: AtomicU64,
    /// Milliseconds that a claim takes to be answered: the store is far away.
    pub(crate) claim_ms: AtomicU64,
}

fn take(left: &AtomicU64) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn broken(operation: &'static str) -> StoreError {
    StoreError {
        operation,
        cause: "told to fail".into(),
        outcome: Outcome::Unknown,
        retryable: true,
        hint: None,
    }
}

impl Watched {
    pub(crate) async fn memory() -> (Arc<Self>, Client) {
        let store = Arc::new(Self {
            inner: open("memory:").await.expect("memory opens"),
            enqueues: AtomicUsize::new(0),
            enqueued: AtomicUsize::new(0),
            claims: AtomicUsize::new(0),
            beats: AtomicUsize::new(0),
            upkeeps: AtomicUsize::new(0),
            failing_claims: AtomicU64::new(0),
            failing_settles: AtomicU64::new(0),
            failing_beats: AtomicU64::new(0),
            claim_ms: AtomicU64::new(0),
        });
        (store.clone(), Client::new(store))
    }
}

macro_rules! pass_on {
    ($($name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        $(fn $name(&self, $($arg: $type),*) -> StoreFuture<'_, $answer> {
            self.inner.store().$name($($arg),*)
        })*
    };
}

impl Queue for Watched {
    fn enqueue(&self, jobs: Vec<NewJob>, all: bool, at: Option<Time>) -> StoreFuture<'_, PerItem<Enqueued>> {
        self.enqueues.fetch_add(1, Ordering::SeqCst);
        self.enqueued.fetch_add(jobs.len(), Ordering::SeqCst);
        self.inner.store().enqueue(jobs, all, at)
    }

    fn claim(&self, claim: Claim, at: Option<Time>) -> StoreFuture<'_, Claimed> {
        self.claims.fetch_add(1, Ordering::SeqCst);
        if take(&self.failing_claims) {
            return Box::pin(std::future::ready(Err(broken("claim"))));
        }
        if !claim.settle_first.is_empty() && take(&self.failing_settles) {
            if !self.failing_settles.load(Ordering::SeqCst).is_multiple_of(2) {
                return Box::pin(std::future::ready(Err(broken("claim"))));
            }
            // It is done and the answer is lost: the caller cannot know.
            let settled = self.inner.store().claim(Claim { wants: Vec::new(), ..claim }, at);
            return Box::pin(async move {
                settled.await?;
                Err(broken("claim"))
            });
        }
        let far = Duration::from_millis(self.claim_ms.load(Ordering::SeqCst));
        Box::pin(async move {
            let claimed = self.inner.store().claim(claim, at).await;
            tokio::time::sleep(far).await;
            claimed
        })
    }

    fn heartbeat(&self, leases: Vec<Lease>, at: Option<Time>) -> StoreFuture<'_, PerItem<Beat>> {
        if !leases.is_empty() {
            self.beats.fetch_add(1, Ordering::SeqCst);
        }
        if take(&self.failing_beats) {
            return Box::pin(std::future::ready(Err(broken("heartbeat"))));
        }
        self.inner.store().heartbeat(leases, at)
    }

    pass_on! {
        report(reports: Vec<Report>, at: Option<Time>) -> PerItem<()>;
        cancel(jobs: Vec<JobId>, at: Option<Time>) -> PerItem<Cancelled>;
        watch(watch: Watch) -> Signal;
        hello(hello: Hello, at: Option<Time>) -> ();
        bye(worker: WorkerId, at: Option<Time>) -> ();
    }
}

impl Admin for Watched {
    pass_on! {
        get(id: JobId) -> Option<JobDetail>;
        bodies(jobs: Vec<JobId>) -> Vec<Option<JobBody>>;
        logs(id: JobId, attempt: u32) -> Result<String, Rejection>;
        list(filter: Filter, cursor: Option<String>, limit: usize, budget: usize)
            -> Result<Page<JobView>, Rejection>;
        why(id: JobId, at: Option<Time>) -> Result<Why, Rejection>;
        edit(edits: Vec<Edit>, at: Option<Time>) -> PerItem<()>;
        retry(jobs: Vec<JobId>, at: Option<Time>) -> PerItem<()>;
        run_now(jobs: Vec<JobId>, at: Option<Time>) -> PerItem<()>;
        delete(jobs: Vec<JobId>, at: Option<Time>) -> PerItem<()>;
        set_queue(name: QueueName, settings: QueueSettings, at: Option<Time>) -> Result<(), Rejection>;
        pause(name: QueueName, paused: bool, at: Option<Time>) -> Result<(), Rejection>;
        queues(name: Option<QueueName>, at: Option<Time>) -> Vec<QueueInfo>;
        series(name: QueueName, at: Option<Time>) -> Result<QueueSeries, Rejection>;
        set_group(queue: QueueName, key: Option<GroupKey>, settings: Option<GroupSettings>, at: Option<Time>)
            -> Result<(), Rejection>;
        groups(queue: QueueName, after: Option<GroupKey>, limit: usize) -> Page<GroupInfo>;
        set_limit(name: LimitName, settings: Option<LimitSettings>, at: Option<Time>) -> Result<(), Rejection>;
        limits(after: Option<LimitName>, limit: usize) -> Page<LimitInfo>;
        set_schedule(spec: ScheduleSpec, at: Option<Time>) -> Result<(), Rejection>;
        delete_schedule(name: ScheduleName, at: Option<Time>) -> Result<(), Rejection>;
        schedules() -> Vec<ScheduleInfo>;
        events(from: From, limit: usize, wait_ms: u64) -> Result<EventPage, Rejection>;
        set_reader(reader: Reader) -> ();
        delete_reader(name: String) -> ();
        readers() -> Vec<Reader>;
        errors(queue: Option<QueueName>, limit: usize) -> Vec<FailureMode>;
        workers(at: Option<Time>) -> Vec<WorkerInfo>;
        info() -> StoreInfo;
        meta(key: String) -> (Vec<u8>, u64);
        set_meta(key: String, value: Vec<u8>, version: u64) -> Result<u64, Rejection>;
    }
}

impl Upkeep for Watched {
    fn upkeep(&self, budget: usize, at: Option<Time>) -> StoreFuture<'_, UpkeepReport> {
        self.upkeeps.fetch_add(1, Ordering::SeqCst);
        self.inner.store().upkeep(budget, at)
    }
}

impl Store for Watched {
    pass_on! {
        close() -> ();
    }
}

/// The reader's cursor type is part of the public interface.
pub(crate) fn place(cursor: Cursor) -> From {
    From::After(cursor)
}

impl Watched {
    /// Does the upkeep that is due by then.
    pub(crate) async fn upkeep_at(&self, at: Time) {
        self.inner.store().upkeep(1_000, Some(at)).await.expect("upkeep");
    }

    /// The store no longer knows of that worker, as after its restart.
    pub(crate) async fn forget(&self, worker: WorkerId) {
        self.inner.store().bye(worker, None).await.expect("it is heard");
    }
}
