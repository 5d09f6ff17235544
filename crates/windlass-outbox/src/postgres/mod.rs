//! An outbox in PostgreSQL (13 and later): its tables, jobs enqueued in a transaction, and the relay's side of it.
//!
//! One relay at a time has a table, by an advisory lock of its session: the lock goes when the session does, however it
//! ends, and every step of the relay runs in that session. So a relay that lost the lock cannot take another step here.

mod link;
mod turn;

use crate::outbox::{Aside, Batch, Found, MOVED_AT_ONCE, Outbox, Refusal, Standing, TABLES_VERSION, Turn};
use crate::row::{Row, RowOptions};
use crate::table::Table;
use link::{Link, failed};
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_postgres::GenericClient;
use tokio_postgres::types::{ToSql, Type};
use windlass_core::store::StoreFuture;
use windlass_core::{JobId, NewJob, Rejection, StoreError, Time};
use windlass_pg::{Address, Tls, Way};

const SCHEMA: &str = include_str!("schema.sql");
const DOORBELL: &str = include_str!("doorbell.sql");
/// The first half of the advisory lock's key; the second is the table's own number.
const LOCK: i32 = 0x77_6c_6f_62;

/// The SQL that makes the tables and functions, and the optional doorbell. It may be run again.
pub fn schema(table: &Table, doorbell: bool) -> String {
    table.sql(SCHEMA) + &if doorbell { table.sql(DOORBELL) } else { String::new() }
}

/// Inserts jobs into the outbox within the caller's transaction: each exists if and only if the transaction commits.
///
/// What the contract refuses of a job by itself is refused here; what the queue's state refuses is found by the relay.
///
/// # Errors
/// [`Rejection::Invalid`] of the first job that breaks a bound, with nothing inserted; what the server says, with the
/// transaction aborted.
pub async fn enqueue_in<C: GenericClient>(
    transaction: &C,
    table: &Table,
    jobs: &[NewJob],
) -> Result<Result<(), Rejection>, StoreError> {
    let here = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Time(u64::try_from(here.as_millis()).unwrap_or(u64::MAX));
    if let Some(why) = jobs.iter().find_map(|job| job.validate(now).err()) {
        return Ok(Err(why));
    }
    let ids: Vec<String> = jobs.iter().map(|job| job.id.to_string()).collect();
    let queues: Vec<&str> = jobs.iter().map(|job| job.queue.as_str()).collect();
    let kinds: Vec<&str> = jobs.iter().map(|job| job.kind.as_str()).collect();
    let payloads: Vec<&[u8]> = jobs.iter().map(|job| job.payload.as_slice()).collect();
    let options: Vec<String> = jobs.iter().map(RowOptions::of).collect();
    let sql = table.sql(
        "INSERT INTO windlass_outbox (id, queue, kind, payload_bytes, options)
         SELECT i::uuid, q, k, p, o::jsonb FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[])
         WITH ORDINALITY AS u (i, q, k, p, o, n) ORDER BY n",
    );
    let params: [(&(dyn ToSql + Sync), Type); 5] = [
        (&ids, Type::TEXT_ARRAY),
        (&queues, Type::TEXT_ARRAY),
        (&kinds, Type::TEXT_ARRAY),
        (&payloads, Type::BYTEA_ARRAY),
        (&options, Type::TEXT_ARRAY),
    ];
    transaction
        .query_typed(&sql, &params)
        .await
        .map_err(|why| failed("enqueue", "the outbox's database", &why))?;
    Ok(Ok(()))
}

/// An outbox in a PostgreSQL database, for a relay or for people.
pub struct PostgresOutbox {
    way: Way,
    /// Where the way leads, for people.
    url: String,
    table: Table,
    link: Option<Link>,
    /// Whether this session has the table.
    owns: bool,
}

impl PostgresOutbox {
    /// The outbox of that table at `postgres://user@host/database`. The address must lead to the server itself, not to a
    /// pooler in transaction mode: the table is held by a session. Nothing is connected yet.
    ///
    /// # Errors
    /// [`StoreError`] when the address makes no sense.
    pub fn new(url: &str, table: Table) -> Result<Self, StoreError> {
        let refused = |why: String| StoreError::refused("open", why);
        let Address { mut config, tls, .. } = Address::read(url, &[], Tls::default()).map_err(refused)?;
        if config.get_application_name().is_none() {
            config.application_name("windlass outbox");
        }
        let url = link::url_of(&config);
        let way = Way::new(config, &tls).map_err(refused)?;
        Ok(Self { way, url, table, link: None, owns: false })
    }

