//! Everything that is checked right before a provider is asked, in one transaction with the note that it will be.
//!
//! What was true when the message was made may not be any more: the contact has opted out, the window has closed, the
//! day's messages are used up. Nothing is sent on the word of an earlier moment. A message that is found `sending` was left
//! in the middle by a worker that died; the same is checked before it may be repeated, and nothing is counted twice.

use std::sync::LazyLock;

use jiff::{
    Timestamp, ToSpan as _,
    tz::{TimeZone, TimeZoneDatabase},
};
use windlass::{JobId, Time};

use super::{
    breakers::{self, Passes},
    colleagues,
    content::{Content, UNSUBSCRIBE_URL, values},
    next::{self, Follow, Place},
    paces, pauses,
    plan::{self, Room},
    whose,
};
use crate::{
    app::{App, AppError},
    channel::Channel,
    db::Tx,
    model::{
        TouchId,
        campaign::{CampaignStatus, EnrolmentStatus, StopReason},
        contact::Contact,
        pause::Hold,
        provider::Provider,
        sender::Sender,
        touch::{EventKind, Evidence, Reason, Touch, TouchStatus},
    },
    optout::Unsubscribe,
    store::{
        contacts, enrolments, events, providers, senders, templates,
        touches::{self, Sending},
    },
    variants::choice::{For, Said, choose},
    window::{self, Verdict},
};

/// How long a message waits that meets a pause which the queue did not hold it for.
const PAUSED_MS: u64 = 60_000;

/// What is to be done with a message.
#[derive(Debug)]
pub(super) enum Decision {
    /// Ask the provider.
    Send(Box<Prepared>),
    /// A worker died while it asked the provider for a mail or a text: the channel's own rule comes first.
    Interrupted(Box<Prepared>),
    /// Not now.
    Wait(Wait),
    /// Its end is known; what follows from it.
    Over(Vec<Follow>),
}

/// Not now.
#[derive(Debug)]
pub(super) struct Wait {
    pub(super) reason: Reason,
    pub(super) until: Time,
    /// The named limit that waits with it, where everything that takes it should.
    pub(super) hold: Option<String>,
}

/// A message that may be sent.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) touch: Touch,
    pub(super) passes: Passes,
    pub(super) contact: Contact,
    pub(super) sender: Sender,
    pub(super) provider: Provider,
    /// When all this was decided, right before the provider is asked.
    pub(super) asked_at: Time,
    pub(super) content: Content,
    pub(super) unsubscribe_url: Option<String>,
    /// Whether an earlier attempt may have arrived, so that nothing that is said of this one takes that back.
    pub(super) may_have_arrived: bool,
}

