//! I13: what is enqueued or completed in a caller's transaction exists if and only if the transaction commits.

use crate::{claim, client, complete, job, queue, shared, store};
use windlass_core::job::{OnConflict, Unique, UniqueScope};
use windlass_core::limit::LimitUse;
use windlass_core::name::{LimitName, UniqueKey};
use windlass_core::store::{Admin, EnqueueStatus, Queue, Upkeep};
use windlass_core::{NewJob, Rejection, State};
use windlass_postgres::{complete_in, enqueue_in};

#[tokio::test]
async fn a_job_of_a_transaction_is_seen_when_it_commits_and_never_when_it_does_not() {
    let store = store(shared(), "commit").await;
    let mut client = client(shared()).await;
    for (n, commits) in [(1, true), (2, false)] {
        let new = NewJob { limits: vec![LimitUse { name: LimitName::new("l").unwrap(), cost: 1 }], ..job(n) };
        let tx = client.transaction().await.unwrap();
        let answer = enqueue_in(&tx, "commit", std::slice::from_ref(&new)).await.unwrap().remove(0).unwrap();
        assert_eq!((answer.status, answer.state), (EnqueueStatus::Created, State::Ready));
        assert!(store.get(new.id).await.unwrap().is_none(), "not before the commit");
        assert!(claim(&store, 9).await.is_empty(), "and it is no work yet");
        if commits {
            tx.commit().await.unwrap();
            let held = claim(&store, 9).await;
            assert_eq!(held[0].lease.job, new.id);
            complete(&store, &held[0].lease).await.unwrap();
        } else {
            tx.rollback().await.unwrap();
            assert!(store.get(new.id).await.unwrap().is_none());
            assert!(claim(&store, 9).await.is_empty());
            assert_eq!(store.queues(Some(queue()), None).await.unwrap()[0].totals.enqueued, 1);
        }
    }
}

#[tokio::test]
async fn a_savepoint_that_is_rolled_back_takes_its_jobs_with_it() {
    let store = store(shared(), "savepoint").await;
    let mut client = client(shared()).await;
    let (kept, gone) = (job(1), job(2));
    let mut tx = client.transaction().await.unwrap();
    enqueue_in(&tx, "savepoint", std::slice::from_ref(&kept)).await.unwrap().remove(0).unwrap();
    let inner = tx.savepoint("s").await.unwrap();
    enqueue_in(&inner, "savepoint", std::slice::from_ref(&gone)).await.unwrap().remove(0).unwrap();
    inner.rollback().await.unwrap();
    tx.commit().await.unwrap();
    let held = claim(&store, 9).await;
    assert_eq!(held.iter().map(|job| job.lease.job).collect::<Vec<_>>(), [kept.id]);
}

#[tokio::test]
async fn an_open_transaction_holds_up_no_enqueue_and_no_claim_of_others() {
    let store = store(shared(), "open_tx").await;
    let mut client = client(shared()).await;
    let tx = client.transaction().await.unwrap();
    enqueue_in(&tx, "open_tx", &[job(1)]).await.unwrap().remove(0).unwrap();
    let other = job(2);
    store.enqueue(vec![other.clone()], false, None).await.unwrap().remove(0).unwrap();
    let held = claim(&store, 9).await;
    assert_eq!(held[0].lease.job, other.id);
    complete(&store, &held[0].lease).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(claim(&store, 9).await.len(), 1, "what became visible late is not passed over");
}

#[tokio::test]
async fn a_key_that_a_rolled_back_transaction_held_is_free() {
    let store = store(shared(), "keys").await;
    let mut client = client(shared()).await;
    let unique = |on_conflict| {
        Some(Unique { key: UniqueKey::new("k").unwrap(), scope: UniqueScope::WhileLive, on_conflict })
    };
    let tx = client.transaction().await.unwrap();
    let first = NewJob { unique: unique(OnConflict::Existing), ..job(1) };
    enqueue_in(&tx, "keys", std::slice::from_ref(&first)).await.unwrap().remove(0).unwrap();
    let second = NewJob { unique: unique(OnConflict::Existing), ..job(2) };
    let waits = tokio::spawn({
        let (store, second) = (store.clone(), second.clone());
        async move { store.enqueue(vec![second], false, None).await.unwrap().remove(0).unwrap() }
    });
    tx.rollback().await.unwrap();
    let answer = waits.await.unwrap();
    assert_eq!((answer.id, answer.status), (second.id, EnqueueStatus::Created));
    let refused = NewJob { unique: unique(OnConflict::Replace), ..job(3) };
    let tx = client.transaction().await.unwrap();
    let answer = enqueue_in(&tx, "keys", &[refused]).await.unwrap().remove(0);
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
    for bad in ["by_sql.enqueue('no name', 'k')", "by_sql.enqueue('q', 'k', priority => 10)"] {
        let told = client.query_one(&format!("SELECT {bad}"), &[]).await.expect_err(bad);
        assert_eq!(told.code().map(|code| code.code().to_owned()), Some("WL400".to_owned()), "{told}");
    }
}

