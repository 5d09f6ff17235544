//! What a column probably means, by its heading and, when that says nothing, by what is in it.
//!
//! The table is in order of preference: a file with both a work phone and a mobile gets texts to the mobile. What
//! loses, and what is not in the table, becomes a free field of its own name.

use super::{ERROR_HEADING, Target};
use crate::{
    channel::Channel,
    optout::{Country, EmailAddress, PhoneNumber},
    template,
};

/// How many of a column's cells, in percent, must look alike to tell what it is.
const ALIKE_PERCENT: usize = 80;

/// Headings without anything but letters and digits, in lower case; an earlier one of a target wins.
const HEADINGS: &[(&str, Target)] = &[
    ("email", Target::Email),
    ("emailaddress", Target::Email),
    ("mail", Target::Email),
    ("mailaddress", Target::Email),
    ("workemail", Target::Email),
    ("businessemail", Target::Email),
    ("primaryemail", Target::Email),
    ("contactemail", Target::Email),
    ("email1", Target::Email),
    ("personalemail", Target::Email),
    ("mobile", Target::Phone),
    ("mobilephone", Target::Phone),
    ("mobilenumber", Target::Phone),
    ("mobilephonenumber", Target::Phone),
    ("cell", Target::Phone),
    ("cellphone", Target::Phone),
    ("phone", Target::Phone),
    ("phonenumber", Target::Phone),
    ("telephone", Target::Phone),
    ("tel", Target::Phone),
    ("phone1", Target::Phone),
    ("directphone", Target::Phone),
    ("primaryphone", Target::Phone),
    ("workphone", Target::Phone),
    ("businessphone", Target::Phone),
    ("name", Target::Name),
    ("fullname", Target::Name),
    ("contactname", Target::Name),
    ("displayname", Target::Name),
    ("contact", Target::Name),
    ("firstname", Target::FirstName),
    ("first", Target::FirstName),
    ("givenname", Target::FirstName),
    ("forename", Target::FirstName),
    ("fname", Target::FirstName),
    ("lastname", Target::LastName),
    ("last", Target::LastName),
    ("surname", Target::LastName),
    ("familyname", Target::LastName),
    ("lname", Target::LastName),
    ("company", Target::Company),
    ("companyname", Target::Company),
    ("organization", Target::Company),
    ("organisation", Target::Company),
    ("employer", Target::Company),
    ("account", Target::Account),
    ("accountname", Target::Account),
    ("title", Target::Title),
    ("jobtitle", Target::Title),
    ("position", Target::Title),
    ("role", Target::Title),
    ("city", Target::City),
    ("town", Target::City),
    ("state", Target::State),
    ("stateprovince", Target::State),
    ("stateregion", Target::State),
    ("province", Target::State),
    ("region", Target::State),
    ("zip", Target::Zip),
    ("zipcode", Target::Zip),
    ("postalcode", Target::Zip),
    ("postcode", Target::Zip),
    ("zippostalcode", Target::Zip),
    ("country", Target::Country),
    ("countrycode", Target::Country),
    ("countryregion", Target::Country),
    ("timezone", Target::TimeZone),
    ("tz", Target::TimeZone),
    ("consentemail", Target::Consent(Channel::Email)),
    ("emailconsent", Target::Consent(Channel::Email)),
    ("emailoptin", Target::Consent(Channel::Email)),
    ("consentsms", Target::Consent(Channel::Sms)),
    ("smsconsent", Target::Consent(Channel::Sms)),
    ("smsoptin", Target::Consent(Channel::Sms)),
    ("textconsent", Target::Consent(Channel::Sms)),
    ("consentvoicemail", Target::Consent(Channel::Voicemail)),
    ("voicemailconsent", Target::Consent(Channel::Voicemail)),
    ("voiceconsent", Target::Consent(Channel::Voicemail)),
    ("callconsent", Target::Consent(Channel::Voicemail)),
    ("tags", Target::Tags),
    ("tag", Target::Tags),
    ("labels", Target::Tags),
    ("lists", Target::Tags),
];

/// The place of a heading in the table.
fn rank(heading: &str) -> Option<usize> {
    let plain: String =
        heading.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    HEADINGS.iter().position(|(known, _)| *known == plain)
}

/// Whether the heading is in the table.
pub(super) fn is_known(heading: &str) -> bool {
    rank(heading).is_some()
}

/// Whether a cell is an address, and so its row no row of headings.
pub(super) fn is_address(cell: &str) -> bool {
    EmailAddress::parse(cell).is_ok() || PhoneNumber::parse(cell, Some(Country::US)).is_ok()
}

/// A meaning for each column; `named` says whether the headings are the file's own.
pub(super) fn columns(
    headings: &[String],
    named: bool,
    rows: &[Vec<String>],
    home: Option<Country>,
) -> Vec<Target> {
    let ranks: Vec<Option<usize>> = headings.iter().map(|heading| rank(heading).filter(|_| named)).collect();
    let wins = |at: usize, own: usize| {
        let target = &HEADINGS[own].1;
        let better = |(other, rank): (usize, &Option<usize>)| {
            rank.is_some_and(|rank| HEADINGS[rank].1 == *target && (rank, other) < (own, at))
        };
        *target == Target::Tags || !ranks.iter().enumerate().any(better)
    };
    let mut columns: Vec<Target> = Vec::with_capacity(headings.len());
    for (at, rank) in ranks.iter().enumerate() {
        let known = rank.filter(|rank| wins(at, *rank)).map(|rank| HEADINGS[rank].1.clone());
        let target = known.unwrap_or_else(|| field(&headings[at], named, &columns));
        columns.push(target);
    }
    by_content(&mut columns, named, rows, home);
    columns
}

/// A free field of the heading's name, with a number when another column has taken it.
fn field(heading: &str, named: bool, taken: &[Target]) -> Target {
    if !named || heading.trim().eq_ignore_ascii_case(ERROR_HEADING) {
        return Target::Ignore;
    }
    let Some(name) = template::field_name(heading) else { return Target::Ignore };
    let free = |name: &String| template::is_field_name(name) && !taken.contains(&Target::Field(name.clone()));
    let numbered = (2..=taken.len() + 2).map(|number| format!("{name}_{number}"));
    std::iter::once(name.clone()).chain(numbered).find(free).map_or(Target::Ignore, Target::Field)
}

fn by_content(columns: &mut [Target], named: bool, rows: &[Vec<String>], home: Option<Country>) {
    let find = |is: &dyn Fn(&str) -> bool, columns: &[Target]| {
        (0..columns.len()).find(|at| {
            let cells = rows.iter().filter_map(|row| row.get(*at)).filter(|cell| !cell.trim().is_empty());
            let (all, alike) =
                cells.fold((0, 0), |(all, alike), cell| (all + 1, alike + usize::from(is(cell))));
            matches!(columns[*at], Target::Field(_) | Target::Ignore)
                && all > 0
                && alike * 100 >= all * ALIKE_PERCENT
        })
    };
    if !columns.contains(&Target::Email)
        && let Some(at) = find(&|cell| EmailAddress::parse(cell).is_ok(), columns)
    {
        columns[at] = Target::Email;
    }
    // Numbers of orders and customers look like phone numbers, so that a heading which says otherwise is believed.
    if !named
        && !columns.contains(&Target::Phone)
        && let Some(at) = find(&|cell| PhoneNumber::parse(cell, home).is_ok(), columns)
    {
        columns[at] = Target::Phone;
    }
}
