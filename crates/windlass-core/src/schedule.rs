//! When a schedule ticks: cron expressions in a time zone, or fixed intervals; one job per tick.
//!
//! Ticks are instants in UTC and a pure function of the [`Timing`]: every process computes the same
//! ones, so stores can apply them by compare-and-set on (schedule, last tick). Time zones come from the
//! database that is compiled in, never from the host, for the same reason.
//! [`Compiled::due`] says which ticks a schedule owes, after a moment or after a month of absence; its
//! cost does not grow with the number of ticks that were missed.
//! The rules of cron and daylight saving time are in `schedule/cron.rs`. This module knows no job: the
//! [`Overlap`] policy is applied by the store, which knows whether the last tick's job is live.

mod cron;

use crate::bounds::DELAY_MS_MAX;
use crate::time::Time;
use cron::CronRule;
use serde::{Deserialize, Serialize};

/// Shortest interval (cron's own resolution): more often than that is a worker's loop, not a schedule.
pub const INTERVAL_MS_MIN: u64 = 1_000;
/// Ticks answered at once: what one batch can enqueue.
pub const DUE_TICKS_MAX: usize = 1_000;
/// A tick is on time, whatever the catch-up policy, until it is that old: upkeep is late by up to a
/// second on a slow store, and a restart takes a few. An older one was missed.
pub const ON_TIME_MS: u64 = 10_000;

/// When a schedule ticks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Timing {
    /// At the local times that a cron expression names.
    ///
    /// Five fields (minute, hour, day of month, month, day of week) or six (a second in front), names
    /// (`MON`, `JAN`), `L` (last), `W` (nearest weekday), `#` (n-th weekday of the month) and
    /// `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. When both days are given, either is
    /// enough, as in every cron; a `+` before the day of week asks for both.
    ///
    /// | local time that | hours are named (`30 2 * * *`, `0 */2 * * *`) | every hour (`*/15 * * * *`) |
    /// |---|---|---|
    /// | is skipped when clocks go forward | ticks once, at the moment the gap ends | has no tick |
    /// | comes twice when clocks go back | ticks the first time only | ticks both times |
    ///
    /// So what is meant to happen at a time of day happens exactly once a day, and what is meant to
    /// happen all the time goes on at an even pace.
    Cron {
        /// The expression.
        expression: String,
        /// A name of the IANA time zone database.
        #[serde(default = "utc")]
        time_zone: String,
    },
    /// At `anchor` and every `every_ms` after it, exactly.
    Interval {
        /// The span between two ticks, at least a second.
        every_ms: u64,
        /// The first tick; the Unix epoch unless given, which lays intervals on whole minutes and hours.
        #[serde(default)]
        anchor: Time,
    },
}

fn utc() -> String {
    "UTC".into()
}

/// What a tick does while the job of the tick before is live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Makes its job all the same.
    #[default]
    Allow,
    /// Makes no job; the tick is counted as skipped.
    Skip,
}

/// What becomes of ticks that are more than [`ON_TIME_MS`] late; ticks on time always run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CatchUp {
    /// None of them runs.
    Skip,
    /// The newest one runs, unless a tick on time runs anyway.
    #[default]
    Last,
    /// The newest `max` of them run, oldest first.
    All {
        /// At most that many, 1 to 1,000.
        max: u32,
    },
}

impl CatchUp {
    /// Refuses a policy that breaks a bound.
    ///
    /// # Errors
    /// A sentence for people that names the value and the bound.
    pub fn validate(&self) -> Result<(), String> {
        match self {
            Self::All { max } if !(1..=DUE_TICKS_MAX as u32).contains(max) => {
                Err(format!("catch-up of at most {max} ticks is not between 1 and 1,000"))
            }
            _ => Ok(()),
        }
    }
}

/// What a schedule owes at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueTicks {
    /// Ticks to run now, oldest first, at most [`DUE_TICKS_MAX`].
    pub ticks: Vec<Time>,
    /// Ticks that the catch-up policy leaves out, exactly.
    pub skipped: u64,
    /// The newest tick that was due, run or left out: the new last tick. It is the old one when
    /// nothing was due.
    pub through: Time,
    /// The first tick after now.
    pub next: Option<Time>,
}

