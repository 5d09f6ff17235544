//! SQLite: one thread writes, others read, and a commit carries every transaction that waited for it.
//!
//! The file is in WAL mode with `synchronous = FULL`: an answer means that the write is on the disk. Each transaction of
//! a commit is a savepoint, so that one which fails takes nothing of its neighbours with it.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use rusqlite::{Connection, OpenFlags, types::ValueRef};
use tokio::sync::oneshot;
use windlass::NewJob;

use super::{DbError, Row, Value, Values, schema};

/// How long a statement waits for another process that writes the file: the outbox's relay, or somebody's shell.
const BUSY_MS: u64 = 10_000;
/// Transactions that share a commit at most: bounds how long the first of them waits for the last.
const GATHERED_MAX: usize = 256;
/// Transactions that wait for the writer at most; more wait for a place.
const WAITING_MAX: usize = 4_096;
/// Connections that read: a page and a few looks at once.
const READERS: usize = 4;
/// Prepared statements kept for each connection; above the number of texts that the application has.
const STATEMENTS: usize = 512;

/// A transaction: it runs on the writer's connection, or is told why there is none.
type Job = Box<dyn FnOnce(Result<(&Connection, &mut Texts), DbError>) -> Done + Send>;
/// What is left to do when the commit has succeeded, or has not.
type Done = Box<dyn FnOnce(Result<(), DbError>) + Send>;

/// The statements' texts as SQLite reads them.
type Texts = HashMap<&'static str, String>;

/// A file that is open.
pub(super) struct Sqlite {
    path: PathBuf,
    jobs: Option<SyncSender<Job>>,
    writer: Option<JoinHandle<()>>,
    readers: Mutex<Vec<(Connection, Texts)>>,
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A transaction of a connection.
pub(super) struct Session<'a> {
    connection: &'a Connection,
    texts: &'a mut Texts,
}

impl fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}

impl Sqlite {
    pub(super) fn open(path: PathBuf) -> Result<Self, DbError> {
        let connection = connect(&path, true)?;
        schema::bring_sqlite_up(&connection)?;
        let (jobs, waiting) = sync_channel(WAITING_MAX);
        let writer = std::thread::Builder::new()
            .name("campaigns-writer".into())
            .spawn(move || write(&connection, &waiting))
            .map_err(|error| DbError::Failed(error.to_string()))?;
        Ok(Self { path, jobs: Some(jobs), writer: Some(writer), readers: Mutex::new(Vec::new()) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) async fn write<T, E>(
        &self,
        work: impl Fn(Session<'_>) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |begun| {
            let done = begun.map_err(E::from).and_then(|(connection, texts)| {
                in_savepoint(connection, || work(Session { connection, texts }))
            });
            Box::new(move |committed| {
                let done = done.and_then(|value| committed.map(|()| value).map_err(E::from));
                // Whoever asked may have gone; the transaction stands.
                let _ = answer.send(done);
            })
        });
        let gone = || E::from(DbError::Failed("the database is closed".to_owned()));
        let jobs = self.jobs.clone().ok_or_else(gone)?;
        if let Err(full) = jobs.try_send(job) {
            let job = match full {
                std::sync::mpsc::TrySendError::Full(job) => job,
                std::sync::mpsc::TrySendError::Disconnected(_) => return Err(gone()),
            };
            let sent = tokio::task::spawn_blocking(move || jobs.send(job).is_ok()).await;
            if !sent.unwrap_or(false) {
                return Err(gone());
            }
        }
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    pub(super) async fn read<T, E>(
        &self,
        look: impl Fn(Session<'_>) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let kept = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let path = self.path.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let (connection, mut texts) = match kept {
                Some(kept) => kept,
                None => (connect(&path, false)?, Texts::new()),
            };
            // One transaction, so that all of it is of one state.
            connection.execute_batch("BEGIN").map_err(|error| told(&error))?;
            let seen = look(Session { connection: &connection, texts: &mut texts });
            let ended = connection.execute_batch("COMMIT").map_err(|error| told(&error));
            ended?;
            seen.map(|seen| (seen, (connection, texts)))
        });
        let (seen, kept) =
            looked.await.map_err(|error| E::from(DbError::Failed(error.to_string()))).flatten()?;
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS {
            readers.push(kept);
        }
        Ok(seen)
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take()
            && writer.thread().id() != std::thread::current().id()
        {
            // What was asked is written before the file is let go.
            let _ = writer.join();
        }
    }
}

