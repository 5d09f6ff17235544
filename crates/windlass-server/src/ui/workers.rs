//! Who works: the processes that said hello, and the store that all of them share.

use askama::Template;
use windlass_core::Time;
use windlass_core::store::{StoreInfo, WorkerInfo};
use windlass_look::Frame;

use super::page::{Reply, show};
use super::visit::Visit;
use super::words::{self, When};
use crate::standing::is_silent;

struct WorkerRow {
    id: String,
    host: String,
    version: String,
    queues: Vec<(String, String, u32)>,
    running: u64,
    running_said: String,
    slots: String,
    seen: When,
    is_silent: bool,
}

impl WorkerRow {
    fn of(f: &Frame, worker: &WorkerInfo, now: Time) -> Self {
        let hello = &worker.hello;
        let queue =
            |(name, slots): &(windlass_core::QueueName, u32)| (name.to_string(), f.queue(name), *slots);
        let slots: u64 = hello.queues.iter().map(|(_, slots)| u64::from(*slots)).sum();
        Self {
            id: hello.worker.to_string(),
            host: hello.host.clone(),
            version: hello.version.clone(),
            queues: hello.queues.iter().map(queue).collect(),
            running: worker.running,
            running_said: words::count(worker.running),
            slots: words::count(slots),
            seen: words::when(worker.seen_at, now),
            is_silent: is_silent(worker, now),
        }
    }
}

#[derive(Template)]
#[template(path = "workers.html")]
struct WorkersPage {
    f: Frame,
    rows: Vec<WorkerRow>,
    store: Vec<(&'static str, String)>,
    warnings: Vec<String>,
    space_low: bool,
}

/// `GET /workers`.
pub(crate) async fn page(visit: Visit) -> Reply {
    let (workers, info) = tokio::try_join!(visit.store().workers(None), visit.store().info())?;
    let mut f = visit.frame("workers");
    // Heartbeats are no events.
    f.every = 5;
    let rows = workers.iter().map(|worker| WorkerRow::of(&f, worker, visit.now)).collect();
    show(&WorkersPage { rows, store: facts(&info), space_low: info.space_low, warnings: info.warnings, f })
}

/// What there is to know of the store.
fn facts(info: &StoreInfo) -> Vec<(&'static str, String)> {
    let size = |n: u64| words::bytes(usize::try_from(n).unwrap_or(usize::MAX));
    let mut all = vec![
        ("Store", info.store.clone()),
        ("An acknowledged write survives", info.ack_level.to_string()),
        ("Jobs, ended ones included", words::count(info.jobs)),
        ("On disk", size(info.disk_bytes)),
        ("Of that, live records", size(info.live_bytes)),
    ];
    all.extend(info.event_bytes.map(|n| ("Event log", size(n))));
    all.extend(info.memory_bytes.map(|n| ("Memory of its server", size(n))));
    all.extend(info.server.clone().map(|server| ("Server", server)));
    all.extend(info.namespace.clone().map(|namespace| ("Namespace", namespace)));
    all.push(("Format", info.format.clone()));
    all.push(("Last open", info.recovery.clone()));
    all.extend(info.settings.iter().map(|(name, value)| ("Setting", format!("{name} = {value}"))));
    all.retain(|(_, value)| !value.is_empty());
    all
}
