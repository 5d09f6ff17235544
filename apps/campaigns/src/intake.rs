//! Contacts come in: a CSV file becomes contacts, their consents and a list, in the background of the process.
//!
//! The story of one import: `files` takes the file in, piece by piece, and keeps it in the database, so that it outlives
//! the process and whichever process works on the import has it. [`look_at`] says what its columns probably mean, and
//! [`try_out`] what becomes of its first rows. [`begin`] starts it: one thread reads the file ([`crate::import`]), a batch
//! ahead of the transaction that writes the last one. A batch is one transaction with how far the import is, so what
//! stands in the `imports` table is what has been done. When the import is over, its file goes.
//!
//! Whoever is killed leaves an import that is not seen any more. [`keep()`], which runs beside every worker, goes on with it
//! behind the last batch that was written, so that its counts are as if nothing had happened.
//!
//! An import believes little: a `yes` without a date does not lift an opt-out and does not replace a better proof, a time
//! zone, country or state that does not exist refuses its row, and suppressions are not looked at, because they hold
//! whoever is imported.

mod convert;
mod erase;
mod files;
mod head;
mod keep;
mod read;
mod run;

use windlass::Time;

pub use self::{
    files::{Receiving, receive},
    head::{Tried, look_at, try_out, try_rows},
    keep::{Keeping, keep, sweep, take_up},
};
pub(crate) use erase::forget;

use crate::{
    app::{App, AppError},
    db::Tx,
    flow::consents::BASES,
    model::{
        ImportId,
        import::{Import, ImportPlan, ImportStatus},
    },
    store::{audit, imports, lists},
};

/// Imports that run at once at most, over all processes: each holds a table of the addresses that it has met.
const RUNNING_MAX: i64 = 4;
/// The largest file: the most rows of an import at the half kilobyte of a wide one.
pub const MAX_FILE_BYTES: u64 = 512 * 1024 * 1024;
/// The longest name of a file or a list, in characters: what fits into a table.
const NAME_CHARS_MAX: usize = 100;
/// How long an import may not be seen before its process is taken to be gone; a batch takes some hundredths of a second.
const LOST_AFTER_MS: u64 = 30_000;

/// Starts the import of a file that is here, onto the list of that name, which is made when there is none; it goes on
/// when this answers.
///
/// # Errors
/// An import that does not wait for this, a plan that does not fit the file, one too many at once; the database's.
pub async fn begin(
    app: &App,
    id: ImportId,
    plan: ImportPlan,
    list: &str,
    who: &str,
) -> Result<Import, AppError> {
    let list = named("list", list)?;
    if !BASES.contains(&plan.basis.as_str()) {
        return Err(AppError::invalid("basis", format!("{:?} is none of {}", plan.basis, BASES.join(", "))));
    }
    let import = look(app, id).await?;
    waits(&import)?;
    let rows = run::open(app, &import, &plan).await?;
    let (now, seen_at, who) = (app.now(), app.client().now(), who.to_owned());
    let work = move |tx: &mut Tx<'_>| {
        imports::interrupt(tx, lost(seen_at))?;
        has_room(imports::running(tx)?)?;
        let list = lists::ensure(tx, &list, now)?;
        let begun = imports::begin(tx, id, list, &plan, seen_at)?;
        let import = imports::get(tx, id)?.ok_or_else(|| AppError::unknown("import", id))?;
        if !begun {
            // Somebody was quicker.
            return waits(&import).map(|()| import);
        }
        audit::note(tx, &who, "import contacts", &id.to_string(), &import.name, now)?;
        Ok(import)
    };
    let import = app.db().write(work).await?;
    tokio::spawn(run::run(app.clone(), import.clone(), rows));
    Ok(import)
}

/// Ends an import wherever it stands; what it has read stands, and its file goes.
///
/// # Errors
/// An import that is none or is over; the database's.
pub async fn cancel(app: &App, id: ImportId, who: &str) -> Result<(), AppError> {
    stop(app, id, (ImportStatus::Cancelled, "cancel import"), "", who).await
}

/// Ends an import that was to begin at once, and could not: for that reason.
///
/// # Errors
/// An import that is none or is over; the database's.
pub async fn refuse(app: &App, id: ImportId, why: &str, who: &str) -> Result<(), AppError> {
    stop(app, id, (ImportStatus::Failed, "import contacts"), why, who).await
}

async fn stop(
    app: &App,
    id: ImportId,
    (status, verb): (ImportStatus, &'static str),
    why: &str,
    who: &str,
) -> Result<(), AppError> {
    let (now, who, why) = (app.now(), who.to_owned(), why.to_owned());
    let work = move |tx: &mut Tx<'_>| {
        let import = imports::get(tx, id)?.ok_or_else(|| AppError::unknown("import", id))?;
        if !imports::stop(tx, id, status, &why, now)? {
            return Err(AppError::Conflict(format!("import {id} is {}", import.status)));
        }
        Ok(audit::note(tx, &who, verb, &id.to_string(), &why, now)?)
    };
    app.db().write(work).await?;
    files::forget(app, id).await
}

/// One import, as far as it is; one whose process is gone is interrupted.
///
/// # Errors
/// An import that is none; the database's.
pub async fn look(app: &App, id: ImportId) -> Result<Import, AppError> {
    mark_lost(app, app.client().now()).await?;
    let found = app.db().read(move |tx| imports::get(tx, id)).await?;
    found.ok_or_else(|| AppError::unknown("import", id))
}

/// Imports before that number, newest first.
///
/// # Errors
/// The database's.
pub async fn page(app: &App, before: ImportId, limit: u32) -> Result<Vec<Import>, AppError> {
    mark_lost(app, app.client().now()).await?;
    Ok(app.db().read(move |tx| imports::page(tx, before, limit)).await?)
}

/// The rows that were refused, with the reasons in front, as a CSV file; empty when there are none, or not any more.
///
/// # Errors
/// An import that is none; the database's.
pub async fn errors(app: &App, id: ImportId) -> Result<String, AppError> {
    let look = move |tx: &mut Tx<'_>| {
        imports::get(tx, id)?.ok_or_else(|| AppError::unknown("import", id))?;
        Ok::<_, AppError>(imports::errors(tx, id)?)
    };
    app.db().read(look).await
}

/// Marks imports as interrupted that nobody works for any more at that time of the wall; how many.
///
/// # Errors
/// The database's.
pub async fn mark_lost(app: &App, wall: Time) -> Result<u64, AppError> {
    let seen_before = lost(wall);
    // Most looks find none, and need not write.
    if !app.db().read(move |tx| imports::is_one_lost(tx, seen_before)).await? {
        return Ok(0);
    }
    Ok(app.db().write(move |tx| imports::interrupt(tx, seen_before)).await?)
}

fn lost(wall: Time) -> Time {
    Time(wall.0.saturating_sub(LOST_AFTER_MS))
}

fn has_room(running: i64) -> Result<(), AppError> {
    if running < RUNNING_MAX {
        return Ok(());
    }
    Err(AppError::Conflict(format!("{running} imports run already: wait until one of them is done")))
}

fn waits(import: &Import) -> Result<(), AppError> {
    match import.status {
        ImportStatus::Waiting => Ok(()),
        status => Err(AppError::Conflict(format!("import {} is {status}: it does not wait", import.id))),
    }
}

fn named(field: &'static str, text: &str) -> Result<String, AppError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > NAME_CHARS_MAX {
        return Err(AppError::invalid(field, format!("write 1 to {NAME_CHARS_MAX} characters")));
    }
    Ok(text.to_owned())
}
