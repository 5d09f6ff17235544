//! The application over HTTP: every noun as JSON, for programs and shells; the pages do the same by the same functions.
//!
//! [`router`] stands behind the host program's door, which says who asks ([`windlass_look::Visitor`]) and lets only those change things
//! who may. Errors are problems (RFC 9457) with a stable code. `docs/campaigns-api.md` lists the routes.

pub(crate) mod answer;
mod ask;
mod campaigns;
mod contacts;
mod enrolments;
mod exports;
mod imports;
mod setting;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{delete, get, post, put},
};

use crate::app::App;

/// What the application answers programs below its path, all of it below `/v1`.
pub fn router(app: App) -> Router {
    let routes = Router::new()
        .route("/campaigns", get(campaigns::page).post(campaigns::create))
        .route("/campaigns/{id}", get(campaigns::get).put(campaigns::edit))
        .route("/campaigns/{id}/steps", put(campaigns::next_version))
        .route("/campaigns/{id}/steps/{step}/keep", post(campaigns::keep))
        .route("/campaigns/{id}/launch", post(campaigns::launch))
        .route("/campaigns/{id}/pause", post(campaigns::pause))
        .route("/campaigns/{id}/resume", post(campaigns::resume))
        .route("/campaigns/{id}/cancel", post(campaigns::cancel))
        .route("/campaigns/{id}/funnel", get(campaigns::funnel))
        .route("/campaigns/{id}/enrolments", get(enrolments::page))
        .route("/campaigns/{id}/preflight", get(campaigns::preflight))
        .route("/campaigns/{id}/figures", get(campaigns::figures))
        .route("/campaigns/{id}/variants", get(campaigns::variants))
        .route("/contacts/{id}", delete(contacts::erase))
        .route("/contacts/{id}/opt-out", post(contacts::opt_out))
        .route("/contacts/{id}/pause", post(contacts::pause))
        .route("/contacts/{id}/resume", post(contacts::resume))
        .route("/contacts/{id}/stop", post(contacts::stop))
        // A file is counted as it comes in, and its bound is its own.
        .route("/imports", get(imports::page).post(imports::bring).layer(DefaultBodyLimit::disable()))
        .route("/imports/{id}", get(imports::get))
        .route("/imports/{id}/start", post(imports::begin))
        .route("/imports/{id}/cancel", post(imports::cancel))
        .route("/lists", get(contacts::lists))
        .route("/suppressions", post(contacts::suppress))
        .route("/suppressions/{id}", delete(contacts::lift))
        .route("/users", get(setting::users).post(setting::set_user))
        .route("/daily-cap", get(setting::daily_cap).put(setting::set_daily_cap))
        .route("/templates", get(setting::templates).post(setting::write_template))
        .route("/providers", get(setting::providers).post(setting::set_provider))
        .route("/providers/{id}/breaker", get(setting::breaker).put(setting::set_breaker))
        .route("/providers/{id}/slowed", delete(setting::bring_provider_back))
        .route("/senders", get(setting::senders).post(setting::set_sender))
        .route("/senders/{id}/pause", post(setting::pause_sender))
        .route("/senders/{id}/resume", post(setting::resume_sender))
        .route("/domain-limits", get(setting::domain_limits).put(setting::set_domain_limit))
        .route("/domain-limits/{domain}", delete(setting::remove_domain_limit))
        .route("/domain-limits/{domain}/slowed", delete(setting::bring_domain_back))
        .route(
            "/calling-hours",
            get(setting::calling_hours).put(setting::set_calling_hours).delete(setting::reset_calling_hours),
        )
        .route("/error-rules", get(setting::error_rules).put(setting::set_error_rule))
        .route("/attention", get(setting::attention))
        .route("/strangers", get(setting::strangers))
        .route("/error-rules/{provider}/{code}", delete(setting::remove_error_rule))
        .merge(personal())
        .fallback(answer::nowhere)
        .with_state(app);
    // Nested, so that what is at no address of the API is told so by the API, and no page's.
    Router::new().nest("/v1", routes)
}

/// What has names, addresses or texts of contacts in its answer, for those alone who may see them.
fn personal() -> Router<App> {
    Router::new()
        .route("/touches", get(campaigns::touches))
        .route("/touches/{id}", get(campaigns::touch))
        .route("/contacts", get(contacts::page).post(contacts::upsert))
        .route("/contacts/{id}", get(contacts::get))
        .route("/contacts/{id}/export", get(exports::of_contact))
        .route("/campaigns/{id}/export", get(exports::of_campaign))
        .route("/imports/{id}/errors", get(imports::errors))
        .route("/suppressions", get(contacts::suppressions))
        .route("/reviews", get(setting::reviews))
        .route("/reviews/{id}", post(setting::decide))
        .route("/audit", get(setting::audit))
        .route_layer(middleware::from_fn(exports::only_payloads))
}
