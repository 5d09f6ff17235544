//! Jobs by the line, without end.

use serde_json::{Value, json};

use crate::talk::{Reply, Talk};

async fn lines(talk: &Talk, body: impl Into<reqwest::Body>) -> Reply {
    talk.send(talk.ask("POST", "/v1/jobs").header("content-type", "application/x-ndjson").body(body)).await
}

fn told(reply: &Reply) -> Vec<Value> {
    reply.text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[tokio::test]
async fn a_bad_line_is_told_with_its_number_and_stops_no_other() {
    let talk = Talk::begin().await;
    let body = "{\"queue\":\"q\"}\nnonsense\n\n{\"queue\":\"q\",\"dealy\":\"1s\"}\n[]\n{\"queue\":\"q\",\"priority\":99}\r\n{\"queue\":\"q\"}";
    let told = told(&lines(&talk, body).await);
    let refused: Vec<_> = told.iter().filter_map(|line| line.get("line")).cloned().collect();
    assert_eq!(refused, [json!(2), json!(4), json!(5), json!(6)], "{told:?}");
    assert!(told[1]["error"]["detail"].as_str().expect("words").contains("delay"), "{told:?}");
    let summary = told.last().expect("a summary");
    assert_eq!(summary["summary"], json!({"lines": 6, "created": 2, "existing": 0, "refused": 4}));
}

#[tokio::test]
async fn lines_are_taken_however_many_there_are_and_however_they_are_cut() {
    let talk = Talk::begin().await;
    let text: String =
        (0..25_000).map(|n| format!("{{\"queue\":\"q\",\"payload\":{{\"n\":{n}}}}}\n")).collect();
    let pieces: Vec<Result<Vec<u8>, std::io::Error>> =
        text.as_bytes().chunks(777).map(|piece| Ok(piece.to_vec())).collect();
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let told = told(&lines(&talk, body).await);
    assert_eq!(told, [json!({"summary": {"lines": 25_000, "created": 25_000, "existing": 0, "refused": 0}})]);
    assert_eq!(talk.get("/v1/queues/q").await.at("/jobs/ready"), json!(25_000));
}

#[tokio::test]
async fn a_line_that_is_longer_than_any_job_is_skipped() {
    let talk = Talk::begin().await;
    let long = vec![b'x'; 8 << 20];
    let body = [b"{\"queue\":\"q\"}\n".as_slice(), &long, b"\n{\"queue\":\"q\"}\n"].concat();
    let told = told(&lines(&talk, body).await);
    assert_eq!(told[0]["line"], json!(2));
    assert!(told[0]["error"]["detail"].as_str().expect("words").contains("bytes"), "{told:?}");
    assert_eq!(told[1]["summary"], json!({"lines": 3, "created": 2, "existing": 0, "refused": 1}));
}
