//! One session with the server, and the doorbell that it hears.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_postgres::config::Host;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, Error, Row, Statement};
use windlass_core::error::Outcome;
use windlass_core::{StoreError, Time};
use windlass_pg::{Unreached, Way};

/// What a relay's session runs with. Its records must be on disk before the queue hears of a batch, whatever the
/// database's default; and a host that is gone must not hold the table for longer than half a minute.
const SETTINGS: &str = "SET synchronous_commit = on; SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; \
    SET tcp_keepalives_count = 3; SET client_min_messages = warning";

/// The port that nobody writes.
const PORT: u16 = 5432;

/// A parameter with its type.
pub(crate) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// A session.
pub(crate) struct Link {
    client: Client,
    /// Where the database is, for people.
    place: String,
    prepared: HashMap<String, Statement>,
    bell: Arc<Notify>,
    driver: tokio::task::JoinHandle<()>,
}

/// A fault of the session, which is of no use any more.
pub(crate) fn lost(operation: &'static str, cause: String) -> StoreError {
    StoreError { operation, cause, outcome: Outcome::Unknown, retryable: true, hint: None }
}

/// What the server at that place says, in the contract's terms. What is wrong with the statement or the rights stays wrong.
pub(crate) fn failed(operation: &'static str, place: &str, fault: &Error) -> StoreError {
    let cause = format!("{place}: {}", windlass_pg::told(fault));
    let Some(told) = fault.as_db_error() else { return lost(operation, cause) };
    // Class 42 is a wrong name or a missing right, class 22 a value that does not fit, class 28 a refused login.
    let code = told.code().code();
    let stays = ["42", "22", "28"].iter().any(|class| code.starts_with(class));
    StoreError { operation, cause, outcome: Outcome::NotDone, retryable: !stays, hint: None }
}

/// Milliseconds of the database as a time.
pub(crate) fn time(ms: i64) -> Time {
    Time(u64::try_from(ms).unwrap_or(0))
}

/// A server and a database as a URL without password and options, which people may see and `psql` takes.
pub(crate) fn url_of(config: &Config) -> String {
    let hosts = config.get_hosts().iter().enumerate().map(|(nth, host)| {
        let name = match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(path) => path.display().to_string().replace('/', "%2F"),
        };
        let ports = config.get_ports();
        match ports.get(nth).or(ports.first()) {
            Some(port) if *port != PORT => format!("{name}:{port}"),
            _ => name,
        }
    });
    let hosts = hosts.collect::<Vec<_>>().join(",");
    let user = config.get_user().map(|user| format!("{user}@")).unwrap_or_default();
    let database = config.get_dbname().map(|name| format!("/{name}")).unwrap_or_default();
    format!("postgres://{user}{hosts}{database}")
}

impl Link {
    pub(crate) async fn open(way: &Way, url: &str) -> Result<Self, StoreError> {
        let place = format!("the outbox's database at {url}");
        let (client, mut connection) = way.connect().await.map_err(|why| match why {
            Unreached::Refused(why) => failed("open", &place, &why),
            Unreached::Silent(_) => lost("open", format!("{place}: {why}")),
        })?;
        let bell = Arc::new(Notify::new());
        let ringer = bell.clone();
        let driver = tokio::spawn(async move {
            while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notification(_) = message {
                    ringer.notify_one();
                }
            }
        });
        let link = Self { client, place, prepared: HashMap::new(), bell, driver };
        link.execute(SETTINGS).await?;
        Ok(link)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Waits for the doorbell, or that long.
    pub(crate) async fn rung(&self, at_most: Duration) {
        // Whether it rang or not, the rows are looked at.
        let _ = tokio::time::timeout(at_most, self.bell.notified()).await;
    }

    pub(crate) async fn execute(&self, sql: &str) -> Result<(), StoreError> {
        self.client.batch_execute(sql).await.map_err(|why| failed("relay", &self.place, &why))
    }

    /// Runs one statement, prepared the first time.
    pub(crate) async fn query(
        &mut self,
        operation: &'static str,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        let statement = match self.prepared.get(sql) {
            Some(statement) => statement.clone(),
            None => {
                let types: Vec<Type> = params.iter().map(|(_, ty)| ty.clone()).collect();
                let made = self.client.prepare_typed(sql, &types).await;
                let made = made.map_err(|why| failed(operation, &self.place, &why))?;
                self.prepared.insert(sql.to_owned(), made.clone());
                made
            }
        };
        let values: Vec<&(dyn ToSql + Sync)> = params.iter().map(|(value, _)| *value).collect();
        self.client.query(&statement, &values).await.map_err(|why| failed(operation, &self.place, &why))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
