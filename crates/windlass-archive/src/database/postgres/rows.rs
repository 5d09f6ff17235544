//! The rows of a batch as statements: each column one array, some thousand rows a round trip.

use std::collections::{HashMap, HashSet};

use tokio_postgres::Transaction;
use uuid::Uuid;
use windlass_core::JobId;

use super::Fault;
use crate::batch::Batch;
use crate::database::merge::{
    ATTEMPT_COLUMNS, ATTEMPT_MERGE, GAP_MERGE, JOB_COLUMNS, JOB_MERGE, MODE_MERGE, PAYLOAD_COLUMNS,
    PAYLOAD_MERGE,
};
use crate::database::ms;
use crate::fold::{AttemptRow, Body, BodyRow, JobRow, Rows};

/// Learns the numbers of names, giving new ones to those that have none; the store bounds how many there are.
pub(super) async fn number(
    tx: &Transaction<'_>,
    s: &str,
    table: &str,
    names: impl Iterator<Item = &str>,
    known: &mut HashMap<String, i32>,
) -> Result<(), Fault> {
    let new: HashSet<&str> = names.filter(|name| !known.contains_key(*name)).collect();
    if new.is_empty() {
        return Ok(());
    }
    let new: Vec<&str> = new.into_iter().collect();
    let make = format!("INSERT INTO {s}.{table} (name) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING");
    tx.execute(&make, &[&new]).await?;
    let rows = tx.query(&format!("SELECT name, id FROM {s}.{table} WHERE name = ANY($1)"), &[&new]).await?;
    known.extend(rows.iter().map(|row| (row.get(0), row.get(1))));
    Ok(())
}

/// What the generation before came to is in the table until the job's row is written.
pub(super) async fn write_retries(tx: &Transaction<'_>, s: &str, rows: &Rows) -> Result<(), Fault> {
    if rows.retries.is_empty() {
        return Ok(());
    }
    let all = &rows.retries;
    let sql = format!(
        "INSERT INTO {s}.retry (job, place, place_index, at, attempt, was_at, was_event, was_cause)
         SELECT r.job, r.place, r.place_index, r.at, r.attempt,
                CASE WHEN r.was_event IS NULL THEN j.last_at ELSE r.was_at END,
                coalesce(r.was_event, j.last_event),
                CASE WHEN r.was_event IS NULL THEN j.last_cause ELSE r.was_cause END
         FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::integer[], $6::bigint[], $7::smallint[], $8::smallint[])
           AS r (job, place, place_index, at, attempt, was_at, was_event, was_cause)
         LEFT JOIN {s}.job j ON j.id = r.job
         ON CONFLICT DO NOTHING"
    );
    let jobs: Vec<Uuid> = all.iter().map(|row| id(row.job)).collect();
    let places: Vec<i64> = all.iter().map(|row| row.cursor.place.cast_signed()).collect();
    let indexes: Vec<i64> = all.iter().map(|row| i64::from(row.cursor.index)).collect();
    let ats: Vec<i64> = all.iter().map(|row| ms(row.at)).collect();
    let attempts: Vec<i32> = all.iter().map(|row| row.attempt.cast_signed()).collect();
    let was_ats: Vec<Option<i64>> = all.iter().map(|row| row.was.map(|was| ms(was.at))).collect();
    let was_events: Vec<Option<i16>> = all.iter().map(|row| row.was.map(|was| was.event as i16)).collect();
    let was_causes: Vec<Option<i16>> = all.iter().map(|row| row.was.map(|was| was.cause as i16)).collect();
    tx.execute(&sql, &[&jobs, &places, &indexes, &ats, &attempts, &was_ats, &was_events, &was_causes])
        .await?;
    Ok(())
}

/// How many of the jobs that are taken in have a row.
pub(super) async fn known_jobs(tx: &Transaction<'_>, s: &str, rows: &Rows) -> Result<u64, Fault> {
    let taken = rows.jobs.iter().filter(|row| row.enqueued_at.is_some());
    let jobs: Vec<Uuid> = taken.map(|row| id(row.id)).collect();
    let found = tx.query_one(&format!("SELECT count(*) FROM {s}.job WHERE id = ANY($1)"), &[&jobs]).await?;
    Ok(u64::try_from(found.get::<_, i64>(0)).unwrap_or(0))
}

