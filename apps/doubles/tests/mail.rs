//! The mail API, asked by a plain HTTP client, and the events that it tells of.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::{net::SocketAddr, path::Path, time::Duration};

use axum::{Router, extract::State, http::Request};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use reqwest::{Client, Response, StatusCode};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc};
use windlass_doubles::{
    Handle, Rules,
    log::{Channel, Delivery},
    mail::{self, Options},
};

/// A condition that is not met by then never will be.
const DEADLINE: Duration = Duration::from_secs(20);
const KEY: &str = "SG.key";
/// What stands before the point in a public key.
const SPKI_PREFIX_BYTES: usize = 26;

struct Api {
    handle: Handle,
    client: Client,
    heard: mpsc::Receiver<(String, String, String)>,
}

impl Api {
    async fn start(dir: &Path, rules: &[&str]) -> Self {
        let (tell, heard) = mpsc::channel(100);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let events_url = Some(format!("http://{}/events", listener.local_addr().unwrap()));
        let hear = |State(tell): State<mpsc::Sender<_>>, request: Request<axum::body::Body>| async move {
            let (head, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1_000_000).await.unwrap();
            let header = |name: &str| head.headers[name].to_str().unwrap().to_owned();
            let signature = header("x-twilio-email-event-webhook-signature");
            let timestamp = header("x-twilio-email-event-webhook-timestamp");
            tell.send((signature, timestamp, String::from_utf8(body.to_vec()).unwrap())).await.unwrap();
        };
        tokio::spawn(async move {
            axum::serve(listener, Router::new().fallback(hear).with_state(tell)).await.unwrap();
        });
        let options = Options {
            key: Some(KEY.into()),
            rules: Rules::parse(1, rules).unwrap(),
            pace: Duration::from_millis(1),
            events_url,
            ..Options::default()
        };
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        let handle = mail::start(addr, &dir.join("mail.jsonl"), options).await.unwrap();
        let client = Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        Self { handle, client, heard }
    }

    async fn post(&self, body: &Value) -> Response {
        let url = format!("{}/v3/mail/send", self.handle.url());
        self.client.post(url).bearer_auth(KEY).json(body).send().await.unwrap()
    }

