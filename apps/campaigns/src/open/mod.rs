//! What the world may ask without a login: callbacks of providers, and the links that end messages.
//!
//! Nobody here is known by name. A provider shows a signature over the address that it called, which is the application's
//! public one, whatever proxies made of it on the way (`called`), or, with a mail that comes in, a key; a recipient shows the
//! signed token of their link. Whoever shows none of these is told nothing, not even whether what they name exists. What a
//! report means is the flow's business ([`crate::flow::news`], [`crate::flow::inbound`], [`crate::flow::inbound_mail`],
//! [`crate::flow::optout`]); here it is checked, handed on and answered.
//!
//! An answer comes after what it is about is on disk: a provider that hears nothing, or 503, may tell again.

mod answer;
mod inbound_mail;
mod mail;
mod page;
mod twilio;
mod unsubscribe;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::Uri,
    routing::{get, post},
};

use crate::{
    app::{App, AppError},
    channel::rules::ProviderKind,
    model::{ProviderId, provider::Provider},
    store::providers,
};
use answer::Problem;

/// The largest body of any route here: a mail.
pub const BYTES_MOST: usize = inbound_mail::INBOUND_BYTES_MOST;
/// The largest form: a text of 1,600 characters is below 15 KiB with every byte escaped.
const FORM_BYTES_MOST: usize = 64 * 1024;
/// The largest batch of events; the provider's own are below it.
const BATCH_BYTES_MOST: usize = 1024 * 1024;
/// The largest body that comes with an unsubscribe link: one field, in whatever form.
const LINK_BYTES_MOST: usize = 8 * 1024;

/// The routes that the world may reach, to be mounted where [`App::public_url`] leads: without a public address every
/// callback is refused, since no signature can be checked.
///
/// | | |
/// |---|---|
/// | `POST /hooks/twilio/{provider}/{touch}` | what becomes of a text or call |
/// | `POST /hooks/twilio/{provider}/inbound` | a text that comes in |
/// | `POST /hooks/mail/{provider}` | events of mails |
/// | `POST /hooks/mail/{provider}/inbound` | a mail that comes in |
/// | `GET`, `POST /u/{token}` | the way out of mail |
pub fn router(app: App) -> Router {
    let most = DefaultBodyLimit::max;
    Router::new()
        .route("/hooks/twilio/{provider}/inbound", post(twilio::inbound))
        .route("/hooks/twilio/{provider}/{touch}", post(twilio::status))
        .layer(most(FORM_BYTES_MOST))
        .merge(
            Router::new().route("/hooks/mail/{provider}", post(mail::events)).layer(most(BATCH_BYTES_MOST)),
        )
        .merge(
            Router::new()
                .route("/hooks/mail/{provider}/inbound", post(inbound_mail::inbound))
                .layer(most(inbound_mail::INBOUND_BYTES_MOST)),
        )
        .merge(
            Router::new()
                .route("/u/{token}", get(unsubscribe::ask).post(unsubscribe::end))
                .layer(most(LINK_BYTES_MOST)),
        )
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .with_state(app)
}

/// The address as whoever asks has called it: what is signed. A router that is nested sees its own part of the path, and the
/// public address has the rest, with whatever a proxy puts in front.
fn called(app: &App, uri: &Uri) -> Option<String> {
    let own = uri.path_and_query().map_or("/", |own| own.as_str());
    app.public_url().map(|base| format!("{base}{own}"))
}

/// The account of that number, if it is of one of these kinds. Whoever named another learns no more than whoever signed
/// wrongly.
async fn account(app: &App, id: &str, kinds: &[ProviderKind]) -> Result<Provider, Problem> {
    let Ok(id) = id.parse().map(ProviderId) else { return Err(Problem::forbidden()) };
    let found = app.db().read(move |tx| Ok::<_, AppError>(providers::get(tx, id)?)).await?;
    match found {
        Some(provider) if kinds.contains(&provider.kind) => Ok(provider),
        other => {
            let kind = other.map(|provider| provider.kind);
            tracing::warn!(provider = %id, ?kind, "a callback names an account that it cannot be of");
            Err(Problem::forbidden())
        }
    }
}
