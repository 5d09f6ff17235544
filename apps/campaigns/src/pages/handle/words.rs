//! Windows and delays in words, and as fields of a form.

use crate::window::{Delay, HoursIn, OnNoZone, Week, WindowPolicy};

/// The days of a week in short.
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// A window in a sentence.
pub(super) fn policy(policy: &WindowPolicy) -> String {
    let clocks = match policy.hours_in {
        HoursIn::Campaign => format!("on the clocks of {}", policy.zone.name()),
        HoursIn::Recipient => "where the recipient is".to_owned(),
    };
    let holidays = if policy.holidays.is_empty() { "" } else { ", not on its holidays" };
    let nowhere = match policy.no_zone {
        OnNoZone::Skip => "",
        OnNoZone::UseCampaignZone => "; its own zone where nobody knows the recipient's",
    };
    format!("{} {clocks}{holidays}{nowhere}", week(&policy.week))
}

/// The hours of a week: `Mon–Fri 09:00-20:00, Sat 10:00-16:00`.
pub(super) fn week(week: &Week) -> String {
    let days: Vec<String> = (0..7).map(|day| hours(week, day)).collect();
    let mut told = Vec::new();
    let mut first = 0;
    while first < 7 {
        let same = (first..7).take_while(|day| days[*day] == days[first]).count();
        if !days[first].is_empty() {
            let last = first + same - 1;
            let span =
                if same == 1 { DAYS[first].to_owned() } else { format!("{}–{}", DAYS[first], DAYS[last]) };
            told.push(format!("{span} {}", days[first]));
        }
        first += same;
    }
    told.join("; ")
}

/// The hours of a day as a form has them: `09:00-12:00, 13:00-20:00`; empty for none.
pub(super) fn hours(week: &Week, day: usize) -> String {
    let clock = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
    let stretches: Vec<String> =
        week.minutes(day).map(|(from, to)| format!("{}-{}", clock(from), clock(to))).collect();
    stretches.join(", ")
}

/// When a step is due: `at once`, `2 days later`.
pub(super) fn delay(delay: Delay, is_first: bool) -> String {
    let (n, one, more) = match delay {
        Delay::Minutes(n) => (n, "minute", "minutes"),
        Delay::Hours(n) => (n, "hour", "hours"),
        Delay::Days(n) => (n, "day", "days"),
        Delay::BusinessHours(n) => (n, "hour of the window", "hours of the window"),
        Delay::BusinessDays(n) => (n, "day of the window", "days of the window"),
    };
    match (n, is_first) {
        (0, _) => "at once".to_owned(),
        (_, true) => format!("{} after the launch", windlass_look::words::many(n.into(), one, more)),
        (_, false) => format!("{} later", windlass_look::words::many(n.into(), one, more)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_is_told_by_its_runs_of_equal_days() {
        let told = |days: &[(&str, &str)]| week(&Week::of(days).expect("a week"));
        assert_eq!(
            told(&[("mon-fri", "09:00-20:00"), ("sat", "10:00-16:00")]),
            "Mon–Fri 09:00-20:00; Sat 10:00-16:00"
        );
        assert_eq!(told(&[("mon-sun", "00:00-24:00")]), "Mon–Sun 00:00-24:00");
        assert_eq!(told(&[("mon", "09:00-12:00"), ("mon", "13:00-20:00")]), "Mon 09:00-12:00, 13:00-20:00");
    }

    #[test]
    fn a_delay_of_one_is_no_plural() {
        assert_eq!(delay(Delay::Days(1), false), "1 day later");
        assert_eq!(delay(Delay::BusinessDays(2), false), "2 days of the window later");
        assert_eq!(
            (delay(Delay::Minutes(0), true).as_str(), delay(Delay::Hours(3), true).as_str()),
            ("at once", "3 hours after the launch")
        );
    }
}
