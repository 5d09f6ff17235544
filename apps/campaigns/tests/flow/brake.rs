//! A sender whose mails come back, or are reported as spam, stops by itself, and goes on when a person lets it.

use std::time::Duration;

use windlass_campaigns::{
    channel::Channel,
    flow::{accounts, news},
    hooks::What,
    model::{CampaignId, campaign::CampaignStatus, sender::Sender, touch::TouchStatus},
    store::{audit, contacts::NewContact, senders},
    window::Delay,
};
use windlass_doubles::{Rules, smtp};

use crate::stage::{MORNING, Setting, Stage, in_status, person, step};

/// A mail to so many contacts, some of whom there are not.
async fn mailed(stage: &Stage, name: &str, count: u32, is_gone: fn(u32) -> bool) -> CampaignId {
    let person = |nth| NewContact {
        email: Some(format!("{}{name}{nth}@example.org", if is_gone(nth) { "gone" } else { "b" })),
        phone: None,
        ..person("b", nth, MORNING)
    };
    let people = stage.people((0..count).map(person).collect()).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let id = stage.draft(name, &people, vec![step(Channel::Email, mail, Delay::Minutes(0))]).await;
    stage.launch(id).await;
    id
}

async fn sender(stage: &Stage) -> Sender {
    let id = stage.senders[&Channel::Email];
    stage.app.db().read(move |tx| senders::get(tx, id)).await.unwrap().unwrap()
}

/// What was written of the sender in the log of changes, newest first.
async fn changes(stage: &Stage) -> Vec<(String, String, String)> {
    let id = stage.senders[&Channel::Email].to_string();
    let all = stage.app.db().read(|tx| audit::page(tx, i64::MAX, 100)).await.unwrap();
    let about = all.into_iter().filter(|one| one.subject == id);
    about.map(|one| (one.who, one.what, one.detail)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_stops_when_its_mails_come_back_and_whoever_resumes_it_begins_with_a_clean_sheet() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::parse(1, &["gone*@example.org=550"]).unwrap();
    let mail = smtp::Options { rules, ..smtp::Options::default() };
    let mut stage = Stage::standing(dir.path(), MORNING, Setting { mail, ..Setting::default() }).await;
    stage.work().await;
    // Of few mails a tenth is no rate.
    let few = mailed(&stage, "few", 40, |nth| nth % 10 == 9).await;
    stage.until_done(few).await;
    assert!(!sender(&stage).await.paused);

    let id = mailed(&stage, "many", 200, |nth| (nth < 60 && nth % 5 == 4) || nth == 190).await;
    let begun = std::time::Instant::now();
    while !sender(&stage).await.paused {
        assert!(begun.elapsed().as_secs() < 30, "it does not stop");
        tokio::task::yield_now().await;
    }
    // What was under way has ended by then, and time has passed before somebody looks.
    stage.step_on(Duration::from_secs(60)).await;
    let stopped = sender(&stage).await;
    assert!(stopped.paused, "{stopped:?}");
    let why = stopped.pause_reason.clone();
    assert!(why.contains("mails bounced: ") && why.contains("above 5 % it stops by itself"), "{why}");
    let first = changes(&stage).await.swap_remove(0);
    assert_eq!(first, ("windlass".to_owned(), "pause sender".to_owned(), why));
    assert_eq!(stage.campaign(id).await.status, CampaignStatus::Running);
    let left = 200 - in_status(&stage.touches(id).await, TouchStatus::Sent);
    assert!(left > 70, "{left} were left to a person");

    // One of those comes back as well, and with what came before it would be too many again.
    accounts::pause_sender(&stage.app, stopped.id, false, "", "Ann").await.unwrap();
    stage.pass(MORNING.plus_ms(600_000)).await;
    stage.until_done(id).await;
    stage.rest().await;
    assert!(!sender(&stage).await.paused);
    assert_eq!(changes(&stage).await.swap_remove(0).0, "Ann");
    assert_eq!(in_status(&stage.touches(id).await, TouchStatus::Bounced), 13);
    assert_eq!(stage.mails().len(), 36 + 187);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_stops_when_two_of_a_few_mails_are_reported_as_spam() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    stage.work().await;
    let id = mailed(&stage, "spring", 60, |_| false).await;
    stage.until_done(id).await;
    stage.rest().await;
    let touches = stage.touches(id).await;
    let complains = async |nth: usize, key: &'static str| {
        let (touch, app, now) = (touches[nth].clone(), stage.app.clone(), stage.app.now());
        let taken = stage
            .app
            .db()
            .write(move |tx| news::take_in(tx, &app, &touch, &What::Complained, "mail", key, now))
            .await;
        taken.unwrap();
    };
    complains(0, "one").await;
    complains(0, "one").await;
    assert!(!sender(&stage).await.paused, "one person is no rate");
    complains(1, "two").await;
    let stopped = sender(&stage).await;
    assert!(stopped.paused);
    let why = "2 of its last 60 mails were reported as spam: 3.3 %, and above 0.3 % it stops by itself";
    assert_eq!(stopped.pause_reason, why);
    // Time passes before somebody looks; what was sent before is not held against it again.
    stage.step_on(Duration::from_secs(60)).await;
    accounts::pause_sender(&stage.app, stopped.id, false, "", "Ann").await.unwrap();
    complains(2, "three").await;
    complains(3, "four").await;
    assert!(!sender(&stage).await.paused);
}
