//! Who changed what.

use windlass::Time;

use crate::db::{DbError, Tx};

/// A change.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// Its number.
    pub id: i64,
    /// When.
    pub at: Time,
    /// Who.
    pub who: String,
    /// What they did.
    pub what: String,
    /// To what.
    pub subject: String,
    /// What it was about.
    pub detail: String,
}

/// Writes a change down, with the transaction that makes it.
///
/// # Errors
/// The database's.
pub fn note(
    tx: &mut Tx<'_>,
    who: &str,
    what: &str,
    subject: &str,
    detail: &str,
    now: Time,
) -> Result<(), DbError> {
    let sql = "INSERT INTO audit (at, who, what, subject, detail) VALUES ($1, $2, $3, $4, $5)";
    tx.run(sql, &[now.into(), who.into(), what.into(), subject.into(), detail.into()]).map(drop)
}

/// Changes before that number, newest first.
///
/// # Errors
/// The database's.
pub fn page(tx: &mut Tx<'_>, before: i64, limit: u32) -> Result<Vec<Change>, DbError> {
    let sql = "SELECT id, at, who, what, subject, detail FROM audit WHERE id < $1 ORDER BY id DESC LIMIT $2";
    let rows = tx.rows(sql, &[before.into(), limit.into()])?;
    rows.into_iter()
        .map(|mut row| {
            Ok(Change {
                id: row.int()?,
                at: row.time()?,
                who: row.text()?,
                what: row.text()?,
                subject: row.text()?,
                detail: row.text()?,
            })
        })
        .collect()
}