/// Decides on a message, and writes the decision down.
pub(super) fn decide(
    tx: &mut Tx<'_>,
    app: &App,
    (id, job): (TouchId, JobId),
    now: Time,
) -> Result<Decision, AppError> {
    let mut touch = touches::get(tx, id)?.ok_or_else(|| AppError::unknown("touch", id))?;
    if touch.status.is_final() {
        return Ok(Decision::Over(next::after(tx, app, &touch, now)?));
    }
    if touch.job.parse().is_ok_and(|named: JobId| named != job) {
        // It was given to another sender, and whoever gave it may have been killed before that one's job was there.
        return Ok(Decision::Over(vec![next::sending(tx, touch)?]));
    }
    let is_interrupted = touch.status == TouchStatus::Sending;
    if is_interrupted && touch.channel == Channel::Voicemail {
        // At most once: whatever the window, the campaign or the breaker say, it is not made again.
        let detail = "the worker died in the middle of the call";
        return next::unknown(tx, app, &touch, Reason::WorkerDied, detail, now).map(Decision::Over);
    }
    let place = Place::of(tx, touch.campaign, touch.contact)?;
    let is_over = over(tx, app, &place, &touch)?;
    plan::leave(tx, &place, &touch, now)?;
    if let Some((reason, detail)) = is_over {
        if reason == Reason::ColleagueAnswered {
            let why = Some(StopReason::ColleagueAnswered);
            enrolments::end(tx, touch.campaign, touch.contact, why, now)?;
        }
        return give_up(tx, app, &touch, reason, &detail, now);
    }
    if !is_interrupted {
        readdress(tx, &place.contact, &mut touch)?;
    }
    let look_again = app.clock().at(app.client().now().plus_ms(PAUSED_MS));
    let while_paused = |until: Option<Time>| until.map_or(look_again, |until| until.clamp(now, look_again));
    if place.campaign.status == CampaignStatus::Paused {
        let until = while_paused(place.campaign.paused_until);
        return wait(tx, &touch, Reason::CampaignPaused, "", until, None);
    }
    if let Some(hold) = pauses::hold(tx, touch.contact, touch.campaign, now)? {
        return wait_for_contact(tx, &touch, &hold, now);
    }
    let named = touch.sender.map_or(Ok(None), |id| senders::get(tx, id))?;
    // One that was left in the middle is repeated in the name in which it may have gone.
    if !is_interrupted && whose::must_change(tx, &touch)? {
        let Place { campaign, contact, .. } = &place;
        match whose::choose(tx, campaign, contact, touch.channel, now)? {
            None => return give_up(tx, app, &touch, Reason::NoSender, "", now),
            Some(other) if Some(other.id) != touch.sender => {
                return Ok(Decision::Over(vec![whose::hand_over(tx, app, &touch, &other, None)?]));
            }
            // All of them are paused.
            Some(_) => {}
        }
    }
    let Some(sender) = named else {
        return give_up(tx, app, &touch, Reason::NoSender, "", now);
    };
    let provider =
        providers::get(tx, sender.provider)?.ok_or_else(|| AppError::unknown("provider", sender.provider))?;
    if sender.paused {
        let until = while_paused(sender.paused_until);
        return wait(tx, &touch, Reason::SenderPaused, &sender.pause_reason, until, None);
    }
    let evidence = match window::look(
        &place.campaign.policy,
        &*app.hours().fresh(tx)?,
        &recipient(&place.contact),
        touch.channel,
        now,
    ) {
        Verdict::Open { evaluation, .. } => evaluation,
        Verdict::Closed { until: Some(until), reason, .. } => {
            return wait(tx, &touch, reason_of(&reason), "", until, None);
        }
        Verdict::Closed { until: None, reason, .. } => {
            return give_up(tx, app, &touch, never(&reason), "", now);
        }
    };
    app.learn_public_url(tx)?;
    let unsubscribe_url = unsubscribe_url(app, &touch);
    let said = values(&place.campaign, &place.contact, &sender, unsubscribe_url.as_deref());
    let chosen = said_by(&place, &touch)?;
    let template =
        templates::get(tx, chosen.template)?.ok_or_else(|| AppError::unknown("template", chosen.template))?;
    let content = match Content::of(&template, &said) {
        Ok(content) => content,
        // Nobody's message is given up for what a process was not told.
        Err(error) if unsubscribe_url.is_none() && error.lacks(UNSUBSCRIBE_URL) => {
            let told =
                "no process of this installation was told its public address: start one with --public-url";
            return Err(AppError::Conflict(told.to_owned()));
        }
        Err(error) => {
            return give_up(tx, app, &touch, Reason::MissingVariable, &error.to_string(), now);
        }
    };
    if let Some(limit) = paces::domain_limit(tx, &touch)?
        && let Some((until, why)) = paces::line_up(tx, app, &touch, &limit, now)?
    {
        return wait(tx, &touch, Reason::ProviderBusy, &why, until, None);
    }
    let passes = match breakers::ask(tx, app, &provider, &sender, now)? {
        Ok(passes) => passes,
        Err(waits) => {
            if whose::may_change(tx, &touch)?
                && let Some(other) = whose::other(tx, app, &place, &touch, now)?
            {
                return Ok(Decision::Over(vec![whose::hand_over(tx, app, &touch, &other, None)?]));
            }
            return wait(tx, &touch, Reason::BreakerOpen, &waits.why, waits.until, waits.hold);
        }
    };
    let mut prepared = Prepared {
        touch,
        passes,
        contact: place.contact.clone(),
        sender,
        provider,
        asked_at: now,
        content,
        unsubscribe_url,
        may_have_arrived: is_interrupted,
    };
    if is_interrupted {
        return Ok(Decision::Interrupted(Box::new(prepared)));
    }
    let room = plan::take(tx, &place, &prepared.touch, &prepared.sender, now)?;
    if !matches!(room, Room::Taken) {
        breakers::give_back(tx, (&prepared.provider, &prepared.sender), prepared.passes)?;
    }
    match room {
        Room::Taken => {}
        Room::OnAnotherDay(reason, until) => return wait(tx, &prepared.touch, reason, "", until, None),
        Room::NotOfSender(sender) => return without_room(tx, app, &place, &prepared.touch, sender, now),
    }
    let consents = contacts::consents(tx, prepared.contact.id)?;
    let consent = consents.into_iter().find(|consent| consent.channel == prepared.touch.channel);
    let sending = Sending {
        sender: prepared.sender.id,
        template: chosen.template,
        variant: chosen.variant,
        content_hash: prepared.content.hash(),
        evidence: Evidence { checked_at: now, window: evidence, consent },
        day: day_of(&prepared.sender.time_zone, now),
    };
    if !touches::begin(tx, prepared.touch.id, &sending, now)? {
        return Err(AppError::Conflict("somebody else has taken this message up".to_owned()));
    }
    // Whoever has paused the contact since this transaction looked has written on this message before it did, or waits for
    // it: what they said is seen here, or was said after the note that the provider will be asked.
    if pauses::hold(tx, prepared.touch.contact, prepared.touch.campaign, now)?.is_some() {
        return Err(AppError::Conflict(
            "the contact was paused at this moment: it is looked at again".to_owned(),
        ));
    }
    events::note(tx, &prepared.touch, EventKind::Sending, "worker", &prepared.provider.name, None, now)?;
    prepared.touch.sends += 1;
    prepared.touch.sending_at = Some(prepared.touch.sending_at.unwrap_or(now));
    prepared.touch.evidence = Some(sending.evidence);
    Ok(Decision::Send(Box::new(prepared)))
}

