//! Imports, their files, and the rows that they refused.
//!
//! Whatever is written of an import names the run that it was written by: a run that is over, because another process has
//! gone on with the import or somebody has ended it, writes nothing more. `seen_at` is by the wall's clock, for processes.

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
        list: row.maybe_int()?.map(ListId),
        plan: row.maybe_json()?,
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

/// Writes an import down whose file begins to come in.
///
/// # Errors
/// The database's.
pub fn create(tx: &mut Tx<'_>, name: &str, who: &str, seen_at: Time, now: Time) -> Result<ImportId, DbError> {
    let sql = "INSERT INTO imports (name, who, status, seen_at, created_at)
               VALUES ($1, $2, 'uploading', $3, $4) RETURNING id";
    tx.count(sql, &[name.into(), who.into(), seen_at.into(), now.into()]).map(ImportId)
}

/// How many files are on their way in, or wait to be read.
///
/// # Errors
/// The database's.
pub fn kept(tx: &mut Tx<'_>) -> Result<i64, DbError> {
    tx.count("SELECT count(*) FROM imports WHERE status IN ('uploading', 'waiting')", &[])
}

/// Adds a piece to a file that is on its way in; false when nobody waits for it any more.
///
/// # Errors
/// The database's.
pub fn add_piece(
    tx: &mut Tx<'_>,
    id: ImportId,
    part: u32,
    bytes: &[u8],
    seen_at: Time,
) -> Result<bool, DbError> {
    let sql = "UPDATE imports SET bytes = bytes + $2, seen_at = $3 WHERE id = $1 AND status = 'uploading'";
    if tx.run(sql, &[id.into(), count(bytes.len() as u64), seen_at.into()])? == 0 {
        return Ok(false);
    }
    let sql = "INSERT INTO import_files (import_id, part, bytes) VALUES ($1, $2, $3)";
    tx.run(sql, &[id.into(), part.into(), bytes.to_vec().into()])?;
    Ok(true)
}

/// Notes that the whole file is here; false when nobody waits for it any more.
///
/// # Errors
/// The database's.
pub fn received(tx: &mut Tx<'_>, id: ImportId, seen_at: Time) -> Result<bool, DbError> {
    let sql = "UPDATE imports SET status = 'waiting', seen_at = $2 WHERE id = $1 AND status = 'uploading'";
    Ok(tx.run(sql, &[id.into(), seen_at.into()])? > 0)
}

/// A piece of a file; none behind its end.
///
/// # Errors
/// The database's.
pub fn piece(tx: &mut Tx<'_>, id: ImportId, part: u32) -> Result<Option<Vec<u8>>, DbError> {
    let sql = "SELECT bytes FROM import_files WHERE import_id = $1 AND part = $2";
    tx.row(sql, &[id.into(), part.into()])?.map(|mut row| row.bytes()).transpose()
}

/// Starts the import of a file that waits; false when it does not.
///
/// # Errors
/// The database's.
pub fn begin(
    tx: &mut Tx<'_>,
    id: ImportId,
    list: ListId,
    plan: &ImportPlan,
    seen_at: Time,
) -> Result<bool, DbError> {
    let sql = "UPDATE imports SET status = 'running', list_id = $2, plan = $3, run = run + 1, seen_at = $4
               WHERE id = $1 AND status = 'waiting'";
    Ok(tx.run(sql, &[id.into(), list.into(), Value::json(plan), seen_at.into()])? > 0)
}

/// Goes on with an import that was interrupted, as a run of its own; false when it was not.
///
/// # Errors
/// The database's.
pub fn resume(tx: &mut Tx<'_>, id: ImportId, seen_at: Time) -> Result<bool, DbError> {
    let sql = "UPDATE imports SET status = 'running', why = '', run = run + 1, seen_at = $2
               WHERE id = $1 AND status = 'interrupted'";
    Ok(tx.run(sql, &[id.into(), seen_at.into()])? > 0)
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

/// Ends a run, or interrupts it; false when it was over.
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
    let ended_at = status.is_over().then_some(now);
    Ok(tx.run(sql, &[id.into(), run.into(), status.into(), why.into(), ended_at.into()])? > 0)
}

/// Ends an import wherever it stands; false when it was over.
///
/// # Errors
/// The database's.
pub fn stop(
    tx: &mut Tx<'_>,
    id: ImportId,
    status: ImportStatus,
    why: &str,
    now: Time,
) -> Result<bool, DbError> {
    let sql = "UPDATE imports SET status = $2, why = $3, ended_at = $4
               WHERE id = $1 AND status IN ('uploading', 'waiting', 'running', 'interrupted')";
    Ok(tx.run(sql, &[id.into(), status.into(), why.into(), now.into()])? > 0)
}

/// Marks imports whose process has not been seen since then as interrupted; how many.
///
/// # Errors
/// The database's.
pub fn interrupt(tx: &mut Tx<'_>, seen_before: Time) -> Result<u64, DbError> {
    let sql = "UPDATE imports SET status = 'interrupted' WHERE status = 'running' AND seen_at < $1";
    tx.run(sql, &[seen_before.into()])
}

