//! A real HTTP server for the loopback interface, in the shape of Twilio's API for messages and calls.
//!
//! It owns the routes, the answers and the order of its faults: a request takes its time, is checked, is told to
//! slow down or that the server is down, and only then taken, logged and answered, or cut off in place of the
//! answer. It keeps no message: an id carries its own time and a check sum, which is enough to answer later what
//! has become of it. It checks that there are credentials, not which.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    path::Path as FilePath,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Json, Router,
    body::Body,
    extract::{ConnectInfo, DefaultBodyLimit, Form, Path, State, rejection::FormRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::json;
use tokio::{net::TcpListener, sync::watch};

use self::listener::{Cord, CuttableListener};
use crate::{
    Faults, Handle, STOP_GRACE, Tally, count,
    faults::FaultRules,
    log::{CAMPAIGN_HEADER, Channel, Delivery, DeliveryLog, IDEMPOTENCY_HEADER, JOB_HEADER, logged},
    now_ms,
    seed::mix,
};

mod listener;

/// The largest request body; a text of 1,600 characters is below 15 KiB with every byte escaped.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// The longest text (error 21617 above it), in characters.
const MAX_TEXT_CHARS: usize = 1_600;
/// The wait that a 429 asks for, in seconds, the smallest the header can say.
const RETRY_AFTER_S: &str = "1";
/// How long a message is `queued` before it is `sent`.
const QUEUED_MS: u64 = 200;
/// How long after its acceptance a message is `delivered`, or a call `completed`.
const DELIVERED_MS: u64 = 1_000;

/// Numbers that always fail, as the real API has for tests: sender, recipient of a text, recipient of a call.
const BAD_SENDERS: [(&str, u32); 3] =
    [("+15005550001", 21212), ("+15005550007", 21606), ("+15005550008", 21611)];
const BAD_TEXT_RECIPIENTS: [(&str, u32); 5] = [
    ("+15005550001", 21211),
    ("+15005550002", 21612),
    ("+15005550003", 21408),
    ("+15005550004", 21610),
    ("+15005550009", 21614),
];
const BAD_CALL_RECIPIENTS: [(&str, u32); 4] =
    [("+15005550001", 21217), ("+15005550002", 21214), ("+15005550003", 21215), ("+15005550004", 21216)];

/// Starts a provider on `addr` (port 0 chooses a free one) that appends what it accepts to `log_path`.
///
/// # Errors
/// When the address cannot be bound or the log cannot be opened.
pub async fn start(addr: SocketAddr, log_path: &FilePath, faults: Faults) -> io::Result<Handle> {
    let listener = TcpListener::bind(addr).await?;
    let addr = listener.local_addr()?;
    let tally = Arc::new(Tally::default());
    let provider = Arc::new(Provider {
        seed: faults.seed,
        rules: FaultRules::new(faults),
        log: DeliveryLog::open(log_path)?,
        tally: Arc::clone(&tally),
        accepted: AtomicU64::new(0),
    });
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(serve(CuttableListener::new(listener, Arc::clone(&tally)), provider, stopped));
    Ok(Handle { addr, scheme: "http", log_path: log_path.to_owned(), tally, stop, task })
}

struct Provider {
    seed: u64,
    rules: FaultRules,
    log: DeliveryLog,
    tally: Arc<Tally>,
    accepted: AtomicU64,
}

type FormResult = Result<Form<HashMap<String, String>>, FormRejection>;

async fn serve(listener: CuttableListener, provider: Arc<Provider>, stopped: watch::Receiver<bool>) {
    let app = Router::new()
        .route("/2010-04-01/Accounts/{account}/Messages.json", post(create_message))
        .route("/2010-04-01/Accounts/{account}/Calls.json", post(create_call))
        .route("/2010-04-01/Accounts/{account}/Messages/{resource}", get(message_status))
        .route("/2010-04-01/Accounts/{account}/Calls/{resource}", get(call_status))
        .fallback(async || problem(StatusCode::NOT_FOUND, 20404, "The requested resource was not found"))
        .method_not_allowed_fallback(async || {
            problem(StatusCode::METHOD_NOT_ALLOWED, 20004, "Method not allowed")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(provider);
    let app = app.into_make_service_with_connect_info::<Cord>();
    let stopping = |mut stopped: watch::Receiver<bool>| async move {
        // The handle that is dropped means the same as one that asks.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let served = axum::serve(listener, app).with_graceful_shutdown(stopping(stopped.clone()));
    let cut = async {
        stopping(stopped).await;
        tokio::time::sleep(STOP_GRACE).await;
    };
    tokio::select! {
        _ = served => {}
        () = cut => {}
    }
}

async fn create_message(
    State(provider): State<Arc<Provider>>,
    Path(account): Path<String>,
    ConnectInfo(cord): ConnectInfo<Cord>,
    headers: HeaderMap,
    form: FormResult,
) -> Response {
    provider.create(Channel::Sms, &account, &cord, &headers, form).await
}

async fn create_call(
    State(provider): State<Arc<Provider>>,
    Path(account): Path<String>,
    ConnectInfo(cord): ConnectInfo<Cord>,
    headers: HeaderMap,
    form: FormResult,
) -> Response {
    provider.create(Channel::Voicemail, &account, &cord, &headers, form).await
}

async fn message_status(
    State(provider): State<Arc<Provider>>,
    Path((_, resource)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    provider.status(Channel::Sms, &resource, &headers)
}

async fn call_status(
    State(provider): State<Arc<Provider>>,
    Path((_, resource)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    provider.status(Channel::Voicemail, &resource, &headers)
}

impl Provider {
    async fn create(
        &self,
        channel: Channel,
        account: &str,
        cord: &Cord,
        headers: &HeaderMap,
        form: FormResult,
    ) -> Response {
        self.rules.take_time().await;
        if !has_credentials(headers) {
            count(&self.tally.refused);
            return problem(StatusCode::UNAUTHORIZED, 20003, "Authenticate");
        }
        let Ok(Form(form)) = form else {
            count(&self.tally.nonsense);
            return problem(StatusCode::BAD_REQUEST, 20001, "The body is not a form");
        };
        let field = |name: &str| form.get(name).map_or("", String::as_str);
        if let Err((code, why)) = self.check(channel, field("From"), field("To"), content(channel, &field)) {
            count(&self.tally.refused);
            return problem(StatusCode::BAD_REQUEST, code, why);
        }
        if self.rules.defers() {
            count(&self.tally.deferred);
            let refusal = problem(StatusCode::TOO_MANY_REQUESTS, 20429, "Too Many Requests");
            return ([(header::RETRY_AFTER, RETRY_AFTER_S)], refusal).into_response();
        }
        if self.rules.is_unavailable() {
            count(&self.tally.unavailable);
            return problem(StatusCode::SERVICE_UNAVAILABLE, 20503, "Service Unavailable");
        }
        self.take(channel, account, cord, headers, &field)
    }

    fn check(
        &self,
        channel: Channel,
        from: &str,
        to: &str,
        content: &str,
    ) -> Result<(), (u32, &'static str)> {
        let bad_recipients = match channel {
            Channel::Voicemail => &BAD_CALL_RECIPIENTS[..],
            Channel::Sms | Channel::Email => &BAD_TEXT_RECIPIENTS[..],
        };
        let (no_to, invalid_to, no_content) = match channel {
            Channel::Voicemail => (21201, 21217, 21205),
            Channel::Sms | Channel::Email => (21604, 21211, 21602),
        };
        let listed = |numbers: &[(&str, u32)], number: &str| {
            numbers.iter().find(|(bad, _)| *bad == number).map(|(_, code)| *code)
        };
        if to.is_empty() {
            return Err((no_to, "A 'To' phone number is required"));
        }
        if from.is_empty() {
            return Err((21603, "A 'From' phone number is required"));
        }
        if let Some(code) = listed(bad_recipients, to) {
            return Err((code, "The 'To' number cannot be reached"));
        }
        if let Some(code) = listed(&BAD_SENDERS, from) {
            return Err((code, "The 'From' number cannot be used"));
        }
        if !is_number(to) || self.rules.refuses(to) {
            return Err((invalid_to, "Invalid 'To' phone number"));
        }
        if !is_number(from) {
            return Err((21212, "Invalid 'From' phone number"));
        }
        if content.is_empty() {
            return Err((no_content, "There is nothing to send"));
        }
        if channel == Channel::Sms && content.chars().count() > MAX_TEXT_CHARS {
            return Err((21617, "The message body exceeds the 1600 character limit"));
        }
        Ok(())
    }

    fn take<'a>(
        &self,
        channel: Channel,
        account: &str,
        cord: &Cord,
        headers: &HeaderMap,
        field: &impl Fn(&str) -> &'a str,
    ) -> Response {
        let at_ms = now_ms();
        let sid = self.new_sid(channel, at_ms);
        let reply_dropped = self.rules.drops_reply();
        let header = |name: &str| headers.get(name).map(|value| logged(value.as_bytes()).into());
        let delivery = Delivery {
            at_ms,
            channel,
            provider_id: sid.as_str().into(),
            message_id: None,
            from: field("From").into(),
            to: field("To").into(),
            subject: None,
            job: header(JOB_HEADER).or_else(|| header(IDEMPOTENCY_HEADER)),
            campaign: header(CAMPAIGN_HEADER),
            bytes: content(channel, field).len() as u64,
            reply_dropped,
        };
        if self.log.append(std::iter::once(delivery)).is_err() {
            count(&self.tally.unavailable);
            return problem(StatusCode::SERVICE_UNAVAILABLE, 20503, "The log cannot be written");
        }
        count(&self.tally.accepted);
        if reply_dropped {
            count(&self.tally.replies_dropped);
            cord.cut();
        }
        let kind = resource(channel);
        let body = json!({
            "sid": sid,
            "account_sid": account,
            "status": "queued",
            "from": field("From"),
            "to": field("To"),
            "body": (channel == Channel::Sms).then(|| field("Body")),
            "direction": "outbound-api",
            "error_code": null,
            "error_message": null,
            "uri": format!("/2010-04-01/Accounts/{account}/{kind}/{sid}.json"),
        });
        (StatusCode::CREATED, Json(body)).into_response()
    }

    fn status(&self, channel: Channel, resource: &str, headers: &HeaderMap) -> Response {
        if !has_credentials(headers) {
            return problem(StatusCode::UNAUTHORIZED, 20003, "Authenticate");
        }
        let sid = resource.strip_suffix(".json").unwrap_or(resource);
        let Some(at_ms) = self.accepted_at_ms(channel, sid) else {
            return problem(StatusCode::NOT_FOUND, 20404, "The requested resource was not found");
        };
        let (early, middle, late) = match channel {
            Channel::Voicemail => ("queued", "in-progress", "completed"),
            Channel::Sms | Channel::Email => ("queued", "sent", "delivered"),
        };
        let status = match now_ms().saturating_sub(at_ms) {
            age if age < QUEUED_MS => early,
            age if age < DELIVERED_MS => middle,
            _ => late,
        };
        Json(json!({ "sid": sid, "status": status, "error_code": null })).into_response()
    }

    /// An id of 32 hexadecimal digits: the time, a number, and a check sum over both.
    fn new_sid(&self, channel: Channel, at_ms: u64) -> String {
        let number = self.accepted.fetch_add(1, Ordering::Relaxed) & 0xFFFF_FFFF;
        let time = at_ms & 0xFFFF_FFFF_FFFF;
        format!("{}{time:012x}{number:08x}{:012x}", prefix(channel), self.check_sum(time, number))
    }

    fn accepted_at_ms(&self, channel: Channel, sid: &str) -> Option<u64> {
        let digits = sid.strip_prefix(prefix(channel))?;
        if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let part = |range: std::ops::Range<usize>| u64::from_str_radix(&digits[range], 16).ok();
        let (time, number, sum) = (part(0..12)?, part(12..20)?, part(20..32)?);
        (sum == self.check_sum(time, number)).then_some(time)
    }

    fn check_sum(&self, time: u64, number: u64) -> u64 {
        mix(mix(self.seed, time), number) >> 16
    }
}

fn prefix(channel: Channel) -> &'static str {
    match channel {
        Channel::Voicemail => "CA",
        Channel::Sms | Channel::Email => "SM",
    }
}

fn resource(channel: Channel) -> &'static str {
    match channel {
        Channel::Voicemail => "Calls",
        Channel::Sms | Channel::Email => "Messages",
    }
}

/// What the recipient would read or hear.
fn content<'a>(channel: Channel, field: &impl Fn(&str) -> &'a str) -> &'a str {
    let names = match channel {
        Channel::Voicemail => ["Twiml", "Url"],
        Channel::Sms | Channel::Email => ["Body", "ContentSid"],
    };
    names.into_iter().map(field).find(|value| !value.is_empty()).unwrap_or_default()
}

fn has_credentials(headers: &HeaderMap) -> bool {
    headers.get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(b"Basic "))
}

fn is_number(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or_default();
    (8..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn problem(status: StatusCode, code: u32, message: &str) -> Response<Body> {
    let body = json!({
        "code": code,
        "message": message,
        "more_info": format!("https://www.twilio.com/docs/errors/{code}"),
        "status": status.as_u16(),
    });
    (status, Json(body)).into_response()
}
