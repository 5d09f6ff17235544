//! What a store brings to be certified: places where it can be opened, each with a clock that a test moves.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use windlass_core::Time;
use windlass_core::store::Store;

/// Where every clock begins: 2025-11-21 04:40:00 UTC.
pub const START: Time = Time(1_763_700_000_000);

/// Events that are more than a short log holds: 4 MiB of them, each in a batch of its own.
pub const SHORT_LOG_EVENTS: usize = 1_024;

/// One kind of store.
pub trait Host: Send + Sync + 'static {
    /// Its name in reports: `embedded`, `memory`, `redis`, `postgres` or `http`.
    fn name(&self) -> &'static str;

    /// An empty place that no other test sees, its clock at [`START`].
    fn place(&self) -> Box<dyn Place>;

    /// The same, where a reader of the event log that is [`SHORT_LOG_EVENTS`] of 4 KiB behind is far beyond the bound up
    /// to which a store waits for readers.
    fn place_with_short_log(&self) -> Box<dyn Place>;

    /// A store on which a sequence of random commands takes long runs one in so many of them; `WINDLASS_RUNS` says how
    /// many to run instead, for longer campaigns.
    fn random_runs_divisor(&self) -> u32 {
        1
    }

    /// Why a case says nothing about this store; none when it must pass. Each reason stands in `docs/contract.md` too.
    fn exempts(&self, case: &Case) -> Option<&'static str>;
}

/// How a store ends before it is opened again. Workers are elsewhere and go on, save after [`End::WithWorkers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It has had time to finish: its handle is dropped, its server is stopped.
    Quietly,
    /// kill -9 of whatever holds its state.
    Killed,
    /// The process that owns the store ends, and the workers inside it.
    WithWorkers,
}

/// One empty store's place: its directory, its namespace, its schema. Dropping it removes what it holds.
pub trait Place {
    /// Opens what the place holds. A handle of before is gone by then.
    fn open(&mut self) -> Pin<Box<dyn Future<Output = Arc<dyn Store>> + '_>>;

    /// The store is about to end so: called while its handle still stands, before it is dropped.
    fn end(&mut self, how: End);

    /// Where the clock stands.
    fn now(&self) -> Time;

    /// Moves the clock.
    fn advance_ms(&self, ms: u64);

    /// What every verb is given as `at`: nothing where the store itself runs on this clock.
    fn at(&self) -> Option<Time>;
}

/// One rule, proved on one fresh place.
pub struct Case {
    /// Section and rule: `claim::a_paused_queue_gives_nothing`.
    pub name: &'static str,
    /// It opens its place more than once.
    pub restarts: bool,
    pub(crate) run: fn(&dyn Host),
}
