//! What a profile came to.

use std::path::Path;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;
use windlass_core::Time;

use super::latency::Latencies;
use super::load::Bench;
use crate::fault::Fault;
use crate::output::table::{self, Column};
use crate::output::{Record, Row};

/// One profile's figures. What a profile does not measure is null or left out.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) profile: &'static str,
    pub(super) store: String,
    pub(super) ack_level: String,
    pub(super) jobs: u64,
    pub(super) batch: usize,
    pub(super) callers: usize,
    pub(super) seconds: f64,
    pub(super) per_s: f64,
    pub(super) p50_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
    pub(super) p999_ms: Option<f64>,
    pub(super) max_ms: Option<f64>,
    pub(super) rss_bytes: u64,
    pub(super) disk_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) floor_p50_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) floor_p99_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) floor_p999_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) worst_second_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reopen_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reopen_rss_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) relative_speed: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) relative_enqueue_speed: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) relative_claim_speed: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) baseline_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rate: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) backlog_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) drain_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) drain_per_s: Option<f64>,
}

impl Report {
    /// The figures that every profile has, with memory and disk as they are now.
    pub(super) async fn new(
        profile: &'static str,
        bench: &Bench,
        jobs: u64,
        took: Duration,
    ) -> Result<Self, Fault> {
        let info = bench.store().info().await?;
        Ok(Self {
            profile,
            store: windlass_core::url::without_password(bench.url()),
            ack_level: info.ack_level.to_string(),
            jobs,
            seconds: rounded(took.as_secs_f64()),
            per_s: per_second(jobs, took),
            rss_bytes: rss_bytes(),
            disk_bytes: info.disk_bytes,
            ..Self::default()
        })
    }

    pub(super) fn with_latencies(mut self, latencies: &Latencies) -> Self {
        self.p50_ms = latencies.quantile_ms(0.5);
        self.p99_ms = latencies.quantile_ms(0.99);
        self.p999_ms = latencies.quantile_ms(0.999);
        self.max_ms = latencies.max_ms();
        self
    }

    pub(super) fn called(mut self, callers: usize, batch: usize) -> Self {
        self.callers = callers;
        self.batch = batch;
        self
    }
}

/// Jobs per second, to one decimal.
pub(super) fn per_second(jobs: u64, took: Duration) -> f64 {
    let seconds = took.as_secs_f64();
    if seconds > 0.0 { (jobs as f64 / seconds * 10.0).round() / 10.0 } else { 0.0 }
}

/// To four decimals: beyond that a figure is noise.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

/// This process's resident memory; 0 where the system does not tell.
pub(super) fn rss_bytes() -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc/self/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes =
        line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1_024
}

impl Row for Report {
    const COLUMNS: &'static [Column] = &[
        table::text("PROFILE"),
        table::number("JOBS"),
        table::number("SECONDS"),
        table::number("PER_S"),
        table::number("P50_MS"),
        table::number("P99_MS"),
        table::number("RSS_BYTES"),
        table::number("DISK_BYTES"),
    ];

    fn cells(&self, _: Time, _: bool) -> Vec<String> {
        let ms = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        vec![
            self.profile.to_owned(),
            self.jobs.to_string(),
            self.seconds.to_string(),
            self.per_s.to_string(),
            ms(self.p50_ms),
            ms(self.p99_ms),
            self.rss_bytes.to_string(),
            self.disk_bytes.to_string(),
        ]
    }
}

impl Record for Report {
    fn fields(&self, _: Time, _: bool) -> Vec<(&'static str, String)> {
        let count = |value: f64| format!("{}/s", HumanCount(value.round() as u64));
        let mut fields = vec![
            ("profile", self.profile.to_owned()),
            ("store", format!("{} (ack {})", self.store, self.ack_level)),
            (
                "load",
                format!("{} jobs, batch {}, {} callers", HumanCount(self.jobs), self.batch, self.callers),
            ),
            ("speed", format!("{} over {:.1} s", count(self.per_s), self.seconds)),
        ];
        if let (Some(p50), Some(p99), Some(p999), Some(max)) =
            (self.p50_ms, self.p99_ms, self.p999_ms, self.max_ms)
        {
            fields
                .push(("latency", format!("p50 {p50} ms, p99 {p99} ms, p99.9 {p999} ms, longest {max} ms")));
        }
        if let (Some(p50), Some(p99), Some(p999)) = (self.floor_p50_ms, self.floor_p99_ms, self.floor_p999_ms)
        {
            fields.push(("disk alone", format!("p50 {p50} ms, p99 {p99} ms, p99.9 {p999} ms")));
        }
        fields.push(("memory", HumanBytes(self.rss_bytes).to_string()));
        fields.push(("disk", HumanBytes(self.disk_bytes).to_string()));
        let mut push = |name, value: Option<String>| fields.extend(value.map(|value| (name, value)));
        push("worst second", self.worst_second_per_s.map(count));
        push(
            "reopen",
            self.reopen_s.map(|seconds| {
                format!("{seconds} s, then {}", HumanBytes(self.reopen_rss_bytes.unwrap_or(0)))
            }),
        );
        push("against empty", self.relative_speed.map(|share| format!("{:.1} %", share * 100.0)));
        push("baseline", self.baseline_per_s.map(count));
        push("refused", self.refused.map(|refused| refused.to_string()));
        push("backlog", self.backlog_max.map(|jobs| HumanCount(jobs).to_string()));
        push(
            "drain",
            self.drain_s
                .map(|seconds| format!("{seconds:.1} s at {}", count(self.drain_per_s.unwrap_or(0.0)))),
        );
        fields
    }
}
