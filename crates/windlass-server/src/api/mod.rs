//! The handlers: one module for each noun.

pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod bulk;
pub(crate) mod claim;
pub(crate) mod enqueue;
pub(crate) mod errors;
pub(crate) mod events;
pub(crate) mod flows;
pub(crate) mod front;
pub(crate) mod groups;
pub(crate) mod health;
mod idempotency;
pub(crate) mod info;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod limits;
pub(crate) mod meta;
pub(crate) mod metrics;
pub(crate) mod monitor;
pub(crate) mod ndjson;
pub(crate) mod queues;
pub(crate) mod schedules;
pub(crate) mod targets;
pub(crate) mod workers;
