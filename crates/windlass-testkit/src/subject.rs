//! The store under test: every verb in blocking form, on a clock that stands still until it is moved.
//!
//! It knows no rule. What it adds to the traits is brevity: names made from text, one item instead of a
//! batch, and the panic that a test wants when the store itself fails or does not answer.

use crate::host::{End, Host, Place};
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::runtime::Runtime;
use windlass_core::event::{Event, EventType};
use windlass_core::job::{ErrorReport, JobDetail, Parent};
use windlass_core::limit::{LimitSettings, LimitUse};
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::rate::Rate;
use windlass_core::retry::RetryPolicy;
use windlass_core::store::{
    Beat, Cancelled, Claim, Claimed, ClaimedJob, Counts, Edit, Enqueued, Filter, From, LimitInfo, PerItem,
    QueueInfo, ReleaseReason, Report, Settle, Signal, Store, StoreFuture, Watch,
};
use windlass_core::why::{Reason, Why};
use windlass_core::{
    GroupKey, JobId, Kind, Lease, LimitName, NewJob, QueueName, Rejection, ScheduleName, State, StoreError,
    Time, WorkerId,
};

/// Who claims when a test does not care.
pub const WORKER: WorkerId = WorkerId(0x77);
/// A store that takes longer than this to answer has hung.
const HANG: Duration = Duration::from_secs(60);
/// Rounds of upkeep after which it is plain that upkeep finds no end.
const UPKEEP_ROUNDS_MAX: usize = 20_000;

/// One store at its place.
pub struct Subject {
    store: Option<Arc<dyn Store>>,
    place: Box<dyn Place>,
    runtime: Runtime,
    made: Cell<u64>,
    nonce: Cell<u64>,
}

impl Subject {
    /// A fresh, empty store.
    pub fn new(host: &dyn Host) -> Self {
        Self::at_place(host.place())
    }

    /// What a place holds.
    pub fn at_place(place: Box<dyn Place>) -> Self {
        let mut subject =
            Self { store: None, place, runtime: runtime(), made: Cell::new(0), nonce: Cell::new(1) };
        subject.open();
        subject
    }

    /// Lets go of the store without a word.
    pub fn abandon(&mut self) {
        self.store = None;
    }

    /// Opens the place again.
    pub fn open(&mut self) {
        self.store = Some(self.runtime.block_on(self.place.open()));
    }

    /// The store ends so, and comes back.
    pub fn reopen(&mut self, how: End) {
        self.place.end(how);
        self.abandon();
        self.open();
    }

    /// The store ends and comes back; workers go on.
    pub fn restart(&mut self) {
        self.reopen(End::Quietly);
    }

    /// Closes the store in order, and opens it again.
    pub fn close_and_open(&mut self) {
        self.wait(self.store().close());
        self.restart();
    }

    /// The store.
    pub fn store(&self) -> &dyn Store {
        self.store.as_deref().expect("the store is open")
    }

    /// What a verb is given as its time.
    pub fn at(&self) -> Option<Time> {
        self.place.at()
    }

    /// Waits for an answer that must come and must not be a store's error.
    pub fn wait<T>(&self, answer: StoreFuture<'_, T>) -> T {
        self.try_wait(answer).unwrap_or_else(|fault| panic!("the store failed: {fault}"))
    }

    /// Waits for an answer that must come.
    pub fn try_wait<T>(&self, answer: StoreFuture<'_, T>) -> Result<T, StoreError> {
        self.runtime.block_on(async {
            tokio::time::timeout(HANG, answer).await.expect("the store answers before the deadline")
        })
    }

    /// Where the clock stands.
    pub fn now(&self) -> Time {
        self.place.now()
    }

    /// Moves the clock.
    pub fn pass(&self, ms: u64) {
        self.place.advance_ms(ms);
    }

    /// Moves the clock and does all upkeep that is due then.
    pub fn advance(&self, ms: u64) {
        self.pass(ms);
        self.upkeep();
    }

