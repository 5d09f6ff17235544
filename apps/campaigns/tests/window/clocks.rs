//! Edges, midnight, both changes of the clock, odd offsets, several zones at once.

use windlass::Time;
use windlass_campaigns::channel::Channel::Email;
use windlass_campaigns::window::{Holidays, OnNoZone, Recipient, Verdict, ZoneSource, look, open_ms};

use super::*;

/// Zone, hours on every day, an instant before, and the openings and closings from there on.
type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

#[test]
fn a_window_is_a_set_of_clock_readings_also_where_the_clock_is_changed() {
    const CASES: &[Case] = &[
        // New York, 9 March 2025: 02:00 becomes 03:00; 2 November 2025: 02:00 becomes 01:00.
        (
            "America/New_York",
            "09:00-20:00",
            &[("2025-03-08T14:00Z", "2025-03-09T01:00Z"), ("2025-03-09T13:00Z", "2025-03-10T00:00Z")],
        ),
        (
            "America/New_York",
            "09:00-20:00",
            &[("2025-11-01T13:00Z", "2025-11-02T00:00Z"), ("2025-11-02T14:00Z", "2025-11-03T01:00Z")],
        ),
        (
            "America/New_York",
            "01:30-03:30",
            &[("2025-03-09T06:30Z", "2025-03-09T07:30Z"), ("2025-03-10T05:30Z", "2025-03-10T07:30Z")],
        ),
        (
            "America/New_York",
            "02:15-02:45",
            &[("2025-03-08T07:15Z", "2025-03-08T07:45Z"), ("2025-03-10T06:15Z", "2025-03-10T06:45Z")],
        ),
        (
            "America/New_York",
            "01:00-02:00",
            &[("2025-11-02T05:00Z", "2025-11-02T07:00Z"), ("2025-11-03T06:00Z", "2025-11-03T07:00Z")],
        ),
        (
            "America/New_York",
            "01:30-02:30",
            &[("2025-11-02T05:30Z", "2025-11-02T06:00Z"), ("2025-11-02T06:30Z", "2025-11-02T07:30Z")],
        ),
        (
            "America/New_York",
            "00:30-01:30",
            &[("2025-11-02T04:30Z", "2025-11-02T05:30Z"), ("2025-11-02T06:00Z", "2025-11-02T06:30Z")],
        ),
        // London, 30 March 2025 at 01:00 and 26 October 2025 at 02:00, both 01:00 UTC.
        (
            "Europe/London",
            "08:00-18:00",
            &[("2025-03-29T08:00Z", "2025-03-29T18:00Z"), ("2025-03-30T07:00Z", "2025-03-30T17:00Z")],
        ),
        (
            "Europe/London",
            "00:30-01:30",
            &[("2025-03-30T00:30Z", "2025-03-30T01:00Z"), ("2025-03-30T23:30Z", "2025-03-31T00:30Z")],
        ),
        (
            "Europe/London",
            "01:00-02:00",
            &[("2025-10-26T00:00Z", "2025-10-26T02:00Z"), ("2025-10-27T01:00Z", "2025-10-27T02:00Z")],
        ),
        // Lord Howe changes by half an hour: 6 April 2025 02:00 becomes 01:30, 5 October 2025 02:00 becomes
        // 02:30.
        (
            "Australia/Lord_Howe",
            "01:30-02:00",
            &[("2025-04-05T14:30Z", "2025-04-05T15:30Z"), ("2025-04-06T15:00Z", "2025-04-06T15:30Z")],
        ),
        (
            "Australia/Lord_Howe",
            "01:45-02:45",
            &[("2025-10-04T15:15Z", "2025-10-04T15:45Z"), ("2025-10-05T14:45Z", "2025-10-05T15:45Z")],
        ),
        // Phoenix changes nothing, Indiana does as New York since 2006, and Newfoundland is 3:30 behind.
        (
            "America/Phoenix",
            "09:00-20:00",
            &[("2025-03-08T16:00Z", "2025-03-09T03:00Z"), ("2025-03-09T16:00Z", "2025-03-10T03:00Z")],
        ),
        ("America/Indiana/Indianapolis", "09:00-20:00", &[("2005-07-01T14:00Z", "2005-07-02T01:00Z")]),
        ("America/Indiana/Indianapolis", "09:00-20:00", &[("2006-07-01T13:00Z", "2006-07-02T00:00Z")]),
        ("America/Indiana/Knox", "09:00-20:00", &[("2025-07-01T14:00Z", "2025-07-02T01:00Z")]),
        (
            "America/St_Johns",
            "09:00-20:00",
            &[("2025-03-08T12:30Z", "2025-03-08T23:30Z"), ("2025-03-09T11:30Z", "2025-03-09T22:30Z")],
        ),
        (
            "America/St_Johns",
            "01:30-02:30",
            &[("2025-11-02T04:00Z", "2025-11-02T04:30Z"), ("2025-11-02T05:00Z", "2025-11-02T06:00Z")],
        ),
        // Quarters of an hour, and both sides of the date line.
        ("Asia/Kathmandu", "09:00-10:00", &[("2025-06-01T03:15Z", "2025-06-01T04:15Z")]),
        ("Pacific/Chatham", "09:00-10:00", &[("2025-06-01T20:15Z", "2025-06-01T21:15Z")]),
        ("Pacific/Chatham", "09:00-10:00", &[("2025-12-01T19:15Z", "2025-12-01T20:15Z")]),
        ("Pacific/Kiritimati", "00:00-00:01", &[("2025-06-01T10:00Z", "2025-06-01T10:01Z")]),
        ("Pacific/Pago_Pago", "23:59-24:00", &[("2025-06-02T10:59Z", "2025-06-02T11:00Z")]),
        // Samoa left out 30 December 2011.
        (
            "Pacific/Apia",
            "09:00-10:00",
            &[("2011-12-29T19:00Z", "2011-12-29T20:00Z"), ("2011-12-30T19:00Z", "2011-12-30T20:00Z")],
        ),
        // Cairo changes at midnight: 25 April 2025 has no 00:00-01:00.
        (
            "Africa/Cairo",
            "23:00-00:30",
            &[("2025-04-24T21:00Z", "2025-04-24T22:00Z"), ("2025-04-25T20:00Z", "2025-04-25T21:30Z")],
        ),
        // Over midnight, and up to midnight.
        (
            "UTC",
            "22:00-06:00",
            &[("2025-06-01T22:00Z", "2025-06-02T06:00Z"), ("2025-06-02T22:00Z", "2025-06-03T06:00Z")],
        ),
        ("UTC", "20:00-24:00", &[("2025-06-01T20:00Z", "2025-06-02T00:00Z")]),
        ("UTC", "00:00-00:01", &[("2025-06-01T00:00Z", "2025-06-01T00:01Z")]),
    ];
    for (name, hours, windows) in CASES {
        let policy = policy(&[("mon-sun", hours)]);
        for (open, close) in *windows {
            let full = |text: &str| text.replace('Z', ":00Z");
            assert_window(&policy, &lawless(), &in_zone(name), Email, &full(open), &full(close));
        }
        for pair in windows.windows(2) {
            // Between one window and the next of the case nothing opens.
            let closed = at(&pair[0].1.replace('Z', ":00Z"));
            let next = at(&pair[1].0.replace('Z', ":00Z"));
            let verdict = look(&policy, &lawless(), &in_zone(name), Email, closed);
            let expected = matches!(&verdict, Verdict::Closed { until: Some(until), .. } if *until == next);
            assert!(expected, "{name} {hours} after {}: {verdict:?}", pair[0].1);
        }
    }
}

