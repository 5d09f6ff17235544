//! Jobs as people see and change them.

use axum::body::Bytes;
use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use windlass_api::filter::FilterShape;
use windlass_api::job::{BodyShape, JobRecord, JobRow, WhyRecord};
use windlass_api::page::PageShape;
use windlass_api::work::{CancelledShape, EditRequest, EditShape, Ids};
use windlass_core::JobId;
use windlass_core::bounds::{LIST_BUDGET_DEFAULT, LIST_BUDGET_MAX, PAGE_MAX};
use windlass_core::store::{Cancelled, PerItem};
use windlass_core::why::Reason;

use crate::answer::{Answer, Fault, done, json, only, results, text};
use crate::app::App;
use crate::read::{self, Pairs, job_id};

/// What may be said of a list.
const KNOWN: &str = "filter, queue, state, group, kind, fingerprint, tag, after, before, error, payload, id, cursor, limit and budget";

/// Which page of which jobs.
struct Search {
    filter: FilterShape,
    cursor: Option<String>,
    limit: Option<usize>,
    budget: Option<usize>,
}

/// One page of the jobs that a filter means.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SearchRequest<'a> {
    /// Which jobs; all unless said.
    #[serde(borrow)]
    #[schemars(with = "Option<FilterShape>")]
    filter: Option<&'a RawValue>,
    /// What the last page gave as `next`.
    cursor: Option<String>,
    /// Jobs of the page; as many as there may be unless said.
    #[schemars(range(min = 1, max = PAGE_MAX))]
    limit: Option<usize>,
    /// Jobs that are looked at.
    #[schemars(range(min = 1, max = LIST_BUDGET_MAX))]
    budget: Option<usize>,
}

/// `GET /v1/jobs`: one page of the jobs that a filter means.
pub(crate) async fn list(State(app): State<App>, mut query: Pairs) -> Answer {
    let (cursor, limit) = (query.take("cursor")?, query.take_limit()?);
    let budget = query.take_value("budget")?;
    let spelled = query.take("filter")?;
    let mut fields = serde_json::Map::new();
    for (name, _) in windlass_api::filter::CONDITIONS {
        if let Some(value) = query.take(name)? {
            fields.insert(name.to_owned(), value.into());
        }
    }
    query.end(KNOWN)?;
    let mut filter: FilterShape =
        serde_json::from_value(fields.into()).map_err(|error| Fault::bad_request(error.to_string()))?;
    if let Some(spelled) = spelled {
        filter.add(&spelled).map_err(Fault::bad_request)?;
    }
    page(&app, Search { filter, cursor, limit: Some(limit), budget }).await
}

/// `POST /v1/jobs/search`: the same with the filter in the body, which may be longer than an address.
pub(crate) async fn search(State(app): State<App>, body: Bytes) -> Answer {
    let SearchRequest { filter, cursor, limit, budget } = read::json(&body)?;
    let filter = filter.map_or(Ok(FilterShape::default()), |filter| read::json(filter.get().as_bytes()))?;
    page(&app, Search { filter, cursor, limit, budget }).await
}

async fn page(app: &App, search: Search) -> Answer {
    let filter = search.filter.filter(app.client().now()).map_err(Fault::bad_request)?;
    let limit = read::between("limit", search.limit.unwrap_or(PAGE_MAX), PAGE_MAX)?;
    let budget = read::between("budget", search.budget.unwrap_or(LIST_BUDGET_DEFAULT), LIST_BUDGET_MAX)?;
    let page = app.store().list(filter, search.cursor, limit, budget).await??;
    json(&PageShape::<JobRow>::from(page))
}

/// `GET /v1/jobs/{id}`: everything about one job.
pub(crate) async fn get(State(app): State<App>, Path(id): Path<String>) -> Answer {
    let id = job_id(&id)?;
    match app.store().get(id).await? {
        Some(job) => json(&JobRecord::from(job)),
        None => Err(Fault::not_found(format!("job {id}"))),
    }
}

/// `GET /v1/jobs/{id}/why`: why it is not running.
pub(crate) async fn why(State(app): State<App>, Path(id): Path<String>) -> Answer {
    let id = job_id(&id)?;
    let mut why = app.store().why(id, None).await??;
    if why.reason == Reason::RateLimited
        && let Some(job) = app.store().get(id).await?
    {
        app.options().push.explain(&mut why, &job.view.queue, app.client().now());
    }
    json(&WhyRecord::new(id, why))
}

