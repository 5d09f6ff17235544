//! Holidays against another program's, and the shifts of those that fall on a weekend.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use windlass_campaigns::window::{Calendar, Holidays};

#[test]
fn holidays_are_on_the_days_that_another_program_computes() {
    let mut lists: BTreeMap<(&str, &str), BTreeSet<Date>> = BTreeMap::new();
    for line in include_str!("holidays.txt").lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let key = (words.next().unwrap(), words.next().unwrap());
        lists.entry(key).or_default().extend(words.map(|date| date.parse::<Date>().unwrap()));
    }
    assert_eq!(lists.len(), 9);
    for ((kind, name), dates) in lists {
        let calendar: Calendar = serde_json::from_value(name.into()).unwrap();
        assert_eq!(calendar.name(), name);
        for date in &dates {
            assert!(calendar.holiday(*date).is_some(), "{name} lacks {date}");
        }
        let (first, last) = (dates.first().unwrap().year(), dates.last().unwrap().year());
        let mut date = Date::new(first, 1, 1).unwrap();
        while kind == "exact" && date.year() <= last {
            assert_eq!(calendar.holiday(date).is_some(), dates.contains(&date), "{name} {date}");
            date = date.tomorrow().unwrap();
        }
    }
}

#[test]
fn a_holiday_on_a_weekend_closes_itself_and_the_day_on_which_it_is_observed() {
    let date = |text: &str| text.parse::<Date>().unwrap();
    let federal = |text: &str| Calendar::UsFederal.holiday(date(text));
    assert_eq!(federal("2026-07-03"), Some("Independence Day"));
    assert_eq!(federal("2026-07-04"), Some("Independence Day"));
    assert_eq!(federal("2026-07-05"), None);
    assert_eq!(federal("2027-07-05"), Some("Independence Day"));
    // New Year's Day of 2028 is a Saturday: observed in the year before.
    assert_eq!(federal("2027-12-31"), Some("New Year's Day"));
    assert_eq!(federal("2026-12-31"), None);
    assert_eq!(federal("2020-06-19"), None, "no holiday before 2021");
    assert_eq!(federal("2026-11-26"), Some("Thanksgiving Day"));
    let england = |text: &str| Calendar::England.holiday(date(text));
    // Christmas of 2021 was a Saturday, of 2022 a Sunday.
    assert_eq!(england("2021-12-27"), Some("Christmas Day"));
    assert_eq!(england("2021-12-28"), Some("Boxing Day"));
    assert_eq!(england("2022-12-27"), Some("Christmas Day"));
}

#[test]
fn dates_of_ones_own_close_besides_the_calendars() {
    let holidays: Holidays =
        serde_json::from_str(r#"{"calendars": ["us-major"], "dates": ["2026-12-24"]}"#).unwrap();
    let name = |text: &str| holidays.holiday(text.parse().unwrap());
    assert_eq!(name("2026-12-24"), Some("a date of the list"));
    assert_eq!(name("2026-12-25"), Some("Christmas Day"));
    assert_eq!(name("2026-10-12"), None, "Columbus Day is no holiday of us-major");
    for calendar in Calendar::ALL {
        let json = serde_json::to_string(&calendar).unwrap();
        assert_eq!(json, format!("\"{calendar}\""));
    }
    let wrong = serde_json::from_str::<Holidays>(r#"{"calendars": ["us"]}"#).unwrap_err().to_string();
    assert!(wrong.contains("us-federal"), "{wrong}");
    assert!(serde_json::from_str::<Holidays>(r#"{"dates": ["2026-02-30"]}"#).is_err());
}
