//! States, provinces and countries, and the time zones inside them.
//!
//! Three tables are compiled in (`tables/*.txt`, each with its sources and its date): places with all their
//! zones, the prefixes of postal codes, and the area codes of the North American Numbering Plan. All three
//! give a set of zones: whoever knows only the state has to keep to the strictest of them, which is their
//! intersection.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::zone::Zone;

/// A state, territory or province (`US-FL`, `CA-QC`) or a whole country (`US`), by its ISO 3166 code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    country: [u8; 2],
    region: Option<[u8; 2]>,
}

/// Where something is, and every zone that it may lie in, the one of most people first.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) places: Vec<Place>,
    pub(crate) zones: Vec<Zone>,
}

struct Tables {
    /// By code, as `US-FL`.
    places: HashMap<Place, Ground>,
    /// By name and by the code without the country, in small letters.
    names: HashMap<String, Place>,
    area_codes: HashMap<u16, Ground>,
    /// By the three digits of a ZIP code or the letter of a Canadian postal code.
    postal: HashMap<String, Ground>,
}

/// Territories of the United States with an ISO code among the countries.
const TERRITORIES: [[u8; 2]; 5] = [*b"PR", *b"VI", *b"GU", *b"MP", *b"AS"];

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    Tables::read(
        include_str!("tables/places.txt"),
        include_str!("tables/area_codes.txt"),
        include_str!("tables/postal.txt"),
    )
});

impl Place {
    /// The United States as a whole, whose rules hold where nothing else is known.
    pub const US: Place = Place { country: *b"US", region: None };
    /// Canada as a whole.
    pub const CANADA: Place = Place { country: *b"CA", region: None };

    /// A code such as `US-FL` or `GB`.
    pub fn code(text: &str) -> Option<Place> {
        let letters = |part: &str| {
            let upper = part.to_ascii_uppercase();
            <[u8; 2]>::try_from(upper.as_bytes()).ok().filter(|c| c.iter().all(u8::is_ascii_alphabetic))
        };
        match text.trim().split_once('-') {
            None => Some(Place { country: letters(text.trim())?, region: None }),
            Some((country, region)) => {
                Some(Place { country: letters(country)?, region: Some(letters(region)?) })
            }
        }
    }

    /// A state, territory or province of the United States or Canada as people write it: `FL`, `Florida`,
    /// `us-fl`.
    pub fn state(text: &str) -> Option<Place> {
        let text = text.trim().trim_end_matches('.').to_lowercase().replace('é', "e");
        let coded = Place::code(&text).filter(|place| TABLES.places.contains_key(place));
        TABLES.names.get(&text).copied().or(coded)
    }

    /// A country as people write it: an ISO code, or the usual names of the United States and Canada. Puerto
    /// Rico and the other territories that have an ISO code of their own are the places in the United States.
    pub fn country(text: &str) -> Option<Place> {
        match text.trim().to_lowercase().replace('.', "").as_str() {
            "usa" | "united states" | "united states of america" | "america" => Some(Place::US),
            "can" | "canada" => Some(Place::CANADA),
            code => {
                let place = Place::code(code).filter(|place| place.region.is_none())?;
                Some(if TERRITORIES.contains(&place.country) {
                    Place { country: *b"US", region: Some(place.country) }
                } else {
                    place
                })
            }
        }
    }

    /// The country that it is or lies in; Puerto Rico and the other territories lie in the United States.
    pub fn whole(self) -> Place {
        Place { region: None, ..self }
    }

    /// Whether a rule for `self` holds in `place`: the same, or the country that it lies in.
    pub(crate) fn holds_in(self, place: Place) -> bool {
        self == place || self == place.whole()
    }

    /// All zones of a state or province; `None` for a place that is not in the table.
    pub(crate) fn ground(self) -> Option<&'static Ground> {
        TABLES.places.get(&self)
    }
}

