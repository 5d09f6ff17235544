//! The relay's steps in the file, each one transaction that is rolled back by any fault.

use super::{failed, wall};
use crate::outbox::{Aside, Batch, MOVED_AT_ONCE, Refusal, Standing, Turn};
use crate::row::Row;
use crate::table::Table;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use std::collections::HashSet;
use std::time::Duration;
use windlass_core::bounds::PAYLOAD_BYTES_MAX;
use windlass_core::{JobId, StoreError, Time};

const COLUMNS: &str = "seq, id, queue, kind, payload, options, created_at";

/// The first rows that are free to go, with the bytes that stand before each.
const PICK: &str = "
SELECT seq, id, queue, kind, CASE WHEN bytes <= ?4 THEN payload END, bytes, options, created_at, before FROM (
  SELECT *, sum(bytes) OVER (ORDER BY seq) - bytes AS before FROM (
    SELECT *, length(CAST(payload AS BLOB)) AS bytes FROM windlass_outbox
    WHERE queue NOT IN (SELECT value FROM json_each(?1)) AND seq NOT IN (SELECT value FROM json_each(?2))
    ORDER BY seq LIMIT ?3))
WHERE before < ?5 ORDER BY seq";

type Done<T> = rusqlite::Result<T>;

fn json<T: serde::Serialize>(values: &T) -> String {
    serde_json::to_string(values).expect("plain values always serialise")
}

/// One transaction, durable when it answers.
fn whole<T>(
    connection: &mut Connection,
    operation: &'static str,
    step: impl FnOnce(&Transaction<'_>) -> Done<T>,
) -> Result<T, StoreError> {
    let run = |connection: &mut Connection| {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let answer = step(&transaction)?;
        transaction.commit().map(|()| answer)
    };
    run(connection).map_err(|why| failed(operation, &why))
}

/// See [`crate::outbox::Outbox::turn`].
pub(super) fn turn(
    connection: &mut Connection,
    table: &Table,
    turn: &Turn,
) -> Result<Option<(Batch, Vec<Row>)>, StoreError> {
    if turn.done.is_empty() && turn.rows > 0 && is_empty(connection, table)? {
        // Nothing to end and nothing to begin: a write would only disturb others.
        return Ok(None);
    }
    whole(connection, "relay", |t| {
        end(t, table, turn)?;
        if turn.rows == 0 {
            return Ok(None);
        }
        let shut = open_groups(t, table)?;
        loop {
            let picked = pick(t, table, turn)?;
            if picked.is_empty() {
                return Ok(None);
            }
            let is_shut = |row: &Row| {
                let group = row.group().map(|group| group.as_str().to_owned());
                !shut.is_empty() && shut.contains(&(row.queue.clone(), group))
            };
            let (held, rows): (Vec<Row>, Vec<Row>) = picked.into_iter().partition(is_shut);
            for row in held {
                set_aside(t, table, row.seq, "held", None)?;
            }
            let seqs = rows.iter().map(|row| row.seq).collect();
            if let Some(batch) = record(t, table, turn.fence, seqs)? {
                return Ok(Some((batch, rows)));
            }
        }
    })
}

/// Whether no row waits and none is held.
fn is_empty(connection: &Connection, table: &Table) -> Result<bool, StoreError> {
    let sql = table.sql(
        "SELECT NOT EXISTS (SELECT 1 FROM windlass_outbox) AND NOT EXISTS (SELECT 1 FROM windlass_outbox_aside WHERE state = 'held')",
    );
    connection.query_row(&sql, [], |row| row.get(0)).map_err(|why| failed("relay", &why))
}

fn end(t: &Transaction<'_>, table: &Table, turn: &Turn) -> Done<()> {
    for batch in &turn.done {
        if turn.keep {
            batch.seqs.iter().try_for_each(|seq| set_aside(t, table, *seq, "sent", None))?;
        } else {
            let sql = "DELETE FROM windlass_outbox WHERE seq IN (SELECT value FROM json_each(?1))";
            t.prepare_cached(&table.sql(sql))?.execute([json(&batch.seqs)])?;
        }
        t.prepare_cached(&table.sql("DELETE FROM windlass_outbox_batch WHERE number = ?1"))?
            .execute([batch.number])?;
    }
    Ok(())
}

fn set_aside(t: &Transaction<'_>, table: &Table, seq: i64, state: &str, why: Option<&Refusal>) -> Done<()> {
    let sql = format!(
        "INSERT INTO windlass_outbox_aside ({COLUMNS}, state, code, reason, shuts)
         SELECT {COLUMNS}, ?2, ?3, ?4, ?5 FROM windlass_outbox WHERE seq = ?1"
    );
    let (code, reason) = (why.map(|why| why.code), why.map(|why| why.reason.as_str()));
    let shuts = why.is_some_and(|why| why.shuts);
    t.prepare_cached(&table.sql(&sql))?.execute(params![seq, state, code, reason, shuts])?;
    t.prepare_cached(&table.sql("DELETE FROM windlass_outbox WHERE seq = ?1"))?.execute([seq])?;
    Ok(())
}

/// The groups that a refused row has shut; rows held for one that is open again come back first, with their places.
fn open_groups(t: &Transaction<'_>, table: &Table) -> Done<HashSet<(String, Option<String>)>> {
    let open = "seq IN (SELECT a.seq FROM windlass_outbox_aside a WHERE a.state = 'held' AND NOT EXISTS (
        SELECT 1 FROM windlass_outbox_aside r WHERE r.state = 'refused' AND r.shuts AND r.queue = a.queue
        AND CASE WHEN json_valid(r.options) THEN r.options ->> '$.group' END = a.options ->> '$.group'))";
    let held: bool = t
        .prepare_cached(
            &table.sql("SELECT EXISTS (SELECT 1 FROM windlass_outbox_aside WHERE state = 'held')"),
        )?
        .query_row([], |row| row.get(0))?;
    if held {
        let back = format!(
            "INSERT INTO windlass_outbox ({COLUMNS}) SELECT {COLUMNS} FROM windlass_outbox_aside WHERE {open}"
        );
        t.prepare_cached(&table.sql(&back))?.execute([])?;
        let gone = "DELETE FROM windlass_outbox_aside WHERE state = 'held' AND seq IN (SELECT seq FROM windlass_outbox)";
        t.prepare_cached(&table.sql(gone))?.execute([])?;
    }
    let sql = "SELECT DISTINCT queue, options ->> '$.group' FROM windlass_outbox_aside WHERE state = 'refused' AND shuts";
    let mut statement = t.prepare_cached(&table.sql(sql))?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// The first rows that are free to go.
