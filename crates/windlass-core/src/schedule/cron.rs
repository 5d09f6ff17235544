//! Cron in a time zone: which instants an expression names, also where the clock is changed.
//!
//! The croner crate parses expressions and searches the calendar; what happens at a change of the clock
//! is decided here, because croner's own rule looks at whether each field is one number: `30 2 * * *`
//! would survive the spring, while `30 2,14 * * *` would lose its 2:30 and run it twice in autumn.
//! Here it depends on one thing that a reader of the expression can see: whether it names hours.
//!
//! - An expression that *names hours* is a list of local times. Each has one instant: the first one that
//!   shows it, or the end of the gap that skips it. Local times to instants is then a monotone map, and
//!   the next tick is the image of the next local time.
//! - An expression that runs in *every hour* is a property of instants: those whose local time matches.

use crate::bounds::KEY_BYTES_MAX;
use crate::time::Time;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

/// 1 January 4999: croner searches up to the year 5000, so no tick is named after this instant.
const HORIZON: Time = Time(95_586_048_000_000);

/// A parsed expression with its time zone.
#[derive(Clone, Debug)]
pub(super) struct CronRule {
    cron: Cron,
    zone: TimeZone,
    /// Whether the expression runs in every hour of the day, so that it follows elapsed time.
    every_hour: bool,
    /// The hours, minutes and seconds that it names, as bits.
    hours: u64,
    minutes: u64,
    seconds: u64,
}

impl CronRule {
    /// Parses, or says in a sentence what is wrong.
    pub(super) fn parse(expression: &str, time_zone: &str) -> Result<Self, String> {
        if expression.len() > KEY_BYTES_MAX {
            return Err(format!("a cron expression of {} bytes is longer than 255", expression.len()));
        }
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let cron = parser
            .parse(expression)
            .map_err(|why| format!("cron expression {expression:?}: {}", said(&why)))?;
        // Only the database that is compiled in: two hosts with different ones would disagree on ticks.
        let zone = TimeZoneDatabase::bundled().get(time_zone).ok().filter(|zone| !zone.is_unknown());
        let zone = zone.ok_or_else(|| {
            format!("time zone {time_zone:?} is not in the IANA database (as Europe/Berlin or UTC)")
        })?;
        let bits =
            |n: u32, matches: &dyn Fn(u32) -> bool| (0..n).filter(|i| matches(*i)).fold(0, |b, i| b | 1 << i);
        let pattern = &cron.pattern;
        let hours = bits(24, &|i| pattern.hour_match(i).unwrap_or(false));
        let minutes = bits(60, &|i| pattern.minute_match(i).unwrap_or(false));
        let seconds = bits(60, &|i| pattern.second_match(i).unwrap_or(false));
        let rule = Self { every_hour: hours == (1 << 24) - 1, cron, zone, hours, minutes, seconds };
        if rule.next_after(Time::ZERO).is_none() {
            return Err(format!("cron expression {expression:?} names a day that never comes"));
        }
        Ok(rule)
    }

    /// The first tick after `at`.
    pub(super) fn next_after(&self, at: Time) -> Option<Time> {
        if at >= HORIZON {
            return None;
        }
        let at = timestamp(at);
        let tick = if self.every_hour {
            self.cron.find_next_occurrence(&at.to_zoned(self.zone.clone()), false).ok()?.timestamp()
        } else {
            self.instant(self.cron.find_next_occurrence(&self.first_local_after(at), true).ok()?)?
        };
        u64::try_from(tick.as_millisecond()).ok().map(Time).filter(|tick| *tick <= HORIZON)
    }

    /// How many ticks lie after `after` and not after `until`.
    pub(super) fn count(&self, after: Time, until: Time) -> u64 {
        let (after, until) = (timestamp(after), timestamp(until));
        if self.every_hour { self.count_instants(after, until) } else { self.count_locals(after, until) }
    }

