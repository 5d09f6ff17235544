//! What is true right before a provider is asked decides, whatever was true when the message was made.

use std::{collections::BTreeMap, sync::Arc};

use windlass::Time;
use windlass_campaigns::{
    app::{App, Options},
    channel::{Channel, rules::ProviderKind},
    db::{DbError, Tx},
    figures,
    flow::{accounts, erasure, optout},
    model::{
        CampaignId, ContactId,
        campaign::{CampaignStatus, Condition, EnrolmentStatus, Step},
        sequence,
        touch::{EventKind, Reason, Touch, TouchStatus},
    },
    store::{
        campaigns, contacts,
        contacts::NewContact,
        enrolments, events,
        events::About,
        providers, senders,
        suppressions::{self, Addressed},
    },
    window::Delay,
};
use windlass_doubles::{Rules, smtp, twilio};

use crate::stage::{MORNING, PACE, Setting, Stage, fallback, in_status, new_york, person, step};

/// A campaign of one mail that was launched in the evening: every message waits for the morning.
async fn waiting(dir: &std::path::Path, count: u32) -> (Stage, CampaignId, Vec<ContactId>) {
    let starts = new_york("2026-11-18T21:00:00");
    let mut stage = Stage::standing(dir, starts, Setting::default()).await;
    let people = stage.contacts("b", count).await;
    let mail = stage.template(Channel::Email, "Hi {{first_name}}").await;
    let id = stage.draft("spring", &people, vec![step(Channel::Email, mail, Delay::Minutes(0))]).await;
    stage.work().await;
    stage.launch(id).await;
    stage.quiet().await;
    let touches = stage.touches(id).await;
    assert_eq!(in_status(&touches, TouchStatus::Deferred), count as usize, "{touches:#?}");
    (stage, id, people)
}

fn of(touches: &[Touch], contact: ContactId) -> &Touch {
    touches.iter().find(|touch| touch.contact == contact).unwrap()
}

