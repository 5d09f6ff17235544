//! What is done to jobs: to one from its page, or to the ticked rows of a list.

use axum::extract::Path;
use windlass_api::bulk::Action;
use windlass_core::bounds::BATCH_ITEMS_MAX;
use windlass_core::store::{Cancelled, Filter};
use windlass_core::{JobId, Rejection};
use windlass_look::Flash;

use super::confirm::{ITEMS_NAMED, Question, ask, is_confirmed};
use super::form::{Fields, back, told};
use super::page::{Reply, Wrong};
use super::visit::Visit;
use super::words;
use crate::answer::Fault;
use crate::read;

/// What can be done to a job by a button.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Retry,
    RunNow,
    Cancel,
    Delete,
}

impl Act {
    /// The act of that word.
    pub(crate) fn of(word: &str) -> Result<Self, Fault> {
        match word {
            "retry" => Ok(Act::Retry),
            "run-now" => Ok(Act::RunNow),
            "cancel" => Ok(Act::Cancel),
            "delete" => Ok(Act::Delete),
            _ => Err(Fault::bad_request(format!(
                "there is no action {word:?}; there are retry, run-now, cancel, delete"
            ))),
        }
    }

    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Act::Retry => "retry",
            Act::RunNow => "run-now",
            Act::Cancel => "cancel",
            Act::Delete => "delete",
        }
    }

    /// Its name on a button.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Act::Retry => "Retry",
            Act::RunNow => "Run now",
            Act::Cancel => "Cancel",
            Act::Delete => "Delete",
        }
    }

    /// Whether somebody is asked first.
    fn asks(self) -> bool {
        matches!(self, Act::Cancel | Act::Delete)
    }

    /// The same as an operation on many jobs.
    pub(crate) fn action(self) -> Action {
        match self {
            Act::Retry => Action::Retry,
            Act::RunNow => Action::RunNow,
            Act::Cancel => Action::Cancel,
            Act::Delete => Action::Delete,
        }
    }

    /// The act that an operation does.
    pub(crate) fn doing(action: Action) -> Self {
        match action {
            Action::Retry => Act::Retry,
            Action::RunNow => Act::RunNow,
            Action::Cancel => Act::Cancel,
            Action::Delete => Act::Delete,
        }
    }

    /// What it means.
    pub(crate) fn means(self) -> Vec<&'static str> {
        match self {
            Act::Retry => vec!["Each job that has ended becomes ready, with all its tries."],
            Act::RunNow => vec!["Each job that waits for its time becomes ready."],
            Act::Cancel => vec![
                "A job that waits is cancelled at once.",
                "The worker of a running job is asked to stop; after a grace of 30 s the job is cancelled without it.",
                "Jobs that wait for the success of one of these are cancelled with it.",
                "A cancelled job can be retried.",
            ],
            Act::Delete => vec![
                "Each job is removed with its payload, its errors and its logs. That cannot be undone.",
                "A job that runs, or has children that are live, is not removed.",
            ],
        }
    }

    async fn act(self, visit: &Visit, ids: Vec<JobId>) -> Result<Flash, Wrong> {
        let store = visit.store();
        Ok(match self {
            Act::Retry => told(&store.retry(ids, None).await?, "retried"),
            Act::RunNow => told(&store.run_now(ids, None).await?, "made ready"),
            Act::Delete => told(&store.delete(ids, None).await?, "deleted"),
            Act::Cancel => {
                let answers = store.cancel(ids, None).await?;
                let asked =
                    answers.iter().filter(|answer| matches!(answer, Ok(Cancelled::Requested))).count();
                let mut flash = told(&answers, "cancelled");
                if asked > 0 {
                    let text = words::many(asked as u64, "of them runs", "of them run");
                    flash.text.push_str(&format!("\n{text}: its worker is asked to stop."));
                }
                flash
            }
        })
    }
}

/// `POST /jobs/bulk`: the ticked rows of a list.
pub(crate) async fn bulk(visit: Visit, fields: Fields) -> Reply {
    let act = Act::of(fields.word("action"))?;
    let ids = fields.ids()?;
    let list = format!("{}/jobs", visit.base());
    if ids.is_empty() {
        return Ok(back(&visit, &fields, &list, Flash::bad("No row was ticked.")));
    }
    if ids.len() > BATCH_ITEMS_MAX {
        return Err(Rejection::Invalid {
            what: "batch",
            why: format!("{} jobs are more than 1,000", ids.len()),
        }
        .into());
    }
    if act.asks() && !is_confirmed(&fields) {
        let action = format!("{list}/bulk");
        return confirm(&visit, act, &ids, action, fields.back().unwrap_or(&list)).await;
    }
    let flash = act.act(&visit, ids).await?;
    Ok(back(&visit, &fields, &list, flash))
}

/// `POST /jobs/{id}/{act}`: one job.
pub(crate) async fn one(visit: Visit, Path((id, act)): Path<(String, String)>, fields: Fields) -> Reply {
    let (id, act) = (read::job_id(&id)?, Act::of(&act)?);
    let home = visit.frame("").job(id);
    if act.asks() && !is_confirmed(&fields) {
        let action = format!("{home}/{}", act.word());
        return confirm(&visit, act, &[id], action, &home).await;
    }
    let flash = act.act(&visit, vec![id]).await?;
    // The page of a job that was removed is no more.
    let gone = act == Act::Delete && flash.good;
    Ok(if gone {
        visit.go(&format!("{}/jobs", visit.base()), Some(flash))
    } else {
        visit.go(&home, Some(flash))
    })
}

async fn confirm(visit: &Visit, act: Act, ids: &[JobId], action: String, back: &str) -> Reply {
    let filter = Filter { ids: ids.iter().copied().take(ITEMS_NAMED).collect(), ..Filter::default() };
    let page = visit.store().list(filter, None, ITEMS_NAMED, ITEMS_NAMED).await??;
    let items = page.items.iter().map(|job| {
        let group = job.group.as_ref().map(|key| format!(", group {key}")).unwrap_or_default();
        (job.id.to_string(), format!("{} · {} in {}{group}", job.state, job.kind, job.queue))
    });
    let mut fields: Vec<(&'static str, String)> = ids.iter().map(|id| ("id", id.to_string())).collect();
    fields.push(("action", act.word().to_owned()));
    fields.push(("back", back.to_owned()));
    let jobs = words::many(ids.len() as u64, "job", "jobs");
    ask(
        visit,
        Question {
            place: "jobs",
            title: format!("{} {jobs}?", act.label()),
            means: act.means(),
            items: items.collect(),
            more: ids.len().saturating_sub(ITEMS_NAMED),
            action,
            fields,
            button: format!("{} {jobs}", act.label()),
            is_danger: act == Act::Delete,
            back: back.to_owned(),
        },
    )
}
