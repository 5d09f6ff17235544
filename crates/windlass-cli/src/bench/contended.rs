//! `groups` and `held`: whether other people's jobs slow mine down.
//!
//! Both run the steady mix on two stores, one with the burden and one without, in turns: what else the machine does
//! falls on both alike.

use std::sync::Arc;
use std::time::Duration;

use windlass_core::LimitName;
use windlass_core::limit::{LimitSettings, LimitUse};

use super::Scale;
use super::enqueue::finish;
use super::latency::Latencies;
use super::load::{Bench, Mix, group_key, preload};
use super::place::Place;
use super::report::{Report, per_second, rounded};
use crate::fault::Fault;
use crate::output::{Output, progress};

const SECONDS: u64 = 20;
const BATCH: usize = 100;
const CALLERS: usize = 2;
/// Turns of each store.
const ROUNDS: u32 = 4;
/// Groups that have backlog.
const GROUPS: usize = 10_000;
/// Their jobs together.
const GROUP_JOBS: u64 = 100_000;
/// Jobs held back.
const HELD_JOBS: u64 = 1_000_000;
/// Closed limits that hold them: many lines, not one.
const HELD_LIMITS: usize = 1_000;
/// As in `lifecycle`.
const KEEP: Duration = Duration::from_secs(5);

/// 10,000 groups with backlog against one group with as much.
pub(super) async fn groups(place: &Place, out: &Output, scale: Scale) -> Result<Report, Fault> {
    let jobs = scale.jobs.unwrap_or(GROUP_JOBS);
    let many = usize::try_from(jobs).unwrap_or(GROUPS).min(GROUPS);
    let burdened = loaded(place, out, "groups", jobs, many).await?;
    let plain = loaded(place, out, "groups-baseline", jobs, 1).await?;
    compare("groups", place, out, scale, (burdened, many), (plain, 1), jobs).await
}

async fn loaded(
    place: &Place,
    out: &Output,
    name: &str,
    jobs: u64,
    groups: usize,
) -> Result<Arc<Bench>, Fault> {
    let bench = Arc::new(Bench::open(place.fresh(name)).await?);
    bench.keep_completed(KEEP).await?;
    let keys = (0..groups).map(group_key).collect::<Result<Vec<_>, _>>()?;
    let bar = progress::bar(out, "preload", Some(jobs));
    preload(&bench, jobs, &bar, move |bench, number| {
        let mut job = bench.job("");
        job.group = usize::try_from(number).ok().map(|number| keys[number % keys.len()].clone());
        job
    })
    .await?;
    bar.finish_and_clear();
    Ok(bench)
}

/// A million jobs behind closed limits, against an empty store.
pub(super) async fn held(place: &Place, out: &Output, scale: Scale) -> Result<Report, Fault> {
    let jobs = scale.jobs.unwrap_or(HELD_JOBS);
    let burdened = Arc::new(Bench::open(place.fresh("held")).await?);
    burdened.keep_completed(KEEP).await?;
    let names = (0..HELD_LIMITS.min(usize::try_from(jobs).unwrap_or(HELD_LIMITS)))
        .map(|number| LimitName::new(format!("closed-{number}")))
        .collect::<Result<Vec<_>, _>>()?;
    for name in &names {
        let closed = LimitSettings { concurrency: Some(0), rate: None };
        burdened.store().set_limit(name.clone(), Some(closed), None).await?.map_err(Fault::from)?;
    }
    let bar = progress::bar(out, "preload", Some(jobs));
    preload(&burdened, jobs, &bar, move |bench, number| {
        let mut job = bench.job("");
        let name = names[usize::try_from(number).unwrap_or(0) % names.len()].clone();
        job.limits = vec![LimitUse { name, cost: 1 }];
        job
    })
    .await?;
    bar.finish_and_clear();
    let plain = Arc::new(Bench::open(place.fresh("held-baseline")).await?);
    plain.keep_completed(KEEP).await?;
    compare("held", place, out, scale, (burdened, 0), (plain, 0), jobs).await
}

/// Runs the mix on both in turns and compares.
async fn compare(
    profile: &'static str,
    place: &Place,
    out: &Output,
    scale: Scale,
    (burdened, groups): (Arc<Bench>, usize),
    (plain, plain_groups): (Arc<Bench>, usize),
    jobs: u64,
) -> Result<Report, Fault> {
    let time = Duration::from_secs(scale.seconds.unwrap_or(SECONDS)) / ROUNDS;
    let mix = |groups| Mix { callers: scale.callers_or(CALLERS), batch: scale.batch_or(BATCH), time, groups };
    let latencies = Arc::new(Latencies::new());
    let (mut with, mut without) = ((0, Duration::ZERO), (0, Duration::ZERO));
    let bar = progress::bar(out, profile, Some(u64::from(ROUNDS)));
    for _ in 0..ROUNDS {
        let result = mix(groups).run(&burdened, &latencies).await?;
        with = (with.0 + result.completed, with.1 + result.took);
        let result = mix(plain_groups).run(&plain, &Arc::new(Latencies::new())).await?;
        without = (without.0 + result.completed, without.1 + result.took);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let report = Report::new(profile, &burdened, with.0, with.1).await?.with_latencies(&latencies);
    let mut report = report.called(scale.callers_or(CALLERS), scale.batch_or(BATCH));
    let baseline = per_second(without.0, without.1);
    report.baseline_per_s = Some(baseline);
    report.relative_speed = Some(if baseline > 0.0 { rounded(report.per_s / baseline) } else { 0.0 });
    report.backlog_max = Some(jobs);
    let urls = (burdened.url().to_owned(), plain.url().to_owned());
    finish(burdened, place, &urls.0).await?;
    finish(plain, place, &urls.1).await?;
    Ok(report)
}
