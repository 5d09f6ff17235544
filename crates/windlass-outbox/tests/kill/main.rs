//! Real relays, killed with SIGKILL at random moments, between real servers that are killed too.
//!
//! The test program is its own relay: started with the two addresses in its environment, it relays until it is killed.
#![allow(clippy::unwrap_used, reason = "an answer that is not there is a failed test")]
#![allow(clippy::print_stdout, reason = "a run says how much it saw")]

#[path = "../../../windlass-postgres/tests/server/mod.rs"]
mod postgres;
#[path = "../../../windlass-redis/tests/server/mod.rs"]
mod redis;
mod relay_process;
mod tally;
mod to_directory;
mod to_redis;
mod window;

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(relay) = relay_process::asked_for() {
        return relay;
    }
    let tests: [(&str, fn()); 4] = [
        ("postgres_to_redis_while_all_three_are_killed", to_redis::run),
        ("a_row_stays_until_the_store_can_no_longer_lose_its_job", window::run),
        ("postgres_to_a_directory_while_the_relay_is_killed", || to_directory::run("postgres")),
        ("sqlite_to_a_directory_while_the_relay_is_killed", || to_directory::run("sqlite")),
    ];
    let trials = tests.into_iter().map(|(name, run)| {
        Trial::test(name, move || {
            run();
            Ok(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}
