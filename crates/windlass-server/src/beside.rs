//! An application beside the dashboard: pages and an API of its own, behind the same door.
//!
//! The server knows nothing of what it does. A request for it passes what every request passes: the host that was meant,
//! the site that it comes from, who asks, and what they may do. To look ([`Scope::Read`]) is to `GET` and to `HEAD`; any
//! other method changes something ([`Scope::Operate`]); below the paths that the application names it takes
//! [`Scope::Admin`]. A key of some queues has no way in, since nobody here knows what of the application belongs to which
//! queue. What changes something leaves a record in the audit log.
//!
//! What the world must reach (callbacks of providers, links in messages) is apart, below `/open`, so that a proxy can
//! tell the two by their address. Nobody is asked there: the application looks at signatures itself. See
//! `docs/decisions/0025-an-application-stands-beside.md`.

use axum::extract::{DefaultBodyLimit, FromRef as _, MatchedPath, NestedPath, Request, State};
use axum::http::Method;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::{RequestExt as _, Router};
use percent_encoding::percent_decode_str;
use windlass_look::{Visitor, wants_page};

use crate::app::{App, Root};
use crate::caller::Caller;
use crate::gate;
use crate::routes::{Scope, table};
use crate::traffic;
use crate::ui::page;
use crate::ui::session;
use crate::ui::visit::{PLACES, Visit};

/// Where what the world may reach begins.
pub(crate) const OPEN: &str = "/open";
/// The largest body of the open part of an application that has no reason for another: callbacks have some kilobytes,
/// batches of them some hundreds.
pub const OPEN_BYTES_USUAL: usize = 1 << 20;

/// What an application has of a job of that kind and payload: a word, and the path of its page.
pub type OfJob = fn(&str, &[u8]) -> Option<(String, String)>;

/// Pages and an API of an application, to stand beside the dashboard.
#[derive(Clone, Debug)]
pub struct Beside {
    /// Where they begin, a word of lower case letters, digits and hyphens behind a slash: `/campaigns`. It names their
    /// entry of the navigation, too ([`Visitor::frame`]).
    pub path: &'static str,
    /// Their word in the navigation.
    pub label: &'static str,
    /// The key that leads there after `g`, which none of the dashboard's pages has.
    pub key: &'static str,
    /// The paths below it that take the scope `admin`, with everything below them: `/providers`.
    pub admin: Vec<&'static str>,
    /// What stands behind the door. Its handlers take a [`Visitor`]; a route `/` is the page that the navigation leads to.
    pub router: Router,
    /// What the world may reach, below `/open` and the path: `/open/campaigns`. A body ends at `open_bytes`, a panic ends
    /// its own request; nobody is asked who they are, which host they meant and which site they come from.
    pub open: Router,
    /// The largest body that is read there, [`OPEN_BYTES_USUAL`] unless a route needs more; every other route is to have
    /// a bound of its own then, since whoever asks has shown nothing.
    pub open_bytes: usize,
    /// What the application has of a job, by its kind and its payload: a word, and the path of its page below `path`. The
    /// job's page leads there. Whoever may look at jobs is shown the link, so it says nothing that only `payloads` shows.
    pub of_job: OfJob,
}

impl Beside {
    /// Where the open part begins, below the server's own path.
    pub fn open_path(&self) -> String {
        format!("{OPEN}{}", self.path)
    }

    /// Ends the program that mounts it wrongly, before anybody asks.
    fn assert_fits(&self, others: &[Beside]) {
        let Self { path, key, .. } = self;
        let word = path.strip_prefix('/').unwrap_or_default();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(
            !word.is_empty() && word.chars().all(plain),
            "{path:?} is no path of one word, such as /campaigns"
        );
        let first = |path: &str| path.split('/').nth(1).unwrap_or_default().to_owned();
        let is_ours = *path == OPEN || table().iter().any(|(_, ours, _)| first(ours) == word);
        assert!(!is_ours, "the server has pages at {path:?} itself: choose another path");
        assert!(
            PLACES.iter().all(|(_, _, ours)| ours != key),
            "the key {key:?} leads to a page of the dashboard"
        );
        let twins = others.iter().filter(|other| other.path == *path || other.key == *key).count();
        assert_eq!(twins, 1, "two applications beside have the path {path:?} or the key {key:?}");
        assert!(
            self.admin.iter().all(|admin| admin.starts_with('/')),
            "a path of {path:?} begins with no slash"
        );
    }

