//! Telephone numbers in E.164, from the ways people and spreadsheets write them.
//!
//! A number with its country code is taken as it is, less the signs between the digits. One without needs a home
//! country, given by the caller, whose rule says how long numbers are there and which digit is dialled in front of
//! them. What could be two numbers is refused: a text to the wrong person cannot be called back.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How many digits a number has with its country code (E.164; below 8 it cannot carry a country and a subscriber).
const DIGITS: std::ops::RangeInclusive<usize> = 8..=15;
/// How many digits a North American number has behind the 1.
const NANP_DIGITS: usize = 10;
/// The longest text that is looked at; no writing of a number is longer.
const MAX_BYTES: usize = 64;

/// How numbers are written within one country.
struct Plan {
    /// ISO 3166, two letters.
    country: &'static str,
    code: &'static str,
    /// Dialled in front of a number at home, and not part of it.
    trunk: &'static str,
    /// How long a number is without code and trunk.
    digits: (usize, usize),
}

/// Countries whose numbers may be written without their code; from the ITU's list of national numbering plans.
const PLANS: &[Plan] = &[
    plan("US", "1", "1", 10, 10),
    plan("CA", "1", "1", 10, 10),
    plan("PR", "1", "1", 10, 10),
    plan("GB", "44", "0", 9, 10),
    plan("IE", "353", "0", 7, 9),
    plan("DE", "49", "0", 6, 11),
    plan("AT", "43", "0", 7, 13),
    plan("CH", "41", "0", 9, 9),
    plan("FR", "33", "0", 9, 9),
    plan("BE", "32", "0", 8, 9),
    plan("NL", "31", "0", 9, 9),
    plan("ES", "34", "", 9, 9),
    plan("PT", "351", "", 9, 9),
    plan("IT", "39", "", 8, 11),
    plan("DK", "45", "", 8, 8),
    plan("NO", "47", "", 8, 8),
    plan("SE", "46", "0", 7, 9),
    plan("FI", "358", "0", 6, 11),
    plan("PL", "48", "", 9, 9),
    plan("CZ", "420", "", 9, 9),
    plan("AU", "61", "0", 9, 9),
    plan("NZ", "64", "0", 8, 10),
    plan("IN", "91", "0", 10, 10),
    plan("JP", "81", "0", 9, 10),
    plan("SG", "65", "", 8, 8),
    plan("ZA", "27", "0", 9, 9),
    plan("BR", "55", "0", 10, 11),
    plan("MX", "52", "", 10, 10),
];

const fn plan(
    country: &'static str,
    code: &'static str,
    trunk: &'static str,
    min: usize,
    max: usize,
) -> Plan {
    Plan { country, code, trunk, digits: (min, max) }
}

/// A country whose way of writing numbers is known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Country(usize);

impl Country {
    /// The United States.
    pub const US: Country = Country(0);

    /// The country with this ISO 3166 code of two letters, if its numbers can be read without their code.
    pub fn parse(iso: &str) -> Option<Self> {
        PLANS.iter().position(|plan| plan.country.eq_ignore_ascii_case(iso.trim())).map(Self)
    }

    /// The ISO 3166 code.
    pub fn iso(self) -> &'static str {
        self.plan().country
    }

    /// Every country that [`Country::parse`] knows.
    pub fn all() -> impl Iterator<Item = Country> {
        (0..PLANS.len()).map(Country)
    }

    fn plan(self) -> &'static Plan {
        // A `Country` is a place in the table, by its only constructors.
        &PLANS[self.0]
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.iso())
    }
}

impl TryFrom<String> for Country {
    type Error = String;

    fn try_from(iso: String) -> Result<Self, String> {
        Self::parse(&iso)
            .ok_or_else(|| format!("{iso:?} is not the code of a country whose numbers are known"))
    }
}

impl From<Country> for String {
    fn from(country: Country) -> Self {
        country.iso().to_owned()
    }
}

/// A telephone number in E.164, such as `+14155550100`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PhoneNumber(String);

