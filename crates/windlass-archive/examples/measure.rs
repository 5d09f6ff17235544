//! Measures what an archive costs a queue: the same steady work on the embedded engine without and with an archiver.
//!
//! `cargo run --release -p windlass-archive --example measure -- DIR URL [SECONDS] [RATE] [ROUNDS] [payloads]`: stores are made below
//! DIR, which is left behind; RATE is jobs a second, 0 for as many as it takes. Each round does both, in turn. With a URL
//! of SQLite each round has a file of its own (URL and the round's number), with one of PostgreSQL a schema.
#![allow(clippy::print_stdout, reason = "figures are printed")]
#![allow(clippy::unwrap_used, reason = "a measurement that cannot be made ends")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use windlass_archive::{Archiver, News, Options, Target};
use windlass_core::queue::QueueSettings;
use windlass_core::store::{Claim, Settle, Store};
use windlass_core::{JobId, Kind, NewJob, QueueName, Time, WorkerId};
use windlass_embedded::{EmbeddedOptions, EmbeddedStore};

const BATCH: u32 = 100;
const CALLERS: u64 = 2;
const PAYLOAD_BYTES: usize = 200;
/// Completed jobs go after that long, so that the archive sees their removal too.
const KEEP_MS: u64 = 5_000;

struct Load {
    per_s: f64,
    p99_ms: f64,
    cpu_us: f64,
    jobs: u64,
}

fn jobs(queue: &QueueName, caller: u64, made: &mut u64) -> Vec<NewJob> {
    let now = Time(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64);
    let kind = Kind::new("measure").unwrap();
    let make = |_| {
        *made += 1;
        let id = JobId::from_parts(now, u128::from(*made) << 64 | u128::from(caller << 40 | *made));
        NewJob::new(id, queue.clone(), kind.clone(), vec![b'x'; PAYLOAD_BYTES])
    };
    (0..BATCH).map(make).collect()
}

/// Enqueues, claims and completes for that long, at that rate.
async fn load(store: Arc<dyn Store>, seconds: u64, rate: u64) -> Load {
    let queue = QueueName::new("measure").unwrap();
    let mut settings = QueueSettings::default();
    settings.retention.completed_ms = KEEP_MS;
    store.set_queue(queue.clone(), settings, None).await.unwrap().unwrap();
    let done = Arc::new(AtomicU64::new(0));
    let (start, cpu) = (Instant::now(), cpu_us());
    let until = start + Duration::from_secs(seconds);
    let callers = (0..CALLERS).map(|caller| {
        let (store, queue, done) = (Arc::clone(&store), queue.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            let (mut made, mut held, mut turns, mut times) = (0, Vec::new(), 0u32, Vec::new());
            while Instant::now() < until {
                if rate > 0 {
                    let due = start
                        + Duration::from_secs_f64(f64::from(turns * BATCH) * CALLERS as f64 / rate as f64);
                    tokio::time::sleep_until(due.into()).await;
                }
                turns += 1;
                let ended = held.len() as u64;
                let claim = Claim {
                    settle_first: std::mem::take(&mut held),
                    wants: vec![(queue.clone(), BATCH)],
                    worker: WorkerId(caller + 1),
                    nonce: caller + 1,
                };
                let from = Instant::now();
                let (taken, claimed) = tokio::join!(
                    store.enqueue(jobs(&queue, caller, &mut made), false, None),
                    store.claim(claim, None)
                );
                times.push(from.elapsed());
                assert!(taken.unwrap().iter().all(Result::is_ok));
                done.fetch_add(ended, Ordering::Relaxed);
                let complete =
                    |lease| Settle::Complete { lease, result: Some(b"{\"ok\":true}".to_vec()), then: vec![] };
                held = claimed.unwrap().jobs.into_iter().map(|job| complete(job.lease)).collect();
            }
            times
        })
    });
    let mut times = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        times.extend(caller.await.unwrap());
    }
    times.sort_unstable();
    let jobs = done.load(Ordering::Relaxed);
    Load {
        per_s: jobs as f64 / start.elapsed().as_secs_f64(),
        p99_ms: times[times.len() * 99 / 100].as_secs_f64() * 1e3,
        cpu_us: (cpu_us() - cpu) / jobs.max(1) as f64,
        jobs,
    }
}

/// Processor time of this process so far, in microseconds.
fn cpu_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks * 10_000.0
}

async fn with_archive(store: Arc<dyn Store>, url: &str, seconds: u64, rate: u64, payloads: bool) -> Load {
    let target: Target = url.parse().unwrap();
    let options = Options { payloads, ..Options::default() };
    let mut archiver = Archiver::start(Arc::clone(&store), &target, options).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let lag = Arc::new(AtomicU64::new(0));
    let worst = Arc::clone(&lag);
    let running = tokio::spawn(async move {
        let tell = |news: News<'_>| {
            if let News::Step(_, standing) = news {
                worst.fetch_max(standing.lag_ms, Ordering::Relaxed);
            }
        };
        let standing = archiver.run(async { drop(stopped.await) }, tell).await.unwrap();
        let from = Instant::now();
        let caught_up = archiver.catch_up(|_| {}).await.unwrap();
        (standing, caught_up, from.elapsed())
    });
    let load = load(store, seconds, rate).await;
    stop.send(()).unwrap();
    let (standing, whole, after) = running.await.unwrap();
    println!(
        "    archived meanwhile: {:.0} events/s, {:.0} jobs/s; worst lag {} ms, {:.1} s to catch up afterwards ({} events, {} jobs, {} payloads in all, {} gone)",
        standing.events as f64 / seconds as f64,
        standing.jobs as f64 / seconds as f64,
        lag.load(Ordering::Relaxed),
        after.as_secs_f64(),
        whole.events,
        whole.jobs,
        whole.payloads,
        whole.payloads_gone
    );
    load
}

fn show(what: &str, load: &Load) {
    println!(
        "{what}: {:.0} jobs/s, {} jobs, p99 of a call {:.1} ms, {:.1} us of CPU a job (whole process)",
        load.per_s, load.jobs, load.p99_ms, load.cpu_us
    );
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |n: usize, default| arguments.get(n).map_or(default, |text| text.parse().unwrap());
    let (directory, url) = (Path::new(&arguments[0]), &arguments[1]);
    let (seconds, rate, rounds) = (number(2, 20), number(3, 20_000), number(4, 3));
    let payloads = arguments.get(5).is_some_and(|what| what == "payloads");
    let mut ratios = Vec::new();
    for round in 0..rounds {
        let open = |name: &str| -> Arc<dyn Store> {
            let path = directory.join(format!("{name}-{round}"));
            Arc::new(EmbeddedStore::open(&path, EmbeddedOptions::default()).unwrap())
        };
        let store = open("without");
        let without = load(Arc::clone(&store), seconds, rate).await;
        store.close().await.unwrap();
        show("without", &without);
        let store = open("with");
        let mark = if url.contains('?') { '&' } else { '?' };
        let url = match url.starts_with("postgres") {
            true => format!("{url}{mark}schema=measure_{round}"),
            false => format!("{url}.{round}"),
        };
        let with = with_archive(Arc::clone(&store), &url, seconds, rate, payloads).await;
        store.close().await.unwrap();
        show("with   ", &with);
        ratios.push(with.per_s / without.per_s);
    }
    ratios.sort_by(f64::total_cmp);
    println!("speed with / without, median of {rounds}: {:.3}", ratios[ratios.len() / 2]);
}
