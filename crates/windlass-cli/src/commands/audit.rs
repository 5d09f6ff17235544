//! `windlass audit`: who changed what, newest first.

use clap::Args;
use serde::Deserialize;
use windlass_api::audit::AuditRecord;
use windlass_core::bounds::PAGE_MAX;

use crate::arguments::Global;
use crate::commands::closing;
use crate::connect::{self, Intent};
use crate::fault::Fault;
use crate::output::Output;

/// Who changed what: each call to a server that operated or administered, newest first
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  windlass audit\n  windlass audit --limit 1000 --json\n")]
pub(crate) struct AuditArgs {
    /// Records shown at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Only records before this place, as the last list told it
    #[arg(long, value_name = "PLACE")]
    before: Option<u64>,
}

#[derive(Deserialize)]
struct Records {
    items: Vec<AuditRecord>,
    next: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, out: &Output, args: AuditArgs) -> Result<(), Fault> {
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let (records, next) = match connect::server(global).await? {
        Some(server) => {
            let (mut all, mut before) = (Vec::new(), args.before);
            loop {
                let page = (limit - all.len()).min(PAGE_MAX);
                let place = before.map_or_else(String::new, |before| format!("&before={before}"));
                let path = format!("/v1/audit?limit={page}{place}");
                let Records { items, next } = server.beside("audit", "GET", &path, None::<&()>).await??;
                all.extend(items);
                before = next.and_then(|next| next.parse().ok());
                if before.is_none() || all.len() >= limit {
                    break (all, before);
                }
            }
        }
        None => {
            let open = connect::open(global, Intent::Look).await?;
            let read = windlass_server::audit::records(open.store().as_ref(), args.before, limit).await;
            closing(open, read.map_err(Fault::from)).await?
        }
    };
    out.list(&records)?;
    if let Some(next) = next {
        out.say(&format!("go on with --before {next}"));
    }
    Ok(())
}
