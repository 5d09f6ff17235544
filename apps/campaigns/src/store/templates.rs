//! Templates: what is said. A version's text never changes.

use serde::{Deserialize, Serialize};
use windlass::Time;

use super::select;
use crate::{
    channel::Channel,
    db::{DbError, Row, Tx},
    model::TemplateId,
};

macro_rules! columns {
    () => {
        "id, name, version, channel, subject, body, html, created_at"
    };
}

/// One version of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTemplate {
    /// The number of this version.
    pub id: TemplateId,
    /// What people call it.
    pub name: String,
    /// Which version, from 1.
    pub version: u32,
    /// For which channel.
    pub channel: Channel,
    /// A mail's subject.
    pub subject: String,
    /// The text.
    pub body: String,
    /// A mail's HTML, if it has one.
    pub html: Option<String>,
    /// When it was written.
    pub created_at: Time,
}

fn read(mut row: Row) -> Result<StoredTemplate, DbError> {
    Ok(StoredTemplate {
        id: TemplateId(row.int()?),
        name: row.text()?,
        version: row.small()?,
        channel: row.word()?,
        subject: row.text()?,
        body: row.text()?,
        html: row.maybe_text()?,
        created_at: row.time()?,
    })
}

/// Writes the next version of the template of that name.
///
/// # Errors
/// The database's.
pub fn write(
    tx: &mut Tx<'_>,
    name: &str,
    channel: Channel,
    subject: &str,
    body: &str,
    html: Option<&str>,
    now: Time,
) -> Result<TemplateId, DbError> {
    let sql = "INSERT INTO templates (name, version, channel, subject, body, html, created_at)
               VALUES ($1, 1 + (SELECT COALESCE(max(version), 0) FROM templates WHERE name = $1), $2, $3, $4, $5, $6)
               RETURNING id";
    let values = [name.into(), channel.into(), subject.into(), body.into(), html.into(), now.into()];
    tx.count(sql, &values).map(TemplateId)
}

/// One version.
///
/// # Errors
/// The database's.
pub fn get(tx: &mut Tx<'_>, id: TemplateId) -> Result<Option<StoredTemplate>, DbError> {
    tx.row(select!(columns, "FROM templates WHERE id = $1"), &[id.into()])?.map(read).transpose()
}

/// The newest version of each, by name.
///
/// # Errors
/// The database's.
pub fn newest(tx: &mut Tx<'_>) -> Result<Vec<StoredTemplate>, DbError> {
    let sql = select!(
        columns,
        "FROM templates AS t WHERE version = (SELECT max(version) FROM templates WHERE name = t.name) ORDER BY name"
    );
    tx.rows(sql, &[])?.into_iter().map(read).collect()
}

/// All versions of one, newest first.
///
/// # Errors
/// The database's.
pub fn versions(tx: &mut Tx<'_>, name: &str) -> Result<Vec<StoredTemplate>, DbError> {
    let sql = select!(columns, "FROM templates WHERE name = $1 ORDER BY version DESC");
    tx.rows(sql, &[name.into()])?.into_iter().map(read).collect()
}
