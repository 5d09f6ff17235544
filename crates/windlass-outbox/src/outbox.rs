//! What the relay needs of a database: one trait, so that the relay's steps are written once.
//!
//! A database keeps four tables: the rows that wait, the rows that were set aside, the batches that the relay has begun,
//! and one row about itself. Each method is one transaction, durable when it answers.

use crate::row::Row;
use std::pin::Pin;
use std::time::Duration;
use windlass_core::store::StoreFuture;
use windlass_core::{JobId, Time};

/// The version of the tables that this crate reads and writes.
pub const TABLES_VERSION: i64 = 1;
/// Rows moved by one statement that has nothing to wait for: keeps each transaction short.
pub const MOVED_AT_ONCE: i64 = 10_000;

/// Rows that the relay has begun to deliver: recorded before the queue hears of them, so that whoever comes next knows
/// what to ask the queue about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its place among the batches; only grows.
    pub number: i64,
    /// The job that stands in the queue if and only if the rows' jobs were taken in.
    pub fence: JobId,
    /// Its rows, in order.
    pub seqs: Vec<i64>,
}

/// What the table's owner finds when it begins.
#[derive(Clone, Debug)]
pub struct Found {
    /// The id of this outbox, made with its tables.
    pub source: String,
    /// Batches that somebody began and nobody ended, in order.
    pub begun: Vec<Batch>,
}

/// One step on the database's side: end what the queue has, begin the next rows.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Batches whose jobs are in the queue for good: their rows go.
    pub done: Vec<Batch>,
    /// Whether the rows of `done` are kept aside as `sent`.
    pub keep: bool,
    /// The fence of the next batch.
    pub fence: JobId,
    /// Rows of these queues wait.
    pub full: Vec<String>,
    /// Rows of batches that are under way.
    pub under_way: Vec<i64>,
    /// Rows of the next batch at most; 0 begins none.
    pub rows: usize,
    /// Payload bytes at which the next batch ends.
    pub bytes: u64,
}

/// A row that the queue refuses for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The row.
    pub seq: i64,
    /// The contract's code for the refusal.
    pub code: &'static str,
    /// Why, for people.
    pub reason: String,
    /// Whether the later rows of its group must wait for it.
    pub shuts: bool,
}

/// A row that was set aside, as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    /// The row.
    pub seq: i64,
    /// The job's id.
    pub id: String,
    /// `refused`, `held` (behind a refused row of its ordered group) or `sent`.
    pub state: String,
    /// The job's queue.
    pub queue: String,
    /// The job's kind.
    pub kind: String,
    /// The job's group.
    pub group: Option<String>,
    /// The code of the refusal.
    pub code: Option<String>,
    /// Why it was refused.
    pub reason: Option<String>,
    /// Since when.
    pub at: Time,
}

/// How an outbox stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Rows that wait for the relay, those under way included.
    pub waiting: u64,
    /// When the oldest of them was inserted.
    pub oldest: Option<Time>,
    /// Rows that the queue has refused for good.
    pub refused: u64,
    /// Rows that wait behind a refused one of their ordered group.
    pub held: u64,
    /// Rows kept after they were delivered.
    pub sent: u64,
    /// Rows of batches under way.
    pub under_way: u64,
    /// Whether a relay has the table now.
    pub relay: bool,
}

/// A database with an outbox's tables.
pub trait Outbox: Send {
    /// Becomes the one relay of the table; none while another is. Starts from nothing each time it is called: a broken
    /// connection is made anew.
    fn take_over(&mut self) -> StoreFuture<'_, Option<Found>>;
    /// One step: ends batches, and begins the next with the first rows that are committed and free to go. Rows of a
    /// group that a refused row has shut are set aside as held; they come back before this when it is open again.
    fn turn(&mut self, turn: Turn) -> StoreFuture<'_, Option<(Batch, Vec<Row>)>>;
    /// Sets rows aside and begins the batch anew with what is left of it, under another fence; with nothing left, none.
    /// Rows in neither list wait again.
    fn amend(
        &mut self,
        batch: Batch,
        refused: Vec<Refusal>,
        left: Vec<i64>,
        fence: JobId,
    ) -> StoreFuture<'_, Option<Batch>>;
    /// Whether one of these jobs is a row that still waits.
    fn waits(&mut self, ids: Vec<JobId>) -> StoreFuture<'_, bool>;
    /// Forgets rows that were sent longer ago than that.
    fn trim(&mut self, keep: Duration) -> StoreFuture<'_, ()>;
    /// Ends when rows may have been committed, or after that time.
    fn doorbell(&mut self, at_most: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// How the outbox stands; needs no ownership.
    fn standing(&mut self) -> StoreFuture<'_, Standing>;
    /// Rows that were refused, oldest first.
    fn refused(&mut self, limit: usize) -> StoreFuture<'_, Vec<Aside>>;
    /// Puts refused rows back to be tried again, all of them or those named; answers how many.
    fn retry(&mut self, seqs: Option<Vec<i64>>) -> StoreFuture<'_, u64>;
}
