//! `latency`: from the start of an enqueue to the start of its handler, at an even rate of single awaited enqueues;
//! before and after it, the same rate of bare writes to the same disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use windlass::{RawJob, State};
use windlass_core::store::AckLevel;

use super::Scale;
use super::enqueue::{client_fault, finish};
use super::floor::Floor;
use super::latency::Latencies;
use super::load::{Bench, QUEUE};
use super::pace::paced;
use super::place::Place;
use super::report::Report;
use super::workers::CONCURRENCY;
use crate::fault::Fault;
use crate::output::{Output, progress};

const RATE: u64 = 2_000;
const SECONDS: u64 = 20;
/// Of the bare writes, before and after each.
const FLOOR_SECONDS: u64 = 5;
/// Digits of a start time in the payload: nanoseconds since the run began.
const STAMP_DIGITS: usize = 20;

/// What the handlers share.
#[derive(Clone)]
struct Arrivals {
    begin: Instant,
    latencies: Arc<Latencies>,
    left: Arc<AtomicU64>,
    done: Arc<Notify>,
}

async fn handle(job: RawJob, State(arrivals): State<Arrivals>) {
    let now = arrivals.begin.elapsed();
    let stamp = job.payload.get(1..=STAMP_DIGITS).and_then(|digits| std::str::from_utf8(digits).ok());
    if let Some(started_ns) = stamp.and_then(|digits| digits.parse().ok()) {
        arrivals.latencies.record(now.saturating_sub(Duration::from_nanos(started_ns)));
    }
    if arrivals.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        arrivals.done.notify_one();
    }
}

pub(super) async fn run(place: &Place, out: &Output, scale: Scale) -> Result<Report, Fault> {
    let rate = scale.rate.unwrap_or(RATE);
    let jobs = scale.jobs.unwrap_or_else(|| rate * scale.seconds.unwrap_or(SECONDS));
    let url = place.fresh("latency");
    let bench = Arc::new(Bench::open(url.clone()).await?);
    let arrivals = Arrivals {
        begin: Instant::now(),
        latencies: Arc::new(Latencies::new()),
        left: Arc::new(AtomicU64::new(jobs)),
        done: Arc::new(Notify::new()),
    };
    let mut floor = floor(&bench).await?;
    let floor_writes = u32::try_from(jobs.min(rate * FLOOR_SECONDS)).unwrap_or(u32::MAX);
    if let Some(before) = floor.take() {
        floor = Some(before.measure(floor_writes, rate).await?);
    }
    let kind = bench.job("").kind;
    let worker = bench.client().worker(arrivals.clone()).queue(QUEUE, CONCURRENCY);
    let worker = worker.handle_kind(kind.as_str(), handle).start().await.map_err(client_fault)?;

    let spinner = progress::bar(out, "latency", None);
    spinner.enable_steady_tick(Duration::from_secs(1));
    let (enqueuer, begin) = (Arc::clone(&bench), arrivals.begin);
    let start = Instant::now();
    paced(jobs, Duration::from_secs(1).div_f64(rate as f64), move |_, _| {
        let bench = Arc::clone(&enqueuer);
        async move {
            let stamp = format!("{:0STAMP_DIGITS$}", begin.elapsed().as_nanos());
            bench.client().enqueue_raw(bench.job(&stamp)).await.map(|_| ()).map_err(client_fault)
        }
    })
    .await?;
    arrivals.done.notified().await;
    let took = start.elapsed();
    spinner.finish_and_clear();
    let _report = worker.shutdown().await;
    let mut report =
        Report::new("latency", &bench, jobs, took).await?.with_latencies(&arrivals.latencies).called(1, 1);
    report.rate = Some(rate);
    if let Some(before) = floor {
        let both = before.measure(floor_writes, rate).await?;
        report.floor_p50_ms = both.latencies.quantile_ms(0.5);
        report.floor_p99_ms = both.latencies.quantile_ms(0.99);
        report.floor_p999_ms = both.latencies.quantile_ms(0.999);
    }
    finish(bench, place, &url).await?;
    Ok(report)
}

/// Where answers wait for a disk, that disk.
async fn floor(bench: &Bench) -> Result<Option<Floor>, Fault> {
    let waits = bench.store().info().await?.ack_level == AckLevel::Power;
    waits.then(|| Place::beside(bench.url())).flatten().map(Floor::new).transpose()
}
