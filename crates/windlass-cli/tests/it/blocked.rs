//! A worker whose runtime stands still, on each store that is reached by connections: its heartbeats go on.

use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use serde_json::json;
use windlass::{Client, JobId, RawJob};
use windlass_core::queue::QueueSettings;
use windlass_core::{State, Time};

use crate::shell::Shell;
use crate::{postgres, redis, serve};

/// How long something may take that must happen.
const PATIENCE: Duration = Duration::from_secs(60);
/// The shortest there is: the runtime stands still for several of them.
const LEASE_MS: u64 = 1_000;
const LEASES: u64 = 4;
/// Calls that the worker's runtime has begun and cannot end, more than a store keeps connections.
const BEGUN: usize = 20;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn job(client: &Client, id: JobId) -> (State, u32, u32, Option<Time>) {
    let job = client.get(id).await.expect("the store answers").expect("the job is known");
    (job.view.state, job.view.attempt, job.view.losses, job.deadline)
}

/// One worker on one thread, which its handler blocks for several leases; the store is looked at from another.
fn a_worker_whose_runtime_is_blocked_keeps_its_lease(url: &str) {
    let (blocks, blocked) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let gone = Arc::new(Mutex::new(gone));
    let at = url.to_owned();
    let thread = std::thread::spawn(move || {
        runtime().block_on(async move {
            let client = windlass::open(&at).await.expect("the store opens");
            let settings = QueueSettings { lease_ms: LEASE_MS, ..QueueSettings::default() };
            client.set_queue("slow", settings).await.expect("set");
            let own = client.clone();
            let handle = move |_: RawJob| {
                let (own, blocks, gone) = (own.clone(), blocks.clone(), gone.clone());
                async move {
                    // Whatever else this runtime has begun stands still as well.
                    for _ in 0..BEGUN {
                        let client = own.clone();
                        tokio::spawn(async move { client.store().queues(None, None).await.map(drop) });
                    }
                    for _ in 0..BEGUN {
                        tokio::task::yield_now().await;
                    }
                    blocks.send(()).expect("the test waits");
                    gone.lock().expect("a lock").recv_timeout(PATIENCE).expect("the test goes on");
                }
            };
            let worker =
                client.worker(()).queue("slow", 1).handle_kind("k", handle).start().await.expect("starts");
            ended.await.expect("the test ends it");
            worker.shutdown().await;
        });
    });
    let other = runtime();
    other.block_on(async {
        let client = windlass::open(url).await.expect("the store opens");
        let id = client.enqueue(windlass::Draft::raw("slow", "k", b"{}".to_vec())).await.expect("taken").id;
        blocked.recv_timeout(PATIENCE).expect("the handler starts");
        let (_, _, _, first) = job(&client, id).await;
        let enough = first.expect("it runs").plus_ms(LEASES * LEASE_MS);
        let from = Instant::now();
        loop {
            let (state, attempt, losses, deadline) = job(&client, id).await;
            assert_eq!((state, attempt, losses), (State::Running, 1, 0), "the lease is kept");
            if deadline.is_some_and(|deadline| deadline >= enough) {
                break;
            }
            assert!(from.elapsed() < PATIENCE, "no heartbeat");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        go.send(()).expect("the handler waits");
        let from = Instant::now();
        while job(&client, id).await.0 != State::Completed {
            assert!(from.elapsed() < PATIENCE, "it is not completed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(job(&client, id).await.1, 1, "it ran once");
        end.send(()).expect("the worker waits");
    });
    thread.join().expect("the worker ends");
}

#[test]
fn a_blocked_runtime_keeps_its_leases_on_redis() {
    let (_server, address) = redis::Server::on_loopback(&["--appendonly", "no"]);
    a_worker_whose_runtime_is_blocked_keeps_its_lease(&format!("redis://{address}"));
}

#[test]
fn a_blocked_runtime_keeps_its_leases_on_postgres() {
    let (_server, url) = postgres::server();
    a_worker_whose_runtime_is_blocked_keeps_its_lease(&url);
}

#[test]
fn a_blocked_runtime_keeps_its_leases_over_http() {
    let shell = Shell::new();
    let (_server, url) = serve::serve(&shell);
    a_worker_whose_runtime_is_blocked_keeps_its_lease(&url);
    assert_eq!(shell.object(&["queues", "show", "slow"])["jobs"]["completed"], json!(1));
}
