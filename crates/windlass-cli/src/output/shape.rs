//! The shapes of the CLI's answers for people: row and record of each noun.
//!
//! What `--json` prints of a noun is the shape itself, which [`windlass_api`] owns, because the HTTP API answers with
//! the same one. `docs/cli.md` lists their fields.

pub(crate) mod campaign;
pub(crate) mod event;
pub(crate) mod job;
pub(crate) mod key;
mod monitor;
pub(crate) mod outbox;
pub(crate) mod queue;
pub(crate) mod schedule;
pub(crate) mod target;

use windlass_core::Time;

use crate::values::moment;

/// A time in a table: exact, or how far away it is.
fn time_cell(at: Time, now: Time, exact: bool) -> String {
    if exact { at.to_string() } else { moment::distance(at, now) }
}

/// A time in a record: both.
fn time_field(at: Time, now: Time, exact: bool) -> String {
    if exact { at.to_string() } else { format!("{at}  ({})", moment::distance(at, now)) }
}

/// What stands in a table for what is not there.
fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Adds the field if there is a value.
fn push_some(fields: &mut Vec<(&'static str, String)>, name: &'static str, value: Option<impl ToString>) {
    fields.extend(value.map(|value| (name, value.to_string())));
}

/// Items after each other, or nothing.
fn joined<T: ToString>(items: &[T]) -> Option<String> {
    (!items.is_empty()).then(|| items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}
