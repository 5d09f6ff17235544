//! A durable job queue that needs nothing else: the engine is inside, in a directory of your own.
//!
//! A web service that answers a request when its job is on the disk, and works through the jobs beside
//! it (`examples/axum_service.rs`):
//!
//! ```no_run
//! use axum::{Router, extract, routing::post};
//! use serde::{Deserialize, Serialize};
//! use windlass::{Client, JobError};
//!
//! #[derive(Serialize, Deserialize, windlass::Job)]
//! #[job(queue = "email", max_failures = 8, unique(by = "user", for = "1h"))]
//! struct Welcome {
//!     user: u64,
//! }
//!
//! async fn send(job: Welcome) -> Result<(), JobError> {
//!     println!("welcome, user {}", job.user); // an error here is retried with backoff
//!     Ok(())
//! }
//!
//! async fn sign_up(queue: extract::State<Client>, user: extract::Path<u64>) -> String {
//!     let job = Welcome { user: *user };
//!     queue.enqueue(job).await.map_or_else(|error| error.to_string(), |job| job.id.to_string())
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let queue = windlass::open("file:./data").await?;
//!     let worker = queue.worker(()).queue("email", 30).handle(send).start().await?;
//!     let app = Router::new().route("/welcome/{user}", post(sign_up)).with_state(queue.clone());
//!     axum::serve(tokio::net::TcpListener::bind("127.0.0.1:3000").await?, app).await?;
//!     worker.shutdown().await;
//!     Ok(queue.close().await?)
//! }
//! ```
//!
//! - **Jobs** are types that derive [`Job`](trait@Job): arguments in JSON, a queue, and the options that
//!   follow from them. [`Client::enqueue`] sends one, with more options if need be ([`Draft`]);
//!   [`Client::enqueue_many`] sends many. Whoever enqueues one at a time in many tasks shares commits
//!   with the others without doing anything for it.
//! - **Handlers** are async functions: the job by value, then [`State`] and [`Ctx`]
//!   ([`WorkerBuilder`]). They return `()`, an [`Outcome`], or an error, which is retried by the job's
//!   policy unless it says otherwise ([`JobError`]). Functions that block have
//!   [`WorkerBuilder::handle_blocking`].
//! - **The promise** is at least once, with exactly one recorded completion: a handler whose process is
//!   killed runs again, so make its effects idempotent by [`Ctx::id`]. A handler that is late, slow or
//!   cut off from its store can never end a job that somebody else holds.
//! - **Traces** have [`trace`]: an attempt goes on with the trace of whoever enqueued its job.
//! - **Tests** have [`testing`]: a queue in memory whose clock they move.
//!
//! Every limit, order and state is the contract's, in [`core`]; people's tools reach all of it through
//! [`Client::store`].

mod client;
mod clock;
mod ctx;
mod draft;
mod error;
mod events;
mod gather;
mod handler;
mod ids;
mod job;
mod open;
mod outcome;
mod schedule;
#[cfg(feature = "embedded")]
pub mod testing;
pub mod trace;
mod worker;

pub use client::Client;
pub use clock::IntoTime;
pub use ctx::{CancelReason, Ctx};
pub use draft::{Draft, Enqueue, Enqueueing, IntoDraft};
pub use error::Error;
pub use events::Events;
pub use handler::{
    Arguments, Attempt, BlockingHandler, FromAttempt, FromRef, Handler, HandlerFuture, HandlerService,
    Payload, RawFirst, RawJob, State,
};
pub use job::{Job, JobOptions, UniqueBy};
pub use open::{Ack, OpenError, OpenOptions, check_url, open};
pub use outcome::{IntoOutcome, JobError, Outcome, ResultExt};
pub use schedule::ScheduleBuilder;
pub use windlass_core as core;
pub use windlass_core::{JobId, NewJob, Rejection, StoreError, Time};
/// Implements [`Job`](trait@Job); its table of options is there.
pub use windlass_macros::Job;
pub use worker::{RunningWorker, ShutdownReport, WorkerBuilder};

/// What the derive macro writes into other crates.
#[doc(hidden)]
pub mod __private {
    pub use crate::job::{PayloadPart, default_retry, joined_key, json_text, key_text};
    pub use windlass_core::job::{OnConflict, UniqueScope};
    pub use windlass_core::retry::{Jitter, RetryPolicy};
}

/// Compiles the program in the README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;
