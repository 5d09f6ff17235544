//! Push: the server claims a queue's jobs itself and sends each to an address, so that a worker is a handler of HTTP.
//!
//! The target of a queue is kept by the store (`targets`). Each server works on each target with the runtime that every
//! worker has: leases, heartbeats, settlements and the shutdown are those of any worker, and an attempt is one request
//! (`deliver`). A target that fails again and again is left alone for a while (`breaker`).
//!
//! One job: it is claimed, sent, and answered with 200; it is completed with the answer as its result. Answered with 500
//! it has failed, and its policy says when it is tried again. Answered with 429 it goes back without a try spent, and
//! nothing of its queue is sent until the target wants more.

mod breaker;
mod deliver;
mod drive;
pub mod list;
pub(crate) mod targets;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::Notify;
use windlass_api::target::{Circuit, Health};
use windlass_core::why::{Reason, Why};
use windlass_core::{QueueName, Time};
use windlass_webhook::{Failure, Guard, Sender};

use deliver::Line;
pub(crate) use drive::drive;

/// Sends the jobs of queues that have a target. Clones are the same; a process that answers at several doors gives the
/// same one to each, so that it works on every target once.
#[derive(Clone)]
pub struct Push(Arc<Inner>);

struct Inner {
    guard: Guard,
    /// Made when there is something to send: it reads the system's certificates.
    sender: OnceLock<Sender>,
    /// Rung when a target was changed here, or a circuit opened or closed.
    rung: Arc<Notify>,
    is_driven: AtomicBool,
    lines: Mutex<BTreeMap<QueueName, Arc<Line>>>,
}

impl Default for Push {
    /// Targets of the public internet.
    fn default() -> Self {
        Self::new(Guard::default())
    }
}

impl std::fmt::Debug for Push {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Push").field("guard", &self.0.guard).finish_non_exhaustive()
    }
}

impl Push {
    /// Targets that the guard lets through.
    pub fn new(guard: Guard) -> Self {
        Self(Arc::new(Inner {
            guard,
            sender: OnceLock::new(),
            rung: Arc::default(),
            is_driven: AtomicBool::new(false),
            lines: Mutex::default(),
        }))
    }

    /// What decides on targets.
    pub(crate) fn guard(&self) -> &Guard {
        &self.0.guard
    }

    /// Says that the targets were changed here.
    pub(crate) fn ring(&self) {
        self.0.rung.notify_one();
    }

    /// How it goes with the target of that queue, as far as this server knows.
    pub(crate) fn health(&self, queue: &QueueName, now: Time) -> Health {
        self.lines().get(queue).map(|line| line.health(now)).unwrap_or_default()
    }

    /// Says of a queue that is held what the store does not know: that its target fails.
    pub(crate) fn explain(&self, why: &mut Why, queue: &QueueName, now: Time) {
        let health = self.health(queue, now);
        if why.reason != Reason::RateLimited || health.circuit == Circuit::Closed {
            return;
        }
        let how = match health.last_status {
            Some(status) => format!("its last answer was {status}"),
            None => "it gives no answer".to_owned(),
        };
        let times = health.failures_in_a_row;
        why.detail = format!(
            "the target of queue {queue} failed {times} times in a row and is left alone for a while: {how}"
        );
    }

    /// Whether it falls to the caller to work on the targets: to the first who asks.
    pub(crate) fn takes(&self) -> bool {
        !self.0.is_driven.swap(true, Ordering::SeqCst)
    }

    fn sender(&self) -> Result<Sender, Failure> {
        if let Some(sender) = self.0.sender.get() {
            return Ok(sender.clone());
        }
        let sender = Sender::new(self.0.guard.clone())?;
        Ok(self.0.sender.get_or_init(|| sender).clone())
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, BTreeMap<QueueName, Arc<Line>>> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
