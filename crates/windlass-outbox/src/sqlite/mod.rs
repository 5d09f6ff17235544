//! An outbox in SQLite: its tables, jobs enqueued in a transaction, and the relay's side of it.
//!
//! One relay at a time has a table, by a lock on a file beside the database: the system frees it when the process ends,
//! however it ends.

mod turn;

use crate::outbox::{Aside, Batch, Found, Outbox, Refusal, Standing, TABLES_VERSION, Turn};
use crate::row::{Row, RowOptions};
use crate::table::Table;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use windlass_core::error::Outcome;
use windlass_core::store::StoreFuture;
use windlass_core::{JobId, NewJob, Rejection, StoreError, Time};

const SCHEMA: &str = include_str!("schema.sql");
/// How long a step waits for another writer.
const BUSY: Duration = Duration::from_secs(10);
/// How often the file is asked whether anybody has committed: a read of shared memory.
const TICK: Duration = Duration::from_millis(20);

/// The SQL that makes the tables. It may be run again.
pub fn schema(table: &Table) -> String {
    table.sql(SCHEMA)
}

/// Inserts jobs into the outbox within the caller's transaction (a [`rusqlite::Transaction`] is a connection, too): each
/// exists if and only if the transaction commits.
///
/// What the contract refuses of a job by itself is refused here; what the queue's state refuses is found by the relay.
///
/// # Errors
/// [`Rejection::Invalid`] of the first job that breaks a bound, with nothing inserted; what SQLite says.
pub fn enqueue_in(
    transaction: &Connection,
    table: &Table,
    jobs: &[NewJob],
) -> Result<Result<(), Rejection>, StoreError> {
    if let Some(why) = jobs.iter().find_map(|job| job.validate(wall()).err()) {
        return Ok(Err(why));
    }
    let sql = "INSERT INTO windlass_outbox (id, queue, kind, payload, options) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut insert = transaction.prepare_cached(&table.sql(sql)).map_err(|why| failed("enqueue", &why))?;
    for job in jobs {
        let values = params![
            job.id.to_string(),
            job.queue.as_str(),
            job.kind.as_str(),
            job.payload,
            RowOptions::of(job)
        ];
        insert.execute(values).map_err(|why| failed("enqueue", &why))?;
    }
    Ok(Ok(()))
}

fn wall() -> Time {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

/// What SQLite says, in the contract's terms. A statement that makes no sense stays so; anything else may pass.
fn failed(operation: &'static str, fault: &rusqlite::Error) -> StoreError {
    let code = fault.sqlite_error_code();
    let stays = match code {
        Some(code) => {
            use rusqlite::ErrorCode as Code;
            matches!(code, Code::Unknown | Code::NotADatabase | Code::DatabaseCorrupt | Code::TypeMismatch)
        }
        None => true,
    };
    let cause = format!("the outbox's database: {fault}");
    StoreError { operation, cause, outcome: Outcome::NotDone, retryable: !stays, hint: None }
}

/// An outbox in a SQLite file, for a relay or for people.
pub struct SqliteOutbox {
    path: PathBuf,
    table: Table,
    connection: Option<Arc<Mutex<Connection>>>,
    lock: Option<File>,
    /// The file's version when the doorbell last looked.
    seen: i64,
}

impl SqliteOutbox {
    /// The outbox of that table in that file. Nothing is opened yet.
    pub fn new(path: impl Into<PathBuf>, table: Table) -> Self {
        Self { path: path.into(), table, connection: None, lock: None, seen: -1 }
    }

    fn open(path: &Path, table: &Table) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let fault = |why: rusqlite::Error| {
            StoreError::refused("open", format!("cannot open {}: {why}", path.display()))
        };
        let connection = Connection::open_with_flags(path, flags).map_err(fault)?;
        connection.busy_timeout(BUSY).map_err(fault)?;
        // What is recorded must be on disk before the queue hears of a batch, whatever the file's default.
        connection.pragma_update(None, "synchronous", "FULL").map_err(fault)?;
        let sql = table.sql("SELECT count(*) FROM sqlite_master WHERE name = 'windlass_outbox_relay'");
        let there: i64 =
            connection.query_row(&sql, [], |row| row.get(0)).map_err(|why| failed("open", &why))?;
        if there == 0 {
            let (make, file) = (table.command("sqlite"), path.display());
            let why = format!("there is no table {table} in {file}; make it: {make} | sqlite3 '{file}'");
            return Err(StoreError::refused("open", why));
        }
        Ok(connection)
    }

    /// Runs one step on a thread that may block.
    fn step<T: Send + 'static>(
        &mut self,
        owned: bool,
        step: impl FnOnce(&mut Connection, &Table) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        Box::pin(async move {
            if owned && self.lock.is_none() {
                return Err(StoreError::stopped("relay", "the table is not held by this relay"));
            }
            let (path, table, kept) = (self.path.clone(), self.table.clone(), self.connection.clone());
            let done = tokio::task::spawn_blocking(move || {
                let connection = match kept {
                    Some(connection) => connection,
                    None => Arc::new(Mutex::new(Self::open(&path, &table)?)),
                };
                let mut held = connection.lock().unwrap_or_else(PoisonError::into_inner);
                let answer = step(&mut held, &table);
                drop(held);
                answer.map(|answer| (connection, answer))
            });
            let (connection, answer) =
                done.await.map_err(|why| StoreError::stopped("relay", why.to_string()))??;
            self.connection = Some(connection);
            Ok(answer)
        })
    }

    /// Takes the file beside the database; false when another relay has it.
    fn take_lock(&mut self) -> Result<bool, StoreError> {
        if self.lock.is_some() {
            return Ok(true);
        }
        let path = lock_path(&self.path, &self.table);
        let fault = |why: std::io::Error| StoreError::refused("open", format!("{}: {why}", path.display()));
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(fault)?;
        match file.try_lock() {
            Ok(()) => {
                self.lock = Some(file);
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(why)) => Err(fault(why)),
        }
    }
}

