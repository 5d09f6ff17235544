//! `burst`: a flash sale. 100,000 enqueues a second come in for three minutes while 10,000 a second are drained; then
//! the rest is drained as fast as it goes.
//!
//! An enqueue's latency counts from the moment it was due, so a stall shows in every call that it delays.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Scale;
use super::enqueue::finish;
use super::latency::Latencies;
use super::load::{Bench, together};
use super::pace::paced;
use super::place::Place;
use super::report::{Report, per_second, rounded};
use crate::fault::Fault;
use crate::output::{Output, progress};

const JOBS: u64 = 18_000_000;
const RATE: u64 = 100_000;
const BATCH: usize = 100;
/// The drain while the sale lasts, against the rate of enqueues.
const DRAIN_SHARE: u64 = 10;
/// One claim of the paced drain.
const DRAIN_BATCH: u64 = 100;
/// Callers that drain the rest.
const CALLERS: usize = 2;

pub(super) async fn run(place: &Place, out: &Output, scale: Scale) -> Result<Report, Fault> {
    let (jobs, rate, batch) = (scale.jobs.unwrap_or(JOBS), scale.rate.unwrap_or(RATE), scale.batch_or(BATCH));
    let url = place.fresh("burst");
    let bench = Arc::new(Bench::open(url.clone()).await?);
    let latencies = Arc::new(Latencies::new());
    let refused = Arc::new(AtomicU64::new(0));
    let over = Arc::new(AtomicBool::new(false));

    let bar = progress::bar(out, "burst", Some(jobs));
    let drain = tokio::spawn(drain_paced(Arc::clone(&bench), (rate / DRAIN_SHARE).max(1), Arc::clone(&over)));
    let start = Instant::now();
    let calls = jobs.div_ceil(batch as u64);
    let every = Duration::from_secs(1).mul_f64(batch as f64 / rate as f64);
    let (store, count, times, progress) =
        (Arc::clone(&bench), Arc::clone(&refused), Arc::clone(&latencies), bar.clone());
    paced(calls, every, move |number, due| {
        let n = usize::try_from(jobs - number * batch as u64).unwrap_or(batch).min(batch);
        let (bench, refused, latencies, bar) =
            (Arc::clone(&store), Arc::clone(&count), Arc::clone(&times), progress.clone());
        async move {
            let answers = bench.store().enqueue(bench.jobs(n), false, None).await?;
            latencies.record(due.elapsed());
            refused
                .fetch_add(answers.iter().filter(|answer| answer.is_err()).count() as u64, Ordering::Relaxed);
            bar.inc(n as u64);
            Ok(())
        }
    })
    .await?;
    let took = start.elapsed();
    over.store(true, Ordering::Relaxed);
    let drained = drain.await.map_err(|error| Fault::failed(format!("the drain ended: {error}")))??;
    bar.finish_and_clear();
    let report = Report::new("burst", &bench, jobs, took).await?;
    let mut report = report.with_latencies(&latencies).called(1, batch);
    let refused = refused.load(Ordering::Relaxed);
    let rest = jobs - refused - drained;

    let bar = progress::bar(out, "drain", Some(rest));
    let start = Instant::now();
    drain_rest(&bench, rest, batch, &bar).await?;
    bar.finish_and_clear();
    report.rate = Some(rate);
    report.refused = Some(refused);
    report.backlog_max = Some(rest);
    report.drain_s = Some(rounded(start.elapsed().as_secs_f64()));
    report.drain_per_s = Some(per_second(rest, start.elapsed()));
    finish(bench, place, &url).await?;
    Ok(report)
}

/// Completes so many jobs a second until the sale is over; answers how many it completed.
async fn drain_paced(bench: Arc<Bench>, rate: u64, over: Arc<AtomicBool>) -> Result<u64, Fault> {
    let batch = DRAIN_BATCH.min(rate);
    let mut ticks = tokio::time::interval(Duration::from_secs(1).mul_f64(batch as f64 / rate as f64));
    let worker = bench.worker();
    let (mut done, mut completed) = (Vec::new(), 0);
    while !over.load(Ordering::Relaxed) {
        ticks.tick().await;
        let turn = bench.turn(worker, done, usize::try_from(batch).unwrap_or(1)).await?;
        (done, completed) = (turn.next, completed + turn.completed);
    }
    Ok(completed + bench.turn(worker, done, 0).await?.completed)
}

/// Completes `rest` jobs as fast as it goes.
async fn drain_rest(
    bench: &Arc<Bench>,
    rest: u64,
    batch: usize,
    bar: &indicatif::ProgressBar,
) -> Result<(), Fault> {
    let completed = Arc::new(AtomicU64::new(0));
    together(CALLERS, |_| {
        let (bench, completed, bar) = (Arc::clone(bench), Arc::clone(&completed), bar.clone());
        async move {
            let worker = bench.worker();
            let mut done = Vec::new();
            while completed.load(Ordering::Relaxed) < rest {
                let turn = bench.turn(worker, done, batch).await?;
                completed.fetch_add(turn.completed, Ordering::Relaxed);
                bar.inc(turn.completed);
                done = turn.next;
                if done.is_empty() {
                    // What is left is in the other caller's hands.
                    tokio::task::yield_now().await;
                }
            }
            Ok(())
        }
    })
    .await
}
