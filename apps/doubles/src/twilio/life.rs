//! What becomes of a message or call after its answer: its states, one after the other, and who is told.
//!
//! A text is queued, sending, sent, and then delivered or undelivered; a call is queued, ringing, in progress and
//! completed, or ends unanswered. Each state lasts one pace. The callback of a state is answered (or given up) before
//! the next state begins, so that callbacks arrive in order unless a rule swaps them; a missing callback is not
//! repeated, as Twilio does not repeat it either.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde_json::json;

use super::{
    Account, Provider,
    fault::{AnsweredBy, Fault},
    inbound::Inbound,
    record::{API_VERSION, Call, Hook},
    signature::signature,
    twiml,
};
use crate::{
    caller::{Answer, CallError},
    count,
    log::logged_body,
    moment::{now_ms, rfc2822},
};

/// Named values of a callback.
pub(super) type Form = Vec<(&'static str, String)>;

/// Who is told of one message or call, and what a rule does to that.
pub(super) struct Telling {
    account: Account,
    sid: String,
    hook: Option<Hook>,
    dropped: bool,
    times: usize,
    swapped: bool,
    held: Vec<Form>,
}

impl Telling {
    pub(super) fn of(account: &Account, sid: &str, hook: Option<Hook>, faults: &[&Fault]) -> Self {
        Self {
            account: account.clone(),
            sid: sid.to_owned(),
            hook,
            dropped: faults.contains(&&Fault::DropCallback),
            times: if faults.contains(&&Fault::RepeatCallback) { 2 } else { 1 },
            swapped: faults.contains(&&Fault::SwapCallbacks),
            held: Vec::new(),
        }
    }

    /// Tells of a state; with `last`, also of those that were held back for it.
    async fn tell(&mut self, provider: &Provider, form: Form, last: bool) {
        let Some(hook) = self.hook.clone() else { return };
        if self.dropped {
            count(&provider.tally.callbacks_dropped);
            provider.event(&self.sid, "callback_dropped", json!({ "url": hook.url }));
            return;
        }
        if self.swapped && !last {
            self.held.push(form);
            return;
        }
        let held = self.held.drain(..).rev().collect::<Vec<Form>>();
        for form in std::iter::once(form).chain(held) {
            for _ in 0..self.times {
                // Whether it arrived is written down; nothing depends on it.
                let _ = provider.call_hook(&self.account, &self.sid, &hook, &form).await;
            }
        }
    }
}

impl Provider {
    /// Sends a signed form to an address and writes down what came of it.
    pub(super) async fn call_hook(
        &self,
        account: &Account,
        sid: &str,
        hook: &Hook,
        form: &Form,
    ) -> Result<Answer, CallError> {
        let sent = self.send_signed(account, hook, form).await;
        let outcome = match &sent {
            Ok(answer) => json!(answer.status),
            Err(error) => json!(error.to_string()),
        };
        let told: serde_json::Map<String, serde_json::Value> =
            form.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        self.event(sid, "callback", json!({ "url": hook.url, "answer": outcome, "form": told }));
        let arrived = sent.as_ref().is_ok_and(|answer| (200..300).contains(&answer.status));
        count(if arrived { &self.tally.callbacks } else { &self.tally.callbacks_failed });
        sent
    }

    async fn send_signed(&self, account: &Account, hook: &Hook, form: &Form) -> Result<Answer, CallError> {
        let mut url = self.caller.address(&hook.url)?;
        let mut headers = HeaderMap::new();
        let mut body = None;
        let signed = if hook.get {
            url.query_pairs_mut().extend_pairs(form);
            signature(&account.token, url.as_str(), [])
        } else {
            let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            body = Some(encoded);
            let kind = HeaderValue::from_static("application/x-www-form-urlencoded; charset=UTF-8");
            headers.insert(CONTENT_TYPE, kind);
            signature(&account.token, url.as_str(), form.iter().map(|(name, value)| (*name, value.as_str())))
        };
        let value =
            HeaderValue::from_str(&signed).map_err(|error| CallError::Unanswered(error.to_string()))?;
        headers.insert("x-twilio-signature", value);
        self.caller.send(if hook.get { Method::GET } else { Method::POST }, url, headers, body).await
    }

    /// Lets a life run beside everything else, until its end or the server's.
    fn live(self: &Arc<Self>, life: impl Future<Output = ()> + Send + 'static) {
        self.living.fetch_add(1, Ordering::Relaxed);
        let provider = Arc::clone(self);
        let mut ending = self.ending.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = life => {}
                _ = ending.wait_for(|stop| *stop) => {}
            }
            provider.living.fetch_sub(1, Ordering::Relaxed);
        });
    }

    async fn pause(&self) {
        tokio::time::sleep(self.options.pace).await;
    }

    pub(super) fn begin_text(
        self: &Arc<Self>,
        sid: String,
        from: String,
        mut telling: Telling,
        faults: &[&Fault],
    ) {
        let error = faults.iter().find_map(|fault| match fault {
            Fault::Undelivered(code) => Some(*code),
            _ => None,
        });
        let replies: Vec<String> = faults
            .iter()
            .filter_map(|fault| match fault {
                Fault::Reply(words) => Some(words.clone()),
                _ => None,
            })
            .collect();
        let provider = Arc::clone(self);
        self.live(async move {
            provider.pause().await;
            provider.text_is(&sid, "sending", None, &from);
            provider.pause().await;
            let sent = provider.text_is(&sid, "sent", None, &from);
            telling.tell(&provider, sent, false).await;
            provider.pause().await;
            let status = if error.is_some() { "undelivered" } else { "delivered" };
            let ended = provider.text_is(&sid, status, error, &from);
            let person = ended.iter().find(|(name, _)| *name == "To").map(|(_, to)| to.clone());
            telling.tell(&provider, ended, true).await;
            if error.is_none() {
                for words in replies {
                    provider.pause().await;
                    let person = person.clone().unwrap_or_default();
                    let inbound = Inbound { from: person, to: from.clone(), body: words, url: None };
                    provider.inbound(&telling.account, inbound).await;
                }
            }
        });
    }

    /// Sets the state of a text and says what its callback would tell.
    fn text_is(&self, sid: &str, status: &'static str, error: Option<u32>, from: &str) -> Form {
        let now = now_ms();
        let mut form: Form = Vec::new();
        if let Some(message) = self.state().messages.get_mut(sid) {
            message.status = status;
            message.error = error;
            message.updated_ms = now;
            message.from.get_or_insert_with(|| from.to_owned());
            if status == "sent" {
                message.sent_ms = Some(now);
            }
            form.extend([
                ("AccountSid", message.account.clone()),
                ("ApiVersion", API_VERSION.to_owned()),
                ("From", from.to_owned()),
                ("MessageSid", sid.to_owned()),
                ("MessageStatus", status.to_owned()),
                ("SmsSid", sid.to_owned()),
                ("SmsStatus", status.to_owned()),
                ("To", message.to.clone()),
            ]);
            form.extend(error.map(|code| ("ErrorCode", code.to_string())));
            form.extend(message.service.clone().map(|service| ("MessagingServiceSid", service)));
        }
        self.event(sid, "status", json!({ "status": status, "error_code": error }));
        form
    }

    pub(super) fn begin_call(self: &Arc<Self>, call: Call, telling: Telling, faults: &[&Fault]) {
        let unanswered = faults.iter().find_map(|fault| match fault {
            Fault::Unanswered(status) => Some(*status),
            _ => None,
        });
        let answers = faults.iter().find_map(|fault| match fault {
            Fault::Answered(who) => Some(*who),
            _ => None,
        });
        let provider = Arc::clone(self);
        let life = CallLife { provider, call, telling, told: 0 };
        self.live(life.run(unanswered, answers.unwrap_or(AnsweredBy::Human)));
    }
}

