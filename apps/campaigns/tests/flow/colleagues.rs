//! One answer stops the colleagues of whoever gave it, in the campaign that was answered and nowhere else.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Mutex, mpsc::channel},
    time::Instant,
};

use windlass_campaigns::{
    channel::{Channel, rules::ProviderKind},
    db::{Db, DbError, Tx},
    flow::{
        accounts, erasure,
        inbound::{self, Text},
    },
    hooks::{CallbackEvent, What},
    model::{
        CampaignId, ContactId, ProviderId,
        campaign::EnrolmentStatus,
        touch::{Reason, Touch, TouchStatus},
    },
    store::{campaigns, colleagues, contacts, contacts::NewContact, enrolments, providers, touches, users},
    window::Delay,
};

use crate::{
    server::Server,
    stage::{MORNING, Setting, Stage, campaign, in_status, person, step},
};

/// The account of texts, which the stage makes as its second.
const PHONE: ProviderId = ProviderId(2);
/// What has not come by then never will.
const DEADLINE_S: u64 = 30;

impl Stage {
    /// That contact answers the last text that they got.
    pub(crate) async fn answers(&self, touch: &Touch) {
        let provider = self.app.db().read(|tx| providers::get(tx, PHONE)).await.unwrap().unwrap();
        let text = Text {
            from: touch.address.clone(),
            to: "+12125550100".into(),
            body: "Sounds good, call me".into(),
            read_as: None,
        };
        let id = format!("SM{}", touch.id);
        let event = CallbackEvent {
            provider: ProviderKind::Twilio,
            event_id: id.clone(),
            provider_id: id,
            touch: None,
            campaign: None,
            recipient: None,
            at: None,
            what: What::Inbound {
                from: text.from.clone(),
                to: text.to.clone(),
                body: text.body.clone(),
                opt_out: None,
            },
        };
        inbound::text(&self.app, &provider, &event, text).await.unwrap();
    }

    pub(crate) async fn stands(&self, id: CampaignId, contact: ContactId) -> (EnrolmentStatus, String) {
        let found = self.app.db().read(move |tx| enrolments::get(tx, id, contact)).await.unwrap().unwrap();
        (found.status, found.reason)
    }
}

fn of(touches: &[Touch], contact: ContactId, channel: Channel) -> Touch {
    touches.iter().find(|touch| touch.contact == contact && touch.channel == channel).unwrap().clone()
}

/// Somebody with that account or mailbox.
fn whose(nth: u32, account: Option<&str>, email: &str) -> NewContact {
    let account = account.map(str::to_owned);
    NewContact { account, email: Some(email.to_owned()), ..person("b", nth, MORNING) }
}

