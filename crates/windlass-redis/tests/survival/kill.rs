//! kill -9 of the server, again and again, at full load.

use std::sync::Arc;

use windlass_check::{FaultKind, Invariant};
use windlass_core::store::AckLevel;
use windlass_survival::{History, RESUMED_WITHIN, kills};

use crate::home::At;
use crate::server::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kill_of_the_server_loses_what_was_acknowledged_and_claims_resume_within_five_seconds() {
    let mut server = Server::start();
    let mut history = History::begin(Arc::new(At(server.url())), AckLevel::Power, 7);
    history.start().await;
    kills(&history, &mut server, Server::kill, Server::run).await;
    history.must_be_clean().await;
}

/// The negative control: a check that cannot see this loss proves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_forgets_what_it_acknowledged_is_caught() {
    let mut server = Server::with(&["--appendonly", "no"]);
    // Claimed to be safe, which it is not.
    let mut history = History::begin(Arc::new(At(server.url())), AckLevel::Power, 8);
    history.start().await;
    history.progress(50, RESUMED_WITHIN).await;
    history.fault(FaultKind::StoreKilled);
    server.kill();
    server.run();
    let report = history.judge().await;
    let lost = report.violations.iter().filter(|found| found.invariant == Invariant::I1).count();
    assert!(lost > 0, "the loss of everything was not seen: {:?}", report.figures);
}
