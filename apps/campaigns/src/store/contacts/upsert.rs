//! Contacts that come in, one or a thousand at a time: who of them is known, and what is new of whom.
//!
//! A contact is known by their mailbox, however its letters are written, or else by their number. Who comes with the number
//! of somebody who has another mailbox has moved, when a form says so; in a file it is a colleague who gives the same
//! number, and the number stays with whoever had it first ([`SameNumber`]).
//!
//! A batch asks for all of its addresses in a few statements, decides in memory, and writes each row once. Two processes
//! that bring the same new contact at the same moment collide: one of them is told, and does its batch again.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write as _,
    sync::LazyLock,
};

use windlass::Time;

use super::{columns, read};
use crate::{
    db::{DbError, Many, Tx, Value},
    model::{
        ContactId, account,
        contact::{Consent, Contact},
        import::Known,
    },
};

/// Addresses of one question. Below the parameters that either database takes, and large enough that the question's own
/// cost is nothing beside its rows.
const ASKED: usize = 250;

/// What a new contact is written with; whom somebody has brought at this moment are not among those who come back.
static ADD: LazyLock<Many> = LazyLock::new(|| {
    let before = "INSERT INTO contacts (email, phone, name, time_zone, country, state, zip, account, account_key, fields, created_at, updated_at)";
    Many::new(before, &["$"; 12], "ON CONFLICT DO NOTHING RETURNING id, email, phone")
});
/// What is new of one who is known.
static CHANGE: LazyLock<Many> = LazyLock::new(|| {
    let before = "UPDATE contacts SET email = v.column2, phone = v.column3, name = v.column4, time_zone = v.column5,
                  country = v.column6, state = v.column7, zip = v.column8, account = v.column9, account_key = v.column10,
                  fields = v.column11, updated_at = v.column12
                  FROM (";
    let mut columns = ["CAST($ AS TEXT)"; 12];
    (columns[0], columns[11]) = ("CAST($ AS BIGINT)", "CAST($ AS BIGINT)");
    Many::new(before, &columns, ") AS v WHERE contacts.id = v.column1")
});

static BY_EMAIL: LazyLock<[String; 2]> = LazyLock::new(|| [question("email", 1), question("email", ASKED)]);
static BY_PHONE: LazyLock<[String; 2]> = LazyLock::new(|| [question("phone", 1), question("phone", ASKED)]);

fn question(column: &str, addresses: usize) -> String {
    let mut sql = format!("SELECT {} FROM contacts WHERE {column} IN ($1", columns!());
    for number in 2..=addresses {
        // Writing to a string cannot fail.
        let _ = write!(sql, ", ${number}");
    }
    sql + ")"
}

/// A contact as it comes in, from a file or a form: what is `None` says nothing about what is known already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewContact {
    /// Mailbox; capitals do not count.
    pub email: Option<String>,
    /// Number in E.164.
    pub phone: Option<String>,
    /// Whole name.
    pub name: Option<String>,
    /// IANA zone.
    pub time_zone: Option<String>,
    /// Country.
    pub country: Option<String>,
    /// State.
    pub state: Option<String>,
    /// Postal code.
    pub zip: Option<String>,
    /// The company or institution that they belong to; an empty one takes it away.
    pub account: Option<String>,
    /// Everything else.
    pub fields: BTreeMap<String, String>,
    /// What they have agreed to.
    pub consents: Vec<Consent>,
}

/// Who somebody is that nobody knows by their mailbox, and whose number is that of a contact with another mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameNumber {
    /// That contact, with a new mailbox.
    SamePerson,
    /// Somebody else; the number stays with that contact.
    Colleague,
}

/// What becomes of those whom somebody knows already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct How {
    /// Whose number it is that two mailboxes give.
    pub same_number: SameNumber,
    /// What is new of a contact who is known.
    pub known: Known,
}

impl How {
    /// As a form says it: the same person, with what is new of them.
    pub const FORM: How = How { same_number: SameNumber::SamePerson, known: Known::Update };
    /// As a file says it: somebody else with the same number, and what is new of those who are known.
    pub const FILE: How = How { same_number: SameNumber::Colleague, known: Known::Update };
}

/// What came of an upsert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upserted {
    /// A new contact.
    Added(ContactId),
    /// One that was known, with what was to be written of it.
    Updated(ContactId),
}

