//! I13: what is enqueued or completed in a caller's transaction exists if and only if the transaction commits, whatever
//! driver carries it.

use crate::driver::{Driver, by_each_driver};
use crate::{claim, client, complete, job, queue, shared, store};
use windlass_core::job::{OnConflict, Unique, UniqueScope};
use windlass_core::limit::LimitUse;
use windlass_core::name::{LimitName, UniqueKey};
use windlass_core::store::{Admin, EnqueueStatus, Queue, Upkeep};
use windlass_core::{NewJob, Rejection, State};

by_each_driver! {
    a_job_of_a_transaction_is_seen_when_it_commits_and_never_when_it_does_not in "commit";
    a_savepoint_that_is_rolled_back_takes_its_jobs_with_it in "savepoint";
    an_open_transaction_holds_up_no_enqueue_and_no_claim_of_others in "open_tx";
    a_key_that_a_rolled_back_transaction_held_is_free in "keys";
    a_completion_in_a_transaction_is_one_with_its_effects in "done_in";
    a_lease_that_runs_out_while_its_transaction_is_open_is_honoured_if_it_commits in "late_tx";
    a_batch_that_names_a_job_twice_takes_it_once in "twice";
}

async fn a_job_of_a_transaction_is_seen_when_it_commits_and_never_when_it_does_not<D: Driver>(schema: &str) {
    let store = store(shared(), schema).await;
    let mut tx = D::connect(shared()).await;
    for (n, commits) in [(1, true), (2, false)] {
        let new = NewJob { limits: vec![LimitUse { name: LimitName::new("l").unwrap(), cost: 1 }], ..job(n) };
        tx.run("BEGIN").await;
        let answer = tx.enqueue_one(schema, &new).await;
        assert_eq!((answer.status, answer.state), (EnqueueStatus::Created, State::Ready));
        assert!(store.get(new.id).await.unwrap().is_none(), "not before the commit");
        assert!(claim(&store, 9).await.is_empty(), "and it is no work yet");
        if commits {
            tx.run("COMMIT").await;
            let held = claim(&store, 9).await;
            assert_eq!(held[0].lease.job, new.id);
            complete(&store, &held[0].lease).await.unwrap();
        } else {
            tx.run("ROLLBACK").await;
            assert!(store.get(new.id).await.unwrap().is_none());
            assert!(claim(&store, 9).await.is_empty());
            assert_eq!(store.queues(Some(queue()), None).await.unwrap()[0].totals.enqueued, 1);
        }
    }
}

async fn a_savepoint_that_is_rolled_back_takes_its_jobs_with_it<D: Driver>(schema: &str) {
    let store = store(shared(), schema).await;
    let mut tx = D::connect(shared()).await;
    let (kept, gone) = (job(1), job(2));
    tx.run("BEGIN").await;
    tx.enqueue_one(schema, &kept).await;
    tx.run("SAVEPOINT s").await;
    tx.enqueue_one(schema, &gone).await;
    tx.run("ROLLBACK TO s").await;
    tx.run("COMMIT").await;
    let held = claim(&store, 9).await;
    assert_eq!(held.iter().map(|job| job.lease.job).collect::<Vec<_>>(), [kept.id]);
}

async fn an_open_transaction_holds_up_no_enqueue_and_no_claim_of_others<D: Driver>(schema: &str) {
    let store = store(shared(), schema).await;
    let mut tx = D::connect(shared()).await;
    tx.run("BEGIN").await;
    tx.enqueue_in(schema, &[job(1)]).await.unwrap().remove(0).unwrap();
    let other = job(2);
    store.enqueue(vec![other.clone()], false, None).await.unwrap().remove(0).unwrap();
    let held = claim(&store, 9).await;
    assert_eq!(held[0].lease.job, other.id);
    complete(&store, &held[0].lease).await.unwrap();
    tx.run("COMMIT").await;
    assert_eq!(claim(&store, 9).await.len(), 1, "what became visible late is not passed over");
}

async fn a_key_that_a_rolled_back_transaction_held_is_free<D: Driver>(schema: &str) {
    let store = store(shared(), schema).await;
    let mut tx = D::connect(shared()).await;
    let unique = |on_conflict| {
        Some(Unique { key: UniqueKey::new("k").unwrap(), scope: UniqueScope::WhileLive, on_conflict })
    };
    tx.run("BEGIN").await;
    let first = NewJob { unique: unique(OnConflict::Existing), ..job(1) };
    tx.enqueue_one(schema, &first).await;
    let second = NewJob { unique: unique(OnConflict::Existing), ..job(2) };
    let waits = tokio::spawn({
        let (store, second) = (store.clone(), second.clone());
        async move { store.enqueue(vec![second], false, None).await.unwrap().remove(0).unwrap() }
    });
    tx.run("ROLLBACK").await;
    let answer = waits.await.unwrap();
    assert_eq!((answer.id, answer.status), (second.id, EnqueueStatus::Created));
    let refused = NewJob { unique: unique(OnConflict::Replace), ..job(3) };
    tx.run("BEGIN").await;
    let answer = tx.enqueue_in(schema, &[refused]).await.unwrap().remove(0);
    assert!(matches!(answer, Err(Rejection::Invalid { what: "unique key", .. })), "{answer:?}");
}

