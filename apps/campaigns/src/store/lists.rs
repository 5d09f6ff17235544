//! Lists of contacts.

use std::sync::LazyLock;

use windlass::Time;

use crate::{
    db::{DbError, Many, Tx},
    model::{ContactId, ListId},
};

static ADD: LazyLock<Many> = LazyLock::new(|| {
    Many::new("INSERT INTO list_members (list_id, contact_id)", &["$"; 2], "ON CONFLICT DO NOTHING")
});

/// A list with its size.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct List {
    /// Its number.
    pub id: ListId,
    /// What people call it.
    pub name: String,
    /// Its contacts.
    pub contacts: i64,
}

/// Makes a list, or answers the one of that name.
///
/// # Errors
/// The database's.
pub fn ensure(tx: &mut Tx<'_>, name: &str, now: Time) -> Result<ListId, DbError> {
    let sql = "INSERT INTO lists (name, created_at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    tx.run(sql, &[name.into(), now.into()])?;
    tx.count("SELECT id FROM lists WHERE name = $1", &[name.into()]).map(ListId)
}

/// All lists, by name.
///
/// # Errors
/// The database's.
pub fn all(tx: &mut Tx<'_>) -> Result<Vec<List>, DbError> {
    let sql = "SELECT id, name, (SELECT count(*) FROM list_members WHERE list_id = lists.id) FROM lists ORDER BY name";
    let rows = tx.rows(sql, &[])?;
    rows.into_iter()
        .map(|mut row| Ok(List { id: ListId(row.int()?), name: row.text()?, contacts: row.int()? }))
        .collect()
}

/// Puts contacts on a list; who is there already stays.
///
/// # Errors
/// The database's.
pub fn add(
    tx: &mut Tx<'_>,
    list: ListId,
    contacts: impl IntoIterator<Item = ContactId>,
) -> Result<u64, DbError> {
    let rows: Vec<_> = contacts.into_iter().map(|contact| vec![list.into(), contact.into()]).collect();
    tx.run_many(&ADD, &rows)
}

/// Whether there is such a list.
///
/// # Errors
/// The database's.
pub fn is_there(tx: &mut Tx<'_>, list: ListId) -> Result<bool, DbError> {
    tx.is_there("SELECT 1 FROM lists WHERE id = $1", &[list.into()])
}

/// How many contacts are on it.
///
/// # Errors
/// The database's.
pub fn size(tx: &mut Tx<'_>, list: ListId) -> Result<i64, DbError> {
    tx.count("SELECT count(*) FROM list_members WHERE list_id = $1", &[list.into()])
}

/// The names of the lists that a contact is on.
///
/// # Errors
/// The database's.
pub fn names_of(tx: &mut Tx<'_>, contact: ContactId) -> Result<Vec<String>, DbError> {
    let sql = "SELECT name FROM lists WHERE id IN (SELECT list_id FROM list_members WHERE contact_id = $1) ORDER BY name";
    tx.rows(sql, &[contact.into()])?.into_iter().map(|mut row| row.text()).collect()
}
