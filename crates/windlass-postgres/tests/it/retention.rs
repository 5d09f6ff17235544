//! Retention beside everything else: most of its work is done without the queue's lock, and nothing that moves meanwhile
//! is lost.

use crate::{claim, client, complete, job, queue, shared, store};
use std::time::Duration;
use tokio_postgres::{Client, error::SqlState};
use windlass_core::queue::QueueSettings;
use windlass_core::store::{Admin, Queue, Upkeep};
use windlass_core::{JobId, State};
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

/// A retention of that schema's queue, on a connection of its own, that has come as far as it can.
async fn begun(schema: &str, holder: &Client) -> tokio::task::JoinHandle<Result<(), tokio_postgres::Error>> {
    let retainer = client(shared()).await;
    let pid: i32 = retainer.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let sql = format!("SELECT {schema}.retain(NULL, 'q', 3, false)");
    let task = tokio::spawn(async move { retainer.batch_execute(&sql).await });
    let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)";
    let since = tokio::time::Instant::now();
    while !holder.query_one(waits, &[&pid]).await.unwrap().get::<_, bool>(0) {
        assert!(since.elapsed() < PATIENCE, "it waits for what is held");
    }
    task
}

/// What a person does to one job, and the end of the transaction.
fn people(schema: &str, verb: &str, id: JobId) -> String {
    format!("SELECT {schema}.people(NULL, '{verb}', '{{{:032x}}}', NULL, NULL, false); COMMIT", id.0)
}

#[tokio::test]
async fn a_job_that_is_retried_while_retention_is_at_it_stays() {
    // One more than are removed at once, so that the count alone shows nothing.
    let (store, ids) = completed("retried", 4).await;
    let person = client(shared()).await;
    person.batch_execute("BEGIN; SELECT retried.lock('{q}', false, 0)").await.unwrap();
    let retention = begun("retried", &person).await;
    person.batch_execute(&people("retried", "retry", ids[1])).await.unwrap();
    let why = retention.await.unwrap().expect_err("not all of them are where they were");
    assert_eq!(why.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE), "{why}");
    // Undone, and done anew.
    let states = async || {
        let mut states = Vec::new();
        for id in &ids {
            states.push(store.get(*id).await.unwrap().map(|job| job.view.state));
        }
        states
    };
    assert_eq!(
        states().await,
        [Some(State::Completed), Some(State::Ready), Some(State::Completed), Some(State::Completed)]
    );
    store.upkeep(100, None).await.unwrap();
    assert_eq!(states().await, [None, Some(State::Ready), None, None]);
    let again = claim(&store, 3).await;
    assert_eq!(again.iter().map(|held| held.lease.job).collect::<Vec<_>>(), [ids[1]]);
    assert_eq!(again[0].payload, *b"{}");
    let counts = store.queues(Some(queue()), None).await.unwrap()[0].counts;
    assert_eq!((counts.of(State::Completed), counts.of(State::Running)), (0, 1));
}

#[tokio::test]
async fn a_bound_on_their_number_is_kept_though_others_are_removed_meanwhile() {
    let (store, ids) = completed("bounded", 5).await;
    let mut settings = QueueSettings::default();
    settings.retention.completed_count = 3;
    store.set_queue(queue(), settings, None).await.unwrap().unwrap();
    let person = client(shared()).await;
    person.batch_execute("BEGIN; SELECT bounded.lock('{q}', false, 0)").await.unwrap();
    let retention = begun("bounded", &person).await;
    person.batch_execute(&people("bounded", "delete", ids[4])).await.unwrap();
    let why = retention.await.unwrap().expect_err("two would be too many now");
    assert_eq!(why.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE), "{why}");
    store.upkeep(100, None).await.unwrap();
    assert_eq!(store.queues(Some(queue()), None).await.unwrap()[0].counts.of(State::Completed), 3);
    assert!(store.get(ids[0]).await.unwrap().is_none() && store.get(ids[1]).await.unwrap().is_some());
}

#[tokio::test]
async fn claims_go_on_while_retention_is_at_its_work() {
    let (store, ids) = completed("beside", 3).await;
    store.enqueue(vec![job(4)], false, None).await.unwrap();
    let person = client(shared()).await;
    let held = format!("BEGIN; SELECT FROM beside.job WHERE id = '{:032x}' FOR UPDATE", ids[0].0);
    person.batch_execute(&held).await.unwrap();
    let retention = begun("beside", &person).await;
    let claimed = tokio::time::timeout(PATIENCE, claim(&store, 1)).await.expect("the queue's lock is free");
    assert_eq!(claimed.len(), 1);
    person.batch_execute("COMMIT").await.unwrap();
    retention.await.unwrap().unwrap();
    assert!(store.get(ids[0]).await.unwrap().is_none());
}
