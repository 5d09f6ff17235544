//! Variants of a step: each contact gets one, it is written down, and nothing that happens later says otherwise.

use std::collections::BTreeMap;

use windlass::Time;
use windlass_campaigns::{
    app::AppError,
    channel::Channel,
    db::Value,
    drafts::{self, Kept, Moves},
    figures,
    model::{
        CampaignId, ContactId, TemplateId,
        campaign::{CampaignStatus, Step},
        touch::{EventKind, Touch, TouchStatus},
        variant::{Alternative, Variant},
    },
    preflight,
    store::{events, templates, touches},
    variants::{
        choice::{For, choose},
        results::{Goal, Tally, Test},
        verdict::Verdict,
    },
    window::{Delay, Week},
};
use windlass_doubles::{Rules, smtp};

use crate::{
    crash::losing,
    server::Server,
    stage::{Setting, Stage, fallback, in_status, new_york, step},
};

/// A mail whose subject is that letter.
async fn mail(stage: &Stage, subject: &'static str) -> TemplateId {
    let now = stage.app.now();
    let write = move |tx: &mut windlass_campaigns::db::Tx<'_>| {
        templates::write(tx, &format!("mail {subject}"), Channel::Email, subject, "Hi", None, now)
    };
    stage.app.db().write(write).await.unwrap()
}

/// A step that says `A` to some and `B` to others.
async fn a_or_b(stage: &Stage, delay: Delay) -> Step {
    let (a, b) = (mail(stage, "A").await, mail(stage, "B").await);
    with_others(step(Channel::Email, a, delay), &[b])
}

fn with_others(step: Step, others: &[TemplateId]) -> Step {
    let variants = others.iter().map(|id| Alternative { template: *id, weight: 50 }).collect();
    Step { variants, ..step }.settled()
}

fn letter(touch: &Touch) -> String {
    touch.variant.map_or(String::new(), |variant| variant.to_string())
}

/// What each recipient's mail had as its subject.
fn subjects(stage: &Stage) -> BTreeMap<String, Vec<String>> {
    let mut by: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for mail in stage.mails() {
        by.entry(mail.to.to_string()).or_default().push(mail.subject.unwrap_or_default().to_string());
    }
    by
}

async fn kept(stage: &Stage, id: CampaignId, variant: Variant, moves: Moves) -> Result<u32, AppError> {
    let kept = Kept { step: 1, variant, moves, revision: None };
    drafts::keep(&stage.app, id, kept, "Ann").await.map(|campaign| campaign.version)
}

async fn tests_of(stage: &Stage, id: CampaignId) -> Vec<Test> {
    figures::counted(&stage.app, id).await.unwrap().tests
}

