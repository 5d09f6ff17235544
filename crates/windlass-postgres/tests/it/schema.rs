//! The schema: how it is made, brought up to date and erased, whom it belongs to, and what it looks like.

use crate::{claim, client, complete, job, now, queue, shared, store};
use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};
use windlass_core::store::{Admin, Queue, Upkeep};
use windlass_postgres::{OpenError, Options, PostgresStore, SCHEMA_VERSION, migration};

async fn open(url: &str, schema: &str, migrate: bool) -> Result<PostgresStore, OpenError> {
    let options =
        Options { schema: schema.into(), upkeep: false, listen: false, migrate, ..Options::default() };
    PostgresStore::open(url, options).await
}

#[tokio::test]
async fn an_erased_schema_is_gone_and_its_neighbour_stays() {
    let url = shared().url("postgres");
    for schema in ["erased", "erased_not"] {
        let store = store(shared(), schema).await;
        store.enqueue(vec![job(1)], false, None).await.unwrap().remove(0).unwrap();
    }
    assert!(PostgresStore::erase(&url, "erased").await.unwrap());
    assert!(!PostgresStore::erase(&url, "erased").await.unwrap(), "there is none any more");
    assert_eq!(store(shared(), "erased").await.info().await.unwrap().jobs, 0);
    assert_eq!(store(shared(), "erased_not").await.info().await.unwrap().jobs, 1);
}

#[tokio::test]
async fn a_schema_of_somebody_else_is_not_erased() {
    let client = client(shared()).await;
    // Even one that has a table of the same name.
    client
        .batch_execute("CREATE SCHEMA theirs; CREATE TABLE theirs.schema (version int); CREATE TABLE theirs.orders (id int)")
        .await
        .unwrap();
    let told =
        PostgresStore::erase(&shared().url("postgres"), "theirs").await.expect_err("theirs").to_string();
    assert!(told.contains("theirs is not a store"), "{told}");
    client.query("SELECT FROM theirs.orders", &[]).await.expect("it is still there");
    for name in ["public", "pg_catalog", "x; DROP SCHEMA erased"] {
        PostgresStore::erase(&shared().url("postgres"), name).await.expect_err(name);
    }
}

#[tokio::test]
async fn a_schema_of_the_first_version_is_brought_up_to_date_and_keeps_its_jobs() {
    let client = client(shared()).await;
    let first = include_str!("../../migrations/0001_tables.sql").replace("windlass.", "first.");
    client.batch_execute(&format!("CREATE SCHEMA first; {first}")).await.unwrap();
    // Functions that are gone, or answer with another type.
    client
        .batch_execute("CREATE FUNCTION first.oldest_ready(text) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'; CREATE FUNCTION first.give_up_keys(uuid[]) RETURNS void LANGUAGE sql AS ''")
        .await
        .unwrap();
    client
        .batch_execute("INSERT INTO first.schema (version, server_started) VALUES (1, pg_postmaster_start_time()::text); INSERT INTO first.queue (name, paused) VALUES ('q', true)")
        .await
        .unwrap();
    let url = shared().url("postgres");
    let found = PostgresStore::migration(&url, "first").await.unwrap();
    assert_eq!((found.from, found.to, found.functions), (1, SCHEMA_VERSION, true));
    let done = PostgresStore::migrate(&url, "first").await.unwrap();
    assert_eq!(done, found, "what was planned was done");
    assert!(PostgresStore::migrate(&url, "first").await.unwrap().is_empty(), "once");
    let store = store(shared(), "first").await;
    let known = client.query_one("SELECT paused FROM first.queue WHERE name = 'q'", &[]).await.unwrap();
    assert!(known.get::<_, bool>(0), "what was there is there");
    let sql =
        "SELECT to_regproc('first.oldest_ready') IS NULL AND to_regproc('first.give_up_keys') IS NOT NULL";
    assert!(client.query_one(sql, &[]).await.unwrap().get::<_, bool>(0), "and no function that is gone");
    store.enqueue(vec![job(1)], false, None).await.unwrap().remove(0).unwrap();
}