fn pick(t: &Transaction<'_>, table: &Table, turn: &Turn) -> Done<Vec<Row>> {
    let mut statement = t.prepare_cached(&table.sql(PICK))?;
    let values = params![
        json(&turn.full),
        json(&turn.under_way),
        i64::try_from(turn.rows).unwrap_or(i64::MAX),
        i64::try_from(PAYLOAD_BYTES_MAX).unwrap_or(i64::MAX),
        i64::try_from(turn.bytes).unwrap_or(i64::MAX)
    ];
    let rows = statement.query_map(values, |row| {
        // A column without a type holds what was put there: text is its bytes, and so is a number.
        let payload = match row.get_ref(4)? {
            ValueRef::Null => None,
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.to_vec()),
            ValueRef::Integer(number) => Some(number.to_string().into_bytes()),
            ValueRef::Real(number) => Some(number.to_string().into_bytes()),
        };
        Ok(Row {
            seq: row.get(0)?,
            id: row.get(1)?,
            queue: row.get(2)?,
            kind: row.get(3)?,
            payload,
            bytes: u64::try_from(row.get::<_, i64>(5)?).unwrap_or(0),
            options: row.get(6)?,
            created_at: Time(u64::try_from(row.get::<_, i64>(7)?).unwrap_or(0)),
        })
    })?;
    rows.collect()
}

fn record(t: &Transaction<'_>, table: &Table, fence: JobId, seqs: Vec<i64>) -> Done<Option<Batch>> {
    if seqs.is_empty() {
        return Ok(None);
    }
    let sql = "INSERT INTO windlass_outbox_batch (fence, seqs) VALUES (?1, ?2)";
    t.prepare_cached(&table.sql(sql))?.execute(params![fence.to_string(), json(&seqs)])?;
    Ok(Some(Batch { number: t.last_insert_rowid(), fence, seqs }))
}

