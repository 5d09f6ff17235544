//! Mail that comes in: bounces, answers and ways out that the mail server's double sends back, and what somebody forges.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use axum::Router;
use reqwest::StatusCode;
use windlass_campaigns::{
    channel::Channel,
    db::{self, Db},
    figures,
    flow::{
        accounts,
        decide::{Decision, decide},
        erasure, strangers,
    },
    hooks::inbound_mail,
    model::{
        CampaignId, ContactId, ProviderId, ReviewId,
        campaign::EnrolmentStatus,
        touch::{EventKind, Touch, TouchStatus},
    },
    open,
    store::{enrolments, events, providers, reviews, suppressions, touches},
    window::Delay,
};
use windlass_doubles::{Rules, smtp};

use crate::{
    server::Server,
    stage::{Setting, Stage, in_status, step},
};

const PREFIX: &str = "/open/campaigns";
const KEY: &str = "the key of these tests";
/// The account of mails, which the stage makes as its first.
const MAIL: ProviderId = ProviderId(1);
const DEADLINE: Duration = Duration::from_secs(20);

/// A stage with a mailbox that programs read.
struct Office {
    stage: Stage,
    url: String,
    http: reqwest::Client,
    served: tokio::task::JoinHandle<()>,
}

impl Drop for Office {
    fn drop(&mut self) {
        self.served.abort();
    }
}

