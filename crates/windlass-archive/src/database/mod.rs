//! The database of an archive: opened, locked, and written one batch at a time.
//!
//! Both kinds do the same: a batch is one transaction that begins with a compare-and-set of the archive's place. When
//! it finds the place that the batch ends at, the answer of an earlier try was lost and nothing is left to do.

mod merge;
mod postgres;
mod sqlite;

use std::sync::Arc;

use windlass_core::event::{Cause, Cursor, EventType};
use windlass_core::{JobId, Time};

use self::postgres::Postgres;
use self::sqlite::Sqlite;
use crate::batch::Batch;
use crate::error::ArchiveError;
use crate::fold::state_after;
use crate::target::Target;

/// The version of the tables that this program makes and understands.
pub const SCHEMA_VERSION: i64 = 2;

/// The version that the tables are made in, before what later versions add.
const FIRST_VERSION: i64 = 1;

/// What the archive says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) name: String,
    /// A random id that the store keeps too.
    pub(crate) id: String,
    /// The place up to which the store's log has been archived.
    pub(crate) cursor: Option<Cursor>,
    pub(crate) last_event_at: Option<Time>,
}

impl Head {
    /// Refuses the archive of another name.
    fn of_name(self, name: &str, target: &Target) -> Result<Self, ArchiveError> {
        if self.name == name {
            return Ok(self);
        }
        Err(ArchiveError::OtherName { target: target.to_string(), found: self.name, name: name.to_owned() })
    }
}

/// What a compare-and-set of the place found.
enum Place {
    /// It stood where the batch begins: write.
    Taken,
    /// It stands where the batch ends: it has been written.
    Written,
}

/// An open archive, under a lock that no other archiver gets.
pub(crate) enum Database {
    Sqlite(Sqlite),
    Postgres(Box<Postgres>),
}

impl Database {
    /// What is there already, without a lock and without leaving a trace; none where tables can be made.
    pub(crate) async fn look(target: &Target, name: &str) -> Result<Option<Head>, ArchiveError> {
        let head = match target {
            Target::Sqlite { path } => Sqlite::look(target, path).await?,
            Target::Postgres { url, schema } => Postgres::look(target, url, schema).await?,
        };
        head.map(|head| head.of_name(name, target)).transpose()
    }

    /// Opens the database and makes the tables if there are none.
    pub(crate) async fn open(target: &Target, name: &str, now: Time) -> Result<(Self, Head), ArchiveError> {
        let (database, head) = match target {
            Target::Sqlite { path } => {
                let (database, head) = Sqlite::open(target, path, name, now).await?;
                (Database::Sqlite(database), head)
            }
            Target::Postgres { url, schema } => {
                let (database, head) = Postgres::open(target, url, schema, name, now).await?;
                (Database::Postgres(Box::new(database)), head)
            }
        };
        Ok((database, head.of_name(name, target)?))
    }

    /// Writes the whole batch, or nothing of it; a batch that has been written already is left alone. Answers how many of
    /// the jobs that it takes in were there, if the batch was read anew.
    pub(crate) async fn write(&mut self, batch: &Arc<Batch>) -> Result<u64, ArchiveError> {
        match self {
            Database::Sqlite(database) => database.write(batch).await,
            Database::Postgres(database) => database.write(batch).await,
        }
    }

    /// Which of these jobs (in their order) the archive has no payload of, nor the word that it is gone.
    pub(crate) async fn without_payload(&mut self, jobs: Vec<JobId>) -> Result<Vec<JobId>, ArchiveError> {
        if jobs.is_empty() {
            return Ok(jobs);
        }
        match self {
            Database::Sqlite(database) => database.without_payload(jobs).await,
            Database::Postgres(database) => database.without_payload(jobs).await,
        }
    }

    /// Deletes the history of at most `limit` jobs that ended before that time; answers how many there were.
    pub(crate) async fn prune(&mut self, before: Time, limit: usize) -> Result<usize, ArchiveError> {
        match self {
            Database::Sqlite(database) => database.prune(before, limit).await,
            Database::Postgres(database) => database.prune(before, limit).await,
        }
    }
}

/// The words of the numbers, as rows of `event_type` and `cause`; new ones are added when an archive is opened.
fn words(schema: &str) -> String {
    let events = EventType::ALL.iter().map(|event| {
        let state = state_after(*event).map_or("NULL".to_owned(), |state| format!("'{state}'"));
        format!(
            "INSERT INTO {schema}event_type VALUES ({}, '{event}', {state}) ON CONFLICT DO NOTHING;\n",
            *event as u8
        )
    });
    let causes = Cause::ALL.iter().map(|cause| {
        format!("INSERT INTO {schema}cause VALUES ({}, '{cause}') ON CONFLICT DO NOTHING;\n", *cause as u8)
    });
    events.chain(causes).collect()
}

/// Refuses tables of a later version.
fn check_version(target: &str, found: i64) -> Result<(), ArchiveError> {
    if found > SCHEMA_VERSION {
        return Err(ArchiveError::Newer { target: target.to_owned(), found, known: SCHEMA_VERSION });
    }
    Ok(())
}

/// Compares the place that the archive stands at with the batch's, when the compare-and-set has changed no row.
fn place_found(target: &str, batch: &Batch, found: Option<&str>) -> Result<Place, ArchiveError> {
    if batch.to.is_some() && found == batch.to.map(|to| to.to_string()).as_deref() {
        return Ok(Place::Written);
    }
    Err(ArchiveError::Overtaken { target: target.to_owned() })
}

/// A time as the tables have it.
fn ms(time: Time) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}
