//! What a store on a server lives through: random work of several clients at once, faults in between, and a history of
//! all of it that is judged in the end.
//!
//! A store brings a [`Home`], which opens it for one more client, and its own way to break its server.
//! [`History`] is the load and its judgement; [`kills()`] and [`network()`] are the two courses of faults that every
//! server's store goes through. This crate knows no store; it is a part of stores' tests and ships with nothing.
#![allow(clippy::unwrap_used, reason = "an answer that is not there is a failed test")]
#![allow(clippy::print_stdout, reason = "seeds and scenarios are printed")]

mod history;
mod kills;
mod load;
mod network;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use windlass_core::store::Store;

pub use history::History;
pub use kills::{RESUMED_WITHIN, kills};
pub use network::{SCENARIOS, Scenario, network};

/// Where a store lives.
pub trait Home: Send + Sync {
    /// The store's name in the history.
    fn store(&self) -> &'static str;

    /// Opens the store for one more client, as a program of its own would; with or without upkeep in the background.
    fn open(&self, upkeep: bool) -> Pin<Box<dyn Future<Output = Arc<dyn Store>> + Send + '_>>;
}
