//! A sender: a mailbox or number that messages come from, with its caps and its warm-up.
//!
//! Mail providers distrust a sender that is loud at once, so a new one begins with few messages a day and grows until it
//! may send what it is meant to.

use serde::{Deserialize, Serialize};
use windlass::Time;

use super::{ProviderId, SenderId, UserId};
use crate::channel::Channel;

/// Bounces among a day's messages, in thousandths, above which a sender does not grow: 3 %, which mailbox providers take
/// for a bought list.
const FROZEN_ABOVE_BOUNCES: u64 = 30;
/// Days without a message after which a sender begins again: by then its reputation is forgotten.
const FORGOTTEN_AFTER_DAYS: u32 = 30;
/// Messages of a day below which its bounces say nothing: one of ten is no rate.
const TELLING_MESSAGES: u64 = 20;

/// Mails of a sender, its last ones, among which bounces are counted for its brake: enough for a rate, and few enough that a
/// bad list shows at once.
pub const BOUNCES_OF: u32 = 200;
/// Bounces among those, in thousandths, above which it stops: 5 %, which mailbox providers take for a sender who does not know
/// whom they write to. Below that it only does not grow.
const STOPPED_ABOVE_BOUNCES: u64 = 50;
/// Mails below which the brake says nothing.
const TELLING_FOR_BRAKE: u64 = 50;
/// Mails of a sender, its last ones, among which complaints are counted for its brake: they are told by the thousand.
pub const COMPLAINTS_OF: u32 = 1_000;
/// Complaints among those, in thousandths, above which it stops: 0.3 %, from which on Gmail and Yahoo reject a sender.
const STOPPED_ABOVE_COMPLAINTS: u64 = 3;
/// Complaints below which the brake says nothing: one person is no rate.
const TELLING_COMPLAINTS: u64 = 2;

/// A sender.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sender {
    /// Its number.
    pub id: SenderId,
    /// Whose it is; none is everybody's.
    pub user: Option<UserId>,
    /// By which channel.
    pub channel: Channel,
    /// The name that recipients see.
    pub name: String,
    /// The mailbox, or the number in E.164.
    pub address: String,
    /// Through which account.
    pub provider: ProviderId,
    /// The zone in which its day begins.
    pub time_zone: String,
    /// Messages a day when it is warm.
    pub daily_cap: u32,
    /// Messages a minute; none is as fast as the provider takes them.
    pub per_minute: Option<u32>,
    /// Its warm-up.
    pub warm_up: WarmUp,
    /// Messages that it may send today.
    pub cap_today: u32,
    /// Whether nothing goes out in its name.
    pub paused: bool,
    /// Who paused it and why.
    pub pause_reason: String,
    /// Grows with every change.
    pub revision: i64,
    /// When it goes on by itself; none is when a person says so.
    pub paused_until: Option<Time>,
}

impl Sender {
    /// Everybody's sender, warm and without a name or a pace of its own, as it is before anybody says more of it.
    pub fn new(
        channel: Channel,
        address: impl Into<String>,
        provider: ProviderId,
        time_zone: impl Into<String>,
        daily_cap: u32,
    ) -> Self {
        Self {
            id: SenderId(0),
            user: None,
            channel,
            name: String::new(),
            address: address.into(),
            provider,
            time_zone: time_zone.into(),
            daily_cap,
            per_minute: None,
            warm_up: WarmUp::warm(),
            cap_today: 0,
            paused: false,
            pause_reason: String::new(),
            revision: 0,
            paused_until: None,
        }
    }

    /// What it may send so many days after today, if it grows on each day until then: what a forecast and a plan count on.
    pub fn cap_in(&self, days: u32) -> u32 {
        match self.warm_up.day {
            _ if days == 0 => self.cap_today,
            Some(begun) => self.warm_up.messages_on(begun.saturating_add(days), self.daily_cap),
            None => self.daily_cap,
        }
    }
}

