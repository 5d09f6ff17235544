//! The provider of texts and calls, asked by a plain HTTP client, and what it says by itself.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::{collections::BTreeMap, net::SocketAddr, path::Path, time::Duration};

use axum::{Router, extract::State, http::Request};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use windlass_doubles::{
    Handle, Rules,
    log::{Channel, Delivery},
    twilio::{self, Account, Options, signature},
};

/// A condition that is not met by then never will be.
const DEADLINE: Duration = Duration::from_secs(20);
const SID: &str = "AC0123456789abcdef0123456789abcdef";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const FROM: &str = "+15005550006";
const TO: &str = "+15550000001";

/// A running provider, and whoever asks it.
struct Phone {
    handle: Handle,
    client: Client,
    events: std::path::PathBuf,
}

impl Phone {
    async fn start(dir: &Path, rules: &[&str]) -> Self {
        Self::with(dir, rules, |_| {}).await
    }

    async fn with(dir: &Path, rules: &[&str], change: impl FnOnce(&mut Options)) -> Self {
        let events = dir.join("events.jsonl");
        let mut options = Options {
            account: Some(Account { sid: SID.into(), token: TOKEN.into() }),
            rules: Rules::parse(1, rules).unwrap(),
            pace: Duration::from_millis(1),
            events: Some(events.clone()),
            ..Options::default()
        };
        change(&mut options);
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        let handle = twilio::start(addr, &dir.join("phone.jsonl"), options).await.unwrap();
        let client = Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        Self { handle, client, events }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/2010-04-01/Accounts/{SID}/{path}", self.handle.url())
    }

    async fn post(&self, resource: &str, form: &[(&str, &str)]) -> Response {
        self.client.post(self.url(resource)).basic_auth(SID, Some(TOKEN)).form(form).send().await.unwrap()
    }

    async fn text(&self, more: &[(&str, &str)]) -> (StatusCode, Value) {
        let mut form = vec![("To", TO), ("From", FROM), ("Body", "Hi & bye = 100 % ✓")];
        form.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
        form.extend(more);
        form.retain(|(_, value)| !value.is_empty());
        answered(self.post("Messages.json", &form).await).await
    }

    async fn call(&self, more: &[(&str, &str)]) -> (StatusCode, Value) {
        let mut form = vec![("To", TO), ("From", FROM)];
        form.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
        form.extend(more);
        answered(self.post("Calls.json", &form).await).await
    }

    async fn get(&self, url: &str) -> (StatusCode, Value) {
        answered(self.client.get(url).basic_auth(SID, Some(TOKEN)).send().await.unwrap()).await
    }

