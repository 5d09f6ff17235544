//! `windlass limits`: named limits that jobs of any queue share.

use clap::{Args, Subcommand};
use indicatif::HumanCount;
use serde::Serialize;
use windlass_api::queue::LimitShape;
use windlass_core::LimitName;
use windlass_core::bounds::PAGE_MAX;
use windlass_core::limit::LimitSettings;
use windlass_core::rate::Rate;
use windlass_core::store::{LimitInfo, Store};

use crate::arguments::Global;
use crate::commands::closing;
use crate::connect::{self, Intent};
use crate::fault::Fault;
use crate::output::Output;
use crate::output::shape::queue::limits_text;
use crate::values::rate::Maybe;

/// The verbs of `limits`.
#[derive(Debug, Subcommand)]
pub(crate) enum LimitsCommand {
    /// List named limits
    #[command(before_help = "Examples:\n  windlass limits ls\n")]
    Ls {
        /// Limits shown at most
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        limit: u64,
        /// Only limits after this name
        #[arg(long, value_name = "NAME")]
        after: Option<LimitName>,
    },
    /// One limit: its settings and what holds it
    #[command(before_help = "Examples:\n  windlass limits show twilio\n")]
    Show {
        /// The limit
        name: LimitName,
    },
    Set(SetArgs),
    /// Remove a limit; jobs that name it run without it
    #[command(before_help = "Examples:\n  windlass limits rm twilio\n")]
    Rm {
        /// The limit
        name: LimitName,
    },
}

/// Create a limit or change it, in force at once; what is not named stays
#[derive(Debug, Args)]
#[command(
    before_help = "Examples:\n  windlass limits set twilio --concurrency 10 --rate 1/s,burst=5\n  windlass limits set twilio --rate none\n"
)]
pub(crate) struct SetArgs {
    /// The limit
    name: LimitName,
    #[command(flatten)]
    change: Change,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Change {
    /// The sum of costs running at once, or `none`; 0 closes it
    #[arg(long, value_name = "N|none")]
    concurrency: Option<Maybe<u32>>,
    /// The sum of costs started per time: 1/s, 100/1m,burst=20, or `none`
    #[arg(long, value_name = "RATE|none")]
    rate: Option<Maybe<Rate>>,
}

impl SetArgs {
    /// The settings as they shall be.
    pub(crate) fn settings(self, old: LimitSettings) -> LimitSettings {
        LimitSettings {
            concurrency: self.change.concurrency.map_or(old.concurrency, |maybe| maybe.0),
            rate: self.change.rate.map_or(old.rate, |maybe| maybe.0),
        }
    }
}

/// The answer to `set` and `rm`.
#[derive(Serialize)]
struct Changed {
    limit: LimitName,
    settings: Option<LimitSettings>,
}

/// Runs the verb.
pub(crate) async fn run(global: &Global, out: &Output, command: LimitsCommand) -> Result<(), Fault> {
    let intent = if matches!(command, LimitsCommand::Set(_)) { Intent::Put } else { Intent::Look };
    let open = connect::open(global, intent).await?;
    let store = open.store().as_ref();
    let result = match command {
        LimitsCommand::Ls { limit, after } => ls(store, out, limit, after).await,
        LimitsCommand::Show { name } => show(store, out, name).await,
        LimitsCommand::Set(args) => set(store, out, args).await,
        LimitsCommand::Rm { name } => rm(store, out, name).await,
    };
    closing(open, result).await
}

async fn ls(store: &dyn Store, out: &Output, limit: u64, mut after: Option<LimitName>) -> Result<(), Fault> {
    let mut rows: Vec<LimitShape> = Vec::new();
    loop {
        let want = usize::try_from(limit).unwrap_or(PAGE_MAX).saturating_sub(rows.len()).min(PAGE_MAX);
        let page = store.limits(after, want).await?;
        after = page.items.last().map(|info| info.name.clone());
        let more = page.next.is_some() && after.is_some();
        rows.extend(page.items.into_iter().map(LimitShape::from));
        if !more || rows.len() as u64 >= limit {
            out.list(&rows)?;
            if let (true, Some(after)) = (more, after) {
                out.say(&format!("{} shown; go on with --after {after}", HumanCount(rows.len() as u64)));
            }
            return Ok(());
        }
    }
}

async fn show(store: &dyn Store, out: &Output, name: LimitName) -> Result<(), Fault> {
    let info = find(store, &name).await?.ok_or_else(|| unknown(&name))?;
    out.record(&LimitShape::from(info))
}

fn unknown(name: &LimitName) -> Fault {
    Fault::not_found(format!("limit {name}")).proposing("what is there:", "windlass limits ls")
}

/// The limit, found by walking the names: there is no verb for one.
pub(crate) async fn find(store: &dyn Store, name: &LimitName) -> Result<Option<LimitInfo>, Fault> {
    let mut after = None;
    loop {
        let page = store.limits(after, PAGE_MAX).await?;
        after = page.items.last().map(|info| info.name.clone());
        let past = after.as_ref().is_some_and(|after| after >= name);
        let found = page.items.into_iter().find(|info| info.name == *name);
        if found.is_some() || past || page.next.is_none() {
            return Ok(found);
        }
    }
}

async fn set(store: &dyn Store, out: &Output, args: SetArgs) -> Result<(), Fault> {
    let name = args.name.clone();
    let settings = args.settings(find(store, &name).await?.map(|info| info.settings).unwrap_or_default());
    store.set_limit(name.clone(), Some(settings), None).await?.map_err(Fault::from)?;
    let told = limits_text(&settings);
    let sentence = format!("limit {name}: {told}");
    out.done(&Changed { limit: name.clone(), settings: Some(settings) }, &sentence, &[name.as_str(), &told])
}

async fn rm(store: &dyn Store, out: &Output, name: LimitName) -> Result<(), Fault> {
    if find(store, &name).await?.is_none() {
        return Err(unknown(&name));
    }
    store.set_limit(name.clone(), None, None).await?.map_err(Fault::from)?;
    let sentence = format!("limit {name} is gone: jobs that name it run without it");
    out.done(&Changed { limit: name.clone(), settings: None }, &sentence, &[name.as_str(), "removed"])
}
