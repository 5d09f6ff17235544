//! `windlass archive`: the permanent record, kept by a process of its own.

use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use windlass_archive::{ArchiveError, Archiver, Gap, News, Options, Standing, Step, Target};
use windlass_core::Time;

use crate::arguments::Global;
use crate::commands::closing;
use crate::connect::{self, Intent};
use crate::fault::{Exit, Fault};
use crate::interrupt::interrupted;
use crate::output::{Form, Output};
use crate::values::span::{self, Span};

/// How often a running archiver says how it stands.
const REPORT_EVERY: Duration = Duration::from_secs(10);

const EXAMPLES: &str = "\
Examples:
  windlass archive --store redis://cache --to sqlite:./history.db --keep 90d
  windlass archive --store postgres://app@db/app --to postgres://app@warehouse/history
  windlass archive --store redis://cache --to sqlite:./history.db --payloads   what the jobs were asked to do, too
  windlass archive --to sqlite:./history.db --once                what there is, then stop
  windlass archive --forget main                                  the log is no longer held back for it
";

/// Keep every job's history in SQLite or PostgreSQL
///
/// It runs until it is stopped. A file: store belongs to the process that works on it: there the program itself runs the
/// archiver (docs/archive.md), or `--once` does while nobody else has the directory.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct ArchiveArgs {
    /// The archive: sqlite:PATH or postgres://USER@HOST/DATABASE (?schema=NAME; windlass_archive if left out)
    #[arg(long, value_name = "URL", required_unless_present = "forget")]
    to: Option<String>,
    /// The archive's name; the store holds its log back for each name apart
    #[arg(long, value_name = "NAME", default_value = "main")]
    name: String,
    /// Delete the history of jobs that ended longer ago; without it everything is kept
    #[arg(long, value_name = "SPAN")]
    keep: Option<Span>,
    /// Keep each job's payload, priority, tags and trace context too; the store's retention waits for the archive
    #[arg(long)]
    payloads: bool,
    /// End when everything that has happened is archived
    #[arg(long)]
    once: bool,
    /// Go on although the store does not know this archive; what was archived stays, and a gap is recorded
    #[arg(long)]
    adopt: bool,
    /// Events of one transaction at most
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: u32,
    /// Let the store forget the archive of that name; the archive itself stays as it is
    #[arg(long, value_name = "NAME", conflicts_with_all = ["to", "once", "keep", "adopt", "payloads"])]
    forget: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, out: &Output, args: ArchiveArgs) -> Result<(), Fault> {
    // What makes no sense is refused before anything is opened.
    let target = args.to.as_deref().map(str::parse::<Target>).transpose()?;
    let open = connect::open(global, Intent::Look).await?;
    let result = match (&target, &args.forget) {
        (Some(target), _) => archive(global, &open, target, out, &args).await,
        (None, Some(name)) => forget(&open, name, out).await,
        (None, None) => Ok(()),
    };
    closing(open, result).await
}

async fn archive(
    global: &Global,
    open: &connect::Open,
    target: &Target,
    out: &Output,
    args: &ArchiveArgs,
) -> Result<(), Fault> {
    let options = Options {
        name: args.name.clone(),
        keep_ms: args.keep.map(|keep| keep.ms),
        payloads: args.payloads,
        adopt: args.adopt,
        batch_events: usize::try_from(args.batch).unwrap_or(usize::MAX),
        ..Options::default()
    };
    let mut archiver = Archiver::start(open.store().clone(), target, options).await?;
    out.say(&format!("archiving {} to {target}", windlass_core::url::without_password(&global.store)));
    let mut teller = Teller { out, name: &args.name, target, told: Instant::now(), events: 0 };
    let standing = if args.once {
        archiver.catch_up(|news| teller.hear(&news)).await?
    } else {
        archiver.run(interrupted(), |news| teller.hear(&news)).await?
    };
    teller.last(standing)
}

async fn forget(open: &connect::Open, name: &str, out: &Output) -> Result<(), Fault> {
    if !windlass_archive::forget(open.store().as_ref(), name).await? {
        return Err(Fault::not_found(format!("archive {name}")));
    }
    let sentence = format!("archive {name} forgotten; the event log is no longer held back for it");
    out.done(&Forgotten { archive: name, forgotten: true }, &sentence, &[name, "forgotten"])
}

#[derive(Serialize)]
struct Forgotten<'a> {
    archive: &'a str,
    forgotten: bool,
}

