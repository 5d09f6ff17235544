//! What people and tests see of a provider: a page, and the same as JSON.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State},
    response::Response,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Provider,
    record::{Call, Message},
};
use crate::{
    moment::plain,
    page::{escape, page, table},
};

/// The newest so many stand on the page.
const SHOWN: usize = 100;
/// How many a JSON answer has unless asked, and at most.
const LIMIT: usize = 1_000;

/// Which of them.
#[derive(Deserialize)]
pub(super) struct Which {
    /// To this number only.
    to: Option<String>,
    /// The newest so many.
    limit: Option<usize>,
}

impl Which {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(LIMIT).min(LIMIT)
    }

    fn wants(&self, to: &str) -> bool {
        self.to.as_deref().is_none_or(|wanted| wanted == to)
    }
}

pub(super) async fn messages(
    State(provider): State<Arc<Provider>>,
    Query(which): Query<Which>,
) -> Json<Value> {
    let state = provider.state();
    let wanted = state.messages.newest_first().filter(|message| which.wants(&message.to));
    let data: Vec<Value> = wanted
        .take(which.limit())
        .map(|message| {
            let mut json = message.json();
            json["status_callback"] = json!(message.callback.as_ref().map(|hook| &hook.url));
            json
        })
        .collect();
    Json(json!({ "seen": state.messages.seen(), "kept": state.messages.len(), "data": data }))
}

pub(super) async fn calls(State(provider): State<Arc<Provider>>, Query(which): Query<Which>) -> Json<Value> {
    let state = provider.state();
    let wanted = state.calls.newest_first().filter(|call| which.wants(&call.to));
    let data: Vec<Value> = wanted
        .take(which.limit())
        .map(|call| {
            let mut json = call.json();
            json["said"] = json!(call.said);
            json["status_callback"] = json!(call.script.callback.as_ref().map(|hook| &hook.url));
            json
        })
        .collect();
    Json(json!({ "seen": state.calls.seen(), "kept": state.calls.len(), "data": data }))
}

pub(super) async fn look(State(provider): State<Arc<Provider>>) -> Response {
    let state = provider.state();
    let message = |message: &Message| {
        vec![
            plain(message.created_ms),
            escape(message.direction),
            escape(message.from.as_deref().unwrap_or("a service")),
            escape(&message.to),
            status(message.status, message.error),
            escape(&message.body),
            format!("<code>{}</code>", escape(&message.sid)),
        ]
    };
    let call = |call: &Call| {
        vec![
            plain(call.created_ms),
            escape(&call.from),
            escape(&call.to),
            status(call.status, None),
            escape(call.answered_by.unwrap_or("")),
            escape(call.said.as_deref().unwrap_or("")),
            format!("<code>{}</code>", escape(&call.sid)),
        ]
    };
    let mut body = String::from(
        "<p>A stand-in for Twilio on this machine: nothing reaches a real phone. As JSON: \
         <a href=\"/_double/messages\">messages</a>, <a href=\"/_double/calls\">calls</a>.</p>",
    );
    body += &table(
        &format!("Messages: the newest of {}", state.messages.seen()),
        &["Taken (UTC)", "Direction", "From", "To", "Status", "Words", "Sid"],
        state.messages.newest_first().take(SHOWN).map(message),
    );
    body += &table(
        &format!("Calls: the newest of {}", state.calls.seen()),
        &["Taken (UTC)", "From", "To", "Status", "Answered by", "Said", "Sid"],
        state.calls.newest_first().take(SHOWN).map(call),
    );
    page("Texts and calls", &body)
}

fn status(status: &str, error: Option<u32>) -> String {
    let class = match status {
        "delivered" | "completed" | "received" => " class=\"good\"",
        "undelivered" | "failed" | "busy" | "no-answer" => " class=\"bad\"",
        _ => "",
    };
    let error = error.map(|code| format!(" ({code})")).unwrap_or_default();
    format!("<span{class}>{}{error}</span>", escape(status))
}