    /// The session, made if there is none; never one with a database that has no such table.
    async fn link(&mut self) -> Result<&mut Link, StoreError> {
        if self.link.as_ref().is_none_or(Link::is_closed) {
            self.owns = false;
            let mut link = Link::open(&self.way, &self.url).await?;
            let sql = self.table.sql("SELECT to_regclass('windlass_outbox_relay')::text");
            let known = link.query("open", &sql, &[]).await?;
            if known.first().is_none_or(|row| row.get::<_, Option<String>>(0).is_none()) {
                let (make, url) = (self.table.command("postgres"), &self.url);
                let why =
                    format!("there is no table {} in {url}; make it: {make} | psql '{url}'", self.table);
                return Err(StoreError::refused("open", why));
            }
            self.link = Some(link);
        }
        self.link.as_mut().ok_or_else(|| StoreError::stopped("open", "no session"))
    }

    /// The session that has the table.
    fn own(&mut self) -> Result<(&mut Link, &Table), StoreError> {
        match (&mut self.link, self.owns) {
            (Some(link), true) => Ok((link, &self.table)),
            _ => Err(link::lost("relay", "the table is not held by this session".into())),
        }
    }

    async fn take_over_inner(&mut self) -> Result<Option<Found>, StoreError> {
        // A session that had the table gives it up with its end, and with it whatever was under way in it.
        self.link = None;
        let table = self.table.clone();
        let link = self.link().await?;
        let sql = "SELECT pg_try_advisory_lock($1, 'windlass_outbox'::regclass::oid::int)";
        let got = link.query("open", &table.sql(sql), &[(&LOCK, Type::INT4)]).await?;
        if !got.first().is_some_and(|row| row.get(0)) {
            return Ok(None);
        }
        let sql = table.sql("SELECT version, source::text FROM windlass_outbox_relay");
        let own = link.query("open", &sql, &[]).await?;
        let Some(own) = own.first() else {
            return Err(StoreError::refused(
                "open",
                "the table has no row about itself; run its schema again",
            ));
        };
        let version: i64 = own.get(0);
        if version != TABLES_VERSION {
            let why = format!("the tables have version {version}, and this program knows {TABLES_VERSION}");
            return Err(StoreError::refused("open", why));
        }
        link.execute(&table.sql("LISTEN windlass_outbox")).await?;
        let sql = "SELECT number, fence::text, seqs FROM windlass_outbox_batch ORDER BY number";
        let rows = link.query("open", &table.sql(sql), &[]).await?;
        let begun = rows
            .iter()
            .map(|row| {
                let fence: String = row.get(1);
                Ok(Batch { number: row.get(0), fence: fence.parse()?, seqs: row.get(2) })
            })
            .collect::<Result<_, Rejection>>()
            .map_err(|why| StoreError::refused("open", why.to_string()))?;
        let source = own.get(1);
        self.owns = true;
        Ok(Some(Found { source, begun }))
    }

    async fn standing_inner(&mut self) -> Result<Standing, StoreError> {
        let sql = self.table.sql(
            "SELECT (SELECT count(*) FROM windlass_outbox),
                    (SELECT (extract(epoch FROM created_at) * 1000)::bigint FROM windlass_outbox ORDER BY seq LIMIT 1),
                    (SELECT count(*) FROM windlass_outbox_aside WHERE state = 'refused'),
                    (SELECT count(*) FROM windlass_outbox_aside WHERE state = 'held'),
                    (SELECT count(*) FROM windlass_outbox_aside WHERE state = 'sent'),
                    (SELECT coalesce(sum(cardinality(seqs)), 0)::bigint FROM windlass_outbox_batch),
                    EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid = $1::int::oid
                      AND objid = 'windlass_outbox'::regclass AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
        );
        let rows = self.link().await?.query("status", &sql, &[(&LOCK, Type::INT4)]).await?;
        let Some(row) = rows.first() else { return Ok(Standing::default()) };
        let count = |i: usize| u64::try_from(row.get::<_, i64>(i)).unwrap_or(0);
        let oldest: Option<i64> = row.get(1);
        Ok(Standing {
            waiting: count(0),
            oldest: oldest.map(link::time),
            refused: count(2),
            held: count(3),
            sent: count(4),
            under_way: count(5),
            relay: row.get(6),
        })
    }

