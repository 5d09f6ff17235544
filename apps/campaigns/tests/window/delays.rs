//! Delays of steps, in wall time and in business time.

use windlass_campaigns::window::{Calendar, Delay, Holidays};

use super::*;

fn due(delay: Delay, from: &str, policy: &WindowPolicy, who: &Recipient) -> String {
    delay
        .due(at(from), policy, who)
        .map_or("never".into(), |due| zone("UTC").text(due).replace(".000+00:00", "Z"))
}

#[test]
fn days_keep_the_time_of_day_over_a_change_of_the_clock_and_hours_do_not() {
    let policy = always();
    let new_york = in_zone("America/New_York");
    let cases = [
        // 9:30 before and after the spring of 2025, and the autumn.
        (Delay::Days(1), "2025-03-08T14:30:00Z", "2025-03-09T13:30:00Z"),
        (Delay::Hours(24), "2025-03-08T14:30:00Z", "2025-03-09T14:30:00Z"),
        (Delay::Days(1), "2025-11-01T13:30:00Z", "2025-11-02T14:30:00Z"),
        (Delay::Days(3), "2025-03-08T14:30:00Z", "2025-03-11T13:30:00Z"),
        // 02:30 is left out on 9 March: an hour later. 01:30 comes twice on 2 November: the first.
        (Delay::Days(1), "2025-03-08T07:30:00Z", "2025-03-09T07:30:00Z"),
        (Delay::Days(1), "2025-11-01T05:30:00Z", "2025-11-02T05:30:00Z"),
        (Delay::Days(1), "2025-11-02T06:30:00Z", "2025-11-03T06:30:00Z"),
        // Over the end of a month and a leap day.
        (Delay::Days(1), "2028-02-28T17:00:00Z", "2028-02-29T17:00:00Z"),
        (Delay::Days(0), "2025-03-08T14:30:00Z", "2025-03-08T14:30:00Z"),
        (Delay::Minutes(90), "2025-03-09T06:00:00Z", "2025-03-09T07:30:00Z"),
    ];
    for (delay, from, expected) in cases {
        assert_eq!(due(delay, from, &policy, &new_york), expected, "{delay:?} after {from}");
    }
}

#[test]
fn of_several_zones_the_latest_is_waited_for() {
    // The day after in Phoenix and in Denver: the clocks of Denver are moved in between.
    let arizona = in_state("AZ");
    assert_eq!(due(Delay::Days(1), "2025-11-01T15:30:00Z", &always(), &arizona), "2025-11-02T16:30:00Z");
    let nowhere = Recipient::default();
    assert_eq!(due(Delay::Days(1), "2025-03-08T14:30:00Z", &always(), &nowhere), "2025-03-09T13:30:00Z");
}

#[test]
fn business_hours_count_only_while_the_window_is_open() {
    let mut policy = policy_in("America/New_York", &[("mon-fri", "09:00-12:00"), ("mon-fri", "13:00-18:00")]);
    let who = Recipient::default();
    let cases = [
        // Friday 5 June 2026, 16:30: an hour and a half before the weekend.
        (Delay::BusinessHours(1), "2026-06-05T20:30:00Z", "2026-06-05T21:30:00Z"),
        (Delay::BusinessHours(2), "2026-06-05T20:30:00Z", "2026-06-08T13:30:00Z"),
        (Delay::BusinessHours(1), "2026-06-06T12:00:00Z", "2026-06-08T14:00:00Z"),
        // Over lunch.
        (Delay::BusinessHours(1), "2026-06-05T15:30:00Z", "2026-06-05T17:30:00Z"),
        (Delay::BusinessHours(8), "2026-06-05T13:00:00Z", "2026-06-05T22:00:00Z"),
        (Delay::BusinessHours(0), "2026-06-06T12:00:00Z", "2026-06-06T12:00:00Z"),
    ];
    for (delay, from, expected) in cases {
        assert_eq!(due(delay, from, &policy, &who), expected, "{delay:?} after {from}");
    }
    policy.holidays = Holidays::of(Calendar::UsFederal);
    // Friday 3 July 2026 is a holiday.
    assert_eq!(due(Delay::BusinessHours(2), "2026-07-02T21:00:00Z", &policy, &who), "2026-07-06T14:00:00Z");
    // A night that is 25 hours long has an hour of business more.
    let night = policy_in("America/New_York", &[("sun", "00:00-03:00")]);
    assert_eq!(due(Delay::BusinessHours(4), "2025-11-02T04:00:00Z", &night, &who), "2025-11-02T08:00:00Z");
    assert_eq!(due(Delay::BusinessHours(3), "2025-03-09T05:00:00Z", &night, &who), "2025-03-16T05:00:00Z");
}

#[test]
fn business_days_are_the_days_on_which_the_window_opens() {
    let mut policy = policy(&[("mon-fri", "09:00-20:00")]);
    let who = in_zone("America/Los_Angeles");
    let cases = [
        (Delay::BusinessDays(1), "2026-06-04T17:00:00Z", "2026-06-05T17:00:00Z"),
        (Delay::BusinessDays(1), "2026-06-05T17:00:00Z", "2026-06-08T17:00:00Z"),
        (Delay::BusinessDays(1), "2026-06-06T17:00:00Z", "2026-06-08T17:00:00Z"),
        (Delay::BusinessDays(5), "2026-06-05T17:00:00Z", "2026-06-12T17:00:00Z"),
        // 20:00 of Friday in Los Angeles is Saturday in UTC.
        (Delay::BusinessDays(1), "2026-06-06T03:00:00Z", "2026-06-09T03:00:00Z"),
    ];
    for (delay, from, expected) in cases {
        assert_eq!(due(delay, from, &policy, &who), expected, "{delay:?} after {from}");
    }
    policy.holidays = Holidays::of(Calendar::UsFederal);
    assert_eq!(due(Delay::BusinessDays(1), "2026-07-02T17:00:00Z", &policy, &who), "2026-07-06T17:00:00Z");
}

#[test]
fn a_business_time_that_never_passes_is_told_and_a_delay_of_years_refused() {
    let hour = policy(&[("mon-sun", "09:00-10:00")]);
    assert_eq!(due(Delay::BusinessHours(1), "2026-06-01T00:00:00Z", &hour, &in_state("IN")), "never");
    assert!(Delay::Days(366).checked().is_ok());
    assert!(Delay::Hours(366 * 24).checked().is_ok());
    let long = Delay::Days(367).checked().unwrap_err().to_string();
    assert!(long.contains("366 days"), "{long}");
    let json = serde_json::to_string(&Delay::BusinessDays(2)).unwrap();
    assert_eq!(json, r#"{"unit":"business_days","count":2}"#);
    assert_eq!(serde_json::from_str::<Delay>(&json).unwrap(), Delay::BusinessDays(2));
}
