//! A POST, signed as Standard Webhooks says.

use std::time::{SystemTime, UNIX_EPOCH};

use windlass_api::monitor::{Channel, Notice};
use windlass_webhook::{Guard, NoWay, Post, Secret, Sender, Target, TargetUrl};

use crate::monitor::post::SEND_WITHIN;

/// Whether there can be such a channel, and whether it may be reached as things are. A host without an address may have
/// one tomorrow.
pub(super) async fn check(guard: &Guard, channel: &Channel) -> Result<(), String> {
    let target = target(channel)?;
    match guard.check(target.url()).await {
        Ok(()) | Err(NoWay::Unresolved { .. }) => Ok(()),
        Err(no_way) => Err(format!("url: {no_way}")),
    }
}

fn target(channel: &Channel) -> Result<Target, String> {
    let Channel::Webhook { url, secret } = channel else { return Err("it is no webhook".to_owned()) };
    let url = TargetUrl::parse(url).map_err(|why| format!("url: {why}"))?;
    let secret = secret.as_deref().map(Secret::parse).transpose().map_err(|why| format!("secret: {why}"))?;
    Ok(Target::new(url).signed_by(secret).within(SEND_WITHIN))
}

/// Sends it; every answer of the 200s takes it.
pub(super) async fn send(sender: &Sender, channel: &Channel, notice: &Notice) -> Result<(), String> {
    let body = serde_json::to_vec(notice).map_err(|error| error.to_string())?;
    // The time of the signature is the time of the try, by the clock that the receiver compares its own with.
    let at_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let post = Post { id: &notice.data.id, at_s, ..Post::json(&body) };
    let answer = sender.post(&target(channel)?, post).await.map_err(|why| why.to_string())?;
    match answer.status {
        200..=299 => Ok(()),
        status => Err(format!("it answered {status}")),
    }
}
