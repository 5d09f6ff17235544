//! What the world tells: callbacks of providers, texts of people, links in mails. The doubles sign; the routes are served where
//! a proxy would put them, below a path of its own.

use std::{path::Path, time::Duration};

use axum::Router;
use reqwest::{StatusCode, header};
use serde_json::{Value, json};
use windlass_campaigns::{
    channel::{Channel, rules::ProviderKind},
    db,
    flow::{
        accounts,
        decide::{Decision, decide},
        strangers,
    },
    model::{
        CampaignId, ContactId, ProviderId,
        campaign::EnrolmentStatus,
        sender::Sender,
        touch::{EventKind, Reason, Touch, TouchStatus},
    },
    open,
    store::{
        contacts, enrolments, events,
        reviews::{self, Review, ReviewKind},
        senders, suppressions, touches,
    },
    window::{Delay, Week},
};
use windlass_doubles::{Handle, Rules, mail, twilio};

use crate::stage::{Setting, Stage, in_status, person, step};

mod mails;

const TOKEN: &str = "token";
/// Where a proxy mounts the routes.
const PREFIX: &str = "/open/campaigns";
/// The account of texts and calls, which the stage makes as its second.
const PHONE: ProviderId = ProviderId(2);
const PACE: Duration = Duration::from_millis(1);

/// A stage that the world can reach.
struct World {
    stage: Stage,
    url: String,
    http: reqwest::Client,
    served: tokio::task::JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.served.abort();
    }
}

struct Told {
    status: StatusCode,
    kind: String,
    text: String,
}

impl World {
    async fn set(dir: &Path, rules: &[&str]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}{PREFIX}", listener.local_addr().unwrap());
        let account =
            twilio::Account { sid: "AC00000000000000000000000000000001".into(), token: TOKEN.into() };
        let phone = twilio::Options {
            account: Some(account),
            rules: Rules::parse(7, rules).unwrap(),
            pace: PACE,
            inbound_url: Some(format!("{url}/hooks/twilio/{PHONE}/inbound")),
            ..twilio::Options::default()
        };
        // With and without a slash at its end the public address is the same.
        let setting = Setting { phone, public_url: Some(format!("{url}/")), ..Setting::default() };
        let stage = Stage::set(dir, setting).await;
        assert_eq!(sender(&stage, Channel::Sms).await.provider, PHONE);
        let router = Router::new().nest(PREFIX, open::router(stage.app.clone()));
        let served = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only(std::iter::empty())
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self { stage, url, http, served }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Told {
        let answer = request.send().await.unwrap();
        let kind = answer.headers().get(header::CONTENT_TYPE).map_or("", |kind| kind.to_str().unwrap());
        let kind = kind.to_owned();
        Told { status: answer.status(), kind, text: answer.text().await.unwrap() }
    }

    /// A form of the provider, signed as it signs.
    async fn tell(&self, path: &str, form: &[(&str, &str)]) -> Told {
        let url = format!("{}{path}", self.url);
        let signature = twilio::signature(TOKEN, &url, form.iter().copied());
        self.send(self.http.post(url).header("X-Twilio-Signature", signature).form(form)).await
    }

    async fn tell_of(&self, touch: &Touch, sid: &str, status: &str) -> Told {
        let form = match touch.channel {
            Channel::Voicemail => [("CallSid", sid), ("CallStatus", status)],
            _ => [("MessageSid", sid), ("MessageStatus", status)],
        };
        self.tell(&format!("/hooks/twilio/{PHONE}/{}", touch.id), &form).await
    }

    /// Somebody texts our number; what the provider tells us of it has been answered when this is.
    async fn text(&self, from: &str, body: &str) -> Value {
        let url = format!("{}/_double/inbound", self.stage.phone.url());
        let told = json!({ "from": from, "to": "+12125550100", "body": body });
        let told = self.send(self.http.post(url).json(&told)).await;
        let told: Value = serde_json::from_str(&told.text).unwrap();
        assert_eq!(told["webhook_status"], 200, "{told}");
        told
    }

