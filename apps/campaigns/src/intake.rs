//! Contacts come in: a CSV file becomes contacts, their consents and a list, in the background of the process.
//!
//! One thread reads the file ([`crate::import`]), a batch ahead of the transaction that writes the last one. A batch is one
//! transaction with how far the import is, so what stands in the `imports` table is what has been done. Whoever is killed
//! leaves an import that is not seen any more; it is marked `interrupted`, and starting it again with the same file does
//! what was left and changes nothing of the rest, because contacts are known by their addresses.
//!
//! An import believes little: a `yes` without a date does not lift an opt-out and does not replace a better proof, a time
//! zone, country or state that does not exist refuses its row, and suppressions are not looked at, because they hold
//! whoever is imported.

mod convert;
mod read;

use std::{io::Read, time::Duration};

use tokio::sync::mpsc;
use windlass::Time;

use self::read::{Bound, Piece};
use crate::{
    app::{App, AppError},
    import::{ImportError, Rows},
    model::{
        ImportId, ListId,
        import::{Import, ImportPlan, ImportStatus, Progress},
    },
    store::{
        audit,
        contacts::{self, SameNumber},
        imports::{self, NewImport},
        lists,
    },
};

/// Imports that run at once at most, over all processes: each holds a table of the addresses that it has met.
const RUNNING_MAX: i64 = 4;
/// The largest file: the most rows of an import at the half kilobyte of a wide one.
pub const MAX_FILE_BYTES: u64 = 512 * 1024 * 1024;
/// The longest name of a file or a list, in characters: what fits into a table.
const NAME_CHARS_MAX: usize = 100;
/// How long an import may not be seen before its process is taken to be gone; a batch takes some hundredths of a second.
const LOST_AFTER_MS: u64 = 30_000;
/// How often a batch is tried that the database fails, and the pause between.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(300);

/// A file of contacts, and what is to be done with it.
pub struct Upload {
    /// The file's name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// The file.
    pub source: Box<dyn Read + Send>,
    /// How it is read.
    pub plan: ImportPlan,
    /// The list that the contacts are put on, by name; one that there is not is made.
    pub list: String,
}

/// Begins to import a file; it goes on when this answers.
///
/// # Errors
/// A file whose headings cannot be read or are not as the plan has them, one too many at once; the database's.
pub async fn start(app: &App, upload: Upload, who: &str) -> Result<ImportId, AppError> {
    let Upload { name, bytes, source, plan, list } = upload;
    let (name, list) = (named("name", &name)?, named("list", &list)?);
    let rows = open(source, bytes, &plan).await?;
    let (now, seen_at, who) = (app.now(), app.client().now(), who.to_owned());
    let work = move |tx: &mut crate::db::Tx<'_>| {
        imports::interrupt(tx, lost(seen_at), now)?;
        has_room(imports::running(tx)?)?;
        let list = lists::ensure(tx, &list, now)?;
        let new = NewImport { name: name.clone(), list, plan: plan.clone(), who: who.clone(), bytes };
        let id = imports::create(tx, &new, seen_at, now)?;
        audit::note(tx, &who, "import contacts", &id.to_string(), &name, now)?;
        imports::get(tx, id)?.ok_or_else(|| AppError::unknown("import", id))
    };
    let import = app.db().write(work).await?;
    let id = import.id;
    tokio::spawn(run(app.clone(), import, rows));
    Ok(id)
}

/// Starts an import again that was interrupted, has failed or was ended, from the beginning of the same file.
///
/// # Errors
/// An import that is none, runs or was done; a file that is not as it was; the database's.
pub async fn again(
    app: &App,
    id: ImportId,
    source: Box<dyn Read + Send>,
    bytes: u64,
    who: &str,
) -> Result<(), AppError> {
    let import = look(app, id).await?;
    let rows = open(source, bytes, &import.plan).await?;
    let (now, seen_at, who) = (app.now(), app.client().now(), who.to_owned());
    let work = move |tx: &mut crate::db::Tx<'_>| {
        has_room(imports::running(tx)?)?;
        if imports::restart(tx, id, bytes, seen_at)?.is_none() {
            return Err(AppError::Conflict(format!("import {id} runs, or was done")));
        }
        audit::note(tx, &who, "import contacts again", &id.to_string(), "", now)?;
        imports::get(tx, id)?.ok_or_else(|| AppError::unknown("import", id))
    };
    let import = app.db().write(work).await?;
    tokio::spawn(run(app.clone(), import, rows));
    Ok(())
}

/// Ends an import that runs; what it has read stands.
///
/// # Errors
/// An import that is none or does not run; the database's.
pub async fn cancel(app: &App, id: ImportId, who: &str) -> Result<(), AppError> {
    let (now, who) = (app.now(), who.to_owned());
    let work = move |tx: &mut crate::db::Tx<'_>| {
        let import = imports::get(tx, id)?.ok_or_else(|| AppError::unknown("import", id))?;
        if !imports::end(tx, (id, import.run), ImportStatus::Cancelled, "", now)? {
            return Err(AppError::Conflict(format!("import {id} is {}", import.status)));
        }
        Ok(audit::note(tx, &who, "cancel import", &id.to_string(), "", now)?)
    };
    app.db().write(work).await
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

