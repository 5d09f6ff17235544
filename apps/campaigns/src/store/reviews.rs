//! What people have to decide.

use serde::{Deserialize, Serialize};
use windlass::Time;

use crate::{
    channel::Channel,
    db::{DbError, Row, Tx},
    model::{ContactId, ReviewId, TouchId, words},
};

/// What is to be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewKind {
    /// A call that may have been made.
    UnknownCall,
    /// A text or a mail that may mean that somebody wants no more.
    PossibleOptOut,
}

words!(ReviewKind);

/// Something that a person has to decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Review {
    /// Its number.
    pub id: ReviewId,
    /// What is to be decided.
    pub kind: ReviewKind,
    /// About which message.
    pub touch: Option<TouchId>,
    /// About whom.
    pub contact: Option<ContactId>,
    /// By which channel.
    pub channel: Channel,
    /// What the contact wrote.
    pub text: String,
    /// Since when.
    pub at: Time,
}

fn read(mut row: Row) -> Result<Review, DbError> {
    Ok(Review {
        id: ReviewId(row.int()?),
        kind: row.word()?,
        touch: row.maybe_int()?.map(TouchId),
        contact: row.maybe_int()?.map(ContactId),
        channel: row.word()?,
        text: row.text()?,
        at: row.time()?,
    })
}

/// The key of the question whether a call was made.
pub fn of_call(touch: TouchId) -> String {
    format!("call:{touch}")
}

/// Puts something before people, once by that key.
///
/// # Errors
/// The database's.
pub fn open(
    tx: &mut Tx<'_>,
    kind: ReviewKind,
    about: (Option<TouchId>, Option<ContactId>, Channel),
    text: &str,
    key: &str,
    now: Time,
) -> Result<bool, DbError> {
    let (touch, contact, channel) = about;
    let sql = "INSERT INTO reviews (kind, touch_id, contact_id, channel, text, at, key)
               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (key) DO NOTHING";
    let values =
        [kind.into(), touch.into(), contact.into(), channel.into(), text.into(), now.into(), key.into()];
    Ok(tx.run(sql, &values)? > 0)
}

/// The same of a writer who is no contact, one at a time; false as well while another one of theirs is undecided.
///
/// # Errors
/// The database's.
pub fn open_of_stranger(
    tx: &mut Tx<'_>,
    kind: ReviewKind,
    about: (Option<TouchId>, Option<ContactId>, Channel),
    text: &str,
    key: &str,
    writer: &str,
    now: Time,
) -> Result<bool, DbError> {
    let (touch, contact, channel) = about;
    let sql = "INSERT INTO reviews (kind, touch_id, contact_id, channel, text, at, key, writer)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
    let values = [
        kind.into(),
        touch.into(),
        contact.into(),
        channel.into(),
        text.into(),
        now.into(),
        key.into(),
        writer.into(),
    ];
    Ok(tx.run(sql, &values)? > 0)
}

/// Whether a question of that writer is undecided.
///
/// # Errors
/// The database's.
pub fn waits_of(tx: &mut Tx<'_>, writer: &str) -> Result<bool, DbError> {
    let sql = "SELECT 1 FROM reviews WHERE writer = $1 AND writer <> '' AND decision IS NULL";
    tx.is_there(sql, &[writer.into()])
}

/// How many questions of writers who are no contacts are undecided, counted up to that many.
///
/// # Errors
/// The database's.
pub fn count_of_strangers(tx: &mut Tx<'_>, most: u32) -> Result<i64, DbError> {
    let sql = "SELECT count(*) FROM
               (SELECT writer FROM reviews WHERE writer <> '' AND decision IS NULL LIMIT $1) AS undecided";
    tx.count(sql, &[most.into()])
}

/// What is undecided, oldest first.
///
/// # Errors
/// The database's.
pub fn undecided(tx: &mut Tx<'_>, after: ReviewId, limit: u32) -> Result<Vec<Review>, DbError> {
    let sql = "SELECT id, kind, touch_id, contact_id, channel, text, at FROM reviews
               WHERE decision IS NULL AND id > $1 ORDER BY id LIMIT $2";
    tx.rows(sql, &[after.into(), limit.into()])?.into_iter().map(read).collect()
}

/// One of them, while it is undecided.
///
/// # Errors
/// The database's.
pub fn get(tx: &mut Tx<'_>, id: ReviewId) -> Result<Option<Review>, DbError> {
    let sql = "SELECT id, kind, touch_id, contact_id, channel, text, at FROM reviews WHERE id = $1 AND decision IS NULL";
    tx.row(sql, &[id.into()])?.map(read).transpose()
}

/// How many are undecided.
///
/// # Errors
/// The database's.
pub fn count(tx: &mut Tx<'_>) -> Result<i64, DbError> {
    tx.count("SELECT count(*) FROM reviews WHERE decision IS NULL", &[])
}

/// What waits of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Which kind.
    pub kind: ReviewKind,
    /// How many.
    pub count: i64,
    /// Since when the oldest waits.
    pub oldest: Time,
    /// The newest of them.
    pub newest: ReviewId,
}

/// How many are undecided of each kind of which there are any: what contacts wrote before calls.
///
/// # Errors
/// The database's.
pub fn waiting(tx: &mut Tx<'_>) -> Result<Vec<Waiting>, DbError> {
    let sql = "SELECT kind, count(*), min(at), max(id) FROM reviews WHERE decision IS NULL GROUP BY kind ORDER BY kind";
    let read = |mut row: Row| {
        let (kind, count, oldest) = (row.word()?, row.int()?, row.time()?);
        Ok(Waiting { kind, count, oldest, newest: ReviewId(row.int()?) })
    };
    tx.rows(sql, &[])?.into_iter().map(read).collect()
}

/// Decides the one with that key, if there is one that is undecided.
///
/// # Errors
/// The database's.
pub fn settle(tx: &mut Tx<'_>, key: &str, decision: &str, who: &str, now: Time) -> Result<bool, DbError> {
    let sql = "UPDATE reviews SET decision = $2, decided_by = $3, decided_at = $4 WHERE key = $1 AND decision IS NULL";
    Ok(tx.run(sql, &[key.into(), decision.into(), who.into(), now.into()])? > 0)
}

/// Decides one; false when somebody has.
///
/// # Errors
/// The database's.
pub fn decide(tx: &mut Tx<'_>, id: ReviewId, decision: &str, who: &str, now: Time) -> Result<bool, DbError> {
    let sql = "UPDATE reviews SET decision = $2, decided_by = $3, decided_at = $4 WHERE id = $1 AND decision IS NULL";
    Ok(tx.run(sql, &[id.into(), decision.into(), who.into(), now.into()])? > 0)
}
