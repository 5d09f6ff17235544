//! `windlass errors`: the ways in which jobs fail, most dead first.

use clap::Args;
use windlass_api::event::FailureModeShape;
use windlass_core::QueueName;

use crate::arguments::Global;
use crate::commands::closing;
use crate::connect::{self, Intent};
use crate::fault::Fault;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  windlass errors
  windlass errors --queue email
  windlass jobs retry --fingerprint HEX     once that mode is repaired
";

/// Failure modes: jobs that failed the same way, counted together
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct ErrorsArgs {
    /// Only of this queue
    #[arg(long, value_name = "QUEUE")]
    queue: Option<QueueName>,
    /// Modes shown at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, out: &Output, args: ErrorsArgs) -> Result<(), Fault> {
    let open = connect::open(global, Intent::Look).await?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let result = match open.store().errors(args.queue, limit).await {
        Ok(modes) => {
            let modes: Vec<FailureModeShape> = modes.into_iter().map(FailureModeShape::from).collect();
            if modes.is_empty() {
                out.hint("nothing has failed");
            }
            out.list(&modes)
        }
        Err(error) => Err(error.into()),
    };
    closing(open, result).await
}
