//! What is shown of a campaign while it runs: how far it is, what of today's messages is used, when it will be through, what
//! became of each step, and what the rest waits for.
//!
//! All of it is counted by indexes, and kept for a second, so that a page which many people look at costs what one costs.
//! What is said of the time to come is a forecast as before the launch, at the pace of the last minutes where messages wait.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::Serialize;
use windlass::Time;

use crate::{
    app::{App, AppError},
    channel::Channel,
    db::Tx,
    flow::check,
    model::{
        CampaignId,
        campaign::{Campaign, CampaignStatus, EnrolmentStatus, Step, StopReason},
        sequence,
        touch::{EventKind, Reason, TouchStatus},
    },
    preflight::plan,
    store::{
        campaigns, contacts,
        enrolments::{self, Standing},
        events::{self, Answers},
        senders,
        touches::{self, Sent, Tally, Wait},
        usage, users,
    },
    variants::results::{self, Test},
    window::{self, Delay, Lot, OnNoZone, Paces, Recipient, course},
};

/// How long figures are shown before they are counted again.
const FRESH: Duration = Duration::from_secs(1);
/// Campaigns whose figures are kept; a page of campaigns shows fewer.
const KEPT_MAX: usize = 1_000;
/// The stretch of the application's time whose messages are the pace.
const PACE_MS: u64 = 15 * 60_000;
/// The shortest time over which it is counted: what was sent at once at the beginning says nothing of the pace.
const PACE_MIN_MS: u64 = 5_000;
/// Contacts whose zones stand for those of all, about: a zone with a twentieth of them is hardly ever missed.
const SAMPLED: u32 = 200;
/// How long these zones are believed, since people do not move by the minute.
const ZONES_FRESH: Duration = Duration::from_secs(60);
/// A day is at most that long, with the hour that a zone may gain.
const LONGEST_DAY_MS: u64 = 25 * 3_600_000;

/// What is shown of a campaign.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// The campaign.
    pub campaign: CampaignId,
    /// Where it stands.
    pub status: CampaignStatus,
    /// When this was counted.
    pub at: Time,
    /// Contacts at the launch.
    pub contacts: u32,
    /// How much of all contacts' steps is behind them, from 0 to 100; 100 only when everybody has come to their end. Steps
    /// that a cancelled campaign never took are not behind anybody.
    pub percent: u8,
    /// Contacts who have steps before them.
    pub active: u64,
    /// Contacts who have come to the end of the sequence.
    pub done: u64,
    /// Contacts for whom something ended it.
    pub stopped: u64,
    /// What ended it, for most of them first.
    pub stops: Vec<Stops>,
    /// Messages that were sent, whatever became of them then.
    pub sent: u64,
    /// Of those, sent on this day of the campaign's zone.
    pub sent_today: u64,
    /// Messages that it may send a day.
    pub daily_cap: Option<u32>,
    /// Messages a minute over the last quarter of an hour.
    pub per_minute: f64,
    /// When it will be through, or was; none when that cannot be said.
    pub eta: Option<Time>,
    /// Each step and channel of which there are messages.
    pub funnel: Vec<StepFigures>,
    /// The tests of what is said: each step that shares its contacts among variants, or did.
    pub tests: Vec<Test>,
    /// What messages wait for, most of them first.
    pub waiting: Vec<Because>,
    /// Why messages are not sent, most of them first.
    pub skipped: Vec<Because>,
}

/// What became of the messages of a step by one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepFigures {
    /// The step's number in the present version of the sequence, from 1; none where that has it no more.
    pub step: Option<u32>,
    /// Its key, which it has in every version.
    pub step_key: u32,
    /// The channel.
    pub channel: Channel,
    /// Messages by status, in the order of [`TouchStatus::ALL`], those that there are.
    pub counts: Vec<(TouchStatus, u64)>,
    /// Messages that were sent, whatever became of them then.
    pub sent: u64,
    /// Of those, opened.
    pub opened: u64,
    /// Of those, with a link that was followed.
    pub clicked: u64,
    /// Of those, answered.
    pub replied: u64,
    /// Of those, after which the contact wanted no more, or complained.
    pub opted_out: u64,
}

/// Contacts for whom the same ended the sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stops {
    /// What.
    pub reason: StopReason,
    /// The same in plain words.
    pub said: &'static str,
    /// How many.
    pub count: u64,
}

