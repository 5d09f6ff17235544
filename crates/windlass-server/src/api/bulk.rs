//! Operations on all jobs that a filter means.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use windlass_api::bulk::{BulkRequest, Stage};
use windlass_api::filter::FilterShape;

use super::idempotency::Keyed;
use crate::answer::{Answer, Fault, items, json, json_with};
use crate::app::App;
use crate::bulk;
use crate::read;

/// `GET /v1/bulk`: those that go on and the last ones that ended, oldest first.
pub(crate) async fn list(State(app): State<App>) -> Answer {
    items(bulk::all(&app).await?)
}

/// `POST /v1/bulk`: begins one (202), or only counts with `dry_run`.
pub(crate) async fn begin(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Answer {
    let keyed = Keyed::of(&headers)?;
    let request: BulkRequest = read::json(&body)?;
    let mut filter = FilterShape::default();
    filter.add(&request.filter).map_err(Fault::bad_request)?;
    if filter == FilterShape::default() {
        let fault = Fault::bad_request("an empty filter means every job of the store");
        return Err(fault.hint("name the jobs: queue:email state:dead"));
    }
    filter.state.get_or_insert_with(|| request.action.states_text());
    // Looked at now, so that a filter that makes no sense is refused and not begun.
    filter.filter(app.client().now()).map_err(Fault::bad_request)?;
    if request.dry_run {
        return json(&bulk::preview(&app, &filter, None).await?);
    }
    json_with(StatusCode::ACCEPTED, &bulk::begin(&app, keyed.id(&app, 0), request, filter).await?)
}

/// `GET /v1/bulk/{id}`.
pub(crate) async fn get(State(app): State<App>, Path(id): Path<String>) -> Answer {
    let found = bulk::all(&app).await?.into_iter().find(|bulk| bulk.id == id);
    json(&found.ok_or_else(|| Fault::not_found(format!("operation {id}")))?)
}

/// `POST /v1/bulk/{id}/pause`.
pub(crate) async fn pause(State(app): State<App>, Path(id): Path<String>) -> Answer {
    json(&bulk::steer(&app, &id, Stage::Paused).await?)
}

/// `POST /v1/bulk/{id}/resume`.
pub(crate) async fn resume(State(app): State<App>, Path(id): Path<String>) -> Answer {
    json(&bulk::steer(&app, &id, Stage::Running).await?)
}

/// `POST /v1/bulk/{id}/abort`: what was done stays done.
pub(crate) async fn abort(State(app): State<App>, Path(id): Path<String>) -> Answer {
    json(&bulk::steer(&app, &id, Stage::Aborted).await?)
}
