//! The handle, and how a call is made.
//!
//! A call is one statement: one round trip, one transaction. A call that meets another (deadlock, serialization) goes
//! again; one that turns out to cross queues goes again under the namespace's lock. What it owes to those who wait is
//! rung when its answer is here, that is, when it is durable.

use crate::error::{NEEDS_WIDE, OpenError, collides, store_error, store_error_in};
use crate::hub::Hub;
use crate::listen::Doorbell;
use crate::migrate::{Migration, migrate, migration, must_be_up_to_date};
use crate::options::{Options, check_schema};
use crate::pool::{GREET, Param, Pool};
use crate::wire::read;
use serde_json::Value;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::task::JoinHandle;
use tokio_postgres::{Config, Row};
use windlass_core::{JobId, Lease, LeaseToken, StoreError, Time, WorkerId};

/// A call that always meets others gives up after that many times.
pub(crate) const TRIES: usize = 8;

/// A store in one schema of a PostgreSQL database. Cloning gives another handle to the same store.
#[derive(Clone)]
pub struct PostgresStore(pub(crate) Arc<Handle>);

pub(crate) struct Handle {
    pub(crate) pool: Pool,
    pub(crate) hub: Arc<Hub>,
    pub(crate) options: Options,
    pub(crate) bell: Arc<Doorbell>,
    /// The server's clock less this machine's, for what is checked before a call.
    pub(crate) ahead_ms: AtomicI64,
    pub(crate) tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        for task in self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
        self.hub.drain();
    }
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore").field("schema", &self.0.options.schema).finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Opens the store of a URL (`postgres://user@host/database`), its schema brought up to date.
    ///
    /// Beside what the driver knows, a URL may say `sslmode` and `sslrootcert` as for libpq, `namespace`, which is the
    /// schema, and `upkeep`, `listen`, `prepare`, `migrate` and `connections` as in [`Options`]. A password that it does not
    /// hold is the one in `PGPASSWORD`.
    ///
    /// # Errors
    /// [`OpenError`]: the address or the name of the schema makes no sense, the server cannot be reached, or the schema is
    /// newer than this program or somebody else's.
    pub async fn open(url: &str, mut options: Options) -> Result<Self, OpenError> {
        let config = crate::address::read(url, &mut options)?;
        Self::connect(config, options).await
    }

    /// Opens the store that `config` leads to.
    ///
    /// # Errors
    /// As [`PostgresStore::open`].
    pub async fn connect(mut config: Config, options: Options) -> Result<Self, OpenError> {
        check_schema(&options.schema)?;
        if config.get_application_name().is_none() {
            config.application_name("windlass");
        }
        let pool = Pool::new(config, &options)?;
        let ahead_ms = {
            let mut lent = pool.get("open").await?;
            let client = lent.client_mut()?;
            if options.migrate {
                migrate(client, &options.schema).await?;
            } else {
                must_be_up_to_date(client, &options.schema).await?;
            }
            let asked = local_ms();
            let rows = client
                .query_typed("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint", &[])
                .await
                .map_err(|why| store_error("open", &why))?;
            rows.first().map_or(asked, |row| row.get::<_, i64>(0)) - asked
        };
        let hub = Arc::new(Hub::default());
        let bell = Arc::new(Doorbell::new(&options.schema));
        let handle =
            Handle { pool, hub, options, bell, ahead_ms: AtomicI64::new(ahead_ms), tasks: Mutex::default() };
        let store = Self(Arc::new(handle));
        store.greet().await?;
        store.0.pool.greet_from_now_on();
        crate::background::start(&store);
        Ok(store)
    }

    /// Erases the store in that schema, with everything in it and whatever depends on that; `false` when there is no such
    /// schema. A schema that is no store's, or not a store's alone, is refused and left as it is; the schema `public` stays,
    /// empty. What is open there fails from now on.
    ///
    /// # Errors
    /// [`OpenError::NotAStore`] for what is somebody else's; else as [`PostgresStore::open`].
    pub async fn erase(url: &str, schema: &str) -> Result<bool, OpenError> {
        check_schema(schema)?;
        crate::erase::erase(once(url, schema)?.get("erase").await?.client_mut()?, schema).await
    }

    /// Brings that schema up to date, as opening does, and says what that came to.
    ///
    /// # Errors
    /// As [`PostgresStore::open`].
    pub async fn migrate(url: &str, schema: &str) -> Result<Migration, OpenError> {
        check_schema(schema)?;
        migrate(once(url, schema)?.get("migrate").await?.client_mut()?, schema).await
    }

    /// What would bring that schema up to date; nothing is changed.
    ///
    /// # Errors
    /// As [`PostgresStore::open`].
    pub async fn migration(url: &str, schema: &str) -> Result<Migration, OpenError> {
        check_schema(schema)?;
        migration(once(url, schema)?.get("migrate").await?.client_mut()?, schema).await
    }

    /// Renews every lease when the server has started anew since somebody was here.
    pub(crate) async fn greet(&self) -> Result<(), StoreError> {
        let at = self.at(None);
        self.rows("open", GREET, &[(&at, tokio_postgres::types::Type::INT8)]).await.map(drop)
    }

    /// The time that a call is given: the test's, or the injected clock's; none leaves it to the server.
    pub(crate) fn at(&self, at: Option<Time>) -> Option<i64> {
        at.or_else(|| self.0.options.clock.as_ref().map(|clock| clock())).map(crate::wire::ms)
    }

    /// About the time that the call will have, for what is checked before it.
    pub(crate) fn about_now(&self, at: Option<Time>) -> Time {
        match self.at(at) {
            Some(at) => crate::wire::time(at),
            None => crate::wire::time(local_ms() + self.0.ahead_ms.load(Ordering::Relaxed)),
        }
    }

    /// Runs a statement; what meets another goes again.
    pub(crate) async fn rows(
        &self,
        operation: &'static str,
        template: &'static str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        let mut tries = 0;
        loop {
            let mut lent = self.0.pool.get(operation).await?;
            match lent.query(template, params).await {
                Ok(rows) => return Ok(rows),
                Err(why) => {
                    let again = why.code().is_some_and(collides);
                    tries += 1;
                    if !again || tries >= TRIES {
                        return Err(store_error_in(&self.0.options.schema, operation, &why));
                    }
                }
            }
        }
    }

    /// As `rows`, for a verb whose last parameter says whether it holds the whole namespace: narrow first, and again if
    /// it turns out to cross queues.
    pub(crate) async fn rows_wide(
        &self,
        operation: &'static str,
        template: &'static str,
        params: &[Param<'_>],
        wide: bool,
    ) -> Result<Vec<Row>, StoreError> {
        let mut wide = wide;
        let mut tries = 0;
        loop {
            let mut all: Vec<Param<'_>> = params.to_vec();
            all.push((&wide, tokio_postgres::types::Type::BOOL));
            let mut lent = self.0.pool.get(operation).await?;
            let told = lent.query(template, &all).await;
            drop(lent);
            match told {
                Ok(rows) => return Ok(rows),
                Err(why) => {
                    let crosses = why.code().is_some_and(|code| code.code() == NEEDS_WIDE);
                    let again = why.code().is_some_and(collides);
                    tries += 1;
                    if !(again || crosses && !wide) || tries >= TRIES {
                        return Err(store_error_in(&self.0.options.schema, operation, &why));
                    }
                    wide |= crosses;
                }
            }
        }
    }

    /// The JSON that a function answers, after ringing whom it owes.
    pub(crate) fn told(&self, operation: &'static str, rows: &[Row]) -> Result<Value, StoreError> {
        let value = rows
            .first()
            .map(|row| row.get::<_, Option<crate::wire::Json>>(0))
            .ok_or_else(|| StoreError::refused(operation, "the function gave no row"))?;
        let value = value.map_or(Value::Null, |json| json.0);
        self.ring(operation, &value)?;
        Ok(value)
    }

    /// Rings those who wait for what a call did.
    pub(crate) fn ring(&self, operation: &'static str, told: &Value) -> Result<(), StoreError> {
        self.0.hub.written.notify_waiters();
        if let Some(rings) = told.get("rings").and_then(Value::as_array) {
            for ring in rings {
                let (queue, jobs): (String, i64) = read(operation, ring.clone())?;
                self.0.hub.ring(&queue, u64::try_from(jobs).unwrap_or(0));
                self.0.bell.push(&queue);
            }
        }
        if let Some(notices) = told.get("notices").and_then(Value::as_array) {
            for notice in notices {
                let (worker, job, attempt, counter, nonce, deadline): (i64, JobId, u32, i64, i64, i64) =
                    read(operation, notice.clone())?;
                let token = LeaseToken { counter: counter.cast_unsigned(), nonce: nonce.cast_unsigned() };
                let lease = Lease { job, attempt, token, deadline: crate::wire::time(deadline) };
                self.0.hub.notify(WorkerId(worker.cast_unsigned()), lease);
            }
        }
        Ok(())
    }

    /// Takes up what producers have brought, so that counts and events show it.
    pub(crate) async fn take_up(&self, operation: &'static str) -> Result<(), StoreError> {
        let at = self.at(None);
        let rows = self
            .rows_wide(
                operation,
                "SELECT windlass.take_up_all($1, $2)",
                &[(&at, tokio_postgres::types::Type::INT8)],
                false,
            )
            .await?;
        self.told(operation, &rows).map(drop)
    }
}

/// A way to the server for what is done once, in that schema.
fn once(url: &str, schema: &str) -> Result<Pool, OpenError> {
    let mut options = Options { schema: schema.to_owned(), ..Options::default() };
    let config = crate::address::read(url, &mut options)?;
    if options.schema != schema {
        let why = format!("the URL names namespace={}, the call {schema}", options.schema);
        return Err(OpenError::BadAddress(why));
    }
    options.connections = 1;
    Ok(Pool::new(config, &options)?)
}

/// This machine's clock, in milliseconds since the Unix epoch.
fn local_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
