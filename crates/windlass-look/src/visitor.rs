//! Who asks for a page, as whoever stands at the door has found out.

use std::fmt;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::{Flash, Frame};

/// Who asks, what they may do, and the frame of what they are shown.
///
/// Handlers take it as an argument. The door puts it among the request's extensions; nothing that a request says can
/// make one, and a handler that is reached without a door answers 500.
#[derive(Clone)]
pub struct Visitor {
    /// As an audit log names them: `key:mailer`, `root`, or `anyone` where nobody is asked.
    pub name: String,
    /// The address that they ask from; `-` where it is not known.
    pub from: String,
    /// Whether they may see what jobs hold: an application shows what it would hide there only to these.
    pub may_see_payloads: bool,
    /// Whether they may change something.
    pub may_operate: bool,
    /// Whether they may change what the server keeps for itself.
    pub may_admin: bool,
    /// Whether their browser speaks TLS.
    pub is_secure: bool,
    frame: Frame,
    notes: Option<Notes>,
}

/// Where it is noted what a call does.
type Notes = Arc<dyn Fn(&str) + Send + Sync>;

impl Visitor {
    /// Somebody of that name who may nothing yet, and what stands around the pages that they are shown.
    pub fn new(name: impl Into<String>, frame: Frame) -> Self {
        Self {
            name: name.into(),
            from: "-".to_owned(),
            may_see_payloads: false,
            may_operate: false,
            may_admin: false,
            is_secure: false,
            frame,
            notes: None,
        }
    }

    /// The same with what they do noted there.
    #[must_use]
    pub fn noting(self, notes: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { notes: Some(Arc::new(notes)), ..self }
    }

    /// Notes what this call has done, in a few words for the door's audit log: `launched campaign 7`. Where the door
    /// keeps none, nothing is noted.
    pub fn note(&self, what: &str) {
        if let Some(notes) = &self.notes {
            notes(what);
        }
    }

    /// The frame of a page that belongs to that entry of the navigation.
    pub fn frame(&self, place: &'static str) -> Frame {
        Frame { place, ..self.frame.clone() }
    }

    /// What all addresses of the server begin with.
    pub fn base(&self) -> &str {
        &self.frame.base
    }

    /// Goes on to another page of the server (303), with a word about what was done. `to` is a whole path, `base`
    /// included; one that leads elsewhere leads to the overview.
    pub fn go(&self, to: &str, flash: Option<Flash>) -> Response {
        let to = if crate::is_local(to) { to } else { self.frame.home() };
        let mut response = StatusCode::SEE_OTHER.into_response();
        let to = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
        response.headers_mut().insert(header::LOCATION, to);
        if let Some(line) = flash.and_then(|flash| HeaderValue::from_str(&flash.set(self.is_secure)).ok()) {
            response.headers_mut().append(header::SET_COOKIE, line);
        }
        response
    }
}

impl fmt::Debug for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visitor")
            .field("name", &self.name)
            .field("may", &self.frame.may)
            .finish_non_exhaustive()
    }
}

/// A handler was reached without a door that says who asks: it is mounted in the wrong place.
#[derive(Clone, Copy, Debug)]
pub struct NoVisitor;

impl IntoResponse for NoVisitor {
    fn into_response(self) -> Response {
        let text = "this page stands behind no door: mount it beside a server's dashboard";
        (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = NoVisitor;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NoVisitor> {
        parts.extensions.get::<Self>().cloned().ok_or(NoVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitor_goes_on_to_this_server_only() {
        let visitor = Visitor::new("anyone", Frame { base: "/q".to_owned(), ..Frame::default() });
        let to = |address| {
            let response = visitor.go(address, Some(Flash::good("done")));
            assert!(response.headers().contains_key(header::SET_COOKIE));
            response.headers()[header::LOCATION].to_str().expect("text").to_owned()
        };
        assert_eq!(to("/q/campaigns?x=1"), "/q/campaigns?x=1");
        assert_eq!((to("//evil.example").as_str(), to("https://evil.example").as_str()), ("/q", "/q"));
    }
}
