//! What users write of a job in SQL: taken in the forms that readers understand, and refused in words otherwise.

use crate::{claim, client, job, now, queue, shared, store};
use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use windlass_core::job::{JobOptions, OnConflict, Unique, UniqueScope};
use windlass_core::limit::LimitUse;
use windlass_core::name::{LimitName, Tag, UniqueKey};
use windlass_core::retry::{Jitter, RetryPolicy};
use windlass_core::store::Admin;
use windlass_core::{NewJob, State, Time};
use windlass_testkit::Dice;

/// Calls in one statement what answers one value as text, or says in whose words and with which code it was refused.
async fn call(client: &Client, call: &str, given: &Value) -> Result<String, (String, String)> {
    let sql = format!("SELECT ({call})::text");
    match client.query_typed(&sql, &[(&given.to_string(), Type::TEXT)]).await {
        Ok(rows) => Ok(rows[0].get(0)),
        Err(why) => {
            let told = why.as_db_error().unwrap_or_else(|| panic!("{call} {given}: {why}"));
            Err((told.code().code().to_owned(), told.message().to_owned()))
        }
    }
}

#[tokio::test]
async fn what_no_reader_understands_is_refused_at_the_statement_with_its_field() {
    let store = store(shared(), "unreadable").await;
    let client = client(shared()).await;
    let policy =
        ["is not a policy", r#""never""#, r#""fixed(10s,max=5)""#, r#"{"fixed": {"delay_ms": 10000"#];
    let limit = ["is not a limit", r#""gpu=2" or {"name": "gpu", "cost": 2}"#];
    let time = ["is not a time in whole milliseconds since 1970, as 1767225600000"];
    let span = ["is not a time in whole milliseconds from 1 on, as 30000"];
    let delay = ["is not a delay in whole milliseconds", "300000"];
    let key = ["is not text of 1 to 255 bytes"];
    let scope = [r#"none of "while_live", "until_start" and {"for": {"ttl_ms": 3600000}}"#];
    let unique = [r#"write {"key": "order:7"}"#];
    let all: Vec<(&str, &[&str], Vec<Value>)> = vec![
        (
            "retry",
            &policy,
            vec![json!("sometimes"), json!(5), json!(true), json!([]), json!({ "fixed": {} })],
        ),
        (
            "retry",
            &policy,
            vec![json!({"list": [1, 2]}), json!({"exponential": {"base_ms": 5000}}), json!({})],
        ),
        ("retry", &policy, vec![json!({"fixed": {"delay_ms": 1, "max_failures": 1, "x": 1}})]),
        ("retry", &policy, vec![json!({"fixed": {"delay_ms": 1.5, "max_failures": 1}}), json!("fixed()")]),
        (
            "retry",
            &policy,
            vec![json!("never(1)"), json!("list(1)"), json!("exponential(base)"), json!("fixed(1s")],
        ),
        (
            "retry",
            &policy,
            vec![json!("fixed(1s,jitter=none)"), json!("exponential(jitter=some)"), json!("")],
        ),
        (
            "retry",
            &["not between 1 and 1,000"],
            vec![json!("fixed(1s,max=0)"), json!("exponential(max=1001)")],
        ),
        (
            "retry",
            &["30 days"],
            vec![json!("list(1s,31d)"), json!({"list": {"delays_ms": [2_592_000_001_u64]}})],
        ),
        ("retry", &["never grows"], vec![json!("exponential(base=0s)")]),
        ("retry", &["is more than cap_ms"], vec![json!("exponential(base=2h)")]),
        ("retry", &["101 delays"], vec![json!({"list": {"delays_ms": vec![1; 101]}})]),
        ("timeout_ms", &span, vec![json!(-1), json!("x"), json!("30s"), json!(1.5), json!(1e30), json!(0)]),
        (
            "limits",
            &["is not a list", r#"["twilio", "gpu=2"]"#],
            vec![json!("abc"), json!({"name": "t"}), json!(1)],
        ),
        ("limits", &limit, vec![json!(["a b"]), json!(["t=0"]), json!(["t=x"]), json!([1]), json!([null])]),
        ("limits", &limit, vec![json!([{"name": "t", "cost": -1}]), json!([{"name": "t", "cost": 0}])]),
        (
            "limits",
            &limit,
            vec![json!([{"cost": 1}]), json!([{"name": "t", "x": 1}]), json!(["t=4294967296"])],
        ),
        ("limits", &["t is named twice"], vec![json!(["t", {"name": "t", "cost": 2}])]),
        ("limits", &["5 are more than 4"], vec![json!(["a", "b", "c", "d", "e"])]),
        ("tags", &["is not a list"], vec![json!("a"), json!({"a": 1})]),
        (
            "tags",
            &key,
            vec![json!([1, 2]), json!([""]), json!(["a\nb"]), json!(["a\u{85}"]), json!(["x".repeat(256)])],
        ),
        ("tags", &["9 are more than 8"], vec![json!(["a", "b", "c", "d", "e", "f", "g", "h", "i"])]),
        (
            "trace",
            &["is not text of at most 255 bytes"],
            vec![json!({"a": 1}), json!(7), json!("x".repeat(256))],
        ),
        ("expires_at", &time, vec![json!("2026"), json!("2026-01-01"), json!(-1), json!(1.5), json!(1e30)]),
        ("run_at", &time, vec![json!("2026-01-01"), json!(-1)]),
        ("run_at", &["more than ten years ahead"], vec![json!(1e18)]),
        ("delay_ms", &delay, vec![json!(-1), json!("10m"), json!(316_224_000_001_u64)]),
        (
            "unique",
            &unique,
            vec![json!("order:7"), json!({}), json!({"key": "k", "bogus": 1}), json!(["key"])],
        ),
        ("unique.key", &key, vec![json!({"key": 7}), json!({"key": ""})]),
        ("unique.scope", &scope, vec![json!({"key": "k", "scope": "foo"}), json!({"key": "k", "scope": 1})]),
        (
            "unique.scope",
            &scope,
            vec![json!({"key": "k", "scope": {"for": {}}}), json!({"key": "k", "scope": {}})],
        ),
        ("unique.scope", &scope, vec![json!({"key": "k", "scope": {"for": {"ttl_ms": 1, "x": 1}}})]),
        ("unique.on_conflict", &["store's own verb"], vec![json!({"key": "k", "on_conflict": "replace"})]),
        (
            "unique.on_conflict",
            &[r#""existing" and "refuse""#],
            vec![json!({"key": "k", "on_conflict": "x"})],
        ),
        ("priority", &["whole number from -9 to 9"], vec![json!(10), json!(1.5), json!("3")]),
        ("group", &key, vec![json!(""), json!(7), json!("a\u{85}")]),
        ("id", &["is not a UUID", "new_id()"], vec![json!("x"), json!(7)]),
        ("id", &["must not be nil"], vec![json!("00000000-0000-0000-0000-000000000000")]),
        ("id", &["1 h in the future", "version 7"], vec![json!("ffffffff-ffff-4000-8000-000000000000")]),
        ("parents", &["store's own verb"], vec![json!([])]),
    ];
    for (field, says, values) in all {
        for value in values {
            let options = json!({ field.split('.').next().unwrap(): value });
            let (code, told) = call(&client, "unreadable.enqueue('q', 'k', options => $1::jsonb)", &options)
                .await
                .expect_err(&options.to_string());
            assert_eq!(code, "WL400", "{options}: {told}");
            assert!(told.starts_with(&format!("{field}: ")), "{options}: {told}");
            assert!(says.iter().all(|says| told.contains(says)), "{options}: {told}");
            let mut second = json!({ "queue": "q", "kind": "k" });
            second.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
            let batch = json!([{ "queue": "q", "kind": "k" }, second]);
            let many = "SELECT count(*) FROM unreadable.enqueue_many($1::jsonb)";
            let again = call(&client, many, &batch).await.expect_err("the same job");
            assert_eq!(again, (code, format!("job 2 of the batch: {told}")), "in a batch it says which");
        }
    }
    assert_eq!(store.info().await.unwrap().jobs, 0, "and nothing of it is there");
}

#[tokio::test]
async fn an_argument_that_makes_no_sense_is_refused_with_its_name() {
    drop(store(shared(), "arguments").await);
    let client = client(shared()).await;
    for (arguments, says) in [
        ("'q', 'k', payload => NULL", "payload: is NULL"),
        ("NULL, 'k'", "queue: nothing is not a name"),
        ("'q', 'no kind'", r#"kind: "no kind" is not a name"#),
        ("'q', 'k', delay => '-1 minute'", "delay_ms: -60000"),
        ("'q', 'k', id => '00000000-0000-0000-0000-000000000000'", "id: must not be nil"),
        ("'q', 'k', options => '[1]'", "options: [1] is not an object"),
        ("'q', 'k', options => '\"x\"'", "options: \"x\" is not an object"),
        (
            "'q', 'k', delay => '1 minute', options => '{\"run_at\": 1}'",
            "delay_ms: run_at and delay_ms exclude",
        ),
        // One of the two would be lost.
        ("'q', 'k', options => '{\"payload\": 1}'", "options: payload is given by an argument"),
        (
            "'q', 'k', \"group\" => 'a', options => '{\"group\": \"b\"}'",
            "options: group is given by an argument",
        ),
        (
            "'q', 'k', priority => 1, options => '{\"priority\": 2}'",
            "options: priority is given by an argument",
        ),
        (
            "'q', 'k', unique_key => 'a', options => '{\"unique\": {\"key\": \"a\"}}'",
            "options: unique is given",
        ),
    ] {
        let told = client.query_one(&format!("SELECT arguments.enqueue({arguments})"), &[]).await;
        let told = told.expect_err(arguments);
        let told = told.as_db_error().unwrap();
        assert_eq!(told.code().code(), "WL400", "{arguments}: {told}");
        assert!(told.message().starts_with(says), "{arguments}: {told}");
    }
    let quiet = "SELECT arguments.enqueue('q', 'k', 'null', NULL, NULL, NULL, NULL, NULL, NULL)";
    client
        .query_one(quiet, &[])
        .await
        .expect("what may be left out may be NULL, and JSON has a null of its own");
    let none = "SELECT count(*) FROM arguments.enqueue_many((SELECT jsonb_agg(1) FROM pg_class WHERE false))";
    assert_eq!(client.query_one(none, &[]).await.unwrap().get::<_, i64>(0), 0, "of no rows, no jobs");
}

#[tokio::test]
async fn every_form_that_the_page_lists_is_taken_and_read_back() {
    let store = store(shared(), "forms").await;
    let client = client(shared()).await;
    let exponential = |base_ms, cap_ms, max_failures, jitter| {
        Some(RetryPolicy::Exponential { base_ms, cap_ms, max_failures, jitter })
    };
    let fixed = |delay_ms, max_failures| Some(RetryPolicy::Fixed { delay_ms, max_failures });
    let list = |delays_ms: &[u64]| Some(RetryPolicy::List { delays_ms: delays_ms.to_vec() });
    for (given, policy) in [
        (json!("never"), Some(RetryPolicy::never())),
        (json!("default"), Some(RetryPolicy::default())),
        (json!("fixed(10s,max=5)"), fixed(10_000, 5)),
        (json!("fixed(1h30m)"), fixed(5_400_000, 12)),
        (json!("list(1s, 10s, 1m)"), list(&[1_000, 10_000, 60_000])),
        (
            json!("exponential(base=250ms,cap=1d,max=3,jitter=none)"),
            exponential(250, 86_400_000, 3, Jitter::None),
        ),
        (json!("exponential(jitter=full)"), Some(RetryPolicy::default())),
        (json!({"fixed": {"delay_ms": 10000, "max_failures": 5}}), fixed(10_000, 5)),
        (json!({"list": {"delays_ms": [1000, 10000]}}), list(&[1_000, 10_000])),
        (
            json!({"exponential": {"base_ms": 1, "cap_ms": 2, "max_failures": 3}}),
            exponential(1, 2, 3, Jitter::Full),
        ),
    ] {
        let id =
            call(&client, "forms.enqueue('q', 'k', options => $1::jsonb)", &json!({ "retry": given })).await;
        let id = id.unwrap_or_else(|why| panic!("{given}: {why:?}"));
        let job = store.get(id.parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(job.retry, policy, "{given}");
    }
    let limit = |name: &str, cost| LimitUse { name: LimitName::new(name).unwrap(), cost };
    let options = json!({
        "limits": ["twilio", "gpu=2", {"name": "smtp"}, {"name": "db", "cost": 3}], "tags": ["eu", "Öl"], "trace": "00-1",
        "unique": {"key": "order:7", "scope": {"for": {"ttl_ms": 60000}}, "on_conflict": "refuse"}, "priority": 3,
        "expires_at": 99999999999999_u64, "timeout_ms": 30000, "group": "customer 3", "retry": null, "run_at": 1,
    });
    let id =
        call(&client, "forms.enqueue('q', 'k', '{\"a\": 1}', options => $1::jsonb)", &options).await.unwrap();
    let job = store.get(id.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(job.limits, [limit("twilio", 1), limit("gpu", 2), limit("smtp", 1), limit("db", 3)]);
    assert_eq!(job.view.tags, [Tag::new("eu").unwrap(), Tag::new("Öl").unwrap()]);
    let scope = UniqueScope::For { ttl_ms: 60_000 };
    let unique = Unique { key: UniqueKey::new("order:7").unwrap(), scope, on_conflict: OnConflict::Refuse };
    assert_eq!(job.unique, Some(unique));
    assert_eq!((job.expires_at, job.timeout_ms), (Some(Time(99_999_999_999_999)), Some(30_000)));
    assert_eq!((job.trace.as_deref(), job.view.priority, job.retry), (Some("00-1"), 3, None));
    assert_eq!(job.view.group.as_ref().map(|group| group.as_str()), Some("customer 3"));
    let claimed = claim(&store, 100).await;
    assert_eq!(
        (claimed.len(), claimed[0].lease.job.to_string()),
        (11, id),
        "all are work, the urgent one first"
    );
    let taken: Vec<(String, u64)> = store
        .limits(None, 10)
        .await
        .unwrap()
        .items
        .iter()
        .map(|info| (info.name.to_string(), info.in_use))
        .collect();
    let names = [("db", 3), ("gpu", 2), ("smtp", 1), ("twilio", 1)];
    assert_eq!(taken, names.map(|(name, cost)| (name.to_owned(), cost)), "and it takes its limits");
}

/// The JSON that a row of the page's table writes as code.
fn examples(field: &str) -> Vec<Value> {
    let page = include_str!("../../../../docs/postgres.md");
    let start = format!("| `{field}` |");
    let row = page.lines().find(|line| line.starts_with(&start)).expect("the page has a row for it");
    let forms = row[start.len()..].split(" (without").next().unwrap();
    forms.split('`').skip(1).step_by(2).map(|code| serde_json::from_str(code).expect(code)).collect()
}

#[tokio::test]
async fn every_example_of_the_page_is_taken() {
    let store = store(shared(), "examples").await;
    let client = client(shared()).await;
    let mut taken = 0;
    for field in ["retry", "limits"] {
        for value in examples(field) {
            let options = json!({ field: value });
            let told = call(&client, "examples.enqueue('q', 'k', options => $1::jsonb)", &options).await;
            told.unwrap_or_else(|why| panic!("{options}: {why:?}"));
            taken += 1;
        }
    }
    assert_eq!((taken, claim(&store, 100).await.len()), (10, 10));
}

#[tokio::test]
async fn a_job_that_stands_twice_in_a_batch_by_sql_is_one() {
    let store = store(shared(), "stands_twice").await;
    let client = client(shared()).await;
    let id = job(1).id.to_string();
    let item = |id: &str| json!({ "queue": "q", "kind": "k", "id": id });
    let batch = json!([item(&id), { "queue": "q", "kind": "k" }, item(&id.to_uppercase())]);
    let statuses = "SELECT string_agg(status, ' ') FROM stands_twice.enqueue_many($1::jsonb)";
    assert_eq!(call(&client, statuses, &batch).await.unwrap(), "created created known");
    assert_eq!(claim(&store, 9).await.len(), 2);
    assert_eq!(store.queues(Some(queue()), None).await.unwrap()[0].counts.of(State::Ready), 0);
}

/// Anything that JSON can say, with the words and numbers of options among it more often than by chance.
fn anything(dice: &mut Dice, depth: u32) -> Value {
    const WORDS: [&str; 14] = [
        "name",
        "cost",
        "key",
        "scope",
        "on_conflict",
        "for",
        "ttl_ms",
        "fixed",
        "list",
        "exponential",
        "delay_ms",
        "delays_ms",
        "max_failures",
        "base_ms",
    ];
    const TEXTS: [&str; 18] = [
        "",
        "a",
        "a b",
        "gpu=2",
        "gpu=",
        "=",
        "never",
        "default",
        "fixed(1s)",
        "list(1s,2m)",
        "exponential(max=2)",
        "while_live",
        "until_start",
        "existing",
        "refuse",
        "replace",
        "\u{85}",
        "5",
    ];
    const NUMBERS: [f64; 9] = [0.0, 1.0, 2.0, 1_000.0, -1.0, 1.5, 1e15, 1e19, 1e30];
    match dice.below(if depth == 0 { 4 } else { 7 }) {
        0 => json!(dice.pick(&TEXTS)),
        1 => json!(dice.pick(&NUMBERS)),
        2 => json!(dice.pick(&[0_u64, 1, 2, 5, 100, 100_000, u64::MAX])),
        3 => json!(dice.chance(50).then_some(true)),
        4 => Value::Array((0..dice.below(6)).map(|_| anything(dice, depth - 1)).collect()),
        _ => {
            let mut field = || (dice.pick(&WORDS).to_string(), anything(dice, depth - 1));
            Value::Object([field(), field(), field()].into_iter().take(1 + (depth as usize % 3)).collect())
        }
    }
}

/// Whatever is taken, a strict reader understands, and it keeps the rules of the contract.
#[tokio::test]
async fn what_is_taken_is_always_understood() {
    drop(store(shared(), "anything").await);
    let client = client(shared()).await;
    let mut dice = Dice::new("what_is_taken_is_always_understood");
    let mut taken = 0;
    for _ in 0..4_000 {
        let fields = ["retry", "unique", "limits", "tags", "expires_at", "timeout_ms", "trace"];
        let depth = u32::try_from(dice.below(4)).unwrap();
        let given = json!({ *dice.pick(&fields): anything(&mut dice, depth) });
        let id = match call(&client, "anything.enqueue('q', 'k', options => $1::jsonb)", &given).await {
            Ok(id) => id,
            Err((code, told)) => {
                assert_eq!(code, "WL400", "{given}: {told}");
                continue;
            }
        };
        taken += 1;
        let kept = format!("SELECT options::text FROM anything.job WHERE id = '{id}'");
        let kept: Option<String> = client.query_one(&kept, &[]).await.unwrap().get(0);
        let options: JobOptions = serde_json::from_str(kept.as_deref().unwrap_or("{}"))
            .unwrap_or_else(|why| panic!("{given}: {why}"));
        let JobOptions { retry, unique, limits, tags, expires_at, timeout_ms, trace, .. } = options;
        let read = NewJob { retry, unique, limits, tags, expires_at, timeout_ms, trace, ..job(1) };
        read.validate(now()).unwrap_or_else(|why| panic!("{given}: {why}"));
    }
    assert!(taken > 200, "{taken}");
}
