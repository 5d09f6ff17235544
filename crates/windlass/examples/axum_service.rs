//! A web service with its queue inside: the request is answered when the job is durable.
//!
//! `cargo run --example axum_service`, then `curl -X POST localhost:3000/welcome/7`.

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

async fn sign_up(extract::State(queue): extract::State<Client>, extract::Path(user): extract::Path<u64>) -> String {
    queue.enqueue(Welcome { user }).await.map_or_else(|e| e.to_string(), |job| job.id.to_string())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let queue = windlass::open("file:./data").await?;
    let worker = queue.worker(()).queue("email", 30).handle(send).start().await?;
    let app = Router::new().route("/welcome/{user}", post(sign_up)).with_state(queue.clone());
    let port = std::env::var("PORT").unwrap_or_else(|_| "3000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on {}", listener.local_addr()?);
    let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    worker.shutdown().await;
    Ok(queue.close().await?)
}
