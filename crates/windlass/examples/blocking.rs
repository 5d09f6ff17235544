//! Long work that blocks its thread: a pool of threads, progress and cancellation.
#![allow(clippy::print_stdout)]

use serde::{Deserialize, Serialize};
use std::time::Duration;
use windlass::core::job::State;
use windlass::{Ctx, JobError, Outcome};

#[derive(Serialize, Deserialize, windlass::Job)]
#[job(queue = "reports", timeout = "1h")]
struct CountPrimes {
    below: u64,
}

/// A plain function: it runs on a thread that may block, while heartbeats keep its lease.
fn count_primes(job: CountPrimes, cx: Ctx) -> Result<Outcome, JobError> {
    let mut count = 0u64;
    for n in 2..job.below {
        if n % 10_000 == 0 {
            cx.progress((n * 100 / job.below) as u8, format!("{count} so far"));
            if cx.is_cancelled() {
                return Err(JobError::cancelled()); // a shutdown gives the job back, no try spent
            }
        }
        let is_prime = (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
        count += u64::from(is_prime);
    }
    Outcome::done_with(&count)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = windlass::open("memory:").await?;
    let worker = client.worker(()).queue("reports", 2).handle_blocking(count_primes).start().await?;
    let id = client.enqueue(CountPrimes { below: 200_000 }).await?.id;
    loop {
        let Some(job) = client.get(id).await? else { break };
        if job.view.state == State::Completed {
            println!("primes: {}", String::from_utf8_lossy(&job.result.unwrap_or_default()));
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("{:?}", worker.shutdown().await);
    Ok(())
}
