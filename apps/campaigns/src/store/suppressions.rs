//! Addresses that must not be reached.
//!
//! An address is compared by its keyed hash, so that a suppression outlives the erasure of its contact.

use std::{collections::HashSet, sync::LazyLock};

use windlass::Time;

use super::select;
use crate::{
    channel::Channel,
    db::{DbError, Row, Tx, Value},
    model::UserId,
};

macro_rules! columns {
    () => {
        "id, user_id, channel, address, reason, source, at"
    };
}

/// Every channel, in a suppression's column.
const EVERY_CHANNEL: &str = "all";
/// Everybody, in a suppression's column.
const EVERYBODY: i64 = 0;

/// A suppression.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Suppression {
    /// Its number.
    pub id: i64,
    /// Whose messages it holds back; none is everybody's.
    pub user: Option<UserId>,
    /// By which channel; none is any.
    pub channel: Option<Channel>,
    /// The address; none when its contact was erased.
    pub address: Option<String>,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub source: String,
    /// When.
    pub at: Time,
}

/// An address as it is compared and shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressed {
    /// Its keyed hash.
    pub hash: String,
    /// Itself; none when nobody may know it.
    pub text: Option<String>,
}

/// Suppresses an address; false when it was.
///
/// # Errors
/// The database's.
pub fn add(
    tx: &mut Tx<'_>,
    user: Option<UserId>,
    channel: Option<Channel>,
    address: &Addressed,
    reason: &str,
    source: &str,
    now: Time,
) -> Result<bool, DbError> {
    let sql = "INSERT INTO suppressions (user_id, channel, address_hash, address, reason, source, at)
               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (address_hash, channel, user_id) DO NOTHING";
    let values = [
        user.map_or(EVERYBODY, |user| user.0).into(),
        channel.map_or(EVERY_CHANNEL, Channel::name).into(),
        address.hash.as_str().into(),
        address.text.as_deref().into(),
        reason.into(),
        source.into(),
        now.into(),
    ];
    Ok(tx.run(sql, &values)? > 0)
}

/// Why an address must not be reached by that user and channel; none when it may.
///
/// # Errors
/// The database's.
pub fn why(tx: &mut Tx<'_>, user: UserId, channel: Channel, hash: &str) -> Result<Option<String>, DbError> {
    let sql = "SELECT reason FROM suppressions WHERE address_hash = $1 AND channel IN ($2, 'all')
               AND user_id IN (0, $3) LIMIT 1";
    tx.row(sql, &[hash.into(), channel.into(), user.into()])?.map(|mut row| row.text()).transpose()
}

/// Hashes of one question by [`among`] and [`forgotten_among`].
const ASKED: usize = 250;
static AMONG: LazyLock<String> = LazyLock::new(|| {
    let hashes = parameters(2);
    format!(
        "SELECT address_hash, channel FROM suppressions WHERE user_id IN (0, $1) AND address_hash IN ({hashes})"
    )
});
static FORGOTTEN: LazyLock<String> = LazyLock::new(|| {
    let hashes = parameters(1);
    format!("SELECT address_hash FROM suppressions WHERE address IS NULL AND address_hash IN ({hashes})")
});

/// The parameters of so many hashes, from that one on.
fn parameters(first: usize) -> String {
    let all: Vec<String> = (first..first + ASKED).map(|number| format!("${number}")).collect();
    all.join(", ")
}

/// Which of those addresses must not be reached by that user, and by which channel; none is any.
///
/// # Errors
/// The database's.
pub fn among(
    tx: &mut Tx<'_>,
    user: UserId,
    hashes: &[String],
) -> Result<HashSet<(String, Option<Channel>)>, DbError> {
    let mut found = HashSet::new();
    for some in hashes.chunks(ASKED) {
        let mut values: Vec<Value> = vec![user.into()];
        values.extend(some.iter().map(Value::from));
        values.resize(ASKED + 1, Value::Null);
        for mut row in tx.rows(&AMONG, &values)? {
            let (hash, word) = (row.text()?, row.text()?);
            found.insert((hash, Channel::ALL.into_iter().find(|channel| channel.name() == word)));
        }
    }
    Ok(found)
}

