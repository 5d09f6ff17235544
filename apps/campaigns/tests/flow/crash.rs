//! Between the question to a provider and the note of its answer: a mail is repeated as the same mail, a text is asked
//! after, a call is made at most once, and every message comes to one end.

use std::collections::BTreeMap;

use windlass::{Time, core::retry::RetryPolicy};
use windlass_campaigns::{
    channel::{Channel, breaker::Gate},
    db::Value,
    flow::{news, queues, verbs},
    hooks::{Progress, TouchResult, What},
    model::{
        CampaignId, ProviderId, TouchId,
        campaign::{CampaignStatus, Step},
        touch::{EventKind, Reason, Touch, TouchStatus},
    },
    store::{
        events, providers,
        reviews::{self, ReviewKind},
        touches,
    },
    window::{Delay, Week},
};
use windlass_doubles::{Rules, log::Delivery, smtp, twilio};

use crate::stage::{PACE, Setting, Stage, in_status, new_york, step};

/// A stage on which answers are lost, whose jobs are tried again at once and whose breakers a person holds closed.
pub(crate) async fn losing(dir: &std::path::Path, mail: &[&str], phone: &[&str]) -> Stage {
    const SEED: u64 = 7;
    println!("seed {SEED}");
    let mail = smtp::Options { rules: Rules::parse(SEED, mail).unwrap(), ..smtp::Options::default() };
    let rules = Rules::parse(SEED, phone).unwrap();
    let phone = twilio::Options { rules, pace: PACE, ..twilio::Options::default() };
    let stage = Stage::set(dir, Setting { mail, phone, ..Setting::default() }).await;
    for queue in [queues::EMAIL, queues::SMS, queues::VOICEMAIL] {
        let retry = RetryPolicy::Fixed { delay_ms: 5, max_failures: 12 };
        let settings = windlass::core::queue::QueueSettings { retry, ..queues::settings(queue) };
        stage.client().set_queue(queue.name, settings).await.unwrap();
    }
    let now = stage.app.now();
    stage
        .app
        .db()
        .write(move |tx| {
            for id in [ProviderId(1), ProviderId(2)] {
                let before = providers::breaker(tx, id)?;
                let mut held = before.clone();
                held.force(Gate::Closed, "test", "answers are lost on purpose", now);
                assert!(providers::keep_breaker(tx, id, &before, &held)?);
            }
            Ok::<_, windlass_campaigns::db::DbError>(())
        })
        .await
        .unwrap();
    stage
}

async fn one_step(stage: &Stage, channel: Channel, count: u32) -> CampaignId {
    let people = stage.contacts("b", count).await;
    let template = stage.template(channel, "Hi {{first_name}}. STOP ends.").await;
    stage.draft("spring", &people, vec![step(channel, template, Delay::Minutes(0))]).await
}

async fn events_of(stage: &Stage, touch: TouchId, kind: EventKind) -> usize {
    let all = stage.app.db().read(move |tx| events::of_touch(tx, touch)).await.unwrap();
    all.iter().filter(|event| event.kind == kind).count()
}

