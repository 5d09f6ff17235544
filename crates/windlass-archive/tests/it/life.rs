//! A store in memory on a clock of the test's own, and jobs that end in every way there is.

use std::sync::Arc;

use windlass_archive::{Archiver, Options};
use windlass_core::event::Event;
use windlass_core::job::{ErrorReport, OnParent, Parent};
use windlass_core::queue::QueueSettings;
use windlass_core::retry::RetryPolicy;
use windlass_core::store::{Claim, ClaimedJob, Edit, From, ReleaseReason, Settle, Store};
use windlass_core::{GroupKey, JobId, Kind, NewJob, QueueName, Time, WorkerId};
use windlass_embedded::clock::ManualClock;
use windlass_embedded::journal::JournalOptions;
use windlass_embedded::{EmbeddedOptions, EmbeddedStore};

use crate::place::Place;

/// Within which a database has noticed that somebody has let go of an archive.
const LET_GO: std::time::Duration = std::time::Duration::from_secs(10);

/// When every test begins: some day, at noon.
pub(crate) const START: Time = Time(1_763_726_400_000);
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// A store and the time.
pub(crate) struct Life {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) now: Time,
    made: u128,
}

impl Life {
    pub(crate) fn new() -> Self {
        Self::with(EmbeddedOptions::default())
    }

    /// A store whose log is thrown away as early as it can be.
    pub(crate) fn forgetful() -> Self {
        let journal = JournalOptions {
            segment_bytes_min: 4 << 10,
            segment_bytes_max: 4 << 10,
            ..JournalOptions::default()
        };
        Self::with(EmbeddedOptions { slack_bytes: 0, journal, ..EmbeddedOptions::default() })
    }

    fn with(options: EmbeddedOptions) -> Self {
        let options = EmbeddedOptions { clock: ManualClock::new(START), ..options };
        Self { store: Arc::new(EmbeddedStore::memory(options)), now: START, made: 0 }
    }

    pub(crate) fn at(&self) -> Option<Time> {
        Some(self.now)
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
    }

    pub(crate) fn job(&mut self) -> NewJob {
        self.made += 1;
        let id = JobId::from_parts(self.now, self.made << 64 | self.made);
        let mut job = NewJob::new(id, queue(), Kind::new("send").expect("a name"), *b"{}");
        job.retry = Some(RetryPolicy::Fixed { delay_ms: 1_000, max_failures: 3 });
        job
    }

    pub(crate) async fn put(&mut self, job: NewJob) -> JobId {
        let id = job.id;
        let told = self.store.enqueue(vec![job], false, self.at()).await.expect("the store takes it");
        assert!(told.iter().all(Result::is_ok), "the job is taken: {told:?}");
        self.pass(1);
        id
    }

    pub(crate) async fn put_new(&mut self) -> JobId {
        let job = self.job();
        self.put(job).await
    }

    /// The next job.
    pub(crate) async fn take(&mut self) -> ClaimedJob {
        self.pass(5);
        self.upkeep().await;
        let claim =
            Claim { settle_first: vec![], wants: vec![(queue(), 1)], worker: WorkerId(0xa1), nonce: 9 };
        self.store.claim(claim, self.at()).await.expect("a claim").jobs.remove(0)
    }

    pub(crate) async fn settle(&mut self, settlement: Settle) {
        self.pass(10);
        let claim = Claim { settle_first: vec![settlement], wants: vec![], worker: WorkerId(0xa1), nonce: 9 };
        let told = self.store.claim(claim, self.at()).await.expect("an answer");
        told.settled.into_iter().for_each(|answer| answer.expect("the lease is current"));
    }

    pub(crate) async fn complete(&mut self, job: &ClaimedJob, result: Option<&[u8]>) {
        let result = result.map(<[u8]>::to_vec);
        self.settle(Settle::Complete { lease: job.lease, result, then: vec![] }).await;
    }

    pub(crate) async fn fail(&mut self, job: &ClaimedJob, message: &str, fatal: bool) {
        let error = ErrorReport { message: message.into(), ..ErrorReport::default() };
        self.settle(Settle::Fail { lease: job.lease, error, retry_in_ms: None, fatal }).await;
    }

    pub(crate) async fn upkeep(&self) {
        while self.store.upkeep(1_000, self.at()).await.expect("upkeep").done > 0 {}
    }

    /// Takes so many jobs in and completes them.
    pub(crate) async fn complete_many(&mut self, n: usize) {
        for _ in 0..n {
            self.put_new().await;
            let job = self.take().await;
            self.complete(&job, None).await;
        }
    }

    /// An archiver of this store, on its time. A database notices a moment later that the one before has let go.
    pub(crate) async fn archiver(&self, place: &Place, options: Options) -> Archiver {
        let begun = std::time::Instant::now();
        loop {
            match self.try_archiver(place, options.clone()).await {
                Err(windlass_archive::ArchiveError::Held { .. }) if begun.elapsed() < LET_GO => {
                    tokio::task::yield_now().await;
                }
                opened => return opened.expect("the archive opens"),
            }
        }
    }

    pub(crate) async fn try_archiver(
        &self,
        place: &Place,
        options: Options,
    ) -> Result<Archiver, windlass_archive::ArchiveError> {
        let now = self.now;
        let options = Options { clock: Some(Arc::new(move || now)), ..options };
        Archiver::start(Arc::clone(&self.store), &place.target(), options).await
    }

