//! The account of a day: what the providers took, by their own logs, against what the application has on record.
//!
//! The evidence is the logs alone: each delivery names the message it is (a mail by its Message-ID, a text and a call by the
//! address of their callback), and every message of the database is looked for in it. A message that is on record as sent
//! and that no provider has is lost; one that a provider has and that is not on record as sent is a stray. What a provider has
//! twice is a repeat: of a mail it is explained if the application noted, before it sent again, that nobody knew of the first
//! one; of a text or a call nothing explains it. Whether somebody was reached who had opted out, or at night, is asked of the
//! logs and of how the day was made, not of the application.
//!
//! Memory is bounded by the number of messages (about 150 bytes each).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use windlass::Time;
use windlass_campaigns::app::AppError;
use windlass_campaigns::channel::Channel;
use windlass_campaigns::clock::Clock;
use windlass_campaigns::db::Db;
use windlass_campaigns::model::campaign::EnrolmentStatus;
use windlass_campaigns::model::touch::{EventKind, Touch, TouchStatus};
use windlass_campaigns::model::{CampaignId, TouchId};
use windlass_campaigns::store::{enrolments, events, touches};
use windlass_doubles::log::{self, Delivery};

use super::day::Day;
use super::people::{Home, People};
use crate::fault::Fault;

/// The longest line of a log; the servers write a few values of at most 8,000 bytes each, escaped.
const LINE_MAX_BYTES: u64 = 64 * 1024;
/// How many messages of each kind of trouble a report names.
const EXAMPLES_MAX: usize = 20;
/// Messages that are read together.
const PAGE: u32 = 5_000;
const HOUR_MS: u64 = 3_600_000;
/// How far the campaigns' zone and that of those in the west are behind UTC on the day, in hours: November has no daylight
/// saving.
const BEHIND_UTC_HOURS: [(Home, u64); 2] = [(Home::East, 5), (Home::West, 7)];
/// When the campaigns may send, by their own clock, and when the law lets anybody be called or texted, by theirs
/// (47 CFR 64.1200(c)(1)).
const CAMPAIGN_HOURS: std::ops::Range<u64> = 9..20;
const LEGAL_HOURS: std::ops::Range<u64> = 8..21;

/// Why a mail may have been sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Cause {
    /// Its worker was killed between asking the provider and writing down what it said.
    WorkerKilled,
    /// The provider took it, and its reply did not arrive.
    ReplyLost,
}

/// The account of a day.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Account {
    /// Messages and calls on record.
    pub(super) messages: u64,
    /// Messages and calls that the providers took, repeats included.
    pub(super) deliveries: u64,
    /// Contacts who got their first message, by the providers' logs.
    pub(super) delivered: u64,
    /// Calls among the deliveries.
    pub(super) calls: u64,
    /// Messages that their provider, or their recipient's server, refused for good.
    pub(super) refused: u64,
    /// Contacts to whom nothing was sent because they had opted out.
    pub(super) withheld: u64,
    /// Calls of which nobody knows whether they were made: a person is asked, and none is made again.
    pub(super) undecided: u64,
    /// Contacts and messages without an end, and messages on record as sent that no provider has.
    pub(super) lost: u64,
    /// Deliveries beyond the first of their message.
    pub(super) repeats: u64,
    /// Repeats that the rule of their channel does not allow, or that nothing on record explains.
    pub(super) unexplained_repeats: u64,
    /// Explained repeats by what the provider's log says of the delivery before.
    pub(super) repeats_by_cause: BTreeMap<Cause, u64>,
    /// Repeats by channel.
    pub(super) repeats_by_channel: BTreeMap<Channel, u64>,
    /// Deliveries that are no message on record, or not one that was sent, or went to another address.
    pub(super) strays: u64,
    /// Deliveries to people who had opted out.
    pub(super) to_opted_out: u64,
    /// Deliveries outside the campaigns' hours, or at night where the recipient is.
    pub(super) out_of_hours: u64,
    /// Deliveries whose reply the provider itself dropped.
    pub(super) replies_dropped: u64,
    /// The first few of what is lost, unexplained, stray or forbidden.
    #[serde(skip)]
    pub(super) examples: Vec<String>,
    /// When the last first message of each campaign arrived, by the wall's clock, whoever slept when the day began left out.
    #[serde(skip)]
    pub(super) last_at_ms: HashMap<CampaignId, u64>,
}

impl Account {
    /// Whether the queue and the application have kept every promise.
    pub(super) fn is_clean(&self) -> bool {
        self.lost + self.unexplained_repeats + self.strays + self.to_opted_out + self.out_of_hours == 0
    }