/// Where an area code of the North American Numbering Plan is; `None` for those without a place.
pub(crate) fn area_code(code: u16) -> Option<&'static Ground> {
    TABLES.area_codes.get(&code)
}

/// Where a ZIP code or a Canadian postal code is, by its prefix.
pub(crate) fn postal(code: &str) -> Option<&'static Ground> {
    let code: String = code.trim().to_ascii_uppercase();
    let digits = code.bytes().take_while(u8::is_ascii_digit).count();
    let canadian = code.as_bytes();
    if digits >= 5 {
        TABLES.postal.get(&code[..3])
    } else if digits == 4 && code.len() == 4 {
        // Spreadsheets eat the leading zero of New England.
        TABLES.postal.get(&format!("0{}", &code[..2]))
    } else if canadian.len() >= 3
        && canadian[0].is_ascii_alphabetic()
        && canadian[1].is_ascii_digit()
        && canadian[2].is_ascii_alphabetic()
    {
        TABLES.postal.get(&code[..1])
    } else {
        None
    }
}

/// Every area code of the table with its zones, for pages and checks.
pub fn area_codes() -> impl Iterator<Item = (u16, &'static [Place], &'static [Zone])> {
    TABLES.area_codes.iter().map(|(code, ground)| (*code, ground.places.as_slice(), ground.zones.as_slice()))
}

impl Tables {
    /// Reads the compiled-in tables; a line that is none is left out, and a test counts what was read.
    fn read(places: &str, area_codes: &str, postal: &str) -> Tables {
        let mut tables = Tables {
            places: HashMap::new(),
            names: HashMap::new(),
            area_codes: HashMap::new(),
            postal: HashMap::new(),
        };
        for [code, name, zones] in rows(places) {
            let Some(place) = Place::code(code) else { continue };
            tables.names.insert(name.to_lowercase(), place);
            if let Some((_, short)) = code.split_once('-') {
                tables.names.insert(short.to_lowercase(), place);
            }
            tables.places.insert(place, Ground::read(code, zones));
        }
        for [places, zones, codes] in rows(area_codes) {
            for code in codes.split_whitespace().filter_map(|code| code.parse().ok()) {
                tables.area_codes.insert(code, Ground::read(places, zones));
            }
        }
        for [places, zones, prefixes] in rows(postal) {
            for prefix in prefixes.split_whitespace() {
                for each in expand(prefix) {
                    tables.postal.insert(each, Ground::read(places, zones));
                }
            }
        }
        tables
    }
}

impl Ground {
    fn read(places: &str, zones: &str) -> Ground {
        Ground {
            places: places.split_whitespace().filter_map(Place::code).collect(),
            zones: zones.split_whitespace().filter_map(|name| Zone::named(name).ok()).collect(),
        }
    }
}

fn rows(text: &str) -> impl Iterator<Item = [&str; 3]> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.filter_map(|line| {
        let mut parts = line.split(" | ").map(str::trim);
        Some([parts.next()?, parts.next()?, parts.next()?])
    })
}

/// `090-092` as its three prefixes, anything else as itself.
fn expand(prefix: &str) -> Vec<String> {
    let range =
        prefix.split_once('-').and_then(|(a, b)| Some((a.parse::<u16>().ok()?, b.parse::<u16>().ok()?)));
    match range {
        Some((first, last)) => (first..=last).map(|n| format!("{n:03}")).collect(),
        None => vec![prefix.to_owned()],
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = |code: &[u8; 2]| [char::from(code[0]), char::from(code[1])];
        let [a, b] = letters(&self.country);
        write!(f, "{a}{b}")?;
        match &self.region {
            Some(region) => {
                let [a, b] = letters(region);
                write!(f, "-{a}{b}")
            }
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Place {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Place, D::Error> {
        let text = String::deserialize(from)?;
        let wrong = || serde::de::Error::custom(format!("{text:?} is not a place: write US-FL, CA-QC or US"));
        Place::code(&text).ok_or_else(wrong)
    }
}
