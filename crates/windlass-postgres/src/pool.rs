//! Connections: a few, opened when they are needed, given up when they are broken.
//!
//! A connection is one client and the task that drives it. Nothing is kept in a session but prepared statements, and
//! those only if wanted; so any connection will do for any call, behind a pooler in transaction mode too.

use crate::error::{store_error_in, unreachable};
use crate::options::{Clock, Options};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Row, Statement};
use windlass_core::StoreError;
use windlass_pg::{Tls, Way};

/// Renews every lease when the server has started anew since somebody was here.
pub(crate) const GREET: &str = "SELECT windlass.greet($1)";

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
    idle: Mutex<Vec<Connection>>,
    places: Semaphore,
    prepare: bool,
    schema: String,
    clock: Option<Clock>,
    /// Whether each new connection greets the server before anything else is asked.
    greets: AtomicBool,
}

/// A connection that goes back to its pool.
pub(crate) struct Lent<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
    _place: SemaphorePermit<'a>,
}

impl Pool {
    pub(crate) fn new(config: Config, options: &Options) -> Result<Self, StoreError> {
        let tls = Tls { verify: options.verify, root_certificates: options.root_certificates.clone() };
        Ok(Self {
            way: Way::new(config, &tls).map_err(|why| StoreError::refused("open", why))?,
            idle: Mutex::default(),
            places: Semaphore::new(options.connections.max(1)),
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

    /// Waits for a place and gives a connection that was alive a moment ago.
    pub(crate) async fn get(&self, operation: &'static str) -> Result<Lent<'_>, StoreError> {
        let place =
            self.places.acquire().await.map_err(|_| StoreError::stopped(operation, "the store is closed"))?;
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match idle {
                Some(connection) if connection.client.is_closed() => {}
                Some(connection) => {
                    return Ok(Lent { pool: self, connection: Some(connection), _place: place });
                }
                None => break,
            }
        }
        let connection = self.connect(operation).await?;
        Ok(Lent { pool: self, connection: Some(connection), _place: place })
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
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
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
        if let Some(connection) = self.connection.take()
            && !connection.client.is_closed()
            && !self.pool.places.is_closed()
        {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}
