//! `workers`: preloaded no-op jobs through the worker runtime with typed handlers, concurrency 100.
//!
//! The clock runs from the worker's start until its shutdown has acknowledged the last completion.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use windlass::State;
use windlass_core::{Kind, NewJob};

use super::Scale;
use super::enqueue::{client_fault, finish};
use super::load::{Bench, PAYLOAD_BYTES, QUEUE, preload};
use super::place::Place;
use super::report::Report;
use crate::fault::Fault;
use crate::output::{Output, progress};

const JOBS: u64 = 1_000_000;
/// Handlers at once.
pub(super) const CONCURRENCY: u32 = 100;
/// What JSON needs around the text of a [`Noop`].
const FRAME_BYTES: usize = r#"{"text":""}"#.len();

/// A job whose handler does nothing.
#[derive(Serialize, Deserialize, windlass::Job)]
#[job(kind = "bench_typed", queue = "bench")]
pub(super) struct Noop {
    pub(super) text: String,
}

impl Noop {
    /// One of the agreed size.
    pub(super) fn payload() -> Result<Vec<u8>, Fault> {
        serde_json::to_vec(&Self { text: "x".repeat(PAYLOAD_BYTES - FRAME_BYTES) })
            .map_err(|error| Fault::failed(error.to_string()))
    }
}

/// What the handlers share.
#[derive(Clone)]
struct Tally {
    left: Arc<AtomicU64>,
    done: Arc<Notify>,
}

async fn handle(job: Noop, State(tally): State<Tally>) {
    // The text is decoded and looked at, so that no part of the work can be left out.
    if !job.text.is_empty() && tally.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        tally.done.notify_one();
    }
}

pub(super) async fn run(place: &Place, out: &Output, scale: Scale) -> Result<Report, Fault> {
    let jobs = scale.jobs.unwrap_or(JOBS);
    let url = place.fresh("workers");
    let bench = Arc::new(Bench::open(url.clone()).await?);
    let kind = Kind::new(<Noop as windlass::Job>::KIND)?;
    let payload = Noop::payload()?;
    let bar = progress::bar(out, "preload", Some(jobs));
    preload(&bench, jobs, &bar, move |bench, _| {
        NewJob::new(bench.client().new_id(), bench.queue().clone(), kind.clone(), payload.clone())
    })
    .await?;
    bar.finish_and_clear();

    let tally = Tally { left: Arc::new(AtomicU64::new(jobs)), done: Arc::new(Notify::new()) };
    let start = Instant::now();
    let worker = bench.client().worker(tally.clone()).queue(QUEUE, CONCURRENCY).handle(handle);
    let worker = worker.start().await.map_err(client_fault)?;
    tally.done.notified().await;
    let _report = worker.shutdown().await;
    let took = start.elapsed();
    let report = Report::new("workers", &bench, jobs, took).await?.called(CONCURRENCY as usize, 1);
    finish(bench, place, &url).await?;
    Ok(report)
}