pub(super) async fn write_jobs(
    tx: &Transaction<'_>,
    s: &str,
    rows: &[JobRow],
    queues: &HashMap<String, i32>,
    kinds: &HashMap<String, i32>,
) -> Result<(), Fault> {
    let sql = format!(
        "INSERT INTO {s}.job AS job ({JOB_COLUMNS})
         SELECT * FROM unnest($1::uuid[], $2::integer[], $3::integer[], $4::text[], $5::bigint[], $6::integer[], $7::smallint[],
           $8::bigint[], $9::smallint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::smallint[]) {JOB_MERGE}"
    );
    let ids: Vec<Uuid> = rows.iter().map(|row| id(row.id)).collect();
    let queue: Vec<Option<i32>> = rows.iter().map(|row| queues.get(row.queue.as_str()).copied()).collect();
    let kind: Vec<Option<i32>> = rows.iter().map(|row| kinds.get(row.kind.as_str()).copied()).collect();
    let group: Vec<Option<&str>> =
        rows.iter().map(|row| row.group.as_ref().map(|group| group.as_str())).collect();
    let enqueued: Vec<Option<i64>> = rows.iter().map(|row| row.enqueued_at.map(ms)).collect();
    let attempts: Vec<i32> = rows.iter().map(|row| row.attempts.cast_signed()).collect();
    let event: Vec<Option<i16>> = rows.iter().map(|row| row.stand.map(|stand| stand.event as i16)).collect();
    let at: Vec<Option<i64>> = rows.iter().map(|row| row.stand.map(|stand| ms(stand.at))).collect();
    let cause: Vec<Option<i16>> = rows.iter().map(|row| row.stand.map(|stand| stand.cause as i16)).collect();
    let ended: Vec<Option<i64>> = rows.iter().map(|row| row.ended_at().map(ms)).collect();
    let asked: Vec<Option<i64>> = rows.iter().map(|row| row.cancel_requested_at.map(ms)).collect();
    let edited: Vec<Option<i64>> = rows.iter().map(|row| row.edited_at.map(ms)).collect();
    let removed: Vec<Option<i64>> = rows.iter().map(|row| row.removed.map(|(at, _)| ms(at))).collect();
    let why: Vec<Option<i16>> = rows.iter().map(|row| row.removed.map(|(_, cause)| cause as i16)).collect();
    tx.execute(
        &sql,
        &[
            &ids, &queue, &kind, &group, &enqueued, &attempts, &event, &at, &cause, &ended, &asked, &edited,
            &removed, &why,
        ],
    )
    .await?;
    Ok(())
}

pub(super) async fn write_cuts(tx: &Transaction<'_>, s: &str, rows: &Rows) -> Result<(), Fault> {
    if rows.cuts.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "UPDATE {s}.attempt a SET ended_at = c.at, outcome = 9, cause = c.cause
         FROM unnest($1::uuid[], $2::integer[], $3::bigint[], $4::smallint[]) AS c (job, attempt, at, cause)
         WHERE a.job = c.job AND a.attempt = c.attempt AND a.outcome IS NULL"
    );
    let jobs: Vec<Uuid> = rows.cuts.iter().map(|row| id(row.job)).collect();
    let attempts: Vec<i32> = rows.cuts.iter().map(|row| row.attempt.cast_signed()).collect();
    let ats: Vec<i64> = rows.cuts.iter().map(|row| ms(row.at)).collect();
    let causes: Vec<i16> = rows.cuts.iter().map(|row| row.cause as i16).collect();
    tx.execute(&sql, &[&jobs, &attempts, &ats, &causes]).await?;
    Ok(())
}