    /// The resource once it has that state.
    async fn until(&self, created: &Value, status: &str) -> Value {
        let url = format!("{}{}", self.handle.url(), created["uri"].as_str().unwrap());
        let waiting = async {
            loop {
                let (_, resource) = self.get(&url).await;
                if resource["status"] == status {
                    return resource;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("never {status}: {created}"))
    }

    /// The first event of that kind.
    async fn event(&self, what: &str) -> Value {
        let waiting = async {
            loop {
                let text = std::fs::read_to_string(&self.events).unwrap();
                let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
                if let Some(event) = events.into_iter().find(|event| event["event"] == what) {
                    return event;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("no event {what}"))
    }

    fn log(&self) -> Vec<Delivery<'static>> {
        let text = std::fs::read_to_string(self.handle.log_path()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

async fn answered(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    (status, response.json().await.unwrap())
}

/// Somebody who is called back.
struct Listener {
    url: String,
    heard: mpsc::Receiver<Heard>,
}

struct Heard {
    url: String,
    signature: String,
    form: BTreeMap<String, String>,
}

impl Listener {
    /// Answers everything with these words.
    async fn start(answer: &'static str) -> Self {
        let (tell, heard) = mpsc::channel(100);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let base = url.clone();
        let hear = move |State(tell): State<mpsc::Sender<Heard>>, request: Request<axum::body::Body>| {
            let base = base.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 100_000).await.unwrap();
                let signature = head.headers["x-twilio-signature"].to_str().unwrap().to_owned();
                let form = form_urlencoded::parse(&body).into_owned().collect();
                tell.send(Heard { url: format!("{base}{}", head.uri), signature, form }).await.unwrap();
                answer
            }
        };
        tokio::spawn(async move {
            axum::serve(listener, Router::new().fallback(hear).with_state(tell)).await.unwrap();
        });
        Self { url, heard }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The next callback, its signature checked.
    async fn next(&mut self) -> Heard {
        let heard = tokio::time::timeout(DEADLINE, self.heard.recv()).await.expect("a callback").unwrap();
        let form = heard.form.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        assert_eq!(heard.signature, signature(TOKEN, &heard.url, form), "{} {:?}", heard.url, heard.form);
        heard
    }

    async fn next_status(&mut self, field: &str) -> String {
        self.next().await.form[field].clone()
    }
}

#[tokio::test]
async fn a_text_has_every_field_is_logged_before_its_answer_and_is_delivered_in_steps() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, mut listener) = (Phone::start(dir.path(), &[]).await, Listener::start("").await);
    let (status, text) = phone.text(&[("StatusCallback", &listener.at("/sms?touch=7"))]).await;
    assert_eq!(status, StatusCode::CREATED);
    let log = phone.log();
    assert_eq!((log.len(), log[0].channel, &*log[0].to), (1, Channel::Sms, TO));
    assert_eq!(log[0].provider_id, text["sid"].as_str().unwrap());
    assert_eq!(log[0].body.as_deref(), Some("Hi & bye = 100 % ✓"), "the form's escapes are undone");
    assert_eq!(log[0].status_callback.as_deref(), Some(&*listener.at("/sms?touch=7")));
    assert_eq!(log[0].account.as_deref(), Some(SID));

    let names: Vec<&str> = text.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = "account_sid api_version body date_created date_sent date_updated direction error_code \
        error_message from messaging_service_sid num_media num_segments price price_unit sid status \
        subresource_uris to uri";
    assert_eq!(names.join(" "), expected);
    assert_eq!((&text["status"], &text["num_segments"]), (&json!("queued"), &json!("1")));
    assert!(text["date_created"].as_str().unwrap().ends_with(" +0000"), "{text}");
    assert_eq!(text["sid"].as_str().unwrap().len(), 34);

    for expected in ["sent", "delivered"] {
        let heard = listener.next().await;
        assert_eq!(heard.url, listener.at("/sms?touch=7"));
        assert_eq!(heard.form["MessageStatus"], expected);
        assert_eq!(heard.form["MessageSid"], text["sid"].as_str().unwrap());
        assert_eq!((&*heard.form["To"], &*heard.form["From"], &*heard.form["AccountSid"]), (TO, FROM, SID));
    }
    let text = phone.until(&text, "delivered").await;
    assert!(text["date_sent"].is_string() && text["error_code"].is_null(), "{text}");
}

#[tokio::test]
async fn whoever_has_not_the_password_is_told_20003() {
    let dir = tempfile::tempdir().unwrap();
    let phone = Phone::start(dir.path(), &[]).await;
    let form = [("To", TO), ("From", FROM), ("Body", "x")];
    let post = |url: String| phone.client.post(url).form(&form);
    for request in [
        post(phone.url("Messages.json")),
        post(phone.url("Messages.json")).basic_auth(SID, Some("guess")),
        post(phone.url("Messages.json")).basic_auth("AC1", Some(TOKEN)),
        post(phone.url("Messages.json").replace(SID, "AC1")).basic_auth(SID, Some(TOKEN)),
        phone.client.get(phone.url("Calls.json")),
        phone.client.get(phone.url("Messages/SM1.json")).bearer_auth(TOKEN),
    ] {
        let (status, problem) = answered(request.send().await.unwrap()).await;
        assert_eq!((status, &problem["code"]), (StatusCode::UNAUTHORIZED, &json!(20003)));
        assert_eq!(problem["more_info"], "https://www.twilio.com/docs/errors/20003");
    }
    assert_eq!(phone.log().len(), 0);
}

#[tokio::test]
async fn the_magic_numbers_fail_as_they_do_at_twilio() {
    let dir = tempfile::tempdir().unwrap();
    let phone = Phone::start(dir.path(), &[]).await;
    for (name, number, code) in [
        ("From", "+15005550001", 21212),
        ("From", "+15005550007", 21606),
        ("From", "+15005550008", 21611),
        ("From", "nonsense+1500", 21212),
        ("From", "", 21603),
        ("To", "+15005550001", 21211),
        ("To", "+15005550002", 21612),
        ("To", "+15005550003", 21408),
        ("To", "+15005550004", 21610),
        ("To", "+15005550009", 21614),
        ("To", "nonsense", 21211),
        ("To", "", 21604),
        ("Body", "", 21602),
    ] {
        let (status, problem) = phone.text(&[(name, number)]).await;
        assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!(code)), "{name} {number}");
        assert_eq!(problem["status"], 400);
    }
    let (_, problem) = phone.text(&[("Body", &"x".repeat(1_601))]).await;
    assert_eq!(problem["code"], 21617);
    let twiml = ("Twiml", "<Response/>");
    for (more, code) in [
        (vec![("To", "+15005550001"), twiml], 21217),
        (vec![("To", "+15005550002"), twiml], 21214),
        (vec![("To", "+15005550003"), twiml], 21215),
        (vec![("To", "+15005550004"), twiml], 21216),
        (vec![("From", "+15005550001"), twiml], 21212),
        (vec![], 21205),
    ] {
        let (status, problem) = phone.call(&more).await;
        assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!(code)), "{more:?}");
    }
    assert_eq!(phone.log().len(), 0);
    assert_eq!(phone.text(&[("From", "+15005550006")]).await.0, StatusCode::CREATED);
}