/// A call on its way.
struct CallLife {
    provider: Arc<Provider>,
    call: Call,
    telling: Telling,
    told: u32,
}

impl CallLife {
    async fn run(mut self, unanswered: Option<&'static str>, answers: AnsweredBy) {
        self.tell("initiated", "initiated").await;
        self.pause().await;
        self.is("ringing", |_| {});
        self.tell("ringing", "ringing").await;
        self.pause().await;
        if let Some(status) = unanswered {
            self.is(status, |call| call.ended_ms = Some(now_ms()));
        } else {
            self.is("in-progress", |call| call.started_ms = Some(now_ms()));
            self.tell("answered", "in-progress").await;
            self.talk(answers).await;
            self.is("completed", |call| call.ended_ms = Some(now_ms()));
        }
        let status = self.call.status;
        self.tell("completed", status).await;
    }

    /// What happens between the answer and the end.
    async fn talk(&mut self, answers: AnsweredBy) {
        match self.call.script.detection.clone() {
            None => {
                self.speak(None).await;
                self.pause().await;
            }
            Some(detection) => {
                let word = answers.word(detection.message_end);
                match detection.meanwhile {
                    // What is said waits for the result.
                    None => {
                        self.pause().await;
                        self.is("in-progress", |call| call.answered_by = Some(word));
                        self.speak(Some(word)).await;
                    }
                    Some(hook) => {
                        self.speak(None).await;
                        self.pause().await;
                        self.is("in-progress", |call| call.answered_by = Some(word));
                        if let Some(hook) = hook {
                            let took = self.provider.options.pace.as_millis().to_string();
                            let form = vec![
                                ("AccountSid", self.call.account.clone()),
                                ("AnsweredBy", word.to_owned()),
                                ("CallSid", self.call.sid.clone()),
                                ("MachineDetectionDuration", took),
                            ];
                            let (account, sid) = (self.telling.account.clone(), self.call.sid.clone());
                            let _ = self.provider.call_hook(&account, &sid, &hook, &form).await;
                        }
                    }
                }
                self.pause().await;
            }
        }
    }

