//! `windlass queues`: what is in them, and their settings, changed live.

use clap::{Args, Subcommand};
use serde::Serialize;
use windlass_api::queue::QueueShape;
use windlass_core::QueueName;
use windlass_core::queue::{OnHeadDeath, QueueSettings};
use windlass_core::rate::Rate;
use windlass_core::store::{QueueInfo, Store};

use crate::arguments::Global;
use crate::commands::closing;
use crate::commands::targets::{self, TargetCommand};
use crate::connect::{self, Intent};
use crate::fault::Fault;
use crate::output::Output;
use crate::output::shape::queue::settings_fields;
use crate::values::rate::Maybe;
use crate::values::retention::Keep;
use crate::values::retry::Policy;
use crate::values::span::Span;

/// The verbs of `queues`.
#[derive(Debug, Subcommand)]
pub(crate) enum QueuesCommand {
    /// List all queues with their jobs by state
    #[command(
        before_help = "Examples:\n  windlass queues ls\n  windlass queues ls --json | jq 'select(.jobs.dead > 0)'\n"
    )]
    Ls,
    /// Everything about one queue: counts, times, settings
    #[command(before_help = "Examples:\n  windlass queues show email\n")]
    Show {
        /// The queue
        queue: QueueName,
    },
    Set(Box<SetArgs>),
    /// Have the server send a queue's jobs to an address, and say where
    #[command(subcommand)]
    Target(TargetCommand),
    /// Claim nothing more from a queue; running jobs go on
    #[command(before_help = "Examples:\n  windlass queues pause email\n")]
    Pause {
        /// The queue
        queue: QueueName,
    },
    /// Claim from a paused queue again
    #[command(before_help = "Examples:\n  windlass queues resume email\n")]
    Resume {
        /// The queue
        queue: QueueName,
    },
}

const SET_EXAMPLES: &str = "\
Examples:
  windlass queues set email --concurrency 30 --rate 100/1m,burst=20
  windlass queues set email --retry 'exponential(base=5s,cap=30m,max=12)' --keep-completed 1h
  windlass queues set campaign --ordered --on-head-death park
  windlass queues set email --concurrency none
";