impl Office {
    async fn open(dir: &Path, database: &str, rules: &[&str]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}{PREFIX}", listener.local_addr().unwrap());
        let mail = smtp::Options {
            rules: Rules::parse(5, rules).unwrap(),
            inbound_url: Some(format!("{url}/hooks/mail/{MAIL}/inbound?key={}", KEY.replace(' ', "+"))),
            pace: Duration::from_millis(1),
            ..smtp::Options::default()
        };
        let setting = Setting { mail, public_url: Some(url.clone()), ..Setting::default() };
        let mut stage = Stage::on(dir, database, setting).await;
        let mut provider =
            stage.app.db().read(|tx| providers::get(tx, MAIL)).await.unwrap().expect("the account of mails");
        provider.inbound_key = KEY.to_owned();
        accounts::set_provider(&stage.app, provider, "test").await.unwrap();
        let router = Router::new().nest(PREFIX, open::router(stage.app.clone()));
        let served = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let http = reqwest::Client::builder().no_proxy().tls_certs_only(std::iter::empty()).build().unwrap();
        stage.work().await;
        Self { stage, url, http, served }
    }

    async fn on_sqlite(dir: &Path, rules: &[&str]) -> Self {
        let url = format!("sqlite:{}", dir.join("campaigns.db").display());
        Self::open(dir, &url, rules).await
    }

    /// Two mails for each of these, three days apart; so that the first are sent and the second wait.
    async fn two_mails(&self, people: &[ContactId]) -> (CampaignId, Vec<Touch>) {
        let body = "Hi, {{postal_address}} {{unsubscribe_url}}";
        let template = self.stage.template(Channel::Email, body).await;
        let steps = vec![
            step(Channel::Email, template, Delay::Minutes(0)),
            step(Channel::Email, template, Delay::Days(3)),
        ];
        let id = self.stage.draft("spring", people, steps).await;
        self.stage.launch(id).await;
        let sent = |_: &_, touches: &[Touch]| {
            touches.len() == people.len() && touches.iter().all(|touch| touch.sent_at.is_some())
        };
        self.stage.until(id, "mails", sent).await;
        let touches = self.stage.touches(id).await;
        (id, people.iter().map(|who| of(&touches, *who).clone()).collect())
    }

    /// Hands a mail over as a mail server's pipe does that speaks HTTP.
    async fn hand_over(&self, mail: &str) -> StatusCode {
        let url = format!("{}/hooks/mail/{MAIL}/inbound", self.url);
        let mail = mail.replace('\n', "\r\n");
        let request = self.http.post(url).basic_auth("mail", Some(KEY));
        request.header("content-type", "message/rfc822").body(mail).send().await.unwrap().status()
    }

    async fn taken(&self, mail: &str) {
        assert_eq!(self.hand_over(mail).await, StatusCode::NO_CONTENT, "{mail}");
    }

    async fn touch(&self, touch: &Touch) -> Touch {
        let id = touch.id;
        self.stage.app.db().read(move |tx| touches::get(tx, id)).await.unwrap().unwrap()
    }

    async fn events(&self, touch: &Touch) -> Vec<events::Event> {
        let id = touch.id;
        self.stage.app.db().read(move |tx| events::of_touch(tx, id)).await.unwrap()
    }

    async fn count(&self, touch: &Touch, kind: EventKind) -> usize {
        self.events(touch).await.iter().filter(|event| event.kind == kind).count()
    }

    async fn until(&self, touch: &Touch, kind: EventKind) -> events::Event {
        let begun = Instant::now();
        loop {
            let events = self.events(touch).await;
            if let Some(event) = events.iter().find(|event| event.kind == kind) {
                return event.clone();
            }
            assert!(begun.elapsed() < DEADLINE, "no {kind} of {touch:#?} in {events:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn why(&self, address: &str) -> Option<String> {
        let (hash, user) = (self.stage.app.hash_of(address), self.stage.user);
        let why = move |tx: &mut db::Tx<'_>| suppressions::why(tx, user, Channel::Email, &hash);
        self.stage.app.db().read(why).await.unwrap()
    }

    async fn standing(&self, campaign: CampaignId, contact: ContactId) -> EnrolmentStatus {
        let one = self.stage.app.db().read(move |tx| enrolments::get(tx, campaign, contact)).await;
        one.unwrap().unwrap().status
    }

    async fn reviews(&self) -> Vec<reviews::Review> {
        self.stage.app.db().read(|tx| reviews::undecided(tx, ReviewId(0), 100)).await.unwrap()
    }

    fn message_id(&self, touch: &Touch) -> String {
        self.stage.app.message_id(touch.id, "example.com")
    }

    /// What the mail to that address has behind `subject=` in its List-Unsubscribe.
    fn way_out(&self, to: &str) -> String {
        let mail = self.stage.mails().into_iter().find(|mail| mail.to == to).unwrap();
        let header = mail.list_unsubscribe.unwrap().into_owned();
        header.rsplit_once("subject=").unwrap().1.trim_end_matches('>').to_owned()
    }
}

fn of(touches: &[Touch], contact: ContactId) -> &Touch {
    touches.iter().find(|touch| touch.contact == contact).unwrap()
}

/// A report that a mail could not be delivered.
fn bounce(nth: u32, message_id: &str, recipient: &str, status: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.example.org\nTo: ann@example.com\nSubject: Undelivered\n\
         Message-ID: <dsn{nth}@mx.example.org>\nAuto-Submitted: auto-replied\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n\
         --b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.org\n\n\
         Final-Recipient: rfc822; {recipient}\nAction: failed\nStatus: {status}\n\
         Diagnostic-Code: smtp; 550 {status} no such mailbox\n\n\
         --b\nContent-Type: text/rfc822-headers\n\nMessage-ID: {message_id}\nSubject: News\n\n--b--\n"
    )
}

fn written(nth: u32, from: &str, subject: &str, headers: &str, text: &str) -> String {
    format!(
        "From: Somebody <{from}>\nTo: Ann <ann@example.com>\nSubject: {subject}\nMessage-ID: <m{nth}@example.org>\n\
         {headers}\n{text}\n"
    )
}