impl Upserted {
    /// The contact.
    pub fn id(self) -> ContactId {
        match self {
            Upserted::Added(id) | Upserted::Updated(id) => id,
        }
    }
}

/// What came of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// What came of each, in the order in which they were given.
    pub upserted: Vec<Upserted>,
    /// Numbers that were left with the contact who had them already.
    pub numbers_kept: u64,
}

/// Adds a contact, or writes what is new of one that is known into it: the one with the same mailbox, else the one with the
/// same number. A number that another contact has already stays theirs.
///
/// # Errors
/// The database's.
pub fn upsert(tx: &mut Tx<'_>, new: &NewContact, now: Time) -> Result<Upserted, DbError> {
    let batch = upsert_all(tx, std::slice::from_ref(new), How::FORM, |_| true, now)?;
    batch.upserted.first().copied().ok_or_else(|| DbError::Row("an upsert came to nothing".to_owned()))
}

/// Does so for many, as if one after the other. `lifts` says whether a consent is the contact's latest word, as one with a
/// date of its own is: only such a one replaces what is known, or lifts an opt-out that is older. A refusal always counts.
///
/// # Errors
/// The database's; that another process has brought the same contact at the same moment, after which another try does
/// better.
pub fn upsert_all(
    tx: &mut Tx<'_>,
    new: &[NewContact],
    how: How,
    lifts: impl Fn(&Consent) -> bool,
    now: Time,
) -> Result<Batch, DbError> {
    let mut people = People::default();
    people.load(tx, new)?;
    let mut numbers_kept = 0;
    let places: Vec<(usize, bool)> = new.iter().map(|new| people.take(new, how, &mut numbers_kept)).collect();
    people.write(tx, now)?;
    let mut upserted = Vec::with_capacity(new.len());
    for (place, is_new) in places {
        let id = people.all[place].id.ok_or_else(collided)?;
        upserted.push(if is_new { Upserted::Added(id) } else { Upserted::Updated(id) });
    }
    give_consents(tx, new.iter().zip(&upserted), how.known, lifts)?;
    Ok(Batch { upserted, numbers_kept })
}

fn collided() -> DbError {
    DbError::Failed("the same contact was added by somebody else at this moment; try again".to_owned())
}

/// A contact as they will be.
struct Person {
    /// None until they are written.
    id: Option<ContactId>,
    email: Option<String>,
    phone: Option<String>,
    name: Option<String>,
    time_zone: Option<String>,
    country: Option<String>,
    state: Option<String>,
    zip: Option<String>,
    account: Option<String>,
    fields: BTreeMap<String, String>,
    is_changed: bool,
    /// Whether a mailbox or number that stands in the database is theirs no more, and may be another's.
    gives_up: bool,
}

/// Everybody whom a batch is about.
#[derive(Default)]
struct People {
    all: Vec<Person>,
    by_email: HashMap<String, usize>,
    by_phone: HashMap<String, usize>,
}

impl People {
    /// Reads those who are known.
    fn load(&mut self, tx: &mut Tx<'_>, new: &[NewContact]) -> Result<(), DbError> {
        let emails: Vec<String> = new.iter().filter_map(|new| folded(new.email.as_deref())).collect();
        let phones: Vec<&str> = new.iter().filter_map(|new| new.phone.as_deref()).collect();
        let emails: Vec<&str> = emails.iter().map(String::as_str).collect();
        let mut met = HashSet::new();
        let known = ask(tx, &BY_EMAIL, &emails)?.into_iter().chain(ask(tx, &BY_PHONE, &phones)?);
        for contact in known.filter(|contact| met.insert(contact.id)) {
            self.push(Person {
                id: Some(contact.id),
                email: contact.email,
                phone: contact.phone,
                name: Some(contact.name).filter(|name| !name.is_empty()),
                time_zone: contact.time_zone,
                country: contact.country,
                state: contact.state,
                zip: contact.zip,
                account: contact.account,
                fields: contact.fields,
                is_changed: false,
                gives_up: false,
            });
        }
        Ok(())
    }

    fn push(&mut self, person: Person) -> usize {
        let at = self.all.len();
        if let Some(email) = &person.email {
            self.by_email.insert(email.clone(), at);
        }
        if let Some(phone) = &person.phone {
            self.by_phone.insert(phone.clone(), at);
        }
        self.all.push(person);
        at
    }

