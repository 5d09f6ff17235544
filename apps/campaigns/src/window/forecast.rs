//! When a campaign will be through: how long its window is open for whom, and what fits into it.
//!
//! The arithmetic is a fluid one and plain. Time is cut at every instant at which some group's window opens
//! or closes and at every midnight of the campaign's zone. Within a cut the groups that are open share the
//! pace in proportion to what each has left; the day's cap ends the day. What is cut off by rounding is less
//! than one message a day. It knows nothing of refusals, retries and other campaigns: those make a campaign
//! later, never earlier.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use windlass::Time;

use super::HORIZON_MS;
use super::policy::WindowPolicy;
use super::recipient::{Located, Recipient};
use super::rules::RuleTable;
use super::span;
use super::verdict::{Conditions, settle};
use super::zone::{self, Zone, civil};
use crate::channel::Channel;

/// What is less than this part of a message is none: the error of many small shares, which must not cost a day.
pub(super) const NOTHING: f64 = 1e-3;

/// Recipients who may be reached at the same times: the same zones, places and channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// One recipient who stands for all.
    pub recipient: Recipient,
    /// How they are reached.
    pub channel: Channel,
    /// How many messages there are for them.
    pub messages: u64,
}

/// How fast a campaign may send; nothing set is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Caps {
    /// Messages a day, counted from midnight to midnight in the campaign's zone.
    pub per_day: Option<u64>,
    /// Messages already sent on the first day.
    pub sent_today: u64,
    /// Messages a second, over all groups; must be above 0 to send anything.
    pub per_second: Option<f64>,
}

/// What a campaign will have done, if all goes well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Each day until the last message, in order; at most [`super::HORIZON_DAYS`].
    pub days: Vec<DayForecast>,
    /// When the last message goes out; `None` if it does not within the horizon.
    pub completes_at: Option<Time>,
    /// The same as the campaign's clock shows it.
    pub completes_local: Option<String>,
    /// Messages that are never sent, by the index of their group: no zone, or windows that never meet.
    pub unreachable: Vec<(usize, u64)>,
}

/// One day of a forecast, by the campaign's calendar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DayForecast {
    /// The date in the campaign's zone.
    pub date: Date,
    /// Seconds in which at least one group with messages left is open.
    pub open_s: u64,
    /// Messages sent on this day.
    pub sent: u64,
    /// Messages left at its end, without the unreachable.
    pub left: u64,
}

/// How long a recipient may be reached between two instants, in milliseconds; 0 for one without a zone.
pub fn open_ms(
    policy: &WindowPolicy,
    rules: &RuleTable,
    recipient: &Recipient,
    channel: Channel,
    from: Time,
    to: Time,
) -> u64 {
    let Ok(located) = settle(policy, recipient, channel) else { return 0 };
    let conditions = Conditions::new(policy, rules, recipient, channel, &located);
    let (mut at, to, mut open) = (zone::ms(from), zone::ms(to), 0);
    while at < to {
        let Some(opens) = span::opens(conditions.layers(), at, to) else { break };
        at = span::closes(conditions.layers(), opens, to).unwrap_or(to).min(to);
        open += at.saturating_sub(opens.min(to));
    }
    u64::try_from(open).unwrap_or(0)
}

/// A group's state while time is walked through.
struct Lane<'a> {
    conditions: Conditions<'a>,
    left: f64,
    open: bool,
    /// When `open` changes next.
    until: i64,
}

impl Lane<'_> {
    fn settle(&mut self, at: i64, bound: i64) {
        let layers = self.conditions.layers();
        self.open = span::is_open(layers, at);
        let change = if self.open { span::closes(layers, at, bound) } else { span::opens(layers, at, bound) };
        self.until = change.unwrap_or(i64::MAX);
    }
}

