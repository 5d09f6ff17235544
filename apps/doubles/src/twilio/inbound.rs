//! Texts of people: what the provider makes of them itself, and how it hands them on.

use std::sync::Arc;

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;

use super::{
    Account, Provider,
    numbers::{Keyword, is_number, keyword, segments},
    record::{API_VERSION, Hook, Message},
    twiml,
};
use crate::{
    count,
    log::{Channel, Delivery, logged_body},
    moment::now_ms,
};

/// Who texts whom, and what.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Inbound {
    /// The person.
    pub(super) from: String,
    /// The number of ours.
    pub(super) to: String,
    pub(super) body: String,
    /// Where it goes, instead of to the number's own address.
    pub(super) url: Option<String>,
}

/// What came of handing a text on.
pub(super) struct Handed {
    sid: String,
    webhook: Result<u16, String>,
    stopped: Option<bool>,
}

pub(super) async fn receive(
    State(provider): State<Arc<Provider>>,
    inbound: Result<Json<Inbound>, JsonRejection>,
) -> Response {
    let bad = |why: String| (StatusCode::BAD_REQUEST, Json(json!({ "error": why }))).into_response();
    let inbound = match inbound {
        Ok(Json(inbound)) => inbound,
        Err(rejection) => return bad(rejection.body_text()),
    };
    if !is_number(&inbound.from) {
        return bad(format!("from is no number such as +15550000010: {}", inbound.from));
    }
    let account = provider.options.account.clone();
    let account =
        account.unwrap_or_else(|| Account { sid: "AC".to_owned() + &"0".repeat(32), token: String::new() });
    let handed = provider.inbound(&account, inbound).await;
    let (status, error) = match &handed.webhook {
        Ok(status) => (Some(status), None),
        Err(error) => (None, Some(error)),
    };
    let answer = json!({
        "sid": handed.sid,
        "webhook_status": status,
        "webhook_error": error,
        "opted_out": handed.stopped,
    });
    (StatusCode::CREATED, Json(answer)).into_response()
}

impl Provider {
    /// A person texts a number of ours: STOP is remembered here first, then the number's address hears of it, and what
    /// it answers is sent to the person, unless they have stopped.
    pub(super) async fn inbound(&self, account: &Account, inbound: Inbound) -> Handed {
        let (person, number, body) = (inbound.from.as_str(), inbound.to.as_str(), inbound.body.as_str());
        let at_ms = now_ms();
        let message = Message {
            sid: self.new_sid("SM"),
            account: account.sid.clone(),
            from: Some(person.to_owned()),
            to: number.to_owned(),
            body: body.to_owned(),
            service: None,
            media: 0,
            direction: "inbound",
            status: "received",
            error: None,
            created_ms: at_ms,
            updated_ms: at_ms,
            sent_ms: Some(at_ms),
            callback: None,
        };
        let sid = message.sid.clone();
        count(&self.tally.inbound);
        let stopped = keyword(body).map(|word| word == Keyword::Stop);
        {
            let mut state = self.state();
            if let Some(stop) = stopped {
                state.stop(number, person, stop);
            }
            state.messages.push(&sid, message);
        }
        let event = json!({ "from": person, "to": number, "body": logged_body(body), "opted_out": stopped });
        self.event(&sid, "inbound", event);
        let webhook = self.hand_on(account, &sid, &inbound).await;
        Handed { sid, webhook, stopped }
    }

    async fn hand_on(&self, account: &Account, sid: &str, inbound: &Inbound) -> Result<u16, String> {
        let (person, number, body) = (inbound.from.as_str(), inbound.to.as_str(), inbound.body.as_str());
        let Some(url) = inbound.url.clone().or_else(|| self.options.inbound_url.clone()) else {
            return Err("the number has no address: start with --inbound-url".to_owned());
        };
        let form = [
            ("AccountSid", account.sid.as_str()),
            ("ApiVersion", API_VERSION),
            ("Body", body),
            ("From", person),
            ("MessageSid", sid),
            ("NumMedia", "0"),
            ("NumSegments", &segments(body).to_string()),
            ("SmsMessageSid", sid),
            ("SmsSid", sid),
            ("SmsStatus", "received"),
            ("To", number),
        ]
        .map(|(name, value)| (name, value.to_owned()));
        let answer = self.call_hook(account, sid, &Hook { url, get: false }, &form.into()).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let replies = String::from_utf8(answer.body).ok().and_then(|document| twiml::verbs(&document));
        for reply in replies.unwrap_or_default().into_iter().filter(|verb| verb.name == "Message") {
            self.reply(account, number, person, reply.text.trim());
        }
        Ok(answer.status)
    }

    /// Sends what a number's address answers; it reaches a person, so it stands in the log like every text.
    fn reply(&self, account: &Account, number: &str, person: &str, body: &str) {
        let at_ms = now_ms();
        let sid = self.new_sid("SM");
        if self.state().has_stopped(Some(number), person) {
            self.event(&sid, "reply_refused", json!({ "to": person, "error_code": 21610 }));
            return;
        }
        let delivery = Delivery {
            provider_id: sid.as_str().into(),
            account: Some(account.sid.as_str().into()),
            from: number.into(),
            to: person.into(),
            body: Some(logged_body(body).into()),
            bytes: body.len() as u64,
            ..Delivery::new(at_ms, Channel::Sms)
        };
        if self.log.append(std::iter::once(delivery)).is_err() {
            return;
        }
        count(&self.tally.accepted);
        let message = Message {
            sid: sid.clone(),
            account: account.sid.clone(),
            from: Some(number.to_owned()),
            to: person.to_owned(),
            body: body.to_owned(),
            service: None,
            media: 0,
            direction: "outbound-reply",
            status: "delivered",
            error: None,
            created_ms: at_ms,
            updated_ms: at_ms,
            sent_ms: Some(at_ms),
            callback: None,
        };
        self.state().messages.push(&sid, message);
    }
}
