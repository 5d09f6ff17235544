//! How pages are answered, and what a browser sees when a request was not done.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use windlass_api::problem::Problem;
use windlass_core::{Rejection, StoreError};
use windlass_look::{Flash, Frame, cookie, wants_page};

use super::visit::{Visit, reads};
use super::{session, words};
use crate::answer::Fault;
use crate::app::App;
use crate::caller::Caller;

/// What a handler of pages gives.
pub(crate) type Reply = Result<Response, Wrong>;

/// A request for a page, or from one, that was not done.
#[derive(Debug)]
pub(crate) struct Wrong(pub(crate) Fault);

impl From<Fault> for Wrong {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

impl From<Rejection> for Wrong {
    fn from(rejection: Rejection) -> Self {
        Self(rejection.into())
    }
}

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Self {
        Self(error.into())
    }
}

/// What [`around`] makes a page of.
#[derive(Clone)]
struct Told(Problem);

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        let problem = *self.0.0;
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(Told(problem));
        response
    }
}

/// A page.
pub(crate) fn show<T: Template>(page: &T) -> Reply {
    show_with(StatusCode::OK, page)
}

/// A page with a status of its own.
pub(crate) fn show_with<T: Template>(status: StatusCode, page: &T) -> Reply {
    let fault = |error| Fault::new("internal", format!("the page could not be made: {error}"));
    Ok(windlass_look::try_page(status, page).map_err(fault)?)
}

/// A page that says what is wrong.
fn sorry(frame: Frame, problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    windlass_look::sorry(frame, status, &problem.code, &problem.detail, problem.hint.as_deref())
}

#[derive(Template)]
#[template(path = "again.html")]
struct AgainPage {
    address: String,
}

/// Stands around every page: a visitor who is not known goes to the login, what is wrong is said on a page, and a flash
/// that was shown is taken away.
pub(crate) async fn around(State(app): State<App>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let caller = parts.extensions.get::<Caller>().cloned();
    let app = caller.map_or_else(|| app.clone(), |caller| app.seen_by(caller));
    let visit = Visit::of(&app, &mut parts).await;
    let reads = reads(&parts.method);
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if let Some(Told(problem)) = response.extensions_mut().remove::<Told>() {
        if problem.status == StatusCode::UNAUTHORIZED.as_u16() {
            return unknown(&visit, reads);
        }
        response = sorry(visit.frame(""), &problem);
    } else if response.status() == StatusCode::UNAUTHORIZED {
        return unknown(&visit, reads);
    }
    if visit.frame.flash.is_some()
        && !response.status().is_redirection()
        && let Ok(line) = HeaderValue::from_str(&Flash::taken(session::is_secure(&visit.headers)))
    {
        response.headers_mut().append(header::SET_COOKIE, line);
    }
    response
}

/// The way of a visitor who is not known.
fn unknown(visit: &Visit, reads: bool) -> Response {
    // A link on another site brings no strict cookie along. A page of this site that asks again at once does.
    let elsewhere = visit.headers.get("sec-fetch-site").is_some_and(|site| site.as_bytes() == b"cross-site");
    if reads && elsewhere && cookie(&visit.headers, session::COOKIE).is_none() {
        let page = AgainPage { address: visit.frame.address.clone() };
        return show(&page).unwrap_or_else(IntoResponse::into_response);
    }
    let next = if reads { visit.frame.address.as_str() } else { visit.frame.home() };
    visit.go(&format!("{}/login?next={}", visit.base(), words::part(next)), None)
}

/// The address there is not.
pub(crate) async fn nowhere(visit: Visit, uri: Uri) -> Response {
    refuse(&visit, &uri, Fault::new("no_such_route", "there is nothing at this address"))
}

/// The address there is, asked in a way in which it is not.
pub(crate) async fn not_so(visit: Visit, uri: Uri) -> Response {
    refuse(&visit, &uri, Fault::new("method_not_allowed", "the address is right, the method is not"))
}

/// In the words of whoever asks: the API's, or a page.
fn refuse(visit: &Visit, uri: &Uri, fault: Fault) -> Response {
    if wants_page(&visit.headers) && !uri.path().starts_with("/v1/") {
        sorry(visit.frame(""), &fault.0)
    } else {
        fault.hint("GET / lists what there is").into_response()
    }
}
