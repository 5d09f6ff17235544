//! Whole numbers in fields.

use std::ops::RangeInclusive;

use crate::{
    app::AppError,
    pages::{
        form::Fields,
        view::{Count, Input},
    },
};

/// The number in a choice: none where nothing was chosen, and a fault for what is no number.
pub(super) fn read_number(text: &str) -> Result<Option<i64>, ()> {
    match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(drop),
    }
}

/// The number by which a form names something that there is; none where it names nothing.
///
/// # Errors
/// What is no number: it must not be taken for nothing.
pub(super) fn named(form: &Fields, field: &'static str) -> Result<Option<i64>, AppError> {
    read_number(form.word(field)).map_err(|()| AppError::invalid(field, "a whole number"))
}

/// The number in a field; otherwise what is wrong stands at it.
pub(super) fn number(input: &mut Input, bounds: RangeInclusive<u32>) -> Option<u32> {
    let found = input.text.trim().parse().ok().filter(|n| bounds.contains(n));
    if found.is_none() {
        input.fault = Some({
            let [least, most] = [bounds.start(), bounds.end()].map(|bound| Count::from(*bound));
            format!("a whole number, {least} to {most}")
        });
    }
    found
}

/// The number in a field that may be empty: an empty one is `Some(None)`.
pub(super) fn maybe_number(input: &mut Input, bounds: RangeInclusive<u32>) -> Option<Option<u32>> {
    if input.text.trim().is_empty() {
        return Some(None);
    }
    let found = number(input, bounds).map(Some);
    if let Some(fault) = &mut input.fault {
        fault.push_str(", or nothing");
    }
    found
}