/// A timing made ready to be asked: parsed once, asked cheaply, computed without any I/O.
#[derive(Clone, Debug)]
pub struct Compiled(Rule);

#[derive(Clone, Debug)]
enum Rule {
    Cron(Box<CronRule>),
    Interval { every_ms: u64, anchor: Time },
}

impl Timing {
    /// Refuses what cannot be kept: a malformed or endless expression, one that never comes, an
    /// unknown time zone, an interval below a second or above ten years.
    ///
    /// # Errors
    /// A sentence for people.
    pub fn validate(&self) -> Result<(), String> {
        self.compile().map(|_| ())
    }

    /// The timing made ready to be asked again and again.
    ///
    /// # Errors
    /// As [`Timing::validate`].
    pub fn compile(&self) -> Result<Compiled, String> {
        match self {
            Self::Cron { expression, time_zone } => {
                CronRule::parse(expression, time_zone).map(|rule| Compiled(Rule::Cron(Box::new(rule))))
            }
            Self::Interval { every_ms, anchor } => {
                if !(INTERVAL_MS_MIN..=DELAY_MS_MAX).contains(every_ms) {
                    return Err(format!("an interval of {every_ms} ms is not between 1 s and ten years"));
                }
                Ok(Compiled(Rule::Interval { every_ms: *every_ms, anchor: *anchor }))
            }
        }
    }

    /// The first tick after `at`; none when there is none, or the timing is not valid.
    ///
    /// It parses the timing each time; [`Timing::compile`] it to ask more than once.
    pub fn next_after(&self, at: Time) -> Option<Time> {
        self.compile().ok()?.next_after(at)
    }
}

impl Compiled {
    /// The first tick after `at`; none when there is none.
    pub fn next_after(&self, at: Time) -> Option<Time> {
        match &self.0 {
            Rule::Cron(rule) => rule.next_after(at),
            Rule::Interval { anchor, .. } if at < *anchor => Some(*anchor),
            Rule::Interval { every_ms, anchor } => {
                let passed = at.since(*anchor) / every_ms + 1;
                passed.checked_mul(*every_ms).and_then(|span| anchor.0.checked_add(span)).map(Time)
            }
        }
    }

    /// The next ticks after `at`, at most `n`: for people who want to see what they have written.
    pub fn upcoming(&self, at: Time, n: usize) -> Vec<Time> {
        std::iter::successors(self.next_after(at), |tick| self.next_after(*tick)).take(n).collect()
    }

    /// The last ticks before and at `until`, at most `n` and of the last 400 days at most, oldest first: for people who
    /// want to see what has been.
    pub fn past(&self, until: Time, n: usize) -> Vec<Time> {
        /// A year, and what a leap year and a late reader add.
        const LOOKED_BACK_MS: u64 = 400 * 24 * 60 * 60 * 1_000;
        self.newest(until.minus_ms(LOOKED_BACK_MS), until, n)
    }

    /// How many ticks lie after `after` and not after `until`, exactly, at a cost that grows with the
    /// days between them and not with the ticks.
    pub fn count(&self, after: Time, until: Time) -> u64 {
        if until <= after {
            return 0;
        }
        match &self.0 {
            Rule::Cron(rule) => rule.count(after, until),
            Rule::Interval { every_ms, anchor } => {
                let up_to = |at: Time| if at < *anchor { 0 } else { at.since(*anchor) / every_ms + 1 };
                up_to(until) - up_to(after)
            }
        }
    }

