//! Queues, their settings and charts.

use axum::body::Bytes;
use axum::extract::{Path, State};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use windlass_api::queue::{QueueSeriesShape, QueueShape};
use windlass_core::queue::QueueSettings;
use windlass_core::store::QueueInfo;
use windlass_core::{QueueName, State as JobState};

use crate::answer::{Answer, Fault, done, items, json};
use crate::app::App;
use crate::read::{self, Pairs};

/// `GET /v1/queues`.
pub(crate) async fn list(State(app): State<App>) -> Answer {
    items(app.store().queues(None, None).await?.into_iter().map(QueueShape::from))
}

async fn info(app: &App, queue: &QueueName) -> Result<QueueInfo, Fault> {
    let found = app.store().queues(Some(queue.clone()), None).await?.into_iter().next();
    found.ok_or_else(|| Fault::not_found(format!("queue {queue}")))
}

/// `GET /v1/queues/{queue}`.
pub(crate) async fn get(State(app): State<App>, Path(queue): Path<String>) -> Answer {
    json(&QueueShape::from(info(&app, &QueueName::new(queue)?).await?))
}

/// What an autoscaler wants to know of a queue.
#[derive(JsonSchema, Serialize)]
pub(crate) struct Scale {
    /// Jobs that may start.
    ready: u64,
    /// Jobs that run.
    running: u64,
    /// How long the longest-waiting ready job waits.
    oldest_ready_ms: u64,
    /// Completions a second, over the last minute.
    completed_per_second: f64,
    /// Workers that take from it.
    workers: u64,
    /// Jobs that all of them may run at once.
    slots: u64,
    /// Jobs that should run at once, so that what is ready is done within the target.
    slots_wanted: u64,
}

/// How long a job of a queue is taken to run of which none has ended yet.
const RUN_MS_GUESSED: f64 = 1_000.0;
/// Within which time what is ready should be done, unless said.
const TARGET_MS: u64 = 60_000;

/// `GET /v1/queues/{queue}/scale`: how many jobs should run at once (`target=1m` says within which time).
///
/// By Little's law: what is ready, times the mean time of a run, over the target, beside what runs; not more than the
/// queue's concurrency, and nothing while it is paused.
pub(crate) async fn scale(State(app): State<App>, Path(queue): Path<String>, mut query: Pairs) -> Answer {
    let target_ms = query
        .take("target")?
        .map(|text| read::span_ms("target", &text))
        .transpose()?
        .unwrap_or(TARGET_MS)
        .max(1);
    query.end("target")?;
    let info = info(&app, &QueueName::new(queue)?).await?;
    let (mut workers, mut slots) = (0, 0);
    for worker in app.store().workers(None).await? {
        for (_, own) in worker.hello.queues.iter().filter(|(queue, _)| *queue == info.name) {
            (workers, slots) = (workers + 1, slots + u64::from(*own));
        }
    }
    let (ready, running) = (info.counts.of(JobState::Ready), info.counts.of(JobState::Running));
    let run_ms = if info.run_ms.count() > 0 { info.run_ms.mean() } else { RUN_MS_GUESSED };
    let wanted = (ready as f64 * run_ms / target_ms as f64).ceil() as u64 + running;
    let most = info.settings.limits.concurrency.map_or(u64::MAX, u64::from);
    json(&Scale {
        ready,
        running,
        oldest_ready_ms: info.oldest_ready.map_or(0, |at| app.client().now().since(at)),
        completed_per_second: info.completed_last_minute as f64 / 60.0,
        workers,
        slots,
        slots_wanted: if info.settings.paused { 0 } else { wanted.min(most) },
    })
}

/// `GET /v1/queues/{queue}/series`: enqueues, completions and failures by second, minute and hour.
pub(crate) async fn series(State(app): State<App>, Path(queue): Path<String>) -> Answer {
    let series = app.store().series(QueueName::new(queue)?, None).await??;
    json(&QueueSeriesShape::from(series))
}

