//! The event log: a stretch of it, or a stream that goes on; and its readers.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use futures_util::StreamExt as _;
use futures_util::stream::{self, Stream};
use windlass_api::event::{EventPageShape, EventShape, ReaderShape};
use windlass_core::event::Cursor;
use windlass_core::store::{From, Reader};

use crate::answer::{Answer, Fault, done, items, json};
use crate::app::App;
use crate::read::{self, Pairs};

/// Events that a stream takes from the log at once.
const STREAM_PAGE: usize = 500;
/// How long one look of a stream at the log waits: it ends with the server within that time.
const STREAM_LOOK: Duration = Duration::from_secs(5);
/// Silence after which a stream says that it is still there, before proxies think otherwise.
const ALIVE_EVERY: Duration = Duration::from_secs(15);

/// `GET /v1/events`: the events after a place; with `Accept: text/event-stream` all of them as they happen.
pub(crate) async fn read(State(app): State<App>, headers: HeaderMap, mut query: Pairs) -> Answer {
    let (from, limit, wait) = (query.take("from")?, query.take_limit()?, query.take_wait()?);
    query.end("from, limit, wait and wait_ms")?;
    let streams = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/event-stream"));
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(ToOwned::to_owned);
    if streams {
        let from = place(last.or(from).as_deref().unwrap_or("latest"))?;
        let stream = Sse::new(messages(app, from)).keep_alive(KeepAlive::new().interval(ALIVE_EVERY));
        return Ok(stream.into_response());
    }
    let from = place(last.or(from).as_deref().unwrap_or("earliest"))?;
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    let page = tokio::select! {
        page = app.store().events(from, limit, wait_ms) => page??,
        () = app.drain().begun() => app.store().events(from, limit, 0).await??,
    };
    json(&EventPageShape::from(page))
}

fn place(text: &str) -> Result<From, Fault> {
    match text {
        "earliest" => Ok(From::Earliest),
        "latest" => Ok(From::Latest),
        cursor => {
            let cursor = cursor.parse::<Cursor>();
            cursor.map(From::After).map_err(|refused| {
                Fault::from(refused)
                    .hint("begin with from=earliest or from=latest, then go on from what `next` says")
            })
        }
    }
}

/// Every event from that place on, each under its cursor, so that a browser that lost the connection goes on where it was.
fn messages(app: App, from: From) -> impl Stream<Item = Result<Message, Infallible>> {
    let pages = stream::unfold(Some((app, from)), |state| async {
        let (app, from) = state?;
        let look_ms = STREAM_LOOK.as_millis() as u64;
        let page = tokio::select! {
            page = app.store().events(from, STREAM_PAGE, look_ms) => page,
            () = app.drain().begun() => return None,
        };
        let page = match page {
            Ok(Ok(page)) => page,
            Ok(Err(refused)) => return Some((vec![told("problem", &Fault::from(refused).0)], None)),
            Err(failed) => return Some((vec![told("problem", &Fault::from(failed).0)], None)),
        };
        let mut messages = Vec::with_capacity(page.events.len() + 1);
        if page.gap {
            messages.push(Message::default().event("gap").data("events were trimmed before they were read"));
        }
        for event in page.events {
            let (id, kind) = (event.cursor.to_string(), event.event.as_str());
            messages.push(told(kind, &EventShape::from(event)).id(id));
        }
        Some((messages, Some((app, From::After(page.next)))))
    });
    pages.flat_map(|messages| stream::iter(messages.into_iter().map(Ok)))
}

fn told<T: serde::Serialize>(kind: &str, what: &T) -> Message {
    // Shapes have nothing that JSON cannot say, and no line ends outside their strings.
    Message::default().event(kind).data(serde_json::to_string(what).unwrap_or_default())
}

/// `GET /v1/readers`.
pub(crate) async fn readers(State(app): State<App>) -> Answer {
    items(app.store().readers().await?.into_iter().map(ReaderShape::from))
}

/// `PUT /v1/readers/~{reader}`: registers a reader or moves its place.
pub(crate) async fn set_reader(State(app): State<App>, Path(name): Path<String>, body: Bytes) -> Answer {
    let said: ReaderShape = read::json(&body)?;
    let name = named(&name)?;
    if said.name != name {
        return Err(Fault::bad_request(format!("the address names reader {name}, the body {}", said.name)));
    }
    app.store().set_reader(Reader::from(said)).await?;
    done()
}

/// `DELETE /v1/readers/~{reader}`.
pub(crate) async fn remove_reader(State(app): State<App>, Path(name): Path<String>) -> Answer {
    app.store().delete_reader(named(&name)?.to_owned()).await?;
    done()
}

fn named(segment: &str) -> Result<&str, Fault> {
    segment
        .strip_prefix('~')
        .ok_or_else(|| Fault::bad_request("a reader's name stands behind a ~ in an address"))
}