/// Why a text is not a telephone number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadPhone {
    /// Nothing is written.
    #[error("there is no number")]
    Empty,
    /// Letters within, as in 1-800-FLOWERS.
    #[error("there are letters in it; write digits")]
    Letters,
    /// A number behind a switchboard.
    #[error("an extension can be neither texted nor called; give a direct number")]
    Extension,
    /// Two numbers in one place.
    #[error("there are several numbers; keep one")]
    Several,
    /// A spreadsheet made a figure of it.
    #[error("a spreadsheet has rounded it; format the column as text and save the file again")]
    Rounded,
    /// A sign that no number has.
    #[error("there is {0:?} in it, which no number has")]
    Sign(char),
    /// No country code, and no home country to take it from, or not a number there.
    #[error("it is not a whole number with its country code, as in +14155550100")]
    NoCountryCode,
    /// Too few or too many digits.
    #[error("it has {0} digits with the country code; numbers have 8 to 15, in North America 11")]
    Length(usize),
    /// No such area or country.
    #[error("no number begins like this")]
    Prefix,
    /// One digit over and over.
    #[error("it is one digit over and over")]
    Repeated,
}

impl PhoneNumber {
    /// Reads a number; `home` says where one without a country code is from.
    ///
    /// Blanks, brackets, dots, dashes, slashes and invisible characters do not count; `00` and, at home in North
    /// America, `011` stand for the +; a `(0)` behind the country code is left out.
    ///
    /// # Errors
    /// With what keeps the text from being one number.
    pub fn parse(text: &str, home: Option<Country>) -> Result<Self, BadPhone> {
        let (plus, digits) = digits_of(text)?;
        let digits = whole(plus, &digits, home)?;
        check(&digits)?;
        Ok(Self(format!("+{digits}")))
    }

