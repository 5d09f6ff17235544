//! `enqueue`: callers enqueue back to back, every call awaited.
//!
//! With `--batch 1` the calls go through the client one job at a time, as an application makes them, and share commits
//! there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Scale;
use super::latency::Latencies;
use super::load::{Bench, timed, together};
use super::place::Place;
use super::report::Report;
use crate::fault::Fault;
use crate::output::{Output, progress};

const JOBS: u64 = 2_000_000;
const BATCH: usize = 100;
const CALLERS: usize = 2;

pub(super) async fn run(place: &Place, out: &Output, scale: Scale) -> Result<Report, Fault> {
    let (jobs, batch) = (scale.jobs.unwrap_or(JOBS), scale.batch_or(BATCH));
    let callers = scale.callers_or(CALLERS);
    let url = place.fresh("enqueue");
    let bench = Arc::new(Bench::open(url.clone()).await?);
    let latencies = Arc::new(Latencies::new());
    let (taken, accepted) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let bar = progress::bar(out, "enqueue", Some(jobs));
    let start = Instant::now();
    let end = scale.seconds.map(|seconds| start + Duration::from_secs(seconds));
    together(callers, |_| {
        let (bench, latencies, bar) = (Arc::clone(&bench), Arc::clone(&latencies), bar.clone());
        let (taken, accepted) = (Arc::clone(&taken), Arc::clone(&accepted));
        async move {
            while end.is_none_or(|end| Instant::now() < end) {
                let from = taken.fetch_add(batch as u64, Ordering::Relaxed);
                let n = jobs.saturating_sub(from).min(batch as u64);
                match usize::try_from(n).unwrap_or(batch) {
                    0 => return Ok(()),
                    1 if batch == 1 => timed(&latencies, single(&bench)).await?,
                    n => {
                        let batch = bench.jobs(n);
                        timed(&latencies, bench.enqueue(batch)).await?;
                    }
                }
                accepted.fetch_add(n, Ordering::Relaxed);
                bar.inc(n);
            }
            Ok(())
        }
    })
    .await?;
    let took = start.elapsed();
    bar.finish_and_clear();
    let report = Report::new("enqueue", &bench, accepted.load(Ordering::Relaxed), took).await?;
    let report = report.with_latencies(&latencies).called(callers, batch);
    finish(bench, place, &url).await?;
    Ok(report)
}

/// One job through the client, awaited.
async fn single(bench: &Bench) -> Result<(), Fault> {
    bench.client().enqueue_raw(bench.job("")).await.map(|_| ()).map_err(client_fault)
}

/// What the client says when it is not the store's own words.
pub(super) fn client_fault(error: windlass::Error) -> Fault {
    Fault::failed(error.to_string())
}

/// Closes the store and makes room.
pub(super) async fn finish(bench: Arc<Bench>, place: &Place, url: &str) -> Result<(), Fault> {
    if let Some(bench) = Arc::into_inner(bench) {
        bench.close().await?;
    }
    place.discard(url).await
}
