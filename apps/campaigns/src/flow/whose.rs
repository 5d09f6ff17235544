//! In whose name a message goes.
//!
//! A contact who has heard from a sender in this campaign hears from the same one again, by the same channel, as long as it
//! is among the campaign's and not paused, and waits for its cap and its breaker. Everybody else is shared evenly among the
//! senders that have messages left today. What was chosen when the message was made may not hold when its time comes: so a
//! message of which no provider was asked goes to another sender that may send now rather than wait, and nothing new goes
//! out in the name of one that is not among the campaign's any more.
//!
//! A message's job takes the limits of its sender. With the sender changes the job: the message names the one that sends it,
//! and the one before ends when it finds that.

use windlass::Time;

use super::{
    breakers, check, jobs,
    next::{self, Follow, Place},
};
use crate::{
    app::{App, AppError},
    channel::Channel,
    db::Tx,
    model::{
        campaign::Campaign,
        contact::Contact,
        sender::Sender,
        touch::{Reason, Touch, TouchStatus},
    },
    store::{providers, senders, touches, usage},
};

/// The sender of a message to be; none when the campaign has none for the channel.
pub(super) fn choose(
    tx: &mut Tx<'_>,
    campaign: &Campaign,
    contact: &Contact,
    channel: Channel,
    now: Time,
) -> Result<Option<Sender>, AppError> {
    let senders = in_turn(tx, campaign, contact, channel)?;
    let earlier = touches::of_enrolment(tx, campaign.id, contact.id)?;
    let heard = earlier.iter().rev().filter(|touch| touch.channel == channel && touch.sent_at.is_some());
    let known = heard.filter_map(|touch| touch.sender).next();
    if let Some(sender) = senders.iter().find(|sender| Some(sender.id) == known && !sender.paused) {
        return Ok(Some(sender.clone()));
    }
    for sender in &senders {
        if has_room(tx, sender, now)? {
            return Ok(Some(sender.clone()));
        }
    }
    Ok(senders.iter().find(|sender| !sender.paused).or(senders.first()).cloned())
}

/// Whether a message must not stay with its sender: it is paused, or not among the campaign's any more.
pub(super) fn must_change(tx: &mut Tx<'_>, touch: &Touch) -> Result<bool, AppError> {
    let senders = senders::of_campaign(tx, touch.campaign, touch.channel)?;
    Ok(!senders.iter().any(|sender| Some(sender.id) == touch.sender && !sender.paused))
}

/// Whether a message may go to another sender rather than wait for its own.
pub(super) fn may_change(tx: &mut Tx<'_>, touch: &Touch) -> Result<bool, AppError> {
    if touch.sends > 0 || touch.status == TouchStatus::Sending {
        return Ok(false);
    }
    let earlier = touches::of_enrolment(tx, touch.campaign, touch.contact)?;
    let heard = |before: &Touch| {
        before.channel == touch.channel && before.sender == touch.sender && before.sent_at.is_some()
    };
    Ok(!earlier.iter().any(heard))
}

/// Another sender of the campaign that may send at this moment.
pub(super) fn other(
    tx: &mut Tx<'_>,
    app: &App,
    place: &Place,
    touch: &Touch,
    now: Time,
) -> Result<Option<Sender>, AppError> {
    for sender in others(tx, place, touch)? {
        let Some(provider) = providers::get(tx, sender.provider)? else { continue };
        if has_room(tx, &sender, now)? && breakers::let_through(tx, app, &provider, &sender, now)? {
            return Ok(Some(sender));
        }
    }
    Ok(None)
}

/// The other senders of the campaign that are not paused, in the contact's turn.
pub(super) fn others(tx: &mut Tx<'_>, place: &Place, touch: &Touch) -> Result<Vec<Sender>, AppError> {
    let mut senders = in_turn(tx, &place.campaign, &place.contact, touch.channel)?;
    senders.retain(|sender| !sender.paused && Some(sender.id) != touch.sender);
    Ok(senders)
}

/// Gives a message to another sender, for now or with a place on its plan from `until` on; what is to be enqueued for it.
pub(super) fn hand_over(
    tx: &mut Tx<'_>,
    app: &App,
    touch: &Touch,
    to: &Sender,
    until: Option<Time>,
) -> Result<Follow, AppError> {
    let job = jobs::send_id_after(touch, app.clock().wall_at(touch.created_at));
    if !touches::hand_over(tx, touch.id, to.id, &job.to_string())? {
        return Err(AppError::Conflict("somebody else has taken this message up".to_owned()));
    }
    if let Some(until) = until {
        touches::defer(tx, touch.id, Reason::SenderCap, "", until)?;
    }
    let touch = touches::get(tx, touch.id)?.ok_or_else(|| AppError::unknown("touch", touch.id))?;
    next::sending(tx, touch)
}

/// The senders of a campaign for a channel, beginning with the one whose turn the contact is.
fn in_turn(
    tx: &mut Tx<'_>,
    campaign: &Campaign,
    contact: &Contact,
    channel: Channel,
) -> Result<Vec<Sender>, AppError> {
    let mut senders = senders::of_campaign(tx, campaign.id, channel)?;
    let first = usize::try_from(contact.id.0).unwrap_or(0) % senders.len().max(1);
    senders.rotate_left(first);
    Ok(senders)
}

/// Whether a sender has messages left today.
fn has_room(tx: &mut Tx<'_>, sender: &Sender, now: Time) -> Result<bool, AppError> {
    let used = usage::used(tx, usage::Of::Sender(sender.id), &check::day_of(&sender.time_zone, now))?;
    Ok(!sender.paused && used < i64::from(sender.cap_today))
}
