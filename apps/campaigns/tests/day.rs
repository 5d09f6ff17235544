//! A whole day in one process: real servers, real handlers, a queue in memory, and the account at its end.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use windlass::{
    Client, Job, JobId, RunningWorker,
    core::{job::State, store::QueueInfo},
};
use windlass_campaigns::{
    contacts::ContactList,
    day::{Day, Sharing},
    handlers::{App, Providers},
    plan::{CAMPAIGN_STEP_QUEUE, CampaignId, CampaignStep, EMAIL_QUEUE, PAGE_CONTACTS, Plan, QUEUES},
    reconcile::{Reconciliation, Report},
    record::QueueRecord,
};
use windlass_doubles::{Faults, Handle, Rate, smtp, twilio};

/// A day that has not ended by then never will.
const DEADLINE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(20);

struct Stage {
    list: ContactList,
    plan: Plan,
    day: Day,
    client: Client,
    servers: [Handle; 2],
    logs: [PathBuf; 2],
    providers: Providers,
}

impl Stage {
    async fn set(dir: &Path, contacts: u32, sharing: Sharing, bad_day: bool) -> Self {
        let list = ContactList::generated(contacts, 5);
        let plan = Plan::new(&list).unwrap();
        let mut faults = Faults { seed: 7, latency_ms: 1..=4, ..Faults::default() };
        if bad_day {
            faults.defer = Rate::per_thousand(5);
            faults.unavailable = Rate::per_thousand(5);
            faults.drop_reply = Rate::per_thousand(5);
            faults.refused_recipients =
                plan.touches(&list).nth(700).map(|touch| touch.to.to_lowercase()).into_iter().collect();
        }
        let logs = [dir.join("mail.jsonl"), dir.join("phone.jsonl")];
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let mail = smtp::start(any_port, &logs[0], faults.clone()).await.unwrap();
        let phone = twilio::start(any_port, &logs[1], faults).await.unwrap();
        let providers = Providers {
            smtp_url: mail.url(),
            phone_url: phone.url(),
            account_sid: "AC1".into(),
            auth_token: "token".into(),
            from_email: "Ann <ann@example.com>".into(),
            from_phone: "+15550009999".into(),
        };
        let client = windlass::open("memory:").await.unwrap();
        let day = Day {
            start_ms: client.now().0,
            launches_ms: 100,
            sharing,
            step_delay_ms: 5,
            retry_base_ms: 50,
            retry_cap_ms: 500,
            lease_ms: 30_000,
        };
        Self { list, plan, day, client, servers: [mail, phone], logs, providers }
    }

    async fn work(&self) -> RunningWorker {
        let app = App::new(self.list.clone(), &self.providers, Duration::from_millis(200)).unwrap();
        app.work(&self.client).await.unwrap()
    }

    async fn launch(&self) {
        self.day.launch(&self.plan, &self.client).await.unwrap();
    }

    async fn queues(&self) -> Vec<QueueInfo> {
        self.client.store().queues(None, None).await.unwrap()
    }

    async fn completed(&self, queue: &str) -> u64 {
        let queues = self.queues().await;
        queues.iter().find(|info| info.name.as_str() == queue).map_or(0, |info| info.totals.completed)
    }