#[tokio::test]
async fn a_list_is_filtered_by_number_and_day_and_walked_by_its_pages() {
    let dir = tempfile::tempdir().unwrap();
    let phone = Phone::start(dir.path(), &[]).await;
    for number in 0..25 {
        let to = if number % 5 == 0 { TO.to_owned() } else { format!("+1556{number:07}") };
        phone.text(&[("To", &to), ("Body", &format!("text {number}"))]).await;
    }
    let mut url = format!("{}?PageSize=10", phone.url("Messages.json"));
    let mut bodies = Vec::new();
    loop {
        let (_, page) = phone.get(&url).await;
        let messages = page["messages"].as_array().unwrap();
        bodies.extend(messages.iter().map(|message| message["body"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_page_uri"].as_str() else { break };
        url = format!("{}{next}", phone.handle.url());
    }
    let expected: Vec<String> = (0..25).rev().map(|number| format!("text {number}")).collect();
    assert_eq!(bodies, expected, "newest first, each once");

    let count = async |query: &str| {
        let (status, page) = phone.get(&format!("{}?{query}", phone.url("Messages.json"))).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        page["messages"].as_array().unwrap().len()
    };
    assert_eq!(count("To=%2B15550000001").await, 5);
    assert_eq!(count("From=%2B15005550006&To=%2B15550000001").await, 5);
    assert_eq!(count("From=%2B15005550007").await, 0);
    assert_eq!(count("DateSent%3E=2020-01-01&To=%2B15550000001").await, 5);
    assert_eq!(count("DateSent%3C=2020-01-01").await, 0);
    assert_eq!(count("DateSent=2020-01-01").await, 0);
    let (status, _) = phone.get(&format!("{}?PageSize=many", phone.url("Messages.json"))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, missing) = phone.get(&phone.url("Messages/SM0.json")).await;
    assert_eq!((status, &missing["code"]), (StatusCode::NOT_FOUND, &json!(20404)));
}

#[tokio::test]
async fn whoever_texts_stop_is_not_texted_again_until_they_text_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut listener = Listener::start("<Response><Message>You are out</Message></Response>").await;
    let url = listener.at("/inbound");
    let phone = Phone::with(dir.path(), &[], |options| options.inbound_url = Some(url)).await;
    let inbound = async |body: &str| {
        let url = format!("{}/_double/inbound", phone.handle.url());
        let body = json!({ "from": TO, "to": FROM, "body": body });
        answered(phone.client.post(url).json(&body).send().await.unwrap()).await
    };
    let (status, answer) = inbound(" Stop ").await;
    assert_eq!((status, &answer["webhook_status"]), (StatusCode::CREATED, &json!(200)), "{answer}");
    let heard = listener.next().await;
    assert_eq!((&*heard.form["From"], &*heard.form["To"], &*heard.form["Body"]), (TO, FROM, " Stop "));
    assert_eq!(phone.log().len(), 0, "the answer to STOP reaches nobody");
    assert_eq!(phone.text(&[]).await.1["code"], 21610);
    assert_eq!(phone.text(&[("From", "+15005550010")]).await.0, StatusCode::CREATED, "another number may");
    let service = ("MessagingServiceSid", "MG0123456789abcdef0123456789abcdef");
    assert_eq!(phone.text(&[("From", ""), service]).await.1["code"], 21610, "a service has all numbers");

    inbound("START").await;
    listener.next().await;
    assert_eq!(phone.text(&[]).await.0, StatusCode::CREATED);
    let bodies: Vec<_> =
        phone.log().into_iter().map(|delivery| delivery.body.unwrap().into_owned()).collect();
    assert_eq!(bodies.iter().filter(|body| *body == "You are out").count(), 1, "{bodies:?}");
    assert_eq!(phone.handle.counters().inbound, 2);
}

#[tokio::test]
async fn a_person_replies_when_a_rule_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut listener = Listener::start("").await;
    let url = listener.at("/inbound");
    let rules = ["+15550000001=reply:STOP"];
    let phone = Phone::with(dir.path(), &rules, |options| options.inbound_url = Some(url)).await;
    phone.text(&[]).await;
    assert_eq!(listener.next_status("Body").await, "STOP");
    assert_eq!(phone.text(&[]).await.1["code"], 21610);
}

#[tokio::test]
async fn rules_refuse_slow_down_and_break_before_anything_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let rules = ["+15550000001=429:7s", "+15550000002=503", "+1555000001*=21408", "+15550000003=slow:1ms"];
    let phone = Phone::start(dir.path(), &rules).await;
    let response = phone.post("Messages.json", &[("To", TO), ("From", FROM), ("Body", "x")]).await;
    assert_eq!(
        (response.status(), &response.headers()["retry-after"]),
        (StatusCode::TOO_MANY_REQUESTS, &reqwest::header::HeaderValue::from_static("7"))
    );
    assert_eq!(response.json::<Value>().await.unwrap()["code"], 20429);
    assert_eq!(phone.text(&[("To", "+15550000002")]).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(phone.text(&[("To", "+15550000012")]).await.1["code"], 21408);
    assert_eq!(phone.log().len(), 0);
    assert_eq!(phone.text(&[("To", "+15550000003")]).await.0, StatusCode::CREATED);
    let counters = phone.handle.counters();
    assert_eq!((counters.deferred, counters.unavailable, counters.refused, counters.accepted), (1, 1, 1, 1));
}

#[tokio::test]
async fn a_dropped_answer_is_of_a_text_that_was_taken_and_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, mut listener) = (Phone::start(dir.path(), &["*=drop"]).await, Listener::start("").await);
    let form = [("To", TO), ("From", FROM), ("Body", "x"), ("StatusCallback", &listener.url)];
    let request = phone.client.post(phone.url("Messages.json")).basic_auth(SID, Some(TOKEN)).form(&form);
    assert!(request.send().await.is_err());
    let log = phone.log();
    assert!(log.len() == 1 && log[0].reply_dropped);
    assert_eq!(listener.next_status("MessageSid").await, log[0].provider_id);
}

