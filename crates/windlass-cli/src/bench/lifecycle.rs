//! `lifecycle`: whole lives of jobs in a steady mix, retention at work, every enqueue and completion acknowledged.

use std::sync::Arc;
use std::time::Duration;

use super::Scale;
use super::enqueue::finish;
use super::latency::Latencies;
use super::load::{Bench, Mix};
use super::place::Place;
use super::report::Report;
use crate::fault::Fault;
use crate::output::{Output, progress};

const SECONDS: u64 = 60;
const BATCH: usize = 100;
const CALLERS: usize = 2;
/// Completed jobs are kept that long, so that retention removes as many as are completed.
pub(super) const KEEP: Duration = Duration::from_secs(5);

pub(super) async fn run(place: &Place, out: &Output, scale: Scale) -> Result<Report, Fault> {
    let mix = Mix {
        callers: scale.callers_or(CALLERS),
        batch: scale.batch_or(BATCH),
        time: Duration::from_secs(scale.seconds.unwrap_or(SECONDS)),
        groups: 0,
    };
    let url = place.fresh("lifecycle");
    let bench = Arc::new(Bench::open(url.clone()).await?);
    bench.keep_completed(KEEP).await?;
    let latencies = Arc::new(Latencies::new());
    let spinner = progress::bar(out, "lifecycle", None);
    spinner.enable_steady_tick(Duration::from_secs(1));
    let result = mix.run(&bench, &latencies).await?;
    spinner.finish_and_clear();
    let report = Report::new("lifecycle", &bench, result.completed, result.took).await?;
    let mut report = report.with_latencies(&latencies).called(mix.callers, mix.batch);
    report.worst_second_per_s = result.seconds.iter().min().map(|jobs| *jobs as f64);
    finish(bench, place, &url).await?;
    Ok(report)
}