    /// What a request takes. Both what the route says and what the address says are looked at, so that no spelling of an
    /// address and no route with a parameter leads past it.
    fn scope(&self, request: &Request) -> Scope {
        let nested = request.extensions().get::<NestedPath>().map_or("", NestedPath::as_str);
        let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
        let route = route.strip_prefix(nested.trim_end_matches('/')).unwrap_or(route);
        let address = percent_decode_str(request.uri().path()).decode_utf8_lossy();
        let is_below = |path: &str, admin: &str| {
            let below = path.strip_prefix(self.path).and_then(|below| below.strip_prefix(admin));
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || admin.ends_with('/'))
        };
        if self.admin.iter().any(|admin| is_below(route, admin) || is_below(&address, admin)) {
            Scope::Admin
        } else if matches!(*request.method(), Method::GET | Method::HEAD) {
            Scope::Read
        } else {
            Scope::Operate
        }
    }
}

/// The gated parts of all applications.
pub(crate) fn gated(app: &App) -> Router<Root> {
    let all = &app.options().beside;
    all.iter().fold(Router::new(), |router, beside| {
        beside.assert_fits(all);
        let own = Router::new()
            .nest(beside.path, beside.router.clone().with_state(()))
            .layer(from_fn_with_state(Root(app.clone()), introduce))
            .layer(from_fn_with_state((app.clone(), beside.clone()), allow))
            .layer(from_fn_with_state(app.clone(), around))
            .layer(from_fn_with_state((app.clone(), beside.path), count));
        router.merge(own)
    })
}

/// The open parts of all applications, with a gate of their own.
pub(crate) fn open(app: &App) -> Router<Root> {
    let open = app.options().beside.iter().filter(|beside| beside.open.has_routes());
    open.fold(Router::new(), |router, beside| {
        let own = Router::new()
            .nest(&beside.open_path(), beside.open.clone().with_state(()))
            .layer(from_fn(limit))
            .layer(DefaultBodyLimit::max(beside.open_bytes))
            .layer(from_fn_with_state((app.clone(), beside.path), count))
            .layer(from_fn_with_state(app.clone(), gate::pass_open));
        router.merge(own)
    })
}

/// Lets those in who may do what the request does.
async fn allow(State((app, beside)): State<(App, Beside)>, request: Request, next: Next) -> Response {
    let is_page = wants_page(request.headers());
    let scope = beside.scope(&request);
    let caller = request.extensions().get::<Caller>().filter(|caller| caller.may(scope));
    if let Some(Err(refused)) = caller.map(|caller| caller.whole(&format!("the pages of {}", beside.label))) {
        return gate::refused(refused, is_page);
    }
    gate::allow(State((app, scope, is_page)), request, next).await
}

/// Says to the application who asks.
async fn introduce(State(root): State<Root>, request: Request, next: Next) -> Response {
    let app = App::from_ref(&root);
    let (mut parts, body) = request.into_parts();
    let visit = Visit::of(&app, &mut parts).await;
    let caller = app.caller();
    let may = |scope| caller.may(scope);
    let mut visitor = Visitor::new(caller.to_string(), visit.frame(""));
    visitor.from = caller.origin.to_string();
    visitor.may_see_payloads = may(Scope::Payloads);
    visitor.may_operate = may(Scope::Operate);
    visitor.may_admin = may(Scope::Admin);
    visitor.is_secure = session::is_secure(&visit.headers);
    parts.extensions.insert(visitor.noting(move |what| app.note(what)));
    next.run(Request::from_parts(parts, body)).await
}

/// Browsers get a page for an answer, also when something is wrong.
async fn around(State(app): State<App>, request: Request, next: Next) -> Response {
    if wants_page(request.headers()) {
        page::around(State(app), request, next).await
    } else {
        next.run(request).await
    }
}

/// Counts a request as one of the application: its routes are its own, and may be any number.
async fn count(State((app, path)): State<(App, &'static str)>, request: Request, next: Next) -> Response {
    let method = match *request.method() {
        Method::GET | Method::HEAD => "get",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    };
    traffic::count(State((app, (method, path))), request, next).await
}

/// Holds a body to the bound also where a handler reads it by itself.
async fn limit(request: Request, next: Next) -> Response {
    next.run(request.with_limited_body()).await
}