    /// The number, with its +.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a + stands in front, and the digits.
fn digits_of(text: &str) -> Result<(bool, String), BadPhone> {
    let text = without_invisible(text);
    let mut text = text.trim();
    text = text.strip_prefix("tel:").unwrap_or(text);
    if text.is_empty() {
        return Err(BadPhone::Empty);
    }
    // What a spreadsheet makes of a number that it takes for a figure.
    if let Some(whole) = text.strip_suffix(".0") {
        text = if whole.bytes().all(|byte| byte.is_ascii_digit()) { whole } else { text };
    }
    if text.len() > MAX_BYTES {
        return Err(BadPhone::Length(text.chars().filter(char::is_ascii_digit).count()));
    }
    let (plus, rest) = match text.trim_start_matches('(').strip_prefix(['+', '\u{ff0b}']) {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let rest = if plus { rest.replace("(0)", "") } else { rest.to_owned() };
    let mut digits = String::with_capacity(16);
    for (at, c) in rest.char_indices() {
        match c {
            '0'..='9' => digits.push(c),
            ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}' | '\u{202f}' | '\u{2010}'..='\u{2015}' => {}
            'x' | 'X' | '#' if !digits.is_empty() => return Err(BadPhone::Extension),
            ',' | ';' | '|' | '+' if !digits.is_empty() => return Err(BadPhone::Several),
            _ if c.is_alphabetic() => return Err(letters(&rest[at..])),
            _ => return Err(BadPhone::Sign(c)),
        }
    }
    if digits.is_empty() { Err(BadPhone::NoCountryCode) } else { Ok((plus, digits)) }
}

fn letters(rest: &str) -> BadPhone {
    let folded = rest.to_lowercase();
    if folded.starts_with("ext") {
        BadPhone::Extension
    } else if folded.starts_with("or") || folded.starts_with("and") {
        BadPhone::Several
    } else if folded.starts_with("e+") {
        BadPhone::Rounded
    } else {
        BadPhone::Letters
    }
}

/// The digits with the country code.
fn whole(plus: bool, digits: &str, home: Option<Country>) -> Result<String, BadPhone> {
    if plus {
        return Ok(without_trunk(digits));
    }
    let plan = home.map(Country::plan);
    let north_american = plan.is_some_and(|plan| plan.code == "1");
    if let Some(rest) = digits.strip_prefix("011").filter(|_| north_american) {
        return Ok(without_trunk(rest));
    }
    if let Some(rest) = digits.strip_prefix("00") {
        return Ok(without_trunk(rest));
    }
    let plan = plan.ok_or(BadPhone::NoCountryCode)?;
    let fits = |digits: &str| (plan.digits.0..=plan.digits.1).contains(&digits.len());
    let national = digits.strip_prefix(plan.trunk).filter(|rest| !plan.trunk.is_empty() && fits(rest));
    if let Some(national) = national {
        return Ok(format!("{}{national}", plan.code));
    }
    // A number at home that lacks its trunk digit lost it in a spreadsheet; in length it is still whole.
    if fits(digits) && !(plan.trunk == "0" && digits.starts_with('0')) {
        return Ok(format!("{}{digits}", plan.code));
    }
    match digits.strip_prefix(plan.code) {
        Some(national) if fits(national) => Ok(digits.to_owned()),
        _ => Err(BadPhone::NoCountryCode),
    }
}

/// `+44 020 …` is `+44 20 …`: where a trunk digit is 0, no number begins with it.
fn without_trunk(digits: &str) -> String {
    let doubled = PLANS.iter().find_map(|plan| {
        let national = digits.strip_prefix(plan.code).filter(|_| plan.trunk == "0")?;
        national.starts_with('0').then(|| (plan.code, national.trim_start_matches('0')))
    });
    doubled.map_or_else(|| digits.to_owned(), |(code, national)| format!("{code}{national}"))
}

fn check(digits: &str) -> Result<(), BadPhone> {
    if !DIGITS.contains(&digits.len()) {
        return Err(BadPhone::Length(digits.len()));
    }
    if digits.starts_with('0') {
        return Err(BadPhone::Prefix);
    }
    let first = digits.as_bytes()[0];
    if digits.bytes().all(|digit| digit == first) {
        return Err(BadPhone::Repeated);
    }
    match digits.strip_prefix('1') {
        Some(national) => north_american(national),
        None => Ok(()),
    }
}

/// An area code begins with 2 to 9 and does not end with 11, an exchange begins with 2 to 9. Numbers of area 555 do
/// not exist and are taken as they are: rehearsals use them.
fn north_american(national: &str) -> Result<(), BadPhone> {
    if national.len() != NANP_DIGITS {
        return Err(BadPhone::Length(national.len() + 1));
    }
    let (area, exchange) = (&national[..3], &national[3..6]);
    let leads = |part: &str| part.starts_with(|c: char| ('2'..='9').contains(&c));
    let first = national.as_bytes()[0];
    if national.bytes().all(|digit| digit == first) {
        return Err(BadPhone::Repeated);
    }
    let exists = leads(area) && !area.ends_with("11") && (leads(exchange) || area == "555");
    if exists { Ok(()) } else { Err(BadPhone::Prefix) }
}

/// The text without characters that nobody sees and that come along when a contact is copied.
pub(super) fn without_invisible(text: &str) -> Cow<'_, str> {
    let zero_width = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{ad}');
    let direction = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let invisible = |c: char| zero_width(c) || direction(c);
    if text.is_ascii() || !text.contains(invisible) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.replace(invisible, ""))
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for PhoneNumber {
    type Error = BadPhone;

    fn try_from(text: String) -> Result<Self, BadPhone> {
        Self::parse(&text, None)
    }
}

impl From<PhoneNumber> for String {
    fn from(number: PhoneNumber) -> Self {
        number.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str, home: &str) -> Result<String, BadPhone> {
        PhoneNumber::parse(text, Country::parse(home)).map(String::from)
    }

