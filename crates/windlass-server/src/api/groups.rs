//! The groups that share a queue.

use axum::body::Bytes;
use axum::extract::{Path, State};
use windlass_api::page::PageShape;
use windlass_api::queue::GroupShape;
use windlass_core::queue::GroupSettings;
use windlass_core::{GroupKey, QueueName};

use super::queues::whole;
use crate::answer::{Answer, done, json};
use crate::app::App;
use crate::read::{Pairs, key};

/// `GET /v1/queues/{queue}/groups`: one page of them, by key.
pub(crate) async fn list(State(app): State<App>, Path(queue): Path<String>, mut query: Pairs) -> Answer {
    let (after, limit) = (query.take_value::<GroupKey>("after")?, query.take_limit()?);
    query.end("after and limit")?;
    let page = app.store().groups(QueueName::new(queue)?, after, limit).await?;
    json(&PageShape::<GroupShape>::from(page))
}

async fn change(
    app: &App,
    queue: String,
    group: Option<GroupKey>,
    settings: Option<GroupSettings>,
) -> Answer {
    app.store().set_group(QueueName::new(queue)?, group, settings, None).await??;
    done()
}

/// `PUT /v1/queues/{queue}/groups/~{group}/settings`: settings of its own.
pub(crate) async fn set(
    State(app): State<App>,
    Path((queue, group)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    change(&app, queue, Some(key(&group)?), Some(whole(&body)?)).await
}

/// `DELETE /v1/queues/{queue}/groups/~{group}/settings`: the queue's defaults again.
pub(crate) async fn reset(State(app): State<App>, Path((queue, group)): Path<(String, String)>) -> Answer {
    change(&app, queue, Some(key(&group)?), None).await
}

/// `PUT /v1/queues/{queue}/ungrouped/settings`: of the jobs without a group.
pub(crate) async fn set_ungrouped(State(app): State<App>, Path(queue): Path<String>, body: Bytes) -> Answer {
    change(&app, queue, None, Some(whole(&body)?)).await
}

/// `DELETE /v1/queues/{queue}/ungrouped/settings`.
pub(crate) async fn reset_ungrouped(State(app): State<App>, Path(queue): Path<String>) -> Answer {
    change(&app, queue, None, None).await
}
