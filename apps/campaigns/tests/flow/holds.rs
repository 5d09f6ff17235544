//! Pauses: of a contact, of campaigns and senders until a moment; a question that a person has to answer first; and the end of
//! one contact's sequence.

use std::{
    sync::{
        Mutex,
        mpsc::{Sender as Told, channel},
    },
    time::{Duration, Instant},
};

use windlass::Time;
use windlass_campaigns::{
    app::{App, AppError, Options},
    channel::{Channel, rules::ProviderKind},
    db::{DbError, Tx},
    flow::{
        accounts,
        decide::{Decision, decide},
        inbound::{self, Text},
        inbound_mail, optout, pauses, verbs,
    },
    hooks::{
        CallbackEvent, What,
        inbound_mail::{InboundMail, Kind},
    },
    model::{
        CampaignId, ContactId, ProviderId, ReviewId, SenderId,
        campaign::{CampaignStatus, EnrolmentStatus},
        pause::Pause,
        touch::{Reason, Touch, TouchStatus},
    },
    store::{
        audit, campaigns, pauses as rows, providers,
        reviews::{self, ReviewKind},
        senders, touches,
    },
    window::Delay,
};

use crate::{
    server::Server,
    stage::{MORNING, Setting, Stage, in_status, new_york, step},
};

/// The account of texts, which the stage makes as its second.
const PHONE: ProviderId = ProviderId(2);
/// What has not come by then never will.
const DEADLINE_S: u64 = 30;
const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;

type Why = (TouchStatus, Option<Reason>, Option<Time>);

impl Stage {
    /// What the last message of a campaign to a contact waits for.
    async fn why(&self, id: CampaignId, contact: ContactId) -> Why {
        let of = |touch: &&Touch| touch.contact == contact;
        let last = self.touches(id).await.iter().filter(of).max_by_key(|touch| touch.id).cloned().unwrap();
        (last.status, last.reason, last.until)
    }

    /// When the mails to that mailbox were taken, by the application's clock.
    fn mailed(&self, to: &str) -> Vec<Time> {
        self.mails().iter().filter(|mail| mail.to == to).map(|mail| self.app_time(mail.at_ms)).collect()
    }

    /// A contact answers a text in those words.
    async fn writes(&self, touch: &Touch, body: &str) {
        let provider = self.app.db().read(|tx| providers::get(tx, PHONE)).await.unwrap().unwrap();
        let (from, to) = (touch.address.clone(), "+12125550100".to_owned());
        let text = Text { from: from.clone(), to: to.clone(), body: body.to_owned(), read_as: None };
        let id = format!("SM{}{}", touch.id, body.len());
        let event = CallbackEvent {
            provider: ProviderKind::Twilio,
            event_id: id.clone(),
            provider_id: id,
            touch: None,
            campaign: None,
            recipient: None,
            at: None,
            what: What::Inbound { from, to, body: body.to_owned(), opt_out: None },
        };
        inbound::text(&self.app, &provider, &event, text).await.unwrap();
    }

    async fn open_reviews(&self) -> Vec<ReviewId> {
        let open = self.app.db().read(|tx| reviews::undecided(tx, ReviewId(0), 100)).await.unwrap();
        open.into_iter().map(|review| review.id).collect()
    }

    async fn changes(&self) -> Vec<(String, String, String)> {
        let all = self.app.db().read(|tx| audit::page(tx, i64::MAX, 100)).await.unwrap();
        all.into_iter().map(|one| (one.who, one.what, one.detail)).collect()
    }

    /// The application as the next process has it that begins on the same database and queue.
    async fn begin_again(&mut self) {
        self.rest().await;
        let (db, client) = (self.app.db().clone(), self.client().clone());
        self.app = App::open(db, client, Options::default()).await.unwrap();
    }
}

