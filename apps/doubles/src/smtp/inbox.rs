//! The inbox: the newest mails as pages for people and as JSON for tests, on a port of its own.

use std::sync::{Arc, Mutex, MutexGuard};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::mime;
use crate::{
    kept::Kept,
    moment::plain,
    page::{escape, page, table},
    unsubscribe::{self, Verdict},
};

/// How many mails are kept, and how many bytes of them; the log has a line of every one.
const MAX_MAILS: usize = 5_000;
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// The newest so many stand on the page and in a list.
const SHOWN: usize = 200;
const LISTED: usize = 1_000;

/// A mail as it came.
#[derive(Debug)]
pub(super) struct Mail {
    pub(super) at_ms: u64,
    pub(super) id: String,
    pub(super) user: Option<String>,
    pub(super) from: String,
    pub(super) to: Vec<String>,
    pub(super) raw: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Inbox(Mutex<Shelf>);

#[derive(Debug)]
struct Shelf {
    mails: Kept<(u64, Arc<Mail>)>,
    bytes: usize,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Shelf { mails: Kept::new(MAX_MAILS), bytes: 0 }))
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().expect("no code panics while it holds the inbox")
    }

    pub(super) fn push(&self, mail: Mail) {
        let mut shelf = self.shelf();
        shelf.bytes += mail.raw.len();
        while shelf.mails.len() >= MAX_MAILS || (shelf.bytes > MAX_BYTES && shelf.mails.len() > 0) {
            if let Some((_, oldest)) = shelf.mails.forget_oldest() {
                shelf.bytes -= oldest.raw.len();
            }
        }
        let number = shelf.mails.seen() + 1;
        shelf.mails.push(&number.to_string(), (number, Arc::new(mail)));
    }

    fn newest(&self, to: Option<&str>, most: usize) -> (u64, Vec<(u64, Arc<Mail>)>) {
        let shelf = self.shelf();
        let wanted = |mail: &Mail| to.is_none_or(|to| mail.to.iter().any(|one| one.eq_ignore_ascii_case(to)));
        let newest =
            shelf.mails.newest_first().filter(|(_, mail)| wanted(mail)).take(most).cloned().collect();
        (shelf.mails.seen(), newest)
    }

    fn find(&self, number: &str) -> Option<(u64, Arc<Mail>)> {
        self.shelf().mails.get(number).cloned()
    }

    fn clear(&self) {
        let mut shelf = self.shelf();
        shelf.mails.clear();
        shelf.bytes = 0;
    }
}

pub(super) fn router(inbox: Arc<Inbox>) -> Router {
    Router::new()
        .route("/", get(look))
        .route("/mail/{number}", get(look_at))
        .route("/messages", get(list).delete(clear))
        .route("/messages/{number}", get(fetch))
        .route("/messages/{number}/raw", get(raw))
        .fallback(async || (StatusCode::NOT_FOUND, Json(json!({ "error": "there is no such page" }))))
        .with_state(inbox)
}

/// Which mails.
#[derive(Deserialize)]
struct Which {
    to: Option<String>,
}

fn verdict(fields: &[(String, String)]) -> Verdict {
    let field = |name| mime::field(fields, name);
    unsubscribe::judge(field("List-Unsubscribe"), field("List-Unsubscribe-Post"), field("DKIM-Signature"))
}

fn summary(number: u64, mail: &Mail) -> Value {
    let (fields, _) = mime::split(&mail.raw);
    json!({
        "number": number,
        "at_ms": mail.at_ms,
        "id": mail.id,
        "user": mail.user,
        "from": mail.from,
        "to": mail.to,
        "subject": mime::field(&fields, "Subject"),
        "message_id": mime::field(&fields, "Message-ID"),
        "bytes": mail.raw.len(),
        "unsubscribe": verdict(&fields),
    })
}