/// A text and then a mail to everybody; the mails wait for their sender. Three answer, one after the other.
async fn one_answer_stops_the_colleagues(dir: &Path, database: &str) {
    let mut stage = Stage::on(dir, database, Setting::default()).await;
    let people = vec![
        whose(0, Some("Acme Inc."), "ann@gmail.com"),
        whose(1, Some("  ACME\tinc."), "bob@gmail.com"),
        whose(2, None, "carl@gmail.com"),
        whose(3, Some("Gmail.com"), "dora@gmail.com"),
        whose(4, None, "eve@Corp.example"),
        whose(5, None, "fred@corp.example"),
        whose(6, Some("corp.example"), "gus@yahoo.com"),
        whose(7, Some("Corp"), "hal@corp.example"),
    ];
    let people = stage.people(people).await;
    let text = stage.template(Channel::Sms, "Hi. STOP ends.").await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let mail = step(Channel::Email, mail, Delay::Minutes(0));
    let steps = vec![step(Channel::Sms, text, Delay::Minutes(0)), mail.clone()];
    let id = stage.draft("spring", &people, steps).await;
    let other = stage.draft("other", &people, vec![mail]).await;
    for one in [id, other] {
        stage.edit(one, |campaign| campaign.stop_rules.account_reply = true).await;
    }
    let sender = stage.senders[&Channel::Email];
    accounts::pause_sender(&stage.app, sender, true, "not yet", "Ann").await.unwrap();
    stage.work().await;
    stage.launch(id).await;
    stage.launch(other).await;
    for one in [id, other] {
        let wait = |_: &_, touches: &[Touch]| in_status(touches, TouchStatus::Deferred) == people.len();
        stage.until(one, "mails that wait", wait).await;
    }

    let texts = stage.touches(id).await;
    let said = |nth: usize| of(&texts, people[nth], Channel::Sms);
    for nth in [1, 2, 4] {
        stage.answers(&said(nth)).await;
    }
    let touches = stage.touches(id).await;
    let stopped = |nth: usize| {
        let mail = of(&touches, people[nth], Channel::Email);
        (mail.status, mail.reason, mail.detail)
    };
    let skipped = |reason, who: Option<usize>| {
        let detail = who.map(|who| format!("contact {} answered", people[who])).unwrap_or("not yet".into());
        (TouchStatus::Skipped, Some(reason), detail)
    };
    let waits = (TouchStatus::Deferred, Some(Reason::SenderPaused), "not yet".to_owned());
    assert_eq!(stopped(0), skipped(Reason::ColleagueAnswered, Some(1)), "the account that was given");
    assert_eq!(stopped(1), skipped(Reason::Stopped, None), "whoever answered");
    assert_eq!(stopped(2), skipped(Reason::Stopped, None));
    assert_eq!(stopped(3), waits, "free mail makes no colleagues, whoever wrote it down");
    assert_eq!(stopped(4), skipped(Reason::Stopped, None));
    assert_eq!(stopped(5), skipped(Reason::ColleagueAnswered, Some(4)), "the domain of their mail");
    assert_eq!(stopped(6), skipped(Reason::ColleagueAnswered, Some(4)), "which may be given as well");
    assert_eq!(stopped(7), waits, "an account that was given goes before the domain");
    let because = "colleague_answered".to_owned();
    assert_eq!(stage.stands(id, people[5]).await, (EnrolmentStatus::Stopped, because));
    assert_eq!(stage.stands(id, people[4]).await, (EnrolmentStatus::Stopped, "replied".to_owned()));
    assert_eq!(stage.stands(id, people[7]).await.0, EnrolmentStatus::Active);
    let elsewhere = stage.touches(other).await;
    assert_eq!(in_status(&elsewhere, TouchStatus::Deferred), people.len(), "another campaign goes on");

    accounts::pause_sender(&stage.app, sender, false, "", "Ann").await.unwrap();
    stage.until_done(id).await;
    stage.until_done(other).await;
    stage.rest().await;
    let mut reached: Vec<String> = stage.mails().iter().map(|mail| mail.to.to_lowercase()).collect();
    reached.sort_unstable();
    let everybody = ["ann@gmail.com", "bob@gmail.com", "carl@gmail.com", "dora@gmail.com"];
    let everybody = everybody.iter().chain(&["eve@corp.example", "fred@corp.example", "gus@yahoo.com"]);
    let mut expected: Vec<&str> = everybody.copied().chain(["hal@corp.example"]).collect();
    expected.extend(["dora@gmail.com", "hal@corp.example"]);
    expected.sort_unstable();
    assert_eq!(reached, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_stops_the_colleagues_of_its_account_in_its_campaign_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", dir.path().join("campaigns.db").display());
    one_answer_stops_the_colleagues(dir.path(), &database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_an_answer_stops_the_same_colleagues() {
    let (_server, address) = Server::on_loopback();
    let dir = tempfile::tempdir().unwrap();
    one_answer_stops_the_colleagues(dir.path(), &format!("postgres://windlass@{address}/postgres")).await;
}

/// Seven hundred people of one university, more than are stopped in the transaction of the answer; all of their mails stand
/// in the queue at that moment, or are on their way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_provider_was_asked_for_when_an_answer_is_taken_in_is_never_sent_to_a_colleague() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::set(dir.path(), Setting::default()).await;
    // One of them has a number, to answer from; the others go on to the mail at once.
    let people = (0..700).map(|nth| {
        let person = person("b", nth, MORNING);
        let phone = person.phone.clone().filter(|_| nth == 0);
        NewContact { account: Some("University of Springfield".into()), phone, ..person }
    });
    let people = stage.people(people.collect()).await;
    let text = stage.template(Channel::Sms, "Hi. STOP ends.").await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let steps =
        vec![step(Channel::Sms, text, Delay::Minutes(0)), step(Channel::Email, mail, Delay::Minutes(0))];
    let id = stage.draft("spring", &people, steps).await;
    stage.edit(id, |campaign| campaign.stop_rules.account_reply = true).await;
    let sender = stage.senders[&Channel::Email];
    accounts::pause_sender(&stage.app, sender, true, "not yet", "Ann").await.unwrap();
    stage.work().await;
    stage.launch(id).await;
    let wait = |_: &_, touches: &[Touch]| in_status(touches, TouchStatus::Deferred) == people.len();
    stage.until(id, "mails that wait", wait).await;
    accounts::pause_sender(&stage.app, sender, false, "", "Ann").await.unwrap();
    let sent =
        |_: &_, touches: &[Touch]| touches.iter().any(|t| t.channel == Channel::Email && t.status.was_sent());
    stage.until(id, "the first mail", sent).await;
    stage.answers(&of(&stage.touches(id).await, people[0], Channel::Sms)).await;
    let asked = |touches: &[Touch]| -> BTreeSet<ContactId> {
        let asked = touches.iter().filter(|touch| touch.channel == Channel::Email && touch.sends > 0);
        asked.map(|touch| touch.contact).collect()
    };
    let before = asked(&stage.touches(id).await);
    stage.until_done(id).await;
    stage.rest().await;
    let touches = stage.touches(id).await;
    assert_eq!(asked(&touches), before, "whoever was asked for before");
    assert_eq!(stage.mails().len(), before.len());
    for touch in touches.iter().filter(|touch| touch.channel == Channel::Email && touch.sends == 0) {
        let reason = if touch.contact == people[0] { Reason::Stopped } else { Reason::ColleagueAnswered };
        assert_eq!(touch.reason, Some(reason), "{touch:#?}");
    }
    let (all, first) = (people.len(), people[0]);
    println!("{} of {all} mails were quicker than the answer", before.len());
    assert!(before.len() + 500 < all, "so many that nobody is left who was not stopped with the answer");
    for person in people.into_iter().filter(|person| !before.contains(person) && *person != first) {
        let (status, why) = stage.stands(id, person).await;
        assert_eq!((status, why.as_str()), (EnrolmentStatus::Stopped, "colleague_answered"), "{person}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_is_chosen_after_the_answer_holds_for_every_message_that_is_still_to_be_sent() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    let people = [0, 1].map(|nth| whose(nth, Some("Acme"), &format!("b{nth}@example.org")));
    let people = stage.people(people.to_vec()).await;
    let text = stage.template(Channel::Sms, "Hi. STOP ends.").await;
    let steps = [0, 1, 1].map(|hours| step(Channel::Sms, text, Delay::Hours(hours)));
    let id = stage.draft("spring", &people, steps.to_vec()).await;
    stage.work().await;
    stage.launch(id).await;
    stage.quiet().await;
    let texts = stage.touches(id).await;
    stage.answers(&of(&texts, people[0], Channel::Sms)).await;
    stage.pass(windlass::Time(MORNING.0 + 90 * 60_000)).await;
    assert_eq!(stage.calls_and_texts().len(), 3, "the colleague's second");
    stage.edit(id, |campaign| campaign.stop_rules.account_reply = true).await;
    stage.pass(windlass::Time(MORNING.0 + 5 * 3_600_000)).await;
    stage.until_done(id).await;
    stage.rest().await;
    assert_eq!(stage.calls_and_texts().len(), 3);
    let because = "colleague_answered".to_owned();
    assert_eq!(stage.stands(id, people[1]).await, (EnrolmentStatus::Stopped, because));
}

/// A campaign of two colleagues in a database by itself.
async fn two_colleagues(db: &Db) -> (CampaignId, ContactId) {
    db.write(|tx| {
        let user = users::ensure(tx, "Ann", "", 10, MORNING)?;
        let list = windlass_campaigns::store::lists::ensure(tx, "all", MORNING)?;
        let contact = contacts::upsert(tx, &whose(0, Some("Acme"), "a@example.org"), MORNING)?.id();
        let id = campaigns::create(tx, &campaign(user, "spring", list, MORNING), &[], MORNING)?;
        Ok::<_, DbError>((id, contact))
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_no_answer_passes_a_message_that_is_being_decided() {
    let (_server, address) = Server::on_loopback();
    let url = format!("postgres://windlass@{address}/postgres");
    let db = Db::open(&url).await.unwrap();
    let (id, contact) = two_colleagues(&db).await;
    let (entered, inside) = channel();
    let entered = Mutex::new(entered);
    let sends = tokio::spawn({
        let db = db.clone();
        async move {
            db.write(move |tx| {
                assert_eq!(colleagues::hold(tx, id, "acme")?, None);
                entered.lock().unwrap().send(()).unwrap();
                // The answer is on its way, and waits for this.
                let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted";
                let begun = Instant::now();
                while tx.count(waits, &[])? == 0 {
                    assert_eq!(colleagues::who_answered(tx, id, "acme")?, None, "it has passed");
                    assert!(begun.elapsed().as_secs() < DEADLINE_S, "nobody waits");
                    std::thread::yield_now();
                }
                colleagues::who_answered(tx, id, "acme")
            })
            .await
        }
    });
    inside.recv().unwrap();
    db.write(move |tx| colleagues::answered(tx, id, "acme", contact, MORNING)).await.unwrap();
    assert_eq!(sends.await.unwrap().unwrap(), None, "the message was first");
    let next = db.write(move |tx| colleagues::hold(tx, id, "acme")).await.unwrap();
    assert_eq!(next, Some(contact), "and whoever comes next finds the answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_an_account_is_kept_whose_last_contact_was_erased() {
    let dir = tempfile::tempdir().unwrap();
    let stage = Stage::standing(dir.path(), MORNING, Setting::default()).await;
    let people =
        vec![whose(0, None, "ann@ann-miller.example"), whose(1, Some("ann-miller.example"), "x@gmx.de")];
    let people = stage.people(people).await;
    let id = stage.draft("spring", &people, Vec::new()).await;
    let first = people[0];
    let answered = move |tx: &mut Tx<'_>| colleagues::answered(tx, id, "ann-miller.example", first, MORNING);
    stage.app.db().write(answered).await.unwrap();
    let who = move |tx: &mut Tx<'_>| colleagues::who_answered(tx, id, "ann-miller.example");
    erasure::erase(&stage.app, people[0], "Ann").await.unwrap();
    assert_eq!(stage.app.db().read(who).await.unwrap(), Some(people[0]), "a colleague is left");
    erasure::erase(&stage.app, people[1], "Ann").await.unwrap();
    assert_eq!(stage.app.db().read(who).await.unwrap(), None);
    let left = "SELECT count(*) FROM contacts WHERE account IS NOT NULL OR account_key IS NOT NULL";
    assert_eq!(stage.app.db().read(move |tx| tx.count(left, &[])).await.unwrap(), 0);
    let touches = stage.app.db().read(move |tx| touches::of_contact(tx, first, 10)).await.unwrap();
    assert!(touches.is_empty());
}
