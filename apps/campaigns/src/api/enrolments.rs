//! Who of a campaign stands where.

use axum::{Json, extract::State};
use serde::Deserialize;

use super::{
    answer::Answer,
    ask::{self, Path, Query},
};
use crate::{
    app::App,
    enrolled::{self, Enrolled},
    model::{
        CampaignId, ContactId,
        campaign::{EnrolmentStatus, StopReason},
    },
    store::enrolments::Which,
};

/// Which contacts are meant, and which page of them: in their order, after that one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(default)]
    status: Option<EnrolmentStatus>,
    #[serde(default)]
    reason: Option<StopReason>,
    #[serde(default)]
    version: Option<u32>,
    #[serde(default)]
    step: Option<u32>,
    #[serde(default)]
    after: Option<i64>,
    #[serde(default)]
    limit: Option<u32>,
}

/// `GET /v1/campaigns/{id}/enrolments`
pub(super) async fn page(
    State(app): State<App>,
    Path(id): Path<CampaignId>,
    Query(asked): Query<Asked>,
) -> Answer<Vec<Enrolled>> {
    let Asked { status, reason, version, step, after, limit } = asked;
    let (after, limit) = (ContactId(after.unwrap_or(0)), ask::page_of(limit)?);
    let which = Which { status, reason, version, step };
    let now = app.now();
    Ok(Json(app.db().read(move |tx| enrolled::page(tx, id, &which, after, limit, now)).await?))
}
