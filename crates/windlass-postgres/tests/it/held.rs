//! A snapshot that somebody holds open keeps every dead row from vacuum; no verb may walk over them.

use crate::{client, job, shared, store};
use tokio_postgres::Client;
use windlass_core::WorkerId;
use windlass_core::store::{Claim, Queue, Settle};
use windlass_postgres::PostgresStore;

/// Jobs of one batch.
const BATCH: u32 = 10;
/// Batches until the first look, when plans and catalogues are warm.
const FEW: u128 = 20;
/// Batches until the second: each leaves several dead versions of every row that batches rewrite.
const MANY: u128 = 1_000;

/// Brings, settles and claims so many batches.
async fn work(store: &PostgresStore, made: &mut u128, batches: u128) {
    let mut held = Vec::new();
    for _ in 0..batches {
        let batch = (0..u128::from(BATCH)).map(|n| job(*made + n)).collect();
        *made += u128::from(BATCH);
        store.enqueue(batch, false, None).await.expect("the server takes them");
        let claim = Claim {
            settle_first: std::mem::take(&mut held),
            wants: vec![(crate::queue(), BATCH)],
            worker: WorkerId(7),
            nonce: 9,
        };
        let told = store.claim(claim, None).await.expect("a claim");
        assert_eq!(told.jobs.len(), BATCH as usize);
        held = told
            .jobs
            .iter()
            .map(|job| Settle::Complete { lease: job.lease, result: None, then: vec![] })
            .collect();
    }
}

/// Pages that a claim touches, all that its functions do included; the least of three.
async fn pages(store: &PostgresStore, client: &Client, made: &mut u128) -> u64 {
    let sql = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) SELECT * FROM held.claim(NULL, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{q}', '{10}', 7, 9, false)";
    let mut least = u64::MAX;
    for _ in 0..3 {
        let batch = (0..u128::from(BATCH)).map(|n| job(*made + n)).collect();
        *made += u128::from(BATCH);
        store.enqueue(batch, false, None).await.expect("the server takes them");
        let plan: Vec<String> =
            client.query(sql, &[]).await.expect("a plan").iter().map(|row| row.get(0)).collect();
        assert!(plan[0].contains("rows=11 "), "ten jobs and the answers: {}", plan[0]);
        let buffers = plan.iter().find(|line| line.contains("Buffers: shared")).expect("a count of pages");
        let numbers = buffers.split([' ', '=']).filter_map(|word| word.parse::<u64>().ok());
        least = least.min(numbers.sum());
    }
    least
}

#[tokio::test]
async fn a_claim_under_a_held_snapshot_touches_no_more_pages_than_before() {
    let server = shared();
    let store = store(server, "held").await;
    let (watcher, holder) = (client(server).await, client(server).await);
    let mut made = 1;
    work(&store, &mut made, FEW).await;
    let before = pages(&store, &watcher, &mut made).await;
    holder
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM held.job")
        .await
        .unwrap();
    work(&store, &mut made, MANY).await;
    let under = pages(&store, &watcher, &mut made).await;
    // Half as many more are the levels that indexes have grown by.
    assert!(under <= before * 3 / 2, "{under} pages under the snapshot, {before} before");
}
