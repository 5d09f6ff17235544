//! The permanent record of a queue: every job's history as rows that any SQL tool can read.
//!
//! An [`Archiver`] reads the event log of any store and writes what it says to SQLite or PostgreSQL. The place up to
//! which it has read lies in the same database and moves in the same transaction as the rows, so a kill at any moment
//! loses nothing and doubles nothing; the store's own note of that place, which holds its log back, is moved after the
//! commit. What the store had to throw away before it was read is a row too: a [`Gap`].
//!
//! `fold` turns events into rows and is pure; `database` writes them; `archiver` moves the place. This crate knows no
//! store but the contract of `windlass-core`. Payloads are not in the event log: `bodies` asks the store for them, where
//! they are to be archived too.
//! `docs/archive.md` has the tables and the queries.

mod acquaint;
mod archiver;
mod batch;
mod bodies;
mod database;
mod error;
mod fold;
mod news;
mod options;
mod target;

pub use acquaint::forget;
pub use archiver::Archiver;
pub use batch::{Gap, GapReason};
pub use database::SCHEMA_VERSION;
pub use error::ArchiveError;
pub use news::{News, Standing, Step};
pub use options::{Clock, Options};
pub use target::{SCHEMA_DEFAULT, Target};
