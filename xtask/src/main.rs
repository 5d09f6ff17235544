//! The house's own commands: `cargo xtask check | test | imports | tidy | deny | torture | schemathesis | bench |
//! screenshots`.
//!
//! This crate knows how the workspace is checked, never what it computes: it starts cargo and the built `windlass`
//! binary, and imports nothing of ours. [`arguments`] turns the command line into one [`arguments::Task`];
//! [`tasks`] runs it; [`step`] is how every task starts a program, times it and says how to run it again;
//! [`imports`] and [`tidy`] hold the two house rules that no compiler lint can express; [`peers`] compares Windlass with
//! other queues.
#![allow(clippy::print_stdout, reason = "a terminal program whose report is its output")]

mod arguments;
mod imports;
mod peers;
mod source;
mod step;
mod tasks;
mod tidy;
mod workspace;

use std::process::ExitCode;

/// The exit code of a command line that could not be understood, as opposed to a check that failed.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let line: Vec<String> = std::env::args().skip(1).collect();
    let task = match arguments::parse(&line) {
        Ok(task) => task,
        Err(error) => {
            eprintln!("error: {error}\n\nTry `cargo xtask --help`.");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match tasks::run(task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\n{failure}");
            ExitCode::FAILURE
        }
    }
}
