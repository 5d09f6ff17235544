//! The order of an answer is the contract's, whichever way the server joins its tables: a planner changes its mind with
//! every statistic.

use crate::{claim, client, job, shared, store};
use windlass_core::store::{Claim, Queue, ReleaseReason, Settle};
use windlass_core::{GroupKey, JobId, NewJob, WorkerId};
use windlass_postgres::PostgresStore;

/// Jobs that wait.
const JOBS: usize = 40;
/// The first of them, which are claimed and given back.
const BACK: usize = 15;

/// Brings jobs, gives the first ones back, and claims them all. Gives those brought and those claimed.
///
/// Statistics are taken when the table of jobs holds one and that of ready jobs all: a join looks cheapest from the first,
/// whose order is another than that of the claim.
async fn there_and_back(
    store: &PostgresStore,
    schema: &str,
    of: impl Fn(usize, &mut NewJob),
) -> [Vec<JobId>; 2] {
    let mut jobs: Vec<NewJob> = (0..JOBS).map(|n| job(n as u128 + 1)).collect();
    jobs.iter_mut().enumerate().for_each(|(n, job)| of(n, job));
    let brought = jobs.iter().map(|job| job.id).collect();
    let client = client(shared()).await;
    for (n, job) in jobs.into_iter().enumerate() {
        store.enqueue(vec![job], false, None).await.expect("the server takes it");
        if n == 0 {
            client.batch_execute(&format!("ANALYZE {schema}.job")).await.expect("statistics");
        }
    }
    client.batch_execute(&format!("ANALYZE {schema}.ready")).await.expect("statistics");
    let first = claim(store, BACK as u32).await;
    let back = first.iter().map(|job| Settle::Release { lease: job.lease, reason: ReleaseReason::Unstarted });
    let back = Claim { settle_first: back.collect(), wants: vec![], worker: WorkerId(7), nonce: 9 };
    store.claim(back, None).await.expect("they are taken back");
    [brought, claim(store, JOBS as u32).await.iter().map(|job| job.lease.job).collect()]
}

#[tokio::test]
async fn jobs_come_in_their_order_however_tables_are_joined() {
    let plain = store(shared(), "plain").await;
    let [mut brought, claimed] = there_and_back(&plain, "plain", |_, _| ()).await;
    brought.rotate_left(BACK);
    assert_eq!(claimed, brought);

    let grouped = store(shared(), "grouped").await;
    let group = |n: usize| GroupKey::new(["a", "b"][n % 2]).expect("a name");
    let [brought, claimed] = there_and_back(&grouped, "grouped", |n, job| job.group = Some(group(n))).await;
    for parity in [0, 1] {
        // Groups go in turn: of each, so many of the first ones were given back.
        let mut of_it: Vec<_> = brought.iter().copied().skip(parity).step_by(2).collect();
        of_it.rotate_left((BACK + 1 - parity) / 2);
        let claimed: Vec<_> = claimed.iter().copied().filter(|id| of_it.contains(id)).collect();
        assert_eq!(claimed, of_it, "group {parity}");
    }
}
