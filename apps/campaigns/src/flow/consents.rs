//! What a contact has agreed to, as a person writes it down.

use super::erasure::not_erased;
use crate::{
    app::{App, AppError},
    channel::Channel,
    model::{ContactId, contact::Consent},
    store::{audit, contacts},
};

/// The bases on which somebody may be reached, as forms name them.
pub const BASES: [&str; 3] = ["express_written", "express", "implied"];

/// Writes down that a contact agrees.
///
/// # Errors
/// A contact that is none or was erased, a basis that is none, nothing that proves it; the database's.
pub async fn give(
    app: &App,
    contact: ContactId,
    channel: Channel,
    basis: &str,
    proof: &str,
    who: &str,
) -> Result<(), AppError> {
    if !BASES.contains(&basis) {
        return Err(AppError::invalid("basis", "in writing, expressly or implied"));
    }
    if proof.trim().is_empty() {
        return Err(AppError::invalid("proof", "say what proves it: a consent without a proof is none"));
    }
    let (now, who) = (app.now(), who.to_owned());
    let consent = Consent {
        channel,
        basis: basis.to_owned(),
        proof: proof.trim().to_owned(),
        source: who.clone(),
        given_at: now,
        revoked_at: None,
    };
    app.db()
        .write(move |tx| {
            not_erased(tx, contact)?;
            contacts::give_consent(tx, contact, &consent)?;
            Ok(audit::note(tx, &who, "record consent of contact", &contact.to_string(), channel.name(), now)?)
        })
        .await
}

/// Takes a contact's consent back: messages by that channel that wait for them are not sent.
///
/// # Errors
/// A contact that is none or was erased; the database's.
pub async fn revoke(app: &App, contact: ContactId, channel: Channel, who: &str) -> Result<(), AppError> {
    let (now, who) = (app.now(), who.to_owned());
    app.db()
        .write(move |tx| {
            not_erased(tx, contact)?;
            contacts::revoke_consent(tx, contact, channel, now)?;
            Ok(audit::note(tx, &who, "revoke consent of contact", &contact.to_string(), channel.name(), now)?)
        })
        .await
}
