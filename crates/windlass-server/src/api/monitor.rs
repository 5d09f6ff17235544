//! The monitor: its rules, its channels, and what it has found.

use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use windlass_api::monitor::{Channel, Quiet, Rule};

use crate::answer::{Answer, Fault, done, items, json};
use crate::app::App;
use crate::monitor;
use crate::read;

/// What an answer says of a rule beside the rule; it may stand in what is sent back, and means nothing there.
pub(crate) const OF_RULES: [&str; 1] = ["is_default"];
/// The same for a channel.
pub(crate) const OF_CHANNELS: [&str; 7] =
    ["is_default", "has_secret", "delivered_at", "waiting", "failures", "error", "next_try_at"];

/// Reads what is set under a name, so that what was read can be changed and sent back.
fn named<T: DeserializeOwned>(name: &str, body: &[u8], beside: &[&str]) -> Result<T, Fault> {
    let mut said: Map<String, Value> = read::json(body)?;
    if let Some(other) = said.remove("name").filter(|other| other != name) {
        return Err(Fault::bad_request(format!("the address names {name}, the body {other}")));
    }
    said.retain(|field, _| !beside.contains(&field.as_str()));
    serde_json::from_value(Value::Object(said)).map_err(|error| {
        Fault::new("bad_json", format!("the body is JSON, but not what is asked for here: {error}"))
    })
}

/// `GET /v1/monitor/rules`.
pub(crate) async fn rules(State(app): State<App>) -> Answer {
    items(monitor::rules(&app).await?)
}

/// `GET /v1/monitor/rules/{rule}`.
pub(crate) async fn rule(State(app): State<App>, Path(name): Path<String>) -> Answer {
    json(&monitor::rule(&app, &name).await?)
}

/// `PUT /v1/monitor/rules/{rule}`.
pub(crate) async fn set_rule(State(app): State<App>, Path(name): Path<String>, body: Bytes) -> Answer {
    let rule: Rule = named(&name, &body, &OF_RULES)?;
    json(&monitor::set_rule(&app, &name, rule).await?)
}

/// `DELETE /v1/monitor/rules/{rule}`.
pub(crate) async fn remove_rule(State(app): State<App>, Path(name): Path<String>) -> Answer {
    monitor::remove_rule(&app, &name).await?;
    done()
}

/// `GET /v1/monitor/channels`.
pub(crate) async fn channels(State(app): State<App>) -> Answer {
    items(monitor::channels(&app).await?)
}

/// `GET /v1/monitor/channels/{channel}`.
pub(crate) async fn channel(State(app): State<App>, Path(name): Path<String>) -> Answer {
    json(&monitor::channel(&app, &name).await?)
}

/// `PUT /v1/monitor/channels/{channel}`.
pub(crate) async fn set_channel(State(app): State<App>, Path(name): Path<String>, body: Bytes) -> Answer {
    let channel: Channel = named(&name, &body, &OF_CHANNELS)?;
    json(&monitor::set_channel(&app, &name, channel).await?)
}

/// `DELETE /v1/monitor/channels/{channel}`.
pub(crate) async fn remove_channel(State(app): State<App>, Path(name): Path<String>) -> Answer {
    monitor::remove_channel(&app, &name).await?;
    done()
}

/// `POST /v1/monitor/channels/{channel}/test`.
pub(crate) async fn test(State(app): State<App>, Path(name): Path<String>) -> Answer {
    json(&monitor::test(&app, &name).await?)
}

/// `GET /v1/monitor/incidents`.
pub(crate) async fn incidents(State(app): State<App>) -> Answer {
    items(monitor::incidents(&app).await?)
}

/// `POST /v1/monitor/incidents/{incident}/acknowledge`.
pub(crate) async fn acknowledge(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Answer {
    let quiet: Quiet = read::json(&body)?;
    json(&monitor::acknowledge(&app, &id, &quiet).await?)
}

/// `POST /v1/monitor/incidents/{incident}/silence`.
pub(crate) async fn silence(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Answer {
    let quiet: Quiet = read::json(&body)?;
    json(&monitor::silence(&app, &id, &quiet).await?)
}
