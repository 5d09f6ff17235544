//! Who waits for whom: campaigns in groups with shares, or in one line.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use windlass::core::{GroupKey, QueueName, store::Filter};
use windlass_campaigns::{
    app::{App, Options},
    channel::Channel,
    flow::{jobs, queues, share::Sharing, verbs},
    model::{CampaignId, campaign::CampaignStatus, touch::TouchStatus},
    window::Delay,
};

use crate::stage::{MORNING, Setting, Stage, in_status, step};

/// Contacts of the campaign that was launched first.
const FIRST: u32 = 300;
/// Messages that may be under way when the second one's come: as many steps and mails as are worked on at once, twice.
const UNDER_WAY: usize = 140;

/// Contacts of a campaign whose steps outrun its messages: more than may be ready, and what is decided between two looks.
const OUTRUNNING: u32 = 1_200;

/// Campaigns that are paused and resumed at one moment, and how often.
const CONTESTED: usize = 6;
const ROUNDS: usize = 20;
const TRIES: usize = 4;

/// A whale that was launched first, and a small campaign behind it; nothing of either has been taken up yet.
async fn one_behind_the_other(stage: &mut Stage) -> (CampaignId, CampaignId) {
    let mail = stage.template(Channel::Email, "Hi").await;
    let one = vec![step(Channel::Email, mail, Delay::Minutes(0))];
    let whale = stage.contacts("w", FIRST).await;
    let few = stage.contacts("f", 3).await;
    let whale = stage.draft("whale", &whale, one.clone()).await;
    let few = stage.draft("few", &few, one).await;
    queues::set_up(stage.client()).await.unwrap();
    stage.client().pause(queues::CAMPAIGN_STEP.name).await.unwrap();
    stage.work().await;
    for id in [whale, few] {
        stage.launch(id).await;
        stage.until(id, "everybody in the queue", |campaign, _| campaign.paged_at.is_some()).await;
    }
    (whale, few)
}

