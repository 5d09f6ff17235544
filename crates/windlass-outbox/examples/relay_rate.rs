//! Rows a second that one relay moves: `cargo run --release -p windlass-outbox --example relay_rate -- [ROWS]`.
//!
//! It starts its own servers in temporary directories. Rows stand in the table before the relay starts, have 200 bytes
//! of payload, and were committed in transactions of 1,000.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on says where")]
#![allow(clippy::print_stdout, reason = "the figures are printed")]

#[path = "../../windlass-postgres/tests/server/mod.rs"]
mod postgres;
#[path = "../../windlass-redis/tests/server/mod.rs"]
mod redis;

use std::sync::Arc;
use std::time::Instant;
use windlass_core::store::Store;
use windlass_embedded::{EmbeddedOptions, EmbeddedStore};
use windlass_outbox::postgres::PostgresOutbox;
use windlass_outbox::sqlite::SqliteOutbox;
use windlass_outbox::{Outbox, Relay, RelayOptions, Table};
use windlass_redis::{RedisOptions, RedisStore};

/// Runs of each pair; the median is printed.
const RUNS: usize = 3;

fn insert(rows: u64) -> String {
    let values = vec![format!("('q', 'k', '{{\"text\": \"{}\"}}')", "x".repeat(186)); 1_000].join(",");
    let one = format!("INSERT INTO windlass_outbox (queue, kind, payload) VALUES {values};");
    one.repeat(usize::try_from(rows / 1_000).unwrap())
}

async fn measure(name: &str, outbox: Box<dyn Outbox>, store: Arc<dyn Store>) -> f64 {
    let began = Instant::now();
    let mut relay = Relay::new(outbox, store, RelayOptions::default());
    relay.drain().await.unwrap();
    let (took, done) = (began.elapsed().as_secs_f64(), relay.relayed());
    println!("{name}: {} rows in {} batches, {took:.2} s", done.rows, done.batches);
    done.rows as f64 / took
}

fn median(name: &str, mut rates: Vec<f64>) {
    rates.sort_by(f64::total_cmp);
    println!("{name}: {:.0} rows/s (median of {RUNS})", rates[RUNS / 2]);
}

#[tokio::main]
async fn main() {
    let rows = std::env::args().nth(1).map_or(100_000, |text| text.parse().unwrap());
    let server = postgres::Server::start();
    let from = server.url("postgres");
    let (client, driver) = tokio_postgres::connect(&from, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(driver);
    client.batch_execute(&windlass_outbox::postgres::schema(&Table::default(), false)).await.unwrap();
    let outbox = || Box::new(PostgresOutbox::new(&from, Table::default()).unwrap());
    let (mut to_directory, mut to_redis, mut from_sqlite) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let place = tempfile::tempdir().unwrap();
        let open = |name: &str| {
            Arc::new(EmbeddedStore::open(&place.path().join(name), EmbeddedOptions::default()).unwrap())
        };
        client.batch_execute(&insert(rows)).await.unwrap();
        to_directory.push(measure("PostgreSQL to a directory", outbox(), open("a")).await);

        let redis = redis::Server::start();
        let store = RedisStore::open(&redis.url(), RedisOptions::default()).await.unwrap();
        client.batch_execute(&insert(rows)).await.unwrap();
        to_redis.push(measure("PostgreSQL to Redis", outbox(), Arc::new(store)).await);

        let path = place.path().join("app.db");
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.execute_batch(&windlass_outbox::sqlite::schema(&Table::default())).unwrap();
        connection.execute_batch(&insert(rows)).unwrap();
        let outbox = Box::new(SqliteOutbox::new(&path, Table::default()));
        from_sqlite.push(measure("SQLite to a directory", outbox, open("b")).await);
    }
    median("PostgreSQL to a directory", to_directory);
    median("PostgreSQL to Redis (appendfsync always)", to_redis);
    median("SQLite to a directory", from_sqlite);
}