#[tokio::test]
async fn any_language_enqueues_by_sql_and_is_refused_in_words() {
    let store = store(shared(), "by_sql").await;
    let client = client(shared()).await;
    let one = "SELECT by_sql.enqueue('q', 'mail', '{\"to\": 7}', \"group\" => 'g', priority => 3, unique_key => 'once')::text";
    let id: String = client.query_one(one, &[]).await.unwrap().get(0);
    let again: String = client.query_one(one, &[]).await.unwrap().get(0);
    assert_eq!(id, again, "the key is held");
    let held = claim(&store, 9).await;
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].lease.job.to_string(), id);
    assert_eq!((held[0].payload.as_slice(), held[0].priority), (&b"{\"to\": 7}"[..], 3));
    let many = "SELECT count(*) FROM by_sql.enqueue_many('[{\"queue\":\"q\",\"kind\":\"a\"},{\"queue\":\"q\",\"kind\":\"b\",\"delay_ms\":60000}]')";
    assert_eq!(client.query_one(many, &[]).await.unwrap().get::<_, i64>(0), 2);
    let counts = store.queues(Some(queue()), None).await.unwrap()[0].counts;
    assert_eq!((counts.of(State::Ready), counts.of(State::Scheduled), counts.of(State::Running)), (1, 1, 1));
    for bad in [
        "by_sql.enqueue('no name', 'k')",
        "by_sql.enqueue('q', 'k', priority => 10)",
        "by_sql.enqueue('q', 'k', options => '{\"delay\": \"10m\"}')",
        "by_sql.enqueue_many('[{\"queue\": \"q\", \"kind\": \"k\", \"grup\": \"x\"}]')",
        "by_sql.enqueue_many('{\"queue\": \"q\", \"kind\": \"k\"}')",
        "by_sql.enqueue_many('[7]')",
    ] {
        let told = client.query_one(&format!("SELECT {bad}"), &[]).await.expect_err(bad);
        assert_eq!(told.code().map(|code| code.code().to_owned()), Some("WL400".to_owned()), "{told}");
    }
}

async fn a_completion_in_a_transaction_is_one_with_its_effects<D: Driver>(schema: &str) {
    let store = store(shared(), schema).await;
    let mut tx = D::connect(shared()).await;
    tx.run(&format!("CREATE TABLE effect_{schema} (id int)")).await;
    let (first, second) = (job(1), job(2));
    store.enqueue(vec![first.clone(), second.clone()], false, None).await.unwrap();
    let held = claim(&store, 2).await;
    tx.run("BEGIN").await;
    tx.run(&format!("INSERT INTO effect_{schema} VALUES (1)")).await;
    tx.complete_in(schema, &held[0].lease, Some(b"ok")).await.unwrap().unwrap();
    assert_eq!(store.get(first.id).await.unwrap().unwrap().view.state, State::Running);
    assert!(store.heartbeat(vec![held[0].lease], None).await.unwrap()[0].is_ok(), "it is still held");
    tx.run("COMMIT").await;
    let job = store.get(first.id).await.unwrap().unwrap();
    assert_eq!((job.view.state, job.result.as_deref()), (State::Completed, Some(&b"ok"[..])));
    assert_eq!(complete(&store, &held[0].lease).await, Ok(()), "a second acknowledgement is one");

    tx.run("BEGIN").await;
    tx.run(&format!("INSERT INTO effect_{schema} VALUES (2)")).await;
    tx.complete_in(schema, &held[1].lease, None).await.unwrap().unwrap();
    tx.run("ROLLBACK").await;
    assert_eq!(store.get(second.id).await.unwrap().unwrap().view.state, State::Running, "neither exists");
    complete(&store, &held[1].lease).await.unwrap();
    tx.run("BEGIN").await;
    let late = tx.complete_in(schema, &held[1].lease, None).await.unwrap();
    assert_eq!(late, Err(Rejection::Stale));
    tx.run("ROLLBACK").await;
    assert_eq!(shared().sql(&format!("SELECT count(*) FROM effect_{schema}")), "1");
}

async fn a_lease_that_runs_out_while_its_transaction_is_open_is_honoured_if_it_commits<D: Driver>(
    schema: &str,
) {
    let store = store(shared(), schema).await;
    let mut tx = D::connect(shared()).await;
    let new = job(1);
    store.enqueue(vec![new.clone()], false, None).await.unwrap();
    let held = claim(&store, 1).await;
    tx.run("BEGIN").await;
    tx.complete_in(schema, &held[0].lease, None).await.unwrap().unwrap();
    let after = held[0].lease.deadline.plus_ms(60_000);
    store.upkeep(100, Some(after)).await.unwrap();
    assert_eq!(store.get(new.id).await.unwrap().unwrap().view.state, State::Running);
    tx.run("COMMIT").await;
    store.upkeep(100, Some(after)).await.unwrap();
    assert_eq!(store.get(new.id).await.unwrap().unwrap().view.state, State::Completed);
}

async fn a_batch_that_names_a_job_twice_takes_it_once<D: Driver>(schema: &str) {
    let store = store(shared(), schema).await;
    let mut tx = D::connect(shared()).await;
    let new = job(1);
    tx.run("BEGIN").await;
    let answers = tx.enqueue_in(schema, &[new.clone(), new.clone()]).await.unwrap();
    tx.run("COMMIT").await;
    let told: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().status).collect();
    assert_eq!(told, [EnqueueStatus::Created, EnqueueStatus::Known]);
    let held = claim(&store, 9).await;
    assert_eq!(held.len(), 1);
}
