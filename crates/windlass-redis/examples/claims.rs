//! What a claim of 100 jobs costs the server, in microseconds of its own CPU time, beside that many waiting jobs in that
//! many groups (0: jobs without a group). Each batch is completed by the next claim.
//!
//! `cargo run --release -p windlass-redis --example claims -- redis://127.0.0.1:6379 1000000 0`
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for measurements"
)]

use std::time::{SystemTime, UNIX_EPOCH};
use windlass_core::store::{Claim, Queue, Settle};
use windlass_core::{JobId, Kind, NewJob, QueueName, Time, WorkerId};
use windlass_redis::{RedisOptions, RedisStore};

/// Jobs of one claim.
const BATCH: u64 = 100;
/// Claims of one figure, and figures: the median is shown.
const CLAIMS: usize = 20;
const FIGURES: usize = 9;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("which server? redis://127.0.0.1:6379")?;
    let waiting: u64 = arguments.next().ok_or("how many jobs wait?")?.parse()?;
    let groups: u64 = arguments.next().map_or(Ok(0), |groups| groups.parse())?;
    let options = RedisOptions { namespace: "claims".into(), upkeep: false, ..RedisOptions::default() };
    let store = RedisStore::open(&url, options).await?;
    let mut server = redis::Client::open(url.as_str())?.get_multiplexed_async_connection().await?;
    let (queue, kind) = (QueueName::new("bench")?, Kind::new("noop")?);
    let mut made = 0u64;
    while made < waiting.max(BATCH * (CLAIMS * FIGURES + 1) as u64) {
        let now = Time(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64);
        let jobs = (made..made + 1_000).map(|n| {
            let mut job =
                NewJob::new(JobId::named(now, &n.to_string()), queue.clone(), kind.clone(), vec![b'.'; 200]);
            job.group = (groups > 0).then(|| format!("group-{}", n % groups).parse().unwrap());
            job
        });
        store.enqueue(jobs.collect(), false, None).await?;
        made += 1_000;
    }
    let (mut held, mut figures) = (Vec::new(), Vec::new());
    for _ in 0..FIGURES {
        let before = cpu_us(&mut server).await?;
        for _ in 0..CLAIMS {
            made += 1;
            let (settle_first, wants) = (std::mem::take(&mut held), vec![(queue.clone(), BATCH as u32)]);
            let claim = Claim { settle_first, wants, worker: WorkerId(7), nonce: made };
            let claimed = store.claim(claim, None).await?;
            assert_eq!(claimed.jobs.len() as u64, BATCH, "every claim is full");
            let complete = |lease| Settle::Complete { lease, result: None, then: Vec::new() };
            held = claimed.jobs.into_iter().map(|job| complete(job.lease)).collect();
        }
        figures.push((cpu_us(&mut server).await? - before) / CLAIMS as f64);
    }
    figures.sort_by(f64::total_cmp);
    let (least, median, most) = (figures[0], figures[FIGURES / 2], figures[FIGURES - 1]);
    println!("{median:.0} us of the server's CPU a claim of {BATCH} ({least:.0} to {most:.0})");
    Ok(())
}

/// CPU time that the server has taken so far.
async fn cpu_us(server: &mut redis::aio::MultiplexedConnection) -> Result<f64, Box<dyn std::error::Error>> {
    let text: String = redis::cmd("INFO").arg("cpu").query_async(server).await?;
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("INFO cpu")?;
        line.parse::<f64>().map_err(|_| "INFO cpu")
    };
    Ok((of("used_cpu_user:")? + of("used_cpu_sys:")?) * 1e6)
}
