//! The certificate of the PostgreSQL store: every rule of `docs/contract.md`, on a real server.

mod place;
#[path = "../server/mod.rs"]
mod server;

use std::process::ExitCode;
use std::sync::Arc;

use windlass_testkit::{Case, Host, Place, certify};

use crate::place::Town;

/// Stores on one server, each in a schema of its own.
struct Postgres(Arc<Town>);

impl Host for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn place(&self) -> Box<dyn Place> {
        Box::new(self.0.place())
    }

    fn place_with_short_log(&self) -> Box<dyn Place> {
        Box::new(self.0.place_with_short_log())
    }

    // A sequence takes about a second here.
    fn random_runs_divisor(&self) -> u32 {
        5
    }

    fn exempts(&self, case: &Case) -> Option<&'static str> {
        case.name.contains("::owner::").then_some(
            "the server owns the store: a worker's process that ends leaves its leases to their deadlines",
        )
    }
}

fn main() -> ExitCode {
    let town = Town::new();
    let code = certify([Arc::new(Postgres(town.clone())) as Arc<dyn Host>]);
    town.end();
    code
}