    /// Takes in what is new: where the person stands, and whether nobody knew them.
    fn take(&mut self, new: &NewContact, how: How, numbers_kept: &mut u64) -> (usize, bool) {
        let email = folded(new.email.as_deref());
        let by_email = email.as_ref().and_then(|email| self.by_email.get(email)).copied();
        let by_phone = new.phone.as_ref().and_then(|phone| self.by_phone.get(phone)).copied();
        let is_same = |at: &usize| {
            how.same_number == SameNumber::SamePerson || email.is_none() || self.all[*at].email.is_none()
        };
        let same = by_phone.filter(is_same);
        let phone = match (by_email.or(same), by_phone) {
            (Some(at), Some(owner)) if at == owner => None,
            (_, None) => new.phone.clone(),
            _ => {
                *numbers_kept += 1;
                None
            }
        };
        let Some(at) = by_email.or(same) else {
            let person = Person {
                id: None,
                email,
                phone,
                name: new.name.clone(),
                time_zone: new.time_zone.clone(),
                country: new.country.clone(),
                state: new.state.clone(),
                zip: new.zip.clone(),
                account: new.account.clone(),
                fields: new.fields.clone(),
                is_changed: true,
                gives_up: false,
            };
            return (self.push(person), true);
        };
        let person = &mut self.all[at];
        let is_taken = |is_known: bool| match how.known {
            Known::Update => true,
            Known::Fill => !is_known,
            Known::Keep => false,
        };
        let email = email.filter(|_| is_taken(person.email.is_some()));
        let phone = phone.filter(|_| is_taken(person.phone.is_some()));
        if let Some(email) = email.as_ref().filter(|email| person.email.as_ref() != Some(*email)) {
            if let Some(old) = &person.email {
                self.by_email.remove(old);
                person.gives_up = true;
            }
            self.by_email.insert(email.clone(), at);
        }
        if let Some(phone) = &phone {
            if let Some(old) = &person.phone {
                self.by_phone.remove(old);
                person.gives_up = true;
            }
            self.by_phone.insert(phone.clone(), at);
        }
        for (known, new) in [
            (&mut person.email, &email),
            (&mut person.phone, &phone),
            (&mut person.name, &new.name),
            (&mut person.time_zone, &new.time_zone),
            (&mut person.country, &new.country),
            (&mut person.state, &new.state),
            (&mut person.zip, &new.zip),
            (&mut person.account, &new.account),
        ] {
            if new.is_some() && known != new && is_taken(known.is_some()) {
                known.clone_from(new);
                person.is_changed = true;
            }
        }
        for (name, value) in &new.fields {
            let known = person.fields.get(name);
            if known != Some(value) && is_taken(known.is_some()) {
                person.fields.insert(name.clone(), value.clone());
                person.is_changed = true;
            }
        }
        (at, false)
    }

    /// Writes everybody of whom something is new, and learns the numbers of those who are new themselves.
    fn write(&mut self, tx: &mut Tx<'_>, now: Time) -> Result<(), DbError> {
        let gone = self.all.iter().filter(|person| person.gives_up);
        let gone: Vec<Vec<Value>> = gone.filter_map(|person| Some(vec![person.id?.into()])).collect();
        tx.run_each("UPDATE contacts SET email = NULL, phone = NULL WHERE id = $1", &gone)?;
        let values = |person: &Person| {
            let account = person.account.as_deref().filter(|account| !account.trim().is_empty());
            vec![
                person.email.as_deref().into(),
                person.phone.as_deref().into(),
                person.name.as_deref().unwrap_or_default().into(),
                person.time_zone.as_deref().into(),
                person.country.as_deref().into(),
                person.state.as_deref().into(),
                person.zip.as_deref().into(),
                account.into(),
                account::key(account, person.email.as_deref()).into(),
                Value::json(&person.fields),
                now.into(),
            ]
        };
        let (mut known, mut added) = (Vec::new(), Vec::new());
        for person in self.all.iter().filter(|person| person.is_changed) {
            let mut row = values(person);
            match person.id {
                Some(id) => {
                    row.insert(0, id.into());
                    known.push(row);
                }
                None => {
                    row.push(now.into());
                    added.push(row);
                }
            }
        }
        tx.run_many(&CHANGE, &known)?;
        let brought = tx.rows_many(&ADD, &added)?;
        if brought.len() < added.len() {
            return Err(collided());
        }
        for mut row in brought {
            let id = ContactId(row.int()?);
            let (email, phone) = (row.maybe_text()?, row.maybe_text()?);
            let by_email = email.as_ref().and_then(|email| self.by_email.get(email));
            let by_phone = phone.as_ref().and_then(|phone| self.by_phone.get(phone));
            if let Some(at) = by_email.or(by_phone) {
                self.all[*at].id = Some(id);
            }
        }
        Ok(())
    }
}

