//! From what has gathered at a channel to a notice that has arrived.
//!
//! A notice is taken by one server, by compare-and-set, and is its own until it has gone out or its time is over. If that
//! server dies meanwhile another sends it again, under the same id. A channel that fails is tried again, later each
//! time; what happens meanwhile gathers, and no other channel waits for it.

use std::time::{Duration, Instant};

use windlass_api::monitor::{Channel, Notice};
use windlass_core::Time;

use super::config::Config;
use super::notice;
use super::record::{self, Post, Record, Sending};
use crate::app::App;

/// How long changes gather before they are told as one notice: what breaks together is told together.
const GATHER_MS: u64 = 20_000;
/// Notices of a channel within an hour. What comes beyond gathers until one may go out again.
pub(super) const NOTICES_AN_HOUR: usize = 20;
const HOUR_MS: u64 = 3_600_000;
/// How long a channel may take for a notice.
pub(super) const SEND_WITHIN: Duration = Duration::from_secs(20);
/// How long a notice is its server's: a try, and the time to write down how it went.
const OWNED_MS: u64 = 60_000;
/// After the first try that failed; twice as long after each further one.
const RETRY_MS_LEAST: u64 = 15_000;
/// The longest time between two tries.
const RETRY_MS_MOST: u64 = 900_000;
/// After so long a notice is told no more: a person who reads it would be misled.
const GIVE_UP_MS: u64 = 86_400_000;
/// Bytes of an error that is shown with its channel.
const ERROR_BYTES_MOST: usize = 300;

/// A notice that this server has taken.
pub(super) struct Due {
    name: String,
    channel: Channel,
    notice: Notice,
}

/// Takes the notices that are due, for this server.
pub(super) fn take_due(record: &mut Record, config: &Config, me: &str, now: Time) -> Vec<Due> {
    let Record { incidents, posts, .. } = record;
    let mut due = Vec::new();
    for (name, post) in posts.iter_mut() {
        let Some(channel) = config.channels.get(name) else { continue };
        post.sent_at.retain(|at| now.since(*at) < HOUR_MS);
        if let Some(sending) = post.sending.take_if(|sending| now.since(sending.began_at) > GIVE_UP_MS) {
            tracing::error!(target: "alert", channel = name, notice = sending.notice.data.summary, "a notice is given up");
        }
        if post.sending.is_none() && is_ripe(post, now) {
            let told: Vec<_> = std::mem::take(&mut post.waiting)
                .into_iter()
                .filter_map(|(id, change)| {
                    let kept = incidents.iter().find(|kept| kept.incident.id == id)?;
                    Some((change, kept.incident.clone()))
                })
                .collect();
            post.waiting_since = None;
            post.sending = notice::of(told, now).map(|notice| Sending {
                notice,
                owner: None,
                until: now,
                began_at: now,
            });
        }
        let Some(sending) = post.sending.as_mut().filter(|sending| sending.until <= now) else { continue };
        (sending.owner, sending.until) = (Some(me.to_owned()), now.plus_ms(OWNED_MS));
        due.push(Due { name: name.clone(), channel: channel.clone(), notice: sending.notice.clone() });
    }
    due
}

/// Whether what has gathered is to be told now.
fn is_ripe(post: &Post, now: Time) -> bool {
    post.waiting_since.is_some_and(|since| now.since(since) >= GATHER_MS)
        && post.sent_at.len() < NOTICES_AN_HOUR
}

/// Sends a notice that this server has taken, and writes down how it went. `began` is the time of the look that took it.
pub(super) async fn deliver(app: App, due: Due, began: Time) {
    let Due { name, channel, mut notice } = due;
    let at = Instant::now();
    notice::link(&mut notice, app.options().public_url.as_deref());
    let answer = app.monitor().channels.send(&channel, &name, &notice).await;
    if let Err(why) = &answer {
        tracing::warn!(channel = name, why, "a notice did not arrive");
    }
    let me = app.monitor().me.0.clone();
    let id = notice.data.id;
    let now = began.plus_ms(u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX));
    let kept = record::change(&app, |record| {
        let Some(post) = record.posts.get_mut(&name) else { return Ok(()) };
        let is_it = |sending: &&mut Sending| {
            sending.notice.data.id == id && sending.owner.as_deref() == Some(me.as_str())
        };
        let Some(sending) = post.sending.as_mut().filter(is_it) else { return Ok(()) };
        match &answer {
            Ok(()) => {
                post.sending = None;
                post.sent_at.push(now);
                (post.delivered_at, post.failures, post.error) = (Some(now), 0, None);
            }
            Err(why) => {
                post.failures = post.failures.saturating_add(1);
                post.error = Some(windlass_core::bounds::cut(why, ERROR_BYTES_MOST).to_owned());
                (sending.owner, sending.until) = (None, now.plus_ms(pause_ms(post.failures)));
            }
        }
        Ok(())
    });
    // Where the store is away its time runs out, and it is sent again.
    if let Err(fault) = kept.await {
        tracing::warn!(channel = name, why = fault.0.detail, "how a notice went could not be written down");
    }
}

/// How long after that many tries the next one comes.
fn pause_ms(failures: u32) -> u64 {
    RETRY_MS_LEAST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(RETRY_MS_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_come_later_each_time_up_to_a_quarter_of_an_hour() {
        assert_eq!(
            [1, 2, 3, 6, 7, 4_000_000_000].map(pause_ms),
            [15_000, 30_000, 60_000, 480_000, 900_000, 900_000]
        );
    }
}
