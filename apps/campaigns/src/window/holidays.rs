//! Days on which nothing is sent: named calendars, computed for any year, and dates of one's own.
//!
//! A holiday closes its whole date by the clock of the zone in question, midnight to midnight. Where a
//! holiday that falls on a weekend is observed on another day, both are closed: nobody wants a sales call on
//! the fourth of July because it is a Saturday. A window that began the evening before ends at midnight.
//!
//! The states' calendars are here for the rules of [`super::rules`] that forbid calls on legal holidays,
//! which mean the state's own. Governors proclaim further days at short notice: those go into the list of
//! dates.

use std::fmt;

use jiff::ToSpan;
use jiff::civil::{Date, Weekday};
use serde::{Deserialize, Serialize};

/// A calendar with a name, as it is written in a policy or a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Calendar {
    /// The eleven legal public holidays of 5 U.S.C. 6103, with the day on which each is observed.
    UsFederal,
    /// The six on which hardly any business works: New Year, Memorial Day, 4 July, Labor Day, Thanksgiving,
    /// Christmas.
    UsMajor,
    /// Alabama: the federal ones, Confederate Memorial Day, Jefferson Davis' Birthday (Ala. Code 1-3-8).
    UsAlabama,
    /// Louisiana: the federal ones, Mardi Gras, Good Friday, Election Day of even years (La. R.S. 1:55).
    UsLouisiana,
    /// Mississippi: the federal ones, Confederate Memorial Day (Miss. Code 3-3-7).
    UsMississippi,
    /// Pennsylvania: the federal ones, Good Friday, Flag Day, Election Day (44 P.S. 11).
    UsPennsylvania,
    /// Rhode Island: the federal ones, Victory Day, Election Day of even years (R.I. Gen. Laws 25-1-1).
    UsRhodeIsland,
    /// Utah: the federal ones, Pioneer Day (Utah Code 63G-1-301).
    UsUtah,
    /// Canada's federal holidays, with Victoria Day, Thanksgiving, Remembrance Day and Boxing Day.
    Canada,
    /// Bank holidays of England and Wales without those proclaimed for one year.
    England,
}

/// Which dates are closed: calendars, and dates of one's own.
///
/// In JSON `{"calendars": ["us-federal"], "dates": ["2026-12-24"]}`, both lists optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holidays {
    /// Named calendars.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calendars: Vec<Calendar>,
    /// Further dates, written `2026-12-24`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dates: Vec<Date>,
}

/// When in a year a holiday is.
#[derive(Clone, Copy)]
enum When {
    /// A month and a day.
    On(i8, i8),
    /// The first, second, … such weekday of a month; -1 is the last.
    Nth(i8, i8, Weekday),
    /// The Monday before 25 May (Victoria Day).
    MondayBefore25May,
    /// The Tuesday after the first Monday of November, of even years only or of all.
    ElectionDay { even_years: bool },
    /// Days from Easter Sunday of the western churches.
    Easter(i32),
}

/// Where a holiday that falls on a weekend is observed besides.
#[derive(Clone, Copy)]
enum Observed {
    /// Nowhere else.
    Never,
    /// Saturday's on Friday, Sunday's on Monday.
    Nearest,
    /// On the next Monday.
    Monday,
    /// Two days later: of two holidays in a row, each.
    TwoLater,
}

struct Rule {
    name: &'static str,
    when: When,
    observed: Observed,
    since: i16,
}

const fn rule(name: &'static str, when: When, observed: Observed) -> Rule {
    Rule { name, when, observed, since: 0 }
}

const NEW_YEAR: Rule = rule("New Year's Day", When::On(1, 1), Observed::Nearest);
const MEMORIAL_DAY: Rule = rule("Memorial Day", When::Nth(5, -1, Weekday::Monday), Observed::Never);
const INDEPENDENCE_DAY: Rule = rule("Independence Day", When::On(7, 4), Observed::Nearest);
const LABOR_DAY: Rule = rule("Labor Day", When::Nth(9, 1, Weekday::Monday), Observed::Never);
const THANKSGIVING: Rule = rule("Thanksgiving Day", When::Nth(11, 4, Weekday::Thursday), Observed::Never);
const CHRISTMAS: Rule = rule("Christmas Day", When::On(12, 25), Observed::Nearest);

const US_MAJOR: &[Rule] = &[NEW_YEAR, MEMORIAL_DAY, INDEPENDENCE_DAY, LABOR_DAY, THANKSGIVING, CHRISTMAS];

/// What 5 U.S.C. 6103 has besides [`US_MAJOR`].
const US_OTHER: &[Rule] = &[
    rule("Birthday of Martin Luther King, Jr.", When::Nth(1, 3, Weekday::Monday), Observed::Never),
    rule("Washington's Birthday", When::Nth(2, 3, Weekday::Monday), Observed::Never),
    Rule {
        name: "Juneteenth National Independence Day",
        when: When::On(6, 19),
        observed: Observed::Nearest,
        since: 2021,
    },
    rule("Columbus Day", When::Nth(10, 2, Weekday::Monday), Observed::Never),
    rule("Veterans Day", When::On(11, 11), Observed::Nearest),
];

