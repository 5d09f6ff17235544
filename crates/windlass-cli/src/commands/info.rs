//! `windlass info`: what a store is, what it gives, and what is in it.

use clap::Args;
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;
use serde_json::{Map, Value};
use windlass_api::queue::ByState;
use windlass_core::store::{Counts, QueueInfo, Store, StoreInfo};
use windlass_core::url::without_password;
use windlass_core::{State, Time};

use crate::arguments::Global;
use crate::commands::closing;
use crate::connect::{self, Intent};
use crate::fault::Fault;
use crate::output::{Output, Record};

const EXAMPLES: &str = "\
Examples:
  windlass info
  windlass info --store redis://cache
  windlass info --store postgres://app@db/app --json | jq -r '.warnings[]'
";

/// What the store is: server, version, ack level and the settings behind it, and how much is in it
///
/// What an operator should look into is a warning, with what to do.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct InfoArgs {}

/// The answer.
#[derive(Debug, Serialize)]
struct Shape {
    store: String,
    kind: String,
    server: Option<String>,
    namespace: Option<String>,
    format: String,
    /// The version of this program.
    windlass: &'static str,
    ack_level: String,
    settings: Map<String, Value>,
    queues: usize,
    jobs: ByState,
    workers: usize,
    schedules: usize,
    /// Who holds the event log back until he has read it.
    readers: usize,
    disk_bytes: u64,
    live_bytes: u64,
    event_bytes: Option<u64>,
    memory_bytes: Option<u64>,
    space_low: bool,
    opened: String,
    warnings: Vec<String>,
    /// There is no job, and nothing is told of any.
    #[serde(skip)]
    is_empty: bool,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, out: &Output, _: InfoArgs) -> Result<(), Fault> {
    let open = connect::open(global, Intent::Look).await?;
    let read = read(open.store().as_ref(), without_password(&global.store)).await;
    let result = read.and_then(|shape| out.record(&shape));
    closing(open, result).await
}

async fn read(store: &dyn Store, url: String) -> Result<Shape, Fault> {
    let info = store.info().await?;
    let queues = store.queues(None, None).await?;
    let StoreInfo { disk_bytes, live_bytes, event_bytes, memory_bytes, space_low, .. } = info;
    let is_empty = info.jobs == 0 && event_bytes.unwrap_or_default() == 0;
    let mut warnings = info.warnings;
    if space_low {
        warnings.push("space runs out, so enqueues are refused; free some, or shorten retention".to_owned());
    }
    Ok(Shape {
        store: url,
        kind: info.store,
        server: info.server,
        namespace: info.namespace,
        format: info.format,
        windlass: env!("CARGO_PKG_VERSION"),
        ack_level: info.ack_level.to_string(),
        settings: info.settings.into_iter().map(|(name, value)| (name, value.into())).collect(),
        jobs: ByState(sums(&queues)),
        queues: queues.len(),
        workers: store.workers(None).await?.len(),
        schedules: store.schedules().await?.len(),
        readers: store.readers().await?.len(),
        disk_bytes,
        live_bytes,
        event_bytes,
        memory_bytes,
        space_low,
        opened: info.recovery,
        warnings,
        is_empty,
    })
}

fn sums(queues: &[QueueInfo]) -> Counts {
    let mut sums = Counts::default();
    for queue in queues {
        sums.0.iter_mut().zip(queue.counts.0).for_each(|(sum, jobs)| *sum += jobs);
    }
    sums
}

impl Shape {
    /// A Redis server counts its bytes for all that it holds; of a namespace it knows but the event log.
    fn of_whom(&self, bytes: String, exact: bool) -> String {
        match self.kind.as_str() {
            "redis" if !exact && self.is_empty => {
                format!("{bytes} of the whole server, none of it for jobs of this namespace")
            }
            "redis" if !exact => format!("{bytes} of the whole server"),
            _ => bytes,
        }
    }
}

impl Record for Shape {
    fn fields(&self, _: Time, exact: bool) -> Vec<(&'static str, String)> {
        let bytes = |bytes: u64| if exact { bytes.to_string() } else { HumanBytes(bytes).to_string() };
        let of_state = State::ALL.map(|state| (state, self.jobs.0.of(state)));
        let jobs = of_state.iter().filter(|(_, jobs)| *jobs > 0);
        let jobs: Vec<String> = jobs.map(|(state, jobs)| format!("{} {state}", HumanCount(*jobs))).collect();
        let jobs = if jobs.is_empty() { "none".to_owned() } else { jobs.join(", ") };
        let mut fields = vec![("store", self.store.clone()), ("kind", self.kind.clone())];
        fields.extend(self.server.clone().map(|server| ("server", server)));
        fields.extend(self.namespace.clone().map(|namespace| ("namespace", namespace)));
        fields.push(("format", self.format.clone()));
        fields.push(("windlass", self.windlass.to_owned()));
        fields.push(("ack level", self.ack_level.clone()));
        if !self.settings.is_empty() {
            // An empty value is written as the servers' own files write it.
            let told = |(name, value): (&String, &Value)| match value.as_str() {
                None | Some("") => format!("{name} ''"),
                Some(value) => format!("{name} {value}"),
            };
            fields.push(("settings", self.settings.iter().map(told).collect::<Vec<_>>().join("\n")));
        }
        fields.push(("queues", self.queues.to_string()));
        fields.push(("jobs", jobs));
        fields.push(("workers", self.workers.to_string()));
        fields.push(("schedules", self.schedules.to_string()));
        fields.push(("readers", self.readers.to_string()));
        fields.push(("disk", self.of_whom(bytes(self.disk_bytes), exact)));
        fields.push(("live", self.of_whom(bytes(self.live_bytes), exact)));
        fields.extend(self.event_bytes.map(|events| ("events", bytes(events))));
        fields.extend(self.memory_bytes.map(|memory| ("memory", self.of_whom(bytes(memory), exact))));
        fields.push(("opened", self.opened.clone()));
        fields.extend(self.warnings.iter().map(|warning| ("warning", warning.clone())));
        fields
    }
}
