//! The same on PostgreSQL, with several processes' worth of the application on one database and one queue.

use std::collections::{BTreeMap, BTreeSet};

use windlass::Time;
use windlass_campaigns::{
    app::{App, Options},
    channel::Channel,
    db::{self, Db, DbError, Value},
    model::{
        CampaignId, ContactId, ListId, TouchId,
        touch::{Reason, TouchStatus},
    },
    store::{contacts, settings, touches, usage},
    window::Delay,
};

use crate::{
    server::Server,
    stage::{Queue, Setting, Stage, fallback, in_status, step},
};

/// A server with an empty database, and its address.
fn server() -> (Server, String) {
    let (server, address) = Server::on_loopback();
    (server, format!("postgres://windlass@{address}/postgres"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sequence_reaches_everybody_once_and_caps_hold() {
    let (_server, url) = server();
    let dir = tempfile::tempdir().unwrap();
    drop(Db::open(&url).await.expect("the tables are made"));
    let mut stage = Stage::on(dir.path(), &url, Setting { speed: 600, ..Setting::default() }).await;
    let people = stage.contacts("b", 20).await;
    let mail = stage.template(Channel::Email, "Hi {{first_name}}, {{postal_address}}").await;
    let text = stage.template(Channel::Sms, "Hi {{first_name}}. STOP ends.").await;
    let call = stage.template(Channel::Voicemail, "Hello {{first_name}}").await;
    let steps = vec![
        fallback(step(Channel::Email, mail, Delay::Minutes(0)), Channel::Sms, text),
        step(Channel::Sms, text, Delay::Minutes(30)),
        step(Channel::Voicemail, call, Delay::Minutes(30)),
    ];
    let id = stage.draft("spring", &people, steps).await;
    let capped = stage.draft("capped", &people, vec![step(Channel::Email, mail, Delay::Minutes(0))]).await;
    stage.edit(capped, |campaign| campaign.daily_cap = Some(4)).await;
    stage.work().await;
    assert_eq!(stage.launch(id).await.contacts, 20);
    stage.launch(capped).await;
    stage.until_done(id).await;
    stage.until(capped, "four", |_, touches| in_status(touches, TouchStatus::Sent) == 4).await;
    stage.rest().await;
    assert!(stage.touches(id).await.iter().all(|touch| touch.status.was_sent()));
    assert_eq!(stage.touches(id).await.len(), 60);
    assert_eq!((stage.mails().len(), stage.calls_and_texts().len()), (24, 40));
    let used = usage::Of::Campaign(capped);
    let used = stage.app.db().read(move |tx| usage::used(tx, used, "2026-11-18")).await.unwrap();
    assert_eq!(used, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_on_one_database_and_one_queue_send_nothing_twice() {
    let (_server, url) = server();
    let dir = tempfile::tempdir().unwrap();
    let setting = Setting { speed: 600, queue: Queue::At(url.clone()), ..Setting::default() };
    let mut stage = Stage::on(dir.path(), &url, setting).await;
    let people = stage.contacts("b", 25).await;
    let mail = stage.template(Channel::Email, "Hi").await;
    let text = stage.template(Channel::Sms, "Hi. STOP ends.").await;
    let steps =
        vec![step(Channel::Email, mail, Delay::Minutes(0)), step(Channel::Sms, text, Delay::Minutes(5))];
    let id = stage.draft("spring", &people, steps).await;
    // One of the two is capped below what the other campaign needs, and both take from the same sender.
    let capped = stage.draft("capped", &people, vec![step(Channel::Email, mail, Delay::Minutes(0))]).await;
    stage.edit(capped, |campaign| campaign.daily_cap = Some(7)).await;
    let (db, client) = (Db::open(&url).await.unwrap(), windlass::open(&url).await.unwrap());
    let other = App::open(db, client, Options::default()).await.unwrap();
    assert_eq!(other.instance(), stage.app.instance(), "one installation");
    stage.work().await;
    let relaying = db::relay(other.db(), other.client()).unwrap();
    let worker = other.work().await.unwrap();
    stage.launch(id).await;
    stage.launch(capped).await;
    stage.until_done(id).await;
    stage.until(capped, "seven", |_, touches| in_status(touches, TouchStatus::Sent) == 7).await;
    worker.shutdown().await;
    relaying.end().await;
    stage.rest().await;

    let touches = stage.touches(id).await;
    assert!(touches.iter().all(|touch| touch.status.was_sent() && touch.sends == 1), "{touches:#?}");
    let mails = stage.mails();
    let ids: BTreeSet<_> = mails.iter().map(|mail| mail.message_id.clone().unwrap()).collect();
    assert_eq!((mails.len(), ids.len()), (32, 32));
    let mut texts = BTreeMap::new();
    for text in stage.calls_and_texts() {
        *texts.entry(text.to.clone().into_owned()).or_insert(0) += 1;
    }
    assert_eq!(texts.len(), 25);
    assert!(texts.values().all(|count| *count == 1), "{texts:?}");
    let waits = stage.touches(capped).await;
    let waits = waits.iter().filter(|touch| touch.status == TouchStatus::Deferred);
    assert!(
        waits
            .clone()
            .all(|touch| { matches!(touch.reason, Some(Reason::CampaignCap | Reason::WindowClosed)) })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_above_two_thousand_million_is_one_like_any_other() {
    const ID: i64 = 1 << 40;
    let (_server, url) = server();
    let db = Db::open(&url).await.unwrap();
    let found = db.write(|tx| {
        let which = touches::Which { campaign: Some(CampaignId(ID)), ..touches::Which::default() };
        let touches = touches::page(tx, which, TouchId(ID), 10)?;
        touches::skip_all(tx, ContactId(ID), Some(CampaignId(ID)), None, Reason::Stopped, Time(0))?;
        let listed = contacts::page(tx, Some(ListId(ID)), "", ContactId(ID), 10)?;
        let greater = tx.is_there("SELECT 1 WHERE $1 > 0 AND $2 = 'yes'", &[ID.into(), "yes".into()])?;
        Ok::<_, DbError>((touches.len(), listed.len(), greater))
    });
    assert_eq!(found.await.unwrap(), (0, 0, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_a_newer_version_are_left_alone_and_what_fails_leaves_nothing() {
    let (server, url) = server();
    let (db, other) = (Db::open(&url).await.unwrap(), Db::open(&url).await.unwrap());
    // A rule that is broken takes the whole transaction with it, and the session is good for the next one.
    let broken = db.write(|tx| {
        settings::set(tx, "a", &1)?;
        tx.run("INSERT INTO settings (name, value) VALUES ('a', '2')", &[])
    });
    assert!(matches!(broken.await, Err(DbError::Refused(_))));
    let count = |tx: &mut db::Tx<'_>| tx.count("SELECT count(*) FROM settings", &[]);
    assert_eq!(db.write(count).await.unwrap(), 0);
    assert!(db.read(|tx| settings::set(tx, "a", &1)).await.is_err(), "a look writes nothing");
    let panics = db.write(|tx| -> Result<(), DbError> {
        settings::set(tx, "a", &1)?;
        panic!("on purpose")
    });
    assert!(panics.await.is_err());
    assert_eq!(db.read(count).await.unwrap(), 0);

    // Two that want what the other has: one of them goes again, and both are done.
    db.write(|tx| {
        settings::set(tx, "x", &0)?;
        settings::set(tx, "y", &0)
    })
    .await
    .unwrap();
    let meet = std::sync::Arc::new(std::sync::Barrier::new(2));
    let crossing = |db: Db, first: &'static str, second: &'static str| {
        let (meet, met) = (meet.clone(), std::sync::atomic::AtomicBool::new(false));
        db_task(db, move |tx| {
            let add = "UPDATE settings SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) WHERE name = $1";
            tx.run(add, &[Value::from(first)])?;
            if !met.swap(true, std::sync::atomic::Ordering::SeqCst) {
                meet.wait();
            }
            tx.run(add, &[Value::from(second)]).map(drop)
        })
    };
    let (one, two) = (crossing(db.clone(), "x", "y"), crossing(other, "y", "x"));
    one.await.unwrap().unwrap();
    two.await.unwrap().unwrap();
    let sum = "SELECT CAST(sum(CAST(value AS BIGINT)) AS BIGINT) FROM settings";
    assert_eq!(db.read(move |tx| tx.count(sum, &[])).await.unwrap(), 4);

    server.sql("UPDATE campaigns_schema SET sha256 = 'another'");
    let refused = Db::open(&url).await.unwrap_err();
    assert!(matches!(refused, DbError::Build { version: 1 }), "{refused:?}");
    server.sql("UPDATE campaigns_schema SET version = 99");
    let refused = Db::open(&url).await.unwrap_err();
    assert!(matches!(refused, DbError::Version { found: 99, .. }), "{refused:?}");
}

fn db_task(
    db: Db,
    work: impl Fn(&mut db::Tx<'_>) -> Result<(), DbError> + Send + Sync + 'static,
) -> tokio::task::JoinHandle<Result<(), DbError>> {
    tokio::spawn(async move { db.write(work).await })
}
