//! The schema: how it is made, brought up to date and erased, whom it belongs to, and what it looks like.

use crate::{claim, client, complete, job, now, queue, shared, store};
use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};
use windlass_core::WorkerId;
use windlass_core::store::{Admin, Claim, Queue, Upkeep};
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
async fn a_schema_that_holds_what_is_no_stores_is_not_made_one() {
    let (url, client) = (shared().url("postgres"), client(shared()).await);
    for (n, (thing, shown)) in [
        ("CREATE TABLE HERE.orders (id int GENERATED ALWAYS AS IDENTITY, n serial)", "table HERE.orders"),
        ("CREATE TABLE HERE.schema (version int)", "table HERE.schema"),
        ("CREATE VIEW HERE.claim AS SELECT 1", "view HERE.claim"),
        ("CREATE FUNCTION HERE.f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'", "function HERE.f(integer)"),
        ("CREATE TYPE HERE.mood AS ENUM ('ok')", "type HERE.mood"),
    ]
    .into_iter()
    .enumerate()
    {
        let schema = format!("taken_{n}");
        client
            .batch_execute(&format!("CREATE SCHEMA {schema}; {}", thing.replace("HERE", &schema)))
            .await
            .unwrap();
        let refusals = [
            open(&url, &schema, true).await.map(drop),
            open(&url, &schema, false).await.map(drop),
            PostgresStore::migrate(&url, &schema).await.map(drop),
            PostgresStore::migration(&url, &schema).await.map(drop),
        ];
        for refused in refusals {
            let told = refused.expect_err(thing);
            assert!(matches!(told, OpenError::NotAStore(_)), "{told}");
            let (told, shown) = (told.to_string(), shown.replace("HERE", &schema));
            let says = [format!("schema {schema} holds"), format!("({shown})"), "choose another".into()];
            assert!(says.iter().all(|says| told.contains(says)), "{told}");
        }
        let nothing =
            "SELECT count(*) FROM pg_proc WHERE pronamespace = $1::text::regnamespace AND proname = 'claim'";
        assert_eq!(client.query_one(nothing, &[&schema]).await.unwrap().get::<_, i64>(0), 0);
    }
    client.batch_execute("CREATE SCHEMA taken_by_nobody").await.unwrap();
    let told = open(&url, "taken_by_nobody", false).await.expect_err("it is empty").to_string();
    assert!(told.contains("taken_by_nobody is empty"), "{told}");
    open(&url, "taken_by_nobody", true).await.expect("an empty one is as good as none");
    client.batch_execute("CREATE TABLE taken_by_nobody.mine (id int)").await.unwrap();
    open(&url, "taken_by_nobody", true)
        .await
        .expect("what a user puts beside a store is the user's business");
}

#[tokio::test]
async fn what_the_store_did_not_make_is_not_erased_with_it() {
    let (url, client) = (shared().url("postgres"), client(shared()).await);
    let store = store(shared(), "shared_with").await;
    store.enqueue(vec![job(1)], false, None).await.unwrap();
    client
        .batch_execute(
            "SET search_path = shared_with; CREATE TABLE a (id int PRIMARY KEY, n serial); CREATE VIEW b AS SELECT 1; CREATE SEQUENCE c;
             CREATE FUNCTION d() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TYPE e AS (x int); CREATE DOMAIN f AS int; CREATE TABLE term_of_mine ()",
        )
        .await
        .unwrap();
    let told = PostgresStore::erase(&url, "shared_with").await.expect_err("there is more");
    assert!(matches!(told, OpenError::NotAStore(_)), "{told}");
    let says = "shared_with holds what the store did not make (table shared_with.a, view shared_with.b, sequence shared_with.c, function shared_with.d(), type shared_with.e and 2 more)";
    assert!(told.to_string().contains(says), "{told}");
    client.batch_execute("SELECT FROM shared_with.a, shared_with.job").await.expect("all of it is there");
    client
        .batch_execute("DROP TABLE a; DROP VIEW b; DROP SEQUENCE c; DROP FUNCTION d(); DROP TYPE e; DROP DOMAIN f; DROP TABLE term_of_mine")
        .await
        .unwrap();
    // What hangs on the store's own tables goes with them, and rights are no things.
    client
        .batch_execute("CREATE INDEX mine ON job (kind); ALTER DEFAULT PRIVILEGES IN SCHEMA shared_with GRANT SELECT ON TABLES TO PUBLIC")
        .await
        .unwrap();
    assert!(PostgresStore::erase(&url, "shared_with").await.unwrap());
}

