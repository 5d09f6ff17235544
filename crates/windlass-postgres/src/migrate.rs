//! The schema, brought up to date: tables by numbered migrations, functions by this version's own text.
//!
//! All of it is one transaction under a lock, so that many processes may start at once and a crash in the middle leaves
//! the old schema. A schema that is newer than this program is refused, never guessed at.

use crate::error::store_error;
use crate::options::check_schema;
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use windlass_core::StoreError;

/// The version of the schema that this program makes and understands.
pub const SCHEMA_VERSION: i32 = 1;

/// Tables, each migration on top of the one before.
const MIGRATIONS: [&str; SCHEMA_VERSION as usize] = [include_str!("../migrations/0001_tables.sql")];

/// Functions, as this version has them; those with the shared rules first.
const FUNCTIONS: [&str; 15] = [
    include_str!("../sql/prelude.sql"),
    include_str!("../sql/rate.sql"),
    include_str!("../sql/limits.sql"),
    include_str!("../sql/order.sql"),
    include_str!("../sql/life.sql"),
    include_str!("../sql/flow.sql"),
    include_str!("../sql/enqueue.sql"),
    include_str!("../sql/settle.sql"),
    include_str!("../sql/claim.sql"),
    include_str!("../sql/people.sql"),
    include_str!("../sql/settings.sql"),
    include_str!("../sql/upkeep.sql"),
    include_str!("../sql/read.sql"),
    include_str!("../sql/transaction.sql"),
    include_str!("../sql/plans.sql"),
];

/// The text with another schema in the place of `windlass`.
pub(crate) fn in_schema(text: &str, schema: &str) -> String {
    if schema == "windlass" { text.to_owned() } else { text.replace("windlass.", &format!("{schema}.")) }
}

/// Brings the schema up to date on that connection; nothing happens when it is.
///
/// # Errors
/// When the schema is newer than this program, or the server refuses a statement.
pub async fn migrate(client: &mut Client, schema: &str) -> Result<(), StoreError> {
    check_schema(schema)?;
    let fault = |why: tokio_postgres::Error| store_error("migrate", &why);
    if version(client, schema).await? == SCHEMA_VERSION {
        return Ok(());
    }
    let tx = client.transaction().await.map_err(fault)?;
    // Two processes that start together: the second waits here and then finds it done.
    tx.batch_execute(&lock(schema)).await.map_err(fault)?;
    let found = version(tx.client(), schema).await?;
    if found == SCHEMA_VERSION {
        return tx.commit().await.map_err(fault);
    }
    let mut script = format!(
        "SET LOCAL check_function_bodies = off; SET LOCAL client_min_messages = warning; CREATE SCHEMA IF NOT EXISTS {schema};\n"
    );
    for migration in &MIGRATIONS[usize::try_from(found).unwrap_or(0)..] {
        script.push_str(&in_schema(migration, schema));
    }
    for functions in FUNCTIONS {
        script.push_str(&in_schema(functions, schema));
    }
    script.push_str(&format!(
        "INSERT INTO {schema}.schema (version, server_started) VALUES ({SCHEMA_VERSION}, pg_postmaster_start_time()::text)
         ON CONFLICT (one) DO UPDATE SET version = excluded.version;"
    ));
    tx.batch_execute(&script).await.map_err(fault)?;
    tx.commit().await.map_err(fault)
}

/// Taken by whoever makes, changes or drops the schema, until the end of its transaction.
fn lock(schema: &str) -> String {
    format!("SELECT pg_advisory_xact_lock(hashtextextended('{schema}.migrate', 4))")
}

/// The schema's version, 0 when there is none.
pub(crate) async fn version(client: &Client, schema: &str) -> Result<i32, StoreError> {
    let fault = |why: tokio_postgres::Error| store_error("migrate", &why);
    let there = client
        .query_typed("SELECT to_regclass($1)::text", &[(&format!("{schema}.schema"), Type::TEXT)])
        .await
        .map_err(fault)?;
    if there.first().and_then(|row| row.get::<_, Option<String>>(0)).is_none() {
        return Ok(0);
    }
    let rows =
        client.query_typed(&format!("SELECT version FROM {schema}.schema"), &[]).await.map_err(fault)?;
    let found: i32 = rows.first().map_or(0, |row| row.get(0));
    if found > SCHEMA_VERSION {
        let why = format!(
            "schema {schema} has version {found}, this program knows {SCHEMA_VERSION}: a newer Windlass has been here; update this program"
        );
        return Err(StoreError::refused("open", why));
    }
    Ok(found)
}

/// Drops the schema if it is a store's; answers whether there was one.
pub(crate) async fn erase(client: &mut Client, schema: &str) -> Result<bool, StoreError> {
    let fault = |why: tokio_postgres::Error| store_error("erase", &why);
    let tx = client.transaction().await.map_err(fault)?;
    tx.batch_execute(&lock(schema)).await.map_err(fault)?;
    let there = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1),
        EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass($1 || '.schema') AND a.attname = 'server_started')";
    let rows = tx.query_typed(there, &[(&schema, Type::TEXT)]).await.map_err(fault)?;
    let found = rows.first().map(|row| (row.get::<_, bool>(0), row.get::<_, bool>(1)));
    match found {
        Some((true, true)) => {
            let script = format!("SET LOCAL client_min_messages = warning; DROP SCHEMA {schema} CASCADE");
            tx.batch_execute(&script).await.map_err(fault)?;
            tx.commit().await.map_err(fault)?;
            Ok(true)
        }
        Some((true, false)) => Err(StoreError::refused(
            "erase",
            format!("schema {schema} is not a store of Windlass: left as it is"),
        )),
        _ => Ok(false),
    }
}
