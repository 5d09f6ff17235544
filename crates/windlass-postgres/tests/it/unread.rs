//! Rows that somebody wrote past the checks, or a program before there were any: each costs itself what cannot be read, and
//! its neighbours nothing.

use crate::{claim, client, job, now, queue, shared, store};
use windlass_core::job::ErrorReport;
use windlass_core::name::Tag;
use windlass_core::queue::QueueSettings;
use windlass_core::retry::RetryPolicy;
use windlass_core::store::{Admin, Claim, Edit, Filter, Queue, Settle, Upkeep};
use windlass_core::{JobId, Lease, State, Time, WorkerId};
use windlass_postgres::PostgresStore;

/// Options that no program of ours writes; the first of them name a policy.
const POLICIES: [&str; 9] = [
    r#"{"retry": "never"}"#,
    r#"{"retry": 5}"#,
    r#"{"retry": []}"#,
    r#"{"retry": {"fixed": {}}}"#,
    r#"{"retry": {"list": [1, 2]}}"#,
    r#"{"retry": {"list": {"delays_ms": ["x"]}}}"#,
    r#"{"retry": {"exponential": {"base_ms": 5000}}}"#,
    r#"{"retry": {"fixed": {"delay_ms": "x", "max_failures": "y"}}}"#,
    r#"{"retry": {"fixed": {"delay_ms": 1e400, "max_failures": -1}}}"#,
];
const OTHERS: [&str; 17] = [
    r#"{"timeout_ms": -1}"#,
    r#"{"timeout_ms": "x"}"#,
    r#"{"timeout_ms": 1.5}"#,
    r#"{"timeout_ms": 1e30}"#,
    r#"{"timeout_ms": 1e400}"#,
    r#"{"timeout_ms": 0}"#,
    r#"{"limits": ["twilio"], "tags": ["kept"]}"#,
    r#"{"tags": [1, "kept", "", 1e400, "a\u0085"], "timeout_ms": "x"}"#,
    r#"{"tags": "kept"}"#,
    r#"{"trace": {"a": 1}, "tags": ["kept"]}"#,
    r#"{"expires_at": "soon"}"#,
    r#"{"expires_at": -1e30, "unique": "x"}"#,
    r#"{"unique": {"key": "k", "scope": "foo"}}"#,
    r#"{"unique": {"scope": {"for": {"ttl_ms": "x"}}}}"#,
    r#"[1]"#,
    r#"5"#,
    r#"null"#,
];

