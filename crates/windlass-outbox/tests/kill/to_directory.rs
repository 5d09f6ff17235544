//! A database to a directory: the relay's process owns the queue, so between two of its lives the test opens it and works.

use crate::postgres::Server as Postgres;
use crate::relay_process::{Running, outbox};
use crate::tally::Tally;
use std::time::{Duration, Instant};
use tokio_postgres::NoTls;
use windlass_core::queue::{QueueSettings, Retention};
use windlass_core::store::{Admin, Claim, Queue, Settle, Store};
use windlass_core::{QueueName, WorkerId};
use windlass_embedded::{EmbeddedOptions, EmbeddedStore};
use windlass_outbox::Table;
use windlass_testkit::Dice;

const KILLS: usize = 20;

/// Who writes rows.
enum Writer {
    Postgres { client: Box<tokio_postgres::Client>, server: Postgres },
    Sqlite(Box<rusqlite::Connection>),
}

impl Writer {
    async fn run(&self, sql: &str) {
        match self {
            Writer::Postgres { client, .. } => client.batch_execute(sql).await.unwrap(),
            Writer::Sqlite(connection) => connection.execute_batch(sql).unwrap(),
        }
    }
}

pub(crate) fn run(database: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(scene(database));
}

async fn scene(database: &str) {
    let mut dice = Dice::new(database);
    let directory = tempfile::tempdir().unwrap();
    let (writer, from) = if database == "sqlite" {
        let path = directory.path().join("app.db");
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        connection.execute_batch(&windlass_outbox::sqlite::schema(&Table::default())).unwrap();
        (Writer::Sqlite(Box::new(connection)), format!("sqlite:{}", path.display()))
    } else {
        let server = Postgres::start();
        let from = server.url("postgres");
        let (client, driver) = tokio_postgres::connect(&from, NoTls).await.unwrap();
        tokio::spawn(driver);
        client.batch_execute(&windlass_outbox::postgres::schema(&Table::default(), true)).await.unwrap();
        (Writer::Postgres { client: Box::new(client), server }, from)
    };
    let to = directory.path().join("queue");
    let to = to.to_str().unwrap();
    let tally = Tally::default();
    let store = EmbeddedStore::open(to.as_ref(), EmbeddedOptions::default()).unwrap();
    let retention = Retention { completed_ms: 0, completed_count: 0, ..Retention::default() };
    let settings = QueueSettings { retention, ..QueueSettings::default() };
    store.set_queue(QueueName::new("q").unwrap(), settings, None).await.unwrap().unwrap();
    store.close().await.unwrap();
    drop(store);

    let mut row = 0;
    for _ in 0..KILLS {
        let relay = Running::start(&from, to);
        let until = Instant::now() + Duration::from_millis(20 + dice.below(200));
        while Instant::now() < until {
            let count = 1 + dice.below(5);
            let rows: Vec<u64> = (row..row + count).collect();
            row += count;
            let commits = dice.chance(70);
            let mut sql = String::from("BEGIN;");
            for row in &rows {
                sql += &format!(
                    "INSERT INTO windlass_outbox (queue, kind, payload) VALUES ('q', 'k', '{row}');"
                );
            }
            sql += if commits { "COMMIT" } else { "ROLLBACK" };
            writer.run(&sql).await;
            tally.wrote(&rows, Some(commits));
            tokio::time::sleep(Duration::from_millis(dice.below(5))).await;
        }
        drop(relay);
        work(to, &tally).await;
    }
    let relay = Running::start(&from, to);
    let mut look = outbox(&from);
    let patience = Instant::now();
    while look.standing().await.unwrap().waiting > 0 {
        assert!(patience.elapsed().as_secs() < 60, "the rows go");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(relay);
    work(to, &tally).await;
    tally.check();
    if let Writer::Postgres { server, .. } = writer {
        server.end(rustix::process::Signal::INT);
    }
}

/// Completes every job of the directory.
async fn work(directory: &str, tally: &Tally) {
    let store = EmbeddedStore::open(directory.as_ref(), EmbeddedOptions::default()).unwrap();
    let mut settle_first = Vec::new();
    loop {
        let wants = vec![(QueueName::new("q").unwrap(), 100)];
        let claim = Claim { settle_first, wants, worker: WorkerId(7), nonce: 7 };
        let claimed = store.claim(claim, None).await.unwrap();
        assert!(claimed.settled.iter().all(Result::is_ok));
        tally.ran(&claimed.jobs);
        let done = claimed.jobs.into_iter();
        settle_first =
            done.map(|job| Settle::Complete { lease: job.lease, result: None, then: vec![] }).collect();
        if settle_first.is_empty() {
            return store.close().await.unwrap();
        }
    }
}
