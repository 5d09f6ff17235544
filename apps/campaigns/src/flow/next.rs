//! What follows from a message that has come to its end: another channel for the same step, the next step, or the end of
//! the sequence.
//!
//! It is asked again when a job runs a second time, and then gives the same answer: what is moved on already is not moved
//! on again, and what follows has an id that follows from the row.

use windlass::{Draft, Time};

use super::{check, jobs, limits, pauses, whose};
use crate::{
    app::{App, AppError},
    channel::Channel,
    db::Tx,
    model::{
        CampaignId, ContactId,
        campaign::{Campaign, EnrolmentStatus, Step, StopReason},
        contact::Contact,
        sequence,
        touch::{EventKind, Reason, Touch, TouchStatus},
    },
    store::{
        campaigns, contacts,
        enrolments::{self, Enrolment},
        events, providers,
        reviews::{self, ReviewKind},
        senders, suppressions,
        touches::{self, NewTouch},
    },
    variants::choice::{For, choose},
    window,
};

/// A job that follows.
#[derive(Clone, Debug)]
pub(super) enum Follow {
    /// The next step of a contact, by its version and its number there, due then.
    Step { campaign: CampaignId, contact: ContactId, step: (u32, u32), due: Time, named_at: Time },
    /// A message, not before then, within these limits.
    Send { touch: Box<Touch>, due: Option<Time>, limits: Vec<String> },
    /// A look at what has become of a message.
    Watch { touch: Box<Touch>, due: Time },
    /// The sequence is over for the contact, and perhaps the campaign.
    Ended(CampaignId),
}

impl Follow {
    /// The job, if it is one.
    pub(super) fn draft(&self, app: &App) -> Option<Draft> {
        let (clock, sharing) = (app.clock(), app.sharing());
        match self {
            Follow::Step { campaign, contact, step, due, named_at } => {
                let draft = jobs::step(sharing, *campaign, *contact, *step, clock.wall_at(*named_at));
                Some(draft.run_at(clock.wall_at(*due)))
            }
            Follow::Send { touch, due, limits } => {
                let mut draft = jobs::send(sharing, touch, clock.wall_at(touch.created_at));
                for limit in limits {
                    draft = draft.limit(limit, 1);
                }
                Some(match due {
                    Some(due) => draft.run_at(clock.wall_at(*due)),
                    None => draft,
                })
            }
            Follow::Watch { touch, due } => {
                let draft = jobs::watch(sharing, touch, clock.wall_at(touch.created_at));
                Some(draft.run_at(clock.wall_at(*due)))
            }
            Follow::Ended(_) => None,
        }
    }
}

/// What a contact's step is about.
pub(super) struct Place {
    pub(super) campaign: Campaign,
    pub(super) contact: Contact,
    pub(super) enrolment: Enrolment,
    pub(super) steps: Vec<Step>,
}

impl Place {
    pub(super) fn of(tx: &mut Tx<'_>, campaign: CampaignId, contact: ContactId) -> Result<Self, AppError> {
        let found = campaigns::get(tx, campaign)?.ok_or_else(|| AppError::unknown("campaign", campaign))?;
        let enrolment = enrolments::get(tx, campaign, contact)?
            .ok_or_else(|| AppError::unknown("enrolment", format!("{campaign}:{contact}")))?;
        let person = contacts::get(tx, contact)?.ok_or_else(|| AppError::unknown("contact", contact))?;
        let steps = campaigns::steps(tx, campaign, enrolment.version)?;
        Ok(Self { campaign: found, contact: person, enrolment, steps })
    }

    /// Whether the sequence has no step of that number.
    pub(super) fn is_past_the_end(&self, number: u32) -> bool {
        usize::try_from(number).unwrap_or(usize::MAX) > self.steps.len()
    }

    /// A step by its number, from 1.
    pub(super) fn step(&self, number: u32) -> Result<&Step, AppError> {
        let at = usize::try_from(number).unwrap_or(usize::MAX).wrapping_sub(1);
        self.steps.get(at).ok_or_else(|| AppError::unknown("step", number))
    }

    /// The number of the step of that key, if the contact's version has it.
    pub(super) fn number_of(&self, key: u32) -> Option<u32> {
        sequence::number_of(&self.steps, key)
    }

    /// From when the steps are counted.
    pub(super) fn named_at(&self) -> Time {
        self.campaign.launched_at.unwrap_or(self.campaign.created_at)
    }
}

/// Whether another channel may do what this one could not.
fn is_unreachable(touch: &Touch) -> bool {
    let not_by_this_channel = matches!(
        touch.reason,
        Some(
            Reason::NoAddress
                | Reason::NoConsent
                | Reason::NoSender
                | Reason::NoZone
                | Reason::NeverOpen
                | Reason::Suppressed
                | Reason::Refused
                | Reason::ProviderBusy
                | Reason::MissingVariable
        )
    );
    let is_over = matches!(touch.status, TouchStatus::Bounced | TouchStatus::Failed | TouchStatus::Skipped);
    is_over && not_by_this_channel
}

