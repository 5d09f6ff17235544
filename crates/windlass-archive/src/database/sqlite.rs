//! An archive in a file of SQLite: one connection, on threads that may block, with a lock file beside it.
//!
//! WAL lets any number of programs read meanwhile. `synchronous = FULL`: the store forgets what we say we have, so a
//! commit must survive power loss, like the store's own.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params,
};
use windlass_core::{JobId, Time};

use super::merge::{
    ATTEMPT_COLUMNS, ATTEMPT_MERGE, GAP_MERGE, JOB_COLUMNS, JOB_MERGE, MODE_MERGE, PAYLOAD_COLUMNS,
    PAYLOAD_MERGE,
};
use super::{FIRST_VERSION, Head, Place, SCHEMA_VERSION, check_version, ms, place_found, words};
use crate::batch::Batch;
use crate::error::ArchiveError;
use crate::fold::Rows;
use crate::target::Target;

const TABLES: &str = include_str!("../../sql/sqlite.sql");
const VERSION_2: &str = include_str!("../../sql/sqlite-2.sql");
/// How long a write waits for another program's; readers do not count under WAL.
const BUSY: Duration = Duration::from_secs(10);
/// Failure modes that one step of retention looks at.
const MODES_PER_PRUNE: usize = 1_000;

pub(crate) struct Sqlite {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    connection: Connection,
    target: String,
    queues: HashMap<String, i64>,
    kinds: HashMap<String, i64>,
    /// Held for as long as this lives; the system lets go of it when the process ends, however it ends.
    _lock: File,
}

impl Sqlite {
    /// The archive in that file, if there is one; none where one can be made.
    pub(super) async fn look(target: &Target, path: &Path) -> Result<Option<Head>, ArchiveError> {
        let (target, path) = (target.to_string(), path.to_owned());
        let looked = tokio::task::spawn_blocking(move || look(&target, &path));
        looked.await.map_err(|fault| interrupted(&fault))?
    }

    pub(super) async fn open(
        target: &Target,
        path: &Path,
        name: &str,
        now: Time,
    ) -> Result<(Self, Head), ArchiveError> {
        let (target, path, name) = (target.to_string(), path.to_owned(), name.to_owned());
        let opened = tokio::task::spawn_blocking(move || Inner::open(target, &path, &name, now));
        let (inner, head) = opened.await.map_err(|fault| interrupted(&fault))??;
        Ok((Self { inner: Arc::new(Mutex::new(inner)) }, head))
    }

    pub(super) async fn write(&self, batch: &Arc<Batch>) -> Result<u64, ArchiveError> {
        let batch = Arc::clone(batch);
        self.run("cannot write", move |inner| inner.write(&batch)).await
    }

    pub(super) async fn without_payload(&self, jobs: Vec<JobId>) -> Result<Vec<JobId>, ArchiveError> {
        self.run("cannot read", move |inner| {
            let mut known = inner.connection.prepare_cached("SELECT 1 FROM payload WHERE job = ?1")?;
            let mut without = Vec::new();
            for job in jobs {
                if !known.exists([id(job)])? {
                    without.push(job);
                }
            }
            Ok(without)
        })
        .await
    }

    pub(super) async fn prune(&self, before: Time, limit: usize) -> Result<usize, ArchiveError> {
        self.run("cannot delete from", move |inner| Ok(inner.prune(before, limit)?)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        doing: &'static str,
        step: impl FnOnce(&mut Inner) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, ArchiveError> {
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || {
            let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
            let done = step(&mut inner);
            done.map_err(|fault| {
                // What a rolled-back transaction has numbered is not there.
                inner.queues.clear();
                inner.kinds.clear();
                fault.told(&inner.target, doing)
            })
        });
        done.await.map_err(|fault| interrupted(&fault))?
    }
}

/// SQLite said no, or we do.
enum Fault {
    Sqlite(rusqlite::Error),
    Ours(ArchiveError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Fault::Sqlite(error)
    }
}

impl Fault {
    fn told(self, target: &str, doing: &'static str) -> ArchiveError {
        match self {
            Fault::Ours(error) => error,
            Fault::Sqlite(error) => database_error(target, doing, &error),
        }
    }
}

fn database_error(target: &str, doing: &'static str, error: &rusqlite::Error) -> ArchiveError {
    let retryable = matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
        )
    );
    ArchiveError::Database { target: target.to_owned(), doing, cause: error.to_string(), retryable }
}

