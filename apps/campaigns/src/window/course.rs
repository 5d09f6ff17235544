//! When a sequence will be through: as [`super::forecast()`], with steps that follow each other, a pace and a day's messages
//! for each channel, and days that bear more and more while senders warm up.
//!
//! Time is cut where a window opens or closes, at midnight, every hour while messages go out, and where some fall due while
//! none do. What a cut sends falls due for the next step when the step's delay has passed from the end of its sends. Within
//! a cut the groups of a channel share its pace in proportion to what each has left, and the channels the campaign's messages
//! of the day. It knows nothing of refusals, retries, conditions, answers and other campaigns.

use std::collections::BTreeMap;

use windlass::Time;

use super::{
    DAY_MS, HORIZON_MS, HOUR_MS,
    delay::Delay,
    forecast::{DayForecast, Forecast, NOTHING},
    policy::WindowPolicy,
    recipient::{Located, Recipient},
    rules::RuleTable,
    span,
    verdict::{Conditions, settle},
    zone::{self, Zone, civil},
};
use crate::channel::Channel;

/// The messages of one step by one channel to recipients who may be reached at the same times.
#[derive(Clone, Debug, PartialEq)]
pub struct Lot {
    /// One recipient who stands for all.
    pub recipient: Recipient,
    /// How they are reached.
    pub channel: Channel,
    /// How many messages there are for them.
    pub messages: u64,
    /// The lots after which these messages fall due, in proportion as those go out; all of them stand earlier in the list.
    /// None is the beginning.
    pub after: Vec<usize>,
    /// How long after them, one delay after the other.
    pub delays: Vec<Delay>,
    /// Whether it is the first that its contacts get.
    pub begins: bool,
}

/// How fast a channel may send.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pace {
    /// Messages a second; nothing is no limit.
    pub per_second: Option<f64>,
    /// Messages on the first day, the second, and so on; the last holds for all days after. Empty is no limit.
    pub per_day: Vec<u64>,
}

/// How fast a campaign may send.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Paces {
    /// Messages a day over all channels, from midnight to midnight in the campaign's zone.
    pub per_day: Option<u64>,
    /// Of those, already sent on the first day.
    pub sent_today: u64,
    /// Contacts to begin with on a day: of the lots that begin the sequence, as many messages go out on each.
    pub begins_per_day: Option<u64>,
    /// E-mail, SMS and voicemail, in the order of [`Channel::ALL`].
    pub channels: [Pace; 3],
}

/// Works out day by day what a campaign sends from `from` on and when it is through. Lots that can never be reached are
/// told by their place in the list.
pub fn course(policy: &WindowPolicy, rules: &RuleTable, lots: &[Lot], paces: &Paces, from: Time) -> Forecast {
    let start = zone::ms(from);
    let bound = start + HORIZON_MS;
    let located: Vec<Option<Located>> =
        lots.iter().map(|lot| settle(policy, &lot.recipient, lot.channel).ok()).collect();
    let (mut lanes, mut unreachable) = (Vec::with_capacity(lots.len()), Vec::new());
    for (index, (lot, located)) in lots.iter().zip(&located).enumerate() {
        let conditions =
            located.as_ref().map(|at| Conditions::new(policy, rules, &lot.recipient, lot.channel, at));
        let opens = |conditions: &Conditions<'_>| span::opens(conditions.layers(), start, bound).is_some();
        let conditions = conditions.filter(opens);
        if conditions.is_none() && lot.messages > 0 {
            unreachable.push((index, lot.messages));
        }
        let messages = if conditions.is_some() { lot.messages as f64 } else { 0.0 };
        lanes.push(Lane {
            lot,
            conditions,
            messages,
            due: BTreeMap::new(),
            left: 0.0,
            may: 0.0,
            open: false,
            until: start,
            followers: Vec::new(),
        });
    }
    for index in 0..lanes.len() {
        let lot = lanes[index].lot;
        for before in &lot.after {
            lanes[*before].followers.push(index);
        }
        let messages = lanes[index].messages;
        // What would follow messages that nobody gets follows the beginning.
        let waits = lot.after.iter().any(|before| lanes[*before].messages > 0.0);
        if messages > 0.0 && !waits {
            let due = later(policy, lot, start);
            lanes[index].due.insert(due, messages);
        }
    }
    let remaining = lanes.iter().map(|lane| lane.messages).sum();
    let has_steps = lots.iter().any(|lot| !lot.after.is_empty());
    let cut = if has_steps { HOUR_MS } else { DAY_MS };
    let mut walk = Walk { policy, paces, lanes, at: start, bound, cut, remaining, days: Vec::new() };
    let completes = walk.run();
    Forecast {
        days: walk.days,
        completes_at: completes.map(zone::time),
        completes_local: completes.map(|at| policy.zone.text(zone::time(at))),
        unreachable,
    }
}

