//! Retention beside everything else: most of its work is done without the queue's lock, and nothing that moves meanwhile
//! is lost.

use crate::{claim, client, complete, job, queue, shared, store};
use std::time::Duration;
use tokio_postgres::{Client, error::SqlState};
use windlass_core::queue::QueueSettings;
use windlass_core::store::{Admin, Claim, Queue, Upkeep};
use windlass_core::{JobId, NewJob, QueueName, Rejection, State, WorkerId};
use windlass_postgres::PostgresStore;

/// How long something may take that waits for nothing.
const PATIENCE: Duration = Duration::from_secs(20);

/// A store whose queue keeps no completed job, and the ids of so many that it has.
async fn completed(schema: &str, count: u128) -> (PostgresStore, Vec<JobId>) {
    let store = store(shared(), schema).await;
    let mut settings = QueueSettings::default();
    settings.retention.completed_ms = 0;
    store.set_queue(queue(), settings, None).await.unwrap().unwrap();
    store.enqueue((1..=count).map(job).collect(), false, None).await.unwrap();
    let held = claim(&store, 100).await;
    for held in &held {
        complete(&store, &held.lease).await.unwrap();
    }
    (store, held.iter().map(|held| held.lease.job).collect())
}

/// A retention under way.
type Retention = tokio::task::JoinHandle<Result<(), tokio_postgres::Error>>;

/// A retention of that schema's queue, on a connection of its own, that has come as far as it can.
async fn begun(schema: &str, holder: &Client) -> Retention {
    let retainer = client(shared()).await;
    let pid: i32 = retainer.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let sql = format!("SELECT {schema}.retain(NULL, 'q', 3)");
    let task = tokio::spawn(async move { retainer.batch_execute(&sql).await });
    let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)";
    let since = tokio::time::Instant::now();
    while !holder.query_one(waits, &[&pid]).await.unwrap().get::<_, bool>(0) {
        assert!(since.elapsed() < PATIENCE, "it waits for what is held");
    }
    task
}

#[tokio::test]
async fn a_job_that_has_moved_while_retention_is_at_it_stays() {
    // One more than are removed at once, so that the counts alone show nothing.
    let (store, ids) = completed("moved", 4).await;
    let person = client(shared()).await;
    person.batch_execute("BEGIN; SELECT moved.hold_queue('q')").await.unwrap();
    let retention = begun("moved", &person).await;
    // Without what keeps retention off, which a person's retry has.
    let retry = format!("SELECT moved.retry_one('{:032x}', 0); COMMIT", ids[1].0);
    person.batch_execute(&retry).await.unwrap();
    refused(retention).await;
    assert_eq!(states(&store, &ids).await, [COMPLETED, Some(State::Ready), COMPLETED, COMPLETED]);
    store.upkeep(100, None).await.unwrap();
    assert_eq!(states(&store, &ids).await, [None, Some(State::Ready), None, None]);
    let again = claim(&store, 3).await;
    assert_eq!(again.iter().map(|held| held.lease.job).collect::<Vec<_>>(), [ids[1]]);
    assert_eq!(again[0].payload, *b"{}");
    let counts = store.queues(Some(queue()), None).await.unwrap()[0].counts;
    assert_eq!((counts.of(State::Completed), counts.of(State::Running)), (0, 1));
}

#[tokio::test]
async fn what_is_to_be_kept_longer_meanwhile_is_kept() {
    let (store, ids) = completed("longer", 3).await;
    let person = client(shared()).await;
    person.batch_execute("BEGIN; SELECT longer.hold_queue('q')").await.unwrap();
    let retention = begun("longer", &person).await;
    let longer = r#"UPDATE longer.queue SET settings = '{"retention": {"completed_ms": 3600000}}'; COMMIT"#;
    person.batch_execute(longer).await.unwrap();
    refused(retention).await;
    store.upkeep(100, None).await.unwrap();
    assert_eq!(states(&store, &ids).await, [COMPLETED; 3]);
}

#[tokio::test]
async fn claims_go_on_while_retention_and_who_waits_for_it_are_at_their_work() {
    let (store, ids) = completed("beside", 3).await;
    store.enqueue(vec![job(4)], false, None).await.unwrap();
    let person = client(shared()).await;
    let held = format!("BEGIN; SELECT FROM beside.job WHERE id = '{:032x}' FOR UPDATE", ids[0].0);
    person.batch_execute(&held).await.unwrap();
    let retention = begun("beside", &person).await;
    let delete = tokio::spawn({
        let (store, id) = (store.clone(), ids[0]);
        async move { store.delete(vec![id], None).await.unwrap().remove(0) }
    });
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'
        AND (classid::bigint << 32 | objid::bigint) = hashtextextended('beside.retention q', 4)";
    let since = tokio::time::Instant::now();
    while person.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(since.elapsed() < PATIENCE, "a person's verb waits for retention");
    }
    let claimed = tokio::time::timeout(PATIENCE, claim(&store, 1)).await.expect("the queue's lock is free");
    assert_eq!(claimed.len(), 1);
    person.batch_execute("COMMIT").await.unwrap();
    retention.await.unwrap().unwrap();
    assert!(matches!(delete.await.unwrap(), Err(Rejection::NotFound { .. })), "it was gone already");
    assert_eq!(states(&store, &ids).await, [None; 3]);
}

#[tokio::test]
async fn a_round_of_upkeep_gives_every_queue_its_share() {
    let store = store(shared(), "shares").await;
    let names = ["a", "b"].map(|name| QueueName::new(name).unwrap());
    for (part, name) in names.iter().enumerate() {
        let mut settings = QueueSettings::default();
        settings.retention.completed_ms = 0;
        store.set_queue(name.clone(), settings, None).await.unwrap().unwrap();
        let jobs = (1..=20u128).map(|n| NewJob { queue: name.clone(), ..job(part as u128 * 100 + n) });
        store.enqueue(jobs.collect(), false, None).await.unwrap();
        let wants = vec![(name.clone(), 20)];
        let claim = Claim { settle_first: vec![], wants, worker: WorkerId(7), nonce: 9 };
        for held in store.claim(claim, None).await.unwrap().jobs {
            complete(&store, &held.lease).await.unwrap();
        }
    }
    store.upkeep(10, None).await.unwrap();
    for name in names {
        let left = store.queues(Some(name), None).await.unwrap()[0].counts.of(State::Completed);
        assert_eq!(left, 15);
    }
}

const COMPLETED: Option<State> = Some(State::Completed);

/// The retention has found that it must start anew.
async fn refused(retention: Retention) {
    let why = retention.await.unwrap().expect_err("not all is as it was");
    assert_eq!(why.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE), "{why}");
}

async fn states(store: &PostgresStore, ids: &[JobId]) -> Vec<Option<State>> {
    let mut states = Vec::new();
    for id in ids {
        states.push(store.get(*id).await.unwrap().map(|job| job.view.state));
    }
    states
}