    /// Everything that was texted to a number.
    fn texts_to(&self, number: &str) -> Vec<String> {
        let texts = self.stage.calls_and_texts().into_iter();
        let texts =
            texts.filter(|one| one.channel == windlass_doubles::log::Channel::Sms && one.to == number);
        texts.map(|text| text.body.unwrap().into_owned()).collect()
    }

    async fn events(&self, touch: &Touch, kind: EventKind) -> usize {
        let id = touch.id;
        let all = self.stage.app.db().read(move |tx| events::of_touch(tx, id)).await.unwrap();
        all.iter().filter(|event| event.kind == kind).count()
    }

    async fn is_suppressed(&self, channel: Channel, address: &str) -> Option<String> {
        let (hash, user) = (self.stage.app.hash_of(address), self.stage.user);
        let why = self.stage.app.db().read(move |tx| suppressions::why(tx, user, channel, &hash)).await;
        why.unwrap()
    }

    async fn reviews(&self) -> Vec<Review> {
        let open = |tx: &mut db::Tx<'_>| reviews::undecided(tx, windlass_campaigns::model::ReviewId(0), 100);
        self.stage.app.db().read(open).await.unwrap()
    }

    /// A campaign whose window opens in the evening: until then every message of it waits.
    async fn waiting(&self, name: &str, people: &[ContactId], channel: Channel) -> CampaignId {
        let template = self.stage.template(channel, &format!("Hi {name}. {{{{postal_address}}}}")).await;
        let id = self.stage.draft(name, people, vec![step(channel, template, Delay::Minutes(0))]).await;
        self.stage.edit(id, |campaign| campaign.policy.week = Week::daily("19:00-20:00").unwrap()).await;
        self.stage.launch(id).await;
        let wait = |_: &_, touches: &[Touch]| in_status(touches, TouchStatus::Deferred) == people.len();
        self.stage.until(id, "the wait", wait).await;
        id
    }

    /// A campaign of one message each; its messages when it is over.
    async fn sent(&self, name: &str, people: &[ContactId], channel: Channel) -> Vec<Touch> {
        let template = self.stage.template(channel, &format!("Hi {name}. {{{{postal_address}}}}")).await;
        let id = self.stage.draft(name, people, vec![step(channel, template, Delay::Minutes(0))]).await;
        self.stage.launch(id).await;
        self.stage.until_done(id).await;
        self.stage.touches(id).await
    }

    async fn touch(&self, touch: &Touch) -> Touch {
        let id = touch.id;
        self.stage.app.db().read(move |tx| touches::get(tx, id)).await.unwrap().unwrap()
    }

    /// The message as a worker leaves it that dies while it asks the provider.
    async fn forget_the_answer(&self, touch: &Touch, status: TouchStatus) {
        let id = touch.id;
        let back = move |tx: &mut db::Tx<'_>| {
            let sql =
                "UPDATE touches SET status = $2, provider_ref = NULL, provider_status = '', sent_at = NULL,
                       ended_at = NULL WHERE id = $1";
            tx.run(sql, &[id.into(), status.into()])
        };
        assert_eq!(self.stage.app.db().write(back).await.unwrap(), 1);
    }
}

async fn sender(stage: &Stage, channel: Channel) -> Sender {
    let id = stage.senders[&channel];
    stage.app.db().read(move |tx| senders::get(tx, id)).await.unwrap().unwrap()
}

fn number(prefix: &str, nth: u32) -> String {
    person(prefix, nth, windlass::Time(0)).phone.unwrap()
}

