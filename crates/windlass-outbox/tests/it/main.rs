//! The relay on a real PostgreSQL and a real SQLite file, in front of a store in a directory whose clock a test moves.
#![allow(clippy::unwrap_used, reason = "an answer that is not there is a failed test")]
#![allow(clippy::print_stdout, reason = "a rule says on which database it runs")]

mod base;
mod cut;
mod exactly_once;
mod queue;
mod refused;
mod relays;
