//! Contacts and what they have agreed to; `upsert` has how they come in.

mod upsert;

pub use upsert::{Batch, How, NewContact, SameNumber, Upserted, give_consent, upsert, upsert_all};

use windlass::Time;

use super::select;
use crate::{
    channel::Channel,
    db::{DbError, Row, Tx},
    model::{
        ContactId, account,
        contact::{Consent, Contact},
    },
};

macro_rules! columns {
    () => {
        "id, email, phone, name, time_zone, country, state, zip, account, fields, created_at, erased_at"
    };
}
use columns;

fn read(mut row: Row) -> Result<Contact, DbError> {
    Ok(Contact {
        id: ContactId(row.int()?),
        email: row.maybe_text()?,
        phone: row.maybe_text()?,
        name: row.text()?,
        time_zone: row.maybe_text()?,
        country: row.maybe_text()?,
        state: row.maybe_text()?,
        zip: row.maybe_text()?,
        account: row.maybe_text()?,
        fields: row.json()?,
        created_at: row.time()?,
        erased_at: row.maybe_time()?,
    })
}

/// One contact.
///
/// # Errors
/// The database's.
pub fn get(tx: &mut Tx<'_>, id: ContactId) -> Result<Option<Contact>, DbError> {
    tx.row(select!(columns, "FROM contacts WHERE id = $1"), &[id.into()])?.map(read).transpose()
}

/// The contact with that mailbox or number.
///
/// # Errors
/// The database's.
pub fn by_address(tx: &mut Tx<'_>, channel: Channel, address: &str) -> Result<Option<Contact>, DbError> {
    let sql = match channel {
        Channel::Email => select!(columns, "FROM contacts WHERE email = $1"),
        Channel::Sms | Channel::Voicemail => select!(columns, "FROM contacts WHERE phone = $1"),
    };
    tx.row(sql, &[upsert::folded(Some(address)).into()])?.map(read).transpose()
}

/// Contacts after that number, of one list or of all, whose mailbox or number begins so; at most `limit`.
///
/// # Errors
/// The database's.
pub fn page(
    tx: &mut Tx<'_>,
    list: Option<crate::model::ListId>,
    begins: &str,
    after: ContactId,
    limit: u32,
) -> Result<Vec<Contact>, DbError> {
    // The bound above which no text begins so: the highest character behind it.
    let begins = upsert::folded(Some(begins)).unwrap_or_default();
    let end = format!("{begins}\u{10FFFF}");
    let values =
        [after.into(), limit.into(), begins.into(), end.into(), list.map_or(0, |list| list.0).into()];
    let sql = select!(
        columns,
        "FROM contacts WHERE id > $1 AND ($3 = '' OR (email >= $3 AND email < $4) OR (phone >= $3 AND phone < $4))
         AND ($5 = 0 OR id IN (SELECT contact_id FROM list_members WHERE list_id = $5))
         AND erased_at IS NULL ORDER BY id LIMIT $2"
    );
    tx.rows(sql, &values)?.into_iter().map(read).collect()
}

/// Contacts of a list after that number, in their order; at most `limit`.
///
/// # Errors
/// The database's.
pub fn on_list(
    tx: &mut Tx<'_>,
    list: crate::model::ListId,
    after: ContactId,
    limit: u32,
) -> Result<Vec<Contact>, DbError> {
    let sql = select!(
        columns,
        "FROM list_members JOIN contacts ON id = contact_id WHERE list_id = $1 AND contact_id > $2
         ORDER BY contact_id LIMIT $3"
    );
    tx.rows(sql, &[list.into(), after.into(), limit.into()])?.into_iter().map(read).collect()
}

/// For the contacts of a list from that number up to that one, in their order: the channels about which they have said
/// something, and whether they agree.
///
/// # Errors
/// The database's.
pub fn agreed_on_list(
    tx: &mut Tx<'_>,
    list: crate::model::ListId,
    from: ContactId,
    to: ContactId,
) -> Result<Vec<(ContactId, Channel, bool)>, DbError> {
    let sql = "SELECT m.contact_id, c.channel, CASE WHEN c.revoked_at IS NULL THEN 1 ELSE 0 END
               FROM list_members AS m JOIN consents AS c ON c.contact_id = m.contact_id
               WHERE m.list_id = $1 AND m.contact_id >= $2 AND m.contact_id <= $3 ORDER BY m.contact_id";
    let rows = tx.rows(sql, &[list.into(), from.into(), to.into()])?;
    rows.into_iter()
        .map(|mut row| {
            let id = ContactId(row.int()?);
            let word = row.text()?;
            let channel = Channel::ALL.into_iter().find(|channel| channel.name() == word);
            let channel = channel.ok_or_else(|| DbError::Row(format!("{word:?} is no channel")))?;
            Ok((id, channel, row.int()? != 0))
        })
        .collect()
}

