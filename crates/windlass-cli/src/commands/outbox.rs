//! `windlass outbox`: jobs that were enqueued in a database transaction, on their way to the queue.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use indicatif::HumanCount;
use serde::Serialize;
use tokio::sync::watch;
use windlass_core::StoreError;
use windlass_core::error::Outcome;
use windlass_outbox::postgres::{self, PostgresOutbox};
use windlass_outbox::sqlite::{self, SqliteOutbox};
use windlass_outbox::{Outbox, Relay, RelayOptions, Relayed, Table};

use crate::arguments::Global;
use crate::commands::closing;
use crate::connect::{self, Intent};
use crate::fault::{Exit, Fault};
use crate::interrupt::interrupted;
use crate::output::Output;
use crate::output::shape::outbox::{AsideShape, StandingShape};
use crate::values::span::Span;

/// The verbs of `outbox`.
#[derive(Debug, Subcommand)]
pub(crate) enum OutboxCommand {
    /// Print the SQL that makes the outbox's tables
    #[command(
        before_help = "Examples:\n  windlass outbox schema postgres --doorbell | psql app\n  windlass outbox schema sqlite | sqlite3 app.db\n"
    )]
    Schema {
        /// For which database
        database: Database,
        #[command(flatten)]
        table: TableArg,
        /// Relay rows at once, not within a second (PostgreSQL: a trigger that notifies; SQLite needs none)
        #[arg(long)]
        doorbell: bool,
    },
    Relay(RelayArgs),
    /// How many rows wait, and which the queue has refused
    #[command(before_help = "Examples:\n  windlass outbox status --from postgres://app@localhost/app\n")]
    Status {
        #[command(flatten)]
        place: PlaceArgs,
        /// Refused rows shown at most
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
    },
    /// Put refused rows back, to be tried again with their old places
    #[command(
        before_help = "Examples:\n  windlass outbox retry --from sqlite:app.db 17 18\n  windlass outbox retry --from sqlite:app.db --all\n"
    )]
    Retry {
        #[command(flatten)]
        place: PlaceArgs,
        /// The rows
        #[arg(value_name = "SEQ", required_unless_present = "all", conflicts_with = "all")]
        rows: Vec<i64>,
        /// All that were refused
        #[arg(long)]
        all: bool,
    },
}

/// A database that an outbox can be in.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Database {
    Postgres,
    Sqlite,
}

#[derive(Debug, Args)]
pub(crate) struct TableArg {
    /// The outbox's table
    #[arg(long, value_name = "NAME", default_value = "windlass_outbox")]
    table: Table,
}

#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// The database with the outbox: postgres://USER@HOST/DATABASE or sqlite:FILE
    #[arg(long, value_name = "URL", env = "WINDLASS_OUTBOX")]
    from: String,
    #[command(flatten)]
    table: TableArg,
}

impl PlaceArgs {
    fn outbox(&self) -> Result<Box<dyn Outbox>, Fault> {
        let table = self.table.table.clone();
        if self.from.starts_with("postgres:") || self.from.starts_with("postgresql:") {
            return Ok(Box::new(
                PostgresOutbox::new(&self.from, table).map_err(|why| Fault::usage(why.to_string()))?,
            ));
        }
        match self.from.strip_prefix("sqlite:") {
            Some(path) if !path.trim_start_matches('/').is_empty() => {
                let path = path.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(path);
                Ok(Box::new(SqliteOutbox::new(path, table)))
            }
            _ => Err(Fault::usage(
                "--from names no database: write postgres://USER@HOST/DATABASE or sqlite:FILE",
            )),
        }
    }
}

const RELAY_EXAMPLES: &str = "\
Examples:
  windlass outbox relay --from postgres://app@localhost/app --store redis://localhost
  windlass outbox relay --from sqlite:app.db --store file:./data --once
";

/// Move committed rows to the queue, each as exactly one job, until it is stopped
#[derive(Debug, Args)]
#[command(before_help = RELAY_EXAMPLES)]
pub(crate) struct RelayArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// End when every row that is there was moved
    #[arg(long)]
    once: bool,
    /// Keep delivered rows aside for so long instead of deleting them
    #[arg(long, value_name = "SPAN")]
    keep: Option<Span>,
    /// Rows of a batch at most
    #[arg(long, value_name = "N", default_value_t = 999, value_parser = clap::value_parser!(u16).range(1..=999))]
    batch: u16,
}