/// How a sender grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmUp {
    /// Messages on the first day.
    pub first_day: u32,
    /// How much more on the next, in percent.
    pub growth_percent: u32,
    /// How many days it has grown; none is a sender that needs no warm-up.
    pub day: Option<u32>,
    /// Days without a message in a row.
    #[serde(default)]
    pub idle_days: u32,
}

impl WarmUp {
    /// Twenty messages on the first day and a quarter more on each.
    pub fn new_mailbox() -> Self {
        Self { first_day: 20, growth_percent: 25, day: Some(1), idle_days: 0 }
    }

    /// A sender that may send its whole cap from the beginning.
    pub fn warm() -> Self {
        Self { first_day: 20, growth_percent: 25, day: None, idle_days: 0 }
    }

    /// Messages on that day of the warm-up, from 1, with at most `cap` of them.
    pub fn messages_on(&self, day: u32, cap: u32) -> u32 {
        let mut messages = u64::from(self.first_day.max(1));
        for _ in 1..day {
            if messages >= u64::from(cap) {
                break;
            }
            // At least one more each day, so that the smallest beginning grows, too.
            messages += (messages * u64::from(self.growth_percent) / 100).max(1);
        }
        u32::try_from(messages).unwrap_or(u32::MAX).min(cap)
    }

    /// What it may send today.
    pub fn cap(&self, daily_cap: u32) -> u32 {
        self.day.map_or(daily_cap, |day| self.messages_on(day, daily_cap))
    }

    /// The warm-up after a day on which so many were sent, bounced and complained about.
    #[must_use]
    pub fn after(self, day: Health, daily_cap: u32) -> Self {
        if day.sent == 0 {
            let idle_days = self.idle_days.saturating_add(1);
            if idle_days >= FORGOTTEN_AFTER_DAYS && self.day.is_some() {
                return Self { day: Some(1), idle_days: 0, ..self };
            }
            return Self { idle_days, ..self };
        }
        let rested = Self { idle_days: 0, ..self };
        match self.day {
            Some(number) if !day.is_bad() => {
                // A day on which it could have sent more and had nothing to say does not count.
                let used = u64::from(self.messages_on(number, daily_cap));
                let is_warm = used >= u64::from(daily_cap);
                let grows = !is_warm && day.sent.saturating_mul(2) >= used;
                Self { day: Some(if grows { number.saturating_add(1) } else { number }), ..rested }
            }
            _ => rested,
        }
    }
}

/// How a sender's messages of a day fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Went out to the recipients' side.
    pub sent: u64,
    /// Of those, bounced ([`super::touch::TouchStatus::Bounced`]), at once or later.
    pub bounced: u64,
    /// Of those, reported as spam.
    pub complained: u64,
}

impl Health {
    /// Why a sender stops whose last mails bounced like that, if it does.
    pub fn too_many_bounces(self) -> Option<String> {
        let Self { sent, bounced, .. } = self;
        let stops = sent >= TELLING_FOR_BRAKE
            && bounced.saturating_mul(1_000) > sent.saturating_mul(STOPPED_ABOVE_BOUNCES);
        stops.then(|| {
            let (rate, most) = (percent(bounced, sent), STOPPED_ABOVE_BOUNCES / 10);
            format!(
                "{bounced} of its last {sent} mails bounced: {rate} %, and above {most} % it stops by itself"
            )
        })
    }

    /// Why a sender stops whose last mails were reported like that, if it does.
    pub fn too_many_complaints(self) -> Option<String> {
        let Self { sent, complained, .. } = self;
        let stops = sent >= TELLING_FOR_BRAKE
            && complained >= TELLING_COMPLAINTS
            && complained.saturating_mul(1_000) > sent.saturating_mul(STOPPED_ABOVE_COMPLAINTS);
        stops.then(|| {
            let (rate, most) = (percent(complained, sent), percent(STOPPED_ABOVE_COMPLAINTS, 1_000));
            format!(
                "{complained} of its last {sent} mails were reported as spam: {rate} %, and above {most} % it stops by itself"
            )
        })
    }

