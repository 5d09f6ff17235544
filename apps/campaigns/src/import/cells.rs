//! What a cell says: the words for yes, labels, states, postal codes and time zones as spreadsheets have them.
//!
//! Nothing here is a guess that could hurt: consent is yes only when it says so, and a time zone that could be two
//! is refused.

use std::borrow::Cow;

/// The words for consent.
const YES: &[&str] = &[
    "yes",
    "y",
    "true",
    "t",
    "1",
    "x",
    "✓",
    "✔",
    "on",
    "opted in",
    "opt in",
    "opt-in",
    "opted-in",
    "subscribed",
    "granted",
];
/// The words against it.
const NO: &[&str] = &[
    "no",
    "n",
    "false",
    "f",
    "0",
    "-",
    "off",
    "opted out",
    "opt out",
    "opt-out",
    "opted-out",
    "unsubscribed",
    "denied",
    "none",
];
/// The most labels of one contact.
pub(super) const MAX_TAGS: usize = 50;
/// The longest label, in characters.
pub(super) const MAX_TAG_CHARS: usize = 64;

/// The states, the district and the territories, with their postal codes.
const STATES: &[(&str, &str)] = &[
    ("alabama", "AL"),
    ("alaska", "AK"),
    ("arizona", "AZ"),
    ("arkansas", "AR"),
    ("california", "CA"),
    ("colorado", "CO"),
    ("connecticut", "CT"),
    ("delaware", "DE"),
    ("district of columbia", "DC"),
    ("washington dc", "DC"),
    ("washington d.c.", "DC"),
    ("florida", "FL"),
    ("georgia", "GA"),
    ("hawaii", "HI"),
    ("idaho", "ID"),
    ("illinois", "IL"),
    ("indiana", "IN"),
    ("iowa", "IA"),
    ("kansas", "KS"),
    ("kentucky", "KY"),
    ("louisiana", "LA"),
    ("maine", "ME"),
    ("maryland", "MD"),
    ("massachusetts", "MA"),
    ("michigan", "MI"),
    ("minnesota", "MN"),
    ("mississippi", "MS"),
    ("missouri", "MO"),
    ("montana", "MT"),
    ("nebraska", "NE"),
    ("nevada", "NV"),
    ("new hampshire", "NH"),
    ("new jersey", "NJ"),
    ("new mexico", "NM"),
    ("new york", "NY"),
    ("north carolina", "NC"),
    ("north dakota", "ND"),
    ("ohio", "OH"),
    ("oklahoma", "OK"),
    ("oregon", "OR"),
    ("pennsylvania", "PA"),
    ("rhode island", "RI"),
    ("south carolina", "SC"),
    ("south dakota", "SD"),
    ("tennessee", "TN"),
    ("texas", "TX"),
    ("utah", "UT"),
    ("vermont", "VT"),
    ("virginia", "VA"),
    ("washington", "WA"),
    ("west virginia", "WV"),
    ("wisconsin", "WI"),
    ("wyoming", "WY"),
    ("puerto rico", "PR"),
    ("guam", "GU"),
    ("american samoa", "AS"),
    ("us virgin islands", "VI"),
    ("northern mariana islands", "MP"),
];

/// What people call time zones. `EST` is written by people who mean the time in New York, summer included.
const ZONES: &[(&[&str], &str)] = &[
    (
        &["eastern", "eastern time", "eastern time (us & canada)", "et", "est", "edt", "us/eastern"],
        "America/New_York",
    ),
    (
        &["central", "central time", "central time (us & canada)", "ct", "cst", "cdt", "us/central"],
        "America/Chicago",
    ),
    (
        &["mountain", "mountain time", "mountain time (us & canada)", "mt", "mdt", "us/mountain"],
        "America/Denver",
    ),
    (&["arizona", "us/arizona"], "America/Phoenix"),
    (
        &["pacific", "pacific time", "pacific time (us & canada)", "pt", "pst", "pdt", "us/pacific"],
        "America/Los_Angeles",
    ),
    (&["alaska", "alaska time", "akst", "akdt", "us/alaska"], "America/Anchorage"),
    (&["hawaii", "hawaii time", "hst", "us/hawaii"], "Pacific/Honolulu"),
    (&["utc", "gmt", "z", "etc/utc"], "UTC"),
];

