//! The client: one type for every store, cheap to clone, with typed comfort over the contract's verbs.
//!
//! It owns the gathering of single calls into batches and knows nothing of how a store keeps a job.
//! Everything that it does not wrap is reached through [`Client::store`].

use crate::clock::WallClock;
use crate::draft::{Enqueue, IntoDraft};
use crate::error::Error;
use crate::events::Events;
use crate::gather::Gather;
use crate::ids;
use crate::schedule::ScheduleBuilder;
use crate::trace;
use crate::worker::{Control, WorkerBuilder};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tracing::Instrument as _;
use windlass_core::bounds::BATCH_ITEMS_MAX;
use windlass_core::job::JobDetail;
use windlass_core::limit::LimitSettings;
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::store::{Cancelled, Enqueued, From, PerItem, Report, Store};
use windlass_core::why::Why;
use windlass_core::{
    GroupKey, JobId, LimitName, NewJob, QueueName, Rejection, ScheduleName, StoreError, Time,
};

/// Bytes of payload after which [`Client::enqueue_many`] sends a batch, so that a bulk of large jobs
/// is neither held in memory twice nor one long step of the store.
const BULK_BYTES_MAX: usize = 16 << 20;

/// A durable queue, whichever store keeps it. Clones share one connection.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    clock: WallClock,
    runs_own_upkeep: bool,
    enqueues: Arc<Gather<NewJob, Enqueued>>,
    reports: Arc<Gather<Report, ()>>,
    workers: Mutex<Vec<Weak<Control>>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("runs_own_upkeep", &self.inner.runs_own_upkeep).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of a store that is open already and does its own upkeep, as the embedded one does.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self::build(store, WallClock::System, true)
    }

    /// A client of a store whose upkeep is done by its workers.
    pub fn with_upkeep(store: Arc<dyn Store>) -> Self {
        Self::build(store, WallClock::System, false)
    }

    pub(crate) fn build(store: Arc<dyn Store>, clock: WallClock, runs_own_upkeep: bool) -> Self {
        let (enqueuer, reporter) = (store.clone(), store.clone());
        let enqueues = Gather::new(
            "enqueue",
            |job: &NewJob| job.payload.len(),
            move |jobs| {
                let store = enqueuer.clone();
                Box::pin(async move { store.enqueue(jobs, false, None).await })
            },
        );
        let reports = Gather::new(
            "report",
            |report: &Report| {
                report.log.as_ref().map_or(0, String::len) + report.checkpoint.as_ref().map_or(0, Vec::len)
            },
            move |reports| {
                let store = reporter.clone();
                Box::pin(async move { store.report(reports, None).await })
            },
        );
        let workers = Mutex::new(Vec::new());
        Self { inner: Arc::new(Inner { store, clock, runs_own_upkeep, enqueues, reports, workers }) }
    }

    /// The store with every verb of the contract, for people's tools and dashboards.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// Whether the store promotes, expires and prunes by itself; if not, every worker does it.
    pub fn runs_own_upkeep(&self) -> bool {
        self.inner.runs_own_upkeep
    }

    /// The time by this client's clock.
    pub fn now(&self) -> Time {
        self.inner.clock.now()
    }

    /// A new id, larger than every one that this process made before.
    pub fn new_id(&self) -> JobId {
        ids::next(self.now())
    }

    pub(crate) fn enqueues(&self) -> &Arc<Gather<NewJob, Enqueued>> {
        &self.inner.enqueues
    }

    pub(crate) fn reports(&self) -> &Arc<Gather<Report, ()>> {
        &self.inner.reports
    }

    pub(crate) fn add_worker(&self, worker: &Arc<Control>) {
        let mut workers = self.inner.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.retain(|other| other.strong_count() > 0);
        workers.push(Arc::downgrade(worker));
    }

    /// Enqueues one job when the builder is awaited; it is durable at the store's level then. Many
    /// concurrent calls share one step of the store.
    pub fn enqueue(&self, job: impl IntoDraft) -> Enqueue<'_> {
        Enqueue::new(self, job.into_draft())
    }

    /// Enqueues one job that is complete already, under its own id.
    ///
    /// # Errors
    /// The store's rejection, or its failure.
    pub async fn enqueue_raw(&self, mut job: NewJob) -> Result<Enqueued, Error> {
        let span = trace::send(std::slice::from_mut(&mut job));
        let answer =
            self.inner.enqueues.submit(job).await.unwrap_or_else(|_| Err(self.inner.enqueues.dropped()));
        answer.inspect_err(|error| trace::unsent(&span, error))
    }

    /// Enqueues many jobs, in their order, a thousand in one step; one answer per job. A refused job
    /// stops no other.
    ///
    /// # Errors
    /// The store's failure. Jobs of earlier steps stay enqueued, so jobs that must not be doubled by a
    /// second try bring their own ids.
    pub async fn enqueue_many<I>(&self, jobs: I) -> Result<Vec<Result<Enqueued, Error>>, Error>
    where
        I: IntoIterator,
        I::Item: IntoDraft,
    {
        let now = self.now();
        let made = jobs.into_iter().map(|job| job.into_draft().into_new_job(now));
        self.enqueue_many_raw(made).await
    }

    async fn enqueue_many_raw(
        &self,
        jobs: impl Iterator<Item = Result<NewJob, Error>>,
    ) -> Result<Vec<Result<Enqueued, Error>>, Error> {
        let mut answers = Vec::with_capacity(jobs.size_hint().0);
        let mut batch = Vec::new();
        // Where the answers of the batch go: a job that could not be made has its answer already.
        let mut places = Vec::new();
        let mut bytes = 0;
        let mut jobs = jobs.peekable();
        while let Some(job) = jobs.next() {
            match job {
                Ok(job) => {
                    bytes += job.payload.len();
                    places.push(answers.len());
                    batch.push(job);
                    // Overwritten by the store's answer below.
                    answers.push(Err(Error::Rejected(Rejection::BatchRefused)));
                }
                Err(fault) => answers.push(Err(fault)),
            }
            let full = batch.len() >= BATCH_ITEMS_MAX || bytes >= BULK_BYTES_MAX;
            if full || (jobs.peek().is_none() && !batch.is_empty()) {
                let mut batch = std::mem::take(&mut batch);
                let span = trace::send(&mut batch);
                let sent = self.inner.store.enqueue(batch, false, None).instrument(span.clone()).await;
                let done = sent.inspect_err(|error| trace::failed(&span, "store", &error.to_string()))?;
                for (place, answer) in places.drain(..).zip(done) {
                    answers[place] = answer.map_err(Error::Rejected);
                }
                bytes = 0;
            }
        }
        Ok(answers)
    }

    /// Everything about one job; none when it is not known, or no longer.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn get(&self, id: JobId) -> Result<Option<JobDetail>, Error> {
        Ok(self.inner.store.get(id).await?)
    }

    /// Cancels a job: at once if no worker holds it, else its handler is asked to stop.
    ///
    /// # Errors
    /// The store's rejection, or its failure.
    pub async fn cancel(&self, id: JobId) -> Result<Cancelled, Error> {
        one("cancel", self.inner.store.cancel(vec![id], None).await)
    }

    /// Gives a job that has ended another life, with all its tries.
    ///
    /// # Errors
    /// The store's rejection, or its failure.
    pub async fn retry(&self, id: JobId) -> Result<(), Error> {
        one("retry", self.inner.store.retry(vec![id], None).await)
    }

    /// Makes a job that waits for its time ready now.
    ///
    /// # Errors
    /// The store's rejection, or its failure.
    pub async fn run_now(&self, id: JobId) -> Result<(), Error> {
        one("run_now", self.inner.store.run_now(vec![id], None).await)
    }

    /// The log of one attempt: what its handler wrote with [`Ctx::log`](crate::Ctx::log), and why a payload that does
    /// not decode was given back.
    ///
    /// # Errors
    /// [`Rejection::NotFound`](windlass_core::Rejection::NotFound) when the job is not known, or the store's failure.
    pub async fn logs(&self, id: JobId, attempt: u32) -> Result<String, Error> {
        Ok(self.inner.store.logs(id, attempt).await??)
    }

    /// Why that job is not running.
    ///
    /// # Errors
    /// The store's rejection, or its failure.
    pub async fn why(&self, id: JobId) -> Result<Why, Error> {
        Ok(self.inner.store.why(id, None).await??)
    }

    /// Stops claims from a queue; none that begins after the answer takes from it.
    ///
    /// # Errors
    /// A bad name, or the store's failure.
    pub async fn pause(&self, queue: impl AsRef<str>) -> Result<(), Error> {
        Ok(self.inner.store.pause(QueueName::new(queue)?, true, None).await??)
    }

    /// Lets claims from a queue go on.
    ///
    /// # Errors
    /// A bad name, or the store's failure.
    pub async fn resume(&self, queue: impl AsRef<str>) -> Result<(), Error> {
        Ok(self.inner.store.pause(QueueName::new(queue)?, false, None).await??)
    }

    /// Sets a queue, in force for every claim that begins after the answer.
    ///
    /// # Errors
    /// A bad name, the store's rejection, or its failure.
    pub async fn set_queue(&self, queue: impl AsRef<str>, settings: QueueSettings) -> Result<(), Error> {
        Ok(self.inner.store.set_queue(QueueName::new(queue)?, settings, None).await??)
    }

    /// Sets a group of a queue; `None` gives it the queue's defaults again.
    ///
    /// # Errors
    /// A bad name or key, the store's rejection, or its failure.
    pub async fn set_group(
        &self,
        queue: impl AsRef<str>,
        group: impl AsRef<str>,
        settings: Option<GroupSettings>,
    ) -> Result<(), Error> {
        let (queue, group) = (QueueName::new(queue)?, GroupKey::new(group)?);
        Ok(self.inner.store.set_group(queue, Some(group), settings, None).await??)
    }

    /// Sets a named limit; `None` removes it.
    ///
    /// # Errors
    /// A bad name, the store's rejection, or its failure.
    pub async fn set_limit(
        &self,
        limit: impl AsRef<str>,
        settings: Option<LimitSettings>,
    ) -> Result<(), Error> {
        Ok(self.inner.store.set_limit(LimitName::new(limit)?, settings, None).await??)
    }

    /// A schedule of that name: set when the builder is awaited.
    pub fn schedule(&self, name: impl AsRef<str>) -> ScheduleBuilder<'_> {
        ScheduleBuilder::new(self, name.as_ref())
    }

    /// Removes a schedule; jobs that it made stay.
    ///
    /// # Errors
    /// A bad name, the store's rejection, or its failure.
    pub async fn delete_schedule(&self, name: impl AsRef<str>) -> Result<(), Error> {
        Ok(self.inner.store.delete_schedule(ScheduleName::new(name)?, None).await??)
    }

    /// Every transition of every job from that place on, as they happen.
    pub fn events(&self, from: From) -> Events {
        Events::new(self.inner.store.clone(), from)
    }

    /// A worker of this client; its handlers get their state from `state`.
    pub fn worker<S: Clone + Send + Sync + 'static>(&self, state: S) -> WorkerBuilder<S> {
        WorkerBuilder::new(self.clone(), state)
    }

    /// Shuts down the workers of this client, then the store: what was acknowledged is durable, and
    /// the directory is free for another process.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn close(&self) -> Result<(), Error> {
        let workers: Vec<_> = {
            let mut workers = self.inner.workers.lock().unwrap_or_else(PoisonError::into_inner);
            workers.drain(..).filter_map(|worker| worker.upgrade()).collect()
        };
        for worker in &workers {
            worker.stop(None);
        }
        for worker in &workers {
            worker.ended().await;
        }
        Ok(self.inner.store.close().await?)
    }
}

/// The answer of a batch of one.
fn one<T>(operation: &'static str, answer: Result<PerItem<T>, StoreError>) -> Result<T, Error> {
    match answer?.pop() {
        Some(item) => Ok(item?),
        None => Err(Error::Store(StoreError::stopped(operation, "the store gave no answer for the item"))),
    }
}
