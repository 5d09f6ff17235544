//! The nouns and the rules of Windlass: what every store promises, in one vocabulary.
//!
//! This crate owns the types that cross the store border ([`store`]), the one state table
//! ([`lifecycle`]), and the arithmetic that must give the same answer on every store ([`retry`],
//! [`rate`], [`fair`], [`schedule`], [`fingerprint`]).
//! It knows no file, no clock, no socket, no async runtime and no randomness: whatever depends on
//! them comes in as an argument.
//! Read [`lifecycle`] first, then [`store`]; `docs/contract.md` is the same promise in prose.

pub mod bounds;
pub mod error;
pub mod event;
pub mod fair;
pub mod fingerprint;
pub mod flow;
pub mod histogram;
pub mod job;
pub mod lease;
pub mod lifecycle;
pub mod limit;
pub mod name;
pub mod queue;
pub mod rate;
pub mod retry;
pub mod schedule;
#[cfg(feature = "schema")]
mod schema;
pub mod store;
pub mod time;
pub mod url;
pub mod watch;
pub mod why;

pub use error::{Rejection, StoreError};
pub use job::{JobId, JobView, NewJob, State};
pub use lease::{Lease, LeaseToken, WorkerId};
pub use name::{GroupKey, Kind, LimitName, QueueName, ScheduleName};
pub use time::Time;
