//! Requests that may be sent again: what a key makes of an enqueue.
//!
//! The ids of the jobs are made of the key, so the store itself knows a repeated one, under its own atomic step: two
//! requests with one key at the same time, at one server or two, are one. Before a batch it is asked whether the jobs
//! of the key are there and others than asked for; after it, whether one that was known is. So a key that is used for
//! another request is told, and nothing of that request is done unless both come at the same moment.

use axum::http::HeaderMap;
use windlass_api::idempotency::{HEADER, IdempotencyKey, is_same};
use windlass_core::store::{EnqueueStatus, Enqueued, Filter, PerItem};
use windlass_core::{JobId, NewJob};

use crate::answer::Fault;
use crate::app::App;

/// The key of a request, if it has one.
pub(crate) struct Keyed(Option<IdempotencyKey>);

impl Keyed {
    /// Reads the header.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Fault> {
        let Some(said) = headers.get(HEADER) else { return Ok(Self(None)) };
        let key = said.to_str().map_err(|error| error.to_string()).and_then(str::parse);
        key.map(|key| Self(Some(key))).map_err(|why| Fault::bad_request(format!("Idempotency-Key: {why}")))
    }

    /// The id of what stands at that place of the request: the key's, or a new one.
    pub(crate) fn id(&self, app: &App, place: usize) -> JobId {
        match &self.0 {
            Some(key) => key.id(place as u64),
            None => app.client().new_id(),
        }
    }

    /// Whether the request has a key.
    pub(crate) fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// Refuses a key that stands for other jobs than these, before anything is done.
    pub(crate) async fn expect(&self, app: &App, jobs: &[NewJob]) -> Result<(), Fault> {
        if self.is_there() { compare(app, jobs.iter().collect()).await } else { Ok(()) }
    }

    /// Refuses a key that stands for other jobs than these, as far as they were known.
    pub(crate) async fn confirm(
        &self,
        app: &App,
        jobs: &[NewJob],
        answers: &PerItem<Enqueued>,
    ) -> Result<(), Fault> {
        let known =
            |answer: &Result<Enqueued, _>| matches!(answer, Ok(done) if done.status == EnqueueStatus::Known);
        let known: Vec<&NewJob> =
            jobs.iter().zip(answers).filter(|(_, answer)| known(answer)).map(|(job, _)| job).collect();
        if self.is_there() && !known.is_empty() { compare(app, known).await } else { Ok(()) }
    }
}

/// Refuses if one of the jobs is there and is another one.
async fn compare(app: &App, jobs: Vec<&NewJob>) -> Result<(), Fault> {
    let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    let n = ids.len();
    let bodies = app.store().bodies(ids.clone()).await?;
    if bodies.iter().all(Option::is_none) {
        return Ok(());
    }
    let page = app.store().list(Filter { ids, ..Filter::default() }, None, n, n).await??;
    for (job, body) in jobs.into_iter().zip(bodies) {
        let view = page.items.iter().find(|view| view.id == job.id);
        if let (Some(view), Some(body)) = (view, body)
            && !is_same(job, view, &body.payload)
        {
            let mut fault = Fault::new(
                "idempotency_key_reused",
                format!("the key was used for another request, which made job {}", job.id),
            )
            .hint("give every request a key of its own, and the same one only to its repetition");
            fault.0.more.insert("job".into(), job.id.to_string().into());
            return Err(fault);
        }
    }
    Ok(())
}