    /// Does upkeep until nothing is due.
    pub fn upkeep(&self) {
        for _ in 0..UPKEEP_ROUNDS_MAX {
            let report = self.wait(self.store().upkeep(1_000, self.at()));
            if report.next_due.is_none_or(|due| due > self.now()) {
                return;
            }
        }
        panic!("upkeep has something due after {UPKEEP_ROUNDS_MAX} rounds");
    }

    // ---- enqueue ----

    /// A fresh id.
    pub fn id(&self) -> JobId {
        self.made.set(self.made.get() + 1);
        JobId::from_parts(self.now(), (u128::from(self.made.get()) << 64) | u128::from(self.made.get()))
    }

    /// A new job with nothing set but what it must have.
    pub fn job(&self, name: &str) -> NewJob {
        NewJob::new(self.id(), queue(name), kind("kind"), *b"{}")
    }

    /// A new job of a group.
    pub fn job_of(&self, name: &str, key: &str) -> NewJob {
        NewJob { group: Some(group(key)), ..self.job(name) }
    }

    /// Enqueues a batch.
    pub fn enqueue(&self, jobs: Vec<NewJob>) -> PerItem<Enqueued> {
        self.wait(self.store().enqueue(jobs, false, self.at()))
    }

    /// Enqueues one job and gives the store's answer.
    pub fn offer(&self, job: NewJob) -> Result<Enqueued, Rejection> {
        let mut answers = self.enqueue(vec![job]);
        assert_eq!(answers.len(), 1, "one answer per item");
        answers.remove(0)
    }

    /// Enqueues one job that must be taken, and gives the id answered.
    pub fn put(&self, job: NewJob) -> JobId {
        self.offer(job).expect("the job is taken").id
    }

    /// Enqueues jobs that must all be taken.
    pub fn put_all(&self, jobs: Vec<NewJob>) -> Vec<JobId> {
        let ids = jobs.chunks(1_000).flat_map(|some| self.enqueue(some.to_vec()));
        ids.map(|answer| answer.expect("the job is taken").id).collect()
    }

    /// Enqueues that many plain jobs.
    pub fn put_many(&self, name: &str, count: usize) -> Vec<JobId> {
        self.put_all((0..count).map(|_| self.job(name)).collect())
    }

    // ---- claim and settle ----

    /// The whole answer to a claim.
    pub fn ask(&self, worker: WorkerId, settle_first: Vec<Settle>, wants: &[(&str, u32)]) -> Claimed {
        self.nonce.set(self.nonce.get() + 1);
        let wants = wants.iter().map(|(name, n)| (queue(name), *n)).collect();
        self.wait(
            self.store().claim(Claim { settle_first, wants, worker, nonce: self.nonce.get() }, self.at()),
        )
    }

    /// Up to `n` jobs of a queue.
    pub fn claim(&self, name: &str, n: u32) -> Vec<ClaimedJob> {
        self.ask(WORKER, Vec::new(), &[(name, n)]).jobs
    }

    /// The ids of up to `n` jobs of a queue, in the order claimed.
    pub fn claim_ids(&self, name: &str, n: u32) -> Vec<JobId> {
        self.claim(name, n).into_iter().map(|job| job.lease.job).collect()
    }

    /// The one job that must be there.
    pub fn take(&self, name: &str) -> ClaimedJob {
        self.claim(name, 1).pop().unwrap_or_else(|| panic!("queue {name} has a job to claim"))
    }

    /// Claims until the queue gives no more, and gives the ids in that order.
    pub fn drain(&self, name: &str) -> Vec<JobId> {
        let mut all = Vec::new();
        loop {
            let some = self.claim(name, 100);
            if some.is_empty() {
                return all;
            }
            let done = some.iter().map(|job| complete(&job.lease)).collect();
            for answer in self.settle(done) {
                answer.expect("a current lease completes");
            }
            all.extend(some.into_iter().map(|job| job.lease.job));
        }
    }

    /// Settles a batch.
    pub fn settle(&self, settlements: Vec<Settle>) -> PerItem<()> {
        self.ask(WORKER, settlements, &[]).settled
    }

    /// Settles one attempt.
    pub fn end(&self, settlement: Settle) -> Result<(), Rejection> {
        self.settle(vec![settlement]).remove(0)
    }

    /// Completes.
    pub fn complete(&self, job: &ClaimedJob) {
        self.end(complete(&job.lease)).expect("the lease is current");
    }

