//! The certificate of the Redis store: every rule of `docs/contract.md`, on a redis-server that is started for each case.
#![allow(clippy::disallowed_methods, reason = "tests reach servers as users do")]

#[path = "../place/mod.rs"]
mod place;
#[path = "../server/mod.rs"]
mod server;

use std::process::ExitCode;
use std::sync::Arc;

use windlass_testkit::{Case, Host, Place, certify};

use crate::place::Spot;
use crate::server::Server;

/// A Redis server whose append-only file is synced with each write.
struct Redis;

impl Host for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn place(&self) -> Box<dyn Place> {
        Box::new(Spot::new(Server::start()))
    }

    fn place_with_short_log(&self) -> Box<dyn Place> {
        Box::new(Spot::new(Server::start()).short_log())
    }

    // Each sequence has a server of its own, and each write of it is synced.
    fn random_runs_divisor(&self) -> u32 {
        2
    }

    fn exempts(&self, case: &Case) -> Option<&'static str> {
        case.name.contains("::owner::").then_some("no process owns a Redis store, so none ends with it")
    }
}

fn main() -> ExitCode {
    certify([Arc::new(Redis) as Arc<dyn Host>])
}
