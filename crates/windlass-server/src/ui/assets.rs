//! The files that pages load: the style sheet, the script and the mark of `windlass_look`.

use axum::extract::{Path, RawQuery};
use axum::response::{IntoResponse, Response};

use crate::answer::Fault;

/// `GET /assets/{file}`.
pub(crate) async fn asset(Path(name): Path<String>, RawQuery(query): RawQuery) -> Response {
    windlass_look::asset(&name, query.as_deref())
        .unwrap_or_else(|| Fault::new("no_such_route", format!("there is no asset {name:?}")).into_response())
}
