//! Users.

use windlass::Time;

use super::settings;
use crate::{
    db::{DbError, Row, Tx},
    model::{User, UserId},
};

fn read(mut row: Row) -> Result<User, DbError> {
    Ok(User {
        id: UserId(row.int()?),
        name: row.text()?,
        email: row.text()?,
        weight: row.small()?,
        daily_cap: row.maybe_int()?.and_then(|value| u32::try_from(value).ok()),
    })
}

/// Makes a user, or answers the one of that name.
///
/// # Errors
/// The database's.
pub fn ensure(tx: &mut Tx<'_>, name: &str, email: &str, weight: u32, now: Time) -> Result<UserId, DbError> {
    let sql = "INSERT INTO users (name, email, weight, created_at) VALUES ($1, $2, $3, $4)
               ON CONFLICT (name) DO NOTHING";
    tx.run(sql, &[name.into(), email.into(), weight.into(), now.into()])?;
    tx.count("SELECT id FROM users WHERE name = $1", &[name.into()]).map(UserId)
}

/// All users, by name.
///
/// # Errors
/// The database's.
pub fn all(tx: &mut Tx<'_>) -> Result<Vec<User>, DbError> {
    tx.rows("SELECT id, name, email, weight, daily_cap FROM users ORDER BY name", &[])?
        .into_iter()
        .map(read)
        .collect()
}

/// One user.
///
/// # Errors
/// The database's.
pub fn get(tx: &mut Tx<'_>, id: UserId) -> Result<Option<User>, DbError> {
    tx.row("SELECT id, name, email, weight, daily_cap FROM users WHERE id = $1", &[id.into()])?
        .map(read)
        .transpose()
}

/// Sets a user's share.
///
/// # Errors
/// The database's.
pub fn set_weight(tx: &mut Tx<'_>, id: UserId, weight: u32) -> Result<bool, DbError> {
    Ok(tx.run("UPDATE users SET weight = $2 WHERE id = $1", &[id.into(), weight.into()])? > 0)
}

/// Sets how many messages a day a user's campaigns send together; none is no cap.
///
/// # Errors
/// The database's.
pub fn set_daily_cap(tx: &mut Tx<'_>, id: UserId, cap: Option<u32>) -> Result<(), DbError> {
    tx.run("UPDATE users SET daily_cap = $2 WHERE id = $1", &[id.into(), cap.into()]).map(drop)
}

/// How many messages a day a user's campaigns may send together, and everybody's.
///
/// # Errors
/// The database's.
pub fn daily_caps(tx: &mut Tx<'_>, id: UserId) -> Result<[Option<u32>; 2], DbError> {
    let sql =
        "SELECT (SELECT daily_cap FROM users WHERE id = $1), (SELECT value FROM settings WHERE name = $2)";
    let Some(mut row) = tx.row(sql, &[id.into(), settings::DAILY_CAP.into()])? else { return Ok([None; 2]) };
    let own = row.maybe_int()?.and_then(|value| u32::try_from(value).ok());
    Ok([own, row.maybe_json()?])
}
