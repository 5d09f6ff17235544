//! Heartbeats, on a thread of their own: a handler that blocks the runtime keeps its lease.
//!
//! One call renews every lease of the worker, every five seconds or a third of the shortest lease.
//! The thread also stops a handler whose lease may have run out unseen: at the worker's own monotonic
//! time of the last good heartbeat + lease - margin, whatever the store says or does not say.
//! When the runtime of the worker ends without a shutdown, the thread gives the leases back.

use crate::ctx::Held;
use crate::handler::THREAD_NONE;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use windlass_core::bounds::{BATCH_ITEMS_MAX, HEARTBEAT_MS, LEASE_MARGIN_MS};
use windlass_core::store::{Beat, Claim, PerItem, ReleaseReason, Settle, Store};
use windlass_core::{Lease, LeaseToken, Rejection, StoreError, WorkerId};

/// How often overdue leases are looked for while a heartbeat waits for its answer.
const LOOK_MS: u64 = 100;
/// How soon a heartbeat that failed is tried again.
const AGAIN_MS: u64 = 500;
/// How long the leases of a worker that was dropped may take to give back.
const LAST_WORD_MS: u64 = 5_000;

/// Every attempt that the worker answers for, until the store has taken its end.
pub(crate) struct Registry {
    epoch: Instant,
    held: Mutex<HashMap<LeaseToken, Arc<Held>>>,
    shortest_ms: AtomicU64,
    beat_now: Notify,
    /// The dispatcher has said good-bye.
    ended: AtomicBool,
    /// The dispatcher was dropped without.
    dropped: AtomicBool,
}

impl Registry {
    pub(crate) fn new() -> Self {
        Self {
            epoch: Instant::now(),
            held: Mutex::default(),
            shortest_ms: AtomicU64::new(u64::MAX),
            beat_now: Notify::new(),
            ended: AtomicBool::new(false),
            dropped: AtomicBool::new(false),
        }
    }

    /// Milliseconds of monotonic time since the worker's start.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, HashMap<LeaseToken, Arc<Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leases of that length are held now.
    pub(crate) fn shortest(&self, lease_ms: u64) {
        if self.shortest_ms.fetch_min(lease_ms, Ordering::Relaxed) > lease_ms && lease_ms / 3 < HEARTBEAT_MS {
            self.beat_now.notify_one();
        }
    }

    /// Asks the store at once: something may have happened to a lease.
    pub(crate) fn beat_now(&self) {
        self.beat_now.notify_one();
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.beat_now.notify_one();
    }

    pub(crate) fn drop_all(&self) {
        self.dropped.store(true, Ordering::SeqCst);
        self.beat_now.notify_one();
    }

    fn over(&self) -> bool {
        self.ended.load(Ordering::SeqCst) || self.dropped.load(Ordering::SeqCst)
    }

    /// How long until the first lease may have run out unseen.
    fn until_overdue_ms(&self) -> u64 {
        let now_ms = self.now_ms();
        let first = self.lock().values().filter(|held| !held.is_lost()).map(|held| overdue_ms(held)).min();
        first.map_or(u64::MAX, |first_ms| first_ms.saturating_sub(now_ms))
    }

    fn all(&self) -> Vec<Arc<Held>> {
        self.lock().values().cloned().collect()
    }
}

/// How long without a good heartbeat a handler may go on: the lease less the margin, and for leases
/// that are hardly longer than the margin, two thirds of them.
pub(crate) fn hold_ms(lease_ms: u64) -> u64 {
    lease_ms - LEASE_MARGIN_MS.min(lease_ms / 3)
}

/// How long to wait between two heartbeats.
pub(crate) fn period_ms(shortest_lease_ms: u64) -> u64 {
    HEARTBEAT_MS.min(shortest_lease_ms / 3).max(1)
}

/// When, in the registry's milliseconds, the handler has to stop unless a heartbeat gets through.
fn overdue_ms(held: &Held) -> u64 {
    held.good_ms.load(Ordering::Relaxed).saturating_add(hold_ms(held.job.lease_ms))
}

