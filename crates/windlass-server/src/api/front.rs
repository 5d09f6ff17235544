//! The front page: the overview in a browser; in a shell what there is, with lines to copy; and what each problem means.

use axum::extract::Path;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use windlass_api::problem;
use windlass_core::Rejection;
use windlass_look::wants_page;

use crate::answer::{Answer, Fault, text};
use crate::app::Access;
use crate::gate;
use crate::routes::{Scope, table};
use crate::ui::overview;
use crate::ui::page::Wrong;
use crate::ui::session::OVER_TLS;
use crate::ui::visit::Visit;

/// `GET /`: the overview for a browser; for a shell a sheet of lines to copy, and every route.
pub(crate) async fn front(visit: Visit, headers: HeaderMap) -> Answer {
    if wants_page(&headers) {
        let caller = visit.app.caller();
        if !caller.is_known() {
            return Err(gate::who_are_you(&headers));
        }
        if !caller.may(Scope::Read) {
            return Ok(Wrong::from(Rejection::Forbidden { what: caller.lacks(Scope::Read) }).into_response());
        }
        return Ok(overview::page(&visit).await.into_response());
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost:7979");
    let scheme = if headers.contains_key(OVER_TLS) { "https://" } else { "" };
    let host = format!("{scheme}{host}");
    let token = match visit.app.options().access {
        Access::Anyone => "",
        Access::Bearer(_) => "-H \"Authorization: Bearer $WINDLASS_TOKEN\" ",
    };
    let mut page = format!(
        "windlass {version}\n\n\
         enqueue   curl {token}-d '{{\"to\":\"a@b.c\"}}' '{host}/v1/queues/email/jobs?delay=10s&group=campaign-7'\n\
         claim     curl {token}-d '{{\"queues\":[\"email\"],\"wait\":\"20s\"}}' {host}/v1/claim\n\
         complete  curl {token}-d '{{\"lease\":\"LEASE\"}}' {host}/v1/jobs/ID/complete\n\
         look      curl {token}'{host}/v1/jobs?filter=queue:email+state:dead'\n\
         why       curl {token}{host}/v1/jobs/ID/why\n\
         follow    curl {token}-H 'accept: text/event-stream' {host}/v1/events\n\n\
         The API as a document (OpenAPI 3.1): {host}/openapi.json\n\n",
        version = env!("CARGO_PKG_VERSION"),
    );
    for (method, path, scope) in table() {
        page.push_str(&format!("{method:<7}{path:<55}{}\n", scope.as_str()));
    }
    text(page)
}

/// `GET /problems/{code}`: what that code means.
pub(crate) async fn problem(Path(code): Path<String>) -> Answer {
    match problem::codes().find(|(known, ..)| *known == code) {
        Some((code, status, title)) => text(format!("{code} (HTTP {status}): {title}\n")),
        None => Err(Fault::not_found(format!("problem {code:?}"))),
    }
}