#[tokio::test]
async fn a_completion_in_a_transaction_is_one_with_its_effects() {
    let store = store(shared(), "done_in").await;
    let mut client = client(shared()).await;
    client.batch_execute("CREATE TABLE IF NOT EXISTS effect (id int)").await.unwrap();
    let (first, second) = (job(1), job(2));
    store.enqueue(vec![first.clone(), second.clone()], false, None).await.unwrap();
    let held = claim(&store, 2).await;
    let tx = client.transaction().await.unwrap();
    tx.execute("INSERT INTO effect VALUES (1)", &[]).await.unwrap();
    complete_in(&tx, "done_in", &held[0].lease, Some(b"ok")).await.unwrap().unwrap();
    assert_eq!(store.get(first.id).await.unwrap().unwrap().view.state, State::Running);
    assert!(store.heartbeat(vec![held[0].lease], None).await.unwrap()[0].is_ok(), "it is still held");
    tx.commit().await.unwrap();
    let job = store.get(first.id).await.unwrap().unwrap();
    assert_eq!((job.view.state, job.result.as_deref()), (State::Completed, Some(&b"ok"[..])));
    assert_eq!(complete(&store, &held[0].lease).await, Ok(()), "a second acknowledgement is one");

    let tx = client.transaction().await.unwrap();
    tx.execute("INSERT INTO effect VALUES (2)", &[]).await.unwrap();
    complete_in(&tx, "done_in", &held[1].lease, None).await.unwrap().unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(store.get(second.id).await.unwrap().unwrap().view.state, State::Running, "neither exists");
    complete(&store, &held[1].lease).await.unwrap();
    let tx = client.transaction().await.unwrap();
    let late = complete_in(&tx, "done_in", &held[1].lease, None).await.unwrap();
    assert_eq!(late, Err(Rejection::Stale));
    drop(tx);
    let effects: i64 = client.query_one("SELECT count(*) FROM effect", &[]).await.unwrap().get(0);
    assert_eq!(effects, 1);
}

#[tokio::test]
async fn a_lease_that_runs_out_while_its_transaction_is_open_is_honoured_if_it_commits() {
    let store = store(shared(), "late_tx").await;
    let mut client = client(shared()).await;
    let new = job(1);
    store.enqueue(vec![new.clone()], false, None).await.unwrap();
    let held = claim(&store, 1).await;
    let tx = client.transaction().await.unwrap();
    complete_in(&tx, "late_tx", &held[0].lease, None).await.unwrap().unwrap();
    let after = held[0].lease.deadline.plus_ms(60_000);
    store.upkeep(100, Some(after)).await.unwrap();
    assert_eq!(store.get(new.id).await.unwrap().unwrap().view.state, State::Running);
    tx.commit().await.unwrap();
    store.upkeep(100, Some(after)).await.unwrap();
    assert_eq!(store.get(new.id).await.unwrap().unwrap().view.state, State::Completed);
}

#[tokio::test]
async fn a_batch_that_names_a_job_twice_takes_it_once() {
    let store = store(shared(), "twice").await;
    let mut client = client(shared()).await;
    let new = job(1);
    let tx = client.transaction().await.unwrap();
    let answers = enqueue_in(&tx, "twice", &[new.clone(), new.clone()]).await.unwrap();
    tx.commit().await.unwrap();
    let told: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().status).collect();
    assert_eq!(told, [EnqueueStatus::Created, EnqueueStatus::Known]);
    let held = claim(&store, 9).await;
    assert_eq!(held.len(), 1);
}
