//! Databases with an outbox, and the store behind it.

#[path = "../../../windlass-postgres/tests/server/mod.rs"]
mod server;

use server::Server;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio_postgres::NoTls;
use windlass_core::bounds::REMEMBERED_MS;
use windlass_core::queue::{QueueSettings, Retention};
use windlass_core::store::{Admin, Claim, ClaimedJob, Queue, Settle, Store};
use windlass_core::{QueueName, State, StoreError, Time, WorkerId};
use windlass_embedded::clock::ManualClock;
use windlass_embedded::{EmbeddedOptions, EmbeddedStore};
use windlass_outbox::postgres::PostgresOutbox;
use windlass_outbox::sqlite::SqliteOutbox;
use windlass_outbox::{Outbox, Relay, RelayOptions, Relayed, Table};

/// A database of its own.
pub(crate) enum Base {
    Postgres { name: String, client: tokio_postgres::Client },
    Sqlite { directory: tempfile::TempDir },
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start_for_this_process)
}

async fn client(database: &str) -> tokio_postgres::Client {
    let (client, driver) = tokio_postgres::connect(&server().url(database), NoTls).await.unwrap();
    tokio::spawn(driver);
    client
}

impl Base {
    pub(crate) async fn postgres(name: &str) -> Self {
        client("postgres").await.batch_execute(&format!("CREATE DATABASE \"{name}\"")).await.unwrap();
        let client = client(name).await;
        let schema = windlass_outbox::postgres::schema(&Table::default(), true);
        client.batch_execute(&schema).await.unwrap();
        client.batch_execute(&schema).await.expect("the schema may be run again");
        Base::Postgres { name: name.to_owned(), client }
    }

    pub(crate) fn sqlite() -> Self {
        let base = Base::Sqlite { directory: tempfile::tempdir().unwrap() };
        let connection = base.connection();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        let schema = windlass_outbox::sqlite::schema(&Table::default());
        connection.execute_batch(&schema).unwrap();
        connection.execute_batch(&schema).expect("the schema may be run again");
        base
    }

    pub(crate) fn connection(&self) -> rusqlite::Connection {
        let Base::Sqlite { directory } = self else { panic!("a SQLite file") };
        rusqlite::Connection::open(directory.path().join("app.db")).unwrap()
    }

    pub(crate) async fn run(&self, sql: &str) {
        match self {
            Base::Postgres { client, .. } => client.batch_execute(sql).await.unwrap(),
            Base::Sqlite { .. } => self.connection().execute_batch(sql).unwrap(),
        }
    }

    /// One row of the payload's number, with these options.
    pub(crate) async fn put(&self, queue: &str, payload: u64, options: &str) {
        let sql = format!(
            "INSERT INTO windlass_outbox (queue, kind, payload, options) VALUES ('{queue}', 'k', '{payload}', '{options}')"
        );
        self.run(&sql).await;
    }

    pub(crate) fn outbox(&self) -> Box<dyn Outbox> {
        match self {
            Base::Postgres { name, .. } => {
                Box::new(PostgresOutbox::new(&server().url(name), Table::default()).unwrap())
            }
            Base::Sqlite { directory } => {
                Box::new(SqliteOutbox::new(directory.path().join("app.db"), Table::default()))
            }
        }
    }
}

/// Runs a rule on each database.
pub(crate) fn on_each(name: &str, rule: impl AsyncFn(Base, Target)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        println!("{name} on SQLite");
        rule(Base::sqlite(), Target::new()).await;
        println!("{name} on PostgreSQL");
        rule(Base::postgres(name).await, Target::new()).await;
    });
}

/// A store in a directory, which keeps no ended job.
pub(crate) struct Target {
    directory: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

pub(crate) fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

/// Settings that remove a job with its end.
pub(crate) fn keeps_nothing() -> QueueSettings {
    let retention = Retention { completed_ms: 0, completed_count: 0, ..Retention::default() };
    QueueSettings { retention, ..QueueSettings::default() }
}

impl Target {
    pub(crate) fn new() -> Self {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
        let clock = ManualClock::new(Time(u64::try_from(now).unwrap()));
        Self { directory: tempfile::tempdir().unwrap(), clock }
    }

    pub(crate) fn open(&self) -> Arc<EmbeddedStore> {
        let options = EmbeddedOptions { clock: self.clock.clone(), ..EmbeddedOptions::default() };
        Arc::new(EmbeddedStore::open(self.directory.path(), options).unwrap())
    }

    /// Waits until every ended job of the queue is removed, and then so much longer that no id is remembered any more.
    pub(crate) async fn forget_ids(&self, store: &EmbeddedStore, name: &str) {
        let patience = Instant::now();
        loop {
            self.later(1_000);
            let infos = store.queues(Some(queue(name)), None).await.unwrap();
            if infos.first().is_none_or(|info| info.counts.of(State::Completed) == 0) {
                break;
            }
            assert!(patience.elapsed().as_secs() < 20, "ended jobs are removed");
            tokio::task::yield_now().await;
        }
        self.later(REMEMBERED_MS + 3_600_000);
    }

    pub(crate) fn later(&self, ms: u64) {
        self.clock.advance_ms(ms);
    }
}

/// Completes every job that can be claimed, and answers them in order.
pub(crate) async fn work(store: &EmbeddedStore, name: &str) -> Vec<ClaimedJob> {
    let mut all = Vec::new();
    let mut settle_first = Vec::new();
    loop {
        let wants = vec![(queue(name), 100)];
        let claim = Claim { settle_first, wants, worker: WorkerId(7), nonce: 7 };
        let claimed = store.claim(claim, None).await.unwrap();
        assert!(claimed.settled.iter().all(Result::is_ok));
        settle_first = claimed
            .jobs
            .iter()
            .map(|job| Settle::Complete { lease: job.lease, result: None, then: vec![] })
            .collect();
        all.extend(claimed.jobs);
        if settle_first.is_empty() {
            return all;
        }
    }
}

/// How often each payload was seen.
pub(crate) fn times(jobs: &[ClaimedJob]) -> BTreeMap<u64, usize> {
    let mut times = BTreeMap::new();
    for job in jobs {
        let number = std::str::from_utf8(&job.payload).unwrap().parse().unwrap();
        *times.entry(number).or_default() += 1;
    }
    times
}

/// The payloads' numbers in the order in which they were claimed.
pub(crate) fn numbers(jobs: &[ClaimedJob]) -> Vec<u64> {
    jobs.iter().map(|job| std::str::from_utf8(&job.payload).unwrap().parse().unwrap()).collect()
}

pub(crate) fn relay(outbox: Box<dyn Outbox>, store: &Arc<EmbeddedStore>) -> Relay {
    let store: Arc<dyn Store> = store.clone();
    Relay::new(outbox, store, RelayOptions::default())
}

/// Relays all that is free to go; a relay that has just ended may hold the table for another moment.
pub(crate) async fn drain(base: &Base, store: &Arc<EmbeddedStore>) -> Result<Relayed, StoreError> {
    let patience = Instant::now();
    loop {
        let mut relay = relay(base.outbox(), store);
        match relay.drain().await {
            Err(why) if why.cause.contains("another relay") && patience.elapsed().as_secs() < 20 => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(why) => return Err(why),
            Ok(()) => return Ok(relay.relayed()),
        }
    }
}

/// Jobs of the queue that the store knows.
pub(crate) async fn known(store: &EmbeddedStore, name: &str) -> u64 {
    let infos = store.queues(Some(queue(name)), None).await.unwrap();
    infos.first().map_or(0, |info| info.totals.enqueued)
}