/// Stops every handler whose lease may have run out at `now_ms`.
pub(crate) fn stop_overdue(held: &[Arc<Held>], now_ms: u64) {
    for held in held {
        if now_ms >= overdue_ms(held) && !held.is_lost() {
            tracing::warn!(job = %held.job.lease.job, "no heartbeat got through in time; its handler is stopped");
            held.lose();
        }
    }
}

/// Starts the thread; it ends with the worker.
pub(crate) fn spawn(
    registry: Arc<Registry>,
    store: Arc<dyn Store>,
    worker: WorkerId,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    // A runtime of its own, for its timers and for stores that need one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("windlass-heartbeat".into()).spawn(move || {
        runtime.block_on(Beater { registry, store, worker }.run());
    })
}

struct Beater {
    registry: Arc<Registry>,
    store: Arc<dyn Store>,
    worker: WorkerId,
}

impl Beater {
    async fn run(self) {
        let mut healthy = true;
        while !self.registry.over() {
            let mut wait_ms = period_ms(self.registry.shortest_ms.load(Ordering::Relaxed));
            if !healthy {
                // Leases may run out before the next beat is due: their handlers stop on time.
                wait_ms = wait_ms.min(AGAIN_MS).min(self.registry.until_overdue_ms()).max(1);
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
                () = self.registry.beat_now.notified() => {}
            }
            healthy = self.beat().await;
        }
        if self.registry.dropped.load(Ordering::SeqCst) {
            let last_word = Duration::from_millis(LAST_WORD_MS);
            // Best effort: leases that are not given back run out.
            let _ = tokio::time::timeout(last_word, self.give_back()).await;
        }
    }

    /// Renews every lease and sends what handlers have said; false when the store did not answer.
    async fn beat(&self) -> bool {
        let all = self.registry.all();
        let shortest = all.iter().map(|held| held.job.lease_ms).min().unwrap_or(u64::MAX);
        self.registry.shortest_ms.store(shortest, Ordering::Relaxed);
        let reports: Vec<_> = all.iter().filter_map(|held| held.take_report()).collect();
        stop_overdue(&all, self.registry.now_ms());
        let answers = self.heartbeat(&all).await;
        let healthy = answers.len() == all.len();
        for (held, answer) in answers {
            match answer {
                Ok(beat) if beat.cancel_requested => held.request_cancel(),
                Ok(_) => {}
                Err(Rejection::Stale) => held.lose(),
                Err(other) => tracing::warn!(job = %held.job.lease.job, %other, "heartbeat refused"),
            }
        }
        let mut reports = reports.into_iter().peekable();
        while reports.peek().is_some() {
            let batch = reports.by_ref().take(BATCH_ITEMS_MAX).collect();
            if let Err(error) = self.while_looking(&all, self.store.report(batch, None)).await {
                tracing::warn!(%error, "log lines and progress of running attempts are lost");
            }
        }
        healthy
    }

