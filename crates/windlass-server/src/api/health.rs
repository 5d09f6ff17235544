//! Whether the server lives, and whether it should be sent requests.

use axum::extract::State;

use crate::answer::{Answer, Fault, text};
use crate::app::App;

/// `GET /healthz`: the process answers.
pub(crate) async fn healthz() -> Answer {
    text("ok\n".into())
}

/// `GET /readyz`: the store answers, and the server does not shut down.
pub(crate) async fn readyz(State(app): State<App>) -> Answer {
    if app.drain().has_begun() {
        return Err(Fault::new("shutting_down", "the server shuts down"));
    }
    app.store().info().await?;
    text("ok\n".into())
}
