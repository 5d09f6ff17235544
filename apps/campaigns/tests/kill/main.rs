//! The application's process, killed with SIGKILL at random moments: nobody is forgotten, and nobody is reached twice but
//! by the rule of the channel, as the providers' own logs say.
//!
//! The test program is its own application: started with two addresses in its environment, it works until it is killed.
#![allow(clippy::unwrap_used, reason = "an answer that is not there is a failed test")]
#![allow(clippy::print_stdout, reason = "a run says how much it saw")]

mod imports;
mod launches;
mod process;
#[allow(dead_code, reason = "the other tests use the rest")]
#[path = "../flow/stage.rs"]
mod stage;
mod workers;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    if let Some(ended) = process::asked_for() {
        return ended;
    }
    let tests: [(&str, fn()); 3] = [
        ("a_day_of_messages_while_the_workers_are_killed", workers::run),
        ("an_import_that_is_killed_goes_on_behind_the_last_row_that_was_written", imports::run),
        ("a_launch_that_is_killed_is_a_draft_or_runs_with_one_paging_job", launches::run),
    ];
    let trials = tests.into_iter().map(|(name, run)| {
        Trial::test(name, move || {
            run();
            Ok(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn on_a_runtime(scene: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(scene);
}
