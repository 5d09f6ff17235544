//! The promises of the client and the worker, each on a store in memory and on one in a directory.
#![allow(missing_docs, clippy::unwrap_used)]

mod client;
mod derive;
mod examples;
mod leases;
mod shutdown;
mod store;
mod test_queue;
mod ui;
mod worker;

use serde::{Deserialize, Serialize};
use std::future::Future;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use windlass::core::job::{JobDetail, State};
use windlass::{Client, JobId};

/// How long a test waits for what must come before it fails.
const DEADLINE: Duration = Duration::from_secs(20);

/// A store of its own for one test.
pub(crate) struct Place {
    pub(crate) client: Client,
    _directory: Option<TempDir>,
}

impl Place {
    pub(crate) async fn memory() -> Self {
        let client = windlass::open("memory:").await.expect("memory opens");
        Self { client, _directory: None }
    }

    pub(crate) async fn file() -> Self {
        let directory = TempDir::new().expect("a directory for the test");
        let url = format!("file:{}", directory.path().join("data").display());
        let client = windlass::open(&url).await.expect("a new directory opens");
        Self { client, _directory: Some(directory) }
    }
}

/// Makes a test of each function on both stores.
macro_rules! on_both_stores {
    ($($rule:ident)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let place = crate::Place::memory().await;
                super::$rule(place.client.clone()).await;
            })*
        }
        mod file {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let place = crate::Place::file().await;
                super::$rule(place.client.clone()).await;
                place.client.close().await.expect("it closes");
            })*
        }
    };
}
pub(crate) use on_both_stores;

/// Waits until the condition gives something.
pub(crate) async fn until<T, F, Fut>(what: &str, mut condition: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let started = Instant::now();
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until the job stands there.
pub(crate) async fn until_state(client: &Client, id: JobId, state: State) -> JobDetail {
    until(&format!("job {id} is {state}"), || async move {
        let detail = client.get(id).await.expect("the store answers").expect("the job is known");
        (detail.view.state == state).then_some(detail)
    })
    .await
}

/// A job that says a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, windlass::Job)]
#[job(queue = "numbers", retry(fixed = "1ms"), max_failures = 3)]
pub(crate) struct Number {
    pub(crate) n: u64,
}

/// A job for a second handler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, windlass::Job)]
#[job(queue = "numbers")]
pub(crate) struct Note {
    pub(crate) text: String,
}
