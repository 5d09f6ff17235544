//! Changing a job: payload, priority and time of one that waits; the payload of one that is dead or cancelled, which is
//! retried with it and keeps its whole history. One that has completed is not changed: saving enqueues a copy. Either
//! way no worker can take the old payload in between.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use windlass_api::payload::Encoding;
use windlass_api::spell::{moment, span};
use windlass_core::bounds::{PRIORITY_MAX, PRIORITY_MIN};
use windlass_core::job::JobDetail;
use windlass_core::store::{Edit, EnqueueStatus};
use windlass_core::{JobId, NewJob, Rejection, State, Time};
use windlass_look::{Flash, Frame};

use super::super::form::Fields;
use super::super::json;
use super::super::page::{Reply, Wrong, show_with};
use super::super::queue::Field;
use super::super::visit::Visit;
use super::find;
use crate::answer::only;
use crate::read::job_id;

#[derive(Template)]
#[template(path = "edit.html")]
struct EditPage {
    f: Frame,
    id: String,
    at: String,
    state: &'static str,
    kind: String,
    queue: String,
    way: Way,
    is_due_later: bool,
    /// Whether the payload is bytes that no field can hold.
    is_bytes: bool,
    payload: Field,
    priority: Field,
    run_at: Field,
    delete_old: bool,
    fault: Option<String>,
}

/// How a job is changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Where it waits.
    Waiting,
    /// Its payload, for another life.
    Again,
    /// It is history: a copy of it.
    Copy,
}

impl Way {
    fn of(state: State) -> Self {
        match state {
            State::Dead | State::Cancelled => Way::Again,
            State::Completed => Way::Copy,
            _ => Way::Waiting,
        }
    }
}

/// What the form holds.
struct Form {
    payload: Field,
    priority: Field,
    run_at: Field,
    delete_old: bool,
    fault: Option<String>,
}

impl Form {
    fn of(job: &JobDetail) -> Self {
        let due = matches!(job.view.state, State::Scheduled | State::Retrying);
        Self {
            payload: Field::of(json::text(&job.payload)),
            priority: Field::of(job.view.priority.to_string()),
            run_at: Field::of(if due { job.view.since.to_string() } else { String::new() }),
            delete_old: false,
            fault: None,
        }
    }

    fn from_fields(fields: &Fields) -> Self {
        Self {
            // Browsers end lines as networks do.
            payload: Field::of(fields.text("payload").replace("\r\n", "\n")),
            priority: Field::of(fields.word("priority")),
            run_at: Field::of(fields.word("run_at")),
            delete_old: fields.ticked("delete_old"),
            fault: None,
        }
    }
}

/// What somebody changed.
struct Changes {
    payload: Option<Vec<u8>>,
    priority: Option<i8>,
    run_at: Option<Time>,
}

impl Changes {
    /// What of the form differs from the job; what is wrong stands with its field.
    fn read(form: &mut Form, job: &JobDetail, now: Time) -> Option<Self> {
        let shown = Form::of(job);
        let payload = if form.payload.text == shown.payload.text {
            Some(None)
        } else {
            let encoding = json::encoding(&job.payload);
            form.payload.read(|text| match encoding {
                Encoding::Json => json::edited(text).map(Some),
                Encoding::Text => Ok(Some(text.as_bytes().to_vec())),
                Encoding::Base64 => Ok(None),
            })
        };
        if Way::of(job.view.state) == Way::Again {
            return Some(Self { payload: payload?, priority: None, run_at: None });
        }
        let priority = form.priority.read(priority);
        let run_at = if form.run_at.text == shown.run_at.text || form.run_at.text.is_empty() {
            Some(None)
        } else {
            form.run_at.read(|text| time(text, now).map(Some))
        };
        Some(Self {
            payload: payload?,
            priority: priority
                .map(|priority| Some(priority).filter(|priority| *priority != job.view.priority))?,
            run_at: run_at?,
        })
    }

    fn is_empty(&self) -> bool {
        self.payload.is_none() && self.priority.is_none() && self.run_at.is_none()
    }
}

fn priority(text: &str) -> Result<i8, String> {
    let priority = text.parse().ok().filter(|priority| (PRIORITY_MIN..=PRIORITY_MAX).contains(priority));
    priority.ok_or_else(|| format!("{text:?} is not a whole number from {PRIORITY_MIN} to {PRIORITY_MAX}"))
}

/// A time, or a span from now.
fn time(text: &str, now: Time) -> Result<Time, String> {
    match (moment::parse(text), span::parse(text)) {
        (Ok(at), _) => Ok(at),
        (_, Ok(ms)) => Ok(now.plus_ms(ms)),
        _ => Err(format!(
            "{text:?} is neither a time nor a span: write 2026-11-21T09:30:00Z, or 10m for in ten minutes"
        )),
    }
}

/// `GET /jobs/{id}/edit`.
pub(crate) async fn form(visit: Visit, Path(id): Path<String>) -> Reply {
    let job = find(&visit, job_id(&id)?).await?;
    draw(&visit, &job, Form::of(&job), StatusCode::OK)
}

