//! Messages that a provider took and did not bring: tried again, by the other channel, or the end.

use windlass::Time;
use windlass_campaigns::{
    channel::{Channel, rules::ProviderKind},
    flow::news,
    hooks::{CallbackEvent, Progress, TouchResult, What},
    model::{
        CampaignId, ContactId, ProviderId,
        campaign::{CampaignStatus, EnrolmentStatus},
        touch::{Reason, Touch, TouchStatus},
    },
    store::{enrolments, providers},
    window::Delay,
};

use windlass_doubles::{Rules, twilio};

use crate::stage::{MORNING, PACE, Setting, Stage, fallback, step};

/// The account of texts, which the stage makes as its second.
const PHONE: ProviderId = ProviderId(2);
const HOUR_MS: u64 = 3_600_000;

/// What the provider says of a text that did not arrive.
async fn lost(stage: &Stage, touch: &Touch, code: &str) {
    let provider = stage.app.db().read(|tx| providers::get(tx, PHONE)).await.unwrap().unwrap();
    let sid = touch.provider_ref.clone().unwrap();
    let progress = Progress {
        result: Some(TouchResult::Bounced),
        word: "undelivered".into(),
        code: Some(code.into()),
        why: Some("it did not arrive".into()),
        answered_by: None,
        bounce_class: None,
    };
    let event = CallbackEvent {
        provider: ProviderKind::Twilio,
        event_id: format!("{sid}:undelivered"),
        provider_id: sid,
        touch: None,
        campaign: None,
        recipient: None,
        at: None,
        what: What::Progress(progress),
    };
    assert_eq!(news::reports(&stage.app, &provider, None, vec![event]).await.unwrap(), 1);
}

async fn stands(stage: &Stage, id: CampaignId, contact: ContactId) -> EnrolmentStatus {
    let found = stage.app.db().read(move |tx| enrolments::get(tx, id, contact)).await.unwrap();
    found.unwrap().status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_to_a_phone_that_is_off_is_sent_three_times_and_then_it_has_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::parse(1, &["*=30003"]).unwrap();
    let phone = twilio::Options { rules, pace: PACE, ..twilio::Options::default() };
    let mut stage = Stage::standing(dir.path(), MORNING, Setting { phone, ..Setting::default() }).await;
    let people = stage.contacts("b", 1).await;
    let text = stage.template(Channel::Sms, "Hi. STOP ends.").await;
    let id = stage.draft("spring", &people, vec![step(Channel::Sms, text, Delay::Minutes(0))]).await;
    stage.work().await;
    stage.launch(id).await;
    stage.until_done(id).await;
    for (tries, hours) in [(1, 1), (2, 3)] {
        let touch = stage.touches(id).await.remove(0);
        assert_eq!((touch.status, stage.calls_and_texts().len()), (TouchStatus::Sent, tries));
        lost(&stage, &touch, "twilio/30003").await;
        // The same news once more is no other try.
        lost(&stage, &touch, "twilio/30003").await;
        let waits = stage.touches(id).await.remove(0);
        assert_eq!((waits.status, waits.reason), (TouchStatus::Deferred, Some(Reason::TriedAgain)));
        assert_eq!(stage.campaign(id).await.status, CampaignStatus::Running, "it goes on for that");
        stage.pass(Time(MORNING.0 + hours * HOUR_MS)).await;
        stage.until_done(id).await;
    }
    let touch = stage.touches(id).await.remove(0);
    assert_eq!(stage.calls_and_texts().len(), 3);
    lost(&stage, &touch, "twilio/30003").await;
    stage.rest().await;
    assert_eq!(stage.touches(id).await[0].status, TouchStatus::Bounced);
    assert_eq!(stage.campaign(id).await.status, CampaignStatus::Done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_back_later_goes_by_the_other_channel_and_ends_the_sequence_only_where_there_is_none() {
    for code in ["twilio/30006", "twilio/30008"] {
        let dir = tempfile::tempdir().unwrap();
        let mut stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
        let people = stage.contacts("b", 2).await;
        let text = stage.template(Channel::Sms, "Hi. STOP ends.").await;
        let mail = stage.template(Channel::Email, "Hi").await;
        let first = step(Channel::Sms, text, Delay::Minutes(0));
        let next = step(Channel::Sms, text, Delay::Days(1));
        let with = stage
            .draft("with", &people[..1], vec![fallback(first.clone(), Channel::Email, mail), next.clone()])
            .await;
        let without = stage.draft("without", &people[1..], vec![first, next]).await;
        stage.work().await;
        for id in [with, without] {
            stage.launch(id).await;
        }
        stage.quiet().await;
        for id in [with, without] {
            let touch = stage.touches(id).await.remove(0);
            lost(&stage, &touch, code).await;
        }
        stage.quiet().await;
        assert_eq!(stage.mails().len(), 1, "{code}: by the other channel, at once");
        assert_eq!(stands(&stage, without, people[1]).await, EnrolmentStatus::Stopped, "{code}");
        stage.pass(Time(MORNING.0 + 30 * HOUR_MS)).await;
        stage.rest().await;
        let last = stage.touches(with).await.remove(0);
        assert_eq!((last.step, stands(&stage, with, people[0]).await), (2, EnrolmentStatus::Done), "{code}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_tried_again_behind_the_next_step() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    let people = stage.contacts("b", 1).await;
    let text = stage.template(Channel::Sms, "Hi. STOP ends.").await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let first = fallback(step(Channel::Sms, text, Delay::Minutes(0)), Channel::Email, mail);
    let steps = [30, 30].map(|minutes| step(Channel::Email, mail, Delay::Minutes(minutes)));
    let id = stage.draft("spring", &people, [vec![first], steps.to_vec()].concat()).await;
    stage.work().await;
    stage.launch(id).await;
    stage.quiet().await;
    let touch = stage.touches(id).await.remove(0);
    lost(&stage, &touch, "twilio/30003").await;
    stage.quiet().await;
    assert_eq!((stage.calls_and_texts().len(), stage.mails().len()), (1, 1), "by the other channel, at once");
    stage.pass(Time(MORNING.0 + 5 * HOUR_MS)).await;
    stage.rest().await;
    assert_eq!((stage.calls_and_texts().len(), stage.mails().len()), (1, 3));
    assert_eq!(stands(&stage, id, people[0]).await, EnrolmentStatus::Done);
}