/// What is done with a message whose sender has no room today: another one has, or it is planned for the first day on which
/// one of them has.
fn without_room(
    tx: &mut Tx<'_>,
    app: &App,
    place: &Place,
    touch: &Touch,
    sender: Sender,
    now: Time,
) -> Result<Decision, AppError> {
    let mut senders = vec![sender];
    if whose::may_change(tx, touch)? {
        if let Some(other) = whose::other(tx, app, place, touch, now)? {
            return Ok(Decision::Over(vec![whose::hand_over(tx, app, touch, &other, None)?]));
        }
        senders.extend(whose::others(tx, place, touch)?);
    }
    let (sender, until) = plan::day_of_senders(tx, &senders, now)?;
    if Some(sender.id) == touch.sender {
        return wait(tx, touch, Reason::SenderCap, "", until, None);
    }
    Ok(Decision::Over(vec![whose::hand_over(tx, app, touch, sender, Some(until))?]))
}

/// Why a message must not be sent any more, if it must not, and what is to be said of it.
fn over(
    tx: &mut Tx<'_>,
    app: &App,
    place: &Place,
    touch: &Touch,
) -> Result<Option<(Reason, String)>, AppError> {
    let Place { campaign, contact, enrolment, .. } = place;
    let because = |reason| Ok(Some((reason, String::new())));
    if matches!(campaign.status, CampaignStatus::Cancelled | CampaignStatus::Done | CampaignStatus::Draft) {
        return because(Reason::CampaignCancelled);
    }
    // Before anything else that this transaction writes: see `colleagues::answered`.
    let colleague = colleagues::hold(tx, place)?;
    if let Err(reason) = next::reachable(tx, app, campaign, contact, touch.channel, touch.sender.is_some())? {
        return because(reason);
    }
    // One that was left in the middle may be repeated to where it went, and nowhere else.
    if touch.status == TouchStatus::Sending
        && next::is_suppressed(tx, app, campaign, touch.channel, &touch.address)?
    {
        return because(Reason::Suppressed);
    }
    if let Some(colleague) = colleague {
        return Ok(Some((Reason::ColleagueAnswered, format!("contact {colleague} answered"))));
    }
    if enrolment.reason == StopReason::StoppedByPerson.to_string() {
        return because(Reason::StoppedByPerson);
    }
    if enrolment.status == EnrolmentStatus::Stopped || why_stopped(tx, place)?.is_some() {
        return because(Reason::Stopped);
    }
    Ok(None)
}