async fn what_comes_back_by_mail_is_heard(dir: &Path, database: &str) {
    let rules = [
        "b1@*=bounce",
        "b2@*=reply:Sounds good. To stop is no option.",
        "b3@*=autoreply",
        "b4@*=unsubscribe",
        "b5@*=spamreport",
        "b6@*=delayed",
        "b7@*=reply:Please take me off your list",
        "b8@*=reply:STOP",
        "b9@*=bounce:5.2.2",
    ];
    let mut office = Office::open(dir, database, &rules).await;
    let people = office.stage.contacts("b", 10).await;
    let (id, touches) = office.two_mails(&people).await;
    use EnrolmentStatus::{Active, Stopped};
    let stop_by_mail = Some("STOP by mail");
    for (nth, kind, status, standing, suppressed) in [
        (1, EventKind::Bounced, TouchStatus::Bounced, Stopped, Some("smtp/550-5.1.1")),
        (2, EventKind::Replied, TouchStatus::Sent, Stopped, None),
        (3, EventKind::AutoAnswered, TouchStatus::Sent, Active, None),
        (4, EventKind::OptedOut, TouchStatus::Sent, Stopped, Some("unsubscribed")),
        (5, EventKind::Complained, TouchStatus::Sent, Stopped, Some("spam complaint")),
        (6, EventKind::Delayed, TouchStatus::Sent, Active, None),
        (7, EventKind::Replied, TouchStatus::Sent, Stopped, None),
        (8, EventKind::OptedOut, TouchStatus::Sent, Stopped, stop_by_mail),
        (9, EventKind::Bounced, TouchStatus::Bounced, Stopped, None),
    ] {
        let event = office.until(&touches[nth], kind).await;
        assert_eq!(event.source, "mail", "{nth}: {event:?}");
        assert_eq!(office.touch(&touches[nth]).await.status, status, "{nth}");
        assert_eq!(office.standing(id, people[nth]).await, standing, "{nth}");
        let address = format!("b{nth}@example.org");
        assert_eq!(office.why(&address).await.as_deref(), suppressed, "{nth}");
    }
    assert_eq!(office.standing(id, people[0]).await, Active);
    let answer = office.until(&touches[2], EventKind::Replied).await;
    assert_eq!(answer.detail, "Sounds good. To stop is no option.", "what is quoted is left out");
    let reviews = office.reviews().await;
    let doubts: Vec<_> = reviews.iter().map(|review| (review.contact, review.channel)).collect();
    // The word "stop" anywhere in an answer is for a person to read, too.
    assert_eq!(doubts.len(), 2, "{reviews:#?}");
    assert!(doubts.contains(&(Some(people[7]), Channel::Email)), "{reviews:#?}");

    let figures = figures::counted(&office.stage.app, id).await.unwrap();
    let mails =
        figures.funnel.iter().find(|row| row.step == Some(1) && row.channel == Channel::Email).unwrap();
    assert_eq!((mails.replied, mails.opted_out), (2, 3), "{mails:?}");
    assert!(mails.counts.contains(&(TouchStatus::Bounced, 2)), "{mails:?}");
    office.stage.rest().await;
    let counters = office.stage.mail.counters();
    assert_eq!((counters.inbound, counters.callbacks, counters.callbacks_failed), (9, 9, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bounces_answers_and_ways_out_that_come_back_by_mail_are_heard() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("campaigns.db").display());
    what_comes_back_by_mail_is_heard(dir.path(), &url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bounces_answers_and_ways_out_that_come_back_by_mail_are_heard_on_postgres() {
    let (_server, address) = Server::on_loopback();
    let url = format!("postgres://windlass@{address}/postgres");
    let dir = tempfile::tempdir().unwrap();
    drop(Db::open(&url).await.expect("the tables are made"));
    what_comes_back_by_mail_is_heard(dir.path(), &url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bounce_must_name_our_mail_and_its_recipient_and_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut office = Office::on_sqlite(dir.path(), &[]).await;
    let people = office.stage.contacts("b", 4).await;
    let (id, touches) = office.two_mails(&people).await;
    let ours = office.message_id(&touches[0]);
    let guessed =
        format!("<t{}.{}.{}@example.com>", touches[0].id, office.stage.app.instance(), "0".repeat(20));
    assert!(office.stage.mails().iter().any(|mail| mail.message_id.as_deref() == Some(&ours)));
    for (nth, message_id, recipient) in [
        // Somebody else's mailbox, as where a mail was forwarded to.
        (1, ours.as_str(), "elsewhere@example.net"),
        // A mail that we did not write, or did not write so.
        (2, "<unknown@example.com>", "b0@example.org"),
        (3, &guessed, "b0@example.org"),
        (4, &office.message_id(&touches[1]), "b0@example.org"),
        (5, "", "b0@example.org"),
    ] {
        office.taken(&bounce(nth, message_id, recipient, "5.1.1")).await;
        for touch in &touches {
            assert_eq!(office.touch(touch).await, *touch, "{nth}");
        }
    }
    let genuine = bounce(6, &ours, "<B0@Example.org>", "5.1.1");
    for _ in 0..2 {
        office.taken(&genuine).await;
        assert_eq!(office.touch(&touches[0]).await.status, TouchStatus::Bounced);
        assert_eq!(office.count(&touches[0], EventKind::Bounced).await, 1);
    }
    assert_eq!(office.why("b0@example.org").await.as_deref(), Some("smtp/550-5.1.1"));
    assert_eq!(office.standing(id, people[0]).await, EnrolmentStatus::Stopped);

    // A server that was out of reach for days says nothing of the mailbox.
    let late = bounce(7, &office.message_id(&touches[1]), "b1@example.org", "4.4.7").replace("550 ", "");
    office.taken(&late).await;
    assert_eq!(office.touch(&touches[1]).await.status, TouchStatus::Failed);
    assert_eq!(office.why("b1@example.org").await, None);
    assert_eq!(office.standing(id, people[1]).await, EnrolmentStatus::Active);

    // A report that is quicker than the record, or comes in its place, says that it was sent.
    let touch = touches[2].id;
    let forgotten = move |tx: &mut db::Tx<'_>| {
        tx.run("UPDATE touches SET status = 'sending', sent_at = NULL WHERE id = $1", &[touch.into()])
    };
    assert_eq!(office.stage.app.db().write(forgotten).await.unwrap(), 1);
    let delivered = bounce(8, &office.message_id(&touches[2]), "b2@example.org", "2.0.0");
    let delivered = delivered.replace("Action: failed", "Action: delivered").replace("550 ", "250 ");
    office.taken(&delivered).await;
    let known = office.touch(&touches[2]).await;
    assert!(known.status == TouchStatus::Delivered && known.sent_at.is_some(), "{known:#?}");
    // What has arrived may come back after all.
    office.taken(&bounce(9, &office.message_id(&touches[2]), "b2@example.org", "5.1.1")).await;
    assert_eq!(office.touch(&touches[2]).await.status, TouchStatus::Bounced);

    // A complaint that leaves its recipient out shows our own link in place of that.
    let complaint = |nth: u32, header: &str| {
        format!(
            "From: fbl@isp.example\nSubject: complaint\nMessage-ID: <arf{nth}@isp.example>\n\
             Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n\
             --b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nUser-Agent: x\n\n\
             --b\nContent-Type: text/rfc822-headers\n\nMessage-ID: {}\n{header}\n--b--\n",
            office.message_id(&touches[3])
        )
    };
    office.taken(&complaint(1, "Subject: x\n")).await;
    assert_eq!(office.count(&touches[3], EventKind::Complained).await, 0);
    let mail = office.stage.mails().into_iter().find(|mail| mail.to == "b3@example.org").unwrap();
    let list_unsubscribe = format!("List-Unsubscribe: {}\n", mail.list_unsubscribe.unwrap());
    for _ in 0..2 {
        office.taken(&complaint(2, &list_unsubscribe)).await;
        assert_eq!(office.count(&touches[3], EventKind::Complained).await, 1);
    }
    assert_eq!(office.why("b3@example.org").await.as_deref(), Some("spam complaint"));
    office.stage.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_writes_ends_their_own_mail_and_nobody_elses() {
    let dir = tempfile::tempdir().unwrap();
    let mut office = Office::on_sqlite(dir.path(), &[]).await;
    let people = office.stage.contacts("b", 6).await;
    let (id, touches) = office.two_mails(&people).await;

    // A number alone is anybody's guess.
    let number = |nth: usize| format!("unsubscribe-{}", touches[nth].id);
    office.taken(&written(1, "eve@example.net", &number(0), "", "")).await;
    assert_eq!(office.standing(id, people[0]).await, EnrolmentStatus::Active);
    assert_eq!(office.why("b0@example.org").await, None);
    assert_eq!(office.why("eve@example.net").await.as_deref(), Some("STOP by mail"));
    assert!(office.reviews().await.is_empty());
    office.taken(&written(2, "B0@example.org", &number(0), "", "")).await;
    assert_eq!(office.standing(id, people[0]).await, EnrolmentStatus::Stopped);
    assert_eq!(office.why("b0@example.org").await.as_deref(), Some("STOP by mail"));

    // The token shows that the mail was theirs, wherever it comes from; a damaged one shows nothing.
    let token = office.way_out("b1@example.org");
    assert!(token.len() > inbound_mail::UNSUBSCRIBE.len() + 70, "{token}");
    office.taken(&written(3, "eve@example.net", &token[..token.len() - 1], "", "")).await;
    assert_eq!(office.standing(id, people[1]).await, EnrolmentStatus::Active);
    for _ in 0..2 {
        office.taken(&written(4, "other@example.net", &token, "Auto-Submitted: auto-generated\n", "")).await;
        assert_eq!(office.standing(id, people[1]).await, EnrolmentStatus::Stopped);
        assert_eq!(office.count(&touches[1], EventKind::OptedOut).await, 1);
    }
    assert_eq!(office.why("b1@example.org").await.as_deref(), Some("unsubscribed"));
    assert_eq!(office.why("other@example.net").await, None, "who carried it is not meant");

    // An order in the thread of a mail that went to somebody else is an answer; a person decides about the rest.
    let thread = |nth: usize| format!("In-Reply-To: {}\n", office.message_id(&touches[nth]));
    office.taken(&written(5, "colleague@example.net", "Re: News", &thread(2), "Unsubscribe")).await;
    assert_eq!(office.why("colleague@example.net").await.as_deref(), Some("STOP by mail"));
    assert_eq!(office.why("b2@example.org").await, None);
    assert_eq!(office.standing(id, people[2]).await, EnrolmentStatus::Stopped);
    assert_eq!(office.count(&touches[2], EventKind::Replied).await, 1);
    let reviews = office.reviews().await;
    assert_eq!((reviews.len(), reviews[0].contact), (1, Some(people[2])));
    assert!(reviews[0].text.starts_with("colleague@example.net: "), "{reviews:?}");
    decide(&office.stage.app, reviews[0].id, Decision::OptOut, "Ann").await.unwrap();
    assert_eq!(office.why("b2@example.org").await.as_deref(), Some("opted out"));
    let counted = windlass_campaigns::figures::counted(&office.stage.app, id).await.unwrap();
    assert_eq!(
        counted.funnel.iter().map(|step| step.opted_out).sum::<u64>(),
        3,
        "his is counted with the others"
    );

    // An answer is one from wherever it comes, once; a machine's is none.
    let absent =
        written(6, "b3@example.org", "Re: News", "Auto-Submitted: auto-replied\n", "STOP. I am away");
    office.taken(&absent).await;
    assert_eq!(office.standing(id, people[3]).await, EnrolmentStatus::Active);
    assert_eq!(office.count(&touches[3], EventKind::AutoAnswered).await, 1);
    for _ in 0..2 {
        office.taken(&written(7, "b3.private@example.net", "Re: News", &thread(3), "Call me")).await;
        assert_eq!(office.count(&touches[3], EventKind::Replied).await, 1);
    }
    assert_eq!(office.standing(id, people[3]).await, EnrolmentStatus::Stopped);
    // What Ann writes herself is no answer to her.
    office
        .taken(&written(13, "Ann@Example.com", "Re: Re: News", &thread(4), "Stop? I have unsubscribed you."))
        .await;
    assert_eq!(office.count(&touches[4], EventKind::Replied).await, 0);
    // Without a thread it is the latest mail that is meant.
    office.taken(&written(8, "b4@example.org", "Hello", "", "Call me")).await;
    assert_eq!(office.count(&touches[4], EventKind::Replied).await, 1);
    // Of somebody whom nobody knows an answer is not kept, and a doubt is.
    office.taken(&written(9, "stranger@example.net", "Hello", "", "Call me")).await;
    office.taken(&written(10, "stranger@example.net", "Hello", "", "Please take me off your list")).await;
    let reviews = office.reviews().await;
    assert_eq!((reviews.len(), reviews[0].contact), (1, None));
    decide(&office.stage.app, reviews[0].id, Decision::OptOut, "Ann").await.unwrap();
    assert_eq!(office.why("stranger@example.net").await.as_deref(), Some("opted out"));
    // Who was erased is nobody's contact any more, also in the thread of a mail of before.
    erasure::erase(&office.stage.app, people[5], "Ann").await.unwrap();
    let before = office.events(&touches[5]).await;
    for (nth, text) in [(11, "Call me"), (12, "Please take me off your list")] {
        office.taken(&written(nth, "b5@example.org", "Re: News", &thread(5), text)).await;
    }
    assert_eq!((office.events(&touches[5]).await, office.reviews().await.len()), (before, 0));
    let touches = office.stage.touches(id).await;
    assert_eq!(in_status(&touches, TouchStatus::Sent), 6, "{touches:#?}");
    office.stage.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mails_of_strangers_have_a_bound_and_whoever_has_a_mail_of_ours_is_heard() {
    let dir = tempfile::tempdir().unwrap();
    let mut office = Office::on_sqlite(dir.path(), &[]).await;
    let people = office.stage.contacts("b", 3).await;
    let (id, touches) = office.two_mails(&people).await;
    office.taken(&written(1, "eve@example.net", "Stop", "", "")).await;
    assert!(office.why("eve@example.net").await.is_some());
    let now = office.stage.app.now();
    let fill = move |tx: &mut db::Tx<'_>| {
        let used = "UPDATE usage SET used = $1 WHERE kind = 'stranger orders'";
        assert_eq!(tx.run(used, &[strangers::ORDERS_A_DAY.into()])?, 1);
        for nth in 0..strangers::QUESTIONS_OPEN {
            let (key, about) = (nth.to_string(), (None, None, Channel::Email));
            let kind = reviews::ReviewKind::PossibleOptOut;
            assert!(reviews::open_of_stranger(tx, kind, about, "no", &key, &key, now)?);
        }
        Ok::<_, db::DbError>(())
    };
    office.stage.app.db().write(fill).await.unwrap();
    office.taken(&written(2, "mallory@example.net", "Stop", "", "")).await;
    office.taken(&written(3, "trent@example.net", "Hello", "", "Please take me off your list")).await;
    assert_eq!(office.why("mallory@example.net").await, None);
    let dropped = async || {
        let now = office.stage.app.now();
        let standing = office.stage.app.db().read(move |tx| strangers::standing(tx, now)).await.unwrap();
        standing.dropped.iter().map(|day| (day.orders, day.questions)).collect::<Vec<_>>()
    };
    assert_eq!(dropped().await, [(1, 1)]);

    // Whoever answers a mail of ours ends what it belongs to, whatever room there is for strangers.
    let thread = format!("In-Reply-To: {}\n", office.message_id(&touches[0]));
    office.taken(&written(4, "colleague@example.net", "Re: News", &thread, "Unsubscribe")).await;
    assert_eq!(office.standing(id, people[0]).await, EnrolmentStatus::Stopped);
    assert_eq!(office.count(&touches[0], EventKind::Replied).await, 1);
    assert_eq!(dropped().await, [(2, 2)], "the order and the question are a stranger's");
    // And a contact is heard in full.
    office.taken(&written(5, "b1@example.org", "Stop", "", "")).await;
    assert_eq!(office.why("b1@example.org").await.as_deref(), Some("STOP by mail"));
    office.taken(&written(6, "b2@example.org", "Re: News", "", "Please take me off your list")).await;
    let open = office.stage.app.db().read(reviews::count).await.unwrap();
    assert_eq!(open, i64::from(strangers::QUESTIONS_OPEN) + 1);
    office.stage.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_is_taken_from_whoever_has_the_key_and_from_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut office = Office::on_sqlite(dir.path(), &[]).await;
    let people = office.stage.contacts("b", 2).await;
    let (_, touches) = office.two_mails(&people).await;
    let url = |path: &str| format!("{}{path}", office.url);
    let mail = written(1, "b0@example.org", "Re: News", "", "Call me");
    let post = |path: &str| office.http.post(url(path)).header("content-type", "message/rfc822");

    let mut refusals = Vec::new();
    for request in [
        post("/hooks/mail/1/inbound"),
        post("/hooks/mail/1/inbound?key="),
        post("/hooks/mail/1/inbound?key=wrong"),
        post("/hooks/mail/1/inbound").bearer_auth("wrong"),
        post("/hooks/mail/1/inbound").basic_auth(KEY, Some("wrong")),
        // An account of texts, one that there is not, and what is none.
        post("/hooks/mail/2/inbound").bearer_auth(KEY),
        post("/hooks/mail/77/inbound").bearer_auth(KEY),
        post("/hooks/mail/x/inbound").bearer_auth(KEY),
    ] {
        let answer = request.body(mail.clone()).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        refusals.push(answer.text().await.unwrap());
    }
    assert!(refusals.iter().all(|text| *text == refusals[0]), "{refusals:?}");
    assert_eq!(office.count(&touches[0], EventKind::Replied).await, 0);

    // The form of a service that parses mails, which comes with more than the mail.
    let form = |field: &str, text: String| {
        let part = |name: &str, text: &str| {
            format!("--xYz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
        };
        part("envelope", "{}") + &part("SPF", "pass") + &part(field, &text) + "--xYz--\r\n"
    };
    let inbound = url("/hooks/mail/1/inbound");
    let sent = |form: String| {
        let request = office.http.post(&inbound).basic_auth("x", Some(KEY)).body(form);
        request.header("content-type", "multipart/form-data; boundary=xYz").send()
    };
    assert_eq!(sent(form("email", mail.clone())).await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(office.count(&touches[0], EventKind::Replied).await, 1);
    let large = written(2, "b1@example.org", "Re: News", "", &"A film.\n".repeat(1_500_000));
    assert_eq!(sent(form("email", large)).await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(office.count(&touches[1], EventKind::Replied).await, 1, "its beginning is what counts");

    let parsed = sent(form("text", "Call me".to_owned())).await.unwrap();
    assert_eq!(parsed.status(), StatusCode::BAD_REQUEST);
    assert!(parsed.text().await.unwrap().contains("full MIME message"));
    let bad = post("/hooks/mail/1/inbound").bearer_auth(KEY).body("hello").send().await.unwrap();
    assert_eq!(bad.status(), StatusCode::BAD_REQUEST);
    assert!(bad.text().await.unwrap().contains("no mail"));
    let json = office.http.post(&inbound).bearer_auth(KEY).json(&serde_json::json!({})).send().await.unwrap();
    assert_eq!(json.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let read = office.http.get(&inbound).bearer_auth(KEY).send().await.unwrap();
    assert_eq!(read.status(), StatusCode::METHOD_NOT_ALLOWED);
    office.stage.rest().await;
}