/// Messages with the same reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Because {
    /// The reason's word.
    pub reason: String,
    /// The reason in plain words.
    pub said: &'static str,
    /// How many.
    pub count: u64,
    /// When the first of them goes on; none where nobody can say, and of what does not wait.
    pub first_until: Option<Time>,
}

/// What was counted a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    kept: Mutex<HashMap<CampaignId, (Instant, Arc<Figures>)>>,
    places: Mutex<HashMap<CampaignId, (Instant, Places)>>,
}

/// Where contacts are, and how many of those who were looked at.
type Places = Arc<Vec<(Recipient, u64)>>;

impl Figures {
    /// Why nothing goes out though it runs: all that is there waits for a time.
    pub fn held_by(&self) -> Option<&'static str> {
        let moves = |status| matches!(status, TouchStatus::Queued | TouchStatus::Sending);
        let is_moving = self.funnel.iter().flat_map(|step| &step.counts).any(|(status, _)| moves(*status));
        let is_held = self.status == CampaignStatus::Running && !is_moving;
        self.waiting.first().filter(|_| is_held).map(|because| because.said)
    }
}

impl Cache {
    fn fresh(&self, id: CampaignId) -> Option<Arc<Figures>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&id).filter(|(counted, _)| counted.elapsed() < FRESH).map(|(_, figures)| figures.clone())
    }

    fn places(&self, id: CampaignId) -> Option<Places> {
        let kept = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = kept.get(&id).filter(|(looked_at, _)| looked_at.elapsed() < ZONES_FRESH);
        fresh.map(|(_, places)| places.clone())
    }

    fn keep_places(&self, id: CampaignId, places: &Places) {
        let mut kept = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.retain(|_, (looked_at, _)| looked_at.elapsed() < ZONES_FRESH);
        }
        if kept.len() < KEPT_MAX {
            kept.insert(id, (Instant::now(), places.clone()));
        }
    }

    /// Has what was shown of a campaign counted again, since it was changed.
    pub(crate) fn forget(&self, id: CampaignId) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    fn keep(&self, figures: &Arc<Figures>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.retain(|_, (counted, _)| counted.elapsed() < FRESH);
        }
        if kept.len() < KEPT_MAX {
            kept.insert(figures.campaign, (Instant::now(), figures.clone()));
        }
    }
}

/// What is shown of a campaign, not older than a second.
///
/// # Errors
/// A campaign that is none; the database's.
pub async fn of(app: &App, id: CampaignId) -> Result<Arc<Figures>, AppError> {
    if let Some(figures) = app.figures().fresh(id) {
        return Ok(figures);
    }
    let figures = Arc::new(counted(app, id).await?);
    app.figures().keep(&figures);
    Ok(figures)
}

/// The same, counted now.
///
/// # Errors
/// A campaign that is none; the database's.
pub async fn counted(app: &App, id: CampaignId) -> Result<Figures, AppError> {
    let (now, inner) = (app.now(), app.clone());
    app.db().read(move |tx| count(tx, &inner, id, now)).await
}

