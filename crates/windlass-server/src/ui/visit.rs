//! A request for a page, and the frame that stands around the page: navigation, addresses, the word about the form before.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRef as _, FromRequestParts, NestedPath, OriginalUri};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use windlass_core::Time;
use windlass_core::store::Store;

use super::flash::Flash;
use super::{assets, session, words};
use crate::app::{Access, App, Root};
use crate::caller::Who;
use crate::keys::scopes;
use crate::routes::Scope;

/// What `live.js` says when it fetches the current page again: such a request takes no flash away.
const AGAIN: &str = "x-windlass-again";

/// The pages of the navigation, each with the key that leads to it after `g`.
const PLACES: [(&str, &str, &str); 12] = [
    ("overview", "Overview", "o"),
    ("queues", "Queues", "q"),
    ("jobs", "Jobs", "j"),
    ("errors", "Errors", "e"),
    ("bulk", "Operations", "b"),
    ("charts", "Charts", "c"),
    ("schedules", "Schedules", "s"),
    ("limits", "Limits", "l"),
    ("workers", "Workers", "w"),
    ("monitor", "Monitor", "m"),
    ("keys", "Keys", "k"),
    ("audit", "Audit", "a"),
];

/// An entry of the navigation.
pub(crate) struct Place {
    pub(crate) label: &'static str,
    pub(crate) key: &'static str,
    pub(crate) at: String,
    pub(crate) is_here: bool,
}

/// What stands around a page.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// What all addresses of this server begin with: empty unless it is nested below a path.
    pub(crate) base: String,
    /// Which entry of the navigation the page belongs to.
    pub(crate) place: &'static str,
    /// The page's own address, to come back to; the overview's where a page answers a form.
    pub(crate) address: String,
    /// What the form before has done.
    pub(crate) flash: Option<Flash>,
    /// Whether there is a session to end.
    pub(crate) signed_in: bool,
    /// Who looks at it; none where nobody is asked.
    pub(crate) who: Option<String>,
    /// What they may do: the style sheet hides forms that would only be refused.
    pub(crate) may: String,
    /// The queues that they are limited to.
    pub(crate) queues: Option<String>,
    /// The entries of the navigation that lead nowhere for them.
    shut: Vec<&'static str>,
    /// After how many seconds the page is fetched again though no event happened; 0 is never. Progress, logs and
    /// heartbeats are no events.
    pub(crate) every: u32,
    /// How a shell reaches this server.
    pub(crate) server: String,
}

impl Frame {
    /// The address of the overview.
    pub(crate) fn home(&self) -> &str {
        if self.base.is_empty() { "/" } else { &self.base }
    }

    /// The navigation.
    pub(crate) fn places(&self) -> Vec<Place> {
        PLACES
            .into_iter()
            .filter(|(place, ..)| !self.shut.contains(place))
            .map(|(place, label, key)| {
                let at = if place == "overview" {
                    self.home().to_owned()
                } else {
                    format!("{}/{place}", self.base)
                };
                Place { label, key, at, is_here: place == self.place }
            })
            .collect()
    }

    pub(crate) fn asset(&self, name: &str) -> String {
        assets::address(&self.base, name)
    }

    pub(crate) fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// The address of the jobs that conditions mean.
    pub(crate) fn jobs(&self, conditions: &[(&str, &str)]) -> String {
        let spelled: Vec<String> =
            conditions.iter().map(|(name, value)| words::condition(name, value)).collect();
        words::jobs_at(&self.base, &spelled.join(" "))
    }

    pub(crate) fn job(&self, id: impl std::fmt::Display) -> String {
        format!("{}/jobs/{id}", self.base)
    }

    pub(crate) fn queue(&self, queue: impl AsRef<str>) -> String {
        format!("{}/queues/{}", self.base, words::part(queue.as_ref()))
    }
}

/// A request for a page.
#[derive(Clone)]
pub(crate) struct Visit {
    pub(crate) app: App,
    pub(crate) now: Time,
    pub(crate) headers: HeaderMap,
    pub(crate) frame: Frame,
}

