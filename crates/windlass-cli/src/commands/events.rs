//! `windlass events`: what happened to every job, and what happens now.

use clap::Args;
use windlass_core::QueueName;
use windlass_core::event::Cursor;
use windlass_core::store::{From as Start, Store};

use crate::arguments::Global;
use crate::commands::closing;
use crate::connect::{self, Intent};
use crate::fault::Fault;
use crate::output::shape::event::EventShape;
use crate::output::{Form, Output, escape};

/// Events read at once.
const PAGE: usize = 1_000;
/// How long one wait for the next event lasts; a signal ends the process at once in any case.
const WAIT_MS: u64 = 30_000;

const EXAMPLES: &str = "\
Examples:
  windlass events                           what is kept, oldest first
  windlass events -f --queue email          what happens from now on
  windlass events --from CURSOR --json      go on where another reader stopped
";

/// Print the event log: every transition of every job
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct EventsArgs {
    /// Go on with what happens from now on (from the latest, unless --from says otherwise)
    #[arg(short, long)]
    follow: bool,
    /// Where to begin: earliest, latest, or an event's cursor
    #[arg(long, value_name = "PLACE", value_parser = start)]
    from: Option<Start>,
    /// Only of this queue
    #[arg(long, value_name = "QUEUE")]
    queue: Option<QueueName>,
    /// Stop after so many events
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

fn start(text: &str) -> Result<Start, String> {
    match text {
        "earliest" => Ok(Start::Earliest),
        "latest" => Ok(Start::Latest),
        _ => text
            .parse::<Cursor>()
            .map(Start::After)
            .map_err(|_| format!("{text:?} is none of earliest, latest, or the cursor of an event")),
    }
}

/// Runs the command.
pub(crate) async fn run(global: &Global, out: &Output, args: EventsArgs) -> Result<(), Fault> {
    let open = connect::open(global, Intent::Look).await?;
    let result = print(open.store().as_ref(), out, args).await;
    closing(open, result).await
}

async fn print(store: &dyn Store, out: &Output, args: EventsArgs) -> Result<(), Fault> {
    let default = if args.follow { Start::Latest } else { Start::Earliest };
    let mut from = args.from.unwrap_or(default);
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let wait_ms = if args.follow { WAIT_MS } else { 0 };
        let page = store.events(from, PAGE, wait_ms).await?.map_err(Fault::from)?;
        if page.gap {
            out.say("events between the cursor and here were trimmed: retention passed it");
        }
        // A stretch of the log without an event is no end: the place moves on behind it.
        let end = page.events.is_empty() && from == Start::After(page.next);
        let wanted = |queue: &QueueName| args.queue.as_ref().is_none_or(|only| only == queue);
        let events = page.events.into_iter().filter(|event| wanted(&event.queue));
        let events: Vec<EventShape> =
            events.take(usize::try_from(left).unwrap_or(PAGE)).map(EventShape::from).collect();
        left -= events.len() as u64;
        match out.form {
            Form::Human => events.iter().try_for_each(|event| out.line(&escape::line(&event.line())))?,
            Form::Plain | Form::Json => out.list(&events)?,
        }
        if end && !args.follow {
            break;
        }
        from = Start::After(page.next);
    }
    Ok(())
}