/// Those that are interrupted, oldest first.
///
/// # Errors
/// The database's.
pub fn interrupted(tx: &mut Tx<'_>) -> Result<Vec<Import>, DbError> {
    let sql = select!(columns, "FROM imports WHERE status = 'interrupted' ORDER BY id");
    tx.rows(sql, &[])?.into_iter().map(read).collect()
}

/// Those whose file has come to nothing: it stopped coming in, or nobody has said since then what its columns mean.
///
/// # Errors
/// The database's.
pub fn stale(tx: &mut Tx<'_>, uploading: Time, waiting: Time) -> Result<Vec<Import>, DbError> {
    let sql = select!(
        columns,
        "FROM imports WHERE (status = 'uploading' AND seen_at < $1) OR (status = 'waiting' AND seen_at < $2)
         ORDER BY id"
    );
    tx.rows(sql, &[uploading.into(), waiting.into()])?.into_iter().map(read).collect()
}

/// An import that is over, and whose file is still here.
///
/// # Errors
/// The database's.
pub fn leftover(tx: &mut Tx<'_>) -> Result<Option<ImportId>, DbError> {
    let sql = "SELECT id FROM imports WHERE status IN ('done', 'failed', 'cancelled')
               AND EXISTS (SELECT 1 FROM import_files WHERE import_id = imports.id) ORDER BY id LIMIT 1";
    tx.row(sql, &[])?.map(|mut row| row.int().map(ImportId)).transpose()
}

/// Removes some pieces of the file of an import, from its end; false when nothing is left of it.
///
/// # Errors
/// The database's.
pub fn forget_pieces(tx: &mut Tx<'_>, id: ImportId, pieces: u32) -> Result<bool, DbError> {
    let sql = "DELETE FROM import_files WHERE import_id = $1
               AND part > (SELECT max(part) FROM import_files WHERE import_id = $1) - $2";
    Ok(tx.run(sql, &[id.into(), i64::from(pieces).into()])? > 0)
}

/// Removes an import of which nothing was read and no file is left.
///
/// # Errors
/// The database's.
pub fn remove(tx: &mut Tx<'_>, id: ImportId) -> Result<(), DbError> {
    tx.run("DELETE FROM imports WHERE id = $1 AND plan IS NULL", &[id.into()]).map(drop)
}

/// Whether there are rows that were refused by imports that ended before then.
///
/// # Errors
/// The database's.
pub fn has_errors_before(tx: &mut Tx<'_>, ended_before: Time) -> Result<bool, DbError> {
    let sql = "SELECT 1 FROM imports WHERE ended_at < $1
               AND EXISTS (SELECT 1 FROM import_errors WHERE import_id = imports.id) LIMIT 1";
    tx.is_there(sql, &[ended_before.into()])
}

/// Removes the rows that were refused by imports that ended before then; how many pieces of files.
///
/// # Errors
/// The database's.
pub fn forget_errors(tx: &mut Tx<'_>, ended_before: Time) -> Result<u64, DbError> {
    let sql = "DELETE FROM import_errors WHERE import_id IN (SELECT id FROM imports WHERE ended_at < $1)";
    tx.run(sql, &[ended_before.into()])
}

/// A piece of a file of rows that were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorPiece {
    /// The import.
    pub import: ImportId,
    /// Which piece.
    pub part: i64,
    /// Its rows.
    pub csv: String,
}

/// Pieces of all such files behind that one, in their order.
///
/// # Errors
/// The database's.
pub fn error_pieces(
    tx: &mut Tx<'_>,
    (import, part): (ImportId, i64),
    limit: u32,
) -> Result<Vec<ErrorPiece>, DbError> {
    let sql = "SELECT import_id, part, csv FROM import_errors WHERE import_id > $1 OR (import_id = $1 AND part > $2)
               ORDER BY import_id, part LIMIT $3";
    let rows = tx.rows(sql, &[import.into(), part.into(), limit.into()])?;
    rows.into_iter()
        .map(|mut row| Ok(ErrorPiece { import: ImportId(row.int()?), part: row.int()?, csv: row.text()? }))
        .collect()
}

/// Writes a piece anew.
///
/// # Errors
/// The database's.
pub fn rewrite_errors(tx: &mut Tx<'_>, piece: &ErrorPiece) -> Result<(), DbError> {
    let sql = "UPDATE import_errors SET csv = $3 WHERE import_id = $1 AND part = $2";
    tx.run(sql, &[piece.import.into(), piece.part.into(), piece.csv.as_str().into()]).map(drop)
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

/// Adds a piece to the file of rows that were refused; `part` is the number of rows that were read by then.
///
/// # Errors
/// The database's.
pub fn add_errors(tx: &mut Tx<'_>, id: ImportId, part: u64, csv: &str) -> Result<(), DbError> {
    let sql = "INSERT INTO import_errors (import_id, part, csv) VALUES ($1, $2, $3)";
    tx.run(sql, &[id.into(), count(part), csv.into()]).map(drop)
}

/// The file of rows that were refused; empty when none was.
///
/// # Errors
/// The database's.
pub fn errors(tx: &mut Tx<'_>, id: ImportId) -> Result<String, DbError> {
    let rows = tx.rows("SELECT csv FROM import_errors WHERE import_id = $1 ORDER BY part", &[id.into()])?;
    rows.into_iter().map(|mut row| row.text()).collect()
}
