//! One row of a file as a contact of the database, and what of it is believed.

use jiff::{civil::Date, tz::TimeZone};
use windlass::Time;

use crate::{
    import::{self, ImportedContact, country_by_form, state_by_form, zone_by_form},
    model::{contact::Consent, import::ImportPlan},
    store::contacts::NewContact,
    window::{Place, Zone},
};

/// How the cells of a file are read: zones, countries and states are those that windows know.
pub(super) fn options(plan: &ImportPlan) -> import::Options {
    import::Options {
        home: plan.home,
        zone: |cell| {
            let name = zone_by_form(cell).unwrap_or_else(|| cell.to_owned());
            Zone::named(&name).ok().map(|zone| zone.name().to_owned())
        },
        country: |cell| Place::country(&country_by_form(cell)).map(last_code),
        state: |cell| Place::state(&state_by_form(cell)).map(last_code),
    }
}

/// The two letters of a country, a state, or a territory that is both.
fn last_code(place: Place) -> String {
    let code = place.to_string();
    code.rsplit('-').next().unwrap_or_default().to_owned()
}

/// The contact of a row; `at` is when a consent without a date was given at the latest.
pub(super) fn contact(row: ImportedContact, plan: &ImportPlan, source: &str, at: Time) -> NewContact {
    let name = row.name.clone().or_else(|| {
        let parts: Vec<&str> =
            [&row.first_name, &row.last_name].into_iter().flatten().map(String::as_str).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    });
    let consents = row.consent.iter().map(|said| {
        let given_at = date(&said.proof).unwrap_or(at).min(at);
        Consent {
            channel: said.channel,
            basis: plan.basis.clone(),
            proof: said.proof.clone(),
            source: source.to_owned(),
            given_at,
            revoked_at: (!said.given).then_some(given_at),
        }
    });
    let consents = consents.collect();
    let mut fields = row.fields;
    for (name, value) in [
        ("first_name", row.first_name),
        ("last_name", row.last_name),
        // To whoever writes a template an account is a company, where the file names no other.
        ("company", row.company.or_else(|| row.account.clone())),
        ("title", row.title),
        ("city", row.city),
        ("tags", (!row.tags.is_empty()).then(|| row.tags.join(", "))),
    ] {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value);
        }
    }
    NewContact {
        email: row.email.map(|email| email.as_str().to_owned()),
        phone: row.phone.map(|phone| phone.as_str().to_owned()),
        name,
        time_zone: row.time_zone,
        country: row.country,
        state: row.state,
        zip: row.zip,
        account: row.account,
        fields,
        consents,
    }
}

/// Whether the file says when a consent was given.
pub(super) fn has_date(consent: &Consent) -> bool {
    date(&consent.proof).is_some()
}

/// The beginning of the day that a cell begins with, as `2026-03-01` does.
fn date(proof: &str) -> Option<Time> {
    let date: Date = proof.get(..10)?.parse().ok()?;
    let begin = date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond();
    u64::try_from(begin).ok().map(Time)
}
