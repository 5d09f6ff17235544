//! Even pacing: calls start at their own due times, whether or not earlier ones have been answered.
//!
//! A load that waits for its answers slows down exactly when the store does, and then measures nothing. So a thread of
//! its own keeps the time (an async timer has a resolution of a millisecond), and each call is a task.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::fault::Fault;

/// Starts `calls` calls, one every `every`; `call` gets its number and its due time. Answers when all are done.
pub(super) async fn paced<F, Fut>(calls: u64, every: Duration, call: F) -> Result<(), Fault>
where
    F: Fn(u64, Instant) -> Fut + Send + 'static,
    Fut: Future<Output = Result<(), Fault>> + Send + 'static,
{
    let runtime = Handle::current();
    let stop = Arc::new(AtomicBool::new(false));
    // When the profile is dropped in the middle, the thread must end too.
    let _guard = StopOnDrop(Arc::clone(&stop));
    let thread = std::thread::Builder::new().name("bench-pace".into());
    let (ended, end) = tokio::sync::oneshot::channel();
    thread.spawn(move || {
        let mut tasks = JoinSet::new();
        let start = Instant::now();
        for number in 0..calls {
            let due = start + every.mul_f64(number as f64);
            let now = Instant::now();
            if due > now {
                std::thread::sleep(due - now);
            }
            if stop.load(Ordering::Relaxed) {
                break;
            }
            tasks.spawn_on(call(number, due), &runtime);
        }
        // Nobody waits any more when the receiver is gone.
        let _ = ended.send(tasks);
    })?;
    let mut tasks = end.await.map_err(|_| Fault::failed("the pacing thread ended early"))?;
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| Fault::failed(format!("a call ended: {error}")))??;
    }
    Ok(())
}

struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
