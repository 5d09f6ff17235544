//! Jobs and completions in a transaction of sqlx: as [`crate::enqueue_in`] and [`crate::complete_in`], on its connection.
//!
//! Only the driver is another: what goes to the server and what comes of it is shared. Ids and JSON cross as text, so that
//! of sqlx's features none but `postgres` is needed.
//!
//! ```no_run
//! # async fn doc(pool: sqlx::PgPool, job: windlass_core::NewJob) -> Result<(), Box<dyn std::error::Error>> {
//! let mut tx = pool.begin().await?;
//! sqlx::query("INSERT INTO orders VALUES (7)").execute(&mut *tx).await?;
//! windlass_postgres::sqlx::enqueue_in(&mut tx, "windlass", &[job]).await?;
//! tx.commit().await?;
//! # Ok(()) }
//! ```

use crate::error::{sqlx_code, sqlx_error};
use crate::migrate::in_schema;
use crate::options::plain;
use crate::transaction::{Batch, STALE, check_result};
use crate::wire::bits;
use ::sqlx::{AssertSqlSafe, PgConnection, Row};
use windlass_core::store::{Enqueued, PerItem};
use windlass_core::{Lease, NewJob, Rejection, StoreError};

/// Takes jobs in within the caller's transaction (T1, I13): one answer per job, in order. See [`crate::enqueue_in`].
///
/// # Errors
/// What the server says; the transaction is aborted then.
pub async fn enqueue_in(
    transaction: &mut PgConnection,
    schema: &str,
    jobs: &[NewJob],
) -> Result<PerItem<Enqueued>, StoreError> {
    plain(schema)?;
    let batch = match Batch::of(jobs) {
        Ok(batch) => batch,
        Err(refused) => return Ok(refused),
    };
    if batch.taken.is_empty() {
        return batch.answers(serde_json::Value::Null);
    }
    let sql = in_schema(
        "SELECT windlass.enqueue_lots(NULL, $1::text[]::uuid[], $2, $3, $4, $5, $6, $7, $8, $9, $10::text[]::jsonb[], true)::text",
        schema,
    );
    let columns = &batch.columns;
    let ids: Vec<String> = columns.ids.iter().map(|id| id.0.to_string()).collect();
    let options: Vec<Option<String>> =
        columns.options.iter().map(|options| options.as_ref().map(|json| json.0.to_string())).collect();
    // The schema's name is checked and is all that the statement has of anybody.
    let row = ::sqlx::query(AssertSqlSafe(sql))
        .bind(ids)
        .bind(&columns.queues)
        .bind(&columns.kinds)
        .bind(&columns.payloads)
        .bind(&columns.groups)
        .bind(&columns.priorities)
        .bind(&columns.limits)
        .bind(&columns.run_at)
        .bind(&columns.delays)
        .bind(options)
        .fetch_one(transaction)
        .await
        .and_then(|row| row.try_get::<Option<String>, _>(0))
        .map_err(|why| sqlx_error(schema, "enqueue", &why))?;
    let told = serde_json::from_str(row.as_deref().unwrap_or("null"))
        .map_err(|why| StoreError::refused("enqueue", format!("the schema answered no JSON: {why}")))?;
    batch.answers(told)
}

/// Completes a job within the transaction that holds its effects (T5): both exist, or neither does. See
/// [`crate::complete_in`].
///
/// # Errors
/// [`Rejection::Stale`] when the lease is no longer current: the transaction is aborted and must be rolled back.
pub async fn complete_in(
    transaction: &mut PgConnection,
    schema: &str,
    lease: &Lease,
    result: Option<&[u8]>,
) -> Result<Result<(), Rejection>, StoreError> {
    plain(schema)?;
    if let Err(refused) = check_result(result) {
        return Ok(Err(refused));
    }
    let sql = in_schema("SELECT windlass.complete_in_tx($1::text::uuid, $2, $3, $4)", schema);
    let done = ::sqlx::query(AssertSqlSafe(sql))
        .bind(lease.job.to_string())
        .bind(bits(lease.token.counter))
        .bind(bits(lease.token.nonce))
        .bind(result)
        .execute(transaction)
        .await;
    match done {
        Ok(_) => Ok(Ok(())),
        Err(why) if sqlx_code(&why).as_deref() == Some(STALE) => Ok(Err(Rejection::Stale)),
        Err(why) => Err(sqlx_error(schema, "complete", &why)),
    }
}
