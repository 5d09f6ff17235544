//! The life of a job, told by requests.

use serde_json::json;

use crate::talk::Talk;

#[tokio::test]
async fn a_job_lives_its_whole_life_by_requests_that_a_shell_can_write() {
    let talk = Talk::begin().await;
    let made = talk
        .post("/v1/queues/email/jobs?group=c7&priority=2&tag=a&tag=b&timeout=1m", r#"{"to": "a@b.c"}"#)
        .await;
    assert_eq!(
        (made.status, made.text_at("/status"), made.text_at("/state")),
        (201, "created".into(), "ready".into())
    );
    let id = made.text_at("/id");
    assert_eq!(made.headers["location"], format!("/v1/jobs/{id}"));
    let again = talk.post(&format!("/v1/queues/email/jobs?id={id}"), "{}").await;
    assert_eq!((again.status, again.text_at("/status")), (200, "known".into()));

    let claimed = talk.post("/v1/claim", r#"{"queues":["email"],"max":10}"#).await;
    let lease = claimed.text_at("/jobs/0/lease");
    assert_eq!(claimed.at("/jobs/0/payload"), json!({"to": "a@b.c"}));
    assert!(claimed.text.contains(r#""payload":{"to": "a@b.c"}"#), "byte by byte: {}", claimed.text);
    assert_eq!(claimed.at("/jobs/0/tags"), json!(["a", "b"]));

    let report = json!({"lease": lease, "progress": {"percent": 40, "message": "half"}, "log": "one line\n"});
    assert_eq!(talk.post(&format!("/v1/jobs/{id}/report"), report.to_string()).await.status, 204);
    let beat = talk.post(&format!("/v1/jobs/{id}/heartbeat"), json!({"lease": lease}).to_string()).await;
    assert_eq!((beat.status, beat.at("/cancel_requested")), (200, json!(false)));
    assert_eq!(talk.get(&format!("/v1/jobs/{id}/attempts/1/log")).await.text, "one line\n");

    let failed = json!({"lease": lease, "error": "timed out after 30 s"}).to_string();
    assert_eq!(talk.post(&format!("/v1/jobs/{id}/fail"), failed.clone()).await.status, 204);
    // The same acknowledgement again is the same answer; another one is too late.
    assert_eq!(talk.post(&format!("/v1/jobs/{id}/fail"), failed).await.status, 204);
    let late = talk.post(&format!("/v1/jobs/{id}/complete"), json!({"lease": lease}).to_string()).await;
    assert_eq!((late.status, late.text_at("/code")), (409, "stale".into()));
    let why = talk.get(&format!("/v1/jobs/{id}/why")).await;
    assert_eq!(why.text_at("/reason"), "retry_backoff");
    // The server found the failure mode out, since the worker left it to it.
    let modes = talk.get("/v1/errors").await;
    assert_eq!(modes.at("/items/0/failures"), json!(1));
    assert!(modes.text_at("/items/0/title").contains("timed out"), "{}", modes.text);

    assert_eq!(talk.post(&format!("/v1/jobs/{id}/run-now"), "").await.status, 204);
    let claimed = talk.post("/v1/claim", r#"{"queues":["email"]}"#).await;
    let done = json!({"lease": claimed.at("/jobs/0/lease"), "result": null, "then": [{"queue": "after"}]});
    assert_eq!(talk.post(&format!("/v1/jobs/{id}/complete"), done.to_string()).await.status, 204);
    let job = talk.get(&format!("/v1/jobs/{id}")).await;
    assert_eq!((job.text_at("/state"), job.at("/result")), ("completed".into(), json!(null)));
    assert_eq!(job.at("/attempts/0/error/message"), json!("timed out after 30 s"));
    assert_eq!(talk.get("/v1/queues/after").await.at("/jobs/ready"), json!(1));
}

#[tokio::test]
async fn a_batch_answers_for_each_of_its_jobs() {
    let talk = Talk::begin().await;
    let jobs = r#"[{"queue":"q"},{"queue":"q","delay":"soon"},{"queue":"","priority":9},{"queue":"q","unique":"k"},{"queue":"q","unique":"k","on_conflict":"refuse"}]"#;
    let all = talk.post("/v1/jobs", jobs).await;
    let codes: Vec<_> = all
        .at("/results")
        .as_array()
        .expect("a list")
        .iter()
        .map(|item| item["error"]["code"].clone())
        .collect();
    assert_eq!(
        codes,
        [json!(null), json!("invalid"), json!("invalid"), json!(null), json!("unique_conflict")],
        "{}",
        all.text
    );
    let none = talk.post("/v1/jobs?all_or_nothing=true", jobs).await;
    assert!(
        none.at("/results").as_array().expect("a list").iter().all(|item| item.get("error").is_some()),
        "{}",
        none.text
    );
    assert_eq!(talk.get("/v1/queues/q").await.at("/totals/enqueued"), json!(2));
}

#[tokio::test]
async fn people_see_and_change_what_there_is() {
    let talk = Talk::begin().await;
    let id = talk.post("/v1/queues/email/jobs?delay=1h&kind=send", r#"{"n":1}"#).await.text_at("/id");
    let patched = talk
        .send(talk.ask("PATCH", &format!("/v1/jobs/{id}")).body(r#"{"payload":{"n":2},"priority":5}"#))
        .await;
    assert_eq!(patched.status, 204, "{}", patched.text);
    let job = talk.get(&format!("/v1/jobs/{id}")).await;
    assert_eq!(
        (job.at("/payload/n"), job.at("/priority"), job.text_at("/state")),
        (json!(2), json!(5), "scheduled".into())
    );
    let found = talk.get("/v1/jobs?filter=queue:email+state:scheduled+kind:send").await;
    assert_eq!(found.at("/items/0/id"), json!(id));
    assert_eq!(talk.get("/v1/jobs?queue=email&state=dead").await.at("/items"), json!([]));

    let set = talk.send(talk.ask("PATCH", "/v1/queues/email/settings").body(r#"{"concurrency":3}"#)).await;
    assert_eq!((set.status, set.at("/concurrency"), set.at("/lease_ms")), (200, json!(3), json!(30_000)));
    assert_eq!(talk.post("/v1/queues/email/pause", "").await.status, 204);
    assert_eq!(talk.get("/v1/queues/email").await.at("/paused"), json!(true));
    let group = talk
        .send(talk.ask("PUT", "/v1/queues/email/groups/~a%2Fb%20c/settings").body(r#"{"weight":7}"#))
        .await;
    assert_eq!(group.status, 204, "{}", group.text);
    let groups = talk.get("/v1/queues/email/groups").await;
    let own = groups
        .at("/items")
        .as_array()
        .expect("a list")
        .iter()
        .find(|group| group["group"] == "a/b c")
        .cloned();
    assert_eq!(own.expect("the group")["settings"]["weight"], json!(7));

    let schedule =
        r#"{"timing":{"cron":{"expression":"0 9 * * *","time_zone":"Europe/Berlin"}},"queue":"reports"}"#;
    assert_eq!(talk.send(talk.ask("PUT", "/v1/schedules/daily").body(schedule)).await.status, 204);
    let daily = talk.get("/v1/schedules/daily").await;
    assert_eq!(daily.at("/upcoming").as_array().map(Vec::len), Some(5));
    // What was read can be sent back.
    assert_eq!(talk.send(talk.ask("PUT", "/v1/schedules/daily").body(daily.text)).await.status, 204);
    assert_eq!(talk.send(talk.ask("DELETE", "/v1/schedules/daily")).await.status, 204);
    assert_eq!(talk.get("/v1/schedules/daily").await.status, 404);
    assert_eq!(talk.post(&format!("/v1/jobs/{id}/cancel"), "").await.at("/cancelled"), json!("now"));
    assert_eq!(talk.send(talk.ask("DELETE", &format!("/v1/jobs/{id}"))).await.status, 204);
}

#[tokio::test]
async fn metrics_say_what_the_store_counts() {
    let talk = Talk::begin().await;
    for _ in 0..3 {
        talk.post("/v1/queues/email/jobs", "{}").await;
    }
    let claimed = talk.post("/v1/claim", r#"{"queues":["email"]}"#).await;
    let done = json!({"settle": [{"op": "complete", "id": claimed.at("/jobs/0/id"), "lease": claimed.at("/jobs/0/lease")}]});
    talk.post("/v1/settle", done.to_string()).await;
    let hello =
        r#"{"worker":"w-00000000000000a1","host":"h","version":"1","queues":[{"queue":"email","slots":4}]}"#;
    assert_eq!(talk.post("/v1/workers", hello).await.status, 204);
    let metrics = talk.get("/metrics").await;
    assert!(
        metrics.headers["content-type"].to_str().expect("text").starts_with("application/openmetrics-text")
    );
    for line in [
        r#"windlass_jobs_enqueued_total{queue="email"} 3"#,
        r#"windlass_jobs_completed_total{queue="email"} 1"#,
        r#"windlass_queue_jobs{queue="email",state="ready"} 2"#,
        r#"windlass_job_wait_seconds_count{queue="email"} 1"#,
        r#"windlass_job_wait_seconds_bucket{le="+Inf",queue="email"} 1"#,
        r#"windlass_worker_slots{queue="email"} 4"#,
        "# TYPE windlass_job_run_seconds histogram",
        "# EOF",
    ] {
        assert!(metrics.text.lines().any(|other| other == line), "{line} in\n{}", metrics.text);
    }
}
