//! A real worker whose jobs wait until the test lets them go, so that a page can be looked at while they run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, watch};
use windlass::{Client, Ctx, JobError, RawJob, RunningWorker, State};

/// What a payload holds whose job fails for good.
pub(crate) const BAD_CARD: &str = "4000-declined";

/// The place where the jobs wait.
#[derive(Clone)]
struct Floor {
    gate: Arc<Semaphore>,
    running: Arc<watch::Sender<usize>>,
    most: Arc<AtomicUsize>,
}

/// A worker that runs.
pub(crate) struct Crew {
    worker: RunningWorker,
    floor: Floor,
}

impl Crew {
    /// A worker of these queues, with so many slots in each.
    pub(crate) async fn of(client: &Client, queues: &[&str], slots: u32) -> Self {
        let floor = Floor {
            gate: Arc::new(Semaphore::new(0)),
            running: Arc::new(watch::Sender::new(0)),
            most: Arc::default(),
        };
        let worker =
            queues.iter().fold(client.worker(floor.clone()), |worker, queue| worker.queue(queue, slots));
        Self { worker: worker.handle_any(work).start().await.expect("a worker"), floor }
    }

    /// Lets so many jobs come to their end.
    pub(crate) fn let_go(&self, jobs: usize) {
        self.floor.gate.add_permits(jobs);
    }

    /// Waits until so many jobs run at once.
    pub(crate) async fn runs(&self, jobs: usize) {
        let mut running = self.floor.running.subscribe();
        let reached = running.wait_for(|running| *running == jobs);
        let within = tokio::time::timeout(crate::chromium::PATIENCE, reached).await;
        within.unwrap_or_else(|_| panic!("{jobs} jobs never ran at once")).expect("the worker lives");
    }

    /// The most jobs that ran at once since this was asked last.
    pub(crate) fn most(&self) -> usize {
        self.floor.most.swap(*self.floor.running.borrow(), Ordering::SeqCst)
    }

    pub(crate) async fn goes_home(self) {
        self.let_go(Semaphore::MAX_PERMITS / 2);
        self.worker.shutdown().await;
    }
}

async fn work(job: RawJob, State(floor): State<Floor>, cx: Ctx) -> Result<(), JobError> {
    let payload = String::from_utf8_lossy(&job.payload).into_owned();
    cx.log(format!("charging with {} bytes", job.payload.len()));
    floor.running.send_modify(|running| *running += 1);
    floor.most.fetch_max(*floor.running.borrow(), Ordering::SeqCst);
    let let_go = floor.gate.acquire().await;
    floor.running.send_modify(|running| *running -= 1);
    let_go.map_err(|_| JobError::msg("the test is over"))?.forget();
    if payload.contains(BAD_CARD) {
        let error = JobError::msg("card 4000 was declined: insufficient_funds").class("CardError");
        return Err(error.fatal());
    }
    Ok(())
}
