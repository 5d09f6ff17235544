//! `windlass events`: what happened to every job, and what happens now.
//!
//! Who follows the log keeps his place while the server is away: [`Reader`] asks again until it answers, and goes on behind
//! the last event.

use std::time::Duration;

use clap::Args;
use windlass_api::event::EventShape;
use windlass_core::event::Cursor;
use windlass_core::store::{EventPage, From as Start, Store};
use windlass_core::{QueueName, Rejection, StoreError};

use crate::arguments::Global;
use crate::commands::closing;
use crate::connect::{self, Intent};
use crate::fault::Fault;
use crate::output::shape::event;
use crate::output::{Form, Output, escape};

/// Events read at once.
const PAGE: usize = 1_000;
/// How long one wait for the next event lasts; a signal ends the process at once in any case.
const WAIT_MS: u64 = 30_000;
/// The pause before a server that does not answer is asked again, doubled each time up to the second.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "\
Examples:
  windlass events                           what is kept, oldest first
  windlass events -f --queue email          what happens from now on
  windlass events --from CURSOR --json      go on where another reader stopped
";

/// Print the event log: every transition of every job
///
/// With --follow it outlives its server: it asks again until the server is back, and goes on behind the last event.
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
    let mut reader =
        Reader { store, out, follow: args.follow, from: args.from.unwrap_or(default), begun: false };
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut gap_told = false;
    while left > 0 {
        let before = reader.from;
        let page = reader.next().await?;
        if page.gap && !gap_told {
            out.say(
                "events between the cursor and here are gone: retention passed them, or the server lost them",
            );
        }
        // An emptied log may say so again until something is in it.
        gap_told = page.events.is_empty() && (page.gap || gap_told);
        // A stretch of the log without an event is no end: the place moves on behind it.
        let end = page.events.is_empty() && before == Start::After(page.next);
        let wanted = |queue: &QueueName| args.queue.as_ref().is_none_or(|only| only == queue);
        let events = page.events.into_iter().filter(|event| wanted(&event.queue));
        let events: Vec<EventShape> =
            events.take(usize::try_from(left).unwrap_or(PAGE)).map(EventShape::from).collect();
        left -= events.len() as u64;
        match out.form {
            Form::Human => {
                events.iter().try_for_each(|event| out.line(&escape::line(&event::line(event))))?
            }
            Form::Plain | Form::Json => out.list(&events)?,
        }
        if end && !args.follow {
            break;
        }
    }
    Ok(())
}

/// A place in the log.
struct Reader<'a> {
    store: &'a dyn Store,
    out: &'a Output,
    follow: bool,
    from: Start,
    /// A page has been read, so the place is one that the store gave.
    begun: bool,
}

impl Reader<'_> {
    /// The next page; who follows waits for it, and for a server that is away.
    async fn next(&mut self) -> Result<EventPage, Fault> {
        loop {
            let page = match self.ask().await {
                Err(away) if self.follow && self.begun && away.retryable => {
                    self.wait_for_answer(&away).await?
                }
                answer => answer?,
            };
            match page {
                Ok(page) => {
                    (self.from, self.begun) = (Start::After(page.next), true);
                    return Ok(page);
                }
                Err(Rejection::BadCursor) if self.follow && self.begun => {
                    self.out.warn(
                        "the store no longer knows this place: it has lost events; going on with what happens from now on",
                    );
                    (self.from, self.begun) = (Start::Latest, false);
                }
                Err(Rejection::BadCursor) => {
                    return Err(Fault::from(Rejection::BadCursor).next("begin anew: --from earliest"));
                }
                Err(other) => return Err(other.into()),
            }
        }
    }

    async fn ask(&self) -> Result<Result<EventPage, Rejection>, StoreError> {
        // The first look only finds the place: `latest` must mean the same before and after a server was away.
        let wait_ms = if self.follow && self.begun { WAIT_MS } else { 0 };
        self.store.events(self.from, PAGE, wait_ms).await
    }

    /// Asks until there is an answer, and says so.
    async fn wait_for_answer(&self, away: &StoreError) -> Result<Result<EventPage, Rejection>, Fault> {
        self.out.warn(&format!("{away}; asking again until the store answers"));
        let mut pause = PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
            // What is there is asked for without waiting, so that it is told at once that the store is back.
            match self.store.events(self.from, PAGE, 0).await {
                Err(still) if still.retryable => {}
                answer => {
                    let answer = answer?;
                    self.out.say("the store answers again; going on behind the last event");
                    return Ok(answer);
                }
            }
        }
    }
}
