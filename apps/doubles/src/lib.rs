//! Providers of mail, texts and calls for the loopback interface: real servers that lose on purpose.
//!
//! They take the place of the outside world in tests and rehearsals; whoever sends to them is given an address and
//! cannot tell. Each writes what it accepted to a log of its own before it answers, so that the log is evidence that
//! depends on nobody. This crate uses nothing of ours: what it knows of a protocol it knows from the protocol's own
//! documents, so a sender's mistake is not repeated here.
//!
//! [`smtp`], [`mail`] and [`twilio`] are the servers; [`Rules`] (or, shorter, [`Faults`]) say what they do wrong, [`log`] what they
//! write down. How to use them by hand stands in docs/doubles.md.

use std::{
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, task::JoinHandle};

mod caller;
mod faults;
mod kept;
mod listener;
pub mod log;
pub mod mail;
mod moment;
mod page;
mod rules;
pub mod seed;
mod serve;
pub mod smtp;
pub mod twilio;
mod unsubscribe;

pub use faults::Faults;
pub use rules::{MAX_RULE_BYTES, MAX_RULES, Rate, Rule, RuleError, Rules, Who};

/// How long a stopping server lets conversations finish before it cuts them.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// A running server; it stops with [`Handle::shutdown`], or when the handle is dropped.
#[derive(Debug)]
pub struct Handle {
    addr: SocketAddr,
    scheme: &'static str,
    pages: Option<SocketAddr>,
    public_key: Option<String>,
    log_path: PathBuf,
    tally: Arc<Tally>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What a server has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Connections accepted.
    pub connections: u64,
    /// Messages and calls taken and logged, those whose reply was dropped included.
    pub accepted: u64,
    /// Refused for now: greylisted (451) or told to slow down (429).
    pub deferred: u64,
    /// Refused for now by a server that is "down" (503).
    pub unavailable: u64,
    /// Refused for good.
    pub refused: u64,
    /// Taken, but the connection was closed in place of the reply.
    pub replies_dropped: u64,
    /// What was not the protocol at all.
    pub nonsense: u64,
    /// Callbacks that were answered well.
    pub callbacks: u64,
    /// Callbacks that were not.
    pub callbacks_failed: u64,
    /// Callbacks that a rule kept back.
    pub callbacks_dropped: u64,
    /// Texts and mails of people, and reports of mail servers.
    pub inbound: u64,
}

#[derive(Debug, Default)]
struct Tally {
    connections: AtomicU64,
    accepted: AtomicU64,
    deferred: AtomicU64,
    unavailable: AtomicU64,
    refused: AtomicU64,
    replies_dropped: AtomicU64,
    nonsense: AtomicU64,
    callbacks: AtomicU64,
    callbacks_failed: AtomicU64,
    callbacks_dropped: AtomicU64,
    inbound: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Handle {
    fn new(
        addr: SocketAddr,
        scheme: &'static str,
        log_path: &Path,
        tally: Arc<Tally>,
        stop: watch::Sender<bool>,
        task: JoinHandle<()>,
    ) -> Self {
        Self { addr, scheme, pages: None, public_key: None, log_path: log_path.to_owned(), tally, stop, task }
    }

    /// Where the server listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The server's address in the form that senders take.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.addr)
    }

    /// Where people look at what came: the server's own page, or a mail server's inbox when it has one.
    pub fn page_url(&self) -> Option<String> {
        let addr = if self.scheme == "http" { Some(self.addr) } else { self.pages };
        addr.map(|addr| format!("http://{addr}"))
    }

    /// The key that checks the signatures of a mail API's events (DER in base64); other servers have none.
    pub fn public_key(&self) -> Option<&str> {
        self.public_key.as_deref()
    }

    /// The log of what the server accepted; every line is written before its reply.
    pub fn log_path(&self) -> &Path {
        &self.log_path
    }

    /// What the server has done so far.
    pub fn counters(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            connections: read(&self.tally.connections),
            accepted: read(&self.tally.accepted),
            deferred: read(&self.tally.deferred),
            unavailable: read(&self.tally.unavailable),
            refused: read(&self.tally.refused),
            replies_dropped: read(&self.tally.replies_dropped),
            nonsense: read(&self.tally.nonsense),
            callbacks: read(&self.tally.callbacks),
            callbacks_failed: read(&self.tally.callbacks_failed),
            callbacks_dropped: read(&self.tally.callbacks_dropped),
            inbound: read(&self.tally.inbound),
        }
    }

    /// Stops accepting, lets conversations finish for a short grace, and gives the final counts.
    pub async fn shutdown(mut self) -> Counters {
        // No receiver left means that the server has ended already.
        let _ = self.stop.send(true);
        if tokio::time::timeout(STOP_GRACE * 2, &mut self.task).await.is_err() {
            self.task.abort();
        }
        self.counters()
    }
}

/// Takes as long as a rule says, the middle of its span on average: the first of them counts.
async fn take_time<'a>(spans: impl Iterator<Item = &'a RangeInclusive<u64>>) {
    static TAKEN: AtomicU64 = AtomicU64::new(0);
    let mut spans = spans;
    let Some(span) = spans.next() else { return };
    let spread = span.end().saturating_sub(*span.start()).saturating_add(1);
    let draw = seed::mix(0, TAKEN.fetch_add(1, Ordering::Relaxed)) % spread;
    let ms = span.start() + draw;
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}
