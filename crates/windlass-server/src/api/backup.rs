//! A copy of the whole store, as one file.

use std::io;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use crate::answer::Answer;
use crate::app::App;

/// `GET /v1/backup`: everything acknowledged before the request came, while everybody goes on. Its length is told first,
/// so a connection that breaks, or a server that ends, leaves no file that looks whole.
pub(crate) async fn backup(State(app): State<App>) -> Answer {
    let backup = app.store().backup().await?;
    let bytes = backup.bytes;
    let pieces = stream::unfold(Some((backup.pieces, app)), |state| async {
        let (mut pieces, app) = state?;
        let piece = tokio::select! {
            piece = pieces.next() => piece,
            () = app.drain().begun() => return Some((Err(io::Error::other("the server shuts down")), None)),
        };
        match piece {
            Ok(Some(piece)) => Some((Ok(Bytes::from(piece)), Some((pieces, app)))),
            Ok(None) => None,
            Err(why) => {
                tracing::warn!(%why, "a backup broke off");
                Some((Err(io::Error::other(why)), None))
            }
        }
    });
    let mut response: Response = Body::from_stream(pieces).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"windlass-backup.tar\""),
    );
    Ok(response)
}
