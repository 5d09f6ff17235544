//! The smallest durable job: enqueue it, handle it, leave.
//!
//! `cargo run --example hello` keeps its data in ./hello-data; kill it at any moment and run it again.
#![allow(clippy::print_stdout)]

use serde::{Deserialize, Serialize};
use windlass::core::store::From;

#[derive(Serialize, Deserialize, windlass::Job)]
#[job(queue = "greetings")]
struct Greet {
    name: String,
}

async fn greet(job: Greet) {
    println!("hello, {}", job.name);
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = windlass::open("file:./hello-data").await?;
    let mut events = client.events(From::Latest);
    events.poll_now(1).await?; // from here on
    let worker = client.worker(()).queue("greetings", 4).handle(greet).start().await?;

    let enqueued = client.enqueue(Greet { name: "world".into() }).await?; // on the disk now
    loop {
        let event = events.next().await?;
        println!("{} {}", event.job, event.event);
        let done = client.get(enqueued.id).await?.is_none_or(|job| job.view.state.is_terminal());
        if event.job == enqueued.id && done {
            break;
        }
    }
    worker.shutdown().await;
    Ok(client.close().await?)
}