/// Change a queue's settings, in force at once; what is not named stays
#[derive(Debug, Args)]
#[command(before_help = SET_EXAMPLES)]
pub(crate) struct SetArgs {
    /// The queue; it need not exist yet
    queue: QueueName,
    #[command(flatten)]
    change: Change,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Change {
    /// Jobs running at once over all workers, or `none`
    #[arg(long, value_name = "N|none")]
    concurrency: Option<Maybe<u32>>,
    /// Starts per time: 100/1m, 100/1m,burst=20, or `none`
    #[arg(long, value_name = "RATE|none")]
    rate: Option<Maybe<Rate>>,
    /// How long a claim holds without a heartbeat
    #[arg(long, value_name = "SPAN")]
    lease: Option<Span>,
    /// Retry policy of jobs that bring none
    #[arg(long, value_name = "POLICY")]
    retry: Option<Policy>,
    /// Waiting jobs above which enqueues are refused, or `none`
    #[arg(long, value_name = "N|none")]
    max_waiting: Option<Maybe<u64>>,
    /// Keep completed jobs by age (1h), count (10000), both (1h,10000) or `forever`
    #[arg(long, value_name = "KEEP")]
    keep_completed: Option<Keep>,
    /// Keep cancelled jobs, likewise
    #[arg(long, value_name = "KEEP")]
    keep_cancelled: Option<Keep>,
    /// Keep dead jobs, likewise
    #[arg(long, value_name = "KEEP")]
    keep_dead: Option<Keep>,
    /// Default weight of its groups, 1 to 1000
    #[arg(long, value_name = "N")]
    group_weight: Option<u16>,
    /// Default concurrency of each of its groups, or `none`
    #[arg(long, value_name = "N|none")]
    group_concurrency: Option<Maybe<u32>>,
    /// Default rate of each of its groups, or `none`
    #[arg(long, value_name = "RATE|none")]
    group_rate: Option<Maybe<Rate>>,
    /// Whether its groups go one job at a time, in order
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    ordered: Option<bool>,
    /// What the death of an ordered group's head does: block or park
    #[arg(long, value_name = "WHAT", value_parser = on_head_death)]
    on_head_death: Option<OnHeadDeath>,
}

impl SetArgs {
    /// The settings as they shall be.
    pub(crate) fn settings(self, mut settings: QueueSettings) -> QueueSettings {
        self.change.apply(&mut settings);
        settings
    }
}

/// Reads what a dead head does.
pub(crate) fn on_head_death(text: &str) -> Result<OnHeadDeath, String> {
    match text {
        "block" => Ok(OnHeadDeath::Block),
        "park" => Ok(OnHeadDeath::Park),
        _ => Err(format!("{text:?} is neither `block` nor `park`")),
    }
}

impl Change {
    fn apply(self, settings: &mut QueueSettings) {
        let set = |to: &mut Option<u32>, from: Option<Maybe<u32>>| *to = from.map_or(*to, |maybe| maybe.0);
        let set_rate =
            |to: &mut Option<Rate>, from: Option<Maybe<Rate>>| *to = from.map_or(*to, |maybe| maybe.0);
        set(&mut settings.limits.concurrency, self.concurrency);
        set_rate(&mut settings.limits.rate, self.rate);
        settings.lease_ms = self.lease.map_or(settings.lease_ms, |span| span.ms);
        if let Some(policy) = self.retry {
            settings.retry = policy.0;
        }
        settings.max_waiting = self.max_waiting.map_or(settings.max_waiting, |maybe| maybe.0);
        let keep = &mut settings.retention;
        let unchanged = Keep { age_ms: None, count: None };
        self.keep_completed.unwrap_or(unchanged).apply(&mut keep.completed_ms, &mut keep.completed_count);
        self.keep_cancelled.unwrap_or(unchanged).apply(&mut keep.cancelled_ms, &mut keep.cancelled_count);
        self.keep_dead.unwrap_or(unchanged).apply(&mut keep.dead_ms, &mut keep.dead_count);
        let groups = &mut settings.groups;
        groups.weight = self.group_weight.unwrap_or(groups.weight);
        set(&mut groups.limits.concurrency, self.group_concurrency);
        set_rate(&mut groups.limits.rate, self.group_rate);
        groups.ordered = self.ordered.unwrap_or(groups.ordered);
        groups.on_head_death = self.on_head_death.unwrap_or(groups.on_head_death);
    }
}

/// The answer to `set`, `pause` and `resume`.
#[derive(Serialize)]
struct Changed {
    queue: QueueName,
    settings: QueueSettings,
}

/// Runs the verb.
pub(crate) async fn run(global: &Global, out: &Output, command: QueuesCommand) -> Result<(), Fault> {
    let puts = matches!(command, QueuesCommand::Set(_) | QueuesCommand::Target(TargetCommand::Set(_)));
    let intent = if puts { Intent::Put } else { Intent::Look };
    let open = connect::open(global, intent).await?;
    let store = open.store().as_ref();
    let result = match command {
        QueuesCommand::Ls => ls(global, store, out).await,
        QueuesCommand::Show { queue } => show(store, out, queue).await,
        QueuesCommand::Set(args) => set(store, out, *args).await,
        QueuesCommand::Target(command) => {
            targets::run(global, open.store(), open.client().now(), out, command).await
        }
        QueuesCommand::Pause { queue } => pause(global, store, out, queue, true).await,
        QueuesCommand::Resume { queue } => pause(global, store, out, queue, false).await,
    };
    closing(open, result).await
}

async fn ls(global: &Global, store: &dyn Store, out: &Output) -> Result<(), Fault> {
    let queues: Vec<QueueShape> = store.queues(None, None).await?.into_iter().map(QueueShape::from).collect();
    if queues.is_empty() {
        let first = global.again("windlass enqueue QUEUE KIND");
        out.hint(&format!("no queues yet; the first job makes one: {first}"));
    }
    out.list(&queues)
}

async fn show(store: &dyn Store, out: &Output, queue: QueueName) -> Result<(), Fault> {
    out.record(&QueueShape::from(find(store, &queue).await?))
}

/// The queue, or the fault that it is not there.
pub(crate) async fn find(store: &dyn Store, queue: &QueueName) -> Result<QueueInfo, Fault> {
    let found = store.queues(Some(queue.clone()), None).await?.into_iter().find(|info| info.name == *queue);
    found.ok_or_else(|| {
        Fault::not_found(format!("queue {queue}")).proposing("what is there:", "windlass queues ls")
    })
}

async fn set(store: &dyn Store, out: &Output, args: SetArgs) -> Result<(), Fault> {
    let found =
        store.queues(Some(args.queue.clone()), None).await?.into_iter().find(|info| info.name == args.queue);
    let old = found.map(|info| info.settings).unwrap_or_default();
    let mut new = old.clone();
    args.change.apply(&mut new);
    store.set_queue(args.queue.clone(), new.clone(), None).await?.map_err(Fault::from)?;
    // Both lists have the same names in the same order.
    let changes: Vec<String> = settings_fields(&old)
        .into_iter()
        .zip(settings_fields(&new))
        .filter(|(old, new)| old != new)
        .map(|((name, old), (_, new))| format!("{name}: {old} -> {new}"))
        .collect();
    let changes = if changes.is_empty() { "nothing differs".to_owned() } else { changes.join("; ") };
    let sentence = format!("queue {}: {changes}", args.queue);
    out.done(
        &Changed { queue: args.queue.clone(), settings: new },
        &sentence,
        &[args.queue.as_str(), &changes],
    )
}

async fn pause(
    global: &Global,
    store: &dyn Store,
    out: &Output,
    queue: QueueName,
    paused: bool,
) -> Result<(), Fault> {
    let mut settings = find(store, &queue).await?.settings;
    store.pause(queue.clone(), paused, None).await?.map_err(Fault::from)?;
    settings.paused = paused;
    let word = if paused { "paused" } else { "open" };
    let sentence = if paused {
        format!("queue {queue} is paused: nothing more is claimed, running jobs go on")
    } else {
        format!("queue {queue} is open")
    };
    out.done(&Changed { queue: queue.clone(), settings }, &sentence, &[queue.as_str(), word])?;
    if paused {
        out.hint(&format!("go on with: {}", global.again(&format!("windlass queues resume {queue}"))));
    }
    Ok(())
}
