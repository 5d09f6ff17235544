//! Changing jobs: by their ids, or everything that a filter matches.
//!
//! A filter is resolved to ids first; that list is what is counted, confirmed and then changed, so nobody changes more
//! than was shown. Each job has its own outcome. What happens to a job in between is the store's business: the verb is
//! a compare-and-set there, and a job that has moved on is refused, not forced.

use std::sync::Arc;

use clap::Args;
use indicatif::HumanCount;
use serde::Serialize;
use windlass_api::bulk::Action;
use windlass_core::bounds::{BATCH_ITEMS_MAX, LIST_BUDGET_DEFAULT, PAGE_MAX};
use windlass_core::store::{Cancelled, Edit, PerItem, Store};
use windlass_core::{JobId, Rejection, State, StoreError, Time};

use super::filter::FilterArgs;
use crate::fault::{Exit, Fault, exit_of};
use crate::output::confirm::confirm;
use crate::output::{Form, Output, progress};
use crate::values::{moment, payload};

/// Refusals told one by one to people; beyond it only their number is.
const TOLD_MAX: usize = 20;

/// Which jobs, and whether to ask first.
#[derive(Clone, Debug, Args)]
pub(crate) struct ChangeArgs {
    /// The jobs; or give a filter
    #[arg(value_name = "ID")]
    ids: Vec<JobId>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Every job in a state that allows it, instead of a filter
    #[arg(long)]
    all: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Say how many jobs would be changed, and change none
    #[arg(long)]
    dry_run: bool,
}

impl ChangeArgs {
    /// Refuses a selection that says nothing, or two things.
    pub(super) fn check(&self) -> Result<(), Fault> {
        match (self.ids.is_empty(), self.filter.is_empty(), self.all) {
            (false, true, false) | (true, false, false) | (true, true, true) => Ok(()),
            (true, true, false) => {
                Err(Fault::usage("which jobs? give ids, a filter (--queue, --state …), or --all"))
            }
            _ => Err(Fault::usage("ids, a filter and --all exclude each other")),
        }
    }
}

const EDIT_EXAMPLES: &str = "\
Examples:
  windlass jobs edit ID --priority 5
  windlass jobs edit ID --payload '{\"to\":\"c@d.e\"}' --run-at 2026-11-21T09:30:00Z
  windlass jobs edit --queue email --tag vip --priority 9 --yes
";

/// Change payload, priority or time of jobs that are not running; the payload alone also of dead and cancelled ones
///
/// With a filter that names no state, scheduled, ready, retrying and blocked jobs.
#[derive(Clone, Debug, Args)]
#[command(before_help = EDIT_EXAMPLES)]
pub(crate) struct EditArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// The new payload as JSON, `@FILE`, or `-` for stdin
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    payload: Option<String>,
    /// Take the new payload's bytes as they are
    #[arg(long, requires = "payload")]
    raw: bool,
    /// The new priority, -9 to 9
    #[arg(long, allow_negative_numbers = true, value_name = "N")]
    priority: Option<i8>,
    /// The new time (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    run_at: Option<Time>,
}

impl EditArgs {
    /// Refuses an edit that changes nothing.
    pub(super) fn check(&self) -> Result<(), Fault> {
        if self.payload.is_none() && self.priority.is_none() && self.run_at.is_none() {
            return Err(Fault::usage("nothing to change: give --payload, --priority or --run-at"));
        }
        self.change.check()
    }

    pub(super) async fn run(self, store: &Arc<dyn Store>, out: &Output) -> Result<(), Fault> {
        let payload = self.payload.as_deref().map(|text| payload::read(Some(text), self.raw)).transpose()?;
        let new = New { payload, priority: self.priority, run_at: self.run_at };
        run(store, out, Verb::Edit(new), self.change).await
    }
}

/// What an edit sets.
#[derive(Clone, Debug)]
pub(super) struct New {
    payload: Option<Vec<u8>>,
    priority: Option<i8>,
    run_at: Option<Time>,
}

