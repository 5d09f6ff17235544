//! `backlog`: millions of waiting jobs. What they cost in memory, whether they slow anything down, and how long a store
//! takes to open again after its process was killed with SIGKILL.
//!
//! The process that holds the backlog is a child, so that it can be killed; a second child opens what it left. Each
//! child prints one JSON line; the first one then waits for its end.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::Scale;
use super::latency::Latencies;
use super::load::{Bench, PRELOAD_BATCH, preload, timed, together};
use super::place::Place;
use super::report::{Report, per_second, rounded, rss_bytes};
use crate::fault::Fault;
use crate::output::{Output, progress};

const JOBS: u64 = 18_000_000;
const BATCH: usize = 100;
const CALLERS: usize = 2;
/// Jobs of one round of a speed measurement, as a share of the backlog and at most: half a second or so.
const SAMPLE_SHARE: u64 = 50;
const SAMPLE_MAX: u64 = 200_000;
/// The best round counts: what else the machine does can only slow a round down.
const ROUNDS: usize = 6;
/// Completed jobs leave at once, so that memory is the waiting jobs' alone.
const KEEP: Duration = Duration::from_secs(1);

/// What a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ChildStep {
    /// Fills the store, measures, and waits to be killed.
    Load,
    /// Opens what the killed one left.
    Reopen,
}

#[derive(Debug, Serialize, Deserialize)]
struct Loaded {
    ack_level: String,
    load_s: f64,
    per_s: f64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    p999_ms: Option<f64>,
    max_ms: Option<f64>,
    rss_bytes: u64,
    disk_bytes: u64,
    relative_enqueue_speed: f64,
    relative_claim_speed: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Reopened {
    reopen_s: f64,
    rss_bytes: u64,
    waiting: u64,
}

pub(super) async fn run(place: &Place, out: &Output, scale: Scale) -> Result<Report, Fault> {
    let jobs = scale.jobs.unwrap_or(JOBS);
    let url = place.fresh("backlog");
    if !url.starts_with("file:") {
        return Err(Fault::usage(
            "backlog reopens its store in another process: give a file: store, or none",
        ));
    }
    let spinner = progress::bar(out, "backlog", None);
    spinner.enable_steady_tick(Duration::from_secs(1));
    let mut child = spawn(&url, "load", jobs, scale)?;
    let loaded: Loaded = answer(&mut child).await?;
    // SIGKILL: the store gets no chance to finish anything.
    child.kill().await?;
    let mut child = spawn(&url, "reopen", jobs, scale)?;
    let reopened: Reopened = answer(&mut child).await?;
    child.wait().await?;
    spinner.finish_and_clear();
    if reopened.waiting < jobs {
        return Err(Fault::failed(format!("{} jobs of {jobs} are there after kill -9", reopened.waiting)));
    }
    place.discard(&url).await?;
    let relative = loaded.relative_enqueue_speed.min(loaded.relative_claim_speed);
    Ok(Report {
        profile: "backlog",
        store: url,
        ack_level: loaded.ack_level,
        jobs,
        batch: PRELOAD_BATCH,
        callers: CALLERS,
        seconds: loaded.load_s,
        per_s: loaded.per_s,
        p50_ms: loaded.p50_ms,
        p99_ms: loaded.p99_ms,
        p999_ms: loaded.p999_ms,
        max_ms: loaded.max_ms,
        rss_bytes: loaded.rss_bytes,
        disk_bytes: loaded.disk_bytes,
        reopen_s: Some(reopened.reopen_s),
        reopen_rss_bytes: Some(reopened.rss_bytes),
        relative_speed: Some(relative),
        relative_enqueue_speed: Some(loaded.relative_enqueue_speed),
        relative_claim_speed: Some(loaded.relative_claim_speed),
        ..Report::default()
    })
}

fn spawn(url: &str, step: &str, jobs: u64, scale: Scale) -> Result<Child, Fault> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--store", url, "--quiet", "bench", "--profile", "backlog", "--step", step]);
    command.args(["--jobs", &jobs.to_string()]);
    if let Some(batch) = scale.batch {
        command.args(["--batch", &batch.to_string()]);
    }
    if let Some(callers) = scale.callers {
        command.args(["--callers", &callers.to_string()]);
    }
    // Its stdin stays open as long as this process lives, so that a child never outlives it.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command.spawn().map_err(Fault::from)
}

/// The child's line of JSON.
async fn answer<T: for<'de> Deserialize<'de>>(child: &mut Child) -> Result<T, Fault> {
    let lost = || Fault::failed("the child process ended without an answer; its message stands above");
    let stdout = child.stdout.take().ok_or_else(lost)?;
    let line = BufReader::new(stdout).lines().next_line().await?.ok_or_else(lost)?;
    serde_json::from_str(&line).map_err(|error| Fault::failed(format!("the child said {line:?}: {error}")))
}