fn interrupted(fault: &tokio::task::JoinError) -> ArchiveError {
    let cause = format!("its thread ended: {fault}");
    ArchiveError::Database { target: "the archive".into(), doing: "cannot write", cause, retryable: false }
}

/// A failure before there is an archive; what keeps it from being opened is no moment's trouble.
fn unopened(target: &str, fault: Fault) -> ArchiveError {
    match fault {
        Fault::Ours(error) => error,
        Fault::Sqlite(error) => cannot_open(target, error.to_string()),
    }
}

fn cannot_open(target: &str, cause: String) -> ArchiveError {
    ArchiveError::Database { target: target.to_owned(), doing: "cannot open", cause, retryable: false }
}

/// Reads what the file is, if it is there: nothing is made, and no lock left beside it.
fn look(target: &str, path: &Path) -> Result<Option<Head>, ArchiveError> {
    if !path.exists() {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let read = || -> Result<Option<Head>, Fault> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        found(&connection, target)
    };
    read().map_err(|fault| unopened(target, fault))
}

impl Inner {
    fn open(target: String, path: &Path, name: &str, now: Time) -> Result<(Self, Head), ArchiveError> {
        let lock = lock(&target, path)?;
        let mut connection =
            Connection::open(path).map_err(|error| cannot_open(&target, error.to_string()))?;
        let head = prepare(&mut connection, &target, name, now).map_err(|fault| unopened(&target, fault))?;
        let (queues, kinds) = (HashMap::new(), HashMap::new());
        Ok((Self { connection, target, queues, kinds, _lock: lock }, head))
    }

    fn write(&mut self, batch: &Batch) -> Result<u64, Fault> {
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if let Place::Written = take_place(&tx, &self.target, batch)? {
            return Ok(0);
        }
        let rows = &batch.rows;
        let known = if batch.again { known_jobs(&tx, rows)? } else { 0 };
        write_retries(&tx, rows)?;
        write_jobs(&tx, rows, &mut self.queues, &mut self.kinds)?;
        write_attempts(&tx, rows)?;
        write_bodies(&tx, rows)?;
        write_modes_and_gaps(&tx, batch)?;
        tx.commit()?;
        Ok(known)
    }

    fn prune(&mut self, before: Time, limit: usize) -> rusqlite::Result<usize> {
        let (before, limit) = (ms(before), limit as i64);
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut jobs: Vec<[u8; 16]> = Vec::new();
        {
            let mut ended =
                tx.prepare("SELECT id FROM job WHERE ended_at < ?1 ORDER BY ended_at LIMIT ?2")?;
            for id in ended.query_map(params![before, limit], |row| row.get(0))? {
                jobs.push(id?);
            }
            jobs.sort_unstable();
            for table in [
                "DELETE FROM attempt WHERE job = ?1",
                "DELETE FROM retry WHERE job = ?1",
                "DELETE FROM payload WHERE job = ?1",
                "DELETE FROM job WHERE id = ?1",
            ] {
                let mut delete = tx.prepare(table)?;
                for job in &jobs {
                    delete.execute([job])?;
                }
            }
        }
        let unused = "DELETE FROM failure_mode WHERE fingerprint IN (SELECT fingerprint FROM failure_mode m WHERE last_at < ?1
              AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.fingerprint = m.fingerprint) LIMIT ?2)";
        tx.execute(unused, params![before, MODES_PER_PRUNE as i64])?;
        tx.commit()?;
        Ok(jobs.len())
    }
}

/// Two archivers of one file would only undo each other's waiting, so the second is refused; the compare-and-set of
/// the place keeps the tables right even where locks do nothing.
fn lock(target: &str, path: &Path) -> Result<File, ArchiveError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let told = |cause: String| cannot_open(target, cause);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&beside);
    let file = file.map_err(|error| told(format!("{}: {error}", beside.to_string_lossy())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ArchiveError::Held { target: target.to_owned() }),
        Err(TryLockError::Error(error)) => Err(told(error.to_string())),
    }
}

/// Sets the connection, and makes the tables in a file that has none.
fn prepare(connection: &mut Connection, target: &str, name: &str, now: Time) -> Result<Head, Fault> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if found(&tx, target)?.is_none() {
        tx.execute_batch(TABLES)?;
        tx.execute(
            "INSERT INTO archive (one, schema_version, name, id, made_at, events) VALUES (1, ?1, ?2, ?3, ?4, 0)",
            params![FIRST_VERSION, name, uuid::Uuid::now_v7().to_string(), ms(now)],
        )?;
    }
    let version: i64 = tx.query_row("SELECT schema_version FROM archive", [], |row| row.get(0))?;
    if version < SCHEMA_VERSION {
        tx.execute_batch(VERSION_2)?;
        tx.execute("UPDATE archive SET schema_version = ?1", [SCHEMA_VERSION])?;
    }
    tx.execute_batch(&words(""))?;
    let head = head(&tx)?;
    tx.commit()?;
    Ok(head)
}

