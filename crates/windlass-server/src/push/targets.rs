//! The targets as the store keeps them: one list, changed by whoever comes first with the version that is current.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass_api::spell::span;
use windlass_api::target::{Health, RotateRequest, TargetRequest, TargetShape};
use windlass_core::store::Store;
use windlass_core::{QueueName, StoreError, Time};
use windlass_webhook::{NoWay, SECRETS_MAX, Secret, Target, TargetUrl, header};

use crate::answer::Fault;
use crate::app::App;
use crate::kept::Place;

/// Where the store keeps them.
const PLACE: Place<Vec<Kept>> = Place::new("windlass.targets", "the list of targets");
/// Targets of one store: each is a worker of its own on every server.
const TARGETS_MAX: usize = 200;
/// Headers of one target, and the bytes of all of them: every request bears them.
const HEADERS_MAX: usize = 16;
const HEADER_BYTES_MAX: usize = 8 << 10;
/// Requests at once, unless said, and at most: each holds a connection and a job.
const CONCURRENCY: u32 = 10;
const CONCURRENCY_MAX: u32 = 1_000;
/// How long a target may take for an answer, unless said, and at most. The lease is kept for as long.
const TIMEOUT_MS: u64 = 30_000;
const TIMEOUT_MS_MAX: u64 = 3_600_000;
/// How long an old secret still signs, unless said, and at most.
const KEEP_MS: u64 = 24 * 3_600_000;
const KEEP_MS_MAX: u64 = 30 * KEEP_MS;

/// A target as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) queue: QueueName,
    url: String,
    secrets: Vec<KeptSecret>,
    pub(crate) concurrency: u32,
    timeout_ms: u64,
    headers: BTreeMap<String, String>,
    #[serde(with = "windlass_api::time")]
    changed_at: Time,
}

/// A secret, and until when it signs.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct KeptSecret {
    secret: String,
    #[serde(with = "windlass_api::time::or_null")]
    until: Option<Time>,
}

impl std::fmt::Debug for KeptSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptSecret").field("until", &self.until).finish_non_exhaustive()
    }
}

impl Kept {
    /// The target as it is sent to at that time.
    pub(crate) fn target(&self, now: Time) -> Result<Target, String> {
        let url = TargetUrl::parse(&self.url).map_err(|why| why.to_string())?;
        let live = self.secrets.iter().filter(|secret| secret.until.is_none_or(|until| until > now));
        let secrets = live.map(|kept| Secret::parse(&kept.secret)).collect::<Result<Vec<_>, _>>();
        let headers = self.headers.iter().map(|(name, value)| header(name, value));
        let headers = headers.collect::<Result<Vec<_>, _>>().map_err(|why| why.to_string())?;
        let target = Target::new(url).within(Duration::from_millis(self.timeout_ms)).with_headers(headers);
        Ok(target.signed_by(secrets.map_err(|why| why.to_string())?))
    }

    /// The request that would set it again, without its secrets.
    pub(crate) fn request(&self) -> TargetRequest {
        TargetRequest {
            url: self.url.clone(),
            secrets: None,
            concurrency: Some(self.concurrency),
            timeout: Some(span::exact(self.timeout_ms)),
            headers: self.headers.clone(),
        }
    }

    /// The host that is sent to.
    pub(crate) fn host(&self) -> Option<String> {
        TargetUrl::parse(&self.url).ok().map(|url| url.host().to_owned())
    }

    /// The target as it may be shown.
    pub(crate) fn shape(&self, health: Health, now: Time) -> TargetShape {
        let live = |secret: &&KeptSecret| secret.until.is_none_or(|until| until > now);
        TargetShape {
            queue: self.queue.clone(),
            url: without_query(&self.url),
            concurrency: self.concurrency,
            timeout_ms: self.timeout_ms,
            headers: self.headers.keys().cloned().collect(),
            secrets: self.secrets.iter().filter(live).count(),
            secret: None,
            changed_at: self.changed_at,
            health,
        }
    }
}

