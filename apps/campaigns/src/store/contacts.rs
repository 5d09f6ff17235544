//! Contacts and what they have agreed to.

use std::collections::BTreeMap;

use windlass::Time;

use super::select;
use crate::{
    channel::Channel,
    db::{DbError, Row, Tx, Value},
    model::{
        ContactId,
        contact::{Consent, Contact},
    },
};

macro_rules! columns {
    () => {
        "id, email, phone, name, time_zone, country, state, zip, fields, created_at, erased_at"
    };
}

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
        fields: row.json()?,
        created_at: row.time()?,
        erased_at: row.maybe_time()?,
    })
}

/// A contact as it comes in, from a file or a form: what is `None` says nothing about what is known already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewContact {
    /// Mailbox, normalised.
    pub email: Option<String>,
    /// Number in E.164.
    pub phone: Option<String>,
    /// Whole name.
    pub name: Option<String>,
    /// IANA zone.
    pub time_zone: Option<String>,
    /// Country.
    pub country: Option<String>,
    /// State.
    pub state: Option<String>,
    /// Postal code.
    pub zip: Option<String>,
    /// Everything else.
    pub fields: BTreeMap<String, String>,
    /// What they have agreed to.
    pub consents: Vec<Consent>,
}

/// What came of an upsert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upserted {
    /// A new contact.
    Added(ContactId),
    /// One that was known, with what is new of it.
    Updated(ContactId),
}

impl Upserted {
    /// The contact.
    pub fn id(self) -> ContactId {
        match self {
            Upserted::Added(id) | Upserted::Updated(id) => id,
        }
    }
}

/// Adds a contact, or writes what is new of one with the same mailbox, else the same number, into it. A number or
/// mailbox that another contact has already stays theirs.
///
/// # Errors
/// The database's.
pub fn upsert(tx: &mut Tx<'_>, new: &NewContact, now: Time) -> Result<Upserted, DbError> {
    let find = "SELECT id FROM contacts WHERE email = $1
                UNION ALL SELECT id FROM contacts WHERE phone = $2";
    let found = tx.rows(find, &[new.email.as_deref().into(), new.phone.as_deref().into()])?;
    let ids = found.into_iter().map(|mut row| row.int()).collect::<Result<Vec<i64>, DbError>>()?;
    let done = match ids.first() {
        Some(id) => {
            let free = |column: &'static str, tx: &mut Tx<'_>, value: &Option<String>| {
                let Some(value) = value else { return Ok::<_, DbError>(Value::Null) };
                let taken = tx.is_there(column, &[value.as_str().into(), (*id).into()])?;
                Ok(if taken { Value::Null } else { value.as_str().into() })
            };
            let email = free("SELECT 1 FROM contacts WHERE email = $1 AND id <> $2", tx, &new.email)?;
            let phone = free("SELECT 1 FROM contacts WHERE phone = $1 AND id <> $2", tx, &new.phone)?;
            let fields = merged(tx, *id, &new.fields)?;
            let sql = "UPDATE contacts SET email = COALESCE($2, email), phone = COALESCE($3, phone),
                       name = COALESCE($4, name), time_zone = COALESCE($5, time_zone), country = COALESCE($6, country),
                       state = COALESCE($7, state), zip = COALESCE($8, zip), fields = $9, updated_at = $10
                       WHERE id = $1";
            let values = [
                (*id).into(),
                email,
                phone,
                new.name.as_deref().into(),
                new.time_zone.as_deref().into(),
                new.country.as_deref().into(),
                new.state.as_deref().into(),
                new.zip.as_deref().into(),
                Value::json(&fields),
                now.into(),
            ];
            tx.run(sql, &values)?;
            Upserted::Updated(ContactId(*id))
        }
        None => {
            let sql = "INSERT INTO contacts (email, phone, name, time_zone, country, state, zip, fields, created_at, updated_at)
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9) RETURNING id";
            let values = [
                new.email.as_deref().into(),
                new.phone.as_deref().into(),
                new.name.as_deref().unwrap_or_default().into(),
                new.time_zone.as_deref().into(),
                new.country.as_deref().into(),
                new.state.as_deref().into(),
                new.zip.as_deref().into(),
                Value::json(&new.fields),
                now.into(),
            ];
            Upserted::Added(ContactId(tx.count(sql, &values)?))
        }
    };
    for consent in &new.consents {
        give_consent(tx, done.id(), consent)?;
    }
    Ok(done)
}

/// The fields that are known with the new ones over them.
fn merged(
    tx: &mut Tx<'_>,
    id: i64,
    new: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, DbError> {
    let row = tx.row("SELECT fields FROM contacts WHERE id = $1", &[id.into()])?;
    let mut fields: BTreeMap<String, String> = row.map_or(Ok(BTreeMap::new()), |mut row| row.json())?;
    fields.extend(new.iter().map(|(name, value)| (name.clone(), value.clone())));
    Ok(fields)
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
    tx.row(sql, &[address.into()])?.map(read).transpose()
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

/// How many contacts there are.
///
/// # Errors
/// The database's.
pub fn count(tx: &mut Tx<'_>) -> Result<i64, DbError> {
    tx.count("SELECT count(*) FROM contacts WHERE erased_at IS NULL", &[])
}

/// Writes down that a contact agrees; a newer word replaces an older one.
///
/// # Errors
/// The database's.
pub fn give_consent(tx: &mut Tx<'_>, contact: ContactId, consent: &Consent) -> Result<(), DbError> {
    let sql = "INSERT INTO consents (contact_id, channel, basis, proof, source, given_at, revoked_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7)
               ON CONFLICT (contact_id, channel) DO UPDATE SET basis = excluded.basis, proof = excluded.proof,
               source = excluded.source, given_at = excluded.given_at, revoked_at = excluded.revoked_at
               WHERE excluded.given_at >= consents.given_at";
    let values = [
        contact.into(),
        consent.channel.into(),
        consent.basis.as_str().into(),
        consent.proof.as_str().into(),
        consent.source.as_str().into(),
        consent.given_at.into(),
        consent.revoked_at.into(),
    ];
    tx.run(sql, &values).map(drop)
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
               state = NULL, zip = NULL, fields = '{}', updated_at = $2, erased_at = $2
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
    Ok(true)
}
