//! What users call in their own transactions: jobs that exist if and only if the transaction commits, and a completion
//! that is one with its effects.
//!
//! Both only insert, so that a transaction which stays open for long holds up nobody else. What they brought is taken up
//! by whoever comes next: a claim, or upkeep within a second; [`PostgresStore::nudge`] after the commit is quicker.

use crate::error::store_error_in;
use crate::jobs::{Columns, check};
use crate::migrate::in_schema;
use crate::options::plain;
use crate::queue::{enqueued, too_many};
use crate::store::PostgresStore;
use crate::wire::{Id, Json, bits, time};
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{GenericClient, Row};
use windlass_core::bounds::RESULT_BYTES_MAX;
use windlass_core::job::OnConflict;
use windlass_core::store::{EnqueueStatus, Enqueued, PerItem};
use windlass_core::{Lease, NewJob, QueueName, Rejection, State, StoreError, Time};

/// A completion's lease is no longer current.
pub(crate) const STALE: &str = "WL003";

/// Takes jobs in within the caller's transaction (T1, I13): one answer per job, in order.
///
/// They exist if and only if the transaction commits. A bound of the queue is held against what is counted by now. Jobs
/// with parents, and keys that replace or move their holder, need locks and are for the store's own verb: they are
/// refused here.
///
/// # Errors
/// What the server says; the transaction is aborted then.
pub async fn enqueue_in<C: GenericClient>(
    transaction: &C,
    schema: &str,
    jobs: &[NewJob],
) -> Result<PerItem<Enqueued>, StoreError> {
    plain(schema)?;
    let batch = match Batch::of(jobs) {
        Ok(batch) => batch,
        Err(refused) => return Ok(refused),
    };
    if batch.taken.is_empty() {
        return batch.answers(Value::Null);
    }
    let sql = in_schema(
        "SELECT windlass.enqueue_lots(NULL, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, true)",
        schema,
    );
    let columns = &batch.columns;
    let params: [(&(dyn ToSql + Sync), Type); 10] = [
        (&columns.ids, Type::UUID_ARRAY),
        (&columns.queues, Type::TEXT_ARRAY),
        (&columns.kinds, Type::TEXT_ARRAY),
        (&columns.payloads, Type::BYTEA_ARRAY),
        (&columns.groups, Type::TEXT_ARRAY),
        (&columns.priorities, Type::INT2_ARRAY),
        (&columns.limits, Type::TEXT_ARRAY),
        (&columns.run_at, Type::INT8_ARRAY),
        (&columns.delays, Type::INT8_ARRAY),
        (&columns.options, Type::JSONB_ARRAY),
    ];
    let rows = transaction
        .query_typed(&sql, &params)
        .await
        .map_err(|why| store_error_in(schema, "enqueue", &why))?;
    let told = rows.first().and_then(|row: &Row| row.get::<_, Option<Json>>(0)).unwrap_or_default().0;
    batch.answers(told)
}

/// A batch on its way into a caller's transaction, whatever driver carries it.
pub(crate) struct Batch<'a> {
    jobs: &'a [NewJob],
    now: Time,
    refused: Vec<Option<Rejection>>,
    /// Places in `jobs` of those that go to the server, in the order of `columns`.
    pub(crate) taken: Vec<usize>,
    pub(crate) columns: Columns,
}

impl<'a> Batch<'a> {
    /// What of the batch goes to the server; the answers at once when it is above its bound.
    pub(crate) fn of(jobs: &'a [NewJob]) -> Result<Self, PerItem<Enqueued>> {
        if let Some(refused) = too_many(jobs.len()) {
            return Err(refused);
        }
        let here = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Time(u64::try_from(here.as_millis()).unwrap_or(u64::MAX));
        let refused: Vec<Option<Rejection>> =
            jobs.iter().map(|job| check(job, now).and_then(|()| fits(job)).err()).collect();
        let (mut columns, mut taken) = (Columns::default(), Vec::new());
        for (i, job) in jobs.iter().enumerate() {
            let twice = jobs[..i].iter().any(|other| other.id == job.id);
            if refused[i].is_none() && !twice {
                columns.push(job);
                taken.push(i);
            }
        }
        Ok(Self { jobs, now, refused, taken, columns })
    }

