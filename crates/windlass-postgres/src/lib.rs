//! The PostgreSQL store: the whole contract in the database that carries the user's own data.
//!
//! Each verb is one SQL function, called in one round trip and atomic by its transaction; this crate is the thin layer
//! that calls them. `migrations/` has the tables, `sql/` the verbs, one file each, over a prelude with the locks.
//! What must not be decided twice is decided in `windlass-core`: bounds, ticks of schedules, titles of errors.
//!
//! [`PostgresStore::open`] brings the schema up to date and gives a store; [`enqueue_in`] takes jobs in within the
//! caller's own transaction, so that they exist if and only if it commits; `sqlx::enqueue_in` does for sqlx.
//! Read [`store`](self) first for how a call is made, then `sql/prelude.sql` for how calls keep out of each other's way.

mod address;
mod admin;
mod background;
mod decode;
mod erase;
mod error;
mod events;
mod hub;
mod info;
mod jobs;
mod listen;
mod migrate;
mod options;
mod pool;
mod queue;
#[cfg(feature = "sqlx")]
pub mod sqlx;
mod store;
mod transaction;
mod upkeep;
mod wire;

pub use error::OpenError;
pub use migrate::{Migration, SCHEMA_VERSION, migrate, migration};
pub use options::{Clock, Options};
pub use store::PostgresStore;
pub use transaction::{complete_in, enqueue_in};
pub use windlass_pg::Verify;
