//! Named limits that jobs of any queue share.

use axum::body::Bytes;
use axum::extract::{Path, State};
use windlass_api::page::PageShape;
use windlass_api::queue::LimitShape;
use windlass_core::LimitName;

use super::queues::whole;
use crate::answer::{Answer, done, json};
use crate::app::App;
use crate::read::Pairs;

/// `GET /v1/limits`: one page of them, by name.
pub(crate) async fn list(State(app): State<App>, mut query: Pairs) -> Answer {
    let (after, limit) = (query.take_value::<LimitName>("after")?, query.take_limit()?);
    query.end("after and limit")?;
    let page = app.store().limits(after, limit).await?;
    json(&PageShape::<LimitShape>::from(page))
}

/// `PUT /v1/limits/{limit}`.
pub(crate) async fn set(State(app): State<App>, Path(limit): Path<String>, body: Bytes) -> Answer {
    app.store().set_limit(LimitName::new(limit)?, Some(whole(&body)?), None).await??;
    done()
}

/// `DELETE /v1/limits/{limit}`.
pub(crate) async fn remove(State(app): State<App>, Path(limit): Path<String>) -> Answer {
    app.store().set_limit(LimitName::new(limit)?, None, None).await??;
    done()
}