/// Both go out, as they are written down, to those for whom they were chosen.
async fn both_go_out(stage: &mut Stage) {
    let people = stage.contacts("b", 24).await;
    let step = a_or_b(stage, Delay::Minutes(0)).await;
    let id = stage.draft("spring", &people, vec![step.clone()]).await;
    stage.carry_out(id).await;
    let (touches, subjects) = (stage.touches(id).await, subjects(stage));
    assert_eq!((touches.len(), in_status(&touches, TouchStatus::Sent)), (24, 24));
    for touch in &touches {
        let said =
            choose(&step, Channel::Email, For { campaign: id, step: 1, contact: touch.contact }).unwrap();
        assert_eq!((touch.template, touch.variant), (Some(said.template), said.variant), "{touch:#?}");
        assert_eq!(subjects[&touch.address], [letter(touch)]);
    }
    let as_a = touches.iter().filter(|touch| touch.variant == Some(Variant::A)).count();
    assert!((4..=20).contains(&as_a), "{as_a} of 24 got variant A");
    let [test] = &tests_of(stage, id).await[..] else { panic!("one test") };
    let counts: Vec<_> =
        test.variants.iter().map(|one| (one.name.as_str(), one.sent, one.messages)).collect();
    let (a, b) = (as_a as u64, 24 - as_a as u64);
    assert_eq!(counts, [("mail A", a, a), ("mail B", b, b)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_contact_gets_one_variant_and_it_is_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::set(dir.path(), Setting::default()).await;
    both_go_out(&mut stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_contact_gets_one_variant_and_it_is_written_down_on_postgresql() {
    let (_server, address) = Server::on_loopback();
    let dir = tempfile::tempdir().unwrap();
    let url = format!("postgres://windlass@{address}/postgres");
    let mut stage = Stage::on(dir.path(), &url, Setting::default()).await;
    both_go_out(&mut stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_is_repeated_says_what_it_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = losing(dir.path(), &["*,40%=drop"], &[]).await;
    let people = stage.contacts("b", 24).await;
    let step = a_or_b(&stage, Delay::Minutes(0)).await;
    let id = stage.draft("spring", &people, vec![step]).await;
    stage.carry_out(id).await;
    let subjects = subjects(&stage);
    assert!(subjects.values().any(|copies| copies.len() > 1), "no reply was lost: {subjects:?}");
    for touch in stage.touches(id).await {
        let copies = &subjects[&touch.address];
        assert!(copies.iter().all(|copy| *copy == letter(&touch)), "{copies:?} {touch:#?}");
    }
}

/// Mails of a test that all wait for the morning.
async fn waiting(dir: &std::path::Path) -> (Stage, CampaignId, Vec<Touch>) {
    let starts = new_york("2026-11-18T20:10:00");
    let mut stage = Stage::set(dir, Setting { starts, ..Setting::default() }).await;
    let people = stage.contacts("b", 12).await;
    let step = a_or_b(&stage, Delay::Minutes(0)).await;
    let id = stage.draft("spring", &people, vec![step]).await;
    stage.work().await;
    stage.launch(id).await;
    stage.until(id, "all wait", |_, touches| in_status(touches, TouchStatus::Deferred) == 12).await;
    let touches = stage.touches(id).await;
    (stage, id, touches)
}

async fn open_the_night(stage: &Stage, id: CampaignId) {
    stage.edit(id, |campaign| campaign.policy.week = Week::daily("00:00-24:00").unwrap()).await;
    for touch in stage.touches(id).await {
        stage.client().run_now(touch.job.parse().unwrap()).await.unwrap();
    }
}

fn with(touches: &[Touch], variant: Variant) -> Vec<Touch> {
    touches.iter().filter(|touch| touch.variant == Some(variant)).cloned().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_gets_the_variant_that_was_kept_and_what_was_begun_is_repeated_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (mut stage, id, before) = waiting(dir.path()).await;
    let [begun, waits] = &with(&before, Variant::A)[..2] else { panic!("few got A: {before:#?}") };
    // Its worker died, says the database, in the middle of the conversation.
    let number = begun.id;
    stage
        .app
        .db()
        .write(move |tx| {
            let at = new_york("2026-11-18T20:10:00");
            let sql = "UPDATE touches SET status = 'sending', sends = 1, sending_at = $2 WHERE id = $1";
            tx.run(sql, &[number.into(), Value::from(at)])
        })
        .await
        .unwrap();
    assert_eq!(kept(&stage, id, Variant::B, Moves::Everybody).await.unwrap(), 2);
    for touch in stage.touches(id).await {
        let is_begun = touch.id == begun.id;
        assert_eq!((touch.variant.is_some(), touch.version == 1), (is_begun, is_begun), "{touch:#?}");
    }
    open_the_night(&stage, id).await;
    stage.until_done(id).await;
    stage.rest().await;
    let (touches, subjects) = (stage.touches(id).await, subjects(&stage));
    let after = |touch: &Touch| touches.iter().find(|one| one.id == touch.id).unwrap();
    assert_eq!(subjects[&begun.address], ["A"]);
    assert_eq!((after(begun).variant, after(begun).version), (Some(Variant::A), 1));
    assert_eq!(subjects[&waits.address], ["B"]);
    let b = with(&before, Variant::B)[0].template;
    assert_eq!((after(waits).variant, after(waits).version, after(waits).template), (None, 2, b));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_do_not_move_keep_the_variant_that_they_have() {
    let dir = tempfile::tempdir().unwrap();
    let (mut stage, id, before) = waiting(dir.path()).await;
    // One of each is past their first step, as far as their enrolment says: a version for those who have not begun is not theirs.
    let (a, b) = (with(&before, Variant::A)[0].clone(), with(&before, Variant::B)[0].clone());
    let contacts: Vec<ContactId> = vec![a.contact, b.contact];
    stage
        .app
        .db()
        .write(move |tx| {
            let sql = "UPDATE enrolments SET step = 2 WHERE contact_id = $1";
            tx.run_each(sql, &contacts.iter().map(|id| vec![(*id).into()]).collect::<Vec<_>>())
        })
        .await
        .unwrap();
    assert_eq!(kept(&stage, id, Variant::B, Moves::NotBegun).await.unwrap(), 2);
    stage.app.db().write(|tx| tx.run("UPDATE enrolments SET step = 1", &[])).await.unwrap();
    open_the_night(&stage, id).await;
    stage.until_done(id).await;
    stage.rest().await;
    let subjects = subjects(&stage);
    let letters: Vec<String> = subjects.values().flatten().cloned().collect();
    assert_eq!((subjects[&a.address][0].as_str(), subjects[&b.address][0].as_str()), ("A", "B"));
    assert_eq!(letters.iter().filter(|letter| *letter == "A").count(), 1, "all others moved: {subjects:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_version_leaves_what_was_sent_as_it_was_and_its_test_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::set(dir.path(), Setting { speed: 60, ..Setting::default() }).await;
    let people = stage.contacts("b", 12).await;
    let (first, later) = (a_or_b(&stage, Delay::Minutes(0)).await, mail(&stage, "later").await);
    let steps = vec![first, step(Channel::Email, later, Delay::Days(1))];
    let id = stage.draft("spring", &people, steps.clone()).await;
    stage.work().await;
    stage.launch(id).await;
    stage.until(id, "the first step", |_, touches| in_status(touches, TouchStatus::Sent) == 12).await;
    stage.rest().await;
    let before = stage.touches(id).await;

    // Another change of the sequence goes on with the test; the end of the test does not.
    let longer = vec![steps[0].clone(), Step { delay: Delay::Days(2), ..steps[1].clone() }];
    drafts::next_version(&stage.app, id, longer, Moves::Everybody, "Ann").await.unwrap();
    let [test] = &tests_of(&stage, id).await[..] else { panic!("one test") };
    assert!(test.is_current && test.versions == [1, 2], "{test:?}");
    assert_eq!(kept(&stage, id, Variant::A, Moves::Everybody).await.unwrap(), 3);
    let again = kept(&stage, id, Variant::A, Moves::Everybody).await.unwrap_err();
    assert!(again.to_string().contains("there is nothing to end"), "{again}");
    assert_eq!(stage.touches(id).await, before);
    let [test] = &tests_of(&stage, id).await[..] else { panic!("one test") };
    assert_eq!((test.is_current, test.versions.as_slice()), (false, &[1][..]));
    assert_eq!(test.variants.iter().map(|one| one.sent).sum::<u64>(), 12);

    // Whoever changes a weight begins another test, which has nothing of the first.
    let (sent, mut other) = (test.clone(), steps[0].clone());
    other.variants[0].weight = 10;
    let next = vec![other, steps[1].clone()];
    drafts::next_version(&stage.app, id, next, Moves::Everybody, "Ann").await.unwrap();
    let [new, old] = &tests_of(&stage, id).await[..] else { panic!("two tests") };
    assert_eq!((new.is_current, new.versions.as_slice(), old), (true, &[4][..], &sent));
    assert!(new.variants.iter().all(|one| one.messages == 0), "{new:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_counted_for_the_variant_that_was_answered_each_person_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::set(dir.path(), Setting::default()).await;
    let people = stage.contacts("b", 12).await;
    let step = a_or_b(&stage, Delay::Minutes(0)).await;
    let id = stage.draft("spring", &people, vec![step]).await;
    stage.carry_out(id).await;
    let touches = stage.touches(id).await;
    let (a, b, now) = (with(&touches, Variant::A), with(&touches, Variant::B), stage.app.now());
    let told = [
        (&a[0], EventKind::Opened),
        (&a[0], EventKind::Opened),
        (&a[0], EventKind::Clicked),
        (&a[1], EventKind::Replied),
        (&b[0], EventKind::Opened),
        (&b[1], EventKind::Opened),
        (&b[1], EventKind::Complained),
        (&b[1], EventKind::OptedOut),
    ]
    .map(|(touch, kind)| (touch.clone(), kind));
    let (delivered, bounced) = (a[2].id, b[2].id);
    stage
        .app
        .db()
        .write(move |tx| {
            for (touch, kind) in &told {
                events::note(tx, touch, *kind, "test", "", None, now)?;
            }
            touches::told(tx, delivered, TouchStatus::Delivered, "", "", now)?;
            touches::told(tx, bounced, TouchStatus::Bounced, "", "", now)
        })
        .await
        .unwrap();
    let [test] = &tests_of(&stage, id).await[..] else { panic!("one test") };
    let row = |one: usize| {
        let one = &test.variants[one];
        (one.opened, one.clicked, one.replied, one.opted_out, one.delivered, one.bounced)
    };
    assert_eq!((row(0), row(1)), ((1, 1, 1, 0, 1, 0), (2, 0, 0, 1, 0, 1)));
    assert_eq!(test.verdict(Goal::Replied), Verdict::TooFew, "one answer decides nothing");
    let rates = test.variants[0].rates();
    assert!(rates.replied.low < rates.replied.rate && rates.replied.rate < rates.replied.high);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_channel_that_a_step_falls_back_on_is_no_part_of_its_test() {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules::parse(1, &["b1@example.org=550"]).unwrap();
    let setting = Setting { mail: smtp::Options { rules, ..smtp::Options::default() }, ..Setting::default() };
    let mut stage = Stage::set(dir.path(), setting).await;
    let people = stage.contacts("b", 4).await;
    let text = stage.template(Channel::Sms, "Hi. STOP ends.").await;
    let step = fallback(a_or_b(&stage, Delay::Minutes(0)).await, Channel::Sms, text);
    let id = stage.draft("spring", &people, vec![step]).await;
    stage.carry_out(id).await;
    let touches = stage.touches(id).await;
    let texts: Vec<_> = touches.iter().filter(|touch| touch.channel == Channel::Sms).collect();
    assert_eq!(texts.len(), 1);
    assert_eq!((texts[0].template, texts[0].variant), (Some(text), None));
    let [test] = &tests_of(&stage, id).await[..] else { panic!("one test") };
    let sums = |of: fn(&Tally) -> u64| test.variants.iter().map(of).sum::<u64>();
    let said = (sums(|one| one.messages), sums(|one| one.sent), sums(|one| one.bounced));
    assert_eq!(said, (4, 4, 1), "the mail that bounced went out as well, and the text is none of them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_ends_only_where_there_is_one_and_as_it_was_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let stage = Stage::set(dir.path(), Setting::default()).await;
    let people = stage.contacts("b", 2).await;
    let (first, plain) = (a_or_b(&stage, Delay::Minutes(0)).await, mail(&stage, "plain").await);
    let id = stage.draft("spring", &people, vec![first, step(Channel::Email, plain, Delay::Days(1))]).await;
    let try_it = async |step, variant, revision| {
        let kept = Kept { step, variant, moves: Moves::Everybody, revision };
        drafts::keep(&stage.app, id, kept, "Ann").await.map_err(|error| error.to_string())
    };
    let said = try_it(1, Variant::A, None).await.unwrap_err();
    assert!(said.contains("change the draft itself"), "{said}");
    stage.launch(id).await;
    let revision = stage.campaign(id).await.revision;
    for (step, variant, revision, why) in [
        (0, Variant::A, None, "no step 0"),
        (9, Variant::A, None, "no step 9"),
        (2, Variant::A, None, "nothing to end"),
        (1, Variant::C, None, "step 1 has A to B, and no C"),
        (1, Variant::A, Some(revision - 1), "changed by somebody else"),
    ] {
        let said = try_it(step, variant, revision).await.unwrap_err();
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(stage.campaign(id).await.version, 1);
    let kept = try_it(1, Variant::A, Some(revision)).await.unwrap();
    assert_eq!((kept.version, kept.status), (2, CampaignStatus::Running));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_variant_is_judged_for_those_who_will_get_it() {
    let dir = tempfile::tempdir().unwrap();
    let stage = Stage::set(dir.path(), Setting::default()).await;
    let people = stage.contacts("b", 20).await;
    let (a, b) = (
        stage.template(Channel::Sms, "Hi {{first_name}}. STOP ends.").await,
        stage.template(Channel::Sms, "Hi {{company}}. STOP ends.").await,
    );
    let step = with_others(step(Channel::Sms, a, Delay::Minutes(0)), &[b]);
    let id = stage.draft("spring", &people, vec![step.clone()]).await;
    let said = preflight::check(&stage.app, id).await.unwrap();
    let get_b = |contact: &&ContactId| {
        let said = choose(&step, Channel::Sms, For { campaign: id, step: 1, contact: **contact });
        said.unwrap().variant == Some(Variant::B)
    };
    let lacking = people.iter().filter(get_b).count() as u64;
    assert!((3..=17).contains(&lacking), "{lacking} of 20 get variant B");
    let found: Vec<_> =
        said.findings.iter().map(|one| (one.code, one.step, one.variant, one.count)).collect();
    assert_eq!(found, [("missing_values", Some(1), Some(Variant::B), Some(lacking))], "{said:#?}");
    assert_eq!(said.reachable, 20 - lacking);
    let messages: u64 = said.forecast.unwrap().days.iter().map(|day| day.sent).sum();
    assert_eq!(messages, 20 - lacking);
    assert!(said.checked_at > Time(0));
}
