//! What is due when, in both kinds of time.
//!
//! Wall time carries what people named: due times, expiries, retention. Store time carries leases,
//! rates and holds. Entries are exact; a heartbeat does not move its lease's entry, the entry is
//! checked and set again when it comes up.

use std::collections::BTreeSet;

/// What comes due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// T2: a scheduled or retrying job (slot).
    Due(u32),
    /// T14: a job that must have started by now (slot).
    Expiry(u32),
    /// T13: the oldest ended job of a queue.
    Retention(u32),
    /// A group's rate or hold opens again.
    Group(u32),
    /// A limit's rate or hold opens again.
    Limit(u32),
    /// A queue's rate or hold opens again.
    Queue(u32),
}

/// Both sets of timers.
#[derive(Default)]
pub(crate) struct Timers {
    pub(crate) wall: BTreeSet<(u64, Timer)>,
    pub(crate) store: BTreeSet<(u64, Timer)>,
    /// Leases, apart from what opens again: a claim asks for the latter alone.
    pub(crate) leases: BTreeSet<(u64, u32)>,
}

impl Timers {
    /// The next due time of each kind.
    pub(crate) fn next(&self) -> (Option<u64>, Option<u64>) {
        let store = self.store.first().map(|(at, _)| *at);
        let lease = self.leases.first().map(|(at, _)| *at);
        (self.wall.first().map(|(at, _)| *at), store.into_iter().chain(lease).min())
    }
}
