//! Standing around a call that operates or administers: what it did becomes a record before its answer leaves.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use windlass::Client;
use windlass_api::audit::AuditRecord;
use windlass_core::bounds;

use super::Deeds;
use crate::answer::Fault;
use crate::app::{App, as_asked};
use crate::fence::Fenced;
use crate::routes::Scope;

/// Bytes of an address that a record keeps.
const TARGET_BYTES_MOST: usize = 500;

/// The one look that is recorded: it takes everything along.
const COPY: &str = "/v1/backup";

/// Whether a call of that scope leaves a record: it may change something that only some may change.
pub(crate) fn is_recorded(scope: Scope, request: &Request) -> bool {
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let copies = request.extensions().get::<MatchedPath>().is_some_and(|path| path.as_str().ends_with(COPY));
    matches!(scope, Scope::Operate | Scope::Admin) && (changes || copies)
}

/// Answers the request, and records it.
pub(crate) async fn recorded(app: App, request: Request, next: Next, is_page: bool) -> Response {
    let deeds: Arc<Deeds> = Arc::default();
    let noted = Fenced::noting(app.store().clone(), deeds.clone());
    let asked = app.clone().through(Client::new(Arc::new(noted))).noting(deeds.clone());
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let action = format!("{} {path}", request.method());
    let target = bounds::cut(request.uri().path(), TARGET_BYTES_MOST).to_owned();
    // A task of its own: whoever goes away in the middle leaves a deed, and so a record.
    let answered = tokio::spawn(async move {
        let response = as_asked(asked, next.run(request)).await;
        let all = deeds.all();
        // A page that first asks whether it is meant has done nothing yet.
        let only_asked = is_page && all.done.is_empty() && response.status().is_success();
        if !only_asked {
            let caller = app.caller();
            let record = AuditRecord {
                at: app.by_itself().client().now(),
                who: caller.to_string(),
                from: caller.origin.to_string(),
                action,
                target,
                done: all.done,
                jobs: all.jobs,
                refused: all.refused,
                status: response.status().as_u16(),
            };
            app.log().record(record).await;
        }
        response
    });
    match answered.await {
        Ok(response) => response,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Fault::new("internal", format!("the call was given up: {error}")).into_response(),
    }
}
