//! Values that the store keeps for servers, each with its version.

use axum::body::Bytes;
use axum::extract::{Path, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use windlass_api::store::{Version, Versioned};
use windlass_core::Rejection;

use crate::answer::{Answer, Fault, json};
use crate::app::App;
use crate::read;
use crate::{audit, keys};

fn named(segment: &str) -> Result<&str, Fault> {
    segment
        .strip_prefix('~')
        .ok_or_else(|| Fault::bad_request("a value's key stands behind a ~ in an address"))
}

/// `GET /v1/meta/~{key}`: version 0 when there is none.
pub(crate) async fn get(State(app): State<App>, Path(key): Path<String>) -> Answer {
    let (value, version) = app.store().meta(named(&key)?.to_owned()).await?;
    json(&Versioned { value: STANDARD.encode(value), version })
}

/// Values that the server alone writes: who has admin may make keys, and may not change what the log says.
const OWN: [&str; 2] = [keys::PLACE, audit::PLACE];

fn is_own(key: &str) -> bool {
    let below =
        |own: &str| key.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    OWN.into_iter().any(below)
}

/// `PUT /v1/meta/~{key}`: replaces the value if the version is current.
pub(crate) async fn set(State(app): State<App>, Path(key): Path<String>, body: Bytes) -> Answer {
    let said: Versioned = read::json(&body)?;
    let value = STANDARD.decode(said.value).map_err(|error| Fault::bad_request(format!("value: {error}")))?;
    if is_own(named(&key)?) {
        let what = format!("the value {key} is written by the server alone");
        return Err(
            Fault::from(Rejection::Forbidden { what }).hint("keys have routes of their own: /v1/keys")
        );
    }
    let version = app.store().set_meta(named(&key)?.to_owned(), value, said.version).await??;
    json(&Version { version })
}
