//! A request for a page, and the frame that stands around the page: navigation, addresses, the word about the form before.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRef as _, FromRequestParts, NestedPath, OriginalUri};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use windlass_core::Time;
use windlass_core::store::Store;
use windlass_look::{Flash, Frame, Place, cookie};

use super::session;
use crate::app::{Access, App, Root};
use crate::beside::Beside;
use crate::caller::Who;
use crate::keys::scopes;
use crate::routes::Scope;

/// What `live.js` says when it fetches the current page again: such a request takes no flash away.
const AGAIN: &str = "x-windlass-again";

/// The pages of the navigation, each with the key that leads to it after `g`.
pub(crate) const PLACES: [(&str, &str, &str); 12] = [
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
            places: places(app, &base),
            signed_in: matches!(app.options().access, Access::Bearer(_))
                && cookie(&headers, session::COOKIE).is_some_and(known),
            every: 0,
            base,
        };
        Self { app: app.clone(), now: app.by_itself().client().now(), headers, frame }
    }

    /// The verbs.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        self.app.store()
    }

    /// What applications beside have of a job of that kind: a word and an address. A key of some queues has no way in.
    pub(crate) fn beside(&self, f: &Frame, kind: &str, payload: &[u8]) -> Vec<(String, String)> {
        if self.app.caller().queues().is_some() {
            return Vec::new();
        }
        let all = self.app.options().beside.iter();
        all.filter_map(|beside| {
            let (word, path) = (beside.of_job)(kind, payload)?;
            Some((word, format!("{}{}{path}", f.base, beside.path)))
        })
        .collect()
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
        let is_secure = session::is_secure(&self.headers);
        if let Some(line) = flash.and_then(|flash| HeaderValue::from_str(&flash.set(is_secure)).ok()) {
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

/// The navigation, without what this visitor would not be let into. Applications come first behind the overview: they
/// are why the queue is there.
fn places(app: &App, base: &str) -> Vec<Place> {
    let shut = shut(app);
    let open = PLACES.into_iter().filter(|(name, ..)| !shut.contains(name));
    let mut places: Vec<Place> = open
        .map(|(name, label, key)| {
            let at = match (name, base) {
                ("overview", "") => "/".to_owned(),
                ("overview", base) => base.to_owned(),
                (name, base) => format!("{base}/{name}"),
            };
            Place { name, label, key, at }
        })
        .collect();
    if app.caller().queues().is_none() {
        let beside = app.options().beside.iter().map(|Beside { path, label, key, .. }| Place {
            name: path,
            label,
            key,
            at: format!("{base}{path}"),
        });
        places.splice(1..1, beside);
    }
    places
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