    /// The same after another archiver has gone: a server notices the end of a connection a moment later.
    pub(crate) async fn archiver_when_free(&self, place: &Place, options: Options) -> Archiver {
        let patience = std::time::Instant::now();
        loop {
            match self.try_archiver(place, options.clone()).await {
                Ok(archiver) => return archiver,
                Err(told) => assert!(patience.elapsed().as_secs() < 30, "{told}"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Archives all that there is.
    pub(crate) async fn archive(&self, place: &Place) {
        let mut archiver = self.archiver(place, Options::default()).await;
        archiver.catch_up(|_| {}).await.expect("it catches up");
    }

    pub(crate) async fn events(&self) -> Vec<Event> {
        let page = self.store.events(From::Earliest, 100_000, 0).await.expect("the log");
        page.expect("from the beginning").events
    }

    /// One job for each way to end, by its name here; each has had its end.
    pub(crate) async fn every_ending(&mut self) -> Vec<(&'static str, JobId)> {
        let mut all = Vec::new();
        let id = self.put_new().await;
        let job = self.take().await;
        self.complete(&job, Some(b"{\"ok\":true}")).await;
        all.push(("completed", id));

        let mut job = self.job();
        job.group = Some(GroupKey::new("Zoë \u{1f600}").expect("a key"));
        let id = self.put(job).await;
        let job = self.take().await;
        self.fail(&job, "HTTP 503 after 12 ms\0", false).await;
        self.pass(1_000);
        let job = self.take().await;
        self.complete(&job, Some(&[0xff, 0])).await;
        all.push(("failed once", id));

        let id = self.put_new().await;
        let job = self.take().await;
        self.fail(&job, "no such user 8412", true).await;
        all.push(("fatal", id));

        let id = self.put_new().await;
        for _ in 0..3 {
            self.take().await;
            self.pass(HOUR_MS);
            self.upkeep().await;
            self.pass(HOUR_MS);
        }
        all.push(("lost", id));

        let id = self.put_new().await;
        self.store.cancel(vec![id], self.at()).await.expect("an answer");
        all.push(("cancelled waiting", id));

        let id = self.put_new().await;
        let job = self.take().await;
        self.store.cancel(vec![id], self.at()).await.expect("an answer");
        self.fail(&job, "stopped", false).await;
        all.push(("cancelled running", id));

        let id = self.put_new().await;
        let job = self.take().await;
        self.fail(&job, "HTTP 500", false).await;
        self.store.cancel(vec![id], self.at()).await.expect("an answer");
        all.push(("cancelled retrying", id));

        let mut job = self.job();
        (job.delay_ms, job.expires_at) = (Some(HOUR_MS), Some(self.now.plus_ms(1_000)));
        let id = self.put(job).await;
        self.pass(2_000);
        self.upkeep().await;
        all.push(("expired", id));

        let id = self.put_new().await;
        let job = self.take().await;
        let snooze =
            Settle::Snooze { lease: job.lease, delay_ms: 50, reason: "too early".into(), holds: None };
        self.settle(snooze).await;
        self.pass(50);
        let job = self.take().await;
        self.settle(Settle::Release { lease: job.lease, reason: ReleaseReason::Shutdown }).await;
        let job = self.take().await;
        self.complete(&job, None).await;
        all.push(("given back twice", id));

        let id = self.put_new().await;
        let job = self.take().await;
        self.fail(&job, "no such user 77", true).await;
        self.retry(id).await;
        self.store.cancel(vec![id], self.at()).await.expect("an answer");
        self.pass(1);
        self.retry(id).await;
        let job = self.take().await;
        self.complete(&job, None).await;
        all.push(("retried twice", id));

        let mut job = self.job();
        job.delay_ms = Some(HOUR_MS);
        let id = self.put(job).await;
        let edit = Edit { id, payload: Some(b"[]".to_vec()), priority: None, run_at: None };
        self.store.edit(vec![edit], self.at()).await.expect("an answer");
        self.store.delete(vec![id], self.at()).await.expect("an answer");
        all.push(("deleted", id));

        let parent = self.put_new().await;
        let mut child = self.job();
        child.parents = vec![Parent { id: parent, on: OnParent::Success }];
        let child = self.put(child).await;
        let job = self.take().await;
        self.fail(&job, "no such user 3", true).await;
        self.upkeep().await;
        all.push(("parent", parent));
        all.push(("child", child));

        let mut waiting = self.job();
        waiting.delay_ms = Some(30 * DAY_MS);
        all.push(("waiting", self.put(waiting).await));
        let id = self.put_new().await;
        self.take().await;
        all.push(("running", id));
        all
    }

    async fn retry(&mut self, id: JobId) {
        self.pass(1);
        let told = self.store.retry(vec![id], self.at()).await.expect("an answer");
        told.into_iter().for_each(|answer| answer.expect("it may be retried"));
        self.pass(1);
    }

    /// Retention removes what ended more than a day ago, but for dead jobs.
    pub(crate) async fn a_day_later(&mut self) {
        let settings = QueueSettings::default();
        self.store.set_queue(queue(), settings, self.at()).await.expect("an answer").expect("settings");
        self.pass(DAY_MS + HOUR_MS);
        self.upkeep().await;
    }
}

pub(crate) fn queue() -> QueueName {
    QueueName::new("mail").expect("a name")
}
