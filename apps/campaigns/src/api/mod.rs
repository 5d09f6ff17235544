//! The application over HTTP: every noun as JSON, for programs and shells; the pages do the same by the same functions.
//!
//! [`router`] stands behind the host program's door, which says who asks ([`Visitor`]) and lets only those change things
//! who may. Errors are problems (RFC 9457) with a stable code. `docs/campaigns-api.md` lists the routes.

mod answer;
mod campaigns;
mod contacts;
mod setting;

use axum::{
    Router,
    routing::{delete, get, post, put},
};

use crate::app::App;

/// What the application answers below its path.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/v1/campaigns", get(campaigns::page).post(campaigns::create))
        .route("/v1/campaigns/{id}", get(campaigns::get).put(campaigns::edit))
        .route("/v1/campaigns/{id}/steps", put(campaigns::next_version))
        .route("/v1/campaigns/{id}/launch", post(campaigns::launch))
        .route("/v1/campaigns/{id}/pause", post(campaigns::pause))
        .route("/v1/campaigns/{id}/resume", post(campaigns::resume))
        .route("/v1/campaigns/{id}/cancel", post(campaigns::cancel))
        .route("/v1/campaigns/{id}/funnel", get(campaigns::funnel))
        .route("/v1/touches", get(campaigns::touches))
        .route("/v1/touches/{id}", get(campaigns::touch))
        .route("/v1/contacts", get(contacts::page).post(contacts::upsert))
        .route("/v1/contacts/{id}", get(contacts::get).delete(contacts::erase))
        .route("/v1/contacts/{id}/opt-out", post(contacts::opt_out))
        .route("/v1/lists", get(contacts::lists))
        .route("/v1/suppressions", get(contacts::suppressions).post(contacts::suppress))
        .route("/v1/suppressions/{id}", delete(contacts::lift))
        .route("/v1/users", get(setting::users).post(setting::set_user))
        .route("/v1/templates", get(setting::templates).post(setting::write_template))
        .route("/v1/providers", get(setting::providers).post(setting::set_provider))
        .route("/v1/senders", get(setting::senders).post(setting::set_sender))
        .route("/v1/senders/{id}/pause", post(setting::pause_sender))
        .route("/v1/senders/{id}/resume", post(setting::resume_sender))
        .route("/v1/error-rules", get(setting::error_rules).put(setting::set_error_rule))
        .route("/v1/reviews", get(setting::reviews))
        .route("/v1/reviews/{id}", post(setting::decide))
        .route("/v1/audit", get(setting::audit))
        .fallback(answer::nowhere)
        .with_state(app)
}
