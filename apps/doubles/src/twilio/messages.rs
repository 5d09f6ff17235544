//! Texts: taken, fetched, listed.

use std::sync::{Arc, atomic::Ordering};

use axum::{
    Json,
    body::Bytes,
    extract::{ConnectInfo, OriginalUri, Path, RawQuery, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};

use super::{
    Account, MAX_KEPT, Provider,
    answer::{Params, Problem, words_of},
    fault::Fault,
    life::Telling,
    listing::{Listing, dated},
    numbers,
    order::Order,
    record::{Hook, Message},
};
use crate::{
    count,
    listener::Cord,
    log::{CAMPAIGN_HEADER, Channel, Delivery, IDEMPOTENCY_HEADER, JOB_HEADER, logged, logged_body},
    moment::now_ms,
};

/// The longest text (error 21617 above it), in characters.
const MAX_TEXT_CHARS: usize = 1_600;
/// The number that texts of a service come from.
const SERVICE_NUMBER: &str = "+15005550006";

pub(super) async fn create(
    State(provider): State<Arc<Provider>>,
    Path(account): Path<String>,
    ConnectInfo(cord): ConnectInfo<Cord>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Order { account, form, faults } = match provider.order(&account, &headers, body).await {
        Ok(order) => order,
        Err(answer) => return answer,
    };
    let checked = check(&provider, &form).and_then(|()| provider.misbehave(&faults));
    match checked {
        Ok(()) => provider.take_text(&account, &cord, &headers, &form, &faults),
        Err(problem) => provider.refused(problem),
    }
}

pub(super) async fn fetch(
    State(provider): State<Arc<Provider>>,
    Path((account, resource)): Path<(String, String)>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Response {
    let account = match provider.authenticate(&account, &headers) {
        Ok(account) => account,
        Err(problem) => return problem.into_response(),
    };
    let sid = resource.strip_suffix(".json").unwrap_or(&resource);
    let state = provider.state();
    match state.messages.get(sid).filter(|message| message.account == account.sid) {
        Some(message) => Json(message.json()).into_response(),
        None => Problem::not_found(uri.path()).into_response(),
    }
}

pub(super) async fn list(
    State(provider): State<Arc<Provider>>,
    Path(account): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let account = match provider.authenticate(&account, &headers) {
        Ok(account) => account,
        Err(problem) => return problem.into_response(),
    };
    let query = Params::read(query.unwrap_or_default().as_bytes());
    let listing = match Listing::asked(&account.sid, "Messages", &query) {
        Ok(listing) => listing,
        Err(problem) => return problem.into_response(),
    };
    let state = provider.state();
    let matching = state.messages.newest_first().filter(|message| {
        message.account == account.sid
            && query.get("To").is_none_or(|to| to == message.to)
            && query.get("From").is_none_or(|from| Some(from) == message.from.as_deref())
            && dated(&query, "DateSent", message.dated_ms())
    });
    Json(listing.page("messages", matching, |message| &message.sid, Message::json)).into_response()
}

fn check(provider: &Provider, form: &Params) -> Result<(), Problem> {
    let to = form.get("To").ok_or_else(|| Problem::bad(21604, "A 'To' phone number is required"))?;
    let (from, service) = (form.get("From"), form.get("MessagingServiceSid"));
    if from.is_none() && service.is_none() {
        return Err(Problem::bad(21603, "A 'From' phone number is required"));
    }
    let refusal = |code: u32| Problem::bad(code, words_of(code, to, from.unwrap_or_default()));
    if let Some(code) = numbers::bad_text_recipient(to).or_else(|| from.and_then(numbers::bad_text_sender)) {
        return Err(refusal(code));
    }
    if !numbers::is_number(to) {
        return Err(refusal(21211));
    }
    if from.is_some_and(|from| !numbers::is_text_sender(from)) {
        return Err(refusal(21212));
    }
    if service.is_some_and(|sid| sid.len() != 34 || !sid.starts_with("MG")) {
        return Err(Problem::bad(21701, "The Messaging Service does not exist"));
    }
    let content = ["Body", "MediaUrl", "ContentSid"].into_iter().find_map(|name| form.get(name));
    if content.is_none() {
        return Err(Problem::bad(21602, "Message body is required"));
    }
    if form.get("Body").is_some_and(|body| body.chars().count() > MAX_TEXT_CHARS) {
        return Err(Problem::bad(21617, "The concatenated message body exceeds the 1600 character limit"));
    }
    if provider.state().has_stopped(from, to) {
        return Err(refusal(21610));
    }
    Ok(())
}

impl Provider {
    pub(super) fn refused(&self, problem: Problem) -> Response {
        count(match problem.status {
            StatusCode::TOO_MANY_REQUESTS => &self.tally.deferred,
            StatusCode::SERVICE_UNAVAILABLE => &self.tally.unavailable,
            _ => &self.tally.refused,
        });
        problem.into_response()
    }

    /// What the rules do to a request before anything is taken.
    pub(super) fn misbehave(&self, faults: &[&Fault]) -> Result<(), Problem> {
        for fault in faults {
            match fault {
                Fault::Refuse(code) => return Err(Problem::bad(*code, words_of(*code, "", ""))),
                Fault::TooMany(seconds) => return Err(Problem::too_many(*seconds)),
                Fault::Unavailable => {
                    return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, 20503, "Service Unavailable"));
                }
                _ => {}
            }
        }
        // What is on its way must be remembered, and the memory has its bound.
        if self.living.load(Ordering::Relaxed) >= MAX_KEPT as u64 {
            return Err(Problem::too_many(1));
        }
        Ok(())
    }

    /// Writes down what was taken and pulls the cord when a rule says so; nothing is taken that is not in the log.
    pub(super) fn write_down(
        &self,
        delivery: Delivery<'_>,
        cord: &Cord,
        headers: &HeaderMap,
        faults: &[&Fault],
    ) -> Result<(), Problem> {
        let header = |name: &str| headers.get(name).map(|value| logged(value.as_bytes()).into());
        let reply_dropped = faults.contains(&&Fault::DropAnswer);
        let delivery = Delivery {
            job: header(JOB_HEADER).or_else(|| header(IDEMPOTENCY_HEADER)),
            campaign: header(CAMPAIGN_HEADER),
            reply_dropped,
            ..delivery
        };
        if self.log.append(std::iter::once(delivery)).is_err() {
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, 20503, "The log cannot be written"));
        }
        count(&self.tally.accepted);
        if reply_dropped {
            count(&self.tally.replies_dropped);
            cord.cut();
        }
        Ok(())
    }

    fn take_text(
        self: &Arc<Self>,
        account: &Account,
        cord: &Cord,
        headers: &HeaderMap,
        form: &Params,
        faults: &[&Fault],
    ) -> Response {
        let at_ms = now_ms();
        let service = form.get("MessagingServiceSid");
        let from = form.get("From").or(service.map(|_| SERVICE_NUMBER));
        let text = |name: &str| form.get(name).map(str::to_owned);
        let message = Message {
            sid: self.new_sid(if form.get("MediaUrl").is_some() { "MM" } else { "SM" }),
            account: account.sid.clone(),
            // A service chooses its number after the answer.
            from: text("From"),
            to: text("To").unwrap_or_default(),
            body: text("Body").unwrap_or_default(),
            service: text("MessagingServiceSid"),
            media: form.all("MediaUrl").len(),
            direction: "outbound-api",
            status: if service.is_some() { "accepted" } else { "queued" },
            error: None,
            created_ms: at_ms,
            updated_ms: at_ms,
            sent_ms: None,
            callback: text("StatusCallback").map(|url| Hook { url, get: false }),
        };
        let body = form.get("Body").or_else(|| form.get("ContentSid")).or_else(|| form.get("MediaUrl"));
        let body = body.unwrap_or_default();
        let delivery = Delivery {
            provider_id: message.sid.as_str().into(),
            account: Some(account.sid.as_str().into()),
            from: from.unwrap_or_default().into(),
            to: message.to.as_str().into(),
            body: Some(logged_body(body).into()),
            status_callback: message.callback.as_ref().map(|hook| hook.url.as_str().into()),
            bytes: body.len() as u64,
            ..Delivery::new(at_ms, Channel::Sms)
        };
        if let Err(problem) = self.write_down(delivery, cord, headers, faults) {
            return self.refused(problem);
        }
        let json = message.json();
        let sid = message.sid.clone();
        let telling = Telling::of(account, &message.sid, message.callback.clone(), faults);
        self.state().messages.push(&sid, message);
        let number = from.unwrap_or_default().to_owned();
        self.begin_text(sid, number, telling, faults);
        (StatusCode::CREATED, Json(json)).into_response()
    }
}