/// When the delays of a lot have passed.
fn later(policy: &WindowPolicy, lot: &Lot, at: i64) -> i64 {
    let passed = |at: Time, delay: &Delay| delay.due(at, policy, &lot.recipient).unwrap_or(at);
    zone::ms(lot.delays.iter().fold(zone::time(at), passed))
}

/// A lot's state while time is walked through.
struct Lane<'a> {
    lot: &'a Lot,
    /// None when it never opens.
    conditions: Option<Conditions<'a>>,
    messages: f64,
    /// What falls due when.
    due: BTreeMap<i64, f64>,
    /// What is due and not sent.
    left: f64,
    /// As much of it as may go out now.
    may: f64,
    open: bool,
    /// When `open` changes next.
    until: i64,
    /// Lots whose messages follow these.
    followers: Vec<usize>,
}

impl Lane<'_> {
    fn settle(&mut self, at: i64, bound: i64) {
        let Some(conditions) = &self.conditions else {
            self.until = i64::MAX;
            return;
        };
        let layers = conditions.layers();
        self.open = span::is_open(layers, at);
        let change = if self.open { span::closes(layers, at, bound) } else { span::opens(layers, at, bound) };
        self.until = change.unwrap_or(i64::MAX);
    }

    fn take_due(&mut self, at: i64) {
        while let Some(first) = self.due.first_entry().filter(|first| *first.key() <= at) {
            self.left += first.remove();
        }
    }

    fn sends(&self) -> bool {
        self.open && self.left > 0.0
    }
}

struct Walk<'a> {
    policy: &'a WindowPolicy,
    paces: &'a Paces,
    lanes: Vec<Lane<'a>>,
    at: i64,
    bound: i64,
    /// The longest cut while something is sent.
    cut: i64,
    /// What is not sent, due or not.
    remaining: f64,
    days: Vec<DayForecast>,
}

/// What the day has left to send.
struct Room {
    campaign: f64,
    begins: f64,
    channels: [f64; 3],
}

