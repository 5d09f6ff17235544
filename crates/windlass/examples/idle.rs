//! A worker with nothing to do: ask the server meanwhile how many queries that costs it.
//!
//! `cargo run --release -p windlass --features redis-tls,postgres --example idle -- redis://localhost 60`, and before and after it
//! `redis-cli info stats | grep total_commands_processed`; on PostgreSQL
//! `SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()`.
#![allow(clippy::print_stdout)]

use serde::{Deserialize, Serialize};
use std::time::Duration;
use windlass::JobError;

#[derive(Serialize, Deserialize, windlass::Job)]
#[job(queue = "idle")]
struct Nothing;

async fn wait(_: Nothing) -> Result<(), JobError> {
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "file:./data".into());
    let seconds = arguments.next().map_or(Ok(60), |seconds| seconds.parse())?;
    let queue = windlass::open(&url).await?;
    let worker = queue.worker(()).queue("idle", 30).handle(wait).start().await?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    println!("idle for {seconds} s");
    worker.shutdown().await;
    Ok(queue.close().await?)
}
