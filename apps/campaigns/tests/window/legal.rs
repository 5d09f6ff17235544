//! Legal hours: the built-in table, its edges, and what is said of a table that is wrong.

use windlass_campaigns::channel::Channel::{Email, Sms, Voicemail};
use windlass_campaigns::window::{Calendar, Place, RulesError};

use super::*;

#[test]
fn the_federal_window_is_eight_to_nine_by_the_recipients_clock_for_texts_and_calls_and_not_for_mail() {
    let law = RuleTable::built_in();
    for channel in [Sms, Voicemail] {
        let colorado = in_state("CO");
        assert_window(&always(), law, &colorado, channel, "2026-06-01T14:00:00Z", "2026-06-02T03:00:00Z");
    }
    assert!(look(&always(), law, &in_state("CO"), Email, at("2026-06-01T08:00:00Z")).is_open());
    // "9 to 20 h Eastern" is six in the morning in Los Angeles.
    let eastern = policy_in("America/New_York", &[("mon-fri", "09:00-20:00")]);
    let west = in_state("CA");
    let why = reason(&eastern, law, &west, Sms, "2026-06-01T13:00:00Z");
    assert_eq!(why.code(), "recipient_quiet_hours");
    assert_window(&eastern, law, &west, Sms, "2026-06-01T15:00:00Z", "2026-06-02T00:00:00Z");
}

