//! What lists are narrowed by must be there: a number that names nothing is told by its name, and is no empty list.
//!
//! Where a list goes on (`before`, `after`) is a place and names nothing.

use crate::{
    app::AppError,
    db::Tx,
    model::{ListId, campaign::MAX_STEPS},
    store::{campaigns, lists, touches::Which},
};

/// Whether there is what messages are asked for by.
///
/// # Errors
/// A campaign that is none, or a step that it never had; the database's.
pub(crate) fn touches(tx: &mut Tx<'_>, which: &Which) -> Result<(), AppError> {
    let most = match which.campaign {
        Some(id) => {
            campaigns::get(tx, id)?.ok_or_else(|| AppError::unknown("campaign", id))?;
            campaigns::most_steps(tx, id)?
        }
        None => MAX_STEPS,
    };
    let Some(step) = which.step else { return Ok(()) };
    let is_one = usize::try_from(step).is_ok_and(|step| (1..=most).contains(&step));
    match which.campaign {
        _ if is_one => Ok(()),
        Some(id) => Err(AppError::unknown("step", format_args!("{step} of campaign {id}"))),
        None => Err(AppError::unknown("step", step)),
    }
}

/// Whether there is the list of which contacts are asked for.
///
/// # Errors
/// A list that is none; the database's.
pub(crate) fn list(tx: &mut Tx<'_>, list: Option<ListId>) -> Result<(), AppError> {
    match list {
        Some(id) if !lists::is_there(tx, id)? => Err(AppError::unknown("list", id)),
        _ => Ok(()),
    }
}
