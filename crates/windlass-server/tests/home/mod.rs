//! A server on a free port, on a runtime of its own, that ends when it is dropped. What it is asked and what it answers
//! is held against the OpenAPI document.

mod document;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::middleware::from_fn_with_state;
use tokio::net::TcpListener;
use windlass::Client;
use windlass_server::{Drain, Listen, Options, router, serve};

use document::Document;

/// A running server.
pub(crate) struct Home {
    address: SocketAddr,
    drain: Drain,
    document: Arc<Document>,
    thread: Option<JoinHandle<()>>,
}

#[allow(dead_code, reason = "each test target uses its part")]
impl Home {
    /// A server before that client's store, for this machine alone.
    pub(crate) fn of(client: &Client) -> Self {
        Self::with(client, Options::default())
    }

    /// The same, set up so; its own drain takes the place of the options'.
    pub(crate) fn with(client: &Client, options: Options) -> Self {
        let drain = Drain::default();
        let document = Document::new();
        let router = router(client, Options { drain: drain.clone(), ..options })
            .layer(from_fn_with_state(document.clone(), document::hold));
        let (tell, told) = std::sync::mpsc::channel();
        let ending = drain.clone();
        let thread = std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                tell.send(listener.local_addr().expect("an address")).expect("somebody waits");
                serve(vec![(Listen::Tcp(listener), router)], ending).await.expect("the server ends in order");
            });
        });
        let address = told.recv().expect("the server listens");
        Self { address, drain, document, thread: Some(thread) }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it is, without a scheme.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.drain.begin();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server does not panic");
        }
        let faults = self.document.faults();
        assert!(
            faults.is_empty() || std::thread::panicking(),
            "the OpenAPI document says otherwise:\n{}",
            faults.join("\n")
        );
    }
}