/// What follows from a message that has come to its end.
pub(super) fn after(tx: &mut Tx<'_>, app: &App, touch: &Touch, now: Time) -> Result<Vec<Follow>, AppError> {
    let place = Place::of(tx, touch.campaign, touch.contact)?;
    if place.enrolment.status != EnrolmentStatus::Active {
        return Ok(vec![Follow::Ended(touch.campaign)]);
    }
    let Some(number) = place.number_of(touch.step_key) else {
        // The contact's version has no such step any more: they go on from where they were moved to.
        return Ok(Vec::new());
    };
    let step = place.step(number)?;
    let stops = place.campaign.stop_rules.bounce && touch.status == TouchStatus::Bounced;
    if is_unreachable(touch)
        && touch.channel == step.channel
        && let Some(fallback) = &step.fallback
    {
        let other = open(tx, app, &place, number, fallback.channel, now)?;
        return match other {
            Follow::Send { touch: other, .. } if other.status.is_final() => {
                if stops && !other.status.was_sent() {
                    return end(tx, &place, Some(StopReason::Bounced), now);
                }
                after(tx, app, &other, now)
            }
            other => Ok(vec![other]),
        };
    }
    if stops {
        return end(tx, &place, Some(StopReason::Bounced), now);
    }
    step_after(tx, &place, number, touch.sent_at.or(touch.ended_at).unwrap_or(now), now)
}

/// The step after that one, counted from `base`; the end of the sequence when there is none.
pub(super) fn step_after(
    tx: &mut Tx<'_>,
    place: &Place,
    number: u32,
    base: Time,
    now: Time,
) -> Result<Vec<Follow>, AppError> {
    let (campaign, contact, version) = (place.campaign.id, place.contact.id, place.enrolment.version);
    let Some(next) = next_of(tx, place, number)? else {
        let is_there = place.enrolment.step == number;
        return if is_there { end(tx, place, None, now) } else { Ok(Vec::new()) };
    };
    let due = if place.enrolment.step == number {
        let recipient = check::recipient(&place.contact);
        let delay = place.step(next)?.delay;
        let due = delay.due(base, &place.campaign.policy, &recipient).unwrap_or(base);
        enrolments::advance(tx, campaign, contact, (version, next), due, now)?;
        due
    } else if place.enrolment.step == next {
        place.enrolment.next_at.unwrap_or(now)
    } else {
        // The contact is further on: nothing of this message follows any more.
        return Ok(Vec::new());
    };
    let step = (version, next);
    Ok(vec![Follow::Step { campaign, contact, step, due, named_at: place.named_at() }])
}

/// The number of the step that follows on that one: the first one behind it that the contact has not had.
fn next_of(tx: &mut Tx<'_>, place: &Place, number: u32) -> Result<Option<u32>, AppError> {
    // By the version of the launch nobody has had what lies before them.
    let touches = match place.enrolment.version {
        1 => Vec::new(),
        _ => touches::of_enrolment(tx, place.campaign.id, place.contact.id)?,
    };
    let had: Vec<u32> = touches.iter().map(|touch| touch.step_key).collect();
    Ok(sequence::behind(&place.steps, number, &had))
}

/// The end of the sequence for a contact: stopped for that reason, or without one at its own end.
pub(super) fn end(
    tx: &mut Tx<'_>,
    place: &Place,
    stopped: Option<StopReason>,
    now: Time,
) -> Result<Vec<Follow>, AppError> {
    enrolments::end(tx, place.campaign.id, place.contact.id, stopped, now)?;
    Ok(vec![Follow::Ended(place.campaign.id)])
}

/// Makes the message of a step by that channel: it is to be sent, waits for its window, or is skipped with the reason.
pub(super) fn open(
    tx: &mut Tx<'_>,
    app: &App,
    place: &Place,
    number: u32,
    channel: Channel,
    now: Time,
) -> Result<Follow, AppError> {
    let Place { campaign, contact, enrolment, .. } = place;
    let step = place.step(number)?;
    let whose = For { campaign: campaign.id, step: step.key, contact: contact.id };
    let said = choose(step, channel, whose)
        .ok_or_else(|| AppError::unknown("text of step", format!("{number} by {channel}")))?;
    let address = contact.address(channel).unwrap_or_default().to_owned();
    let sender = whose::choose(tx, campaign, contact, channel, now)?;
    let new = NewTouch {
        campaign: campaign.id,
        contact: contact.id,
        step: number,
        step_key: step.key,
        channel,
        version: enrolment.version,
        template: said.template,
        variant: said.variant,
        address,
        sender: sender.as_ref().map(|sender| sender.id),
    };
    let touch = touches::ensure(tx, &new, now)?;
    if touch.job.is_empty() {
        let job = jobs::send_id(&touch, app.clock().wall_at(touch.created_at));
        touches::set_job(tx, touch.id, &job.to_string())?;
    }
    let mut due = touch.until;
    if touch.status == TouchStatus::Queued {
        let reachable = reachable(tx, app, campaign, contact, channel, touch.sender.is_some())?;
        if let Err(reason) = reachable {
            skip(tx, &touch, reason, "", now)?;
        } else if let Some(hold) = pauses::hold(tx, contact.id, campaign.id, now)? {
            touches::defer(tx, touch.id, hold.reason(), &hold.detail(), hold.until())?;
            due = hold.until();
        } else {
            match window::look(
                &campaign.policy,
                &*app.hours().fresh(tx)?,
                &check::recipient(contact),
                channel,
                now,
            ) {
                window::Verdict::Open { .. } => {
                    // The queue holds its job in its place; what is written is why.
                    if let Some(paused) = sender.filter(|sender| sender.paused) {
                        touches::defer(tx, touch.id, Reason::SenderPaused, &paused.pause_reason, now)?;
                    }
                }
                window::Verdict::Closed { until: Some(until), reason, .. } => {
                    touches::defer(tx, touch.id, check::reason_of(&reason), "", until)?;
                    due = Some(until);
                }
                window::Verdict::Closed { until: None, reason, .. } => {
                    skip(tx, &touch, check::never(&reason), "", now)?;
                }
            }
        }
    }
    let touch = touches::get(tx, touch.id)?.ok_or_else(|| AppError::unknown("touch", touch.id))?;
    let limits = limits_of(tx, &touch)?;
    Ok(Follow::Send { touch: Box::new(touch), due, limits })
}

