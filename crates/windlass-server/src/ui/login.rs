//! Signing in with the server's token, and out again.

use askama::Template;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::form::Fields;
use super::page::{Reply, is_local, show_with};
use super::session;
use super::visit::{Frame, Visit};
use crate::answer::Fault;
use crate::app::Access;
use crate::read::Pairs;

/// A token and an address: whoever sends more has something else in mind.
const FORM_BYTES_MOST: usize = 16 << 10;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    f: Frame,
    next: String,
    refused: bool,
}

/// `GET /login`: asks for the token.
pub(crate) async fn form(visit: Visit, mut query: Pairs) -> Response {
    let next = query.take("next").ok().flatten().filter(|next| is_local(next));
    let frame = visit.frame("");
    let next = next.unwrap_or_else(|| frame.home().to_owned());
    if matches!(visit.app.options().access, Access::Anyone) || frame.signed_in {
        return visit.go(&next, None);
    }
    page(frame, next, false).unwrap_or_else(IntoResponse::into_response)
}

fn page(frame: Frame, next: String, refused: bool) -> Reply {
    let status = if refused { StatusCode::FORBIDDEN } else { StatusCode::OK };
    show_with(status, &LoginPage { f: frame, next, refused })
}

/// `POST /login`: begins a session.
pub(crate) async fn enter(visit: Visit, request: Request) -> Response {
    let fields = match Fields::read(request, FORM_BYTES_MOST).await {
        Ok(fields) => fields,
        Err(fault) => return fault.into_response(),
    };
    let frame = visit.frame("");
    let next = Some(fields.text("next")).filter(|next| is_local(next)).unwrap_or(frame.home()).to_owned();
    let Access::Bearer(secret) = &visit.app.options().access else { return visit.go(&next, None) };
    if !secret.is(fields.word("token")) {
        return page(frame, next, true).unwrap_or_else(IntoResponse::into_response);
    }
    let Some(begun) = visit.app.sessions().begin() else {
        return Fault::new("internal", "the system gives no random numbers").into_response();
    };
    let mut response = visit.go(&next, None);
    let line = session::set_cookie(&visit.headers, session::COOKIE, &begun, session::LASTS);
    if let Ok(line) = HeaderValue::from_str(&line) {
        response.headers_mut().append(header::SET_COOKIE, line);
    }
    response
}

/// `POST /logout`: ends the session.
pub(crate) async fn leave(visit: Visit) -> Response {
    if let Some(text) = session::cookie(&visit.headers, session::COOKIE) {
        visit.app.sessions().end(text);
    }
    let mut response = visit.go(&format!("{}/login", visit.base()), None);
    let line = session::set_cookie(&visit.headers, session::COOKIE, "", std::time::Duration::ZERO);
    if let Ok(line) = HeaderValue::from_str(&line) {
        response.headers_mut().append(header::SET_COOKIE, line);
    }
    response
}