fn draw(visit: &Visit, job: &JobDetail, form: Form, status: StatusCode) -> Reply {
    let state = job.view.state;
    if state == State::Running {
        return Err(Rejection::WrongState { verb: "edit", state }.into());
    }
    let f = visit.frame("jobs");
    let page = EditPage {
        id: job.view.id.to_string(),
        at: f.job(job.view.id),
        state: state.as_str(),
        kind: job.view.kind.to_string(),
        queue: job.view.queue.to_string(),
        way: Way::of(state),
        is_due_later: matches!(state, State::Scheduled | State::Retrying),
        is_bytes: json::encoding(&job.payload) == Encoding::Base64,
        payload: form.payload,
        priority: form.priority,
        run_at: form.run_at,
        delete_old: form.delete_old,
        fault: form.fault,
        f,
    };
    show_with(status, &page)
}

/// `POST /jobs/{id}/edit`.
pub(crate) async fn save(visit: Visit, Path(id): Path<String>, fields: Fields) -> Reply {
    let job = find(&visit, job_id(&id)?).await?;
    let mut form = Form::from_fields(&fields);
    if let Some(changes) = Changes::read(&mut form, &job, visit.now) {
        let run = fields.word("then") == "run";
        let done = match Way::of(job.view.state) {
            Way::Copy => copy(&visit, &job, changes, form.delete_old).await,
            Way::Waiting | Way::Again => change(&visit, &job, changes, run).await,
        };
        match done {
            Ok(response) => return Ok(response),
            Err(Wrong(fault)) if fault.0.status < 500 => form.fault = Some(fault.0.detail.clone()),
            Err(wrong) => return Err(wrong),
        }
    }
    // The job may have started meanwhile: then nothing can be changed any more, and the page says that instead.
    let job = find(&visit, job.view.id).await?;
    draw(&visit, &job, form, StatusCode::UNPROCESSABLE_ENTITY)
}

/// Changes a job where it is, and makes it ready if that is asked for.
async fn change(visit: &Visit, job: &JobDetail, changes: Changes, run: bool) -> Reply {
    let (id, store) = (job.view.id, visit.store());
    let mut told = Vec::new();
    if changes.is_empty() {
        told.push("Nothing was changed.");
    } else {
        let Changes { payload, priority, run_at } = changes;
        only(store.edit(vec![Edit { id, payload, priority, run_at }], None).await?)?;
        told.push("The job is changed.");
    }
    let mut flash = Flash::good("");
    let again = Way::of(job.view.state) == Way::Again;
    if run {
        let answers = if again { store.retry(vec![id], None) } else { store.run_now(vec![id], None) };
        match only(answers.await?) {
            Ok(()) if again => told.push("It is retried."),
            Ok(()) => told.push("It is ready."),
            Err(fault) => {
                flash.good = false;
                flash.text = format!("\nIt was not made ready: {}.", fault.0.detail);
            }
        }
    }
    flash.text = format!("{}{}", told.join(" "), flash.text);
    Ok(visit.go(&visit.frame("").job(id), Some(flash)))
}

/// Enqueues a copy of a job that has completed, with the changes, and removes the job if that is asked for.
async fn copy(visit: &Visit, job: &JobDetail, changes: Changes, delete_old: bool) -> Reply {
    let new = copied(visit.app.client().new_id(), job, changes);
    let enqueued = only(visit.store().enqueue(vec![new], false, None).await?)?;
    let home = visit.frame("").job(enqueued.id);
    if enqueued.status != EnqueueStatus::Created {
        let text = format!("Nothing was enqueued: this job holds the unique key of job {}.", job.view.id);
        return Ok(visit.go(&home, Some(Flash::bad(text))));
    }
    let mut flash =
        Flash::good(format!("This is the changed copy of job {}, which stays as it is.", job.view.id));
    if delete_old {
        flash = match only(visit.store().delete(vec![job.view.id], None).await?) {
            Ok(()) => {
                Flash::good(format!("This is the changed copy of job {}, which is deleted.", job.view.id))
            }
            Err(fault) => {
                let text = format!(
                    "This is the changed copy of job {}, which stays: {}.",
                    job.view.id, fault.0.detail
                );
                Flash::bad(text)
            }
        };
    }
    Ok(visit.go(&home, Some(flash)))
}

/// Everything that the job brought along but its parents and its expiry, which are over.
fn copied(id: JobId, job: &JobDetail, changes: Changes) -> NewJob {
    let payload = changes.payload.unwrap_or_else(|| job.payload.clone());
    let mut new = NewJob::new(id, job.view.queue.clone(), job.view.kind.clone(), payload);
    new.group.clone_from(&job.view.group);
    new.priority = changes.priority.unwrap_or(job.view.priority);
    new.run_at = changes.run_at;
    new.retry.clone_from(&job.retry);
    new.unique.clone_from(&job.unique);
    new.limits.clone_from(&job.limits);
    new.tags.clone_from(&job.view.tags);
    new.timeout_ms = job.timeout_ms;
    new.trace.clone_from(&job.trace);
    new
}
