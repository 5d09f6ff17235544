//! A store that may lose what it has acknowledged for a moment: the row stays until that moment has passed.

use crate::redis::Server as Redis;
use crate::relay_process::{Running, outbox};
use std::process::Command;
use std::time::{Duration, Instant};
use windlass_core::QueueName;
use windlass_core::store::{Admin, Store};
use windlass_outbox::{Outbox, Table};
use windlass_redis::{RedisOptions, RedisStore};

/// Tries to lose the jobs while their rows are there: a machine that is busy may miss the window of 2 s.
const TRIES: usize = 5;

pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(scene());
}

async fn scene() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch(&windlass_outbox::sqlite::schema(&Table::default())).unwrap();
    let redis = Redis::with(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let from = format!("sqlite:{}", path.display());
    let mut look = outbox(&from);
    let relay = Running::start(&from, &redis.url());
    let mut caught = false;
    for _ in 0..TRIES {
        // More rows than one batch of this relay.
        for row in 0..50 {
            let sql =
                format!("INSERT INTO windlass_outbox (queue, kind, payload) VALUES ('q', 'k', '{row}')");
            connection.execute_batch(&sql).unwrap();
        }
        until_jobs(&redis, 50).await;
        lose_everything(&redis);
        caught = look.standing().await.unwrap().waiting == 50;
        if caught {
            break;
        }
        until_empty(&mut look).await;
    }
    assert!(caught, "rows stay for the store's window");
    until_jobs(&redis, 50).await;
    until_empty(&mut look).await;
    until_jobs(&redis, 50).await;
    drop(relay);
}

async fn until_empty(look: &mut Box<dyn Outbox>) {
    let patience = Instant::now();
    while look.standing().await.unwrap().waiting > 0 {
        assert!(patience.elapsed().as_secs() < 60, "the rows go");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a server that failed in its window comes back without.
fn lose_everything(redis: &Redis) {
    let mut command = Command::new("redis-cli");
    let told = command.arg("-s").arg(redis.socket()).arg("FLUSHALL").output().expect("redis-cli");
    assert!(told.status.success());
}

/// Waits until the queue has taken in so many jobs, and insists that it has no more.
async fn until_jobs(redis: &Redis, count: u64) {
    let patience = Instant::now();
    loop {
        let store = RedisStore::open(&redis.url(), RedisOptions::default()).await.unwrap();
        let infos = store.queues(Some(QueueName::new("q").unwrap()), None).await.unwrap();
        store.close().await.unwrap();
        let jobs = infos.first().map_or(0, |info| info.totals.enqueued);
        assert!(jobs <= count, "{jobs} jobs of {count} rows");
        if jobs == count {
            return;
        }
        assert!(patience.elapsed().as_secs() < 60, "{jobs} of {count} jobs");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