pub(super) async fn write_attempts(tx: &Transaction<'_>, s: &str, rows: &[AttemptRow]) -> Result<(), Fault> {
    let sql = format!(
        "INSERT INTO {s}.attempt AS attempt ({ATTEMPT_COLUMNS})
         SELECT * FROM unnest($1::uuid[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::smallint[], $7::smallint[],
           $8::bigint[], $9::text[], $10::text[], $11::bytea[]) {ATTEMPT_MERGE}"
    );
    let ending = |row: &AttemptRow| {
        row.ending.as_ref().map(|ending| (ms(ending.at), ending.outcome as i16, ending.cause as i16))
    };
    let jobs: Vec<Uuid> = rows.iter().map(|row| id(row.job)).collect();
    let attempts: Vec<i32> = rows.iter().map(|row| row.attempt.cast_signed()).collect();
    let workers: Vec<Option<i64>> =
        rows.iter().map(|row| row.worker.map(|worker| worker.0.cast_signed())).collect();
    let started: Vec<Option<i64>> = rows.iter().map(|row| row.started_at.map(ms)).collect();
    let ended: Vec<Option<i64>> = rows.iter().map(|row| ending(row).map(|(at, _, _)| at)).collect();
    let outcomes: Vec<Option<i16>> =
        rows.iter().map(|row| ending(row).map(|(_, outcome, _)| outcome)).collect();
    let causes: Vec<Option<i16>> = rows.iter().map(|row| ending(row).map(|(_, _, cause)| cause)).collect();
    let modes: Vec<Option<i64>> =
        rows.iter().map(|row| row.ending.as_ref().and_then(|ending| ending.fingerprint)).collect();
    let texts: Vec<Option<&str>> =
        rows.iter().map(|row| row.ending.as_ref().and_then(|ending| ending.text.as_deref())).collect();
    let results: Vec<Option<&str>> =
        rows.iter().map(|row| row.ending.as_ref().and_then(|ending| ending.result.text.as_deref())).collect();
    let bytes: Vec<Option<&[u8]>> = rows
        .iter()
        .map(|row| row.ending.as_ref().and_then(|ending| ending.result.bytes.as_deref()))
        .collect();
    tx.execute(
        &sql,
        &[&jobs, &attempts, &workers, &started, &ended, &outcomes, &causes, &modes, &texts, &results, &bytes],
    )
    .await?;
    Ok(())
}

pub(super) async fn write_bodies(tx: &Transaction<'_>, s: &str, rows: &[BodyRow]) -> Result<(), Fault> {
    let sql = format!(
        "INSERT INTO {s}.payload AS payload ({PAYLOAD_COLUMNS})
         SELECT * FROM unnest($1::uuid[], $2::boolean[], $3::text[], $4::bytea[], $5::smallint[], $6::text[], $7::text[]) {PAYLOAD_MERGE}"
    );
    fn of<'a, T>(rows: &'a [BodyRow], column: impl Fn(&'a Body) -> Option<T>) -> Vec<Option<T>> {
        rows.iter().map(|row| row.body.as_ref().and_then(&column)).collect()
    }
    let jobs: Vec<Uuid> = rows.iter().map(|row| id(row.job)).collect();
    let gone: Vec<bool> = rows.iter().map(|row| row.body.is_none()).collect();
    let payloads = of(rows, |body| body.payload.text.as_deref());
    let bytes = of(rows, |body| body.payload.bytes.as_deref());
    let priorities = of(rows, |body| Some(i16::from(body.priority)));
    let tags = of(rows, |body| body.tags.as_deref());
    let traces = of(rows, |body| body.trace.as_deref());
    tx.execute(&sql, &[&jobs, &gone, &payloads, &bytes, &priorities, &tags, &traces]).await?;
    Ok(())
}

pub(super) async fn write_modes_and_gaps(tx: &Transaction<'_>, s: &str, batch: &Batch) -> Result<(), Fault> {
    let modes = &batch.rows.modes;
    if !modes.is_empty() {
        let sql = format!(
            "INSERT INTO {s}.failure_mode AS failure_mode
             SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[]) {MODE_MERGE}"
        );
        let prints: Vec<i64> = modes.keys().copied().collect();
        let titles: Vec<&str> = modes.values().map(|(title, _)| title.as_str()).collect();
        let seen: Vec<i64> = modes.values().map(|(_, at)| ms(*at)).collect();
        tx.execute(&sql, &[&prints, &titles, &seen]).await?;
    }
    let sql = format!("INSERT INTO {s}.gap AS gap VALUES ($1, $2, $3, $4, $5, $6) {GAP_MERGE}");
    for gap in &batch.gaps {
        let (after, resumed) = (gap.after.to_string(), gap.resumed.to_string());
        let (last, next) = (gap.last_at.map(ms), gap.next_at.map(ms));
        tx.execute(&sql, &[&after, &gap.reason.as_str(), &resumed, &last, &next, &ms(gap.found_at)]).await?;
    }
    Ok(())
}

pub(super) fn id(job: JobId) -> Uuid {
    Uuid::from_u128(job.0)
}