    /// Fails by the policy.
    pub fn fail(&self, job: &ClaimedJob) {
        self.end(fail(&job.lease)).expect("the lease is current");
    }

    /// Fails for good.
    pub fn kill(&self, job: &ClaimedJob) {
        self.end(fatal(&job.lease)).expect("the lease is current");
    }

    /// Postpones.
    pub fn snooze(&self, job: &ClaimedJob, delay_ms: u64) {
        self.end(snooze(&job.lease, delay_ms)).expect("the lease is current");
    }

    /// Gives back.
    pub fn release(&self, job: &ClaimedJob) {
        self.end(release(&job.lease, ReleaseReason::Unstarted)).expect("the lease is current");
    }

    /// One heartbeat.
    pub fn beat(&self, lease: &Lease) -> Result<Beat, Rejection> {
        self.wait(self.store().heartbeat(vec![*lease], self.at())).remove(0)
    }

    /// One report.
    pub fn report(&self, report: Report) -> Result<(), Rejection> {
        self.wait(self.store().report(vec![report], self.at())).remove(0)
    }

    // ---- people ----

    /// Cancels one job.
    pub fn cancel(&self, id: JobId) -> Result<Cancelled, Rejection> {
        self.wait(self.store().cancel(vec![id], self.at())).remove(0)
    }

    /// Cancels one job that can be.
    pub fn call_off(&self, id: JobId) {
        self.cancel(id).expect("the job can be cancelled");
    }

    /// Retries one job.
    pub fn retry(&self, id: JobId) -> Result<(), Rejection> {
        self.wait(self.store().retry(vec![id], self.at())).remove(0)
    }

    /// Makes one job due.
    pub fn run_now(&self, id: JobId) -> Result<(), Rejection> {
        self.wait(self.store().run_now(vec![id], self.at())).remove(0)
    }

    /// Deletes one job.
    pub fn delete(&self, id: JobId) -> Result<(), Rejection> {
        self.wait(self.store().delete(vec![id], self.at())).remove(0)
    }

    /// Edits one job.
    pub fn edit(&self, edit: Edit) -> Result<(), Rejection> {
        self.wait(self.store().edit(vec![edit], self.at())).remove(0)
    }

    /// Sets a queue.
    pub fn set_queue(&self, name: &str, settings: QueueSettings) {
        self.wait(self.store().set_queue(queue(name), settings, self.at())).expect("the settings are valid");
    }

    /// Pauses or resumes a queue.
    pub fn pause(&self, name: &str, paused: bool) {
        self.wait(self.store().pause(queue(name), paused, self.at())).expect("the queue can be paused");
    }

    /// Sets a group.
    pub fn set_group(&self, name: &str, key: &str, settings: GroupSettings) {
        self.wait(self.store().set_group(queue(name), Some(group(key)), Some(settings), self.at()))
            .expect("the settings are valid");
    }

    /// Sets a named limit.
    pub fn set_limit(&self, name: &str, settings: LimitSettings) {
        self.wait(self.store().set_limit(limit(name), Some(settings), self.at()))
            .expect("the settings are valid");
    }

    // ---- reading ----

    /// Everything about a job that must be known.
    pub fn get(&self, id: JobId) -> JobDetail {
        self.find(id).unwrap_or_else(|| panic!("job {id} is known"))
    }

    /// Everything about a job.
    pub fn find(&self, id: JobId) -> Option<JobDetail> {
        self.wait(self.store().get(id))
    }

    /// Where a job stands.
    pub fn state(&self, id: JobId) -> State {
        self.get(id).view.state
    }

    /// Why a job does not run.
    pub fn why(&self, id: JobId) -> Why {
        self.wait(self.store().why(id, self.at())).expect("the job is known")
    }

    /// The reason alone.
    pub fn reason(&self, id: JobId) -> Reason {
        self.why(id).reason
    }

    /// A queue that must be known.
    pub fn queue_info(&self, name: &str) -> QueueInfo {
        let mut infos = self.wait(self.store().queues(Some(queue(name)), self.at()));
        assert_eq!(infos.len(), 1, "queue {name} is known");
        infos.remove(0)
    }

