//! How few requests single calls become: what is asked at the same time shares one.
#![allow(clippy::disallowed_methods, reason = "tests reach servers as users do")]

#[path = "../../../windlass-server/tests/home/mod.rs"]
mod home;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;
use windlass::{Client, Draft, RawJob, State};
use windlass_core::job::State as JobState;
use windlass_http::{HttpOptions, HttpStore};

/// Calls at once.
const CALLS: usize = 100;
/// Requests that they may become: the first goes alone, the rest gathers while one or two are out.
const REQUESTS_MOST: usize = 10;
/// How long something may take that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Hands bytes on to the server and counts the requests that change something, by where they go.
#[derive(Clone, Default)]
struct Counter {
    enqueues: Arc<AtomicUsize>,
    claims: Arc<AtomicUsize>,
}

impl Counter {
    async fn before(server: SocketAddr) -> (Self, String) {
        let counter = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let counting = counter.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let there = TcpStream::connect(server).await.expect("the server listens");
                tokio::spawn(counting.clone().hand_on(client, there));
            }
        });
        (counter, format!("http://{address}"))
    }

    async fn hand_on(self, client: TcpStream, server: TcpStream) {
        let (mut asks, mut hears) = client.into_split();
        let (mut answers, mut asked) = server.into_split();
        let back = tokio::spawn(async move { tokio::io::copy(&mut answers, &mut hears).await });
        let mut chunk = vec![0; 64 << 10];
        while let Ok(read @ 1..) = asks.read(&mut chunk).await {
            // A request line is never cut: it goes out with its head in one piece, and our payloads look like none.
            for (path, count) in [("POST /v1/jobs/batch?", &self.enqueues), ("POST /v1/claim ", &self.claims)]
            {
                let found =
                    chunk[..read].windows(path.len()).filter(|bytes| *bytes == path.as_bytes()).count();
                count.fetch_add(found, Ordering::SeqCst);
            }
            if asked.write_all(&chunk[..read]).await.is_err() {
                break;
            }
        }
        back.abort();
    }
}

struct Place {
    engine: Client,
    client: Client,
    counter: Counter,
    _server: home::Home,
}

async fn place() -> Place {
    let engine = windlass::open("memory:").await.expect("memory opens");
    let server = home::Home::of(&engine);
    let (counter, url) = Counter::before(server.address()).await;
    let store = HttpStore::open(&url, HttpOptions::default()).await.expect("the server answers");
    Place { engine, client: Client::new(Arc::new(store)), counter, _server: server }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_enqueues_made_at_once_share_requests() {
    let place = place().await;
    let mut calls = JoinSet::new();
    for n in 0..CALLS {
        let client = place.client.clone();
        calls.spawn(async move { client.enqueue(Draft::raw("q", "k", n.to_string().into_bytes())).await });
    }
    let ids: BTreeSet<_> =
        calls.join_all().await.into_iter().map(|told| told.expect("each is taken").id).collect();
    assert_eq!(ids.len(), CALLS, "each has a job of its own");
    let requests = place.counter.enqueues.load(Ordering::SeqCst);
    assert!((1..=REQUESTS_MOST).contains(&requests), "{CALLS} enqueues in {requests} requests");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn completions_made_at_once_share_requests() {
    async fn handle(_: RawJob, State((all, go)): State<(Arc<Barrier>, Arc<Semaphore>)>) {
        all.wait().await;
        drop(go.acquire().await);
    }
    let place = place().await;
    for n in 0..CALLS {
        place.engine.enqueue(Draft::raw("q", "k", n.to_string().into_bytes())).await.expect("taken");
    }
    let (all, go) = (Arc::new(Barrier::new(CALLS + 1)), Arc::new(Semaphore::new(0)));
    let worker = place.client.worker((all.clone(), go.clone())).queue("q", CALLS as u32);
    let worker = worker.handle_kind("k", handle).start().await.expect("it starts");
    tokio::time::timeout(PATIENCE, all.wait()).await.expect("all handlers run at once");
    let before = place.counter.claims.load(Ordering::SeqCst);
    go.add_permits(CALLS);
    let done = async {
        loop {
            let queues = place.engine.store().queues(None, None).await.expect("the engine answers");
            if queues[0].counts.of(JobState::Completed) == CALLS as u64 {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, done).await.expect("each is completed");
    let requests = place.counter.claims.load(Ordering::SeqCst) - before;
    assert!((1..=REQUESTS_MOST).contains(&requests), "{CALLS} completions in {requests} requests");
    worker.shutdown().await;
}