/// A message that no provider has been asked for goes to where the contact is reached now: the address that was just found
/// not to be suppressed, whatever it was when the message was made.
fn readdress(tx: &mut Tx<'_>, contact: &Contact, touch: &mut Touch) -> Result<(), AppError> {
    if let Some(address) = contact.address(touch.channel).filter(|address| *address != touch.address) {
        touch.address = address.to_owned();
        touches::readdress(tx, touch.id, address)?;
    }
    Ok(())
}

/// The stop rule of the campaign that has come true, if one has.
pub(super) fn why_stopped(tx: &mut Tx<'_>, place: &Place) -> Result<Option<StopReason>, AppError> {
    let rules = place.campaign.stop_rules;
    let kinds = [
        (rules.end_with_reply(), EventKind::Replied, StopReason::Replied),
        (rules.click, EventKind::Clicked, StopReason::Clicked),
        (true, EventKind::OptedOut, StopReason::OptedOut),
    ];
    let (campaign, contact) = (place.campaign.id, place.contact.id);
    for (counts, kind, reason) in kinds {
        if counts && events::is_known(tx, campaign, contact, kind)? {
            return Ok(Some(reason));
        }
    }
    let has_bounced = rules.bounce && touches::has_bounced(tx, campaign, contact)?;
    Ok(has_bounced.then_some(StopReason::Bounced))
}

fn wait(
    tx: &mut Tx<'_>,
    touch: &Touch,
    reason: Reason,
    detail: &str,
    until: Time,
    hold: Option<String>,
) -> Result<Decision, AppError> {
    // One that was left in the middle keeps its status, so that it is not taken for one that was never sent.
    if touch.status != TouchStatus::Sending {
        touches::defer(tx, touch.id, reason, detail, until)?;
    }
    Ok(Decision::Wait(Wait { reason, until, hold }))
}

/// Not while the contact is paused.
fn wait_for_contact(tx: &mut Tx<'_>, touch: &Touch, hold: &Hold, now: Time) -> Result<Decision, AppError> {
    let reason = hold.reason();
    if touch.status != TouchStatus::Sending {
        touches::defer(tx, touch.id, reason, &hold.detail(), hold.until())?;
    }
    let until = hold.until().unwrap_or_else(|| now.plus_ms(pauses::LOOK_AGAIN_MS));
    Ok(Decision::Wait(Wait { reason, until, hold: None }))
}

/// Decides not to send it. One that was left in the middle may have been sent: it stays unknown.
fn give_up(
    tx: &mut Tx<'_>,
    app: &App,
    touch: &Touch,
    reason: Reason,
    detail: &str,
    now: Time,
) -> Result<Decision, AppError> {
    if touch.status == TouchStatus::Sending {
        let detail = format!("not repeated: {}", reason.said());
        return next::unknown(tx, app, touch, Reason::WorkerDied, &detail, now).map(Decision::Over);
    }
    next::skip(tx, touch, reason, detail, now)?;
    let touch = touches::get(tx, touch.id)?.ok_or_else(|| AppError::unknown("touch", touch.id))?;
    Ok(Decision::Over(next::after(tx, app, &touch, now)?))
}