fn connect(path: &Path, writes: bool) -> Result<Connection, DbError> {
    let mut flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_READ_WRITE;
    if writes {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let fault = |error: rusqlite::Error| DbError::Failed(format!("{}: {error}", path.display()));
    let connection = Connection::open_with_flags(path, flags).map_err(fault)?;
    connection.busy_timeout(std::time::Duration::from_millis(BUSY_MS)).map_err(fault)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    if writes {
        connection.pragma_update(None, "journal_mode", "WAL").map_err(fault)?;
    } else {
        connection.pragma_update(None, "query_only", true).map_err(fault)?;
    }
    connection.pragma_update(None, "synchronous", "FULL").map_err(fault)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(fault)?;
    Ok(connection)
}

/// The writer: takes what waits, does it, commits once, answers all.
fn write(connection: &Connection, waiting: &Receiver<Job>) {
    let mut texts = Texts::new();
    while let Ok(first) = waiting.recv() {
        let jobs = std::iter::once(first).chain(waiting.try_iter().take(GATHERED_MAX - 1));
        if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| told(&error)) {
            jobs.for_each(|job| job(Err(error.clone()))(Err(error.clone())));
            continue;
        }
        let answers: Vec<Done> = jobs.map(|job| job(Ok((connection, &mut texts)))).collect();
        let committed = connection.execute_batch("COMMIT").map_err(|error| told(&error));
        if committed.is_err() {
            // A commit that failed may have left the transaction open.
            let _ = connection.execute_batch("ROLLBACK");
        }
        answers.into_iter().for_each(|answer| answer(committed.clone()));
    }
}

fn in_savepoint<T, E: From<DbError>>(
    connection: &Connection,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    if connection.is_autocommit() {
        // A full disk ends the whole transaction by itself: a savepoint now would be a transaction of its own, which stands
        // although its commit is said to have failed.
        return Err(DbError::Failed("the commit that this would have shared has failed".to_owned()).into());
    }
    connection.execute_batch("SAVEPOINT one").map_err(|error| told(&error))?;
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(DbError::Failed("a transaction panicked".to_owned()).into()));
    let end = if done.is_ok() { "RELEASE one" } else { "ROLLBACK TO one; RELEASE one" };
    connection.execute_batch(end).map_err(|error| told(&error))?;
    done
}

impl Session<'_> {
    pub(super) fn run(&mut self, sql: &'static str, values: Values<'_>) -> Result<u64, DbError> {
        let mut statement =
            self.connection.prepare_cached(text_of(self.texts, sql)).map_err(|error| told(&error))?;
        let parameters = rusqlite::params_from_iter(values.iter());
        // A statement with RETURNING is a query to SQLite.
        if statement.column_count() > 0 {
            let mut rows = statement.query(parameters).map_err(|error| told(&error))?;
            let mut count = 0;
            while rows.next().map_err(|error| told(&error))?.is_some() {
                count += 1;
            }
            return Ok(count);
        }
        let touched = statement.execute(parameters).map_err(|error| told(&error))?;
        Ok(touched as u64)
    }

    pub(super) fn rows(&mut self, sql: &'static str, values: Values<'_>) -> Result<Vec<Row>, DbError> {
        let mut statement =
            self.connection.prepare_cached(text_of(self.texts, sql)).map_err(|error| told(&error))?;
        let columns = statement.column_count();
        let mut rows =
            statement.query(rusqlite::params_from_iter(values.iter())).map_err(|error| told(&error))?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(|error| told(&error))? {
            let mut values = Vec::with_capacity(columns);
            for at in 0..columns {
                values.push(match row.get_ref(at).map_err(|error| told(&error))? {
                    ValueRef::Null => Value::Null,
                    ValueRef::Integer(value) => Value::Int(value),
                    ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                    ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
                    ValueRef::Real(_) => {
                        return Err(DbError::Row(format!("column {at} is neither number, text nor bytes")));
                    }
                });
            }
            all.push(Row::new(values));
        }
        Ok(all)
    }

    pub(super) fn enqueue(&mut self, jobs: &[NewJob]) -> Result<(), DbError> {
        windlass_outbox::sqlite::enqueue_in(self.connection, &windlass_outbox::Table::default(), jobs)
            .map_err(|error| DbError::Failed(error.to_string()))?
            .map_err(|refused| DbError::Job(refused.to_string()))
    }
}

/// SQLite numbers its values `?1`.
fn text_of<'a>(texts: &'a mut Texts, sql: &'static str) -> &'a str {
    texts.entry(sql).or_insert_with(|| sql.replace('$', "?"))
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::ToSqlOutput::Borrowed;
        Ok(Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Int(value) => ValueRef::Integer(*value),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// What SQLite says: a broken rule stays broken, anything else may pass.
pub(super) fn told(error: &rusqlite::Error) -> DbError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::ConstraintViolation) => DbError::Refused(error.to_string()),
        _ => DbError::Failed(error.to_string()),
    }
}