/// A verb over many jobs.
#[derive(Clone, Debug)]
pub(super) enum Verb {
    Retry,
    Cancel,
    RunNow,
    Edit(New),
    Delete,
}

impl Verb {
    fn word(&self) -> &'static str {
        match self {
            Verb::Retry => "retry",
            Verb::Cancel => "cancel",
            Verb::RunNow => "run now",
            Verb::Edit(_) => "edit",
            Verb::Delete => "delete",
        }
    }

    /// What became of `n` jobs, for people.
    fn sentence(&self, n: usize) -> String {
        let jobs = if n == 1 { "1 job".to_owned() } else { format!("{} jobs", HumanCount(n as u64)) };
        match self {
            Verb::RunNow if n == 1 => "1 job is due now".to_owned(),
            Verb::RunNow => format!("{jobs} are due now"),
            _ => format!("{} {jobs}", self.done()),
        }
    }

    /// What a job is afterwards, for scripts.
    fn done(&self) -> &'static str {
        match self {
            Verb::Retry => "retried",
            Verb::Cancel => "cancelled",
            Verb::RunNow => "due",
            Verb::Edit(_) => "edited",
            Verb::Delete => "deleted",
        }
    }

    /// The states that the verb is for, unless the filter names its own.
    fn states(&self) -> &'static [State] {
        match self {
            Verb::Retry => Action::Retry.states(),
            Verb::Cancel => Action::Cancel.states(),
            Verb::RunNow => Action::RunNow.states(),
            Verb::Edit(_) => &[State::Scheduled, State::Ready, State::Retrying, State::Blocked],
            Verb::Delete => Action::Delete.states(),
        }
    }

    async fn apply(
        &self,
        store: &Arc<dyn Store>,
        ids: &[JobId],
    ) -> Result<PerItem<&'static str>, StoreError> {
        let ids = ids.to_vec();
        let all =
            |answers: PerItem<()>| answers.into_iter().map(|answer| answer.map(|()| self.done())).collect();
        Ok(match self {
            Verb::Retry => all(store.retry(ids, None).await?),
            Verb::RunNow => all(store.run_now(ids, None).await?),
            Verb::Delete => all(store.delete(ids, None).await?),
            Verb::Edit(new) => {
                let New { payload, priority, run_at } = new;
                let edit = |id| Edit { id, payload: payload.clone(), priority: *priority, run_at: *run_at };
                all(store.edit(ids.into_iter().map(edit).collect(), None).await?)
            }
            Verb::Cancel => {
                let word = |cancelled| match cancelled {
                    Cancelled::Now => self.done(),
                    Cancelled::Requested => "cancel_requested",
                };
                store.cancel(ids, None).await?.into_iter().map(|answer| answer.map(word)).collect()
            }
        })
    }
}

/// What became of one job.
#[derive(Debug, Serialize)]
struct Outcome {
    id: JobId,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<serde_json::Value>,
}

/// Runs the verb over the selection.
pub(super) async fn run(
    store: &Arc<dyn Store>,
    out: &Output,
    verb: Verb,
    args: ChangeArgs,
) -> Result<(), Fault> {
    let by_id = !args.ids.is_empty();
    let ids = if by_id { args.ids } else { matching(store, out, &verb, args.filter).await? };
    if args.dry_run {
        let sentence = format!("would {} {} jobs", verb.word(), HumanCount(ids.len() as u64));
        let shape =
            serde_json::json!({ "dry_run": true, "verb": verb.word().replace(' ', "_"), "jobs": ids.len() });
        return out.done(&shape, &sentence, &[&ids.len().to_string()]);
    }
    if ids.is_empty() {
        out.hint("no such jobs");
        return Ok(());
    }
    if !by_id && !args.yes {
        let question = format!("{} {} jobs?", verb.word(), HumanCount(ids.len() as u64));
        confirm(out, &question, "add --yes, or look first with --dry-run")?;
    }
    change(store, out, &verb, &ids).await
}