/// `PUT /v1/queues/{queue}/settings`: all of them; what is not said has its default.
pub(crate) async fn set(State(app): State<App>, Path(queue): Path<String>, body: Bytes) -> Answer {
    let settings: QueueSettings = whole(&body)?;
    app.store().set_queue(QueueName::new(queue)?, settings, None).await??;
    done()
}

/// `PATCH /v1/queues/{queue}/settings`: what is said; the rest stays (RFC 7396).
pub(crate) async fn change(State(app): State<App>, Path(queue): Path<String>, body: Bytes) -> Answer {
    let queue = QueueName::new(queue)?;
    let now = app.store().queues(Some(queue.clone()), None).await?.into_iter().next();
    let settings = merged(&now.map(|info| info.settings).unwrap_or_default(), &body)?;
    app.store().set_queue(queue, settings.clone(), None).await??;
    json(&settings)
}

/// `POST /v1/queues/{queue}/pause`.
pub(crate) async fn pause(State(app): State<App>, Path(queue): Path<String>) -> Answer {
    app.store().pause(QueueName::new(queue)?, true, None).await??;
    done()
}

/// `POST /v1/queues/{queue}/resume`.
pub(crate) async fn resume(State(app): State<App>, Path(queue): Path<String>) -> Answer {
    app.store().pause(QueueName::new(queue)?, false, None).await??;
    done()
}

/// Settings from a body that has them all; a field that there is not is refused.
pub(crate) fn whole<T: Default + Serialize + DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    merged(&T::default(), body)
}

/// Settings with what a body changes of them; a field that there is not is refused.
pub(crate) fn merged<T: Serialize + DeserializeOwned>(now: &T, body: &[u8]) -> Result<T, Fault> {
    let bad = |why: String| Fault::new("bad_json", why);
    let mut value = serde_json::to_value(now).map_err(|error| Fault::new("internal", error.to_string()))?;
    let change: Value = read::json(body)?;
    merge(&mut value, change, "").map_err(bad)?;
    serde_json::from_value(value).map_err(|error| bad(format!("the settings make no sense: {error}")))
}

/// Values that are one whole, whose parts mean nothing by themselves: they are replaced, not merged into.
const WHOLES: [&str; 2] = ["retry", "rate"];

fn merge(into: &mut Value, change: Value, path: &str) -> Result<(), String> {
    let (Value::Object(fields), Value::Object(changes)) = (&mut *into, &change) else {
        *into = change;
        return Ok(());
    };
    for (name, change) in changes {
        let known: Vec<&str> = fields.keys().map(String::as_str).collect();
        let place = format!("{path}/{name}");
        if !fields.contains_key(name) {
            return Err(format!("there is no setting {place:?}; there are {}", known.join(", ")));
        }
        if WHOLES.contains(&name.as_str()) {
            fields.insert(name.clone(), change.clone());
        } else if let Some(field) = fields.get_mut(name) {
            merge(field, change.clone(), &place)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_keeps_what_it_does_not_name_and_refuses_what_there_is_not() {
        let now = QueueSettings { lease_ms: 5_000, ..QueueSettings::default() };
        let body = br#"{"concurrency":3,"rate":{"count":1,"period_ms":1000,"burst":1},"groups":{"weight":7},"retention":{"dead_ms":5}}"#;
        let settings = merged(&now, body).expect("settings");
        assert_eq!(
            (settings.lease_ms, settings.limits.concurrency, settings.groups.weight),
            (5_000, Some(3), 7)
        );
        assert_eq!((settings.retention.dead_ms, settings.limits.rate.map(|rate| rate.count)), (5, Some(1)));
        let fixed = merged(&settings, br#"{"retry":{"fixed":{"delay_ms":5,"max_failures":2}},"rate":null}"#);
        let fixed = fixed.expect("settings");
        assert_eq!((fixed.retry.max_failures(), fixed.limits.rate), (2, None));
        let told = merged(&now, br#"{"groups":{"wieght":7}}"#).expect_err("no such setting").0.detail;
        assert!(told.contains("/groups/wieght") && told.contains("weight"), "{told}");
    }
}