/// How many of the first campaign's mails went out before the last of the second's.
async fn mails_before_the_second(sharing: Option<Sharing>) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::set(dir.path(), Setting { sharing, ..Setting::default() }).await;
    let (whale, few) = one_behind_the_other(&mut stage).await;
    stage.client().resume(queues::CAMPAIGN_STEP.name).await.unwrap();
    stage.until_done(few).await;
    stage.until_done(whale).await;
    stage.rest().await;
    let mails = stage.mails();
    let of_few = |mail: &windlass_doubles::log::Delivery<'_>| mail.to.starts_with('f');
    let last = mails.iter().rposition(of_few).unwrap();
    mails[..last].iter().filter(|mail| !of_few(mail)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_campaign_goes_out_beside_a_large_one_and_behind_it_where_all_share_one_line() {
    let before = mails_before_the_second(None).await;
    assert!(before <= UNDER_WAY, "{before} mails of a campaign whose share is half");
    let before = mails_before_the_second(Some(Sharing::FirstCome)).await;
    assert!(before >= usize::try_from(FIRST).unwrap() - UNDER_WAY, "only {before} mails were before them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_one_line_a_pause_holds_its_own_campaign_alone_and_every_process_stands_in_the_same_line() {
    let dir = tempfile::tempdir().unwrap();
    let setting = Setting { sharing: Some(Sharing::FirstCome), ..Setting::default() };
    let mut stage = Stage::set(dir.path(), setting).await;
    let (whale, few) = one_behind_the_other(&mut stage).await;
    verbs::pause(&stage.app, whale, "Ann").await.unwrap();
    stage.client().resume(queues::CAMPAIGN_STEP.name).await.unwrap();
    stage.until_done(few).await;
    assert!(stage.touches(whale).await.is_empty(), "nothing of it was taken up");

    let other = App::open(stage.app.db().clone(), stage.client().clone(), Options::default()).await.unwrap();
    assert_eq!(other.sharing(), Sharing::FirstCome, "said once, for the installation");
    verbs::resume(&other, whale, "Ann").await.unwrap();
    stage.until_done(whale).await;
    let sent = stage.touches(whale).await;
    assert_eq!(in_status(&sent, TouchStatus::Sent), sent.len());
    stage.rest().await;
    let all = stage.client().store().list(Filter::default(), None, 1_000, 100_000).await.unwrap().unwrap();
    let of_campaigns = all.items.into_iter().filter(|job| {
        [queues::CAMPAIGN, queues::CAMPAIGN_STEP, queues::EMAIL]
            .iter()
            .any(|queue| job.queue.as_str() == queue.name)
    });
    let lines: BTreeSet<_> = of_campaigns.map(|job| job.group).collect();
    assert_eq!(lines, BTreeSet::from([Some(GroupKey::new("campaigns").unwrap())]));
    let limits = stage.client().store().limits(None, 100).await.unwrap();
    assert!(limits.items.iter().all(|limit| limit.settings.concurrency.is_none()), "{limits:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_that_outrun_their_messages_are_slowed_and_neither_stopped_nor_in_the_way_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let one = vec![step(Channel::Email, mail, Delay::Minutes(0))];
    let (whale, few) = (stage.contacts("w", OUTRUNNING).await, stage.contacts("f", 3).await);
    let (whale, few) = (stage.draft("whale", &whale, one.clone()).await, stage.draft("few", &few, one).await);
    queues::set_up(stage.client()).await.unwrap();
    stage.client().pause(queues::EMAIL.name).await.unwrap();
    stage.work().await;
    stage.launch(whale).await;
    let held = async || {
        let steps = QueueName::new(queues::CAMPAIGN_STEP.name).unwrap();
        let groups = stage.client().store().groups(steps, None, 100).await.unwrap();
        groups.items.iter().any(|group| group.held_until.is_some())
    };
    stage.until_that("its steps are held", held).await;
    assert!(stage.touches(whale).await.len() < OUTRUNNING as usize);

    stage.launch(few).await;
    stage.until(few, "the steps of others", |_, touches| touches.len() == 3).await;
    assert!(stage.touches(whale).await.len() < OUTRUNNING as usize, "its own wait for the time");

    let all = async || {
        stage.step_on(Duration::from_secs(1)).await;
        stage.touches(whale).await.len() == OUTRUNNING as usize
    };
    stage.until_that("all of its own, as time passes", all).await;
    assert!(stage.mails().is_empty());
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_pauses_and_resumes_at_one_moment_the_queue_does_what_the_database_says() {
    let dir = tempfile::tempdir().unwrap();
    let stage = Stage::set(dir.path(), Setting::default()).await;
    let people = stage.contacts("b", 1).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let one = vec![step(Channel::Email, mail, Delay::Minutes(0))];
    let mut ids = Vec::new();
    for nth in 0..CONTESTED {
        let id = stage.draft(&format!("campaign {nth}"), &people, one.clone()).await;
        stage.launch(id).await;
        ids.push(id);
    }
    let other = App::open(stage.app.db().clone(), stage.client().clone(), Options::default()).await.unwrap();
    for round in 0..ROUNDS {
        // Whoever finds it so already is told so; which one is last is chance.
        let contest = ids.iter().map(|id| async {
            let pauses = async {
                for _ in 0..TRIES {
                    let _ = verbs::pause(&stage.app, *id, "Ann").await;
                }
            };
            let resumes = async {
                for _ in 0..TRIES {
                    let _ = verbs::resume(&other, *id, "Bob").await;
                }
            };
            tokio::join!(pauses, resumes)
        });
        futures_util::future::join_all(contest).await;
        let mut wanted = BTreeMap::new();
        for id in &ids {
            let paused = stage.campaign(*id).await.status == CampaignStatus::Paused;
            wanted.insert(jobs::group(*id), paused.then_some(0));
        }
        for queue in queues::SHARED {
            let name = QueueName::new(queue.name).unwrap();
            let groups = stage.client().store().groups(name, None, 100).await.unwrap();
            let told = groups
                .items
                .into_iter()
                .map(|group| (group.key.unwrap().as_str().to_owned(), group.settings.limits.concurrency));
            assert_eq!(told.collect::<BTreeMap<_, _>>(), wanted, "round {round}, {}", queue.name);
        }
    }
}
