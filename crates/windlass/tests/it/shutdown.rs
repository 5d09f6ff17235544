//! What becomes of jobs when their worker leaves.

use crate::{Number, on_both_stores, until, until_state};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use windlass::core::job::State as JobState;
use windlass::{CancelReason, Client, Ctx, JobError, ShutdownReport, State};

on_both_stores! {
    a_shutdown_lets_handlers_finish
    a_shutdown_gives_back_what_does_not_finish_without_a_try_spent
    a_handler_that_stops_when_asked_gives_its_job_back
    a_handler_that_blocks_its_thread_does_not_hold_up_a_shutdown
    a_signal_shuts_down
    a_worker_that_is_dropped_gives_its_jobs_back
    a_closed_client_ends_its_workers
}

/// Waits at the door, having said that it is there.
#[derive(Clone)]
struct Hall {
    there: Arc<Semaphore>,
    door: Arc<Semaphore>,
}

impl Hall {
    fn new() -> Self {
        Self { there: Arc::new(Semaphore::new(0)), door: Arc::new(Semaphore::new(0)) }
    }

    async fn wait_for(&self, count: u32) {
        self.there.acquire_many(count).await.expect("open").forget();
    }
}

async fn wait(_: Number, State(hall): State<Hall>) {
    hall.there.add_permits(1);
    hall.door.acquire().await.expect("open").forget();
}

async fn fill(client: &Client, count: u64) -> Vec<windlass::JobId> {
    let answers = client.enqueue_many((0..count).map(|n| Number { n })).await.expect("taken");
    answers.into_iter().map(|answer| answer.expect("taken").id).collect()
}

async fn a_shutdown_lets_handlers_finish(client: Client) {
    let hall = Hall::new();
    let worker = client.worker(hall.clone()).queue("numbers", 3).handle(wait).start().await.expect("starts");
    fill(&client, 5).await;
    hall.wait_for(3).await;
    // The order to stop is given first.
    let (report, ()) = tokio::join!(worker.shutdown(), async { hall.door.add_permits(10) });
    assert_eq!(report, ShutdownReport { done: 3, returned: 0, aborted: 0 });
    let queues = client.store().queues(None, None).await.expect("answered");
    assert_eq!(queues[0].counts.of(JobState::Completed), 3, "and no new ones start");
    assert_eq!(queues[0].counts.of(JobState::Ready), 2);
    assert_eq!(client.store().workers(None).await.expect("answered"), [], "it said good-bye");
}

async fn a_shutdown_gives_back_what_does_not_finish_without_a_try_spent(client: Client) {
    let hall = Hall::new();
    let worker = client.worker(hall.clone()).queue("numbers", 3).handle(wait).start().await.expect("starts");
    let ids = fill(&client, 3).await;
    hall.wait_for(3).await;
    let report = worker.shutdown_within(Duration::ZERO).await;
    assert_eq!(report, ShutdownReport { done: 0, returned: 3, aborted: 3 });
    for id in ids {
        let job = client.get(id).await.expect("answered").expect("known");
        assert_eq!(job.view.state, JobState::Ready);
        assert_eq!((job.view.failures, job.view.losses), (0, 0));
    }
}

async fn a_handler_that_stops_when_asked_gives_its_job_back(client: Client) {
    async fn handle(_: Number, State(started): State<Arc<Notify>>, cx: Ctx) -> Result<(), JobError> {
        started.notify_one();
        assert_eq!(cx.cancelled().await, CancelReason::Shutdown);
        Err(JobError::cancelled())
    }
    let started = Arc::new(Notify::new());
    let worker = client.worker(started.clone()).queue("numbers", 1).handle(handle).grace(Duration::ZERO);
    let worker = worker.start().await.expect("starts");
    let ids = fill(&client, 1).await;
    started.notified().await;
    assert_eq!(worker.shutdown().await, ShutdownReport { done: 0, returned: 1, aborted: 0 });
    let job = client.get(ids[0]).await.expect("answered").expect("known");
    assert_eq!((job.view.state, job.view.failures), (JobState::Ready, 0));
}

async fn a_handler_that_blocks_its_thread_does_not_hold_up_a_shutdown(client: Client) {
    let (open, door) = mpsc::channel::<()>();
    let door = Arc::new(Mutex::new(door));
    let (there, arrived) = mpsc::channel::<()>();
    let handle = move |_: Number| {
        there.send(()).expect("the test waits");
        // Ends in an error when the test does, if it has to.
        let _ = door.lock().unwrap().recv();
    };
    let worker = client.worker(()).queue("numbers", 1).handle_blocking(handle).start().await.expect("starts");
    let ids = fill(&client, 1).await;
    tokio::task::spawn_blocking(move || arrived.recv()).await.expect("ends").expect("it starts");
    let report = worker.shutdown_within(Duration::ZERO).await;
    assert_eq!((report.done, report.returned, report.aborted), (0, 1, 1));
    assert_eq!(client.get(ids[0]).await.unwrap().unwrap().view.state, JobState::Ready);
    drop(open);
}

async fn a_signal_shuts_down(client: Client) {
    let worker = client.worker(()).queue("numbers", 1).handle(async |_: Number| {});
    let worker = worker.start().await.expect("starts");
    let signal = Arc::new(Notify::new());
    let told = signal.clone();
    let running = tokio::spawn(worker.shutdown_on(async move { told.notified().await }));
    let ids = fill(&client, 1).await;
    until_state(&client, ids[0], JobState::Completed).await;
    assert!(!running.is_finished());
    signal.notify_one();
    assert_eq!(running.await.expect("ends").aborted, 0);
}

async fn a_worker_that_is_dropped_gives_its_jobs_back(client: Client) {
    let hall = Hall::new();
    let inside = hall.clone();
    let other = client.clone();
    let (dropped, gone) = tokio::sync::oneshot::channel();
    // A runtime that ends with the worker on it and everything in the middle.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let worker = other.worker(inside.clone()).queue("numbers", 2).handle(wait);
            let worker = worker.start().await.expect("starts");
            inside.wait_for(2).await;
            std::mem::forget(worker);
        });
        drop(runtime);
        dropped.send(()).expect("the test waits");
    });
    let ids = fill(&client, 2).await;
    gone.await.expect("it ends");
    for id in ids {
        let job = until_state(&client, id, JobState::Ready).await;
        assert_eq!((job.view.attempt, job.view.failures, job.view.losses), (1, 0, 0));
    }
    // Dropped on a runtime that lives, it leaves in the background.
    let worker = client.worker(hall.clone()).queue("numbers", 2).handle(wait).start().await.expect("starts");
    hall.wait_for(2).await;
    drop(worker);
    hall.door.add_permits(2);
    let left = || async {
        let queues = client.store().queues(None, None).await.expect("answered");
        let workers = client.store().workers(None).await.expect("answered");
        (queues[0].counts.of(JobState::Completed) == 2 && workers.is_empty()).then_some(())
    };
    until("the jobs are done and the worker has left", left).await;
}

async fn a_closed_client_ends_its_workers(client: Client) {
    let worker = client.worker(()).queue("numbers", 1).handle(async |_: Number| {});
    let worker = worker.start().await.expect("starts");
    let running = tokio::spawn(worker.shutdown_on(std::future::pending::<()>()));
    client.close().await.expect("closes");
    running.await.expect("the worker has ended by itself");
    assert!(client.enqueue(Number { n: 1 }).await.is_err(), "a closed store takes nothing");
}