#[test]
fn the_day_before_owns_the_hours_after_midnight_and_a_holiday_closes_its_own_date() {
    let nights = policy_in("UTC", &[("fri", "22:00-06:00")]);
    let anyone = Recipient::default();
    // 6 June 2025 is a Friday.
    assert_window(&nights, &lawless(), &anyone, Email, "2025-06-06T22:00:00Z", "2025-06-07T06:00:00Z");
    let mut feast = nights.clone();
    feast.holidays = Holidays { dates: vec!["2025-06-07".parse().unwrap()], ..Holidays::default() };
    assert_window(&feast, &lawless(), &anyone, Email, "2025-06-06T22:00:00Z", "2025-06-07T00:00:00Z");
    feast.holidays = Holidays { dates: vec!["2025-06-06".parse().unwrap()], ..Holidays::default() };
    assert_window(&feast, &lawless(), &anyone, Email, "2025-06-07T00:00:00Z", "2025-06-07T06:00:00Z");
    let sundays = policy_in("UTC", &[("sun", "22:00-02:00"), ("mon", "01:00-03:00")]);
    assert_window(&sundays, &lawless(), &anyone, Email, "2025-06-08T22:00:00Z", "2025-06-09T03:00:00Z");
}

#[test]
fn windows_that_meet_at_midnight_are_one() {
    let policy = policy_in("UTC", &[("mon", "20:00-24:00"), ("tue", "00:00-04:00")]);
    let anyone = Recipient::default();
    assert_window(&policy, &lawless(), &anyone, Email, "2025-06-09T20:00:00Z", "2025-06-10T04:00:00Z");
}

