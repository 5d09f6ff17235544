//! A durable job queue that needs nothing else.

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
mod worker;

pub use client::Client;
pub use clock::IntoTime;
pub use ctx::{CancelReason, Ctx};
pub use draft::{Draft, Enqueue, Enqueueing, IntoDraft};
pub use error::Error;
pub use events::Events;
pub use handler::{
    Attempt, BlockingHandler, FromAttempt, FromRef, Handler, HandlerFuture, HandlerService, Payload,
    RawFirst, RawJob, State,
};
pub use job::{Job, JobOptions, UniqueBy};
pub use open::{Ack, OpenError, OpenOptions, open};
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
