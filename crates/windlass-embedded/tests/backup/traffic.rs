//! Producers and a worker that go on while a test does something else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use windlass_core::store::{Claim, Queue, Settle};
use windlass_core::{JobId, Kind, NewJob, QueueName, Time, WorkerId};
use windlass_embedded::EmbeddedStore;
use windlass_embedded::clock::{Clock, SystemClock};

/// Jobs of one batch.
const BATCH: usize = 20;
/// Bytes of a payload: enough that segments fill.
const PAYLOAD_BYTES: usize = 400;
/// A store that does not answer for so long has hung.
const HANG: Duration = Duration::from_secs(60);

pub(crate) fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

pub(crate) fn job(name: &str) -> NewJob {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let id = JobId::from_parts(
        Time(SystemClock.wall_ms()),
        (u128::from(number & 0xfff) << 64) | u128::from(number),
    );
    NewJob::new(id, queue(name), Kind::new("work").unwrap(), vec![b'x'; PAYLOAD_BYTES])
}

pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    done: tokio::sync::watch::Receiver<u64>,
    task: tokio::task::JoinHandle<()>,
}

impl Traffic {
    pub(crate) fn begin(store: Arc<EmbeddedStore>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, done) = tokio::sync::watch::channel(0);
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut settle_first = Vec::new();
            while !stopped.load(Ordering::SeqCst) {
                store.enqueue((0..BATCH).map(|_| job("beside")).collect(), false, None).await.unwrap();
                let wants = vec![(queue("beside"), BATCH as u32)];
                let settling = std::mem::take(&mut settle_first);
                let claim = Claim { wants, settle_first: settling, worker: WorkerId(1), nonce: 1 };
                let jobs = store.claim(claim, None).await.unwrap().jobs;
                let completed = |job: windlass_core::store::ClaimedJob| Settle::Complete {
                    lease: job.lease,
                    result: None,
                    then: Vec::new(),
                };
                settle_first = jobs.into_iter().map(completed).collect();
                tell.send_modify(|done| *done += 1);
            }
        });
        Self { stop, done, task }
    }

    /// Waits for so many more rounds.
    pub(crate) async fn rounds(&mut self, more: u64) {
        let until = *self.done.borrow() + more;
        tokio::time::timeout(HANG, self.done.wait_for(|done| *done >= until)).await.unwrap().unwrap();
    }

    pub(crate) async fn end(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap();
        *self.done.borrow()
    }
}
