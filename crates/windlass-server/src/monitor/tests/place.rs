//! A store on a clock that stands still, and servers before it.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use windlass::{Client, Draft};
use windlass_api::monitor::{Channel, Incident, Notice, Rule, Stage, When};
use windlass_api::spell::span::{self, Span};
use windlass_core::job::ErrorReport;
use windlass_core::queue::QueueSettings;
use windlass_core::store::{Claim, ClaimedJob, Settle, Store};
use windlass_core::{QueueName, Time, WorkerId};
use windlass_embedded::clock::ManualClock;
use windlass_embedded::{EmbeddedOptions, EmbeddedStore};

use super::receiver::Receiver;
use crate::app::{App, Options};
use crate::monitor;
use crate::push::Push;

pub(super) const SECOND: u64 = 1_000;
pub(super) const MINUTE: u64 = 60 * SECOND;
pub(super) const HOUR: u64 = 60 * MINUTE;
/// A gathering, and a little.
pub(super) const GATHER: u64 = 21 * SECOND;

pub(super) struct Place {
    pub(super) clock: Arc<ManualClock>,
    pub(super) client: Client,
    pub(super) app: App,
    pub(super) receiver: Receiver,
}

pub(super) fn queue(name: &str) -> QueueName {
    QueueName::new(name).expect("a name")
}

pub(super) fn of(when: When) -> Rule {
    Rule::of(when)
}

pub(super) fn some(text: &str) -> Option<Span> {
    Some(Span { ms: span::parse(text).expect("a span") })
}

/// Where clocks begin: now, as the client's own clock has no other.
fn start() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    Time(u64::try_from(since.as_millis()).expect("not so late"))
}

impl Place {
    /// A store in memory, with one channel, a webhook, and no rule but that one.
    pub(super) async fn with(name: &str, rule: Rule) -> Self {
        let place = Self::silent(None).await;
        place.set(name, rule).await;
        place
    }

    /// The same without a rule, on disk if a directory is given.
    pub(super) async fn silent(directory: Option<&Path>) -> Self {
        let clock = ManualClock::new(start());
        let place = Self::on(clock, directory, Receiver::open().await);
        let hook =
            Channel::Webhook { url: place.receiver.url().into(), secret: Some(place.receiver.secret()) };
        monitor::set_channel(&place.app, "hook", hook).await.expect("a channel");
        for shape in monitor::rules(&place.app).await.expect("rules") {
            place.set(&shape.name, Rule { enabled: false, ..shape.rule }).await;
        }
        place
    }

    pub(super) fn on(clock: Arc<ManualClock>, directory: Option<&Path>, receiver: Receiver) -> Self {
        let options = EmbeddedOptions { clock: clock.clone(), ..EmbeddedOptions::default() };
        let store: Arc<dyn Store> = match directory {
            Some(path) => Arc::new(EmbeddedStore::open(path, options).expect("a store")),
            None => Arc::new(EmbeddedStore::memory(options)),
        };
        let client = Client::new(store);
        Self { app: server(&client), clock, client, receiver }
    }

    pub(super) async fn set(&self, name: &str, rule: Rule) {
        let rule = match rule.channels.is_empty() {
            true => Rule { channels: vec!["hook".into()], ..rule },
            false => rule,
        };
        monitor::set_rule(&self.app, name, rule).await.expect("a rule");
    }

    pub(super) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Time passes, upkeep is done, the server looks, and what is due goes out. What is told comes back.
    pub(super) async fn after(&self, ms: u64) -> Vec<Notice> {
        self.clock.advance_ms(ms);
        while self
            .store()
            .upkeep(10_000, None)
            .await
            .expect("upkeep")
            .next_due
            .is_some_and(|due| due <= self.now())
        {}
        self.look().await;
        self.receiver.take()
    }

    pub(super) async fn look(&self) {
        look(&self.app, self.now()).await;
    }

