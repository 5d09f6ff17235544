//! The smallest durable job: enqueue it, handle it, leave.
//!
//! `cargo run --example hello` keeps its data in ./hello-data; kill it at any moment and run it again.

use serde::{Deserialize, Serialize};
use windlass::{Ctx, JobError};

#[derive(Serialize, Deserialize, windlass::Job)]
#[job(queue = "greetings")]
struct Greet {
    name: String,
}

async fn greet(job: Greet, cx: Ctx) -> Result<(), JobError> {
    cx.log(format!("attempt {}", cx.attempt()));
    tracing::info!("hello, {}", job.name);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = windlass::open("file:./hello-data").await?;
    let worker = client.worker(()).queue("greetings", 4).handle(greet).start().await?;

    let enqueued = client.enqueue(Greet { name: "world".into() }).await?;

    // The event log tells what becomes of it.
    let mut events = client.events(windlass::core::store::From::Earliest);
    while client.get(enqueued.id).await?.is_some_and(|job| !job.view.state.is_terminal()) {
        events.next().await?;
    }
    let report = worker.shutdown().await;
    tracing::info!(done = report.done, "left");
    Ok(client.close().await?)
}
