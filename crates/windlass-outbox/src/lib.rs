//! The outbox: a job is enqueued inside a database transaction of the user's own, although the queue lives elsewhere.
//!
//! Each committed row of the table becomes exactly one job, and a row that was rolled back none, whatever is killed in
//! between: the relay, the database, the queue's server. `docs/outbox.md` says what users do with it;
//! `docs/decisions/0009-outbox-fences.md` has the argument.
//!
//! - [`row`] is the form of a row: what a job looks like in the table.
//! - [`outbox`] is what the relay needs of a database; [`postgres`] and [`sqlite`] are the two that there are.
//! - `fence` is what makes a batch exactly one in the queue, by nothing but the contract's own verbs.
//! - [`relay`] moves the rows, in the order of one batch after the other.
//!
//! The crate knows the contract and no store, so every store can be relayed to.

mod fence;
pub mod outbox;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod relay;
pub mod row;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod table;

pub use outbox::{Aside, Outbox, Standing};
pub use relay::{Relay, RelayOptions, Relayed, in_words};
pub use table::Table;
