//! So many whole lives of jobs on a server, a hundred at a time, removal included: for counting what each costs the
//! server. A third number spreads them over that many groups.
//!
//! `cargo run --release -p windlass-redis --example lifecycles -- redis://127.0.0.1:6379 100000`
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for measurements"
)]

use std::time::{Instant, SystemTime, UNIX_EPOCH};
use windlass_core::queue::{QueueSettings, Retention};
use windlass_core::store::{Admin, Claim, Queue, Settle, Upkeep};
use windlass_core::{JobId, Kind, NewJob, QueueName, Time, WorkerId};
use windlass_redis::{RedisOptions, RedisStore};

/// Completed jobs that are kept: what comes after them is removed.
const KEPT: u64 = 1_000;
/// Enough for all that one batch leaves to do.
const UPKEEP_STEPS: usize = 500;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("which server? redis://127.0.0.1:6379")?;
    let count: u64 = arguments.next().ok_or("how many lifecycles?")?.parse()?;
    let groups: u64 = arguments.next().map_or(Ok(0), |groups| groups.parse())?;
    let options = RedisOptions { namespace: "lifecycles".into(), upkeep: false, ..RedisOptions::default() };
    let store = RedisStore::open(&url, options).await?;
    let (queue, kind) = (QueueName::new("bench")?, Kind::new("noop")?);
    let retention = Retention { completed_count: KEPT, ..Retention::default() };
    let settings = QueueSettings { retention, ..QueueSettings::default() };
    store.set_queue(queue.clone(), settings, None).await??;
    let since = Instant::now();
    let (mut made, mut done, mut held) = (0u64, 0, Vec::new());
    while done < count {
        let now = Time(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64);
        let jobs = (0..100).map(|i| {
            let n = made + i;
            let mut job =
                NewJob::new(JobId::named(now, &n.to_string()), queue.clone(), kind.clone(), vec![b'.'; 200]);
            if groups > 0 {
                job.group = Some(format!("group-{}", n % groups).parse().unwrap());
            }
            job
        });
        if made < count {
            for answer in store.enqueue(jobs.collect(), false, None).await? {
                answer?;
            }
            made += 100;
        }
        let settle_first = std::mem::take(&mut held);
        done += settle_first.len() as u64;
        let wants = vec![(queue.clone(), 100)];
        let claimed =
            store.claim(Claim { settle_first, wants, worker: WorkerId(7), nonce: made + 1 }, None).await?;
        let complete = |lease| Settle::Complete { lease, result: None, then: Vec::new() };
        store.upkeep(UPKEEP_STEPS, None).await?;
        held = claimed.jobs.into_iter().map(|job| complete(job.lease)).collect();
    }
    println!("{done} lifecycles in {:.2} s", since.elapsed().as_secs_f64());
    Ok(())
}
