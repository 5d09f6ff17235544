//! What is handed out whole: everything that is known of a contact, and every message of a campaign.

use axum::{
    body,
    extract::{Request, State},
    http::{HeaderName, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use windlass_look::Visitor;

use super::{
    answer::Fault,
    ask::{Path, Query},
};
use crate::{
    app::{App, AppError},
    export::{self, Format},
    model::{CampaignId, ContactId},
    store::campaigns,
};

/// How an export is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct How {
    #[serde(default)]
    format: Option<Format>,
}

/// Lets only those on who may see names, addresses and texts.
pub(super) async fn only_payloads(visitor: Visitor, request: Request, next: Next) -> Result<Response, Fault> {
    if visitor.may_see_payloads { Ok(next.run(request).await) } else { Err(Fault::payloads()) }
}

/// The headers of a file that nobody between keeps.
pub(super) fn headers(format: Format) -> [(HeaderName, &'static str); 2] {
    [(header::CONTENT_TYPE, format.media_type()), (header::CACHE_CONTROL, "no-store")]
}

/// `GET /v1/contacts/{id}/export`
pub(super) async fn of_contact(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<ContactId>,
    Query(how): Query<How>,
) -> Result<Response, Fault> {
    let format = how.format.unwrap_or(Format::JsonLines);
    let lines = export::of_contact(&app, id, format).await?;
    visitor.note(&format!("exported contact {id}"));
    Ok((headers(format), lines).into_response())
}

/// `GET /v1/campaigns/{id}/export`
pub(super) async fn of_campaign(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<CampaignId>,
    Query(how): Query<How>,
) -> Result<Response, Fault> {
    let format = how.format.unwrap_or_default();
    let look = move |tx: &mut crate::db::Tx<'_>| Ok::<_, AppError>(campaigns::get(tx, id)?.is_some());
    if !app.db().read(look).await? {
        return Err(AppError::unknown("campaign", id).into());
    }
    visitor.note(&format!("exported the messages of campaign {id}"));
    let lines = body::Body::from_stream(export::of_campaign(&app, id, format));
    Ok((headers(format), lines).into_response())
}
