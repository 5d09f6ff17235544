//! Ways in which a network fails between a client and the server.

use std::time::Duration;

use windlass_check::FaultKind;
use windlass_testkit::{Fault, Proxy};

use crate::history::History;

/// Work goes on so long after the network is well again: a call may wait for its time limit first.
const RESUMED_WITHIN: Duration = Duration::from_secs(30);
/// Completions that prove that everyone is at work.
const AT_WORK: u64 = 20;
/// How long each fault lasts.
const LASTS: Duration = Duration::from_millis(60);

/// A name and faults that come one after the other.
pub type Scenario = (&'static str, &'static [Fault]);

/// What every store lives through. Each test adds what only its protocol knows.
pub const SCENARIOS: [Scenario; 11] = [
    ("cut after the request arrived", &[Fault::CutBeforeReply; 10]),
    ("cut before the request arrives", &[Fault::CutBeforeRequest; 10]),
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

/// Goes through every scenario, with everyone at work in between.
///
/// # Panics
/// When work does not go on after the network is well again.
pub async fn network(history: &History, proxy: &Proxy, scenarios: impl IntoIterator<Item = Scenario>) {
    for (name, faults) in scenarios {
        history.progress(AT_WORK, RESUMED_WITHIN).await;
        for fault in faults {
            history.fault(FaultKind::Connection);
            proxy.set(*fault);
            tokio::time::sleep(LASTS).await;
            let vanishes =
                matches!(fault, Fault::LoseRequests | Fault::LoseReplies | Fault::Refuse | Fault::None);
            if vanishes {
                // Whoever waits for what vanished learns it by the end of the connection.
                proxy.cut_all();
            }
        }
        proxy.set(Fault::None);
        println!("{name}: {} completed so far", history.completed());
    }
    history.progress(AT_WORK, RESUMED_WITHIN).await;
}
