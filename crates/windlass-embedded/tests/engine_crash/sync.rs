//! A sync that fails: the store stops acknowledging, says why, and comes back whole.

use crate::dump::{difference, dump, is_well};
use crate::script::{SHORT_SEGMENT, Script, block_on, oldest_allowed, options, tell};
use std::sync::Arc;
use windlass_core::store::{Admin, Claim, Queue, Store, Upkeep};
use windlass_core::{JobId, Kind, NewJob, StoreError};
use windlass_embedded::EmbeddedStore;
use windlass_embedded::clock::ManualClock;
use windlass_embedded::disk::{Disk, Fate, Operation, SimDisk};

const STEPS: u64 = 45;
const SEED: u64 = 0x0073_796e_6300;

/// Every verb that a caller may still try.
async fn all_refusals(script: &Script) -> Vec<StoreError> {
    let store = &script.store;
    let id = JobId::named(script.clock.now(), "too late");
    let job = NewJob::new(id, crate::script::queue("a"), Kind::new("kind").unwrap(), *b"{}");
    vec![
        store.enqueue(vec![job], false, None).await.map(drop).unwrap_err(),
        store
            .claim(Claim { wants: vec![(crate::script::queue("a"), 1)], ..Claim::default() }, None)
            .await
            .unwrap_err(),
        store.heartbeat(script.held.clone(), None).await.unwrap_err(),
        store.cancel(vec![id], None).await.unwrap_err(),
        store.get(id).await.unwrap_err(),
        store.queues(None, None).await.unwrap_err(),
        store.upkeep(10, None).await.unwrap_err(),
    ]
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_every_call_says_why() {
    println!("seed {SEED:#x}");
    let told = block_on(tell(Arc::new(SimDisk::new()), SEED, SHORT_SEGMENT, STEPS, || ()));
    for nth in 1.. {
        let disk = SimDisk::new();
        let mut script = Script::open(Arc::new(disk.clone()), SEED, SHORT_SEGMENT).unwrap();
        disk.fail_nth(Operation::Sync, nth, false);
        let acknowledged = block_on(async {
            for number in 0..STEPS {
                if let Err(why) = script.step(number).await {
                    assert!(!why.retryable, "{why}");
                    for refusal in all_refusals(&script).await {
                        assert!(!refusal.retryable, "{refusal}");
                        assert!(refusal.cause.to_lowercase().contains("input/output error"), "{refusal}");
                    }
                    return Some(number as usize);
                }
            }
            None
        });
        let Some(acknowledged) = acknowledged else {
            assert!(nth > 21, "only {} syncs were made to fail", nth - 1);
            return;
        };
        let _ = block_on(script.store.close());
        drop(script);
        // The process alone ends; or the power goes too, with everything or nothing of what was not synced.
        let unsynced = disk.unsynced().len();
        for left in [disk.fork(), disk.crash(&vec![Fate::Kept; unsynced]), disk.crash(&[])] {
            let disk: Arc<dyn Disk> = Arc::new(left);
            let clock = ManualClock::new(told[acknowledged].at);
            let store = EmbeddedStore::on_disk(disk, options(clock, nth)).unwrap();
            assert!(block_on(is_well(&store)));
            let text = block_on(dump(&store)).unwrap();
            let oldest = oldest_allowed(&told, acknowledged);
            assert!(
                told[oldest..=acknowledged + 1].iter().any(|told| told.text == text),
                "sync {nth} failed, {acknowledged} steps were acknowledged:\n{}",
                difference(&told[acknowledged].text, &text)
            );
        }
    }
}
