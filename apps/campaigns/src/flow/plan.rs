//! The plan of the days to come: a message is counted against the caps of the day, or has a place on a day with room.
//!
//! A plan counts the messages that come back on each day, so that what waits for a cap comes back once, on the first day
//! with room, and not all of it every day. Of a sender that warms up, a day to come has as much room as its curve gives it if
//! all goes well. If it does not, the day's cap is what holds, and what is above it is planned anew. The caps of campaign and
//! sender are here; [`caps`] has the others.

use std::collections::BTreeMap;

use windlass::Time;

use super::{
    caps,
    check::{day_of, days_later},
    next::Place,
    warm_up,
};
use crate::{
    app::AppError,
    db::Tx,
    model::{
        campaign::Campaign,
        sender::Sender,
        touch::{Reason, Touch, TouchStatus},
    },
    store::{senders, touches, usage},
};

/// How far ahead a message is planned whose caps are used up; beyond it the plan is made again.
const PLANNED_DAYS: u32 = 400;

/// Whether there is room for a message.
pub(super) enum Room {
    /// There is, and it is taken.
    Taken,
    /// Not today: for that reason the message has a place on the plan of the day that begins then.
    OnAnotherDay(Reason, Time),
    /// The sender, as it is now, has none today.
    NotOfSender(Sender),
}

/// Counts a message against all caps, where all have room.
pub(super) fn take(
    tx: &mut Tx<'_>,
    place: &Place,
    touch: &Touch,
    sender: &Sender,
    now: Time,
) -> Result<Room, AppError> {
    let campaign = &place.campaign;
    let zone = campaign.policy.zone.name();
    let day_here = day_of(zone, now);
    let give_back = |tx: &mut Tx<'_>, campaign: &Campaign| match campaign.daily_cap {
        Some(_) => usage::give_back(tx, usage::Of::Campaign(campaign.id), &day_here),
        None => Ok(()),
    };
    if let Some(cap) = campaign.daily_cap
        && !usage::take(tx, usage::Of::Campaign(campaign.id), &day_here, cap)?
    {
        let until = day(tx, usage::Of::CampaignPlan(campaign.id), cap, zone, now)?;
        return Ok(Room::OnAnotherDay(Reason::CampaignCap, until));
    }
    if let Some(sender) = take_of_sender(tx, sender, now)? {
        give_back(tx, campaign)?;
        return Ok(Room::NotOfSender(sender));
    }
    if let Some((reason, until)) = caps::take(tx, place, touch, now)? {
        give_back(tx, campaign)?;
        usage::give_back(tx, usage::Of::Sender(sender.id), &day_of(&sender.time_zone, now))?;
        return Ok(Room::OnAnotherDay(reason, until));
    }
    Ok(Room::Taken)
}

/// Counts a message against the cap of its sender; the sender as it is, when that is used up.
fn take_of_sender(tx: &mut Tx<'_>, sender: &Sender, now: Time) -> Result<Option<Sender>, AppError> {
    let (of, day) = (usage::Of::Sender(sender.id), day_of(&sender.time_zone, now));
    if usage::take(tx, of, &day, sender.cap_today)? {
        return Ok(None);
    }
    // A message may come before the job that ends the day before, whose cap it would then be told.
    let grown = warm_up::settle(tx, sender, now)?;
    if grown.cap_today > sender.cap_today && usage::take(tx, of, &day, grown.cap_today)? {
        return Ok(None);
    }
    Ok(Some(grown))
}

/// The beginning of the first day to come on which one of the senders has room, with a place on its plan taken: of several,
/// that of the one that stands first.
pub(super) fn day_of_senders<'a>(
    tx: &mut Tx<'_>,
    senders: &'a [Sender],
    now: Time,
) -> Result<(&'a Sender, Time), AppError> {
    for days in 1..PLANNED_DAYS {
        for sender in senders {
            let begin = days_later(&sender.time_zone, now, days);
            let (of, day) = (usage::Of::SenderPlan(sender.id), day_of(&sender.time_zone, begin));
            if usage::take(tx, of, &day, sender.cap_in(days).max(1))? {
                return Ok((sender, begin));
            }
        }
    }
    let first = senders.first().ok_or_else(|| AppError::unknown("sender", "of a message"))?;
    Ok((first, days_later(&first.time_zone, now, PLANNED_DAYS)))
}

/// The beginning of the first day to come that has room in a plan, with a place on it taken.
pub(super) fn day(
    tx: &mut Tx<'_>,
    of: usage::Of<'_>,
    cap: u32,
    zone: &str,
    now: Time,
) -> Result<Time, AppError> {
    for days in 1..PLANNED_DAYS {
        let begin = days_later(zone, now, days);
        if usage::take(tx, of, &day_of(zone, begin), cap)? {
            return Ok(begin);
        }
    }
    Ok(days_later(zone, now, PLANNED_DAYS))
}

/// Gives back a message's place on a day to come: it is asked before that day, so somebody has changed what it waits for.
pub(super) fn leave(tx: &mut Tx<'_>, place: &Place, touch: &Touch, now: Time) -> Result<(), AppError> {
    let Some(until) = touch.until.filter(|until| *until > now) else { return Ok(()) };
    match (touch.status, touch.reason, touch.sender) {
        (TouchStatus::Deferred, Some(Reason::CampaignCap), _) => {
            let day = day_of(place.campaign.policy.zone.name(), until);
            usage::give_back(tx, usage::Of::CampaignPlan(touch.campaign), &day)?;
        }
        (TouchStatus::Deferred, Some(Reason::SenderCap), Some(id)) => {
            if let Some(sender) = senders::get(tx, id)? {
                let day = day_of(&sender.time_zone, until);
                usage::give_back(tx, usage::Of::SenderPlan(id), &day)?;
            }
        }
        (TouchStatus::Deferred, Some(reason), _) => caps::leave_plan(tx, place, touch, reason, until)?,
        _ => {}
    }
    Ok(())
}

/// Counts the plan of a sender anew, by the messages that wait for it: what was skipped meanwhile, with its campaign or its
/// contact's sequence, has left its place.
pub(super) fn count_again(tx: &mut Tx<'_>, sender: &Sender, now: Time) -> Result<(), AppError> {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for until in touches::waits_for_cap_of(tx, sender.id)? {
        *counts.entry(day_of(&sender.time_zone, until)).or_default() += 1;
    }
    let today = day_of(&sender.time_zone, now);
    Ok(usage::replace_after(tx, usage::Of::SenderPlan(sender.id), &today, &counts)?)
}
