//! When a campaign would be through: its messages by place and step, the pace of its channels, and what its senders may send
//! on each day.

use std::collections::BTreeMap;

use windlass::Time;

use super::{Parts, survey::Survey};
use crate::{
    app::{App, AppError},
    channel::Channel,
    db::Tx,
    flow::{check, queues},
    model::{ProviderId, sender::Sender},
    store::{providers, usage, users},
    window::{Forecast, HORIZON_DAYS, Lot, Pace, Paces, course},
};

/// Lots of a forecast at most; beyond it the smallest places are taken to be in the largest.
const LOTS_MAX: usize = 600;

/// What the forecast says, and why.
pub(super) struct Plan {
    pub(super) forecast: Forecast,
    /// How many days longer it takes than if senders had no caps.
    pub(super) held_days: usize,
    /// What senders may send on the first day, by channel that is used.
    pub(super) first_day: BTreeMap<Channel, u64>,
}

/// How long a message of a channel holds a place of its queue: a conversation with a mail server, a request, and a call
/// from the first ring to the end of a message of half a minute.
pub(crate) fn service_s(channel: Channel) -> f64 {
    match channel {
        Channel::Email => 1.0,
        Channel::Sms => 0.5,
        Channel::Voicemail => 45.0,
    }
}

pub(super) fn make(
    tx: &mut Tx<'_>,
    app: &App,
    parts: &Parts,
    survey: &Survey,
    contacts: u64,
    (now, from): (Time, Time),
) -> Result<Plan, AppError> {
    let campaign = &parts.campaign;
    let lots = lots(parts, survey, contacts);
    let is_today = from == now;
    let zone = campaign.policy.zone.name();
    let sent_today = match campaign.daily_cap {
        Some(_) if is_today => usage::used(tx, usage::Of::Campaign(campaign.id), &check::day_of(zone, now))?,
        _ => 0,
    };
    let mut paces = Paces {
        per_day: campaign.capped_by(users::daily_caps(tx, campaign.user)?),
        begins_per_day: campaign.new_per_day.map(u64::from),
        sent_today: u64::try_from(sent_today).unwrap_or(0),
        ..Paces::default()
    };
    let mut first_day = BTreeMap::new();
    for channel in Channel::ALL {
        if !lots.iter().any(|lot| lot.channel == channel) {
            continue;
        }
        let pace = pace(tx, channel, &parts.senders[channel as usize], is_today.then_some(now))?;
        if let Some(cap) = pace.per_day.first() {
            first_day.insert(channel, *cap);
        }
        paces.channels[channel as usize] = pace;
    }
    let forecast = course(&campaign.policy, &app.rules(), &lots, &paces, from);
    let mut without = paces;
    without.channels.iter_mut().for_each(|pace| pace.per_day.clear());
    let free = course(&campaign.policy, &app.rules(), &lots, &without, from);
    let held_days = forecast.days.len().saturating_sub(free.days.len());
    Ok(Plan { forecast, held_days, first_day })
}

/// How fast the senders of a channel may send together; without a day, as if nothing of it were used.
pub(crate) fn pace(
    tx: &mut Tx<'_>,
    channel: Channel,
    senders: &[Sender],
    today: Option<Time>,
) -> Result<Pace, AppError> {
    let mut per_second = f64::from(queues::of(channel).concurrency) / service_s(channel);
    // What waits for somebody to let a sender go on is not forecast.
    let are_paused = senders.iter().all(|sender| sender.paused);
    let active = || senders.iter().filter(|sender| are_paused || !sender.paused);
    // A sender without a pace of its own is held by its provider alone.
    if let Some(own) = active().map(|sender| sender.per_minute).sum::<Option<u32>>() {
        per_second = per_second.min(f64::from(own) / 60.0);
    }
    let mut accounts: Vec<ProviderId> = active().map(|sender| sender.provider).collect();
    accounts.sort_unstable();
    accounts.dedup();
    let mut of_accounts = 0.0;
    for account in accounts {
        let Some(provider) = providers::get(tx, account)? else { continue };
        let rate = provider.per_second.map_or(f64::INFINITY, f64::from);
        let at_once = provider.concurrency.map_or(f64::INFINITY, |n| f64::from(n) / service_s(channel));
        of_accounts += rate.min(at_once);
    }
    if of_accounts > 0.0 {
        per_second = per_second.min(of_accounts);
    }
    let mut used = 0;
    for sender in active() {
        if let Some(now) = today {
            let day = check::day_of(&sender.time_zone, now);
            used += u64::try_from(usage::used(tx, usage::Of::Sender(sender.id), &day)?).unwrap_or(0);
        }
    }
    let senders: Vec<&Sender> = active().collect();
    Ok(Pace { per_second: Some(per_second), per_day: days(&senders, used) })
}

/// What senders may send on each day, as long as that changes.
fn days(senders: &[&Sender], used: u64) -> Vec<u64> {
    let mut days: Vec<u64> = Vec::new();
    for day in 0..HORIZON_DAYS {
        let cap: u64 = senders.iter().map(|sender| u64::from(sender.cap_in(day))).sum();
        let full: u64 = senders.iter().map(|sender| u64::from(sender.daily_cap)).sum();
        days.push(if day == 0 { cap.saturating_sub(used) } else { cap });
        if day > 0 && cap >= full {
            break;
        }
    }
    days
}

/// The campaign's messages by place, step and channel, each after those of the step before.
fn lots(parts: &Parts, survey: &Survey, contacts: u64) -> Vec<Lot> {
    let total = |messages: &[[u64; 3]]| messages.iter().flatten().sum::<u64>();
    let mut groups: Vec<(&crate::window::Recipient, Vec<[u64; 3]>)> =
        survey.groups.iter().map(|group| (&group.recipient, group.messages.clone())).collect();
    groups.retain(|(_, messages)| total(messages) > 0);
    groups.sort_by_key(|(_, messages)| std::cmp::Reverse(total(messages)));
    let kept = (LOTS_MAX / parts.steps.len().max(1)).max(1).min(groups.len());
    for (_, messages) in groups.split_off(kept) {
        if let Some((_, largest)) = groups.first_mut() {
            for (sum, more) in largest.iter_mut().zip(&messages) {
                sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            }
        }
    }
    let mut lots: Vec<Lot> = Vec::new();
    for (recipient, messages) in groups {
        let (mut before, mut delays) = (Vec::new(), Vec::new());
        for (step, of_step) in parts.steps.iter().zip(&messages) {
            delays.push(step.delay);
            let mut these = Vec::new();
            for channel in Channel::ALL {
                let messages = of_step[channel as usize];
                if messages == 0 {
                    continue;
                }
                these.push(lots.len());
                lots.push(Lot {
                    recipient: recipient.clone(),
                    channel,
                    // A list of which only the beginning was looked at is taken to go on as it begins.
                    messages: messages * contacts.max(survey.looked_at) / survey.looked_at.max(1),
                    after: before.clone(),
                    delays: delays.clone(),
                    begins: before.is_empty() && delays.len() == 1,
                });
            }
            // A step that reaches nobody there only takes its time.
            if !these.is_empty() {
                (before, delays) = (these, Vec::new());
            }
        }
    }
    lots
}
