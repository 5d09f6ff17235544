//! What the client asks of the provider, and what it makes of the list of messages, against a small real server.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Query, State},
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use windlass::Time;
use windlass_campaigns::channel::{MachineDetection, SendOutcome, Sms, TwilioClient, Twiml, Voicemail};

const TO: &str = "+15550000001";
const FROM: &str = "+15550009999";
const SERVICE: &str = "MG0123456789abcdef0123456789abcdef";
/// Sun, 09 Sep 2001 01:46:40 +0000
const SINCE: Time = Time(1_000_000_000_000);

#[derive(Default)]
struct Book {
    messages: Vec<Value>,
    page_size: usize,
    /// In place of the address of the next page.
    next: Option<String>,
    asked: Vec<String>,
    forms: Vec<String>,
}

type Shared = Arc<Mutex<Book>>;

async fn list(State(book): State<Shared>, uri: Uri, Query(query): Query<Vec<(String, String)>>) -> Response {
    let mut book = book.lock().unwrap();
    book.asked.push(uri.to_string());
    if book.page_size == 0 {
        return (StatusCode::INTERNAL_SERVER_ERROR, "{}").into_response();
    }
    let field = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let matches = |message: &&Value| {
        ["To", "From"]
            .iter()
            .all(|name| field(name).is_none_or(|asked| message[name.to_lowercase()] == asked))
    };
    let page: usize = field("Page").map_or(0, |page| page.parse().unwrap());
    let found: Vec<&Value> = book.messages.iter().filter(matches).collect();
    let rest = found.len().saturating_sub((page + 1) * book.page_size);
    let next = format!("/2010-04-01/Accounts/AC1/Messages.json?To={}&Page={}", "%2B15550000001", page + 1);
    let next = book.next.clone().unwrap_or(next);
    let shown: Vec<&Value> = found.into_iter().skip(page * book.page_size).take(book.page_size).collect();
    Json(json!({ "messages": shown, "next_page_uri": (rest > 0).then_some(next) })).into_response()
}

async fn take(State(book): State<Shared>, body: Bytes) -> Response {
    book.lock().unwrap().forms.push(String::from_utf8(body.to_vec()).unwrap());
    (StatusCode::CREATED, Json(json!({ "sid": "SM1", "status": "queued" }))).into_response()
}

async fn provider(messages: Vec<Value>) -> (Shared, TwilioClient) {
    let book = Arc::new(Mutex::new(Book { messages, page_size: 2, ..Book::default() }));
    let app = Router::new()
        .route("/2010-04-01/Accounts/AC1/Messages.json", get(list).post(take))
        .route("/2010-04-01/Accounts/AC1/Calls.json", post(take))
        .with_state(Arc::clone(&book));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (book, TwilioClient::new(&url, "AC1", "token").unwrap())
}

fn message(sid: &str, from: &str, body: &str, second: u32) -> Value {
    json!({
        "sid": sid, "status": "sent", "to": TO, "from": from, "body": body,
        "messaging_service_sid": null, "date_sent": null, "error_code": null,
        "date_created": format!("Sun, 09 Sep 2001 01:46:{second:02} +0000"),
    })
}

async fn find(client: &TwilioClient, known: &[&str]) -> Option<String> {
    let known = |sid: &str| known.contains(&sid);
    client.find_sms(TO, FROM, "Hello & bye", SINCE, &known).await.unwrap().map(|found| found.sid)
}

#[tokio::test]
async fn a_text_whose_reply_was_lost_is_found_by_all_that_names_it() {
    let (book, client) = provider(vec![
        message("SM-other-text", FROM, "Hello", 41),
        message("SM-other-sender", "+15550008888", "Hello & bye", 41),
        message("SM-later", FROM, "Hello & bye", 50),
        message("SM-queued", FROM, "Hello & bye", 40),
        message("SM-too-old", FROM, "Hello & bye", 37),
        message("SM-older-still", FROM, "Hello & bye", 1),
    ])
    .await;
    assert_eq!(find(&client, &[]).await.as_deref(), Some("SM-queued"), "the earliest");
    assert_eq!(find(&client, &["SM-queued"]).await.as_deref(), Some("SM-later"));
    assert_eq!(find(&client, &["SM-queued", "SM-later"]).await, None);
    let asked = book.lock().unwrap().asked.clone();
    assert!(asked[0].contains("To=%2B15550000001") && asked[0].contains("From=%2B15550009999"), "{asked:?}");
    assert!(asked.iter().all(|asked| !asked.contains("DateSent")), "a queued message has no such date");
}

#[tokio::test]
async fn a_clock_that_is_behind_by_two_seconds_hides_no_text() {
    for (second, seen) in [(38, true), (37, false)] {
        let (_, client) = provider(vec![message("SM1", FROM, "Hello & bye", second)]).await;
        assert_eq!(find(&client, &[]).await.is_some(), seen, "{second}");
    }
}