    /// The events of the next batch, its signature checked.
    async fn next(&mut self) -> Vec<Value> {
        let heard = tokio::time::timeout(DEADLINE, self.heard.recv()).await.expect("a batch").unwrap();
        let (signature, timestamp, body) = heard;
        let key = BASE64.decode(self.handle.public_key().unwrap()).unwrap();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &key[SPKI_PREFIX_BYTES..]);
        let signed = format!("{timestamp}{body}");
        key.verify(signed.as_bytes(), &BASE64.decode(signature).unwrap()).expect("a valid signature");
        serde_json::from_str(&body).unwrap()
    }

    async fn next_words(&mut self) -> Vec<String> {
        self.next().await.iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
    }

    fn log(&self) -> Vec<Delivery<'static>> {
        let text = std::fs::read_to_string(self.handle.log_path()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn mail_to(to: &str) -> Value {
    json!({
        "personalizations": [{ "to": [{ "email": to, "name": "Bob" }] }],
        "from": { "email": "ann@example.com", "name": "Ann" },
        "subject": "Hello",
        "content": [
            { "type": "text/plain", "value": "Hi, see https://x.example/a?b=1 soon" },
            { "type": "text/html", "value": "<p>Hi</p>" },
        ],
        "headers": {
            "Message-ID": "<t7.i1@example.com>",
            "List-Unsubscribe": "<https://x.example/u>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            "X-Windlass-Job": "j1",
        },
        "custom_args": { "touch": "7" },
    })
}

#[tokio::test]
async fn a_mail_is_logged_before_its_202_and_told_of_in_signed_batches() {
    let dir = tempfile::tempdir().unwrap();
    let mut api = Api::start(dir.path(), &["bob@*=click"]).await;
    let mut body = mail_to("bob@example.com");
    let second = json!({ "to": [{ "email": "eve@example.com" }], "subject": "Hi Eve", "custom_args": { "touch": "8" } });
    body["personalizations"].as_array_mut().unwrap().push(second);
    let response = api.post(&body).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let id = response.headers()["x-message-id"].to_str().unwrap().to_owned();
    assert_eq!((id.len(), response.text().await.unwrap().as_str()), (22, ""));
    let log = api.log();
    assert_eq!(log.len(), 2, "one line for each recipient");
    assert_eq!(
        (log[0].channel, &*log[0].to, &*log[0].provider_id),
        (Channel::Email, "bob@example.com", &*id)
    );
    assert_eq!((&*log[1].to, log[1].subject.as_deref()), ("eve@example.com", Some("Hi Eve")));
    assert_eq!([&log[0].custom_args["touch"], &log[1].custom_args["touch"]], ["7", "8"]);
    assert_eq!(log[0].message_id.as_deref(), Some("<t7.i1@example.com>"));
    assert_eq!(log[0].list_unsubscribe_post.as_deref(), Some("List-Unsubscribe=One-Click"));
    assert_eq!(log[0].job.as_deref(), Some("j1"));

    let mut events = Vec::new();
    while events.len() < 5 {
        events.extend(api.next().await);
    }
    let of = |email: &str| -> Vec<&Value> { events.iter().filter(|event| event["email"] == email).collect() };
    let words = |events: &[&Value]| -> Vec<String> {
        events.iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(words(&of("bob@example.com")), ["processed", "delivered", "click"]);
    assert_eq!(words(&of("eve@example.com")), ["processed", "delivered"]);
    let click = of("bob@example.com")[2];
    assert_eq!((&click["url"], &click["touch"]), (&json!("https://x.example/a?b=1"), &json!("7")));
    assert_eq!(click["smtp-id"], "<t7.i1@example.com>");
    assert!(click["sg_message_id"].as_str().unwrap().starts_with(&format!("{id}.")));
}

#[tokio::test]
async fn whoever_bounced_complained_or_unsubscribed_gets_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let rules =
        ["gone@*=bounce", "angry@*=spamreport", "done@*=unsubscribe", "slow@*=deferred", "shut@*=blocked"];
    let mut api = Api::start(dir.path(), &rules).await;
    for (to, expected, then) in [
        ("gone@example.com", &["processed", "bounce"][..], "dropped"),
        ("angry@example.com", &["processed", "delivered", "spamreport"], "dropped"),
        ("done@example.com", &["processed", "delivered", "unsubscribe"], "dropped"),
        ("slow@example.com", &["processed", "deferred", "delivered"], "processed"),
        ("shut@example.com", &["processed", "bounce"], "processed"),
    ] {
        assert_eq!(api.post(&mail_to(to)).await.status(), StatusCode::ACCEPTED);
        for word in expected {
            assert_eq!(api.next_words().await, [*word], "{to}");
        }
        api.post(&mail_to(to)).await;
        assert_eq!(api.next_words().await, [then], "{to}, the second time");
        for _ in expected.iter().skip(1).filter(|_| then == "processed") {
            api.next().await;
        }
    }
}

#[tokio::test]
async fn events_are_lost_repeated_and_swapped_by_rule() {
    let dir = tempfile::tempdir().unwrap();
    let rules = ["twice@*=repeat-callback", "late@*=swap-callbacks", "lost@*=drop-callback"];
    let mut api = Api::start(dir.path(), &rules).await;
    api.post(&mail_to("twice@example.com")).await;
    assert_eq!(api.next_words().await, ["processed", "processed"]);
    assert_eq!(api.next_words().await, ["delivered", "delivered"]);
    api.post(&mail_to("lost@example.com")).await;
    api.post(&mail_to("late@example.com")).await;
    assert_eq!(api.next_words().await, ["delivered", "processed"]);
}

#[tokio::test]
async fn what_the_real_api_would_not_take_is_refused_in_its_words() {
    let dir = tempfile::tempdir().unwrap();
    let rules = ["slow@*=429:9s", "big@*=413", "down@*=503"];
    let api = Api::start(dir.path(), &rules).await;
    let with = |path: &str, value: Value| {
        let mut body = mail_to("bob@example.com");
        *body.pointer_mut(path).unwrap() = value;
        body
    };
    for (body, field) in [
        (with("/personalizations", json!([])), json!("personalizations")),
        (with("/personalizations/0/to", json!([])), json!("personalizations.0.to")),
        (with("/personalizations/0/to/0/email", json!("bob")), json!("personalizations.0.to")),
        (with("/from", Value::Null), json!("from")),
        (with("/from/email", json!("ann")), json!("from.email")),
        (with("/subject", json!("")), json!("subject")),
        (with("/content", json!([])), json!("content")),
        (with("/content/0/value", json!("")), json!("content.0.value")),
        (with("/content/1/type", json!("text/plain")), json!("content")),
        (with("/headers", json!({ "Reply-To": "x" })), json!("headers.Reply-To")),
        (with("/custom_args", json!({ "touch": 7 })), Value::Null),
        (json!([]), Value::Null),
    ] {
        let response = api.post(&body).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{body}");
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
        assert!(problem["errors"][0]["message"].is_string() && problem["errors"][0]["help"].is_null());
    }
    let response = api.post(&mail_to("slow@example.com")).await;
    assert_eq!(
        (response.status(), &response.headers()["x-ratelimit-remaining"]),
        (StatusCode::TOO_MANY_REQUESTS, &0.into())
    );
    assert!(
        response.headers()["x-ratelimit-reset"].to_str().unwrap().parse::<u64>().unwrap() > 1_000_000_000
    );
    assert_eq!(api.post(&mail_to("big@example.com")).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(api.post(&mail_to("down@example.com")).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    let huge = with("/content/0/value", json!("x".repeat(3_000_000)));
    assert_eq!(api.post(&huge).await.status(), StatusCode::PAYLOAD_TOO_LARGE);

    let url = format!("{}/v3/mail/send", api.handle.url());
    let guess = api.client.post(&url).bearer_auth("SG.guess").json(&mail_to("bob@example.com"));
    let response = guess.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let problem: Value = response.json().await.unwrap();
    assert_eq!(
        problem["errors"][0]["message"],
        "The provided authorization grant is invalid, expired, or revoked"
    );
    let mut sandbox = mail_to("bob@example.com");
    sandbox["mail_settings"] = json!({ "sandbox_mode": { "enable": true } });
    assert_eq!(api.post(&sandbox).await.status(), StatusCode::OK);
    assert_eq!(api.log().len(), 0);
}

#[tokio::test]
async fn a_dropped_answer_is_of_a_mail_that_was_taken() {
    let dir = tempfile::tempdir().unwrap();
    let mut api = Api::start(dir.path(), &["*=drop"]).await;
    let url = format!("{}/v3/mail/send", api.handle.url());
    let request = api.client.post(url).bearer_auth(KEY).json(&mail_to("bob@example.com"));
    assert!(request.send().await.is_err());
    let log = api.log();
    assert!(log.len() == 1 && log[0].reply_dropped);
    assert_eq!(api.next_words().await, ["processed"]);
}

#[tokio::test]
async fn the_page_and_its_json_show_mails_with_a_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let mut api = Api::start(dir.path(), &[]).await;
    let mut body = mail_to("bob@example.com");
    body["subject"] = json!("Hi <b>you</b>");
    api.post(&body).await;
    assert_eq!(api.next_words().await, ["processed"]);
    assert_eq!(api.next_words().await, ["delivered"]);
    let get = async |path: &str| {
        api.client.get(format!("{}{path}", api.handle.url())).send().await.unwrap().text().await.unwrap()
    };
    let list: Value = serde_json::from_str(&get("/_double/messages?to=bob@example.com").await).unwrap();
    assert_eq!(list["data"][0]["recipients"]["bob@example.com"], "delivered");
    assert_eq!(list["data"][0]["unsubscribe"]["one_click"], true);
    let key: Value = serde_json::from_str(&get("/_double/public-key").await).unwrap();
    assert_eq!(key["public_key"].as_str(), api.handle.public_key());
    let page = get("/").await;
    assert!(page.contains("Hi &lt;b&gt;you&lt;/b&gt;") && !page.contains("<b>you"), "{page}");
}
