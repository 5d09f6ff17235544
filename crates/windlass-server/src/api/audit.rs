//! Who changed what.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use windlass_api::audit::AuditRecord;

use crate::answer::{Answer, json};
use crate::app::App;
use crate::audit;
use crate::read::Pairs;

/// A page of records.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Records {
    items: Vec<AuditRecord>,
    /// Where to go on, as `before`; null at the end.
    next: Option<String>,
}

/// `GET /v1/audit`: the newest records before that place, newest first.
pub(crate) async fn list(State(app): State<App>, mut query: Pairs) -> Answer {
    let (before, limit) = (query.take_value::<u64>("before")?, query.take_limit()?);
    query.end("before and limit")?;
    let page = audit::read(app.by_itself().store().as_ref(), before, limit).await?;
    json(&Records { items: page.items, next: page.next.map(|place| place.to_string()) })
}
