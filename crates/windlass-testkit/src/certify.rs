//! The test program of one store.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::cases;
use crate::host::Host;

/// Where the modules of cases lie, which no name needs to repeat.
const CASES_PATH: &str = "windlass_testkit::cases::";

/// Runs every case on every store that it is about, with the arguments of the usual test harness.
pub fn certify(hosts: impl IntoIterator<Item = Arc<dyn Host>>) -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for host in hosts {
        let mut exempted = Vec::new();
        let before = trials.len();
        for case in cases::all() {
            let name = case.name.trim_start_matches(CASES_PATH);
            match host.exempts(case) {
                Some(reason) => exempted.push((name, reason)),
                None => trials.push(trial(&host, name, case.run)),
            }
        }
        if !arguments.list {
            println!("{}: {} cases, {} exempted", host.name(), trials.len() - before, exempted.len());
            exempted.iter().for_each(|(name, reason)| println!("  exempted {name}: {reason}"));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(host: &Arc<dyn Host>, name: &str, run: fn(&dyn Host)) -> Trial {
    let (kind, host) = (host.name(), Arc::clone(host));
    // The panic's own message has been printed where it happened.
    let caught =
        move || catch_unwind(AssertUnwindSafe(|| run(&*host))).map_err(|_| Failed::without_message());
    Trial::test(format!("{kind}::{name}"), caught)
}
