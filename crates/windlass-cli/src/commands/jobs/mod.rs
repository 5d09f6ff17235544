//! `windlass jobs`: list, inspect and change jobs.

mod change;
mod filter;
mod look;

use clap::Subcommand;
use windlass_core::JobId;

use crate::arguments::Global;
use crate::commands::closing;
use crate::connect::{self, Intent};
use crate::fault::Fault;
use crate::output::Output;

/// The verbs of `jobs`.
#[derive(Debug, Subcommand)]
pub(crate) enum JobsCommand {
    Ls(look::LsArgs),
    /// Everything about one job: payload, attempts with their errors, limits, parents
    #[command(before_help = "Examples:\n  windlass jobs get 0199a6f0-4c00-7000-8000-000000000001\n")]
    Get {
        /// The job
        id: JobId,
    },
    /// Why a job is not running, and when that may change
    #[command(before_help = "Examples:\n  windlass jobs why 0199a6f0-4c00-7000-8000-000000000001\n")]
    Why {
        /// The job
        id: JobId,
    },
    Logs(look::LogsArgs),
    /// Start ended jobs again; failures and losses count from 0
    ///
    /// With a filter that names no state, dead jobs.
    #[command(
        before_help = "Examples:\n  windlass jobs retry ID\n  windlass jobs retry --queue email --fingerprint 760747f1b781ac7a --yes\n"
    )]
    Retry(change::ChangeArgs),
    /// Cancel live jobs; running ones are asked to stop
    ///
    /// With a filter that names no state, every live job it matches.
    #[command(
        before_help = "Examples:\n  windlass jobs cancel ID\n  windlass jobs cancel --group campaign-7 --dry-run\n"
    )]
    Cancel(change::ChangeArgs),
    /// Make waiting jobs due now
    ///
    /// With a filter that names no state, scheduled and retrying jobs.
    #[command(
        before_help = "Examples:\n  windlass jobs run-now ID\n  windlass jobs run-now --queue email --state retrying\n"
    )]
    RunNow(change::ChangeArgs),
    Edit(change::EditArgs),
    /// Remove ended jobs for good
    ///
    /// With a filter that names no state, completed, dead and cancelled jobs.
    #[command(
        before_help = "Examples:\n  windlass jobs delete ID\n  windlass jobs delete --queue email --state dead --before 7d\n"
    )]
    Delete(change::ChangeArgs),
}

/// Runs the verb.
pub(crate) async fn run(global: &Global, out: &Output, command: JobsCommand) -> Result<(), Fault> {
    // Nonsense is told before anything is opened.
    let change = match &command {
        JobsCommand::Retry(args)
        | JobsCommand::Cancel(args)
        | JobsCommand::RunNow(args)
        | JobsCommand::Delete(args) => args.check(),
        JobsCommand::Edit(args) => args.check(),
        _ => Ok(()),
    };
    change?;
    let open = connect::open(global, Intent::Look).await?;
    let store = open.store();
    let result = match command {
        JobsCommand::Ls(args) => look::ls(store, out, args).await,
        JobsCommand::Get { id } => look::get(store, out, id).await,
        JobsCommand::Why { id } => look::why(store, out, id).await,
        JobsCommand::Logs(args) => look::logs(store, out, args).await,
        JobsCommand::Retry(args) => change::run(store, out, change::Verb::Retry, args).await,
        JobsCommand::Cancel(args) => change::run(store, out, change::Verb::Cancel, args).await,
        JobsCommand::RunNow(args) => change::run(store, out, change::Verb::RunNow, args).await,
        JobsCommand::Edit(args) => args.run(store, out).await,
        JobsCommand::Delete(args) => change::run(store, out, change::Verb::Delete, args).await,
    };
    closing(open, result).await
}
