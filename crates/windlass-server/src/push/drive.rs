//! A worker for each target, as long as there is one, with the settings as they are.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinSet;
use windlass::{Client, Ctx, RawJob, RunningWorker};
use windlass_core::QueueName;

use super::Push;
use super::deliver::{Line, deliver};
use super::targets::{self, Kept};
use crate::app::{self, App};

/// How often a server looks what another one changed.
const LOOK: Duration = Duration::from_secs(2);
/// How long requests may go on once the server comes to its end: as long as those that it answers itself. What is not
/// answered by then goes back to its queue, no try spent.
const FINISH_WITHIN: Duration = Duration::from_secs(20);

/// A target that is worked on.
struct Running {
    line: Arc<Line>,
    /// The name that the worker goes by, which says where it sends to.
    host: String,
    worker: RunningWorker,
    slots: u32,
}

/// Works on the targets until the server comes to its end.
pub(crate) async fn drive(push: Push, app: Weak<app::Inner>) {
    let mut running = BTreeMap::new();
    // Those whose target was taken away, or moved, while requests were under way.
    let mut leaving = JoinSet::new();
    loop {
        let Some(app) = app.upgrade().map(App::of) else { break };
        let drain = app.drain().clone();
        if drain.has_begun() {
            break;
        }
        match targets::read(app.store()).await {
            Ok((list, _)) => settle(&push, app.client(), list, &mut running, &mut leaving).await,
            // What is worked on goes on as it was.
            Err(error) => tracing::debug!(%error, "the push targets cannot be looked at"),
        }
        drop(app);
        while leaving.try_join_next().is_some() {}
        tokio::select! {
            () = push.0.rung.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
            () = drain.begun() => break,
        }
    }
    join_all(running.into_values().map(|one: Running| one.worker.shutdown())).await;
    leaving.join_all().await;
    push.lines().clear();
}

/// Makes what is worked on what is asked for.
async fn settle(
    push: &Push,
    client: &Client,
    list: Vec<Kept>,
    running: &mut BTreeMap<QueueName, Running>,
    leaving: &mut JoinSet<()>,
) {
    let stays = |queue: &QueueName, one: &Running| {
        list.iter().any(|kept| kept.queue == *queue && host(kept) == one.host)
    };
    let gone: Vec<QueueName> =
        running.iter().filter(|(queue, one)| !stays(queue, one)).map(|(queue, _)| queue.clone()).collect();
    for queue in gone {
        push.lines().remove(&queue);
        if let Some(one) = running.remove(&queue) {
            leaving.spawn(async move {
                one.worker.shutdown().await;
            });
        }
    }
    for kept in list {
        let queue = kept.queue.clone();
        if let Some(one) = running.get_mut(&queue) {
            one.line.keep(kept);
            let slots = one.line.slots();
            if slots != one.slots && one.worker.set_concurrency(queue.as_str(), slots).is_ok() {
                one.slots = slots;
            }
            continue;
        }
        let (host, slots) = (host(&kept), kept.concurrency);
        let line = Arc::new(Line::new(kept, push.0.rung.clone()));
        match start(push, client, &queue, &line, &host, slots).await {
            Ok(worker) => {
                push.lines().insert(queue.clone(), line.clone());
                running.insert(queue, Running { line, host, worker, slots });
            }
            Err(error) => tracing::warn!(%queue, %error, "no worker for a push target; it is tried again"),
        }
    }
}

async fn start(
    push: &Push,
    client: &Client,
    queue: &QueueName,
    line: &Arc<Line>,
    host: &str,
    slots: u32,
) -> Result<RunningWorker, windlass::Error> {
    let (push, line) = (push.clone(), line.clone());
    let handle = move |job: RawJob, cx: Ctx| {
        let (push, line) = (push.clone(), line.clone());
        async move { deliver(&push, &line, &job, &cx).await }
    };
    client.worker(()).queue(queue, slots).host(host).grace(FINISH_WITHIN).handle_any(handle).start().await
}

/// What a list of workers shows of the one that sends to that target.
fn host(kept: &Kept) -> String {
    let host = kept.host().unwrap_or_default();
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-');
    // A name of the DNS is longer than a worker's may be.
    let host: String = host.chars().filter(plain).take(100).collect();
    format!("push:{host}")
}
