//! Imports, and the rows that they refused.
//!
//! Whatever is written of an import names the run that it was written by: a run that is over, because somebody has started
//! the import again or has ended it, writes nothing more.

use windlass::Time;

use super::select;
use crate::{
    db::{DbError, Row, Tx, Value},
    model::{
        ImportId, ListId,
        import::{Import, ImportPlan, ImportStatus, Progress},
    },
};

macro_rules! columns {
    () => {
        "id, name, list_id, plan, who, status, why, run, bytes, bytes_done, rows_read, added, updated, duplicates, refused, by_code, errors_cut, created_at, ended_at"
    };
}

fn read(mut row: Row) -> Result<Import, DbError> {
    let count = |row: &mut Row| row.int().map(|value| u64::try_from(value).unwrap_or(0));
    Ok(Import {
        id: ImportId(row.int()?),
        name: row.text()?,
        list: ListId(row.int()?),
        plan: row.json()?,
        who: row.text()?,
        status: row.word()?,
        why: row.text()?,
        run: row.int()?,
        bytes: count(&mut row)?,
        progress: Progress {
            bytes_done: count(&mut row)?,
            rows: count(&mut row)?,
            added: count(&mut row)?,
            updated: count(&mut row)?,
            duplicates: count(&mut row)?,
            refused: count(&mut row)?,
            by_code: row.json()?,
            errors_cut: row.bool()?,
        },
        created_at: row.time()?,
        ended_at: row.maybe_time()?,
    })
}

fn count(value: u64) -> Value {
    i64::try_from(value).unwrap_or(i64::MAX).into()
}

/// An import that begins.
#[derive(Clone, Debug)]
pub struct NewImport {
    /// The file's name.
    pub name: String,
    /// The list that the contacts are put on.
    pub list: ListId,
    /// How the file is read.
    pub plan: ImportPlan,
    /// Who imports it.
    pub who: String,
    /// The file's size.
    pub bytes: u64,
}

/// Writes an import down that runs from now on; `seen_at` is by the wall's clock.
///
/// # Errors
/// The database's.
pub fn create(tx: &mut Tx<'_>, new: &NewImport, seen_at: Time, now: Time) -> Result<ImportId, DbError> {
    let sql = "INSERT INTO imports (name, list_id, plan, who, status, bytes, seen_at, created_at)
               VALUES ($1, $2, $3, $4, 'running', $5, $6, $7) RETURNING id";
    let values = [
        new.name.as_str().into(),
        new.list.into(),
        Value::json(&new.plan),
        new.who.as_str().into(),
        count(new.bytes),
        seen_at.into(),
        now.into(),
    ];
    tx.count(sql, &values).map(ImportId)
}

/// Starts an import again that does not run: the number of the run, or none when it runs or was done.
///
/// # Errors
/// The database's.
pub fn restart(tx: &mut Tx<'_>, id: ImportId, bytes: u64, seen_at: Time) -> Result<Option<i64>, DbError> {
    let sql = "UPDATE imports SET status = 'running', why = '', run = run + 1, bytes = $2, bytes_done = 0, rows_read = 0,
               added = 0, updated = 0, duplicates = 0, refused = 0, by_code = '{}', errors_cut = 0, seen_at = $3,
               ended_at = NULL
               WHERE id = $1 AND status IN ('interrupted', 'failed', 'cancelled') RETURNING run";
    let Some(mut run) = tx.row(sql, &[id.into(), count(bytes), seen_at.into()])? else { return Ok(None) };
    tx.run("DELETE FROM import_errors WHERE import_id = $1", &[id.into()])?;
    run.int().map(Some)
}

/// Notes how far a run is; false when it is over.
///
/// # Errors
/// The database's.
pub fn advance(
    tx: &mut Tx<'_>,
    (id, run): (ImportId, i64),
    progress: &Progress,
    seen_at: Time,
) -> Result<bool, DbError> {
    let sql = "UPDATE imports SET bytes_done = $3, rows_read = $4, added = $5, updated = $6, duplicates = $7, refused = $8,
               by_code = $9, errors_cut = $10, seen_at = $11 WHERE id = $1 AND run = $2 AND status = 'running'";
    let values = [
        id.into(),
        run.into(),
        count(progress.bytes_done),
        count(progress.rows),
        count(progress.added),
        count(progress.updated),
        count(progress.duplicates),
        count(progress.refused),
        Value::json(&progress.by_code),
        progress.errors_cut.into(),
        seen_at.into(),
    ];
    Ok(tx.run(sql, &values)? > 0)
}

/// Ends a run; false when it was over.
///
/// # Errors
/// The database's.
pub fn end(
    tx: &mut Tx<'_>,
    (id, run): (ImportId, i64),
    status: ImportStatus,
    why: &str,
    now: Time,
) -> Result<bool, DbError> {
    let sql = "UPDATE imports SET status = $3, why = $4, ended_at = $5 WHERE id = $1 AND run = $2 AND status = 'running'";
    Ok(tx.run(sql, &[id.into(), run.into(), status.into(), why.into(), now.into()])? > 0)
}

/// Marks imports whose process has not been seen since `seen_before` (by the wall's clock) as interrupted; how many.
///
/// # Errors
/// The database's.
pub fn interrupt(tx: &mut Tx<'_>, seen_before: Time, now: Time) -> Result<u64, DbError> {
    let sql =
        "UPDATE imports SET status = 'interrupted', ended_at = $2 WHERE status = 'running' AND seen_at < $1";
    tx.run(sql, &[seen_before.into(), now.into()])
}

/// How many run.
///
/// # Errors
/// The database's.
pub fn running(tx: &mut Tx<'_>) -> Result<i64, DbError> {
    tx.count("SELECT count(*) FROM imports WHERE status = 'running'", &[])
}

/// Whether one runs that was not seen since then.
///
/// # Errors
/// The database's.
pub fn is_one_lost(tx: &mut Tx<'_>, seen_before: Time) -> Result<bool, DbError> {
    let sql = "SELECT 1 FROM imports WHERE status = 'running' AND seen_at < $1 LIMIT 1";
    tx.is_there(sql, &[seen_before.into()])
}

/// One import.
///
/// # Errors
/// The database's.
pub fn get(tx: &mut Tx<'_>, id: ImportId) -> Result<Option<Import>, DbError> {
    tx.row(select!(columns, "FROM imports WHERE id = $1"), &[id.into()])?.map(read).transpose()
}

/// Imports before that number, newest first.
///
/// # Errors
/// The database's.
pub fn page(tx: &mut Tx<'_>, before: ImportId, limit: u32) -> Result<Vec<Import>, DbError> {
    let sql = select!(columns, "FROM imports WHERE id < $1 ORDER BY id DESC LIMIT $2");
    tx.rows(sql, &[before.into(), limit.into()])?.into_iter().map(read).collect()
}

/// Adds a piece to the file of rows that were refused.
///
/// # Errors
/// The database's.
pub fn add_errors(tx: &mut Tx<'_>, id: ImportId, part: u32, csv: &str) -> Result<(), DbError> {
    let sql = "INSERT INTO import_errors (import_id, part, csv) VALUES ($1, $2, $3)";
    tx.run(sql, &[id.into(), part.into(), csv.into()]).map(drop)
}

/// The file of rows that were refused; empty when none was.
///
/// # Errors
/// The database's.
pub fn errors(tx: &mut Tx<'_>, id: ImportId) -> Result<String, DbError> {
    let rows = tx.rows("SELECT csv FROM import_errors WHERE import_id = $1 ORDER BY part", &[id.into()])?;
    rows.into_iter().map(|mut row| row.text()).collect()
}