    /// The instant of a local time: the first that shows it, or the end of the gap that skips it.
    fn instant(&self, local: DateTime) -> Option<Timestamp> {
        match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).ok(),
            AmbiguousOffset::Gap { before, after } => {
                let (earliest, latest) = (after.to_timestamp(local).ok()?, before.to_timestamp(local).ok()?);
                let mut changes =
                    self.zone.following(earliest).take_while(|change| change.timestamp() <= latest);
                changes.find(|change| change.offset() == after).map(|change| change.timestamp())
            }
        }
    }

    /// The first local time, in whole seconds, whose instant lies after `at`.
    fn first_local_after(&self, at: Timestamp) -> DateTime {
        let offset = self.zone.to_offset(at);
        let shown = whole_second(offset.to_datetime(at));
        if let AmbiguousOffset::Fold { before, after } = self.zone.to_ambiguous_timestamp(shown).offset()
            && offset == after
        {
            // In the repeated part every local time has had its instant; the first new one follows it.
            // The change itself may be `at`, and `preceding` means strictly before.
            let later = at.saturating_add(SignedDuration::from_nanos(1)).unwrap_or(at);
            if let Some(change) = self.zone.preceding(later).find(|change| change.offset() == after) {
                return before.to_datetime(change.timestamp());
            }
        }
        next_second(shown)
    }

    /// Ticks of an expression that names hours: local times, less those that share the end of a gap.
    fn count_locals(&self, after: Timestamp, until: Timestamp) -> u64 {
        let all = self.matches(self.first_local_after(after), self.first_local_after(until));
        let shared = |(change, before, offset): (Timestamp, Offset, Offset)| {
            let (first, end) = (before.to_datetime(change), offset.to_datetime(change));
            // Empty when the clock goes back: then `end` lies before `first`.
            if first < end { self.matches(first, next_second(end)).saturating_sub(1) } else { 0 }
        };
        all - self.changes(after, until).map(shared).sum::<u64>()
    }

    /// Ticks of an expression that runs every hour: matches in each stretch between two changes.
    fn count_instants(&self, after: Timestamp, until: Timestamp) -> u64 {
        let mut from = next_second(whole_second(self.zone.to_offset(after).to_datetime(after)));
        let mut count = 0;
        for (change, before, offset) in self.changes(after, until) {
            count += self.matches(from, before.to_datetime(change));
            from = offset.to_datetime(change);
        }
        count + self.matches(from, next_second(whole_second(self.zone.to_offset(until).to_datetime(until))))
    }

    /// Changes of the clock after `after` and not after `until`: when, the offset before, the offset from then.
    fn changes(
        &self,
        after: Timestamp,
        until: Timestamp,
    ) -> impl Iterator<Item = (Timestamp, Offset, Offset)> + '_ {
        let mut offset = self.zone.to_offset(after);
        let changes = self.zone.following(after).take_while(move |change| change.timestamp() <= until);
        changes.map(move |change| {
            (change.timestamp(), std::mem::replace(&mut offset, change.offset()), change.offset())
        })
    }

    /// How many local times in [from, to) match, counting whole days by their product of fields.
    fn matches(&self, from: DateTime, to: DateTime) -> u64 {
        if to <= from {
            return 0;
        }
        let a_day =
            count_below(self.hours, 24) * count_below(self.minutes, 60) * count_below(self.seconds, 60);
        let (first, last) = (from.date(), to.date());
        let mut count = 0;
        let mut day = first;
        // Adds whole days, then takes off what lies before `from` and adds what lies before `to`.
        while day < last {
            count += if self.matches_day(day) { a_day } else { 0 };
            match day.tomorrow() {
                Ok(next) => day = next,
                Err(_) => break,
            }
        }
        let below = |at: DateTime| if self.matches_day(at.date()) { self.matches_before_time(at) } else { 0 };
        count + below(to) - below(from)
    }

    fn matches_day(&self, day: Date) -> bool {
        let (year, month, date) = (
            i32::from(day.year()),
            u32::from(day.month().unsigned_abs()),
            u32::from(day.day().unsigned_abs()),
        );
        let weekday = croner::Weekday::from_days_from_sunday(u32::from(
            day.weekday().to_sunday_zero_offset().unsigned_abs(),
        ));
        self.cron.pattern.month_match(month).unwrap_or(false)
            && self.cron.pattern.day_match(year, month, date, weekday).unwrap_or(false)
    }

    /// How many times of day match before the time of day of `at`.
    fn matches_before_time(&self, at: DateTime) -> u64 {
        let [hour, minute, second] =
            [at.hour(), at.minute(), at.second()].map(|part| u32::from(part.unsigned_abs()));
        let (minutes, seconds) = (count_below(self.minutes, 60), count_below(self.seconds, 60));
        let mut count = count_below(self.hours, hour) * minutes * seconds;
        if self.hours >> hour & 1 == 1 {
            count += count_below(self.minutes, minute) * seconds;
            if self.minutes >> minute & 1 == 1 {
                count += count_below(self.seconds, second);
            }
        }
        count
    }
}

