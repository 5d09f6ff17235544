//! The relay's steps in the database, each one transaction.
//!
//! A fault in the middle leaves the session in an open transaction; the relay then gives the session up, and the server
//! rolls back.

use super::link::{Link, Param, time};
use crate::outbox::{Batch, Refusal, Turn};
use crate::row::Row;
use crate::table::Table;
use std::collections::HashSet;
use tokio_postgres::types::Type;
use windlass_core::bounds::PAYLOAD_BYTES_MAX;
use windlass_core::{JobId, StoreError};

const DELETE: &str = "DELETE FROM windlass_outbox WHERE seq = ANY($1)";
const END: &str = "DELETE FROM windlass_outbox_batch WHERE number = ANY($1)";
const BEGIN: &str =
    "INSERT INTO windlass_outbox_batch (fence, seqs) VALUES ($1::text::uuid, $2) RETURNING number";

/// Rows set aside with their state, code, reason, and whether they shut their group.
const SET_ASIDE: &str = "
WITH why AS (SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bool[]) AS w (seq, state, code, reason, shuts)),
gone AS (DELETE FROM windlass_outbox o USING why WHERE o.seq = why.seq RETURNING o.*, why.state, why.code, why.reason, why.shuts)
INSERT INTO windlass_outbox_aside (seq, id, queue, kind, payload, payload_bytes, options, created_at, state, code, reason, shuts)
SELECT seq, id, queue, kind, payload, payload_bytes, options, created_at, state, code, reason, shuts FROM gone";

/// Groups that a refused row has shut; whether any row is held.
const SHUT: &str = "
SELECT DISTINCT queue, options->>'group' FROM windlass_outbox_aside WHERE state = 'refused' AND shuts
UNION ALL SELECT NULL, NULL WHERE EXISTS (SELECT FROM windlass_outbox_aside WHERE state = 'held')";

/// Rows whose group is open again come back with their places.
const OPEN: &str = "
WITH freed AS (DELETE FROM windlass_outbox_aside a WHERE state = 'held' AND NOT EXISTS (
  SELECT FROM windlass_outbox_aside r WHERE r.state = 'refused' AND r.shuts AND r.queue = a.queue AND r.options->>'group' = a.options->>'group') RETURNING *)
INSERT INTO windlass_outbox (seq, id, queue, kind, payload, payload_bytes, options, created_at)
OVERRIDING SYSTEM VALUE SELECT seq, id, queue, kind, payload, payload_bytes, options, created_at FROM freed";

/// The first rows that are free to go. The bytes of a large JSON value are those of its text; a small one's are close
/// enough. A payload that no job may have stays where it is.
const PICK: &str = "
WITH head AS (
  SELECT seq, CASE WHEN payload_bytes IS NOT NULL THEN octet_length(payload_bytes)
    WHEN pg_column_size(payload) < 1000 THEN pg_column_size(payload) ELSE octet_length(payload::text) END::bigint AS bytes
  FROM windlass_outbox o WHERE queue <> ALL($1::text[]) AND NOT EXISTS (SELECT FROM unnest($2::bigint[]) u (seq) WHERE u.seq = o.seq)
  ORDER BY seq LIMIT $3),
sized AS (SELECT seq, bytes, sum(bytes) OVER (ORDER BY seq) - bytes AS before FROM head)
SELECT o.seq, o.id::text, o.queue, o.kind, CASE WHEN bytes <= $5 THEN coalesce(o.payload_bytes, convert_to(o.payload::text, 'UTF8')) END,
  bytes, o.options::text, (extract(epoch FROM o.created_at) * 1000)::bigint, o.options->>'group'
FROM sized JOIN windlass_outbox o USING (seq) WHERE before < $4 ORDER BY o.seq";

/// A row that is on its way aside.
struct Gone {
    seq: i64,
    state: &'static str,
    refusal: Option<Refusal>,
}

async fn set_aside(link: &mut Link, table: &Table, gone: Vec<Gone>) -> Result<(), StoreError> {
    if gone.is_empty() {
        return Ok(());
    }
    let seqs: Vec<i64> = gone.iter().map(|one| one.seq).collect();
    let states: Vec<&str> = gone.iter().map(|one| one.state).collect();
    let codes: Vec<Option<&str>> = gone.iter().map(|one| one.refusal.as_ref().map(|why| why.code)).collect();
    let reasons: Vec<Option<String>> =
        gone.iter().map(|one| one.refusal.as_ref().map(|why| without_nul(&why.reason))).collect();
    let shuts: Vec<bool> = gone.iter().map(|one| one.refusal.as_ref().is_some_and(|why| why.shuts)).collect();
    let params: [Param<'_>; 5] = [
        (&seqs, Type::INT8_ARRAY),
        (&states, Type::TEXT_ARRAY),
        (&codes, Type::TEXT_ARRAY),
        (&reasons, Type::TEXT_ARRAY),
        (&shuts, Type::BOOL_ARRAY),
    ];
    link.query("relay", &table.sql(SET_ASIDE), &params).await.map(drop)
}

/// The server's text holds anything but this.
fn without_nul(text: &str) -> String {
    text.replace('\0', "")
}

