//! Pauses: of a contact, and how those of campaigns and senders end by themselves; and the end of one contact's sequence.
//!
//! A pause of a contact is a row, looked at again right before a provider is asked. Until then the messages that it holds
//! say so, and wait for its moment by themselves. Nothing is sent either while a person has not read what the contact wrote
//! ([`Hold::Review`]). Whatever ends a hold before its moment commits together with a job that has those messages look again.
//! A campaign or a sender that is paused until a moment has a job that is due then, so it goes on in whatever process lives.

use std::time::Duration;

use windlass::{JobError, Outcome, State, Time, core::State as Is};

use super::{
    again, failed,
    jobs::{self, EndPause, Paused, WakeContact},
    limits, share, verbs,
};
use crate::{
    app::{App, AppError},
    db::Tx,
    model::{
        CampaignId, ContactId, SenderId,
        campaign::{CampaignStatus, EnrolmentStatus, StopReason},
        contact::Contact,
        pause::{Hold, Pause},
        touch::Reason,
    },
    store::{audit, campaigns, contacts, enrolments, pauses, senders, touches},
};

/// The longest pause with an end: a queue keeps a job for ten years at most, and what is to rest longer rests without an end.
const LONGEST_MS: u64 = 5 * 366 * 86_400_000;
/// The longest reason, in characters: a sentence or two, which pages show in full.
const WHY_CHARS_MAX: usize = 500;
/// When a message that waits for a person looks again by itself. Whoever ends what it waits for wakes it, so this is for a
/// queue that has been emptied or brought back from a backup.
pub(super) const LOOK_AGAIN_MS: u64 = 24 * 3_600_000;
/// When to try again what could not be woken because it was just looking.
const AGAIN: Duration = Duration::from_secs(1);

/// A moment until which something may be paused.
///
/// # Errors
/// One that has passed, or that is too far away.
pub(super) fn checked(until: Option<Time>, now: Time) -> Result<Option<Time>, AppError> {
    match until {
        Some(until) if until <= now => {
            Err(AppError::invalid("until", format!("{until} has passed: name a moment to come")))
        }
        Some(until) if until.0 - now.0 > LONGEST_MS => Err(AppError::invalid(
            "until",
            "more than five years ahead: leave it out, and resume it when its time comes",
        )),
        other => Ok(other),
    }
}

/// What the log of changes says of a pause.
pub(super) fn told(until: Option<Time>, why: &str) -> String {
    match (until, why) {
        (Some(until), "") => format!("until {until}"),
        (Some(until), why) => format!("until {until}: {why}"),
        (None, why) => why.to_owned(),
    }
}

fn reasoned(why: &str) -> Result<String, AppError> {
    let why = why.trim();
    match why.chars().count() {
        0..=WHY_CHARS_MAX => Ok(why.to_owned()),
        _ => Err(AppError::invalid("reason", format!("at most {WHY_CHARS_MAX} characters"))),
    }
}

fn known(tx: &mut Tx<'_>, id: ContactId) -> Result<Contact, AppError> {
    contacts::get(tx, id)?.ok_or_else(|| AppError::unknown("contact", id))
}

/// Where a contact is paused, before what else the log of changes says.
fn placed(campaign: Option<CampaignId>, told: &str) -> String {
    let place = campaign.map_or("in everything".to_owned(), |id| format!("in campaign {id}"));
    if told.is_empty() { place } else { format!("{place}, {told}") }
}

/// Pauses a contact in that campaign, or in all of them, those to come as well: until that moment, or until a person lets
/// them go on. It takes the place of the pause that they have there.
///
/// # Errors
/// A contact or campaign that is none, or over; a moment that is no later one; the database's.
pub async fn pause(
    app: &App,
    contact: ContactId,
    campaign: Option<CampaignId>,
    until: Option<Time>,
    why: &str,
    who: &str,
) -> Result<(), AppError> {
    let now = app.now();
    let until = checked(until, now)?;
    let pause = Pause { campaign, until, why: reasoned(why)?, who: who.to_owned(), at: now };
    let wall = app.client().now();
    app.db()
        .write(move |tx| {
            if known(tx, contact)?.erased_at.is_some() {
                return Err(AppError::Conflict(format!("contact {contact} was erased")));
            }
            if let Some(id) = campaign {
                let status = campaigns::get(tx, id)?.ok_or_else(|| AppError::unknown("campaign", id))?.status;
                if matches!(status, CampaignStatus::Done | CampaignStatus::Cancelled) {
                    return Err(AppError::Conflict(format!(
                        "campaign {id} is {status}: nothing is left to pause"
                    )));
                }
            }
            pauses::set(tx, contact, &pause)?;
            tell(tx, contact, now)?;
            // A pause that takes the place of a longer one lets what waits for that look earlier.
            tx.enqueue(&[jobs::wake(contact).into_new_job(wall)?])?;
            let said = placed(campaign, &told(until, &pause.why));
            Ok(audit::note(tx, &pause.who, "pause contact", &contact.to_string(), &said, now)?)
        })
        .await
}

