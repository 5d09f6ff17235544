//! What each command does, as a sequence of steps.
//!
//! All cargo steps name `--workspace` and no features, so that they agree on one set of features and share what they
//! build: clippy and the documentation share the metadata of the dependencies, the test runner and the doctests share
//! the compiled code.

mod axe;
mod bench;
mod check;
mod deny;
mod opinions;
mod peers;
mod schemathesis;
mod screenshots;
mod services;
mod test;
mod torture;

pub(crate) use schemathesis::{EXAMPLES as SCHEMATHESIS_EXAMPLES, Schemathesis};

use crate::arguments::Task;
use crate::step::{Failure, timed};
use crate::{imports, tidy, workspace};

/// Does what was asked, or says what failed and how to see it again.
pub(crate) fn run(task: Task) -> Result<(), Failure> {
    let root = workspace::root();
    match task {
        Task::Help(text) => {
            println!("{text}");
            Ok(())
        }
        Task::Check { with_tests } => check::run(&root, with_tests),
        Task::Test { packages, extra } => test::run(&root, &packages, extra),
        Task::Certify { stores, extra } => test::certify(&root, &stores, &extra),
        Task::Imports => timed("imports", "cargo xtask imports", || imports::check(&workspace::read(&root)?)),
        Task::Tidy => timed("tidy", "cargo xtask tidy", || tidy::check(&root)),
        Task::Deny => deny::run(&root),
        Task::Torture { cycles, seed } => torture::run(&root, cycles, seed),
        Task::Schemathesis(asked) => schemathesis::run(&root, asked),
        Task::Bench(bench) => bench::run(&root, bench),
        Task::Peers(asked) => peers::run(&root, &asked),
        Task::Screenshots => screenshots::run(&root),
    }
}
