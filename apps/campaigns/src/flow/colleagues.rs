//! One answer for all of an account: a contact who answers stops the sequence of that campaign for their colleagues, where
//! the campaign has that rule.
//!
//! It holds for the campaign that was answered, and for no other: another campaign to the same people says something else,
//! and has its own rule. Who has answered is written down in any case, so that the rule also holds for answers of before
//! somebody chose it. An account may have ten thousand contacts, and one answer must not keep every other writer waiting:
//! the first of them are stopped together with the answer, and the others by [`hold`], which is asked right before each
//! message and sees every answer that is committed.

use windlass::Time;

use super::{
    erasure::{erased, not_erased},
    next::Place,
};
use crate::{
    app::{App, AppError},
    db::{DbError, Tx},
    model::{CampaignId, ContactId, account},
    store::{audit, colleagues, contacts},
};

/// Colleagues who are stopped in the transaction of an answer: some ten milliseconds of its work.
const STOPPED_AT_ONCE: u32 = 500;

/// An answer of somebody who has colleagues.
pub(super) struct Answer {
    contact: ContactId,
    account: String,
}

/// Takes in that a contact has answered. It comes before whatever else the transaction writes of the campaign's messages:
/// whoever sends one takes the account first as well, so the two do not wait for each other.
pub(super) fn answered(
    tx: &mut Tx<'_>,
    campaign: CampaignId,
    contact: ContactId,
    now: Time,
) -> Result<Option<Answer>, AppError> {
    let account = contacts::get(tx, contact)?.and_then(|contact| contact.colleagues_by());
    let Some(account) = account else { return Ok(None) };
    colleagues::answered(tx, campaign, &account, contact, now)?;
    Ok(Some(Answer { contact, account }))
}

/// Ends the sequence of that campaign for colleagues of whoever has answered, whose own has ended.
pub(super) fn stop(
    tx: &mut Tx<'_>,
    campaign: CampaignId,
    answer: &Answer,
    now: Time,
) -> Result<(), AppError> {
    let Answer { contact, account } = answer;
    colleagues::stop(tx, campaign, account, *contact, STOPPED_AT_ONCE, now)?;
    Ok(())
}

/// The colleague whose answer stops the sequence for this contact, if one has answered and the campaign wants that.
pub(super) fn who_stops(tx: &mut Tx<'_>, place: &Place) -> Result<Option<ContactId>, AppError> {
    ask(tx, place, colleagues::who_answered)
}

/// The same, right before a message: until this transaction has ended, no colleague's answer is taken in.
pub(super) fn hold(tx: &mut Tx<'_>, place: &Place) -> Result<Option<ContactId>, AppError> {
    ask(tx, place, colleagues::hold)
}

fn ask(
    tx: &mut Tx<'_>,
    place: &Place,
    answered: fn(&mut Tx<'_>, CampaignId, &str) -> Result<Option<ContactId>, DbError>,
) -> Result<Option<ContactId>, AppError> {
    if !place.campaign.stop_rules.account_reply {
        return Ok(None);
    }
    let Some(key) = place.contact.colleagues_by() else { return Ok(None) };
    Ok(answered(tx, place.campaign.id, &key)?.filter(|who| *who != place.contact.id))
}

/// Writes down which account a contact belongs to; an empty one leaves that to the domain of their mail.
///
/// # Errors
/// A contact that is none or was erased, an account that is too long; the database's.
pub(crate) async fn set_account(app: &App, id: ContactId, given: &str, who: &str) -> Result<(), AppError> {
    let given = checked(given)?;
    let (now, who) = (app.now(), who.to_owned());
    app.db()
        .write(move |tx| {
            let contact = not_erased(tx, id)?;
            let before = contact.colleagues_by();
            // Somebody may have erased them since this transaction has looked.
            if !contacts::set_account(tx, &contact, given.as_deref(), now)? {
                return Err(erased(id));
            }
            if let Some(before) = before {
                colleagues::forget(tx, &before)?;
            }
            Ok(audit::note(tx, &who, "set account of contact", &id.to_string(), "", now)?)
        })
        .await
}

/// An account as it is kept; none for an empty one.
///
/// # Errors
/// One that is too long, or has a line break.
pub(crate) fn checked(given: &str) -> Result<Option<String>, AppError> {
    let given = given.trim();
    if given.chars().count() > account::CHARS_MAX {
        return Err(AppError::invalid("account", format!("at most {} characters", account::CHARS_MAX)));
    }
    if given.contains(char::is_control) {
        return Err(AppError::invalid("account", "one line without invisible characters"));
    }
    Ok((!given.is_empty()).then(|| given.to_owned()))
}