/// How many of the lowest `n` bits are set.
fn count_below(bits: u64, n: u32) -> u64 {
    u64::from((bits & ((1 << n) - 1)).count_ones())
}

fn timestamp(at: Time) -> Timestamp {
    let ms = i64::try_from(at.min(HORIZON).0).expect("the horizon fits");
    Timestamp::from_millisecond(ms).expect("the horizon lies before the year 9999")
}

fn whole_second(local: DateTime) -> DateTime {
    local.with().subsec_nanosecond(0).build().unwrap_or(local)
}

fn next_second(local: DateTime) -> DateTime {
    local.saturating_add(SignedDuration::from_secs(1))
}

/// What croner says, in words that say what to do.
fn said(why: &croner::errors::CronError) -> String {
    let why = why.to_string();
    let why = why.strip_prefix("Component error: ").unwrap_or(&why);
    match why.contains("out of bounds") {
        true => "a number is beyond its field (minute 0-59, hour 0-23, day 1-31, month 1-12, weekday 0-7)"
            .to_owned(),
        false => why.trim_end_matches('.').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(expression: &str, zone: &str) -> CronRule {
        CronRule::parse(expression, zone).unwrap_or_else(|why| panic!("{why}"))
    }

    fn at(text: &str) -> Time {
        let stamp: Timestamp = text.parse().expect("an instant");
        Time(u64::try_from(stamp.as_millisecond()).expect("after 1970"))
    }

    /// The ticks after `from` and not after `to`, as local clock and offset: `02:30-5`.
    fn ticks(expression: &str, zone: &str, from: &str, to: &str) -> Vec<String> {
        let rule = rule(expression, zone);
        let ticks: Vec<Time> =
            std::iter::successors(rule.next_after(at(from)), |tick| rule.next_after(*tick))
                .take_while(|tick| *tick <= at(to))
                .collect();
        assert_eq!(rule.count(at(from), at(to)), ticks.len() as u64, "{expression} {zone}");
        let shown = |tick: &Time| {
            let zoned = timestamp(*tick).to_zoned(rule.zone.clone());
            let offset = zoned.offset().seconds() as f64 / 3_600.0;
            format!("{:02}:{:02}{offset:+}", zoned.hour(), zoned.minute())
        };
        ticks.iter().map(shown).collect()
    }

    /// (expression, ticks on the day the clock goes forward, ticks on the day it goes back)
    type Table = [(&'static str, &'static [&'static str], &'static [&'static str])];

    fn check(zone: &str, forward: [&str; 2], back: [&str; 2], table: &Table) {
        for (expression, when_forward, when_back) in table {
            assert_eq!(
                ticks(expression, zone, forward[0], forward[1]),
                *when_forward,
                "{expression} forward in {zone}"
            );
            assert_eq!(ticks(expression, zone, back[0], back[1]), *when_back, "{expression} back in {zone}");
        }
    }

    #[test]
    fn changes_of_the_clock_in_new_york() {
        // 8 March 2026, 2:00 becomes 3:00; 1 November 2026, 2:00 becomes 1:00.
        check(
            "America/New_York",
            ["2026-03-08T05:30:00Z", "2026-03-08T08:30:00Z"],
            ["2026-11-01T04:30:00Z", "2026-11-01T08:00:00Z"],
            &[
                ("30 1 * * *", &["01:30-5"], &["01:30-4"]),
                ("30 2 * * *", &["03:00-4"], &["02:30-5"]),
                ("0 2 * * *", &["03:00-4"], &["02:00-5"]),
                ("0 3 * * *", &["03:00-4"], &["03:00-5"]),
                ("30 1,2,3 * * *", &["01:30-5", "03:00-4", "03:30-4"], &["01:30-4", "02:30-5"]),
                ("0 1,2,3 * * *", &["01:00-5", "03:00-4"], &["01:00-4", "02:00-5", "03:00-5"]),
                (
                    "*/20 1-2 * * *",
                    &["01:00-5", "01:20-5", "01:40-5", "03:00-4"],
                    &["01:00-4", "01:20-4", "01:40-4", "02:00-5", "02:20-5", "02:40-5"],
                ),
                ("0 */2 * * *", &["03:00-4", "04:00-4"], &["02:00-5"]),
                (
                    "0 * * * *",
                    &["01:00-5", "03:00-4", "04:00-4"],
                    &["01:00-4", "01:00-5", "02:00-5", "03:00-5"],
                ),
                (
                    "*/30 * * * *",
                    &["01:00-5", "01:30-5", "03:00-4", "03:30-4", "04:00-4", "04:30-4"],
                    &["01:00-4", "01:30-4", "01:00-5", "01:30-5", "02:00-5", "02:30-5", "03:00-5"],
                ),
            ],
        );
    }

    #[test]
    fn changes_of_the_clock_in_berlin() {
        // 29 March 2026, 2:00 becomes 3:00; 25 October 2026, 3:00 becomes 2:00.
        check(
            "Europe/Berlin",
            ["2026-03-28T23:30:00Z", "2026-03-29T02:00:00Z"],
            ["2026-10-24T22:30:00Z", "2026-10-25T02:00:00Z"],
            &[
                ("30 2 * * *", &["03:00+2"], &["02:30+2"]),
                ("30 2,14 * * *", &["03:00+2"], &["02:30+2"]),
                ("0 3 * * *", &["03:00+2"], &["03:00+1"]),
                ("59 1 * * *", &["01:59+1"], &["01:59+2"]),
                ("15 */2 * * *", &["03:00+2"], &["02:15+2"]),
                ("30 * * * *", &["01:30+1", "03:30+2"], &["01:30+2", "02:30+2", "02:30+1"]),
                (
                    "0,30 0-23 * * *",
                    &["01:00+1", "01:30+1", "03:00+2", "03:30+2", "04:00+2"],
                    &["01:00+2", "01:30+2", "02:00+2", "02:30+2", "02:00+1", "02:30+1", "03:00+1"],
                ),
            ],
        );
    }

    #[test]
    fn changes_of_the_clock_by_half_an_hour_on_lord_howe() {
        // 4 October 2026, 2:00 becomes 2:30; 5 April 2026, 2:00 becomes 1:30.
        check(
            "Australia/Lord_Howe",
            ["2026-10-03T14:15:00Z", "2026-10-03T16:00:00Z"],
            ["2026-04-04T13:45:00Z", "2026-04-04T16:00:00Z"],
            &[
                ("15 2 * * *", &["02:30+11"], &["02:15+10.5"]),
                ("45 1 * * *", &["01:45+10.5"], &["01:45+11"]),
                (
                    "0,15,30,45 2 * * *",
                    &["02:30+11", "02:45+11"],
                    &["02:00+10.5", "02:15+10.5", "02:30+10.5"],
                ),
                ("0 * * * *", &["01:00+10.5", "03:00+11"], &["01:00+11", "02:00+10.5"]),
                (
                    "*/15 * * * *",
                    &[
                        "01:00+10.5",
                        "01:15+10.5",
                        "01:30+10.5",
                        "01:45+10.5",
                        "02:30+11",
                        "02:45+11",
                        "03:00+11",
                    ],
                    &[
                        "01:00+11",
                        "01:15+11",
                        "01:30+11",
                        "01:45+11",
                        "01:30+10.5",
                        "01:45+10.5",
                        "02:00+10.5",
                        "02:15+10.5",
                        "02:30+10.5",
                    ],
                ),
            ],
        );
    }

    #[test]
    fn a_daily_job_runs_once_a_day_all_year_at_every_time_of_day() {
        for zone in
            ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Africa/Cairo", "America/Santiago"]
        {
            for half_hour in 0..48 {
                let expression = format!("{} {} * * *", half_hour % 2 * 30, half_hour / 2);
                let rule = rule(&expression, zone);
                let (from, to) = (at("2026-01-01T15:07:00Z"), at("2027-01-01T15:07:00Z"));
                assert_eq!(rule.count(from, to), 365, "{expression} {zone}");
                let ticks = std::iter::successors(rule.next_after(from), |tick| rule.next_after(*tick));
                assert_eq!(ticks.take_while(|tick| *tick <= to).count(), 365, "{expression} {zone}");
            }
        }
    }

    #[test]
    fn a_question_from_inside_the_repeated_hour_is_answered_right() {
        let rule = rule("15,45 1,2 * * *", "America/New_York");
        // 1:20 in the second half: 1:45 has had its instant, 2:15 is next.
        assert_eq!(rule.next_after(at("2026-11-01T06:20:00.5Z")), Some(at("2026-11-01T07:15:00Z")));
        // The moment of the change, and the last second before it.
        assert_eq!(rule.next_after(at("2026-11-01T06:00:00Z")), Some(at("2026-11-01T07:15:00Z")));
        assert_eq!(rule.next_after(at("2026-11-01T05:44:59.999Z")), Some(at("2026-11-01T05:45:00Z")));
        assert_eq!(rule.next_after(at("2026-11-01T05:45:00Z")), Some(at("2026-11-01T07:15:00Z")));
    }

    #[test]
    fn ticks_lie_strictly_after_the_question_to_the_millisecond() {
        let rule = rule("*/10 * * * * *", "UTC");
        assert_eq!(rule.next_after(Time(9_999)), Some(Time(10_000)));
        assert_eq!(rule.next_after(Time(10_000)), Some(Time(20_000)));
        assert_eq!((rule.count(Time(0), Time(10_000)), rule.count(Time(0), Time(9_999))), (1, 0));
    }

    #[test]
    fn fields_names_and_modifiers_mean_what_cron_says() {
        let year = ["2026-01-01T00:00:00Z", "2026-12-31T23:59:59Z"];
        for (expression, first, count) in [
            ("0 9 * * MON-FRI", "2026-01-01T09:00:00Z", 261),
            ("0 0 1 JAN,JUL *", "2026-07-01T00:00:00Z", 1),
            ("0 0 L * *", "2026-01-31T00:00:00Z", 12),
            ("0 0 15W * *", "2026-01-15T00:00:00Z", 12),
            ("0 0 LW * *", "2026-01-30T00:00:00Z", 12),
            ("0 0 * * MON#2", "2026-01-12T00:00:00Z", 12),
            ("0 0 * * FRIL", "2026-01-30T00:00:00Z", 12),
            ("0 0 13 * +FRI", "2026-02-13T00:00:00Z", 3),
            ("0 0 13 * FRI", "2026-01-02T00:00:00Z", 52 + 12 - 3),
            ("0 0 * * 7", "2026-01-04T00:00:00Z", 52),
            ("30 15 10 * * *", "2026-01-01T10:15:30Z", 365),
            ("@monthly", "2026-02-01T00:00:00Z", 11),
            ("@hourly", "2026-01-01T01:00:00Z", 365 * 24 - 1),
            ("0 0 29 2 *", "2028-02-29T00:00:00Z", 0),
        ] {
            let rule = rule(expression, "UTC");
            assert_eq!(rule.next_after(at(year[0])), Some(at(first)), "{expression}");
            assert_eq!(rule.count(at(year[0]), at(year[1])), count, "{expression}");
        }
    }

    #[test]
    fn time_zones_come_from_the_compiled_database_alone() {
        // A name in any case, an old alias, and a zone with a history of skipped days.
        for zone in ["europe/berlin", "US/Eastern", "Pacific/Apia", "Asia/Kathmandu"] {
            assert!(rule("0 12 * * *", zone).next_after(Time::ZERO).is_some());
        }
        // Apia had no 30 December 2011: its noon comes when the gap ends, at midnight of the 31st.
        let apia = ticks("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", "2011-12-31T00:00:00Z");
        assert_eq!(apia, ["12:00-10", "00:00+14", "12:00+14"]);
    }
}
