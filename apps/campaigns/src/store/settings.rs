//! What the installation knows of itself.

use std::fmt::Write as _;

use serde::{Serialize, de::DeserializeOwned};

use crate::db::{DbError, Tx, Value};

/// The name of this installation in Message-IDs.
pub const INSTANCE: &str = "instance";
/// The keys that sign links.
pub const KEYS: &str = "keys";
/// The clock.
pub const CLOCK: &str = "clock";
/// How the campaigns share the queues, where somebody has said it.
pub const SHARING: &str = "sharing";
/// Under which address the world reaches the installation, where a process has said it.
pub const PUBLIC_URL: &str = "public_url";
/// How many messages a day all campaigns send together, where somebody has set it.
pub const DAILY_CAP: &str = "daily_cap";
/// The legal windows, where somebody has edited them.
pub const WINDOW_RULES: &str = "window_rules";

/// A setting.
///
/// # Errors
/// When it is not what is expected; the database's.
pub fn get<T: DeserializeOwned>(tx: &mut Tx<'_>, name: &str) -> Result<Option<T>, DbError> {
    tx.row("SELECT value FROM settings WHERE name = $1", &[name.into()])?
        .map_or(Ok(None), |mut row| row.maybe_json())
}

/// Sets it.
///
/// # Errors
/// The database's.
pub fn set<T: Serialize + ?Sized>(tx: &mut Tx<'_>, name: &str, value: &T) -> Result<(), DbError> {
    let sql = "INSERT INTO settings (name, value) VALUES ($1, $2)
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    tx.run(sql, &[name.into(), Value::json(value)]).map(drop)
}

/// Takes it away: what the program brings holds again. False when there was none.
///
/// # Errors
/// The database's.
pub fn remove(tx: &mut Tx<'_>, name: &str) -> Result<bool, DbError> {
    Ok(tx.run("DELETE FROM settings WHERE name = $1", &[name.into()])? > 0)
}

/// The setting, made on the first call.
///
/// # Errors
/// When it is not what is expected; the database's.
pub fn get_or_make<T: Serialize + DeserializeOwned>(
    tx: &mut Tx<'_>,
    name: &str,
    make: impl FnOnce() -> T,
) -> Result<T, DbError> {
    let sql = "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    if let Some(there) = get(tx, name)? {
        return Ok(there);
    }
    tx.run(sql, &[name.into(), Value::json(&make())])?;
    // Another process may have been first.
    get(tx, name)?.ok_or_else(|| DbError::Row(format!("the setting {name} is gone")))
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
