//! Twelve ways in which a network fails between a client and the server.

use std::sync::Arc;

use windlass_core::store::AckLevel;
use windlass_survival::{History, SCENARIOS, Scenario, network};
use windlass_testkit::{Fault, Proxy};

use crate::home::At;
use crate::server::Server;

/// A commit that arrived, whose answer is lost, and then nobody is let in to ask. Requests are never doubled here: TCP
/// does not, and this protocol does not number them.
const SHUT_OUT: Scenario =
    ("replies vanish, then nobody may connect", &[Fault::LoseReplies, Fault::Refuse, Fault::Refuse]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_of_the_network_loses_repeats_or_stops_work() {
    let (_server, address) = Server::on_loopback();
    let proxy = Proxy::start(address).await.unwrap();
    let home = At(format!("postgres://windlass@{}/postgres", proxy.address()));
    let mut history = History::begin(Arc::new(home), AckLevel::Power, 12);
    history.start().await;
    network(&history, &proxy, SCENARIOS.into_iter().chain([SHUT_OUT])).await;
    history.must_be_clean().await;
}
