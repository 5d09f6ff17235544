//! What is told of a file before it is imported: what its columns probably mean, and what becomes of its first rows.

use windlass::Time;

use super::{convert, files};
use crate::{
    app::{App, AppError},
    import::{Preview, RowError, Rows, SNIFF_BYTES, sniff},
    model::{ImportId, import::ImportPlan},
    optout::Country,
    store::contacts::NewContact,
};

/// Rows that are tried out: what fits on a screen.
const TRIED_ROWS: usize = 10;

/// What would become of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// A contact, from that line of the file.
    Contact(u64, Box<NewContact>),
    /// A line of the file of errors.
    Refused(RowError),
}

/// What the head of a file says; `home` is where numbers without a country code are from.
///
/// # Errors
/// An import that is none, a file that is not kept any more or cannot be read; the database's.
pub async fn look_at(app: &App, id: ImportId, home: Option<Country>) -> Result<Preview, AppError> {
    super::look(app, id).await?;
    let head = files::head(app, id).await?;
    sniff(&head, home).map_err(|why| AppError::invalid("file", why))
}

/// What would become of the first rows of a file by that plan. Nothing is written.
///
/// # Errors
/// A file that is not kept any more, a plan that does not fit it; the database's.
pub async fn try_out(app: &App, id: ImportId, plan: &ImportPlan) -> Result<Vec<Tried>, AppError> {
    let head = files::head(app, id).await?;
    try_rows(&head, plan, app.now())
}

/// The same of a file that is not here: of its first [`SNIFF_BYTES`], or of all of it if it has fewer.
///
/// # Errors
/// A plan that does not fit it.
pub fn try_rows(head: &[u8], plan: &ImportPlan, now: Time) -> Result<Vec<Tried>, AppError> {
    let unread = |why| AppError::invalid("file", why);
    let mut rows =
        Rows::new(head, plan.format, plan.mapping.clone(), convert::options(plan)).map_err(unread)?;
    let mut tried = Vec::new();
    while tried.len() < TRIED_ROWS {
        let Some(row) = rows.next_row().map_err(unread)? else {
            // The last row may be cut off where the look ends.
            if head.len() == SNIFF_BYTES {
                tried.pop();
            }
            break;
        };
        tried.push(match row {
            Ok(row) => Tried::Contact(row.line, Box::new(convert::contact(row, plan, "", now))),
            Err(error) => Tried::Refused(error),
        });
    }
    Ok(tried)
}
