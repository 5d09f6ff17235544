//! Twelve ways in which a network fails between a client and the server.

use std::sync::Arc;
use std::time::Duration;

use windlass_core::WorkerId;
use windlass_core::store::{AckLevel, Queue, Signal, Watch};
use windlass_redis::{RedisOptions, RedisStore};
use windlass_survival::{History, SCENARIOS, Scenario, network};
use windlass_testkit::{Fault, Proxy};

use crate::health::{job, queue};
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_whose_new_connection_is_never_answered_makes_another() {
    let (server, address) = Server::on_loopback(&["--appendonly", "no"]);
    let proxy = Proxy::start(address).await.unwrap();
    // Without upkeep nothing but what the listener hears wakes a worker.
    let quiet = || RedisOptions { upkeep: false, ..RedisOptions::default() };
    let here = RedisStore::open(&format!("redis://{}", proxy.address()), quiet()).await.unwrap();
    let elsewhere = RedisStore::open(&server.url(), quiet()).await.unwrap();
    let connections = proxy.accepted();
    proxy.set(Fault::LoseReplies);
    proxy.cut_all();
    let patience = tokio::time::Instant::now() + Duration::from_secs(60);
    while proxy.accepted() < connections + 2 {
        assert!(tokio::time::Instant::now() < patience, "it waits for an answer that never comes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    proxy.set(Fault::None);
    let watch = Watch { worker: WorkerId(1), queues: vec![(queue(), 1)] };
    // Whoever listens again rouses everyone once; the second ring is another process's.
    for n in 0..2 {
        let mut rung = here.watch(watch.clone());
        for again in 0.. {
            assert!(tokio::time::Instant::now() < patience, "nobody is told of what another process brought");
            elsewhere.enqueue(vec![job(1_000 * n + again)], false, None).await.unwrap()[0].clone().unwrap();
            if let Ok(signal) = tokio::time::timeout(Duration::from_millis(500), &mut rung).await {
                assert_eq!(signal.unwrap(), Signal::Work);
                break;
            }
        }
    }
}
