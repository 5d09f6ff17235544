//! The store under test: every verb in blocking form, on a clock that stands still until it is moved.
//!
//! It knows no rule. What it adds to the traits is brevity: names made from text, one item instead of a
//! batch, and the panic that a test wants when the store itself fails or does not answer.

use std::cell::Cell;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use windlass_core::event::{Event, EventType};
use windlass_core::job::{ErrorReport, JobDetail, Parent};
use windlass_core::limit::{LimitSettings, LimitUse};
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::rate::Rate;
use windlass_core::retry::RetryPolicy;
use windlass_core::store::{
    Admin, Beat, Cancelled, Claim, Claimed, ClaimedJob, Counts, Edit, Enqueued, Filter, From, LimitInfo,
    PerItem, Queue, QueueInfo, ReleaseReason, Report, Settle, Signal, Store, StoreFuture, Upkeep, Watch,
};
use windlass_core::why::{Reason, Why};
use windlass_core::{
    GroupKey, JobId, Kind, Lease, LimitName, NewJob, QueueName, Rejection, ScheduleName, State, StoreError,
    Time, WorkerId,
};
use windlass_embedded::clock::ManualClock;
use windlass_embedded::disk::Disk;
use windlass_embedded::{AtOpen, EmbeddedOptions, EmbeddedStore};

/// Where every clock begins: 2025-11-21 04:40:00 UTC.
pub(crate) const START: Time = Time(1_763_700_000_000);
/// Who claims when a test does not care.
pub(crate) const WORKER: WorkerId = WorkerId(0x77);
/// A store that takes longer than this to answer has hung.
const HANG: Duration = Duration::from_secs(60);
/// Rounds of upkeep after which it is plain that upkeep finds no end.
const UPKEEP_ROUNDS_MAX: usize = 20_000;

/// One store, its clock, and the directory it lives in if it has one.
pub(crate) struct Subject {
    store: Option<EmbeddedStore>,
    pub(crate) clock: Arc<ManualClock>,
    runtime: Runtime,
    directory: Option<TempDir>,
    made: Cell<u64>,
    nonce: Cell<u64>,
}

impl Subject {
    /// A `memory:` store.
    pub(crate) fn memory() -> Self {
        let clock = ManualClock::new(START);
        let runtime = runtime();
        let options = EmbeddedOptions { clock: clock.clone(), ..EmbeddedOptions::default() };
        let store = {
            let _inside = runtime.enter();
            EmbeddedStore::memory(options)
        };
        Self { store: Some(store), clock, runtime, directory: None, made: Cell::new(0), nonce: Cell::new(1) }
    }

    /// A `file:` store in a directory of its own.
    pub(crate) fn file() -> Self {
        let clock = ManualClock::new(START);
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut subject = Self {
            store: None,
            clock,
            runtime: runtime(),
            directory: Some(directory),
            made: Cell::new(0),
            nonce: Cell::new(1),
        };
        subject.open();
        subject
    }

    /// A store on a simulated disk.
    pub(crate) fn on_disk(disk: Arc<dyn Disk>, clock: Arc<ManualClock>, leases: AtOpen) -> Self {
        let runtime = runtime();
        let options = EmbeddedOptions { clock: clock.clone(), leases, ..EmbeddedOptions::default() };
        let store = {
            let _inside = runtime.enter();
            EmbeddedStore::on_disk(disk, options).expect("the disk opens")
        };
        Self { store: Some(store), clock, runtime, directory: None, made: Cell::new(0), nonce: Cell::new(1) }
    }

    /// Lets go of the store and opens another disk, or the same one again.
    pub(crate) fn reopen_on(&mut self, disk: Arc<dyn Disk>, leases: AtOpen) {
        self.abandon();
        let _inside = self.runtime.enter();
        let options = EmbeddedOptions { leases, ..self.options() };
        self.store = Some(EmbeddedStore::on_disk(disk, options).expect("the disk opens"));
    }

    /// The directory of a `file:` store.
    pub(crate) fn path(&self) -> &Path {
        self.directory.as_ref().expect("a file: store").path()
    }

    /// The options with this clock.
    pub(crate) fn options(&self) -> EmbeddedOptions {
        EmbeddedOptions { clock: self.clock.clone(), ..EmbeddedOptions::default() }
    }

    /// Opens the directory; workers of before live in the process that is gone.
    pub(crate) fn open(&mut self) {
        self.open_with(self.options());
    }

