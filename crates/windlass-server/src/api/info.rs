//! What the store is and gives, and what is due in it.

use axum::body::Bytes;
use axum::extract::State;
use windlass_api::store::{UpkeepRequest, UpkeepShape};
use windlass_core::bounds::BATCH_ITEMS_MAX;

use crate::answer::{Answer, json};
use crate::app::App;
use crate::read;

/// `GET /v1/info`.
pub(crate) async fn info(State(app): State<App>) -> Answer {
    json(&app.store().info().await?)
}

/// `POST /v1/upkeep`: does what is due, of which a store that is open takes care by itself.
pub(crate) async fn upkeep(State(app): State<App>, body: Bytes) -> Answer {
    let UpkeepRequest { budget } = read::json(&body)?;
    let report = app.store().upkeep(budget.clamp(1, BATCH_ITEMS_MAX), None).await?;
    json(&UpkeepShape::from(report))
}
