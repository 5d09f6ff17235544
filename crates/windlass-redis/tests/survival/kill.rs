//! kill -9 of the server, again and again, at full load.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use windlass_check::{FaultKind, Invariant, Report};
use windlass_core::State;
use windlass_core::store::{AckLevel, Admin as _, Queue as _};
use windlass_survival::{History, RESUMED_WITHIN, kills};

use crate::health::{job, open, tell};
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

/// A server that starts on such a file by itself cuts it behind the last whole command and not in front of the
/// transaction, whose beginning it then applies when it starts the next time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_beginning_of_a_transaction_that_a_kill_has_torn_is_never_applied() {
    const TORN: &[u8] =
        b"*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$4\r\ntorn\r\n$1\r\n1\r\n*3\r\n$3\r\nSET\r\n$4\r\nto";
    let mut server = Server::start();
    for round in 1..=3 {
        let answers = open(&server).await.enqueue(vec![job(round)], false, None).await.unwrap();
        answers[0].as_ref().unwrap();
        server.kill();
        if round == 1 {
            OpenOptions::new().append(true).open(server.appended()).unwrap().write_all(TORN).unwrap();
        }
        server.run();
    }
    let queues = open(&server).await.queues(None, None).await.unwrap();
    assert_eq!(queues[0].counts.of(State::Ready), 3);
    assert_eq!(tell(&server, &["EXISTS", "torn"]).await, redis::Value::Int(0));
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
