//! Caps of a day: a campaign and a sender send at most so many, what is over is planned for the days to come, and what is
//! counted of a day is what the providers have taken on it.

use std::collections::BTreeMap;

use windlass::Time;
use windlass_campaigns::{
    channel::Channel,
    flow::{accounts, jobs, verbs},
    model::{
        sender::WarmUp,
        touch::{Reason, TouchStatus},
    },
    preflight,
    store::{contacts, providers::DomainLimit, senders, usage},
    window::{Delay, Week},
};
use windlass_doubles::{Rules, log::Delivery, smtp};

use crate::stage::{Setting, Stage, in_status, local, new_york, step};

/// How many of them came on which day of that zone.
fn by_day(stage: &Stage, mails: &[Delivery<'_>], zone: &str) -> BTreeMap<String, u32> {
    let mut days = BTreeMap::new();
    for mail in mails {
        *days.entry(local(zone, stage.app_time(mail.at_ms)).date().to_string()).or_insert(0) += 1;
    }
    days
}

async fn used(stage: &Stage, of: usage::Of<'static>, day: &str) -> u32 {
    let day = day.to_owned();
    let used = stage.app.db().read(move |tx| usage::used(tx, of, &day)).await.unwrap();
    u32::try_from(used).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_contacts_and_four_a_day_are_four_four_and_two_on_days_that_follow() {
    for of_sender in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let starts = new_york("2026-11-18T10:00:00");
        let mut stage = Stage::standing(dir.path(), starts, Setting::default()).await;
        let people = stage.contacts("b", 10).await;
        let mail = stage.template(Channel::Email, "Hi").await;
        let id = stage.draft("spring", &people, vec![step(Channel::Email, mail, Delay::Minutes(0))]).await;
        if of_sender {
            stage.change_sender(Channel::Email, |sender| sender.daily_cap = 4).await;
        } else {
            stage.edit(id, |campaign| campaign.daily_cap = Some(4)).await;
        }
        stage.work().await;
        stage.launch(id).await;
        stage.quiet().await;
        assert_eq!(stage.mails().len(), 4, "on the first day");
        if of_sender {
            let touches = stage.touches(id).await;
            let waits: Vec<_> =
                touches.iter().filter(|touch| touch.status == TouchStatus::Deferred).collect();
            assert!(waits.iter().all(|touch| touch.reason == Some(Reason::SenderCap)), "{waits:#?}");
            let until = |day| waits.iter().filter(|touch| touch.until == Some(new_york(day))).count();
            assert_eq!((until("2026-11-19T00:00:00"), until("2026-11-20T00:00:00")), (4, 2), "{waits:#?}");
        }
        stage.pass(new_york("2026-11-22T00:00:00")).await;
        stage.rest().await;
        let days = by_day(&stage, &stage.mails(), "America/New_York");
        assert_eq!(days.into_values().collect::<Vec<_>>(), [4, 4, 2], "of the sender: {of_sender}");
        assert_eq!(in_status(&stage.touches(id).await, TouchStatus::Sent), 10);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_begins_with_so_many_a_day_and_the_rest_of_its_cap_is_for_those_under_way_as_forecast() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), new_york("2026-11-18T10:00:00"), Setting::default()).await;
    let people = stage.contacts("b", 12).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let steps =
        vec![step(Channel::Email, mail, Delay::Minutes(0)), step(Channel::Email, mail, Delay::Days(1))];
    let id = stage.draft("spring", &people, steps).await;
    stage
        .edit(id, |campaign| {
            (campaign.daily_cap, campaign.new_per_day) = (Some(6), Some(3));
        })
        .await;
    let forecast = preflight::check(&stage.app, id).await.unwrap().forecast.unwrap();
    stage.work().await;
    stage.launch(id).await;
    stage.pass(new_york("2026-11-30T00:00:00")).await;
    stage.rest().await;
    let days: Vec<u32> = by_day(&stage, &stage.mails(), "America/New_York").into_values().collect();
    assert_eq!(days, [3, 6, 6, 6, 3]);
    assert_eq!(forecast.days.iter().map(|day| day.sent).collect::<Vec<_>>(), [3, 6, 6, 6, 3]);
    let touches = stage.touches(id).await;
    let first = |day: &str| {
        let on = |at: Time| local("America/New_York", at).date().to_string() == day;
        touches.iter().filter(|touch| touch.step == 1 && touch.sent_at.is_some_and(on)).count()
    };
    assert_eq!(["2026-11-18", "2026-11-19", "2026-11-21", "2026-11-22"].map(first), [3, 3, 3, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_all_campaigns_of_a_user_or_of_everybody_send_and_what_a_domain_gets_has_a_cap_of_the_day() {
    for whose in ["user", "everybody", "domain"] {
        let dir = tempfile::tempdir().unwrap();
        let starts = new_york("2026-11-18T10:00:00");
        let mut stage = Stage::standing(dir.path(), starts, Setting::default()).await;
        let mail = stage.template(Channel::Email, "Hi").await;
        let one = vec![step(Channel::Email, mail, Delay::Minutes(0))];
        let (some, others) = (stage.contacts("b", 5).await, stage.contacts("c", 5).await);
        let ids = [stage.draft("some", &some, one.clone()).await, stage.draft("others", &others, one).await];
        let user = (whose == "user").then_some(stage.user);
        let by_whom = whose != "domain";
        let reason = match whose {
            "domain" => {
                let limit =
                    DomainLimit { domain: "example.org".into(), per_day: Some(4), ..DomainLimit::default() };
                accounts::set_domain_limit(&stage.app, limit, "Ann").await.unwrap();
                Reason::DomainCap
            }
            _ => {
                accounts::set_daily_cap(&stage.app, user, Some(4), "Ann").await.unwrap();
                if user.is_some() { Reason::UserCap } else { Reason::EverybodyCap }
            }
        };
        let forecast = preflight::check(&stage.app, ids[0]).await.unwrap().forecast.unwrap();
        let days: Vec<u64> = forecast.days.iter().map(|day| day.sent).collect();
        assert!(!by_whom || days == [4, 1], "{whose}: {days:?}");
        stage.work().await;
        for id in ids {
            stage.launch(id).await;
        }
        stage.quiet().await;
        let waits = [stage.touches(ids[0]).await, stage.touches(ids[1]).await].concat();
        let waits = waits.iter().filter(|touch| touch.status == TouchStatus::Deferred);
        assert_eq!(waits.map(|touch| touch.reason).collect::<Vec<_>>(), [Some(reason); 6]);
        stage.pass(new_york("2026-11-22T00:00:00")).await;
        stage.rest().await;
        let days = by_day(&stage, &stage.mails(), "America/New_York");
        assert_eq!(days.into_values().collect::<Vec<_>>(), [4, 4, 2], "{whose}");
        let sender = stage.senders[&Channel::Email];
        assert_eq!(used(&stage, usage::Of::Sender(sender), "2026-11-18").await, 4, "nothing else is used up");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_that_is_cancelled_leaves_its_places_on_the_days_to_come_to_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), new_york("2026-11-18T10:00:00"), Setting::default()).await;
    let (first, second) = (stage.contacts("b", 8).await, stage.contacts("c", 2).await);
    let mail = stage.template(Channel::Email, "Hi").await;
    let one = vec![step(Channel::Email, mail, Delay::Minutes(0))];
    stage.change_sender(Channel::Email, |sender| sender.daily_cap = 2).await;
    let first = stage.draft("first", &first, one.clone()).await;
    let second = stage.draft("second", &second, one).await;
    stage.work().await;
    stage.launch(first).await;
    stage.quiet().await;
    assert_eq!(stage.mails().len(), 2);
    verbs::cancel(&stage.app, first, "Ann").await.unwrap();
    stage.launch(second).await;
    stage.quiet().await;
    let waits = stage.touches(second).await;
    let tomorrow = Some(new_york("2026-11-19T00:00:00"));
    assert!(waits.iter().all(|touch| touch.until == tomorrow), "{waits:#?}");
    stage.pass(new_york("2026-11-19T10:00:00")).await;
    stage.rest().await;
    assert_eq!(stage.mails().len(), 4);
}

/// The campaign's day is New York's and the sender's is Los Angeles', the provider says later every other time, and both
/// midnights pass meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_counted_of_a_day_is_what_was_sent_on_it_however_often_the_provider_said_later() {
    const SEED: u64 = 11;
    println!("seed {SEED}");
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::parse(SEED, &["*,60%=450"]).unwrap();
    let setting = Setting { mail: smtp::Options { rules, ..smtp::Options::default() }, ..Setting::default() };
    let mut stage = Stage::standing(dir.path(), new_york("2026-11-18T23:56:00"), setting).await;
    let people = stage.contacts("b", 12).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let steps =
        vec![step(Channel::Email, mail, Delay::Minutes(0)), step(Channel::Email, mail, Delay::Hours(1))];
    let id = stage.draft("spring", &people, steps).await;
    stage
        .change_sender(Channel::Email, |sender| {
            sender.daily_cap = 13;
            sender.time_zone = "America/Los_Angeles".into();
        })
        .await;
    stage
        .edit(id, |campaign| {
            campaign.daily_cap = Some(9);
            campaign.policy.week = Week::daily("00:00-24:00").unwrap();
        })
        .await;
    stage.work().await;
    stage.launch(id).await;
    stage.pass(new_york("2026-12-01T00:00:00")).await;
    stage.rest().await;
    let mails = stage.mails();
    assert_eq!(mails.len(), 24, "{:#?}", stage.touches(id).await);
    assert!(stage.mail.counters().deferred > 12);
    for (day, sent) in by_day(&stage, &mails, "America/New_York") {
        assert!(sent <= 9, "{sent} of the campaign on {day}");
        assert_eq!(used(&stage, usage::Of::Campaign(id), &day).await, sent, "of the campaign on {day}");
    }
    let sender = stage.senders[&Channel::Email];
    for (day, sent) in by_day(&stage, &mails, "America/Los_Angeles") {
        assert!(sent <= 13, "{sent} of the sender on {day}");
        assert_eq!(used(&stage, usage::Of::Sender(sender), &day).await, sent, "of the sender on {day}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_of_a_warm_up_is_counted_once_however_often_its_job_runs() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), new_york("2026-11-18T10:00:00"), Setting::default()).await;
    stage
        .change_sender(Channel::Email, |sender| {
            sender.daily_cap = 200;
            sender.warm_up = WarmUp::new_mailbox();
        })
        .await;
    let sender = stage.senders[&Channel::Email];
    let people = stage.contacts("b", 40).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let id = stage.draft("spring", &people, vec![step(Channel::Email, mail, Delay::Minutes(0))]).await;
    stage.work().await;
    stage.launch(id).await;
    stage.quiet().await;
    assert_eq!(stage.mails().len(), 20, "a new mailbox begins with twenty");
    stage.pass(new_york("2026-11-19T00:00:01")).await;
    let stored = move |stage: &Stage| {
        let db = stage.app.db().clone();
        async move { db.read(move |tx| senders::get(tx, sender)).await.unwrap().unwrap() }
    };
    assert_eq!((stored(&stage).await.warm_up.day, stored(&stage).await.cap_today), (Some(2), 25));
    // A worker that is killed after its write and before the end of its job runs it again.
    let again = jobs::warm_up(sender, "2026-11-18", stage.client().now());
    stage.client().enqueue(again).await.unwrap();
    stage.quiet().await;
    assert_eq!(stored(&stage).await.warm_up.day, Some(2));
    stage.pass(new_york("2026-11-19T12:00:00")).await;
    assert_eq!(stage.mails().len(), 40);
    stage.pass(new_york("2026-11-20T00:00:01")).await;
    assert_eq!(stored(&stage).await.warm_up.day, Some(3), "the chain goes on");
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_is_paused_sends_nothing_and_what_waits_goes_out_when_it_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::set(dir.path(), Setting::default()).await;
    let people = stage.contacts("b", 5).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let text = stage.template(Channel::Sms, "Hi. STOP ends.").await;
    let mails = stage.draft("mails", &people, vec![step(Channel::Email, mail, Delay::Minutes(0))]).await;
    let texts = stage.draft("texts", &people, vec![step(Channel::Sms, text, Delay::Minutes(0))]).await;
    let sender = stage.senders[&Channel::Email];
    accounts::pause_sender(&stage.app, sender, true, "holidays", "Ann").await.unwrap();
    stage.work().await;
    stage.launch(mails).await;
    stage.launch(texts).await;
    stage.until_done(texts).await;
    stage
        .until(mails, "the mails wait", |_, touches| {
            touches.len() == 5 && touches.iter().any(|touch| touch.status == TouchStatus::Deferred)
        })
        .await;
    let touches = stage.touches(mails).await;
    let waits = touches.iter().find(|touch| touch.status == TouchStatus::Deferred).unwrap();
    assert_eq!((waits.reason, &*waits.detail), (Some(Reason::SenderPaused), "holidays"));
    assert!(stage.mails().is_empty());
    // Somebody who opts out meanwhile is not among those who are reached.
    let out = people[0];
    let now = stage.app.now();
    let revoked =
        move |tx: &mut windlass_campaigns::db::Tx<'_>| contacts::revoke_consent(tx, out, Channel::Email, now);
    stage.app.db().write(revoked).await.unwrap();

    accounts::pause_sender(&stage.app, sender, false, "", "Ann").await.unwrap();
    stage.until_done(mails).await;
    stage.rest().await;
    let touches = stage.touches(mails).await;
    assert_eq!(in_status(&touches, TouchStatus::Sent), 4);
    assert_eq!(stage.mails().len(), 4);
}
