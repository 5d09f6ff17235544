//! Launches whose process is killed at any moment: all of it has happened, or nothing.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use windlass::core::store::Filter;
use windlass_campaigns::{
    channel::Channel,
    db::Db,
    model::{CampaignId, campaign::CampaignStatus},
    store::{campaigns, enrolments},
    window::Delay,
};
use windlass_testkit::Dice;

use crate::{
    process::{self, Running},
    stage::{Setting, Stage, step},
};

const LAUNCHES: u64 = 24;
const CONTACTS: i64 = 20;
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run() {
    crate::on_a_runtime(scene());
}

async fn scene() {
    let mut dice = Dice::new("launches");
    let dir = tempfile::tempdir().unwrap();
    let stage = Stage::set(dir.path(), Setting::default()).await;
    let people = stage.contacts("b", u32::try_from(CONTACTS).unwrap()).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let mut drafts = Vec::new();
    for nth in 0..LAUNCHES {
        let steps = vec![step(Channel::Email, mail, Delay::Minutes(0))];
        drafts.push(stage.draft(&format!("spring {nth}"), &people, steps).await);
    }
    let Stage { app, mail: _mail, phone: _phone, .. } = stage;
    app.client().close().await.unwrap();
    drop(app);
    let db = Db::open(&process::database(dir.path())).await.unwrap();

    let mut launched = Vec::new();
    for (nth, id) in (0_u64..).zip(&drafts) {
        let mut running = Running::start(dir.path(), Some(*id));
        running.until_it_begins();
        // Half of them close behind the beginning, where the launch is; the others wherever a machine has got to.
        let within_us = if nth % 2 == 0 { 3_000 } else { 25_000 };
        tokio::time::sleep(Duration::from_micros(dice.below(within_us))).await;
        drop(running);
        match standing(&db, *id).await {
            (CampaignStatus::Draft, 0) => {}
            (CampaignStatus::Running, CONTACTS) => launched.push(*id),
            other => panic!("half a launch: {other:?}"),
        }
    }
    println!("{} of {LAUNCHES} launches were carried out", launched.len());
    assert!(launched.len() > 2, "a launch is too slow for this test");
    assert!(launched.len() < drafts.len(), "a launch is too quick for this test");

    let last = Running::start(dir.path(), None);
    let begun = Instant::now();
    for id in &launched {
        while standing(&db, *id).await.0 != CampaignStatus::Done {
            assert!(begun.elapsed() < PATIENCE, "campaign {id} comes to its end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    drop(last);
    let client = windlass::open(&process::queue(dir.path())).await.unwrap();
    let queue = Some(windlass::core::QueueName::new("campaign").unwrap());
    let all = Filter { queue, ..Filter::default() };
    let page = client.store().list(all, None, 1_000, 100_000).await.unwrap().unwrap();
    let mut jobs = BTreeMap::<String, u32>::new();
    for job in page.items {
        *jobs.entry(job.group.unwrap().to_string()).or_default() += 1;
    }
    let expected: BTreeMap<String, u32> = launched.iter().map(|id| (format!("campaign-{id}"), 1)).collect();
    assert_eq!(jobs, expected, "one paging job for each launch, and none for a draft");
    client.close().await.unwrap();
}

async fn standing(db: &Db, id: CampaignId) -> (CampaignStatus, i64) {
    db.read(move |tx| {
        let campaign = campaigns::get(tx, id)?.unwrap();
        let enrolled = enrolments::counts(tx, id)?.iter().map(|(_, count)| count).sum();
        Ok::<_, windlass_campaigns::db::DbError>((campaign.status, enrolled))
    })
    .await
    .unwrap()
}