    /// Opens the directory with other options.
    pub(crate) fn open_with(&mut self, options: EmbeddedOptions) {
        let _inside = self.runtime.enter();
        let path = self.directory.as_ref().expect("a file: store").path();
        self.store = Some(EmbeddedStore::open(path, options).expect("the directory opens"));
    }

    /// Lets go of the store and opens it again for workers that live elsewhere and are still at work.
    pub(crate) fn reopen_for_others(&mut self) {
        self.abandon();
        self.open_with(EmbeddedOptions { leases: AtOpen::RenewLeases, ..self.options() });
    }

    /// Lets go of the store without a word.
    pub(crate) fn abandon(&mut self) {
        self.store = None;
    }

    /// Lets go of the store and opens it again.
    pub(crate) fn reopen(&mut self) {
        self.abandon();
        self.open();
    }

    /// Closes the store in order, and opens it again.
    pub(crate) fn close_and_open(&mut self) {
        self.wait(self.store().close());
        self.abandon();
        self.open();
    }

    /// The store.
    pub(crate) fn store(&self) -> &EmbeddedStore {
        self.store.as_ref().expect("the store is open")
    }

    /// Waits for an answer that must come and must not be a store's error.
    pub(crate) fn wait<T>(&self, answer: StoreFuture<'_, T>) -> T {
        self.try_wait(answer).unwrap_or_else(|fault| panic!("the store failed: {fault}"))
    }

    /// Waits for an answer that must come.
    pub(crate) fn try_wait<T>(&self, answer: StoreFuture<'_, T>) -> Result<T, StoreError> {
        self.runtime.block_on(async {
            tokio::time::timeout(HANG, answer).await.expect("the store answers before the deadline")
        })
    }

    /// Where the clock stands.
    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Moves the clock and does all upkeep that is due then.
    pub(crate) fn advance(&self, ms: u64) {
        self.clock.advance_ms(ms);
        self.upkeep();
    }

    /// Does upkeep until nothing is due.
    pub(crate) fn upkeep(&self) {
        for _ in 0..UPKEEP_ROUNDS_MAX {
            let report = self.wait(self.store().upkeep(1_000, None));
            if report.next_due.is_none_or(|due| due > self.now()) {
                return;
            }
        }
        panic!("upkeep has something due after {UPKEEP_ROUNDS_MAX} rounds");
    }

    // ---- enqueue ----

    /// A fresh id.
    pub(crate) fn id(&self) -> JobId {
        self.made.set(self.made.get() + 1);
        JobId::from_parts(self.now(), (u128::from(self.made.get()) << 64) | u128::from(self.made.get()))
    }

    /// A new job with nothing set but what it must have.
    pub(crate) fn job(&self, name: &str) -> NewJob {
        NewJob::new(self.id(), queue(name), kind("kind"), *b"{}")
    }

    /// A new job of a group.
    pub(crate) fn job_of(&self, name: &str, key: &str) -> NewJob {
        NewJob { group: Some(group(key)), ..self.job(name) }
    }

    /// Enqueues a batch.
    pub(crate) fn enqueue(&self, jobs: Vec<NewJob>) -> PerItem<Enqueued> {
        self.wait(self.store().enqueue(jobs, false, None))
    }

    /// Enqueues one job and gives the store's answer.
    pub(crate) fn offer(&self, job: NewJob) -> Result<Enqueued, Rejection> {
        let mut answers = self.enqueue(vec![job]);
        assert_eq!(answers.len(), 1, "one answer per item");
        answers.remove(0)
    }

    /// Enqueues one job that must be taken, and gives the id answered.
    pub(crate) fn put(&self, job: NewJob) -> JobId {
        self.offer(job).expect("the job is taken").id
    }

    /// Enqueues jobs that must all be taken.
    pub(crate) fn put_all(&self, jobs: Vec<NewJob>) -> Vec<JobId> {
        let ids = jobs.chunks(1_000).flat_map(|some| self.enqueue(some.to_vec()));
        ids.map(|answer| answer.expect("the job is taken").id).collect()
    }

    /// Enqueues that many plain jobs.
    pub(crate) fn put_many(&self, name: &str, count: usize) -> Vec<JobId> {
        self.put_all((0..count).map(|_| self.job(name)).collect())
    }

    // ---- claim and settle ----

    /// The whole answer to a claim.
    pub(crate) fn ask(&self, worker: WorkerId, settle_first: Vec<Settle>, wants: &[(&str, u32)]) -> Claimed {
        self.nonce.set(self.nonce.get() + 1);
        let wants = wants.iter().map(|(name, n)| (queue(name), *n)).collect();
        self.wait(self.store().claim(Claim { settle_first, wants, worker, nonce: self.nonce.get() }, None))
    }

