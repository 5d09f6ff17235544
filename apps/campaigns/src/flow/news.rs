//! What becomes known of a message after it was sent: by a callback of its provider, or because somebody asked.
//!
//! The same news may come twice, late, or in the wrong order: a status moves forward only, and an event is kept once by its
//! source's own name for it.

use windlass::Time;

use super::share;
use crate::{
    app::{App, AppError},
    channel::{
        Channel,
        rules::{Action, ErrorTable, ProviderKind},
    },
    db::Tx,
    model::{
        campaign::EnrolmentStatus,
        touch::{EventKind, Reason, Touch, TouchStatus},
    },
    store::{
        campaigns, contacts, enrolments, events, providers, suppressions, suppressions::Addressed, touches,
    },
};

/// What became known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// What.
    pub what: What,
    /// The provider's own word for it.
    pub word: String,
    /// More of it, for people.
    pub detail: String,
    /// The source's own name for this news, so that it counts once.
    pub key: Option<String>,
}

/// What became known of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It is on its way.
    OnItsWay,
    /// It has arrived.
    Delivered,
    /// It came back, or cannot arrive; the provider's code behind its kind, such as `twilio/30003`.
    Undelivered {
        /// The code.
        code: String,
    },
    /// It was opened.
    Opened,
    /// A link of it was followed.
    Clicked,
    /// It was reported as spam.
    Complained,
    /// The contact wants no more of its channel.
    OptedOut,
}

impl News {
    /// What a status of Twilio's means.
    pub fn of_twilio(channel: Channel, status: &str, error_code: Option<&str>) -> Self {
        let what = match status {
            "delivered" | "read" | "completed" => What::Delivered,
            "undelivered" | "failed" | "canceled" | "busy" | "no-answer" => {
                let own = error_code.filter(|code| !code.is_empty()).unwrap_or(status);
                What::Undelivered { code: ProviderKind::Twilio.code(own) }
            }
            _ => What::OnItsWay,
        };
        let detail = match (&what, channel) {
            (What::Undelivered { code }, _) => code.clone(),
            _ => String::new(),
        };
        Self { what, word: status.to_owned(), detail, key: None }
    }
}

/// Takes news of a message in: its status, its events, and what follows for its contact and address.
///
/// # Errors
/// The database's.
pub fn take_in(
    tx: &mut Tx<'_>,
    app: &App,
    touch: &Touch,
    news: &News,
    source: &str,
    now: Time,
) -> Result<(), AppError> {
    let key = news.key.clone().or_else(|| Some(format!("{source}:{}:{}", touch.id, news.word)));
    let note =
        |tx: &mut Tx<'_>, kind| events::note(tx, touch, kind, source, &news.detail, key.as_deref(), now);
    match &news.what {
        What::OnItsWay => {
            let status = touch.status;
            touches::told(tx, touch.id, status, &news.word, &touch.detail, now)?;
        }
        What::Delivered => {
            if touches::told(tx, touch.id, TouchStatus::Delivered, &news.word, "", now)? {
                note(tx, EventKind::Delivered)?;
            }
        }
        What::Undelivered { code } => {
            if touches::told(tx, touch.id, TouchStatus::Bounced, &news.word, &news.detail, now)? {
                note(tx, EventKind::Bounced)?;
                bounced(tx, app, touch, code, source, now)?;
            }
        }
        What::Opened => drop(note(tx, EventKind::Opened)?),
        What::Clicked => {
            if note(tx, EventKind::Clicked)? {
                stop(tx, touch, |rules| rules.click, Reason::Stopped, now)?;
            }
        }
        What::Complained => {
            if note(tx, EventKind::Complained)? {
                opt_out(tx, app, touch, "spam complaint", source, now)?;
            }
        }
        What::OptedOut => {
            if note(tx, EventKind::OptedOut)? {
                opt_out(tx, app, touch, "opted out", source, now)?;
            }
        }
    }
    Ok(())
}

/// A message that came back: its code may mean that the address is of no use.
fn bounced(
    tx: &mut Tx<'_>,
    app: &App,
    touch: &Touch,
    code: &str,
    source: &str,
    now: Time,
) -> Result<(), AppError> {
    let edited = providers::error_rules(tx)?;
    let table = ErrorTable::default()
        .merged(edited)
        .map_err(|error| AppError::invalid("the table of errors", error))?;
    let action = table.decide(code, crate::channel::RefusalClass::Permanent).action;
    if action == Action::Suppress {
        suppress(tx, app, touch, code, source, now)?;
    }
    if action == Action::Brake
        && let Some(sender) = touch.sender
    {
        crate::store::senders::pause(tx, sender, true, &format!("{code}: look at what is sent"))?;
    }
    stop(tx, touch, |rules| rules.bounce, Reason::Stopped, now)
}

/// Ends the sequence that the message belongs to, if its campaign has that rule.
fn stop(
    tx: &mut Tx<'_>,
    touch: &Touch,
    rule: impl FnOnce(&crate::model::campaign::StopRules) -> bool,
    reason: Reason,
    now: Time,
) -> Result<(), AppError> {
    let Some(campaign) = campaigns::get(tx, touch.campaign)? else { return Ok(()) };
    if !rule(&campaign.stop_rules) {
        return Ok(());
    }
    touches::skip_all(tx, touch.contact, Some(touch.campaign), None, reason, now)?;
    enrolments::end(tx, touch.campaign, touch.contact, EnrolmentStatus::Stopped, &reason.to_string(), now)?;
    Ok(())
}

fn suppress(
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

/// Nothing more goes to the contact by the message's channel, by anybody, and every sequence of theirs ends.
///
/// # Errors
/// The database's.
pub fn opt_out(
    tx: &mut Tx<'_>,
    app: &App,
    touch: &Touch,
    reason: &str,
    source: &str,
    now: Time,
) -> Result<(), AppError> {
    suppress(tx, app, touch, reason, source, now)?;
    contacts::revoke_consent(tx, touch.contact, touch.channel, now)?;
    touches::skip_all(tx, touch.contact, None, Some(touch.channel), Reason::Suppressed, now)?;
    enrolments::stop_all(tx, touch.contact, Reason::Suppressed, now)?;
    touches::skip_all(tx, touch.contact, None, None, Reason::Stopped, now)?;
    Ok(())
}

/// Ends the campaigns of a message's contact that may be over now.
///
/// # Errors
/// The database's, or the queue's.
pub async fn settle(app: &App, touch: &Touch) -> Result<(), AppError> {
    share::end_if_over(app, touch.campaign).await
}
