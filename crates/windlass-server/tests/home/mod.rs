//! A server on a free port, on a runtime of its own, that ends when it is dropped.

use std::net::SocketAddr;
use std::thread::JoinHandle;

use axum::Router;
use tokio::net::TcpListener;
use windlass::Client;
use windlass_server::{Drain, Listen, Options, router, serve};

/// A running server.
pub(crate) struct Home {
    address: SocketAddr,
    drain: Drain,
    thread: Option<JoinHandle<()>>,
    last_word: Option<Box<dyn FnOnce() + Send>>,
}

#[allow(dead_code, reason = "each test target uses its part")]
impl Home {
    /// A server before that client's store, for this machine alone.
    pub(crate) fn of(client: &Client) -> Self {
        Self::with(client, Options::default())
    }

    /// The same, set up so; its own drain takes the place of the options'.
    pub(crate) fn with(client: &Client, options: Options) -> Self {
        Self::around(client, options, |router| router, || {})
    }

    /// The same with something around its routes, and a last word when it has ended.
    pub(crate) fn around(
        client: &Client,
        options: Options,
        layer: impl FnOnce(Router) -> Router + Send + 'static,
        last_word: impl FnOnce() + Send + 'static,
    ) -> Self {
        let drain = Drain::default();
        let client = client.clone();
        let options = Options { drain: drain.clone(), ..options };
        let (tell, told) = std::sync::mpsc::channel();
        let ending = drain.clone();
        let thread = std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
            runtime.block_on(async {
                // Here, because what it does beside requests belongs to the runtime in which it is made.
                let router = layer(router(&client, options));
                drop(client);
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                tell.send(listener.local_addr().expect("an address")).expect("somebody waits");
                serve(vec![(Listen::Tcp(listener), router)], ending).await.expect("the server ends in order");
            });
        });
        let address = told.recv().expect("the server listens");
        Self { address, drain, thread: Some(thread), last_word: Some(Box::new(last_word)) }
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
        if let Some(last_word) = self.last_word.take() {
            last_word();
        }
    }
}