    async fn until_idle(&self) {
        let begun = Instant::now();
        loop {
            let queues = self.queues().await;
            let left = |queue: &QueueInfo| queue.counts.waiting() + queue.counts.of(State::Running);
            if queues.iter().map(left).sum::<u64>() == 0 {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "the day does not end: {queues:?}");
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn account(self) -> Report {
        for server in self.servers {
            server.shutdown().await;
        }
        let record = QueueRecord::read(&self.client).await.unwrap();
        let closing = tokio::task::spawn_blocking(move || {
            let mut account = Reconciliation::new();
            self.logs.iter().for_each(|log| account.read_log(log).unwrap());
            account.close(self.plan.touches(&self.list), &record)
        });
        closing.await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_day_reaches_everybody_but_the_refused_and_every_repeat_has_its_cause() {
    let dir = tempfile::tempdir().unwrap();
    let stage = Stage::set(dir.path(), 1_500, Sharing::FairGroups, true).await;
    stage.launch().await;
    let worker = stage.work().await;
    stage.until_idle().await;
    let voicemails = u64::from(stage.plan.totals().voicemail);
    assert_eq!(stage.completed("watch").await, voicemails, "every call is watched to its end");
    assert_eq!(stage.completed("sender-warm-up").await, 10);
    worker.shutdown().await;

    let report = stage.account().await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.touches, report.refused), (1_500, 1));
    assert_eq!(report.delivered, 1_499);
    assert_eq!(report.repeats, report.replies_dropped, "nothing was killed here: {report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_that_is_launched_twice_reaches_nobody_twice() {
    let dir = tempfile::tempdir().unwrap();
    let stage = Stage::set(dir.path(), 600, Sharing::FairGroups, false).await;
    stage.launch().await;
    let worker = stage.work().await;
    stage.until_idle().await;
    stage.launch().await;
    stage.until_idle().await;
    assert_eq!(stage.completed("campaign").await, 100);
    worker.shutdown().await;
    let report = stage.account().await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.deliveries, report.repeats), (600, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_was_enqueued_before_a_kill_is_not_enqueued_again() {
    let dir = tempfile::tempdir().unwrap();
    // The whale has more than two pages, so the first one is enqueued on its own.
    let contacts = PAGE_CONTACTS * 5;
    let stage = Stage::set(dir.path(), contacts, Sharing::FairGroups, false).await;
    let whale = &stage.plan.campaigns()[0];
    assert!(whale.whale && whale.contacts > 2 * PAGE_CONTACTS);
    let launch = stage.day.launch_id(whale.id);
    let page = whale.contact_ids().take(PAGE_CONTACTS as usize).map(|contact| {
        let step = CampaignStep { campaign: whale.id, contact, step: 1 };
        let key = step.unique_key();
        let id = JobId::named(launch.time(), &format!("{launch}/{key}"));
        step.draft().group(whale.id.group()).unique(key).id(id)
    });
    for enqueued in stage.client.enqueue_many(page).await.unwrap() {
        enqueued.unwrap();
    }
    let worker = stage.work().await;
    stage.until_idle().await;
    assert_eq!(stage.completed(CAMPAIGN_STEP_QUEUE.name).await, u64::from(PAGE_CONTACTS));

    stage.launch().await;
    stage.until_idle().await;
    assert_eq!(stage.completed(CAMPAIGN_STEP_QUEUE.name).await, u64::from(contacts));
    worker.shutdown().await;
    let report = stage.account().await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.deliveries, report.repeats), (u64::from(contacts), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_job_of_a_campaign_stands_in_the_group_of_its_launch() {
    for sharing in [Sharing::FairGroups, Sharing::OneGroup] {
        let dir = tempfile::tempdir().unwrap();
        let stage = Stage::set(dir.path(), 400, sharing, false).await;
        stage.launch().await;
        let worker = stage.work().await;
        stage.until_idle().await;
        let mut groups = std::collections::BTreeSet::new();
        let filter = windlass::core::store::Filter {
            queue: Some(windlass::core::QueueName::new(EMAIL_QUEUE.name).unwrap()),
            ..Default::default()
        };
        let page = stage.client.store().list(filter, None, 1_000, 10_000).await.unwrap().unwrap();
        assert_eq!(page.items.len() as u32, stage.plan.totals().email);
        for job in page.items {
            let detail = stage.client.get(job.id).await.unwrap().unwrap();
            let payload: serde_json::Value = serde_json::from_slice(&detail.payload).unwrap();
            let campaign = CampaignId(u32::try_from(payload["campaign"].as_u64().unwrap()).unwrap());
            let group = job.group.unwrap().as_str().to_owned();
            if sharing == Sharing::FairGroups {
                assert_eq!(group, campaign.group());
            }
            groups.insert(group);
        }
        match sharing {
            Sharing::FairGroups => assert!(groups.len() > 50, "{groups:?}"),
            Sharing::OneGroup => assert_eq!(groups.len(), 1, "{groups:?}"),
        }
        worker.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_seven_queues_admit_what_the_plan_says() {
    let dir = tempfile::tempdir().unwrap();
    let stage = Stage::set(dir.path(), 10, Sharing::FairGroups, false).await;
    stage.launch().await;
    let queues = stage.queues().await;
    for plan in QUEUES {
        let info = queues.iter().find(|info| info.name.as_str() == plan.name).unwrap();
        assert_eq!(info.settings.limits.concurrency, Some(plan.concurrency), "{}", plan.name);
    }
}
