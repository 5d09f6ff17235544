//! Requests that are sent again under their key.

use serde_json::{Value, json};
use windlass_server::Options;

use crate::document::held_with;
use crate::talk::{Reply, Talk};

async fn keyed(talk: &Talk, path: &str, key: &str, body: impl Into<String>) -> Reply {
    talk.send(talk.ask("POST", path).header("idempotency-key", key).body(body.into())).await
}

/// How many jobs the queue ever took.
async fn taken(talk: &Talk, queue: &str) -> Value {
    talk.get(&format!("/v1/queues/{queue}")).await.at("/totals/enqueued")
}

#[tokio::test]
async fn a_request_that_is_sent_again_under_its_key_is_done_once() {
    let talk = Talk::begin().await;
    let path = "/v1/queues/q/jobs?delay=1h&tag=a";
    let first = keyed(&talk, path, "\"order-7\"", r#"{"n":1}"#).await;
    assert_eq!((first.status, first.text_at("/status")), (201, "created".into()), "{}", first.text);
    // Later `delay` means another time; it is the same request all the same. Quotes are the header's, not the key's.
    let again = keyed(&talk, path, "order-7", r#"{"n":1}"#).await;
    assert_eq!((again.status, again.text_at("/status")), (200, "known".into()));
    assert_eq!(again.at("/id"), first.at("/id"));
    let other = keyed(&talk, path, "order-8", r#"{"n":1}"#).await;
    assert_ne!(other.at("/id"), first.at("/id"));
    assert_eq!(taken(&talk, "q").await, json!(2));
}

#[tokio::test]
async fn a_key_that_is_used_for_another_request_is_refused_and_nothing_is_done() {
    let talk = Talk::begin().await;
    let first = keyed(&talk, "/v1/jobs", "k", r#"{"queue":"q","payload":{"n":1}}"#).await;
    for body in [
        r#"{"queue":"q","payload":{"n":2}}"#,
        r#"{"queue":"other","payload":{"n":1}}"#,
        r#"{"queue":"q","group":"g","payload":{"n":1}}"#,
        r#"[{"queue":"q","payload":{"n":3}},{"queue":"q"}]"#,
    ] {
        let reply = keyed(&talk, "/v1/jobs", "k", body).await;
        assert_eq!((reply.status, reply.text_at("/code")), (422, "idempotency_key_reused".into()), "{body}");
        assert_eq!(reply.at("/job"), first.at("/id"));
    }
    assert_eq!(taken(&talk, "q").await, json!(1));
    let none = keyed(&talk, "/v1/jobs", "\"\"", r#"{"queue":"q"}"#).await;
    assert_eq!((none.status, none.text_at("/code")), (400, "bad_request".into()));
}

#[tokio::test]
async fn a_list_and_lines_that_broke_off_are_sent_again_whole() {
    let talk = Talk::begin().await;
    let jobs = r#"[{"queue":"q","payload":1},{"queue":"q","delay":"soon"},{"queue":"q","payload":3}]"#;
    let first = keyed(&talk, "/v1/jobs", "list", jobs).await;
    let again = keyed(&talk, "/v1/jobs/batch", "list", format!(r#"{{"jobs":{jobs}}}"#)).await;
    for place in [0, 2] {
        assert_eq!(again.at(&format!("/results/{place}/id")), first.at(&format!("/results/{place}/id")));
    }
    assert_eq!(again.at("/results/1/error/code"), json!("invalid"));
    let lines = |n: usize| "{\"queue\":\"q\"}\n".repeat(n);
    let send = |n| {
        let request = talk.ask("POST", "/v1/jobs").header("content-type", "application/x-ndjson");
        talk.send(request.header("idempotency-key", "lines").body(lines(n)))
    };
    send(3).await;
    let whole = send(5).await;
    assert_eq!(whole.at("/summary"), json!({"lines": 5, "created": 2, "existing": 3, "refused": 0}));
    assert_eq!(taken(&talk, "q").await, json!(7));
}

#[tokio::test]
async fn requests_with_one_key_at_the_same_time_are_one() {
    let talk = Talk::begin().await;
    // A second server before the same store.
    let beside = held_with(&talk.store, Options::default());
    let asks = (0..20).map(|n| {
        let url = if n % 2 == 0 { talk.url("/v1/queues/q/jobs") } else { beside.url() + "/v1/queues/q/jobs" };
        let request = crate::asker::asker().build().expect("a client").post(url);
        talk.send(request.header("idempotency-key", "once").body("{}"))
    });
    let replies = futures_util::future::join_all(asks).await;
    let new = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(new, 1, "{replies:?}");
    assert!(replies.iter().all(|reply| reply.at("/id") == replies[0].at("/id")), "{replies:?}");
    assert_eq!(taken(&talk, "q").await, json!(1));
}

#[tokio::test]
async fn a_key_is_known_after_a_restart_and_after_its_job_has_gone() {
    let place = tempfile::tempdir().expect("a place");
    let url = format!("file:{}", place.path().display());
    let mut ids = Vec::new();
    for status in [201, 200] {
        let talk = Talk::over(windlass::open(&url).await.expect("a store")).await;
        let reply = keyed(&talk, "/v1/queues/q/jobs", "k", "{}").await;
        assert_eq!(reply.status, status, "{}", reply.text);
        ids.push(reply.text_at("/id"));
        talk.store.clone().close().await.expect("closed");
    }
    assert_eq!(ids[0], ids[1]);
    let talk = Talk::over(windlass::open(&url).await.expect("a store")).await;
    assert_eq!(talk.send(talk.ask("DELETE", &format!("/v1/jobs/{}", ids[0]))).await.status, 204);
    let late = keyed(&talk, "/v1/queues/q/jobs", "k", "{}").await;
    assert_eq!(
        (late.status, late.text_at("/status"), late.text_at("/id")),
        (200, "known".into(), ids[0].clone())
    );
}

#[tokio::test]
async fn an_operation_on_many_jobs_begins_once() {
    let talk = Talk::begin().await;
    talk.post("/v1/queues/q/jobs?delay=1h", "{}").await;
    let ask = |action: &str| json!({"action": action, "filter": "queue:q", "expect": 1}).to_string();
    let first = keyed(&talk, "/v1/bulk", "b", ask("cancel")).await;
    let again = keyed(&talk, "/v1/bulk", "b", ask("cancel")).await;
    assert_eq!((first.status, again.status), (202, 202), "{}", again.text);
    assert_eq!(first.at("/id"), again.at("/id"));
    assert_eq!(talk.get("/v1/bulk").await.at("/items").as_array().map(Vec::len), Some(1));
    let other = keyed(&talk, "/v1/bulk", "b", ask("delete")).await;
    assert_eq!((other.status, other.text_at("/code")), (422, "idempotency_key_reused".into()));
}
