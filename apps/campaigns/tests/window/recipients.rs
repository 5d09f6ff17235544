//! Where recipients are: precedence of the sources, and the tables behind them.

use std::collections::BTreeSet;

use windlass_campaigns::window::places::area_codes;
use windlass_campaigns::window::{Located, NoZone, Place, RecipientError, ZoneSource};

use super::*;

/// Time zone, country, state, postal code and phone of a contact, and the zones and source expected.
type Case = ([&'static str; 5], &'static [&'static str], ZoneSource);

#[test]
fn zones_come_from_the_best_source_and_are_all_that_it_leaves_open() {
    use ZoneSource::{Address, AreaCode, Contact};
    const CASES: &[Case] = &[
        (["America/Boise", "", "FL", "10001", "212 555 0100"], &["America/Boise"], Contact),
        (["", "", "FL", "", "415 555 0100"], &["America/New_York", "America/Chicago"], Address),
        (["", "", "", "10001", "415 555 0100"], &["America/New_York"], Address),
        // The prefix lies in the state and narrows it; one that contradicts it widens.
        (["", "", "FL", "33101", ""], &["America/New_York"], Address),
        (["", "", "FL", "32501", ""], &["America/Chicago"], Address),
        (["", "", "CA", "10001", ""], &["America/New_York", "America/Los_Angeles"], Address),
        (["", "", "Texas", "", ""], &["America/Chicago", "America/Denver"], Address),
        (["", "", "", "79901", ""], &["America/Denver", "America/Chicago"], Address),
        (["", "", "Arizona", "", ""], &["America/Phoenix", "America/Denver"], Address),
        (["", "", "AZ", "85001", ""], &["America/Phoenix"], Address),
        (["", "", "", "2139", ""], &["America/New_York"], Address),
        (["", "", "", "K1A 0B1", ""], &["America/Toronto"], Address),
        (["", "CA", "Québec", "H2X 1Y4", ""], &["America/Toronto"], Address),
        (
            ["", "", "", "V6B", ""],
            &["America/Vancouver", "America/Edmonton", "America/Creston", "America/Fort_Nelson"],
            Address,
        ),
        (["", "", "NL", "", ""], &["America/St_Johns", "America/Goose_Bay"], Address),
        (["", "", "", "", "+1 (850) 555-0100"], &["America/Chicago", "America/New_York"], AreaCode),
        (["", "", "", "", "812.555.0100 ext. 12"], &["America/New_York", "America/Chicago"], AreaCode),
        (["", "", "", "", "1-907-555-0100"], &["America/Anchorage", "America/Adak"], AreaCode),
        (["", "", "", "", "2125550100"], &["America/New_York"], AreaCode),
        (["", "", "", "", "+1 787 555 0100"], &["America/Puerto_Rico"], AreaCode),
        (["", "", "", "", "+1 242 555 0100"], &["America/Nassau"], AreaCode),
        (["", "PR", "", "", ""], &["America/Puerto_Rico"], Address),
        (["", "gu", "", "", "212 555 0100"], &["Pacific/Guam"], Address),
        // An address abroad with five digits is no ZIP code.
        (["", "DE", "", "10115", "212 555 0100"], &["America/New_York"], AreaCode),
    ];
    for ([tz, country, state, postal, phone], zones, source) in CASES {
        let recipient = Recipient::read(tz, country, state, postal, phone).unwrap();
        let Located { zones: found, source: from, .. } = recipient.locate().unwrap();
        let found: Vec<&str> = found.iter().map(Zone::name).collect();
        let same = found.iter().collect::<BTreeSet<_>>() == zones.iter().collect::<BTreeSet<_>>();
        assert!(same && found.len() == zones.len(), "{recipient:?}: {found:?}");
        assert_eq!(from, *source, "{recipient:?}");
    }
}

#[test]
fn numbers_without_a_place_and_places_without_a_clock_have_no_zone() {
    let none = |country: &str, postal: &str, phone: &str| {
        Recipient::read("", country, "", postal, phone).unwrap().locate()
    };
    let us = || Err(NoZone { places: vec![Place::US] });
    for phone in [
        "",
        "800 555 0100",
        "+44 20 7946 0000",
        "+49 212 555 0100",
        "911",
        "555 0100",
        "+1 212 555 010",
        "none",
    ] {
        assert_eq!(none("", "", phone), us(), "{phone:?}");
    }
    // Military mail is handed over in New York and read in Ramstein.
    assert_eq!(none("", "09012", ""), us());
    assert_eq!(none("", "999", ""), us());
    assert_eq!(none("GB", "SW1A 1AA", ""), Err(NoZone { places: vec![Place::code("GB").unwrap()] }));
}

#[test]
fn fields_that_say_nothing_known_are_refused_with_what_to_write() {
    let wrong = Recipient::read("", "", "Floridaa", "", "").unwrap_err();
    assert_eq!(wrong, RecipientError::State("Floridaa".into()));
    assert!(wrong.to_string().contains("write FL or Florida"));
    assert!(Recipient::read("", "Narnia", "", "", "").unwrap_err().to_string().contains("ISO code"));
    assert!(Recipient::read("EST", "", "", "", "").unwrap_err().to_string().contains("America/New_York"));
    for (written, code) in
        [("fl", "US-FL"), ("US-FL", "US-FL"), ("new york", "US-NY"), ("D.C", "US-DC"), ("qc", "CA-QC")]
    {
        let place = Place::state(written).or_else(|| Place::state(&written.replace('.', "")));
        assert_eq!(place.unwrap().to_string(), code, "{written}");
    }
}

#[test]
fn a_field_that_cannot_be_read_any_more_does_not_take_the_others_with_it() {
    let known = Recipient::known("America/Denver", "US", "Deseret", "", "212 555 0100").locate().unwrap();
    assert_eq!((known.zones[0].name(), known.source), ("America/Denver", ZoneSource::Contact));
    let known = Recipient::known("EST", "Narnia", "FL", "", "415 555 0100").locate().unwrap();
    assert_eq!((known.source, known.places.len()), (ZoneSource::Address, 1));
    let read = ["America/Denver", "US", "CO", "80202", "303 555 0100"];
    let [tz, country, state, postal, phone] = read;
    assert_eq!(
        Recipient::read(tz, country, state, postal, phone),
        Ok(Recipient::known(tz, country, state, postal, phone))
    );
}

#[test]
fn a_state_of_another_country_is_no_mistake_and_its_rules_are_that_countrys() {
    for read in [
        Recipient::read("Europe/Berlin", "DE", "Bayern", "80331", "").unwrap(),
        Recipient::known("Europe/Berlin", "DE", "Bayern", "80331", ""),
    ] {
        let located = read.locate().unwrap();
        assert_eq!(located.zones[0].name(), "Europe/Berlin");
        assert_eq!(located.places, [Place::code("DE").unwrap()]);
    }
}

#[test]
fn every_area_code_has_a_place_and_zones_that_its_state_has() {
    let mut count = 0;
    for (code, places, zones) in area_codes() {
        count += 1;
        assert!((200..1000).contains(&code) && !places.is_empty() && !zones.is_empty(), "{code}");
        for place in places.iter().filter(|place| ["US", "CA"].contains(&place.whole().to_string().as_str()))
        {
            assert_eq!(Place::state(&place.to_string()), Some(*place), "{code}");
        }
        let allowed: Vec<Zone> = places
            .iter()
            .filter_map(|place| Recipient { state: Some(*place), ..Recipient::default() }.locate().ok())
            .flat_map(|located| located.zones)
            .collect();
        assert!(allowed.is_empty() || zones.iter().all(|zone| allowed.contains(zone)), "{code}: {zones:?}");
    }
    assert_eq!(count, 455);
    // Every state, territory and province has at least one.
    let with_codes: BTreeSet<Place> = area_codes().flat_map(|(_, places, _)| places.to_vec()).collect();
    let listed =
        include_str!("../../src/window/tables/places.txt").lines().filter(|line| line.contains(" | "));
    let listed: Vec<Place> = listed
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Place::code(line.split(' ').next()?))
        .collect();
    assert_eq!(listed.len(), 56 + 13);
    for place in listed {
        assert!(with_codes.contains(&place), "{place} has no area code");
        let zones = in_state(&place.to_string()).locate().unwrap().zones;
        assert!(!zones.is_empty(), "{place}");
    }
}

#[test]
fn the_tables_name_only_zones_that_the_database_has() {
    for (table, column) in [
        (include_str!("../../src/window/tables/places.txt"), 2),
        (include_str!("../../src/window/tables/area_codes.txt"), 1),
        (include_str!("../../src/window/tables/postal.txt"), 1),
    ] {
        let mut rows = 0;
        for line in table.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let columns: Vec<&str> = line.split(" | ").collect();
            assert_eq!(columns.len(), 3, "{line}");
            for name in columns[column].split_whitespace() {
                assert_eq!(Zone::named(name).unwrap().name(), name, "{line}");
            }
            rows += 1;
        }
        assert!(rows > 60);
    }
}

#[test]
fn a_recipient_survives_json() {
    let mut recipient = Recipient::read("America/Denver", "US", "CO", "80202", "303 555 0100").unwrap();
    recipient.hours = Some(Week::daily("10:00-12:00").unwrap());
    let json = serde_json::to_string(&recipient).unwrap();
    assert_eq!(serde_json::from_str::<Recipient>(&json).unwrap(), recipient, "{json}");
    assert_eq!(serde_json::from_str::<Recipient>("{}").unwrap(), Recipient::default());
}
