//! Metrics for Prometheus: what the store counts, as it stands when somebody scrapes.
//!
//! Nothing of the queue is counted here: each scrape asks the store, whose counts are never scanned, and adds what this
//! server counts of its own requests. Labels are queues and states, routes and statuses, and channels, so the number of
//! series follows the number of queues, up to [`QUEUES_MOST`]. `operations/` has a dashboard and alerts over these names.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use windlass_api::monitor::{ChannelShape, Incident, Severity, Stage};
use windlass_core::histogram::Histogram;
use windlass_core::store::{QueueInfo, StoreInfo, Totals, WorkerInfo};
use windlass_core::{State as JobState, Time};

use crate::answer::{Answer, Fault};
use crate::app::App;
use crate::monitor;
use crate::traffic::{Counted, Route};

/// Queues that are told one by one, those with the most jobs first: a store may have tens of thousands, a time-series
/// database had better not.
const QUEUES_MOST: usize = 1_000;
/// Where the buckets of durations end, in milliseconds: from what a pick-up takes to what a long job takes.
const BUCKETS_MS: [u64; 16] =
    [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000, 30_000, 60_000, 300_000, 1_800_000, 7_200_000];
/// The format of the answer.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /metrics`.
pub(crate) async fn metrics(State(app): State<App>) -> Answer {
    let store = app.store();
    let began = Instant::now();
    let (queues, workers, info) =
        tokio::try_join!(store.queues(None, None), store.workers(None), store.info())?;
    let answered = began.elapsed();
    let (incidents, channels) =
        tokio::try_join!(monitor::incidents_shown(&app), monitor::channels_shown(&app))?;
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape {
        queues: most(queues),
        workers,
        info,
        answered,
        incidents,
        channels,
        traffic: app.traffic().counted(),
        now: app.client().now(),
    }));
    let mut body = String::new();
    text::encode(&mut body, &registry)
        .map_err(|_| Fault::new("internal", "the metrics could not be written"))?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], body).into_response())
}

/// The queues that are told, in the order of their names.
fn most(mut queues: Vec<QueueInfo>) -> Vec<QueueInfo> {
    queues.sort_by_key(|queue| std::cmp::Reverse(queue.counts.0.iter().sum::<u64>()));
    queues.truncate(QUEUES_MOST);
    queues.sort_by(|a, b| a.name.cmp(&b.name));
    queues
}

#[derive(Debug)]
struct Scrape {
    queues: Vec<QueueInfo>,
    workers: Vec<WorkerInfo>,
    info: StoreInfo,
    answered: Duration,
    incidents: Vec<Incident>,
    channels: Vec<ChannelShape>,
    traffic: Vec<(Route, Counted)>,
    now: Time,
}

/// A counter of what queues have done: its name, what it counts, and where it stands.
type Total = (&'static str, &'static str, fn(&Totals) -> u64);

const TOTALS: [Total; 10] = [
    ("windlass_jobs_enqueued", "Jobs taken in", |totals| totals.enqueued),
    ("windlass_attempts_started", "Attempts started", |totals| totals.claimed),
    ("windlass_jobs_completed", "Jobs that ended well", |totals| totals.completed),
    ("windlass_attempts_failed", "Attempts that failed", |totals| totals.failed),
    ("windlass_jobs_died", "Jobs that became dead letters", |totals| totals.died),
    ("windlass_leases_lost", "Leases that ran out", |totals| totals.lost),
    ("windlass_attempts_snoozed", "Attempts postponed", |totals| totals.snoozed),
    ("windlass_attempts_released", "Attempts given back", |totals| totals.released),
    ("windlass_attempts_without_handler", "Attempts given back because no handler knew the kind", |totals| {
        totals.no_handler
    }),
    ("windlass_jobs_cancelled", "Jobs cancelled", |totals| totals.cancelled),
];

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        self.store(&mut encoder)?;
        self.queues(&mut encoder)?;
        self.durations(&mut encoder)?;
        self.workers(&mut encoder)?;
        self.monitor(&mut encoder)?;
        self.requests(&mut encoder)
    }
}