fn by_recipient<'a>(deliveries: &'a [Delivery<'a>]) -> BTreeMap<&'a str, Vec<&'a Delivery<'a>>> {
    let mut by = BTreeMap::<&str, Vec<_>>::new();
    for delivery in deliveries {
        by.entry(&*delivery.to).or_default().push(delivery);
    }
    by
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_whose_reply_was_lost_is_repeated_as_the_same_mail_and_no_other_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = losing(dir.path(), &["*,40%=drop"], &[]).await;
    let id = one_step(&stage, Channel::Email, 30).await;
    stage.carry_out(id).await;
    let (mails, touches) = (stage.mails(), stage.touches(id).await);
    assert_eq!(in_status(&touches, TouchStatus::Sent), 30);
    let by = by_recipient(&mails);
    assert_eq!(by.len(), 30);
    for touch in touches {
        let copies = &by[&*touch.address];
        let (last, earlier) = copies.split_last().unwrap();
        assert!(!last.reply_dropped && earlier.iter().all(|copy| copy.reply_dropped), "{copies:#?}");
        assert!(earlier.iter().all(|copy| copy.message_id == last.message_id), "{copies:#?}");
        assert!(last.message_id.as_deref().unwrap().starts_with(&format!("<t{}.", touch.id)));
        assert_eq!(touch.sends as usize, copies.len());
        assert_eq!(
            events_of(&stage, touch.id, EventKind::Repeated).await,
            earlier.len(),
            "each is explained"
        );
    }
    assert!(mails.len() > 35, "{} mails: no reply was lost", mails.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_whose_replies_are_all_lost_is_unknown_in_the_end_and_not_for_ever_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = losing(dir.path(), &["b1@example.org=drop"], &[]).await;
    let id = one_step(&stage, Channel::Email, 3).await;
    stage.carry_out(id).await;
    let touches = stage.touches(id).await;
    let lost = touches.iter().find(|touch| touch.address == "b1@example.org").unwrap();
    assert_eq!((lost.status, lost.reason), (TouchStatus::Unknown, Some(Reason::ReplyLost)), "{lost:#?}");
    assert_eq!(in_status(&touches, TouchStatus::Sent), 2);
    let mails = stage.mails();
    let copies = &by_recipient(&mails)["b1@example.org"];
    assert_eq!(copies.len(), 12, "as often as the queue tries");
    assert!(copies.iter().all(|copy| copy.message_id == copies[0].message_id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_whose_reply_was_lost_is_found_at_the_provider_and_not_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = losing(dir.path(), &[], &["*,50%=drop"]).await;
    let id = one_step(&stage, Channel::Sms, 30).await;
    stage.carry_out(id).await;
    let (texts, touches) = (stage.calls_and_texts(), stage.touches(id).await);
    let by = by_recipient(&texts);
    assert_eq!((texts.len(), by.len()), (30, 30));
    let lost = texts.iter().filter(|text| text.reply_dropped).count();
    assert!((5..25).contains(&lost), "{lost} replies were lost");
    for touch in touches {
        let text = by[&*touch.address][0];
        assert!(matches!(touch.status, TouchStatus::Sent | TouchStatus::Delivered), "{touch:#?}");
        assert_eq!(touch.provider_ref.as_deref(), Some(&*text.provider_id));
        assert_eq!(touch.sends, 1);
        let found = events_of(&stage, touch.id, EventKind::Found).await;
        assert_eq!(found, usize::from(text.reply_dropped));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_reply_was_lost_is_never_made_again_and_a_person_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = losing(dir.path(), &[], &["*,50%=drop"]).await;
    let id = one_step(&stage, Channel::Voicemail, 12).await;
    stage.carry_out(id).await;
    let (calls, touches) = (stage.calls_and_texts(), stage.touches(id).await);
    let by = by_recipient(&calls);
    assert_eq!((calls.len(), by.len()), (12, 12), "once each");
    let undecided = stage
        .app
        .db()
        .read(|tx| reviews::undecided(tx, windlass_campaigns::model::ReviewId(0), 100))
        .await
        .unwrap();
    let lost: Vec<_> = touches.iter().filter(|touch| touch.status == TouchStatus::Unknown).collect();
    assert!((2..11).contains(&lost.len()), "{} replies were lost", lost.len());
    assert_eq!(undecided.len(), lost.len());
    for touch in &touches {
        let call = by[&*touch.address][0];
        assert_eq!(touch.status == TouchStatus::Unknown, call.reply_dropped, "{touch:#?}");
        let asked = undecided
            .iter()
            .any(|review| review.touch == Some(touch.id) && review.kind == ReviewKind::UnknownCall);
        assert_eq!(asked, call.reply_dropped);
    }
}

/// Messages of the three channels that wait for the morning, and whose workers, says the database, died in the middle.
async fn left_in_the_middle(dir: &std::path::Path, mail: &[&str]) -> (Stage, CampaignId) {
    let mail = smtp::Options { rules: Rules::parse(1, mail).unwrap(), ..smtp::Options::default() };
    let starts = new_york("2026-11-18T20:10:00");
    let mut stage = Stage::set(dir, Setting { mail, starts, ..Setting::default() }).await;
    let people = stage.contacts("b", 3).await;
    let mut steps: Vec<Step> = Vec::new();
    for channel in Channel::ALL {
        let template = stage.template(channel, "Hi {{first_name}}. STOP ends.").await;
        steps.push(step(channel, template, Delay::Minutes(0)));
    }
    // A campaign for each channel would do as well: what is asked is one message of each.
    let mut ids = Vec::new();
    for (one, person) in steps.iter().zip(&people) {
        ids.push(stage.draft(&format!("{}", one.channel), &[*person], vec![one.clone()]).await);
    }
    stage.work().await;
    for id in &ids {
        stage.launch(*id).await;
        stage.until(*id, "it waits", |_, touches| in_status(touches, TouchStatus::Deferred) == 1).await;
    }
    stage
        .app
        .db()
        .write(|tx| {
            let sql =
                "UPDATE touches SET status = 'sending', sends = 1, sending_at = $1 WHERE status = 'deferred'";
            let at = new_york("2026-11-18T20:10:00");
            assert_eq!(tx.run(sql, &[Value::from(at)])?, 3);
            Ok::<_, windlass_campaigns::db::DbError>(())
        })
        .await
        .unwrap();
    (stage, ids[0])
}

async fn only_touch(stage: &Stage, id: CampaignId) -> Touch {
    stage.touches(id).await.pop().unwrap()
}

async fn open_the_night(stage: &Stage, id: CampaignId) {
    stage.edit(id, |campaign| campaign.policy.week = Week::daily("00:00-24:00").unwrap()).await;
    let job = only_touch(stage, id).await.job.parse().unwrap();
    stage.client().run_now(job).await.unwrap();
}

fn of_channel(first: CampaignId, channel: Channel) -> CampaignId {
    let nth = Channel::ALL.into_iter().position(|one| one == channel).unwrap();
    CampaignId(first.0 + i64::try_from(nth).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_worker_left_before_it_asked_is_sent_now_but_for_a_call() {
    let dir = tempfile::tempdir().unwrap();
    let (mut stage, first) = left_in_the_middle(dir.path(), &[]).await;
    for channel in Channel::ALL {
        let id = of_channel(first, channel);
        open_the_night(&stage, id).await;
        stage.until_done(id).await;
        let touch = only_touch(&stage, id).await;
        if channel == Channel::Voicemail {
            assert_eq!((touch.status, touch.reason), (TouchStatus::Unknown, Some(Reason::WorkerDied)));
            assert_eq!(stage.app.db().read(reviews::count).await.unwrap(), 1);
        } else {
            assert!(touch.status.was_sent(), "{touch:#?}");
            assert_eq!(touch.sends, 2);
            assert_eq!(events_of(&stage, touch.id, EventKind::Repeated).await, 1);
        }
    }
    stage.rest().await;
    assert_eq!(stage.mails().len(), 1);
    let phone = stage.calls_and_texts();
    assert_eq!(phone.len(), 1, "the text, and no call: {phone:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_have_arrived_is_never_called_failed_or_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let (mut stage, first) = left_in_the_middle(dir.path(), &["*=550"]).await;
    // The mail's repetition is refused: the first may have arrived before the mailbox went.
    let mail = of_channel(first, Channel::Email);
    open_the_night(&stage, mail).await;
    stage.until_done(mail).await;
    let touch = only_touch(&stage, mail).await;
    assert_eq!((touch.status, touch.reason), (TouchStatus::Unknown, Some(Reason::ReplyLost)), "{touch:#?}");
    // The others' campaigns are cancelled: nothing is repeated, and nothing is known.
    for channel in [Channel::Sms, Channel::Voicemail] {
        let id = of_channel(first, channel);
        verbs::cancel(&stage.app, id, "Ann").await.unwrap();
        let job = only_touch(&stage, id).await.job.parse().unwrap();
        stage.client().run_now(job).await.unwrap();
        stage.until(id, "its end", |_, touches| touches[0].status.is_final()).await;
        let touch = only_touch(&stage, id).await;
        assert_eq!((touch.status, touch.reason), (TouchStatus::Unknown, Some(Reason::WorkerDied)));
        assert_eq!(stage.campaign(id).await.status, CampaignStatus::Cancelled);
    }
    stage.rest().await;
    assert_eq!(stage.app.db().read(reviews::count).await.unwrap(), 1, "a person is asked about the call");
    assert!(stage.mails().is_empty() && stage.calls_and_texts().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_provider_tells_by_itself_is_known_to_whoever_finds_the_message_left_in_the_middle() {
    let dir = tempfile::tempdir().unwrap();
    let (mut stage, first) = left_in_the_middle(dir.path(), &[]).await;
    let delivered = What::Progress(Progress {
        word: "delivered".into(),
        result: Some(TouchResult::Delivered),
        code: None,
        why: None,
        bounce_class: None,
        answered_by: None,
    });
    for channel in Channel::ALL {
        let id = of_channel(first, channel);
        let touch = only_touch(&stage, id).await;
        let (app, what, now) = (stage.app.clone(), delivered.clone(), stage.app.now());
        let told = stage.app.db().write(move |tx| {
            news::take_in(tx, &app, &touch, &what, "provider", &format!("key of {}", touch.id), now)?;
            // The answer itself comes behind it, to a worker that lives: what it is called becomes known.
            assert!(!touches::sent(tx, touch.id, "called so", "", Time(now.0 + 1))?);
            Ok::<_, windlass_campaigns::app::AppError>(())
        });
        told.await.unwrap();
        open_the_night(&stage, id).await;
        stage.until_done(id).await;
        let touch = only_touch(&stage, id).await;
        assert_eq!((touch.status, touch.sends), (TouchStatus::Delivered, 1));
        assert_eq!(touch.provider_ref.as_deref(), Some("called so"));
    }
    stage.rest().await;
    assert!(stage.mails().is_empty() && stage.calls_and_texts().is_empty(), "nothing was repeated");
}
