//! `windlass groups`: who shares a queue, and on what terms.

use clap::{Args, Subcommand};
use indicatif::HumanCount;
use serde::Serialize;
use windlass_api::queue::GroupShape;
use windlass_core::bounds::PAGE_MAX;
use windlass_core::queue::{GroupSettings, OnHeadDeath};
use windlass_core::rate::Rate;
use windlass_core::store::{GroupInfo, Store};
use windlass_core::{GroupKey, QueueName};

use super::queues;
use crate::arguments::Global;
use crate::commands::closing;
use crate::connect::{self, Intent};
use crate::fault::Fault;
use crate::output::Output;
use crate::output::shape::queue::limits_text;
use crate::values::rate::Maybe;

/// The verbs of `groups`.
#[derive(Debug, Subcommand)]
pub(crate) enum GroupsCommand {
    /// List a queue's groups by key
    #[command(
        before_help = "Examples:\n  windlass groups ls email\n  windlass groups ls email --limit 1000 --json\n"
    )]
    Ls {
        /// The queue
        queue: QueueName,
        /// Groups shown at most
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        limit: u64,
        /// Only groups after this key
        #[arg(long, value_name = "KEY")]
        after: Option<GroupKey>,
    },
    Set(SetArgs),
}

const SET_EXAMPLES: &str = "\
Examples:
  windlass groups set email campaign-7 --weight 10
  windlass groups set email campaign-7 --concurrency 5 --rate 10/s
  windlass groups set email campaign-7 --defaults
  windlass groups set email --weight 2                    jobs without a group
";

/// Change a group's settings, in force at once; what is not named stays
#[derive(Debug, Args)]
#[command(before_help = SET_EXAMPLES)]
pub(crate) struct SetArgs {
    /// The queue
    queue: QueueName,
    /// The group; left out: the group of all jobs without one
    key: Option<GroupKey>,
    #[command(flatten)]
    change: Change,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Change {
    /// Share of the queue against its other groups, 1 to 1000
    #[arg(long, value_name = "N")]
    weight: Option<u16>,
    /// Jobs running at once, or `none`
    #[arg(long, value_name = "N|none")]
    concurrency: Option<Maybe<u32>>,
    /// Starts per time: 100/1m, 10/s,burst=20, or `none`
    #[arg(long, value_name = "RATE|none")]
    rate: Option<Maybe<Rate>>,
    /// Whether its jobs go one at a time, in order
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    ordered: Option<bool>,
    /// What the death of its head does when it is ordered: block or park
    #[arg(long, value_name = "WHAT", value_parser = queues::on_head_death)]
    on_head_death: Option<OnHeadDeath>,
    /// The queue's defaults again
    #[arg(long, conflicts_with_all = ["weight", "concurrency", "rate", "ordered", "on_head_death"])]
    defaults: bool,
}

/// The answer to `set`; no settings means the queue's defaults.
#[derive(Serialize)]
struct Changed {
    queue: QueueName,
    group: Option<GroupKey>,
    settings: Option<GroupSettings>,
}

/// Runs the verb.
pub(crate) async fn run(global: &Global, out: &Output, command: GroupsCommand) -> Result<(), Fault> {
    let open = connect::open(global, Intent::Look).await?;
    let store = open.store().as_ref();
    let result = match command {
        GroupsCommand::Ls { queue, limit, after } => ls(store, out, queue, limit, after).await,
        GroupsCommand::Set(args) => set(store, out, args).await,
    };
    closing(open, result).await
}

async fn ls(
    store: &dyn Store,
    out: &Output,
    queue: QueueName,
    limit: u64,
    mut after: Option<GroupKey>,
) -> Result<(), Fault> {
    queues::find(store, &queue).await?;
    let mut rows: Vec<GroupShape> = Vec::new();
    loop {
        let want = usize::try_from(limit).unwrap_or(PAGE_MAX).saturating_sub(rows.len()).min(PAGE_MAX);
        let page = store.groups(queue.clone(), after, want).await?;
        after = page.items.iter().rev().find_map(|group| group.key.clone());
        let more = page.next.is_some() && after.is_some();
        rows.extend(page.items.into_iter().map(GroupShape::from));
        if !more || rows.len() as u64 >= limit {
            out.list(&rows)?;
            if let (true, Some(after)) = (more, after) {
                out.say(&format!("{} shown; go on with --after '{after}'", HumanCount(rows.len() as u64)));
            }
            return Ok(());
        }
    }
}

async fn set(store: &dyn Store, out: &Output, args: SetArgs) -> Result<(), Fault> {
    let SetArgs { queue, key, change } = args;
    let defaults = queues::find(store, &queue).await?.settings.groups;
    let name = key.as_ref().map_or_else(|| "without a key".to_owned(), ToString::to_string);
    let settings = if change.defaults {
        None
    } else {
        let known = current(store, &queue, key.as_ref()).await?.map(|info| info.settings);
        let mut settings = known.unwrap_or(defaults);
        settings.weight = change.weight.unwrap_or(settings.weight);
        settings.limits.concurrency = change.concurrency.map_or(settings.limits.concurrency, |maybe| maybe.0);
        settings.limits.rate = change.rate.map_or(settings.limits.rate, |maybe| maybe.0);
        settings.ordered = change.ordered.unwrap_or(settings.ordered);
        settings.on_head_death = change.on_head_death.unwrap_or(settings.on_head_death);
        Some(settings)
    };
    store.set_group(queue.clone(), key.clone(), settings, None).await?.map_err(Fault::from)?;
    let told = match &settings {
        None => "the queue's defaults".to_owned(),
        Some(settings) => {
            let order = if settings.ordered { ", ordered" } else { "" };
            format!("weight {}, {}{order}", settings.weight, limits_text(&settings.limits))
        }
    };
    let sentence = format!("group {name} of {queue}: {told}");
    let is_own = settings.is_some();
    let key_text = key.as_ref().map_or("-", GroupKey::as_str).to_owned();
    out.done(
        &Changed { queue: queue.clone(), group: key, settings },
        &sentence,
        &[queue.as_str(), &key_text, &told],
    )?;
    if is_own {
        out.hint("all of these are the group's own: what the queue's groups get later passes it by, until --defaults");
    }
    Ok(())
}

/// The group as it is now. There is no verb for one group: this walks the pages, which are ordered by key, until it
/// has found the group or is past its place.
async fn current(
    store: &dyn Store,
    queue: &QueueName,
    key: Option<&GroupKey>,
) -> Result<Option<GroupInfo>, Fault> {
    let mut after = None;
    loop {
        let page = store.groups(queue.clone(), after, PAGE_MAX).await?;
        after = page.items.iter().rev().find_map(|group| group.key.clone());
        let past = after.as_ref().is_some_and(|after| key.is_some_and(|key| after >= key));
        let found = page.items.into_iter().find(|group| group.key.as_ref() == key);
        if found.is_some() || past || page.next.is_none() || after.is_none() {
            return Ok(found);
        }
    }
}
