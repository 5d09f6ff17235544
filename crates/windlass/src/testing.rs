//! A queue for tests: in memory, on a clock that only the test moves, with nothing running beside it.
//!
//! ```
//! # use serde::{Deserialize, Serialize};
//! use std::time::Duration;
//! use windlass::testing::TestQueue;
//! use windlass::{Ctx, JobError, assert_enqueued};
//!
//! #[derive(Serialize, Deserialize, windlass::Job)]
//! struct SignUp { user: u64 }
//!
//! #[derive(Serialize, Deserialize, windlass::Job)]
//! #[job(delay = "1d")]
//! struct Remind { user: u64 }
//!
//! async fn sign_up(job: SignUp, cx: Ctx) -> Result<(), JobError> {
//!     cx.enqueue(Remind { user: job.user })?;
//!     Ok(())
//! }
//! async fn remind(_: Remind) {}
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), windlass::Error> {
//! let queue = TestQueue::new();
//! let worker = || queue.client().worker(()).queue("default", 1).handle(sign_up).handle(remind);
//!
//! queue.client().enqueue(SignUp { user: 7 }).await?;
//! assert_eq!(queue.drain(worker()).await?.completed, 1);
//! assert_enqueued!(queue, Remind { user: 7 });
//!
//! queue.advance(Duration::from_secs(24 * 60 * 60)).await?; // a day passes at once
//! assert_eq!(queue.drain(worker()).await?.completed, 1);
//! # Ok(()) }
//! ```

use crate::client::Client;
use crate::clock::{IntoTime, WallClock, whole_ms};
use crate::ctx::{Ctx, Held};
use crate::error::Error;
use crate::handler::{self, Arguments, Attempt, Handler};
use crate::ids;
use crate::job::Job;
use crate::outcome::{IntoOutcome, JobError, Outcome};
use crate::worker::{Parts, WorkerBuilder, by_error, by_outcome, settle};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use windlass_core::store::{Claim, ClaimedJob, Filter, Settle, Store};
use windlass_core::{JobId, Kind, QueueName, Rejection, StoreError, Time, WorkerId};
use windlass_embedded::clock::ManualClock;
use windlass_embedded::{EmbeddedOptions, EmbeddedStore};

/// Where the clock of a test begins: 2026-01-01T00:00:00Z.
const START: Time = Time(1_767_225_600_000);
/// Attempts after which a drain is taken for a loop: a job that enqueues itself never ends.
const DRAIN_ATTEMPTS_MAX: usize = 100_000;
/// Steps of upkeep asked for at once.
const UPKEEP_BUDGET: usize = 10_000;
/// The queue on which [`TestQueue::run_once`] runs its job, away from those of the test.
const RUN_ONCE: &str = "windlass.run_once";

/// A memory store with a clock that stands still.
#[derive(Clone)]
pub struct TestQueue {
    client: Client,
    clock: Arc<ManualClock>,
}

/// What the attempts of a drain came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Attempts that completed their job.
    pub completed: usize,
    /// Attempts that failed, were fatal, or panicked.
    pub failed: usize,
    /// Attempts that asked for later.
    pub snoozed: usize,
    /// Jobs given back because no handler knew them or could decode them.
    pub released: usize,
}

impl Drained {
    fn count(&mut self, settle: &Settle) {
        match settle {
            Settle::Complete { .. } => self.completed += 1,
            Settle::Fail { .. } => self.failed += 1,
            Settle::Snooze { .. } => self.snoozed += 1,
            Settle::Release { .. } => self.released += 1,
        }
    }
}

/// What one run of a handler came to.
#[derive(Debug)]
pub struct Ran {
    /// The job that it ran: its log, progress and follow-ups can be looked up.
    pub id: JobId,
    /// What the handler returned.
    pub outcome: Result<Outcome, JobError>,
}

impl Default for TestQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl TestQueue {
    /// An empty queue at 2026-01-01T00:00:00Z.
    pub fn new() -> Self {
        Self::starting_at(START)
    }

    /// An empty queue at that time.
    ///
    /// # Panics
    /// When the system gives no thread for it.
    pub fn starting_at(start: impl IntoTime) -> Self {
        let clock = ManualClock::new(start.into_time());
        let options = EmbeddedOptions { clock: clock.clone(), ..EmbeddedOptions::default() };
        let store = EmbeddedStore::memory(options);
        let store: Arc<dyn Store> = Arc::new(store);
        let now = clock.clone();
        let client = Client::build(store, WallClock::Other(Arc::new(move || now.now())), true);
        Self { client, clock }
    }

