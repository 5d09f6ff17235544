//! What follows when a provider that has taken a message says that it did not arrive.
//!
//! By then the step is over: the next one is planned, or the sequence has come to its end. A text to a phone that is off, or
//! a call that nobody answered, is tried again where the table of errors says so; what came back for good goes by the step's
//! other channel, if it has one. Both only while the contact is not further on than the next step; a campaign that was over a
//! moment ago goes on for it. Like every other message it is checked once more before it goes out.
//!
//! Mail is not tried again: the server that gave it up has tried for days.

use windlass::Time;

use super::{
    jobs,
    next::{self, Follow, Place},
};
use crate::{
    app::{App, AppError},
    channel::{Channel, rules::Action},
    db::Tx,
    model::{
        campaign::{CampaignStatus, EnrolmentStatus},
        touch::{EventKind, Reason, Touch},
    },
    store::{campaigns, enrolments, events, touches},
};

/// Tries of a message that its provider takes and does not bring: the third is the last.
const TRIES_MAX: u64 = 3;
/// Before the second try; twice that before the third. A phone that was off is on in an hour, or a line is free.
const AGAIN_MS: u64 = 3_600_000;

/// How long after its end a campaign goes on for a message that did not arrive: mail servers give up after five days.
const REOPENED_MS: u64 = 7 * 24 * 3_600_000;

/// Plans another try, where the table of errors wants one; false when there is none.
pub(super) fn is_tried_again(
    tx: &mut Tx<'_>,
    app: &App,
    touch: &Touch,
    action: Action,
    why: &str,
    now: Time,
) -> Result<bool, AppError> {
    let is_temporary = match action {
        Action::Retry | Action::SlowSender | Action::SlowProvider | Action::SlowDomain => true,
        Action::Fail | Action::Suppress | Action::OpenBreaker | Action::Brake => false,
    };
    if !is_temporary || touch.channel == Channel::Email {
        return Ok(false);
    }
    let all = events::of_touch(tx, touch.id)?;
    let tries =
        all.iter().filter(|one| matches!(one.kind, EventKind::Bounced | EventKind::Failed)).count() as u64;
    if tries >= TRIES_MAX {
        return Ok(false);
    }
    let Some(place) = gone_back_to(tx, touch, now)? else { return Ok(false) };
    let until = now.plus_ms(AGAIN_MS * tries.max(1));
    // A try that came behind the next step would say things in the wrong order.
    let is_too_late = place.number_of(touch.step_key).is_none_or(|number| {
        place.enrolment.step > number && place.enrolment.next_at.is_none_or(|next| next <= until)
    });
    if is_too_late {
        return Ok(false);
    }
    touches::try_again(tx, touch.id, Reason::TriedAgain, why, until)?;
    let touch = touches::get(tx, touch.id)?.ok_or_else(|| AppError::unknown("touch", touch.id))?;
    let job = jobs::again_id(&touch, app.clock().wall_at(place.named_at()));
    touches::set_job(tx, touch.id, &job.to_string())?;
    let limits = next::limits_of(tx, &touch)?;
    let send = Follow::Send { touch: Box::new(touch), due: Some(until), limits };
    enqueue(tx, app, &send, Some(job))?;
    Ok(true)
}

/// Makes the message of the step's other channel; false when there is none that could go out. Whoever is further on has been
/// reached otherwise since, and needs none.
pub(super) fn falls_back(tx: &mut Tx<'_>, app: &App, touch: &Touch, now: Time) -> Result<bool, AppError> {
    let place = Place::of(tx, touch.campaign, touch.contact)?;
    let Some(number) = place.number_of(touch.step_key) else { return Ok(false) };
    let step = place.step(number)?;
    let fallback = step.fallback.as_ref().filter(|_| touch.channel == step.channel);
    let Some(channel) = fallback.map(|fallback| fallback.channel) else { return Ok(false) };
    let is_further_on =
        place.enrolment.status == EnrolmentStatus::Active && place.enrolment.step > number + 1;
    let Some(place) = gone_back_to(tx, touch, now)? else { return Ok(is_further_on) };
    let follow = next::open(tx, app, &place, number, channel, now)?;
    if matches!(&follow, Follow::Send { touch, .. } if touch.status.is_final()) {
        if place.enrolment.status == EnrolmentStatus::Done {
            enrolments::end(tx, touch.campaign, touch.contact, None, now)?;
        }
        return Ok(false);
    }
    enqueue(tx, app, &follow, None)?;
    Ok(true)
}

/// The place of a contact for whom something of that step can still be done. One who has come to the end is under way again:
/// the campaign waits for what comes of it.
fn gone_back_to(tx: &mut Tx<'_>, touch: &Touch, now: Time) -> Result<Option<Place>, AppError> {
    let mut place = Place::of(tx, touch.campaign, touch.contact)?;
    if place.campaign.status == CampaignStatus::Done
        && place.enrolment.status == EnrolmentStatus::Done
        && campaigns::reopen(tx, touch.campaign, now.minus_ms(REOPENED_MS))?
    {
        place = Place::of(tx, touch.campaign, touch.contact)?;
    }
    if !matches!(place.campaign.status, CampaignStatus::Running | CampaignStatus::Paused) {
        return Ok(None);
    }
    let Some(number) = place.number_of(touch.step_key) else { return Ok(None) };
    let is_there = match place.enrolment.status {
        EnrolmentStatus::Active => place.enrolment.step <= number + 1,
        EnrolmentStatus::Done => {
            place.enrolment.step == number && enrolments::reopen(tx, touch.campaign, touch.contact, now)?
        }
        EnrolmentStatus::Stopped => false,
    };
    Ok(is_there.then_some(place))
}

fn enqueue(tx: &mut Tx<'_>, app: &App, follow: &Follow, id: Option<windlass::JobId>) -> Result<(), AppError> {
    let Some(draft) = follow.draft(app) else { return Ok(()) };
    let draft = match id {
        Some(id) => draft.id(id),
        None => draft,
    };
    Ok(tx.enqueue(&[draft.into_new_job(app.client().now())?])?)
}
