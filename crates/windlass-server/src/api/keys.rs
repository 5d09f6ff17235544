//! API keys: who may do what.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use windlass_api::key::{KeyRequest, NewKeyShape};

use crate::answer::{Answer, Fault, done, items, json_with};
use crate::app::App;
use crate::{keys, read};

/// `GET /v1/keys`: all of them by name, without their secrets, which nobody has.
pub(crate) async fn list(State(app): State<App>) -> Answer {
    items(keys::all(app.by_itself().store().as_ref()).await?)
}

/// `POST /v1/keys`: makes one (201). Its text is in this answer and nowhere else.
pub(crate) async fn add(State(app): State<App>, body: Bytes) -> Answer {
    let request: KeyRequest = read::json(&body)?;
    json_with(StatusCode::CREATED, &make(&app, request).await?)
}

/// `DELETE /v1/keys/{key}`: ends one for good.
pub(crate) async fn revoke(State(app): State<App>, Path(name): Path<String>) -> Answer {
    end(&app, &name).await?;
    done()
}

/// Makes a key, for the API and the page.
pub(crate) async fn make(app: &App, request: KeyRequest) -> Result<NewKeyShape, Fault> {
    let own = app.by_itself();
    let made =
        keys::make(own.store().as_ref(), request, &app.caller().to_string(), own.client().now()).await?;
    app.ring().forget();
    app.note(&keys::said(&made.key));
    Ok(made)
}

/// Ends a key, for the API and the page.
pub(crate) async fn end(app: &App, name: &str) -> Result<(), Fault> {
    keys::end(app.by_itself().store().as_ref(), name).await?;
    app.ring().forget();
    app.note(&format!("revoke key {name}"));
    Ok(())
}
