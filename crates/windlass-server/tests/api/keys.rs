//! Keys: what they let somebody do, for how long, and what they never tell.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use windlass_server::{Access, Options, Secret};

use crate::asker::asker;
use crate::document::held_with;
use crate::matrix::{ROOT, asked, guarded, key};
use crate::talk::{Reply, Talk};

async fn by(talk: &Talk, token: &str, method: &str, path: &str, body: Value) -> Reply {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    talk.send(talk.ask(method, path).header("authorization", format!("Bearer {token}")).body(body)).await
}

fn options() -> Options {
    Options { access: Access::Bearer(Secret::new(ROOT)), hosts: None, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_within_a_second_by_every_server_of_the_store() {
    let talk = Talk::with(options()).await;
    let beside = held_with(&talk.store, options());
    let http = asker().build().expect("a client");
    let there = |token: String| {
        let request = http.get(format!("{}/v1/queues", beside.url())).bearer_auth(token);
        async move { request.send().await.expect("the other server answers").status().as_u16() }
    };
    let (old, new) = (key(&talk, "ci-1", &["read"], &[]).await, key(&talk, "ci-2", &["read"], &[]).await);
    for token in [&old, &new] {
        assert_eq!(by(&talk, token, "GET", "/v1/queues", Value::Null).await.status, 200);
        assert_eq!(there(token.clone()).await, 200);
    }
    let stream = http.get(format!("{}/v1/events?from=latest", beside.url())).bearer_auth(&old);
    let stream = stream.header("accept", "text/event-stream").send().await.expect("a stream");
    let mut stream = stream.bytes_stream();

    assert_eq!(by(&talk, ROOT, "DELETE", "/v1/keys/ci-1", Value::Null).await.status, 204);
    let revoked = Instant::now();
    assert_eq!(by(&talk, &old, "GET", "/v1/queues", Value::Null).await.status, 401, "here at once");
    while there(old.clone()).await == 200 {
        assert!(revoked.elapsed() < Duration::from_secs(1), "the other server still lets it in");
    }
    assert_eq!(there(new).await, 200, "the second key goes on");

    // What happens now is told to nobody who was let in by the old key.
    while revoked.elapsed() < Duration::from_secs(1) {
        tokio::task::yield_now().await;
    }
    let enqueued = by(&talk, ROOT, "POST", "/v1/queues/after/jobs", json!(1)).await;
    assert_eq!(enqueued.status, 201);
    let mut told = String::new();
    let end = async {
        while let Some(Ok(bytes)) = stream.next().await {
            told.push_str(&String::from_utf8_lossy(&bytes));
        }
    };
    tokio::time::timeout(Duration::from_secs(10), end).await.expect("the stream ends with its key");
    assert!(told.contains("unauthorized") && !told.contains("after"), "{told}");
    assert_eq!(by(&talk, ROOT, "DELETE", "/v1/keys/ci-1", Value::Null).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_ends_when_it_said_it_would() {
    let talk = guarded().await;
    let request = json!({ "name": "short", "scopes": ["read"], "expires_in": "300ms" });
    let token = by(&talk, ROOT, "POST", "/v1/keys", request).await.text_at("/secret");
    let mut number = 0;
    let began = Instant::now();
    while asked(&talk, "GET /v1/queues", "/v1/queues", "", Some(&token), &mut number).await.0 != 401 {
        assert!(began.elapsed() < Duration::from_secs(2), "it has not ended");
    }
    assert!(began.elapsed() >= Duration::from_millis(200), "it ended too early");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_a_key_that_makes_no_sense_is_refused_in_words() {
    let talk = guarded().await;
    key(&talk, "taken", &["read"], &[]).await;
    for (request, said) in [
        (json!({ "name": "a b", "scopes": ["read"] }), "letters"),
        (json!({ "name": "x", "scopes": [] }), "without a scope"),
        (json!({ "name": "x", "scopes": ["everything"] }), "produce, work, read"),
        (json!({ "name": "x", "scopes": ["read"], "queues": ["*"] }), "every queue"),
        (json!({ "name": "x", "scopes": ["admin"], "queues": ["a"] }), "cannot be limited"),
        (json!({ "name": "x", "scopes": ["read"], "expires_in": "soon" }), "span of time"),
        (json!({ "name": "x", "scopes": ["read"], "queues": vec!["a"; 33] }), "more than 32"),
    ] {
        let refused = by(&talk, ROOT, "POST", "/v1/keys", request.clone()).await;
        assert_eq!(refused.status, 400, "{request}");
        assert!(refused.text.contains(said), "{request}: {}", refused.text);
    }
    let taken = json!({ "name": "taken", "scopes": ["read"] });
    let refused = by(&talk, ROOT, "POST", "/v1/keys", taken).await;
    assert_eq!((refused.status, refused.text_at("/code")), (409, "key_exists".into()), "{}", refused.text);
    let list = by(&talk, ROOT, "GET", "/v1/keys", Value::Null).await;
    assert_eq!(list.at("/items").as_array().map(Vec::len), Some(1));
    let forged = json!({ "value": "W10=", "version": 1 });
    for own in ["windlass.keys", "windlass.audit", "windlass.audit.0", "windlass.keys.used"] {
        let refused = by(&talk, ROOT, "PUT", &format!("/v1/meta/~{own}"), forged.clone()).await;
        assert_eq!(refused.status, 403, "{own}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_of_a_key_lies_in_no_file_and_in_no_answer_but_the_first() {
    let home = tempfile::tempdir().expect("a directory");
    let store = windlass::open(&format!("file:{}", home.path().display())).await.expect("a store");
    let server = held_with(&store, options());
    let http = asker().build().expect("a client");
    let ask = |method: &str, path: &str, token: &str| {
        http.request(method.parse().expect("a method"), format!("{}{path}", server.url())).bearer_auth(token)
    };
    let request = json!({ "name": "ci", "scopes": ["admin"] }).to_string();
    let made = ask("POST", "/v1/keys", ROOT).body(request).send().await.expect("an answer");
    let made: Value = serde_json::from_str(&made.text().await.expect("a body")).expect("json");
    let text = made["secret"].as_str().expect("the secret").to_owned();
    let secret = text.rsplit('_').next().expect("the secret part").to_owned();
    for (path, status) in [
        ("/v1/keys", 200),
        ("/v1/audit", 200),
        ("/v1/meta/~windlass.keys", 403),
        ("/keys", 200),
        ("/audit", 200),
    ] {
        let told = ask("GET", path, &text).send().await.expect("an answer");
        assert_eq!(told.status().as_u16(), status, "{path}");
        assert!(!told.text().await.expect("a body").contains(&secret), "{path}");
    }
    drop(server);
    store.close().await.expect("closed");
    let mut files = 0;
    let mut left = vec![home.path().to_owned()];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                left.push(path);
            } else if path.is_file() {
                files += 1;
                let bytes = std::fs::read(&path).expect("a file");
                for hidden in [secret.as_bytes(), ROOT.as_bytes()] {
                    assert!(!bytes.windows(hidden.len()).any(|part| part == hidden), "{}", path.display());
                }
            }
        }
    }
    assert!(files > 0, "something was looked at");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_read_but_not_see_payloads_finds_nothing_of_what_jobs_hold() {
    let talk = guarded().await;
    let made =
        by(&talk, ROOT, "POST", "/v1/queues/q/jobs?max_failures=3&kind=k", json!("canary-payload")).await;
    let id = made.text_at("/id");
    let claimed = by(&talk, ROOT, "POST", "/v1/claim", json!({ "queues": ["q"] })).await;
    let lease = claimed.text_at("/jobs/0/lease");
    let report = json!({ "lease": lease, "log": "canary-log", "progress": { "percent": 3, "message": "canary-progress" }, "checkpoint": "canary-checkpoint" });
    let reported = by(&talk, ROOT, "POST", &format!("/v1/jobs/{id}/report"), report).await;
    assert_eq!(reported.status, 204, "{}", reported.text);
    let error = json!({ "class": "Timeout", "message": "canary-error", "detail": "canary-detail" });
    let failed = by(
        &talk,
        ROOT,
        "POST",
        &format!("/v1/jobs/{id}/fail"),
        json!({ "lease": lease, "error": error, "retry_in": "1h" }),
    )
    .await;
    assert_eq!(failed.status, 204, "{}", failed.text);
    let done = by(&talk, ROOT, "POST", "/v1/queues/q/jobs", json!("canary-payload")).await.text_at("/id");
    let claimed = by(&talk, ROOT, "POST", "/v1/claim", json!({ "queues": ["q"] })).await;
    let complete = json!({ "lease": claimed.text_at("/jobs/0/lease"), "result": "canary-result" });
    assert_eq!(by(&talk, ROOT, "POST", &format!("/v1/jobs/{done}/complete"), complete).await.status, 204);
    let snoozed = by(&talk, ROOT, "POST", "/v1/queues/q/jobs", json!("canary-payload")).await.text_at("/id");
    let claimed = by(&talk, ROOT, "POST", "/v1/claim", json!({ "queues": ["q"] })).await;
    let snooze =
        json!({ "lease": claimed.text_at("/jobs/0/lease"), "delay": "1h", "reason": "canary-reason" });
    assert_eq!(by(&talk, ROOT, "POST", &format!("/v1/jobs/{snoozed}/snooze"), snooze).await.status, 204);
    let schedule = json!({ "timing": { "cron": { "expression": "0 3 * * *", "time_zone": "UTC" } }, "queue": "q", "kind": "k", "payload": "canary-payload" });
    assert_eq!(by(&talk, ROOT, "PUT", "/v1/schedules/s", schedule).await.status, 204);

    let (blind, seeing) = (
        key(&talk, "blind", &["read", "operate"], &[]).await,
        key(&talk, "seeing", &["payloads"], &[]).await,
    );
    let paths = [
        "/v1/jobs".to_owned(),
        format!("/v1/jobs/{id}"),
        format!("/v1/jobs/{id}/why"),
        format!("/v1/jobs/{done}"),
        format!("/v1/jobs/{snoozed}"),
        format!("/v1/jobs/{snoozed}/why"),
        "/v1/events".into(),
        "/v1/errors".into(),
        "/v1/schedules".into(),
        "/v1/schedules/s".into(),
        "/metrics".into(),
        "/".into(),
        "/jobs".into(),
        format!("/jobs/{id}"),
        format!("/jobs/{done}"),
        format!("/jobs/{snoozed}"),
        "/errors".into(),
        "/schedules".into(),
        "/queues/q".into(),
    ];
    let (mut number, mut canaries) = (0, 0);
    for path in &paths {
        let (status, text) = asked(&talk, "GET", path, "", Some(&blind), &mut number).await;
        assert_eq!(status, 200, "{path}: {text}");
        assert!(!text.contains("canary-"), "{path} tells: {text}");
        let (_, text) = asked(&talk, "GET", path, "", Some(&seeing), &mut number).await;
        canaries += text.matches("canary-").count();
    }
    assert!(canaries >= 20, "there was something to hide: {canaries}");
    for path in [
        format!("/v1/jobs/{id}/attempts/1/log"),
        format!("/jobs/{id}/attempts/1/log"),
        "/v1/jobs?filter=payload:canary".into(),
        "/v1/jobs?error=canary".into(),
    ] {
        let (status, text) = asked(&talk, "GET", &path, "", Some(&blind), &mut number).await;
        assert!(status == 403 && text.contains("payloads"), "{path}: {status} {text}");
        assert_eq!(asked(&talk, "GET", &path, "", Some(&seeing), &mut number).await.0, 200, "{path}");
    }
    let oracle = json!({ "action": "retry", "filter": "payload:canary", "dry_run": true });
    assert_eq!(by(&talk, &blind, "POST", "/v1/bulk", oracle).await.status, 403);

    // What stands for a payload is never taken for one.
    let paused = asked(&talk, "POST", "/schedules/s/pause", "", Some(&blind), &mut number).await;
    assert_eq!(paused.0, 303, "{}", paused.1);
    assert_eq!(
        by(&talk, ROOT, "GET", "/v1/schedules/s", Value::Null).await.at("/payload"),
        json!("canary-payload")
    );
    let row = by(&talk, &blind, "GET", &format!("/v1/jobs/{id}"), Value::Null).await.at("/payload");
    assert_eq!(
        by(&talk, &blind, "PATCH", &format!("/v1/jobs/{id}"), json!({ "payload": row, "priority": 2 }))
            .await
            .status,
        204
    );
    let kept = by(&talk, ROOT, "GET", &format!("/v1/jobs/{id}"), Value::Null).await;
    assert_eq!((kept.at("/payload"), kept.at("/priority")), (json!("canary-payload"), json!(2)));
    let form = asked(&talk, "GET", &format!("/jobs/{id}/edit"), "", Some(&blind), &mut number).await;
    assert!(!form.1.contains("canary-payload"), "{}", form.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_key_reaches_no_other_queue_by_keys_parents_cursors_or_workers() {
    let talk = guarded().await;
    let own = key(&talk, "own", &["produce", "work", "read", "operate"], &["own-*"]).await;
    let other = by(&talk, ROOT, "POST", "/v1/queues/other/jobs?unique=u&delay=100d", json!("theirs"))
        .await
        .text_at("/id");
    for n in 0..5 {
        by(&talk, ROOT, "POST", &format!("/v1/queues/own-{}/jobs", n % 2), json!(n)).await;
        by(&talk, ROOT, "POST", "/v1/queues/other/jobs", json!(n)).await;
    }
    let refused = |reply: Reply, status: u16| {
        assert_eq!(reply.status, status, "{}", reply.text);
        assert!(!reply.text.contains(&other), "{}", reply.text);
    };
    refused(by(&talk, &own, "POST", "/v1/queues/own-0/jobs?unique=u", json!(1)).await, 403);
    refused(
        by(&talk, &own, "POST", "/v1/queues/own-0/jobs?unique=u&on_conflict=refuse", json!(1)).await,
        403,
    );
    refused(
        by(&talk, &own, "POST", "/v1/queues/own-0/jobs?unique=u&on_conflict=replace", json!("mine")).await,
        403,
    );
    refused(
        by(&talk, &own, "POST", "/v1/queues/own-0/jobs?unique=u&on_conflict=reschedule", json!("mine")).await,
        403,
    );
    let theirs = by(&talk, ROOT, "GET", &format!("/v1/jobs/{other}"), Value::Null).await;
    assert_eq!(theirs.at("/payload"), json!("theirs"));

    // A parent of another queue is as unknown as one that there is not.
    let nobodys = "01a20349-19a4-7000-a26a-6a7218659a2a";
    let of = |parent: &str| format!("/v1/queues/own-0/jobs?after={parent}");
    let (theirs, none) = (
        by(&talk, &own, "POST", &of(&other), json!(1)).await,
        by(&talk, &own, "POST", &of(nobodys), json!(1)).await,
    );
    assert_eq!((theirs.status, theirs.text.replace(&other, nobodys)), (none.status, none.text));
    assert_eq!(none.status, 422);
    let mixed = json!([{ "queue": "own-0", "payload": 1 }, { "queue": "other", "payload": 1 }]);
    let mixed = by(&talk, &own, "POST", "/v1/jobs", mixed).await;
    assert_eq!(
        (mixed.text_at("/results/0/status"), mixed.text_at("/results/1/error/code")),
        ("created".into(), "forbidden".into())
    );
    let claimed = by(&talk, &own, "POST", "/v1/claim", json!({ "queues": ["own-0"] })).await;
    let (id, lease) = (claimed.text_at("/jobs/0/id"), claimed.text_at("/jobs/0/lease"));
    let then = json!({ "lease": lease, "then": [{ "queue": "other", "payload": 1 }] });
    refused(by(&talk, &own, "POST", &format!("/v1/jobs/{id}/complete"), then).await, 403);
    let holds = json!({ "lease": lease, "delay": "1h", "reason": "x", "holds": { "limit": "l" } });
    refused(by(&talk, &own, "POST", &format!("/v1/jobs/{id}/snooze"), holds).await, 403);
    assert_eq!(
        by(&talk, &own, "POST", &format!("/v1/jobs/{id}/complete"), json!({ "lease": lease })).await.status,
        204
    );

    // Pages of all own jobs, one after the other, whatever stands in the cursor.
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = by(&talk, &own, "GET", &format!("/v1/jobs?limit=2{cursor}"), Value::Null).await;
        let queues = page.at("/items").as_array().expect("a list").clone();
        seen.extend(queues.iter().map(|job| job["queue"].as_str().expect("a queue").to_owned()));
        match page.at("/next").as_str() {
            Some(next) => cursor = format!("&cursor={}", next.replace('~', "%7E")),
            None => break,
        }
    }
    assert_eq!(seen.len(), 6, "{seen:?}");
    assert!(seen.iter().all(|queue| queue.starts_with("own-")), "{seen:?}");
    let foreign = by(&talk, ROOT, "GET", "/v1/jobs?limit=1", Value::Null).await.text_at("/next");
    for cursor in [foreign.clone(), format!("other~{foreign}"), "own-0~nonsense".into(), "~".into()] {
        let page =
            by(&talk, &own, "GET", &format!("/v1/jobs?cursor={}", cursor.replace('~', "%7E")), Value::Null)
                .await;
        assert!(
            matches!(page.status, 200 | 400) && !page.text.contains("\"other\""),
            "{cursor}: {}",
            page.text
        );
    }

    // Whoever has the id of another's worker cannot speak for it.
    let hello = |queue: &str| json!({ "worker": "w-00000000000000aa", "host": "h", "version": "1", "queues": [{ "queue": queue, "slots": 1 }] });
    assert_eq!(by(&talk, ROOT, "POST", "/v1/workers", hello("other")).await.status, 204);
    assert_eq!(by(&talk, &own, "POST", "/v1/workers", hello("own-0")).await.status, 403);
    assert_eq!(by(&talk, &own, "DELETE", "/v1/workers/w-00000000000000aa", Value::Null).await.status, 204);
    assert_eq!(
        by(&talk, ROOT, "GET", "/v1/workers", Value::Null).await.at("/items").as_array().map(Vec::len),
        Some(1)
    );
    // An operation of a limited key touches its queues, also where its filter means all.
    let begun =
        by(&talk, &own, "POST", "/v1/bulk", json!({ "action": "cancel", "filter": "state:ready" })).await;
    let path = format!("/v1/bulk/{}", begun.text_at("/id"));
    let began = Instant::now();
    while by(&talk, &own, "GET", &path, Value::Null).await.text_at("/stage") == "running" {
        assert!(began.elapsed() < Duration::from_secs(10), "it does not end");
    }
    let left = by(&talk, ROOT, "GET", "/v1/jobs?queue=other&state=ready", Value::Null).await;
    assert_eq!(left.at("/items").as_array().map(Vec::len), Some(5), "{}", left.text);
    let other_key = key(&talk, "else", &["read"], &["else"]).await;
    assert_eq!(by(&talk, &other_key, "GET", &path, Value::Null).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_that_changes_something_leaves_one_record_and_looking_leaves_none() {
    let talk = guarded().await;
    let operator = key(&talk, "ops", &["operate", "read"], &[]).await;
    let id = by(&talk, ROOT, "POST", "/v1/queues/q/jobs?delay=1h", json!(1)).await.text_at("/id");
    assert_eq!(
        by(&talk, &operator, "POST", &format!("/v1/jobs/{id}/run-now"), Value::Null).await.status,
        204
    );
    let ids = json!({ "ids": [id, "01a20349-19a4-7000-a26a-6a7218659a2a"] });
    assert_eq!(by(&talk, &operator, "POST", "/v1/jobs/cancel", ids).await.status, 200);
    assert_eq!(
        by(&talk, &operator, "PUT", "/v1/queues/q/settings", json!({ "lease_ms": 1 })).await.status,
        400
    );
    assert_eq!(by(&talk, &operator, "GET", "/v1/jobs", Value::Null).await.status, 200);
    assert_eq!(by(&talk, &operator, "GET", "/v1/audit", Value::Null).await.status, 403);
    let mut number = 0;
    // A page that asks first has done nothing; the second one deletes.
    let path = format!("/jobs/{id}/delete");
    for body in ["", "confirmed=1"] {
        assert!(asked(&talk, "POST", &path, body, Some(&operator), &mut number).await.0 < 400);
    }
    assert_eq!(by(&talk, ROOT, "DELETE", "/v1/keys/ops", Value::Null).await.status, 204);

    let page = by(&talk, ROOT, "GET", "/v1/audit?limit=2", Value::Null).await;
    let rest =
        by(&talk, ROOT, "GET", &format!("/v1/audit?before={}", page.text_at("/next")), Value::Null).await;
    let told: Vec<(String, String, String, u64)> = [page, rest]
        .iter()
        .flat_map(|page| page.at("/items").as_array().expect("a list").clone())
        .map(|record| {
            let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
            let done = record["done"]
                .as_array()
                .map(|done| done.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; "));
            (
                text("who"),
                text("action"),
                done.unwrap_or_default(),
                record["status"].as_u64().unwrap_or_default(),
            )
        })
        .collect();
    let expected = [
        ("root", "DELETE /v1/keys/{key}", "revoke key ops", 204),
        ("key:ops", "POST /jobs/{id}/{act}", "delete 1 job", 303),
        ("key:ops", "PUT /v1/queues/{queue}/settings", "", 400),
        ("key:ops", "POST /v1/jobs/cancel", "cancel 2 jobs, 1 refused", 200),
        ("key:ops", "POST /v1/jobs/{id}/run-now", "run now 1 job", 204),
        ("root", "POST /v1/keys", "make key ops: read, operate on all queues", 201),
    ];
    let expected: Vec<_> = expected
        .map(|(who, action, done, status)| (who.to_owned(), action.to_owned(), done.to_owned(), status))
        .into();
    assert_eq!(told, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tokens_are_slowed_down_and_who_was_in_before_is_not() {
    let talk = guarded().await;
    let neighbour = key(&talk, "neighbour", &["read"], &[]).await;
    let new = key(&talk, "new", &["read"], &[]).await;
    let from = |token: &str| {
        talk.ask("GET", "/v1/queues")
            .header("x-forwarded-for", "203.0.113.9")
            .header("authorization", format!("Bearer {token}"))
    };
    assert_eq!(talk.send(from(&neighbour)).await.status, 200);
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(talk.send(from("a wrong one")).await.status);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 401, 429, 429]);
    let told = talk.send(from("a wrong one")).await;
    assert!(
        told.headers.contains_key("retry-after") && told.text_at("/code") == "too_many_tries",
        "{}",
        told.text
    );
    assert_eq!(
        talk.send(from(&new)).await.status,
        429,
        "a right token that was never seen there is no better"
    );
    assert_eq!(talk.send(from(&neighbour)).await.status, 200, "who was in before goes on");
    let login = talk
        .ask("POST", "/login")
        .header("x-forwarded-for", "203.0.113.9")
        .header("accept", "text/html")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("token={ROOT}"));
    let page = talk.send(login).await;
    assert!(page.status == 429 && page.headers.contains_key("retry-after"), "{}", page.text);
    let elsewhere = talk.ask("GET", "/v1/queues").header("x-forwarded-for", "203.0.113.10");
    assert_eq!(talk.send(elsewhere.header("authorization", format!("Bearer {new}"))).await.status, 200);
}
