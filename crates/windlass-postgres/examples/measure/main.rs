//! Measures a store: lifecycles a second, WAL and server's CPU a lifecycle, and what a claim costs beside a backlog, many
//! groups, or a snapshot that somebody holds open.
//!
//! `cargo run --release -p windlass-postgres --example measure -- URL [SECONDS] [WAITING] [GROUPS]`, on a database that
//! may lose its schema `windlass_measure`.
//!
//! `cargo run --release -p windlass-postgres --example measure -- held URL CALM_URL [SECONDS]`: `held.rs`.
#![allow(clippy::print_stdout, reason = "figures are printed")]
#![allow(clippy::unwrap_used, reason = "a measurement that cannot be made ends")]

mod held;

use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio_postgres::{Client, Config, NoTls};
use windlass_core::store::{Claim, Queue, Settle};
use windlass_core::{GroupKey, JobId, Kind, NewJob, QueueName, Time, WorkerId};
use windlass_postgres::{Options, PostgresStore};

const BATCH: u32 = 100;
/// Jobs that wait beside a claim, and claims of one figure.
const BACKLOG: u64 = 50_000;
const CLAIMS: usize = 300;
/// The schema that is measured in, and lost.
const SCHEMA: &str = "windlass_measure";
/// What Linux counts CPU time in, on every machine there is.
const TICK_US: u64 = 10_000;

fn jobs(queue: &str, n: u32, made: &mut u128, groups: u128) -> Vec<NewJob> {
    let now = Time(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64);
    let kind = Kind::new("kind").unwrap();
    (0..n)
        .map(|_| {
            *made += 1;
            let id = JobId::from_parts(now, *made << 64 | *made);
            let mut job = NewJob::new(id, QueueName::new(queue).unwrap(), kind.clone(), vec![b'x'; 200]);
            job.group = (groups > 0).then(|| GroupKey::new(format!("g{}", *made % groups)).unwrap());
            job
        })
        .collect()
}

async fn claim(store: &PostgresStore, queue: &str, settle_first: Vec<Settle>, n: u32) -> Vec<Settle> {
    let wants = vec![(QueueName::new(queue).unwrap(), n)];
    let claim = Claim { settle_first, wants, worker: WorkerId(1), nonce: 1 };
    let told = store.claim(claim, None).await.unwrap();
    assert!(told.settled.iter().all(Result::is_ok));
    told.jobs.iter().map(|job| Settle::Complete { lease: job.lease, result: None, then: vec![] }).collect()
}

/// An empty store in that database, and a connection beside it.
async fn fresh(url: &str) -> (PostgresStore, Client) {
    let (client, connection) = Config::from_str(url).unwrap().connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
        .batch_execute(&format!("SET client_min_messages = warning; DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"))
        .await
        .unwrap();
    let options = Options { schema: SCHEMA.into(), ..Options::default() };
    (PostgresStore::open(url, options).await.unwrap(), client)
}

/// CPU time that the server's processes have used, in microseconds; 0 when they are on another machine.
async fn server_cpu_us(client: &Client) -> u64 {
    let rows = client.query("SELECT pid FROM pg_stat_activity", &[]).await.unwrap();
    let ticks = |pid: i32| -> Option<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let after_name = stat.rsplit_once(')')?.1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
    };
    rows.iter().filter_map(|row| ticks(row.get(0))).sum::<u64>() * TICK_US
}

/// Producers and workers side by side; the lifecycles that they end in that time.
async fn lifecycles(store: &PostgresStore, queues: u32, seconds: u64) -> u64 {
    let until = Instant::now() + Duration::from_secs(seconds);
    let tasks = (0..queues).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            let queue = format!("life{number}");
            let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
            let (mut made, mut done, mut held) = (start << 4 | u128::from(number), 0u64, Vec::new());
            let mut next = jobs(&queue, BATCH, &mut made, 0);
            while Instant::now() < until {
                let (taken, claimed) = tokio::join!(
                    store.enqueue(std::mem::take(&mut next), false, None),
                    claim(&store, &queue, held, BATCH)
                );
                taken.unwrap();
                held = claimed;
                done += held.len() as u64;
                next = jobs(&queue, BATCH, &mut made, 0);
            }
            done
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut sum = 0;
    for task in tasks {
        sum += task.await.unwrap();
    }
    sum
}

/// The fastest twentieth, the median and the 99th percentile of a claim that settles the last batch, in microseconds.
async fn claim_cost(store: &PostgresStore, queue: &str, claims: usize) -> (u128, u128, u128) {
    let (mut held, mut times) = (Vec::new(), Vec::new());
    for _ in 0..claims {
        let from = Instant::now();
        held = claim(store, queue, held, BATCH).await;
        times.push(from.elapsed().as_micros());
        assert_eq!(held.len(), BATCH as usize);
    }
    times.sort_unstable();
    (times[claims / 20], times[claims / 2], times[claims * 99 / 100])
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|word| word == "held") {
        return held::run(&arguments[1..]).await;
    }
    let url = arguments.first().cloned().expect("a URL");
    let number = |at: usize, default: u64| arguments.get(at).map_or(default, |text| text.parse().unwrap());
    let (seconds, waiting, groups) = (number(1, 20), number(2, 1_000_000), number(3, 10_000));
    let (store, client) = fresh(&url).await;
    let wal = async || -> i64 {
        client
            .query_one("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint", &[])
            .await
            .unwrap()
            .get(0)
    };
    for queues in [1, 2, 4] {
        // Opens the connections, so that the processes measured are there from the start.
        lifecycles(&store, queues, 1).await;
        let (before, cpu, from) = (wal().await, server_cpu_us(&client).await, Instant::now());
        let done = lifecycles(&store, queues, seconds).await;
        let bytes = (wal().await - before) as f64 / done as f64;
        let cpu = (server_cpu_us(&client).await - cpu) as f64 / done as f64;
        let rate = done as f64 / from.elapsed().as_secs_f64();
        println!(
            "{queues} queues, batch {BATCH}: {rate:.0} lifecycles/s, {bytes:.0} bytes of WAL and {cpu:.1} us of the server's CPU each"
        );
    }
    let mut made = 1u128 << 50;
    let backlogs = [
        ("few", BACKLOG, 0),
        ("many", waiting, 0),
        ("tens", BACKLOG, 10),
        ("hundreds", BACKLOG, 100),
        ("groups", BACKLOG.max(groups * 5), groups),
    ];
    for (queue, waiting, groups) in backlogs {
        let from = Instant::now();
        for _ in 0..waiting.div_ceil(1_000) {
            store.enqueue(jobs(queue, 1_000, &mut made, u128::from(groups)), false, None).await.unwrap();
        }
        println!("{waiting} jobs in {groups} groups: enqueued in {:?}", from.elapsed());
        println!("first claim: {} us", claim_cost(&store, queue, 1).await.1);
        let cpu = server_cpu_us(&client).await;
        let times = claim_cost(&store, queue, CLAIMS).await;
        let cpu = (server_cpu_us(&client).await - cpu) / CLAIMS as u64;
        println!("claim of {BATCH}: {cpu} us of the server's CPU; {times:?} us (p5, p50, p99)");
    }
}
