//! The load: producers and workers that do what programs do, at random and for as long as they are let.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use windlass_check::Recording;
use windlass_core::job::{ErrorReport, OnConflict, Parent, Unique, UniqueScope};
use windlass_core::store::{Claim, GroupInfo, Queue, ReleaseReason, Settle, Store};
use windlass_core::{JobId, Kind, Lease, NewJob, QueueName, State, Time, WorkerId};
use windlass_testkit::Dice;

/// Queues of the load: plain, with fair groups, with ordered groups.
pub(crate) const QUEUES: [&str; 3] = ["plain", "fair", "ordered"];
/// What is left when the faults have stopped has ended so long after.
const DRAINED_WITHIN: Duration = Duration::from_secs(20);
/// Jobs that producers let wait: no more than workers end within that time.
const WAITING_MAX: u64 = 1_500;
/// Batches between two looks at how many wait.
const BATCHES: u64 = 16;
/// How long a client rests after a failure.
const REST: Duration = Duration::from_millis(20);

/// A store of one client, recorded.
pub(crate) type Client = Arc<Recording<Arc<dyn Store>>>;

fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Time(since.as_millis() as u64)
}

/// Enqueues.
pub(crate) struct Producer {
    pub(crate) client: Client,
    pub(crate) dice: Dice,
    pub(crate) made: u64,
    /// Calls that failed.
    pub(crate) failed: Arc<AtomicU64>,
}

impl Producer {
    pub(crate) async fn run(mut self, stop: Arc<AtomicBool>) {
        let mut batches = 0u64;
        while !stop.load(Ordering::SeqCst) {
            batches += 1;
            if batches.is_multiple_of(BATCHES) && self.waiting().await > WAITING_MAX {
                batches -= 1;
                tokio::time::sleep(REST).await;
                continue;
            }
            let batch = self.batch();
            // Whoever does not know whether a batch arrived sends the same one again.
            while self.client.enqueue(batch.clone(), false, None).await.is_err() {
                self.failed.fetch_add(1, Ordering::SeqCst);
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                tokio::time::sleep(REST).await;
            }
            if self.dice.below(8) == 0 {
                let _ = self.client.cancel(vec![batch[0].id], None).await;
            }
            tokio::time::sleep(Duration::from_millis(self.dice.below(6))).await;
        }
    }

    /// Jobs that wait, as far as the store can be asked.
    async fn waiting(&self) -> u64 {
        let queues = self.client.store().queues(None, None).await.unwrap_or_default();
        queues.iter().map(|queue| queue.counts.waiting()).sum()
    }

    fn batch(&mut self) -> Vec<NewJob> {
        let size = 1 + self.dice.below(12);
        let mut batch: Vec<NewJob> = Vec::new();
        for _ in 0..size {
            self.made += 1;
            let queue = QUEUES[self.dice.below(3) as usize];
            let id = JobId::from_parts(
                now(),
                (u128::from(self.made) << 64) | u128::from(self.dice.below(1 << 60)),
            );
            let mut job = NewJob::new(id, QueueName::new(queue).unwrap(), Kind::new("work").unwrap(), *b"{}");
            if queue != "plain" {
                job.group = Some(format!("g{}", self.dice.below(5)).parse().unwrap());
            }
            match self.dice.below(12) {
                0 => job.delay_ms = Some(self.dice.below(200)),
                1 if queue == "plain" => job.priority = self.dice.below(3) as i8,
                2 => {
                    let key = format!("k{}", self.dice.below(20)).parse().unwrap();
                    job.unique = Some(Unique {
                        key,
                        scope: UniqueScope::WhileLive,
                        on_conflict: OnConflict::Existing,
                    });
                }
                3 => {
                    job.parents = batch
                        .last()
                        .map(|p| Parent { id: p.id, on: Default::default() })
                        .into_iter()
                        .collect()
                }
                _ => {}
            }
            batch.push(job);
        }
        batch
    }
}

/// Claims and settles.
pub(crate) struct Worker {
    pub(crate) client: Client,
    pub(crate) dice: Dice,
    pub(crate) id: WorkerId,
    pub(crate) nonce: u64,
    /// Calls that failed.
    pub(crate) failed: Arc<AtomicU64>,
}

impl Worker {
    pub(crate) async fn run(mut self, stop: Arc<AtomicBool>, completed: Arc<AtomicU64>) {
        let mut settle = Vec::new();
        while !stop.load(Ordering::SeqCst) {
            settle = self.step(settle, &completed).await;
        }
    }

    /// Settles, claims, and says how what it got ends.
    async fn step(&mut self, settle_first: Vec<Settle>, completed: &AtomicU64) -> Vec<Settle> {
        self.nonce += 1;
        let done =
            settle_first.iter().filter(|settle| matches!(settle, Settle::Complete { .. })).count() as u64;
        let wants = QUEUES.map(|name| (QueueName::new(name).unwrap(), 5)).to_vec();
        let nonce = (self.id.0 << 32) | self.nonce;
        let claim = Claim { settle_first: settle_first.clone(), wants, worker: self.id, nonce };
        match self.client.claim(claim, None).await {
            Err(_) => {
                self.failed.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(REST).await;
                settle_first
            }
            Ok(claimed) => {
                completed.fetch_add(done, Ordering::SeqCst);
                if claimed.jobs.is_empty() {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                claimed.jobs.into_iter().filter_map(|job| self.end(job.lease)).collect()
            }
        }
    }

    fn end(&mut self, lease: Lease) -> Option<Settle> {
        Some(match self.dice.below(20) {
            0 => Settle::Fail { lease, error: error(), retry_in_ms: None, fatal: false },
            1 => Settle::Snooze { lease, delay_ms: self.dice.below(50), reason: "later".into(), holds: None },
            2 => Settle::Release { lease, reason: ReleaseReason::Unstarted },
            3 if self.dice.below(4) == 0 => return None,
            4 => Settle::Complete { lease, result: Some(b"done".to_vec()), then: Vec::new() },
            _ => Settle::Complete { lease, result: None, then: Vec::new() },
        })
    }

    /// Works until nothing is live but what a shut group holds back.
    pub(crate) async fn drain(&mut self, completed: &AtomicU64) {
        let mut settle = Vec::new();
        let since = std::time::Instant::now();
        let mut left = Vec::new();
        while since.elapsed() < DRAINED_WITHIN {
            settle = self.step(settle, completed).await;
            let _ = self.client.store().upkeep(500, None).await;
            if !settle.is_empty() {
                continue;
            }
            left = self.live().await;
            if left.is_empty() {
                return;
            }
        }
        panic!("the queues do not run dry: {left:?}");
    }
}

impl Worker {
    /// Groups with jobs that can still come to an end: all but those that a dead head has shut.
    async fn live(&self) -> Vec<(QueueName, GroupInfo)> {
        let mut live = Vec::new();
        for name in QUEUES {
            let queue = QueueName::new(name).unwrap();
            let groups = self.client.store().groups(queue.clone(), None, 1_000).await.unwrap().items;
            let waits = |group: &GroupInfo| group.counts.waiting() + group.counts.of(State::Running) > 0;
            live.extend(
                groups.into_iter().filter(|g| g.shut_by.is_none() && waits(g)).map(|g| (queue.clone(), g)),
            );
        }
        live
    }
}

fn error() -> ErrorReport {
    let fingerprint = windlass_core::fingerprint::fingerprint("work", None, "boom");
    ErrorReport { class: None, message: "boom".into(), detail: None, fingerprint }
}