/// A store with jobs of which every second one has such options, and those jobs.
async fn strange(schema: &str) -> (PostgresStore, Vec<(JobId, &'static str)>) {
    let store = store(shared(), schema).await;
    let policy = RetryPolicy::Fixed { delay_ms: 7_000, max_failures: 2 };
    store
        .set_queue(queue(), QueueSettings { retry: policy, ..QueueSettings::default() }, None)
        .await
        .unwrap()
        .unwrap();
    let client = client(shared()).await;
    let mut all = Vec::new();
    for (n, options) in POLICIES.iter().chain(&OTHERS).enumerate() {
        // With options of its own at first, so that its row is marked as one that has some.
        let mut one = job(2 * n as u128 + 1);
        one.tags = vec![Tag::new("kept").unwrap()];
        one.expires_at = Some(now().plus_ms(86_400_000));
        let neighbour =
            windlass_core::NewJob { tags: vec![Tag::new("kept").unwrap()], ..job(2 * n as u128 + 2) };
        all.push((one.id, *options));
        store.enqueue(vec![one, neighbour], false, None).await.unwrap();
        let (id, _) = all[n];
        let write = format!("UPDATE {schema}.job SET options = $1::text::jsonb WHERE id = '{id}'");
        client.execute_typed(&write, &[(options, tokio_postgres::types::Type::TEXT)]).await.unwrap();
    }
    // Deeper than a reader of JSON goes.
    let deep = "('{\"trace\": ' || repeat('[', 500) || repeat(']', 500) || '}')::jsonb";
    let deepest = format!("UPDATE {schema}.job SET options = {deep} WHERE id = '{}'", all[all.len() - 1].0);
    client.batch_execute(&deepest).await.unwrap();
    (store, all)
}

async fn settle(store: &PostgresStore, settle_first: Vec<Settle>, at: Option<Time>) {
    let n = settle_first.len();
    let claim = Claim { settle_first, wants: vec![], worker: WorkerId(7), nonce: 9 };
    let settled = store.claim(claim, at).await.unwrap().settled;
    assert!(settled.len() == n && settled.iter().all(Result::is_ok), "{settled:?}");
}

fn failed(lease: Lease) -> Settle {
    let error = ErrorReport { message: "no".into(), ..ErrorReport::default() };
    Settle::Fail { lease, error, retry_in_ms: None, fatal: false }
}

#[tokio::test]
async fn a_batch_with_jobs_that_cannot_be_read_is_claimed_failed_and_completed() {
    let (store, strange) = strange("unread").await;
    let held = claim(&store, 1_000).await;
    assert_eq!(held.len(), 2 * strange.len(), "all of them, in one batch");
    let is_strange = |id: JobId| strange.iter().find(|(other, _)| *other == id).map(|(_, options)| *options);
    for held in &held {
        assert_eq!(
            (held.timeout_ms, held.trace.as_deref()),
            (None, None),
            "{:?}",
            is_strange(held.lease.job)
        );
        let keeps = is_strange(held.lease.job)
            .is_none_or(|options| options.contains(r#"["kept"]"#) || options.contains(r#""kept","#));
        let tags: Vec<&str> = held.tags.iter().map(Tag::as_str).collect();
        assert_eq!(tags, if keeps { vec!["kept"] } else { vec![] }, "{:?}", is_strange(held.lease.job));
    }
    let at = Time(held[0].enqueued_at.0 + 1_000);
    let of = |lease: Lease| if is_strange(lease.job).is_some() { failed(lease) } else { complete(lease) };
    settle(&store, held.iter().map(|held| of(held.lease)).collect(), Some(at)).await;
    for (id, options) in &strange {
        let job = store.get(*id).await.unwrap().unwrap();
        assert_eq!(
            (job.view.state, job.view.since),
            (State::Retrying, at.plus_ms(7_000)),
            "the queue's policy: {options}"
        );
    }
    assert_eq!(
        store.queues(Some(queue()), None).await.unwrap()[0].counts.of(State::Completed),
        strange.len() as u64
    );
    let later = at.plus_ms(8_000);
    store.upkeep(1_000, Some(later)).await.unwrap();
    let wants = vec![(queue(), 1_000)];
    let again =
        store.claim(Claim { settle_first: vec![], wants, worker: WorkerId(7), nonce: 9 }, Some(later)).await;
    let again = again.unwrap().jobs;
    assert_eq!(again.len(), strange.len());
    settle(&store, again.iter().map(|held| failed(held.lease)).collect(), Some(later)).await;
    let dead = Filter { states: vec![State::Dead], ..Filter::default() };
    let dead = store.list(dead, None, 1_000, 10_000).await.unwrap().unwrap().items;
    assert_eq!(dead.len(), strange.len(), "after as many failures as the queue's policy allows");
}

fn complete(lease: Lease) -> Settle {
    Settle::Complete { lease, result: None, then: vec![] }
}

#[tokio::test]
async fn jobs_that_cannot_be_read_are_shown_changed_and_deleted_with_all_others() {
    let (store, strange) = strange("unread_shown").await;
    let every = || store.list(Filter::default(), None, 1_000, 10_000);
    let all: Vec<JobId> = every().await.unwrap().unwrap().items.iter().map(|view| view.id).collect();
    assert_eq!(all.len(), 2 * strange.len());
    let tagged = Filter { tag: Some(Tag::new("kept").unwrap()), ..Filter::default() };
    assert!(store.list(tagged, None, 1_000, 10_000).await.unwrap().unwrap().items.len() > strange.len());
    for by_id in all.chunks(7) {
        let filter = Filter { ids: by_id.to_vec(), ..Filter::default() };
        assert_eq!(store.list(filter, None, 1_000, 10_000).await.unwrap().unwrap().items.len(), by_id.len());
    }
    assert!(store.bodies(all.clone()).await.unwrap().iter().all(Option::is_some));
    for (id, options) in &strange {
        let job = store.get(*id).await.unwrap().unwrap();
        assert_eq!((job.retry, job.timeout_ms), (None, None), "{options}");
        assert!(job.limits.is_empty() && job.unique.is_none() && job.expires_at.is_none(), "{options}");
    }
    let edit =
        |id: &JobId| Edit { id: *id, payload: None, priority: Some(1), run_at: Some(now().plus_ms(60_000)) };
    let ok =
        |told: Vec<Result<(), windlass_core::Rejection>>| assert!(told.iter().all(Result::is_ok), "{told:?}");
    ok(store.edit(all.iter().map(edit).collect(), None).await.unwrap());
    ok(store.run_now(all.clone(), None).await.unwrap());
    assert!(store.cancel(all.clone(), None).await.unwrap().iter().all(Result::is_ok));
    ok(store.retry(all.clone(), None).await.unwrap());
    ok(store.delete(all, None).await.unwrap());
    assert!(every().await.unwrap().unwrap().items.is_empty());
}

#[tokio::test]
async fn a_policy_beyond_every_number_ends_in_the_longest_delay() {
    let store = store(shared(), "unread_far").await;
    let client = client(shared()).await;
    let policies = [
        r#"{"fixed": {"delay_ms": 18446744073709551615, "max_failures": 4294967295}}"#,
        r#"{"list": {"delays_ms": [18446744073709551615]}}"#,
        r#"{"exponential": {"base_ms": 18446744073709551615, "cap_ms": 18446744073709551615, "max_failures": 5}}"#,
        r#"{"exponential": {"base_ms": 9223372036854775807, "cap_ms": 18446744073709551615, "max_failures": 5, "jitter": "none"}}"#,
    ];
    for (n, policy) in policies.iter().enumerate() {
        let one = job(n as u128 + 1);
        store.enqueue(vec![one.clone()], false, None).await.unwrap();
        let write =
            format!("UPDATE unread_far.job SET options = '{{\"retry\": {policy}}}' WHERE id = '{}'", one.id);
        client.batch_execute(&write).await.unwrap();
    }
    let held = claim(&store, 9).await;
    let at = now();
    settle(&store, held.iter().map(|held| failed(held.lease)).collect(), Some(at)).await;
    for held in held {
        let job = store.get(held.lease.job).await.unwrap().unwrap();
        assert_eq!(
            (job.view.state, job.view.since),
            (State::Retrying, at.plus_ms(316_224_000_000)),
            "{:?}",
            job.retry
        );
        assert!(job.retry.is_some(), "it is read as what it says");
    }
}

#[tokio::test]
async fn a_limit_without_a_name_shuts_nobody_out() {
    let store = store(shared(), "unread_limits").await;
    let client = client(shared()).await;
    // As `enqueue_many` took them in before it looked.
    for (n, set) in ["=1", "a b=1", "t=-1"].iter().enumerate() {
        let id = job(n as u128 + 1).id;
        let sql = format!(
            "SELECT unread_limits.enqueue_lots(NULL, '{{{id}}}', '{{q}}', '{{k}}', ARRAY['{{}}'::bytea], '{{\"\"}}', '{{0}}', ARRAY['{set}'],
               '{{NULL}}', '{{NULL}}', ARRAY['{{\"limits\": [\"twilio\"]}}'::jsonb], true)"
        );
        client.query_one(&sql, &[]).await.unwrap();
    }
    store.enqueue(vec![job(9)], false, None).await.unwrap();
    let held = claim(&store, 9).await;
    assert_eq!(held.len(), 4);
    let limits = store.limits(None, 1).await.unwrap();
    let shown: Vec<(&str, u64)> = limits.items.iter().map(|info| (info.name.as_str(), info.in_use)).collect();
    assert_eq!((shown, limits.next), (vec![("t", 0)], None));
    settle(&store, held.iter().map(|held| complete(held.lease)).collect(), None).await;
}