const US_ALABAMA: &[Rule] = &[
    rule("Confederate Memorial Day", When::Nth(4, 4, Weekday::Monday), Observed::Never),
    rule("Jefferson Davis' Birthday", When::Nth(6, 1, Weekday::Monday), Observed::Never),
];
const US_LOUISIANA: &[Rule] = &[
    rule("Mardi Gras", When::Easter(-47), Observed::Never),
    rule("Good Friday", When::Easter(-2), Observed::Never),
    rule("Election Day", When::ElectionDay { even_years: true }, Observed::Never),
];
const US_MISSISSIPPI: &[Rule] =
    &[rule("Confederate Memorial Day", When::Nth(4, -1, Weekday::Monday), Observed::Never)];
const US_PENNSYLVANIA: &[Rule] = &[
    rule("Good Friday", When::Easter(-2), Observed::Never),
    rule("Flag Day", When::On(6, 14), Observed::Nearest),
    rule("Election Day", When::ElectionDay { even_years: false }, Observed::Never),
];
const US_RHODE_ISLAND: &[Rule] = &[
    rule("Victory Day", When::Nth(8, 2, Weekday::Monday), Observed::Never),
    rule("Election Day", When::ElectionDay { even_years: true }, Observed::Never),
];
const US_UTAH: &[Rule] = &[rule("Pioneer Day", When::On(7, 24), Observed::Nearest)];

const CANADA: &[Rule] = &[
    rule("New Year's Day", When::On(1, 1), Observed::Monday),
    rule("Good Friday", When::Easter(-2), Observed::Never),
    rule("Victoria Day", When::MondayBefore25May, Observed::Never),
    rule("Canada Day", When::On(7, 1), Observed::Monday),
    rule("Labour Day", When::Nth(9, 1, Weekday::Monday), Observed::Never),
    Rule {
        name: "National Day for Truth and Reconciliation",
        when: When::On(9, 30),
        observed: Observed::Monday,
        since: 2021,
    },
    rule("Thanksgiving", When::Nth(10, 2, Weekday::Monday), Observed::Never),
    rule("Remembrance Day", When::On(11, 11), Observed::Monday),
    rule("Christmas Day", When::On(12, 25), Observed::TwoLater),
    rule("Boxing Day", When::On(12, 26), Observed::TwoLater),
];

const ENGLAND: &[Rule] = &[
    rule("New Year's Day", When::On(1, 1), Observed::Monday),
    rule("Good Friday", When::Easter(-2), Observed::Never),
    rule("Easter Monday", When::Easter(1), Observed::Never),
    rule("Early May bank holiday", When::Nth(5, 1, Weekday::Monday), Observed::Never),
    rule("Spring bank holiday", When::Nth(5, -1, Weekday::Monday), Observed::Never),
    rule("Summer bank holiday", When::Nth(8, -1, Weekday::Monday), Observed::Never),
    rule("Christmas Day", When::On(12, 25), Observed::TwoLater),
    rule("Boxing Day", When::On(12, 26), Observed::TwoLater),
];

impl Calendar {
    /// Every calendar, in the order in which a form offers them.
    pub const ALL: [Calendar; 10] = [
        Calendar::UsFederal,
        Calendar::UsMajor,
        Calendar::UsAlabama,
        Calendar::UsLouisiana,
        Calendar::UsMississippi,
        Calendar::UsPennsylvania,
        Calendar::UsRhodeIsland,
        Calendar::UsUtah,
        Calendar::Canada,
        Calendar::England,
    ];