    /// One answer per job, from what the server told of those that were taken.
    pub(crate) fn answers(self, told: Value) -> Result<PerItem<Enqueued>, StoreError> {
        let Self { jobs, now, refused, taken, .. } = self;
        let mut answers: Vec<Option<Result<Enqueued, Rejection>>> =
            refused.into_iter().map(|refused| refused.map(Err)).collect();
        let at = told.get("now").and_then(Value::as_i64).map_or(now, time);
        for (place, i) in taken.into_iter().enumerate() {
            let answer = told.get("answers").and_then(|all| all.get(place)).cloned().unwrap_or_default();
            answers[i] = Some(if answer.is_null() { Ok(created(&jobs[i], at)) } else { enqueued(answer)? });
        }
        // A job that stands twice in the batch is answered as known the second time.
        for i in 0..jobs.len() {
            if answers[i].is_none() {
                let first = jobs.iter().position(|other| other.id == jobs[i].id);
                let known =
                    first.and_then(|first| answers[first].clone()).unwrap_or(Err(Rejection::BatchRefused));
                answers[i] = Some(known.map(|first| Enqueued { status: EnqueueStatus::Known, ..first }));
            }
        }
        Ok(answers.into_iter().map(|answer| answer.unwrap_or(Err(Rejection::BatchRefused))).collect())
    }
}

/// What a new job is answered with.
pub(crate) fn created(job: &NewJob, now: Time) -> Enqueued {
    let due = job.run_at.unwrap_or_else(|| now.plus_ms(job.delay_ms.unwrap_or(0)));
    let state = if due > now { State::Scheduled } else { State::Ready };
    Enqueued { id: job.id, status: EnqueueStatus::Created, state }
}

/// Refuses what cannot be done without locks.
fn fits(job: &NewJob) -> Result<(), Rejection> {
    let refuse = |what, why: &str| Err(Rejection::Invalid { what, why: why.into() });
    if !job.parents.is_empty() {
        return refuse(
            "parents",
            "jobs with parents are enqueued by the store's own verb, not within a transaction",
        );
    }
    let changes = |on| matches!(on, OnConflict::Replace | OnConflict::Reschedule);
    if job.unique.as_ref().is_some_and(|unique| changes(unique.on_conflict)) {
        return refuse(
            "unique key",
            "a key that changes its holder is for the store's own verb, not within a transaction",
        );
    }
    Ok(())
}

/// Completes a job within the transaction that holds its effects (T5): both exist, or neither does.
///
/// While the transaction is open nobody else can end the attempt; its lease may run out meanwhile and is honoured all
/// the same. Follow-ups are enqueued beside it by [`enqueue_in`].
///
/// # Errors
/// [`Rejection::Stale`] when the lease is no longer current: the transaction is aborted and must be rolled back.
pub async fn complete_in<C: GenericClient>(
    transaction: &C,
    schema: &str,
    lease: &Lease,
    result: Option<&[u8]>,
) -> Result<Result<(), Rejection>, StoreError> {
    plain(schema)?;
    if let Err(refused) = check_result(result) {
        return Ok(Err(refused));
    }
    let sql = in_schema("SELECT windlass.complete_in_tx($1, $2, $3, $4)", schema);
    let params: [(&(dyn ToSql + Sync), Type); 4] = [
        (&Id(lease.job), Type::UUID),
        (&bits(lease.token.counter), Type::INT8),
        (&bits(lease.token.nonce), Type::INT8),
        (&result, Type::BYTEA),
    ];
    match transaction.query_typed(&sql, &params).await {
        Ok(_) => Ok(Ok(())),
        Err(why) if why.code().is_some_and(|code| code.code() == STALE) => Ok(Err(Rejection::Stale)),
        Err(why) => Err(store_error_in(schema, "complete", &why)),
    }
}

/// Refuses a result above its bound.
pub(crate) fn check_result(result: Option<&[u8]>) -> Result<(), Rejection> {
    let bytes = result.map_or(0, <[u8]>::len);
    if bytes <= RESULT_BYTES_MAX {
        return Ok(());
    }
    Err(Rejection::Invalid { what: "result", why: format!("{bytes} bytes are more than {RESULT_BYTES_MAX}") })
}

impl PostgresStore {
    /// Tells workers of these queues, here and elsewhere, that a transaction has brought something. Optional: they find
    /// out by themselves within a second.
    pub fn nudge(&self, queues: &[QueueName]) {
        for queue in queues {
            self.0.hub.ring(queue.as_str(), u64::MAX);
            self.0.bell.push(queue.as_str());
        }
    }
}
