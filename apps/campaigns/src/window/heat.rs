//! How many of some recipients can be reached in each hour of a week: what a campaign's window leaves open once every
//! recipient's own zone and the law are intersected with it.
//!
//! An hour's share is the mean of its four quarters, so that a window from 9:30 is seen to be half an hour. Recipients in
//! the same zones and places are asked for once.

use windlass::Time;

use super::{
    DAY_MS, HOUR_MS, MINUTE_MS,
    policy::WindowPolicy,
    recipient::{Located, Recipient},
    rules::RuleTable,
    span,
    verdict::{Conditions, settle},
    zone::{self, civil, date_ms},
};
use crate::channel::Channel;

/// Looks at an hour: its quarters, since zones and laws go by half hours at the finest, and windows by whatever people write.
const LOOKS: usize = 4;

/// A week's hours, with the share of recipients who can be reached in each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeekOfHours {
    /// The first day, a Monday of the campaign's calendar.
    pub monday: jiff::civil::Date,
    /// Percent for each hour of each day, Monday first, on the campaign's clock. What is not nothing is at least 1.
    pub percent: [[u8; 24]; 7],
}

/// Looks at the first whole week of the campaign's calendar from `from` on. Each recipient stands for so many.
///
/// Takes a few microseconds for each hour and group of recipients; nothing is read but the arguments.
pub fn heat(
    policy: &WindowPolicy,
    rules: &RuleTable,
    channel: Channel,
    recipients: &[(Recipient, u64)],
    from: Time,
) -> WeekOfHours {
    let monday = next_monday(policy, from);
    let all: u64 = recipients.iter().map(|(_, count)| count).sum();
    let mut open = [[0_u64; 24]; 7];
    for (recipient, located, count) in groups(policy, channel, recipients) {
        let conditions = Conditions::new(policy, rules, recipient, channel, &located);
        let mut date = monday;
        for day in &mut open {
            for (hour, sum) in (0..).zip(day.iter_mut()) {
                for quarter in 0..LOOKS as i64 {
                    let ms_of_day = hour * HOUR_MS + quarter * 15 * MINUTE_MS;
                    let at = policy.zone.instant(date, ms_of_day);
                    if at.is_some_and(|at| span::is_open(conditions.layers(), at)) {
                        *sum += count;
                    }
                }
            }
            date = date.tomorrow().unwrap_or(date);
        }
    }
    let whole = u128::from(all) * LOOKS as u128;
    let share = |sum: u64| match u128::from(sum) * 100 / whole.max(1) {
        0 if sum > 0 => 1,
        percent => u8::try_from(percent).unwrap_or(100),
    };
    WeekOfHours { monday, percent: open.map(|day| day.map(share)) }
}

/// The Monday on or after that day of the campaign's calendar.
fn next_monday(policy: &WindowPolicy, from: Time) -> jiff::civil::Date {
    let at = zone::ms(from);
    let today = civil(at + policy.zone.stretch(at).offset).date();
    let ahead = (7 - i64::from(today.weekday().to_monday_zero_offset())) % 7;
    civil(DAY_MS * ahead + date_ms(today)).date()
}

/// Those who can be reached at the same times, together; whoever nobody knows the zone of can be reached at none.
fn groups<'a>(
    policy: &WindowPolicy,
    channel: Channel,
    recipients: &'a [(Recipient, u64)],
) -> Vec<(&'a Recipient, Located, u64)> {
    let mut groups: Vec<(&Recipient, Located, u64)> = Vec::new();
    for (recipient, count) in recipients {
        let Ok(located) = settle(policy, recipient, channel) else { continue };
        let is_same = |(other, there, _): &&mut (&Recipient, Located, u64)| {
            (&there.zones, &there.places, &other.hours) == (&located.zones, &located.places, &recipient.hours)
        };
        match groups.iter_mut().find(is_same) {
            Some((.., sum)) => *sum += count,
            None => groups.push((recipient, located, *count)),
        }
    }
    groups
}