fn of(touches: &[Touch], contact: ContactId) -> &Touch {
    touches.iter().find(|touch| touch.contact == contact).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_became_of_every_text_and_call_is_heard_once_whatever_the_order() {
    let dir = tempfile::tempdir().unwrap();
    let lost = number("b", 3);
    let rules = ["40%=repeat-callback", "40%=swap-callbacks", &format!("{lost}=30005"), "50%=machine"];
    let mut world = World::set(dir.path(), &rules).await;
    let people = world.stage.contacts("b", 30).await;
    let text = world.stage.template(Channel::Sms, "Hi. STOP ends.").await;
    let call = world.stage.template(Channel::Voicemail, "Hello").await;
    let steps =
        vec![step(Channel::Sms, text, Delay::Minutes(0)), step(Channel::Voicemail, call, Delay::Minutes(0))];
    let id = world.stage.draft("spring", &people, steps).await;
    world.stage.work().await;
    world.stage.launch(id).await;
    world.stage.until_done(id).await;
    // By the application's clock, nobody asks the provider in the first minute: this is what it says by itself.
    let told = |_: &_, touches: &[Touch]| {
        touches.iter().all(|touch| !matches!(touch.status, TouchStatus::Sent | TouchStatus::Sending))
    };
    world.stage.until(id, "every end", told).await;
    world.stage.rest().await;
    // What was still under way has been answered when the double is gone.
    let failed = world.stage.phone.counters().callbacks_failed;
    assert_eq!(failed, 0);

    let touches = world.stage.touches(id).await;
    let texts: Vec<&Touch> = touches.iter().filter(|touch| touch.channel == Channel::Sms).collect();
    assert_eq!(texts.len(), 30);
    for touch in &touches {
        let (status, kind, word) = match (touch.channel, touch.contact == people[3]) {
            (Channel::Sms, true) => (TouchStatus::Bounced, EventKind::Bounced, "undelivered"),
            (Channel::Sms, false) => (TouchStatus::Delivered, EventKind::Delivered, "delivered"),
            // Whether the call was still made depends on which came first.
            (_, true) => continue,
            _ => (TouchStatus::Delivered, EventKind::Delivered, "completed"),
        };
        assert_eq!((touch.status, touch.provider_status.as_str()), (status, word), "{touch:#?}");
        assert_eq!(world.events(touch, kind).await, 1, "{touch:#?}");
        assert_eq!(world.events(touch, EventKind::Sent).await, 1, "{touch:#?}");
        assert!(touch.provider_ref.is_some() && touch.sent_at.is_some(), "{touch:#?}");
    }
    assert_eq!(world.is_suppressed(Channel::Sms, &lost).await.as_deref(), Some("twilio/30005"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_by_text_ends_at_once_what_waits_and_start_brings_texts_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::set(dir.path(), &[]).await;
    world.stage.work().await;
    let people = world.stage.contacts("b", 3).await;
    let first = world.sent("first", &people, Channel::Sms).await;
    assert_eq!(first.iter().filter(|touch| touch.status.was_sent()).count(), 3);
    let texts = world.waiting("texts", &people, Channel::Sms).await;
    let calls = world.waiting("calls", &people, Channel::Voicemail).await;

    // Politeness hides the word from the provider, so that our own confirmation reaches the person.
    let (ann, bob) = (number("b", 0), people[1]);
    world.text(&ann, "Stop, please.").await;
    for (campaign, reason) in [(texts, Reason::Suppressed), (calls, Reason::Suppressed)] {
        let touches = world.stage.touches(campaign).await;
        let hers = of(&touches, people[0]);
        assert_eq!((hers.status, hers.reason), (TouchStatus::Skipped, Some(reason)), "{hers:#?}");
        assert_eq!(of(&touches, bob).status, TouchStatus::Deferred);
    }
    let confirmed = "Ann: You get no more messages at this number. Reply START to get them again.";
    assert_eq!(world.texts_to(&ann).iter().filter(|text| *text == confirmed).count(), 1);
    for channel in [Channel::Sms, Channel::Voicemail] {
        assert_eq!(world.is_suppressed(channel, &ann).await.as_deref(), Some("STOP by text"));
    }
    assert_eq!(world.is_suppressed(Channel::Email, "b0@example.org").await, None, "another address");

    // Another order of somebody who has none to give is obeyed without a word.
    world.text(&ann, "stop!!! please").await;
    assert_eq!(world.texts_to(&ann).len(), 2);
    let next = world.sent("next", &people, Channel::Sms).await;
    let hers = of(&next, people[0]);
    assert_eq!((hers.status, hers.reason), (TouchStatus::Skipped, Some(Reason::Suppressed)));
    assert!(of(&next, bob).status.was_sent());

    let stop = [
        ("MessageSid", "SM1"),
        ("SmsStatus", "received"),
        ("From", ann.as_str()),
        ("To", "+12125550100"),
        ("Body", "STOP"),
    ];
    let inbound = format!("/hooks/twilio/{PHONE}/inbound");
    assert_eq!(world.tell(&inbound, &stop).await.status, StatusCode::OK);
    world.text(&ann, "START").await;
    assert_eq!(world.is_suppressed(Channel::Sms, &ann).await, None);
    let calls = world.is_suppressed(Channel::Voicemail, &ann).await;
    assert!(calls.is_some(), "a call takes a consent of its own");
    // An order of before comes a second time: it was obeyed, and something else was said since.
    let late = world.tell(&inbound, &stop).await;
    assert_eq!(late.status, StatusCode::OK);
    assert!(late.kind.starts_with("text/xml") && !late.text.contains("Message"), "{}", late.text);
    assert_eq!(world.is_suppressed(Channel::Sms, &ann).await, None);
    let again = world.sent("again", &people, Channel::Sms).await;
    assert!(of(&again, people[0]).status.was_sent(), "{again:#?}");
    world.stage.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_ends_the_sequence_a_doubt_goes_to_a_person_and_a_question_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::set(dir.path(), &[]).await;
    world.stage.work().await;
    let people = world.stage.contacts("b", 4).await;
    let text = world.stage.template(Channel::Sms, "Hi. STOP ends.").await;
    let steps = vec![step(Channel::Sms, text, Delay::Minutes(0)), step(Channel::Sms, text, Delay::Days(2))];
    let id = world.stage.draft("spring", &people, steps).await;
    world.stage.launch(id).await;
    world.stage.until(id, "texts", |_, touches| in_status(touches, TouchStatus::Delivered) == 4).await;

    world.text(&number("b", 0), "Sounds good, call me").await;
    world.text(&number("b", 1), "who is this? take me off your list").await;
    world.text(&number("b", 2), "help").await;
    world.text(&number("b", 3), "yes").await;
    let standing = |contact| world.stage.app.db().read(move |tx| enrolments::get(tx, id, contact));
    for (nth, status, replies) in [
        (0, EnrolmentStatus::Stopped, 1),
        (1, EnrolmentStatus::Stopped, 1),
        (2, EnrolmentStatus::Active, 0),
        // Of somebody who has ended nothing it is an answer.
        (3, EnrolmentStatus::Stopped, 1),
    ] {
        let contact: ContactId = people[nth];
        assert_eq!(standing(contact).await.unwrap().unwrap().status, status, "{nth}");
        let touches = world.stage.touches(id).await;
        assert_eq!(world.events(of(&touches, contact), EventKind::Replied).await, replies, "{nth}");
    }
    let reviews = world.reviews().await;
    assert_eq!(reviews.len(), 1);
    assert_eq!((reviews[0].kind, reviews[0].contact), (ReviewKind::PossibleOptOut, Some(people[1])));
    assert!(reviews[0].text.contains("take me off"), "{reviews:?}");
    assert!(world.texts_to(&number("b", 2)).contains(&"Ann: Reply STOP to get no more messages.".to_owned()));
    assert_eq!(world.texts_to(&number("b", 0)).len(), 1, "an answer is not answered");

    // Somebody whom nobody knows is listened to as well.
    world.text("+13105550199", "stop").await;
    assert!(world.is_suppressed(Channel::Sms, "+1 (310) 555-0199").await.is_some());
    world.text("+13105550198", "wrong number").await;
    let reviews = world.reviews().await;
    let unknown = reviews.iter().find(|review| review.text == "+13105550198: wrong number").unwrap();
    // What a person finds to be an opt-out ends what the word would have ended.
    for review in [&reviews[0], unknown] {
        decide(&world.stage.app, review.id, Decision::OptOut, "Ann").await.unwrap();
    }
    for number in [number("b", 1).as_str(), "+13105550198"] {
        for channel in [Channel::Sms, Channel::Voicemail] {
            assert_eq!(world.is_suppressed(channel, number).await.as_deref(), Some("opted out"), "{number}");
        }
    }
    // An opt-out that somebody else has decided on is not undone by a text.
    world.text("+13105550198", "START").await;
    assert!(world.is_suppressed(Channel::Sms, "+13105550198").await.is_some());
    // The provider may know a word that we do not; it has answered then.
    let arret = [
        ("MessageSid", "SM2"),
        ("SmsStatus", "received"),
        ("From", &number("b", 2)),
        ("To", "+12125550100"),
        ("Body", "ARRET"),
        ("OptOutType", "STOP"),
    ];
    let told = world.tell(&format!("/hooks/twilio/{PHONE}/inbound"), &arret).await;
    assert!(told.status == StatusCode::OK && !told.text.contains("Message"), "{}", told.text);
    assert!(world.is_suppressed(Channel::Sms, &number("b", 2)).await.is_some());
    world.stage.until_done(id).await;
    world.stage.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_strangers_leave_behind_has_a_bound_and_a_contacts_stop_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::set(dir.path(), &[]).await;
    world.stage.work().await;
    let people = world.stage.contacts("b", 2).await;
    let touches = world.sent("first", &people, Channel::Sms).await;
    let app = world.stage.app.clone();
    let standing = async || {
        let now = app.now();
        app.db().read(move |tx| strangers::standing(tx, now)).await.unwrap()
    };

    // An order is counted once for each number, however often it is given.
    let events = "SELECT count(*) FROM events WHERE kind = 'opted_out'";
    let written = async || app.db().read(move |tx| tx.count(events, &[])).await.unwrap();
    world.text("+13105550101", "stop").await;
    let before = written().await;
    world.text("+13105550101", "Stop.").await;
    assert_eq!((standing().await.orders_today, written().await), (1, before), "it is in force already");
    // A wish waits once for each writer, and again when a person has decided.
    for text in ["wrong number", "don't text me again"] {
        world.text("+13105550102", text).await;
    }
    let reviews = world.reviews().await;
    assert_eq!(reviews.len(), 1, "{reviews:?}");
    decide(&app, reviews[0].id, Decision::NoOptOut, "Ann").await.unwrap();
    world.text("+13105550102", "wrong number, really").await;
    assert_eq!(world.reviews().await.len(), 1);

    // As if as many had written as there is room for.
    let now = app.now();
    let fill = move |tx: &mut db::Tx<'_>| {
        let used = "UPDATE usage SET used = $1 WHERE kind = 'stranger orders'";
        tx.run(used, &[strangers::ORDERS_A_DAY.into()])?;
        for nth in 1..strangers::QUESTIONS_OPEN {
            let (key, about) = (nth.to_string(), (None, None, Channel::Sms));
            let kind = ReviewKind::PossibleOptOut;
            assert!(reviews::open_of_stranger(tx, kind, about, "no", &key, &key, now)?);
        }
        Ok::<_, db::DbError>(())
    };
    app.db().write(fill).await.unwrap();
    let before = written().await;
    for nth in 0..3 {
        world.text(&format!("+1310555020{nth}"), "stop").await;
    }
    for nth in 0..2 {
        world.text(&format!("+1310555030{nth}"), "wrong number").await;
    }
    assert_eq!(world.is_suppressed(Channel::Sms, "+13105550200").await, None);
    assert_eq!(written().await, before, "nothing is kept of them");
    let now = standing().await;
    assert_eq!((now.orders_today, now.questions_open), (10_000, 200));
    let [today] = &now.dropped[..] else { panic!("{now:?}") };
    assert_eq!((today.orders, today.questions), (3, 2));
    // One that is suppressed needs no room.
    world.text("+13105550101", "stop").await;
    assert_eq!(standing().await.dropped[0].orders, 3);

    // What contacts say is heard all the same, and so is who had a number when a message of ours went there.
    world.text(&number("b", 0), "Stop, please.").await;
    assert!(world.is_suppressed(Channel::Sms, &number("b", 0)).await.is_some());
    assert_eq!(world.events(of(&touches, people[0]), EventKind::OptedOut).await, 1);
    let mut moved = person("b", 1, windlass::Time(0));
    moved.phone = Some("+12125559999".into());
    app.db().write(move |tx| contacts::upsert(tx, &moved, windlass::Time(1))).await.unwrap();
    world.text(&number("b", 1), "take me off your list").await;
    assert_eq!(app.db().read(reviews::count).await.unwrap(), i64::from(strangers::QUESTIONS_OPEN) + 1);
    world.text(&number("b", 1), "stop").await;
    assert!(world.is_suppressed(Channel::Sms, &number("b", 1)).await.is_some());
    world.stage.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_click_on_a_mail_that_arrived_ends_mail_and_a_look_at_the_link_ends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::set(dir.path(), &[]).await;
    world.stage.work().await;
    let people = world.stage.contacts("b", 3).await;
    let first = world.sent("first", &people, Channel::Email).await;
    let waiting = world.waiting("waiting", &people, Channel::Email).await;
    let link = |to: &str| {
        let mail = world.stage.mails().into_iter().find(|mail| mail.to == to).unwrap();
        assert_eq!(mail.list_unsubscribe_post.as_deref(), Some("List-Unsubscribe=One-Click"));
        let header = mail.list_unsubscribe.unwrap().into_owned();
        header.split('>').next().unwrap().trim_start_matches('<').to_owned()
    };
    let (ann, bob) = (link("b0@example.org"), link("b1@example.org"));
    assert!(ann.starts_with(&format!("{}/u/", world.url)), "{ann}");

    let looked = world.send(world.http.get(&ann)).await;
    assert_eq!((looked.status, looked.kind.as_str()), (StatusCode::OK, "text/html; charset=utf-8"));
    assert!(looked.text.contains("<form method=\"post\">") && looked.text.contains("Ann"), "{}", looked.text);
    assert!(!looked.text.contains("b0@example.org"), "a mail is passed on");
    world.send(world.http.head(&ann)).await;
    assert_eq!(world.is_suppressed(Channel::Email, "b0@example.org").await, None);

    for _ in 0..2 {
        let click = world.http.post(&ann).form(&[("List-Unsubscribe", "One-Click")]);
        let clicked = world.send(click).await;
        assert_eq!((clicked.status, clicked.text.as_str()), (StatusCode::OK, "unsubscribed\n"));
        let touches = world.stage.touches(waiting).await;
        let hers = of(&touches, people[0]);
        assert_eq!((hers.status, hers.reason), (TouchStatus::Skipped, Some(Reason::Suppressed)));
        assert_eq!(of(&touches, people[1]).status, TouchStatus::Deferred);
    }
    assert_eq!(world.events(of(&first, people[0]), EventKind::OptedOut).await, 1);

    let pressed = world.send(world.http.post(&bob).form(&[("from", "page")])).await;
    assert_eq!(pressed.status, StatusCode::OK);
    assert!(pressed.text.contains("<h1>You are unsubscribed</h1>"), "{}", pressed.text);
    assert!(world.is_suppressed(Channel::Email, "B1@example.ORG").await.is_some());

    // Programs that send a multipart form, or none at all, mean the same.
    let odd = link("b2@example.org") + ".";
    // By now the contact has another mailbox: both are meant.
    let mut moved = person("b", 2, windlass::Time(0));
    moved.email = Some("moved@example.org".into());
    let moved = world.stage.app.db().write(move |tx| contacts::upsert(tx, &moved, windlass::Time(1))).await;
    assert_eq!(moved.unwrap().id(), people[2]);
    let multipart =
        "--x\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--x--\r\n";
    let odd = world.http.post(&odd).header("content-type", "multipart/form-data; boundary=x").body(multipart);
    assert_eq!(world.send(odd).await.status, StatusCode::OK);
    for address in ["b2@example.org", "moved@example.org"] {
        assert!(world.is_suppressed(Channel::Email, address).await.is_some(), "{address}");
    }

    let next = world.sent("next", &people, Channel::Email).await;
    assert!(next.iter().all(|touch| touch.reason == Some(Reason::Suppressed)), "{next:#?}");
    assert!(world.sent("texts", &people, Channel::Sms).await.iter().all(|touch| touch.status.was_sent()));

    let mut forged = bob.clone();
    let last = forged.pop().unwrap();
    forged.push(if last == 'A' { 'Q' } else { 'A' });
    let page = world.send(world.http.get(&forged)).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(page.text.contains("This link does not work"), "{}", page.text);
    let program = world.send(world.http.post(&forged).form(&[("List-Unsubscribe", "One-Click")])).await;
    assert_eq!((program.status, program.kind.as_str()), (StatusCode::NOT_FOUND, "application/problem+json"));
    world.stage.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_cannot_sign_is_told_nothing_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::set(dir.path(), &["*=drop-callback"]).await;
    world.stage.work().await;
    let people = world.stage.contacts("b", 1).await;
    let touches = world.sent("first", &people, Channel::Sms).await;
    let sid = touches[0].provider_ref.clone().unwrap();
    let form = [("MessageSid", sid.as_str()), ("MessageStatus", "failed"), ("ErrorCode", "30005")];
    let own = format!("/hooks/twilio/{PHONE}/{}", touches[0].id);
    let url = |path: &str| format!("{}{path}", world.url);

    let mut refusals = Vec::new();
    for (path, signed_over, token) in [
        (own.as_str(), url(&own), "another"),
        (&own, url(&format!("/hooks/twilio/{PHONE}/999")), TOKEN),
        (&own, format!("http://internal:8080/hooks/twilio/{PHONE}/{}", touches[0].id), TOKEN),
        // What does not exist looks like what does.
        (&format!("/hooks/twilio/{PHONE}/999999"), String::new(), TOKEN),
        ("/hooks/twilio/77/1", url("/hooks/twilio/77/1"), ""),
        ("/hooks/twilio/x/1", url("/hooks/twilio/x/1"), ""),
        // An account that sends mail has no secret here that somebody could sign with.
        ("/hooks/twilio/1/1", url("/hooks/twilio/1/1"), ""),
        ("/hooks/twilio/1/inbound", url("/hooks/twilio/1/inbound"), ""),
    ] {
        let signature = twilio::signature(token, &signed_over, form);
        let request = world.http.post(url(path)).header("X-Twilio-Signature", signature).form(&form);
        refusals.push((path.to_owned(), world.send(request).await));
    }
    refusals.push((own.clone(), world.send(world.http.post(url(&own)).form(&form)).await));
    for mail in ["/hooks/mail/1", "/hooks/mail/2", "/hooks/mail/77"] {
        let request = world.http.post(url(mail)).json(&json!([{ "event": "bounce", "touch": "1" }]));
        refusals.push((mail.to_owned(), world.send(request).await));
    }
    for (path, told) in &refusals {
        assert_eq!(told.status, StatusCode::FORBIDDEN, "{path}: {}", told.text);
        assert_eq!(told.kind, "application/problem+json");
        assert_eq!(told.text, refusals[0].1.text, "{path}");
    }
    assert_eq!(world.touch(&touches[0]).await, touches[0]);

    // Once it is the provider who asks, it is told more.
    let unknown = world.tell(&format!("/hooks/twilio/{PHONE}/999999"), &form).await;
    assert_eq!((unknown.status, unknown.kind.as_str()), (StatusCode::NOT_FOUND, "application/problem+json"));
    let unread = world.tell(&own, &[("Odd", "1")]).await;
    assert_eq!(unread.status, StatusCode::BAD_REQUEST);
    let large = world.http.post(url(&own)).body(vec![b'a'; 70_000]);
    assert_eq!(world.send(large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(world.send(world.http.get(url(&own))).await.status, StatusCode::METHOD_NOT_ALLOWED);
    let nothing = world.send(world.http.get(url("/campaigns"))).await;
    assert_eq!((nothing.status, nothing.kind.as_str()), (StatusCode::NOT_FOUND, "application/problem+json"));
    assert_eq!(world.tell(&format!("{own}?x=1"), &form).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.touch(&touches[0]).await.status, TouchStatus::Failed);
    world.stage.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_that_is_quicker_than_the_record_or_comes_instead_of_it_says_that_it_was_sent() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::set(dir.path(), &["*=drop-callback"]).await;
    world.stage.work().await;
    let people = world.stage.contacts("b", 2).await;
    let texts = world.sent("texts", &people, Channel::Sms).await;
    let calls = world.sent("calls", &people, Channel::Voicemail).await;
    world.stage.rest().await;

    let (text, call) = (&texts[0], &calls[0]);
    world.forget_the_answer(text, TouchStatus::Sending).await;
    assert_eq!(world.tell_of(text, "SM1", "queued").await.status, StatusCode::NO_CONTENT);
    let known = world.touch(text).await;
    assert_eq!((known.status, known.provider_ref.as_deref()), (TouchStatus::Sent, Some("SM1")));
    assert!(known.sent_at.is_some() && known.ended_at.is_none(), "{known:?}");
    for (word, provider_status, status) in [
        ("sent", "sent", TouchStatus::Sent),
        ("sending", "sent", TouchStatus::Sent),
        ("teleported", "teleported", TouchStatus::Sent),
        ("delivered", "delivered", TouchStatus::Delivered),
        ("delivered", "delivered", TouchStatus::Delivered),
        ("sent", "delivered", TouchStatus::Delivered),
        ("failed", "delivered", TouchStatus::Delivered),
    ] {
        assert_eq!(world.tell_of(text, "SM1", word).await.status, StatusCode::NO_CONTENT);
        let told = world.touch(text).await;
        assert_eq!((told.status, told.provider_status.as_str()), (status, provider_status), "after {word}");
    }
    assert_eq!(world.events(text, EventKind::Delivered).await, 1);
    // What was said behind its end changes nothing, and is on record: once, with the provider's words.
    world.tell_of(text, "SM1", "failed").await;
    let id = text.id;
    let said = world.stage.app.db().read(move |tx| events::of_touch(tx, id)).await.unwrap();
    let late: Vec<_> = said.iter().filter(|event| event.kind == EventKind::Failed).collect();
    assert!(matches!(late[..], [one] if one.source == "phone" && one.detail == "twilio/failed"), "{said:?}");
    assert_eq!(said.last().unwrap().kind, EventKind::Failed, "behind the arrival");

    // Nobody knew whether the call was made; a person does not have to decide any more.
    world.forget_the_answer(call, TouchStatus::Unknown).await;
    let (id, contact) = (call.id, call.contact);
    let ask = move |tx: &mut db::Tx<'_>| {
        let about = (Some(id), Some(contact), Channel::Voicemail);
        reviews::open(tx, ReviewKind::UnknownCall, about, "", &reviews::of_call(id), windlass::Time(1))
    };
    assert!(world.stage.app.db().write(ask).await.unwrap());
    assert_eq!(world.tell_of(call, "CA1", "completed").await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.touch(call).await.status, TouchStatus::Delivered);
    assert!(world.reviews().await.is_empty());

    // Of a text that went out twice, the failure of the copy says nothing.
    let twice = &texts[1];
    world.tell_of(twice, "SM0000", "undelivered").await;
    assert_eq!(world.touch(twice).await.status, TouchStatus::Sent);
    world.tell_of(twice, "SM0000", "delivered").await;
    assert_eq!(world.touch(twice).await.status, TouchStatus::Delivered);
}
