//! The rules of `docs/contract.md`, each as a test against the embedded engine's own verbs.
//!
//! Nothing here knows how the engine works: the tests speak only the traits of `windlass_core::store`,
//! on a clock that stands still until a test moves it. [`subject`] holds the store under test and
//! [`witness`] the checker that judges random traffic by its answers and its event log alone.
//! A module is a section or a verb of the contract, a test is one rule.

#![allow(clippy::print_stdout, reason = "the seed of a random test is printed")]
#![allow(clippy::unwrap_used, reason = "an answer that is not there is a failed test")]
#![allow(clippy::type_complexity, reason = "tables of cases are read where they stand")]
#![allow(clippy::disallowed_methods, reason = "tests reach directories as users do")]

mod admin;
mod bounds;
mod cancel;
mod claim;
mod durability;
mod enqueue;
mod events;
mod fairness;
mod flow;
mod limits;
mod ordered;
mod recovery;
mod retention;
mod retry;
mod schedules;
mod settle;
mod subject;
mod traffic;
mod unique;
mod why;
mod witness;