    fn example(&mut self, text: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(text());
        }
    }
}

/// What became of a contact's first step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum First {
    /// Nothing was to be sent.
    Withheld,
    /// It could not be sent.
    NotSent,
    /// A provider has it.
    Reached,
}

/// What the logs say of one message.
struct Seen {
    channel: Channel,
    to: Box<str>,
    first_at_ms: u64,
    copies: u32,
    /// Copies whose reply the provider dropped.
    dropped: u32,
    /// Copies of one mail that have not the same Message-ID.
    differ: bool,
    /// It had to wait for the recipient's morning.
    is_west: bool,
    id: Box<str>,
}

/// Reads the logs, and compares them with the database.
///
/// # Errors
/// When a log or the database cannot be read.
pub(super) async fn close(
    database: &str,
    logs: &[PathBuf; 2],
    day: &Day,
    people: &People,
) -> Result<Account, Fault> {
    let mut account = Account::default();
    let (clock, logs, inner) = (day.clock, logs.clone(), people.clone());
    let reading = tokio::task::spawn_blocking(move || {
        let allowed = Allowed::new(clock, &inner);
        let mut seen = HashMap::new();
        for log in &logs {
            read(log, &allowed, &mut seen, &mut account)?;
        }
        Ok::<_, Fault>((seen, account))
    });
    let (mut seen, mut account) = reading.await.map_err(|error| Fault::failed(error.to_string()))??;

    let db = Db::open(database).await.map_err(AppError::from)?;
    for campaign in &day.campaigns {
        let (id, enrolled) = (campaign.id, campaign.people.len() as u64);
        let counts = db.read(move |tx| enrolments::counts(tx, id)).await.map_err(AppError::from)?;
        let ended = counts.iter().filter(|(status, _)| *status != EnrolmentStatus::Active);
        let ended: u64 = ended.map(|(_, count)| u64::try_from(*count).unwrap_or(0)).sum();
        if ended < enrolled {
            account.lost += enrolled - ended;
            let missing = enrolled - ended;
            account.example(|| format!("{missing} contacts of {} have not come to an end", campaign.name));
        }
    }
    let mut before = TouchId(i64::MAX);
    // What became of the first step of each contact; a fallback is a second message of the same step.
    let mut firsts: HashMap<(CampaignId, i64), First> = HashMap::new();
    loop {
        let page = db.read(move |tx| touches::page(tx, touches::Which::default(), before, PAGE)).await;
        let page = page.map_err(AppError::from)?;
        let Some(last) = page.last() else { break };
        before = last.id;
        for touch in &page {
            let found = seen.remove(&touch.id.0);
            let explained = match &found {
                Some(found) if found.copies > 1 && touch.channel == Channel::Email => {
                    noted(&db, touch.id).await?
                }
                _ => 0,
            };
            let first = account.take(touch, found.as_ref(), explained);
            if touch.step == 1 {
                let known = firsts.entry((touch.campaign, touch.contact.0)).or_insert(first);
                *known = (*known).max(first);
            }
        }
    }
    let enrolled: u64 = day.campaigns.iter().map(|campaign| campaign.people.len() as u64).sum();
    let of = |kind: First| firsts.values().filter(|first| **first == kind).count() as u64;
    (account.delivered, account.withheld) = (of(First::Reached), of(First::Withheld));
    let without = enrolled.saturating_sub(firsts.len() as u64);
    if without > 0 {
        account.lost += without;
        account.example(|| format!("{without} contacts have no message on record"));
    }
    for (id, seen) in seen {
        account.strays += u64::from(seen.copies);
        account.example(|| format!("{} to {} is message {id}, which nobody knows", seen.channel, seen.to));
    }
    Ok(account)
}

/// How often it was noted, before a message was sent again, that nobody knew of the time before.
async fn noted(db: &Db, touch: TouchId) -> Result<u32, Fault> {
    let all = db.read(move |tx| events::of_touch(tx, touch)).await.map_err(AppError::from)?;
    let repeated = all.iter().filter(|event| event.kind == EventKind::Repeated).count();
    Ok(u32::try_from(repeated).unwrap_or(u32::MAX))
}

