//! Twelve ways in which a network fails between a client and the server.

use std::sync::Arc;

use windlass_core::store::AckLevel;
use windlass_survival::{History, SCENARIOS, Scenario, network};
use windlass_testkit::{Fault, Proxy};

use crate::home::At;
use crate::server::Server;

/// Calls are numbered, so an answer to one that arrived twice is not taken for the next call's.
const DOUBLED: Scenario = ("doubled requests", &[Fault::Duplicate; 5]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_of_the_network_loses_repeats_or_stops_work() {
    let (_server, address) = Server::on_loopback(&["--appendonly", "no"]);
    let proxy = Proxy::start(address).await.unwrap();
    let home = At(format!("redis://{}", proxy.address()));
    let mut history = History::begin(Arc::new(home), AckLevel::Process, 12);
    history.start().await;
    network(&history, &proxy, SCENARIOS.into_iter().chain([DOUBLED])).await;
    history.must_be_clean().await;
}