#[tokio::test]
async fn callbacks_tell_of_failures_and_are_lost_repeated_or_swapped_by_rule() {
    let dir = tempfile::tempdir().unwrap();
    let rules = [
        "+15550000001=30005",
        "+15550000002=repeat-callback",
        "+15550000003=swap-callbacks",
        "+15550000004=drop-callback",
    ];
    let (phone, mut listener) = (Phone::start(dir.path(), &rules).await, Listener::start("").await);
    let url = listener.at("/");
    let hook = ("StatusCallback", url.as_str());
    let (_, text) = phone.text(&[hook]).await;
    assert_eq!(listener.next_status("MessageStatus").await, "sent");
    let failed = listener.next().await;
    assert_eq!((&*failed.form["MessageStatus"], &*failed.form["ErrorCode"]), ("undelivered", "30005"));
    let text = phone.until(&text, "undelivered").await;
    assert_eq!(
        (&text["error_code"], &text["error_message"]),
        (&json!(30005), &json!("Unknown destination handset"))
    );
    for (to, expected) in [
        ("+15550000002", &["sent", "sent", "delivered", "delivered"][..]),
        ("+15550000003", &["delivered", "sent"][..]),
    ] {
        phone.text(&[("To", to), hook]).await;
        for status in expected {
            assert_eq!(listener.next_status("MessageStatus").await, *status, "{to}");
        }
    }
    let (_, silent) = phone.text(&[("To", "+15550000004"), hook]).await;
    phone.until(&silent, "delivered").await;
    phone.event("callback_dropped").await;
    assert!(listener.heard.try_recv().is_err());
    let (_, elsewhere) =
        phone.text(&[("To", "+15550000005"), ("StatusCallback", "https://example.com/")]).await;
    phone.until(&elsewhere, "delivered").await;
    let text = std::fs::read_to_string(&phone.events).unwrap();
    assert!(text.contains("https://example.com/ is not on this machine"), "{text}");
}