    /// The counts of a queue; none are known of a queue that is not.
    pub fn counts(&self, name: &str) -> Counts {
        let infos = self.wait(self.store().queues(Some(queue(name)), self.at()));
        infos.first().map(|info| info.counts).unwrap_or_default()
    }

    /// A named limit that must be known.
    pub fn limit_info(&self, name: &str) -> LimitInfo {
        let page = self.wait(self.store().limits(None, 1_000));
        page.items
            .into_iter()
            .find(|info| info.name == limit(name))
            .unwrap_or_else(|| panic!("limit {name} is known"))
    }

    /// The ids that a filter selects, over all pages.
    pub fn list(&self, filter: &Filter) -> Vec<JobId> {
        let (mut ids, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.wait(self.store().list(filter.clone(), cursor, 500, 10_000)).expect("a page");
            ids.extend(page.items.iter().map(|view| view.id));
            match page.next {
                Some(next) => cursor = Some(next),
                None => return ids,
            }
        }
    }

    /// The whole event log.
    pub fn events(&self) -> Vec<Event> {
        self.events_from(From::Earliest)
    }

    /// The event log from a place to its end.
    pub fn events_from(&self, mut from: From) -> Vec<Event> {
        let mut all = Vec::new();
        loop {
            let page = self.wait(self.store().events(from, 1_000, 0)).expect("a place in the log");
            assert!(!page.gap, "nothing was trimmed");
            if page.events.is_empty() {
                return all;
            }
            from = From::After(page.next);
            all.extend(page.events);
        }
    }

    /// The event log from a place on, with that many claims: a claim's own record may lag behind its answer.
    pub fn events_with_claims(&self, mut from: From, claims: usize) -> Vec<Event> {
        let mut all = self.events_from(from);
        let missing =
            |all: &[Event]| all.iter().filter(|event| event.event == EventType::Claimed).count() < claims;
        while missing(&all) {
            if let Some(last) = all.last() {
                from = From::After(last.cursor);
            }
            let page = self
                .wait(self.store().events(from, 1_000, HANG.as_millis() as u64))
                .expect("a place in the log");
            assert!(!page.events.is_empty(), "every claim has its event");
            all.extend(page.events);
        }
        all
    }

    /// What happened to one job, in order.
    pub fn story(&self, id: JobId) -> Vec<EventType> {
        self.events().into_iter().filter(|event| event.job == id).map(|event| event.event).collect()
    }

    /// The last event of one job.
    pub fn last_event(&self, id: JobId) -> Event {
        self.events()
            .into_iter()
            .rfind(|event| event.job == id)
            .unwrap_or_else(|| panic!("job {id} has events"))
    }

    // ---- watching ----

    /// Writes something that concerns nobody: its answer comes behind everything that earlier writes set off.
    fn pulse(&self) {
        let key = || "testkit.pulse".to_owned();
        let (_, version) = self.wait(self.store().meta(key()));
        self.wait(self.store().set_meta(key(), Vec::new(), version)).expect("nobody else writes it");
    }

    /// A watch of one queue, already registered.
    pub fn watch(&self, worker: WorkerId, name: &str, slots: u32) -> Waiting<'_, Signal> {
        let watch = Watch { worker, queues: vec![(queue(name), slots)] };
        self.begin(self.store().watch(watch))
    }

    /// Begins a call that may wait.
    pub fn begin<'a, T>(&'a self, answer: StoreFuture<'a, T>) -> Waiting<'a, T> {
        let mut waiting = Waiting { subject: self, answer, got: None };
        waiting.has_answered();
        waiting
    }
}

/// A call that waits for something to happen.
pub struct Waiting<'a, T> {
    subject: &'a Subject,
    answer: StoreFuture<'a, T>,
    got: Option<T>,
}

