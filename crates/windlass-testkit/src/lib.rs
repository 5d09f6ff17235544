//! The certificate for a store: what `docs/contract.md` promises, proved on any implementation of
//! `windlass_core::store`.
//!
//! A store brings a [`Host`], which opens it on fresh places with a clock that a test moves, and a test target without
//! the usual harness whose `main` is [`certify`]. It gets one test for each rule:
//!
//! - **cases** (`cases/`): one rule each, written by hand, by section of the contract;
//! - **the model** (`model/`): the contract done in the plainest way; random commands to it and to the store get the
//!   same answers and leave the same picture, save where the contract leaves a store free;
//! - **random traffic** (`cases/traffic.rs`), judged by a witness that knows only what was asked, answered and told.
//!
//! [`Proxy`] stands between a store and its server and fails on demand.
//! A case that says nothing about a store is left out with its reason, which is printed, never in silence.
#![allow(clippy::unwrap_used, reason = "an answer that is not there is a failed test")]
#![allow(clippy::type_complexity, reason = "tables of cases are read where they stand")]
#![allow(clippy::print_stdout, reason = "seeds and exempted cases are printed")]

mod cases;
mod certify;
mod dice;
mod dump;
mod host;
mod model;
mod proxy;
pub mod subject;
mod witness;

pub use cases::compare_with_model;
pub use certify::certify;
pub use dice::Dice;
pub use dump::{Dump, dump};
pub use host::{Case, End, Host, Place, SHORT_LOG_EVENTS, START};
pub use proxy::{Fault, Proxy};
pub use subject::Subject;
