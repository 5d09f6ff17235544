//! A store that records every call made through it.
//!
//! It stands in front of any [`Store`], so that a program, a worker or a test records without a line of its own. Reads
//! are passed on unrecorded: [`crate::dump`] writes down what a store shows.

use crate::format::{Ask, Asked, AskedSettle, Given, Item, Told};
use crate::recorder::Recorder;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use windlass_core::error::Outcome;
use windlass_core::event::Cursor;
use windlass_core::job::{JobBody, JobDetail, JobView};
use windlass_core::limit::LimitSettings;
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::store::{
    Admin, Backup, Beat, Cancelled, Claim, Claimed, Edit, Enqueued, EventPage, FailureMode, Filter, From,
    GroupInfo, Hello, LimitInfo, Page, PerItem, Queue, QueueInfo, QueueSeries, Reader, Report, ScheduleInfo,
    ScheduleSpec, Signal, Store, StoreFuture, StoreInfo, Upkeep, UpkeepReport, Watch, WorkerInfo,
};
use windlass_core::why::Why;
use windlass_core::{
    GroupKey, JobId, Lease, LimitName, NewJob, QueueName, Rejection, ScheduleName, StoreError, Time, WorkerId,
};

/// A store with a recorder in front of it.
#[derive(Clone, Debug)]
pub struct Recording<P> {
    store: P,
    recorder: Arc<Recorder>,
}

impl<P> Recording<P> {
    /// Records what is asked of `store` and answered by it. `P` is a pointer to a store: `Arc<dyn Store>`, `&S`.
    pub fn new(store: P, recorder: Arc<Recorder>) -> Self {
        Self { store, recorder }
    }

    /// Where the history goes.
    pub fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    /// The store behind it.
    pub fn store(&self) -> &P {
        &self.store
    }

    /// Announces a call, makes it, records its answer. Without its line no call is made; a store may begin to work
    /// before its future is first polled, so even the future is made afterwards.
    async fn recorded<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        at: Option<Time>,
        ask: Ask,
        call: impl FnOnce() -> F,
        told: impl FnOnce(&T) -> Told,
    ) -> Result<T, StoreError> {
        let lost = |outcome| {
            move |why: std::io::Error| StoreError {
                operation: "history",
                cause: format!("the history cannot be written: {why}"),
                outcome,
                retryable: false,
                hint: None,
            }
        };
        let id = self.recorder.call(at, ask).map_err(lost(Outcome::NotDone))?;
        let answer = call().await;
        let told = match &answer {
            Ok(value) => told(value),
            Err(why) => Told::Failed { outcome: why.outcome, cause: why.to_string() },
        };
        self.recorder.answer(at, id, told).map_err(lost(Outcome::Unknown))?;
        answer
    }
}

fn items<T: Clone>(answers: &PerItem<T>) -> Vec<Item<T>> {
    answers.iter().map(|answer| answer.clone().into()).collect()
}

fn one(answer: &Result<(), Rejection>) -> Told {
    Told::One(answer.clone().into())
}

impl<P, S> Queue for Recording<P>
where
    P: Deref<Target = S> + Send + Sync,
    S: Store + ?Sized + 'static,
{
    fn enqueue(
        &self,
        jobs: Vec<NewJob>,
        all_or_nothing: bool,
        at: Option<Time>,
    ) -> StoreFuture<'_, PerItem<Enqueued>> {
        let ask = Ask::Enqueue { jobs: jobs.iter().map(Asked::from).collect(), transaction: None };
        let call = move || self.store.enqueue(jobs, all_or_nothing, at);
        Box::pin(self.recorded(at, ask, call, |answer| Told::Enqueued(items(answer))))
    }

    fn claim(&self, claim: Claim, at: Option<Time>) -> StoreFuture<'_, Claimed> {
        let ask = Ask::Claim {
            settle: claim.settle_first.iter().map(AskedSettle::from).collect(),
            wants: claim.wants.clone(),
            worker: claim.worker,
            nonce: claim.nonce,
        };
        let call = move || self.store.claim(claim, at);
        Box::pin(self.recorded(at, ask, call, |answer| Told::Claimed {
            settled: items(&answer.settled),
            jobs: answer.jobs.iter().map(Given::from).collect(),
        }))
    }

    fn heartbeat(&self, leases: Vec<Lease>, at: Option<Time>) -> StoreFuture<'_, PerItem<Beat>> {
        let ask = Ask::Heartbeat { leases: leases.clone() };
        let call = move || self.store.heartbeat(leases, at);
        Box::pin(self.recorded(at, ask, call, |answer| Told::Beats(items(answer))))
    }

    fn report(&self, reports: Vec<Report>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        let ask = Ask::Report { leases: reports.iter().map(|report| report.lease).collect() };
        let call = move || self.store.report(reports, at);
        Box::pin(self.recorded(at, ask, call, |answer| Told::Items(items(answer))))
    }

    fn cancel(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<Cancelled>> {
        let ask = Ask::Cancel { jobs: jobs.clone() };
        let call = move || self.store.cancel(jobs, at);
        Box::pin(self.recorded(at, ask, call, |answer| Told::Cancelled(items(answer))))
    }

    fn watch(&self, watch: Watch) -> StoreFuture<'_, Signal> {
        self.store.watch(watch)
    }

    fn hello(&self, hello: Hello, at: Option<Time>) -> StoreFuture<'_, ()> {
        self.store.hello(hello, at)
    }

    fn bye(&self, worker: WorkerId, at: Option<Time>) -> StoreFuture<'_, ()> {
        self.store.bye(worker, at)
    }
}

