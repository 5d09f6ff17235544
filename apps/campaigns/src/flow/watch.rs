//! What has become of a message, where the provider does not say so by itself.
//!
//! A callback may be lost, and an installation may have no address that a provider can call. So every text and call is
//! looked after until the provider says something that stays, or has said nothing for too long.

use std::time::Duration;

use windlass::{Ctx, JobError, Outcome, State};

use super::{failed, gateways::Gateway, jobs::WatchTouch, news};
use crate::{
    app::{App, AppError},
    hooks::{Progress, What},
    model::touch::TouchStatus,
    store::{providers, senders, touches},
};

/// How long a message is looked after: carriers report within three days or not at all.
const GIVEN_UP_AFTER_MS: u64 = 72 * 3_600_000;
/// The wait until the second look; doubled with each.
const FIRST_WAIT: Duration = Duration::from_secs(60);
/// The longest wait between two looks.
const LONGEST_WAIT: Duration = Duration::from_secs(4 * 3_600);

pub(super) async fn watch(job: WatchTouch, State(app): State<App>, cx: Ctx) -> Result<Outcome, JobError> {
    let id = job.touch;
    let looked = app
        .db()
        .read(move |tx| {
            let touch = touches::get(tx, id)?.ok_or_else(|| AppError::unknown("touch", id))?;
            let sender = touch.sender.map_or(Ok(None), |sender| senders::get(tx, sender))?;
            let provider = sender.map_or(Ok(None), |sender| providers::get(tx, sender.provider))?;
            Ok::<_, AppError>((touch, provider))
        })
        .await
        .map_err(failed)?;
    let (touch, Some(provider)) = looked else { return Ok(Outcome::Done) };
    let (TouchStatus::Sent, Some(provider_ref)) = (touch.status, touch.provider_ref.clone()) else {
        return Ok(Outcome::Done);
    };
    let Ok(Gateway::Twilio(twilio)) = app.gateways().of(&provider) else { return Ok(Outcome::Done) };
    let status = twilio.status(touch.channel, &provider_ref).await?;
    let (inner, now) = (app.clone(), app.now());
    let what = What::Progress(Progress::of_status(touch.channel, &status));
    // As its callback would be named, so that of the two only one is told.
    let key = news::key(&provider, &format!("{provider_ref}/{}", status.status));
    let (touch, ended) = app
        .db()
        .write(move |tx| {
            let touch = touches::get(tx, id)?.ok_or_else(|| AppError::unknown("touch", id))?;
            let ended = news::take_in(tx, &inner, &touch, &what, &provider.name, &key, now)?;
            Ok((touches::get(tx, id)?.ok_or_else(|| AppError::unknown("touch", id))?, ended))
        })
        .await
        .map_err(failed)?;
    news::settle(&app, ended).await.map_err(failed)?;
    let age_ms = now.0.saturating_sub(touch.sent_at.unwrap_or(now).0);
    if touch.status != TouchStatus::Sent || age_ms > GIVEN_UP_AFTER_MS {
        return Outcome::done_with(&status.status);
    }
    let looks = cx.attempt().min(16);
    let wait = FIRST_WAIT.saturating_mul(1 << looks).min(LONGEST_WAIT);
    Ok(Outcome::snooze(app.clock().wall_span(wait), format!("the provider says {}", status.status)))
}