/// Every statement about pauses, for both databases to answer.
pub(crate) fn ask_of_pauses(
    tx: &mut Tx<'_>,
    id: CampaignId,
    (one, other): (ContactId, ContactId),
    sender: SenderId,
) -> Result<Vec<String>, DbError> {
    let mut said = Vec::new();
    macro_rules! say {
        ($what:expr) => {
            said.push(format!("{} = {:?}", stringify!($what), $what?))
        };
    }
    let until = MORNING.plus_ms(HOUR_MS);
    let pause = |campaign, until| Pause { campaign, until, why: "".into(), who: "Ann".into(), at: MORNING };
    say!(rows::hold(tx, one, id, MORNING));
    say!(rows::set(tx, one, &pause(Some(id), Some(until))));
    say!(rows::hold(tx, one, id, MORNING));
    say!(rows::hold(tx, one, id, until));
    say!(rows::hold(tx, one, CampaignId(id.0 + 1), MORNING));
    say!(rows::set(tx, one, &pause(None, None)));
    say!(rows::set(tx, one, &pause(None, Some(until.plus_ms(1)))));
    say!(rows::hold(tx, one, id, MORNING));
    say!(rows::of_contact(tx, one, MORNING));
    say!(rows::of_contact(tx, one, until));
    say!(rows::campaigns_waiting(tx, one));
    say!(touches::hold_contact(tx, one, Some(id), Reason::ContactPaused, "holiday", Some(until)));
    say!(touches::hold_contact(tx, one, None, Reason::ReviewOpen, "review 1", None));
    say!(touches::jobs_of_held(tx, one));
    say!(touches::waits(tx, id));
    say!(rows::remove(tx, one, Some(id), until));
    say!(rows::remove(tx, one, None, MORNING));
    say!(rows::remove(tx, one, None, MORNING));
    say!(rows::review_of(tx, other));
    let about = (None, Some(other), Channel::Sms);
    say!(reviews::open(tx, ReviewKind::PossibleOptOut, about, "no thanks", "pauses", MORNING));
    say!(reviews::waiting(tx));
    say!(rows::review_of(tx, other));
    say!(rows::hold(tx, other, id, MORNING));
    say!(reviews::settle(tx, "pauses", "no_opt_out", "Ann", MORNING));
    say!(campaigns::change(tx, id, CampaignStatus::Running, CampaignStatus::Paused, MORNING));
    say!(campaigns::pause_until(tx, id, Some(until)));
    say!(campaigns::pauses_over(tx, MORNING));
    say!(campaigns::pauses_over(tx, until));
    say!(campaigns::change(tx, id, CampaignStatus::Paused, CampaignStatus::Running, until));
    say!(campaigns::get(tx, id));
    say!(senders::pause_until(tx, sender, "holidays", until));
    say!(senders::pauses_over(tx, until));
    say!(senders::end_pause(tx, sender, MORNING));
    say!(senders::end_pause(tx, sender, until));
    say!(senders::get(tx, sender));
    Ok(said)
}

fn is_conflict(done: Result<impl std::fmt::Debug, AppError>) -> bool {
    matches!(done, Err(AppError::Conflict(_)))
}

