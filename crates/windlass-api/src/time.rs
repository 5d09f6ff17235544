//! Instants in JSON: RFC 3339, to the millisecond, in UTC.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};
use std::borrow::Cow;
use windlass_core::Time;

use crate::spell::moment;

/// How an instant that lies beyond all calendars is written.
const NEVER: &str = "never";

/// The instant that a text spells.
///
/// # Errors
/// A sentence with an example.
pub fn read(text: &str) -> Result<Time, String> {
    if text == NEVER { Ok(Time::NEVER) } else { moment::parse(text) }
}

/// A time as RFC 3339.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(at: &Time, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(at)
}

/// Reads RFC 3339.
///
/// # Errors
/// A sentence with an example.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
    let text = Cow::<'de, str>::deserialize(from)?;
    read(&text).map_err(D::Error::custom)
}

/// A time that may be missing.
pub mod or_null {
    use super::{Cow, Deserialize, Deserializer, Error, Serializer, Time, read};

    /// A time as RFC 3339, or null.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(at: &Option<Time>, to: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => to.collect_str(at),
            None => to.serialize_none(),
        }
    }

    /// Reads RFC 3339, or null.
    ///
    /// # Errors
    /// A sentence with an example.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Time>, D::Error> {
        let text = Option::<Cow<'de, str>>::deserialize(from)?;
        text.map(|text| read(&text)).transpose().map_err(D::Error::custom)
    }
}