async fn list(State(inbox): State<Arc<Inbox>>, Query(which): Query<Which>) -> Json<Value> {
    let (seen, newest) = inbox.newest(which.to.as_deref(), LISTED);
    let data: Vec<Value> = newest.iter().map(|(number, mail)| summary(*number, mail)).collect();
    Json(json!({ "seen": seen, "data": data }))
}

async fn clear(State(inbox): State<Arc<Inbox>>) -> StatusCode {
    inbox.clear();
    StatusCode::NO_CONTENT
}

fn gone() -> Response {
    (StatusCode::NOT_FOUND, Json(json!({ "error": "no mail has this number, or it is no longer kept" })))
        .into_response()
}

async fn fetch(State(inbox): State<Arc<Inbox>>, Path(number): Path<String>) -> Response {
    let Some((number, mail)) = inbox.find(&number) else { return gone() };
    let mut json = summary(number, &mail);
    let (fields, _) = mime::split(&mail.raw);
    json["headers"] = json!(fields);
    json["parts"] = json!(mime::parts(&mail.raw));
    Json(json).into_response()
}

async fn raw(State(inbox): State<Arc<Inbox>>, Path(number): Path<String>) -> Response {
    let Some((_, mail)) = inbox.find(&number) else { return gone() };
    // A browser must take it for text, whatever the mail says of itself.
    let headers = [(header::CONTENT_TYPE, "text/plain"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, mail.raw.clone()).into_response()
}

fn shown(verdict: &Verdict) -> &'static str {
    if verdict.one_click {
        "<span class=\"good\">one click</span>"
    } else {
        "<span class=\"bad\">not one click</span>"
    }
}

async fn look(State(inbox): State<Arc<Inbox>>) -> Response {
    let (seen, newest) = inbox.newest(None, SHOWN);
    let rows = newest.iter().map(|(number, mail)| {
        let (fields, _) = mime::split(&mail.raw);
        let subject = mime::field(&fields, "Subject").filter(|subject| !subject.is_empty());
        vec![
            format!("<a href=\"/mail/{number}\">{}</a>", escape(subject.unwrap_or("(no subject)"))),
            escape(&mail.from),
            escape(&mail.to.join(", ")),
            shown(&verdict(&fields)).to_owned(),
            plain(mail.at_ms),
        ]
    });
    let body = String::from(
        "<p>A mail server on this machine: nothing reaches a real inbox. As JSON: \
         <a href=\"/messages\">messages</a>.</p>",
    ) + &table(
        &format!("Mails: the newest of {seen}"),
        &["Subject", "From", "To", "Unsubscribe", "Taken (UTC)"],
        rows,
    );
    page("Inbox", &body)
}

async fn look_at(State(inbox): State<Arc<Inbox>>, Path(number): Path<String>) -> Response {
    let Some((number, mail)) = inbox.find(&number) else { return gone() };
    let (fields, _) = mime::split(&mail.raw);
    let verdict = verdict(&fields);
    let mut body = format!(
        "<p><a href=\"/\">Inbox</a> · <a href=\"/messages/{number}/raw\">as it came</a> · \
         <a href=\"/messages/{number}\">as JSON</a></p><h2>Unsubscribe: {}</h2><ul>",
        shown(&verdict)
    );
    for sentence in verdict.problems.iter().chain(&verdict.notes) {
        body += &format!("<li>{}</li>", escape(sentence));
    }
    body += "</ul>";
    let envelope = [("Envelope from", mail.from.clone()), ("Envelope to", mail.to.join(", "))];
    let envelope = envelope.into_iter().map(|(name, value)| vec![name.to_owned(), escape(&value)]);
    let header = fields.iter().map(|(name, value)| vec![escape(name), escape(value)]);
    body += &table("Header", &["Field", "Value"], envelope.chain(header));
    for part in mime::parts(&mail.raw) {
        body += &format!("<h2>{}</h2><pre>{}</pre>", escape(&part.content_type), escape(&part.text));
    }
    let subject = mime::field(&fields, "Subject").unwrap_or("(no subject)");
    page(subject, &body)
}
