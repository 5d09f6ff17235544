//! What is looked after while nobody looks: imports whose process is gone go on, and what is over leaves nothing behind.
//!
//! It runs beside every worker. Of several processes on one database each looks, and whoever is first has the import: an
//! interrupted one is taken by a compare-and-set, as a run of its own.

use std::time::Duration;

use tokio::{sync::watch, task::JoinHandle};
use windlass::Time;

use super::{files, has_room, run};
use crate::{
    app::{App, AppError},
    model::import::{Import, ImportStatus},
    store::imports,
};

/// The pause between two looks. With the time until an import is taken to be lost, it goes on within 35 seconds.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Runs of an import: one that falls with every process that takes it up is what makes them fall, or meets a database that
/// refuses it.
const RUNS_MAX: i64 = 20;
/// How long a file that comes in may not have grown before its sender is taken to be gone.
const UPLOAD_LOST_AFTER_MS: u64 = 3_600_000;
/// How long a file waits for somebody to say what its columns mean: whoever has not done so in a day has forgotten it, and it
/// is full of names and addresses.
const WAITS_MS: u64 = 24 * 3_600_000;
/// How long the rows that were refused are kept, for the same reason.
const ERRORS_KEPT_MS: u64 = 30 * 24 * 3_600_000;

/// Looks at work; they stop with [`Keeping::end`], or when this is dropped.
#[derive(Debug)]
pub struct Keeping {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Keeping {
    /// Ends them. Imports that this process works on go on until it ends, and then with the next process that looks.
    pub async fn end(self) {
        // No receiver means that it has ended.
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

/// Starts to look, at once and then every few seconds.
pub fn keep(app: &App) -> Keeping {
    let (stop, mut stopping) = watch::channel(false);
    let app = app.clone();
    let task = tokio::spawn(async move {
        loop {
            let wall = app.client().now();
            if let Err(error) = take_up(&app, wall).await {
                tracing::warn!(%error, "imports that were interrupted wait for the next look");
            }
            if let Err(error) = sweep(&app, wall).await {
                tracing::warn!(%error, "files of imports are removed at the next look");
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                // A sender that is gone ends it, too.
                _ = stopping.changed() => return,
            }
        }
    });
    Keeping { stop, task }
}

/// Goes on, in this process, with imports that nobody works for any more at that time of the wall; how many.
///
/// # Errors
/// The database's.
pub async fn take_up(app: &App, wall: Time) -> Result<u64, AppError> {
    super::mark_lost(app, wall).await?;
    let mut taken = 0;
    for import in app.db().read(imports::interrupted).await? {
        match go_on(app, import).await {
            Ok(true) => taken += 1,
            // Somebody else was quicker, or there is no room: there is a next look.
            Ok(false) | Err(AppError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(taken)
}

async fn go_on(app: &App, import: Import) -> Result<bool, AppError> {
    let (id, seen_at) = (import.id, app.client().now());
    let taken = app.db().write(move |tx| {
        has_room(imports::running(tx)?)?;
        let is_ours = imports::resume(tx, id, seen_at)?;
        Ok::<_, AppError>(imports::get(tx, id)?.filter(|_| is_ours))
    });
    let Some(import) = taken.await? else { return Ok(false) };
    let place = (id, import.run);
    if import.run > RUNS_MAX {
        let why = format!("{RUNS_MAX} processes have begun with it, and none has come to its end");
        run::end(app, place, ImportStatus::Failed, why).await;
        return Ok(false);
    }
    tracing::info!(import = %id, run = import.run, rows = import.progress.rows, "an import goes on");
    let plan = import.plan.clone().ok_or_else(|| AppError::unknown("plan of import", id))?;
    match run::open(app, &import, &plan).await {
        Ok(rows) => {
            tokio::spawn(run::run(app.clone(), import, rows));
            Ok(true)
        }
        Err(why) => {
            run::end(app, place, ImportStatus::Failed, why.to_string()).await;
            Ok(false)
        }
    }
}

/// Removes what has come to nothing by that time of the wall: files whose sender is gone or whom everybody has forgotten, files
/// of imports that are over, refused rows that have been there for a month.
///
/// # Errors
/// The database's.
pub async fn sweep(app: &App, wall: Time) -> Result<(), AppError> {
    let before = |ms: u64| Time(wall.0.saturating_sub(ms));
    let (uploading, waiting) = (before(UPLOAD_LOST_AFTER_MS), before(WAITS_MS));
    for import in app.db().read(move |tx| imports::stale(tx, uploading, waiting)).await? {
        if import.status == ImportStatus::Uploading {
            files::remove(app, import.id).await?;
            continue;
        }
        let (id, now) = (import.id, app.now());
        let why = "nobody said within a day what its columns mean";
        app.db().write(move |tx| imports::stop(tx, id, ImportStatus::Cancelled, why, now)).await?;
    }
    while let Some(id) = app.db().read(imports::leftover).await? {
        files::forget(app, id).await?;
    }
    let month_ago = Time(app.now().0.saturating_sub(ERRORS_KEPT_MS));
    if app.db().read(move |tx| imports::has_errors_before(tx, month_ago)).await? {
        app.db().write(move |tx| imports::forget_errors(tx, month_ago)).await?;
    }
    Ok(())
}