fn is_invalid(done: Result<impl std::fmt::Debug, AppError>, field: &str) -> bool {
    matches!(done, Err(AppError::Invalid { field: at, .. }) if at == field)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_who_is_paused_until_a_moment_gets_nothing_before_it_and_goes_on_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    let people = stage.contacts("b", 2).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let steps =
        vec![step(Channel::Email, mail, Delay::Minutes(0)), step(Channel::Email, mail, Delay::Hours(1))];
    let id = stage.draft("spring", &people, steps).await;
    let other = stage.draft("other", &people, vec![step(Channel::Email, mail, Delay::Minutes(0))]).await;
    let until = MORNING.plus_ms(5 * HOUR_MS + 7);
    // Before the launch, and in one campaign alone.
    pauses::pause(&stage.app, people[0], Some(id), Some(until), "on holiday", "Ann").await.unwrap();
    stage.work().await;
    stage.launch(id).await;
    stage.launch(other).await;
    stage.quiet().await;
    let waits = (TouchStatus::Deferred, Some(Reason::ContactPaused), Some(until));
    assert_eq!(stage.why(id, people[0]).await, waits);
    assert_eq!(stage.mailed("b0@example.org").len(), 1, "the other campaign's");
    assert_eq!(stage.mailed("b1@example.org").len(), 2);

    // Nobody lives when its moment comes; the next process goes on with it.
    stage.pass(Time(until.0 - 1)).await;
    assert_eq!(stage.mailed("b0@example.org").len(), 1);
    stage.begin_again().await;
    stage.work().await;
    stage.pass(until).await;
    assert_eq!(stage.mailed("b0@example.org")[1..], [until], "at its moment, and not a moment later");
    stage.pass(until.plus_ms(2 * HOUR_MS)).await;
    stage.until_done(id).await;
    stage.rest().await;
    assert_eq!(stage.mailed("b0@example.org")[2..], [until.plus_ms(HOUR_MS)], "counted from the one before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_holds_what_waits_already_and_whoever_ends_it_lets_it_go_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let evening = new_york("2026-11-18T21:00:00");
    let mut stage = Stage::standing(dir.path(), evening, Setting::default()).await;
    let people = stage.contacts("b", 3).await;
    let [paused, soon, well] = people[..] else { panic!() };
    let mail = stage.template(Channel::Email, "Hi").await;
    let one = vec![step(Channel::Email, mail, Delay::Minutes(0))];
    let id = stage.draft("spring", &people, one.clone()).await;
    stage.work().await;
    stage.launch(id).await;
    stage.quiet().await;
    assert_eq!(stage.why(id, paused).await.1, Some(Reason::WindowClosed));
    pauses::pause(&stage.app, paused, None, None, "", "Ann").await.unwrap();
    assert_eq!(stage.why(id, paused).await, (TouchStatus::Deferred, Some(Reason::ContactPaused), None));
    // A pause that is over before the window opens changes nothing of what is sent.
    let over = evening.plus_ms(HOUR_MS);
    pauses::pause(&stage.app, soon, None, Some(over), "", "Ann").await.unwrap();
    stage.pass(over).await;
    let opens = Some(new_york("2026-11-19T09:00:00"));
    assert_eq!(stage.why(id, soon).await, (TouchStatus::Deferred, Some(Reason::WindowClosed), opens));

    // The pause of everything holds in campaigns that come later, too, and on the days after.
    let later = stage.draft("later", &[paused, well], one).await;
    stage.launch(later).await;
    stage.pass(new_york("2026-11-21T10:00:00")).await;
    assert_eq!((stage.mailed("b0@example.org").len(), stage.mailed("b2@example.org").len()), (0, 2));
    assert_eq!(stage.mailed("b1@example.org").len(), 1);

    // Two pauses: one is ended, and the other one holds.
    let until = new_york("2026-11-21T12:00:00");
    pauses::pause(&stage.app, paused, Some(later), Some(until), "", "Ann").await.unwrap();
    assert_eq!(stage.why(later, paused).await.2, None, "the one that lasts longer is what is told");
    pauses::resume(&stage.app, paused, None, "Ann").await.unwrap();
    stage.quiet().await;
    assert_eq!(stage.mailed("b0@example.org"), [new_york("2026-11-21T10:00:00")], "of the first campaign");
    assert_eq!(stage.why(later, paused).await.2, Some(until));
    // What is made shorter goes on earlier.
    let earlier = Time(until.0 - HOUR_MS);
    pauses::pause(&stage.app, paused, Some(later), Some(earlier), "", "Ann").await.unwrap();
    stage.pass(earlier).await;
    assert_eq!(stage.mailed("b0@example.org")[1..], [earlier]);
    stage.rest().await;
    assert!(is_conflict(pauses::resume(&stage.app, paused, None, "Ann").await), "they are not");
    assert!(is_conflict(pauses::resume(&stage.app, paused, Some(later), "Ann").await), "it is over");
    let changes = stage.changes().await;
    let said = |what: &str, detail: String| changes.contains(&("Ann".into(), what.into(), detail));
    assert!(said("pause contact", "in everything".into()), "{changes:#?}");
    assert!(said("pause contact", format!("in campaign {later}, until {until}")), "{changes:#?}");
    assert!(said("resume contact", "in everything".into()), "{changes:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_that_makes_no_sense_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    let contact = stage.contacts("b", 1).await[0];
    let mail = stage.template(Channel::Email, "Hi").await;
    let id = stage.draft("spring", &[contact], vec![step(Channel::Email, mail, Delay::Minutes(0))]).await;
    let (app, sender) = (&stage.app, stage.senders[&Channel::Email]);
    let centuries = MORNING.plus_ms(200 * 366 * 24 * HOUR_MS);
    for wrong in [MORNING, Time(0), centuries] {
        assert!(is_invalid(pauses::pause(app, contact, None, Some(wrong), "", "Ann").await, "until"));
        assert!(is_invalid(verbs::pause_until(app, id, Some(wrong), "Ann").await, "until"));
        assert!(is_invalid(accounts::pause_sender_until(app, sender, wrong, "", "Ann").await, "until"));
    }
    let long = "x".repeat(501);
    assert!(is_invalid(pauses::pause(app, contact, None, None, &long, "Ann").await, "reason"));
    let nobody = pauses::pause(app, ContactId(99), None, None, "", "Ann").await;
    assert!(matches!(nobody, Err(AppError::Unknown { what: "contact", .. })), "{nobody:?}");
    let nothing = pauses::pause(app, contact, Some(CampaignId(99)), None, "", "Ann").await;
    assert!(matches!(nothing, Err(AppError::Unknown { what: "campaign", .. })), "{nothing:?}");
    assert!(is_conflict(pauses::stop(app, id, contact, "", "Ann").await), "it is a draft: nobody is in it");
    verbs::cancel(app, id, "Ann").await.unwrap();
    assert!(is_conflict(pauses::pause(app, contact, Some(id), None, "", "Ann").await), "it is over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_and_a_sender_that_are_paused_until_a_moment_go_on_then_in_whatever_process_lives() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    let people = stage.contacts("b", 2).await;
    let (mail, text) =
        (stage.template(Channel::Email, "Hi").await, stage.template(Channel::Sms, "Hi. STOP ends.").await);
    let id = stage.draft("mails", &people, vec![step(Channel::Email, mail, Delay::Minutes(0))]).await;
    let texts = stage.draft("texts", &people, vec![step(Channel::Sms, text, Delay::Minutes(0))]).await;
    let sender = stage.senders[&Channel::Sms];
    let until = MORNING.plus_ms(2 * HOUR_MS);
    stage.work().await;
    stage.launch(id).await;
    verbs::pause_until(&stage.app, id, Some(Time(until.0 - HOUR_MS)), "Ann").await.unwrap();
    // Somebody makes it longer: the first moment is no end any more.
    let paused = verbs::pause_until(&stage.app, id, Some(until), "Ann").await.unwrap();
    assert_eq!((paused.status, paused.paused_until), (CampaignStatus::Paused, Some(until)));
    assert!(is_conflict(verbs::pause_until(&stage.app, id, Some(until), "Ann").await), "it is that");
    accounts::pause_sender_until(&stage.app, sender, until, "holidays", "Ann").await.unwrap();
    stage.launch(texts).await;
    stage.step_on(Duration::from_millis(HOUR_MS + MINUTE_MS)).await;
    stage.begin_again().await;
    stage.work().await;
    stage.step_on(Duration::from_millis(HOUR_MS - MINUTE_MS - 1)).await;
    // Its time has not come, whoever looks: the steps of the texts show that somebody does.
    let held = |_: &_, touches: &[Touch]| in_status(touches, TouchStatus::Deferred) == 2;
    stage.until(texts, "texts that wait", held).await;
    assert_eq!((stage.mails().len(), stage.calls_and_texts().len()), (0, 0));
    assert_eq!(stage.campaign(id).await.status, CampaignStatus::Paused);

    stage.step_on(Duration::from_millis(1)).await;
    stage.until_done(id).await;
    stage.until_done(texts).await;
    stage.quiet().await;
    stage.rest().await;
    assert_eq!(stage.mailed("b0@example.org"), [until]);
    let texted: Vec<Time> = stage.calls_and_texts().iter().map(|one| stage.app_time(one.at_ms)).collect();
    assert_eq!(texted, [until; 2]);
    let gone_on = stage.app.db().read(move |tx| senders::get(tx, sender)).await.unwrap().unwrap();
    assert_eq!((gone_on.paused, gone_on.paused_until), (false, None));
    assert_eq!(stage.campaign(id).await.paused_until, None);
    let changes = stage.changes().await;
    for what in ["resume campaign", "resume sender"] {
        let by_itself = ("windlass".into(), what.into(), "its pause is over".into());
        assert_eq!(changes.iter().filter(|one| **one == by_itself).count(), 1, "{changes:#?}");
    }
    let told = ("Ann".into(), "pause sender".into(), format!("until {until}: holidays"));
    assert!(changes.contains(&told), "{changes:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_killed_between_the_end_of_a_pause_and_its_word_to_the_queue_says_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    let people = stage.contacts("b", 2).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let id = stage.draft("mails", &people, vec![step(Channel::Email, mail, Delay::Minutes(0))]).await;
    let sender = stage.senders[&Channel::Email];
    let until = MORNING.plus_ms(HOUR_MS);
    stage.launch(id).await;
    verbs::pause_until(&stage.app, id, Some(until), "Ann").await.unwrap();
    accounts::pause_sender_until(&stage.app, sender, until, "", "Ann").await.unwrap();
    // What the job does first is on the disk; who did it did no more.
    let done = move |tx: &mut Tx<'_>| {
        assert!(campaigns::change(tx, id, CampaignStatus::Paused, CampaignStatus::Running, until)?);
        assert!(senders::end_pause(tx, sender, until)?);
        Ok::<_, DbError>(())
    };
    stage.app.db().write(done).await.unwrap();
    stage.work().await;
    stage.step_on(Duration::from_millis(HOUR_MS)).await;
    stage.until_done(id).await;
    stage.rest().await;
    assert_eq!(stage.mails().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_whose_mails_come_back_while_it_is_paused_does_not_go_on_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    let (sender, until) = (stage.senders[&Channel::Email], MORNING.plus_ms(HOUR_MS));
    accounts::pause_sender_until(&stage.app, sender, until, "holidays", "Ann").await.unwrap();
    let brake = move |tx: &mut Tx<'_>| senders::brake(tx, sender, "too many came back");
    assert!(stage.app.db().write(brake).await.unwrap(), "it has something new to say");
    assert!(!stage.app.db().write(brake).await.unwrap(), "once");
    let end = move |tx: &mut Tx<'_>| senders::end_pause(tx, sender, until);
    assert!(!stage.app.db().write(end).await.unwrap(), "a person has to look");
    let paused = stage.app.db().read(move |tx| senders::get(tx, sender)).await.unwrap().unwrap();
    assert_eq!((paused.paused, paused.paused_until), (true, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_ends_one_contacts_sequence_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    let people = stage.contacts("b", 2).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let steps =
        vec![step(Channel::Email, mail, Delay::Minutes(0)), step(Channel::Email, mail, Delay::Hours(1))];
    let id = stage.draft("spring", &people, steps.clone()).await;
    let other = stage.draft("other", &people, steps).await;
    stage.work().await;
    stage.launch(id).await;
    stage.launch(other).await;
    stage.quiet().await;
    let sender = stage.senders[&Channel::Email];
    accounts::pause_sender(&stage.app, sender, true, "", "Ann").await.unwrap();
    stage.step_on(Duration::from_millis(HOUR_MS)).await;
    let waits = |_: &_, touches: &[Touch]| in_status(touches, TouchStatus::Deferred) == 2;
    stage.until(id, "second mails that wait", waits).await;
    pauses::stop(&stage.app, id, people[0], "asked by phone", "Ann").await.unwrap();
    assert!(is_conflict(pauses::stop(&stage.app, id, people[0], "", "Ann").await), "it has ended");
    let skipped = (TouchStatus::Skipped, Some(Reason::StoppedByPerson), None);
    assert_eq!(stage.why(id, people[0]).await, skipped, "at once");
    accounts::pause_sender(&stage.app, sender, false, "", "Ann").await.unwrap();
    stage.until_done(id).await;
    stage.until_done(other).await;
    assert_eq!((stage.mailed("b0@example.org").len(), stage.mailed("b1@example.org").len()), (3, 4));
    assert!(
        is_conflict(pauses::stop(&stage.app, other, people[0], "", "Ann").await),
        "it has ended by itself"
    );

    // The last one who is stopped ends the campaign.
    let last = stage.draft("last", &people[..1], vec![step(Channel::Email, mail, Delay::Hours(1))]).await;
    stage.launch(last).await;
    stage.quiet().await;
    pauses::stop(&stage.app, last, people[0], "", "Ann").await.unwrap();
    assert_eq!(stage.campaign(last).await.status, CampaignStatus::Done);
    stage.rest().await;
    let (status, reason) = stage.stands(last, people[0]).await;
    assert_eq!((status, reason.as_str()), (EnrolmentStatus::Stopped, "stopped_by_person"));
    let said = format!("in campaign {id}, asked by phone");
    assert!(stage.changes().await.contains(&("Ann".into(), "end sequence of contact".into(), said)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_be_an_opt_out_holds_every_campaign_until_a_person_has_decided() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    let people = stage.contacts("b", 3).await;
    let [wants_out, means_no_harm, chats] = people[..] else { panic!() };
    let text = stage.template(Channel::Sms, "Hi. STOP ends.").await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let steps = |channel, template, minutes: [u32; 2]| {
        minutes.map(|after| step(channel, template, Delay::Minutes(after))).to_vec()
    };
    // One that an answer ends, one that goes on whatever is answered, and one by another channel.
    let ends = stage.draft("ends", &people, steps(Channel::Sms, text, [5, 1])).await;
    let goes_on = stage.draft("goes on", &people, steps(Channel::Sms, text, [0, 1])).await;
    let mails = stage.draft("mails", &people, steps(Channel::Email, mail, [1, 10])).await;
    for id in [goes_on, mails] {
        stage.edit(id, |campaign| campaign.stop_rules.reply = false).await;
    }
    stage.work().await;
    for id in [ends, goes_on, mails] {
        stage.launch(id).await;
    }
    stage.quiet().await;
    let first = stage.touches(goes_on).await;
    let got = |contact| first.iter().find(|touch| touch.contact == contact).unwrap();
    stage.writes(got(wants_out), "Take me off your list").await;
    stage.writes(got(means_no_harm), "please take me off your list of bad customers, haha").await;
    stage.writes(got(chats), "Sounds good, call me").await;
    let open = stage.open_reviews().await;
    assert_eq!(open.len(), 2, "an answer is no question");

    stage.pass(MORNING.plus_ms(8 * HOUR_MS)).await;
    let held = (TouchStatus::Deferred, Some(Reason::ReviewOpen), None);
    for contact in [wants_out, means_no_harm] {
        for id in [goes_on, mails] {
            assert_eq!(stage.why(id, contact).await, held, "campaign {id}");
        }
    }
    let number = |nth: u32| format!("+1212200{:04}", 1_000 + nth);
    let texted =
        |stage: &Stage, nth| stage.calls_and_texts().iter().filter(|one| one.to == number(nth)).count();
    assert_eq!([0, 1, 2].map(|nth| texted(&stage, nth)), [1, 1, 4], "who only chats is held by nothing");
    assert_eq!(stage.mailed("b0@example.org").len() + stage.mailed("b1@example.org").len(), 0);
    assert_eq!(stage.mailed("b2@example.org").len(), 2);

    decide(&stage.app, open[0], Decision::OptOut, "Ann").await.unwrap();
    decide(&stage.app, open[1], Decision::NoOptOut, "Ann").await.unwrap();
    stage.pass(MORNING.plus_ms(9 * HOUR_MS)).await;
    for id in [ends, goes_on, mails] {
        stage.until_done(id).await;
    }
    stage.rest().await;
    assert_eq!([0, 1].map(|nth| texted(&stage, nth)), [1, 4]);
    assert_eq!((stage.mailed("b0@example.org").len(), stage.mailed("b1@example.org").len()), (0, 2));
    let last = stage.why(goes_on, wants_out).await;
    assert_eq!((last.0, last.1), (TouchStatus::Skipped, Some(Reason::Suppressed)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_may_be_an_opt_out_holds_whom_it_is_about_and_a_mailbox_of_nobodys_holds_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let evening = new_york("2026-11-18T19:59:00");
    let mut stage = Stage::standing(dir.path(), evening, Setting::default()).await;
    let people = stage.contacts("b", 2).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let steps =
        vec![step(Channel::Email, mail, Delay::Minutes(0)), step(Channel::Email, mail, Delay::Minutes(2))];
    let id = stage.draft("spring", &people, steps).await;
    stage.edit(id, |campaign| campaign.stop_rules.reply = false).await;
    stage.work().await;
    stage.launch(id).await;
    stage.pass(evening.plus_ms(HOUR_MS)).await;
    assert_eq!(stage.why(id, people[0]).await.1, Some(Reason::WindowClosed));
    for (key, from) in [("one", "b0@example.org"), ("two", "nobody@example.org")] {
        let mail = InboundMail {
            key: key.to_owned(),
            from: Some(from.to_owned()),
            to: vec!["ann@example.com".to_owned()],
            answers: Vec::new(),
            subject: "Re: News".to_owned(),
            kind: Kind::Written { text: "I would like you to remove me from this list".to_owned() },
        };
        inbound_mail::take(&stage.app, mail, "mail").await.unwrap();
    }
    let open = stage.open_reviews().await;
    assert_eq!(open.len(), 2);
    let held = (TouchStatus::Deferred, Some(Reason::ReviewOpen), None);
    assert_eq!(stage.why(id, people[0]).await, held, "at once");
    stage.pass(new_york("2026-11-19T10:00:00")).await;
    assert_eq!(stage.why(id, people[0]).await, held);
    assert_eq!(stage.why(id, people[1]).await.0, TouchStatus::Sent);
    // An opt-out that comes otherwise counts at once, whatever is still to be read.
    let about = windlass_campaigns::store::events::About { contact: Some(people[0]), ..Default::default() };
    optout::by_contact(&stage.app, people[0], None, about, "by phone", "Ann").await.unwrap();
    decide(&stage.app, open[0], Decision::NoOptOut, "Ann").await.unwrap();
    stage.until_done(id).await;
    stage.rest().await;
    assert_eq!(stage.mailed("b0@example.org").len(), 1);
}

/// Whatever a transaction has written is held back until somebody says so.
async fn pause_slowly(stage: &Stage, contact: ContactId, entered: Told<()>) -> Result<(), DbError> {
    let entered = Mutex::new(entered);
    let pause = Pause { campaign: None, until: None, why: String::new(), who: "Ann".into(), at: MORNING };
    let pausing = move |tx: &mut Tx<'_>| {
        rows::set(tx, contact, &pause)?;
        touches::hold_contact(tx, contact, None, Reason::ContactPaused, "", None)?;
        // Nobody listens when this runs a second time.
        let _ = entered.lock().unwrap().send(());
        // The message that is being decided has looked by then, and waits for its row.
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        let begun = Instant::now();
        while tx.count(waits, &[])? == 0 {
            assert!(begun.elapsed().as_secs() < DEADLINE_S, "nobody waits");
            std::thread::yield_now();
        }
        Ok(())
    };
    stage.app.db().write(pausing).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_postgresql_no_pause_passes_a_message_that_is_being_decided() {
    let (_server, address) = Server::on_loopback();
    let url = format!("postgres://windlass@{address}/postgres");
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::on(dir.path(), &url, Setting { speed: 60, ..Setting::default() }).await;
    let contact = stage.contacts("b", 1).await[0];
    let mail = stage.template(Channel::Email, "Hi").await;
    let id = stage.draft("spring", &[contact], vec![step(Channel::Email, mail, Delay::Minutes(0))]).await;
    let sender = stage.senders[&Channel::Email];
    accounts::pause_sender(&stage.app, sender, true, "", "Ann").await.unwrap();
    stage.work().await;
    stage.launch(id).await;
    let waits = |_: &_, touches: &[Touch]| in_status(touches, TouchStatus::Deferred) == 1;
    stage.until(id, "a mail that waits", waits).await;
    let (entered, inside) = channel();
    let goes_on = async {
        tokio::task::block_in_place(|| inside.recv().unwrap());
        accounts::pause_sender(&stage.app, sender, false, "", "Ann").await.unwrap();
    };
    let (paused, ()) = tokio::join!(pause_slowly(&stage, contact, entered), goes_on);
    paused.unwrap();
    let held = |_: &_, touches: &[Touch]| {
        touches[0].until.is_none() && touches[0].reason == Some(Reason::ContactPaused)
    };
    stage.until(id, "a mail that is held", held).await;
    // It has looked again, and waits by its own job.
    stage
        .until_that("a look", async || {
            let job = stage.touches(id).await[0].job.parse().unwrap();
            let found = stage.client().get(job).await.unwrap().unwrap();
            found.view.state == windlass::core::State::Scheduled
        })
        .await;
    assert_eq!((stage.mails().len(), stage.touches(id).await[0].sends), (0, 0));
    pauses::resume(&stage.app, contact, None, "Ann").await.unwrap();
    stage.until_done(id).await;
    stage.rest().await;
    assert_eq!(stage.mails().len(), 1);
}