    #[test]
    fn the_ways_people_write_a_number_are_one_number() {
        for written in [
            "+1 (415) 555-0100",
            "+14155550100",
            "(415) 555-0100",
            "415-555-0100",
            "415.555.0100",
            "415/555 0100",
            "4155550100",
            "1 415 555 0100",
            "14155550100.0",
            "001 415 555 0100",
            "011 1 415 555 0100",
            "(+1) 415 555 0100",
            "tel:+1-415-555-0100",
            "\u{202a}+1 415\u{a0}555‑0100\u{202c}",
        ] {
            assert_eq!(read(written, "US").as_deref(), Ok("+14155550100"), "{written}");
        }
        for (written, home, number) in [
            ("+44 (0)20 7946 0958", "US", "+442079460958"),
            ("+44 020 7946 0958", "US", "+442079460958"),
            ("020 7946 0958", "GB", "+442079460958"),
            ("20 7946 0958", "GB", "+442079460958"),
            ("442079460958", "GB", "+442079460958"),
            ("0044 20 7946 0958", "GB", "+442079460958"),
            ("06 12 34 56 78", "FR", "+33612345678"),
            ("0151 23456789", "DE", "+4915123456789"),
            ("06 1234 5678", "IT", "+390612345678"),
            ("+39 06 1234 5678", "US", "+390612345678"),
            ("+15550000001", "", "+15550000001"),
            ("+15005550006", "", "+15005550006"),
            ("0041 44 668 18 00", "", "+41446681800"),
        ] {
            assert_eq!(read(written, home).as_deref(), Ok(number), "{written} in {home}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused_with_the_reason() {
        use BadPhone::*;
        for (written, home, why) in [
            ("", "US", Empty),
            ("  ", "US", Empty),
            ("()", "US", NoCountryCode),
            ("555-0100", "US", NoCountryCode),
            ("4155550100", "", NoCountryCode),
            ("442079460958", "US", NoCountryCode),
            ("1-800-FLOWERS", "US", Letters),
            ("call me", "US", Letters),
            ("n/a", "US", Letters),
            ("415-555-0100 x12", "US", Extension),
            ("415-555-0100 ext. 12", "US", Extension),
            ("415-555-0100 #12", "US", Extension),
            ("415-555-0100 or 415-555-0101", "US", Several),
            ("415-555-0100, 415-555-0101", "US", Several),
            ("+14155550100+14155550101", "US", Several),
            ("4.15556E+09", "US", Rounded),
            ("٤١٥٥٥٥٠١٠٠", "US", Sign('٤')),
            ("415_555_0100", "US", Sign('_')),
            ("+1 415 555 010", "US", Length(10)),
            ("+1 415 555 01000", "US", Length(12)),
            ("+441", "US", Length(3)),
            ("+1234567890123456", "US", Length(16)),
            ("115-555-0100", "US", Prefix),
            ("911-555-0100", "US", Prefix),
            ("415-155-0100", "US", Prefix),
            ("+0123456789", "US", Prefix),
            ("999-999-9999", "US", Repeated),
            ("0000000000", "US", Prefix),
            ("01234567", "GB", NoCountryCode),
            ("012345678", "GB", NoCountryCode),
            ("+33333333333", "US", Repeated),
        ] {
            assert_eq!(read(written, home), Err(why), "{written} in {home}");
        }
        assert!(matches!(read(&"4".repeat(1_000_000), "US"), Err(Length(1_000_000))));
    }

    #[test]
    fn a_country_is_known_by_its_two_letters() {
        assert_eq!(Country::parse("us"), Some(Country::US));
        assert_eq!(Country::US.iso(), "US");
        assert!(Country::parse("XX").is_none() && Country::all().count() == PLANS.len());
        assert_eq!(serde_json::from_str::<Country>("\"gb\"").unwrap().iso(), "GB");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_number_is_e164_and_read_again_is_itself(
            text in prop_oneof![any::<String>(), "[+0(]{0,3}[0-9 ()./-]{0,24}"], home in 0..PLANS.len(),
        ) {
            if let Ok(number) = PhoneNumber::parse(&text, Some(Country(home))) {
                let digits = number.as_str().strip_prefix('+').unwrap();
                prop_assert!(DIGITS.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()));
                for home in [None, Some(Country(home))] {
                    prop_assert_eq!(PhoneNumber::parse(number.as_str(), home), Ok(number.clone()));
                }
            }
        }
    }
}