    /// Says what the call was made for: its own TwiML, or that of its address.
    async fn speak(&mut self, answered_by: Option<&'static str>) {
        let document = match (&self.call.script.twiml, self.call.script.url.clone()) {
            (Some(twiml), _) => Ok(twiml.clone()),
            (None, Some(hook)) => self.asked(&hook, answered_by).await,
            (None, None) => Ok(String::new()),
        };
        let verbs = document.and_then(|document| {
            // 12100 is the provider's error for a document that it cannot read.
            twiml::verbs(&document).ok_or_else(|| "12100: no TwiML".to_owned())
        });
        match verbs {
            Ok(verbs) => {
                let said = logged_body(&twiml::said(&verbs));
                let by = self.call.answered_by;
                self.provider.event(&self.call.sid, "said", json!({ "said": said, "answered_by": by }));
                self.is("in-progress", |call| call.said = Some(said.clone()));
            }
            Err(why) => self.provider.event(&self.call.sid, "error", json!({ "why": why })),
        }
    }

    /// Asks an address what to say.
    async fn asked(&self, hook: &Hook, answered_by: Option<&'static str>) -> Result<String, String> {
        let mut form = self.form("in-progress");
        form.extend(answered_by.map(|word| ("AnsweredBy", word.to_owned())));
        let answer = self.provider.call_hook(&self.telling.account, &self.call.sid, hook, &form).await;
        // 11200 is the provider's error for an address that does not answer as it should.
        let answer = answer.map_err(|error| format!("11200: {error}"))?;
        if !(200..300).contains(&answer.status) {
            return Err(format!("11200: answered {}", answer.status));
        }
        String::from_utf8(answer.body).map_err(|error| format!("12100: {error}"))
    }

    fn form(&self, status: &str) -> Form {
        let Call { sid, account, from, to, .. } = &self.call;
        [
            ("AccountSid", account.as_str()),
            ("ApiVersion", API_VERSION),
            ("CallSid", sid),
            ("CallStatus", status),
            ("Called", to),
            ("Caller", from),
            ("Direction", "outbound-api"),
            ("From", from),
            ("To", to),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .into()
    }

    /// Tells of one of the four events when somebody wanted it.
    async fn tell(&mut self, event: &str, status: &str) {
        let ended = event == "completed";
        let number = self.told;
        self.told += 1;
        if !self.call.script.events.iter().any(|wanted| wanted == event) {
            return;
        }
        let mut form = self.form(status);
        form.extend([
            ("CallbackSource", "call-progress-events".to_owned()),
            ("SequenceNumber", number.to_string()),
            ("Timestamp", rfc2822(now_ms())),
        ]);
        if ended {
            let seconds = self.call.duration_s();
            form.push(("CallDuration", seconds.to_string()));
            form.push(("Duration", seconds.div_ceil(60).to_string()));
            form.push(("SipResponseCode", if status == "completed" { "200" } else { "487" }.to_owned()));
        }
        form.extend(self.call.answered_by.map(|word| ("AnsweredBy", word.to_owned())));
        self.telling.tell(&self.provider, form, ended).await;
    }

    fn is(&mut self, status: &'static str, change: impl Fn(&mut Call)) {
        let changed = self.call.status != status;
        self.call.status = status;
        self.call.updated_ms = now_ms();
        change(&mut self.call);
        if let Some(kept) = self.provider.state().calls.get_mut(&self.call.sid) {
            *kept = self.call.clone();
        }
        if changed {
            let by = self.call.answered_by;
            self.provider.event(&self.call.sid, "status", json!({ "status": status, "answered_by": by }));
        }
    }

    async fn pause(&self) {
        let pace: Duration = self.provider.options.pace;
        tokio::time::sleep(pace).await;
    }
}
