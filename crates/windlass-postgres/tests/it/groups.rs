//! Claims from more groups than one claim looks at.

use crate::{claim, job, queue, shared, store};
use windlass_core::GroupKey;
use windlass_core::queue::QueueSettings;
use windlass_core::store::{Admin, Queue};

/// More than a claim takes out of the order because they are shut.
const GROUPS: usize = 1_005;
/// Jobs of each group: so many run, and one waits.
const RUNNING: usize = 2;

#[tokio::test]
async fn a_claim_among_more_shut_groups_than_it_looks_at_takes_nothing_and_is_no_fault() {
    let store = store(shared(), "shut").await;
    for round in 0..=RUNNING {
        for part in (0..GROUPS).collect::<Vec<_>>().chunks(1_000) {
            let jobs = part.iter().map(|n| {
                let mut job = job((round * GROUPS + n + 1) as u128);
                job.group = Some(GroupKey::new(format!("g{n}")).unwrap());
                job
            });
            store.enqueue(jobs.collect(), false, None).await.unwrap();
        }
    }
    let mut left = RUNNING * GROUPS;
    while left > 0 {
        left -= claim(&store, left.min(1_000) as u32).await.len();
    }
    let mut settings = QueueSettings::default();
    settings.groups.limits.concurrency = Some(1);
    store.set_queue(queue(), settings, None).await.unwrap().unwrap();
    for _ in 0..3 {
        assert_eq!(claim(&store, 10).await, []);
    }
}