impl<T> Waiting<'_, T> {
    /// Whether the answer has come by the time the store has done everything asked before.
    pub fn has_answered(&mut self) -> bool {
        if self.got.is_none() {
            for _ in 0..2 {
                let _inside = self.subject.runtime.enter();
                let polled = Pin::new(&mut self.answer).poll(&mut Context::from_waker(Waker::noop()));
                if let Poll::Ready(answer) = polled {
                    self.got = Some(answer.expect("the store answers"));
                    break;
                }
                drop(_inside);
                self.subject.wait(self.subject.store().upkeep(1, self.subject.at()));
                self.subject.pulse();
            }
        }
        self.got.is_some()
    }

    /// The answer, which must come.
    pub fn answer(mut self) -> T {
        match self.got.take() {
            Some(answer) => answer,
            None => self.subject.wait(self.answer),
        }
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

// ---- names ----

/// A queue's name.
pub fn queue(name: &str) -> QueueName {
    QueueName::new(name).expect("a name")
}

/// A kind.
pub fn kind(name: &str) -> Kind {
    Kind::new(name).expect("a name")
}

/// A group's key.
pub fn group(key: &str) -> GroupKey {
    GroupKey::new(key).expect("a key")
}

/// A limit's name.
pub fn limit(name: &str) -> LimitName {
    LimitName::new(name).expect("a name")
}

/// A schedule's name.
pub fn schedule(name: &str) -> ScheduleName {
    ScheduleName::new(name).expect("a name")
}

// ---- settings ----

/// At most that many at once.
pub fn at_once(concurrency: u32) -> LimitSettings {
    LimitSettings { concurrency: Some(concurrency), rate: None }
}

/// At most that many per period, and that many at once after a rest.
pub fn per(count: u32, period_ms: u64, burst: u32) -> LimitSettings {
    LimitSettings { concurrency: None, rate: Some(Rate { count, period_ms, burst }) }
}

/// Settings of a queue that limit it.
pub fn limited(limits: LimitSettings) -> QueueSettings {
    QueueSettings { limits, ..QueueSettings::default() }
}

/// Settings of a queue whose groups are set so by default.
pub fn grouped(groups: GroupSettings) -> QueueSettings {
    QueueSettings { groups, ..QueueSettings::default() }
}

/// Settings of a group with that weight.
pub fn weight(weight: u16) -> GroupSettings {
    GroupSettings { weight, ..GroupSettings::default() }
}

/// The same delay after each of `max_failures - 1` failures.
pub fn fixed(delay_ms: u64, max_failures: u32) -> RetryPolicy {
    RetryPolicy::Fixed { delay_ms, max_failures }
}

/// Named limits with the cost of each.
pub fn uses(limits: &[(&str, u32)]) -> Vec<LimitUse> {
    limits.iter().map(|(name, cost)| LimitUse { name: limit(name), cost: *cost }).collect()
}

/// Parents that must complete.
pub fn after(ids: &[JobId]) -> Vec<Parent> {
    ids.iter().map(|id| Parent { id: *id, on: windlass_core::job::OnParent::Success }).collect()
}

/// Parents that must end.
pub fn after_any_end(ids: &[JobId]) -> Vec<Parent> {
    ids.iter().map(|id| Parent { id: *id, on: windlass_core::job::OnParent::Always }).collect()
}

// ---- settlements ----

/// T5 without result or follow-ups.
pub fn complete(lease: &Lease) -> Settle {
    Settle::Complete { lease: *lease, result: None, then: Vec::new() }
}

/// T6 by the policy.
pub fn fail(lease: &Lease) -> Settle {
    Settle::Fail { lease: *lease, error: error("boom"), retry_in_ms: None, fatal: false }
}

/// T6 for good.
pub fn fatal(lease: &Lease) -> Settle {
    Settle::Fail { lease: *lease, error: error("fatal"), retry_in_ms: None, fatal: true }
}

/// T8, later.
pub fn snooze(lease: &Lease, delay_ms: u64) -> Settle {
    Settle::Snooze { lease: *lease, delay_ms, reason: "not yet".into(), holds: None }
}

/// T8, given back.
pub fn release(lease: &Lease, reason: ReleaseReason) -> Settle {
    Settle::Release { lease: *lease, reason }
}

/// An error with that message.
pub fn error(message: &str) -> ErrorReport {
    let fingerprint = windlass_core::fingerprint::fingerprint("kind", None, message);
    ErrorReport { class: None, message: message.into(), detail: None, fingerprint }
}