#[test]
fn a_window_that_never_closes_says_so_and_one_that_never_opens_too() {
    let forever = look(&always(), &lawless(), &in_zone("UTC"), Email, at("2025-06-01T00:00:00Z"));
    assert!(matches!(forever, Verdict::Open { until: None, .. }), "{forever:?}");
    // Nine to ten in Honolulu is never nine to ten in New York.
    let hour = policy(&[("mon-sun", "09:00-10:00")]);
    let both = Recipient::read("", "", "", "", "").unwrap();
    let mut never = hour.clone();
    never.no_zone = OnNoZone::UseCampaignZone;
    let split = in_state("US-IN");
    let verdict = look(&hour, &lawless(), &split, Email, at("2025-06-01T00:00:00Z"));
    assert!(matches!(verdict, Verdict::Closed { until: None, .. }), "{verdict:?}");
    assert!(look(&never, &lawless(), &both, Email, at("2025-06-02T13:30:00Z")).is_open());
}

#[test]
fn with_several_zones_all_of_them_have_to_be_inside() {
    // Florida is Eastern and Central: 9 to 20 h in both is 10 to 20 h in New York.
    let florida = in_state("Florida");
    let policy = policy(&[("mon-sun", "09:00-20:00")]);
    assert_window(&policy, &lawless(), &florida, Email, "2025-06-02T14:00:00Z", "2025-06-03T00:00:00Z");
    // An area code with two zones does the same; the address is better than the area code.
    let by_phone = Recipient::read("", "", "", "", "(850) 555-0100").unwrap();
    assert_window(&policy, &lawless(), &by_phone, Email, "2025-06-02T14:00:00Z", "2025-06-03T00:00:00Z");
    let moved = Recipient::read("", "", "CA", "", "(850) 555-0100").unwrap();
    assert_window(&policy, &lawless(), &moved, Email, "2025-06-02T16:00:00Z", "2025-06-03T03:00:00Z");
}

#[test]
fn a_campaign_may_read_its_hours_on_its_own_clock() {
    let policy = policy_in("America/New_York", &[("mon-fri", "09:00-20:00")]);
    for who in [in_zone("America/Los_Angeles"), in_zone("Asia/Tokyo"), Recipient::default()] {
        assert_window(&policy, &lawless(), &who, Email, "2025-06-02T13:00:00Z", "2025-06-03T00:00:00Z");
    }
}

#[test]
fn a_recipient_without_a_zone_is_skipped_or_taken_to_be_where_the_campaign_is() {
    let nobody = Recipient::read("", "", "", "", "+44 20 7946 0000").unwrap();
    let mut policy = policy(&[("mon-sun", "09:00-20:00")]);
    let when = at("2025-06-02T15:00:00Z");
    let verdict = look(&policy, &lawless(), &nobody, Email, when);
    let Verdict::Closed { until: None, reason, evaluation } = verdict else { panic!("{verdict:?}") };
    assert_eq!((reason.code(), evaluation.zone_source), ("no_zone", None));
    policy.no_zone = OnNoZone::UseCampaignZone;
    let verdict = look(&policy, &lawless(), &nobody, Email, when);
    assert!(verdict.is_open());
    assert_eq!(verdict.evaluation().zone_source, Some(ZoneSource::Campaign));
    assert_eq!(verdict.evaluation().recipient[0].zone.name(), "America/New_York");
}