    async fn heartbeat<'a>(&self, all: &'a [Arc<Held>]) -> Vec<(&'a Arc<Held>, Result<Beat, Rejection>)> {
        let mut answers = Vec::with_capacity(all.len());
        for some in all.chunks(BATCH_ITEMS_MAX) {
            let leases: Vec<Lease> = some.iter().map(|held| held.job.lease).collect();
            let sent_ms = self.registry.now_ms();
            match self.while_looking(all, self.store.heartbeat(leases, None)).await {
                Ok(answered) => {
                    for (held, answer) in some.iter().zip(answered) {
                        if answer.is_ok() {
                            held.good_ms.store(sent_ms, Ordering::Relaxed);
                        }
                        answers.push((held, answer));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, leases = some.len(), "heartbeat failed; it is tried again")
                }
            }
        }
        stop_overdue(all, self.registry.now_ms());
        answers
    }

    /// Waits for the store, but never so long that a lease runs out unseen.
    async fn while_looking<T>(
        &self,
        all: &[Arc<Held>],
        answer: impl Future<Output = Result<PerItem<T>, StoreError>>,
    ) -> Result<PerItem<T>, StoreError> {
        let mut answer = std::pin::pin!(answer);
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return answer,
                () = tokio::time::sleep(Duration::from_millis(LOOK_MS)) => {}
            }
            stop_overdue(all, self.registry.now_ms());
            if self.registry.over() {
                return Err(StoreError::refused("heartbeat", "the worker has ended"));
            }
        }
    }

    /// The runtime is gone and every handler with it: the jobs go back, no try spent.
    async fn give_back(&self) {
        // A thread that cannot be stopped still works: its lease runs out, as that of any lost worker.
        let stopped = |held: &Arc<Held>| held.thread.load(Ordering::SeqCst) == THREAD_NONE;
        let mut all = self.registry.all().into_iter().filter(stopped).peekable();
        while all.peek().is_some() {
            let settle_first = all
                .by_ref()
                .take(BATCH_ITEMS_MAX)
                .map(|held| Settle::Release { lease: held.job.lease, reason: ReleaseReason::Shutdown })
                .collect();
            let claim =
                Claim { settle_first, wants: Vec::new(), worker: self.worker, nonce: crate::ids::random() };
            if let Err(error) = self.store.claim(claim, None).await {
                tracing::warn!(%error, "leases of a dropped worker run out by themselves");
                return;
            }
        }
        let _ = self.store.bye(self.worker, None).await;
    }
}

#[cfg(all(test, feature = "embedded"))]
pub(super) mod tests {
    use super::*;
    use crate::client::Client;
    use windlass_core::bounds::{LEASE_MS_DEFAULT, LEASE_MS_MAX, LEASE_MS_MIN};
    use windlass_core::store::ClaimedJob;
    use windlass_core::{JobId, Kind, QueueName, Time};
    use windlass_embedded::{EmbeddedOptions, EmbeddedStore};

    pub(in crate::worker) fn held(lease_ms: u64, good_ms: u64) -> Arc<Held> {
        let store = EmbeddedStore::memory(EmbeddedOptions::default());
        let token = LeaseToken { counter: crate::ids::random(), nonce: 1 };
        let job = ClaimedJob {
            lease: Lease { job: JobId(1), attempt: 1, token, deadline: Time(lease_ms) },
            lease_ms,
            queue: QueueName::new("q").expect("a name"),
            kind: Kind::new("k").expect("a name"),
            group: None,
            payload: Vec::new(),
            priority: 0,
            failures: 0,
            losses: 0,
            snoozes: 0,
            enqueued_at: Time(0),
            ready_at: Time(0),
            checkpoint: None,
            tags: Vec::new(),
            timeout_ms: None,
            trace: None,
        };
        Arc::new(Held::new(job, Client::new(Arc::new(store)), 0, None, None, good_ms))
    }

    #[test]
    fn a_handler_stops_before_its_lease_can_run_out_and_not_much_earlier() {
        assert_eq!(hold_ms(LEASE_MS_DEFAULT), LEASE_MS_DEFAULT - LEASE_MARGIN_MS);
        for lease_ms in [LEASE_MS_MIN, 2_000, 5_999, 6_000, LEASE_MS_MAX] {
            assert!(hold_ms(lease_ms) < lease_ms && hold_ms(lease_ms) * 3 >= lease_ms * 2);
            assert!(period_ms(lease_ms) * 2 <= hold_ms(lease_ms) + 1, "one heartbeat may fail: {lease_ms}");
        }
        let held = [held(30_000, 1_000)];
        stop_overdue(&held, 28_999);
        assert!(!held[0].is_lost());
        stop_overdue(&held, 29_000);
        assert!(held[0].is_lost());
    }

    #[test]
    fn a_good_heartbeat_moves_the_time_to_stop() {
        let held = [held(30_000, 0)];
        held[0].good_ms.store(5_000, Ordering::Relaxed);
        stop_overdue(&held, 32_999);
        assert!(!held[0].is_lost());
        stop_overdue(&held, 33_000);
        assert!(held[0].is_lost());
    }
}