/// A mailbox as it is kept: no provider of note has two that differ by capitals.
pub(super) fn folded(email: Option<&str>) -> Option<String> {
    email.map(str::to_ascii_lowercase)
}

/// The contacts with those addresses.
fn ask(tx: &mut Tx<'_>, sql: &'static [String; 2], addresses: &[&str]) -> Result<Vec<Contact>, DbError> {
    let mut found = Vec::with_capacity(addresses.len());
    let [one, many] = sql;
    for some in addresses.chunks(ASKED) {
        let mut values: Vec<Value> = some.iter().map(|address| (*address).into()).collect();
        if values.len() > 1 {
            values.resize(ASKED, Value::Null);
        }
        for row in tx.rows(if values.len() == 1 { one } else { many }, &values)? {
            found.push(read(row)?);
        }
    }
    Ok(found)
}

fn give_consents<'a>(
    tx: &mut Tx<'_>,
    given: impl Iterator<Item = (&'a NewContact, &'a Upserted)>,
    known: Known,
    lifts: impl Fn(&Consent) -> bool,
) -> Result<(), DbError> {
    let counts = |consent: &Consent, done: &Upserted| {
        known != Known::Keep || matches!(done, Upserted::Added(_)) || consent.revoked_at.is_some()
    };
    let mut given: Vec<(ContactId, &Consent)> = given
        .flat_map(|(new, done)| new.consents.iter().map(move |consent| (done, consent)))
        .filter(|(done, consent)| counts(consent, done))
        .map(|(done, consent)| (done.id(), consent))
        .collect();
    // One statement writes a row once: what is said of one contact and channel again comes in a round of its own.
    while !given.is_empty() {
        let mut said = HashSet::new();
        let (now, later): (Vec<_>, Vec<_>) =
            given.into_iter().partition(|(id, one)| said.insert((*id, one.channel)));
        given = later;
        let (lifting, others): (Vec<_>, Vec<_>) = now.into_iter().partition(|(_, one)| lifts(one));
        for (statement, some) in [(&LIFT, lifting), (&GIVE, others)] {
            let rows: Vec<_> = some.into_iter().map(|(id, consent)| consent_values(id, consent)).collect();
            tx.run_many(statement, &rows)?;
        }
    }
    Ok(())
}

/// A contact's latest word: what is newer replaces what is older.
static LIFT: LazyLock<Many> =
    LazyLock::new(|| give("OR excluded.given_at >= COALESCE(consents.revoked_at, 0)"));
/// A word without a date of its own: it replaces only what is not known, unless it is a refusal.
static GIVE: LazyLock<Many> = LazyLock::new(|| give(""));

fn give(or_lifts: &str) -> Many {
    let after = format!(
        "ON CONFLICT (contact_id, channel) DO UPDATE SET basis = excluded.basis, proof = excluded.proof,
         source = excluded.source, given_at = excluded.given_at, revoked_at = excluded.revoked_at
         WHERE excluded.given_at >= consents.given_at AND (excluded.revoked_at IS NOT NULL {or_lifts})"
    );
    let before = "INSERT INTO consents (contact_id, channel, basis, proof, source, given_at, revoked_at)";
    Many::new(before, &["$"; 7], &after)
}

fn consent_values(contact: ContactId, consent: &Consent) -> Vec<Value> {
    vec![
        contact.into(),
        consent.channel.into(),
        consent.basis.as_str().into(),
        consent.proof.as_str().into(),
        consent.source.as_str().into(),
        consent.given_at.into(),
        consent.revoked_at.into(),
    ]
}

/// Writes down that a contact agrees; a newer word replaces an older one.
///
/// # Errors
/// The database's.
pub fn give_consent(tx: &mut Tx<'_>, contact: ContactId, consent: &Consent) -> Result<(), DbError> {
    tx.run_many(&LIFT, &[consent_values(contact, consent)]).map(drop)
}