#[tokio::test]
async fn an_answered_call_asks_what_to_say_says_it_and_tells_of_every_event() {
    let dir = tempfile::tempdir().unwrap();
    let rules = ["+15550000001=machine"];
    let phone = Phone::start(dir.path(), &rules).await;
    let mut hooks = Listener::start("").await;
    let mut words = Listener::start("<Response><Say>Hello from us</Say></Response>").await;
    let (hook, url) = (hooks.at("/call"), words.at("/twiml?touch=9"));
    let events =
        ["initiated", "ringing", "answered", "completed"].map(|event| ("StatusCallbackEvent", event));
    let mut form =
        vec![("Url", url.as_str()), ("StatusCallback", &hook), ("MachineDetection", "DetectMessageEnd")];
    form.extend(events);
    let (status, call) = phone.call(&form).await;
    assert_eq!((status, &call["status"]), (StatusCode::CREATED, &json!("queued")), "{call}");
    assert_eq!(phone.log()[0].url.as_deref(), Some(&*url));
    let asked = words.next().await;
    assert_eq!((&*asked.form["CallStatus"], &*asked.form["AnsweredBy"]), ("in-progress", "machine_end_beep"));
    for (number, expected) in ["initiated", "ringing", "in-progress", "completed"].into_iter().enumerate() {
        let heard = hooks.next().await;
        assert_eq!(heard.form["CallStatus"], expected);
        assert_eq!(heard.form["SequenceNumber"], number.to_string());
        assert_eq!(heard.form.contains_key("CallDuration"), expected == "completed");
    }
    let call = phone.until(&call, "completed").await;
    assert_eq!((&call["answered_by"], &call["duration"]), (&json!("machine_end_beep"), &json!("1")));
    assert!(call["start_time"].is_string() && call["end_time"].is_string());
    assert_eq!(phone.event("said").await["said"], "Hello from us");
    let (_, calls) = phone.get(&format!("{}/_double/calls", phone.handle.url())).await;
    assert_eq!(calls["data"][0]["said"], "Hello from us");
    let (_, listed) = phone.get(&format!("{}?Status=completed", phone.url("Calls.json"))).await;
    assert_eq!(listed["calls"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn detection_beside_the_call_is_told_by_its_own_callback() {
    let dir = tempfile::tempdir().unwrap();
    let phone = Phone::start(dir.path(), &["+15550000002=busy", "+15550000003=fax"]).await;
    let mut hooks = Listener::start("").await;
    let (amd, end) = (hooks.at("/amd"), hooks.at("/end"));
    let twiml = ("Twiml", "<Response><Say>Hello</Say></Response>");
    let (_, call) = phone
        .call(&[
            twiml,
            ("MachineDetection", "Enable"),
            ("AsyncAmd", "true"),
            ("AsyncAmdStatusCallback", &amd),
            ("StatusCallback", &end),
        ])
        .await;
    assert_eq!(phone.log()[0].body.as_deref(), Some("Hello"));
    let heard = hooks.next().await;
    assert_eq!((heard.url.as_str(), &*heard.form["AnsweredBy"]), (&*amd, "human"));
    assert_eq!(heard.form["CallSid"], call["sid"].as_str().unwrap());
    assert_eq!(hooks.next_status("CallStatus").await, "completed");

    let (_, busy) = phone.call(&[("To", "+15550000002"), twiml, ("StatusCallback", &end)]).await;
    let heard = hooks.next().await;
    assert_eq!((&*heard.form["CallStatus"], &*heard.form["CallDuration"]), ("busy", "0"));
    let busy = phone.until(&busy, "busy").await;
    assert!(busy["start_time"].is_null() && busy["answered_by"].is_null(), "{busy}");
    let (_, fax) = phone.call(&[("To", "+15550000003"), twiml, ("MachineDetection", "Enable")]).await;
    assert_eq!(phone.until(&fax, "completed").await["answered_by"], "fax");
}

#[tokio::test]
async fn a_callback_by_get_is_signed_with_its_query() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, mut hooks) = (Phone::start(dir.path(), &[]).await, Listener::start("").await);
    let end = hooks.at("/end?x=1");
    let twiml = ("Twiml", "<Response/>");
    phone.call(&[twiml, ("StatusCallback", &end), ("StatusCallbackMethod", "GET")]).await;
    let heard = hooks.next().await;
    assert!(
        heard.url.starts_with(&format!("{end}&")) && heard.url.contains("CallStatus=completed"),
        "{}",
        heard.url
    );
}

#[tokio::test]
async fn the_page_shows_what_was_sent_and_runs_nothing_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let phone = Phone::start(dir.path(), &[]).await;
    phone.text(&[("Body", "<script>alert(1)</script>")]).await;
    let response = phone.client.get(phone.handle.url()).send().await.unwrap();
    assert!(
        response.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'")
    );
    let html = response.text().await.unwrap();
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && !html.contains("<script"), "{html}");
    assert!(
        html.contains("<html lang=\"en\">") && html.contains("<caption>") && html.contains("scope=\"col\"")
    );
}

