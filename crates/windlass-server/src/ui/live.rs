//! `GET /live`: a word whenever something may have changed, for pages that fetch themselves again then.
//!
//! It says nothing about what changed: a page asks for what it shows, and a thousand events are one word.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use tokio::time::Instant;
use windlass_core::StoreError;
use windlass_core::event::Cursor;
use windlass_core::store::From;

use super::page::Reply;
use crate::app::App;

/// The shortest time between two words: nobody reads faster.
const PAUSE: Duration = Duration::from_millis(500);
/// How long one look at the log waits.
const LOOK_MS: u64 = 10_000;
/// Silence after which the stream says that it is still there, before proxies think otherwise.
const ALIVE_EVERY: Duration = Duration::from_secs(15);

/// `GET /live`.
pub(crate) async fn live(State(app): State<App>) -> Reply {
    let at = end_of_log(&app).await?;
    let stream = Sse::new(words(app, at)).keep_alive(KeepAlive::new().interval(ALIVE_EVERY));
    // A proxy that gathers an answer before it hands it on would keep the words back.
    Ok(([("x-accel-buffering", "no")], stream).into_response())
}

/// Where the next event will stand. The events before are skipped unread, however many there are.
async fn end_of_log(app: &App) -> Result<Cursor, StoreError> {
    let page = app.store().events(From::Latest, 1, 0).await?;
    Ok(page.map(|page| page.next).unwrap_or_default())
}

fn words(app: App, at: Cursor) -> impl Stream<Item = Result<Message, Infallible>> {
    stream::unfold(Some((app, at, Instant::now())), |state| async {
        let (app, at, not_before) = state?;
        let ending = app.clone();
        tokio::select! {
            at = next(&app, at, not_before) => {
                // A stream that ends is opened again by the page, once the store answers.
                let state = (app, at.ok()?, Instant::now() + PAUSE);
                Some((Ok(Message::default().data("tick")), Some(state)))
            }
            () = ending.drain().begun() => None,
        }
    })
}

/// Waits until the log has moved and the pause is over: what happens within the pause is one word.
async fn next(app: &App, at: Cursor, not_before: Instant) -> Result<Cursor, StoreError> {
    loop {
        match app.store().events(From::After(at), 1, LOOK_MS).await? {
            Ok(page) if page.events.is_empty() && !page.gap => {}
            // A place that is no longer kept has been passed as well.
            Ok(_) | Err(_) => break,
        }
    }
    tokio::time::sleep_until(not_before).await;
    end_of_log(app).await
}