/// Whether any address was forgotten that is suppressed: its contact was erased.
///
/// # Errors
/// The database's.
pub fn is_any_forgotten(tx: &mut Tx<'_>) -> Result<bool, DbError> {
    tx.is_there("SELECT 1 FROM suppressions WHERE address IS NULL LIMIT 1", &[])
}

/// Which of those hashes are of addresses that were forgotten.
///
/// # Errors
/// The database's.
pub fn forgotten_among(tx: &mut Tx<'_>, hashes: &[String]) -> Result<HashSet<String>, DbError> {
    let mut found = HashSet::new();
    for some in hashes.chunks(ASKED) {
        let mut values: Vec<Value> = some.iter().map(Value::from).collect();
        values.resize(ASKED, Value::Null);
        for mut row in tx.rows(&FORGOTTEN, &values)? {
            found.insert(row.text()?);
        }
    }
    Ok(found)
}

/// Whether anything is suppressed at all.
///
/// # Errors
/// The database's.
pub fn is_any(tx: &mut Tx<'_>) -> Result<bool, DbError> {
    tx.is_there("SELECT 1 FROM suppressions LIMIT 1", &[])
}

/// Lets an address be reached again that was suppressed for everybody, by that channel and for that reason; whether it
/// was.
///
/// # Errors
/// The database's.
pub fn lift(tx: &mut Tx<'_>, channel: Channel, hash: &str, reason: &str) -> Result<bool, DbError> {
    let sql =
        "DELETE FROM suppressions WHERE address_hash = $1 AND channel = $2 AND reason = $3 AND user_id = 0";
    Ok(tx.run(sql, &[hash.into(), channel.into(), reason.into()])? > 0)
}

/// Whether an address is suppressed for everybody, by that channel and for that reason.
///
/// # Errors
/// The database's.
pub fn is_for(tx: &mut Tx<'_>, channel: Channel, hash: &str, reason: &str) -> Result<bool, DbError> {
    let sql =
        "SELECT 1 FROM suppressions WHERE address_hash = $1 AND channel = $2 AND reason = $3 AND user_id = 0";
    tx.is_there(sql, &[hash.into(), channel.into(), reason.into()])
}

/// Takes one suppression back.
///
/// # Errors
/// The database's.
pub fn delete(tx: &mut Tx<'_>, id: i64) -> Result<bool, DbError> {
    Ok(tx.run("DELETE FROM suppressions WHERE id = $1", &[id.into()])? > 0)
}

/// Forgets an address, and keeps that it is suppressed.
///
/// # Errors
/// The database's.
pub fn forget_address(tx: &mut Tx<'_>, hash: &str) -> Result<(), DbError> {
    tx.run("UPDATE suppressions SET address = NULL WHERE address_hash = $1", &[hash.into()]).map(drop)
}

fn read(mut row: Row) -> Result<Suppression, DbError> {
    let id = row.int()?;
    let user = Some(row.int()?).filter(|user| *user != EVERYBODY).map(UserId);
    let word = row.text()?;
    let channel = Channel::ALL.into_iter().find(|channel| channel.name() == word);
    let (address, reason, source, at) = (row.maybe_text()?, row.text()?, row.text()?, row.time()?);
    Ok(Suppression { id, user, channel, address, reason, source, at })
}

/// Suppressions before that number, newest first.
///
/// # Errors
/// The database's.
pub fn page(tx: &mut Tx<'_>, before: i64, limit: u32) -> Result<Vec<Suppression>, DbError> {
    let sql = select!(columns, "FROM suppressions WHERE id < $1 ORDER BY id DESC LIMIT $2");
    tx.rows(sql, &[before.into(), limit.into()])?.into_iter().map(read).collect()
}

/// The suppressions of an address, newest first.
///
/// # Errors
/// The database's.
pub fn of_address(tx: &mut Tx<'_>, hash: &str) -> Result<Vec<Suppression>, DbError> {
    let sql = select!(columns, "FROM suppressions WHERE address_hash = $1 ORDER BY id DESC");
    tx.rows(sql, &[hash.into()])?.into_iter().map(read).collect()
}

/// One suppression.
///
/// # Errors
/// The database's.
pub fn get(tx: &mut Tx<'_>, id: i64) -> Result<Option<Suppression>, DbError> {
    tx.row(select!(columns, "FROM suppressions WHERE id = $1"), &[id.into()])?.map(read).transpose()
}