/// `GET /v1/jobs/{id}/attempts/{attempt}/log`: what its handler wrote.
pub(crate) async fn log(State(app): State<App>, Path((id, attempt)): Path<(String, String)>) -> Answer {
    let attempt = read::value("attempt", &attempt)?;
    text(app.store().logs(job_id(&id)?, attempt).await??)
}

/// What jobs bring to their handlers.
#[derive(JsonSchema, Serialize)]
pub(crate) struct Bodies {
    /// One for each job, as far as they fit.
    results: Vec<Option<BodyShape>>,
}

/// `POST /v1/jobs/bodies`: what these jobs bring to their handlers, as many of them as fit in an answer.
pub(crate) async fn bodies(State(app): State<App>, body: Bytes) -> Answer {
    // What does not fit in one answer is for the next, so there may be any number.
    let Ids { ids } = read::json(&body)?;
    let bodies = app.store().bodies(ids).await?;
    json(&Bodies { results: bodies.into_iter().map(|body| body.map(BodyShape::from)).collect() })
}

/// The ids of a body, no more than a batch has.
fn ids(body: &[u8]) -> Result<Vec<JobId>, Fault> {
    let Ids { ids } = read::json(body)?;
    read::batch(ids)
}

fn cancelled(all: PerItem<Cancelled>) -> Answer {
    use windlass_api::page::ItemAnswer;
    let results = all.into_iter().map(|item| ItemAnswer(item.map(|cancelled| CancelledShape { cancelled })));
    json(&windlass_api::work::Results { results: results.collect() })
}

/// `POST /v1/jobs/cancel`.
pub(crate) async fn cancel(State(app): State<App>, body: Bytes) -> Answer {
    let ids = ids(&body)?;
    cancelled(app.store().cancel(ids, None).await?)
}

/// `POST /v1/jobs/{id}/cancel`.
pub(crate) async fn cancel_one(State(app): State<App>, Path(id): Path<String>) -> Answer {
    let cancelled = only(app.store().cancel(vec![job_id(&id)?], None).await?)?;
    json(&CancelledShape { cancelled })
}

/// `POST /v1/jobs/retry`.
pub(crate) async fn retry(State(app): State<App>, body: Bytes) -> Answer {
    let ids = ids(&body)?;
    results(app.store().retry(ids, None).await?)
}

/// `POST /v1/jobs/{id}/retry`.
pub(crate) async fn retry_one(State(app): State<App>, Path(id): Path<String>) -> Answer {
    only(app.store().retry(vec![job_id(&id)?], None).await?)?;
    done()
}

/// `POST /v1/jobs/run-now`.
pub(crate) async fn run_now(State(app): State<App>, body: Bytes) -> Answer {
    let ids = ids(&body)?;
    results(app.store().run_now(ids, None).await?)
}

/// `POST /v1/jobs/{id}/run-now`.
pub(crate) async fn run_now_one(State(app): State<App>, Path(id): Path<String>) -> Answer {
    only(app.store().run_now(vec![job_id(&id)?], None).await?)?;
    done()
}

/// `POST /v1/jobs/delete`.
pub(crate) async fn delete(State(app): State<App>, body: Bytes) -> Answer {
    let ids = ids(&body)?;
    results(app.store().delete(ids, None).await?)
}

/// `DELETE /v1/jobs/{id}`.
pub(crate) async fn delete_one(State(app): State<App>, Path(id): Path<String>) -> Answer {
    only(app.store().delete(vec![job_id(&id)?], None).await?)?;
    done()
}

/// `POST /v1/jobs/edit`.
pub(crate) async fn edit(State(app): State<App>, body: Bytes) -> Answer {
    let request: EditRequest<'_> = read::json(&body)?;
    let edits = read::batch(request.edits)?.into_iter().map(EditShape::edit).collect::<Result<_, _>>()?;
    results(app.store().edit(edits, None).await?)
}

/// `PATCH /v1/jobs/{id}`.
pub(crate) async fn edit_one(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Answer {
    let mut said: EditShape<'_> = read::json(&body)?;
    said.id = Some(job_id(&id)?);
    only(app.store().edit(vec![said.edit()?], None).await?)?;
    done()
}
