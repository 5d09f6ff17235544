//! A web service with its queue inside: a request is answered when its job is durable.
//!
//! `cargo run --example axum_service`, then `curl -X POST localhost:3000/welcome/7`.
#![allow(clippy::print_stdout)]

use axum::{Router, extract, routing::post};
use serde::{Deserialize, Serialize};
use windlass::{Client, JobError};

#[derive(Serialize, Deserialize, windlass::Job)]
#[job(queue = "email", max_failures = 8, unique(by = "user", for = "1h"))]
struct Welcome {
    user: u64,
}

async fn send(job: Welcome) -> Result<(), JobError> {
    println!("welcome, user {}", job.user); // an error here is retried with backoff
    Ok(())
}

async fn sign_up(queue: extract::State<Client>, user: extract::Path<u64>) -> String {
    let job = Welcome { user: *user };
    queue.enqueue(job).await.map_or_else(|error| error.to_string(), |job| job.id.to_string())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let queue = windlass::open("file:./data").await?;
    let worker = queue.worker(()).queue("email", 30).handle(send).start().await?;

    let app = Router::new().route("/welcome/{user}", post(sign_up)).with_state(queue.clone());
    let address = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;

    worker.shutdown().await; // running jobs finish, the rest stays for the next start
    Ok(queue.close().await?)
}
