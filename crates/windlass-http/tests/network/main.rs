//! Twelve ways in which a network fails between the remote store and its server.
#![allow(clippy::disallowed_methods, reason = "tests reach servers as users do")]

#[path = "../../../windlass-server/tests/home/mod.rs"]
mod home;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use windlass_core::store::{AckLevel, Store};
use windlass_http::{HttpOptions, HttpStore};
use windlass_survival::{History, Home, SCENARIOS, network};
use windlass_testkit::Proxy;

/// The server behind a proxy.
struct At(String);

impl Home for At {
    fn store(&self) -> &'static str {
        "http"
    }

    fn open(&self, _upkeep: bool) -> Pin<Box<dyn Future<Output = Arc<dyn Store>> + Send + '_>> {
        Box::pin(async move {
            let store = HttpStore::open(&self.0, HttpOptions::default()).await;
            Arc::new(store.expect("the server answers")) as Arc<dyn Store>
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_of_the_network_loses_repeats_or_stops_work() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let url = format!("file:{}", directory.path().join("data").display());
    let engine = windlass::open(&url).await.expect("the directory opens");
    let server = home::Home::of(&engine);
    let proxy = Proxy::start(server.address()).await.expect("a proxy");
    let at = At(format!("http://{}", proxy.address()));
    let mut history = History::begin(Arc::new(at), AckLevel::Power, 12);
    history.start().await;
    network(&history, &proxy, SCENARIOS).await;
    history.must_be_clean().await;
}