/// See [`crate::outbox::Outbox::amend`].
pub(super) fn amend(
    connection: &mut Connection,
    table: &Table,
    batch: &Batch,
    refused: &[Refusal],
    left: Vec<i64>,
    fence: JobId,
) -> Result<Option<Batch>, StoreError> {
    whole(connection, "relay", |t| {
        let sql = table.sql("DELETE FROM windlass_outbox_batch WHERE number = ?1");
        t.prepare_cached(&sql)?.execute([batch.number])?;
        for why in refused {
            set_aside(t, table, why.seq, "refused", Some(why))?;
        }
        record(t, table, fence, left)
    })
}

/// See [`crate::outbox::Outbox::trim`].
pub(super) fn trim(connection: &mut Connection, table: &Table, keep: Duration) -> Result<(), StoreError> {
    let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
    let before = i64::try_from(wall().minus_ms(keep_ms).0).unwrap_or(i64::MAX);
    let sql = "DELETE FROM windlass_outbox_aside WHERE seq IN (
        SELECT seq FROM windlass_outbox_aside WHERE state = 'sent' AND at < ?1 ORDER BY seq LIMIT ?2)";
    whole(connection, "trim", |t| t.execute(&table.sql(sql), params![before, MOVED_AT_ONCE]).map(drop))
}

/// See [`crate::outbox::Outbox::standing`].
pub(super) fn standing(connection: &Connection, table: &Table, relay: bool) -> Result<Standing, StoreError> {
    let sql = table.sql(
        "SELECT (SELECT count(*) FROM windlass_outbox),
                (SELECT created_at FROM windlass_outbox ORDER BY seq LIMIT 1),
                (SELECT count(*) FROM windlass_outbox_aside WHERE state = 'refused'),
                (SELECT count(*) FROM windlass_outbox_aside WHERE state = 'held'),
                (SELECT count(*) FROM windlass_outbox_aside WHERE state = 'sent'),
                (SELECT coalesce(sum(json_array_length(seqs)), 0) FROM windlass_outbox_batch)",
    );
    let read = connection.query_row(&sql, [], |row| {
        let count = |i: usize| row.get::<_, i64>(i).map(|n| u64::try_from(n).unwrap_or(0));
        let oldest: Option<i64> = row.get(1)?;
        Ok(Standing {
            waiting: count(0)?,
            oldest: oldest.map(|ms| Time(u64::try_from(ms).unwrap_or(0))),
            refused: count(2)?,
            held: count(3)?,
            sent: count(4)?,
            under_way: count(5)?,
            relay,
        })
    });
    read.map_err(|why| failed("status", &why))
}

/// See [`crate::outbox::Outbox::refused`].
pub(super) fn refused(
    connection: &Connection,
    table: &Table,
    limit: usize,
) -> Result<Vec<Aside>, StoreError> {
    // Options that are no JSON are one of the reasons to be refused.
    let sql = table.sql(
        "SELECT seq, id, state, queue, kind, CASE WHEN json_valid(options) THEN options ->> '$.group' END, code, reason, at
         FROM windlass_outbox_aside WHERE state = 'refused' ORDER BY seq LIMIT ?1",
    );
    let read = || -> Done<Vec<Aside>> {
        let mut statement = connection.prepare(&sql)?;
        let rows = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            Ok(Aside {
                seq: row.get(0)?,
                id: row.get(1)?,
                state: row.get(2)?,
                queue: row.get(3)?,
                kind: row.get(4)?,
                group: row.get(5)?,
                code: row.get(6)?,
                reason: row.get(7)?,
                at: Time(u64::try_from(row.get::<_, i64>(8)?).unwrap_or(0)),
            })
        })?;
        rows.collect()
    };
    read().map_err(|why| failed("status", &why))
}

/// See [`crate::outbox::Outbox::retry`].
pub(super) fn retry(
    connection: &mut Connection,
    table: &Table,
    seqs: Option<Vec<i64>>,
) -> Result<u64, StoreError> {
    whole(connection, "retry", |t| {
        let named = "state = 'refused' AND (?1 IS NULL OR seq IN (SELECT value FROM json_each(?1)))";
        let seqs = seqs.as_ref().map(json);
        let back = format!(
            "INSERT INTO windlass_outbox ({COLUMNS}) SELECT {COLUMNS} FROM windlass_outbox_aside WHERE {named}"
        );
        let moved = t.execute(&table.sql(&back), [&seqs])?;
        t.execute(&table.sql(&format!("DELETE FROM windlass_outbox_aside WHERE {named}")), [&seqs])?;
        Ok(moved as u64)
    })
}
