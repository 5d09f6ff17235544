//! The hours of a week in which recipients can be reached.

use windlass_campaigns::channel::Channel::{Email, Sms};
use windlass_campaigns::window::{Calendar, heat};

use super::*;

/// Wednesday 18 November 2026, 10:00 in New York.
const WEDNESDAY: &str = "2026-11-18T15:00:00Z";

fn open_hours(day: &[u8; 24]) -> Vec<(usize, u8)> {
    day.iter()
        .enumerate()
        .filter(|(_, percent)| **percent > 0)
        .map(|(hour, percent)| (hour, *percent))
        .collect()
}

#[test]
fn a_week_shows_when_how_many_can_be_reached_on_the_campaigns_clock() {
    let policy = policy(&[("mon-fri", "09:00-11:30")]);
    // Three in New York, one in Los Angeles, of whom it is three hours later in New York.
    let people = [(in_zone("America/New_York"), 3), (in_zone("America/Los_Angeles"), 1)];
    let week = heat(&policy, &lawless(), Email, &people, at(WEDNESDAY));
    assert_eq!(week.monday.to_string(), "2026-11-23", "the next whole week");
    for day in 0..5 {
        let open = [(9, 75), (10, 75), (11, 37), (12, 25), (13, 25), (14, 12)];
        assert_eq!(open_hours(&week.percent[day]), open, "day {day}");
    }
    assert_eq!((open_hours(&week.percent[5]), open_hours(&week.percent[6])), (vec![], vec![]));
}

#[test]
fn the_law_and_unknown_zones_are_left_out_of_it() {
    let mut policy = policy_in("America/New_York", &[("mon-sun", "00:00-24:00")]);
    let people = [(in_state("TX"), 1), (Recipient::default(), 1)];
    let texts = heat(&policy, RuleTable::built_in(), Sms, &people, at(WEDNESDAY));
    // 9 to 21 on the later of both clocks of Texas, from 12 on Sundays; whose zone nobody knows is half of them.
    let from_to = |day: usize| {
        let open = open_hours(&texts.percent[day]);
        assert!(open.iter().all(|(_, percent)| *percent == 50), "{open:?}");
        (open[0].0, open[open.len() - 1].0 + 1)
    };
    assert_eq!((from_to(0), from_to(6)), ((11, 22), (14, 22)));
    let mails = heat(&policy, RuleTable::built_in(), Email, &people, at(WEDNESDAY));
    assert!(mails.percent.iter().flatten().all(|percent| *percent == 100), "no law covers mail");
    policy.no_zone = OnNoZone::UseCampaignZone;
    let texts = heat(&policy, RuleTable::built_in(), Sms, &people, at(WEDNESDAY));
    assert_eq!((texts.percent[0][8], texts.percent[0][11]), (50, 100));
}

#[test]
fn a_holiday_of_that_week_is_closed_and_few_are_not_nobody() {
    let mut policy = policy(&[("mon-fri", "09:00-20:00")]);
    policy.holidays.calendars = vec![Calendar::UsFederal];
    let people = [(in_zone("America/New_York"), 1), (in_zone("Asia/Tokyo"), 999)];
    let week = heat(&policy, &lawless(), Email, &people, at(WEDNESDAY));
    assert!(week.percent[3][10] == 0, "Thanksgiving");
    assert_eq!(week.percent[2][10], 1, "one of a thousand is not nobody");
    assert_eq!(heat(&policy, &lawless(), Email, &[], at(WEDNESDAY)).percent, [[0; 24]; 7]);
}
