//! The relay of the database's outbox: jobs that a transaction has asked for go to the queue.

use tokio::{sync::watch, task::JoinHandle};
use windlass::Client;
use windlass_outbox::{Outbox, Relay, RelayOptions, Table, postgres::PostgresOutbox, sqlite::SqliteOutbox};

use super::{Db, DbError, Kind};

/// A relay at work; it stops with [`Relaying::end`], or when this is dropped.
#[derive(Debug)]
pub struct Relaying {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Starts the relay from the database to that queue. Of several that are started one relays, and the others stand by.
///
/// # Errors
/// When the database's address makes no sense to the relay.
pub fn relay(db: &Db, client: &Client) -> Result<Relaying, DbError> {
    let outbox: Box<dyn Outbox> = match &db.kind {
        Kind::Sqlite(sqlite) => Box::new(SqliteOutbox::new(sqlite.path(), Table::default())),
        Kind::Postgres(postgres) => Box::new(
            PostgresOutbox::new(postgres.url(), Table::default())
                .map_err(|error| DbError::Failed(error.to_string()))?,
        ),
    };
    let mut relay = Relay::new(outbox, client.store().clone(), RelayOptions::default())
        .telling(|said| tracing::warn!("the relay of the campaigns' jobs: {said}"));
    let (stop, stopping) = watch::channel(false);
    let task = tokio::spawn(async move {
        if let Err(error) = relay.run(stopping).await {
            tracing::error!("the relay of the campaigns' jobs has ended: {error}");
        }
    });
    Ok(Relaying { stop, task })
}

impl Relaying {
    /// Ends it after the batch under way.
    pub async fn end(self) {
        // No receiver means that it has ended.
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}