#[tokio::test]
async fn a_store_in_the_schema_public_is_erased_out_of_it() {
    let root = client(shared()).await;
    for database in ["alone", "crowded"] {
        root.batch_execute(&format!("CREATE DATABASE {database}")).await.unwrap();
    }
    let url = shared().url("alone");
    for _ in 0..2 {
        let store = open(&url, "public", true).await.expect("on most databases there is an empty one");
        store.enqueue(vec![job(1)], false, None).await.unwrap().remove(0).unwrap();
        assert!(PostgresStore::erase(&url, "public").await.unwrap());
        let told = PostgresStore::erase(&url, "public").await.expect_err("it stays").to_string();
        assert!(told.contains("public is not a store"), "{told}");
        let told = open(&url, "public", false).await.expect_err("nothing is left").to_string();
        assert!(told.contains("schema public is empty"), "{told}");
    }
    let url = shared().url("crowded");
    let crowded =
        url.parse::<tokio_postgres::Config>().unwrap().connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(crowded.1);
    crowded.0.batch_execute("CREATE TABLE orders (id int)").await.unwrap();
    let told = open(&url, "public", true).await.expect_err("it is somebody's").to_string();
    assert!(told.contains("schema public holds what is no store's (table public.orders)"), "{told}");
}

/// The server ends whoever finds that two wait for each other; the other one here never looks.
#[tokio::test]
async fn an_erase_that_meets_another_goes_again() {
    let (url, other, watcher) = (shared().url("postgres"), client(shared()).await, client(shared()).await);
    drop(store(shared(), "erased_late").await);
    other
        .batch_execute(
            "BEGIN; SET LOCAL deadlock_timeout = '1h'; LOCK TABLE erased_late.worker IN ACCESS SHARE MODE",
        )
        .await
        .unwrap();
    let erasing = tokio::spawn(async move { PostgresStore::erase(&url, "erased_late").await });
    let held = "SELECT min(h.relation::regclass::text) FROM pg_locks w JOIN pg_locks h ON h.pid = w.pid AND h.granted AND h.mode = 'AccessExclusiveLock'
        JOIN pg_class c ON c.oid = h.relation AND c.relkind = 'r' WHERE NOT w.granted AND w.relation = 'erased_late.worker'::regclass";
    let until = Instant::now() + Duration::from_secs(60);
    let table = loop {
        if let Some(table) = watcher.query_one(held, &[]).await.unwrap().get::<_, Option<String>>(0) {
            break table;
        }
        assert!(Instant::now() < until && !erasing.is_finished(), "it waits for the other");
    };
    other.batch_execute(&format!("LOCK TABLE {table} IN ACCESS SHARE MODE; COMMIT")).await.unwrap();
    assert!(erasing.await.unwrap().unwrap());
}

