//! Looking at jobs: lists, one job, why it waits, what it logged.

use std::sync::Arc;

use clap::Args;
use indicatif::HumanCount;
use windlass_api::job::{JobRecord, JobRow, WhyRecord};
use windlass_core::bounds::{LIST_BUDGET_DEFAULT, PAGE_MAX};
use windlass_core::store::Store;
use windlass_core::{JobId, Rejection};

use super::filter::FilterArgs;
use crate::fault::Fault;
use crate::output::{Form, Output, escape, progress};

const LS_EXAMPLES: &str = "\
Examples:
  windlass jobs ls --queue email --state dead
  windlass jobs ls --group campaign-7 --after 10m
  windlass jobs ls --payload-contains a@b.c --json | jq .id
";

/// List jobs, narrowed by a filter
#[derive(Debug, Args)]
#[command(before_help = LS_EXAMPLES)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Jobs shown at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Jobs looked at, at most, when no index answers the filter
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    scan: u64,
    /// Go on where the last list ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

/// The log of a job's attempt
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  windlass jobs logs ID\n  windlass jobs logs ID --attempt 2\n")]
pub(crate) struct LogsArgs {
    /// The job
    id: JobId,
    /// Which attempt; the newest when left out
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
}

pub(super) async fn ls(store: &Arc<dyn Store>, out: &Output, args: LsArgs) -> Result<(), Fault> {
    let filter = args.filter.into_filter();
    let mut cursor = args.cursor;
    let (mut shown, mut examined) = (0, 0);
    let mut rows: Vec<JobRow> = Vec::new();
    let bar = progress::bar(out, "looking", None);
    loop {
        let want = usize::try_from(args.limit - shown).unwrap_or(PAGE_MAX).min(PAGE_MAX);
        let budget =
            usize::try_from(args.scan - examined).unwrap_or(LIST_BUDGET_DEFAULT).min(LIST_BUDGET_DEFAULT);
        let page = store.list(filter.clone(), cursor.take(), want, budget).await?.map_err(Fault::from)?;
        shown += page.items.len() as u64;
        examined += page.examined as u64;
        bar.set_position(examined);
        rows.extend(page.items.into_iter().map(JobRow::from));
        // A table needs all its rows to be aligned; lines of JSON can go out at once.
        if out.form != Form::Human {
            out.list(&std::mem::take(&mut rows))?;
        }
        cursor = page.next;
        if cursor.is_none() || shown >= args.limit || examined >= args.scan {
            break;
        }
    }
    bar.finish_and_clear();
    out.list(&rows)?;
    match cursor {
        Some(cursor) if out.form == Form::Json => {
            out.say(&serde_json::json!({ "next": cursor, "examined": examined }).to_string());
        }
        Some(cursor) => {
            let looked = if shown < args.limit {
                format!("looked at {} jobs, found {shown} so far", HumanCount(examined))
            } else {
                "there are more".to_owned()
            };
            out.say(&format!("{looked}; go on with --cursor {cursor}"));
        }
        None if shown == 0 => out.hint("no such jobs"),
        None => {}
    }
    Ok(())
}

pub(super) async fn get(store: &Arc<dyn Store>, out: &Output, id: JobId) -> Result<(), Fault> {
    let job = store.get(id).await?.ok_or_else(|| unknown(id))?;
    out.record(&JobRecord::from(job))
}

pub(super) async fn why(store: &Arc<dyn Store>, out: &Output, id: JobId) -> Result<(), Fault> {
    let why = store.why(id, None).await?.map_err(|rejection| refused(id, rejection))?;
    out.record(&WhyRecord::new(id, why))
}

pub(super) async fn logs(store: &Arc<dyn Store>, out: &Output, args: LogsArgs) -> Result<(), Fault> {
    let begun = store.get(args.id).await?.ok_or_else(|| unknown(args.id))?.view.attempt;
    let attempt = args.attempt.unwrap_or(begun);
    if attempt > begun {
        return Err(Fault::not_found(format!("attempt {attempt} of job {}", args.id))
            .next(format!("the job has had {begun} attempts")));
    }
    if attempt == 0 {
        out.hint("it has not started yet");
        return Ok(());
    }
    let log = store.logs(args.id, attempt).await?.map_err(|rejection| refused(args.id, rejection))?;
    match out.form {
        Form::Json => out.json(&serde_json::json!({ "id": args.id, "attempt": attempt, "log": log })),
        Form::Human | Form::Plain if log.is_empty() => {
            out.hint(&format!("attempt {attempt} logged nothing"));
            Ok(())
        }
        Form::Human | Form::Plain => {
            let end = if log.ends_with('\n') { "" } else { "\n" };
            out.text(&format!("{}{end}", escape::lines(&log)))
        }
    }
}

fn unknown(id: JobId) -> Fault {
    Fault::not_found(format!("job {id}"))
        .proposing("it may have ended and been pruned; what is there:", "windlass jobs ls")
}

fn refused(id: JobId, rejection: Rejection) -> Fault {
    match rejection {
        Rejection::NotFound { what } if what.starts_with("job") => unknown(id),
        other => other.into(),
    }
}
