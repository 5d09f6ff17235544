//! How many requests each route has had, what they were answered, and how long that took. Routes are those of the table,
//! so there are as many counters as routes and statuses, whatever addresses people try.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;
use windlass::trace;
use windlass_core::histogram::Histogram;

use crate::app::App;
use crate::caller::TRACEPARENT;

/// A route: its method and its path.
pub(crate) type Route = (&'static str, &'static str);

/// What was counted since the server began.
#[derive(Default)]
pub(crate) struct Traffic(Mutex<BTreeMap<Route, Counted>>);

/// What was counted of a route.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) by_status: BTreeMap<u16, u64>,
    /// From the request's head to the answer's, in milliseconds, the wait that it asked for included.
    pub(crate) took_ms: Histogram,
}

impl Traffic {
    fn note(&self, route: Route, status: u16, took_ms: u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = all.entry(route).or_default();
        *counted.by_status.entry(status).or_default() += 1;
        counted.took_ms.record(took_ms);
    }

    /// All of it.
    pub(crate) fn counted(&self) -> Vec<(Route, Counted)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(route, counted)| (*route, counted.clone())).collect()
    }
}

/// Counts a request of that route, and traces it where traces are kept.
pub(crate) async fn count(
    State((app, route)): State<(App, Route)>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let parent = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
    let span = trace::request(request.method().as_str(), route.1, parent);
    let response = next.run(request).instrument(span.clone()).await;
    trace::answered(&span, response.status().as_u16());
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    app.traffic().note(route, response.status().as_u16(), took_ms);
    response
}
