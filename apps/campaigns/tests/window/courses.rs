//! Forecasts of whole sequences whose numbers can be checked by hand.

use windlass_campaigns::channel::Channel::{self, Email, Sms, Voicemail};
use windlass_campaigns::window::{Caps, Delay, Forecast, Group, Lot, Pace, Paces, course, forecast};

use super::*;

fn lot(channel: Channel, messages: u64, after: &[usize], delay: Delay) -> Lot {
    let (after, delays) = (after.to_vec(), vec![delay]);
    Lot { recipient: Recipient::default(), channel, messages, begins: after.is_empty(), after, delays }
}

fn sent(forecast: &Forecast) -> Vec<(String, u64, u64)> {
    forecast.days.iter().map(|day| (day.date.to_string(), day.sent, day.left)).collect()
}

fn weekdays() -> WindowPolicy {
    let mut policy = policy_in("America/New_York", &[("mon-fri", "09:00-20:00")]);
    policy.no_zone = OnNoZone::UseCampaignZone;
    policy
}

#[test]
fn one_step_is_through_when_the_plain_forecast_says() {
    let policy = weekdays();
    for (per_day, per_second, messages) in
        [(None, None, 10), (Some(400), Some(0.1), 1_000), (None, Some(1.0), 100_000), (Some(7), None, 100)]
    {
        let from = at("2026-06-04T13:30:00Z");
        let caps = Caps { per_day, sent_today: 5, per_second };
        let groups = [Group { recipient: Recipient::default(), channel: Email, messages }];
        let plain = forecast(&policy, &lawless(), &groups, &caps, from);
        let mut paces = Paces { per_day, sent_today: 5, ..Paces::default() };
        paces.channels[0].per_second = per_second;
        let lots = [lot(Email, messages, &[], Delay::Minutes(0))];
        let whole = course(&policy, &lawless(), &lots, &paces, from);
        assert_eq!(whole.days, plain.days);
        let ends = [&whole, &plain].map(|forecast| forecast.completes_at.unwrap().0);
        assert!(ends[0].abs_diff(ends[1]) <= 1, "{ends:?}");
    }
}

#[test]
fn a_step_follows_its_delay_after_the_step_before() {
    let policy = weekdays();
    // Monday 1 June 2026, 9:00: 100 mails at once, two days later 60 texts, and 40 calls at 45 s each: 30 min.
    let mut paces = Paces::default();
    paces.channels[2].per_second = Some(1.0 / 45.0);
    let lots = [
        lot(Email, 100, &[], Delay::Minutes(0)),
        lot(Sms, 60, &[0], Delay::Days(2)),
        lot(Voicemail, 40, &[0], Delay::Days(2)),
    ];
    let plan = course(&policy, &lawless(), &lots, &paces, at("2026-06-01T13:00:00Z"));
    let days =
        [("2026-06-01".into(), 100, 100), ("2026-06-02".into(), 0, 100), ("2026-06-03".into(), 100, 0)];
    assert_eq!(sent(&plan), days);
    assert_eq!(plan.completes_local.as_deref(), Some("2026-06-03T09:30:00.000-04:00"));
}

#[test]
fn a_sender_that_warms_up_bears_more_each_day_and_all_channels_share_the_campaigns_cap() {
    let policy = weekdays();
    let mut paces = Paces { per_day: Some(40), ..Paces::default() };
    paces.channels[0] = Pace { per_second: None, per_day: vec![10, 20, 50] };
    let mails = [lot(Email, 100, &[], Delay::Minutes(0))];
    let plan = course(&policy, &lawless(), &mails, &paces, at("2026-06-01T13:00:00Z"));
    let numbers: Vec<u64> = plan.days.iter().map(|day| day.sent).collect();
    assert_eq!(numbers, [10, 20, 40, 30]);

    paces.channels[0].per_day = vec![60];
    let both = [lot(Email, 60, &[], Delay::Minutes(0)), lot(Sms, 60, &[], Delay::Minutes(0))];
    let plan = course(&policy, &lawless(), &both, &paces, at("2026-06-01T13:00:00Z"));
    let numbers: Vec<u64> = plan.days.iter().map(|day| day.sent).collect();
    assert_eq!(numbers, [40, 40, 40]);
}

#[test]
fn what_nobody_can_be_sent_is_told_and_holds_nothing_up() {
    let policy = WindowPolicy { no_zone: OnNoZone::Skip, ..weekdays() };
    let mut lots = vec![lot(Sms, 5, &[], Delay::Minutes(0)), lot(Sms, 7, &[0], Delay::Minutes(0))];
    lots[1].recipient = Recipient::in_zone(Zone::named("America/Chicago").unwrap());
    let plan = course(&policy, &lawless(), &lots, &Paces::default(), at("2026-06-01T15:00:00Z"));
    assert_eq!(plan.unreachable, [(0, 5)]);
    assert_eq!(sent(&plan), [("2026-06-01".into(), 7, 0)]);

    let alone = Lot { after: Vec::new(), ..lots[1].clone() };
    let slow = Paces { per_day: Some(1), ..Paces::default() };
    let plan = course(&policy, &lawless(), std::slice::from_ref(&alone), &slow, at("2026-06-01T15:00:00Z"));
    assert_eq!(plan.days.len(), 9, "seven working days and a weekend");
    let never = Paces { per_day: Some(0), ..Paces::default() };
    assert_eq!(course(&policy, &lawless(), &[alone], &never, at("2026-06-01T15:00:00Z")).completes_at, None);
}

#[test]
fn so_many_begin_on_each_day_wherever_they_are_and_the_next_step_follows_each() {
    let policy = weekdays();
    let paces = Paces { begins_per_day: Some(40), ..Paces::default() };
    let lots = [
        lot(Email, 90, &[], Delay::Minutes(0)),
        lot(Sms, 60, &[], Delay::Minutes(0)),
        lot(Email, 150, &[0, 1], Delay::BusinessDays(1)),
    ];
    // Thursday 4 June 2026, 9:30. The weekend has none, and Monday has no more than another day.
    let plan = course(&policy, &lawless(), &lots, &paces, at("2026-06-04T13:30:00Z"));
    let days: Vec<u64> = plan.days.iter().map(|day| day.sent).collect();
    assert_eq!(days, [40, 80, 0, 0, 80, 70, 30]);
}
