//! The application's database: one text of SQL for SQLite and PostgreSQL, in transactions that are closures.
//!
//! A transaction is a function of a [`Tx`] that reads, decides and writes; it commits when the function succeeds and
//! leaves nothing behind when it fails. The function may run more than once, so it has no effects but the
//! database's. [`Db::write`] answers when the transaction is on disk.
//!
//! `sqlite` has one thread that writes, and gathers the transactions that came while the last commit went to disk into
//! the next one; `postgres` has a pool of sessions. Neither knows what the tables mean: [`crate::store`] does.
//! `docs/decisions/0026-the-campaigns-have-one-sql.md` says why this is not a library's.

mod many;
mod outbox;
mod postgres;
mod schema;
mod sqlite;
mod value;

pub use many::Many;
pub use outbox::{Relaying, relay};
pub use value::{Row, Value};

use std::{path::PathBuf, sync::Arc};

use thiserror::Error;
use windlass::NewJob;

/// The database could not do it.
#[derive(Clone, Debug, Error)]
pub enum DbError {
    /// The address is not one of a database.
    #[error(
        "{address:?} is no database: use sqlite:PATH or postgres://USER@HOST/DATABASE{}",
        if why.is_empty() { String::new() } else { format!(" ({why})") }
    )]
    Address {
        /// The address without its password.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// The tables are of a version that this program does not know.
    #[error(
        "the tables are of version {found}, this program knows {known}: use the program that wrote them, or a newer one"
    )]
    Version {
        /// What the tables say.
        found: i64,
        /// What this program knows.
        known: i64,
    },
    /// The tables are of a version that this program writes otherwise.
    #[error(
        "the tables of version {version} were made by another build, which wrote them otherwise: use that build, or a new database"
    )]
    Build {
        /// The version.
        version: i64,
    },
    /// A rule of the tables was broken: the same statement fails again.
    #[error("the database refuses: {0}")]
    Refused(String),
    /// The database failed; another try may do better.
    #[error("the database failed: {0}")]
    Failed(String),
    /// A row is not as this program wrote it.
    #[error("a row of the database makes no sense: {0}")]
    Row(String),
    /// A job cannot be enqueued.
    #[error("the job cannot be enqueued: {0}")]
    Job(String),
}

/// A statement's values.
pub type Values<'a> = &'a [Value];

/// A database; clones are the same.
#[derive(Clone, Debug)]
pub struct Db {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Sqlite(Arc<sqlite::Sqlite>),
    Postgres(Arc<postgres::Postgres>),
}

/// A transaction under way.
#[derive(Debug)]
pub struct Tx<'a>(Inner<'a>);

#[derive(Debug)]
enum Inner<'a> {
    Sqlite(sqlite::Session<'a>),
    Postgres(postgres::Session<'a>),
}

/// Whether a path begins as the address of something else does: `mysql:app`, `http://…`. A file of such a name is written
/// `./mysql:app`.
fn names_another_kind(path: &str) -> bool {
    let is_of_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    path.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(is_of_scheme)
    })
}

/// The file of the database at that address; none where it is on a server.
///
/// # Errors
/// An address that is none.
pub fn file_of(address: &str) -> Result<Option<PathBuf>, DbError> {
    if address.starts_with("postgres://") || address.starts_with("postgresql://") {
        return Ok(None);
    }
    let path = address.strip_prefix("sqlite:").unwrap_or(address);
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || names_another_kind(path) {
        let address = crate::channel::without_credentials(address);
        return Err(DbError::Address { address, why: String::new() });
    }
    Ok(Some(PathBuf::from(path)))
}

impl Db {
    /// Opens the database at that address and brings its tables up to date: `sqlite:PATH`, or a path by itself, makes the
    /// file when there is none; `postgres://…` is read as the store's address is.
    ///
    /// # Errors
    /// An address that is none, tables of a newer version, or what the database says.
    pub async fn open(address: &str) -> Result<Self, DbError> {
        let kind = match file_of(address)? {
            None => Kind::Postgres(Arc::new(postgres::Postgres::open(address).await?)),
            Some(path) => {
                let open = tokio::task::spawn_blocking(move || sqlite::Sqlite::open(path));
                Kind::Sqlite(Arc::new(open.await.map_err(|error| DbError::Failed(error.to_string()))??))
            }
        };
        Ok(Self { kind })
    }