#[test]
fn the_strictest_of_the_rows_that_hold_wins() {
    let law = RuleTable::built_in();
    /// State, channel, an opening and its closing in UTC.
    type Case = (&'static str, Channel, &'static str, &'static str);
    const CASES: &[Case] = &[
        // A Sunday in Florida: 8 to 20 h in both of its zones.
        ("FL", Sms, "2026-06-07T13:00:00Z", "2026-06-08T00:00:00Z"),
        // A Sunday in Texas: from noon; a Monday from nine. Both zones of Texas.
        ("TX", Sms, "2026-06-07T18:00:00Z", "2026-06-08T02:00:00Z"),
        ("TX", Voicemail, "2026-06-08T15:00:00Z", "2026-06-09T02:00:00Z"),
        ("CT", Sms, "2026-06-07T13:00:00Z", "2026-06-08T00:00:00Z"),
        ("OK", Sms, "2026-06-07T13:00:00Z", "2026-06-08T01:00:00Z"),
        ("WA", Sms, "2026-06-07T15:00:00Z", "2026-06-08T03:00:00Z"),
        ("KY", Sms, "2026-06-08T15:00:00Z", "2026-06-09T01:00:00Z"),
        ("RI", Voicemail, "2026-06-06T14:00:00Z", "2026-06-06T21:00:00Z"),
        ("ME", Voicemail, "2026-06-08T13:00:00Z", "2026-06-08T21:00:00Z"),
        ("ME", Sms, "2026-06-08T12:00:00Z", "2026-06-09T01:00:00Z"),
        // Saturday evening in Utah is followed by Monday morning.
        ("UT", Sms, "2026-06-06T14:00:00Z", "2026-06-07T03:00:00Z"),
        ("UT", Sms, "2026-06-08T14:00:00Z", "2026-06-09T03:00:00Z"),
        ("QC", Voicemail, "2026-06-06T14:00:00Z", "2026-06-06T21:00:00Z"),
    ];
    for (state, channel, open, close) in CASES {
        assert_window(&always(), law, &in_state(state), *channel, open, close);
    }
    assert!(look(&always(), law, &in_state("QC"), Sms, at("2026-06-06T08:00:00Z")).is_open());
}

#[test]
fn the_reason_names_the_row_and_the_holiday() {
    let law = RuleTable::built_in();
    let quiet = |state: &str, when: &str| reason(&always(), law, &in_state(state), Sms, when);
    let rule = |id: &str| ClosedReason::RecipientQuietHours { rule: id.into() };
    assert_eq!(quiet("TX", "2026-06-07T16:59:59.999Z"), rule("us-tx-texts"));
    assert_eq!(quiet("FL", "2026-06-07T00:30:00Z"), rule("us-fl"));
    assert_eq!(quiet("FL", "2026-06-07T02:30:00Z"), rule("us-federal"));
    assert_eq!(quiet("UT", "2026-06-07T18:00:00Z"), rule("us-ut"));
    // Pioneer Day, 24 July 2026, is a Friday.
    let pioneers = ClosedReason::Holiday { name: "Pioneer Day".into(), rule: Some("us-ut".into()) };
    assert_eq!(quiet("UT", "2026-07-24T18:00:00Z"), pioneers);
    // What the campaign itself closes is told first.
    let mut campaign = policy(&[("mon-fri", "09:00-20:00")]);
    assert_eq!(
        reason(&campaign, law, &in_state("UT"), Sms, "2026-06-07T18:00:00Z"),
        ClosedReason::WindowClosed
    );
    campaign.holidays.calendars.push(Calendar::UsFederal);
    // Independence Day of 2026 is a Saturday and is observed on Friday the third.
    let fourth = ClosedReason::Holiday { name: "Independence Day".into(), rule: None };
    assert_eq!(reason(&campaign, law, &in_state("CA"), Sms, "2026-07-03T18:00:00Z"), fourth);
    let until = match look(&campaign, law, &in_state("CA"), Sms, at("2026-07-03T18:00:00Z")) {
        Verdict::Closed { until, .. } => until,
        open => panic!("{open:?}"),
    };
    assert_eq!(until, Some(at("2026-07-06T16:00:00Z")));
}

#[test]
fn a_row_holds_from_its_first_date_to_its_last_by_the_recipients_calendar() {
    let law = RuleTable::parse(
        r#"edition = "test"
        [[rule]]
        id = "noon"
        place = "US-NY"
        channels = ["sms"]
        valid_from = "2026-06-02"
        valid_until = "2026-06-03"
        hours = { "mon-sun" = ["12:00-13:00"] }
        source = "none""#,
    )
    .unwrap();
    let new_york = in_state("NY");
    let see = |when: &str| look(&always(), &law, &new_york, Sms, at(when));
    let closes = at("2026-06-02T04:00:00Z");
    assert!(matches!(see("2026-06-01T12:00:00Z"), Verdict::Open { until: Some(u), .. } if u == closes));
    assert_window(&always(), &law, &new_york, Sms, "2026-06-02T16:00:00Z", "2026-06-02T17:00:00Z");
    let over = at("2026-06-04T04:00:00Z");
    let last = see("2026-06-03T18:00:00Z");
    assert!(matches!(last, Verdict::Closed { until: Some(u), .. } if u == over), "{last:?}");
    assert!(matches!(see("2026-06-04T04:00:00Z"), Verdict::Open { until: None, .. }));
    assert!(see("2026-06-02T12:00:00Z").evaluation().rules.contains(&"noon".to_owned()));
}

#[test]
fn rules_follow_the_address_then_the_area_code_and_are_the_federal_ones_where_nothing_is_known() {
    let law = RuleTable::built_in();
    let rules = |who: &Recipient| {
        look(&always(), law, who, Sms, at("2026-06-01T16:00:00Z")).evaluation().rules.clone()
    };
    let florida_phone = Recipient::read("", "", "", "", "+1 305 555 0100").unwrap();
    assert_eq!(rules(&florida_phone), ["us-federal", "us-fl"]);
    let moved = Recipient::read("", "", "NY", "", "+1 305 555 0100").unwrap();
    assert_eq!(rules(&moved), ["us-federal"]);
    let zip = Recipient::read("", "", "", "33101-1234", "+1 212 555 0100").unwrap();
    assert_eq!(rules(&zip), ["us-federal", "us-fl"]);
    let zone_only = Recipient::read("America/New_York", "", "", "", "").unwrap();
    assert_eq!(rules(&zone_only), ["us-federal"]);
    let london = Recipient::read("Europe/London", "GB", "", "", "").unwrap();
    assert_eq!(rules(&london), Vec::<String>::new());
    // The states' own row does not wait for the zone to be known.
    let toll_free = Recipient::read("", "", "", "", "800 555 0100").unwrap();
    assert_eq!(rules(&toll_free), ["us-federal"]);
}

#[test]
fn the_contacts_own_hours_narrow_every_channel() {
    let law = RuleTable::built_in();
    let mut who = in_state("NY");
    who.hours = Some(Week::daily("10:00-12:00").unwrap());
    for channel in Channel::ALL {
        assert_window(&always(), law, &who, channel, "2026-06-01T14:00:00Z", "2026-06-01T16:00:00Z");
    }
    let why = reason(&always(), law, &who, Email, "2026-06-01T16:00:00Z");
    assert_eq!(why, ClosedReason::RecipientQuietHours { rule: "contact".into() });
}

#[test]
fn hours_that_never_meet_are_found_without_waiting_for_them() {
    // At night no call is legal, on no day of the coming 400.
    let night = policy(&[("mon-sun", "21:00-08:00")]);
    for state in ["NY", "FL", "TX", "RI", "AK"] {
        let verdict = look(&night, RuleTable::built_in(), &in_state(state), Sms, at("2026-06-01T00:00:00Z"));
        assert!(matches!(verdict, Verdict::Closed { until: None, .. }), "{verdict:?}");
    }
    let sundays = policy(&[("sun", "09:00-20:00")]);
    let verdict = look(&sundays, RuleTable::built_in(), &in_state("UT"), Sms, at("2026-06-07T16:00:00Z"));
    assert!(matches!(verdict, Verdict::Closed { until: None, .. }), "{verdict:?}");
}

#[test]
fn the_built_in_table_is_read_whole_and_every_row_of_the_states_is_stricter_than_the_federal_one() {
    let law = RuleTable::built_in();
    assert_eq!(RuleTable::parse(RuleTable::built_in_text()).as_ref(), Ok(law));
    assert_eq!(law.rules.len(), RuleTable::built_in_text().matches("[[rule]]").count());
    let federal = Week::daily("08:00-21:00").unwrap();
    for rule in &law.rules {
        let narrower = (0..7).any(|day| rule.hours.minutes(day).ne(federal.minutes(day)));
        assert!(rule.id == "us-federal" || narrower || !rule.closed_on.is_empty(), "{}", rule.id);
        assert!(!rule.hours.is_never(), "{}", rule.id);
    }
    for state in ["FL", "TX", "CT", "RI", "AL", "LA", "MS", "NV", "OK", "SD", "UT", "WA", "MD"] {
        let place = Place::code(&format!("US-{state}")).unwrap();
        assert!(law.rules.iter().any(|rule| rule.place == place), "{state}");
    }
}

#[test]
fn what_is_wrong_in_an_edited_table_is_said_with_its_row() {
    let row = |change: (&str, &str)| {
        let good = r#"edition = "mine"
[[rule]]
id = "a"
place = "US-FL"
channels = ["sms"]
valid_from = "2026-01-01"
hours = { "mon-sun" = ["08:00-20:00"] }
source = "law"
"#;
        assert!(RuleTable::parse(good).is_ok());
        assert!(good.contains(change.0), "{change:?}");
        RuleTable::parse(&good.replace(change.0, change.1)).unwrap_err()
    };
    let text = |change: (&str, &str)| row(change).to_string();
    assert_eq!(row(("\"sms\"", "\"email\"")), RulesError::Channels("a".into(), "e-mail"));
    assert_eq!(row(("[\"sms\"]", "[]")), RulesError::Channels("a".into(), "no channel"));
    assert_eq!(row(("\"law\"", "\" \"")), RulesError::NoSource("a".into()));
    let dates = row(("valid_from", "valid_until = \"2025-01-01\"\nvalid_from")).to_string();
    assert!(dates.contains("ends on 2025-01-01 before it begins on 2026-01-01"), "{dates}");
    assert!(text(("08:00-20:00", "8-20")).contains("write it as \"09:00-20:00\""));
    assert!(text(("mon-sun", "mondays")).contains("\"mondays\" is not a day"));
    assert!(text(("US-FL", "Florida")).contains("write US-FL"));
    assert!(text(("source", "sauce")).contains("sauce"));
    let twice = RuleTable::built_in_text().replace("id = \"us-fl\"", "id = \"us-ok\"");
    assert_eq!(RuleTable::parse(&twice), Err(RulesError::SameId("us-ok".into())));
}