fn count(tx: &mut Tx<'_>, app: &App, id: CampaignId, now: Time) -> Result<Figures, AppError> {
    let campaign = campaigns::get(tx, id)?.ok_or_else(|| AppError::unknown("campaign", id))?;
    let steps = campaigns::steps(tx, id, campaign.version)?;
    let standing = enrolments::standing(tx, id)?;
    let mut stops: Vec<Stops> = enrolments::stops(tx, id)?
        .into_iter()
        .map(|(reason, count)| Stops { reason, said: reason.said(), count: whole(count) })
        .collect();
    stops.sort_by_key(|one| (std::cmp::Reverse(one.count), one.reason));
    let tallies = touches::tallies(tx, id)?;
    let waits = touches::waits(tx, id)?;
    let recent = touches::sent_since(tx, id, Time(now.0.saturating_sub(PACE_MS)))?;
    let today = day_begins(campaign.policy.zone.name(), now);
    let sent_today = match campaign.daily_cap {
        // What is on its way counts against the cap, too.
        Some(_) => {
            usage::used(tx, usage::Of::Campaign(id), &check::day_of(campaign.policy.zone.name(), now))?
        }
        None => touches::sent_since(tx, id, today)?.into_iter().map(|sent| sent.count).sum(),
    };
    let in_status =
        |status| standing.iter().filter(move |one| one.status == status).map(|one| whole(one.count)).sum();
    let answers = events::answers(tx, id)?;
    let funnel = funnel(&steps, &tallies, &answers);
    let tests = results::count(tx, &campaign, &steps, &answers)?;
    let eta = match campaign.status {
        CampaignStatus::Done | CampaignStatus::Cancelled => campaign.ended_at,
        CampaignStatus::Draft | CampaignStatus::Paused => None,
        CampaignStatus::Scheduled | CampaignStatus::Running => {
            let known = Known { campaign: &campaign, steps: &steps, standing: &standing, tallies: &tallies };
            let eta = eta(tx, app, &known, &recent, whole(sent_today), now)?;
            after_the_waits(eta, &waits)
        }
    };
    Ok(Figures {
        campaign: id,
        status: campaign.status,
        at: now,
        contacts: campaign.contacts,
        percent: percent(&standing, steps.len(), campaign.status),
        active: in_status(EnrolmentStatus::Active),
        done: in_status(EnrolmentStatus::Done),
        stopped: in_status(EnrolmentStatus::Stopped),
        stops,
        sent: funnel.iter().map(|step| step.sent).sum(),
        sent_today: whole(sent_today),
        daily_cap: campaign.daily_cap,
        per_minute: recent.iter().map(|sent| per_second(sent, now)).sum::<f64>() * 60.0,
        eta,
        funnel,
        tests,
        waiting: because(&tallies, TouchStatus::Deferred, &waits, now),
        skipped: because(&tallies, TouchStatus::Skipped, &[], now),
    })
}

/// How many a second were sent, since the first of them: a campaign that was launched a moment ago is not taken for one
/// that does nothing most of the time.
fn per_second(sent: &Sent, now: Time) -> f64 {
    let since = now.0.saturating_sub(sent.first_at.0).clamp(PACE_MIN_MS, PACE_MS);
    sent.count as f64 * 1_000.0 / since as f64
}