#[tokio::test]
async fn functions_of_another_text_are_replaced_and_those_of_a_newer_program_stay() {
    let url = shared().url("postgres");
    drop(store(shared(), "texts").await);
    let client = client(shared()).await;
    let sabotage = "CREATE OR REPLACE FUNCTION texts.now_ms(p_at bigint) RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT 7::bigint';
        CREATE FUNCTION texts.now_ms(p_at bigint, p_old int DEFAULT 1) RETURNS bigint LANGUAGE sql AS 'SELECT 8::bigint';
        CREATE OR REPLACE FUNCTION texts.of_a_user() RETURNS int LANGUAGE sql AS 'SELECT 1'";
    let time = async || {
        client.query_one("SELECT texts.now_ms(NULL::bigint)", &[]).await.map(|row| row.get::<_, i64>(0))
    };
    let signed = async |program: &str, functions: &str| {
        let sign = format!("UPDATE texts.schema SET program = '{program}', functions = '{functions}'");
        client.batch_execute(&sign).await.unwrap();
    };
    client.batch_execute(sabotage).await.unwrap();
    // An older program's, or another build's of the same version: this program's own take their place.
    signed("0.0.9", "other").await;
    let store = open(&url, "texts", true).await.unwrap();
    assert!(now().0.abs_diff(time().await.expect("one function of that name") as u64) < 60_000);
    client.query_one("SELECT texts.of_a_user()", &[]).await.expect("what a user put there stays");
    store.enqueue(vec![job(1)], false, None).await.unwrap().remove(0).unwrap();
    // A newer program's: this one works with them, and leaves them.
    client.batch_execute("CREATE OR REPLACE FUNCTION texts.now_ms(p_at bigint) RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT 7::bigint'").await.unwrap();
    signed("99.0.0", "other").await;
    let found = migration(&client, "texts").await.unwrap();
    assert!(found.is_empty() && found.functions_of.as_deref() == Some("99.0.0"), "{found:?}");
    open(&url, "texts", true).await.unwrap();
    open(&url, "texts", false).await.unwrap();
    assert_eq!(time().await.unwrap(), 7);
}

#[tokio::test]
async fn a_script_that_is_run_by_hand_is_as_good_as_opening() {
    let url = shared().url("postgres");
    let client = client(shared()).await;
    let found = PostgresStore::migration(&url, "by_hand").await.unwrap();
    assert_eq!(found.from, 0);
    let script = found.sql();
    assert!(script.contains("\nBEGIN;\n") && script.ends_with("COMMIT;\n"), "one transaction");
    let told = open(&url, "by_hand", false).await.expect_err("nobody has run it").to_string();
    assert!(told.contains("no schema by_hand") && told.contains("windlass migrate"), "{told}");
    client.batch_execute(&script).await.unwrap();
    let found = PostgresStore::migration(&url, "by_hand").await.unwrap();
    assert!(found.is_empty() && found.sql().is_empty());
    let store = open(&url, "by_hand", false).await.unwrap();
    store.enqueue(vec![job(1)], false, None).await.unwrap().remove(0).unwrap();
}

#[tokio::test]
async fn many_that_open_at_once_make_one_schema() {
    let url = shared().url("postgres");
    let opens = (0..8).map(|_| {
        tokio::spawn({
            let url = url.clone();
            async move { open(&url, "at_once", true).await.map(drop) }
        })
    });
    for opened in opens.collect::<Vec<_>>() {
        opened.await.unwrap().unwrap();
    }
}

/// In every order of two that begin together: the second has seen that there is nothing, waits, and must see what is there.
#[tokio::test]
async fn who_has_waited_for_another_to_make_the_schema_finds_it_made() {
    let url = shared().url("postgres");
    for (schema, isolation) in [("waited", "read committed"), ("waited_still", "repeatable read")] {
        let first = client(shared()).await;
        let script = PostgresStore::migration(&url, schema).await.unwrap().sql();
        let lock = script.lines().find(|line| line.contains("pg_advisory_xact_lock")).unwrap();
        first.batch_execute(&format!("BEGIN; {lock}")).await.unwrap();
        let second = tokio::spawn({
            let role = format!(
                "{url} options='-c default_transaction_isolation={}'",
                isolation.replace(' ', r"\\ ")
            );
            async move { open(&role, schema, true).await.map(drop) }
        });
        let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'advisory' AND query LIKE '%' || $1 || '.migrate%')";
        let until = Instant::now() + Duration::from_secs(60);
        while !client(shared()).await.query_one(waits, &[&schema]).await.unwrap().get::<_, bool>(0) {
            assert!(Instant::now() < until && !second.is_finished(), "it does not wait for the lock");
            tokio::task::yield_now().await;
        }
        first.batch_execute(&script).await.unwrap();
        second.await.unwrap().unwrap_or_else(|why| panic!("{isolation}: {why}"));
    }
}

/// What `docs/postgres.md` says a program needs that does not own the schema.
const GRANTS: &str = "
GRANT USAGE ON SCHEMA windlass TO app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA windlass TO app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA windlass TO app;
";

#[tokio::test]
async fn a_role_that_may_create_nothing_works_in_a_schema_that_is_up_to_date() {
    let page = include_str!("../../../../docs/postgres.md");
    assert!(page.contains(GRANTS.trim()), "the page says what is tested");
    let client = client(shared()).await;
    drop(store(shared(), "granted").await);
    let grants = GRANTS.replace("windlass", "granted");
    client
        .batch_execute(&format!(
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE ROLE app LOGIN; {grants}"
        ))
        .await
        .unwrap();
    let url = shared().url("postgres").replace("user=windlass", "user=app");
    let store = open(&url, "granted", true).await.expect("nothing is to be done");
    store.enqueue(vec![job(1), job(2)], false, None).await.unwrap().remove(0).unwrap();
    let held = claim(&store, 2).await;
    complete(&store, &held[0].lease).await.unwrap();
    store.pause(queue(), true, None).await.unwrap().unwrap();
    store.upkeep(100, Some(now().plus_ms(3_600_000))).await.unwrap();
    store.events(windlass_core::store::From::Earliest, 10, 0).await.unwrap().unwrap();
    store.info().await.unwrap();
    // A schema that is not up to date is not its to change, and it is told so.
    client.batch_execute("UPDATE granted.schema SET functions = 'other'").await.unwrap();
    for migrate in [true, false] {
        let told = open(&url, "granted", migrate).await.expect_err("it may not").to_string();
        assert!(told.contains("windlass migrate"), "{told}");
    }
}

