//! Where a queue's jobs are pushed: how that goes, and a form that sets it.

use axum::extract::Path;
use axum::http::StatusCode;
use windlass_api::spell::span;
use windlass_api::target::{Circuit, RotateRequest, TargetRequest, TargetShape};
use windlass_core::QueueName;
use windlass_look::Flash;

use super::super::confirm::{Question, ask, is_confirmed};
use super::super::form::{Fields, back};
use super::super::page::Reply;
use super::super::visit::Visit;
use super::super::words::{self, When};
use super::field::{Field, faults};
use super::{Shown, draw, find};
use crate::answer::Fault;
use crate::push::targets;

/// What the form holds while there is no target.
const CONCURRENCY: &str = "10";
const TIMEOUT: &str = "30s";

/// The target of a queue, as its page shows it.
pub(super) struct TargetView {
    pub(super) set: Option<Set>,
    pub(super) form: TargetForm,
    /// A secret that was just made: shown this once.
    pub(super) secret: Option<String>,
}

/// A target that there is.
pub(super) struct Set {
    pub(super) url: String,
    pub(super) facts: Vec<(&'static str, String)>,
    /// Its word and its icon.
    pub(super) standing: (&'static str, &'static str),
    pub(super) until: Option<When>,
    pub(super) last_error: Option<(String, When)>,
}

/// The form.
#[derive(Clone, Default)]
pub(super) struct TargetForm {
    pub(super) url: Field,
    pub(super) concurrency: Field,
    pub(super) timeout: Field,
    pub(super) fault: Option<String>,
}

impl TargetForm {
    fn from_fields(fields: &Fields) -> Self {
        let field = |name: &str| Field::of(fields.word(name));
        Self { url: field("url"), concurrency: field("concurrency"), timeout: field("timeout"), fault: None }
    }

    /// What is wrong, a line for each field.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut all = faults([("Requests at once", &self.concurrency)]);
        all.extend(self.fault.clone());
        all
    }

    fn of(shape: Option<&TargetShape>) -> Self {
        let text = |said: Option<String>, or: &str| Field::of(said.unwrap_or_else(|| or.to_owned()));
        Self {
            url: text(shape.map(|shape| shape.url.clone()), ""),
            concurrency: text(shape.map(|shape| shape.concurrency.to_string()), CONCURRENCY),
            timeout: text(shape.map(|shape| span::exact(shape.timeout_ms)), TIMEOUT),
            fault: None,
        }
    }
}

impl TargetView {
    pub(super) async fn load(visit: &Visit, queue: &QueueName, shown: &Shown) -> Result<Self, Fault> {
        let health = visit.app.options().push.health(queue, visit.now);
        let kept = targets::find(visit.app.by_itself().store(), queue).await?;
        let shape = kept.map(|kept| kept.shape(health, visit.now));
        Ok(Self {
            form: shown.target.clone().unwrap_or_else(|| TargetForm::of(shape.as_ref())),
            set: shape.map(|shape| Set::of(shape, visit)),
            secret: shown.secret.clone(),
        })
    }
}

impl Set {
    fn of(shape: TargetShape, visit: &Visit) -> Self {
        let health = shape.health;
        let mut facts = vec![
            ("Requests at once, of each server", shape.concurrency.to_string()),
            ("An answer may take", span::exact(shape.timeout_ms)),
            ("Signed by", format!("{} secret{}", shape.secrets, if shape.secrets == 1 { "" } else { "s" })),
        ];
        if !shape.headers.is_empty() {
            facts.push(("Headers sent along", shape.headers.join(", ")));
        }
        if health.works {
            facts.push(("Requests of this server", health.requests.to_string()));
        }
        if let Some(status) = health.last_status {
            facts.push(("Last answer", status.to_string()));
        }
        let standing = match health.circuit {
            _ if !health.works => ("this server does not send yet", "scheduled"),
            Circuit::Closed if health.failures_in_a_row > 0 => ("fails", "warning"),
            Circuit::Closed => ("sending", "running"),
            Circuit::Open => ("down: jobs wait", "warning"),
            Circuit::HalfOpen => ("down: one job finds out", "warning"),
        };
        let when = |at: Option<windlass_core::Time>| words::some_when(at, visit.now);
        Self {
            url: shape.url,
            facts,
            standing,
            until: when(health.open_until),
            last_error: health.last_error.zip(when(health.last_error_at)),
        }
    }
}

