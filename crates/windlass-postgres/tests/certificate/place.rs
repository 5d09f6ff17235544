//! Places on one server: schemas that are emptied and used again, since making one costs more than most cases.

use crate::server::Server;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio_postgres::{Client, Config, NoTls};
use windlass_core::Time;
use windlass_core::store::Store;
use windlass_postgres::{Options, PostgresStore};
use windlass_testkit::{End, Place, START};

/// The server and the schemas on it that nobody uses.
pub(crate) struct Town {
    server: Mutex<Option<Server>>,
    url: String,
    empty: Mutex<Vec<String>>,
    made: AtomicUsize,
}

impl Town {
    pub(crate) fn new() -> Arc<Self> {
        let server = Server::start_for_this_process();
        let url = server.url("postgres");
        Arc::new(Self {
            server: Mutex::new(Some(server)),
            url,
            empty: Mutex::default(),
            made: AtomicUsize::new(0),
        })
    }

    /// Stops the server.
    pub(crate) fn end(&self) {
        drop(self.server.lock().expect("no test panics while it holds this lock").take());
    }

    /// A schema with nothing in it.
    pub(crate) fn place(self: &Arc<Self>) -> Spot {
        let empty = self.empty.lock().expect("no test panics while it holds this lock").pop();
        let schema = empty.unwrap_or_else(|| format!("w{}", self.made.fetch_add(1, Ordering::Relaxed)));
        self.spot(schema, false)
    }

    /// The same in a schema that nobody uses again, since its own bound of the log stays in it.
    pub(crate) fn place_with_short_log(self: &Arc<Self>) -> Spot {
        self.spot(format!("s{}", self.made.fetch_add(1, Ordering::Relaxed)), true)
    }

    fn spot(self: &Arc<Self>, schema: String, short_log: bool) -> Spot {
        Spot { town: Arc::clone(self), schema, clock: Arc::new(AtomicU64::new(START.0)), short_log }
    }

    /// Runs one script on a connection of its own.
    fn run(&self, script: &str) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(self.execute(script));
    }

    async fn execute(&self, script: &str) {
        let client: Client = {
            let config = Config::from_str(&self.url).expect("our own address");
            let (client, connection) = config.connect(NoTls).await.expect("the server runs");
            tokio::spawn(connection);
            client
        };
        client.batch_execute(script).await.expect("our own script");
    }
}

/// One schema, on a clock that a test moves.
pub(crate) struct Spot {
    town: Arc<Town>,
    schema: String,
    clock: Arc<AtomicU64>,
    short_log: bool,
}

impl Place for Spot {
    fn open(&mut self) -> Pin<Box<dyn Future<Output = Arc<dyn Store>> + '_>> {
        Box::pin(async {
            let clock = Arc::clone(&self.clock);
            let options = Options {
                schema: self.schema.clone(),
                upkeep: false,
                connections: 3,
                clock: Some(Arc::new(move || Time(clock.load(Ordering::Relaxed)))),
                ..Options::default()
            };
            let store = PostgresStore::open(&self.town.url, options).await.expect("the store opens");
            if self.short_log {
                let short = format!(
                    "CREATE OR REPLACE FUNCTION {}.held_rows() RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 500::bigint'",
                    self.schema
                );
                self.town.execute(&short).await;
            }
            Arc::new(store) as Arc<dyn Store>
        })
    }

    /// What a store sees of its server's end is that another one answers afterwards; the tests of survival end a real one.
    fn end(&mut self, how: End) {
        if how != End::WithWorkers {
            self.town.run(&format!("UPDATE {}.schema SET server_started = 'before'", self.schema));
        }
    }

    fn now(&self) -> Time {
        Time(self.clock.load(Ordering::Relaxed))
    }

    fn advance_ms(&self, ms: u64) {
        self.clock.fetch_add(ms, Ordering::Relaxed);
    }

    fn at(&self) -> Option<Time> {
        Some(self.now())
    }
}

impl Drop for Spot {
    /// Empties the schema for the next one, tables and sequences; functions stay.
    fn drop(&mut self) {
        if std::thread::panicking() || self.short_log {
            return;
        }
        let schema = &self.schema;
        self.town.run(&format!(
            "DO $$ DECLARE t text; BEGIN
               FOR t IN SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace = '{schema}'::regnamespace AND c.relkind = 'r' AND c.relname <> 'schema' LOOP
                 EXECUTE 'DELETE FROM ' || t;
               END LOOP;
               UPDATE {schema}.schema SET trimmed = '0';
             END $$"
        ));
        self.town.empty.lock().expect("no test panics while it holds this lock").push(schema.clone());
    }
}