impl Visit {
    pub(crate) async fn of(app: &App, parts: &mut Parts) -> Self {
        let base = match NestedPath::from_request_parts(parts, app).await {
            Ok(nested) => nested.as_str().trim_end_matches('/').to_owned(),
            Err(_) => String::new(),
        };
        let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
        let address = uri.path_and_query().map(|whole| whole.as_str()).filter(|_| reads(&parts.method));
        let address = address.unwrap_or(if base.is_empty() { "/" } else { &base }).to_owned();
        let headers = parts.headers.clone();
        let known = |text: &str| app.sessions().holder(text).is_some();
        let frame = Frame {
            server: server(&headers, &base),
            base,
            place: "",
            address,
            flash: if headers.contains_key(AGAIN) { None } else { Flash::read(&headers) },
            who: who(app),
            may: scopes::ALL
                .into_iter()
                .filter(|(scope, _)| app.caller().may(*scope))
                .map(|(scope, _)| scope.as_str())
                .collect::<Vec<_>>()
                .join(" "),
            queues: app.caller().queues().map(|queues| queues.join(", ")),
            shut: shut(app),
            signed_in: matches!(app.options().access, Access::Bearer(_))
                && session::cookie(&headers, session::COOKIE).is_some_and(known),
            every: 0,
        };
        Self { app: app.clone(), now: app.by_itself().client().now(), headers, frame }
    }

    /// The verbs.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        self.app.store()
    }

    /// The frame of a page that belongs to that entry of the navigation.
    pub(crate) fn frame(&self, place: &'static str) -> Frame {
        Frame { place, ..self.frame.clone() }
    }

    /// What all addresses begin with.
    pub(crate) fn base(&self) -> &str {
        &self.frame.base
    }

    /// Goes on to another page of this server, with a word about what was done.
    pub(crate) fn go(&self, to: &str, flash: Option<Flash>) -> Response {
        let mut response = StatusCode::SEE_OTHER.into_response();
        let to = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
        response.headers_mut().insert(header::LOCATION, to);
        if let Some(line) = flash.and_then(|flash| HeaderValue::from_str(&flash.set(&self.headers)).ok()) {
            response.headers_mut().append(header::SET_COOKIE, line);
        }
        response
    }
}

impl FromRequestParts<Root> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, root: &Root) -> Result<Self, Infallible> {
        Ok(Self::of(&App::from_ref(root), parts).await)
    }
}

/// Who is told on the page: nobody where nobody is asked.
fn who(app: &App) -> Option<String> {
    let caller = app.caller();
    match caller.who {
        Who::Key(_) | Who::Root => Some(caller.to_string()),
        Who::Server | Who::Nobody | Who::Anyone => None,
    }
}

/// The pages that this visitor would not be let into.
fn shut(app: &App) -> Vec<&'static str> {
    let caller = app.caller();
    let mut shut = Vec::new();
    if caller.queues().is_some() {
        shut.extend(["limits", "monitor"]);
    }
    if !caller.may(Scope::Admin) {
        shut.extend(["keys", "audit"]);
    } else if matches!(app.options().access, Access::Anyone) {
        shut.push("keys");
    }
    shut
}

/// Whether a request only asks.
pub(crate) fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// The server's name for a line of shell. What a browser says of it goes no further than letters, digits and `.:-[]`.
fn server(headers: &HeaderMap, base: &str) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '[' | ']');
    let host = if host.is_empty() || !host.chars().all(plain) { "localhost:7979" } else { host };
    format!("{host}{base}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_no_name_stands_in_no_line_of_shell() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "q.example:7979".parse().expect("a header"));
        assert_eq!(server(&headers, "/q"), "q.example:7979/q");
        headers.insert(header::HOST, "a';rm -rf ~;'".parse().expect("a header"));
        assert_eq!(server(&headers, ""), "localhost:7979");
    }
}
