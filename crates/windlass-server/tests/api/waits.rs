//! Requests that wait: for work, for events, for the server's end.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::talk::Talk;

/// Something that must happen, and does not.
const NEVER: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_claim_that_waits_gets_the_job_that_comes_meanwhile() {
    let talk = Talk::begin().await;
    let waiting = talk.post("/v1/claim", r#"{"queues":["email"],"wait":"30s"}"#);
    let enqueue = async {
        // The worker is seen to wait before the job comes.
        talk.post("/v1/queues/email/jobs", "{}").await
    };
    let (claimed, made) =
        tokio::time::timeout(NEVER, async { tokio::join!(waiting, enqueue) }).await.expect("an answer");
    assert_eq!(claimed.at("/jobs/0/id"), made.at("/id"));
}

#[tokio::test]
async fn a_claim_that_waits_gets_the_job_whose_time_comes() {
    let talk = Talk::begin().await;
    let id = talk.post("/v1/queues/email/jobs?delay=200ms", "{}").await.text_at("/id");
    let claimed = talk.post("/v1/claim", r#"{"queues":["email"],"wait":"30s"}"#).await;
    assert_eq!(claimed.at("/jobs/0/id"), json!(id));
}

#[tokio::test]
async fn a_claim_whose_asker_has_gone_away_keeps_no_job() {
    let talk = Talk::begin().await;
    let body = r#"{"queues":["email"],"wait":"30s"}"#;
    let request =
        format!("POST /v1/claim HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    for _ in 0..20 {
        let mut stream = TcpStream::connect(talk.address()).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("sent");
        stream.shutdown().await.expect("it is open");
        // It has noticed when it closes its end too. A job that is answered before that is the lease's to bring back.
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(NEVER, stream.read_to_end(&mut answer)).await;
        assert!(closed.is_ok() && answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    }
    let id = talk.post("/v1/queues/email/jobs", "{}").await.text_at("/id");
    // Somebody who stays gets it, at once or when it was given back; nobody waits for a lease to run out.
    let claimed = tokio::time::timeout(Duration::from_secs(10), talk.post("/v1/claim", body)).await;
    assert_eq!(claimed.expect("before any lease runs out").at("/jobs/0/id"), json!(id));
}

#[tokio::test]
async fn the_end_of_the_server_answers_those_who_wait() {
    let talk = Talk::begin().await;
    let id = talk.post("/v1/queues/other/jobs", "{}").await.text_at("/id");
    let lease = talk.post("/v1/claim", r#"{"queues":["other"]}"#).await.text_at("/jobs/0/lease");
    // What it settles first shows that the claim has come as far as its wait.
    let settle = [json!({"op": "complete", "id": id, "lease": lease})];
    let body = json!({"queues": ["email"], "wait": "30s", "settle": settle}).to_string();
    let request =
        format!("POST /v1/claim HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut stream = TcpStream::connect(talk.address()).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let patience = tokio::time::Instant::now() + NEVER;
    while talk.get(&format!("/v1/jobs/{id}")).await.text_at("/state") != "completed" {
        assert!(tokio::time::Instant::now() < patience, "the claim comes");
    }
    let ended = tokio::task::spawn_blocking(move || talk.end());
    let mut answer = String::new();
    tokio::time::timeout(NEVER, stream.read_to_string(&mut answer))
        .await
        .expect("an end")
        .expect("an answer");
    tokio::time::timeout(NEVER, ended).await.expect("the server ends").expect("in order");
    assert!(answer.contains(r#""jobs":[]"#), "{answer}");
}

#[tokio::test]
async fn a_place_in_the_log_that_is_none_is_refused_however_it_is_said() {
    let talk = Talk::begin().await;
    for accept in ["application/json", "text/event-stream"] {
        let by_header =
            talk.ask("GET", "/v1/events").header("accept", accept).header("last-event-id", "<MEQk");
        let by_query = talk.ask("GET", "/v1/events?from=nowhere").header("accept", accept);
        for asked in [by_header, by_query] {
            let refused = talk.send(asked).await;
            assert_eq!(
                (refused.status, refused.text_at("/code")),
                (400, "bad_cursor".into()),
                "{}",
                refused.text
            );
        }
    }
}

#[tokio::test]
async fn a_stream_of_events_goes_on_where_it_was_left() {
    let talk = Talk::begin().await;
    for _ in 0..3 {
        talk.post("/v1/queues/email/jobs", "{}").await;
    }
    let page = talk.get("/v1/events?limit=2").await;
    assert_eq!(page.at("/events").as_array().map(Vec::len), Some(2));
    let second = page.text_at("/events/1/cursor");
    let mut response = talk
        .ask("GET", "/v1/events")
        .header("accept", "text/event-stream")
        .header("last-event-id", &second)
        .send()
        .await
        .expect("a stream");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    while !text.contains("\n\n") {
        let chunk = tokio::time::timeout(NEVER, response.chunk()).await.expect("an event").expect("a chunk");
        text.push_str(&String::from_utf8_lossy(&chunk.expect("the stream goes on")));
    }
    assert!(text.contains("event: enqueued") && text.contains("id: ") && !text.contains(&second), "{text}");
    let next = page.text_at("/next");
    let third = talk.get(&format!("/v1/events?from={next}")).await;
    assert!(text.contains(&third.text_at("/events/0/cursor")), "{text} {}", third.text);
    let lost = talk.get("/v1/events?from=nonsense").await;
    assert_eq!((lost.status, lost.text_at("/code")), (400, "bad_cursor".into()));
}