    /// Does it in one transaction that is durable when this answers. The function may run again after a collision with
    /// another transaction.
    ///
    /// # Errors
    /// The function's own error, with nothing written; or the database's.
    pub async fn write<T, E>(
        &self,
        work: impl Fn(&mut Tx<'_>) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        match &self.kind {
            Kind::Sqlite(sqlite) => sqlite.write(move |session| work(&mut Tx(Inner::Sqlite(session)))).await,
            Kind::Postgres(postgres) => {
                postgres.transaction(false, move |session| work(&mut Tx(Inner::Postgres(session)))).await
            }
        }
    }

    /// Looks at one state of the database; writing fails.
    ///
    /// # Errors
    /// The function's own error, or the database's.
    pub async fn read<T, E>(
        &self,
        look: impl Fn(&mut Tx<'_>) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        match &self.kind {
            Kind::Sqlite(sqlite) => sqlite.read(move |session| look(&mut Tx(Inner::Sqlite(session)))).await,
            Kind::Postgres(postgres) => {
                postgres.transaction(true, move |session| look(&mut Tx(Inner::Postgres(session)))).await
            }
        }
    }
}

impl Tx<'_> {
    /// Runs one statement and says how many rows it touched. Values are named `$1`, `$2` … in the text.
    ///
    /// # Errors
    /// What the database says.
    pub fn run(&mut self, sql: &'static str, values: Values<'_>) -> Result<u64, DbError> {
        match &mut self.0 {
            Inner::Sqlite(session) => session.run(sql, values),
            Inner::Postgres(session) => session.run(sql, values),
        }
    }

    /// Runs the statement once for each row of values; much quicker than one call each.
    ///
    /// # Errors
    /// What the database says of the first that fails.
    pub fn run_each(&mut self, sql: &'static str, rows: &[Vec<Value>]) -> Result<u64, DbError> {
        match &mut self.0 {
            Inner::Sqlite(session) => {
                rows.iter().try_fold(0, |done, values| Ok(done + session.run(sql, values)?))
            }
            Inner::Postgres(session) => session.run_each(sql, rows),
        }
    }

    /// All rows of a query.
    ///
    /// # Errors
    /// What the database says.
    pub fn rows(&mut self, sql: &'static str, values: Values<'_>) -> Result<Vec<Row>, DbError> {
        match &mut self.0 {
            Inner::Sqlite(session) => session.rows(sql, values),
            Inner::Postgres(session) => session.rows(sql, values),
        }
    }

    /// The first row of a query, if it has one.
    ///
    /// # Errors
    /// What the database says.
    pub fn row(&mut self, sql: &'static str, values: Values<'_>) -> Result<Option<Row>, DbError> {
        Ok(self.rows(sql, values)?.into_iter().next())
    }

    /// Whether the query has a row.
    ///
    /// # Errors
    /// What the database says.
    pub fn is_there(&mut self, sql: &'static str, values: Values<'_>) -> Result<bool, DbError> {
        Ok(!self.rows(sql, values)?.is_empty())
    }

    /// The number in the first column of the first row; 0 when there is none.
    ///
    /// # Errors
    /// What the database says.
    pub fn count(&mut self, sql: &'static str, values: Values<'_>) -> Result<i64, DbError> {
        self.row(sql, values)?.map_or(Ok(0), |mut row| row.int())
    }

    /// Enqueues jobs with the commit: each exists if and only if this transaction does.
    ///
    /// # Errors
    /// A job that the contract refuses by itself; what the database says.
    pub fn enqueue(&mut self, jobs: &[NewJob]) -> Result<(), DbError> {
        match &mut self.0 {
            Inner::Sqlite(session) => session.enqueue(jobs),
            Inner::Postgres(session) => session.enqueue(jobs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::names_another_kind;

    #[test]
    fn the_address_of_another_kind_of_database_is_no_name_of_a_file() {
        for other in ["mysql:app", "mysql://host/app", "jdbc:sqlite:app.db", "http://host"] {
            assert!(names_another_kind(other), "{other}");
        }
        for path in ["campaigns.db", "./mysql:app", "/var/lib/a:b.db", "2026:11.db", "data/campaigns.db"] {
            assert!(!names_another_kind(path), "{path}");
        }
    }
}
