//! PostgreSQL to Redis: writers and workers go on while relay, database and queue server are killed in turn, and the
//! queue forgets the ids of removed jobs all the time.

use crate::postgres::Server as Postgres;
use crate::redis::Server as Redis;
use crate::relay_process::{Running, outbox};
use crate::tally::Tally;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_postgres::NoTls;
use windlass_core::queue::{QueueSettings, Retention};
use windlass_core::retry::RetryPolicy;
use windlass_core::store::{Admin, Claim, Queue, Settle};
use windlass_core::{QueueName, WorkerId};
use windlass_outbox::Table;
use windlass_redis::{RedisOptions, RedisStore};
use windlass_testkit::Dice;

const KILLS: u64 = 40;
const WRITERS: u64 = 3;

struct Scene {
    from: String,
    tally: Tally,
    next_row: AtomicU64,
    writing: AtomicBool,
    working: AtomicBool,
}

pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(scene());
}

async fn scene() {
    let mut dice = Dice::new("postgres_to_redis");
    let base = Postgres::start();
    let mut redis = Redis::start();
    let from = base.url("postgres");
    let (client, driver) = tokio_postgres::connect(&from, NoTls).await.unwrap();
    tokio::spawn(driver);
    client.batch_execute(&windlass_outbox::postgres::schema(&Table::default(), true)).await.unwrap();
    let scene = Arc::new(Scene {
        from: from.clone(),
        tally: Tally::default(),
        next_row: AtomicU64::new(1),
        writing: AtomicBool::new(true),
        working: AtomicBool::new(true),
    });
    let store = RedisStore::open(&redis.url(), RedisOptions::default()).await.unwrap();
    let retention = Retention { completed_ms: 0, completed_count: 0, ..Retention::default() };
    // Short leases: a claim whose reply is lost with the server comes back soon.
    let retry = RetryPolicy::Fixed { delay_ms: 1, max_failures: 100 };
    let settings = QueueSettings { retention, retry, lease_ms: 1_000, ..QueueSettings::default() };
    store.set_queue(QueueName::new("q").unwrap(), settings, None).await.unwrap().unwrap();
    let writers: Vec<_> =
        (0..WRITERS).map(|n| tokio::spawn(write(scene.clone(), Dice::of_seed(dice.any() ^ n)))).collect();
    let worker = tokio::spawn(work(scene.clone(), store.clone()));

    for kill in 0..KILLS {
        let relay = Running::start(&from, &redis.url());
        tokio::time::sleep(Duration::from_millis(30 + dice.below(300))).await;
        drop(relay);
        forget_ids(&redis);
        if kill % 10 == 4 {
            redis.kill();
            redis.run();
        }
        if kill % 10 == 9 {
            base.end(rustix::process::Signal::KILL);
            base.run();
        }
    }
    scene.writing.store(false, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    let relay = Running::start(&from, &redis.url());
    let mut look = outbox(&from);
    let patience = Instant::now();
    while scene.tally.missing() > 0 || look.standing().await.unwrap().waiting > 0 {
        assert!(patience.elapsed().as_secs() < 120, "{} rows gave no job yet", scene.tally.missing());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(relay);
    scene.working.store(false, Ordering::SeqCst);
    worker.await.unwrap();
    scene.tally.check();
}

/// What a million newer ids, or a day, would do to the memory of those that are gone.
fn forget_ids(redis: &Redis) {
    let mut command = Command::new("redis-cli");
    command.arg("-s").arg(redis.socket()).args(["DEL", "{windlass}k", "{windlass}K"]);
    // A server that is just being started forgets another time.
    let _ = command.output().expect("redis-cli is installed with the server");
}

/// Transactions of a few rows, committed or rolled back.
async fn write(scene: Arc<Scene>, mut dice: Dice) {
    while scene.writing.load(Ordering::SeqCst) {
        let Ok((mut client, driver)) = tokio_postgres::connect(&scene.from, NoTls).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let driver = tokio::spawn(driver);
        while scene.writing.load(Ordering::SeqCst) {
            let count = 1 + dice.below(5);
            let first = scene.next_row.fetch_add(count, Ordering::SeqCst);
            let rows: Vec<u64> = (first..first + count).collect();
            let Ok(transaction) = client.transaction().await else { break };
            let mut fine = true;
            for row in &rows {
                let sql = format!("SELECT windlass_outbox_enqueue('q', 'k', '{row}')");
                fine = fine && transaction.batch_execute(&sql).await.is_ok();
            }
            tokio::time::sleep(Duration::from_millis(dice.below(10))).await;
            if !fine || dice.chance(30) {
                let _ = transaction.rollback().await;
                scene.tally.wrote(&rows, Some(false));
            } else {
                let told = transaction.commit().await.is_ok();
                scene.tally.wrote(&rows, told.then_some(true));
            }
        }
        driver.abort();
    }
}

/// Completes whatever there is.
async fn work(scene: Arc<Scene>, store: RedisStore) {
    let mut settle_first: Vec<Settle> = Vec::new();
    let mut nonce = 1;
    while scene.working.load(Ordering::SeqCst) || !settle_first.is_empty() {
        nonce += 1;
        let wants = vec![(QueueName::new("q").unwrap(), 50)];
        let claim = Claim { settle_first: settle_first.clone(), wants, worker: WorkerId(7), nonce };
        match store.claim(claim, None).await {
            Ok(claimed) => {
                scene.tally.ran(&claimed.jobs);
                let done = |job: &windlass_core::store::ClaimedJob| Settle::Complete {
                    lease: job.lease,
                    result: None,
                    then: vec![],
                };
                settle_first = claimed.jobs.iter().map(done).collect();
                if settle_first.is_empty() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
