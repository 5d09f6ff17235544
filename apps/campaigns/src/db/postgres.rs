//! PostgreSQL: a pool of sessions, each with one transaction at a time, on threads that may block.
//!
//! A transaction that collides with another one runs again. Statements are prepared once for a session.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::BytesMut;
use futures_util::future::try_join_all;
use tokio::{runtime::Handle, sync::Semaphore};
use tokio_postgres::{
    Client, Statement,
    types::{FromSql, IsNull, ToSql, Type},
};
use windlass::NewJob;
use windlass_pg::{Address, Tls, Way};

use super::{DbError, Row, Value, Values, schema};

/// Sessions at most: the application's writes are short, and a server has a hundred by default.
const SESSIONS: usize = 16;
/// How often a transaction that collides runs again, with a growing pause, before its caller is told.
const TRIES: u32 = 8;
/// The pause after the first collision.
const PAUSE: Duration = Duration::from_millis(5);

/// A way to a database, with the sessions that are free.
pub(super) struct Postgres {
    way: Way,
    url: String,
    free: Mutex<Vec<Link>>,
    places: Semaphore,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address may hold a password.
        f.debug_struct("Postgres").finish_non_exhaustive()
    }
}

struct Link {
    client: Client,
    statements: HashMap<&'static str, Statement>,
    /// Whether a statement of the transaction collided with another transaction.
    collided: bool,
}

/// A transaction of a session.
pub(super) struct Session<'a> {
    link: &'a mut Link,
    runtime: &'a Handle,
}

impl fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}

impl Postgres {
    pub(super) async fn open(url: &str) -> Result<Self, DbError> {
        let bad = |why: String| DbError::Address { address: crate::channel::without_credentials(url), why };
        let Address { mut config, tls, .. } = Address::read(url, &[], Tls::default()).map_err(bad)?;
        if config.get_application_name().is_none() {
            config.application_name("windlass campaigns");
        }
        let way = Way::new(config, &tls).map_err(bad)?;
        let postgres =
            Self { way, url: url.to_owned(), free: Mutex::new(Vec::new()), places: Semaphore::new(SESSIONS) };
        let link = postgres.connect().await?;
        schema::bring_postgres_up(&link.client).await?;
        postgres.put_back(link);
        Ok(postgres)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    async fn connect(&self) -> Result<Link, DbError> {
        let (client, driver) =
            self.way.connect().await.map_err(|error| DbError::Failed(error.to_string()))?;
        // The driver ends with its client.
        tokio::spawn(driver);
        Ok(Link { client, statements: HashMap::new(), collided: false })
    }

    fn put_back(&self, link: Link) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(link);
    }

