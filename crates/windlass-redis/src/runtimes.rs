//! Each runtime has a connection of its own.
//!
//! A connection is driven by a task of the runtime that made it. A heartbeat comes from a thread of its own, so that
//! handlers may block theirs: it must not wait for a connection whose task stands still, nor for one that a runtime which
//! stands still is about to make.

use std::sync::{Arc, Mutex, PoisonError};

use redis::aio::MultiplexedConnection;
use tokio::runtime::{Handle, Id, TryCurrentError};

/// Runtimes whose connections are kept: a program has one, and each of its workers a small one for heartbeats. Those that
/// were not used for longest are let go.
const RUNTIMES_MAX: usize = 16;

/// The connections of one link.
#[derive(Default)]
pub(crate) struct Runtimes(Mutex<Vec<(Id, Arc<Own>)>>);

/// The connection of one runtime.
#[derive(Default)]
pub(crate) struct Own {
    current: Mutex<Option<MultiplexedConnection>>,
    /// Held by whoever makes the connection.
    pub(crate) making: tokio::sync::Mutex<()>,
}

impl Runtimes {
    /// What belongs to the runtime that asks.
    pub(crate) fn own(&self) -> Result<Arc<Own>, TryCurrentError> {
        let runtime = Handle::try_current()?.id();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = match all.iter().position(|(id, _)| *id == runtime) {
            Some(at) => all.remove(at),
            None => {
                if all.len() >= RUNTIMES_MAX {
                    all.remove(0);
                }
                (runtime, Arc::default())
            }
        };
        let own = entry.1.clone();
        all.push(entry);
        Ok(own)
    }
}

impl Own {
    pub(crate) fn standing(&self) -> Option<MultiplexedConnection> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, connection: Option<MultiplexedConnection>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = connection;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_runtime_has_a_connection_of_its_own_and_they_stay_few() {
        let all = Runtimes::default();
        assert!(all.own().is_err(), "without a runtime there is none");
        let runtimes: Vec<_> = (0..=RUNTIMES_MAX)
            .map(|_| tokio::runtime::Builder::new_current_thread().build().expect("a runtime"))
            .collect();
        let of = |at: usize| runtimes[at].block_on(async { all.own() }).expect("a runtime");
        let first = of(0);
        for at in 1..RUNTIMES_MAX {
            assert!(!Arc::ptr_eq(&first, &of(at)));
        }
        assert!(Arc::ptr_eq(&first, &of(0)), "it keeps what it has");
        let second = of(1);
        for at in 2..runtimes.len() {
            of(at);
        }
        assert_eq!(all.0.lock().expect("a lock").len(), RUNTIMES_MAX);
        assert!(Arc::ptr_eq(&second, &of(1)) && !Arc::ptr_eq(&first, &of(0)), "the longest unused goes");
    }
}