    /// What the schedule owes at `now` when every tick up to `last_tick` was dealt with.
    ///
    /// A clock that steps back owes nothing until it has passed `last_tick` again, so no tick is ever
    /// answered twice. A new schedule begins with `last_tick` at the time of its making.
    pub fn due(&self, last_tick: Time, now: Time, catch_up: &CatchUp) -> DueTicks {
        let next = self.next_after(now.max(last_tick));
        if self.next_after(last_tick).is_none_or(|first| first > now) {
            return DueTicks { ticks: Vec::new(), skipped: 0, through: last_tick, next };
        }
        // Ticks up to here are more than ON_TIME_MS late.
        let late = now.minus_ms(ON_TIME_MS + 1).max(last_tick);
        let on_time = self.newest(late, now, DUE_TICKS_MAX);
        let missed = self.count(last_tick, late);
        let wanted = match catch_up {
            CatchUp::Skip => 0,
            CatchUp::Last => usize::from(on_time.is_empty()),
            CatchUp::All { max } => *max as usize,
        };
        let mut ticks = self.newest(last_tick, late, wanted.min(DUE_TICKS_MAX - on_time.len()));
        let skipped = missed - ticks.len() as u64;
        ticks.extend(on_time);
        let through = ticks.last().copied().or_else(|| self.newest(last_tick, late, 1).pop());
        DueTicks { ticks, skipped, through: through.unwrap_or(last_tick), next }
    }

