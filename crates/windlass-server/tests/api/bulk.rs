//! Operations on all jobs that a filter means.

use std::time::Duration;

use serde_json::{Value, json};
use windlass_server::Options;

use crate::asker::asker;
use crate::document::held_with;
use crate::talk::{Reply, Talk};

/// Something that must happen, and does not.
const NEVER: Duration = Duration::from_secs(60);

/// That many scheduled jobs.
async fn fill(talk: &Talk, n: usize) {
    let lines = "{\"queue\":\"q\",\"delay\":\"1h\"}\n".repeat(n);
    let request = talk.ask("POST", "/v1/jobs").header("content-type", "application/x-ndjson").body(lines);
    assert_eq!(talk.send(request).await.status, 200);
}

async fn begin(talk: &Talk, request: Value) -> Reply {
    talk.post("/v1/bulk", request.to_string()).await
}

/// The operation once it is so.
async fn until(talk: &Talk, id: &str, is: impl Fn(&Value) -> bool) -> Value {
    let seen = async {
        loop {
            let bulk = talk.get(&format!("/v1/bulk/{id}")).await.json();
            if is(&bulk) {
                return bulk;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(NEVER, seen).await.expect("the operation goes on")
}

#[tokio::test]
async fn an_operation_goes_through_all_jobs_of_its_filter_and_no_other() {
    let talk = Talk::begin().await;
    fill(&talk, 1_700).await;
    talk.post("/v1/queues/other/jobs?delay=1h", "{}").await;
    let seen = begin(&talk, json!({"action": "run_now", "filter": "queue:q", "dry_run": true})).await;
    assert_eq!((seen.status, seen.at("/matched"), seen.at("/complete")), (200, json!(1_700), json!(true)));
    assert_eq!(seen.at("/sample").as_array().map(Vec::len), Some(5));
    let begun = begin(&talk, json!({"action": "run_now", "filter": "queue:q", "expect": 1_700})).await;
    assert_eq!((begun.status, begun.text_at("/stage")), (202, "running".into()), "{}", begun.text);
    let done = until(&talk, &begun.text_at("/id"), |bulk| bulk["stage"] == "done").await;
    assert_eq!((&done["done"], &done["refused"]), (&json!(1_700), &json!({})), "{done}");
    assert_eq!(talk.get("/v1/queues/q").await.at("/jobs/ready"), json!(1_700));
    assert_eq!(talk.get("/v1/queues/other").await.at("/jobs/scheduled"), json!(1));
    assert_eq!(talk.get("/v1/bulk").await.at("/items/0/id"), begun.at("/id"));
}

#[tokio::test]
async fn a_job_that_is_held_is_refused_and_counted() {
    let talk = Talk::begin().await;
    for _ in 0..3 {
        talk.post("/v1/queues/q/jobs", "{}").await;
    }
    let claimed = talk.post("/v1/claim", r#"{"queues":["q"]}"#).await;
    let begun = begin(&talk, json!({"action": "run_now", "filter": "queue:q state:running"})).await;
    let done = until(&talk, &begun.text_at("/id"), |bulk| bulk["stage"] == "done").await;
    assert_eq!(done["refused"], json!({"wrong_state": 1}), "{done}");
    assert_eq!(done["refused_first"], json!([[claimed.at("/jobs/0/id"), "wrong_state"]]));
}

#[tokio::test]
async fn an_operation_at_a_rate_is_paused_goes_on_and_is_ended_half_way() {
    let talk = Talk::begin().await;
    fill(&talk, 2_000).await;
    let begun = begin(&talk, json!({"action": "cancel", "filter": "queue:q", "rate": "400/s"})).await;
    let id = begun.text_at("/id");
    let some = until(&talk, &id, |bulk| bulk["done"].as_u64().is_some_and(|done| done > 0)).await;
    assert!(some["done"].as_u64().expect("a count") < 2_000, "{some}");
    assert_eq!(talk.post(&format!("/v1/bulk/{id}/pause"), "").await.text_at("/stage"), "paused");
    assert_eq!(talk.post(&format!("/v1/bulk/{id}/resume"), "").await.text_at("/stage"), "running");
    let more = some["done"].as_u64().expect("a count");
    until(&talk, &id, |bulk| bulk["done"].as_u64().is_some_and(|done| done > more)).await;
    assert_eq!(talk.post(&format!("/v1/bulk/{id}/abort"), "").await.text_at("/stage"), "aborted");
    // The step that was under way is the last: the queue's counts stand still from here on.
    let left = talk.get("/v1/queues/q").await.at("/jobs/scheduled").as_u64().expect("a count");
    assert!(left > 0 && left < 2_000, "{left}");
    let again = talk.post(&format!("/v1/bulk/{id}/resume"), "").await;
    assert_eq!((again.status, again.text_at("/code")), (400, "bad_request".into()));
}

#[tokio::test]
async fn an_operation_outlives_its_server() {
    let talk = Talk::begin().await;
    fill(&talk, 3_000).await;
    let begun =
        begin(&talk, json!({"action": "delete", "filter": "queue:q state:scheduled", "rate": "1000/s"}))
            .await;
    let id = begun.text_at("/id");
    until(&talk, &id, |bulk| bulk["done"].as_u64().is_some_and(|done| done > 0)).await;
    // The next server comes before the first one has gone, as in a rolling restart.
    let next = held_with(&talk.store, Options::default());
    let url = next.url();
    talk.end();
    let http = asker().build().expect("a client");
    let seen = async {
        loop {
            let text = http.get(format!("{url}/v1/bulk/{id}")).send().await.expect("an answer").text().await;
            let bulk: Value = serde_json::from_str(&text.expect("a body")).expect("json");
            if bulk["stage"] != "running" {
                return bulk;
            }
            tokio::task::yield_now().await;
        }
    };
    let done = tokio::time::timeout(NEVER, seen).await.expect("the operation goes on");
    assert_eq!((&done["stage"], &done["done"]), (&json!("done"), &json!(3_000)), "{done}");
    assert_eq!((&done["expected"], &done["lost"]), (&json!(3_000), &json!(0)), "it was handed on: {done}");
}

#[tokio::test]
async fn an_operation_whose_server_was_killed_goes_on_and_says_that_its_counts_may_be_short() {
    let talk = Talk::begin().await;
    fill(&talk, 700).await;
    let begun = begin(&talk, json!({"action": "run_now", "filter": "queue:q", "rate": "1/1m"})).await;
    let id = begun.text_at("/id");
    let taken = until(&talk, &id, |bulk| bulk["owner"].is_string()).await;
    assert_eq!(taken["lost"], json!(0), "{taken}");
    let client = talk.store.clone();
    talk.end();
    // As a server leaves it that is killed: under its name, and its time runs out.
    let store = client.store();
    let (value, version) = store.meta("windlass.bulk".to_owned()).await.expect("a value");
    let mut list: Value = serde_json::from_slice(&value).expect("json");
    list[0]["owner"] = json!("a server that was killed");
    list[0]["owned_until"] = json!("2020-01-01T00:00:00.000Z");
    list[0]["rate"] = Value::Null;
    let value = serde_json::to_vec(&list).expect("json");
    store.set_meta("windlass.bulk".to_owned(), value, version).await.expect("an answer").expect("current");
    let next = held_with(&client, Options::default());
    let http = asker().build().expect("a client");
    let seen = async {
        loop {
            let asked = http.get(format!("{}/v1/bulk/{id}", next.url())).send().await.expect("an answer");
            let bulk: Value = serde_json::from_str(&asked.text().await.expect("a body")).expect("json");
            if bulk["stage"] == "done" {
                return bulk;
            }
            tokio::task::yield_now().await;
        }
    };
    let done = tokio::time::timeout(NEVER, seen).await.expect("the operation goes on");
    assert_eq!(done["lost"], json!(1), "{done}");
    let page = http.get(format!("{}/bulk/{id}", next.url())).header("accept", "text/html");
    let page = page.send().await.expect("an answer").text().await.expect("a page");
    assert!(page.contains("The counts may be short"), "{page}");
}

#[tokio::test]
async fn a_filter_without_a_state_means_those_of_the_action() {
    let talk = Talk::begin().await;
    for _ in 0..3 {
        talk.post("/v1/queues/q/jobs", "{}").await;
    }
    let claimed = talk.post("/v1/claim", r#"{"queues":["q"],"max":2}"#).await;
    for (place, end) in ["complete", "fail"].into_iter().enumerate() {
        let (id, lease) =
            (claimed.text_at(&format!("/jobs/{place}/id")), claimed.at(&format!("/jobs/{place}/lease")));
        let fatal = if end == "fail" {
            json!({"lease": lease, "fatal": true, "error": "no"})
        } else {
            json!({"lease": lease})
        };
        let ended = talk.post(&format!("/v1/jobs/{id}/{end}"), fatal.to_string()).await;
        assert!(ended.status < 300, "{}", ended.text);
    }
    // One has completed, one is dead, one is ready.
    for (action, matched) in [("retry", 1), ("delete", 2), ("cancel", 1), ("run_now", 0)] {
        let seen = begin(&talk, json!({"action": action, "filter": "queue:q", "dry_run": true})).await;
        assert_eq!(seen.at("/matched"), json!(matched), "{action}: {}", seen.text);
    }
    let begun = begin(&talk, json!({"action": "retry", "filter": "queue:q"})).await;
    until(&talk, &begun.text_at("/id"), |bulk| bulk["stage"] == "done").await;
    let jobs = talk.get("/v1/queues/q").await.at("/jobs");
    assert_eq!((&jobs["completed"], &jobs["dead"], &jobs["ready"]), (&json!(1), &json!(0), &json!(2)));
}

#[tokio::test]
async fn an_operation_that_makes_no_sense_is_not_begun() {
    let talk = Talk::begin().await;
    fill(&talk, 50).await;
    for (request, word) in [
        (json!({"action": "delete", "filter": ""}), "every job"),
        (json!({"action": "delete", "filter": "stat:dead"}), "there are queue"),
        (json!({"action": "delete", "filter": "queue:q", "rate": "fast"}), "rate"),
        (json!({"action": "explode", "filter": "queue:q"}), "variant"),
        (json!({"action": "delete", "filter": "queue:q state:scheduled", "expect": 10}), "50 jobs"),
    ] {
        let reply = begin(&talk, request.clone()).await;
        assert_eq!(reply.status, 400, "{request}");
        assert!(reply.text_at("/detail").contains(word), "{request}: {}", reply.text);
    }
    assert_eq!(talk.get("/v1/bulk").await.at("/items"), json!([]));
    assert_eq!(talk.get("/v1/bulk/7").await.status, 404);
}
