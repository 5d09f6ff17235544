//! Jobs that wait for each other, enqueued and seen as one.

use serde_json::{Value, json};

use crate::talk::{Reply, Talk};

async fn begin(talk: &Talk, jobs: Value) -> Reply {
    talk.post("/v1/flows", json!({ "jobs": jobs }).to_string()).await
}

/// Claims the next job of the queue and ends it.
async fn end(talk: &Talk, queue: &str, how: &str, with: Value) -> Value {
    let claimed = talk.post("/v1/claim", json!({ "queues": [queue] }).to_string()).await;
    let id = claimed.text_at("/jobs/0/id");
    let mut body = with;
    body["lease"] = claimed.at("/jobs/0/lease");
    assert_eq!(talk.post(&format!("/v1/jobs/{id}/{how}"), body.to_string()).await.status, 204);
    claimed.at("/jobs/0/id")
}

#[tokio::test]
async fn the_jobs_of_a_flow_come_in_one_step_and_run_when_their_parents_have_ended() {
    let talk = Talk::begin().await;
    let made = begin(
        &talk,
        json!({
            "tell": { "queue": "mail", "after": ["load=always"] },
            "load": { "queue": "etl", "after": ["extract"] },
            "extract": { "queue": "etl" },
        }),
    )
    .await;
    assert_eq!(made.status, 201, "{}", made.text);
    let states = ["extract", "load", "tell"].map(|name| made.text_at(&format!("/jobs/{name}/state")));
    assert_eq!(states, ["ready", "blocked", "blocked"]);
    assert_eq!(end(&talk, "etl", "complete", json!({})).await, made.at("/jobs/extract/id"));
    assert_eq!(
        end(&talk, "etl", "fail", json!({ "error": "no", "fatal": true })).await,
        made.at("/jobs/load/id")
    );
    assert_eq!(end(&talk, "mail", "complete", json!({})).await, made.at("/jobs/tell/id"));
    // Seen from any of its jobs it is the same flow, parents first.
    for name in ["tell", "load", "extract"] {
        let flow = talk.get(&format!("/v1/jobs/{}/flow", made.text_at(&format!("/jobs/{name}/id")))).await;
        let seen: Vec<(Value, Value)> = flow
            .at("/jobs")
            .as_array()
            .expect("jobs")
            .iter()
            .map(|job| (job["id"].clone(), job["state"].clone()))
            .collect();
        let expected = [("extract", "completed"), ("load", "dead"), ("tell", "completed")]
            .map(|(name, state)| (made.at(&format!("/jobs/{name}/id")), json!(state)));
        assert_eq!(seen, expected, "{name}: {}", flow.text);
        assert_eq!((flow.at("/complete"), flow.at("/jobs/2/parents/0/on")), (json!(true), json!("always")));
    }
}

#[tokio::test]
async fn a_flow_of_which_one_job_is_refused_is_not_begun_and_says_which() {
    let talk = Talk::begin().await;
    for (jobs, name, code) in [
        (json!({ "a": { "queue": "q" }, "b": { "queue": "q", "priority": 99 } }), "b", "invalid"),
        (json!({ "a": { "queue": "q" }, "b": { "queue": "q", "after": ["c"] } }), "b", "invalid"),
        (json!({ "a": { "queue": "q" }, "b": { "queue": "q", "colour": "red" } }), "b", "bad_json"),
        (
            json!({ "a": { "queue": "q", "after": ["b"] }, "b": { "queue": "q", "after": ["a"] } }),
            "a",
            "bad_parents",
        ),
    ] {
        let reply = begin(&talk, jobs.clone()).await;
        assert_eq!((reply.text_at("/job").as_str(), reply.text_at("/code").as_str()), (name, code), "{jobs}");
    }
    for jobs in [json!({}), json!({ "a=b": { "queue": "q" } }), json!({ "": { "queue": "q" } })] {
        assert_eq!(begin(&talk, jobs.clone()).await.status, 400, "{jobs}");
    }
    let twice = talk.post("/v1/flows", r#"{"jobs":{"a":{"queue":"q"},"a":{"queue":"q"}}}"#).await;
    assert_eq!((twice.status, twice.text_at("/code")), (400, "bad_json".into()));
    assert_eq!(talk.get("/v1/queues").await.at("/items"), json!([]));
}

#[tokio::test]
async fn a_flow_that_is_sent_again_under_its_key_is_one() {
    let talk = Talk::begin().await;
    let body =
        json!({ "jobs": { "a": { "queue": "q" }, "b": { "queue": "q", "after": ["a"] } } }).to_string();
    let send = || talk.send(talk.ask("POST", "/v1/flows").header("idempotency-key", "f").body(body.clone()));
    let (first, again) = (send().await, send().await);
    assert_eq!((first.status, again.status), (201, 200), "{}", again.text);
    assert_eq!(first.at("/jobs/b/id"), again.at("/jobs/b/id"));
}

#[tokio::test]
async fn a_large_flow_is_shown_as_far_as_asked_and_says_where_it_goes_on() {
    let talk = Talk::begin().await;
    let mut jobs = serde_json::Map::new();
    jobs.insert("first".into(), json!({ "queue": "q" }));
    for n in 0..30 {
        jobs.insert(format!("child-{n}"), json!({ "queue": "q", "after": ["first"] }));
    }
    let made = begin(&talk, Value::Object(jobs)).await;
    let flow = talk.get(&format!("/v1/jobs/{}/flow?limit=10", made.text_at("/jobs/first/id"))).await;
    let lengths = ["/jobs", "/beyond"].map(|list| flow.at(list).as_array().map(Vec::len));
    assert_eq!((lengths, flow.at("/complete")), ([Some(10), Some(21)], json!(false)), "{}", flow.text);
    assert_eq!(talk.get("/v1/jobs/01a20349-19a4-7000-a26a-6a7218659a2a/flow").await.status, 404);
}