/// What an archive says of itself, where there is one of a version that this program knows; none in an empty file.
fn found(connection: &Connection, target: &str) -> Result<Option<Head>, Fault> {
    let not_ours = || Fault::Ours(ArchiveError::NotAnArchive { target: target.to_owned() });
    let table = |name: &str| {
        let sql = "SELECT 1 FROM sqlite_master WHERE name LIKE ?1";
        connection.query_row(sql, [name], |_| Ok(())).optional()
    };
    if table("archive")?.is_none() {
        return if table("%")?.is_some() { Err(not_ours()) } else { Ok(None) };
    }
    let version = connection.query_row("SELECT schema_version FROM archive", [], |row| row.get(0));
    check_version(target, version.optional()?.ok_or_else(not_ours)?).map_err(Fault::Ours)?;
    Ok(Some(head(connection)?))
}

fn head(connection: &Connection) -> rusqlite::Result<Head> {
    connection.query_row("SELECT name, id, cursor, last_event_at FROM archive", [], |row| {
        let cursor: Option<String> = row.get(2)?;
        let last: Option<i64> = row.get(3)?;
        Ok(Head {
            name: row.get(0)?,
            id: row.get(1)?,
            cursor: cursor.and_then(|cursor| cursor.parse().ok()),
            last_event_at: last.map(|at| Time(at.unsigned_abs())),
        })
    })
}

fn take_place(tx: &Transaction<'_>, target: &str, batch: &Batch) -> Result<Place, Fault> {
    let text = |cursor: Option<windlass_core::event::Cursor>| cursor.map(|cursor| cursor.to_string());
    let moved = tx.execute(
        "UPDATE archive SET cursor = ?2, events = events + ?3, last_event_at = coalesce(?4, last_event_at) WHERE cursor IS ?1",
        params![text(batch.from), text(batch.to), batch.rows.events.cast_signed(), batch.last_event_at.map(ms)],
    )?;
    if moved == 1 {
        return Ok(Place::Taken);
    }
    let found: Option<String> = tx.query_row("SELECT cursor FROM archive", [], |row| row.get(0))?;
    place_found(target, batch, found.as_deref()).map_err(Fault::Ours)
}

/// How many of the jobs that are taken in have a row.
fn known_jobs(tx: &Transaction<'_>, rows: &Rows) -> rusqlite::Result<u64> {
    let mut look = tx.prepare("SELECT 1 FROM job WHERE id = ?1")?;
    let mut known = 0;
    for row in rows.jobs.iter().filter(|row| row.enqueued_at.is_some()) {
        known += u64::from(look.exists([id(row.id)])?);
    }
    Ok(known)
}

/// What the generation before came to is in the table until the job's row is written.
fn write_retries(tx: &Transaction<'_>, rows: &Rows) -> rusqlite::Result<()> {
    let mut told =
        tx.prepare("INSERT INTO retry VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING")?;
    let mut asked = tx.prepare(
        "INSERT INTO retry SELECT ?1, ?2, ?3, ?4, ?5, j.last_at, j.last_event, j.last_cause
         FROM (SELECT 1) LEFT JOIN job j ON j.id = ?1 WHERE true ON CONFLICT DO NOTHING",
    )?;
    for row in &rows.retries {
        let (job, at) = (id(row.job), ms(row.at));
        let (place, index) = (row.cursor.place.cast_signed(), row.cursor.index);
        match row.was {
            Some(was) => told.execute(params![
                job,
                place,
                index,
                at,
                row.attempt,
                ms(was.at),
                was.event as u8,
                was.cause as u8
            ])?,
            None => asked.execute(params![job, place, index, at, row.attempt])?,
        };
    }
    Ok(())
}

