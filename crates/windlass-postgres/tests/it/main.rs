//! What only this store has: its schema, the caller's own transaction, and a server that ends, restarts and cuts
//! connections.
#![allow(clippy::unwrap_used, reason = "an answer that is not there is a failed test")]

#[path = "../server/authority.rs"]
mod authority;
mod by_sql;
mod driver;
mod groups;
mod held;
mod plans;
mod retention;
mod schema;
#[path = "../server/mod.rs"]
mod server;
mod settle;
mod statistics;
mod survival;
mod tls;
mod transaction;
mod unread;

use crate::server::Server;
use std::str::FromStr;
use std::sync::OnceLock;
use tokio_postgres::{Client, Config, NoTls};
use windlass_core::store::{Claim, ClaimedJob, Queue, Settle};
use windlass_core::{JobId, Kind, Lease, NewJob, QueueName, Time, WorkerId};
use windlass_postgres::{Options, PostgresStore};

/// The server of the tests that end none. It stops when the last connection of this process is gone: see `server`.
fn shared() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start_for_this_process)
}

/// A client of our own on that server.
async fn client(server: &Server) -> Client {
    let config = Config::from_str(&server.url("postgres")).expect("our own address");
    let (client, connection) = config.connect(NoTls).await.expect("the server runs");
    tokio::spawn(connection);
    client
}

/// A store in a schema of its own, without background work.
async fn store(server: &Server, schema: &str) -> PostgresStore {
    let options = Options { schema: schema.into(), upkeep: false, listen: false, ..Options::default() };
    PostgresStore::open(&server.url("postgres"), options).await.expect("the store opens")
}

fn queue() -> QueueName {
    QueueName::new("q").expect("a name")
}

/// This machine's clock, which is the server's too.
fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    Time(since.as_millis() as u64)
}

/// A new job with an id of this moment.
fn job(n: u128) -> NewJob {
    let id = JobId::from_parts(now(), n << 64 | n);
    NewJob::new(id, queue(), Kind::new("kind").expect("a name"), *b"{}")
}

async fn claim(store: &PostgresStore, n: u32) -> Vec<ClaimedJob> {
    let claim = Claim { settle_first: vec![], wants: vec![(queue(), n)], worker: WorkerId(7), nonce: 9 };
    store.claim(claim, None).await.expect("a claim").jobs
}

async fn complete(store: &PostgresStore, lease: &Lease) -> Result<(), windlass_core::Rejection> {
    let done = Settle::Complete { lease: *lease, result: None, then: vec![] };
    let claim = Claim { settle_first: vec![done], wants: vec![], worker: WorkerId(7), nonce: 9 };
    store.claim(claim, None).await.expect("an answer").settled.remove(0)
}