/// Sends raw bytes and gives the whole answer; the server must close or answer `Connection: close`.
async fn raw(handle: &Handle, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(handle.addr()).await.unwrap();
    // The server may have closed before all of it is written.
    let _ = socket.write_all(bytes).await;
    let _ = socket.shutdown().await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, socket.read_to_end(&mut answer)).await.expect("the server closes");
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
        .into_bytes()
}

#[tokio::test]
async fn nonsense_is_answered_bounded_and_hurts_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let phone = Phone::with(dir.path(), &[], |options| options.account = None).await;
    let messages = "/2010-04-01/Accounts/AC1/Messages.json";
    let basic = "Authorization: Basic eDp5\r\n";
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let noise: Vec<u8> = (0..=255u8).cycle().take(100_000).collect();
    for (what, bytes, expected) in [
        ("noise", noise, ""),
        ("no credentials", request(messages, form, "To=%2B15550000001"), "20003"),
        ("bad credentials", request(messages, "Authorization: Basic ?\r\n", ""), "20003"),
        ("json", request(messages, &format!("{basic}Content-Type: application/json\r\n"), "{}"), "20001"),
        ("no recipient", request(messages, &format!("{basic}{form}"), "Body=x"), "21604"),
        ("bad escapes", request(messages, &format!("{basic}{form}"), "To=%zz%ff&From=%"), "21211"),
        ("too large", request(messages, &format!("{basic}{form}"), &"x".repeat(70_000)), "20001"),
        ("elsewhere", request("/2010-04-01/Accounts/AC1/Faxes.json", basic, ""), "20404"),
        ("inbound", request("/_double/inbound", "Content-Type: application/json\r\n", "{"), "error"),
        (
            "half",
            b"POST /2010-04-01/Accounts/AC1/Messages.json HTTP/1.1\r\nContent-Length: 50\r\n\r\nTo=".to_vec(),
            "",
        ),
    ] {
        let answer = raw(&phone.handle, &bytes).await;
        assert!(answer.contains(expected), "{what}: {answer}");
    }
    assert_eq!(phone.log().len(), 0);
    assert_eq!(phone.text(&[]).await.0, StatusCode::CREATED);
}

#[tokio::test]
async fn a_stopped_provider_leaves_no_listener_and_its_whole_log() {
    let dir = tempfile::tempdir().unwrap();
    let phone = Phone::start(dir.path(), &[]).await;
    for number in 0..50 {
        assert_eq!(phone.text(&[("To", &format!("+1555{number:07}"))]).await.0, StatusCode::CREATED);
    }
    let (addr, path) = (phone.handle.addr(), phone.handle.log_path().to_owned());
    let counters = phone.handle.shutdown().await;
    assert_eq!((counters.accepted, counters.connections), (50, 1), "connections are kept");
    assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 50);
    assert!(TcpStream::connect(addr).await.is_err());
}
