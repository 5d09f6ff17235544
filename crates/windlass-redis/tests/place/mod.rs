//! Where the certificate opens the store: a namespace of a server that is started for it, on a clock that it moves.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use windlass_core::Time;
use windlass_core::store::Store;
use windlass_redis::{RedisOptions, RedisStore};
use windlass_testkit::{End, Place, START};

use crate::server::Server;

/// A namespace that a test keeps a hand on while a subject lives there.
#[derive(Clone)]
pub(crate) struct Spot {
    pub(crate) server: Arc<Mutex<Server>>,
    clock: Arc<AtomicU64>,
    long_way: bool,
    short_log: bool,
}

impl Spot {
    /// On a server of its own.
    pub(crate) fn new(server: Server) -> Self {
        Self {
            server: Arc::new(Mutex::new(server)),
            clock: Arc::new(AtomicU64::new(START.0)),
            long_way: false,
            short_log: false,
        }
    }

    /// A place where every job goes the long way.
    #[allow(dead_code, reason = "each test target uses its part")]
    pub(crate) fn long_way(self) -> Self {
        Self { long_way: true, ..self }
    }

    /// A place whose event log is short.
    #[allow(dead_code, reason = "each test target uses its part")]
    pub(crate) fn short_log(self) -> Self {
        Self { short_log: true, ..self }
    }

    /// What an open is given.
    pub(crate) fn options(&self) -> RedisOptions {
        let clock = Arc::clone(&self.clock);
        let now = move || Time(clock.load(Ordering::SeqCst));
        RedisOptions {
            upkeep: false,
            long_way: self.long_way,
            short_log: self.short_log,
            clock: Some(Arc::new(now)),
            ..RedisOptions::default()
        }
    }
}

impl Place for Spot {
    fn open(&mut self) -> Pin<Box<dyn Future<Output = Arc<dyn Store>> + '_>> {
        Box::pin(async {
            let url = {
                let mut server = self.server.lock().expect("no test panics while it holds this lock");
                server.run();
                server.url()
            };
            let store = RedisStore::open(&url, self.options()).await.expect("the server opens");
            Arc::new(store) as Arc<dyn Store>
        })
    }

    fn end(&mut self, how: End) {
        let mut server = self.server.lock().expect("no test panics while it holds this lock");
        match how {
            End::Killed => server.kill(),
            End::Quietly | End::WithWorkers => server.stop(),
        }
    }

    fn now(&self) -> Time {
        Time(self.clock.load(Ordering::SeqCst))
    }

    fn advance_ms(&self, ms: u64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
    }

    fn at(&self) -> Option<Time> {
        None
    }
}
