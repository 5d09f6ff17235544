//! Where a recipient is, as far as that is known: every zone whose clock may be on their wall, and the places
//! whose rules may hold.
//!
//! From the best source there is: the contact's own time zone, else the address (postal code, state), else
//! the area code of the phone number. People keep their numbers when they move, so an address overrules an
//! area code, for zones and for rules. A source that leaves several zones open gives all of them, and a
//! window has to be open in each. Nothing known is an answer of its own, [`NoZone`], and the policy says what
//! then.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::places::{self, Ground, Place};
use super::week::Week;
use super::zone::{Zone, ZoneError};

/// What is known of where a contact is and when they want to be reached; everything may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipient {
    /// The contact's own time zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tz: Option<Zone>,
    /// The country of the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<Place>,
    /// The state, territory or province of the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Place>,
    /// The postal code of the address, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// The phone number, as written; ten digits are taken for North America.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// Hours outside of which the contact asked not to be reached, by their own clock, for every channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<Week>,
}

/// A field of a contact that says nothing that is known; the import's error file shows the text.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecipientError {
    /// The time zone.
    #[error(transparent)]
    Zone(#[from] ZoneError),
    /// The state.
    #[error("{0:?} is no state, territory or province of the United States or Canada: write FL or Florida")]
    State(String),
    /// The country.
    #[error("{0:?} is no country: write its ISO code, as US or CA")]
    Country(String),
}

/// Which source the zones come from, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZoneSource {
    /// The contact's own time zone.
    Contact,
    /// The address: postal code, state or both.
    Address,
    /// The area code of the phone number.
    AreaCode,
    /// Nothing: the campaign's zone stands in, as the policy allows.
    Campaign,
}

/// Where a recipient may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Every zone that is possible, without repetition; never empty.
    pub zones: Vec<Zone>,
    /// Where the zones come from.
    pub source: ZoneSource,
    /// The states or countries whose rules may hold; never empty, the United States where nothing says which.
    pub places: Vec<Place>,
}

/// Nothing tells which zone a recipient is in. Their places are still what is known, the United States at
/// least.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the contact's time zone is not known: give a time zone, a state or a ZIP code")]
pub struct NoZone {
    /// The states or countries whose rules may hold.
    pub places: Vec<Place>,
}

impl Recipient {
    /// A recipient from the fields of a contact as people write them; blank ones count as missing.
    ///
    /// # Errors
    ///
    /// [`RecipientError`] for a zone, state or country that is none. Postal codes and phone numbers are never
    /// an error: where they say nothing, they are not used.
    pub fn read(
        tz: &str,
        country: &str,
        state: &str,
        postal_code: &str,
        phone: &str,
    ) -> Result<Recipient, RecipientError> {
        let country = Recipient::country_of(country)?;
        Ok(Recipient {
            tz: given(tz).map(Zone::named).transpose()?,
            country,
            state: Recipient::state_of(state, country)?,
            postal_code: given(postal_code).map(str::to_owned),
            phone: given(phone).map(str::to_owned),
            hours: None,
        })
    }

    /// The same from fields that were read once before: one that says nothing any more counts as missing, and
    /// all others still tell.
    ///
    /// An import or a form wants [`Recipient::read`], which says what is wrong.
    pub fn known(tz: &str, country: &str, state: &str, postal_code: &str, phone: &str) -> Recipient {
        let country = Recipient::country_of(country).unwrap_or_default();
        Recipient {
            tz: given(tz).and_then(|name| Zone::named(name).ok()),
            country,
            state: Recipient::state_of(state, country).unwrap_or_default(),
            postal_code: given(postal_code).map(str::to_owned),
            phone: given(phone).map(str::to_owned),
            hours: None,
        }
    }

    fn country_of(text: &str) -> Result<Option<Place>, RecipientError> {
        let read = |text: &str| Place::country(text).ok_or_else(|| RecipientError::Country(text.to_owned()));
        given(text).map(read).transpose()
    }

    /// The state, unless the country has states of its own: Bavaria is no mistake.
    fn state_of(text: &str, country: Option<Place>) -> Result<Option<Place>, RecipientError> {
        if country.is_some_and(is_abroad) {
            return Ok(None);
        }
        let read = |text: &str| Place::state(text).ok_or_else(|| RecipientError::State(text.to_owned()));
        given(text).map(read).transpose()
    }

    /// A recipient of whom only the time zone is known.
    pub fn in_zone(zone: Zone) -> Recipient {
        Recipient { tz: Some(zone), ..Recipient::default() }
    }

    /// Every zone the recipient may be in and every place whose rules may hold.
    ///
    /// # Errors
    ///
    /// [`NoZone`] when neither time zone, address nor area code tells.
    pub fn locate(&self) -> Result<Located, NoZone> {
        let by_phone = || self.phone.as_deref().and_then(area_code).and_then(places::area_code);
        let address = self.address();
        let places = self.places(&address, by_phone);
        if let Some(zone) = &self.tz {
            return Ok(Located { zones: vec![zone.clone()], source: ZoneSource::Contact, places });
        }
        let (zones, source) = match (joined(&address, |ground| &ground.zones), by_phone()) {
            (zones, _) if !zones.is_empty() => (zones, ZoneSource::Address),
            (_, Some(ground)) => (ground.zones.clone(), ZoneSource::AreaCode),
            _ => return Err(NoZone { places }),
        };
        Ok(Located { zones, source, places })
    }

    /// The ground that the address leaves: the postal code's if it lies in the state, both if they
    /// contradict.
    fn address(&self) -> Vec<&'static Ground> {
        let abroad = self.country.is_some_and(is_abroad);
        let postal = self.postal_code.as_deref().filter(|_| !abroad).and_then(places::postal);
        match (postal, self.state.or(self.country).and_then(Place::ground)) {
            (Some(postal), Some(state)) if state.places.iter().any(|place| postal.places.contains(place)) => {
                vec![postal]
            }
            (postal, state) => postal.into_iter().chain(state).collect(),
        }
    }

    fn places(
        &self,
        address: &[&'static Ground],
        by_phone: impl Fn() -> Option<&'static Ground>,
    ) -> Vec<Place> {
        let known = joined(address, |ground| &ground.places);
        if !known.is_empty() {
            return known;
        }
        if let Some(place) = self.state.or(self.country) {
            return vec![place];
        }
        by_phone().map_or_else(|| vec![Place::US], |ground| ground.places.clone())
    }
}

/// A field that is not blank.
fn given(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

/// Whether states and postal codes of a country are none of the tables'.
fn is_abroad(country: Place) -> bool {
    country.whole() != Place::US && country.whole() != Place::CANADA
}

/// What several grounds have, each once.
fn joined<T: Clone + PartialEq>(grounds: &[&'static Ground], part: fn(&Ground) -> &Vec<T>) -> Vec<T> {
    let mut all: Vec<T> = Vec::new();
    for each in grounds.iter().flat_map(|ground| part(ground)) {
        if !all.contains(each) {
            all.push(each.clone());
        }
    }
    all
}

/// The area code of a North American number: ten digits, or eleven of which the first is 1.
fn area_code(phone: &str) -> Option<u16> {
    // An extension is no part of the number.
    let number =
        phone.split(|c: char| c.is_ascii_alphabetic() || c == '#').find(|part| !part.trim().is_empty())?;
    let abroad = number.trim_start().starts_with('+') && !number.trim_start().starts_with("+1");
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    let national = match digits.len() {
        10 if !number.trim_start().starts_with("+1") => &digits[..],
        11 => digits.strip_prefix('1')?,
        _ => return None,
    };
    if abroad { None } else { national[..3].parse().ok() }
}
