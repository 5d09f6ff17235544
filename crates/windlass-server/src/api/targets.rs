//! Where queues' jobs are pushed.

use axum::body::Bytes;
use axum::extract::{Path, State};
use windlass_api::target::{RotateRequest, TargetRequest};
use windlass_core::QueueName;

use crate::answer::{Answer, done, items, json};
use crate::app::App;
use crate::push::targets;
use crate::read;

/// `GET /v1/targets`: of all queues.
pub(crate) async fn list(State(app): State<App>) -> Answer {
    let now = app.client().now();
    let shape = |kept: &targets::Kept| kept.shape(app.options().push.health(&kept.queue, now), now);
    let all = targets::read(app.by_itself().store()).await?.0;
    items(all.iter().filter(|kept| app.caller().sees(&kept.queue).is_ok()).map(shape))
}

/// `GET /v1/queues/{queue}/target`.
pub(crate) async fn get(State(app): State<App>, Path(queue): Path<String>) -> Answer {
    let (queue, now) = (QueueName::new(queue)?, app.client().now());
    app.caller().sees(&queue)?;
    let kept = targets::find(app.by_itself().store(), &queue).await?.ok_or_else(|| targets::none(&queue))?;
    json(&kept.shape(app.options().push.health(&queue, now), now))
}

/// `PUT /v1/queues/{queue}/target`: all of it; secrets that are not said stay.
pub(crate) async fn set(State(app): State<App>, Path(queue): Path<String>, body: Bytes) -> Answer {
    let request: TargetRequest = read::json(&body)?;
    json(&targets::set(&app, &QueueName::new(queue)?, request).await?)
}

/// `DELETE /v1/queues/{queue}/target`: requests that are under way are answered still.
pub(crate) async fn remove(State(app): State<App>, Path(queue): Path<String>) -> Answer {
    targets::remove(&app, &QueueName::new(queue)?).await?;
    done()
}

/// `POST /v1/queues/{queue}/target/rotate`: a new secret, and the old one beside it for a while.
pub(crate) async fn rotate(State(app): State<App>, Path(queue): Path<String>, body: Bytes) -> Answer {
    let request: RotateRequest = read::json(&body)?;
    json(&targets::rotate(&app, &QueueName::new(queue)?, request).await?)
}
