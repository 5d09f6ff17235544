//! A run of an import: from the file to the database, batch by batch, until it is over or somebody else goes on.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{
    convert,
    files::{self, Stored},
    read::{self, Piece},
};
use crate::{
    app::{App, AppError},
    db::DbError,
    flow::erasure,
    import::{ImportError, Rows},
    model::{
        ImportId, ListId,
        import::{Import, ImportPlan, ImportStatus, Known, Progress},
    },
    store::{contacts, imports, lists},
};

/// How often a batch is tried that the database fails, and the pause between.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(300);

/// A file that is read by a plan.
pub(super) type File = Rows<Stored>;

/// Reads the headings.
pub(super) async fn open(app: &App, import: &Import, plan: &ImportPlan) -> Result<File, AppError> {
    let source = Stored::of(app, import);
    let (format, mapping, options) = (plan.format, plan.mapping.clone(), convert::options(plan));
    let opening = tokio::task::spawn_blocking(move || Rows::new(source, format, mapping, options));
    match opening.await {
        Ok(rows) => rows.map_err(|why| AppError::invalid("file", why)),
        Err(panicked) => Err(AppError::invalid("file", panicked)),
    }
}

/// Imports what is left of the file, and says how it ended.
pub(super) async fn run(app: App, import: Import, rows: File) {
    let (id, run) = (import.id, import.run);
    let (status, why) = match carry_out(&app, import, rows).await {
        Ok(None) => return,
        Ok(Some(Ok(()))) => (ImportStatus::Done, String::new()),
        Ok(Some(Err(why))) => (ImportStatus::Failed, why.to_string()),
        // The database may be back in a moment: whoever looks then goes on.
        Err(why) => (ImportStatus::Interrupted, why.to_string()),
    };
    end(&app, (id, run), status, why).await;
}

/// Writes down how a run ended; the file goes with an import that is over.
pub(super) async fn end(app: &App, (id, run): (ImportId, i64), status: ImportStatus, why: String) {
    let (now, said) = (app.now(), why.clone());
    match app.db().write(move |tx| imports::end(tx, (id, run), status, &why, now)).await {
        Err(error) => {
            tracing::error!(import = %id, %error, "an import has ended, and this cannot be written down");
            return;
        }
        Ok(false) => return,
        Ok(true) => {}
    }
    if status == ImportStatus::Done {
        tracing::info!(import = %id, "an import is done");
    } else {
        tracing::warn!(import = %id, why = said, "an import is {status}");
    }
    if status.is_over()
        && let Err(error) = files::forget(app, id).await
    {
        tracing::warn!(import = %id, %error, "the file of an import is removed later");
    }
}

/// Writes batch by batch; nothing when the run is over because somebody has ended it.
async fn carry_out(
    app: &App,
    import: Import,
    rows: File,
) -> Result<Option<Result<(), ImportError>>, AppError> {
    let (Some(list), Some(plan)) = (import.list, import.plan.clone()) else {
        return Err(AppError::Conflict(format!("import {} has no plan", import.id)));
    };
    let (send, mut pieces) = mpsc::channel(1);
    let place = Place { import: (import.id, import.run), list, known: plan.known };
    let mut progress = import.progress.clone();
    let reading = tokio::task::spawn_blocking(move || read::read(rows, &import, &plan, &send));
    while let Some(piece) = pieces.recv().await {
        let piece = Arc::new(piece);
        let mut tries = 1;
        progress = loop {
            match write(app, place, &progress, piece.clone()).await {
                Ok(Some(progress)) => break progress,
                Ok(None) => return Ok(None),
                Err(_) if tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
            tokio::time::sleep(PAUSE).await;
        };
    }
    match reading.await {
        Ok(read) => Ok(Some(read)),
        Err(panicked) => Err(AppError::Conflict(format!("the file could not be read on: {panicked}"))),
    }
}

/// Where batches go.
#[derive(Clone, Copy)]
struct Place {
    import: (ImportId, i64),
    list: ListId,
    known: Known,
}

/// One batch in one transaction: how far the import is then, or nothing when the run is over.
async fn write(
    app: &App,
    place: Place,
    before: &Progress,
    piece: Arc<Piece>,
) -> Result<Option<Progress>, AppError> {
    let (now, seen_at, before, inner) = (app.now(), app.client().now(), before.clone(), app.clone());
    let Place { import, list, known } = place;
    let work = move |tx: &mut crate::db::Tx<'_>| {
        let how = contacts::How { known, ..contacts::How::FILE };
        let unerased = erasure::without_erased(tx, &inner, &piece.people)?;
        let batch = contacts::upsert_all(tx, &unerased.people, how, convert::has_date, now)?;
        let added = batch.upserted.iter().filter(|done| matches!(done, contacts::Upserted::Added(_))).count();
        let progress = piece.after(&before, added as u64, &unerased, &batch);
        // The whole batch is taken back when the run is over.
        if !imports::advance(tx, import, &progress, seen_at)? {
            return Err(Over::Run);
        }
        lists::add(tx, list, batch.upserted.iter().map(|done| done.id()))?;
        if !piece.errors.is_empty() {
            imports::add_errors(tx, import.0, progress.rows, &piece.errors)?;
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
    Db(DbError),
}

impl From<DbError> for Over {
    fn from(error: DbError) -> Self {
        Over::Db(error)
    }
}