/// The cell without blanks around it and without the apostrophe by which spreadsheets and our own error files keep a
/// value from being a formula.
pub(super) fn clean(cell: &str) -> &str {
    let cell = cell.trim();
    match cell.strip_prefix('\'') {
        Some(guarded) if is_formula(guarded) => guarded.trim(),
        _ => cell,
    }
}

/// The value so that no spreadsheet computes it: with an apostrophe in front where it begins like a formula.
pub fn guard(value: &str) -> Cow<'_, str> {
    if is_formula(value) { Cow::Owned(format!("'{value}")) } else { Cow::Borrowed(value) }
}

/// Whether a spreadsheet takes the value for a formula: the signs of OWASP's page on CSV injection, blanks in front
/// and full-width forms included.
fn is_formula(value: &str) -> bool {
    let signs = ['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
    value.starts_with(['\t', '\r', '\n']) || value.trim_start().starts_with(signs)
}

/// Whether consent was given; `None` when the cell says neither. A date says when it was given.
pub(super) fn consent(cell: &str) -> Option<bool> {
    let folded = cell.to_lowercase();
    if YES.contains(&&*folded) || is_date(&folded) {
        Some(true)
    } else if NO.contains(&&*folded) {
        Some(false)
    } else {
        None
    }
}

/// Whether the text begins as `2026-03-01` does.
fn is_date(text: &str) -> bool {
    let shape =
        |(at, byte): (usize, u8)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() };
    text.len() >= 10
        && text.bytes().take(10).enumerate().all(shape)
        && matches!(text.as_bytes()[0], b'1' | b'2')
}

/// The labels of a cell; `None` when they are too many or too long.
pub(super) fn tags(cell: &str) -> Option<Vec<String>> {
    let tags = cell.split([';', ',', '|']).map(str::trim).filter(|tag| !tag.is_empty());
    let mut kept: Vec<String> = Vec::new();
    for tag in tags {
        if kept.len() == MAX_TAGS || tag.chars().count() > MAX_TAG_CHARS {
            return None;
        }
        if !kept.iter().any(|known| known == tag) {
            kept.push(tag.to_owned());
        }
    }
    Some(kept)
}

/// The code of a state of the United States given by code or name; anything else as it is.
pub fn state_by_form(cell: &str) -> String {
    let folded = cell.to_lowercase();
    let named = STATES.iter().find(|(name, code)| *name == folded || code.eq_ignore_ascii_case(&folded));
    named.map_or_else(|| cell.to_owned(), |(_, code)| (*code).to_owned())
}

/// The code of the country when it is a name of the United States or has two letters; anything else as it is.
pub fn country_by_form(cell: &str) -> String {
    let folded: String = cell.chars().filter(|c| c.is_alphabetic()).flat_map(char::to_lowercase).collect();
    match folded.as_str() {
        "us" | "usa" | "unitedstates" | "unitedstatesofamerica" | "america" => "US".to_owned(),
        two if two.len() == 2 => two.to_uppercase(),
        _ => cell.to_owned(),
    }
}

/// A postal code of the United States with the zeros that a spreadsheet has taken from its front.
pub(super) fn us_zip(cell: &str) -> String {
    let digits = !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit());
    match cell.len() {
        3..=5 if digits => format!("{cell:0>5}"),
        8..=9 if digits => {
            let whole = format!("{cell:0>9}");
            format!("{}-{}", &whole[..5], &whole[5..])
        }
        _ => cell.to_owned(),
    }
}

/// A time zone by its IANA name or by what people in the United States call theirs; `None` when it is neither.
///
/// Names are checked for their form only. `MST` is none: in Arizona it is another time than in Denver half the year.
pub fn zone_by_form(cell: &str) -> Option<String> {
    let folded = cell.to_lowercase();
    if let Some((_, zone)) = ZONES.iter().find(|(names, _)| names.contains(&&*folded)) {
        return Some((*zone).to_owned());
    }
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_uppercase())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+'))
    };
    let parts = cell.split('/').count();
    ((2..=3).contains(&parts) && cell.len() <= 64 && cell.split('/').all(part)).then(|| cell.to_owned())
}