impl<P, S> Admin for Recording<P>
where
    P: Deref<Target = S> + Send + Sync,
    S: Store + ?Sized + 'static,
{
    fn get(&self, id: JobId) -> StoreFuture<'_, Option<JobDetail>> {
        self.store.get(id)
    }

    fn bodies(&self, jobs: Vec<JobId>) -> StoreFuture<'_, Vec<Option<JobBody>>> {
        self.store.bodies(jobs)
    }

    fn logs(&self, id: JobId, attempt: u32) -> StoreFuture<'_, Result<String, Rejection>> {
        self.store.logs(id, attempt)
    }

    fn list(
        &self,
        filter: Filter,
        cursor: Option<String>,
        limit: usize,
        budget: usize,
    ) -> StoreFuture<'_, Result<Page<JobView>, Rejection>> {
        self.store.list(filter, cursor, limit, budget)
    }

    fn why(&self, id: JobId, at: Option<Time>) -> StoreFuture<'_, Result<Why, Rejection>> {
        self.store.why(id, at)
    }

    fn edit(&self, edits: Vec<Edit>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        let ask =
            Ask::Edit { edits: edits.iter().map(|edit| Edit { payload: None, ..edit.clone() }).collect() };
        let call = move || self.store.edit(edits, at);
        Box::pin(self.recorded(at, ask, call, |answer| Told::Items(items(answer))))
    }

    fn retry(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        let ask = Ask::Retry { jobs: jobs.clone() };
        let call = move || self.store.retry(jobs, at);
        Box::pin(self.recorded(at, ask, call, |answer| Told::Items(items(answer))))
    }

    fn run_now(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        let ask = Ask::RunNow { jobs: jobs.clone() };
        let call = move || self.store.run_now(jobs, at);
        Box::pin(self.recorded(at, ask, call, |answer| Told::Items(items(answer))))
    }

    fn delete(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        let ask = Ask::Delete { jobs: jobs.clone() };
        let call = move || self.store.delete(jobs, at);
        Box::pin(self.recorded(at, ask, call, |answer| Told::Items(items(answer))))
    }

    fn set_queue(
        &self,
        name: QueueName,
        settings: QueueSettings,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>> {
        let ask = Ask::SetQueue { queue: name.clone(), settings: settings.clone() };
        let call = move || self.store.set_queue(name, settings, at);
        Box::pin(self.recorded(at, ask, call, one))
    }

    fn pause(
        &self,
        name: QueueName,
        paused: bool,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>> {
        let ask = Ask::Pause { queue: name.clone(), paused };
        let call = move || self.store.pause(name, paused, at);
        Box::pin(self.recorded(at, ask, call, one))
    }

    fn queues(&self, name: Option<QueueName>, at: Option<Time>) -> StoreFuture<'_, Vec<QueueInfo>> {
        self.store.queues(name, at)
    }

    fn series(&self, name: QueueName, at: Option<Time>) -> StoreFuture<'_, Result<QueueSeries, Rejection>> {
        self.store.series(name, at)
    }

    fn set_group(
        &self,
        queue: QueueName,
        key: Option<GroupKey>,
        settings: Option<GroupSettings>,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>> {
        let ask = Ask::SetGroup { queue: queue.clone(), group: key.clone(), settings };
        let call = move || self.store.set_group(queue, key, settings, at);
        Box::pin(self.recorded(at, ask, call, one))
    }

    fn groups(
        &self,
        queue: QueueName,
        after: Option<GroupKey>,
        limit: usize,
    ) -> StoreFuture<'_, Page<GroupInfo>> {
        self.store.groups(queue, after, limit)
    }

    fn set_limit(
        &self,
        name: LimitName,
        settings: Option<LimitSettings>,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>> {
        let ask = Ask::SetLimit { limit: name.clone(), settings };
        let call = move || self.store.set_limit(name, settings, at);
        Box::pin(self.recorded(at, ask, call, one))
    }

    fn limits(&self, after: Option<LimitName>, limit: usize) -> StoreFuture<'_, Page<LimitInfo>> {
        self.store.limits(after, limit)
    }

    fn set_schedule(&self, spec: ScheduleSpec, at: Option<Time>) -> StoreFuture<'_, Result<(), Rejection>> {
        let ask = Ask::SetSchedule { spec: ScheduleSpec { payload: Vec::new(), ..spec.clone() } };
        let call = move || self.store.set_schedule(spec, at);
        Box::pin(self.recorded(at, ask, call, one))
    }

    fn delete_schedule(
        &self,
        name: ScheduleName,
        at: Option<Time>,
    ) -> StoreFuture<'_, Result<(), Rejection>> {
        let ask = Ask::DeleteSchedule { schedule: name.clone() };
        let call = move || self.store.delete_schedule(name, at);
        Box::pin(self.recorded(at, ask, call, one))
    }

    fn schedules(&self) -> StoreFuture<'_, Vec<ScheduleInfo>> {
        self.store.schedules()
    }

    fn events(
        &self,
        from: From,
        limit: usize,
        wait_ms: u64,
    ) -> StoreFuture<'_, Result<EventPage, Rejection>> {
        self.store.events(from, limit, wait_ms)
    }

    fn set_reader(&self, reader: Reader) -> StoreFuture<'_, ()> {
        self.store.set_reader(reader)
    }

    fn delete_reader(&self, name: String) -> StoreFuture<'_, ()> {
        self.store.delete_reader(name)
    }

    fn readers(&self) -> StoreFuture<'_, Vec<Reader>> {
        self.store.readers()
    }

    fn errors(&self, queue: Option<QueueName>, limit: usize) -> StoreFuture<'_, Vec<FailureMode>> {
        self.store.errors(queue, limit)
    }

    fn workers(&self, at: Option<Time>) -> StoreFuture<'_, Vec<WorkerInfo>> {
        self.store.workers(at)
    }

    fn info(&self) -> StoreFuture<'_, StoreInfo> {
        self.store.info()
    }

    fn backup(&self) -> StoreFuture<'_, Backup> {
        self.store.backup()
    }

    fn meta(&self, key: String) -> StoreFuture<'_, (Vec<u8>, u64)> {
        self.store.meta(key)
    }

    fn set_meta(&self, key: String, value: Vec<u8>, version: u64) -> StoreFuture<'_, Result<u64, Rejection>> {
        self.store.set_meta(key, value, version)
    }
}

impl<P, S> Upkeep for Recording<P>
where
    P: Deref<Target = S> + Send + Sync,
    S: Store + ?Sized + 'static,
{
    fn upkeep(&self, budget: usize, at: Option<Time>) -> StoreFuture<'_, UpkeepReport> {
        self.store.upkeep(budget, at)
    }
}

impl<P, S> Store for Recording<P>
where
    P: Deref<Target = S> + Send + Sync,
    S: Store + ?Sized + 'static,
{
    fn close(&self) -> StoreFuture<'_, ()> {
        let call = move || self.store.close();
        Box::pin(self.recorded(None, Ask::Close {}, call, |()| Told::One(Item::Ok(()))))
    }
}

/// Where the next look goes on reading the event log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Follow {
    pub(crate) cursor: Option<Cursor>,
    pub(crate) gap: bool,
}

impl Follow {
    /// How far the event log was read: a reader registered there holds back its trimming until the next look.
    pub fn cursor(&self) -> Cursor {
        self.cursor.unwrap_or_default()
    }
}
