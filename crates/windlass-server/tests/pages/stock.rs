//! A store with something of everything, made by the verbs that workers use.

use std::time::Duration;

use windlass::{Client, Draft, Time};
use windlass_core::job::{ErrorReport, Progress};
use windlass_core::limit::LimitSettings;
use windlass_core::queue::GroupSettings;
use windlass_core::rate::Rate;
use windlass_core::store::{Claim, ClaimedJob, Filter, Hello, Hold, Report, Settle};
use windlass_core::{JobId, QueueName, State, WorkerId};

/// The worker of all claims.
const WORKER: WorkerId = WorkerId(7);

pub(crate) struct Stock {
    pub(crate) client: Client,
}

pub(crate) fn queue(name: &str) -> QueueName {
    QueueName::new(name).expect("a name")
}

impl Stock {
    pub(crate) async fn empty() -> Self {
        Self { client: windlass::open("memory:").await.expect("a store") }
    }

    pub(crate) async fn enqueue(&self, draft: Draft) -> JobId {
        self.client.enqueue(draft).await.expect("an enqueue").id
    }

    /// Takes one job of that queue.
    pub(crate) async fn claim(&self, name: &str) -> ClaimedJob {
        let claim = Claim { wants: vec![(queue(name), 1)], worker: WORKER, nonce: 1, ..Claim::default() };
        self.client.store().claim(claim, None).await.expect("a claim").jobs.pop().expect("a job")
    }

    pub(crate) async fn settle(&self, settle: Settle) {
        let claim = Claim { settle_first: vec![settle], worker: WORKER, nonce: 1, ..Claim::default() };
        let claimed = self.client.store().claim(claim, None).await.expect("a claim");
        claimed.settled.into_iter().for_each(|answer| answer.expect("a settlement"));
    }

    /// Takes one job of that queue, which fails for good.
    pub(crate) async fn kill(&self, name: &str, message: &str, class: &str, detail: &str) -> JobId {
        let job = self.claim(name).await;
        let fingerprint = windlass_core::fingerprint::fingerprint(job.kind.as_str(), Some(class), message);
        let error = ErrorReport {
            class: Some(class.to_owned()),
            message: message.to_owned(),
            detail: Some(detail.to_owned()),
            fingerprint,
        };
        let id = job.lease.job;
        self.settle(Settle::Fail { lease: job.lease, error, retry_in_ms: None, fatal: true }).await;
        id
    }

    pub(crate) async fn report(&self, job: &ClaimedJob, message: &str, log: &str) {
        let report = Report {
            lease: job.lease,
            progress: Some(Progress { percent: 42, message: Some(message.to_owned()) }),
            log: Some(log.to_owned()),
            checkpoint: None,
        };
        let answers = self.client.store().report(vec![report], None).await.expect("a report");
        answers.into_iter().for_each(|answer| answer.expect("a current lease"));
    }

    pub(crate) async fn hello(&self, host: &str, version: &str) {
        let queues = vec![(queue("mail"), 4)];
        let hello = Hello { worker: WORKER, host: host.to_owned(), version: version.to_owned(), queues };
        self.client.store().hello(hello, None).await.expect("a hello");
    }

    pub(crate) async fn state(&self, id: JobId) -> Option<State> {
        self.client.get(id).await.expect("a look").map(|job| job.view.state)
    }

    /// A job in that state.
    pub(crate) async fn one(&self, state: State) -> JobId {
        let filter = Filter { states: vec![state], ..Filter::default() };
        let page = self.client.store().list(filter, None, 1, 10_000).await.expect("a list").expect("a page");
        page.items.first().expect("a job in that state").id
    }

    pub(crate) async fn bulk(&self, n: usize) {
        let drafts = (0..n).map(|_| Draft::raw("bulk", "k", *b"{}"));
        for answer in self.client.enqueue_many(drafts).await.expect("a bulk") {
            answer.expect("an enqueue");
        }
    }

    /// Jobs in every state, groups, limits, schedules and a worker.
    pub(crate) async fn varied() -> Self {
        let stock = Self::empty().await;
        let client = &stock.client;
        let limits = |concurrency, rate| LimitSettings { concurrency, rate };
        client.set_limit("smtp", Some(limits(Some(5), None))).await.expect("a limit");
        let rate = Rate { count: 100, period_ms: 60_000, burst: 100 };
        client.set_limit("slow", Some(limits(None, Some(rate)))).await.expect("a limit");
        client.set_limit("shut", Some(limits(Some(0), None))).await.expect("a limit");
        let settings = GroupSettings { weight: 3, ..GroupSettings::default() };
        client.set_group("mail", "campaign 7", Some(settings)).await.expect("a group");
        stock.hello("host-1", "1.2.3").await;

        for card in [17, 18] {
            stock.enqueue(Draft::raw("mail", "charge", *b"{\"card\":1}").tag("vip").limit("smtp", 1)).await;
            stock.kill("mail", &format!("card {card} was declined"), "CardError", "at src/card.rs:7").await;
        }
        let parent = stock.enqueue(Draft::raw("mail", "send", *b"{}").group("campaign 7")).await;
        let done = stock.claim("mail").await;
        stock
            .enqueue(Draft::raw("mail", "after", *b"{}").after(&[parent]).delay(Duration::from_secs(60)))
            .await;
        let result = Some(b"{\"sent\":1.0}".to_vec());
        stock.settle(Settle::Complete { lease: done.lease, result, then: Vec::new() }).await;
        let blocker = stock.enqueue(Draft::raw("idle-hands", "k", *b"{}")).await;
        stock.enqueue(Draft::raw("mail", "after", *b"{}").after(&[blocker])).await;

        stock.enqueue(Draft::raw("mail", "send", *b"{}").group("campaign 7")).await;
        let held = stock.claim("mail").await;
        let (lease, reason) = (held.lease, "provider asks for less".to_owned());
        stock.settle(Settle::Snooze { lease, delay_ms: 3_600_000, reason, holds: Some(Hold::Group) }).await;
        stock
            .enqueue(
                Draft::raw("mail", "later", *b"{}")
                    .run_at(Time(4_000_000_000_000).min(client.now().plus_ms(86_400_000))),
            )
            .await;

        stock.enqueue(Draft::raw("mail", "send", *b"{\"n\":12345678901234567890123}").group("other")).await;
        let running = stock.claim("mail").await;
        stock.report(&running, "half of it", "line one\nline two\n").await;

        stock.enqueue(Draft::raw("stopped", "k", *b"{}")).await;
        client.pause("stopped").await.expect("a pause");
        let job = || Draft::raw("reports", "report", *b"{\"day\":1}");
        client
            .schedule("morning")
            .cron("0 9 * * MON-FRI", "Europe/Berlin")
            .job(job())
            .await
            .expect("a schedule");
        client.schedule("often").every(Duration::from_secs(30)).job(job()).await.expect("a schedule");
        stock
    }
}