fn whole(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// The beginning of the day of that moment in that zone.
pub(crate) fn day_begins(zone: &str, now: Time) -> Time {
    // A day before the next one begins, and an hour more where the clock was changed, is a moment of today or before it.
    let next = check::next_day(zone, now);
    let mut begins = Time(next.0.saturating_sub(LONGEST_DAY_MS));
    while check::next_day(zone, begins) <= now {
        begins = check::next_day(zone, begins);
    }
    begins
}

/// How much of all contacts' steps is behind them.
fn percent(standing: &[Standing], steps: usize, status: CampaignStatus) -> u8 {
    let steps = steps.max(1) as u64;
    let (mut all, mut behind, mut active) = (0, 0, 0);
    for one in standing {
        let count = whole(one.count);
        all += count * steps;
        let taken = count * u64::from(one.step.saturating_sub(1)).min(steps);
        behind += match one.status {
            EnrolmentStatus::Active => taken,
            EnrolmentStatus::Stopped if status == CampaignStatus::Cancelled => taken,
            EnrolmentStatus::Done | EnrolmentStatus::Stopped => count * steps,
        };
        active += if one.status == EnrolmentStatus::Active { count } else { 0 };
    }
    if all == 0 {
        return 0;
    }
    let most = if active > 0 || behind < all { 99 } else { 100 };
    u8::try_from((behind * 100 / all).min(most)).unwrap_or(99)
}

fn funnel(steps: &[Step], tallies: &[Tally], answers: &[Answers]) -> Vec<StepFigures> {
    let mut funnel: Vec<StepFigures> = Vec::new();
    for tally in tallies {
        let is_it = |row: &StepFigures| (row.step_key, row.channel) == (tally.step_key, tally.channel);
        let at = funnel.iter().position(is_it).unwrap_or_else(|| {
            let Tally { step_key, channel, .. } = *tally;
            let row = StepFigures {
                step: sequence::number_of(steps, step_key),
                step_key,
                channel,
                counts: Vec::new(),
                sent: 0,
                opened: 0,
                clicked: 0,
                replied: 0,
                opted_out: 0,
            };
            funnel.push(row);
            funnel.len() - 1
        });
        let row = &mut funnel[at];
        let count = whole(tally.count);
        match row.counts.iter_mut().find(|(status, _)| *status == tally.status) {
            Some((_, sum)) => *sum += count,
            None => row.counts.push((tally.status, count)),
        }
        row.sent += if tally.status.was_sent() { count } else { 0 };
    }
    for answer in answers {
        let is_it = |row: &&mut StepFigures| (row.step_key, row.channel) == (answer.step_key, answer.channel);
        let Some(row) = funnel.iter_mut().find(is_it) else { continue };
        let count = answer.count;
        match answer.kind {
            EventKind::Opened => row.opened += whole(count),
            EventKind::Clicked => row.clicked += whole(count),
            EventKind::Replied => row.replied += whole(count),
            EventKind::OptedOut | EventKind::Complained => row.opted_out += whole(count),
            _ => {}
        }
    }
    for row in &mut funnel {
        row.counts.sort_unstable();
    }
    funnel.sort_by_key(|row| (row.step.is_none(), row.step, row.step_key, row.channel));
    funnel
}

fn because(tallies: &[Tally], status: TouchStatus, waits: &[Wait], now: Time) -> Vec<Because> {
    let mut sums: HashMap<&str, u64> = HashMap::new();
    for tally in tallies.iter().filter(|tally| tally.status == status) {
        *sums.entry(&tally.reason).or_default() += whole(tally.count);
    }
    let said = |word: &str| {
        let reason = serde_json::from_value::<Reason>(word.into());
        reason.map_or("for no reason that is known", Reason::said)
    };
    let mut all: Vec<Because> = sums
        .into_iter()
        .map(|(reason, count)| Because {
            reason: reason.to_owned(),
            said: said(reason),
            count,
            // What is due and waits for its turn waits for no time.
            first_until: waits
                .iter()
                .find(|wait| wait.reason == reason)
                .and_then(|wait| wait.first)
                .filter(|first| *first > now),
        })
        .collect();
    all.sort_by(|a, b| (b.count, &a.reason).cmp(&(a.count, &b.reason)));
    all
}

/// An estimate that is not before the last message that waits goes on; none while some wait for a person to let their
/// sender or their contact go on, since nobody knows when.
fn after_the_waits(eta: Option<Time>, waits: &[Wait]) -> Option<Time> {
    let is_up_to_a_person = |wait: &Wait| wait.is_endless || wait.reason == Reason::SenderPaused.to_string();
    if waits.iter().any(is_up_to_a_person) {
        return None;
    }
    Some(eta?.max(waits.iter().filter_map(|wait| wait.last).max().unwrap_or(Time(0))))
}

/// What an estimate is made of.
struct Known<'a> {
    campaign: &'a Campaign,
    steps: &'a [Step],
    standing: &'a [Standing],
    tallies: &'a [Tally],
}

/// Where the contacts are who have steps before them, by some of them.
fn places(tx: &mut Tx<'_>, app: &App, campaign: &Campaign, active: u64) -> Result<Places, AppError> {
    if let Some(places) = app.figures().places(campaign.id) {
        return Ok(places);
    }
    let every = u32::try_from(active / u64::from(SAMPLED)).unwrap_or(u32::MAX);
    let mut places: Vec<(Recipient, u64)> = Vec::new();
    for id in enrolments::some_active(tx, campaign.id, every, 2 * SAMPLED)? {
        let Some(contact) = contacts::get(tx, id)? else { continue };
        let known = check::recipient(&contact);
        let zone = match known.locate() {
            Ok(located) => located.zones.into_iter().next(),
            Err(_) if campaign.policy.no_zone == OnNoZone::UseCampaignZone => {
                Some(campaign.policy.zone.clone())
            }
            // They are skipped.
            Err(_) => None,
        };
        let Some(zone) = zone else { continue };
        let place = Recipient { country: known.country, ..Recipient::in_zone(zone) };
        match places.iter_mut().find(|(other, _)| *other == place) {
            Some((_, count)) => *count += 1,
            None => places.push((place, 1)),
        }
    }
    if places.is_empty() {
        places.push((Recipient::in_zone(campaign.policy.zone.clone()), 1));
    }
    let places = Arc::new(places);
    app.figures().keep_places(campaign.id, &places);
    Ok(places)
}