/// The file whose lock says that a relay has the table.
fn lock_path(path: &Path, table: &Table) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{table}.lock"));
    name.into()
}

fn found(connection: &Connection, table: &Table) -> Result<Found, StoreError> {
    let fault = |why: rusqlite::Error| failed("open", &why);
    let own = connection
        .query_row(&table.sql("SELECT version, source FROM windlass_outbox_relay"), [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        })
        .optional()
        .map_err(fault)?;
    let Some((version, source)) = own else {
        return Err(StoreError::refused("open", "the table has no row about itself; run its schema again"));
    };
    if version != TABLES_VERSION {
        let why = format!("the tables have version {version}, and this program knows {TABLES_VERSION}");
        return Err(StoreError::refused("open", why));
    }
    let sql = table.sql("SELECT number, fence, seqs FROM windlass_outbox_batch ORDER BY number");
    let mut statement = connection.prepare(&sql).map_err(fault)?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?)))
        .map_err(fault)?;
    let mut begun = Vec::new();
    for row in rows {
        let (number, fence, seqs) = row.map_err(fault)?;
        let bad = |why: String| StoreError::refused("open", format!("batch {number}: {why}"));
        begun.push(Batch {
            number,
            fence: fence.parse().map_err(|why: Rejection| bad(why.to_string()))?,
            seqs: serde_json::from_str(&seqs).map_err(|why| bad(why.to_string()))?,
        });
    }
    Ok(Found { source, begun })
}

impl Outbox for SqliteOutbox {
    fn take_over(&mut self) -> StoreFuture<'_, Option<Found>> {
        Box::pin(async move {
            self.connection = None;
            // The database must be there before a lock is left beside it.
            self.step(false, |_, _| Ok(())).await?;
            if !self.take_lock()? {
                return Ok(None);
            }
            self.step(true, |connection, table| found(connection, table)).await.map(Some)
        })
    }

    fn turn(&mut self, turn: Turn) -> StoreFuture<'_, Option<(Batch, Vec<Row>)>> {
        self.step(true, move |connection, table| turn::turn(connection, table, &turn))
    }

    fn amend(
        &mut self,
        batch: Batch,
        refused: Vec<Refusal>,
        left: Vec<i64>,
        fence: JobId,
    ) -> StoreFuture<'_, Option<Batch>> {
        self.step(true, move |connection, table| {
            turn::amend(connection, table, &batch, &refused, left, fence)
        })
    }

    fn waits(&mut self, ids: Vec<JobId>) -> StoreFuture<'_, bool> {
        self.step(true, move |connection, table| {
            let ids = serde_json::to_string(&ids).unwrap_or_default();
            let sql = "SELECT EXISTS (SELECT 1 FROM windlass_outbox WHERE lower(id) IN (SELECT value FROM json_each(?1)))";
            connection
                .query_row(&table.sql(sql), [ids], |row| row.get(0))
                .map_err(|why| failed("relay", &why))
        })
    }

    fn trim(&mut self, keep: Duration) -> StoreFuture<'_, ()> {
        self.step(true, move |connection, table| turn::trim(connection, table, keep))
    }

    fn doorbell(&mut self, at_most: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let until = tokio::time::Instant::now() + at_most;
            loop {
                let now = self.step(false, |connection, _| {
                    connection
                        .query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0))
                        .map_err(|why| failed("relay", &why))
                });
                // A file that cannot be asked is found out by the next step.
                let now = now.await.unwrap_or(-1);
                let rang = now != self.seen;
                self.seen = now;
                let left = until.saturating_duration_since(tokio::time::Instant::now());
                if rang || left.is_zero() {
                    return;
                }
                tokio::time::sleep(TICK.min(left)).await;
            }
        })
    }

    fn standing(&mut self) -> StoreFuture<'_, Standing> {
        let held = OpenOptions::new().write(true).open(lock_path(&self.path, &self.table));
        let relay = held.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)));
        self.step(false, move |connection, table| turn::standing(connection, table, relay))
    }

    fn refused(&mut self, limit: usize) -> StoreFuture<'_, Vec<Aside>> {
        self.step(false, move |connection, table| turn::refused(connection, table, limit))
    }

    fn retry(&mut self, seqs: Option<Vec<i64>>) -> StoreFuture<'_, u64> {
        self.step(false, move |connection, table| turn::retry(connection, table, seqs))
    }
}
