//! One row's cells to one contact.

use std::{borrow::Cow, collections::BTreeMap};

use super::{Mapping, RowCode, Target, cells};
use crate::{
    channel::Channel,
    optout::{Country, EmailAddress, PhoneNumber},
};

/// The longest value of a standard field, in characters; longer ones are a column of notes.
const MAX_VALUE_CHARS: usize = 200;
/// The longest value of a free field, in characters.
const MAX_FIELD_CHARS: usize = 4_000;
/// How much of a bad value is shown, so that a message stays one line.
const SHOWN_CHARS: usize = 60;

/// How cells are read.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Where phone numbers without a country code are from, unless the row names a country; and whose postal codes
    /// may have lost their zeros.
    pub home: Option<Country>,
    /// Gives the IANA name of a time zone as a list writes it, or `None` when there is no such zone.
    pub zone: fn(&str) -> Option<String>,
    /// Gives the code of a country, or `None` when there is no such country.
    pub country: fn(&str) -> Option<String>,
    /// Gives the code of a state of the United States or a province of Canada, or `None` when there is none such. It is
    /// not asked about other countries' states.
    pub state: fn(&str) -> Option<String>,
}

impl Default for Options {
    /// The United States, time zones by their form ([`super::zone_by_form`]), and every country and state.
    fn default() -> Self {
        Self {
            home: Some(Country::US),
            zone: cells::zone_by_form,
            country: |cell| Some(cells::country_by_form(cell)),
            state: |cell| Some(cells::state_by_form(cell)),
        }
    }
}

/// Somebody to reach; has an e-mail address, a phone number or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportedContact {
    /// The line of the file on which the row starts, from 1.
    pub line: u64,
    /// The e-mail address.
    pub email: Option<EmailAddress>,
    /// The phone number.
    pub phone: Option<PhoneNumber>,
    /// The whole name.
    pub name: Option<String>,
    /// The first name.
    pub first_name: Option<String>,
    /// The last name.
    pub last_name: Option<String>,
    /// The company.
    pub company: Option<String>,
    /// The account that they belong to.
    pub account: Option<String>,
    /// The job title.
    pub title: Option<String>,
    /// The city.
    pub city: Option<String>,
    /// The state; its code if it is one of the United States.
    pub state: Option<String>,
    /// The postal code.
    pub zip: Option<String>,
    /// The country; `US`, another code of two letters, or as the file has it.
    pub country: Option<String>,
    /// The time zone, as [`Options::zone`] gave it.
    pub time_zone: Option<String>,
    /// What the file says about consent; nothing of a channel whose cell is empty.
    pub consent: Vec<Consent>,
    /// The labels, each once.
    pub tags: Vec<String>,
    /// The free fields that are not empty, by name.
    pub fields: BTreeMap<String, String>,
}

/// What a file says about one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// The channel.
    pub channel: Channel,
    /// Whether the contact agreed, or refused.
    pub given: bool,
    /// The cell, word for word, for the record: `yes`, or the date.
    pub proof: String,
}

/// What is wrong with a row: in which column, with what value.
pub(super) struct Fault {
    /// The column, from 0; `None` when it is the row as a whole.
    pub(super) column: Option<usize>,
    pub(super) value: String,
    pub(super) code: RowCode,
    pub(super) why: String,
}