    /// The client, as production code gets it.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where the clock stands.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Moves the clock and does everything that became due on the way.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn advance(&self, span: Duration) -> Result<(), Error> {
        self.clock.advance_ms(whole_ms(span));
        loop {
            let report = self.client.store().upkeep(UPKEEP_BUDGET, None).await?;
            if report.next_due.is_none_or(|due| due > self.now()) {
                return Ok(());
            }
        }
    }

    /// Moves the clock to that time, if it lies ahead, and then drains.
    ///
    /// # Errors
    /// As [`TestQueue::drain`].
    pub async fn run_due<S>(&self, at: impl IntoTime, worker: WorkerBuilder<S>) -> Result<Drained, Error>
    where
        S: Clone + Send + Sync + 'static,
    {
        self.advance(Duration::from_millis(at.into_time().since(self.now()))).await?;
        self.drain(worker).await
    }

    /// Runs what is ready in the worker's queues, one job after the other, follow-ups included, until
    /// nothing is; what waits for a later time stays.
    ///
    /// # Errors
    /// The store's failure, a worker that could not start, or 100,000 attempts without an end.
    pub async fn drain<S>(&self, worker: WorkerBuilder<S>) -> Result<Drained, Error>
    where
        S: Clone + Send + Sync + 'static,
    {
        let Parts { queues, routes, .. } = worker.into_parts()?;
        let mut drained = Drained::default();
        let mut attempts = 0;
        loop {
            let before = attempts;
            for (queue, _) in &queues {
                while let Some(job) = self.claim(queue).await? {
                    attempts += 1;
                    if attempts > DRAIN_ATTEMPTS_MAX {
                        return Err(Error::Worker("the drain came to no end in 100,000 attempts".into()));
                    }
                    let timeout = routes.timeout(job.kind.as_str(), job.timeout_ms);
                    let held = Arc::new(Held::new(job, self.client.clone(), 0, timeout, None, 0));
                    if let Some(settled) = settle(&routes, &held).await {
                        drained.count(&settled);
                        self.settle(settled).await?;
                    }
                }
            }
            // A whole round over the queues in which none had anything is the end.
            if attempts == before {
                return Ok(drained);
            }
        }
    }

    /// Runs a handler once with these arguments and this state, as a job of its own: log, progress,
    /// checkpoint and follow-ups are real.
    ///
    /// # Errors
    /// The store's failure.
    ///
    /// # Panics
    /// When the handler does: in a test that is the fault to see.
    pub async fn run_once<J, Args, S, H>(&self, handler: H, job: J, state: S) -> Result<Ran, Error>
    where
        J: Job,
        H: Handler<Args, Answer: IntoOutcome>,
        Args: Arguments<S>,
    {
        let queue = QueueName::new(RUN_ONCE)?;
        let mut new = job.draft().into_new_job(self.now())?;
        new.queue = queue.clone();
        // What could hold the job back has no place in a single run.
        (new.run_at, new.delay_ms, new.expires_at, new.unique) = (None, None, None, None);
        new.limits.clear();
        let id = self.client.enqueue_raw(new).await?.id;
        let Some(job) = self.claim(&queue).await? else {
            return Err(Error::Store(StoreError::refused("claim", "the store did not give back the job")));
        };
        let held = Arc::new(Held::new(job, self.client.clone(), 0, None, None, 0));
        let attempt = Attempt::new(Ctx::new(held.clone()));
        let outcome = handler::call(&handler, &attempt, &state).await;
        held.close_log();
        if let Some(said) = held.take_report() {
            self.client.store().report(vec![said], None).await?;
        }
        let settled = match &outcome {
            Ok(outcome) => by_outcome(&held, outcome.clone()),
            Err(error) => by_error(&held, error),
        };
        self.settle(settled).await?;
        Ok(Ran { id, outcome })
    }

    /// Every job of that type that the queue knows, ended ones included, oldest first.
    ///
    /// # Errors
    /// The store's failure, or a payload that does not decode.
    pub async fn enqueued<T: Job>(&self) -> Result<Vec<T>, Error> {
        let filter = Filter { kind: Some(Kind::new(T::KIND)?), ..Filter::default() };
        let mut ids = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.client.store().list(filter.clone(), cursor, 1_000, usize::MAX).await??;
            ids.extend(page.items.into_iter().map(|job| job.id));
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        ids.sort_unstable();
        let mut jobs = Vec::new();
        for id in ids {
            if let Some(detail) = self.client.get(id).await? {
                let decoded = serde_json::from_slice(&detail.payload);
                jobs.push(decoded.map_err(|cause| Error::Encode { kind: T::KIND.into(), cause })?);
            }
        }
        Ok(jobs)
    }

    /// The first job of that type for which the predicate holds; [`assert_enqueued!`](crate::assert_enqueued)
    /// writes it shorter.
    ///
    /// # Panics
    /// When there is none, with every job of that type that there is.
    pub async fn assert_enqueued<T: Job>(&self, is_meant: impl Fn(&T) -> bool) -> T {
        let jobs = self.enqueued::<T>().await.expect("the test queue lists its jobs");
        let shown: Vec<_> = jobs.iter().map(|job| serde_json::to_string(job).unwrap_or_default()).collect();
        match jobs.into_iter().find(is_meant) {
            Some(job) => job,
            None => panic!("no such job of kind {} was enqueued; there are: [{}]", T::KIND, shown.join(", ")),
        }
    }

    async fn claim(&self, queue: &QueueName) -> Result<Option<ClaimedJob>, Error> {
        let (worker, nonce) = (WorkerId(1), ids::random());
        let claim = Claim { settle_first: Vec::new(), wants: vec![(queue.clone(), 1)], worker, nonce };
        Ok(self.client.store().claim(claim, None).await?.jobs.pop())
    }

    async fn settle(&self, settle: Settle) -> Result<(), Error> {
        let claim = Claim { settle_first: vec![settle], wants: Vec::new(), worker: WorkerId(1), nonce: 1 };
        match self.client.store().claim(claim, None).await?.settled.pop() {
            // A handler that was cancelled, or took so long by the test's clock that its lease ran out.
            None | Some(Ok(()) | Err(Rejection::Stale)) => Ok(()),
            Some(Err(rejection)) => Err(rejection.into()),
        }
    }
}

impl Debug for TestQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestQueue").field("now", &self.now()).finish_non_exhaustive()
    }
}

/// Asserts that a job of that type and pattern was enqueued, and gives it back; in an async function.
///
/// `assert_enqueued!(queue, SendEmail { user_id: 7, .. })`
#[macro_export]
macro_rules! assert_enqueued {
    ($queue:expr, $job:ident { $($pattern:tt)* } $(if $condition:expr)?) => {
        $queue
            .assert_enqueued::<$job>(|job| matches!(job, $job { $($pattern)* } $(if $condition)?))
            .await
    };
    ($queue:expr, $job:ident) => {
        $queue.assert_enqueued::<$job>(|_| true).await
    };
}
