//! Worker processes.

use axum::body::Bytes;
use axum::extract::{Path, State};
use windlass_api::store::{HelloShape, WorkerShape};
use windlass_api::work::worker;

use crate::answer::{Answer, Fault, done, items};
use crate::app::App;
use crate::read;

/// `GET /v1/workers`: those that said hello and not bye.
pub(crate) async fn list(State(app): State<App>) -> Answer {
    items(app.store().workers(None).await?.into_iter().map(WorkerShape::from))
}

/// `POST /v1/workers`: a worker is there.
pub(crate) async fn hello(State(app): State<App>, body: Bytes) -> Answer {
    let said: HelloShape = read::json(&body)?;
    app.store().hello(said.into(), None).await?;
    done()
}

/// `DELETE /v1/workers/{worker}`: a worker is gone; its leases stay until they are settled or run out.
pub(crate) async fn bye(State(app): State<App>, Path(id): Path<String>) -> Answer {
    let id = worker::parse(&id).map_err(Fault::bad_request)?;
    app.store().bye(id, None).await?;
    done()
}
