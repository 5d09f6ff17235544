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
        touch::{EventKind, Reason, TouchStatus},
    },
    store::{events, touches},
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
    let enrolment = &place.enrolment;
    let waits = enrolment.status == EnrolmentStatus::Active
        && enrolment.step == job.step
        && place.campaign.status.is_live();
    match enrolment.next_at.filter(|due| waits && *due > now) {
        Some(due) => Ok(Taken::NotBefore(due)),
        None => follows(tx, app, &place, job, now).map(Taken::Over),
    }
}

fn follows(
    tx: &mut Tx<'_>,
    app: &App,
    place: &Place,
    job: &TakeStep,
    now: Time,
) -> Result<Vec<Follow>, AppError> {
    let enrolment = &place.enrolment;
    if enrolment.status != EnrolmentStatus::Active || enrolment.step != job.step {
        return Ok(vec![Follow::Ended(job.campaign)]);
    }
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
    if place.is_past_the_end(job.step) {
        // The sequence has become shorter since the step was asked for.
        return next::end(tx, place, None, now);
    }
    let step = place.step(job.step)?;
    let opened = next::open(tx, app, place, job.step, step.channel, now)?;
    let Follow::Send { touch, .. } = &opened else { return Ok(vec![opened]) };
    if !touch.status.is_final() && !holds(tx, place, job.step, step.condition)? {
        next::skip(tx, touch, Reason::ConditionNotMet, "", now)?;
        return next::step_after(tx, place, job.step, now, now);
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
            let before = touches::of_enrolment(tx, campaign, contact)?;
            !before.iter().any(|touch| touch.step + 1 == number && touch.status == TouchStatus::Delivered)
        }
    })
}
