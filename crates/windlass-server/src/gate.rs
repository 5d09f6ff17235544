//! What stands before every route: the host that was meant, the page that a browser comes from, who asks, and a handler
//! that panics.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use percent_encoding::percent_decode_str;
use windlass_core::Rejection;

use crate::answer::Fault;
use crate::app::{Access, App, as_asked};
use crate::audit;
use crate::caller::{Caller, Origin, Who};
use crate::keys::ring::{Held, ROOT};
use crate::routes::Scope;
use crate::ui::page::Wrong;
use crate::ui::session::{self, Holder};

/// Names this server and its version in every answer, so that a client knows whom it talks to.
const VERSION_HEADER: HeaderName = HeaderName::from_static("windlass-version");
const VERSION: HeaderValue = HeaderValue::from_static(env!("CARGO_PKG_VERSION"));

/// Lets a request in, or says why not.
pub(crate) async fn pass(State(app): State<App>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let origin = Origin::of(&parts, app.options().behind_proxy);
    mark_tls(&mut parts.headers, origin);
    let mut response = match check(&app, &parts, origin).await {
        Ok(caller) => {
            parts.extensions.insert(caller);
            run(Request::from_parts(parts, body), next).await
        }
        Err(fault) => fault.into_response(),
    };
    if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
        // Said by whoever reads bodies, in words of its own.
        response = Fault::new("too_large", "the body is larger than 64 MiB")
            .hint("send jobs as lines (Content-Type: application/x-ndjson), of which there may be any number")
            .into_response();
    }
    marked(response)
}

/// Lets a request in to what is open to the world: whoever asks, by whatever name, from whatever site.
pub(crate) async fn pass_open(State(app): State<App>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let origin = Origin::of(&parts, app.options().behind_proxy);
    mark_tls(&mut parts.headers, origin);
    marked(run(Request::from_parts(parts, body), next).await)
}

/// An answer with what every answer says of itself.
fn marked(mut response: Response) -> Response {
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

/// Whoever writes a cookie sees by this whether the connection is TLS.
fn mark_tls(headers: &mut HeaderMap, origin: Origin) {
    headers.remove(session::OVER_TLS);
    if origin.is_tls {
        headers.insert(session::OVER_TLS, HeaderValue::from_static("1"));
    }
}

async fn check(app: &App, request: &Parts, origin: Origin) -> Result<Caller, Fault> {
    if percent_decode_str(request.uri.path()).decode_utf8().is_err() {
        return Err(Fault::bad_request("the address is not UTF-8"));
    }
    if let Some(hosts) = &app.options().hosts {
        let host = host_of(request).unwrap_or_default();
        if !hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(&host)) {
            return Err(Fault::new("host_not_allowed", format!("this server does not answer for {host:?}"))
                .hint("name it with --host when the server is started, if it is one of its names"));
        }
    }
    if !is_safe(&request.method) && !is_of_this_site(request) {
        return Err(Fault::new("cross_site", "a page of another site asked for this")
            .hint("call the API from a program, or from a page of this server"));
    }
    Ok(Caller::new(who(app, &request.headers, origin).await?, origin).traced_by(&request.headers))
}

