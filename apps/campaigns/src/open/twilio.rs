//! Callbacks about texts and calls, and texts that come in.

use axum::{
    body::Bytes,
    extract::{
        Path, State,
        rejection::{BytesRejection, PathRejection},
    },
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};

use super::{
    account,
    answer::{Problem, twiml},
    called,
};
use crate::{
    app::App,
    channel::rules::ProviderKind,
    flow::{
        inbound::{self, Text},
        news,
    },
    hooks::{
        CallbackEvent, HookError, What,
        twilio::{Form, SIGNATURE_HEADER, parse, verify},
    },
    model::{TouchId, provider::Provider},
};

/// What became of the text or call that the address names.
pub(super) async fn status(
    State(app): State<App>,
    path: Result<Path<(String, String)>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Path((provider, touch)) = path.map_err(|_| Problem::not_found())?;
    let (provider, event) = told(&app, &provider, &uri, &headers, body).await?;
    let Ok(touch) = touch.parse().map(TouchId) else { return Err(unknown()) };
    take(&app, &provider, Some(touch), event).await
}

/// A text that somebody wrote to a number of ours.
pub(super) async fn inbound(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Path(provider) = path.map_err(|_| Problem::not_found())?;
    let (provider, event) = told(&app, &provider, &uri, &headers, body).await?;
    take(&app, &provider, None, event).await
}

/// What the provider tells, once it is known to be the provider.
async fn told(
    app: &App,
    id: &str,
    uri: &Uri,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(Provider, CallbackEvent), Problem> {
    let form = Form::parse(&body?)?;
    let provider = account(app, id, &[ProviderKind::Twilio]).await?;
    let key = Some(&provider.callback_key).filter(|key| !key.is_empty()).unwrap_or(&provider.secret);
    let signature = headers.get(SIGNATURE_HEADER).and_then(|value| value.to_str().ok());
    let genuine = match called(app, uri) {
        Some(url) => verify(key, &url, &form, signature),
        None => Err(HookError::Key("no public address is set, and the signature is over it")),
    };
    if let Err(error) = genuine {
        tracing::warn!(provider = %provider.name, %error, "a callback is refused");
        return Err(error.into());
    }
    let event = parse(&form)?;
    Ok((provider, event))
}

/// Either address takes either kind, since both are set in the provider's own pages, by hand.
async fn take(
    app: &App,
    provider: &Provider,
    named: Option<TouchId>,
    event: CallbackEvent,
) -> Result<Response, Problem> {
    if let What::Inbound { from, to, body, opt_out } = &event.what {
        let text = Text { from: from.clone(), to: to.clone(), body: body.clone(), read_as: opt_out.clone() };
        let answer = inbound::text(app, provider, &event, text).await?;
        return Ok(twiml(answer.as_deref()));
    }
    match news::reports(app, provider, named, vec![event]).await? {
        0 => Err(unknown()),
        _ => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

fn unknown() -> Problem {
    Problem::unknown("no message of this account is known by that name")
}
