//! What is shown of a campaign while it runs and after, and what is handed out of it.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

#[path = "flow/stage.rs"]
#[allow(dead_code, reason = "the flow's tests use all of it")]
mod stage;

use std::{collections::BTreeMap, sync::Arc};

use futures_util::TryStreamExt;
use serde_json::Value;
use stage::{MORNING, Setting, Stage, step};
use windlass::Time;
use windlass_campaigns::{
    app::App,
    channel::Channel::{Email, Sms},
    export::{self, Format},
    figures,
    flow::verbs,
    model::{
        CampaignId, ContactId,
        campaign::CampaignStatus,
        touch::{EventKind, Reason, TouchStatus},
    },
    store::events,
    window::Delay,
};

async fn two_steps(stage: &Stage, people: &[ContactId]) -> CampaignId {
    let mail = stage.template(Email, "Hi {{first_name}}").await;
    let text = stage.template(Sms, "Hi {{company}}").await;
    let steps = vec![step(Email, mail, Delay::Minutes(0)), step(Sms, text, Delay::Minutes(30))];
    stage.draft("spring", people, steps).await
}

async fn exported(app: &App, id: CampaignId, format: Format) -> String {
    let pieces: Vec<_> = export::of_campaign(app, id, format).try_collect().await.unwrap();
    String::from_utf8(pieces.concat()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_campaign_its_figures_are_its_messages() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::set(dir.path(), Setting { speed: 600, ..Setting::default() }).await;
    let people = stage.contacts("b", 10).await;
    let with_company = people[..4].to_vec();
    let fields = move |tx: &mut windlass_campaigns::db::Tx<'_>| {
        let sql = "UPDATE contacts SET fields = '{\"company\": \"=Acme\"}' WHERE id = $1";
        tx.run_each(sql, &with_company.iter().map(|id| vec![(*id).into()]).collect::<Vec<_>>())
    };
    stage.app.db().write(fields).await.unwrap();
    let id = two_steps(&stage, &people).await;
    let draft = figures::of(&stage.app, id).await.unwrap();
    assert_eq!((draft.percent, draft.sent, draft.eta), (0, 0, None));
    assert!(
        Arc::ptr_eq(&draft, &figures::of(&stage.app, id).await.unwrap()),
        "it is not counted again at once"
    );

    stage.launch(id).await;
    let launched = figures::counted(&stage.app, id).await.unwrap();
    assert_eq!((launched.percent, launched.active, launched.contacts), (0, 10, 10));
    let eta = launched.eta.unwrap();
    // The second step is half an hour after the first.
    assert!(eta.0 >= launched.at.0 + 30 * 60_000 && eta.0 < launched.at.0 + 60 * 60_000, "{launched:?}");

    stage.work().await;
    stage.until_done(id).await;
    stage.rest().await;
    let touches = stage.touches(id).await;
    let opened = touches.iter().find(|touch| touch.channel == Email).unwrap().clone();
    let now = stage.app.now();
    for key in ["one", "two"] {
        let opened = opened.clone();
        let note = move |tx: &mut windlass_campaigns::db::Tx<'_>| {
            events::note(tx, &opened, EventKind::Opened, "test", "", Some(key), now)
        };
        stage.app.db().write(note).await.unwrap();
    }
    let figures = figures::counted(&stage.app, id).await.unwrap();
    assert_eq!((figures.status, figures.percent), (CampaignStatus::Done, 100));
    assert_eq!((figures.active, figures.done, figures.stopped), (0, 10, 0));
    assert_eq!((figures.sent, figures.sent_today), (14, 14));
    assert_eq!(figures.eta, stage.campaign(id).await.ended_at);
    let [mails, texts] = &figures.funnel[..] else { panic!("{figures:?}") };
    assert_eq!((mails.step, mails.channel, mails.sent, mails.opened), (Some(1), Email, 10, 1));
    assert_eq!((texts.step, texts.channel, texts.sent, texts.opened), (Some(2), Sms, 4, 0));
    assert_eq!(stage.mails().len() + stage.calls_and_texts().len(), 14);
    let because: Vec<_> = figures.skipped.iter().map(|why| (&*why.reason, why.said, why.count)).collect();
    assert_eq!(because, [("missing_variable", Reason::MissingVariable.said(), 6)]);
    assert_eq!(figures.waiting, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_the_morning_is_told_with_its_reason_and_when_it_will_be_through() {
    let dir = tempfile::tempdir().unwrap();
    // Ten in the evening in New York.
    let night = MORNING.plus_ms(12 * 3_600_000);
    let mut stage = Stage::set(dir.path(), Setting { starts: night, ..Setting::default() }).await;
    let people = stage.contacts("b", 6).await;
    let id = two_steps(&stage, &people).await;
    stage.edit(id, |campaign| campaign.daily_cap = Some(4)).await;
    stage.launch(id).await;
    stage.work().await;
    let deferred = |touches: &[windlass_campaigns::model::touch::Touch]| {
        stage::in_status(touches, TouchStatus::Deferred) == 4
    };
    stage.until(id, "those of the first day wait", |_, touches| deferred(touches)).await;
    stage.rest().await;
    let figures = figures::counted(&stage.app, id).await.unwrap();
    assert_eq!((figures.percent, figures.active, figures.daily_cap, figures.sent_today), (0, 6, Some(4), 0));
    let because: Vec<_> = figures.waiting.iter().map(|why| (&*why.reason, why.count)).collect();
    assert_eq!(because, [("window_closed", 4)]);
    // Twelve messages, four a day, from Thursday on at nine.
    let eta = figures.eta.unwrap();
    let saturday_at_nine = Time(MORNING.0 + (3 * 24 - 1) * 3_600_000);
    assert!(eta >= saturday_at_nine && eta.0 < saturday_at_nine.0 + 3_600_000, "{figures:?}");

    verbs::pause(&stage.app, id, "Ann").await.unwrap();
    assert_eq!(figures::counted(&stage.app, id).await.unwrap().eta, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_is_expected_by_the_clocks_where_contacts_are() {
    let dir = tempfile::tempdir().unwrap();
    // Ten in the evening in New York is noon in Tokyo.
    let night = MORNING.plus_ms(12 * 3_600_000);
    let stage = Stage::set(dir.path(), Setting { starts: night, ..Setting::default() }).await;
    let people = stage.contacts("b", 6).await;
    let moved = |some: &[ContactId]| {
        let some: Vec<_> = some.iter().map(|id| vec![(*id).into()]).collect();
        let sql = "UPDATE contacts SET time_zone = 'Asia/Tokyo', country = 'JP', state = NULL WHERE id = $1";
        stage.app.db().write(move |tx| tx.run_each(sql, &some))
    };
    moved(&people[..3]).await.unwrap();
    // Milliseconds from what is meant to what is expected: a few messages, and a slow machine's launch, take less than half
    // an hour.
    let late = async |name: &str, meant: Time| {
        let mail = stage.template(Email, "Hi").await;
        let id = stage.draft(name, &people, vec![step(Email, mail, Delay::Minutes(0))]).await;
        stage.launch(id).await;
        let eta = figures::counted(&stage.app, id).await.unwrap().eta.unwrap();
        eta.0.cast_signed() - meant.0.cast_signed()
    };
    let half_an_hour = 30 * 60_000;
    let nine = night.plus_ms(11 * 3_600_000);
    assert!((0..half_an_hour).contains(&late("half of them", nine).await), "at nine in New York");
    moved(&people[3..]).await.unwrap();
    assert!((0..half_an_hour).contains(&late("all of them", night).await), "now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_has_every_message_with_what_was_checked_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut stage = Stage::set(dir.path(), Setting { speed: 600, ..Setting::default() }).await;
    let people = stage.contacts("b", 300).await;
    let id = two_steps(&stage, &people).await;
    stage.carry_out(id).await;

    let table = exported(&stage.app, id, Format::Csv).await;
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let rows: Vec<BTreeMap<String, String>> = reader.deserialize().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 600, "more than a page");
    let ids: std::collections::BTreeSet<&str> = rows.iter().map(|row| &*row["touch"]).collect();
    assert_eq!(ids.len(), 600);
    let mail = &rows[0];
    assert_eq!((&*mail["channel"], &*mail["sender"]), ("email", "ann@example.com"));
    assert_eq!((&*mail["recipient_zones"], &*mail["zone_source"]), ("America/New_York", "contact"));
    assert!(mail["recipient_local"].starts_with("2026-11-18T1"), "{mail:?}");
    assert!(
        mail["sent_at"] >= mail["sending_at"] && mail["checked_at"].starts_with("2026-11-18T1"),
        "{mail:?}"
    );
    assert_eq!((mail["content_hash"].len(), &*mail["consent_basis"]), (64, "express_written"));
    let text = &rows[1];
    assert_eq!((&*text["status"], &*text["reason"], &*text["sent_at"]), ("skipped", "missing_variable", ""));
    assert!(text["address"].starts_with("'+1212"), "no cell is a formula: {text:?}");

    let lines = exported(&stage.app, id, Format::JsonLines).await;
    let touches: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(touches.len(), 600);
    assert_eq!(touches[0]["evidence"]["consent"]["basis"], "express_written");
    assert_eq!(touches[0]["record"], "touch");

    let one = export::of_contact(&stage.app, people[0], Format::JsonLines).await.unwrap();
    let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
    for line in std::str::from_utf8(&one).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        *kinds.entry(line["record"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let kinds: Vec<(&str, u32)> = kinds.iter().map(|(kind, count)| (&**kind, *count)).collect();
    assert_eq!(&kinds[..3], [("consent", 3), ("contact", 1), ("enrolment", 1)]);
    assert_eq!(&kinds[4..], [("lists", 1), ("touch", 2)]);
    assert!(kinds[3].0 == "event" && kinds[3].1 >= 3, "{kinds:?}");
    let table = export::of_contact(&stage.app, people[0], Format::Csv).await.unwrap();
    assert_eq!(std::str::from_utf8(&table).unwrap().lines().count(), 3);
    assert!(export::of_contact(&stage.app, ContactId(9_999), Format::Csv).await.is_err());
}
