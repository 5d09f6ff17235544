//! Archives of real stores in real databases: what the tables say, and what faults do to them.
//!
//! Every test that writes runs in SQLite and in PostgreSQL. The kill of a whole archiver is in the tests of
//! `windlass-cli`, which has a process to kill.

mod faults;
mod history;
mod life;
mod payloads;
mod place;
mod retention;
#[path = "../../../windlass-postgres/tests/server/mod.rs"]
mod server;
