//! What stands before every route: the host that was meant, the page that a browser comes from, who asks, and a handler
//! that panics.

use std::panic::AssertUnwindSafe;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;

use crate::answer::Fault;
use crate::app::{Access, App};
use crate::routes::Scope;
use crate::ui::session;

/// Names this server and its version in every answer, so that a client knows whom it talks to.
const VERSION_HEADER: HeaderName = HeaderName::from_static("windlass-version");
const VERSION: HeaderValue = HeaderValue::from_static(env!("CARGO_PKG_VERSION"));

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller(());

impl Caller {
    /// Whether this caller may do that. One secret opens all doors.
    pub(crate) fn may(self, _: Scope) -> bool {
        true
    }
}

/// Lets a request in, or says why not.
pub(crate) async fn pass(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let mut response = match check(&app, &request) {
        Ok(caller) => {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            run(request, next).await
        }
        Err(fault) => fault.into_response(),
    };
    if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
        // Said by whoever reads bodies, in words of its own.
        response = Fault::new("too_large", "the body is larger than 64 MiB")
            .hint("send jobs as lines (Content-Type: application/x-ndjson), of which there may be any number")
            .into_response();
    }
    let headers = response.headers_mut();
    headers.insert(VERSION_HEADER, VERSION);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A handler that panics ends its own request and nothing else.
async fn run(request: Request, next: Next) -> Response {
    let route = format!("{} {}", request.method(), request.uri().path());
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            tracing::error!(route, "a handler panicked");
            Fault::new("internal", "the server has a fault; its log says where").into_response()
        }
    }
}

fn check(app: &App, request: &Request) -> Result<Option<Caller>, Fault> {
    let headers = request.headers();
    if let Some(hosts) = &app.options().hosts {
        let host = host_of(request).unwrap_or_default();
        if !hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(&host)) {
            return Err(Fault::new("host_not_allowed", format!("this server does not answer for {host:?}"))
                .hint("name it with --host when the server is started, if it is one of its names"));
        }
    }
    if !is_safe(request.method()) && !is_of_this_site(request) {
        return Err(Fault::new("cross_site", "a page of another site asked for this")
            .hint("call the API from a program, or from a page of this server"));
    }
    Ok(caller(app, headers))
}

/// The name that the request was sent to, without its port.
fn host_of(request: &Request) -> Option<String> {
    let text = match request.uri().host() {
        Some(host) => host,
        None => request.headers().get(header::HOST)?.to_str().ok()?,
    };
    // The colon behind the brackets of an IPv6 address is the port's.
    let end = match text.rfind(']') {
        Some(bracket) => bracket + 1,
        None => text.find(':').unwrap_or(text.len()),
    };
    Some(text[..end].to_owned())
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether no page of another site is behind the request. Browsers say it in `Sec-Fetch-Site`, old ones in `Origin`;
/// programs say neither.
fn is_of_this_site(request: &Request) -> bool {
    let headers = request.headers();
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        Some(b"same-origin" | b"none") => true,
        Some(_) => false,
        None => match headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()) {
            Some(origin) => {
                let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
                origin.split_once("://").is_some_and(|(_, site)| site.eq_ignore_ascii_case(host))
            }
            None => !headers.contains_key(header::ORIGIN),
        },
    }
}

fn caller(app: &App, headers: &HeaderMap) -> Option<Caller> {
    match &app.options().access {
        Access::Anyone => Some(Caller(())),
        Access::Bearer(secret) => {
            let shown = bearer(headers).is_some_and(|shown| secret.is(shown));
            let signed_in =
                || session::cookie(headers, session::COOKIE).is_some_and(|text| app.sessions().knows(text));
            (shown || signed_in()).then_some(Caller(()))
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, shown) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| shown.trim())
}

/// What is said to somebody who may not do it.
pub(crate) fn who_are_you(headers: &HeaderMap) -> Fault {
    match bearer(headers) {
        Some(_) => Fault::new("unauthorized", "the token is not one of this server's"),
        None => Fault::new("unauthorized", "this server wants to know who asks")
            .hint("send Authorization: Bearer TOKEN; clients of ours read it from WINDLASS_TOKEN"),
    }
}
