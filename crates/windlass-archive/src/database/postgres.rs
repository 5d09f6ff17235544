//! An archive in a schema of PostgreSQL: one connection, one transaction a batch, columns sent as arrays.
//!
//! A session lock keeps a second archiver out; behind a pooler in transaction mode it holds nothing, and the
//! compare-and-set of the place still keeps the tables right. A broken connection is opened again by the next write.

mod rows;

use std::collections::{HashMap, HashSet};

use tokio_postgres::{Client, GenericClient, Transaction};
use uuid::Uuid;
use windlass_core::event::Cursor;
use windlass_core::{JobId, Time};
use windlass_pg::{Address, Tls, Unreached, Way};

use self::rows::{
    id, known_jobs, number, write_attempts, write_bodies, write_cuts, write_jobs, write_modes_and_gaps,
    write_retries,
};
use super::{FIRST_VERSION, Head, Place, SCHEMA_VERSION, check_version, ms, place_found, words};
use crate::batch::Batch;
use crate::error::ArchiveError;
use crate::target::{SCHEMA_DEFAULT, Target};

const TABLES: &str = include_str!("../../sql/postgres.sql");
const VERSION_2: &str = include_str!("../../sql/postgres-2.sql");
/// Rows of one statement: enough to make a round trip cheap, few enough that its arrays stay small.
const ROWS_PER_STATEMENT: usize = 5_000;
/// Failure modes that one step of retention looks at.
const MODES_PER_PRUNE: i64 = 1_000;
/// The store forgets what we say we have: a commit must survive power loss, whatever the server's own setting.
const SESSION: &str = "SET synchronous_commit = on; SET client_min_messages = warning";

pub(crate) struct Postgres {
    client: Client,
    way: Way,
    schema: String,
    target: String,
    queues: HashMap<String, i32>,
    kinds: HashMap<String, i32>,
}

/// PostgreSQL said no, or we do.
enum Fault {
    Postgres(tokio_postgres::Error),
    /// There is nobody who would say anything.
    Unreached(Unreached),
    Ours(ArchiveError),
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Fault::Postgres(error)
    }
}

impl Fault {
    fn told(self, target: &str, doing: &'static str) -> ArchiveError {
        let (cause, retryable) = match self {
            Fault::Ours(error) => return error,
            Fault::Unreached(Unreached::Refused(error)) | Fault::Postgres(error) => {
                (windlass_pg::told(&error), windlass_pg::passes(&error))
            }
            Fault::Unreached(silent) => (silent.to_string(), true),
        };
        ArchiveError::Database { target: target.to_owned(), doing, cause, retryable }
    }
}

impl Postgres {
    /// The archive in that schema, if there is one; none where one can be made.
    pub(super) async fn look(target: &Target, url: &str, schema: &str) -> Result<Option<Head>, ArchiveError> {
        let target = target.to_string();
        let way = way(url).map_err(|why| ArchiveError::BadUrl { url: target.clone(), why })?;
        let read = async { found(&session(&way).await?, schema, &target).await };
        read.await.map_err(|fault| fault.told(&target, "cannot open"))
    }

    pub(super) async fn open(
        target: &Target,
        url: &str,
        schema: &str,
        name: &str,
        now: Time,
    ) -> Result<(Self, Head), ArchiveError> {
        let (target, schema) = (target.to_string(), schema.to_owned());
        let told = |fault: Fault| fault.told(&target, "cannot open");
        let way = way(url).map_err(|why| ArchiveError::BadUrl { url: target.clone(), why })?;
        let mut client = connect(&way, &schema, &target).await.map_err(told)?;
        let head = prepare(&mut client, &schema, &target, name, now).await.map_err(told)?;
        let (queues, kinds) = (HashMap::new(), HashMap::new());
        Ok((Self { client, way, schema, target, queues, kinds }, head))
    }

    pub(super) async fn write(&mut self, batch: &Batch) -> Result<u64, ArchiveError> {
        self.reconnect("cannot write").await?;
        let done = self.try_write(batch).await;
        done.map_err(|fault| self.failed(fault, "cannot write"))
    }

    pub(super) async fn without_payload(&mut self, jobs: Vec<JobId>) -> Result<Vec<JobId>, ArchiveError> {
        self.reconnect("cannot read").await?;
        let sql = format!("SELECT job FROM {}.payload WHERE job = ANY($1)", self.schema);
        let asked: Vec<Uuid> = jobs.iter().copied().map(id).collect();
        let known = self.client.query(&sql, &[&asked]).await;
        let known = known.map_err(|fault| Fault::from(fault).told(&self.target, "cannot read"))?;
        let known: HashSet<Uuid> = known.iter().map(|row| row.get(0)).collect();
        Ok(jobs.into_iter().filter(|job| !known.contains(&id(*job))).collect())
    }

