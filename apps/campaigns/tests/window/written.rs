//! Policies, weeks and zones as they are written: what is read, what is refused and with which words.

use windlass_campaigns::window::{OnNoZone, ZoneError};

use super::*;

#[test]
fn abbreviations_and_offsets_are_refused_with_the_zone_that_is_meant() {
    for (name, meant) in [
        ("EST", "America/New_York"),
        ("est", "America/New_York"),
        ("EST5EDT", "America/New_York"),
        ("CST", "America/Chicago"),
        ("MST", "America/Phoenix"),
        ("PST", "America/Los_Angeles"),
        ("HST", "Pacific/Honolulu"),
        ("GMT", "Europe/London"),
        ("GMT+5", "a named zone"),
        ("Etc/GMT+5", "a named zone"),
        ("UTC-5", "a named zone"),
        ("-05:00", "a named zone"),
    ] {
        let error = Zone::named(name).unwrap_err();
        assert!(matches!(error, ZoneError::Fixed { .. }), "{name}: {error:?}");
        assert!(error.to_string().contains(meant), "{name}: {error}");
    }
    let policy = WindowPolicy::from_json(r#"{"zone": "EST", "week": {"mon": ["09:00-20:00"]}}"#);
    assert!(policy.unwrap_err().to_string().contains("write America/New_York"));
}

#[test]
fn unknown_zones_are_refused_with_the_nearest_name_and_known_ones_have_their_proper_spelling() {
    for (name, near) in [
        ("America/NewYork", "America/New_York"),
        ("New York", "America/New_York"),
        ("Chicago", "America/Chicago"),
        ("America/Los_Angels", "America/Los_Angeles"),
        ("Europe/Londn", "Europe/London"),
    ] {
        assert!(
            Zone::named(name).unwrap_err().to_string().contains(&format!("did you mean {near:?}?")),
            "{name}"
        );
    }
    assert!(Zone::named("Middle Earth").unwrap_err().to_string().contains("write it as America/New_York"));
    assert!(Zone::named("").is_err());
    for name in ["america/new_york", " America/New_York ", "AMERICA/NEW_YORK"] {
        assert_eq!(Zone::named(name).unwrap(), zone("America/New_York"), "{name}");
        assert_eq!(Zone::named(name).unwrap().name(), "America/New_York");
    }
    assert_eq!(zone("UTC").text(at("2026-06-01T00:00:00.007Z")), "2026-06-01T00:00:00.007+00:00");
    assert_eq!(zone("Asia/Kathmandu").text(at("2026-06-01T00:00:00Z")), "2026-06-01T05:45:00.000+05:45");
}

#[test]
fn a_policy_is_written_and_read_as_it_was() {
    let json = r#"{"zone":"America/Denver","hours_in":"campaign","week":{"mon":["09:00-12:00","13:00-24:00"],"sat":["22:00-06:00"]},"holidays":{"calendars":["us-federal"],"dates":["2026-12-24"]},"no_zone":"use_campaign_zone"}"#;
    let policy = WindowPolicy::from_json(json).unwrap();
    assert_eq!(policy.no_zone, OnNoZone::UseCampaignZone);
    assert_eq!(serde_json::to_string(&policy).unwrap(), json);
    let short = WindowPolicy::from_json(r#"{"zone": "UTC", "week": {"mon-fri": ["09:00-20:00"]}}"#).unwrap();
    assert_eq!((short.hours_in, short.no_zone), (HoursIn::Recipient, OnNoZone::Skip));
    assert_eq!(short.week, Week::of(&[("mon-fri", "09:00-20:00")]).unwrap());
    assert_eq!(
        short.week.to_string(),
        "mon 09:00-20:00, tue 09:00-20:00, wed 09:00-20:00, thu 09:00-20:00, fri 09:00-20:00"
    );
}

#[test]
fn hours_that_cannot_be_meant_are_refused_with_what_to_write() {
    let week =
        |days: &str, hours: &str| Week::of(&[(days, hours)]).map(|_| ()).map_err(|why| why.to_string());
    for hours in [
        "9-20",
        "09:00",
        "9:00-20:00",
        "09:00-25:00",
        "09:60-10:00",
        "24:00-25:00",
        "24:00-06:00",
        "09:00–20:00",
        "-1:00-02:00",
        "",
    ] {
        assert!(week("mon", hours).unwrap_err().contains("write it as \"09:00-20:00\""), "{hours:?}");
    }
    assert!(week("mon", "09:00-09:00").unwrap_err().contains("write \"00:00-24:00\""));
    for day in ["monday", "", "mon-", "mo", "mon-tue-wed", "weekdays"] {
        assert!(week(day, "09:00-20:00").unwrap_err().contains("is not a day"), "{day:?}");
    }
    for (days, hours) in [("MON", "09:00-20:00"), ("sat-mon", "00:00-24:00"), ("sun", "23:00-00:00")] {
        assert!(week(days, hours).is_ok(), "{days} {hours}");
    }
    let weekend = Week::of(&[("sat-mon", "10:00-11:00")]).unwrap();
    let open: Vec<usize> = (0..7).filter(|day| weekend.minutes(*day).next().is_some()).collect();
    assert_eq!(open, [0, 5, 6]);
    let never = WindowPolicy::from_json(r#"{"zone": "UTC", "week": {"mon": []}}"#).unwrap_err().to_string();
    assert!(never.contains("never opens"), "{never}");
    let unknown = WindowPolicy::from_json(r#"{"zone": "UTC", "weeks": {}}"#).unwrap_err().to_string();
    assert!(unknown.contains("weeks"), "{unknown}");
}

#[test]
fn stretches_that_touch_or_overlap_are_one_and_midnight_carries_over_into_the_next_day() {
    let week = Week::of(&[
        ("mon", "09:00-12:00"),
        ("mon", "11:00-13:00"),
        ("mon", "13:00-14:00"),
        ("mon", "22:00-02:00"),
    ]);
    let week = week.unwrap();
    assert_eq!(week.minutes(0).collect::<Vec<_>>(), [(540, 840), (1320, 1440)]);
    assert_eq!(week.minutes(1).collect::<Vec<_>>(), [(0, 120)]);
    let sunday = Week::of(&[("sun", "22:00-02:00")]).unwrap();
    assert_eq!(sunday.minutes(0).collect::<Vec<_>>(), [(0, 120)]);
}
