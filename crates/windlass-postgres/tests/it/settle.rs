//! Settlements that meet something else on their way.

use crate::{claim, client, job, shared, store};
use std::time::Duration;
use windlass_core::WorkerId;
use windlass_core::store::{Claim, Queue, Settle};

/// How long something may take that waits for nothing.
const PATIENCE: Duration = Duration::from_secs(20);
const JOBS: u128 = 20;

#[tokio::test]
async fn a_batch_that_a_heartbeat_overtakes_is_still_settled_as_one() {
    let store = store(shared(), "settled").await;
    store.enqueue((1..=JOBS).map(job).collect(), false, None).await.unwrap();
    let leases: Vec<_> = claim(&store, 100).await.iter().map(|held| held.lease).collect();
    let other = client(shared()).await;
    other.batch_execute("BEGIN; SELECT settled.lock('{q}', false, 0)").await.unwrap();
    let settling = tokio::spawn({
        let (store, leases) = (store.clone(), leases.clone());
        async move {
            let complete = |lease| Settle::Complete { lease, result: None, then: vec![] };
            let settle_first = leases.into_iter().map(complete).collect();
            let claim = Claim { settle_first, wants: vec![], worker: WorkerId(7), nonce: 9 };
            store.claim(claim, None).await.unwrap().settled
        }
    });
    // It has looked where the leases stand, and waits for the queue.
    let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
        AND (classid::bigint << 32 | objid::bigint) = hashtextextended('settled.queue q', 2))";
    let since = tokio::time::Instant::now();
    while !other.query_one(waits, &[]).await.unwrap().get::<_, bool>(0) {
        assert!(since.elapsed() < PATIENCE, "it waits for what is held");
    }
    let beats = store.heartbeat(leases, None).await.unwrap();
    assert!(beats.iter().all(Result::is_ok), "{beats:?}");
    other.batch_execute("COMMIT").await.unwrap();
    assert!(settling.await.unwrap().iter().all(Result::is_ok));
    let sql = "SELECT count(*), sum(cardinality(jobs)) FROM settled.event WHERE type = 3";
    let told = other.query_one(sql, &[]).await.unwrap();
    assert_eq!((told.get::<_, i64>(0), told.get::<_, i64>(1)), (1, JOBS as i64), "one row for all of them");
}