impl Walk<'_> {
    fn run(&mut self) -> Option<i64> {
        if self.remaining < NOTHING {
            return Some(self.at);
        }
        while self.at < self.bound {
            let completes = self.day();
            if completes.is_some() {
                return completes;
            }
        }
        None
    }

    fn next_due(&self) -> i64 {
        let due = self.lanes.iter().filter_map(|lane| lane.due.first_key_value());
        due.map(|(due, _)| *due).min().unwrap_or(i64::MAX)
    }

    fn room(&self) -> Room {
        let day = self.days.len();
        let before = if day == 0 { self.paces.sent_today } else { 0 };
        let campaign = self.paces.per_day.map_or(f64::INFINITY, |cap| cap.saturating_sub(before) as f64);
        let of = |pace: &Pace| {
            let cap = pace.per_day.get(day).or(pace.per_day.last());
            cap.map_or(f64::INFINITY, |cap| *cap as f64)
        };
        let begins = self.paces.begins_per_day.map_or(f64::INFINITY, |cap| cap as f64);
        Room { campaign, begins, channels: self.paces.channels.each_ref().map(of) }
    }

    /// One day of the campaign's calendar: sends what fits, writes it down.
    fn day(&mut self) -> Option<i64> {
        let zone: &Zone = &self.policy.zone;
        let date = civil(self.at + zone.stretch(self.at).offset).date();
        let midnight = date.tomorrow().ok().and_then(|next| zone.instant(next, 0));
        let end = midnight.unwrap_or(i64::MAX).max(self.at + 1).min(self.bound);
        let (before, mut room) = (self.remaining, self.room());
        let (mut open, mut completes) = (0, None);
        while self.at < end && completes.is_none() {
            let (mut change, mut sends) = (end, false);
            for lane in &mut self.lanes {
                lane.take_due(self.at);
                if lane.until <= self.at {
                    lane.settle(self.at, self.bound);
                }
                sends |= lane.sends();
                change = change.min(lane.until);
            }
            // What falls due while others are sent waits for the end of the cut: cuts at every such moment would make ever
            // more of them.
            change = if sends { change.min(self.at + self.cut) } else { change.min(self.next_due()) };
            let took = self.send(change - self.at, &mut room);
            if sends && !self.lanes.iter().any(Lane::sends) {
                change = change.min(self.next_due().max(self.at + took));
            }
            if sends {
                open += change - self.at;
            }
            completes = (self.remaining < NOTHING).then_some(self.at + took);
            self.at = change;
        }
        let left = if completes.is_some() { 0.0 } else { self.remaining };
        self.days.push(DayForecast {
            date,
            open_s: u64::try_from(open / 1_000).unwrap_or(0),
            sent: before.round() as u64 - left.round() as u64,
            left: left.round() as u64,
        });
        completes
    }

    /// Sends during `span` milliseconds from now; how long the slowest channel took.
    fn send(&mut self, span: i64, room: &mut Room) -> i64 {
        let mut due = [0.0; 3];
        let begin: f64 =
            self.lanes.iter().filter(|lane| lane.sends() && lane.lot.begins).map(|lane| lane.left).sum();
        let share = if begin > room.begins { room.begins / begin } else { 1.0 };
        for lane in self.lanes.iter_mut().filter(|lane| lane.sends()) {
            lane.may = if lane.lot.begins { lane.left * share } else { lane.left };
            due[lane.lot.channel as usize] += lane.may;
        }
        let pace =
            |at: usize| self.paces.channels[at].per_second.map_or(f64::INFINITY, |pace| pace / 1_000.0);
        let want: [f64; 3] =
            std::array::from_fn(|at| due[at].min(room.channels[at]).min(pace(at) * span as f64));
        let total: f64 = want.iter().sum();
        if total <= 0.0 || total.is_nan() {
            return 0;
        }
        let share = (room.campaign / total).min(1.0);
        let sent = want.map(|want| want * share);
        let mut took = 0;
        room.campaign -= sent.iter().sum::<f64>();
        self.remaining -= sent.iter().sum::<f64>();
        for (at, sent) in sent.iter().enumerate() {
            room.channels[at] -= sent;
            if pace(at).is_finite() && *sent > 0.0 {
                took = took.max((sent / pace(at)).ceil() as i64);
            }
        }
        self.spread(&sent, &due, room, self.at + took.min(span));
        took
    }

    /// Takes from the lanes what was sent, and lets the next steps fall due.
    fn spread(&mut self, sent: &[f64; 3], due: &[f64; 3], room: &mut Room, at: i64) {
        for index in 0..self.lanes.len() {
            let lane = &mut self.lanes[index];
            let channel = lane.lot.channel as usize;
            if !lane.sends() || sent[channel] <= 0.0 {
                continue;
            }
            // All of it is taken as such, so that no grain is left for a day that does not come.
            let took = if sent[channel] >= due[channel] {
                lane.may
            } else {
                lane.may * sent[channel] / due[channel]
            };
            lane.left -= took;
            room.begins -= if lane.lot.begins { took } else { 0.0 };
            for place in 0..self.lanes[index].followers.len() {
                let follower = self.lanes[index].followers[place];
                let lot = self.lanes[follower].lot;
                let before: f64 = lot.after.iter().map(|before| self.lanes[*before].messages).sum();
                let amount = self.lanes[follower].messages * took / before;
                if amount > 0.0 {
                    let when = later(self.policy, lot, at);
                    *self.lanes[follower].due.entry(when).or_default() += amount;
                }
            }
        }
    }
}