/// How the archive stands, for programs.
#[derive(Serialize)]
struct Report<'a> {
    archive: &'a str,
    to: String,
    events: u64,
    jobs: u64,
    known: u64,
    deleted: u64,
    gaps: u64,
    payloads: u64,
    payloads_gone: u64,
    lag_ms: u64,
    #[serde(with = "windlass_api::time::or_null")]
    last_event_at: Option<Time>,
}

/// Says how it goes: gaps and faults at once, the rest now and then.
struct Teller<'a> {
    out: &'a Output,
    name: &'a str,
    target: &'a Target,
    told: Instant,
    events: u64,
}

impl Teller<'_> {
    fn hear(&mut self, news: &News<'_>) {
        match news {
            News::Trouble(error, again) => {
                let ms = u64::try_from(again.as_millis()).unwrap_or(u64::MAX);
                self.out.warn(&format!("{error}; trying again in {}", span::rough(ms)));
            }
            News::Step(step, standing) => {
                let Step { gaps, .. } = step;
                gaps.iter().for_each(|gap| self.out.warn(&told_gap(gap)));
                if self.told.elapsed() >= REPORT_EVERY && standing.events > self.events {
                    (self.told, self.events) = (Instant::now(), standing.events);
                    match self.out.form {
                        // A closed stdout is found out at the end at the latest.
                        Form::Json => drop(self.out.json(&self.report(*standing))),
                        _ => self.out.say(&in_words(standing)),
                    }
                }
            }
        }
    }

    fn last(&self, standing: Standing) -> Result<(), Fault> {
        let count = standing.events.to_string();
        self.out.done(&self.report(standing), &in_words(&standing), &[self.name, &count])
    }

    fn report(&self, standing: Standing) -> Report<'_> {
        Report {
            archive: self.name,
            to: self.target.to_string(),
            events: standing.events,
            jobs: standing.jobs,
            known: standing.known,
            deleted: standing.deleted,
            gaps: standing.gaps,
            payloads: standing.payloads,
            payloads_gone: standing.payloads_gone,
            lag_ms: standing.lag_ms,
            last_event_at: standing.last_event_at,
        }
    }
}

fn in_words(standing: &Standing) -> String {
    let mut text = match standing.known {
        0 => format!("{} events archived, {} new jobs", standing.events, standing.jobs),
        known => format!(
            "{} events read, the log from its beginning on: {} new jobs, {known} were there already",
            standing.events, standing.jobs
        ),
    };
    if standing.payloads > 0 {
        text.push_str(&format!(", {} payloads", standing.payloads));
    }
    if standing.payloads_gone > 0 {
        text.push_str(&format!(" ({} jobs were gone before)", standing.payloads_gone));
    }
    if standing.deleted > 0 {
        text.push_str(&format!(", the history of {} jobs deleted", standing.deleted));
    }
    if standing.gaps > 0 {
        text.push_str(&format!(", {} gaps", standing.gaps));
    }
    match standing.lag_ms {
        0 => text.push_str("; up to date"),
        ms => text.push_str(&format!("; {} behind", span::rough(ms))),
    }
    text
}

fn told_gap(gap: &Gap) -> String {
    let time = |at: Option<Time>, none: &str| at.map_or(none.to_owned(), |at| at.to_string());
    let (before, after) = (time(gap.last_at, "the beginning"), time(gap.next_at, "now"));
    let why = match gap.reason.as_str() {
        "trimmed" => "the store had to throw its event log away before it was read",
        "rewound" => {
            "the store does not know the archive's place: it was restored from an older copy, or has lost events"
        }
        _ => "the store was adopted",
    };
    format!("a gap in the history between {before} and {after}: {why}; it is recorded in the table gap")
}

impl From<ArchiveError> for Fault {
    fn from(error: ArchiveError) -> Self {
        let text = error.to_string();
        match error {
            ArchiveError::BadUrl { .. } => Fault::usage(text),
            ArchiveError::Held { .. } | ArchiveError::Overtaken { .. } => {
                Fault::new(Exit::Unreachable, "held", text)
            }
            ArchiveError::Database { .. } => Fault::new(Exit::Unreachable, "unreachable", text),
            ArchiveError::OtherStore { name, .. } => Fault::new(Exit::Refused, "other_store", text).next(format!(
                "another name: --name NAME; the archive of that name is given up: --forget {name}, then again; the same \
                 archive all the same: --adopt"
            )),
            ArchiveError::Store(error) => error.into(),
            ArchiveError::Rejected(rejection) => rejection.into(),
            _ => Fault::new(Exit::Refused, "refused", text),
        }
    }
}