/// Ends a pause of a contact: of that campaign, or the one of everything. What else holds them goes on holding them.
///
/// # Errors
/// A contact that is none, or not paused there; the database's.
pub async fn resume(
    app: &App,
    contact: ContactId,
    campaign: Option<CampaignId>,
    who: &str,
) -> Result<(), AppError> {
    let (now, wall, who) = (app.now(), app.client().now(), who.to_owned());
    app.db()
        .write(move |tx| {
            known(tx, contact)?;
            if !pauses::remove(tx, contact, campaign, now)? {
                let place = placed(campaign, "");
                return Err(AppError::Conflict(format!("contact {contact} is not paused {place}")));
            }
            woken(tx, contact, now, wall)?;
            Ok(audit::note(tx, &who, "resume contact", &contact.to_string(), &placed(campaign, ""), now)?)
        })
        .await
}

/// Ends the sequence of a campaign for one contact: what waits for them is skipped. It says nothing of any other campaign.
///
/// # Errors
/// A contact who is not in that campaign, or whose sequence has ended; the database's, or the queue's.
pub async fn stop(
    app: &App,
    campaign: CampaignId,
    contact: ContactId,
    why: &str,
    who: &str,
) -> Result<(), AppError> {
    let (now, who, why) = (app.now(), who.to_owned(), reasoned(why)?);
    app.db()
        .write(move |tx| {
            known(tx, contact)?;
            campaigns::get(tx, campaign)?.ok_or_else(|| AppError::unknown("campaign", campaign))?;
            let enrolment = enrolments::get(tx, campaign, contact)?.ok_or_else(|| {
                AppError::Conflict(format!("contact {contact} is not in campaign {campaign}"))
            })?;
            let stopped = Some(StopReason::StoppedByPerson);
            let is_active = enrolment.status == EnrolmentStatus::Active;
            if !is_active || !enrolments::end(tx, campaign, contact, stopped, now)? {
                return Err(AppError::Conflict(format!(
                    "the sequence of campaign {campaign} has ended for contact {contact}"
                )));
            }
            touches::skip_all(tx, contact, Some(campaign), None, Reason::StoppedByPerson, now)?;
            let said = placed(Some(campaign), &why);
            Ok(audit::note(tx, &who, "end sequence of contact", &contact.to_string(), &said, now)?)
        })
        .await?;
    share::end_if_over(app, campaign).await
}

/// Has every message that waits for a contact say what holds it. It comes last in its transaction: whoever sends a message
/// takes the rows in the order account, message.
pub(super) fn tell(tx: &mut Tx<'_>, contact: ContactId, now: Time) -> Result<(), AppError> {
    for campaign in pauses::campaigns_waiting(tx, contact)? {
        if let Some(hold) = pauses::hold(tx, contact, campaign, now)? {
            let detail = hold.detail();
            touches::hold_contact(tx, contact, Some(campaign), hold.reason(), &detail, hold.until())?;
        }
    }
    Ok(())
}

/// Has what waits for a contact look again, as one thing that held it does no more.
pub(super) fn woken(tx: &mut Tx<'_>, contact: ContactId, now: Time, wall: Time) -> Result<(), AppError> {
    tell(tx, contact, now)?;
    Ok(tx.enqueue(&[jobs::wake(contact).into_new_job(wall)?])?)
}

/// What holds back a message to that contact.
pub(super) fn hold(
    tx: &mut Tx<'_>,
    contact: ContactId,
    campaign: CampaignId,
    now: Time,
) -> Result<Option<Hold>, AppError> {
    Ok(pauses::hold(tx, contact, campaign, now)?)
}

