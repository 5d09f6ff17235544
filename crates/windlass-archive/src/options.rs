//! What may be chosen for an archive, and the time it goes by.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use windlass_core::Time;

/// Events of one transaction by default: enough to spread its sync over many, few enough that it is over in a moment.
const BATCH_EVENTS_DEFAULT: usize = 10_000;

/// A clock that a test moves; without one it is the machine's.
pub type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

/// What may be chosen for an archive.
#[derive(Clone)]
pub struct Options {
    /// The archive's name: the store holds its log back for each name apart.
    pub name: String,
    /// How long the history of an ended job is kept; for ever without it.
    pub keep_ms: Option<u64>,
    /// Keep what each job brought to its handler too: payload, priority, tags and trace context. The store is asked for
    /// them, and retention leaves ended jobs alone until that is done.
    pub payloads: bool,
    /// Go on although store and archive do not know each other: what was archived stays, a gap is recorded, and reading
    /// begins with the oldest event that the store keeps.
    pub adopt: bool,
    /// Events of one transaction at most.
    pub batch_events: usize,
    /// A clock instead of the machine's; only tests have one.
    pub clock: Option<Clock>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "main".into(),
            keep_ms: None,
            payloads: false,
            adopt: false,
            batch_events: BATCH_EVENTS_DEFAULT,
            clock: None,
        }
    }
}

impl Options {
    /// The time now.
    pub(crate) fn now(&self) -> Time {
        if let Some(clock) = &self.clock {
            return clock();
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
    }
}
