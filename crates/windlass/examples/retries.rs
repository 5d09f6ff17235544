//! What an error means: retried by the job's policy, not at all, or later without blame.
#![allow(clippy::print_stdout)]

use serde::{Deserialize, Serialize};
use std::time::Duration;
use windlass::core::store::Hold;
use windlass::testing::TestQueue;
use windlass::{Ctx, JobError, Outcome, ResultExt};

#[derive(Serialize, Deserialize, windlass::Job)]
#[job(queue = "calls", max_failures = 3, retry(exponential(base = "1s", cap = "1min")), timeout = "30s")]
struct Call {
    number: String,
}

#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("line is busy")]
    Busy,
    #[error("no such number")]
    Unknown,
}

fn dial(number: &str, attempt: u32) -> Result<u32, CallError> {
    match number {
        "busy once" if attempt == 1 => Err(CallError::Busy),
        "unknown" => Err(CallError::Unknown),
        _ => Ok(42),
    }
}

async fn call(job: Call, cx: Ctx) -> Result<Outcome, JobError> {
    println!("{} calls {:?}, attempt {}", cx.client().now(), job.number, cx.attempt());
    if job.number == "slow provider" && cx.attempt() == 1 {
        // Nothing of this queue starts for ten seconds, and no try is spent.
        return Ok(Outcome::rate_limited(Duration::from_secs(10), Hold::Queue));
    }
    // Busy is worth another try; a number that does not exist is not.
    let seconds = dial(&job.number, cx.attempt()).retry_if(|error| matches!(error, CallError::Busy))?;
    Outcome::done_with(&seconds)
}

#[tokio::main]
async fn main() -> Result<(), windlass::Error> {
    // A queue whose clock is moved by hand: minutes pass at once.
    let queue = TestQueue::new();
    let client = queue.client();
    let worker = || client.worker(()).queue("calls", 1).handle(call);
    let mut ids = Vec::new();
    for number in ["fine", "busy once", "unknown", "slow provider"] {
        ids.push(client.enqueue(Call { number: number.into() }).await?.id);
    }
    for _ in 0..3 {
        queue.drain(worker()).await?;
        queue.advance(Duration::from_secs(60)).await?;
    }
    for id in ids {
        let Some(job) = client.get(id).await? else { continue };
        let (view, errors) = (job.view, job.attempts.iter().filter(|attempt| attempt.error.is_some()));
        println!("{} after {} attempts, {} errors", view.state, view.attempt, errors.count());
    }
    Ok(())
}