    pub(super) async fn prune(&mut self, before: Time, limit: usize) -> Result<usize, ArchiveError> {
        self.reconnect("cannot delete from").await?;
        let done = self.try_prune(ms(before), limit as i64).await;
        done.map_err(|fault| self.failed(fault, "cannot delete from"))
    }

    /// A rolled-back transaction takes its numbers with it.
    fn failed(&mut self, fault: Fault, doing: &'static str) -> ArchiveError {
        self.queues.clear();
        self.kinds.clear();
        fault.told(&self.target, doing)
    }

    async fn reconnect(&mut self, doing: &'static str) -> Result<(), ArchiveError> {
        if self.client.is_closed() {
            let connected = connect(&self.way, &self.schema, &self.target).await;
            self.client = connected.map_err(|fault| match fault {
                // The server may not have noticed yet that our old connection is gone: its lock goes with it.
                Fault::Ours(held) => ArchiveError::Database {
                    target: self.target.clone(),
                    doing,
                    cause: held.to_string(),
                    retryable: true,
                },
                fault => self.failed(fault, doing),
            })?;
        }
        Ok(())
    }

    async fn try_write(&mut self, batch: &Batch) -> Result<u64, Fault> {
        let schema = &self.schema;
        let tx = self.client.transaction().await?;
        if let Place::Written = take_place(&tx, schema, &self.target, batch).await? {
            tx.rollback().await?;
            return Ok(0);
        }
        let rows = &batch.rows;
        let known = if batch.again { known_jobs(&tx, schema, rows).await? } else { 0 };
        number(&tx, schema, "queue", rows.jobs.iter().map(|row| row.queue.as_str()), &mut self.queues)
            .await?;
        number(&tx, schema, "kind", rows.jobs.iter().map(|row| row.kind.as_str()), &mut self.kinds).await?;
        write_retries(&tx, schema, rows).await?;
        for jobs in rows.jobs.chunks(ROWS_PER_STATEMENT) {
            write_jobs(&tx, schema, jobs, &self.queues, &self.kinds).await?;
        }
        write_cuts(&tx, schema, rows).await?;
        for attempts in rows.attempts.chunks(ROWS_PER_STATEMENT) {
            write_attempts(&tx, schema, attempts).await?;
        }
        for bodies in rows.bodies.chunks(ROWS_PER_STATEMENT) {
            write_bodies(&tx, schema, bodies).await?;
        }
        write_modes_and_gaps(&tx, schema, batch).await?;
        tx.commit().await?;
        Ok(known)
    }

    async fn try_prune(&mut self, before: i64, limit: i64) -> Result<usize, Fault> {
        let s = &self.schema;
        let tx = self.client.transaction().await?;
        let sql = format!("SELECT id FROM {s}.job WHERE ended_at < $1 ORDER BY ended_at LIMIT $2");
        let rows = tx.query(&sql, &[&before, &limit]).await?;
        let mut jobs: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
        jobs.sort_unstable();
        for column in ["attempt WHERE job", "retry WHERE job", "payload WHERE job", "job WHERE id"] {
            tx.execute(&format!("DELETE FROM {s}.{column} = ANY($1)"), &[&jobs]).await?;
        }
        let unused = format!(
            "DELETE FROM {s}.failure_mode WHERE fingerprint IN (SELECT fingerprint FROM {s}.failure_mode m WHERE last_at < $1
               AND NOT EXISTS (SELECT FROM {s}.attempt a WHERE a.fingerprint = m.fingerprint) LIMIT $2)"
        );
        tx.execute(&unused, &[&before, &MODES_PER_PRUNE]).await?;
        tx.commit().await?;
        Ok(jobs.len())
    }
}

/// The way that a URL leads.
fn way(url: &str) -> Result<Way, String> {
    let Address { mut config, tls, .. } = Address::read(url, &[], Tls::default())?;
    if config.get_application_name().is_none() {
        config.application_name("windlass archive");
    }
    Way::new(config, &tls)
}

/// A connection.
async fn session(way: &Way) -> Result<Client, Fault> {
    let (client, driver) = way.connect().await.map_err(Fault::Unreached)?;
    tokio::spawn(async move {
        if let Err(why) = driver.await {
            tracing::debug!(%why, "the archive's connection to PostgreSQL ended");
        }
    });
    client.batch_execute(SESSION).await?;
    Ok(client)
}