    /// Looks at once, and again when what it found has gathered.
    pub(super) async fn told(&self) -> Vec<Notice> {
        let mut told = self.after(0).await;
        told.extend(self.after(GATHER).await);
        told
    }

    pub(super) fn store(&self) -> &Arc<dyn Store> {
        self.client.store()
    }

    pub(super) async fn incidents(&self, stage: Stage) -> Vec<Incident> {
        let all = monitor::incidents(&self.app).await.expect("incidents");
        all.into_iter().filter(|incident| incident.stage == stage).collect()
    }

    pub(super) async fn enqueue(&self, name: &str, n: usize) {
        for _ in 0..n {
            self.client.enqueue(Draft::raw(name, "work", *b"{}")).await.expect("an enqueue");
        }
    }

    async fn claim(&self, settle: Option<Settle>, name: Option<&str>) -> Option<ClaimedJob> {
        let claim = Claim {
            settle_first: settle.into_iter().collect(),
            wants: name.map(|name| (queue(name), 1)).into_iter().collect(),
            worker: WorkerId(7),
            nonce: 1,
        };
        let claimed = self.store().claim(claim, None).await.expect("a claim");
        claimed.settled.into_iter().for_each(|answer| answer.expect("a settlement"));
        claimed.jobs.into_iter().next()
    }

    /// Jobs that are enqueued, and end well.
    pub(super) async fn complete(&self, name: &str, n: usize) {
        for _ in 0..n {
            self.enqueue(name, 1).await;
            let job = self.claim(None, Some(name)).await.expect("a job");
            self.claim(Some(Settle::Complete { lease: job.lease, result: None, then: Vec::new() }), None)
                .await;
        }
    }

    /// Jobs that are enqueued, and fail for good.
    pub(super) async fn kill(&self, name: &str, n: usize, message: &str) {
        for _ in 0..n {
            self.enqueue(name, 1).await;
            let job = self.claim(None, Some(name)).await.expect("a job");
            let fingerprint = windlass_core::fingerprint::fingerprint(job.kind.as_str(), None, message);
            let error = ErrorReport { class: None, message: message.into(), detail: None, fingerprint };
            let fail = Settle::Fail { lease: job.lease, error, retry_in_ms: None, fatal: true };
            self.claim(Some(fail), None).await;
        }
    }

    pub(super) async fn settings(&self, name: &str, settings: QueueSettings) {
        self.store().set_queue(queue(name), settings, None).await.expect("an answer").expect("settings");
    }

    /// Everything dead of the queue is gone.
    pub(super) async fn bury(&self, name: &str) {
        let filter = windlass_core::store::Filter {
            queue: Some(queue(name)),
            states: vec![windlass_core::State::Dead],
            ..Default::default()
        };
        let page = self.store().list(filter, None, 1_000, 100_000).await.expect("an answer").expect("a page");
        let ids = page.items.into_iter().map(|job| job.id).collect();
        self.store().delete(ids, None).await.expect("an answer");
    }
}

/// A server before that store, whose webhooks may reach this machine.
pub(super) fn server(client: &Client) -> App {
    let here = ["127.0.0.1".parse().expect("an address")];
    let targets = windlass_webhook::Guard::new(here);
    let public_url = Some("https://q.example/".to_owned());
    App::new(client, Options { push: Push::new(targets), public_url, ..Options::default() })
}

/// One look of that server, and what came of it has gone out.
pub(super) async fn look(app: &App, now: Time) {
    for delivery in monitor::look(app, now).await.expect("a look") {
        delivery.await.expect("no panic");
    }
}

/// What a list of notices says begins and is over: subjects, in order.
pub(super) fn said(notices: &[Notice]) -> (Vec<&str>, Vec<&str>) {
    let subjects = |of: fn(&Notice) -> &Vec<Incident>| {
        notices.iter().flat_map(of).map(|incident| incident.subject.as_str()).collect()
    };
    (subjects(|notice| &notice.data.firing), subjects(|notice| &notice.data.recovered))
}
