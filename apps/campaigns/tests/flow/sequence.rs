//! Sequences: what is sent to whom, in which order, and what ends it.

use std::{collections::BTreeSet, time::Duration};

use windlass_campaigns::{
    channel::Channel,
    flow::{accounts, verbs},
    model::{
        campaign::CampaignStatus,
        touch::{Reason, TouchStatus},
    },
    store::providers::DomainLimit,
    window::Delay,
};
use windlass_doubles::{Rules, smtp, twilio};

use crate::stage::{MORNING, Setting, Stage, fallback, in_status, step};

const HOUR_MS: u64 = 3_600_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sequence_over_three_channels_reaches_everybody_once_and_the_campaign_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::set(dir.path(), Setting { speed: 600, ..Setting::default() }).await;
    let people = stage.contacts("b", 40).await;
    let mail = stage.template(Channel::Email, "Hi {{first_name}}, {{postal_address}}").await;
    let text = stage.template(Channel::Sms, "Hi {{first_name}}. STOP ends.").await;
    let call = stage.template(Channel::Voicemail, "Hello {{first_name}}").await;
    let steps = vec![
        step(Channel::Email, mail, Delay::Minutes(0)),
        step(Channel::Sms, text, Delay::Minutes(30)),
        step(Channel::Voicemail, call, Delay::Minutes(30)),
    ];
    let id = stage.draft("spring", &people, steps).await;
    stage.work().await;
    let launched = stage.launch(id).await;
    assert_eq!(launched.contacts, 40);
    stage.until_done(id).await;
    stage.rest().await;

    let touches = stage.touches(id).await;
    assert_eq!(touches.len(), 120);
    assert!(touches.iter().all(|touch| touch.status.was_sent()), "{touches:#?}");
    let mails = stage.mails();
    let reached: BTreeSet<&str> = mails.iter().map(|mail| &*mail.to).collect();
    assert_eq!((mails.len(), reached.len()), (40, 40));
    let phone = stage.calls_and_texts();
    assert_eq!(phone.len(), 80);
    assert!(phone.iter().all(|delivery| delivery.body.as_deref().unwrap().contains("Bob")), "{phone:#?}");
    let ids: BTreeSet<&str> = mails.iter().map(|mail| mail.message_id.as_deref().unwrap()).collect();
    assert_eq!(ids.len(), 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_cannot_be_reached_by_one_channel_is_reached_by_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::parse(1, &["b1@example.org=550"]).unwrap();
    let setting = Setting { mail: smtp::Options { rules, ..smtp::Options::default() }, ..Setting::default() };
    let mut stage = Stage::set(dir.path(), setting).await;
    let people = stage.contacts("b", 3).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let text = stage.template(Channel::Sms, "Hi. STOP ends.").await;
    let steps = vec![fallback(step(Channel::Email, mail, Delay::Minutes(0)), Channel::Sms, text)];
    let id = stage.draft("spring", &people, steps).await;
    stage.work().await;
    stage.launch(id).await;
    stage.until_done(id).await;

    let touches = stage.touches(id).await;
    assert_eq!(in_status(&touches, TouchStatus::Bounced), 1, "{touches:#?}");
    let bounced = touches.iter().find(|touch| touch.status == TouchStatus::Bounced).unwrap();
    assert_eq!(bounced.reason, Some(Reason::Refused));
    assert!(bounced.detail.contains("550"), "{bounced:?}");
    assert_eq!(stage.calls_and_texts().len(), 1);
    assert_eq!(stage.mails().len(), 2);

    // The address is suppressed now: another campaign does not try it.
    let again = stage.draft("summer", &people, vec![step(Channel::Email, mail, Delay::Minutes(0))]).await;
    stage.launch(again).await;
    stage.until_done(again).await;
    stage.rest().await;
    let touches = stage.touches(again).await;
    let skipped = touches.iter().find(|touch| touch.status == TouchStatus::Skipped).unwrap();
    assert_eq!(skipped.reason, Some(Reason::Suppressed));
    assert_eq!(stage.mails().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_says_later_is_asked_later_and_every_message_arrives() {
    let dir = tempfile::tempdir().unwrap();
    let mail = smtp::Options { rules: Rules::parse(2, &["30%=451"]).unwrap(), ..smtp::Options::default() };
    let phone =
        twilio::Options { rules: Rules::parse(2, &["20%=429"]).unwrap(), ..twilio::Options::default() };
    let mut stage = Stage::set(dir.path(), Setting { mail, phone, speed: 600, ..Setting::default() }).await;
    let people = stage.contacts("b", 60).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let text = stage.template(Channel::Sms, "Hi. STOP ends.").await;
    let steps =
        vec![step(Channel::Email, mail, Delay::Minutes(0)), step(Channel::Sms, text, Delay::Minutes(1))];
    let id = stage.draft("spring", &people, steps).await;
    stage.carry_out(id).await;
    assert_eq!((stage.mails().len(), stage.calls_and_texts().len()), (60, 60));
    assert!(stage.mail.counters().deferred > 0 && stage.phone.counters().deferred > 0);
    let touches = stage.touches(id).await;
    assert!(touches.iter().any(|touch| touch.sends > 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_that_is_paused_sends_nothing_until_it_is_resumed_and_nothing_after_it_is_cancelled() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::set(dir.path(), Setting { speed: 60, ..Setting::default() }).await;
    let people = stage.contacts("b", 5).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let steps = vec![
        step(Channel::Email, mail, Delay::Minutes(0)),
        step(Channel::Email, mail, Delay::Minutes(1)),
        step(Channel::Email, mail, Delay::Hours(2)),
    ];
    let id = stage.draft("spring", &people, steps).await;
    stage.launch(id).await;
    verbs::pause(&stage.app, id, "Ann").await.unwrap();
    stage.work().await;
    // The second campaign shows that the workers work.
    let other = stage.draft("other", &people, vec![step(Channel::Email, mail, Delay::Minutes(0))]).await;
    stage.launch(other).await;
    stage.until_done(other).await;
    assert_eq!(stage.mails().len(), 5);
    assert!(stage.touches(id).await.is_empty());

    verbs::resume(&stage.app, id, "Ann").await.unwrap();
    stage.until(id, "two steps", |_, touches| in_status(touches, TouchStatus::Sent) == 10).await;
    verbs::cancel(&stage.app, id, "Ann").await.unwrap();
    assert!(verbs::resume(&stage.app, id, "Ann").await.is_err());
    stage.rest().await;
    assert_eq!(stage.mails().len(), 15);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_that_is_to_begin_can_be_paused_and_begins_when_it_goes_on_and_not_before_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    let people = stage.contacts("b", 3).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let one = vec![step(Channel::Email, mail, Delay::Minutes(0))];
    let (early, late) =
        (stage.draft("early", &people, one.clone()).await, stage.draft("late", &people, one).await);
    stage.work().await;
    for id in [early, late] {
        stage.edit(id, |campaign| campaign.starts_at = Some(MORNING.plus_ms(HOUR_MS))).await;
        assert_eq!(stage.launch(id).await.status, CampaignStatus::Scheduled);
        assert_eq!(
            verbs::pause(&stage.app, id, "Ann").await.unwrap().status,
            CampaignStatus::Paused,
            "before its time"
        );
    }
    let again = verbs::resume(&stage.app, early, "Ann").await.unwrap();
    assert_eq!(again.status, CampaignStatus::Scheduled, "its beginning still lies ahead");
    stage.quiet().await;
    assert_eq!(stage.mails().len(), 0);

    stage.step_on(Duration::from_millis(2 * HOUR_MS)).await;
    stage.until_done(early).await;
    assert_eq!((stage.mails().len(), stage.campaign(late).await.status), (3, CampaignStatus::Paused));
    let again = verbs::resume(&stage.app, late, "Ann").await.unwrap();
    assert_eq!(again.status, CampaignStatus::Running, "its beginning has passed");
    stage.until_done(late).await;
    stage.rest().await;
    assert_eq!(stage.mails().len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_takes_the_limit_of_its_recipients_domain_where_somebody_has_set_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::set(dir.path(), Setting::default()).await;
    let limit = |domain: &str, concurrency| DomainLimit {
        domain: domain.to_owned(),
        concurrency,
        ..DomainLimit::default()
    };
    for wrong in [limit("nonsense", Some(1)), limit("example.org", None), limit("example.org", Some(0))] {
        assert!(accounts::set_domain_limit(&stage.app, wrong, "Ann").await.is_err());
    }
    accounts::set_domain_limit(&stage.app, limit(" Example.ORG ", Some(1)), "Ann").await.unwrap();
    let people = stage.contacts("b", 2).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let id = stage.draft("spring", &people, vec![step(Channel::Email, mail, Delay::Minutes(0))]).await;
    stage.work().await;
    stage.launch(id).await;
    stage.until_done(id).await;
    for touch in stage.touches(id).await {
        let job = stage.client().get(touch.job.parse().unwrap()).await.unwrap().unwrap();
        let names = format!("{job:?}");
        assert!(names.contains("domain-example.org"), "{names}");
    }
    stage.rest().await;
    assert_eq!(stage.mails().len(), 2);
}
