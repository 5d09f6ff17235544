//! Even pacing: calls start at their own due times, whether or not earlier ones have been answered.
//!
//! A load that waits for its answers slows down exactly when the store does, and then measures nothing. So a thread of
//! its own keeps the time (an async timer has a resolution of a millisecond), and each call is a task.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc;

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
    let fault = Arc::new(Mutex::new(None));
    // Every call holds a sender until its end. No handles are kept: a hundred thousand of them would be measured as
    // the store's memory.
    let (alive, mut all_done) = mpsc::channel::<()>(1);
    let faults = Arc::clone(&fault);
    std::thread::Builder::new().name("bench-pace".into()).spawn(move || {
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
            let (call, alive, faults) = (call(number, due), alive.clone(), Arc::clone(&faults));
            runtime.spawn(async move {
                if let Err(fault) = call.await {
                    faults.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
                }
                drop(alive);
            });
        }
    })?;
    // Nothing is ever sent: this ends when the last sender is gone.
    all_done.recv().await;
    match fault.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(fault) => Err(fault),
        None => Ok(()),
    }
}

struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
