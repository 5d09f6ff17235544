//! Forecasts whose numbers can be checked by hand.

use windlass_campaigns::channel::Channel::{Email, Sms};
use windlass_campaigns::window::{Caps, Forecast, Group, forecast};

use super::*;

fn group(who: Recipient, channel: Channel, messages: u64) -> Group {
    Group { recipient: who, channel, messages }
}

fn sent(forecast: &Forecast) -> Vec<(String, u64, u64)> {
    forecast.days.iter().map(|day| (day.date.to_string(), day.sent, day.left)).collect()
}

#[test]
fn a_campaign_is_through_when_its_pace_says() {
    // 10,000 mails at one a second from nine on Monday 1 June 2026: 2 h 46 min 40 s.
    let policy = policy_in("America/New_York", &[("mon-fri", "09:00-20:00")]);
    let caps = Caps { per_second: Some(1.0), ..Caps::default() };
    let groups = [group(Recipient::default(), Email, 10_000)];
    let plan = forecast(&policy, &lawless(), &groups, &caps, at("2026-06-01T04:00:00Z"));
    assert_eq!(plan.completes_local.as_deref(), Some("2026-06-01T11:46:40.000-04:00"));
    assert_eq!(plan.days.len(), 1);
    assert_eq!((plan.days[0].sent, plan.days[0].left), (10_000, 0));
}

#[test]
fn the_cap_of_a_day_and_the_weekend_put_it_off() {
    let policy = policy_in("America/New_York", &[("mon-fri", "09:00-20:00")]);
    let caps = Caps { per_day: Some(400), sent_today: 100, per_second: Some(0.1) };
    let groups = [group(Recipient::default(), Email, 1_000)];
    // From Thursday 4 June 2026 at 9: 300, 400, weekend, 300 in 3,000 s.
    let plan = forecast(&policy, &lawless(), &groups, &caps, at("2026-06-04T13:00:00Z"));
    let days = [
        ("2026-06-04".into(), 300, 700),
        ("2026-06-05".into(), 400, 300),
        ("2026-06-06".into(), 0, 300),
        ("2026-06-07".into(), 0, 300),
        ("2026-06-08".into(), 300, 0),
    ];
    assert_eq!(sent(&plan), days);
    assert_eq!(plan.completes_local.as_deref(), Some("2026-06-08T09:50:00.000-04:00"));
    assert_eq!(plan.days[1].open_s, 11 * 3_600);
    assert_eq!(plan.days[2].open_s, 0);
}

#[test]
fn groups_open_by_their_own_clocks_and_share_the_pace_while_both_are_open() {
    // New York 9-10, Los Angeles three hours later, one a second: 3,600 each hour; 1,000 are left for the
    // next day.
    let policy = policy(&[("mon-sun", "09:00-10:00")]);
    let caps = Caps { per_second: Some(1.0), ..Caps::default() };
    let groups = [
        group(in_zone("America/New_York"), Email, 3_600),
        group(in_zone("America/Los_Angeles"), Email, 4_600),
    ];
    let plan = forecast(&policy, &lawless(), &groups, &caps, at("2026-06-01T04:00:00Z"));
    assert_eq!(sent(&plan), [("2026-06-01".into(), 7_200, 1_000), ("2026-06-02".into(), 1_000, 0)]);
    assert_eq!(plan.days[0].open_s, 2 * 3_600);
    assert_eq!(plan.completes_local.as_deref(), Some("2026-06-02T12:16:40.000-04:00"));
}

#[test]
fn without_a_pace_everything_goes_at_the_opening() {
    let policy = policy(&[("mon-sun", "09:00-20:00")]);
    let groups = [group(in_state("TX"), Sms, 5)];
    let plan =
        forecast(&policy, RuleTable::built_in(), &groups, &Caps::default(), at("2026-06-07T06:00:00Z"));
    // Sunday noon in the west of Texas.
    assert_eq!(plan.completes_at, Some(at("2026-06-07T18:00:00Z")));
}

#[test]
fn messages_that_never_go_are_counted_apart_and_do_not_hold_up_the_rest() {
    let policy = policy(&[("sun", "09:00-20:00")]);
    let groups = [
        group(in_state("UT"), Sms, 7),
        group(in_state("NY"), Sms, 5),
        group(Recipient::default(), Sms, 3),
        group(in_state("UT"), Sms, 0),
    ];
    let plan =
        forecast(&policy, RuleTable::built_in(), &groups, &Caps::default(), at("2026-06-01T00:00:00Z"));
    assert_eq!(plan.unreachable, [(0, 7), (2, 3)]);
    assert_eq!(plan.completes_at, Some(at("2026-06-07T13:00:00Z")));
    let nothing = forecast(&policy, &lawless(), &[], &Caps::default(), at("2026-06-01T00:00:00Z"));
    assert_eq!(nothing.completes_at, Some(at("2026-06-01T00:00:00Z")));
}

#[test]
fn a_campaign_that_is_too_slow_for_the_horizon_does_not_complete() {
    let policy = policy(&[("mon-sun", "09:00-20:00")]);
    let caps = Caps { per_day: Some(1), ..Caps::default() };
    let plan = forecast(
        &policy,
        &lawless(),
        &[group(in_zone("UTC"), Email, 1_000)],
        &caps,
        at("2026-06-01T04:00:00Z"),
    );
    assert_eq!(plan.completes_at, None);
    assert_eq!(plan.days.iter().map(|day| day.sent).sum::<u64>(), 400);
    let paused = Caps { per_second: Some(0.0), ..Caps::default() };
    let plan = forecast(
        &policy,
        &lawless(),
        &[group(in_zone("UTC"), Email, 1)],
        &paused,
        at("2026-06-01T04:00:00Z"),
    );
    assert_eq!((plan.completes_at, plan.days.last().unwrap().left), (None, 1));
}