async fn record(
    link: &mut Link,
    table: &Table,
    fence: JobId,
    seqs: Vec<i64>,
) -> Result<Option<Batch>, StoreError> {
    if seqs.is_empty() {
        return Ok(None);
    }
    let params: [Param<'_>; 2] = [(&fence.to_string(), Type::TEXT), (&seqs, Type::INT8_ARRAY)];
    let rows = link.query("relay", &table.sql(BEGIN), &params).await?;
    let number = rows.first().map(|row| row.get(0)).unwrap_or_default();
    Ok(Some(Batch { number, fence, seqs }))
}

/// See [`crate::outbox::Outbox::turn`].
pub(super) async fn turn(
    link: &mut Link,
    table: &Table,
    turn: Turn,
) -> Result<Option<(Batch, Vec<Row>)>, StoreError> {
    link.execute("BEGIN").await?;
    if !turn.done.is_empty() {
        let numbers: Vec<i64> = turn.done.iter().map(|batch| batch.number).collect();
        let seqs: Vec<i64> = turn.done.iter().flat_map(|batch| batch.seqs.iter().copied()).collect();
        if turn.keep {
            let sent = |seq| Gone { seq, state: "sent", refusal: None };
            set_aside(link, table, seqs.into_iter().map(sent).collect()).await?;
        } else {
            link.query("relay", &table.sql(DELETE), &[(&seqs, Type::INT8_ARRAY)]).await?;
        }
        link.query("relay", &table.sql(END), &[(&numbers, Type::INT8_ARRAY)]).await?;
    }
    let begun = if turn.rows > 0 { begin(link, table, &turn).await? } else { None };
    link.execute("COMMIT").await?;
    Ok(begun)
}

/// The next batch: the first rows that are free to go and in no group that is shut.
async fn begin(link: &mut Link, table: &Table, turn: &Turn) -> Result<Option<(Batch, Vec<Row>)>, StoreError> {
    let shut = open_groups(link, table).await?;
    loop {
        let picked = pick(link, table, turn).await?;
        if picked.is_empty() {
            return Ok(None);
        }
        let is_shut =
            |(row, group): &(Row, Option<String>)| shut.contains(&(row.queue.clone(), group.clone()));
        let (held, free): (Vec<_>, Vec<_>) = picked.into_iter().partition(is_shut);
        let held = held.into_iter().map(|(row, _)| Gone { seq: row.seq, state: "held", refusal: None });
        set_aside(link, table, held.collect()).await?;
        let rows: Vec<Row> = free.into_iter().map(|(row, _)| row).collect();
        let seqs = rows.iter().map(|row| row.seq).collect();
        if let Some(batch) = record(link, table, turn.fence, seqs).await? {
            return Ok(Some((batch, rows)));
        }
    }
}

/// The first rows that are free to go, each with its group.
async fn pick(link: &mut Link, table: &Table, turn: &Turn) -> Result<Vec<(Row, Option<String>)>, StoreError> {
    let limit = i64::try_from(turn.rows).unwrap_or(i64::MAX);
    let bytes = i64::try_from(turn.bytes).unwrap_or(i64::MAX);
    let most = i64::try_from(PAYLOAD_BYTES_MAX).unwrap_or(i64::MAX);
    let params: [Param<'_>; 5] = [
        (&turn.full, Type::TEXT_ARRAY),
        (&turn.under_way, Type::INT8_ARRAY),
        (&limit, Type::INT8),
        (&bytes, Type::INT8),
        (&most, Type::INT8),
    ];
    let picked = link.query("relay", &table.sql(PICK), &params).await?;
    let read = |row: &tokio_postgres::Row| {
        let read = Row {
            seq: row.get(0),
            id: row.get(1),
            queue: row.get(2),
            kind: row.get(3),
            payload: row.get(4),
            bytes: u64::try_from(row.get::<_, i64>(5)).unwrap_or(0),
            options: row.get(6),
            created_at: time(row.get(7)),
        };
        (read, row.get(8))
    };
    Ok(picked.iter().map(read).collect())
}

/// The groups that are shut; rows held for one that is open again come back first.
async fn open_groups(
    link: &mut Link,
    table: &Table,
) -> Result<HashSet<(String, Option<String>)>, StoreError> {
    let rows = link.query("relay", &table.sql(SHUT), &[]).await?;
    let mut any_held = false;
    let mut shut = HashSet::new();
    for row in rows {
        match row.get::<_, Option<String>>(0) {
            Some(queue) => drop(shut.insert((queue, row.get(1)))),
            None => any_held = true,
        }
    }
    if any_held {
        link.query("relay", &table.sql(OPEN), &[]).await?;
    }
    Ok(shut)
}

/// See [`crate::outbox::Outbox::amend`].
pub(super) async fn amend(
    link: &mut Link,
    table: &Table,
    batch: Batch,
    refused: Vec<Refusal>,
    left: Vec<i64>,
    fence: JobId,
) -> Result<Option<Batch>, StoreError> {
    link.execute("BEGIN").await?;
    link.query("relay", &table.sql(END), &[(&vec![batch.number], Type::INT8_ARRAY)]).await?;
    let refused = refused.into_iter().map(|why| Gone { seq: why.seq, state: "refused", refusal: Some(why) });
    set_aside(link, table, refused.collect()).await?;
    let begun = record(link, table, fence, left).await?;
    link.execute("COMMIT").await?;
    Ok(begun)
}
