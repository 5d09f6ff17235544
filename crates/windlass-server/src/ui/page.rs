//! How pages are answered, and what a browser sees when a request was not done.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use windlass_api::problem::Problem;
use windlass_core::{Rejection, StoreError};

use super::flash::Flash;
use super::visit::{Frame, Visit, reads};
use super::{session, words};
use crate::answer::Fault;
use crate::app::App;
use crate::caller::Caller;

/// What a page may load and where its forms may go: this server alone, and no script or style inside the page.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
);

/// Whether the request asks for a page: browsers say so, shells and programs do not.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

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
    match page.render() {
        Ok(html) => {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
                (header::CONTENT_SECURITY_POLICY, POLICY),
                // Without a referrer policy that lets this site know itself, forms say `Origin: null`.
                (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
                (header::VARY, HeaderValue::from_static("accept, cookie")),
            ];
            Ok((status, headers, html).into_response())
        }
        Err(error) => Err(Fault::new("internal", format!("the page could not be made: {error}")).into()),
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    f: Frame,
    problem: &'a Problem,
    heading: &'static str,
}

/// What stands over a page that says what is wrong.
fn heading(status: u16) -> &'static str {
    match status {
        400 => "Not understood",
        401 => "Sign in",
        403 => "Not allowed",
        404 => "Not found",
        405 => "Not possible here",
        429 => "Too many tries",
        500.. => "Something failed",
        _ => "That was not done",
    }
}

/// A page that says what is wrong.
fn sorry(frame: Frame, problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    show_with(status, &ProblemPage { f: frame, problem, heading: heading(problem.status) })
        .unwrap_or_else(IntoResponse::into_response)
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
        && let Ok(line) = HeaderValue::from_str(&Flash::taken(&visit.headers))
    {
        response.headers_mut().append(header::SET_COOKIE, line);
    }
    response
}

/// The way of a visitor who is not known.
fn unknown(visit: &Visit, reads: bool) -> Response {
    // A link on another site brings no strict cookie along. A page of this site that asks again at once does.
    let elsewhere = visit.headers.get("sec-fetch-site").is_some_and(|site| site.as_bytes() == b"cross-site");
    if reads && elsewhere && session::cookie(&visit.headers, session::COOKIE).is_none() {
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

/// Whether an address leads to this server and nowhere else: a path, and nothing that a browser takes for a host.
pub(crate) fn is_local(address: &str) -> bool {
    address.starts_with('/')
        && !address.starts_with("//")
        && !address.contains('\\')
        && address.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_of_this_server_is_local() {
        for local in ["/", "/jobs?filter=a%20b", "/x//y"] {
            assert!(is_local(local), "{local}");
        }
        for other in
            ["", "jobs", "//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nb", "/\t/evil"]
        {
            assert!(!is_local(other), "{other:?}");
        }
    }
}
