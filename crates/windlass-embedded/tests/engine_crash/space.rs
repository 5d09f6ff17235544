//! A full disk: new work is refused, work that is there goes on from the reserve, and all recovers with the space.

use crate::dump::{difference, dump, is_well};
use crate::script::{LONG_SEGMENT, START, block_on, options_with, queue};
use std::sync::Arc;
use windlass_core::job::ErrorReport;
use windlass_core::queue::{QueueSettings, Retention};
use windlass_core::store::{Admin, Claim, ClaimedJob, Queue, Settle, Store, Upkeep};
use windlass_core::{JobId, Kind, NewJob, Rejection, State, StoreError, WorkerId};
use windlass_embedded::EmbeddedStore;
use windlass_embedded::clock::ManualClock;
use windlass_embedded::disk::SimDisk;

/// So large that a few jobs fill a segment.
const PAYLOAD_BYTES: usize = 60_000;
/// Jobs that fill more than half of the first segment, so that spares are in stock.
const STOCKED: u64 = 40;
/// Enough to fill any segment of a test: the space must end long before.
const ENQUEUES_MAX: u64 = 400;

fn job(number: u64) -> NewJob {
    let id = JobId::named(START, &format!("job-{number}"));
    NewJob::new(id, queue("q"), Kind::new("kind").unwrap(), vec![b'x'; PAYLOAD_BYTES])
}

async fn enqueue(store: &EmbeddedStore, number: u64) -> Result<bool, StoreError> {
    match store.enqueue(vec![job(number)], false, None).await?.remove(0) {
        Ok(_) => Ok(true),
        Err(Rejection::OutOfSpace) => Ok(false),
        Err(why) => panic!("{why}"),
    }
}

async fn claim(store: &EmbeddedStore, settle_first: Vec<Settle>, n: u32) -> Vec<ClaimedJob> {
    let wants = vec![(queue("q"), n)];
    let claim = Claim { settle_first, wants, worker: WorkerId(1), nonce: 5 };
    let claimed = store.claim(claim, None).await.unwrap();
    assert!(claimed.settled.iter().all(Result::is_ok), "{:?}", claimed.settled);
    claimed.jobs
}

