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

fn named(segment: &str) -> Result<&str, Fault> {
    segment
        .strip_prefix('~')
        .ok_or_else(|| Fault::bad_request("a value's key stands behind a ~ in an address"))
}

/// How the names of those values begin that the server alone reads and writes: keys, targets and channels have secrets,
/// and nobody changes what the audit log says.
const OWN: &str = "windlass.";

/// A value that is not the server's own.
fn free(segment: &str) -> Result<&str, Fault> {
    let key = named(segment)?;
    if key.starts_with(OWN) {
        let what = format!("the value {key} is the server's own");
        return Err(Fault::from(Rejection::Forbidden { what }).hint(
            "what the server keeps has routes of its own: /v1/keys, /v1/audit, /v1/targets, /v1/bulk, /v1/monitor",
        ));
    }
    Ok(key)
}

/// `GET /v1/meta/~{key}`: version 0 when there is none.
pub(crate) async fn get(State(app): State<App>, Path(key): Path<String>) -> Answer {
    let (value, version) = app.store().meta(free(&key)?.to_owned()).await?;
    json(&Versioned { value: STANDARD.encode(value), version })
}

/// `PUT /v1/meta/~{key}`: replaces the value if the version is current.
pub(crate) async fn set(State(app): State<App>, Path(key): Path<String>, body: Bytes) -> Answer {
    let said: Versioned = read::json(&body)?;
    let value = STANDARD.decode(said.value).map_err(|error| Fault::bad_request(format!("value: {error}")))?;
    let version = app.store().set_meta(free(&key)?.to_owned(), value, said.version).await??;
    json(&Version { version })
}
