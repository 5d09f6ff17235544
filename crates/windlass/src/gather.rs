//! Makes many concurrent single calls share one store call, without a timer.
//!
//! Whatever gathers while the calls in flight are out goes into the next one: an idle client sends
//! its single item at once, a busy one sends hundreds together. A call runs in its own task, so a
//! caller who stops waiting takes nothing away from the others; its item may or may not have been
//! done. The queue is bounded by its callers, each of whom waits for its one item.

use crate::error::Error;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use windlass_core::StoreError;
use windlass_core::bounds::BATCH_ITEMS_MAX;
use windlass_core::store::PerItem;

/// Calls out at once: the second one gathers while the first one waits for its sync, a third would
/// only make the batches smaller.
const FLIGHTS_MAX: usize = 2;
/// Bytes after which a call takes no more items, so that one call stays short on every store.
const FLIGHT_BYTES_MAX: usize = 8 << 20;

type Sent<A> = Pin<Box<dyn Future<Output = Result<PerItem<A>, StoreError>> + Send>>;
type Answer<A> = Result<A, Error>;

/// One verb whose single calls are gathered.
pub(crate) struct Gather<I, A> {
    operation: &'static str,
    bytes_of: fn(&I) -> usize,
    send: Box<dyn Fn(Vec<I>) -> Sent<A> + Send + Sync>,
    /// Where calls run when a caller has no runtime of its own.
    home: Option<Handle>,
    waiting: Mutex<Waiting<I, A>>,
}

struct Waiting<I, A> {
    items: VecDeque<(I, oneshot::Sender<Answer<A>>)>,
    flights: usize,
}

impl<I: Send + 'static, A: Send + 'static> Gather<I, A> {
    pub(crate) fn new(
        operation: &'static str,
        bytes_of: fn(&I) -> usize,
        send: impl Fn(Vec<I>) -> Sent<A> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let waiting = Mutex::new(Waiting { items: VecDeque::new(), flights: 0 });
        Arc::new(Self {
            operation,
            bytes_of,
            send: Box::new(send),
            home: Handle::try_current().ok(),
            waiting,
        })
    }

    /// Hands in one item; the receiver gets its answer, or is dropped when nobody knows it.
    pub(crate) fn submit(self: &Arc<Self>, item: I) -> oneshot::Receiver<Answer<A>> {
        let (answer, answered) = oneshot::channel();
        let lift_off = {
            let mut waiting = self.waiting();
            waiting.items.push_back((item, answer));
            let free = waiting.flights < FLIGHTS_MAX;
            waiting.flights += usize::from(free);
            free
        };
        if lift_off {
            let flight = fly(Flight { gather: self.clone(), landed: false });
            match Handle::try_current().ok().or_else(|| self.home.clone()) {
                Some(runtime) => drop(runtime.spawn(flight)),
                // The flight is dropped here, and with it every sender: the callers are told.
                None => drop(flight),
            }
        }
        answered
    }

    /// What a caller is told whose call was dropped half way, as happens when a runtime ends.
    pub(crate) fn dropped(&self) -> Error {
        Error::Store(StoreError {
            operation: self.operation,
            cause: "the async runtime that carried this call has ended".into(),
            outcome: windlass_core::error::Outcome::Unknown,
            retryable: true,
            hint: None,
        })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<I, A>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next batch, or none; then the flight is over.
    fn take(&self) -> Option<Vec<(I, oneshot::Sender<Answer<A>>)>> {
        let mut waiting = self.waiting();
        let mut bytes = 0;
        let mut count = 0;
        for (item, _) in waiting.items.iter().take(BATCH_ITEMS_MAX) {
            bytes += (self.bytes_of)(item);
            if count > 0 && bytes > FLIGHT_BYTES_MAX {
                break;
            }
            count += 1;
        }
        if count == 0 {
            waiting.flights -= 1;
            return None;
        }
        Some(waiting.items.drain(..count).collect())
    }
}

struct Flight<I, A> {
    gather: Arc<Gather<I, A>>,
    landed: bool,
}

impl<I, A> Drop for Flight<I, A> {
    /// A runtime that ends drops its flights: whoever still waits must hear of it and not wait for ever.
    fn drop(&mut self) {
        if !self.landed {
            let mut waiting = self.gather.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.flights -= 1;
            waiting.items.clear();
        }
    }
}

async fn fly<I: Send + 'static, A: Send + 'static>(mut flight: Flight<I, A>) {
    let gather = flight.gather.clone();
    loop {
        // Tasks that are ready to run may be about to hand in an item: they go first.
        tokio::task::yield_now().await;
        let Some(batch) = gather.take() else {
            flight.landed = true;
            return;
        };
        let (items, answers): (Vec<I>, Vec<_>) = batch.into_iter().unzip();
        match (gather.send)(items).await {
            // An answer whose receiver is gone belongs to a caller who stopped waiting.
            Ok(done) => {
                for (answer, item) in answers.into_iter().zip(done) {
                    let _ = answer.send(item.map_err(Error::Rejected));
                }
            }
            Err(error) => {
                for answer in answers {
                    let _ = answer.send(Err(Error::Store(error.clone())));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Semaphore;

    type Sizes = Arc<Mutex<Vec<usize>>>;

    fn sizes() -> (Sizes, Arc<Semaphore>, Arc<Gather<u32, u32>>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let gate = Arc::new(Semaphore::new(0));
        let (log, door) = (seen.clone(), gate.clone());
        let gather = Gather::new(
            "enqueue",
            |_| 1,
            move |items: Vec<u32>| {
                log.lock().unwrap().push(items.len());
                let door = door.clone();
                Box::pin(async move {
                    door.acquire().await.expect("never closed").forget();
                    Ok(items.into_iter().map(Ok).collect())
                })
            },
        );
        (seen, gate, gather)
    }

    #[tokio::test]
    async fn what_gathers_while_two_calls_are_out_goes_into_the_next_one() {
        let (seen, gate, gather) = sizes();
        let first = gather.submit(0);
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        assert_eq!(*seen.lock().unwrap(), [1], "a lone item goes out at once");
        let rest: Vec<_> = (1..2_500).map(|i| gather.submit(i)).collect();
        gate.add_permits(10);
        assert_eq!(first.await.unwrap().unwrap(), 0);
        for (i, answer) in rest.into_iter().enumerate() {
            assert_eq!(answer.await.unwrap().unwrap(), i as u32 + 1);
        }
        assert_eq!(*seen.lock().unwrap(), [1, 1_000, 1_000, 499]);
    }

    #[tokio::test]
    async fn a_caller_who_stops_waiting_takes_nothing_from_the_others() {
        let (_, gate, gather) = sizes();
        drop(gather.submit(1));
        let kept = gather.submit(2);
        gate.add_permits(2);
        assert_eq!(kept.await.unwrap().unwrap(), 2);
    }

    #[test]
    fn a_runtime_that_ends_tells_whoever_waits_and_the_next_one_works() {
        let (_, gate, gather) = sizes();
        let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
        let first = runtime();
        let mut answered = None;
        first.block_on(async {
            answered = Some(gather.submit(1));
            tokio::task::yield_now().await;
        });
        drop(first);
        assert!(runtime().block_on(answered.expect("submitted")).is_err());
        gate.add_permits(1);
        assert_eq!(runtime().block_on(async { gather.submit(2).await.unwrap().unwrap() }), 2);
    }
}