/// A connection that holds the archive's lock.
async fn connect(way: &Way, schema: &str, target: &str) -> Result<Client, Fault> {
    let client = session(way).await?;
    let key = format!("windlass_archive.{schema}");
    let locked = client.query_one("SELECT pg_try_advisory_lock(hashtextextended($1, 8))", &[&key]).await?;
    if locked.get(0) {
        Ok(client)
    } else {
        Err(Fault::Ours(ArchiveError::Held { target: target.to_owned() }))
    }
}

/// Makes the tables in a schema that has none; all of it, or nothing.
async fn prepare(
    client: &mut Client,
    schema: &str,
    target: &str,
    name: &str,
    now: Time,
) -> Result<Head, Fault> {
    let tx = client.transaction().await?;
    let kept = |table: &str| format!("{schema}.{table}");
    if found(&tx, schema, target).await?.is_none() {
        tx.batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS {schema}")).await?;
        tx.batch_execute(&TABLES.replace(&format!("{SCHEMA_DEFAULT}."), &kept(""))).await?;
        let sql = format!(
            "INSERT INTO {} (one, schema_version, name, id, made_at, events) VALUES (1, $1, $2, $3, $4, 0)",
            kept("archive")
        );
        let id = Uuid::now_v7().to_string();
        tx.execute(&sql, &[&FIRST_VERSION, &name, &id, &ms(now)]).await?;
    }
    let version = tx.query_one(&format!("SELECT schema_version FROM {}", kept("archive")), &[]).await?;
    let version: i64 = version.get(0);
    if version < SCHEMA_VERSION {
        tx.batch_execute(&VERSION_2.replace(&format!("{SCHEMA_DEFAULT}."), &kept(""))).await?;
        tx.execute(&format!("UPDATE {} SET schema_version = $1", kept("archive")), &[&SCHEMA_VERSION])
            .await?;
    }
    tx.batch_execute(&words(&kept(""))).await?;
    let head = head(&tx, schema).await?;
    tx.commit().await?;
    Ok(head)
}

/// What an archive says of itself, where there is one of a version that this program knows; none in an empty schema.
async fn found<C: GenericClient>(client: &C, schema: &str, target: &str) -> Result<Option<Head>, Fault> {
    let not_ours = || Fault::Ours(ArchiveError::NotAnArchive { target: target.to_owned() });
    let archive = format!("{schema}.archive");
    if !client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&archive]).await?.get::<_, bool>(0) {
        let sql = "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1)";
        let holds_others: bool = client.query_one(sql, &[&schema]).await?.get(0);
        return if holds_others { Err(not_ours()) } else { Ok(None) };
    }
    let version = client.query_opt(&format!("SELECT schema_version FROM {archive}"), &[]).await?;
    check_version(target, version.ok_or_else(not_ours)?.get(0)).map_err(Fault::Ours)?;
    Ok(Some(head(client, schema).await?))
}

async fn head<C: GenericClient>(client: &C, schema: &str) -> Result<Head, Fault> {
    let sql = format!("SELECT name, id, cursor, last_event_at FROM {schema}.archive");
    let row = client.query_one(&sql, &[]).await?;
    let cursor: Option<String> = row.get(2);
    let last: Option<i64> = row.get(3);
    Ok(Head {
        name: row.get(0),
        id: row.get(1),
        cursor: cursor.and_then(|cursor| cursor.parse().ok()),
        last_event_at: last.map(|at| Time(at.unsigned_abs())),
    })
}

async fn take_place(tx: &Transaction<'_>, s: &str, target: &str, batch: &Batch) -> Result<Place, Fault> {
    let text = |cursor: Option<Cursor>| cursor.map(|cursor| cursor.to_string());
    let sql = format!(
        "UPDATE {s}.archive SET cursor = $2, events = events + $3, last_event_at = coalesce($4, last_event_at)
         WHERE cursor IS NOT DISTINCT FROM $1"
    );
    let events = batch.rows.events.cast_signed();
    let last = batch.last_event_at.map(ms);
    if tx.execute(&sql, &[&text(batch.from), &text(batch.to), &events, &last]).await? == 1 {
        return Ok(Place::Taken);
    }
    let row = tx.query_one(&format!("SELECT cursor FROM {s}.archive"), &[]).await?;
    place_found(target, batch, row.get(0)).map_err(Fault::Ours)
}
