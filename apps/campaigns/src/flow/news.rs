//! What becomes known of a message after it was sent: by a callback of its provider, or because somebody asked.
//!
//! The same news may come twice, late, or in the wrong order: a status moves forward only, and an event is kept once by its
//! source's own name for it.

use windlass::Time;

use super::{optout, share};
use crate::{
    app::{App, AppError},
    channel::rules::{Action, ErrorTable},
    db::Tx,
    hooks::{Progress, TouchResult, What},
    model::{
        campaign::{EnrolmentStatus, StopRules},
        touch::{EventKind, Reason, Touch, TouchStatus},
    },
    store::{audit, campaigns, enrolments, events, providers, senders, touches},
};

/// Takes in what a provider says of a message: its status, its events, and what follows for its contact and address.
///
/// # Errors
/// The database's.
pub fn take_in(
    tx: &mut Tx<'_>,
    app: &App,
    touch: &Touch,
    what: &What,
    source: &str,
    key: &str,
    now: Time,
) -> Result<(), AppError> {
    let note =
        |tx: &mut Tx<'_>, kind, detail: &str| events::note(tx, touch, kind, source, detail, Some(key), now);
    match what {
        What::Progress(progress) => return went_on(tx, app, touch, progress, source, key, now),
        What::Answered { by } => {
            let who = format!("answered by {by:?}");
            touches::told(tx, touch.id, touch.status, &touch.provider_status, &who, now)?;
        }
        // A program that fetches pictures ahead is no reader.
        What::Opened { by_machine } => {
            if !by_machine {
                note(tx, EventKind::Opened, "")?;
            }
        }
        What::Clicked { url } => {
            if note(tx, EventKind::Clicked, url)? {
                stop(tx, touch, |rules| rules.click, now)?;
            }
        }
        What::Complained => {
            if note(tx, EventKind::Complained, "")? {
                optout::opt_out(tx, app, touch, "spam complaint", source, now)?;
            }
        }
        What::Unsubscribed => {
            if note(tx, EventKind::OptedOut, "with the provider")? {
                optout::opt_out(tx, app, touch, "unsubscribed", source, now)?;
            }
        }
        What::Inbound { .. } | What::Other { .. } => {}
    }
    Ok(())
}

/// A message that went further on its way, or came to its end.
fn went_on(
    tx: &mut Tx<'_>,
    app: &App,
    touch: &Touch,
    progress: &Progress,
    source: &str,
    key: &str,
    now: Time,
) -> Result<(), AppError> {
    let code = progress.code.as_deref();
    let why = progress.why.as_deref().or(code).unwrap_or_default();
    let word = progress.word.as_str();
    let (status, kind) = match progress.result {
        Some(TouchResult::Delivered) => (TouchStatus::Delivered, EventKind::Delivered),
        Some(TouchResult::Bounced) => (TouchStatus::Bounced, EventKind::Bounced),
        Some(TouchResult::Failed) => (TouchStatus::Failed, EventKind::Failed),
        Some(TouchResult::OnItsWay | TouchResult::Sent) | None => {
            touches::told(tx, touch.id, touch.status, word, &touch.detail, now)?;
            return Ok(());
        }
    };
    if !touches::told(tx, touch.id, status, word, why, now)? {
        return Ok(());
    }
    events::note(tx, touch, kind, source, why, Some(key), now)?;
    if status == TouchStatus::Delivered {
        return Ok(());
    }
    // A call that nobody answered says nothing about the number.
    let Some(code) = code else { return Ok(()) };
    let table = ErrorTable::default()
        .merged(providers::error_rules(tx)?)
        .map_err(|error| AppError::invalid("the table of errors", error))?;
    match table.decide(code, progress.class()).action {
        Action::Suppress => optout::suppress(tx, app, touch, code, source, now)?,
        Action::Brake => {
            if let Some(sender) = touch.sender {
                let why = format!("{code}: look at what is sent");
                senders::pause(tx, sender, true, &why)?;
                audit::note(tx, "windlass", "pause sender", &sender.to_string(), &why, now)?;
            }
        }
        _ => {}
    }
    if status == TouchStatus::Bounced { stop(tx, touch, |rules| rules.bounce, now) } else { Ok(()) }
}

/// Ends the sequence that the message belongs to, if its campaign has that rule.
fn stop(
    tx: &mut Tx<'_>,
    touch: &Touch,
    rule: impl FnOnce(&StopRules) -> bool,
    now: Time,
) -> Result<(), AppError> {
    let Some(campaign) = campaigns::get(tx, touch.campaign)? else { return Ok(()) };
    if !rule(&campaign.stop_rules) {
        return Ok(());
    }
    let reason = Reason::Stopped;
    touches::skip_all(tx, touch.contact, Some(touch.campaign), None, reason, now)?;
    enrolments::end(tx, touch.campaign, touch.contact, EnrolmentStatus::Stopped, &reason.to_string(), now)?;
    Ok(())
}

/// Ends the campaigns of a message's contact that may be over now.
///
/// # Errors
/// The database's, or the queue's.
pub async fn settle(app: &App, touch: &Touch) -> Result<(), AppError> {
    share::end_if_over(app, touch.campaign).await
}
