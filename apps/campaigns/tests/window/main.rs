//! When a contact may be reached: named cases, and a slow second opinion that reads clocks minute by minute.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod clocks;
mod courses;
mod delays;
mod forecasts;
mod heats;
mod holidays;
mod legal;
mod oracle;
mod random;
mod recipients;
mod written;

use windlass::Time;
use windlass_campaigns::channel::Channel;
use windlass_campaigns::window::{
    ClosedReason, HoursIn, OnNoZone, Recipient, RuleTable, Verdict, Week, WindowPolicy, Zone, look,
};

/// An instant from RFC 3339 with its offset.
fn at(text: &str) -> Time {
    let at: jiff::Timestamp = text.parse().unwrap();
    Time(u64::try_from(at.as_millisecond()).unwrap())
}

fn zone(name: &str) -> Zone {
    Zone::named(name).unwrap()
}

/// A policy by each recipient's clock.
fn policy(days: &[(&str, &str)]) -> WindowPolicy {
    WindowPolicy::new(zone("America/New_York"), Week::of(days).unwrap()).unwrap()
}

/// A policy by the clock of one zone.
fn policy_in(name: &str, days: &[(&str, &str)]) -> WindowPolicy {
    WindowPolicy { zone: zone(name), hours_in: HoursIn::Campaign, ..policy(days) }
}

fn always() -> WindowPolicy {
    policy(&[("mon-sun", "00:00-24:00")])
}

/// No law at all.
fn lawless() -> RuleTable {
    RuleTable { edition: "none".into(), rules: Vec::new() }
}

fn in_state(code: &str) -> Recipient {
    Recipient::read("", "", code, "", "").unwrap()
}

fn in_zone(name: &str) -> Recipient {
    Recipient::in_zone(zone(name))
}

/// Asserts that a recipient is closed just before `open`, open from there, and closed from `close` on.
fn assert_window(
    policy: &WindowPolicy,
    rules: &RuleTable,
    who: &Recipient,
    channel: Channel,
    open: &str,
    close: &str,
) {
    let (open, close) = (at(open), at(close));
    let see = |when: Time| look(policy, rules, who, channel, when);
    let before = see(open.minus_ms(1));
    assert!(
        matches!(&before, Verdict::Closed { until: Some(until), .. } if *until == open),
        "before {open}: {before:?}"
    );
    for inside in [open, Time(open.0.midpoint(close.0)), close.minus_ms(1)] {
        let verdict = see(inside);
        assert!(
            matches!(&verdict, Verdict::Open { until: Some(until), .. } if *until == close),
            "at {inside}: {verdict:?}"
        );
    }
    assert!(!see(close).is_open(), "at {close}");
}

fn reason(
    policy: &WindowPolicy,
    rules: &RuleTable,
    who: &Recipient,
    channel: Channel,
    when: &str,
) -> ClosedReason {
    match look(policy, rules, who, channel, at(when)) {
        Verdict::Closed { reason, .. } => reason,
        open => panic!("{when}: {open:?}"),
    }
}