    /// Up to `n` jobs of a queue.
    pub(crate) fn claim(&self, name: &str, n: u32) -> Vec<ClaimedJob> {
        self.ask(WORKER, Vec::new(), &[(name, n)]).jobs
    }

    /// The ids of up to `n` jobs of a queue, in the order claimed.
    pub(crate) fn claim_ids(&self, name: &str, n: u32) -> Vec<JobId> {
        self.claim(name, n).into_iter().map(|job| job.lease.job).collect()
    }

    /// The one job that must be there.
    pub(crate) fn take(&self, name: &str) -> ClaimedJob {
        self.claim(name, 1).pop().unwrap_or_else(|| panic!("queue {name} has a job to claim"))
    }

    /// Claims until the queue gives no more, and gives the ids in that order.
    pub(crate) fn drain(&self, name: &str) -> Vec<JobId> {
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
    pub(crate) fn settle(&self, settlements: Vec<Settle>) -> PerItem<()> {
        self.ask(WORKER, settlements, &[]).settled
    }

    /// Settles one attempt.
    pub(crate) fn end(&self, settlement: Settle) -> Result<(), Rejection> {
        self.settle(vec![settlement]).remove(0)
    }

    /// Completes.
    pub(crate) fn complete(&self, job: &ClaimedJob) {
        self.end(complete(&job.lease)).expect("the lease is current");
    }

    /// Fails by the policy.
    pub(crate) fn fail(&self, job: &ClaimedJob) {
        self.end(fail(&job.lease)).expect("the lease is current");
    }

    /// Fails for good.
    pub(crate) fn kill(&self, job: &ClaimedJob) {
        self.end(fatal(&job.lease)).expect("the lease is current");
    }

    /// Postpones.
    pub(crate) fn snooze(&self, job: &ClaimedJob, delay_ms: u64) {
        self.end(snooze(&job.lease, delay_ms)).expect("the lease is current");
    }

    /// Gives back.
    pub(crate) fn release(&self, job: &ClaimedJob) {
        self.end(release(&job.lease, ReleaseReason::Unstarted)).expect("the lease is current");
    }

    /// One heartbeat.
    pub(crate) fn beat(&self, lease: &Lease) -> Result<Beat, Rejection> {
        self.wait(self.store().heartbeat(vec![*lease], None)).remove(0)
    }

    /// One report.
    pub(crate) fn report(&self, report: Report) -> Result<(), Rejection> {
        self.wait(self.store().report(vec![report], None)).remove(0)
    }

    // ---- people ----

    /// Cancels one job.
    pub(crate) fn cancel(&self, id: JobId) -> Result<Cancelled, Rejection> {
        self.wait(self.store().cancel(vec![id], None)).remove(0)
    }

    /// Cancels one job that can be.
    pub(crate) fn call_off(&self, id: JobId) {
        self.cancel(id).expect("the job can be cancelled");
    }

    /// Retries one job.
    pub(crate) fn retry(&self, id: JobId) -> Result<(), Rejection> {
        self.wait(self.store().retry(vec![id], None)).remove(0)
    }

    /// Makes one job due.
    pub(crate) fn run_now(&self, id: JobId) -> Result<(), Rejection> {
        self.wait(self.store().run_now(vec![id], None)).remove(0)
    }

    /// Deletes one job.
    pub(crate) fn delete(&self, id: JobId) -> Result<(), Rejection> {
        self.wait(self.store().delete(vec![id], None)).remove(0)
    }

    /// Edits one job.
    pub(crate) fn edit(&self, edit: Edit) -> Result<(), Rejection> {
        self.wait(self.store().edit(vec![edit], None)).remove(0)
    }

    /// Sets a queue.
    pub(crate) fn set_queue(&self, name: &str, settings: QueueSettings) {
        self.wait(self.store().set_queue(queue(name), settings, None)).expect("the settings are valid");
    }

    /// Pauses or resumes a queue.
    pub(crate) fn pause(&self, name: &str, paused: bool) {
        self.wait(self.store().pause(queue(name), paused, None)).expect("the queue can be paused");
    }

    /// Sets a group.
    pub(crate) fn set_group(&self, name: &str, key: &str, settings: GroupSettings) {
        self.wait(self.store().set_group(queue(name), Some(group(key)), Some(settings), None))
            .expect("the settings are valid");
    }

    /// Sets a named limit.
    pub(crate) fn set_limit(&self, name: &str, settings: LimitSettings) {
        self.wait(self.store().set_limit(limit(name), Some(settings), None)).expect("the settings are valid");
    }

    // ---- reading ----

    /// Everything about a job that must be known.
    pub(crate) fn get(&self, id: JobId) -> JobDetail {
        self.find(id).unwrap_or_else(|| panic!("job {id} is known"))
    }

    /// Everything about a job.
    pub(crate) fn find(&self, id: JobId) -> Option<JobDetail> {
        self.wait(self.store().get(id))
    }

    /// Where a job stands.
    pub(crate) fn state(&self, id: JobId) -> State {
        self.get(id).view.state
    }

    /// Why a job does not run.
    pub(crate) fn why(&self, id: JobId) -> Why {
        self.wait(self.store().why(id, None)).expect("the job is known")
    }

    /// The reason alone.
    pub(crate) fn reason(&self, id: JobId) -> Reason {
        self.why(id).reason
    }

    /// A queue that must be known.
    pub(crate) fn queue_info(&self, name: &str) -> QueueInfo {
        let mut infos = self.wait(self.store().queues(Some(queue(name)), None));
        assert_eq!(infos.len(), 1, "queue {name} is known");
        infos.remove(0)
    }

    /// The counts of a queue; none are known of a queue that is not.
    pub(crate) fn counts(&self, name: &str) -> Counts {
        let infos = self.wait(self.store().queues(Some(queue(name)), None));
        infos.first().map(|info| info.counts).unwrap_or_default()
    }

    /// A named limit that must be known.
    pub(crate) fn limit_info(&self, name: &str) -> LimitInfo {
        let page = self.wait(self.store().limits(None, 1_000));
        page.items
            .into_iter()
            .find(|info| info.name == limit(name))
            .unwrap_or_else(|| panic!("limit {name} is known"))
    }

    /// The ids that a filter selects, over all pages.
    pub(crate) fn list(&self, filter: &Filter) -> Vec<JobId> {
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
    pub(crate) fn events(&self) -> Vec<Event> {
        self.events_from(From::Earliest)
    }

    /// The event log from a place to its end.
    pub(crate) fn events_from(&self, mut from: From) -> Vec<Event> {
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
    pub(crate) fn events_with_claims(&self, mut from: From, claims: usize) -> Vec<Event> {
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
    pub(crate) fn story(&self, id: JobId) -> Vec<EventType> {
        self.events().into_iter().filter(|event| event.job == id).map(|event| event.event).collect()
    }

    /// The last event of one job.
    pub(crate) fn last_event(&self, id: JobId) -> Event {
        self.events()
            .into_iter()
            .rfind(|event| event.job == id)
            .unwrap_or_else(|| panic!("job {id} has events"))
    }

    // ---- watching ----

    /// A watch of one queue, already registered.
    pub(crate) fn watch(&self, worker: WorkerId, name: &str, slots: u32) -> Waiting<'_, Signal> {
        let watch = Watch { worker, queues: vec![(queue(name), slots)] };
        self.begin(self.store().watch(watch))
    }

    /// Begins a call that may wait.
    pub(crate) fn begin<'a, T>(&'a self, answer: StoreFuture<'a, T>) -> Waiting<'a, T> {
        let mut waiting = Waiting { subject: self, answer, got: None };
        waiting.has_answered();
        waiting
    }
}

/// A call that waits for something to happen.
pub(crate) struct Waiting<'a, T> {
    subject: &'a Subject,
    answer: StoreFuture<'a, T>,
    got: Option<T>,
}

impl<T> Waiting<'_, T> {
    /// Whether the answer has come by the time the store has done everything asked before.
    pub(crate) fn has_answered(&mut self) -> bool {
        if self.got.is_none() {
            // Verbs are answered in order, so that a second one finds the first one done.
            for _ in 0..2 {
                let _inside = self.subject.runtime.enter();
                let polled = Pin::new(&mut self.answer).poll(&mut Context::from_waker(Waker::noop()));
                if let Poll::Ready(answer) = polled {
                    self.got = Some(answer.expect("the store answers"));
                    break;
                }
                drop(_inside);
                self.subject.wait(self.subject.store().info());
                self.subject.wait(self.subject.store().upkeep(1, None));
            }
        }
        self.got.is_some()
    }

    /// The answer, which must come.
    pub(crate) fn answer(mut self) -> T {
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
pub(crate) fn queue(name: &str) -> QueueName {
    QueueName::new(name).expect("a name")
}

/// A kind.
pub(crate) fn kind(name: &str) -> Kind {
    Kind::new(name).expect("a name")
}

/// A group's key.
pub(crate) fn group(key: &str) -> GroupKey {
    GroupKey::new(key).expect("a key")
}

/// A limit's name.
pub(crate) fn limit(name: &str) -> LimitName {
    LimitName::new(name).expect("a name")
}

/// A schedule's name.
pub(crate) fn schedule(name: &str) -> ScheduleName {
    ScheduleName::new(name).expect("a name")
}

// ---- settings ----

/// At most that many at once.
pub(crate) fn at_once(concurrency: u32) -> LimitSettings {
    LimitSettings { concurrency: Some(concurrency), rate: None }
}

/// At most that many per period, and that many at once after a rest.
pub(crate) fn per(count: u32, period_ms: u64, burst: u32) -> LimitSettings {
    LimitSettings { concurrency: None, rate: Some(Rate { count, period_ms, burst }) }
}

/// Settings of a queue that limit it.
pub(crate) fn limited(limits: LimitSettings) -> QueueSettings {
    QueueSettings { limits, ..QueueSettings::default() }
}

/// Settings of a queue whose groups are set so by default.
pub(crate) fn grouped(groups: GroupSettings) -> QueueSettings {
    QueueSettings { groups, ..QueueSettings::default() }
}

/// Settings of a group with that weight.
pub(crate) fn weight(weight: u16) -> GroupSettings {
    GroupSettings { weight, ..GroupSettings::default() }
}

/// The same delay after each of `max_failures - 1` failures.
pub(crate) fn fixed(delay_ms: u64, max_failures: u32) -> RetryPolicy {
    RetryPolicy::Fixed { delay_ms, max_failures }
}

/// Named limits with the cost of each.
pub(crate) fn uses(limits: &[(&str, u32)]) -> Vec<LimitUse> {
    limits.iter().map(|(name, cost)| LimitUse { name: limit(name), cost: *cost }).collect()
}

/// Parents that must complete.
pub(crate) fn after(ids: &[JobId]) -> Vec<Parent> {
    ids.iter().map(|id| Parent { id: *id, on: windlass_core::job::OnParent::Success }).collect()
}

/// Parents that must end.
pub(crate) fn after_any_end(ids: &[JobId]) -> Vec<Parent> {
    ids.iter().map(|id| Parent { id: *id, on: windlass_core::job::OnParent::Always }).collect()
}

// ---- settlements ----

/// T5 without result or follow-ups.
pub(crate) fn complete(lease: &Lease) -> Settle {
    Settle::Complete { lease: *lease, result: None, then: Vec::new() }
}

/// T6 by the policy.
pub(crate) fn fail(lease: &Lease) -> Settle {
    Settle::Fail { lease: *lease, error: error("boom"), retry_in_ms: None, fatal: false }
}

/// T6 for good.
pub(crate) fn fatal(lease: &Lease) -> Settle {
    Settle::Fail { lease: *lease, error: error("fatal"), retry_in_ms: None, fatal: true }
}

/// T8, later.
pub(crate) fn snooze(lease: &Lease, delay_ms: u64) -> Settle {
    Settle::Snooze { lease: *lease, delay_ms, reason: "not yet".into(), holds: None }
}

/// T8, given back.
pub(crate) fn release(lease: &Lease, reason: ReleaseReason) -> Settle {
    Settle::Release { lease: *lease, reason }
}

/// An error with that message.
pub(crate) fn error(message: &str) -> ErrorReport {
    let fingerprint = windlass_core::fingerprint::fingerprint("kind", None, message);
    ErrorReport { class: None, message: message.into(), detail: None, fingerprint }
}

// ---- chance ----

/// The seed when nobody gives another.
const SEED: u64 = 0x5eed_7a11;

/// Random numbers of a test, from a seed that it prints.
pub(crate) struct Dice(u64);

impl Dice {
    /// Dice with the seed in `WINDLASS_SEED`, or with one that is the same on every run, so that a test that begins
    /// to fail was made to fail by a change; printed either way.
    pub(crate) fn new(test: &str) -> Self {
        let seed = std::env::var("WINDLASS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(SEED);
        println!("{test}: WINDLASS_SEED={seed}");
        Self(seed | 1)
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        // xorshift64* (Vigna, 2014).
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    /// True `percent` times of a hundred.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}
