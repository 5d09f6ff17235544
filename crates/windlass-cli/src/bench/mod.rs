//! `windlass bench`: measured figures of one store, one JSON object for each profile.
//!
//! A profile is a defined load, not a tunable one: its name means the same everywhere, and the options only scale it.
//! Payloads have 200 bytes. Every call waits for its acknowledgement, at the level that the report states.
//! `load` makes the work, `pace` spreads it evenly over time, `latency` counts how long calls took, `floor` what the disk alone
//! needs, `place` says where
//! stores are made, and each profile is a module that reads from top to bottom.

mod backlog;
mod burst;
mod contended;
mod enqueue;
mod floor;
mod latency;
mod lifecycle;
mod load;
mod mix;
mod pace;
mod pickup;
mod place;
mod report;
mod workers;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use windlass_core::url::without_password;

use crate::arguments::Global;
use crate::connect;
use crate::fault::Fault;
use crate::output::{Form, Output};

use self::place::Place;
use self::report::Report;

/// Ended by Ctrl-C (or asked to end), as shells count it.
const EXIT_INTERRUPTED: i32 = 130;

const EXAMPLES: &str = "\
Examples:
  windlass bench --profile enqueue
  windlass bench --profile enqueue --batch 1 --callers 100     single enqueues that share commits
  windlass bench --profile lifecycle,latency --json
  windlass bench --profile backlog --jobs 1000000 --store file:/mnt/disk/bench
";

/// Measure a store: one object per profile
///
/// Without --store on the command line it makes its stores in a temporary directory beside the current one and removes
/// them. With a file: store, they are made below that directory and left there.
#[derive(Clone, Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct BenchArgs {
    /// What to measure; several in their order
    #[arg(long = "profile", value_name = "PROFILE", required = true, value_delimiter = ',', value_enum)]
    profiles: Vec<Profile>,
    #[command(flatten)]
    scale: Scale,
    /// A step of `backlog` that runs in a process of its own
    #[arg(long, hide = true, value_enum)]
    step: Option<backlog::ChildStep>,
}

/// How much of a profile's load.
#[derive(Clone, Copy, Debug, Args)]
struct Scale {
    /// Jobs (enqueue 2,000,000; workers 1,000,000; backlog and burst 18,000,000; groups 100,000; held 1,000,000)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    jobs: Option<u64>,
    /// Jobs in one call (100; preloads use 1,000)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    batch: Option<u64>,
    /// Tasks that call at the same time (2)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    callers: Option<u64>,
    /// Enqueues per second where a profile is paced (latency 2,000; burst 100,000)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    rate: Option<u64>,
    /// How long, where a profile goes by time (lifecycle and mix 60; latency 20; groups and held 20)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
}

impl Scale {
    fn batch_or(&self, default: usize) -> usize {
        self.batch.and_then(|n| usize::try_from(n).ok()).unwrap_or(default)
    }

    fn callers_or(&self, default: usize) -> usize {
        self.callers.and_then(|n| usize::try_from(n).ok()).unwrap_or(default)
    }
}

/// The loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Profile {
    /// Enqueues back to back
    Enqueue,
    /// Enqueue, claim and complete in a steady mix, with retention at work
    Lifecycle,
    /// Producers and a worker side by side, concurrency 100, with retention at work
    Mix,
    /// Preloaded no-op jobs through the worker runtime, concurrency 100
    Workers,
    /// From the start of an enqueue to the start of its handler, at an even rate
    Latency,
    /// Millions of waiting jobs: memory, reopening after kill -9, speed on top
    Backlog,
    /// Speed with 10,000 groups that have backlog, against one
    Groups,
    /// Speed beside a million jobs that closed limits hold back, against an empty store
    Held,
    /// A flash sale: far more comes in than is drained, then the rest is drained
    Burst,
}

/// Runs the profiles.
pub(crate) async fn run(global: &Global, out: &Output, args: BenchArgs) -> Result<(), Fault> {
    if let Some(step) = args.step {
        return backlog::child(&global.store, step, args.scale).await;
    }
    // Listening begins before there is anything to clean up.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let place = Place::new(global.store_is_explicit.then_some(global.store.as_str()))?;
    let result = tokio::select! {
        result = all(&place, out, &args) => result,
        _ = async { tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} } } => {
            // The engine's threads may be in the middle of anything; its files go, and the process with it.
            leave(&place, out).await;
            std::process::exit(EXIT_INTERRUPTED);
        }
    };
    leave(&place, out).await;
    result
}

/// Removes what the benchmark has made, and says what it could not.
async fn leave(place: &Place, out: &Output) {
    for store in place.remove().await {
        out.warn(&format!(
            "{} may be left on the server, which does not answer; later: {}",
            without_password(&store),
            connect::on_made_store("windlass erase", &store)
        ));
    }
}

async fn all(place: &Place, out: &Output, args: &BenchArgs) -> Result<(), Fault> {
    let mut reports: Vec<Report> = Vec::new();
    for profile in &args.profiles {
        let scale = args.scale;
        let report = match profile {
            Profile::Enqueue => enqueue::run(place, out, scale).await?,
            Profile::Lifecycle => lifecycle::run(place, out, scale).await?,
            Profile::Mix => mix::run(place, out, scale).await?,
            Profile::Workers => workers::run(place, out, scale).await?,
            Profile::Latency => pickup::run(place, out, scale).await?,
            Profile::Backlog => backlog::run(place, out, scale).await?,
            Profile::Groups => contended::groups(place, out, scale).await?,
            Profile::Held => contended::held(place, out, scale).await?,
            Profile::Burst => burst::run(place, out, scale).await?,
        };
        match out.form {
            // A profile takes minutes: who reads JSON gets each object when it is there.
            Form::Json | Form::Plain => out.list(&[report])?,
            Form::Human => reports.push(report),
        }
    }
    reports.iter().try_for_each(|report| {
        out.record(report)?;
        out.line("")
    })
}
