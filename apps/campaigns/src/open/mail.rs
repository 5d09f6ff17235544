//! Events of mails: a batch with one signature.

use axum::{
    body::Bytes,
    extract::{
        Path, State,
        rejection::{BytesRejection, PathRejection},
    },
    http::{HeaderMap, StatusCode},
};

use super::{account, answer::Problem};
use crate::{
    app::App,
    channel::rules::ProviderKind,
    flow::news,
    hooks::http_mail::{MAX_AWAY_MS, SIGNATURE_HEADER, TIMESTAMP_HEADER, VerificationKey, parse},
};

/// What became of mails. An account may carry mails of others, so what names none of ours is passed over: a refusal would
/// make the provider tell the whole batch for a day.
pub(super) async fn events(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    let Path(provider) = path.map_err(|_| Problem::not_found())?;
    let body = body?;
    let provider = account(&app, &provider, &[ProviderKind::HttpMail]).await?;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (signature, signed_at) = (header(SIGNATURE_HEADER), header(TIMESTAMP_HEADER));
    // The provider's time is the wall's, also where the application's runs faster.
    let wall = app.client().now();
    let genuine = VerificationKey::parse(&provider.callback_key)
        .and_then(|key| key.verify(&body, signature, signed_at, wall, MAX_AWAY_MS));
    if let Err(error) = genuine {
        tracing::warn!(provider = %provider.name, %error, "a batch of events is refused");
        return Err(error.into());
    }
    let batch = parse(&body)?;
    let (read, unreadable) = (batch.events.len(), batch.unreadable);
    let known = news::reports(&app, &provider, None, batch.events).await?;
    if known < read || unreadable > 0 {
        tracing::debug!(provider = %provider.name, read, known, unreadable, "some events say nothing of our mails");
    }
    Ok(StatusCode::NO_CONTENT)
}