pub(super) async fn wake(job: WakeContact, State(app): State<App>) -> Result<Outcome, JobError> {
    let contact = job.contact;
    let held = app.db().read(move |tx| touches::jobs_of_held(tx, contact)).await;
    let held = held.map_err(|error| failed(error.into()))?;
    let was_busy = run_now(&app, &held).await.map_err(failed)?;
    // One that was just looking may have looked before the hold ended, and goes to sleep only now.
    Ok(if was_busy { Outcome::snooze(AGAIN, "a message was just looking by itself") } else { Outcome::Done })
}

/// Has jobs that wait for a time run now; whether one of them was running.
pub(super) async fn run_now(app: &App, jobs: &[String]) -> Result<bool, AppError> {
    let mut was_busy = false;
    for job in jobs {
        let Ok(job) = job.parse() else { continue };
        match app.client().run_now(job).await {
            Ok(()) => {}
            // It runs, or it waits for something else by now, or for nothing.
            Err(windlass::Error::Rejected(_)) => {
                let found = app.client().get(job).await?;
                was_busy |= found.is_some_and(|found| found.view.state == Is::Running);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(was_busy)
}

pub(super) async fn end(job: EndPause, State(app): State<App>) -> Result<Outcome, JobError> {
    let lasts = match job.of {
        Paused::Campaign(id) => end_campaign(&app, id).await,
        Paused::Sender(id) => end_sender(&app, id).await,
    };
    let Some(until) = lasts.map_err(failed)? else { return Ok(Outcome::Done) };
    // It was made longer, or this process has a clock that is behind that of whoever paused it.
    let due = app.clock().wall_at(until);
    let delay = Duration::from_millis(due.0.saturating_sub(app.client().now().0).max(1));
    Ok(Outcome::snooze(delay, "the pause lasts longer"))
}

/// Ends every pause of a campaign or a sender that is over.
pub(super) async fn end_all(app: &App) -> Result<(), AppError> {
    let now = app.now();
    let over = move |tx: &mut Tx<'_>| {
        Ok::<_, AppError>((campaigns::pauses_over(tx, now)?, senders::pauses_over(tx, now)?))
    };
    let (campaigns, senders) = app.db().read(over).await?;
    for id in campaigns {
        end_campaign(app, id).await?;
    }
    for id in senders {
        end_sender(app, id).await?;
    }
    Ok(())
}

/// Lets a campaign go on whose pause is over; until when it lasts, if it is not.
///
/// Whoever was killed between the change and its word to the queue comes here again, so the queue is told in any case.
async fn end_campaign(app: &App, id: CampaignId) -> Result<Option<Time>, AppError> {
    let now = app.now();
    let campaign = app
        .db()
        .write(move |tx| {
            let Some(campaign) = campaigns::get(tx, id)? else { return Ok(None) };
            let is_over = campaign.paused_until.is_some_and(|until| until <= now);
            let to = verbs::resumed(&campaign, now);
            if is_over && campaigns::change(tx, id, CampaignStatus::Paused, to, now)? {
                audit::note(tx, "windlass", "resume campaign", &id.to_string(), "its pause is over", now)?;
                return Ok(campaigns::get(tx, id)?);
            }
            Ok::<_, AppError>(Some(campaign))
        })
        .await?;
    let Some(campaign) = campaign else { return Ok(None) };
    share::set(app, campaign.user).await?;
    Ok(campaign.paused_until)
}

/// The same of a sender.
async fn end_sender(app: &App, id: SenderId) -> Result<Option<Time>, AppError> {
    let (now, inner) = (app.now(), app.clone());
    let sender = app
        .db()
        .write(move |tx| {
            if senders::end_pause(tx, id, now)? {
                audit::note(tx, "windlass", "resume sender", &id.to_string(), "its pause is over", now)?;
            }
            let Some(sender) = senders::get(tx, id)? else { return Ok(None) };
            // Also where an earlier attempt has ended the pause, and was killed before it asked.
            again::at_sender(tx, &inner, id)?;
            Ok::<_, AppError>(Some(sender))
        })
        .await?;
    let Some(sender) = sender else { return Ok(None) };
    limits::set_as_stored(app, id).await?;
    Ok(sender.paused_until)
}