    /// Whether a sender must not grow on it.
    pub fn is_bad(self) -> bool {
        self.complained > 0
            || (self.sent >= TELLING_MESSAGES
                && self.bounced.saturating_mul(1_000) > self.sent.saturating_mul(FROZEN_ABOVE_BOUNCES))
    }
}

/// A part in percent, with one decimal.
fn percent(part: u64, whole: u64) -> String {
    let thousandths = part.saturating_mul(1_000) / whole.max(1);
    format!("{}.{}", thousandths / 10, thousandths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(sent: u64, bounced: u64, complained: u64) -> Health {
        Health { sent, bounced, complained }
    }

    #[test]
    fn a_new_mailbox_grows_by_a_quarter_a_day_until_it_is_warm() {
        let mut warm_up = WarmUp::new_mailbox();
        let mut caps = Vec::new();
        for _ in 0..14 {
            caps.push(warm_up.cap(200));
            warm_up = warm_up.after(day(u64::from(warm_up.cap(200)), 0, 0), 200);
        }
        assert_eq!(caps, [20, 25, 31, 38, 47, 58, 72, 90, 112, 140, 175, 200, 200, 200]);
    }

    #[test]
    fn a_sender_is_frozen_by_bounces_above_three_percent_and_by_any_complaint() {
        let warm_up = WarmUp { day: Some(4), ..WarmUp::new_mailbox() };
        assert_eq!(warm_up.after(day(38, 1, 0), 200).day, Some(5));
        assert_eq!(warm_up.after(day(38, 2, 0), 200).day, Some(4));
        assert_eq!(warm_up.after(day(38, 0, 1), 200).day, Some(4));
        assert_eq!(warm_up.after(day(3, 0, 0), 200).day, Some(4), "it had little to say");
    }

    #[test]
    fn a_sender_that_was_silent_for_a_month_begins_again() {
        let mut warm_up = WarmUp { day: Some(9), ..WarmUp::new_mailbox() };
        for _ in 0..29 {
            warm_up = warm_up.after(day(0, 0, 0), 200);
            assert_eq!(warm_up.day, Some(9));
        }
        assert_eq!(warm_up.after(day(0, 0, 0), 200).day, Some(1));
    }

    #[test]
    fn a_sender_stops_above_five_percent_of_bounces_or_three_in_a_thousand_complaints_and_not_for_a_few_mails()
     {
        for (sent, bounced, stops) in
            [(49, 49, false), (50, 2, false), (50, 3, true), (200, 10, false), (200, 11, true), (0, 0, false)]
        {
            assert_eq!(day(sent, bounced, 0).too_many_bounces().is_some(), stops, "{bounced} of {sent}");
        }
        for (sent, complained, stops) in [
            (49, 9, false),
            (50, 1, false),
            (50, 2, true),
            (1_000, 3, false),
            (1_000, 4, true),
            (666, 2, true),
        ] {
            assert_eq!(
                day(sent, 0, complained).too_many_complaints().is_some(),
                stops,
                "{complained} of {sent}"
            );
        }
        let why = day(200, 11, 0).too_many_bounces().unwrap();
        assert_eq!(why, "11 of its last 200 mails bounced: 5.5 %, and above 5 % it stops by itself");
        let why = day(1_000, 0, 4).too_many_complaints().unwrap();
        assert!(
            why.contains("4 of its last 1000 mails were reported as spam: 0.4 %, and above 0.3 %"),
            "{why}"
        );
    }

    #[test]
    fn no_curve_runs_for_ever() {
        let slow = WarmUp { first_day: 1, growth_percent: 0, day: Some(1), idle_days: 0 };
        assert_eq!(slow.messages_on(10, 1_000), 10);
        assert_eq!(slow.messages_on(u32::MAX, 1_000), 1_000);
    }
}
