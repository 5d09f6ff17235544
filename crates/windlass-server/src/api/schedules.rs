//! Jobs on a clock.

use axum::body::Bytes;
use axum::extract::{Path, State};
use windlass_api::schedule::{ScheduleRequest, ScheduleShape};
use windlass_core::ScheduleName;
use windlass_core::store::ScheduleInfo;

use crate::answer::{Answer, Fault, done, items, json};
use crate::app::App;
use crate::read;

/// `GET /v1/schedules`.
pub(crate) async fn list(State(app): State<App>) -> Answer {
    let now = app.client().now();
    items(app.store().schedules().await?.into_iter().map(|info| ScheduleShape::new(info, now)))
}

async fn find(app: &App, name: &ScheduleName) -> Result<ScheduleInfo, Fault> {
    let found = app.store().schedules().await?.into_iter().find(|info| info.spec.name == *name);
    found.ok_or_else(|| Fault::not_found(format!("schedule {name}")))
}

/// `GET /v1/schedules/{schedule}`.
pub(crate) async fn get(State(app): State<App>, Path(name): Path<String>) -> Answer {
    let info = find(&app, &ScheduleName::new(name)?).await?;
    json(&ScheduleShape::new(info, app.client().now()))
}

/// `PUT /v1/schedules/{schedule}`: creates or changes it.
pub(crate) async fn set(State(app): State<App>, Path(name): Path<String>, body: Bytes) -> Answer {
    let request: ScheduleRequest = read::json(&body)?;
    app.store().set_schedule(request.spec(ScheduleName::new(name)?)?, None).await??;
    done()
}

/// `DELETE /v1/schedules/{schedule}`: jobs that it made stay.
pub(crate) async fn remove(State(app): State<App>, Path(name): Path<String>) -> Answer {
    app.store().delete_schedule(ScheduleName::new(name)?, None).await??;
    done()
}
