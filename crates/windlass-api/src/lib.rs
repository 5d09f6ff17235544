//! The words of the HTTP API: what a request may say and what an answer says, in JSON.
//!
//! The server reads and writes them, the remote store writes and reads them, and `windlass … --json` prints the same
//! ones, so that a script that reads one reads all. They are promises, apart from the store's own types on purpose:
//! times are RFC 3339, spans are spelled (`10m`) where people write them and carry their unit in their name where
//! programs count, payloads are the JSON they hold, and a lease is one opaque text.
//!
//! - [`work`]: enqueue, claim, settle, heartbeat, report, watch;
//! - [`job`], [`queue`], [`schedule`], [`event`], [`failure`], [`store`]: what people see;
//! - [`filter`]: which jobs are meant;
//! - [`bulk`]: what is done to all of them;
//! - [`key`], [`audit`]: who may do what, and who did;
//! - [`target`]: where a queue's jobs are pushed;
//! - [`flow`]: jobs that wait for each other;
//! - [`idempotency`]: requests that may be sent again;
//! - [`monitor`]: what is watched for, and who is told;
//! - [`problem`]: how a request fails (RFC 9457);
//! - [`payload`], [`spell`], [`time`]: how bytes, spans, rates and instants are written.
//!
//! With the feature `schema` every word has its JSON Schema, from which the server's OpenAPI document is made.
//!
//! This crate knows no socket, no clock and no store.

pub mod audit;
pub mod bulk;
pub mod event;
pub mod failure;
pub mod filter;
pub mod flow;
pub mod idempotency;
pub mod job;
pub mod key;
pub mod monitor;
mod object;
pub mod page;
pub mod payload;
pub mod problem;
pub mod queue;
pub mod schedule;
#[cfg(feature = "schema")]
pub mod schema;
pub mod spell;
pub mod store;
pub mod target;
pub mod time;
pub mod work;