#[test]
fn when_space_runs_out_work_that_is_there_ends_and_new_work_waits_for_room() {
    let disk = SimDisk::new();
    let clock = ManualClock::new(START);
    let store =
        EmbeddedStore::on_disk(Arc::new(disk.clone()), options_with(clock.clone(), 1, LONG_SEGMENT)).unwrap();
    block_on(async {
        for number in 0..STOCKED {
            assert!(enqueue(&store, number).await.unwrap());
        }
        disk.limit_space(Some(0));
        let mut taken = STOCKED;
        while enqueue(&store, taken).await.unwrap() {
            taken += 1;
            assert!(taken < ENQUEUES_MAX, "the space never ended");
        }
        assert!(store.info().await.unwrap().space_low);
        // What was refused is not there; what was known is answered as ever.
        assert!(store.get(job(taken).id).await.unwrap().is_none());
        assert!(enqueue(&store, 0).await.unwrap());
        // T3 to T9 and T13 go on.
        let jobs = claim(&store, Vec::new(), 6).await;
        assert_eq!(jobs.len(), 6);
        let leases: Vec<_> = jobs.iter().map(|job| job.lease).collect();
        assert!(store.heartbeat(leases.clone(), None).await.unwrap().iter().all(Result::is_ok));
        let error = ErrorReport { message: "broke".into(), ..ErrorReport::default() };
        let settle = vec![
            Settle::Complete { lease: leases[0], result: Some(b"ok".to_vec()), then: Vec::new() },
            Settle::Complete { lease: leases[1], result: None, then: Vec::new() },
            Settle::Fail { lease: leases[2], error, retry_in_ms: Some(10), fatal: false },
            Settle::Snooze { lease: leases[3], delay_ms: 10, reason: "later".into(), holds: None },
        ];
        claim(&store, settle, 0).await;
        // A completion with follow-ups is refused whole, and its lease stays good.
        let then = vec![job(9_999)];
        let settle_first = vec![Settle::Complete { lease: leases[4], result: None, then }];
        let asked = Claim { settle_first, worker: WorkerId(1), nonce: 5, ..Claim::default() };
        assert_eq!(store.claim(asked, None).await.unwrap().settled, [Err(Rejection::OutOfSpace)]);
        assert!(store.heartbeat(vec![leases[4]], None).await.unwrap()[0].is_ok());
        claim(&store, vec![Settle::Complete { lease: leases[4], result: None, then: Vec::new() }], 0).await;
        assert!(store.cancel(vec![job(30).id], None).await.unwrap()[0].is_ok());
        assert!(store.delete(vec![job(31).id], None).await.unwrap()[0].is_ok());
        clock.advance_ms(20);
        store.upkeep(20, None).await.unwrap();
        assert_eq!(store.get(leases[2].job).await.unwrap().unwrap().view.state, State::Ready);
        let retention = Retention { completed_count: 0, ..Retention::default() };
        let settings = QueueSettings { retention, ..QueueSettings::default() };
        store.set_queue(queue("q"), settings, None).await.unwrap().unwrap();
        store.upkeep(20, None).await.unwrap();
        assert!(store.get(leases[0].job).await.unwrap().is_none(), "retention goes on");
        // A power cut in this state loses nothing of it.
        let before = dump(&store).await.unwrap();
        let crashed =
            EmbeddedStore::on_disk(Arc::new(disk.crash(&[])), options_with(clock.clone(), 2, LONG_SEGMENT))
                .unwrap();
        let after = dump(&crashed).await.unwrap();
        assert!(after == before, "{}", difference(&before, &after));
        // And with the space everything is taken again.
        disk.limit_space(None);
        assert!(is_well(&store).await);
        assert!(enqueue(&store, taken).await.unwrap(), "there is room again");
        assert!(!store.info().await.unwrap().space_low);
        store.close().await.unwrap();
    });
}

#[test]
fn a_store_that_has_used_up_even_its_reserve_says_so_and_comes_back_whole() {
    let disk = SimDisk::new();
    let clock = ManualClock::new(START);
    let store =
        EmbeddedStore::on_disk(Arc::new(disk.clone()), options_with(clock.clone(), 1, LONG_SEGMENT)).unwrap();
    block_on(async {
        for number in 0..STOCKED {
            assert!(enqueue(&store, number).await.unwrap());
        }
        disk.limit_space(Some(0));
        let refused = 'used_up: {
            for _ in 0..ENQUEUES_MAX {
                let outcome = store.set_meta("key".into(), vec![7; 400_000], 0).await;
                let version = store.meta("key".into()).await;
                match (outcome, version) {
                    (Err(why), _) => break 'used_up why,
                    (Ok(_), Ok((_, version))) => {
                        if let Err(why) = store.set_meta("key".into(), vec![8; 400_000], version).await {
                            break 'used_up why;
                        }
                    }
                    (Ok(_), Err(why)) => break 'used_up why,
                }
            }
            panic!("the reserve never ended");
        };
        assert!(refused.retryable && refused.cause.contains("space"), "{refused}");
        assert!(is_well(&store).await || refused.retryable);
        disk.limit_space(None);
        assert!(
            enqueue(&store, 1_000).await.unwrap() || enqueue(&store, 1_001).await.unwrap(),
            "there is room again"
        );
        let before = dump(&store).await.unwrap();
        let crashed =
            EmbeddedStore::on_disk(Arc::new(disk.crash(&[])), options_with(clock, 2, LONG_SEGMENT)).unwrap();
        let after = dump(&crashed).await.unwrap();
        assert!(after == before, "{}", difference(&before, &after));
    });
}
