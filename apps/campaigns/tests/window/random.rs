//! Random weeks, zones, laws and instants against the second opinion of [`super::oracle`].

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use windlass_campaigns::window::{Holidays, Place, Rule};

use super::oracle::{self, Clocked, Hours};
use super::*;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

const ZONES: [&str; 16] = [
    "America/New_York",
    "America/Chicago",
    "America/Los_Angeles",
    "America/Phoenix",
    "America/St_Johns",
    "America/Indiana/Knox",
    "America/Vancouver",
    "Europe/London",
    "Africa/Cairo",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
    "UTC",
];

/// Instants near which clocks are moved or dates are left out, in seconds: New York, London, Lord Howe, St
/// John's, Cairo, Apia.
const CHANGES: [i64; 14] = [
    1_741_503_600,
    1_762_063_200,
    1_743_296_400,
    1_761_440_400,
    1_743_866_100,
    1_759_590_000,
    1_741_498_200,
    1_762_057_800,
    1_745_532_000,
    1_761_858_000,
    1_325_239_200,
    1_773_046_800,
    1_793_516_400,
    1_772_964_000,
];

/// How many minutes are looked through for the next change: a little more than a week.
const LOOKED: i64 = 8 * 24 * 60;

fn stretch() -> impl Strategy<Value = (&'static str, String, String)> {
    let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    // Mostly full and half hours, which is what people write and where clocks change.
    let minute = prop_oneof![3 => (0u16..48).prop_map(|n| n * 30), 1 => 0u16..1440];
    let end = prop_oneof![3 => (0u16..=48).prop_map(|n| n * 30), 1 => 0u16..=1440];
    (select(&DAYS[..]), minute, end)
        .prop_filter("empty", |(_, from, to)| from != to)
        .prop_map(move |(day, from, to)| (day, clock(from), clock(to)))
}

fn hours() -> impl Strategy<Value = Hours> {
    vec(stretch(), 1..10).prop_map(|stretches| Hours { stretches, closed: Vec::new(), valid: None })
}

/// An instant, mostly close to a change of some clock.
fn instant() -> impl Strategy<Value = i64> {
    let near = (select(&CHANGES[..]), -3 * 86_400_000..3 * 86_400_000i64).prop_map(|(s, ms)| s * 1_000 + ms);
    let edge = (select(&CHANGES[..]), -100..100i64, -1..=1i64)
        .prop_map(|(s, half, ms)| s * 1_000 + half * 1_800_000 + ms);
    prop_oneof![2 => near, 2 => edge, 1 => 1_577_836_800_000..2_208_988_800_000i64]
}

fn week(hours: &Hours) -> Week {
    let days: Vec<(&str, String)> =
        hours.stretches.iter().map(|(day, from, to)| (*day, format!("{from}-{to}"))).collect();
    let days: Vec<(&str, &str)> = days.iter().map(|(day, text)| (*day, text.as_str())).collect();
    Week::of(&days).unwrap()
}

fn date_near(at: i64, days: i64) -> Date {
    let at = jiff::Timestamp::from_millisecond(at + days * 86_400_000).unwrap();
    at.to_zoned(TimeZone::UTC).date()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_verdict_is_what_the_clocks_show_minute_by_minute(
        campaign in hours(),
        law in hours(),
        own in proptest::option::weighted(0.3, hours()),
        campaign_zone in select(&ZONES[..]),
        zones in subsequence(&ZONES[..], 1),
        pair in proptest::option::weighted(0.4, select(vec![
            ("FL", ["America/New_York", "America/Chicago"]),
            ("AZ", ["America/Phoenix", "America/Denver"]),
            ("NL", ["America/St_Johns", "America/Goose_Bay"]),
            ("AK", ["America/Anchorage", "America/Adak"]),
        ])),
        in_campaign_zone in any::<bool>(),
        texts in any::<bool>(),
        closed in vec(-2..6i64, 0..3),
        valid in (-3..3i64, 0..5i64),
        at in instant(),
    ) {
        // A state has two zones at once, a time zone of one's own is one.
        let (who, zones): (Recipient, Vec<&str>) = match pair {
            Some((state, both)) => (in_state(state), both.to_vec()),
            None => (Recipient { country: Some(Place::US), ..in_zone(zones[0]) }, zones),
        };
        let who = Recipient { hours: own.as_ref().map(week), ..who };
        let closed: Vec<Date> = closed.iter().map(|days| date_near(at, *days)).collect();
        let valid = (date_near(at, valid.0), date_near(at, valid.0 + valid.1));
        let mut policy = WindowPolicy::new(zone(campaign_zone), week(&campaign)).unwrap();
        policy.hours_in = if in_campaign_zone { HoursIn::Campaign } else { HoursIn::Recipient };
        policy.holidays = Holidays { dates: closed.clone(), ..Holidays::default() };
        let rule = |id: &str, place: Place| Rule {
            id: id.into(),
            place,
            channels: vec![Channel::Sms],
            valid_from: valid.0,
            valid_until: Some(valid.1),
            hours: week(&law),
            closed_on: Holidays::default(),
            source: "random".into(),
        };
        let canadian = pair.is_some_and(|(state, _)| state == "NL");
        let rules = RuleTable {
            edition: "random".into(),
            rules: vec![rule("a", if canadian { Place::CANADA } else { Place::US })],
        };
        let channel = if texts { Channel::Sms } else { Channel::Email };

        // The host's files may be of another year than what is compiled in.
        let jiffy = |name: &str| TimeZoneDatabase::bundled().get(name).unwrap();
        let mut all: Vec<Clocked> = Vec::new();
        let clocks = if in_campaign_zone { vec![campaign_zone] } else { zones.clone() };
        all.extend(clocks.iter().map(|name| (Hours { closed: closed.clone(), ..campaign.clone() }, jiffy(name))));
        if texts {
            all.extend(zones.iter().map(|name| (Hours { valid: Some(valid), ..law.clone() }, jiffy(name))));
        }
        if let Some(own) = &own {
            all.extend(zones.iter().map(|name| (own.clone(), jiffy(name))));
        }

        let verdict = look(&policy, &rules, &who, channel, Time(at as u64));
        let expected = oracle::change(&all, at, LOOKED);
        let (open, until) = match &verdict {
            Verdict::Open { until, .. } => (true, *until),
            Verdict::Closed { until, .. } => (false, *until),
        };
        prop_assert_eq!(open, oracle::open(&all, at), "{:?}", &verdict);
        match expected {
            Some(edge) => prop_assert_eq!(until, Some(Time(edge as u64)), "{:?}", &verdict),
            None => {
                let beyond = at + LOOKED * 60_000;
                prop_assert!(until.is_none_or(|until| until.0 as i64 > beyond), "{:?}", &verdict);
            }
        }
    }
}
