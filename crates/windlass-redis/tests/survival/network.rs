//! Twelve ways in which a network fails between a client and the server.

use std::time::Duration;

use windlass_check::FaultKind;
use windlass_core::store::AckLevel;
use windlass_testkit::{Fault, Proxy};

use crate::history::History;
use crate::server::Server;

/// Work goes on so long after the network is well again.
const RESUMED_WITHIN: Duration = Duration::from_secs(30);

const SCENARIOS: [(&str, &[Fault]); 12] = [
    ("cut after the request arrived", &[Fault::CutBeforeReply; 10]),
    ("cut before the request arrives", &[Fault::CutBeforeRequest; 10]),
    ("doubled requests", &[Fault::Duplicate; 5]),
    ("slow", &[Fault::Delay(Duration::from_millis(20)); 4]),
    ("very slow", &[Fault::Delay(Duration::from_millis(200)); 2]),
    ("a byte at a time", &[Fault::Drip(Duration::from_micros(50)); 2]),
    ("requests vanish, then all connections end", &[Fault::LoseRequests]),
    ("replies vanish, then all connections end", &[Fault::LoseReplies]),
    ("nobody may connect", &[Fault::Refuse; 3]),
    (
        "cuts on both ways",
        &[Fault::CutBeforeReply, Fault::CutBeforeRequest, Fault::CutBeforeReply, Fault::CutBeforeRequest],
    ),
    ("slow, then cut", &[Fault::Delay(Duration::from_millis(50)), Fault::CutBeforeReply]),
    ("a storm of reconnects", &[Fault::None; 20]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_of_the_network_loses_repeats_or_stops_work() {
    let (_server, address) = Server::on_loopback(&["--appendonly", "no"]);
    let proxy = Proxy::start(address).await.unwrap();
    let url = format!("redis://{}", proxy.address());
    let mut history = History::begin(&url, AckLevel::Process, History::seed(12));
    history.start().await;
    for (name, faults) in SCENARIOS {
        history.progress(20, RESUMED_WITHIN).await;
        for fault in faults {
            history.fault(FaultKind::Connection);
            proxy.set(*fault);
            tokio::time::sleep(Duration::from_millis(60)).await;
            let vanishes =
                matches!(fault, Fault::LoseRequests | Fault::LoseReplies | Fault::Refuse | Fault::None);
            if vanishes {
                // Whoever waits for what vanished learns it by the end of the connection.
                proxy.cut_all();
            }
        }
        proxy.set(Fault::None);
        println!("{name}: {} completed so far", history.completed.load(std::sync::atomic::Ordering::SeqCst));
    }
    history.progress(20, RESUMED_WITHIN).await;
    history.must_be_clean().await;
}
