//! What the worker promises when heartbeats, leases or the store itself fail, and how little it asks.

use crate::store::Watched;
use crate::worker::{Bell, Seen};
use crate::{DEADLINE, Number, until, until_state};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use windlass::core::job::State as JobState;
use windlass::core::queue::QueueSettings;
use windlass::{Client, Ctx, State};

fn with_lease(lease_ms: u64) -> QueueSettings {
    QueueSettings { lease_ms, ..QueueSettings::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_whose_lease_is_lost_is_stopped_and_says_nothing_more() {
    let (store, client) = Watched::memory().await;
    client.set_queue("numbers", with_lease(1_000)).await.expect("set");
    async fn handle(_: Number, State((bell, first)): State<(Arc<Notify>, Arc<AtomicBool>)>) {
        if first.swap(false, Ordering::SeqCst) {
            let _bell = Bell(bell);
            std::future::pending::<()>().await;
        }
    }
    let bell = Arc::new(Notify::new());
    let state = (bell.clone(), Arc::new(AtomicBool::new(true)));
    store.failing_beats.store(u64::MAX, Ordering::SeqCst);
    let worker = client.worker(state).queue("numbers", 1).handle(handle).start().await.expect("starts");
    let id = client.enqueue(Number { n: 1 }).await.expect("taken").id;
    // No heartbeat gets through: the worker stops it by its own clock, before the lease runs out.
    bell.notified().await;
    assert_eq!(client.get(id).await.unwrap().unwrap().view.state, JobState::Running);
    store.failing_beats.store(0, Ordering::SeqCst);
    let job = until_state(&client, id, JobState::Completed).await;
    assert_eq!((job.view.attempt, job.view.losses, job.view.failures), (2, 1, 0));
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_whose_job_was_taken_away_is_stopped() {
    let (store, client) = Watched::memory().await;
    async fn handle(_: Number, State((bell, reasons)): State<(Arc<Notify>, Seen)>, cx: Ctx) {
        let _bell = Bell(bell);
        tokio::spawn(async move { reasons.add(format!("{:?}", cx.cancelled().await)) });
        std::future::pending::<()>().await;
    }
    let (bell, reasons) = (Arc::new(Notify::new()), Seen::default());
    let worker = client.worker((bell.clone(), reasons.clone())).queue("numbers", 1).handle(handle);
    let worker = worker.start().await.expect("starts");
    let id = client.enqueue(Number { n: 1 }).await.expect("taken").id;
    let job = until_state(&client, id, JobState::Running).await;
    // Somebody ends the lease behind the worker's back, as an upkeep elsewhere would.
    let late = job.deadline.expect("a deadline").plus_ms(60_000);
    store.upkeep_at(late).await;
    // Told by the store, long before its own clock would stop it.
    tokio::time::timeout(DEADLINE, bell.notified()).await.expect("the handler is stopped");
    until("the reason is told", || async { reasons.all().first().cloned() }).await;
    assert_eq!(reasons.all()[0], "LeaseLost");
    worker.shutdown_within(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_is_known_again_to_a_store_that_came_back_without_it() {
    let (store, client) = Watched::memory().await;
    let worker = client.worker(()).queue("numbers", 1).handle(|_: Number| async {});
    let worker = worker.start().await.expect("starts");
    let known = || async {
        let all = client.store().workers(None).await.expect("the store answers");
        all.iter().any(|info| info.hello.worker == worker.id()).then_some(())
    };
    until("the worker is there", known).await;
    // The store is gone for some calls, and when it is back it knows nobody: presence is kept in memory.
    store.failing_claims.store(3, Ordering::SeqCst);
    store.forget(worker.id()).await;
    assert!(known().await.is_none());
    client.enqueue(Number { n: 1 }).await.expect("taken");
    until("the worker is there again", known).await;
    worker.shutdown().await;
    assert_eq!(client.store().workers(None).await.expect("the store answers"), []);
}

#[test]
fn a_handler_that_blocks_the_runtime_keeps_its_lease() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let (blocks, blocked) = mpsc::channel::<()>();
    let (go, gone) = mpsc::channel::<()>();
    let gone = Arc::new(Mutex::new(gone));
    let handle = move |_: Number| {
        blocks.send(()).expect("the test waits");
        // The only thread of the runtime stands still.
        gone.lock().unwrap().recv().expect("the test goes on");
        std::future::ready(())
    };
    let (store, client, id, worker) = runtime.block_on(async {
        let (store, client) = Watched::memory().await;
        client.set_queue("numbers", with_lease(1_000)).await.expect("set");
        let worker = client.worker(()).queue("numbers", 1).handle(handle).start().await.expect("starts");
        let id = client.enqueue(Number { n: 1 }).await.expect("taken").id;
        (store, client, id, worker)
    });
    blocked.recv().expect("the handler starts");
    // Each renews the lease by a second: five of them outlive it.
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let beats = || async { (store.beats.load(Ordering::SeqCst) >= 5).then_some(()) };
    other.block_on(until("heartbeats go on", beats));
    go.send(()).expect("the handler waits");
    let job = runtime.block_on(until_state(&client, id, JobState::Completed));
    assert_eq!((job.view.attempt, job.view.losses), (1, 0));
    runtime.block_on(worker.shutdown());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_store_fails_goes_on_and_loses_no_end() {
    let (store, client) = Watched::memory().await;
    store.failing_claims.store(5, Ordering::SeqCst);
    let seen = Seen::default();
    let done = seen.clone();
    let handle = move |job: Number| {
        done.add(job.n.to_string());
        std::future::ready(())
    };
    let worker = client.worker(()).queue("numbers", 1).handle(handle).start().await.expect("starts");
    let first = client.enqueue(Number { n: 1 }).await.expect("taken").id;
    until_state(&client, first, JobState::Completed).await;
    store.failing_settles.store(4, Ordering::SeqCst);
    let second = client.enqueue(Number { n: 2 }).await.expect("taken").id;
    let job = until_state(&client, second, JobState::Completed).await;
    assert_eq!((job.view.failures, job.view.losses), (0, 0));
    assert_eq!(seen.all(), ["1", "2"]);
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_asks_only_when_there_is_a_reason() {
    let (store, client) = Watched::memory().await;
    let worker = client.worker(()).queue("numbers", 10).handle(async |_: Number| {});
    let worker = worker.start().await.expect("starts");
    for n in 0..20 {
        let id = client.enqueue(Number { n }).await.expect("taken").id;
        until_state(&client, id, JobState::Completed).await;
    }
    // For each job one claim, one settlement, and at most one look more; one at the start.
    let claims = store.claims.load(Ordering::SeqCst);
    assert!(claims <= 61, "{claims} claims for 20 jobs");
    worker.shutdown().await;
}

/// Two hundred quick jobs, one that stays, twenty quick ones behind it; a store whose answers take 20 ms.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_claimed_ahead_keep_to_the_slots_and_do_not_wait_behind_a_slow_one() {
    let (store, client) = Watched::memory().await;
    store.claim_ms.store(20, Ordering::SeqCst);
    let ids: Vec<_> = {
        let mut ids = Vec::new();
        for n in 0..221 {
            ids.push(client.enqueue(Number { n }).await.expect("taken").id);
        }
        ids
    };
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (stays, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let worker = client.worker(()).queue("numbers", 2).handle({
        let (running, most, stays, go) = (running.clone(), most.clone(), stays.clone(), go.clone());
        move |job: Number| {
            let (running, most, stays, go) = (running.clone(), most.clone(), stays.clone(), go.clone());
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                if job.n == 199 || job.n == 200 {
                    // Both slots: what was claimed behind them cannot start here.
                    stays.add_permits(1);
                    go.acquire().await.expect("open").forget();
                }
                running.fetch_sub(1, Ordering::SeqCst);
            }
        }
    });
    let worker = worker.start().await.expect("starts");
    stays.acquire_many(2).await.expect("open").forget();
    let claims = store.claims.load(Ordering::SeqCst);
    assert!(claims < 90, "{claims} claims for 201 jobs of two slots: nothing was claimed ahead");
    let other =
        client.worker(()).queue("numbers", 10).handle(async |_: Number| {}).start().await.expect("starts");
    for id in &ids[201..] {
        until_state(&client, *id, JobState::Completed).await;
    }
    go.add_permits(2);
    for id in &ids {
        until_state(&client, *id, JobState::Completed).await;
    }
    assert_eq!(most.load(Ordering::SeqCst), 2, "never more handlers than slots");
    other.shutdown().await;
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_does_the_upkeep_of_a_store_that_leaves_it_to_workers_and_of_no_other() {
    let (store, client) = Watched::memory().await;
    let worker = client.worker(()).queue("numbers", 1).handle(async |_: Number| {});
    let id = client.enqueue(Number { n: 1 }).await.expect("taken").id;
    let worker = worker.start().await.expect("starts");
    until_state(&client, id, JobState::Completed).await;
    worker.shutdown().await;
    assert_eq!(store.upkeeps.load(Ordering::SeqCst), 0);
    let client = Client::with_upkeep(store.clone());
    let worker = client.worker(()).queue("numbers", 1).handle(async |_: Number| {});
    let worker = worker.start().await.expect("starts");
    until("upkeep goes on", || async { (store.upkeeps.load(Ordering::SeqCst) > 2).then_some(()) }).await;
    worker.shutdown().await;
}