/// Contacts before that number, newest first, whose mailbox, number or name begins so, whatever their capitals; at most
/// `limit`.
///
/// # Errors
/// The database's.
pub fn newest(tx: &mut Tx<'_>, begins: &str, before: ContactId, limit: u32) -> Result<Vec<Contact>, DbError> {
    let folded = upsert::folded(Some(begins)).unwrap_or_default();
    // The bound above which no text begins so: the highest character behind it.
    let end = format!("{folded}\u{10FFFF}");
    let like = begins.to_lowercase().replace('!', "!!").replace('%', "!%").replace('_', "!_") + "%";
    let values = [before.into(), limit.into(), folded.into(), end.into(), like.into()];
    let sql = select!(
        columns,
        "FROM contacts WHERE id < $1 AND ($3 = '' OR (email >= $3 AND email < $4) OR (phone >= $3 AND phone < $4)
         OR lower(name) LIKE $5 ESCAPE '!') AND erased_at IS NULL ORDER BY id DESC LIMIT $2"
    );
    tx.rows(sql, &values)?.into_iter().map(read).collect()
}

/// Writes down which account a contact belongs to, or that nobody has said; false when they were erased.
///
/// # Errors
/// The database's.
pub fn set_account(
    tx: &mut Tx<'_>,
    contact: &Contact,
    account: Option<&str>,
    now: Time,
) -> Result<bool, DbError> {
    let sql = "UPDATE contacts SET account = $2, account_key = $3, updated_at = $4
               WHERE id = $1 AND erased_at IS NULL";
    let key = account::key(account, contact.email.as_deref());
    Ok(tx.run(sql, &[contact.id.into(), account.into(), key.into(), now.into()])? > 0)
}

/// How many contacts there are.
///
/// # Errors
/// The database's.
pub fn count(tx: &mut Tx<'_>) -> Result<i64, DbError> {
    tx.count("SELECT count(*) FROM contacts WHERE erased_at IS NULL", &[])
}

/// Takes a contact's consent back.
///
/// # Errors
/// The database's.
pub fn revoke_consent(
    tx: &mut Tx<'_>,
    contact: ContactId,
    channel: Channel,
    now: Time,
) -> Result<(), DbError> {
    let sql =
        "UPDATE consents SET revoked_at = $3 WHERE contact_id = $1 AND channel = $2 AND revoked_at IS NULL";
    tx.run(sql, &[contact.into(), channel.into(), now.into()]).map(drop)
}

/// What a contact has agreed to, and taken back.
///
/// # Errors
/// The database's.
pub fn consents(tx: &mut Tx<'_>, contact: ContactId) -> Result<Vec<Consent>, DbError> {
    let sql = "SELECT channel, basis, proof, source, given_at, revoked_at FROM consents WHERE contact_id = $1
               ORDER BY channel";
    let rows = tx.rows(sql, &[contact.into()])?;
    rows.into_iter()
        .map(|mut row| {
            Ok(Consent {
                channel: row.word()?,
                basis: row.text()?,
                proof: row.text()?,
                source: row.text()?,
                given_at: row.time()?,
                revoked_at: row.maybe_time()?,
            })
        })
        .collect()
}

/// Removes everything that names the contact. What was sent stays counted, without a name.
///
/// # Errors
/// The database's.
pub fn erase(tx: &mut Tx<'_>, contact: ContactId, now: Time) -> Result<bool, DbError> {
    let sql = "UPDATE contacts SET email = NULL, phone = NULL, name = '', time_zone = NULL, country = NULL,
               state = NULL, zip = NULL, account = NULL, account_key = NULL, fields = '{}', updated_at = $2, erased_at = $2
               WHERE id = $1 AND erased_at IS NULL";
    if tx.run(sql, &[contact.into(), now.into()])? == 0 {
        return Ok(false);
    }
    tx.run(
        "UPDATE touches SET address = '', detail = '', evidence = '' WHERE contact_id = $1",
        &[contact.into()],
    )?;
    tx.run("UPDATE events SET detail = '' WHERE contact_id = $1", &[contact.into()])?;
    tx.run("UPDATE reviews SET text = '' WHERE contact_id = $1", &[contact.into()])?;
    tx.run("UPDATE consents SET proof = '' WHERE contact_id = $1", &[contact.into()])?;
    tx.run("DELETE FROM list_members WHERE contact_id = $1", &[contact.into()])?;
    tx.run("DELETE FROM contact_pauses WHERE contact_id = $1", &[contact.into()])?;
    Ok(true)
}