impl Stage {
    async fn write(&self, change: impl Fn(&mut Tx<'_>) -> Result<(), DbError> + Send + Sync + 'static) {
        self.app.db().write(change).await.unwrap();
    }

    async fn enrolment(&self, id: CampaignId, contact: ContactId) -> enrolments::Enrolment {
        self.app.db().read(move |tx| enrolments::get(tx, id, contact)).await.unwrap().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_goes_to_where_the_contact_is_reached_now_and_to_no_address_that_must_not_be() {
    let dir = tempfile::tempdir().unwrap();
    let (mut stage, id, people) = waiting(dir.path(), 3).await;
    let now = stage.app.now();
    let [moved, into_a_wall, interrupted] = people[..] else { panic!() };
    for nth in 0..3 {
        let email = Some(format!("new{nth}@example.org"));
        let known = stage.people(vec![NewContact { email, ..person("b", nth, now) }]).await;
        assert_eq!(known[0], people[nth as usize], "known by the number");
    }
    for address in ["b0@example.org", "new1@example.org", "b2@example.org"] {
        optout::suppress_address(&stage.app, address, None, None, "asked", "Ann").await.unwrap();
    }
    // A worker died while it asked for this one.
    let sql = "UPDATE touches SET status = 'sending', sends = 1, sending_at = $2 WHERE contact_id = $1";
    stage.write(move |tx| tx.run(sql, &[interrupted.into(), now.into()]).map(drop)).await;

    stage.pass(new_york("2026-11-19T10:00:00")).await;
    stage.rest().await;
    let touches = stage.touches(id).await;
    assert_eq!(of(&touches, moved).status, TouchStatus::Sent);
    assert_eq!(of(&touches, moved).address, "new0@example.org");
    assert_eq!(of(&touches, into_a_wall).reason, Some(Reason::Suppressed));
    assert_eq!(
        of(&touches, interrupted).status,
        TouchStatus::Unknown,
        "repeated to where it went, or nowhere"
    );
    let to: Vec<_> = stage.mails().iter().map(|mail| mail.to.to_string()).collect();
    assert_eq!(to, ["new0@example.org"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_mail_is_given_up_because_its_worker_was_not_told_the_public_address() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    let people = stage.contacts("b", 1).await;
    let mail = stage.template(Channel::Email, "Hi. No more: {{unsubscribe_url}}").await;
    let id = stage.draft("spring", &people, vec![step(Channel::Email, mail, Delay::Minutes(0))]).await;
    stage.work().await;
    stage.launch(id).await;
    stage.quiet().await;
    assert_eq!(stage.touches(id).await[0].status, TouchStatus::Queued, "it is tried again");

    let public_url = Some("https://send.example.com/open/campaigns/".to_owned());
    let options = Options { public_url, ..Options::default() };
    let other = App::open(stage.app.db().clone(), stage.client().clone(), options).await.unwrap();
    assert_eq!(other.public_url(), Some("https://send.example.com/open/campaigns"));
    stage.pass(windlass::Time(MORNING.0 + 3_600_000)).await;
    stage.rest().await;
    assert_eq!((stage.touches(id).await[0].status, stage.mails().len()), (TouchStatus::Sent, 1));
    let untold = App::open(stage.app.db().clone(), stage.client().clone(), Options::default()).await.unwrap();
    assert_eq!(untold.public_url(), other.public_url());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_not_be_reached_any_more_in_the_morning_is_not_whatever_was_decided_in_the_evening() {
    let dir = tempfile::tempdir().unwrap();
    let (mut stage, id, people) = waiting(dir.path(), 6).await;
    let now = stage.app.now();
    let [revoked, suppressed, opted_out, replied, erased, well] = people[..] else { panic!() };
    stage.write(move |tx| contacts::revoke_consent(tx, revoked, Channel::Email, now)).await;
    // Somebody else's campaign has made the suppression: nothing here was told.
    let address = Addressed { hash: stage.app.hash_of("B1@Example.org"), text: None };
    stage
        .write(move |tx| {
            let channel = Some(Channel::Email);
            suppressions::add(tx, None, channel, &address, "complaint", "import", now).map(drop)
        })
        .await;
    let about = About { contact: Some(opted_out), ..About::default() };
    optout::by_contact(&stage.app, opted_out, Some(Channel::Email), about, "STOP", "Ann").await.unwrap();
    let about = About { campaign: Some(id), contact: Some(replied), touch: None };
    stage.write(move |tx| events::note(tx, about, EventKind::Replied, "mail", "", None, now).map(drop)).await;
    erasure::erase(&stage.app, erased, "Ann").await.unwrap();
    let touches = stage.touches(id).await;
    assert_eq!(of(&touches, opted_out).status, TouchStatus::Skipped, "at once");
    assert_eq!(of(&touches, erased).address, "");

    stage.pass(new_york("2026-11-19T10:00:00")).await;
    stage.rest().await;
    let touches = stage.touches(id).await;
    for (contact, reason) in [
        (revoked, Reason::NoConsent),
        (suppressed, Reason::Suppressed),
        (opted_out, Reason::Suppressed),
        (replied, Reason::Stopped),
        (erased, Reason::Suppressed),
    ] {
        let touch = of(&touches, contact);
        assert_eq!((touch.status, touch.reason), (TouchStatus::Skipped, Some(reason)), "{touch:#?}");
        assert_eq!((touch.sends, touch.sending_at), (0, None), "nobody was asked");
    }
    assert_eq!(of(&touches, well).status, TouchStatus::Sent);
    let mails = stage.mails();
    assert_eq!(mails.iter().map(|mail| &*mail.to).collect::<Vec<_>>(), ["b5@example.org"]);
    assert_eq!(stage.campaign(id).await.status, CampaignStatus::Done);
    assert_eq!(stage.enrolment(id, well).await.status, EnrolmentStatus::Done);
    assert_eq!(stage.enrolment(id, erased).await.status, EnrolmentStatus::Stopped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_contact_that_is_imported_again_is_not_reached() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    let people = stage.contacts("b", 1).await;
    erasure::erase(&stage.app, people[0], "Ann").await.unwrap();
    let again = stage.contacts("b", 1).await;
    assert_ne!(people, again, "nothing is left to know them by");
    let mail = stage.template(Channel::Email, "Hi").await;
    let text = stage.template(Channel::Sms, "Hi. STOP ends.").await;
    let call = stage.template(Channel::Voicemail, "Hello").await;
    let steps = [(Channel::Email, mail), (Channel::Sms, text), (Channel::Voicemail, call)];
    let steps = steps.map(|(channel, template)| step(channel, template, Delay::Minutes(0)));
    let id = stage.draft("spring", &again, steps.to_vec()).await;
    stage.work().await;
    stage.launch(id).await;
    stage.quiet().await;
    stage.rest().await;
    let touches = stage.touches(id).await;
    assert_eq!(touches.len(), 3);
    assert!(touches.iter().all(|touch| touch.reason == Some(Reason::Suppressed)), "{touches:#?}");
    assert!(stage.mails().is_empty() && stage.calls_and_texts().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_needs_a_consent_and_a_mail_or_text_only_that_it_was_not_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    let silent = NewContact { consents: Vec::new(), ..person("b", 0, MORNING) };
    let people = stage.people(vec![silent, person("bb", 1, MORNING)]).await;
    let text = stage.template(Channel::Sms, "Hi. STOP ends.").await;
    let call = stage.template(Channel::Voicemail, "Hello").await;
    let steps =
        vec![step(Channel::Voicemail, call, Delay::Minutes(0)), step(Channel::Sms, text, Delay::Minutes(0))];
    let id = stage.draft("spring", &people, steps).await;
    stage.work().await;
    stage.launch(id).await;
    stage.quiet().await;
    stage.rest().await;
    let touches = stage.touches(id).await;
    let call = touches
        .iter()
        .find(|touch| touch.contact == people[0] && touch.channel == Channel::Voicemail)
        .unwrap();
    assert_eq!((call.status, call.reason), (TouchStatus::Skipped, Some(Reason::NoConsent)));
    assert_eq!(in_status(&touches, TouchStatus::Sent), 3, "{touches:#?}");
    assert_eq!(stage.calls_and_texts().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_whose_condition_does_not_hold_is_skipped_and_the_next_one_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    let people = stage.contacts("b", 2).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let later = |condition, hours| Step { condition, ..step(Channel::Email, mail, Delay::Hours(hours)) };
    let steps = vec![
        later(Condition::Always, 0),
        later(Condition::Clicked, 1),
        later(Condition::NotClicked, 1),
        later(Condition::NotDelivered, 1),
    ];
    let id = stage.draft("spring", &people, steps).await;
    stage.work().await;
    stage.launch(id).await;
    stage.quiet().await;
    let (now, about) = (stage.app.now(), About { campaign: Some(id), contact: Some(people[0]), touch: None });
    stage.write(move |tx| events::note(tx, about, EventKind::Clicked, "mail", "", None, now).map(drop)).await;
    stage.pass(Time(MORNING.0 + 4 * 3_600_000)).await;
    stage.rest().await;
    let touches = stage.touches(id).await;
    let taken = |contact| {
        let mut taken: Vec<_> = touches.iter().filter(|touch| touch.contact == contact).collect();
        taken.sort_by_key(|touch| touch.step);
        taken.iter().map(|touch| touch.status == TouchStatus::Sent).collect::<Vec<_>>()
    };
    assert_eq!(taken(people[0]), [true, true, false, true], "{touches:#?}");
    assert_eq!(taken(people[1]), [true, false, true, true], "{touches:#?}");
    let skipped = touches.iter().filter(|touch| touch.status == TouchStatus::Skipped);
    assert!(skipped.clone().all(|touch| touch.reason == Some(Reason::ConditionNotMet)));
    assert_eq!(stage.campaign(id).await.status, CampaignStatus::Done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bounce_that_becomes_known_later_ends_the_sequence_where_the_campaign_wants_that() {
    for stops in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let rules = Rules::parse(1, &["+12122001000=30008"]).unwrap();
        let phone = twilio::Options { rules, pace: PACE, ..twilio::Options::default() };
        let mut stage = Stage::standing(dir.path(), MORNING, Setting { phone, ..Setting::default() }).await;
        let people = stage.contacts("b", 2).await;
        let mail = stage.template(Channel::Email, "Hi").await;
        let text = stage.template(Channel::Sms, "Hi. STOP ends.").await;
        let steps =
            vec![step(Channel::Sms, text, Delay::Minutes(0)), step(Channel::Email, mail, Delay::Hours(6))];
        let id = stage.draft("spring", &people, steps).await;
        stage.edit(id, move |campaign| campaign.stop_rules.bounce = stops).await;
        stage.work().await;
        stage.launch(id).await;
        stage.pass(new_york("2026-11-19T09:00:00")).await;
        stage.rest().await;
        let touches = stage.touches(id).await;
        assert_eq!(in_status(&touches, TouchStatus::Bounced), 1, "{touches:#?}");
        assert_eq!(in_status(&touches, TouchStatus::Delivered), 1, "{touches:#?}");
        let mails = stage.mails();
        let expected = if stops { vec!["b1@example.org"] } else { vec!["b0@example.org", "b1@example.org"] };
        let mut reached: Vec<_> = mails.iter().map(|mail| &*mail.to).collect();
        reached.sort_unstable();
        assert_eq!(reached, expected);
        let bounced = stage.enrolment(id, people[0]).await.status;
        assert_eq!(bounced, if stops { EnrolmentStatus::Stopped } else { EnrolmentStatus::Done });
        assert_eq!(stage.campaign(id).await.status, CampaignStatus::Done);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_is_refused_at_once_is_a_bounce_unless_another_channel_takes_its_place() {
    for stops in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let rules = Rules::parse(1, &["b*@example.org=550"]).unwrap();
        let mail = smtp::Options { rules, ..smtp::Options::default() };
        let mut stage = Stage::standing(dir.path(), MORNING, Setting { mail, ..Setting::default() }).await;
        let mail = stage.template(Channel::Email, "Hi").await;
        let text = stage.template(Channel::Sms, "Hi. STOP ends.").await;
        let mails = |hours| step(Channel::Email, mail, Delay::Hours(hours));
        let alone = vec![mails(0), mails(1)];
        let with_another = vec![fallback(mails(0), Channel::Sms, text), mails(1)];
        let mut launched = Vec::new();
        for (prefix, steps) in [("b", alone), ("bb", with_another)] {
            // The second has no number to fall back to, and the third is well.
            let no_phone = NewContact { phone: None, ..person(prefix, 1, MORNING) };
            let well = NewContact {
                email: Some(format!("{prefix}.well@example.com")),
                ..person(prefix, 2, MORNING)
            };
            let people = stage.people(vec![person(prefix, 0, MORNING), no_phone, well]).await;
            let id = stage.draft(prefix, &people, steps).await;
            stage.edit(id, move |campaign| campaign.stop_rules.bounce = stops).await;
            launched.push((id, people));
        }
        stage.work().await;
        for (id, _) in &launched {
            stage.launch(*id).await;
        }
        stage.pass(Time(MORNING.0 + 2 * 3_600_000)).await;
        stage.rest().await;
        let (sender, mut bounces) = (stage.senders[&Channel::Email], 0);
        let mut went_on: Vec<Vec<bool>> = Vec::new();
        for (id, people) in launched {
            let touches = stage.touches(id).await;
            let second = |person: &ContactId| touches.iter().any(|t| t.contact == *person && t.step == 2);
            went_on.push(people.iter().map(second).collect());
            let refused = stage.enrolment(id, people[1]).await;
            assert_eq!(refused.status == EnrolmentStatus::Stopped, stops, "{refused:?}");
            // It is one thing wherever it is told.
            let bounced: Vec<&Touch> =
                touches.iter().filter(|touch| touch.status == TouchStatus::Bounced).collect();
            assert!(
                bounced.iter().all(|touch| touch.bounced_at_once() && touch.reason == Some(Reason::Refused))
            );
            assert_eq!(bounced.iter().filter(|touch| touch.step == 1).count(), 2, "{touches:#?}");
            assert_eq!(in_status(&touches, TouchStatus::Failed), 0);
            bounces += bounced.len();
            let figures = figures::of(&stage.app, id).await.unwrap();
            let mails = figures
                .funnel
                .iter()
                .find(|row| (row.step, row.channel) == (Some(1), Channel::Email))
                .unwrap();
            assert!(mails.counts.contains(&(TouchStatus::Bounced, 2)), "{mails:?}");
            assert_eq!(mails.sent, 3, "all of them went out");
            let first = bounced[0].id;
            let events = stage.app.db().read(move |tx| events::of_touch(tx, first)).await.unwrap();
            let last = events.last().unwrap();
            assert!(last.kind == EventKind::Bounced && last.detail.starts_with("smtp/550"), "{events:?}");
            assert_eq!(stage.campaign(id).await.status, CampaignStatus::Done);
        }
        let expected: [Vec<bool>; 2] = [vec![!stops, !stops, true], vec![true, !stops, true]];
        assert_eq!(went_on, expected);
        let told = move |tx: &mut Tx<'_>| {
            let late = senders::bounces_of_late(tx, sender, 200)?;
            let day = senders::health(tx, sender, MORNING, Time(MORNING.0 + 86_400_000))?;
            Ok::<_, DbError>([late, day].map(|health| (health.sent, health.bounced)))
        };
        let told = stage.app.db().read(told).await.unwrap();
        let went_out = (bounces + stage.mails().len()) as u64;
        assert_eq!(told, [(went_out, bounces as u64); 2], "the brake and the warm-up");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_its_provider_refuses_has_failed_and_ends_no_sequence() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::parse(1, &["+12122001000=21211"]).unwrap();
    let phone = twilio::Options { rules, pace: PACE, ..twilio::Options::default() };
    let mut stage = Stage::standing(dir.path(), MORNING, Setting { phone, ..Setting::default() }).await;
    let people = stage.contacts("b", 1).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let text = stage.template(Channel::Sms, "Hi. STOP ends.").await;
    let steps =
        vec![step(Channel::Sms, text, Delay::Minutes(0)), step(Channel::Email, mail, Delay::Hours(1))];
    let id = stage.draft("spring", &people, steps).await;
    stage.work().await;
    stage.launch(id).await;
    stage.pass(Time(MORNING.0 + 2 * 3_600_000)).await;
    stage.rest().await;
    let touches = stage.touches(id).await;
    let text = touches.iter().find(|touch| touch.channel == Channel::Sms).unwrap();
    assert_eq!((text.status, text.reason), (TouchStatus::Failed, Some(Reason::Refused)));
    assert!(text.detail.starts_with("twilio/21211"), "{}", text.detail);
    assert_eq!(in_status(&touches, TouchStatus::Bounced), 0);
    assert_eq!(stage.mails().len(), 1, "the next step is another way");
    assert_eq!(stage.enrolment(id, people[0]).await.status, EnrolmentStatus::Done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_without_an_address_falls_back_and_without_any_the_sequence_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    let no_mailbox = NewContact { email: None, ..person("b", 0, MORNING) };
    let no_phone = NewContact { phone: None, ..person("bb", 1, MORNING) };
    let people = stage.people(vec![no_mailbox, no_phone]).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let text = stage.template(Channel::Sms, "Hi. STOP ends.").await;
    let steps = vec![
        fallback(step(Channel::Email, mail, Delay::Minutes(0)), Channel::Sms, text),
        step(Channel::Sms, text, Delay::Minutes(5)),
    ];
    let id = stage.draft("spring", &people, steps).await;
    stage.work().await;
    stage.launch(id).await;
    stage.pass(Time(MORNING.0 + 3_600_000)).await;
    stage.rest().await;
    let touches = stage.touches(id).await;
    let came_to = |contact| {
        let mut all: Vec<_> = touches.iter().filter(|touch| touch.contact == contact).collect();
        all.sort_by_key(|touch| touch.id);
        all.iter().map(|touch| (touch.step, touch.channel, touch.status.was_sent())).collect::<Vec<_>>()
    };
    use Channel::{Email, Sms};
    assert_eq!(came_to(people[0]), [(1, Email, false), (1, Sms, true), (2, Sms, true)]);
    assert_eq!(came_to(people[1]), [(1, Email, true), (2, Sms, false)]);
    assert_eq!((stage.mails().len(), stage.calls_and_texts().len()), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_with_a_variable_that_has_no_value_is_skipped_and_says_which() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    let fields = BTreeMap::from([("city".to_owned(), "Springfield".to_owned())]);
    let known = NewContact { fields, ..person("b", 0, MORNING) };
    let people = stage.people(vec![known, person("bb", 1, MORNING)]).await;
    let mail = stage.template(Channel::Email, "Hi {{first_name}} of {{city}}").await;
    let id = stage.draft("spring", &people, vec![step(Channel::Email, mail, Delay::Minutes(0))]).await;
    stage.work().await;
    stage.launch(id).await;
    stage.quiet().await;
    stage.rest().await;
    let touches = stage.touches(id).await;
    assert_eq!(of(&touches, people[0]).status, TouchStatus::Sent);
    let skipped = of(&touches, people[1]);
    assert_eq!(skipped.reason, Some(Reason::MissingVariable));
    assert!(skipped.detail.contains("city"), "{}", skipped.detail);
    assert_eq!(stage.mails().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_goes_by_the_version_that_the_campaign_had_at_its_launch() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    let people = stage.contacts("b", 2).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let text = stage.template(Channel::Sms, "Hi. STOP ends.").await;
    let old = vec![step(Channel::Email, mail, Delay::Hours(1)), step(Channel::Email, mail, Delay::Hours(1))];
    let id = stage.draft("spring", &people, old.clone()).await;
    stage.launch(id).await;
    // The edit comes before the campaign is paged.
    let now = stage.app.now();
    let new = vec![step(Channel::Sms, text, Delay::Minutes(0))];
    stage
        .write(move |tx| {
            campaigns::write_steps(tx, id, 1, &new, now)?;
            campaigns::write_steps(tx, id, 2, &new, now)?;
            let mut campaign = campaigns::get(tx, id)?.unwrap();
            campaign.version = 2;
            assert!(campaigns::edit(tx, &campaign)?);
            Ok(())
        })
        .await;
    let stored = stage.app.db().read(move |tx| campaigns::steps(tx, id, 1)).await.unwrap();
    assert_eq!(stored, sequence::first(&old), "a version that was launched stays as it was");
    stage.work().await;
    stage.quiet().await;
    assert!(stage.mails().is_empty(), "the first step is due in an hour");
    stage.pass(Time(MORNING.0 + 3 * 3_600_000)).await;
    stage.rest().await;
    let touches = stage.touches(id).await;
    assert!(touches.iter().all(|touch| touch.version == 1 && touch.channel == Channel::Email));
    assert_eq!((stage.mails().len(), stage.calls_and_texts().len()), (4, 0));
    for mail in stage.mails() {
        assert!(stage.app_time(mail.at_ms).0 >= MORNING.0 + 3_600_000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_domain_that_slows_us_down_is_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::parse(5, &["*,40%=421"]).unwrap();
    let setting = Setting {
        mail: smtp::Options { rules, ..smtp::Options::default() },
        speed: 2_000,
        ..Setting::default()
    };
    let mut stage = Stage::set(dir.path(), setting).await;
    let people = stage.contacts("b", 20).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let id = stage.draft("spring", &people, vec![step(Channel::Email, mail, Delay::Minutes(0))]).await;
    stage.carry_out(id).await;
    assert_eq!(stage.mails().len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_breaker_that_has_recovered_opens_again_when_the_provider_fails_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    // Nobody listens there: the port was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (dead, well) = (format!("smtp://{free}"), stage.mail.url());
    let goes_to = async |stage: &Stage, url: &str| {
        let mut provider = accounts::new_provider("mail", ProviderKind::Smtp, url);
        provider.id = windlass_campaigns::model::ProviderId(1);
        accounts::set_provider(&stage.app, provider, "test").await.unwrap().id
    };
    stage.work().await;
    for round in 1..=2_u32 {
        let provider = goes_to(&stage, &dead).await;
        let people = stage.contacts(&"b".repeat(round as usize), 20).await;
        let name = format!("round {round}");
        let id = stage.draft(&name, &people, vec![step(Channel::Email, mail, Delay::Minutes(0))]).await;
        stage.launch(id).await;
        let begun = std::time::Instant::now();
        while stage.app.db().read(move |tx| providers::breaker(tx, provider)).await.unwrap().state() != "open"
        {
            assert!(begun.elapsed().as_secs() < 20, "the breaker does not open in round {round}");
            tokio::task::yield_now().await;
        }
        goes_to(&stage, &well).await;
        // What waits behind the breaker is held by the queue, so this is no moment at which all is quiet.
        let sent = 20 * round as usize;
        for _ in 0..200 {
            if stage.mails().len() == sent {
                break;
            }
            stage.step_on(std::time::Duration::from_secs(30)).await;
        }
        assert_eq!(stage.mails().len(), sent, "round {round}");
        stage.until_done(id).await;
    }
    stage.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_queue_was_not_told_of_a_campaign_before_a_kill_it_is_told_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    let people = stage.contacts("b", 3).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let one = vec![step(Channel::Email, mail, Delay::Minutes(0))];
    let (paused, resumed, cancelled) = (
        stage.draft("paused", &people, one.clone()).await,
        stage.draft("resumed", &people, one.clone()).await,
        stage.draft("cancelled", &people, one).await,
    );
    use CampaignStatus::{Cancelled, Paused, Running};
    for id in [paused, resumed, cancelled] {
        stage.launch(id).await;
    }
    let app = Arc::new(stage.app.clone());
    for id in [resumed, cancelled] {
        windlass_campaigns::flow::verbs::pause(&app, id, "Ann").await.unwrap();
    }
    // Each change is committed, and whoever made it was killed before the queue heard of it.
    for (id, from, to) in
        [(paused, Running, Paused), (resumed, Paused, Running), (cancelled, Paused, Cancelled)]
    {
        stage
            .write(move |tx| {
                assert!(campaigns::change(tx, id, from, to, MORNING)?);
                Ok(())
            })
            .await;
    }
    let db = stage.app.db().clone();
    stage.app = App::open(db, stage.client().clone(), Options::default()).await.unwrap();
    stage.work().await;
    stage.until_done(resumed).await;
    assert_eq!(stage.mails().len(), 3);
    assert!(stage.touches(paused).await.is_empty(), "nothing of it was taken up");
    windlass_campaigns::flow::verbs::resume(&stage.app, paused, "Ann").await.unwrap();
    stage.until_done(paused).await;
    stage.quiet().await;
    stage.rest().await;
    assert_eq!(stage.mails().len(), 6);
    let queue = windlass::core::QueueName::new("campaign").unwrap();
    let groups = stage.client().store().groups(queue, None, 100).await.unwrap();
    assert!(groups.items.iter().all(|group| !group.own_settings), "{groups:#?}");
}