impl Account {
    /// Compares one message on record with what the logs say of it.
    fn take(&mut self, touch: &Touch, seen: Option<&Seen>, explained: u32) -> First {
        self.messages += 1;
        self.refused += u64::from(touch.status == TouchStatus::Failed || touch.bounced_at_once());
        self.undecided += u64::from(touch.status == TouchStatus::Unknown);
        let shown =
            || format!("message {} ({}, {}) to {}", touch.id, touch.channel, touch.status, touch.address);
        let is_taken = touch.status.was_sent() && !touch.bounced_at_once();
        let may_be_there = is_taken || touch.status == TouchStatus::Unknown;
        let Some(seen) = seen else {
            if is_taken || !touch.status.is_final() {
                self.lost += 1;
                self.example(|| format!("{} is at no provider", shown()));
            }
            return if touch.status == TouchStatus::Skipped { First::Withheld } else { First::NotSent };
        };
        let is_it =
            seen.channel == touch.channel && seen.to.eq_ignore_ascii_case(&touch.address) && !seen.differ;
        // A call that failed was made: nobody answered.
        let was_made = may_be_there || touch.provider_ref.is_some();
        if !is_it || !was_made {
            self.strays += u64::from(seen.copies);
            self.example(|| format!("{} is at the provider, {} times, to {}", shown(), seen.copies, seen.to));
            return First::NotSent;
        }
        if touch.step == 1 && !seen.is_west {
            let last = self.last_at_ms.entry(touch.campaign).or_default();
            *last = (*last).max(seen.first_at_ms);
        }
        let repeats = seen.copies - 1;
        if repeats == 0 {
            return First::Reached;
        }
        self.repeats += u64::from(repeats);
        *self.repeats_by_channel.entry(touch.channel).or_default() += u64::from(repeats);
        let explained = repeats.min(explained);
        let lost_replies = seen.dropped.min(explained);
        for (cause, count) in
            [(Cause::ReplyLost, lost_replies), (Cause::WorkerKilled, explained - lost_replies)]
        {
            if count > 0 {
                *self.repeats_by_cause.entry(cause).or_default() += u64::from(count);
            }
        }
        if explained < repeats {
            self.unexplained_repeats += u64::from(repeats - explained);
            self.example(|| format!("{} is at the provider {} times", shown(), seen.copies));
        }
        First::Reached
    }
}

/// Who may be reached when, by how the day was made.
struct Allowed {
    clock: Clock,
    opted_out: HashSet<String>,
    west: HashSet<String>,
}

impl Allowed {
    fn new(clock: Clock, people: &People) -> Self {
        let (mut opted_out, mut west) = (HashSet::new(), HashSet::new());
        for number in 0..people.count {
            let (is_out, is_west) = (people.has_opted_out(number), people.home(number) == Home::West);
            if is_out || is_west {
                let person = people.get(number);
                let addresses = person.email.into_iter().chain(person.phone);
                for address in addresses.map(|address| address.to_lowercase()) {
                    if is_out {
                        opted_out.insert(address.clone());
                    }
                    if is_west {
                        west.insert(address);
                    }
                }
            }
        }
        Self { clock, opted_out, west }
    }

    /// Whether campaign and recipient may both have it at that moment of the wall.
    fn hours(&self, delivery: &Delivery<'_>, to: &str) -> bool {
        let here = self.clock.at(Time(delivery.at_ms));
        let hour = |home: Home| {
            let behind =
                BEHIND_UTC_HOURS.iter().find(|(known, _)| *known == home).map_or(0, |(_, hours)| *hours);
            here.0.saturating_sub(behind * HOUR_MS) / HOUR_MS % 24
        };
        let home = if self.west.contains(to) { Home::West } else { Home::East };
        let is_legal = delivery.channel == log::Channel::Email || LEGAL_HOURS.contains(&hour(home));
        CAMPAIGN_HOURS.contains(&hour(Home::East)) && is_legal
    }
}

fn read(
    path: &Path,
    allowed: &Allowed,
    seen: &mut HashMap<i64, Seen>,
    account: &mut Account,
) -> Result<(), Fault> {
    let failed = |error: &std::io::Error| Fault::file(path.display(), error);
    let mut file = BufReader::with_capacity(256 * 1024, File::open(path).map_err(|error| failed(&error))?);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut file).take(LINE_MAX_BYTES).read_until(b'\n', &mut line);
        if read.map_err(|error| failed(&error))? == 0 {
            return Ok(());
        }
        let delivery: Delivery<'_> = serde_json::from_slice(&line)
            .map_err(|error| Fault::failed(format!("{}: {error}", path.display())))?;
        account.deliveries += 1;
        account.calls += u64::from(delivery.channel == log::Channel::Voicemail);
        account.replies_dropped += u64::from(delivery.reply_dropped);
        let to = delivery.to.to_lowercase();
        if allowed.opted_out.contains(&to) {
            account.to_opted_out += 1;
            account.example(|| format!("{to} has opted out and was reached"));
        }
        if !allowed.hours(&delivery, &to) {
            account.out_of_hours += 1;
            account.example(|| format!("{to} was reached at {}, out of hours", delivery.at_ms));
        }
        let Some((touch, id)) = named(&delivery) else {
            account.strays += 1;
            account.example(|| format!("a delivery to {to} names no message"));
            continue;
        };
        let copy = seen.entry(touch).or_insert_with(|| Seen {
            channel: channel(delivery.channel),
            to: to.as_str().into(),
            first_at_ms: delivery.at_ms,
            copies: 0,
            dropped: 0,
            differ: false,
            is_west: allowed.west.contains(&to),
            id: id.into(),
        });
        copy.copies += 1;
        copy.dropped += u32::from(delivery.reply_dropped);
        copy.first_at_ms = copy.first_at_ms.min(delivery.at_ms);
        copy.differ |= *copy.id != *id || *copy.to != *to || copy.channel != channel(delivery.channel);
    }
}

