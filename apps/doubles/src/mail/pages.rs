//! What people and tests see of a mail API: a page, the same as JSON, and the key that checks its signatures.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State},
    response::Response,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Provider, Shown};
use crate::{
    moment::plain,
    page::{escape, page, table},
    unsubscribe,
};

/// The newest so many stand on the page.
const SHOWN: usize = 100;

/// Which mails.
#[derive(Deserialize)]
pub(super) struct Which {
    to: Option<String>,
}

fn verdict(shown: &Shown) -> unsubscribe::Verdict {
    let field = |name| shown.mail.header(name);
    // The provider signs by itself, both fields included.
    unsubscribe::judge(
        field("List-Unsubscribe"),
        field("List-Unsubscribe-Post"),
        Some("h=list-unsubscribe:list-unsubscribe-post"),
    )
}

pub(super) async fn messages(
    State(provider): State<Arc<Provider>>,
    Query(which): Query<Which>,
) -> Json<Value> {
    let state = provider.state();
    let wanted = |shown: &&Shown| {
        which.to.as_deref().is_none_or(|to| shown.status.keys().any(|email| email.eq_ignore_ascii_case(to)))
    };
    let json = |shown: &Shown| {
        let content = |content: &super::Content| json!({ "type": content.kind, "value": content.value });
        json!({
            "id": shown.mail.id,
            "at_ms": shown.mail.at_ms,
            "from": shown.mail.from,
            "subject": shown.mail.subject,
            "headers": shown.mail.headers,
            "custom_args": shown.mail.custom_args,
            "content": shown.mail.content.iter().map(content).collect::<Vec<_>>(),
            "recipients": shown.status,
            "unsubscribe": verdict(shown),
        })
    };
    let data: Vec<Value> = state.mails.newest_first().filter(wanted).map(json).collect();
    Json(json!({ "seen": state.mails.seen(), "data": data }))
}

pub(super) async fn public_key(State(provider): State<Arc<Provider>>) -> Json<Value> {
    Json(json!({ "public_key": provider.signer.public_key() }))
}

pub(super) async fn look(State(provider): State<Arc<Provider>>) -> Response {
    let state = provider.state();
    let row = |shown: &Shown| {
        let recipients =
            shown.status.iter().map(|(email, status)| format!("{}: {}", escape(email), escape(status)));
        let one_click = verdict(shown).one_click;
        vec![
            escape(&shown.mail.subject),
            escape(&shown.mail.from),
            recipients.collect::<Vec<_>>().join("<br>"),
            if one_click {
                "<span class=\"good\">one click</span>"
            } else {
                "<span class=\"bad\">not one click</span>"
            }
            .to_owned(),
            plain(shown.mail.at_ms),
        ]
    };
    let mut body = String::from(
        "<p>A stand-in for a mail API on this machine: nothing reaches a real inbox. As JSON: \
         <a href=\"/_double/messages\">messages</a>, <a href=\"/_double/public-key\">the key of its events</a>.</p>",
    );
    body += &table(
        &format!("Mails: the newest of {}", state.mails.seen()),
        &["Subject", "From", "To", "Unsubscribe", "Taken (UTC)"],
        state.mails.newest_first().take(SHOWN).map(row),
    );
    page("Mails", &body)
}