/// What a message says: what was written down for it. Whoever moves its contact to another version of the sequence writes
/// down what that one says, as long as no provider can have it.
pub(super) fn said_by(place: &Place, touch: &Touch) -> Result<Said, AppError> {
    if let Some(template) = touch.template {
        return Ok(Said { template, variant: touch.variant });
    }
    let whose = For { campaign: touch.campaign, step: touch.step_key, contact: touch.contact };
    let step = place.number_of(touch.step_key).and_then(|number| place.step(number).ok());
    step.and_then(|step| choose(step, touch.channel, whose))
        .ok_or_else(|| AppError::unknown("text of message", touch.id))
}

/// Where one click ends all mail to the contact.
pub(crate) fn unsubscribe_url(app: &App, touch: &Touch) -> Option<String> {
    let link = Unsubscribe {
        contact: touch.contact.0,
        campaign: touch.campaign.0,
        touch: touch.id.0,
        channel: touch.channel,
    };
    let base = app.public_url()?;
    (touch.channel == Channel::Email).then(|| format!("{base}/u/{}", link.token(app.secrets())))
}

/// Where a contact is, as far as windows care.
pub(crate) fn recipient(contact: &Contact) -> window::Recipient {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    window::Recipient::known(
        &text(&contact.time_zone),
        &text(&contact.country),
        &text(&contact.state),
        &text(&contact.zip),
        &text(&contact.phone),
    )
}

/// Why a message waits for a window, in the application's words.
pub(super) fn reason_of(reason: &window::ClosedReason) -> Reason {
    match reason {
        window::ClosedReason::WindowClosed => Reason::WindowClosed,
        window::ClosedReason::RecipientQuietHours { .. } => Reason::RecipientQuietHours,
        window::ClosedReason::Holiday { .. } => Reason::Holiday,
        window::ClosedReason::NoZone => Reason::NoZone,
    }
}

/// Why a window never opens.
pub(crate) fn never(reason: &window::ClosedReason) -> Reason {
    match reason {
        window::ClosedReason::NoZone => Reason::NoZone,
        _ => Reason::NeverOpen,
    }
}

/// The zone of that name; UTC when there is none, which the form that took it does not let happen.
fn zone_of(name: &str) -> TimeZone {
    // Not the machine's own database, which may be years behind: days begin where windows say they do.
    static BUNDLED: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);
    BUNDLED.get(name).unwrap_or(TimeZone::UTC)
}

/// The first moment of that day, written as `2026-11-22`, and that of the next.
pub(super) fn bounds_of(day: &str, zone: &str) -> Option<(Time, Time)> {
    let begin = day.parse::<jiff::civil::Date>().ok()?.to_zoned(zone_of(zone)).ok()?;
    let begin = Time(u64::try_from(begin.timestamp().as_millisecond()).ok()?);
    Some((begin, next_day(zone, begin)))
}

fn zoned(zone: &str, at: Time) -> jiff::Zoned {
    let at = Timestamp::from_millisecond(i64::try_from(at.0).unwrap_or(i64::MAX));
    at.unwrap_or(Timestamp::MAX).to_zoned(zone_of(zone))
}

/// The day of that moment in that zone, as `2026-11-22`.
pub(crate) fn day_of(zone: &str, at: Time) -> String {
    zoned(zone, at).date().to_string()
}

/// The first moment of the day after.
pub(crate) fn next_day(zone: &str, at: Time) -> Time {
    days_later(zone, at, 1)
}

/// The first moment of the day so many days later.
pub(crate) fn days_later(zone: &str, at: Time, days: u32) -> Time {
    let then = zoned(zone, at).checked_add(i64::from(days).days()).and_then(|then| then.start_of_day());
    then.ok()
        .and_then(|then| u64::try_from(then.timestamp().as_millisecond()).ok())
        .map_or_else(|| at.plus_ms(u64::from(days) * 24 * 3_600_000), Time)
}
