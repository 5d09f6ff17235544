//! Calls: taken, fetched, listed.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{ConnectInfo, OriginalUri, Path, RawQuery, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};

use super::{
    Account, Provider,
    answer::{Params, Problem, words_of},
    fault::Fault,
    life::Telling,
    listing::{Listing, dated},
    numbers,
    order::Order,
    record::{Call, Detection, Hook, Script},
    twiml,
};
use crate::{
    listener::Cord,
    log::{Channel, Delivery, logged, logged_body},
    moment::now_ms,
};

/// Of what a call tells unless asked otherwise.
const DEFAULT_EVENT: &str = "completed";

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
    let checked = check(&form).and_then(|()| {
        // The refusals of rules are written for texts; of a number that is none, calls say 21217.
        provider.misbehave(&faults).map_err(|problem| match problem.code {
            21211 => Problem::bad(21217, words_of(21217, form.get("To").unwrap_or_default(), "")),
            _ => problem,
        })
    });
    match checked {
        Ok(()) => provider.take_call(&account, &cord, &headers, &form, &faults),
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
    match state.calls.get(sid).filter(|call| call.account == account.sid) {
        Some(call) => Json(call.json()).into_response(),
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
    let listing = match Listing::asked(&account.sid, "Calls", &query) {
        Ok(listing) => listing,
        Err(problem) => return problem.into_response(),
    };
    let state = provider.state();
    let matching = state.calls.newest_first().filter(|call| {
        call.account == account.sid
            && query.get("To").is_none_or(|to| to == call.to)
            && query.get("From").is_none_or(|from| from == call.from)
            && query.get("Status").is_none_or(|status| status == call.status)
            && dated(&query, "StartTime", call.started_ms.unwrap_or(call.created_ms))
            && dated(&query, "EndTime", call.ended_ms.unwrap_or(u64::MAX))
    });
    Json(listing.page("calls", matching, |call| &call.sid, Call::json)).into_response()
}

fn check(form: &Params) -> Result<(), Problem> {
    let to = form.get("To").ok_or_else(|| Problem::bad(21201, "No 'To' number specified"))?;
    let from = form.get("From").ok_or_else(|| Problem::bad(21213, "'From' phone number is required"))?;
    let refusal = |code: u32| Problem::bad(code, words_of(code, to, from));
    if let Some(code) = numbers::bad_call_recipient(to).or_else(|| numbers::bad_call_sender(from)) {
        return Err(refusal(code));
    }
    if !numbers::is_number(to) {
        return Err(refusal(21217));
    }
    if !numbers::is_number(from) {
        return Err(refusal(21212));
    }
    match (form.get("Twiml"), form.get("Url"), form.get("ApplicationSid")) {
        (None, None, None) => Err(Problem::bad(21205, "Url parameter is required.")),
        (Some(twiml), _, _) if twiml.chars().count() > twiml::MAX_TWIML_CHARS => {
            Err(Problem::bad(21482, "Twiml parameter exceeds the 4000 character limit"))
        }
        (_, Some(url), _) if reqwest::Url::parse(url).is_err() => {
            Err(Problem::bad(21205, format!("Url is not a valid URL: {url}")))
        }
        _ => Ok(()),
    }
}

fn hook(form: &Params, url: &str, method: &str) -> Option<Hook> {
    let get = form.get(method).is_some_and(|method| method.eq_ignore_ascii_case("GET"));
    form.get(url).map(|url| Hook { url: url.to_owned(), get })
}

fn script(form: &Params) -> Script {
    let events: Vec<String> = form.all("StatusCallbackEvent").into_iter().map(str::to_owned).collect();
    let detection = form.get("MachineDetection").filter(|mode| *mode != "none").map(|mode| Detection {
        message_end: mode == "DetectMessageEnd",
        meanwhile: form
            .get("AsyncAmd")
            .filter(|value| *value == "true")
            .map(|_| hook(form, "AsyncAmdStatusCallback", "AsyncAmdStatusCallbackMethod")),
    });
    Script {
        twiml: form.get("Twiml").map(str::to_owned),
        url: hook(form, "Url", "Method"),
        callback: hook(form, "StatusCallback", "StatusCallbackMethod"),
        events: if events.is_empty() { vec![DEFAULT_EVENT.to_owned()] } else { events },
        detection,
    }
}

impl Provider {
    fn take_call(
        self: &Arc<Self>,
        account: &Account,
        cord: &Cord,
        headers: &HeaderMap,
        form: &Params,
        faults: &[&Fault],
    ) -> Response {
        let at_ms = now_ms();
        let text = |name: &str| form.get(name).unwrap_or_default().to_owned();
        let call = Call {
            sid: self.new_sid("CA"),
            account: account.sid.clone(),
            from: text("From"),
            to: text("To"),
            status: "queued",
            answered_by: None,
            said: None,
            created_ms: at_ms,
            updated_ms: at_ms,
            started_ms: None,
            ended_ms: None,
            script: script(form),
        };
        let content = form.get("Twiml").or_else(|| form.get("Url")).unwrap_or_default();
        let spoken = form.get("Twiml").map(|document| match twiml::verbs(document) {
            Some(verbs) => logged_body(&twiml::said(&verbs)),
            None => logged_body(document),
        });
        let url = if spoken.is_none() { form.get("Url") } else { None };
        let delivery = Delivery {
            provider_id: call.sid.as_str().into(),
            account: Some(account.sid.as_str().into()),
            from: call.from.as_str().into(),
            to: call.to.as_str().into(),
            body: spoken.map(Into::into),
            url: url.map(|url| logged(url.as_bytes()).into()),
            status_callback: call.script.callback.as_ref().map(|hook| hook.url.as_str().into()),
            bytes: content.len() as u64,
            ..Delivery::new(at_ms, Channel::Voicemail)
        };
        if let Err(problem) = self.write_down(delivery, cord, headers, faults) {
            return self.refused(problem);
        }
        let json = call.json();
        let telling = Telling::of(account, &call.sid, call.script.callback.clone(), faults);
        self.state().calls.push(&call.sid, call.clone());
        self.begin_call(call, telling, faults);
        (StatusCode::CREATED, Json(json)).into_response()
    }
}
