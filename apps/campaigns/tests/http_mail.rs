//! The client of mail by HTTP against a real server.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpListener};
use windlass::Time;
use windlass_campaigns::channel::{Email, HttpMailClient, RefusalClass, SendOutcome, Unsubscribe};

type Heard = Arc<Mutex<Vec<(String, Value)>>>;

async fn take(State(heard): State<Heard>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let key = headers["authorization"].to_str().unwrap().to_owned();
    let right = key == "Bearer SG.key";
    heard.lock().unwrap().push((key, body));
    if right {
        (StatusCode::ACCEPTED, [("X-Message-Id", "abc123")]).into_response()
    } else {
        let errors =
            json!({ "errors": [{ "message": "authorization required", "field": null, "help": null }] });
        (StatusCode::UNAUTHORIZED, Json(errors)).into_response()
    }
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

fn email() -> Email<'static> {
    Email {
        message_id: "<t17.a1@example.com>",
        touch: "17",
        campaign: "3",
        from: "Ann <ann@example.com>",
        reply_to: None,
        to: "bob@example.org",
        to_name: "Bob",
        subject: "Hello",
        text: "Hi",
        html: None,
        unsubscribe: Some(Unsubscribe { https_url: "https://example.com/u", mailto: None }),
        feedback_id: None,
        date: Time(0),
        headers: &[],
    }
}

#[tokio::test]
async fn an_accepted_mail_has_the_providers_name_and_a_wrong_key_is_our_own_fault() {
    let (listener, url) = listener().await;
    let heard = Heard::default();
    let app = Router::new().route("/v3/mail/send", post(take)).with_state(Arc::clone(&heard));
    tokio::spawn(async move { axum::serve(listener, app).await });

    let sent = HttpMailClient::new(&url, "SG.key").unwrap().send(&email()).await;
    assert_eq!(sent, SendOutcome::Sent { provider_id: "abc123".to_owned() });
    let (_, body) = heard.lock().unwrap()[0].clone();
    assert_eq!(body["personalizations"][0]["custom_args"]["touch"], "17");
    assert_eq!(body["headers"]["Message-ID"], "<t17.a1@example.com>");

    let refused = HttpMailClient::new(&url, "SG.other").unwrap().send(&email()).await;
    let SendOutcome::Refused(refusal) = refused else { panic!("{refused:?}") };
    assert_eq!((refusal.code.as_str(), refusal.class), ("mail/401", RefusalClass::Ours));
    assert!(refusal.why.contains("authorization required"), "{}", refusal.why);
}

#[tokio::test]
async fn a_mail_whose_answer_was_lost_may_have_arrived_and_one_without_a_connection_cannot() {
    let (listener, url) = listener().await;
    let client = HttpMailClient::new(&url, "SG.key").unwrap();
    let cut = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let read = socket.read(&mut [0; 1024]).await.unwrap();
        assert!(read > 0);
    });
    let SendOutcome::Unanswered(lost) = client.send(&email()).await else { panic!("an answer came") };
    assert!(lost.may_have_arrived, "{lost}");
    // With the task ends the listener, too.
    cut.await.unwrap();
    let SendOutcome::Unanswered(unsent) = client.send(&email()).await else { panic!("an answer came") };
    assert!(!unsent.may_have_arrived, "{unsent}");
}