/// The message that a delivery says it is, and in which words: a mail by `<t7.….@…>`, others by `…/hooks/twilio/2/7`.
fn named<'d>(delivery: &'d Delivery<'_>) -> Option<(i64, &'d str)> {
    if let Some(id) = &delivery.message_id {
        let number = id.strip_prefix("<t")?.split('.').next()?;
        return Some((number.parse().ok()?, id));
    }
    let callback = delivery.status_callback.as_deref()?;
    Some((callback.rsplit('/').next()?.parse().ok()?, callback))
}

fn channel(logged: log::Channel) -> Channel {
    match logged {
        log::Channel::Email => Channel::Email,
        log::Channel::Sms => Channel::Sms,
        log::Channel::Voicemail => Channel::Voicemail,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn touch(channel: &str, status: &str) -> Touch {
        let touch = json!({
            "id": 7, "campaign": 1, "contact": 2, "step": 1, "step_key": 1, "channel": channel, "version": 1, "status": status,
            "reason": null, "detail": "", "until": null, "address": "Ann@example.com", "sender": 1, "job": "",
            "provider_ref": null, "provider_status": "", "sends": 1, "content_hash": "", "evidence": null,
            "counted_day": "", "created_at": 0, "sending_at": null, "sent_at": null, "ended_at": null,
        });
        serde_json::from_value(touch).unwrap()
    }

    fn seen(channel: Channel, to: &str, copies: u32) -> Seen {
        let (to, id) = (to.into(), "<t7.x@y>".into());
        Seen { channel, to, first_at_ms: 5, copies, dropped: 0, differ: false, is_west: false, id }
    }

    #[test]
    fn what_is_lost_repeated_or_not_on_record_leaves_the_account_open() {
        let mail = |copies| seen(Channel::Email, "ann@example.com", copies);
        let closed = |touch: &Touch, seen: Option<&Seen>, explained| {
            let mut account = Account::default();
            account.take(touch, seen, explained);
            (account.lost, account.unexplained_repeats, account.strays, account.is_clean())
        };
        let sent = touch("email", "sent");
        assert_eq!(closed(&sent, Some(&mail(1)), 0), (0, 0, 0, true));
        assert_eq!(closed(&sent, None, 0), (1, 0, 0, false), "no provider has it");
        assert_eq!(closed(&touch("email", "queued"), None, 0), (1, 0, 0, false), "it has no end");
        assert_eq!(closed(&touch("email", "skipped"), None, 0), (0, 0, 0, true));
        let at_once = touch("email", "bounced");
        assert_eq!(closed(&at_once, None, 0), (0, 0, 0, true), "its server has refused it");
        assert_eq!(closed(&at_once, Some(&mail(1)), 0), (0, 0, 1, false), "and yet it is there");
        let later = Touch { sent_at: Some(Time(1)), ..touch("email", "bounced") };
        assert_eq!(closed(&later, Some(&mail(1)), 0), (0, 0, 0, true));
        assert_eq!(closed(&later, None, 0), (1, 0, 0, false), "it was taken before it came back");
        assert_eq!(closed(&touch("email", "skipped"), Some(&mail(1)), 0), (0, 0, 1, false));
        assert_eq!(closed(&sent, Some(&mail(3)), 2), (0, 0, 0, true), "both repeats are on record");
        assert_eq!(closed(&sent, Some(&mail(3)), 1), (0, 1, 0, false));
        let elsewhere = seen(Channel::Email, "bob@example.com", 1);
        assert_eq!(closed(&sent, Some(&elsewhere), 0), (0, 0, 1, false));
        let other = Seen { differ: true, ..mail(2) };
        assert_eq!(closed(&sent, Some(&other), 1), (0, 0, 2, false), "another Message-ID is another mail");
    }
}