/// `POST /queues/{queue}/target`: what stands in the form; headers and secrets stay.
pub(crate) async fn set(visit: Visit, Path(queue): Path<String>, fields: Fields) -> Reply {
    let queue = QueueName::new(queue)?;
    find(&visit, &queue).await?;
    let mut form = TargetForm::from_fields(&fields);
    let kept = targets::find(visit.app.by_itself().store(), &queue).await?;
    let before = kept.map(|kept| kept.request());
    let number = |text: &str| text.parse::<u32>().map_err(|_| format!("{text:?} is no number of requests"));
    if let Some(concurrency) = form.concurrency.read(number) {
        let (url, timeout) = (form.url.text.clone(), Some(form.timeout.text.clone()));
        let url = match &before {
            // What was shown is what was kept, without what its query says.
            Some(before) if targets::without_query(&before.url) == url => before.url.clone(),
            _ => url,
        };
        let headers = before.map(|before| before.headers).unwrap_or_default();
        let request = TargetRequest { url, secrets: None, concurrency: Some(concurrency), timeout, headers };
        match targets::set(&visit.app, &queue, request).await {
            Ok(shape) if shape.secret.is_some() => return show_secret(&visit, &queue, shape.secret).await,
            Ok(shape) => {
                let done = Flash::good(format!("Jobs of queue {queue} are sent to {}.", shape.url));
                return Ok(back(&visit, &fields, &visit.frame("").queue(&queue), done));
            }
            Err(fault) => {
                let hint = fault.0.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
                form.fault = Some(format!("{}{hint}", fault.0.detail));
            }
        }
    }
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    draw(&visit, &queue, Shown { target: Some(form), status, ..Shown::default() }).await
}

/// `POST /queues/{queue}/target/rotate`: a new secret, shown once; the old one signs beside it for a day.
pub(crate) async fn rotate(visit: Visit, Path(queue): Path<String>) -> Reply {
    let queue = QueueName::new(queue)?;
    let shape = targets::rotate(&visit.app, &queue, RotateRequest::default()).await?;
    show_secret(&visit, &queue, shape.secret).await
}

/// The secret stands in the answer itself: nothing that outlives the page has it.
async fn show_secret(visit: &Visit, queue: &QueueName, secret: Option<String>) -> Reply {
    draw(visit, queue, Shown { secret, ..Shown::default() }).await
}

/// `POST /queues/{queue}/target/remove`.
pub(crate) async fn remove(visit: Visit, Path(queue): Path<String>, fields: Fields) -> Reply {
    let queue = QueueName::new(queue)?;
    let home = visit.frame("").queue(&queue);
    if is_confirmed(&fields) {
        targets::remove(&visit.app, &queue).await?;
        let done = Flash::good(format!("Jobs of queue {queue} are sent nowhere any more."));
        return Ok(back(&visit, &fields, &home, done));
    }
    ask(
        &visit,
        Question {
            place: "queues",
            title: format!("Stop sending jobs of queue {queue}?"),
            means: vec![
                "Requests that are under way are answered still. Jobs wait until a worker claims them.",
                "The address, its headers and its secrets are forgotten.",
            ],
            items: Vec::new(),
            more: 0,
            action: format!("{home}/target/remove"),
            fields: vec![("back", home.clone())],
            button: "Stop sending".to_owned(),
            is_danger: true,
            back: home,
        },
    )
}