/// So many contacts by the parts that places have: their sum is the number.
fn shared(count: u64, places: &[(Recipient, u64)]) -> impl Iterator<Item = (&Recipient, u64)> {
    let all: u64 = places.iter().map(|(_, part)| part).sum();
    let mut before = 0;
    places.iter().map(move |(place, part)| {
        let begin = count * before / all.max(1);
        before += part;
        (place, count * before / all.max(1) - begin)
    })
}

/// When everybody who has steps before them will have had them, each where they are.
fn eta(
    tx: &mut Tx<'_>,
    app: &App,
    known: &Known<'_>,
    recent: &[Sent],
    sent_today: u64,
    now: Time,
) -> Result<Option<Time>, AppError> {
    let Known { campaign, steps, standing, tallies } = *known;
    let from = campaign.starts_at.map_or(now, |at| at.max(now));
    let is_spread = campaign.begins_a_day().is_some();
    let rules = app.rules();
    let mut lots: Vec<Lot> = Vec::new();
    let waiting = || standing.iter().filter(|one| one.status == EnrolmentStatus::Active);
    let places = places(tx, app, campaign, waiting().map(|one| whole(one.count)).sum())?;
    let parts = waiting().flat_map(|one| shared(whole(one.count), &places).map(move |part| (one, part)));
    for (one, (place, count)) in parts.filter(|(_, (_, count))| *count > 0) {
        let waits_ms = one.last_due.map_or(0, |due| due.0.saturating_sub(from.0));
        let waits = Delay::Minutes(u32::try_from(waits_ms.div_ceil(60_000)).unwrap_or(u32::MAX));
        let at = usize::try_from(one.step.saturating_sub(1)).unwrap_or(usize::MAX);
        let mut before = Vec::new();
        for (nth, step) in steps.iter().enumerate().skip(at) {
            let verdict = window::look(&campaign.policy, &rules, place, step.channel, from);
            if matches!(verdict, window::Verdict::Closed { until: None, .. }) {
                continue;
            }
            let delay = match (nth == at, one.last_due) {
                // First steps that are spread over days are due as soon as the campaign may begin with more.
                (true, due) if nth == 0 && (due.is_none() || is_spread) => step.delay,
                (true, _) => waits,
                (false, _) => step.delay,
            };
            lots.push(Lot {
                recipient: place.clone(),
                channel: step.channel,
                messages: count,
                after: std::mem::take(&mut before),
                delays: vec![delay],
                begins: nth == 0 && (one.last_due.is_none() || is_spread),
            });
            before.push(lots.len() - 1);
        }
    }
    let mut paces = Paces {
        per_day: campaign.capped_by(users::daily_caps(tx, campaign.user)?),
        sent_today,
        begins_per_day: campaign.new_per_day.map(u64::from),
        ..Paces::default()
    };
    for channel in Channel::ALL {
        if !lots.iter().any(|lot| lot.channel == channel) {
            continue;
        }
        let senders = senders::of_campaign(tx, campaign.id, channel)?;
        let mut pace = plan::pace(tx, channel, &senders, (from == now).then_some(now))?;
        let due = tallies.iter().filter(|tally| tally.channel == channel);
        let due: i64 = due
            .filter(|tally| matches!(tally.status, TouchStatus::Queued | TouchStatus::Sending))
            .map(|tally| tally.count)
            .sum();
        // The pace of the last minutes is how fast it goes only while messages wait for their turn, and for nothing else.
        let sent = recent.iter().find(|sent| sent.channel == channel);
        if let Some(sent) = sent.filter(|sent| sent.count > 0 && due >= sent.count) {
            pace.per_second = Some(per_second(sent, now));
        }
        paces.channels[channel as usize] = pace;
    }
    Ok(course(&campaign.policy, &rules, &lots, &paces, from).completes_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_counted_from_the_first_message_on_and_not_over_a_time_in_which_there_was_none() {
        let now = Time(10_000_000);
        let sent = |count, ago_ms| Sent { channel: Channel::Email, count, first_at: Time(now.0 - ago_ms) };
        assert_eq!(per_second(&sent(200, 20_000), now), 10.0, "launched twenty seconds ago");
        assert_eq!(per_second(&sent(900, PACE_MS), now), 1.0);
        assert_eq!(per_second(&sent(10, 3), now), 2.0, "ten at once are no 3,000 a second");
    }
}
