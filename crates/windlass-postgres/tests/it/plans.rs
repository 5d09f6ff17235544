//! The order of an answer is the contract's, whichever way the server joins its tables: a planner changes its mind with
//! every statistic.

use crate::statistics::read;
use crate::{claim, client, job, server::Server, shared, store};
use windlass_core::store::{Claim, ClaimedJob, Queue, ReleaseReason, Settle};
use windlass_core::{GroupKey, JobId, NewJob, WorkerId};
use windlass_postgres::{Options, PostgresStore};

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

/// Groups that nobody has seen when statistics are taken.
const GROUPS: usize = 2_000;
/// Rows of one table that claiming a job from many groups and completing it may read: its own, its group's, those behind
/// them, and all that again for a look at what has changed.
const ROWS_A_JOB: i64 = 10;

#[tokio::test]
async fn a_claim_reads_the_lanes_of_its_groups_though_statistics_know_of_one_group() {
    let server = Server::with(&["autovacuum=off"]);
    let client = client(&server).await;
    let bring = async |store: &PostgresStore, from: usize, count: usize, grouped: bool| {
        for batch in (from..from + count).collect::<Vec<_>>().chunks(1_000) {
            let jobs = batch.iter().map(|n| {
                let mut job = job(*n as u128);
                job.group = grouped.then(|| GroupKey::new(format!("g{}", n % GROUPS)).expect("a name"));
                job
            });
            store.enqueue(jobs.collect(), false, None).await.expect("the server takes them");
        }
    };
    let single = |schema: &str| Options {
        schema: schema.into(),
        upkeep: false,
        listen: false,
        connections: 1,
        ..Options::default()
    };
    let open =
        async || PostgresStore::open(&server.url("postgres"), single("lanes")).await.expect("it opens");
    let store = open().await;
    bring(&store, 1, 3_000, false).await;
    claim(&store, 1).await;
    client.batch_execute("ANALYZE").await.expect("statistics");
    bring(&store, 4_000, 5 * GROUPS, true).await;
    claim(&store, 1).await;
    drop(store);
    let before = read(&client, "lanes").await;
    let store = open().await;
    let held = claim(&store, 100).await;
    let complete = |job: &ClaimedJob| Settle::Complete { lease: job.lease, result: None, then: vec![] };
    let done = Claim {
        settle_first: held.iter().map(complete).collect(),
        wants: vec![],
        worker: WorkerId(7),
        nonce: 9,
    };
    store.claim(done, None).await.expect("they are completed");
    drop(store);
    let mut rows = read(&client, "lanes").await;
    rows.iter_mut().for_each(|(table, rows)| *rows -= before[table]);
    rows.retain(|_, rows| *rows > ROWS_A_JOB * held.len() as i64);
    assert!(rows.is_empty(), "for {} jobs {rows:?}", held.len());
}