/// Works out day by day what a campaign sends from `from` on and when it is through.
pub fn forecast(
    policy: &WindowPolicy,
    rules: &RuleTable,
    groups: &[Group],
    caps: &Caps,
    from: Time,
) -> Forecast {
    let start = zone::ms(from);
    let bound = start + HORIZON_MS;
    let located: Vec<Option<Located>> =
        groups.iter().map(|group| settle(policy, &group.recipient, group.channel).ok()).collect();
    let (mut lanes, mut unreachable) = (Vec::new(), Vec::new());
    for (index, (group, located)) in groups.iter().zip(&located).enumerate() {
        let lane = located.as_ref().map(|located| Lane {
            conditions: Conditions::new(policy, rules, &group.recipient, group.channel, located),
            left: group.messages as f64,
            open: false,
            until: start,
        });
        match lane {
            Some(lane) if span::opens(lane.conditions.layers(), start, bound).is_some() => lanes.push(lane),
            _ if group.messages > 0 => unreachable.push((index, group.messages)),
            _ => {}
        }
    }
    let mut walk = Walk { zone: &policy.zone, caps, lanes, at: start, bound, days: Vec::new() };
    let completes = walk.run();
    Forecast {
        days: walk.days,
        completes_at: completes.map(zone::time),
        completes_local: completes.map(|at| policy.zone.text(zone::time(at))),
        unreachable,
    }
}

struct Walk<'a> {
    zone: &'a Zone,
    caps: &'a Caps,
    lanes: Vec<Lane<'a>>,
    at: i64,
    bound: i64,
    days: Vec<DayForecast>,
}

impl Walk<'_> {
    /// Walks day by day; the instant of the last message, if it comes.
    fn run(&mut self) -> Option<i64> {
        if self.left() < NOTHING {
            return Some(self.at);
        }
        let mut sent_before = self.caps.sent_today;
        while self.at < self.bound {
            let completes = self.day(sent_before);
            if completes.is_some() {
                return completes;
            }
            sent_before = 0;
        }
        None
    }

    /// One day of the campaign's calendar: sends what fits, writes it down.
    fn day(&mut self, sent_before: u64) -> Option<i64> {
        let date = civil(self.at + self.zone.stretch(self.at).offset).date();
        let midnight = date.tomorrow().ok().and_then(|next| self.zone.instant(next, 0));
        let end = midnight.unwrap_or(i64::MAX).max(self.at + 1).min(self.bound);
        let before = self.left();
        let cap = self.caps.per_day.map_or(f64::INFINITY, |cap| cap.saturating_sub(sent_before) as f64);
        let (mut room, mut open, mut completes) = (cap, 0, None);
        while self.at < end && completes.is_none() {
            for lane in &mut self.lanes {
                if lane.until <= self.at {
                    lane.settle(self.at, self.bound);
                }
            }
            let change = self.lanes.iter().map(|lane| lane.until).min().unwrap_or(i64::MAX).min(end);
            let (sent, took) = self.send(change - self.at, room);
            room -= sent;
            if self.lanes.iter().any(|lane| lane.open && lane.left > 0.0) || sent > 0.0 {
                open += change - self.at;
            }
            completes = (self.left() < NOTHING).then_some(self.at + took);
            self.at = change;
        }
        let left = self.left();
        self.days.push(DayForecast {
            date,
            open_s: u64::try_from(open / 1_000).unwrap_or(0),
            sent: before.round() as u64 - left.round() as u64,
            left: left.round() as u64,
        });
        completes
    }

    /// Sends during `span` milliseconds from now: how much, and how long it took.
    fn send(&mut self, span: i64, room: f64) -> (f64, i64) {
        let open: f64 = self.lanes.iter().filter(|lane| lane.open).map(|lane| lane.left).sum();
        let pace = self.caps.per_second.map_or(f64::INFINITY, |pace| pace / 1_000.0);
        let sent = open.min(room).min(pace * span as f64);
        if sent <= 0.0 || sent.is_nan() {
            return (0.0, 0);
        }
        for lane in self.lanes.iter_mut().filter(|lane| lane.open) {
            // All of it is taken as such, so that no grain is left for a day that does not come.
            lane.left = if sent >= open { 0.0 } else { lane.left * (1.0 - sent / open) };
        }
        (sent, if pace.is_finite() { (sent / pace).ceil() as i64 } else { 0 })
    }

    fn left(&self) -> f64 {
        self.lanes.iter().map(|lane| lane.left).sum()
    }
}