    /// The name as it is written in a policy.
    pub fn name(self) -> &'static str {
        match self {
            Calendar::UsFederal => "us-federal",
            Calendar::UsMajor => "us-major",
            Calendar::UsAlabama => "us-alabama",
            Calendar::UsLouisiana => "us-louisiana",
            Calendar::UsMississippi => "us-mississippi",
            Calendar::UsPennsylvania => "us-pennsylvania",
            Calendar::UsRhodeIsland => "us-rhode-island",
            Calendar::UsUtah => "us-utah",
            Calendar::Canada => "canada",
            Calendar::England => "england",
        }
    }

    /// What `date` is called in this calendar if it is a holiday or the day on which one is observed.
    pub fn holiday(self, date: Date) -> Option<&'static str> {
        let parts = self.parts();
        parts.iter().flat_map(|part| part.iter()).find(|rule| rule.covers(date)).map(|rule| rule.name)
    }

    fn parts(self) -> [&'static [Rule]; 3] {
        let state: &[Rule] = match self {
            Calendar::UsMajor => return [US_MAJOR, &[], &[]],
            Calendar::Canada => return [CANADA, &[], &[]],
            Calendar::England => return [ENGLAND, &[], &[]],
            Calendar::UsFederal => &[],
            Calendar::UsAlabama => US_ALABAMA,
            Calendar::UsLouisiana => US_LOUISIANA,
            Calendar::UsMississippi => US_MISSISSIPPI,
            Calendar::UsPennsylvania => US_PENNSYLVANIA,
            Calendar::UsRhodeIsland => US_RHODE_ISLAND,
            Calendar::UsUtah => US_UTAH,
        };
        [US_MAJOR, US_OTHER, state]
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name that a date of one's own has in reasons and reports.
const OWN_DATE: &str = "a date of the list";

impl Holidays {
    /// No day at all.
    pub const NONE: &'static Holidays = &Holidays { calendars: Vec::new(), dates: Vec::new() };

    /// The days of one calendar.
    pub fn of(calendar: Calendar) -> Holidays {
        Holidays { calendars: vec![calendar], dates: Vec::new() }
    }

    /// Whether no date is ever closed.
    pub fn is_empty(&self) -> bool {
        self.calendars.is_empty() && self.dates.is_empty()
    }

    /// What closes `date`, if anything does.
    pub fn holiday(&self, date: Date) -> Option<&'static str> {
        let named = self.calendars.iter().find_map(|calendar| calendar.holiday(date));
        named.or_else(|| self.dates.contains(&date).then_some(OWN_DATE))
    }
}

impl Rule {
    fn covers(&self, date: Date) -> bool {
        // The observed day of a New Year's Day lies in the year before.
        let years = [date.year(), if date.month() == 12 { date.year() + 1 } else { date.year() }];
        let distinct = if years[0] == years[1] { &years[..1] } else { &years[..] };
        distinct.iter().any(|year| {
            *year >= self.since
                && self.when.in_year(*year, date.month()).is_some_and(|day| {
                    day == date || self.observed.instead_of(day).is_some_and(|observed| observed == date)
                })
        })
    }
}

impl When {
    /// The date in this year; `near` is the month that is asked about, so that other months cost nothing.
    fn in_year(self, year: i16, near: i8) -> Option<Date> {
        // An observed day lies in the same month or, for the first and last days of one, in the next.
        let far = |month: i8| (month - near).abs() > 1 && (month - near).abs() != 11;
        match self {
            When::On(month, day) if !far(month) => Date::new(year, month, day).ok(),
            When::Nth(month, nth, weekday) if month == near => {
                Date::new(year, month, 1).ok()?.nth_weekday_of_month(nth, weekday).ok()
            }
            When::MondayBefore25May if near == 5 => {
                let mut day = Date::new(year, 5, 24).ok()?;
                while day.weekday() != Weekday::Monday {
                    day = day.yesterday().ok()?;
                }
                Some(day)
            }
            When::ElectionDay { even_years } if near == 11 && !(even_years && year % 2 != 0) => {
                Date::new(year, 11, 1).ok()?.nth_weekday_of_month(1, Weekday::Monday).ok()?.tomorrow().ok()
            }
            When::Easter(days) if (2..=5).contains(&near) => easter(year)?.checked_add(days.days()).ok(),
            _ => None,
        }
    }
}

impl Observed {
    fn instead_of(self, day: Date) -> Option<Date> {
        let later = match (self, day.weekday()) {
            (Observed::Nearest, Weekday::Saturday) => -1,
            (Observed::Nearest | Observed::Monday, Weekday::Sunday) => 1,
            (Observed::Monday, Weekday::Saturday) => 2,
            (Observed::TwoLater, Weekday::Saturday | Weekday::Sunday) => 2,
            _ => return None,
        };
        day.checked_add(later.days()).ok()
    }
}

/// Easter Sunday in the Gregorian calendar, after the anonymous algorithm published in Nature, 20 April 1876.
fn easter(year: i16) -> Option<Date> {
    let y = i32::from(year);
    let golden = y % 19;
    let (century, of_century) = (y / 100, y % 100);
    let (leap_centuries, century_rest) = (century / 4, century % 4);
    let moon_shift = (century - (century + 8) / 25 + 1) / 3;
    let epact = (19 * golden + century - leap_centuries - moon_shift + 15) % 30;
    let (leap_years, year_rest) = (of_century / 4, of_century % 4);
    let to_sunday = (32 + 2 * century_rest + 2 * leap_years - epact - year_rest) % 7;
    let late = (golden + 11 * epact + 22 * to_sunday) / 451;
    let count = epact + to_sunday - 7 * late + 114;
    Date::new(year, i8::try_from(count / 31).ok()?, i8::try_from(count % 31 + 1).ok()?).ok()
}