/// The contact in a row whose cells are the mapping's columns; missing cells at the end are empty.
pub(super) fn read(
    cells: &[Cow<'_, str>],
    mapping: &Mapping,
    options: &Options,
) -> Result<ImportedContact, Fault> {
    let mut contact = ImportedContact::default();
    let columns = || mapping.columns().iter().zip(cells).enumerate();
    // The country comes first: it says how to read the phone number and the postal code.
    for (at, (_, cell)) in columns().filter(|(_, (target, _))| **target == Target::Country) {
        if let Some(value) = value(at, cell, MAX_VALUE_CHARS)? {
            let why = "it is no country; write its code of two letters, as US or GB";
            let country =
                (options.country)(value).ok_or_else(|| fault(at, value, RowCode::BadCountry, why))?;
            contact.country = Some(country);
        }
    }
    for (at, (target, cell)) in columns() {
        let longest = match target {
            Target::Ignore | Target::Country => continue,
            Target::Field(_) | Target::Tags => MAX_FIELD_CHARS,
            _ => MAX_VALUE_CHARS,
        };
        if let Some(value) = value(at, cell, longest)? {
            set(&mut contact, at, target, value, options)?;
        }
    }
    if contact.email.is_none() && contact.phone.is_none() {
        let why = "there is neither an e-mail address nor a phone number".to_owned();
        return Err(Fault { column: None, value: String::new(), code: RowCode::NoAddress, why });
    }
    Ok(contact)
}

fn set(
    contact: &mut ImportedContact,
    at: usize,
    target: &Target,
    value: &str,
    options: &Options,
) -> Result<(), Fault> {
    let country = contact.country.as_deref().or(options.home.map(Country::iso));
    let (is_us, has_states) = (country == Some("US"), matches!(country, Some("US" | "CA")));
    if !matches!(target, Target::Field(_) | Target::Tags) && value.contains(['\n', '\r']) {
        return Err(fault(
            at,
            value,
            RowCode::LineBreak,
            "there is a line break in it; a quote may be misplaced",
        ));
    }
    // What is left of a guard when the sign behind it was mended, and of addresses copied from Outlook.
    let bare = value.trim_matches('\'');
    match target {
        Target::Email => {
            let read = EmailAddress::parse(bare);
            contact.email = Some(read.map_err(|why| fault(at, value, RowCode::BadEmail, why))?);
        }
        Target::Phone => {
            let home = contact.country.as_deref().and_then(Country::parse).or(options.home);
            let read = PhoneNumber::parse(bare, home);
            contact.phone = Some(read.map_err(|why| fault(at, value, RowCode::BadPhone, why))?);
        }
        Target::Name => contact.name = Some(value.to_owned()),
        Target::FirstName => contact.first_name = Some(value.to_owned()),
        Target::LastName => contact.last_name = Some(value.to_owned()),
        Target::Company => contact.company = Some(value.to_owned()),
        Target::Account => contact.account = Some(value.to_owned()),
        Target::Title => contact.title = Some(value.to_owned()),
        Target::City => contact.city = Some(value.to_owned()),
        Target::State if has_states => {
            let why = "it is no state or province; write it as FL or Florida";
            let state = (options.state)(value).ok_or_else(|| fault(at, value, RowCode::BadState, why))?;
            contact.state = Some(state);
        }
        Target::State => contact.state = Some(value.to_owned()),
        Target::Zip => contact.zip = Some(if is_us { cells::us_zip(value) } else { value.to_owned() }),
        Target::TimeZone => {
            let why = "it is not a time zone; write it as America/New_York, or leave it to the state";
            let zone = (options.zone)(value).ok_or_else(|| fault(at, value, RowCode::BadTimeZone, why))?;
            contact.time_zone = Some(zone);
        }
        Target::Consent(channel) => {
            let why = "it says neither yes nor no nor a date such as 2026-03-01; consent is never guessed";
            let given = cells::consent(value).ok_or_else(|| fault(at, value, RowCode::BadConsent, why))?;
            contact.consent.push(Consent { channel: *channel, given, proof: value.to_owned() });
        }
        Target::Tags => {
            let why = format!(
                "there are more than {} labels, or one is longer than {} characters",
                cells::MAX_TAGS,
                cells::MAX_TAG_CHARS
            );
            let tags = cells::tags(value).ok_or_else(|| fault(at, value, RowCode::BadTags, why))?;
            contact.tags.extend(tags);
            contact.tags.sort();
            contact.tags.dedup();
        }
        Target::Field(name) => {
            contact.fields.insert(name.clone(), value.to_owned());
        }
        Target::Country | Target::Ignore => {}
    }
    Ok(())
}

/// The cell's value; `None` when it is empty.
fn value(at: usize, cell: &str, longest: usize) -> Result<Option<&str>, Fault> {
    let value = cells::clean(cell);
    if value.is_empty() {
        return Ok(None);
    }
    if value.len() > longest && value.chars().count() > longest {
        let why = format!("it is longer than {longest} characters");
        return Err(fault(at, value, RowCode::TooLong, why));
    }
    if value.contains(char::REPLACEMENT_CHARACTER) {
        let why = "letters in it are lost (�); save the file again as CSV UTF-8, or choose its encoding";
        return Err(fault(at, value, RowCode::Damaged, why));
    }
    if value.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(fault(at, value, RowCode::Control, "there is an invisible control character in it"));
    }
    Ok(Some(value))
}

fn fault(at: usize, value: &str, code: RowCode, why: impl ToString) -> Fault {
    Fault { column: Some(at), value: shown(value), code, why: why.to_string() }
}

/// The start of a value, on one line and without characters that hide.
pub(super) fn shown(value: &str) -> String {
    let visible = |c: char| if c.is_control() || c.is_whitespace() { ' ' } else { c };
    let mut text: String = value.chars().take(SHOWN_CHARS).map(visible).collect();
    if value.len() > text.len() && value.chars().nth(SHOWN_CHARS).is_some() {
        text.push('…');
    }
    text
}
