//! The way out of mail: a link that asks a person, and takes one click of a mail program at its word (RFC 8058).
//!
//! Programs that look into mails follow every link, so that to look at it changes nothing. To send anything to it is to want
//! no more: the link is refused for its token alone, never for the form in which it was used.

use axum::{
    body::Bytes,
    extract::{
        Path, State,
        rejection::{BytesRejection, PathRejection},
    },
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    answer::Problem,
    page::{Page, show},
};
use crate::{
    app::{App, AppError},
    db::Tx,
    flow::optout,
    model::TouchId,
    optout::{BadToken, Unsubscribe},
    store::{senders, touches},
};

/// What the form of the page sends, so that a person is answered with a page.
pub(super) const FROM_THE_PAGE: (&str, &str) = ("from", "page");

/// Asks whether they mean it.
pub(super) async fn ask(State(app): State<App>, path: Result<Path<String>, PathRejection>) -> Response {
    match read(&app, path) {
        Ok(link) => match from_whom(&app, &link).await {
            Ok(from) => show(StatusCode::OK, &Page::Ask { from, channel: link.channel }),
            Err(error) => failed(error.into()),
        },
        Err(bad) => refused(bad),
    }
}

/// Ends messages, and says so: with a page to a person, with a line to a program.
pub(super) async fn end(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = body.unwrap_or_default();
    let (name, value) = FROM_THE_PAGE;
    let is_person = form_urlencoded::parse(&body).any(|field| field == (name.into(), value.into()));
    let is_person = is_person || accepts_a_page(&headers);
    let done = match read(&app, path) {
        Ok(link) => optout::by_link(&app, &link).await.map(|()| link),
        Err(bad) if is_person => return refused(bad),
        Err(bad) => return Problem::unknown(bad.to_string()).into_response(),
    };
    match done {
        Ok(link) if is_person => show(StatusCode::OK, &Page::Done { channel: link.channel }),
        Ok(_) => ([(header::CACHE_CONTROL, "no-store")], "unsubscribed\n").into_response(),
        Err(AppError::Unknown { .. }) if is_person => show(StatusCode::NOT_FOUND, &Page::Gone),
        Err(AppError::Unknown { .. }) => {
            Problem::unknown("the recipient is not known any more").into_response()
        }
        Err(error) if is_person => failed(error.into()),
        Err(error) => Problem::from(error).into_response(),
    }
}

/// What a link says.
fn read(app: &App, path: Result<Path<String>, PathRejection>) -> Result<Unsubscribe, BadToken> {
    let Path(token) = path.map_err(|_| BadToken::Malformed)?;
    Unsubscribe::from_token(&token, app.secrets())
}

/// The name under which the recipient knows the sender; empty where nobody does.
async fn from_whom(app: &App, link: &Unsubscribe) -> Result<String, AppError> {
    let id = TouchId(link.touch);
    let look = move |tx: &mut Tx<'_>| {
        let sender = touches::get(tx, id)?.and_then(|touch| touch.sender);
        let sender = sender.map_or(Ok(None), |id| senders::get(tx, id))?;
        let name = sender.map(|sender| if sender.name.is_empty() { sender.address } else { sender.name });
        Ok(name.unwrap_or_default())
    };
    app.db().read(look).await
}

fn refused(bad: BadToken) -> Response {
    show(StatusCode::NOT_FOUND, &Page::Refused(bad))
}

fn failed(problem: Problem) -> Response {
    show(problem.status(), &Page::Failed)
}

fn accepts_a_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}