/// Claims, settlements, enqueues, reads and upkeep, while it is erased.
#[tokio::test]
async fn a_store_is_erased_beside_running_work() {
    let url = shared().url("postgres");
    for round in 0..5 {
        let store = PostgresStore::open(&url, Options { schema: "erased_busy".into(), ..Options::default() })
            .await
            .unwrap();
        let work = |n: u128| {
            let store = store.clone();
            tokio::spawn(async move {
                let (mut done, mut jobs) = (0_u64, n << 32);
                loop {
                    jobs += 50;
                    let batch = (0..50).map(|k| job(jobs + k)).collect();
                    if store.enqueue(batch, false, None).await.is_err() {
                        return done;
                    }
                    let wants = vec![(queue(), 50)];
                    let claim = Claim { settle_first: vec![], wants, worker: WorkerId(n as u64), nonce: 9 };
                    let Ok(held) = store.claim(claim, None).await else { return done };
                    let leases: Vec<_> = held.jobs.iter().map(|held| held.lease).collect();
                    let _ = store.heartbeat(leases, None).await;
                    let _ = store.upkeep(100, None).await;
                    let _ = store.queues(None, None).await;
                    done += 1;
                }
            })
        };
        let workers: Vec<_> = (1..=6).map(work).collect();
        let until = Instant::now() + Duration::from_secs(60);
        while store
            .queues(Some(queue()), None)
            .await
            .unwrap()
            .first()
            .is_none_or(|queue| queue.totals.claimed < 500)
        {
            assert!(Instant::now() < until, "work goes on");
        }
        assert!(
            PostgresStore::erase(&url, "erased_busy")
                .await
                .unwrap_or_else(|why| panic!("round {round}: {why}"))
        );
        for worker in workers {
            assert!(worker.await.unwrap() > 0);
        }
    }
}

#[tokio::test]
async fn an_address_that_makes_no_sense_is_refused_before_anything_is_asked() {
    let url = shared().url("postgres");
    let options = || Options { upkeep: false, ..Options::default() };
    for (address, says) in [
        (format!("{url} namspace=x"), "no option \"namspace\"; there are namespace, upkeep, listen"),
        ("postgres://h/d?connections=0".to_owned(), "connections=\"0\": a number from 1 on"),
        (format!("{url} namespace=pg_foo"), "\"pg_foo\": PostgreSQL keeps names that begin with pg_"),
        (format!("{url} namespace=Foo"), "lower-case"),
    ] {
        let told = PostgresStore::open(&address, options()).await.expect_err(&address);
        assert!(
            matches!(told, OpenError::BadAddress(_)) && told.to_string().contains(says),
            "{address}: {told}"
        );
    }
    drop(PostgresStore::open(&format!("{url} namespace=named upkeep=false"), options()).await.unwrap());
    PostgresStore::erase(&format!("{url} namespace=other"), "named").await.expect_err("one of two");
    assert!(PostgresStore::erase(&format!("{url} namespace=named"), "named").await.unwrap());
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
    let run = "windlass migrate --store 'postgres://…?namespace=by_hand'";
    assert!(told.contains("no schema by_hand: check the namespace") && told.contains(run), "{told}");
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
        let run = "as its owner, windlass, run windlass migrate --store 'postgres://…?namespace=granted'";
        assert!(told.contains(run), "{told}");
    }
}

#[tokio::test]
async fn a_role_that_may_not_make_a_schema_is_told_which_right_it_lacks() {
    let client = client(shared()).await;
    client.batch_execute("CREATE ROLE maker LOGIN").await.unwrap();
    let url = shared().url("postgres").replace("user=windlass", "user=maker");
    let lacks = async |grant: &str, is: &str| {
        let told = open(&url, "unmade", true).await.expect_err("it may not").to_string();
        let run = "windlass migrate --store 'postgres://…?namespace=unmade'";
        assert!(
            [grant, is, run, "check the namespace", "42501"].iter().all(|part| told.contains(part)),
            "{told}"
        );
    };
    lacks("GRANT CREATE ON DATABASE postgres TO ROLE", "there is no schema unmade").await;
    client.batch_execute("CREATE SCHEMA unmade").await.unwrap();
    lacks("GRANT CREATE, USAGE ON SCHEMA unmade TO ROLE", "schema unmade is empty").await;
    // With the one right that it names, and none to make other schemas.
    client.batch_execute("GRANT CREATE, USAGE ON SCHEMA unmade TO maker").await.unwrap();
    let store = open(&url, "unmade", true).await.expect("now it may");
    store.enqueue(vec![job(1)], false, None).await.unwrap().remove(0).unwrap();
    client.batch_execute("UPDATE unmade.schema SET functions = 'other'").await.unwrap();
    open(&url, "unmade", true).await.expect("and the functions are its own to replace");
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
