//! Signing in with the server's token or a key, and out again.

use askama::Template;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use windlass_look::{Frame, cookie, is_local, set_cookie};

use super::form::Fields;
use super::page::{Reply, Wrong, show_with};
use super::session::{self, Holder};
use super::visit::Visit;
use crate::answer::Fault;
use crate::app::Access;
use crate::caller::Who;
use crate::gate;
use crate::read::Pairs;

/// A token and an address: whoever sends more has something else in mind.
const FORM_BYTES_MOST: usize = 16 << 10;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    f: Frame,
    next: String,
    refused: bool,
    /// Whether too much was tried from there, and for how many seconds nothing more is.
    closed_for: Option<u64>,
}

/// `GET /login`: asks for the token.
pub(crate) async fn form(visit: Visit, mut query: Pairs) -> Response {
    let next = query.take("next").ok().flatten().filter(|next| is_local(next));
    let frame = visit.frame("");
    let next = next.unwrap_or_else(|| frame.home().to_owned());
    if matches!(visit.app.options().access, Access::Anyone) || frame.signed_in {
        return visit.go(&next, None);
    }
    page(frame, next, None).unwrap_or_else(IntoResponse::into_response)
}

fn page(frame: Frame, next: String, refused: Option<&Fault>) -> Reply {
    let closed_for =
        refused.filter(|fault| fault.0.status == 429).and_then(|fault| fault.0.retry_after_seconds());
    let status = match refused {
        None => StatusCode::OK,
        Some(fault) => StatusCode::from_u16(fault.0.status).unwrap_or(StatusCode::FORBIDDEN),
    };
    let is_refused = refused.is_some() && closed_for.is_none();
    let mut response = show_with(status, &LoginPage { f: frame, next, refused: is_refused, closed_for })?;
    if let Some(seconds) = closed_for {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    Ok(response)
}

/// `POST /login`: begins a session.
pub(crate) async fn enter(visit: Visit, request: Request) -> Response {
    let fields = match Fields::read(request, FORM_BYTES_MOST).await {
        Ok(fields) => fields,
        Err(fault) => return fault.into_response(),
    };
    let frame = visit.frame("");
    let next = Some(fields.text("next")).filter(|next| is_local(next)).unwrap_or(frame.home()).to_owned();
    if matches!(visit.app.options().access, Access::Anyone) {
        return visit.go(&next, None);
    }
    let holder = match gate::shown_by(&visit.app, fields.word("token"), visit.app.caller().origin).await {
        Ok(Some(Who::Key(held))) => Holder::Key(held.key.prefix.clone()),
        Ok(Some(_)) => Holder::Root,
        Ok(None) => {
            let wrong = Fault::new("forbidden", "");
            return page(frame, next, Some(&wrong)).unwrap_or_else(IntoResponse::into_response);
        }
        Err(fault) if fault.0.status == 429 => {
            return page(frame, next, Some(&fault)).unwrap_or_else(IntoResponse::into_response);
        }
        Err(fault) => return Wrong::from(fault).into_response(),
    };
    let Some(begun) = visit.app.sessions().begin(holder) else {
        return Fault::new("internal", "the system gives no random numbers").into_response();
    };
    let mut response = visit.go(&next, None);
    let line = set_cookie(session::is_secure(&visit.headers), session::COOKIE, &begun, session::LASTS);
    if let Ok(line) = HeaderValue::from_str(&line) {
        response.headers_mut().append(header::SET_COOKIE, line);
    }
    response
}

/// `POST /logout`: ends the session.
pub(crate) async fn leave(visit: Visit) -> Response {
    if let Some(text) = cookie(&visit.headers, session::COOKIE) {
        visit.app.sessions().end(text);
    }
    let mut response = visit.go(&format!("{}/login", visit.base()), None);
    let line = set_cookie(session::is_secure(&visit.headers), session::COOKIE, "", std::time::Duration::ZERO);
    if let Ok(line) = HeaderValue::from_str(&line) {
        response.headers_mut().append(header::SET_COOKIE, line);
    }
    response
}
