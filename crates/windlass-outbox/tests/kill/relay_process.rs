//! A relay in a process of its own.

use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use tokio::sync::watch;
use windlass_core::store::Store;
use windlass_embedded::{EmbeddedOptions, EmbeddedStore};
use windlass_outbox::postgres::PostgresOutbox;
use windlass_outbox::sqlite::SqliteOutbox;
use windlass_outbox::{Outbox, Relay, RelayOptions, Table};
use windlass_redis::{RedisOptions, RedisStore};

const FROM: &str = "WINDLASS_TEST_OUTBOX_FROM";
const TO: &str = "WINDLASS_TEST_OUTBOX_TO";

/// Where a SQLite file and a directory are told from servers.
pub(crate) fn outbox(from: &str) -> Box<dyn Outbox> {
    match from.strip_prefix("sqlite:") {
        Some(path) => Box::new(SqliteOutbox::new(path, Table::default())),
        None => Box::new(PostgresOutbox::new(from, Table::default()).unwrap()),
    }
}

/// What this process is, if it was started to be a relay.
pub(crate) fn asked_for() -> Option<ExitCode> {
    let (from, to) = (std::env::var(FROM).ok()?, std::env::var(TO).ok()?);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store: Arc<dyn Store> = if to.starts_with("redis") {
            Arc::new(RedisStore::open(&to, RedisOptions::default()).await.expect("the store opens"))
        } else {
            Arc::new(EmbeddedStore::open(to.as_ref(), EmbeddedOptions::default()).expect("the store opens"))
        };
        let options = RelayOptions { batch_rows: 20, ..RelayOptions::default() };
        let (_never, stop) = watch::channel(false);
        let ended = Relay::new(outbox(&from), store, options).run(stop).await;
        panic!("it runs until it is killed: {ended:?}");
    })
}

/// A relay that is killed when it is dropped.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(from: &str, to: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(FROM, from).env(TO, to).stdin(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("the relay starts"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, because its server was gone when it started.
        let _ = self.0.kill();
        self.0.wait().expect("our own child");
    }
}