/// The job of a message as it stands.
pub(super) fn sending(tx: &mut Tx<'_>, touch: Touch) -> Result<Follow, AppError> {
    let limits = limits_of(tx, &touch)?;
    let due = touch.until.filter(|_| touch.status == TouchStatus::Deferred);
    Ok(Follow::Send { touch: Box::new(touch), due, limits })
}

/// Decides that a message is not sent, and writes down why.
pub(super) fn skip(
    tx: &mut Tx<'_>,
    touch: &Touch,
    reason: Reason,
    detail: &str,
    now: Time,
) -> Result<(), AppError> {
    if touches::skip(tx, touch.id, reason, detail, now)? {
        events::note(tx, touch, EventKind::Skipped, "worker", reason.said(), None, now)?;
    }
    Ok(())
}

/// Ends a message of which nobody knows whether it was sent, and asks a person about a call; what follows from it.
pub(super) fn unknown(
    tx: &mut Tx<'_>,
    app: &App,
    touch: &Touch,
    reason: Reason,
    detail: &str,
    now: Time,
) -> Result<Vec<Follow>, AppError> {
    if touches::fail(tx, touch.id, TouchStatus::Unknown, Some(reason), detail, now)? {
        events::note(tx, touch, EventKind::Unknown, "worker", detail, None, now)?;
        if touch.channel == Channel::Voicemail {
            let about = (Some(touch.id), Some(touch.contact), touch.channel);
            reviews::open(tx, ReviewKind::UnknownCall, about, "", &reviews::of_call(touch.id), now)?;
        }
    }
    let touch = touches::get(tx, touch.id)?.ok_or_else(|| AppError::unknown("touch", touch.id))?;
    after(tx, app, &touch, now)
}

/// Whether that contact may be reached by that channel at all.
pub(super) fn reachable(
    tx: &mut Tx<'_>,
    app: &App,
    campaign: &Campaign,
    contact: &Contact,
    channel: Channel,
    has_sender: bool,
) -> Result<Result<(), Reason>, AppError> {
    if contact.erased_at.is_some() {
        return Ok(Err(Reason::Erased));
    }
    let Some(address) = contact.address(channel) else { return Ok(Err(Reason::NoAddress)) };
    if is_suppressed(tx, app, campaign, channel, address)? {
        return Ok(Err(Reason::Suppressed));
    }
    let consents = contacts::consents(tx, contact.id)?;
    let consent = consents.iter().find(|consent| consent.channel == channel);
    let may = match consent {
        Some(consent) => consent.revoked_at.is_none(),
        // A call that leaves a message needs the recipient's consent beforehand (FCC 22-85).
        None => channel != Channel::Voicemail,
    };
    if !may {
        return Ok(Err(Reason::NoConsent));
    }
    Ok(if has_sender { Ok(()) } else { Err(Reason::NoSender) })
}

/// Whether that address must not be reached by that channel.
pub(super) fn is_suppressed(
    tx: &mut Tx<'_>,
    app: &App,
    campaign: &Campaign,
    channel: Channel,
    address: &str,
) -> Result<bool, AppError> {
    for hash in app.hashes_of(address) {
        if suppressions::why(tx, campaign.user, channel, &hash)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The named limits that a message takes.
pub(super) fn limits_of(tx: &mut Tx<'_>, touch: &Touch) -> Result<Vec<String>, AppError> {
    let Some(sender) = touch.sender else { return Ok(Vec::new()) };
    let mut names = vec![limits::of_sender(sender)];
    if let Some(sender) = senders::get(tx, sender)? {
        names.push(limits::of_provider(sender.provider));
    }
    if touch.channel == Channel::Email
        && let Some((_, domain)) = touch.address.rsplit_once('@')
        && providers::has_domain_limit(tx, domain)?
    {
        names.extend(limits::of_domain(domain));
    }
    Ok(names)
}