#[tokio::test]
async fn every_page_is_read_until_one_is_too_old() {
    let mut messages: Vec<Value> =
        (0..6).map(|number| message(&format!("SM-noise-{number}"), FROM, "noise", 50 - number)).collect();
    messages.push(message("SM-ours", FROM, "Hello & bye", 41));
    messages.extend((0..20).map(|number| message(&format!("SM-old-{number}"), FROM, "Hello & bye", 10)));
    let (book, client) = provider(messages).await;
    assert_eq!(find(&client, &[]).await.as_deref(), Some("SM-ours"));
    assert_eq!(book.lock().unwrap().asked.len(), 5, "the fifth page has only messages from before");
}

#[tokio::test]
async fn a_messaging_services_text_is_found_whatever_number_it_came_from() {
    let mut by_service = message("SM1", "+15550007777", "Hello & bye", 41);
    by_service["messaging_service_sid"] = SERVICE.into();
    by_service["body"] = "Sent from your Twilio trial account - Hello & bye".into();
    let (_, client) = provider(vec![message("SM0", "+15550007777", "Hello & bye", 41), by_service]).await;
    let found = client.find_sms(TO, SERVICE, "Hello & bye\n", SINCE, &|_| false).await.unwrap();
    assert_eq!(found.unwrap().sid, "SM1");
}

#[tokio::test]
async fn a_list_that_cannot_be_read_is_not_taken_for_an_empty_one() {
    let two_pages =
        || (0..3).map(|number| message(&format!("SM{number}"), FROM, "noise", 45)).collect::<Vec<_>>();
    let error = async |client: &TwilioClient| {
        client.find_sms(TO, FROM, "Hello", SINCE, &|_| false).await.unwrap_err()
    };
    let (book, client) = provider(two_pages()).await;
    book.lock().unwrap().page_size = 0;
    assert!(error(&client).await.may_have_arrived);

    let (book, client) = provider(two_pages()).await;
    book.lock().unwrap().next = Some("http://127.0.0.2:9/steal".to_owned());
    let elsewhere = error(&client).await;
    assert!(elsewhere.may_have_arrived && elsewhere.why.contains("elsewhere"), "{elsewhere}");

    let (book, client) = provider(two_pages()).await;
    book.lock().unwrap().next = Some("/2010-04-01/Accounts/AC1/Messages.json?Page=0".to_owned());
    assert!(error(&client).await.why.contains("more than"), "a list without an end ends");

    let mut undated = message("SM1", FROM, "Hello", 45);
    undated["date_created"] = "yesterday".into();
    let (_, client) = provider(vec![undated]).await;
    assert!(error(&client).await.why.contains("yesterday"));
}

#[tokio::test]
async fn a_request_has_the_fields_that_the_provider_documents() {
    let (book, client) = provider(Vec::new()).await;
    let callback = "https://example.com/hooks/twilio?touch=1";
    let sms = Sms { to: TO, from: FROM, body: "Hi & bye", status_callback: Some(callback), headers: &[] };
    let call = Voicemail {
        to: TO,
        from: FROM,
        twiml: Twiml::Inline("Hi <you>"),
        status_callback: Some(callback),
        machine_detection: MachineDetection::BeforeSpeech,
        ring_s: Some(25),
        headers: &[],
    };
    assert_eq!(client.send_sms(&sms).await, SendOutcome::Sent { provider_id: "SM1".to_owned() });
    client.send_sms(&Sms { from: SERVICE, status_callback: None, ..sms }).await;
    client.place_call(&call).await;
    let aside = MachineDetection::Aside("https://example.com/amd");
    let by_url = Twiml::Url("https://example.com/twiml");
    let plain =
        Voicemail { twiml: by_url, machine_detection: aside, status_callback: None, ring_s: None, ..call };
    client.place_call(&plain).await;

    let forms = book.lock().unwrap().forms.clone();
    let decoded: Vec<Vec<(String, String)>> =
        forms.iter().map(|form| form_urlencoded::parse(form.as_bytes()).into_owned().collect()).collect();
    let expected: [&[(&str, &str)]; 4] = [
        &[("To", TO), ("From", FROM), ("Body", "Hi & bye"), ("StatusCallback", callback)],
        &[("To", TO), ("MessagingServiceSid", SERVICE), ("Body", "Hi & bye")],
        &[
            ("To", TO),
            ("From", FROM),
            ("Twiml", "<Response><Say>Hi &lt;you&gt;</Say></Response>"),
            ("MachineDetection", "DetectMessageEnd"),
            ("StatusCallback", callback),
            ("StatusCallbackEvent", "initiated"),
            ("StatusCallbackEvent", "ringing"),
            ("StatusCallbackEvent", "answered"),
            ("StatusCallbackEvent", "completed"),
            ("Timeout", "25"),
        ],
        &[
            ("To", TO),
            ("From", FROM),
            ("Url", "https://example.com/twiml"),
            ("MachineDetection", "DetectMessageEnd"),
            ("AsyncAmd", "true"),
            ("AsyncAmdStatusCallback", "https://example.com/amd"),
        ],
    ];
    for (seen, expected) in decoded.iter().zip(expected) {
        let seen: Vec<(&str, &str)> = seen.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(seen, expected);
    }
    assert_eq!(decoded.len(), 4);
}
