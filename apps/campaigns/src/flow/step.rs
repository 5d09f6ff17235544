//! One step of a sequence for one contact: whether it is taken, by which channel, and when.
//!
//! The message's job commits with the step's completion, under an id that follows from the message: there is exactly one,
//! whatever is killed in between.

use windlass::{Ctx, JobError, Outcome, State, Time, core::store::Hold};

use super::{
    check, colleagues, failed,
    jobs::TakeStep,
    lead,
    next::{self, Follow, Place},
};
use crate::{
    app::{App, AppError},
    db::Tx,
    model::{
        campaign::{CampaignStatus, Condition, EnrolmentStatus, StopReason},
        touch::{EventKind, Reason, Touch, TouchStatus},
    },
    store::{enrolments::Enrolment, events, touches},
};

pub(super) async fn take(job: TakeStep, State(app): State<App>, cx: Ctx) -> Result<Outcome, JobError> {
    if let Some(pause) = lead::holds(&app, &cx).await.map_err(failed)? {
        return Ok(Outcome::rate_limited(pause, Hold::Group));
    }
    let (now, inner) = (app.now(), app.clone());
    match app.db().write(move |tx| decide(tx, &inner, &job, now)).await.map_err(failed)? {
        Taken::NotBefore(due) => Ok(super::asleep(&app, due, "the step is due later")),
        Taken::Over(follows) => {
            super::follow(&app, &cx, follows).await?;
            Ok(Outcome::Done)
        }
    }
}

/// What is done with the job.
enum Taken {
    /// The step is due then: its delay is a longer one by now, or fewer are due on a day.
    NotBefore(Time),
    /// What follows.
    Over(Vec<Follow>),
}

fn decide(tx: &mut Tx<'_>, app: &App, job: &TakeStep, now: Time) -> Result<Taken, AppError> {
    let place = Place::of(tx, job.campaign, job.contact)?;
    let Enrolment { status, version, step, next_at, .. } = place.enrolment;
    // Whoever moves to another version with a message made goes on with it, though whoever made it was killed before its job.
    let is_theirs =
        (version, step) == (job.version, job.step) || (job.version < version && has_message(tx, &place)?);
    if status != EnrolmentStatus::Active || !is_theirs {
        return Ok(Taken::Over(vec![Follow::Ended(job.campaign)]));
    }
    match next_at.filter(|due| place.campaign.status.is_live() && *due > now) {
        Some(due) => Ok(Taken::NotBefore(due)),
        None => step_of(tx, app, &place, now).map(Taken::Over),
    }
}

/// Whether the message of the step is made that is before the contact.
fn has_message(tx: &mut Tx<'_>, place: &Place) -> Result<bool, AppError> {
    let Ok(step) = place.step(place.enrolment.step) else { return Ok(false) };
    let made = touches::of_enrolment(tx, place.campaign.id, place.contact.id)?;
    Ok(made.iter().any(|touch| touch.step_key == step.key))
}

/// Takes the step that is before the contact.
fn step_of(tx: &mut Tx<'_>, app: &App, place: &Place, now: Time) -> Result<Vec<Follow>, AppError> {
    let number = place.enrolment.step;
    if matches!(place.campaign.status, CampaignStatus::Cancelled | CampaignStatus::Done) {
        return next::end(tx, place, Some(StopReason::CampaignCancelled), now);
    }
    if place.contact.erased_at.is_some() {
        return next::end(tx, place, Some(StopReason::Erased), now);
    }
    if let Some(reason) = check::why_stopped(tx, place)? {
        return next::end(tx, place, Some(reason), now);
    }
    if colleagues::who_stops(tx, place)?.is_some() {
        return next::end(tx, place, Some(StopReason::ColleagueAnswered), now);
    }
    if place.is_past_the_end(number) {
        // The sequence has become shorter since the step was asked for.
        return next::end(tx, place, None, now);
    }
    let step = place.step(number)?;
    let opened = next::open(tx, app, place, number, step.channel, now)?;
    let Follow::Send { touch, .. } = &opened else { return Ok(vec![opened]) };
    if !touch.status.is_final() && !holds(tx, place, number, step.condition)? {
        next::skip(tx, touch, Reason::ConditionNotMet, "", now)?;
        return next::step_after(tx, place, number, now, now);
    }
    if touch.status.is_final() {
        return next::after(tx, app, touch, now);
    }
    Ok(vec![opened])
}

/// Whether a step's condition holds.
fn holds(tx: &mut Tx<'_>, place: &Place, number: u32, condition: Condition) -> Result<bool, AppError> {
    let (campaign, contact) = (place.campaign.id, place.contact.id);
    let mut known = |kind| events::is_known(tx, campaign, contact, kind);
    Ok(match condition {
        Condition::Always => true,
        Condition::NotReplied => !known(EventKind::Replied)?,
        Condition::Opened => known(EventKind::Opened)?,
        Condition::NotOpened => !known(EventKind::Opened)?,
        Condition::Clicked => known(EventKind::Clicked)?,
        Condition::NotClicked => !known(EventKind::Clicked)?,
        Condition::NotDelivered => {
            let had = touches::of_enrolment(tx, campaign, contact)?;
            // The step before is the last one that they have had of those before: one that was put there later they have not.
            let place_of = |touch: &Touch| place.number_of(touch.step_key).filter(|nth| *nth < number);
            let before = had.iter().filter_map(place_of).max();
            let is_it = |touch: &&Touch| before.is_some() && place.number_of(touch.step_key) == before;
            !had.iter().filter(is_it).any(|touch| touch.status == TouchStatus::Delivered)
        }
    })
}