/// The ids of all jobs that match.
async fn matching(
    store: &Arc<dyn Store>,
    out: &Output,
    verb: &Verb,
    filter: FilterArgs,
) -> Result<Vec<JobId>, Fault> {
    let mut filter = filter.into_filter();
    if filter.states.is_empty() {
        filter.states = verb.states().to_vec();
    }
    let bar = progress::bar(out, "looking", None);
    let (mut ids, mut cursor) = (Vec::new(), None);
    loop {
        let page =
            store.list(filter.clone(), cursor, PAGE_MAX, LIST_BUDGET_DEFAULT).await?.map_err(Fault::from)?;
        bar.inc(page.examined as u64);
        ids.extend(page.items.iter().map(|job| job.id));
        cursor = page.next;
        if cursor.is_none() {
            bar.finish_and_clear();
            return Ok(ids);
        }
    }
}

async fn change(store: &Arc<dyn Store>, out: &Output, verb: &Verb, ids: &[JobId]) -> Result<(), Fault> {
    let bar = progress::bar(out, verb.word(), Some(ids.len() as u64));
    let mut refused: Vec<Rejection> = Vec::new();
    let mut requested = 0_u64;
    for chunk in ids.chunks(BATCH_ITEMS_MAX) {
        let answers = verb.apply(store, chunk).await?;
        bar.inc(chunk.len() as u64);
        for (id, answer) in chunk.iter().zip(answers) {
            match &answer {
                Ok("cancel_requested") => requested += 1,
                Ok(_) => {}
                Err(rejection) if out.form != Form::Json && ids.len() > 1 && refused.len() < TOLD_MAX => {
                    bar.suspend(|| out.say(&format!("{id}: {rejection}")));
                }
                Err(_) => {}
            }
            told(out, *id, &answer)?;
            refused.extend(answer.err());
        }
    }
    bar.finish_and_clear();
    if out.form == Form::Human {
        let done = ids.len() - refused.len();
        if done > 0 {
            let asked = match requested {
                0 => String::new(),
                n => format!(" ({} of them run and were asked to stop)", HumanCount(n)),
            };
            out.line(&format!("{}{asked}", verb.sentence(done)))?;
        }
    }
    conclusion(ids, refused)
}

/// One job's line in the forms that scripts read.
fn told(out: &Output, id: JobId, answer: &Result<&'static str, Rejection>) -> Result<(), Fault> {
    match (out.form, answer) {
        (Form::Human, _) => Ok(()),
        (Form::Plain, Ok(word)) => out.line(&format!("{id}\t{word}")),
        (Form::Plain, Err(rejection)) => out.line(&format!("{id}\t{}", rejection.code())),
        (Form::Json, Ok(word)) => out.json(&Outcome { id, outcome: Some(word), error: None }),
        (Form::Json, Err(rejection)) => {
            let error = serde_json::json!({ "code": rejection.code(), "message": rejection.to_string() });
            out.json(&Outcome { id, outcome: None, error: Some(error) })
        }
    }
}

/// One job's refusal is the command's own; among many, the exit code says that not all were changed.
fn conclusion(ids: &[JobId], mut refused: Vec<Rejection>) -> Result<(), Fault> {
    match (ids, refused.len()) {
        (_, 0) => Ok(()),
        ([id], _) => match refused.remove(0) {
            Rejection::NotFound { .. } => Err(Fault::not_found(format!("job {id}"))),
            rejection => Err(Fault::from(rejection)),
        },
        (ids, n) => {
            let unknown = refused.iter().all(|rejection| exit_of(rejection) == Exit::NotFound);
            let exit = if unknown { Exit::NotFound } else { Exit::Refused };
            let message =
                format!("{} of {} jobs were refused", HumanCount(n as u64), HumanCount(ids.len() as u64));
            Err(Fault::new(exit, "jobs_refused", message))
        }
    }
}