    async fn refused_inner(&mut self, limit: usize) -> Result<Vec<Aside>, StoreError> {
        let sql = self.table.sql(
            "SELECT seq, id::text, state, queue, kind, options->>'group', code, reason, (extract(epoch FROM at) * 1000)::bigint
             FROM windlass_outbox_aside WHERE state = 'refused' ORDER BY seq LIMIT $1",
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.link().await?.query("status", &sql, &[(&limit, Type::INT8)]).await?;
        let aside = rows.iter().map(|row| Aside {
            seq: row.get(0),
            id: row.get(1),
            state: row.get(2),
            queue: row.get(3),
            kind: row.get(4),
            group: row.get(5),
            code: row.get(6),
            reason: row.get(7),
            at: link::time(row.get(8)),
        });
        Ok(aside.collect())
    }

    async fn retry_inner(&mut self, seqs: Option<Vec<i64>>) -> Result<u64, StoreError> {
        let sql = self.table.sql(
            "WITH chosen AS (DELETE FROM windlass_outbox_aside WHERE state = 'refused' AND ($1::bigint[] IS NULL OR seq = ANY($1)) RETURNING *),
             back AS (INSERT INTO windlass_outbox (seq, id, queue, kind, payload, payload_bytes, options, created_at)
               OVERRIDING SYSTEM VALUE SELECT seq, id, queue, kind, payload, payload_bytes, options, created_at FROM chosen RETURNING 1)
             SELECT count(*) FROM back",
        );
        let rows = self.link().await?.query("retry", &sql, &[(&seqs, Type::INT8_ARRAY)]).await?;
        Ok(rows.first().map_or(0, |row| u64::try_from(row.get::<_, i64>(0)).unwrap_or(0)))
    }
}

impl Outbox for PostgresOutbox {
    fn take_over(&mut self) -> StoreFuture<'_, Option<Found>> {
        Box::pin(self.take_over_inner())
    }

    fn turn(&mut self, turn: Turn) -> StoreFuture<'_, Option<(Batch, Vec<Row>)>> {
        Box::pin(async move {
            let (link, table) = self.own()?;
            turn::turn(link, table, turn).await
        })
    }

    fn amend(
        &mut self,
        batch: Batch,
        refused: Vec<Refusal>,
        left: Vec<i64>,
        fence: JobId,
    ) -> StoreFuture<'_, Option<Batch>> {
        Box::pin(async move {
            let (link, table) = self.own()?;
            turn::amend(link, table, batch, refused, left, fence).await
        })
    }

    fn waits(&mut self, ids: Vec<JobId>) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let (link, table) = self.own()?;
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            let sql =
                table.sql("SELECT EXISTS (SELECT FROM windlass_outbox WHERE id = ANY($1::text[]::uuid[]))");
            let rows = link.query("relay", &sql, &[(&ids, Type::TEXT_ARRAY)]).await?;
            Ok(rows.first().is_some_and(|row| row.get(0)))
        })
    }

    fn trim(&mut self, keep: Duration) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let (link, table) = self.own()?;
            let sql = table.sql(
                "DELETE FROM windlass_outbox_aside WHERE seq IN (SELECT seq FROM windlass_outbox_aside
                 WHERE state = 'sent' AND at < clock_timestamp() - make_interval(secs => $1) ORDER BY seq LIMIT $2)",
            );
            let params: [link::Param<'_>; 2] =
                [(&keep.as_secs_f64(), Type::FLOAT8), (&MOVED_AT_ONCE, Type::INT8)];
            link.query("trim", &sql, &params).await.map(drop)
        })
    }

    fn doorbell(&mut self, at_most: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            match &self.link {
                Some(link) => link.rung(at_most).await,
                None => tokio::time::sleep(at_most).await,
            }
        })
    }

    fn standing(&mut self) -> StoreFuture<'_, Standing> {
        Box::pin(self.standing_inner())
    }

    fn refused(&mut self, limit: usize) -> StoreFuture<'_, Vec<Aside>> {
        Box::pin(self.refused_inner(limit))
    }

    fn retry(&mut self, seqs: Option<Vec<i64>>) -> StoreFuture<'_, u64> {
        Box::pin(self.retry_inner(seqs))
    }
}
