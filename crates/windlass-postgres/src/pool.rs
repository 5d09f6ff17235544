//! Connections: a few, opened when they are needed, given up when they are broken.
//!
//! A connection is one client and the task that drives it. Nothing is kept in a session but prepared statements, and
//! those only if wanted; so any connection will do for any call, behind a pooler in transaction mode too.
//!
//! The task is one of the runtime that made the connection. A heartbeat comes from a thread of its own, so that handlers
//! may block theirs: it must not wait for a task that stands still, nor for a place that calls which stand still have
//! taken. So a connection goes only to calls of its runtime, and each runtime has a place that no other takes.

use crate::error::{store_error_in, unreachable};
use crate::options::{Clock, Options};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::{Handle, Id};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Row, Statement};
use windlass_core::StoreError;
use windlass_pg::{Tls, Way};

/// Renews every lease when the server has started anew since somebody was here.
pub(crate) const GREET: &str = "SELECT windlass.greet($1)";

/// Runtimes that have a place of their own: a program has one, and each of its workers a small one for heartbeats. Those
/// that were not used for longest share the others' places again.
const RUNTIMES_MAX: usize = 16;

/// One connection and what it has prepared.
pub(crate) struct Connection {
    pub(crate) client: Client,
    prepared: HashMap<&'static str, Statement>,
}

/// A parameter with its type.
pub(crate) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// The connections of one store.
pub(crate) struct Pool {
    way: Way,
    stock: Mutex<Stock>,
    /// For calls of every runtime, beside the one place that each has.
    places: Arc<Semaphore>,
    most: usize,
    prepare: bool,
    schema: String,
    clock: Option<Clock>,
    /// Whether each new connection greets the server before anything else is asked.
    greets: AtomicBool,
}

/// What there is, and whose it is.
#[derive(Default)]
struct Stock {
    idle: Vec<(Id, Connection)>,
    lent: usize,
    /// The place of each runtime, the one used last at the end.
    own: Vec<(Id, Arc<Semaphore>)>,
}

impl Stock {
    /// The place that belongs to that runtime.
    fn own(&mut self, runtime: Id) -> Arc<Semaphore> {
        let entry = match self.own.iter().position(|(id, _)| *id == runtime) {
            Some(at) => self.own.remove(at),
            None => {
                if self.own.len() >= RUNTIMES_MAX {
                    self.own.remove(0);
                }
                (runtime, Arc::new(Semaphore::new(1)))
            }
        };
        let place = entry.1.clone();
        self.own.push(entry);
        place
    }

    /// Lends a connection of that runtime, or room for a new one, for which another runtime's may have to go.
    fn lend(&mut self, runtime: Id, most: usize) -> Option<Connection> {
        self.lent += 1;
        self.idle.retain(|(_, connection)| !connection.client.is_closed());
        if let Some(at) = self.idle.iter().rposition(|(id, _)| *id == runtime) {
            return Some(self.idle.remove(at).1);
        }
        // Every runtime but one may have a connection beyond those of all.
        if self.idle.len() + self.lent > most + self.own.len().saturating_sub(1) && !self.idle.is_empty() {
            self.idle.remove(0);
        }
        None
    }
}

/// A connection that goes back to its pool.
pub(crate) struct Lent<'a> {
    pool: &'a Pool,
    runtime: Id,
    connection: Option<Connection>,
    _place: OwnedSemaphorePermit,
}

impl Pool {
    pub(crate) fn new(config: Config, options: &Options) -> Result<Self, StoreError> {
        let tls = Tls { verify: options.verify, root_certificates: options.root_certificates.clone() };
        Ok(Self {
            way: Way::new(config, &tls).map_err(|why| StoreError::refused("open", why))?,
            stock: Mutex::default(),
            places: Arc::new(Semaphore::new(options.connections.saturating_sub(1))),
            most: options.connections.max(1),
            prepare: options.prepare,
            schema: options.schema.clone(),
            clock: options.clock.clone(),
            greets: AtomicBool::new(false),
        })
    }