impl Scrape {
    fn store(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let version = [("version", env!("CARGO_PKG_VERSION")), ("store", self.info.store.as_str())];
        let mut build = gauge(encoder, "windlass_build_info", "The version that runs, and its store")?;
        ConstGauge::new(1u64).encode(build.encode_family(&version)?)?;
        let mut bytes =
            gauge(encoder, "windlass_store_bytes", "Bytes of the store: on disk, and of live records")?;
        for (what, n) in [("disk", self.info.disk_bytes), ("live", self.info.live_bytes)] {
            ConstGauge::new(n).encode(bytes.encode_family(&[("what", what)])?)?;
        }
        let low = gauge(
            encoder,
            "windlass_store_space_low",
            "1 while enqueues are refused because space runs out",
        )?;
        ConstGauge::new(u64::from(self.info.space_low)).encode(low)?;
        let answered = gauge(
            encoder,
            "windlass_store_answer_seconds",
            "How long the store took to answer for this scrape",
        )?;
        ConstGauge::new(self.answered.as_secs_f64()).encode(answered)
    }

    fn queues(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, help, of) in TOTALS {
            let mut counter = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for queue in &self.queues {
                ConstCounter::new(of(&queue.totals)).encode(counter.encode_family(&of_queue(queue))?)?;
            }
        }
        let mut jobs = gauge(encoder, "windlass_queue_jobs", "Jobs of a queue by state")?;
        for queue in &self.queues {
            for state in JobState::ALL {
                let labels = [("queue", queue.name.as_str()), ("state", state.as_str())];
                ConstGauge::new(queue.counts.of(state)).encode(jobs.encode_family(&labels)?)?;
            }
        }
        let mut age = gauge(
            encoder,
            "windlass_queue_oldest_ready_seconds",
            "How long the longest-waiting ready job waits",
        )?;
        for queue in &self.queues {
            let ms = queue.oldest_ready.map_or(0, |at| self.now.since(at));
            ConstGauge::new(ms as f64 / 1_000.0).encode(age.encode_family(&of_queue(queue))?)?;
        }
        let mut most = gauge(
            encoder,
            "windlass_queue_waiting_limit",
            "Jobs that may wait in a queue before it refuses; queues without a bound have none",
        )?;
        for queue in &self.queues {
            if let Some(limit) = queue.settings.max_waiting {
                ConstGauge::new(limit).encode(most.encode_family(&of_queue(queue))?)?;
            }
        }
        let mut paused = gauge(encoder, "windlass_queue_paused", "1 while nothing is claimed from a queue")?;
        for queue in &self.queues {
            let labels = of_queue(queue);
            ConstGauge::new(u64::from(queue.settings.paused)).encode(paused.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn durations(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        type Of = fn(&QueueInfo) -> &Histogram;
        let both: [(&str, &str, Of); 2] = [
            ("windlass_job_wait_seconds", "From ready to claimed", |queue| &queue.wait_ms),
            ("windlass_job_run_seconds", "From claimed to settled", |queue| &queue.run_ms),
        ];
        for (name, help, of) in both {
            let mut durations = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
            for queue in &self.queues {
                let histogram = of(queue);
                let buckets = buckets(histogram);
                let sum = histogram.sum() as f64 / 1_000.0;
                let labels = of_queue(queue);
                let mut encoder = durations.encode_family(&labels)?;
                encoder.encode_histogram::<NoLabelSet>(sum, histogram.count(), &buckets, None)?;
            }
        }
        Ok(())
    }

    fn workers(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut of_queues: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for worker in &self.workers {
            for (queue, slots) in &worker.hello.queues {
                let (workers, all) = of_queues.entry(queue.as_str()).or_default();
                (*workers, *all) = (*workers + 1, *all + u64::from(*slots));
            }
        }
        let mut workers = gauge(encoder, "windlass_workers", "Workers that take from a queue")?;
        for (queue, (count, _)) in &of_queues {
            ConstGauge::new(*count).encode(workers.encode_family(&[("queue", *queue)])?)?;
        }
        let mut slots =
            gauge(encoder, "windlass_worker_slots", "Jobs of a queue that all workers may run at once")?;
        for (queue, (_, count)) in &of_queues {
            ConstGauge::new(*count).encode(slots.encode_family(&[("queue", *queue)])?)?;
        }
        Ok(())
    }
}

impl Scrape {
    fn monitor(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut incidents = gauge(encoder, "windlass_monitor_incidents", "What the monitor finds wrong now")?;
        for stage in [Stage::Pending, Stage::Firing] {
            for severity in [Severity::Warning, Severity::Critical] {
                let is = |incident: &&Incident| incident.stage == stage && incident.severity == severity;
                let labels = [("stage", stage.as_str()), ("severity", severity.as_str())];
                let n = self.incidents.iter().filter(is).count() as u64;
                ConstGauge::new(n).encode(incidents.encode_family(&labels)?)?;
            }
        }
        let mut failures = gauge(
            encoder,
            "windlass_monitor_channel_failures",
            "Tries that failed since the channel took a notice",
        )?;
        for channel in &self.channels {
            let labels = [("channel", channel.name.as_str())];
            ConstGauge::new(u64::from(channel.failures)).encode(failures.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let name = "windlass_http_requests";
        let mut requests =
            encoder.encode_descriptor(name, "Requests answered by this server", None, MetricType::Counter)?;
        for ((method, route), counted) in &self.traffic {
            for (status, n) in &counted.by_status {
                let status = status.to_string();
                let labels = [("method", *method), ("route", route), ("status", status.as_str())];
                ConstCounter::new(*n).encode(requests.encode_family(&labels)?)?;
            }
        }
        let (name, help) = (
            "windlass_http_request_seconds",
            "From a request to its answer, the wait that it asks for included",
        );
        let mut took = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for ((method, route), counted) in &self.traffic {
            let labels = [("method", *method), ("route", *route)];
            let histogram = &counted.took_ms;
            let (sum, count) = (histogram.sum() as f64 / 1_000.0, histogram.count());
            let mut encoder = took.encode_family(&labels)?;
            encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets(histogram), None)?;
        }
        Ok(())
    }
}

fn gauge<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    name: &'a str,
    help: &'a str,
) -> Result<prometheus_client::encoding::MetricEncoder<'a>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)
}

fn of_queue(queue: &QueueInfo) -> [(&'static str, &str); 1] {
    [("queue", queue.name.as_str())]
}

/// Counts by bucket, each without those before it, with its upper end in seconds. A bucket of the store's own that lies
/// across an end counts above it.
fn buckets(histogram: &Histogram) -> Vec<(f64, u64)> {
    let mut counts = [0; BUCKETS_MS.len() + 1];
    for (below, count) in histogram.buckets() {
        let place = BUCKETS_MS.iter().position(|end| below <= end + 1).unwrap_or(BUCKETS_MS.len());
        counts[place] += count;
    }
    let ends = BUCKETS_MS.iter().map(|ms| *ms as f64 / 1_000.0).chain([f64::INFINITY]);
    ends.zip(counts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_in_a_bucket_that_it_fits_in() {
        let mut histogram = Histogram::default();
        for ms in [0, 1, 2, 3, 7, 30, 1_000, 59_000, u64::MAX >> 22] {
            histogram.record(ms);
        }
        let all = buckets(&histogram);
        assert_eq!(all.iter().map(|(_, count)| count).sum::<u64>(), 9);
        assert_eq!(all[0], (0.001, 2), "0 and 1 ms");
        assert_eq!(all.last().map(|(_, count)| *count), Some(1));
        let until_a_minute: u64 = all.iter().filter(|(end, _)| *end <= 60.0).map(|(_, count)| count).sum();
        assert!((7..=8).contains(&until_a_minute), "{all:?}");
    }
}