#[tokio::test]
async fn a_role_without_rights_is_told_the_grants_that_the_page_lists() {
    let client = client(shared()).await;
    drop(store(shared(), "ungranted").await);
    client.batch_execute("CREATE ROLE stranger LOGIN").await.unwrap();
    let url = shared().url("postgres").replace("user=windlass", "user=stranger");
    let names_all = |told: String| {
        let grants = GRANTS.replace("windlass", "ungranted").replace("TO app;", "TO ROLE");
        for grant in grants.trim().lines() {
            assert!(told.contains(grant), "{grant}: {told}");
        }
    };
    for migrate in [true, false] {
        names_all(open(&url, "ungranted", migrate).await.expect_err("it may not").to_string());
    }
    // What one may read, one may still not change.
    let some = "GRANT USAGE ON SCHEMA ungranted TO stranger; GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA ungranted TO stranger";
    client.batch_execute(some).await.unwrap();
    let store = open(&url, "ungranted", false).await.expect("it may look");
    let refused = store.enqueue(vec![job(1)], false, None).await.expect_err("it may not");
    assert!(!refused.retryable, "{refused}");
    names_all(refused.to_string());
}

/// One line for each thing in the schema, as the catalog has it; the bodies of functions stand in `sql/`.
const PICTURE: &str = "
SELECT line FROM (
  SELECT 1, c.relname, a.attnum::int, format('table %s: %s %s%s%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
    CASE WHEN a.attnotnull THEN ' not null' ELSE '' END, coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), ''))
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
  WHERE c.relnamespace = 'picture'::regnamespace AND c.relkind = 'r'
  UNION ALL SELECT 1, c.relname, 10000, format('table %s: with %s', c.relname, array_to_string(c.reloptions, ', '))
  FROM pg_class c WHERE c.relnamespace = 'picture'::regnamespace AND c.relkind = 'r' AND c.reloptions IS NOT NULL
  UNION ALL SELECT 2, k.conname, 0, format('constraint %s on %s: %s', k.conname, k.conrelid::regclass, pg_get_constraintdef(k.oid))
  FROM pg_constraint k WHERE k.connamespace = 'picture'::regnamespace AND k.contype <> 'n'
  UNION ALL SELECT 3, c.relname, 0, pg_get_indexdef(c.oid) FROM pg_class c WHERE c.relnamespace = 'picture'::regnamespace AND c.relkind = 'i'
  UNION ALL SELECT 4, c.relname, 0, format('sequence %s', c.relname) FROM pg_class c WHERE c.relnamespace = 'picture'::regnamespace AND c.relkind = 'S'
  UNION ALL SELECT 5, c.relname, a.attnum::int, format('type %s: %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod))
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relnamespace = 'picture'::regnamespace AND c.relkind = 'c'
  UNION ALL SELECT 6, p.proname, p.pronargs::int, format('function %s(%s) returns %s: %s %s%s', p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
    l.lanname, CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END, coalesce(', set ' || array_to_string(p.proconfig, ', '), ''))
  FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.pronamespace = 'picture'::regnamespace
) x (kind, name, n, line) ORDER BY kind, name COLLATE \"C\", n, line COLLATE \"C\"";

#[tokio::test]
async fn the_schema_is_the_one_that_is_written_down() {
    drop(store(shared(), "picture").await);
    let rows = client(shared()).await.query(PICTURE, &[]).await.unwrap();
    let lines: Vec<String> = rows.iter().map(|row| row.get::<_, String>(0).replace("picture.", "")).collect();
    assert_eq!(lines.iter().collect::<HashSet<_>>().len(), lines.len(), "each line says another thing");
    let made = lines.join("\n") + "\n";
    let page = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/schema.txt"));
    if std::env::var_os("WINDLASS_WRITE_DOCS").is_some() {
        std::fs::write(page, &made).unwrap();
    }
    let kept = std::fs::read_to_string(page).unwrap_or_default();
    let differs = made.lines().zip(kept.lines()).find(|(made, kept)| made != kept);
    assert!(
        made == kept,
        "the schema differs from tests/it/schema.txt, first in {differs:?}; if that is meant, write it anew: \
         WINDLASS_WRITE_DOCS=1 cargo test -p windlass-postgres --test it written_down"
    );
}