fn write_jobs(
    tx: &Transaction<'_>,
    rows: &Rows,
    queues: &mut HashMap<String, i64>,
    kinds: &mut HashMap<String, i64>,
) -> rusqlite::Result<()> {
    let sql = format!(
        "INSERT INTO job ({JOB_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) {JOB_MERGE}"
    );
    let mut upsert = tx.prepare(&sql)?;
    for row in &rows.jobs {
        upsert.execute(params![
            id(row.id),
            number(tx, "queue", row.queue.as_str(), queues)?,
            number(tx, "kind", row.kind.as_str(), kinds)?,
            row.group.as_ref().map(|group| group.as_str()),
            row.enqueued_at.map(ms),
            row.attempts,
            row.stand.map(|stand| stand.event as u8),
            row.stand.map(|stand| ms(stand.at)),
            row.stand.map(|stand| stand.cause as u8),
            row.ended_at().map(ms),
            row.cancel_requested_at.map(ms),
            row.edited_at.map(ms),
            row.removed.map(|(at, _)| ms(at)),
            row.removed.map(|(_, cause)| cause as u8),
        ])?;
    }
    Ok(())
}

fn write_attempts(tx: &Transaction<'_>, rows: &Rows) -> rusqlite::Result<()> {
    let mut cut = tx.prepare(
        "UPDATE attempt SET ended_at = ?3, outcome = 9, cause = ?4 WHERE job = ?1 AND attempt = ?2 AND outcome IS NULL",
    )?;
    for row in &rows.cuts {
        cut.execute(params![id(row.job), row.attempt, ms(row.at), row.cause as u8])?;
    }
    let sql = format!(
        "INSERT INTO attempt ({ATTEMPT_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) {ATTEMPT_MERGE}"
    );
    let mut upsert = tx.prepare(&sql)?;
    for row in &rows.attempts {
        let ending = row.ending.as_ref();
        upsert.execute(params![
            id(row.job),
            row.attempt,
            row.worker.map(|worker| worker.0.cast_signed()),
            row.started_at.map(ms),
            ending.map(|ending| ms(ending.at)),
            ending.map(|ending| ending.outcome as u8),
            ending.map(|ending| ending.cause as u8),
            ending.and_then(|ending| ending.fingerprint),
            ending.and_then(|ending| ending.text.as_deref()),
            ending.and_then(|ending| ending.result.text.as_deref()),
            ending.and_then(|ending| ending.result.bytes.clone()).map_or(Value::Null, Value::Blob),
        ])?;
    }
    Ok(())
}

fn write_bodies(tx: &Transaction<'_>, rows: &Rows) -> rusqlite::Result<()> {
    let sql = format!(
        "INSERT INTO payload ({PAYLOAD_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) {PAYLOAD_MERGE}"
    );
    let mut upsert = tx.prepare(&sql)?;
    for row in &rows.bodies {
        let body = row.body.as_ref();
        upsert.execute(params![
            id(row.job),
            body.is_none(),
            body.and_then(|body| body.payload.text.as_deref()),
            body.and_then(|body| body.payload.bytes.as_deref()),
            body.map(|body| body.priority),
            body.and_then(|body| body.tags.as_deref()),
            body.and_then(|body| body.trace.as_deref()),
        ])?;
    }
    Ok(())
}

fn write_modes_and_gaps(tx: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<()> {
    let mut mode = tx.prepare(&format!("INSERT INTO failure_mode VALUES (?1, ?2, ?3) {MODE_MERGE}"))?;
    for (fingerprint, (title, last_at)) in &batch.rows.modes {
        mode.execute(params![fingerprint, title, ms(*last_at)])?;
    }
    let mut insert = tx.prepare(&format!("INSERT INTO gap VALUES (?1, ?2, ?3, ?4, ?5, ?6) {GAP_MERGE}"))?;
    for gap in &batch.gaps {
        insert.execute(params![
            gap.after.to_string(),
            gap.reason.as_str(),
            gap.resumed.to_string(),
            gap.last_at.map(ms),
            gap.next_at.map(ms),
            ms(gap.found_at),
        ])?;
    }
    Ok(())
}

/// The number of a queue's or kind's name; the store bounds how many there are.
fn number(
    tx: &Transaction<'_>,
    table: &str,
    name: &str,
    known: &mut HashMap<String, i64>,
) -> rusqlite::Result<i64> {
    if let Some(number) = known.get(name) {
        return Ok(*number);
    }
    tx.execute(&format!("INSERT INTO {table} (name) VALUES (?1) ON CONFLICT DO NOTHING"), [name])?;
    let number =
        tx.query_row(&format!("SELECT id FROM {table} WHERE name = ?1"), [name], |row| row.get(0))?;
    known.insert(name.to_owned(), number);
    Ok(number)
}

fn id(job: JobId) -> [u8; 16] {
    job.0.to_be_bytes()
}
