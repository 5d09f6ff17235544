//! kill -9 of the server, again and again, at full load.

use std::fs::OpenOptions;
use std::sync::Arc;
use std::time::{Duration, Instant};

use windlass_check::{FaultKind, Invariant, Report};
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
    assert!(lost(&report) > 0, "the loss of everything was not seen: {:?}", report.figures);
}

fn lost(report: &Report) -> usize {
    report.violations.iter().filter(|found| found.invariant == Invariant::I1).count()
}

/// A power cut on a server with `appendfsync everysec`: what it appended after its last sync is gone, here that of
/// somewhat less than a second. The history is judged at that level.
async fn power_cut_under_everysec(level: AckLevel, seed: u64) -> Report {
    let mut server = Server::with(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let mut history = History::begin(Arc::new(At(server.url())), level, seed);
    history.start().await;
    let synced = loop {
        history.progress(50, RESUMED_WITHIN).await;
        let (synced, at) = (server.appended().metadata().unwrap().len(), Instant::now());
        history.progress(50, RESUMED_WITHIN).await;
        if at.elapsed() < Duration::from_millis(900) {
            break synced;
        }
    };
    history.fault(FaultKind::PowerCut);
    server.kill();
    // Answers that were under way are written down after the kill, and may be of work that is gone too.
    history.all_cut_off(RESUMED_WITHIN).await;
    history.fault(FaultKind::PowerCut);
    let appended = OpenOptions::new().write(true).open(server.appended()).unwrap();
    assert!(appended.metadata().unwrap().len() > synced);
    appended.set_len(synced).unwrap();
    server.run();
    history.progress(20, RESUMED_WITHIN).await;
    let report = history.judge().await;
    println!("judged at {level}: {} breaches of I1, {:?}", lost(&report), report.figures);
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_under_everysec_takes_what_the_level_says_and_no_more() {
    let report = power_cut_under_everysec(AckLevel::Window { ms: 2_000 }, 9).await;
    assert!(report.is_clean(), "{:#?}", report.violations);
}

/// The negative control of the one above: who calls that level `power` is caught.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_under_everysec_is_a_loss_where_no_loss_was_promised() {
    let report = power_cut_under_everysec(AckLevel::Power, 10).await;
    assert!(lost(&report) > 0, "the loss of a second was not seen: {:?}", report.figures);
}