/// The hidden side of the profile: one step in this process.
pub(super) async fn child(url: &str, step: ChildStep, scale: Scale) -> Result<(), Fault> {
    match step {
        ChildStep::Load => {
            let loaded = load(url, scale).await?;
            print(&loaded)?;
            // Killed here; should the parent be gone instead, its end of the pipe is closed.
            let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await;
            Ok(())
        }
        ChildStep::Reopen => {
            let start = Instant::now();
            let bench = Bench::open(url.to_owned()).await?;
            let queues = bench.store().queues(Some(bench.queue().clone()), None).await?;
            let reopen_s = rounded(start.elapsed().as_secs_f64());
            let waiting = queues.iter().map(|queue| queue.counts.waiting()).sum();
            print(&Reopened { reopen_s, rss_bytes: rss_bytes(), waiting })?;
            bench.close().await
        }
    }
}

fn print<T: Serialize>(answer: &T) -> Result<(), Fault> {
    use std::io::Write;
    let line = serde_json::to_string(answer).map_err(|error| Fault::failed(error.to_string()))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(Fault::from)
}

async fn load(url: &str, scale: Scale) -> Result<Loaded, Fault> {
    let jobs = scale.jobs.unwrap_or(JOBS);
    let sample = (jobs / SAMPLE_SHARE).clamp(1, SAMPLE_MAX);
    let bench = Arc::new(Bench::open(url.to_owned()).await?);
    bench.keep_completed(KEEP).await?;
    let (batch, callers) = (scale.batch_or(BATCH), scale.callers_or(CALLERS));
    let empty = Speed::measure(&bench, sample, batch, callers, &Arc::new(Latencies::new())).await?;

    let start = Instant::now();
    let hidden = indicatif::ProgressBar::hidden();
    preload(&bench, jobs, &hidden, |bench, _| bench.job("")).await?;
    let took = start.elapsed();
    let (rss, info) = (rss_bytes(), bench.store().info().await?);

    let latencies = Arc::new(Latencies::new());
    let full = Speed::measure(&bench, sample, batch, callers, &latencies).await?;
    Ok(Loaded {
        ack_level: info.ack_level.to_string(),
        load_s: rounded(took.as_secs_f64()),
        per_s: per_second(jobs, took),
        p50_ms: latencies.quantile_ms(0.5),
        p99_ms: latencies.quantile_ms(0.99),
        p999_ms: latencies.quantile_ms(0.999),
        max_ms: latencies.max_ms(),
        rss_bytes: rss,
        disk_bytes: info.disk_bytes,
        relative_enqueue_speed: rounded(full.enqueue_per_s / empty.enqueue_per_s),
        relative_claim_speed: rounded(full.claim_per_s / empty.claim_per_s),
    })
}

/// How fast a store takes jobs in, and how fast it gives them out and completes them.
struct Speed {
    enqueue_per_s: f64,
    claim_per_s: f64,
}

impl Speed {
    /// Enqueues `sample` jobs, then claims and completes as many, a few times over; the store is left as full as it was.
    async fn measure(
        bench: &Arc<Bench>,
        sample: u64,
        batch: usize,
        callers: usize,
        times: &Arc<Latencies>,
    ) -> Result<Self, Fault> {
        let mut best = Self { enqueue_per_s: 0.0, claim_per_s: 0.0 };
        for _ in 0..ROUNDS {
            let round = Self::round(bench, sample, batch, callers, times).await?;
            best.enqueue_per_s = best.enqueue_per_s.max(round.enqueue_per_s);
            best.claim_per_s = best.claim_per_s.max(round.claim_per_s);
        }
        Ok(best)
    }

    async fn round(
        bench: &Arc<Bench>,
        sample: u64,
        batch: usize,
        callers: usize,
        times: &Arc<Latencies>,
    ) -> Result<Self, Fault> {
        let calls = usize::try_from(sample).unwrap_or(usize::MAX).div_ceil(batch * callers);
        let jobs = (calls * batch * callers) as u64;
        let start = Instant::now();
        together(callers, |_| {
            let (bench, times) = (Arc::clone(bench), Arc::clone(times));
            async move {
                for _ in 0..calls {
                    timed(&times, bench.enqueue(bench.jobs(batch))).await?;
                }
                Ok(())
            }
        })
        .await?;
        let enqueue_per_s = per_second(jobs, start.elapsed());
        let start = Instant::now();
        together(callers, |_| {
            let (bench, times) = (Arc::clone(bench), Arc::clone(times));
            async move {
                let worker = bench.worker();
                let mut done = Vec::new();
                for _ in 0..calls {
                    done = timed(&times, bench.turn(worker, done, batch)).await?.next;
                }
                bench.turn(worker, done, 0).await.map(|_| ())
            }
        })
        .await?;
        let claim_per_s = per_second(jobs, start.elapsed());
        Ok(Self { enqueue_per_s, claim_per_s })
    }
}