/// The name that the request was sent to, without its port.
fn host_of(request: &Parts) -> Option<String> {
    let text = match request.uri.host() {
        Some(host) => host,
        None => request.headers.get(header::HOST)?.to_str().ok()?,
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
fn is_of_this_site(request: &Parts) -> bool {
    let headers = &request.headers;
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

/// Who asks. One who shows a token that is none is told so by the route, if it wants to know; but is remembered here.
async fn who(app: &App, headers: &HeaderMap, origin: Origin) -> Result<Who, Fault> {
    let Access::Bearer(_) = &app.options().access else { return Ok(Who::Anyone) };
    if let Some(shown) = bearer(headers) {
        return Ok(shown_by(app, shown, origin).await?.unwrap_or(Who::Nobody));
    }
    let text = windlass_look::cookie(headers, session::COOKIE);
    Ok(match text.and_then(|text| app.sessions().holder(text)) {
        Some(Holder::Root) => Who::Root,
        Some(Holder::Key(prefix)) => {
            let now = app.by_itself().client().now();
            let held = app.ring().named(&prefix, now).await?;
            held.map_or(Who::Nobody, |held| used(app, held, origin))
        }
        None => Who::Nobody,
    })
}

/// Who shows that token, which is the server's or a key's; none when it is neither.
///
/// # Errors
/// 429 when too much was tried from there.
pub(crate) async fn shown_by(app: &App, shown: &str, origin: Origin) -> Result<Option<Who>, Fault> {
    let closed = app.backoff().closed_for(origin.address());
    if let Access::Bearer(secret) = &app.options().access
        && secret.is(shown)
    {
        let known = || origin.address().is_some_and(|from| app.ring().was_used_from(ROOT, from));
        if closed.is_none() || known() {
            app.ring().note_root(origin.address());
            return Ok(Some(Who::Root));
        }
    }
    let now = app.by_itself().client().now();
    if let Some(held) = app.ring().find(shown, now).await? {
        let known = || origin.address().is_some_and(|from| app.ring().was_used_from(&held.key.prefix, from));
        if closed.is_none() || known() {
            return Ok(Some(used(app, held, origin)));
        }
    }
    if let Some(left) = closed {
        let ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        let mut fault = Fault::new("too_many_tries", format!("too many wrong tokens came from {origin}"))
            .hint("wait for Retry-After, and send a token that this server knows");
        fault.0.more.insert("retry_after_ms".into(), ms.into());
        return Err(fault);
    }
    app.backoff().failed(origin.address());
    tracing::warn!(target: "audit", from = %origin, "a token was shown that opens nothing");
    Ok(None)
}

/// Somebody has come in with that key.
fn used(app: &App, held: Arc<Held>, origin: Origin) -> Who {
    app.ring().note(&held.key.prefix, origin.address(), app.by_itself().client().now());
    Who::Key(held)
}

/// Lets those through who may do what the route does, with what of the queue they may see.
pub(crate) async fn allow(
    State((app, scope, is_page)): State<(App, Scope, bool)>,
    request: Request,
    next: Next,
) -> Response {
    let Some(caller) = request.extensions().get::<Caller>().cloned() else {
        return who_are_you(request.headers()).into_response();
    };
    if !caller.may(scope) {
        if !caller.is_known() {
            return who_are_you(request.headers()).into_response();
        }
        let (route, from) = (request.uri().path(), caller.origin);
        tracing::warn!(target: "audit", who = %caller, %from, ?route, scope = scope.as_str(), "refused");
        return refused(Rejection::Forbidden { what: caller.lacks(scope) }, is_page);
    }
    let app = app.seen_by(caller);
    if audit::is_recorded(scope, &request) {
        return audit::recorded(app, request, next, is_page).await;
    }
    as_asked(app, next.run(request)).await
}

/// What somebody is told who may not do it.
pub(crate) fn refused(why: Rejection, is_page: bool) -> Response {
    let fault = Fault::from(why);
    if is_page { Wrong(fault).into_response() } else { fault.into_response() }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, shown) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| shown.trim())
}

/// What is said to somebody who may not do it.
pub(crate) fn who_are_you(headers: &HeaderMap) -> Fault {
    match bearer(headers) {
        Some(_) => Fault::new(
            "unauthorized",
            "the token is not one of this server's: it is wrong, was revoked or has expired",
        )
        .hint("clients of ours read it from WINDLASS_TOKEN"),
        None => Fault::new("unauthorized", "this server wants to know who asks")
            .hint("send Authorization: Bearer TOKEN; clients of ours read it from WINDLASS_TOKEN"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Options, Root};
    use axum::Router;
    use axum::body::Body;
    use axum::routing::{get, post};
    use futures_util::future::join_all;

    async fn boom() -> &'static str {
        panic!("as planned")
    }

    #[tokio::test]
    async fn a_handler_that_panics_ends_its_own_request_and_no_other() {
        let client = windlass::open("memory:").await.expect("memory");
        let app = App::new(&client, Options::default());
        let operates = axum::middleware::from_fn_with_state((app.clone(), Scope::Operate, false), allow);
        let router: Router = Router::new()
            .route("/boom", get(boom))
            .route("/operate", post(boom).layer(operates))
            .route("/fine", get(|| async { "fine" }))
            .layer(axum::middleware::from_fn_with_state(app.clone(), pass))
            .with_state(Root(app));
        let ask = |method: &str, path: &str| {
            let request = Request::builder().method(method).uri(path).header("host", "localhost");
            let request = request.body(Body::empty()).expect("a request");
            let mut router = router.clone();
            async move {
                tower_service::Service::call(&mut router, request).await.expect("an answer").status().as_u16()
            }
        };
        let asked = [("GET", "/boom"), ("GET", "/fine"), ("POST", "/operate"), ("GET", "/fine")];
        let told = join_all(asked.map(|(method, path)| ask(method, path))).await;
        assert_eq!(told, [500, 200, 500, 200]);
    }
}
