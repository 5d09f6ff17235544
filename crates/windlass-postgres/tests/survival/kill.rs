//! kill -9 of the server and all its processes, again and again, at full load.

use std::sync::Arc;

use rustix::process::Signal;
use windlass_check::{FaultKind, Invariant};
use windlass_core::store::AckLevel;
use windlass_survival::{History, RESUMED_WITHIN, kills};

use crate::home::At;
use crate::server::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_kill_of_the_server_loses_what_was_acknowledged_and_claims_resume_within_five_seconds() {
    let mut server = Server::start();
    let mut history = History::begin(Arc::new(At(server.url("postgres"))), AckLevel::Power, 7);
    history.start().await;
    kills(&history, &mut server, |server| server.end(Signal::KILL), |server| server.run()).await;
    history.must_be_clean().await;
}

/// The negative control: a check that cannot see this loss proves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_from_an_earlier_copy_of_itself_is_caught() {
    let server = Server::start();
    let mut history = History::begin(Arc::new(At(server.url("postgres"))), AckLevel::Power, 8);
    history.start().await;
    history.progress(20, RESUMED_WITHIN).await;
    history.fault(FaultKind::StoreKilled);
    tokio::task::block_in_place(|| {
        server.end(Signal::KILL);
        server.keep_copy();
        server.run();
    });
    history.progress(50, RESUMED_WITHIN).await;
    history.fault(FaultKind::StoreKilled);
    tokio::task::block_in_place(|| {
        server.end(Signal::KILL);
        server.restore_copy();
        server.run();
    });
    let report = history.judge().await;
    let lost = report.violations.iter().filter(|found| found.invariant == Invariant::I1).count();
    assert!(lost > 0, "the loss was not seen: {:?}", report.figures);
}