#[test]
fn instants_beyond_the_table_and_beyond_the_calendar_have_an_answer() {
    let policy = policy(&[("mon-sun", "09:00-20:00")]);
    let new_york = in_zone("America/New_York");
    assert_window(&policy, &lawless(), &new_york, Email, "2150-07-01T13:00:00Z", "2150-07-02T00:00:00Z");
    assert_window(&policy, &lawless(), &new_york, Email, "2150-12-01T14:00:00Z", "2150-12-02T01:00:00Z");
    // The change of spring 2150, across the last row of the table and far behind it.
    assert_window(&policy, &lawless(), &new_york, Email, "2150-03-08T13:00:00Z", "2150-03-09T00:00:00Z");
    for when in [Time::ZERO, Time(u64::MAX), Time(i64::MAX as u64), Time(253_402_300_799_999)] {
        look(&policy, &lawless(), &new_york, Email, when);
    }
}

#[test]
fn clocks_are_those_of_the_database_that_is_compiled_in_and_not_of_the_host() {
    // British Columbia, Alberta and Manitoba stopped changing their clocks in 2026; many hosts do not know
    // yet.
    let winter = at("2026-12-15T20:00:00Z");
    for (name, reads) in [
        ("America/Vancouver", "2026-12-15T13:00:00.000-07:00"),
        ("America/Edmonton", "2026-12-15T14:00:00.000-06:00"),
        ("America/Winnipeg", "2026-12-15T15:00:00.000-05:00"),
        ("America/Los_Angeles", "2026-12-15T12:00:00.000-08:00"),
    ] {
        assert_eq!(zone(name).text(winter), reads);
    }
}

#[test]
fn open_time_of_a_day_counts_the_hours_that_the_clock_repeats_and_leaves_out() {
    let open = |hours: &str, day: &str, next: &str| {
        let policy = policy(&[("mon-sun", hours)]);
        let who = in_zone("America/New_York");
        open_ms(&policy, &lawless(), &who, Email, at(day), at(next)) / 60_000
    };
    let (spring, spring_end) = ("2025-03-09T05:00:00Z", "2025-03-10T04:00:00Z");
    let (autumn, autumn_end) = ("2025-11-02T04:00:00Z", "2025-11-03T05:00:00Z");
    assert_eq!(open("00:00-24:00", spring, spring_end), 23 * 60);
    assert_eq!(open("00:00-24:00", autumn, autumn_end), 25 * 60);
    assert_eq!(open("01:30-02:30", spring, spring_end), 30);
    assert_eq!(open("01:30-02:30", autumn, autumn_end), 90);
    assert_eq!(open("09:00-20:00", autumn, autumn_end), 11 * 60);
}

#[test]
fn an_evaluation_has_every_clock_and_survives_json() {
    let verdict = look(
        &policy(&[("mon-sun", "09:00-20:00")]),
        windlass_campaigns::window::RuleTable::built_in(),
        &Recipient::read("", "", "", "", "850-555-0100").unwrap(),
        Channel::Sms,
        Time(at("2025-11-02T14:00:00Z").0 + 7),
    );
    let evaluation = verdict.evaluation();
    let locals: Vec<_> = evaluation.recipient.iter().map(|r| r.local.as_str()).collect();
    assert_eq!(locals, ["2025-11-02T08:00:00.007-06:00", "2025-11-02T09:00:00.007-05:00"]);
    assert_eq!(evaluation.campaign.local, "2025-11-02T09:00:00.007-05:00");
    assert_eq!(evaluation.rules, ["us-federal", "us-fl"]);
    assert_eq!(evaluation.zone_source, Some(ZoneSource::AreaCode));
    let json = serde_json::to_string(&verdict).unwrap();
    assert_eq!(serde_json::from_str::<Verdict>(&json).unwrap(), verdict, "{json}");
}
