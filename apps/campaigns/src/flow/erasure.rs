//! The erasure of a contact: what names them goes, and what keeps them from being reached stays.
//!
//! Whoever was erased stays away. An address of theirs that somebody brings again, in a file, by the API or by a form, is
//! recognised by its keyed hash and is not kept: that address was to be forgotten.

use std::{borrow::Cow, collections::HashSet};

use super::optout::by_erasure;
use crate::{
    app::{App, AppError},
    db::{DbError, Tx},
    intake,
    model::{ContactId, contact::Contact},
    store::{
        audit, colleagues,
        contacts::{self, NewContact},
        suppressions,
    },
};

/// Removes everything that names a contact, rows of theirs that an import refused among it, and keeps that they must not be
/// reached.
///
/// # Errors
/// A contact that is none or was erased; the database's, or the queue's.
pub async fn erase(app: &App, contact: ContactId, who: &str) -> Result<(), AppError> {
    // It refuses whoever was erased before.
    by_erasure(app, contact, who).await?;
    // As long as the addresses are known, so that an erasure which is broken off here can be done again.
    if let Some(person) = app.db().read(move |tx| contacts::get(tx, contact)).await? {
        intake::forget(app, person.email.as_deref(), person.phone.as_deref()).await?;
    }
    let (now, who, inner) = (app.now(), who.to_owned(), app.clone());
    app.db()
        .write(move |tx| {
            let person = not_erased(tx, contact)?;
            for address in [&person.email, &person.phone].into_iter().flatten() {
                suppressions::forget_address(tx, &inner.hash_of(address))?;
            }
            contacts::erase(tx, contact, now)?;
            if let Some(account) = person.colleagues_by() {
                colleagues::forget(tx, &account)?;
            }
            Ok(audit::note(tx, &who, "erase contact", &contact.to_string(), "", now)?)
        })
        .await
}

/// A contact of whom there is something to change: whoever was erased stays as they are.
///
/// # Errors
/// A contact that is none or was erased; the database's.
pub(crate) fn not_erased(tx: &mut Tx<'_>, contact: ContactId) -> Result<Contact, AppError> {
    let person = contacts::get(tx, contact)?.ok_or_else(|| AppError::unknown("contact", contact))?;
    if person.erased_at.is_some() {
        return Err(erased(contact));
    }
    Ok(person)
}

/// What is said to whoever would change a contact who was erased.
pub(crate) fn erased(contact: ContactId) -> AppError {
    AppError::Conflict(format!("contact {contact} was erased: nothing is kept of them that could be changed"))
}

/// Some new contacts, without what was erased.
pub(crate) struct Unerased<'a> {
    /// Those whom nobody has erased.
    pub(crate) people: Cow<'a, [NewContact]>,
    /// How many were erased, and are not among them.
    pub(crate) left_out: u64,
    /// How many of them are kept without their number, because that was erased.
    pub(crate) without_number: u64,
}

/// Takes out of some new contacts what was erased.
///
/// A contact goes by their mailbox, or by their number where they have none. The erased number of another mailbox may have
/// been an office's: that contact is kept, without the number.
///
/// # Errors
/// The database's.
pub(crate) fn without_erased<'a>(
    tx: &mut Tx<'_>,
    app: &App,
    people: &'a [NewContact],
) -> Result<Unerased<'a>, DbError> {
    let all = || Unerased { people: Cow::Borrowed(people), left_out: 0, without_number: 0 };
    if !suppressions::is_any_forgotten(tx)? {
        return Ok(all());
    }
    let hashes =
        |address: &Option<String>| address.as_deref().map(|text| app.hashes_of(text)).unwrap_or_default();
    let addresses = people.iter().flat_map(|person| [&person.email, &person.phone]);
    let asked: Vec<String> = addresses.flat_map(hashes).collect();
    let forgotten = suppressions::forgotten_among(tx, &asked)?;
    if forgotten.is_empty() {
        return Ok(all());
    }
    let is_erased = |address: &Option<String>, forgotten: &HashSet<String>| {
        hashes(address).iter().any(|hash| forgotten.contains(hash))
    };
    let mut kept = Vec::with_capacity(people.len());
    let mut without_number = 0;
    for person in people {
        let (email, phone) = (is_erased(&person.email, &forgotten), is_erased(&person.phone, &forgotten));
        match (email, phone, &person.email) {
            (true, ..) | (_, true, None) => {}
            (false, true, Some(_)) => {
                without_number += 1;
                kept.push(NewContact { phone: None, ..person.clone() });
            }
            (false, false, _) => kept.push(person.clone()),
        }
    }
    let left_out = (people.len() - kept.len()) as u64;
    Ok(Unerased { people: Cow::Owned(kept), left_out, without_number })
}

/// Refuses a new contact who was erased; of another one, what is kept of them.
///
/// # Errors
/// That they were; the database's.
pub(crate) fn refuse_erased(tx: &mut Tx<'_>, app: &App, person: &NewContact) -> Result<NewContact, AppError> {
    let kept = without_erased(tx, app, std::slice::from_ref(person))?;
    kept.people.first().cloned().ok_or_else(|| {
        AppError::Conflict(
            "this address was erased, and is not kept again; if its owner asks for it, take its suppression back first"
                .to_owned(),
        )
    })
}
