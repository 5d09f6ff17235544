//! The campaign application, joined with the queue: its database, its relay, its worker, its pages beside the server's.
//!
//! Neither the server nor the application knows of the other; this is the one place that does.

use windlass::{Client, RunningWorker};
use windlass_campaigns::app::{App, AppError, Options};
use windlass_campaigns::db::{self, Db, DbError, Relaying};
use windlass_campaigns::intake::{self, Keeping};
use windlass_campaigns::{api, flow, open as world, pages, preflight};
use windlass_server::Beside;

use crate::fault::{Exit, Fault};

/// Where its pages and its API stand on the server.
const PATH: &str = "/campaigns";
/// The key that leads there after `g`.
const KEY: &str = "p";
/// What only an administrator changes: accounts hold secrets, users shares, calling hours the law.
const ADMIN: [&str; 6] = [
    "/v1/providers",
    "/v1/users",
    "/v1/daily-cap",
    "/v1/error-rules",
    "/v1/domain-limits",
    "/v1/calling-hours",
];

impl From<AppError> for Fault {
    fn from(error: AppError) -> Self {
        let told = error.to_string();
        match error {
            AppError::Unknown { .. } => Fault::new(Exit::NotFound, "not_found", told),
            AppError::Conflict(_) => Fault::new(Exit::Refused, "conflict", told),
            // What it would have done is refused by what is in the database, not by how it was asked for.
            AppError::Invalid { field: preflight::FIELD, .. } => Fault::new(Exit::Refused, "preflight", told),
            AppError::Invalid { .. } | AppError::Db(DbError::Address { .. }) => Fault::usage(told),
            AppError::Db(_) => Fault::new(Exit::Unreachable, "database_failed", told),
            AppError::Queue(windlass::Error::Store(error)) => error.into(),
            AppError::Queue(windlass::Error::Rejected(rejection)) => rejection.into(),
            AppError::Queue(_) => Fault::failed(told),
        }
    }
}

/// Opens the application.
///
/// # Errors
/// What its database and its queue say.
pub(crate) async fn open(database: &str, client: &Client, public_url: Option<String>) -> Result<App, Fault> {
    let db = Db::open(database).await.map_err(AppError::from)?;
    // What the world may reach stands apart from what is behind the door.
    let public_url = public_url.map(|url| format!("{}/open{PATH}", url.trim_end_matches('/')));
    Ok(App::open(db, client.clone(), Options { public_url, ..Options::default() }).await?)
}

/// Refuses the address of a file that there is not: whoever looks at what is there has misspelt it.
///
/// # Errors
/// That there is none, or that the address is none.
pub(crate) fn expect(database: &str) -> Result<(), Fault> {
    match db::file_of(database).map_err(AppError::from)? {
        Some(path) if !path.exists() => {
            let told = format!("there is no database of campaigns at {}", path.display());
            let next = "windlass serve --campaigns PATH makes one, and so does windlass campaigns import";
            Err(Fault::new(Exit::NotFound, "not_found", told).next(next))
        }
        _ => Ok(()),
    }
}

/// Its pages and its API, beside the dashboard.
pub(crate) fn beside(app: &App) -> Beside {
    Beside {
        path: PATH,
        label: "Campaigns",
        key: KEY,
        admin: ADMIN.to_vec(),
        router: api::router(app.clone()).merge(pages::router(app.clone())),
        open: world::router(app.clone()),
        open_bytes: world::BYTES_MOST,
        of_job: pages::of_job,
    }
}

/// The application at work, or a part of it.
pub(crate) struct AtWork {
    relaying: Option<Relaying>,
    worker: Option<RunningWorker>,
    keeping: Option<Keeping>,
}

/// Sets the queues up, relays what the database asks for, works on all seven queues, and goes on with imports whose process
/// is gone.
///
/// # Errors
/// The store's, or the database's.
pub(crate) async fn work(app: &App) -> Result<AtWork, Fault> {
    AtWork::start(app, true, true).await
}

impl AtWork {
    /// Sets the queues up, and starts the relay, or the worker with what goes on with imports, or both.
    ///
    /// # Errors
    /// The store's, or the database's.
    pub(crate) async fn start(app: &App, relays: bool, works: bool) -> Result<Self, Fault> {
        flow::queues::set_up(app.client()).await.map_err(AppError::from)?;
        let relaying = match relays {
            true => Some(db::relay(app.db(), app.client()).map_err(AppError::from)?),
            false => None,
        };
        let worker = if works { Some(app.work().await?) } else { None };
        Ok(Self { relaying, worker, keeping: works.then(|| intake::keep(app)) })
    }

    /// Finishes what is under way.
    pub(crate) async fn end(self) {
        if let Some(worker) = self.worker {
            worker.shutdown().await;
        }
        if let Some(keeping) = self.keeping {
            keeping.end().await;
        }
        if let Some(relaying) = self.relaying {
            relaying.end().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launch_that_must_not_go_out_is_refused_and_nonsense_is_wrong_usage() {
        let exit = |field, why| Fault::from(AppError::invalid(field, why)).exit;
        assert_eq!(exit(preflight::FIELD, "step 1: no unsubscribe link"), Exit::Refused);
        assert_eq!(exit("list", "choose whom the campaign reaches"), Exit::Usage);
    }
}