    /// The newest `n` ticks after `after` and not after `until`, oldest first.
    fn newest(&self, after: Time, until: Time, n: usize) -> Vec<Time> {
        if n == 0 || until <= after {
            return Vec::new();
        }
        // The latest start with n ticks or fewer behind it, found by halving: each question counts
        // a span half as long as the last, so all together cost two counts of the whole.
        let (mut too_many, mut start) = (after.0, until.0);
        if self.count(after, until) <= n as u64 {
            start = after.0;
        }
        while start > too_many + 1 {
            let middle = too_many + (start - too_many) / 2;
            if self.count(Time(middle), until) <= n as u64 {
                start = middle;
            } else {
                too_many = middle;
            }
        }
        let mut ticks = self.upcoming(Time(start), n);
        ticks.retain(|tick| *tick <= until);
        ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Time {
        let stamp: jiff::Timestamp = text.parse().expect("an instant");
        Time(u64::try_from(stamp.as_millisecond()).expect("after 1970"))
    }

    fn cron(expression: &str, time_zone: &str) -> Compiled {
        let timing = Timing::Cron { expression: expression.into(), time_zone: time_zone.into() };
        timing.compile().unwrap_or_else(|why| panic!("{expression}: {why}"))
    }

    fn every(every_ms: u64, anchor: Time) -> Compiled {
        Timing::Interval { every_ms, anchor }.compile().expect("a valid interval")
    }

    #[test]
    fn interval_ticks_are_exact_multiples_from_the_anchor_on() {
        let compiled = every(7_000, Time(1_000));
        assert_eq!(compiled.next_after(Time(0)), Some(Time(1_000)));
        assert_eq!(compiled.next_after(Time(1_000)), Some(Time(8_000)));
        assert_eq!(compiled.next_after(Time(7_999)), Some(Time(8_000)));
        assert_eq!(compiled.upcoming(Time(8_000), 2), [Time(15_000), Time(22_000)]);
        assert_eq!(compiled.count(Time(0), Time(22_000)), 4);
        assert_eq!(compiled.count(Time(1_000), Time(21_999)), 2);
        assert_eq!(compiled.next_after(Time::NEVER), None);
    }

    #[test]
    fn the_past_ends_with_the_tick_of_this_moment_and_is_not_without_end() {
        let compiled = cron("0 9 * * *", "Europe/Berlin");
        let tick = at("2026-11-20T08:00:00Z");
        assert_eq!(compiled.past(tick, 2), [tick.minus_ms(86_400_000), tick]);
        assert_eq!(cron("0 0 29 2 *", "UTC").past(tick, 3), []);
        assert_eq!(every(60_000, Time::ZERO).past(tick, 20).len(), 20);
    }

    #[test]
    fn a_tick_on_time_runs_whatever_the_policy() {
        let compiled = cron("0 9 * * *", "Europe/Berlin");
        let tick = at("2026-11-20T08:00:00Z");
        for policy in [CatchUp::Skip, CatchUp::Last, CatchUp::All { max: 1 }] {
            let due = compiled.due(at("2026-11-19T08:00:00Z"), tick.plus_ms(ON_TIME_MS), &policy);
            let next = Some(at("2026-11-21T08:00:00Z"));
            assert_eq!(due, DueTicks { ticks: vec![tick], skipped: 0, through: tick, next });
            let after = compiled.due(tick, tick.plus_ms(1), &policy);
            assert_eq!(after, DueTicks { ticks: vec![], skipped: 0, through: tick, next });
        }
    }

    #[test]
    fn missed_ticks_are_skipped_or_caught_up_as_the_policy_says() {
        let compiled = cron("0 * * * *", "UTC");
        let (last, now) = (at("2026-11-20T00:00:00Z"), at("2026-11-20T05:30:00Z"));
        let hours = |range: std::ops::RangeInclusive<u64>| -> Vec<Time> {
            range.map(|hour| last.plus_ms(hour * 3_600_000)).collect()
        };
        for (policy, ticks, skipped) in [
            (CatchUp::Skip, vec![], 5),
            (CatchUp::Last, hours(5..=5), 4),
            (CatchUp::All { max: 3 }, hours(3..=5), 2),
            (CatchUp::All { max: 100 }, hours(1..=5), 0),
        ] {
            let due = compiled.due(last, now, &policy);
            let expected = DueTicks {
                ticks,
                skipped,
                through: last.plus_ms(5 * 3_600_000),
                next: Some(last.plus_ms(6 * 3_600_000)),
            };
            assert_eq!(due, expected, "{policy:?}");
            assert_eq!(compiled.due(due.through, now, &policy).ticks, [], "no tick comes twice");
        }
        // One on time beside missed ones: enough for `last`.
        let now = at("2026-11-20T05:00:01Z");
        assert_eq!(compiled.due(last, now, &CatchUp::Last).ticks, hours(5..=5));
        assert_eq!(compiled.due(last, now, &CatchUp::Skip).ticks, hours(5..=5));
        assert_eq!(compiled.due(last, now, &CatchUp::All { max: 1 }).ticks, hours(4..=5));
    }

    #[test]
    fn a_long_absence_costs_no_walk_over_its_ticks() {
        let (last, now) = (at("1996-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z"));
        let seconds = now.since(last) / 1_000;
        for compiled in [cron("* * * * * *", "America/New_York"), every(1_000, Time::ZERO)] {
            let due = compiled.due(last, now, &CatchUp::All { max: 1_000 });
            assert_eq!(due.ticks.len(), DUE_TICKS_MAX);
            assert_eq!(due.ticks.last(), Some(&now));
            assert!(due.ticks.windows(2).all(|pair| pair[1].since(pair[0]) == 1_000));
            assert_eq!(due.skipped, seconds - DUE_TICKS_MAX as u64);
        }
    }

    #[test]
    fn a_clock_that_steps_back_owes_nothing_until_it_has_passed_the_last_tick() {
        let compiled = cron("* * * * *", "UTC");
        let last = at("2026-11-20T05:00:00Z");
        let due = compiled.due(last, at("2026-11-20T04:00:00Z"), &CatchUp::All { max: 9 });
        assert_eq!((due.ticks.len(), due.through, due.next), (0, last, Some(last.plus_ms(60_000))));
        // A clock that jumps to the end of time: whatever is owed is what a walk would find there.
        let due = compiled.due(last, Time::NEVER, &CatchUp::Last);
        assert_eq!((due.ticks.len() as u64, due.next), (1, None));
        assert_eq!(due.skipped + 1, due.ticks[0].since(last) / 60_000);
        for (last, now) in [(Time::NEVER, Time::ZERO), (Time::ZERO, Time::NEVER), (Time::NEVER, Time::NEVER)]
        {
            assert!(compiled.due(last, now, &CatchUp::Last).ticks.len() <= 1);
            assert!(every(60_000, Time(5)).due(last, now, &CatchUp::Last).ticks.len() <= 1);
        }
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_its_reason() {
        let said = |expression: &str, time_zone: &str| {
            let timing = Timing::Cron { expression: expression.into(), time_zone: time_zone.into() };
            assert_eq!(timing.next_after(Time::ZERO), None);
            timing.validate().expect_err(expression)
        };
        for bad in
            ["", " ", "* * * *", "60 * * * *", "* 24 * * *", "* * 32 * *", "* * * 13 *", "* * * * MON#6"]
        {
            assert!(said(bad, "UTC").contains("cron"), "{bad}");
        }
        for bad in [
            "@reboot",
            "*/0 * * * *",
            "5-1 * * * *",
            "* * * * * * 2030",
            "ä * * * *",
            "* * * FOO *",
            "1/2 * * * *",
        ] {
            assert!(said(bad, "UTC").contains("cron"), "{bad}");
        }
        assert!(said("0 0 30 2 *", "UTC").contains("never"));
        assert!(said(&"0,".repeat(200), "UTC").contains("255"));
        for zone in ["", "Mars/Olympus", "CET+1", "../etc/passwd", "Etc/Unknown"] {
            assert!(said("* * * * *", zone).contains("time zone"), "{zone}");
        }
        for every_ms in [0, 999, DELAY_MS_MAX + 1] {
            assert!(Timing::Interval { every_ms, anchor: Time::ZERO }.validate().is_err());
        }
        assert!(CatchUp::All { max: 0 }.validate().is_err());
        assert!(CatchUp::All { max: 1_001 }.validate().is_err());
        assert!(CatchUp::All { max: 1_000 }.validate().is_ok());
    }

    #[test]
    fn a_timing_reads_as_json_with_its_defaults() {
        let read = |text: &str| serde_json::from_str::<Timing>(text);
        let noon = read(r#"{"cron":{"expression":"0 12 * * *"}}"#).expect("UTC unless given");
        assert_eq!(noon, Timing::Cron { expression: "0 12 * * *".into(), time_zone: "UTC".into() });
        let minute = read(r#"{"interval":{"every_ms":60000}}"#).expect("the epoch unless given");
        assert_eq!(minute, Timing::Interval { every_ms: 60_000, anchor: Time::ZERO });
        assert!(read(r#"{"interval":{"every":60000}}"#).is_err());
        assert_eq!(
            serde_json::from_str::<CatchUp>(r#"{"all":{"max":7}}"#).expect("plain"),
            CatchUp::All { max: 7 }
        );
    }

    proptest! {
        #[test]
        fn due_agrees_with_a_walk_over_every_tick(
            expression in prop::sample::select(vec![
                "*/15 * * * *", "30 2 * * *", "0 */2 * * *", "0 1,2,3 * * *", "*/7 0-4 * * *", "45 1 * * SUN",
                "*/10 * 2 * * *", "0 0 L * *", "0 30 1-3 * * SAT,SUN",
            ]),
            zone in prop::sample::select(vec!["UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe"]),
            start in 0u64..366 * 24,
            span_s in 0u64..4 * 86_400,
            max in 1u32..50,
        ) {
            let compiled = cron(expression, zone);
            let last = Time(at("2026-01-01T00:00:00Z").0 + start * 3_600_000 + start % 1_000);
            let now = last.plus_ms(span_s * 1_000);
            let all: Vec<Time> = std::iter::successors(compiled.next_after(last), |t| compiled.next_after(*t))
                .take_while(|tick| *tick <= now)
                .collect();
            prop_assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert_eq!(compiled.count(last, now), all.len() as u64, "{} {}", expression, zone);
            let late = all.iter().filter(|tick| now.since(**tick) > ON_TIME_MS).count();
            let kept = late.min(max as usize);
            let due = compiled.due(last, now, &CatchUp::All { max });
            prop_assert_eq!(&due.ticks[..], &all[late - kept..]);
            prop_assert_eq!(due.skipped as usize, late - kept);
            prop_assert_eq!(due.through, all.last().copied().unwrap_or(last));
            prop_assert_eq!(due.next, compiled.next_after(now));
        }
    }
}
