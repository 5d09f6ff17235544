//! kill -9 of the server, again and again, at full load.

use std::time::Duration;

use windlass_check::FaultKind;
use windlass_core::store::AckLevel;
use windlass_testkit::Dice;

use crate::history::History;
use crate::server::Server;

/// Kills in a test run; more by `WINDLASS_TORTURE_CYCLES`.
const CYCLES: u64 = 50;
/// Whoever works is at work again so long after the server is back.
const RESUMED_WITHIN: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kill_of_the_server_loses_what_was_acknowledged_and_claims_resume_within_five_seconds() {
    let cycles = std::env::var("WINDLASS_TORTURE_CYCLES").map_or(CYCLES, |text| text.parse().unwrap());
    let mut server = Server::start();
    let mut history = History::begin(&server.url(), AckLevel::Power, History::seed(7));
    let mut dice = Dice::of_seed(History::seed(7));
    history.start().await;
    for _ in 0..cycles {
        history.progress(20, RESUMED_WITHIN).await;
        tokio::time::sleep(Duration::from_millis(dice.below(60))).await;
        history.fault(FaultKind::StoreKilled);
        server.kill();
        server.run();
    }
    history.progress(20, RESUMED_WITHIN).await;
    history.must_be_clean().await;
}

/// The negative control: a check that cannot see this loss proves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_forgets_what_it_acknowledged_is_caught() {
    let mut server = Server::with(&["--appendonly", "no"]);
    // Claimed to be safe, which it is not.
    let mut history = History::begin(&server.url(), AckLevel::Power, History::seed(8));
    history.start().await;
    history.progress(50, RESUMED_WITHIN).await;
    history.fault(FaultKind::StoreKilled);
    server.kill();
    server.run();
    let report = history.judge().await;
    let lost = report.violations.iter().filter(|found| format!("{:?}", found.invariant) == "I1").count();
    assert!(lost > 0, "the loss of everything was not seen: {:?}", report.figures);
}