/// An address without what its query says, which may be secret.
pub(crate) fn without_query(url: &str) -> String {
    match url.split_once('?') {
        Some((front, _)) => format!("{front}?…"),
        None => url.to_owned(),
    }
}

/// All of them, by queue, and the version of the list.
pub(crate) async fn read(store: &Arc<dyn Store>) -> Result<(Vec<Kept>, u64), StoreError> {
    PLACE.read(store.as_ref()).await
}

/// Changes the list.
async fn change<T>(
    store: &Arc<dyn Store>,
    mut how: impl FnMut(&mut Vec<Kept>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let change = |list: &mut Vec<Kept>| {
        let answer = how(list)?;
        list.sort_by(|a, b| a.queue.cmp(&b.queue));
        Ok(answer)
    };
    PLACE.change(store.as_ref(), change).await
}

/// The target of that queue.
pub(crate) async fn find(store: &Arc<dyn Store>, queue: &QueueName) -> Result<Option<Kept>, Fault> {
    Ok(read(store).await?.0.into_iter().find(|kept| kept.queue == *queue))
}

/// A target, and the secret that was made for it.
type Made = (Kept, Option<String>);

/// Sets a target that may be reached from here.
pub(crate) async fn set(app: &App, queue: &QueueName, request: TargetRequest) -> Result<TargetShape, Fault> {
    let now = app.client().now();
    let url = TargetUrl::parse(&request.url).map_err(|why| Fault::bad_request(format!("url: {why}")))?;
    let wanted = wanted(queue, request, now)?;
    may_be_reached(app, &url).await?;
    app.note(&format!("set the target of queue {queue}"));
    Ok(told(app, now, put(app.by_itself().store(), wanted).await?))
}

/// Makes a new secret; the old one signs beside it for a while.
pub(crate) async fn rotate(
    app: &App,
    queue: &QueueName,
    request: RotateRequest,
) -> Result<TargetShape, Fault> {
    let now = app.client().now();
    app.note(&format!("make a new secret for the target of queue {queue}"));
    Ok(told(app, now, turn(app.by_itself().store(), now, queue, request).await?))
}

/// Takes the target away; requests that are under way are answered still.
pub(crate) async fn remove(app: &App, queue: &QueueName) -> Result<(), Fault> {
    take_away(app.by_itself().store(), queue).await?;
    app.note(&format!("take away the target of queue {queue}"));
    app.options().push.ring();
    Ok(())
}

/// The answer, once this server has been told.
fn told(app: &App, now: Time, (kept, secret): Made) -> TargetShape {
    let push = &app.options().push;
    push.ring();
    TargetShape { secret, ..kept.shape(push.health(&kept.queue, now), now) }
}

fn made() -> Result<String, Fault> {
    Ok(Secret::generate().map_err(|why| Fault::new("internal", why.to_string()))?.reveal())
}

pub(super) async fn put(store: &Arc<dyn Store>, wanted: Kept) -> Result<Made, Fault> {
    let made = made()?;
    change(store, |list| {
        let mut kept = wanted.clone();
        let place = list.iter().position(|other| other.queue == wanted.queue);
        let mut secret = None;
        match place {
            Some(place) if kept.secrets.is_empty() => kept.secrets.clone_from(&list[place].secrets),
            None if list.len() >= TARGETS_MAX => {
                let told = format!("{TARGETS_MAX} queues have targets already");
                return Err(Fault::bad_request(told).hint("remove one that is no longer needed"));
            }
            None if kept.secrets.is_empty() => {
                kept.secrets.push(KeptSecret { secret: made.clone(), until: None });
                secret = Some(made.clone());
            }
            _ => {}
        }
        match place {
            Some(place) => list[place] = kept.clone(),
            None => list.push(kept.clone()),
        }
        Ok((kept, secret))
    })
    .await
}

pub(super) async fn turn(
    store: &Arc<dyn Store>,
    now: Time,
    queue: &QueueName,
    request: RotateRequest,
) -> Result<Made, Fault> {
    let keep_ms = spelled("keep", request.keep.as_deref(), KEEP_MS)?;
    if keep_ms > KEEP_MS_MAX {
        return Err(Fault::bad_request(format!("keep: at most {}", span::exact(KEEP_MS_MAX))));
    }
    let made = made()?;
    change(store, |list| {
        let kept = list.iter_mut().find(|kept| kept.queue == *queue).ok_or_else(|| none(queue))?;
        kept.secrets.truncate(SECRETS_MAX - 1);
        kept.secrets.iter_mut().for_each(|old| old.until = Some(now.plus_ms(keep_ms)));
        kept.secrets.insert(0, KeptSecret { secret: made.clone(), until: None });
        kept.changed_at = now;
        Ok((kept.clone(), Some(made.clone())))
    })
    .await
}

pub(super) async fn take_away(store: &Arc<dyn Store>, queue: &QueueName) -> Result<(), Fault> {
    change(store, |list| {
        let before = list.len();
        list.retain(|kept| kept.queue != *queue);
        if list.len() < before { Ok(()) } else { Err(none(queue)) }
    })
    .await
}

/// There is no target.
pub(crate) fn none(queue: &QueueName) -> Fault {
    let hint = format!("set one: PUT /v1/queues/{queue}/target {{\"url\":\"https://…\"}}");
    Fault::not_found(format!("a target of queue {queue}")).hint(hint)
}

pub(super) fn wanted(queue: &QueueName, request: TargetRequest, now: Time) -> Result<Kept, Fault> {
    let bad = |told: String| Err(Fault::bad_request(told));
    TargetUrl::parse(&request.url).map_err(|why| Fault::bad_request(format!("url: {why}")))?;
    let secrets = request.secrets.unwrap_or_default();
    if secrets.len() > SECRETS_MAX {
        return bad(format!("secrets: at most {SECRETS_MAX} sign a request, the new one and the old one"));
    }
    for secret in &secrets {
        Secret::parse(secret).map_err(|why| Fault::bad_request(format!("secrets: {why}")))?;
    }
    let concurrency = request.concurrency.unwrap_or(CONCURRENCY);
    if !(1..=CONCURRENCY_MAX).contains(&concurrency) {
        return bad(format!("concurrency: 1 to {CONCURRENCY_MAX}; pause the queue to send nothing"));
    }
    let timeout_ms = spelled("timeout", request.timeout.as_deref(), TIMEOUT_MS)?;
    if !(1..=TIMEOUT_MS_MAX).contains(&timeout_ms) {
        return bad(format!("timeout: 1ms to {}", span::exact(TIMEOUT_MS_MAX)));
    }
    let bytes: usize = request.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if request.headers.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        return bad(format!("headers: at most {HEADERS_MAX}, of {HEADER_BYTES_MAX} bytes together"));
    }
    for (name, value) in &request.headers {
        header(name, value).map_err(|why| Fault::bad_request(format!("headers: {why}")))?;
    }
    Ok(Kept {
        queue: queue.clone(),
        url: request.url,
        secrets: secrets.into_iter().map(|secret| KeptSecret { secret, until: None }).collect(),
        concurrency,
        timeout_ms,
        headers: request.headers,
        changed_at: now,
    })
}

fn spelled(what: &str, text: Option<&str>, or_ms: u64) -> Result<u64, Fault> {
    let ms = text.map(|text| span::parse(text).map_err(|why| Fault::bad_request(format!("{what}: {why}"))));
    Ok(ms.transpose()?.unwrap_or(or_ms))
}

/// Whoever sets a target that may not be reached is told at once. A name that has no address now may have one later.
async fn may_be_reached(app: &App, url: &TargetUrl) -> Result<(), Fault> {
    match app.options().push.guard().check(url).await {
        Ok(()) | Err(NoWay::Unresolved { .. }) => Ok(()),
        Err(NoWay::Forbidden(why)) => {
            let hint = format!(
                "whoever runs the server opens it: windlass serve --allow-target {}",
                if url.host().contains(':') { format!("[{}]", url.host()) } else { url.host().to_owned() }
            );
            Err(Fault::new("target_forbidden", why.to_string()).hint(hint))
        }
    }
}