    pub(super) async fn transaction<T, E>(
        &self,
        reads: bool,
        work: impl Fn(Session<'_>) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let place = self.places.acquire().await;
        let _place = place.map_err(|error| E::from(DbError::Failed(error.to_string())))?;
        let work = std::sync::Arc::new(work);
        for attempt in 0.. {
            let kept = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut link = match kept {
                Some(link) if !link.client.is_closed() => link,
                _ => self.connect().await?,
            };
            let (work, runtime) = (work.clone(), Handle::current());
            let ran = tokio::task::spawn_blocking(move || {
                let done = once(&mut link, &runtime, reads, &*work);
                (link, done)
            });
            let (link, (done, again)) = ran.await.map_err(|error| DbError::Failed(error.to_string()))?;
            if !link.client.is_closed() {
                self.put_back(link);
            }
            if !again || attempt + 1 >= TRIES {
                return done;
            }
            tokio::time::sleep(PAUSE * 2_u32.pow(attempt)).await;
        }
        Err(DbError::Failed("the transaction was never tried".to_owned()).into())
    }
}

/// One try; the second value is whether another one may do better.
fn once<T, E: From<DbError>>(
    link: &mut Link,
    runtime: &Handle,
    reads: bool,
    work: &(impl Fn(Session<'_>) -> Result<T, E> + ?Sized),
) -> (Result<T, E>, bool) {
    let begin = if reads { "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" } else { "BEGIN" };
    link.collided = false;
    if let Err(error) = runtime.block_on(link.client.batch_execute(begin)) {
        return (Err(told(&error).into()), false);
    }
    match work(Session { link: &mut *link, runtime }) {
        Ok(value) => match runtime.block_on(link.client.batch_execute("COMMIT")) {
            Ok(()) => (Ok(value), false),
            Err(error) => (Err(told(&error).into()), collided(&error)),
        },
        Err(error) => {
            // The function's own error stands; the session is as before in any case, or it is closed.
            let _ = runtime.block_on(link.client.batch_execute("ROLLBACK"));
            (Err(error), std::mem::take(&mut link.collided))
        }
    }
}

/// A value that is compared with a number in the text, as in `$1 = 0`, would be of that number's type, which ends at
/// 2,147,483,647. All numbers of the application are of 64 bits, and so are the values.
async fn prepare(client: &Client, sql: &str) -> Result<Statement, tokio_postgres::Error> {
    let statement = client.prepare(sql).await?;
    if !statement.params().contains(&Type::INT4) {
        return Ok(statement);
    }
    let wide = |ty: &Type| if *ty == Type::INT4 { Type::INT8 } else { ty.clone() };
    let types: Vec<Type> = statement.params().iter().map(wide).collect();
    client.prepare_typed(sql, &types).await
}

fn collided(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(windlass_pg::collides)
}

impl Session<'_> {
    /// What the server said, with a collision noted.
    fn failed(&mut self, error: &tokio_postgres::Error) -> DbError {
        self.link.collided |= collided(error);
        told(error)
    }

    fn prepared(&mut self, sql: &'static str) -> Result<Statement, DbError> {
        if let Some(statement) = self.link.statements.get(sql) {
            return Ok(statement.clone());
        }
        let prepared = self.runtime.block_on(prepare(&self.link.client, sql));
        let statement = prepared.map_err(|error| self.failed(&error))?;
        self.link.statements.insert(sql, statement.clone());
        Ok(statement)
    }

    pub(super) fn run(&mut self, sql: &'static str, values: Values<'_>) -> Result<u64, DbError> {
        let statement = self.prepared(sql)?;
        let parameters: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
        let done = self.runtime.block_on(self.link.client.execute(&statement, &parameters));
        done.map_err(|error| self.failed(&error))
    }

    /// All of them are on their way before the first answer comes.
    pub(super) fn run_each(&mut self, sql: &'static str, rows: &[Vec<Value>]) -> Result<u64, DbError> {
        let statement = self.prepared(sql)?;
        let client = &self.link.client;
        let sent = rows.iter().map(|values| {
            let statement = statement.clone();
            async move { client.execute_raw(&statement, values.iter()).await }
        });
        let done = self.runtime.block_on(try_join_all(sent)).map_err(|error| self.failed(&error))?;
        Ok(done.iter().sum())
    }

    pub(super) fn rows(&mut self, sql: &'static str, values: Values<'_>) -> Result<Vec<Row>, DbError> {
        let statement = self.prepared(sql)?;
        let parameters: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
        let rows = self.runtime.block_on(self.link.client.query(&statement, &parameters));
        let rows = rows.map_err(|error| self.failed(&error))?;
        rows.iter()
            .map(|row| {
                let values = (0..row.len()).map(|at| row.try_get::<_, Value>(at));
                let values: Result<Vec<Value>, _> = values.collect();
                values.map(Row::new).map_err(|error| DbError::Row(windlass_pg::told(&error)))
            })
            .collect()
    }

    pub(super) fn enqueue(&mut self, jobs: &[NewJob]) -> Result<(), DbError> {
        let table = windlass_outbox::Table::default();
        let sent = windlass_outbox::postgres::enqueue_in(&self.link.client, &table, jobs);
        self.runtime
            .block_on(sent)
            .map_err(|error| DbError::Failed(error.to_string()))?
            .map_err(|refused| DbError::Job(refused.to_string()))
    }
}

impl ToSql for Value {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(value) => match *ty {
                Type::INT2 => i16::try_from(*value)?.to_sql(ty, out),
                Type::INT4 => i32::try_from(*value)?.to_sql(ty, out),
                _ => value.to_sql(ty, out),
            },
            Value::Text(text) => text.to_sql(ty, out),
            Value::Bytes(bytes) => bytes.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        <String as ToSql>::accepts(ty) || matches!(*ty, Type::INT2 | Type::INT4 | Type::INT8 | Type::BYTEA)
    }

    tokio_postgres::types::to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match *ty {
            Type::INT8 => Value::Int(i64::from_sql(ty, raw)?),
            Type::INT4 => Value::Int(i32::from_sql(ty, raw)?.into()),
            Type::INT2 => Value::Int(i16::from_sql(ty, raw)?.into()),
            Type::BOOL => Value::Int(bool::from_sql(ty, raw)?.into()),
            Type::BYTEA => Value::Bytes(raw.to_vec()),
            _ => Value::Text(String::from_sql(ty, raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Value::Null)
    }

    fn accepts(ty: &Type) -> bool {
        <String as FromSql<'_>>::accepts(ty)
            || matches!(*ty, Type::INT2 | Type::INT4 | Type::INT8 | Type::BOOL | Type::BYTEA)
    }
}

/// What the server says: a broken rule stays broken, anything else may pass.
pub(super) fn told(error: &tokio_postgres::Error) -> DbError {
    let text = windlass_pg::told(error);
    // Class 23 is the violation of a constraint.
    match error.code() {
        Some(code) if code.code().starts_with("23") => DbError::Refused(text),
        _ => DbError::Failed(text),
    }
}