/// Runs the verb.
pub(crate) async fn run(global: &Global, out: &Output, command: OutboxCommand) -> Result<(), Fault> {
    match command {
        OutboxCommand::Schema { database, table, doorbell } => {
            let table = table.table;
            out.text(&match database {
                Database::Postgres => postgres::schema(&table, doorbell),
                Database::Sqlite => sqlite::schema(&table),
            })
        }
        OutboxCommand::Relay(args) => relay(global, out, args).await,
        OutboxCommand::Status { place, limit } => {
            let mut outbox = place.outbox()?;
            let standing = outbox.standing().await.map_err(failed)?;
            let refused =
                if standing.refused > 0 { outbox.refused(limit).await.map_err(failed)? } else { Vec::new() };
            status(out, StandingShape::from(standing), refused.into_iter().map(AsideShape::from).collect())
        }
        OutboxCommand::Retry { place, rows, all } => {
            let moved = place.outbox()?.retry((!all).then_some(rows)).await.map_err(failed)?;
            if moved == 0 {
                return Err(Fault::not_found("a refused row of that number")
                    .next("`windlass outbox status` lists what was refused"));
            }
            let sentence = format!("{} to be tried again", counted(moved, "row"));
            out.done(&Retried { rows: moved }, &sentence, &[&moved.to_string()])
        }
    }
}

#[derive(Serialize)]
struct Retried {
    rows: u64,
}

fn status(out: &Output, standing: StandingShape, refused: Vec<AsideShape>) -> Result<(), Fault> {
    out.record(&standing)?;
    out.list(&refused)
}

fn counted(n: u64, noun: &str) -> String {
    let end = if n == 1 { "" } else { "s" };
    format!("{} {noun}{end}", HumanCount(n))
}

/// What the relay did, when it ends.
#[derive(Serialize)]
struct RelayedShape {
    rows: u64,
    known: u64,
    refused: u64,
    batches: u64,
    faults: u64,
}

async fn relay(global: &Global, out: &Output, args: RelayArgs) -> Result<(), Fault> {
    let outbox = args.place.outbox()?;
    let (stop, stopping) = watch::channel(false);
    // Listened to from the start, so that a signal during a long open is not lost.
    let interrupted = interrupted();
    let signals = tokio::spawn(async move {
        interrupted.await;
        stop.send_replace(true);
        // The sender lives until the relay has seen it.
        std::future::pending::<()>().await;
    });
    let open = connect::open(global, Intent::Put).await?;
    let keep = args.keep.map(|span| Duration::from_millis(span.ms));
    let options = RelayOptions { keep, batch_rows: usize::from(args.batch) };
    let messages = *out;
    let mut relay = Relay::new(outbox, open.store().clone(), options).telling(move |said| messages.say(said));
    let ran = if args.once { relay.drain().await } else { relay.run(stopping).await };
    let relayed = relay.relayed();
    drop(relay);
    signals.abort();
    let told = summary(out, relayed);
    closing(open, ran.map_err(failed).and(told)).await
}

/// What the outbox or its relay could not do: a place that cannot be had, a refusal, or a fault.
fn failed(why: StoreError) -> Fault {
    let (exit, code) = match (why.operation, why.outcome) {
        ("open", _) => (Exit::Unreachable, "unreachable"),
        (_, Outcome::NotDone) => (Exit::Refused, "relay"),
        (_, Outcome::Unknown) => (Exit::Failed, "relay"),
    };
    Fault::new(exit, code, windlass_outbox::in_words(&why))
}

fn summary(out: &Output, done: Relayed) -> Result<(), Fault> {
    let refused = match done.refused {
        0 => String::new(),
        n => format!(", {} refused: see `windlass outbox status`", HumanCount(n)),
    };
    let sentence = format!("relayed {}{refused}", counted(done.rows, "row"));
    let Relayed { rows, known, refused, batches, faults } = done;
    let shape = RelayedShape { rows, known, refused, batches, faults };
    out.done(&shape, &sentence, &[&rows.to_string(), &refused.to_string()])
}