    /// From now on the schema is there: whatever connection is made greets the server first. A server that has started
    /// anew has broken all that stood, so nothing is asked of it, upkeep least of all, before leases have their full time
    /// again.
    pub(crate) fn greet_from_now_on(&self) {
        self.greets.store(true, Ordering::Relaxed);
    }

    /// A statement of this crate, which names the schema `windlass`, for the store's own schema.
    pub(crate) fn sql(&self, template: &str) -> String {
        crate::migrate::in_schema(template, &self.schema)
    }

    /// What opens a connection of its own.
    pub(crate) fn way(&self) -> Way {
        self.way.clone()
    }

    fn stock(&self) -> MutexGuard<'_, Stock> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place and gives a connection that was alive a moment ago.
    pub(crate) async fn get(&self, operation: &'static str) -> Result<Lent<'_>, StoreError> {
        let runtime =
            Handle::try_current().map_err(|why| StoreError::refused(operation, why.to_string()))?.id();
        let own = self.stock().own(runtime);
        let place = tokio::select! {
            biased;
            place = own.acquire_owned() => place,
            place = self.places.clone().acquire_owned() => place,
        };
        let place = place.ok().filter(|_| !self.places.is_closed());
        let place = place.ok_or_else(|| StoreError::stopped(operation, "the store is closed"))?;
        let connection = self.stock().lend(runtime, self.most);
        let mut lent = Lent { pool: self, runtime, connection, _place: place };
        if lent.connection.is_none() {
            lent.connection = Some(self.connect(operation).await?);
        }
        Ok(lent)
    }

    async fn connect(&self, operation: &'static str) -> Result<Connection, StoreError> {
        let (client, driver) =
            self.way.connect().await.map_err(|why| unreachable(operation, why.to_string()))?;
        tokio::spawn(async move {
            if let Err(why) = driver.await {
                tracing::debug!(%why, "a connection to PostgreSQL ended");
            }
        });
        if self.greets.load(Ordering::Relaxed) {
            let at = self.clock.as_ref().map(|clock| crate::wire::ms(clock()));
            let greeted = client.query_typed(&self.sql(GREET), &[(&at, Type::INT8)]).await;
            // Nothing of the call itself has been sent yet.
            let told = |why| unreachable(operation, store_error_in(&self.schema, operation, &why).cause);
            greeted.map_err(told)?;
        }
        Ok(Connection { client, prepared: HashMap::new() })
    }

    /// Lets go of every connection; nobody gets one from now on.
    pub(crate) fn close(&self) {
        self.places.close();
        self.stock().idle.clear();
    }
}

impl Lent<'_> {
    /// The client itself, for what is done once.
    pub(crate) fn client_mut(&mut self) -> Result<&mut Client, StoreError> {
        let gone = || StoreError::stopped("open", "the connection is gone");
        self.connection.as_mut().map(|connection| &mut connection.client).ok_or_else(gone)
    }

    /// Runs one statement in one round trip (two the first time, when statements are prepared).
    pub(crate) async fn query(
        &mut self,
        template: &'static str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let pool = self.pool;
        let Some(connection) = self.connection.as_mut() else { return Ok(Vec::new()) };
        if !pool.prepare {
            return connection.client.query_typed(&pool.sql(template), params).await;
        }
        let statement = match connection.prepared.get(template) {
            Some(statement) => statement.clone(),
            None => {
                let types: Vec<Type> = params.iter().map(|(_, ty)| ty.clone()).collect();
                let statement = connection.client.prepare_typed(&pool.sql(template), &types).await?;
                connection.prepared.insert(template, statement.clone());
                statement
            }
        };
        let values: Vec<&(dyn ToSql + Sync)> = params.iter().map(|(value, _)| *value).collect();
        connection.client.query(&statement, &values).await
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut stock = self.pool.stock();
        stock.lent -= 1;
        if let Some(connection) = self.connection.take()
            && !connection.client.is_closed()
            && !self.pool.places.is_closed()
        {
            stock.idle.push((self.runtime, connection));
        }
    }
}
