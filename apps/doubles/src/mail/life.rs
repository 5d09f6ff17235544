//! What becomes of a mail after its answer: the events of each recipient, told in signed batches.
//!
//! A mail is processed, then delivered, bounced or dropped, and then a person does something with it. Each stage lasts
//! one pace, and its batch is answered (or given up) before the next begins. Whoever bounced, complained or
//! unsubscribed is on the provider's list from then on: later mails to them are dropped.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde_json::{Map, Value, json};

use super::{
    Provider, Taken,
    fault::{Engagement, Fault},
};
use crate::{
    caller::{Answer, CallError},
    count,
    moment::now_ms,
};

/// What a client shows of itself in opens and clicks.
const USER_AGENT: &str = "Mozilla/5.0 (windlass-doubles)";

/// One recipient of a mail, and what the rules do to it.
pub(super) struct Fate {
    pub(super) email: String,
    pub(super) faults: Vec<Fault>,
}

impl Provider {
    pub(super) fn begin(self: &Arc<Self>, taken: Arc<Taken>, fates: Vec<Fate>) {
        self.living.fetch_add(1, Ordering::Relaxed);
        let provider = Arc::clone(self);
        let mut ending = self.ending.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = provider.live(&taken, fates) => {}
                _ = ending.wait_for(|stop| *stop) => {}
            }
            provider.living.fetch_sub(1, Ordering::Relaxed);
        });
    }

    async fn live(&self, taken: &Taken, fates: Vec<Fate>) {
        let mut stages: Vec<Vec<(usize, Value)>> = Vec::new();
        for (nth, fate) in fates.iter().enumerate() {
            for (at, event) in self.course(taken, fate).into_iter().enumerate() {
                if stages.len() <= at {
                    stages.push(Vec::new());
                }
                stages[at].push((nth, event));
            }
        }
        let has = |nth: usize, fault: &Fault| fates[nth].faults.contains(fault);
        let mut held = Vec::new();
        let last = stages.len().saturating_sub(1);
        for (at, stage) in stages.into_iter().enumerate() {
            self.pause().await;
            let mut batch = Vec::new();
            for (nth, mut event) in stage {
                event["timestamp"] = json!(now_ms() / 1_000);
                self.remember(taken, &fates[nth].email, &event);
                if has(nth, &Fault::DropCallback) {
                    count(&self.tally.callbacks_dropped);
                } else if has(nth, &Fault::SwapCallbacks) && at < last {
                    held.push(event);
                } else {
                    batch.extend(std::iter::repeat_n(
                        event,
                        1 + usize::from(has(nth, &Fault::RepeatCallback)),
                    ));
                }
            }
            if at == last {
                batch.extend(held.drain(..).rev());
            }
            if !batch.is_empty() {
                self.tell(&Value::Array(batch).to_string()).await;
            }
        }
    }

    async fn pause(&self) {
        let pace: Duration = self.options.pace;
        tokio::time::sleep(pace).await;
    }

    /// The events of one recipient, in order.
    fn course(&self, taken: &Taken, fate: &Fate) -> Vec<Value> {
        let event = |name: &str, more: Value| {
            let mut event: Map<String, Value> =
                taken.custom_args.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            event.insert("email".to_owned(), json!(fate.email));
            event.insert("event".to_owned(), json!(name));
            event.insert("sg_event_id".to_owned(), json!(self.new_id()));
            event.insert("sg_message_id".to_owned(), json!(format!("{}.recvd-double-1-0", taken.id)));
            event.insert("smtp-id".to_owned(), json!(taken.smtp_id()));
            if !taken.categories.is_empty() {
                event.insert("category".to_owned(), json!(taken.categories));
            }
            event.extend(more.as_object().cloned().unwrap_or_default());
            Value::Object(event)
        };
        if let Some(reason) = self.reason_to_drop(fate) {
            return vec![event("dropped", json!({ "reason": reason, "status": "5.0.0" }))];
        }
        let mut events = vec![event("processed", json!({}))];
        for fault in &fate.faults {
            match fault {
                Fault::Bounce(status) => {
                    let reason =
                        format!("550 {status} The email account that you tried to reach does not exist");
                    let more = json!({
                        "type": "bounce",
                        "status": status,
                        "reason": reason,
                        "bounce_classification": "Invalid Address",
                    });
                    events.push(event("bounce", more));
                    return events;
                }
                Fault::Blocked => {
                    let more = json!({
                        "type": "blocked",
                        "status": "5.7.1",
                        "reason": "554 5.7.1 rejected by policy",
                        "bounce_classification": "Reputation",
                    });
                    events.push(event("bounce", more));
                    return events;
                }
                Fault::Deferred => {
                    let more = json!({ "response": "451 4.7.1 try again later", "attempt": "1" });
                    events.push(event("deferred", more));
                }
                _ => {}
            }
        }
        events.push(event("delivered", json!({ "response": "250 2.0.0 OK" })));
        for fault in &fate.faults {
            let Fault::Then(engagement) = fault else { continue };
            let more = match engagement {
                Engagement::SpamReport | Engagement::Unsubscribe => json!({}),
                Engagement::Open => {
                    json!({ "useragent": USER_AGENT, "ip": "127.0.0.1", "sg_machine_open": false })
                }
                Engagement::Click => {
                    json!({ "useragent": USER_AGENT, "ip": "127.0.0.1", "url": taken.first_link() })
                }
            };
            events.push(event(engagement.word(), more));
        }
        events
    }

    fn reason_to_drop(&self, fate: &Fate) -> Option<&'static str> {
        if fate.faults.contains(&Fault::Dropped) {
            return Some("Bounced Address");
        }
        self.state().listed.get(&fate.email.to_ascii_lowercase()).copied()
    }

    /// What an event means for the page, for later mails and for the log of events.
    fn remember(&self, taken: &Taken, email: &str, event: &Value) {
        let name = event["event"].as_str().unwrap_or_default();
        let reason = match (name, event["type"].as_str()) {
            ("bounce", Some("bounce")) => Some("Bounced Address"),
            ("spamreport", _) => Some("Spam Reporting Address"),
            ("unsubscribe", _) => Some("Unsubscribed Address"),
            _ => None,
        };
        {
            let mut state = self.state();
            if let Some(reason) = reason {
                state.list(email, reason);
            }
            if let Some(kept) = state.mails.get_mut(&taken.id) {
                kept.status.insert(email.to_owned(), name.to_owned());
            }
        }
        self.events.append(&json!({ "at_ms": now_ms(), "id": taken.id, "event": "told", "is": event }));
    }

    /// Sends a batch to the address of the account, signed.
    async fn tell(&self, body: &str) {
        let Some(url) = &self.options.events_url else { return };
        let sent = self.send_signed(url, body).await;
        let outcome = match &sent {
            Ok(answer) => json!(answer.status),
            Err(error) => json!(error.to_string()),
        };
        self.events.append(&json!({ "at_ms": now_ms(), "event": "callback", "url": url, "answer": outcome }));
        let arrived = sent.is_ok_and(|answer| (200..300).contains(&answer.status));
        count(if arrived { &self.tally.callbacks } else { &self.tally.callbacks_failed });
    }

    async fn send_signed(&self, url: &str, body: &str) -> Result<Answer, CallError> {
        let url = self.caller.address(url)?;
        let timestamp = (now_ms() / 1_000).to_string();
        let failed = |why: &str| CallError::Unanswered(why.to_owned());
        let signature = self.signer.sign(&timestamp, body).ok_or_else(|| failed("it could not be signed"))?;
        let value = |text: &str| HeaderValue::from_str(text).map_err(|error| failed(&error.to_string()));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("x-twilio-email-event-webhook-signature", value(&signature)?);
        headers.insert("x-twilio-email-event-webhook-timestamp", value(&timestamp)?);
        self.caller.send(Method::POST, url, headers, Some(body.to_owned())).await
    }
}
