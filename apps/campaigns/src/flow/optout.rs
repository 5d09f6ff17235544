//! The end of a contact's messages: an opt-out is in force for everything that waits when this answers.
//!
//! Whatever way it came (a link, a word, a complaint, a person), the address is suppressed for everybody, consent is taken
//! back, every message that waits is skipped and every sequence ends, in one transaction. A message that a provider is being
//! asked for at this moment cannot be called back; the next one looks here first.

use windlass::Time;

use super::share;
use crate::{
    app::{App, AppError},
    channel::Channel,
    db::Tx,
    model::{
        CampaignId, ContactId,
        contact::Contact,
        touch::{EventKind, Reason, Touch},
    },
    store::{
        audit, contacts, enrolments, events,
        events::About,
        suppressions::{self, Addressed},
        touches,
    },
};

/// An address is not used any more by its channel, whatever else it is good for.
pub(super) fn suppress(
    tx: &mut Tx<'_>,
    app: &App,
    touch: &Touch,
    reason: &str,
    source: &str,
    now: Time,
) -> Result<(), AppError> {
    if touch.address.is_empty() {
        return Ok(());
    }
    let address = Addressed { hash: app.hash_of(&touch.address), text: Some(touch.address.clone()) };
    suppressions::add(tx, None, Some(touch.channel), &address, reason, source, now)?;
    touches::skip_all(tx, touch.contact, None, Some(touch.channel), Reason::Suppressed, now)?;
    Ok(())
}

/// The contact of a message wants no more by its channel.
pub(super) fn opt_out(
    tx: &mut Tx<'_>,
    app: &App,
    touch: &Touch,
    reason: &str,
    source: &str,
    now: Time,
) -> Result<(), AppError> {
    suppress(tx, app, touch, reason, source, now)?;
    end(tx, touch.contact, touch.channel, now).map(drop)
}

/// Nothing that waits for the contact goes out, and none of their sequences goes on.
fn end(
    tx: &mut Tx<'_>,
    contact: ContactId,
    channel: Channel,
    now: Time,
) -> Result<Vec<CampaignId>, AppError> {
    contacts::revoke_consent(tx, contact, channel, now)?;
    touches::skip_all(tx, contact, None, Some(channel), Reason::Suppressed, now)?;
    touches::skip_all(tx, contact, None, None, Reason::Stopped, now)?;
    Ok(enrolments::stop_all(tx, contact, Reason::Suppressed, now)?)
}

/// A contact wants no more: by that channel, or by any.
///
/// # Errors
/// The database's, or the queue's.
pub async fn by_contact(
    app: &App,
    contact: ContactId,
    channel: Option<Channel>,
    about: About,
    reason: &str,
    source: &str,
) -> Result<(), AppError> {
    let (now, inner) = (app.now(), app.clone());
    let (reason, source) = (reason.to_owned(), source.to_owned());
    let ended = app
        .db()
        .write(move |tx| {
            let person = contacts::get(tx, contact)?.ok_or_else(|| AppError::unknown("contact", contact))?;
            let mut ended = Vec::new();
            let meant = Channel::ALL.into_iter().filter(|one| channel.is_none_or(|meant| meant == *one));
            for one in meant {
                if let Some(address) = person.address(one) {
                    let address = addressed(&inner, address);
                    suppressions::add(tx, None, Some(one), &address, &reason, &source, now)?;
                }
                ended.extend(end(tx, contact, one, now)?);
            }
            events::note(tx, about, EventKind::OptedOut, &source, &reason, None, now)?;
            Ok::<_, AppError>(ended)
        })
        .await?;
    for campaign in ended {
        share::end_if_over(app, campaign).await?;
    }
    Ok(())
}

/// A contact wants messages again by that channel: the suppressions that their own word has made go, those that an error
/// of their address has made stay.
///
/// # Errors
/// The database's.
pub fn opt_in(
    tx: &mut Tx<'_>,
    app: &App,
    contact: &Contact,
    channel: Channel,
    source: &str,
    now: Time,
) -> Result<(), AppError> {
    let Some(address) = contact.address(channel) else { return Ok(()) };
    suppressions::lift(tx, Some(channel), &app.hash_of(address))?;
    let about = About { contact: Some(contact.id), ..About::default() };
    events::note(tx, about, EventKind::OptedIn, source, "", None, now)?;
    Ok(())
}

/// Removes everything that names a contact, and keeps that they must not be reached.
///
/// # Errors
/// A contact that is none; the database's, or the queue's.
pub async fn erase(app: &App, contact: ContactId, who: &str) -> Result<(), AppError> {
    let about = About { contact: Some(contact), ..About::default() };
    by_contact(app, contact, None, about, "erased", who).await?;
    let (now, who, inner) = (app.now(), who.to_owned(), app.clone());
    app.db()
        .write(move |tx| {
            let person = contacts::get(tx, contact)?.ok_or_else(|| AppError::unknown("contact", contact))?;
            for address in [&person.email, &person.phone].into_iter().flatten() {
                suppressions::forget_address(tx, &inner.hash_of(address))?;
            }
            contacts::erase(tx, contact, now)?;
            Ok(audit::note(tx, &who, "erase contact", &contact.to_string(), "", now)?)
        })
        .await
}

/// An address as it is compared and shown.
pub fn addressed(app: &App, address: &str) -> Addressed {
    Addressed { hash: app.hash_of(address), text: Some(address.to_owned()) }
}

/// An address must not be reached any more, whoever's it is; false when it was suppressed.
///
/// # Errors
/// The database's.
pub async fn suppress_address(
    app: &App,
    address: &str,
    channel: Option<Channel>,
    reason: &str,
    who: &str,
) -> Result<bool, AppError> {
    let now = app.now();
    let address = addressed(app, address);
    let (reason, who) = (reason.to_owned(), who.to_owned());
    app.db()
        .write(move |tx| {
            let text = address.text.clone().unwrap_or_default();
            let done = suppressions::add(tx, None, channel, &address, &reason, &who, now)?;
            for one in Channel::ALL.into_iter().filter(|one| channel.is_none_or(|meant| meant == *one)) {
                if let Some(contact) = contacts::by_address(tx, one, &text)? {
                    touches::skip_all(tx, contact.id, None, Some(one), Reason::Suppressed, now)?;
                }
            }
            audit::note(tx, &who, "suppress address", &text, &reason, now)?;
            Ok(done)
        })
        .await
}