/// The rows that were refused, with the reasons in front, as a CSV file; empty when there are none.
///
/// # Errors
/// An import that is none; the database's.
pub async fn errors(app: &App, id: ImportId) -> Result<String, AppError> {
    let look = move |tx: &mut crate::db::Tx<'_>| {
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
    let (seen_before, now) = (lost(wall), app.now());
    // Most looks find none, and need not write.
    if !app.db().read(move |tx| imports::is_one_lost(tx, seen_before)).await? {
        return Ok(0);
    }
    Ok(app.db().write(move |tx| imports::interrupt(tx, seen_before, now)).await?)
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

fn named(field: &'static str, text: &str) -> Result<String, AppError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > NAME_CHARS_MAX {
        return Err(AppError::invalid(field, format!("write 1 to {NAME_CHARS_MAX} characters")));
    }
    Ok(text.to_owned())
}

type File = Rows<Bound<Box<dyn Read + Send>>>;

/// Reads the headings.
async fn open(source: Box<dyn Read + Send>, bytes: u64, plan: &ImportPlan) -> Result<File, AppError> {
    if bytes > MAX_FILE_BYTES {
        let why = format!("it has {bytes} bytes, and {MAX_FILE_BYTES} are the most; split it");
        return Err(AppError::invalid("file", why));
    }
    let (format, mapping, options) = (plan.format, plan.mapping.clone(), convert::options(plan));
    let opening =
        tokio::task::spawn_blocking(move || Rows::new(Bound::new(source, bytes), format, mapping, options));
    match opening.await {
        Ok(rows) => rows.map_err(|why| AppError::invalid("file", why)),
        Err(panicked) => Err(AppError::invalid("file", panicked)),
    }
}

/// Imports the file, and says how it ended.
async fn run(app: App, import: Import, rows: File) {
    let (id, run) = (import.id, import.run);
    let ended = match carry_out(&app, import, rows).await {
        Ok(None) => return,
        Ok(Some(Ok(()))) => (ImportStatus::Done, String::new()),
        Ok(Some(Err(why))) => (ImportStatus::Failed, why.to_string()),
        Err(why) => (ImportStatus::Failed, why.to_string()),
    };
    let now = app.now();
    let (status, why) = ended;
    let said = why.clone();
    let wrote = app.db().write(move |tx| imports::end(tx, (id, run), status, &why, now)).await;
    match (status, wrote) {
        (_, Err(error)) => {
            tracing::error!(import = %id, %error, "an import has ended, and this cannot be written down")
        }
        (ImportStatus::Failed, _) => tracing::warn!(import = %id, why = said, "an import has failed"),
        _ => tracing::info!(import = %id, "an import is done"),
    }
}

/// Writes batch by batch; nothing when the run is over because somebody has ended it.
async fn carry_out(
    app: &App,
    import: Import,
    rows: File,
) -> Result<Option<Result<(), ImportError>>, AppError> {
    let (send, mut pieces) = mpsc::channel(1);
    let (list, place) = (import.list, (import.id, import.run));
    let reading = tokio::task::spawn_blocking(move || read::read(rows, &import, &send));
    let mut progress = Progress::default();
    let mut part = 0;
    while let Some(piece) = pieces.recv().await {
        let piece = std::sync::Arc::new(piece);
        let mut tries = 1;
        progress = loop {
            match write(app, place, list, &progress, part, piece.clone()).await {
                Ok(Some(progress)) => break progress,
                Ok(None) => return Ok(None),
                Err(_) if tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
            tokio::time::sleep(PAUSE).await;
        };
        part += 1;
    }
    match reading.await {
        Ok(read) => Ok(Some(read)),
        Err(panicked) => Err(AppError::Conflict(format!("the file could not be read on: {panicked}"))),
    }
}

/// One batch in one transaction: how far the import is then, or nothing when the run is over.
async fn write(
    app: &App,
    place: (ImportId, i64),
    list: ListId,
    before: &Progress,
    part: u32,
    piece: std::sync::Arc<Piece>,
) -> Result<Option<Progress>, AppError> {
    let (now, seen_at, before) = (app.now(), app.client().now(), before.clone());
    let work = move |tx: &mut crate::db::Tx<'_>| {
        let batch = contacts::upsert_all(tx, &piece.people, SameNumber::Colleague, convert::has_date, now)?;
        let added = batch.upserted.iter().filter(|done| matches!(done, contacts::Upserted::Added(_))).count();
        let progress = piece.after(&before, added as u64, &batch);
        // The whole batch is taken back when the run is over.
        if !imports::advance(tx, place, &progress, seen_at)? {
            return Err(Over::Run);
        }
        lists::add(tx, list, batch.upserted.iter().map(|done| done.id()))?;
        if !piece.errors.is_empty() {
            imports::add_errors(tx, place.0, part, &piece.errors)?;
        }
        Ok(progress)
    };
    match app.db().write(work).await {
        Ok(progress) => Ok(Some(progress)),
        Err(Over::Run) => Ok(None),
        Err(Over::Db(error)) => Err(error.into()),
    }
}

/// Why a batch was not written.
enum Over {
    /// Somebody has ended the run, or started the next one.
    Run,
    /// The database.
    Db(crate::db::DbError),
}

impl From<crate::db::DbError> for Over {
    fn from(error: crate::db::DbError) -> Self {
        Over::Db(error)
    }
}
