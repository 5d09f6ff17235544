//! The built `windlass` command, used as a shell uses it: arguments in; stdout, stderr and an exit code out.
//!
//! Every test has a directory of its own. What the command line cannot bring about (a job that fails) is done through
//! the library, with the store closed again before the command looks.

mod archive;
#[path = "../../../windlass-postgres/tests/server/authority.rs"]
mod authority;
mod backup;
mod bench;
mod blocked;
mod campaigns;
mod config;
mod directory;
mod enqueue;
mod erase;
mod follow;
mod info;
mod jobs;
mod ndjson;
mod otel;
mod outbox;
mod output;
/// Shared with the tests of `windlass-archive`: a database of a test's own, read by SQL.
#[allow(dead_code, reason = "each test target uses its part")]
#[path = "../../../windlass-archive/tests/it/place.rs"]
mod place;
mod postgres;
mod push;
#[path = "../../../windlass-redis/tests/server/mod.rs"]
mod redis;
mod serve;
#[path = "../../../windlass-postgres/tests/server/mod.rs"]
mod server;
mod settings;
mod shell;
mod sim;
mod tls;
mod workers;
