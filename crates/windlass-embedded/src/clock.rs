//! The engine's only source of time, as a seam: a real clock and one that tests set.
//!
//! Two instants are told apart. *Wall* time is what people name (`run_at`, schedules, retention).
//! *Store* time only ever grows and counts leases and rates; it goes on from where the last open
//! left it, so that a clock that is set back neither freezes a rate nor extends a lease.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use windlass_core::Time;

/// Where the engine reads the time.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch, as the machine's clock has it; may jump.
    fn wall_ms(&self) -> u64;
    /// Milliseconds of a clock that never jumps and goes on while the machine sleeps; any origin.
    fn steady_ms(&self) -> u64;
    /// Whether time passes by itself; if not, [`Clock::on_change`] tells when it moved.
    fn runs(&self) -> bool {
        true
    }
    /// Registers what to call when a clock that does not run by itself is moved.
    fn on_change(&self, _wake: Arc<dyn Fn() + Send + Sync>) {}
}

/// The machine's clocks: `CLOCK_REALTIME` and `CLOCK_BOOTTIME`.
#[derive(Debug, Default)]
pub struct SystemClock;

#[allow(clippy::disallowed_methods, reason = "the one place where the engine reads a clock")]
fn read(id: rustix::time::ClockId) -> u64 {
    let at = rustix::time::clock_gettime(id);
    u64::try_from(at.tv_sec).unwrap_or(0) * 1_000 + u64::try_from(at.tv_nsec).unwrap_or(0) / 1_000_000
}

impl Clock for SystemClock {
    fn wall_ms(&self) -> u64 {
        read(rustix::time::ClockId::Realtime)
    }

    fn steady_ms(&self) -> u64 {
        read(rustix::time::ClockId::Boottime)
    }
}

/// A clock that stands still until a test moves it.
pub struct ManualClock {
    now_ms: AtomicU64,
    wakes: Mutex<Vec<Arc<dyn Fn() + Send + Sync>>>,
}

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn new(start: Time) -> Arc<Self> {
        Arc::new(Self { now_ms: AtomicU64::new(start.0), wakes: Mutex::default() })
    }

    /// Where it stands.
    pub fn now(&self) -> Time {
        Time(self.now_ms.load(Ordering::SeqCst))
    }

    /// Moves it and wakes the engine.
    pub fn advance_ms(&self, ms: u64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
        let wakes = self.wakes.lock().expect("no code panics while it holds this lock").clone();
        for wake in wakes {
            wake();
        }
    }
}

impl Clock for ManualClock {
    fn wall_ms(&self) -> u64 {
        self.now().0
    }

    fn steady_ms(&self) -> u64 {
        self.now().0
    }

    fn runs(&self) -> bool {
        false
    }

    fn on_change(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        self.wakes.lock().expect("no code panics while it holds this lock").push(wake);
    }
}

/// Where the engine takes random numbers: salts, the store's id, and nothing that a decision hangs on.
pub trait Entropy: Send + Sync + 'static {
    /// A random number.
    fn next_u64(&self) -> u64;
}

/// The operating system's random numbers.
#[derive(Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[allow(clippy::disallowed_methods, reason = "the one place where the engine takes randomness")]
    fn next_u64(&self) -> u64 {
        use std::hash::{BuildHasher, Hasher};
        // `RandomState` is seeded by the operating system and differs for every instance.
        std::collections::hash_map::RandomState::new().build_hasher().finish()
    }
}

/// The two instants at which a verb is decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Wall time in milliseconds.
    pub wall: u64,
    /// Store time in milliseconds.
    pub store: u64,
}
