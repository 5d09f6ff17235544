//! Plausible people who do not exist: names from two lists, addresses at example.com (RFC 2606), +1555 numbers.
//!
//! A contact is computed from its number and a seed, so that a list of any length costs no memory and every
//! process makes the same one.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::Contact;

const FIRST_NAMES: [&str; 48] = [
    "Ada", "Alan", "Amara", "Amina", "Anders", "Anika", "Astrid", "Bruno", "Carmen", "Chidi", "Chloe",
    "Dalia", "Diego", "Elena", "Emeka", "Erik", "Fatima", "Felix", "Grace", "Hana", "Hugo", "Ines", "Ivan",
    "Jasmin", "Jonas", "Kamal", "Keiko", "Lars", "Leila", "Luca", "Maeve", "Marta", "Mateo", "Mina", "Nadia",
    "Noah", "Olga", "Omar", "Paula", "Priya", "Rafael", "Rosa", "Samir", "Sofia", "Tariq", "Vera", "Yusuf",
    "Zoe",
];
const LAST_NAMES: [&str; 48] = [
    "Abbott", "Adeyemi", "Almeida", "Andersen", "Bakker", "Bauer", "Becker", "Castillo", "Chen", "Cohen",
    "Costa", "Dubois", "Eriksen", "Farouk", "Fischer", "Garcia", "Haddad", "Hansen", "Herrera", "Ito",
    "Jansen", "Kaya", "Keller", "Khan", "Kowalski", "Larsen", "Lopez", "Marino", "Mbeki", "Meyer", "Moreau",
    "Nakamura", "Novak", "Okafor", "Olsen", "Park", "Patel", "Petrov", "Quinn", "Rossi", "Santos", "Schmidt",
    "Silva", "Tanaka", "Torres", "Weber", "Yilmaz", "Zhang",
];
const TIMEZONES: [&str; 6] = [
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Phoenix",
    "America/Los_Angeles",
    "America/Anchorage",
];

/// The contact with this number; different numbers have different addresses as long as they are below 10 million.
pub(super) fn contact(seed: u64, number: u32) -> Contact {
    let draw = drawn(seed, number);
    let first = pick(&FIRST_NAMES, draw);
    let last = pick(&LAST_NAMES, draw >> 16);
    let email = format!("{}.{}.{number}@example.com", first.to_ascii_lowercase(), last.to_ascii_lowercase());
    Contact {
        name: format!("{first} {last}"),
        email: Some(email),
        phone: Some(format!("+1555{number:07}")),
        timezone: Some(pick(&TIMEZONES, draw >> 32).to_owned()),
        extra: Vec::new(),
    }
}

/// The hasher without keys of its own: every process of one build draws the same.
fn drawn(seed: u64, number: u32) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, number).hash(&mut hasher);
    hasher.finish()
}

fn pick<const N: usize>(names: &[&'static str; N], draw: u64) -> &'static str {
    names[(draw & 0xFFFF) as usize % N]
}
