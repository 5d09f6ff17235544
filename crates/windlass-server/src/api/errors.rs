//! Failure modes: dead and retrying jobs that failed the same way.

use axum::extract::State;
use windlass_api::event::FailureModeShape;

use crate::answer::{Answer, items};
use crate::app::App;
use crate::read::Pairs;

/// `GET /v1/errors`: of one queue or of all, most dead first.
pub(crate) async fn list(State(app): State<App>, mut query: Pairs) -> Answer {
    let (queue, limit) = (query.take_value("queue")?, query.take_limit()?);
    query.end("queue and limit")?;
    items(app.store().errors(queue, limit).await?.into_iter().map(FailureModeShape::from))
}
