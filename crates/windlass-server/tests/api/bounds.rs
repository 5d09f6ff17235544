//! What is too much: numbers, depths, headers, bodies, connections that say nothing.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::talk::Talk;

/// What a server that is asked for everything may take for it.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn numbers_without_measure_cost_what_their_bounds_cost() {
    let talk = Talk::begin().await;
    for n in 0..50 {
        talk.post("/v1/queues/q/jobs", format!("{n}")).await;
    }
    let huge = 1_000_000_000_u64;
    let began = Instant::now();
    for path in [
        format!("/v1/jobs?limit={huge}&budget={huge}"),
        format!("/v1/events?limit={huge}"),
        format!("/v1/errors?limit={huge}"),
        format!("/v1/limits?limit={huge}"),
        format!("/v1/queues/q/groups?limit={huge}"),
        format!("/v1/queues/q/scale?target={huge}d"),
        format!("/v1/audit?limit={huge}&before={huge}"),
        format!("/v1/audit?before={}", u64::MAX),
        "/v1/jobs?limit=0&budget=0".to_owned(),
        "/v1/jobs?limit=-1".to_owned(),
        "/v1/jobs?limit=99999999999999999999999".to_owned(),
    ] {
        let reply = talk.get(&path).await;
        assert!(matches!(reply.status, 200 | 400), "{path}: {} {}", reply.status, reply.text);
    }
    for (path, body) in [
        ("/v1/claim", json!({ "queues": [{ "queue": "q", "max": u32::MAX }], "max": u32::MAX })),
        ("/v1/jobs/search", json!({ "limit": huge, "budget": huge })),
        ("/v1/upkeep", json!({ "budget": huge })),
        ("/v1/jobs", json!({ "queue": "q", "payload": 1, "delay": format!("{huge}d") })),
        ("/v1/jobs", json!({ "queue": "q", "payload": 1, "priority": huge })),
        ("/v1/jobs/cancel", json!({ "ids": vec!["01a20349-19a4-7000-a26a-6a7218659a2a"; 1_001] })),
    ] {
        let reply = talk.post(path, body.to_string()).await;
        assert!(reply.status < 500, "{path}: {} {}", reply.status, reply.text);
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn json_of_any_depth_is_an_answer_and_no_end_of_the_server() {
    let talk = Talk::begin().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let payload = talk.post("/v1/queues/q/jobs", deep.clone()).await;
    assert_eq!(payload.status, 201, "a payload is bytes: {}", payload.text);
    let page = talk
        .send(talk.ask("GET", &format!("/jobs/{}", payload.text_at("/id"))).header("accept", "text/html"))
        .await;
    assert_eq!(page.status, 200);
    for body in [
        deep.clone(),
        format!(r#"{{"queue":"q","payload":1,"tags":{deep}}}"#),
        format!(r#"{{"filter":{deep}}}"#),
    ] {
        for path in ["/v1/jobs", "/v1/claim", "/v1/jobs/search", "/v1/settle", "/v1/jobs/edit"] {
            let reply = talk.post(path, body.clone()).await;
            assert!(matches!(reply.status, 200 | 400), "{path}: {}", reply.status);
        }
    }
    assert_eq!(talk.get("/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_beyond_their_bound_are_refused_and_others_are_served() {
    let talk = Talk::begin().await;
    let ask = async |bytes: usize| {
        let mut stream = TcpStream::connect(talk.address()).await.expect("a connection");
        let request = format!(
            "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}\r\nconnection: close\r\n\r\n",
            "x".repeat(bytes)
        );
        // The server may hang up before all of it is sent.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut told = Vec::new();
        let _ = stream.read_to_end(&mut told).await;
        String::from_utf8_lossy(&told).chars().take(12).collect::<String>()
    };
    assert_eq!(ask(60 << 10).await, "HTTP/1.1 200");
    for bytes in [66 << 10, 1 << 20] {
        let told = ask(bytes).await;
        assert!(told.is_empty() || told == "HTTP/1.1 431", "{bytes}: {told}");
    }
    assert_eq!(ask(66 << 10).await, "HTTP/1.1 431");
    assert_eq!(ask(10).await, "HTTP/1.1 200");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_end_is_cut_off_at_its_bound() {
    let talk = Talk::begin().await;
    let mut stream = TcpStream::connect(talk.address()).await.expect("a connection");
    stream
        .write_all(b"POST /v1/claim HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n")
        .await
        .expect("sent");
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, " ".repeat(1 << 20));
    let mut sent = 0;
    while sent < 1_024 && stream.write_all(chunk.as_bytes()).await.is_ok() {
        sent += 1;
    }
    assert!((64..256).contains(&sent), "{sent} MiB were taken");
    assert_eq!(talk.get("/healthz").await.status, 200);
}
