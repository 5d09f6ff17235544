//! Every route, asked by everybody: no key, a wrong one, one of each scope, and one of another queue. A route without a
//! row here fails, and so does a row without a route.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use windlass_core::JobId;
use windlass_server::{Access, Options, Scope, Secret, table};

use crate::talk::Talk;

pub(crate) const ROOT: &str = "0123456789abcdef0123456789abcdef";

/// How a key that is limited to other queues is answered.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Beyond {
    /// As everybody: nothing of a queue is in it.
    Same,
    /// 403: a queue is named, or what is asked for belongs to the whole store.
    Refused,
    /// 303: back to the page that the form stood on, which says why nothing was done.
    Told,
    /// Exactly as one who asks for what does not exist.
    Unknown,
    /// 200, and nothing of the queue is in the answer.
    Hides,
    /// A batch: each item as one that does not exist.
    EachUnknown,
    /// No key with that scope can be limited.
    Never,
}
use Beyond::*;

/// Method and path, scope, how a key of other queues is answered, and what is sent (`ID` a job of the queue `secret-1`,
/// `LEASE` a lease of it that holds).
type Row = (&'static str, Scope, Beyond, &'static str);

const ROWS: &[Row] = &[
    ("GET /", Scope::Open, Hides, ""),
    ("GET /queues", Scope::Read, Hides, ""),
    ("GET /queues/{queue}", Scope::Read, Refused, ""),
    ("POST /queues/{queue}/pause", Scope::Operate, Refused, ""),
    ("POST /queues/{queue}/resume", Scope::Operate, Refused, ""),
    ("POST /queues/{queue}/settings", Scope::Operate, Refused, ""),
    ("POST /queues/{queue}/target", Scope::Admin, Never, ""),
    ("POST /queues/{queue}/target/rotate", Scope::Admin, Never, ""),
    ("POST /queues/{queue}/target/remove", Scope::Admin, Never, ""),
    ("POST /queues/{queue}/groups", Scope::Operate, Refused, "group=~g"),
    ("POST /queues/{queue}/groups/reset", Scope::Operate, Told, "group=~g"),
    ("GET /jobs", Scope::Read, Hides, ""),
    ("POST /jobs/bulk", Scope::Operate, Same, "action=retry&id=ID"),
    ("GET /jobs/{id}", Scope::Read, Unknown, ""),
    ("GET /jobs/{id}/attempts/{attempt}/log", Scope::Payloads, Unknown, ""),
    ("GET /jobs/{id}/edit", Scope::Operate, Unknown, ""),
    ("POST /jobs/{id}/edit", Scope::Operate, Unknown, "payload=1"),
    ("POST /jobs/{id}/{act}", Scope::Operate, Same, "confirmed=1"),
    ("GET /errors", Scope::Read, Hides, ""),
    ("POST /errors/{fingerprint}/{word}", Scope::Operate, Refused, ""),
    ("GET /bulk", Scope::Read, Hides, ""),
    ("GET /bulk/new", Scope::Read, Same, ""),
    ("POST /bulk", Scope::Operate, Same, "action=retry&filter=queue%3Asecret-1&typed=1"),
    ("GET /bulk/{id}", Scope::Read, Unknown, ""),
    ("POST /bulk/{id}/{stage}", Scope::Operate, Unknown, ""),
    ("GET /charts", Scope::Read, Hides, ""),
    ("GET /schedules", Scope::Read, Hides, ""),
    ("GET /new-schedule", Scope::Read, Same, ""),
    (
        "POST /schedules",
        Scope::Operate,
        Same,
        "name=its-tick&queue=secret-1&kind=k&timing=1h&payload=1&is_there=1",
    ),
    ("GET /schedules/{schedule}", Scope::Read, Unknown, ""),
    ("POST /schedules/{schedule}/run", Scope::Operate, Unknown, "confirmed=1"),
    ("POST /schedules/{schedule}/pause", Scope::Operate, Unknown, ""),
    ("POST /schedules/{schedule}/resume", Scope::Operate, Unknown, ""),
    ("POST /schedules/{schedule}/delete", Scope::Operate, Unknown, ""),
    ("GET /limits", Scope::Read, Refused, ""),
    ("POST /limits", Scope::Operate, Refused, "name=l&concurrency=1"),
    ("POST /limits/{limit}/remove", Scope::Operate, Same, ""),
    ("GET /workers", Scope::Read, Hides, ""),
    ("GET /keys", Scope::Admin, Never, ""),
    ("POST /keys", Scope::Admin, Never, ""),
    ("POST /keys/{key}/revoke", Scope::Admin, Never, ""),
    ("GET /audit", Scope::Admin, Never, ""),
    ("GET /monitor", Scope::Read, Refused, ""),
    ("POST /monitor/rules", Scope::Operate, Same, "name=r&when=dead&above=1"),
    ("POST /monitor/rules/{rule}/remove", Scope::Operate, Same, "confirmed=1"),
    ("POST /monitor/channels", Scope::Admin, Never, ""),
    ("POST /monitor/channels/{channel}/test", Scope::Operate, Same, ""),
    ("POST /monitor/channels/{channel}/remove", Scope::Admin, Never, ""),
    ("POST /monitor/incidents/{incident}/acknowledge", Scope::Operate, Same, ""),
    ("POST /monitor/incidents/{incident}/silence", Scope::Operate, Same, ""),
    ("GET /live", Scope::Read, Same, ""),
    ("GET /login", Scope::Open, Same, ""),
    ("POST /login", Scope::Open, Same, "token=x"),
    ("POST /logout", Scope::Open, Same, ""),
    ("GET /assets/{file}", Scope::Open, Same, ""),
    ("GET /healthz", Scope::Open, Same, ""),
    ("GET /readyz", Scope::Open, Same, ""),
    ("GET /problems/{code}", Scope::Open, Same, ""),
    ("GET /openapi.json", Scope::Open, Same, ""),
    ("GET /metrics", Scope::Read, Hides, ""),
    ("POST /v1/jobs", Scope::Produce, Refused, r#"{"queue":"secret-1"}"#),
    ("POST /v1/jobs/batch", Scope::Produce, EachUnknown, r#"{"jobs":[{"queue":"secret-1"}]}"#),
    ("POST /v1/flows", Scope::Produce, Refused, r#"{"jobs":{"a":{"queue":"secret-1"}}}"#),
    ("POST /v1/queues/{queue}/jobs", Scope::Produce, Refused, "{}"),
    ("POST /v1/claim", Scope::Work, Refused, r#"{"queues":["secret-1"]}"#),
    (
        "POST /v1/settle",
        Scope::Work,
        EachUnknown,
        r#"{"settle":[{"op":"complete","id":"ID","lease":"LEASE"}]}"#,
    ),
    ("POST /v1/heartbeat", Scope::Work, EachUnknown, r#"{"leases":[{"id":"ID","lease":"LEASE"}]}"#),
    ("POST /v1/report", Scope::Work, EachUnknown, r#"{"reports":[{"id":"ID","lease":"LEASE","log":"x"}]}"#),
    (
        "POST /v1/watch",
        Scope::Work,
        Refused,
        r#"{"worker":"w-0000000000000009","queues":[{"queue":"secret-1","slots":1}]}"#,
    ),
    ("POST /v1/jobs/{id}/complete", Scope::Work, Unknown, r#"{"lease":"LEASE"}"#),
    ("POST /v1/jobs/{id}/fail", Scope::Work, Unknown, r#"{"lease":"LEASE","error":"x"}"#),
    ("POST /v1/jobs/{id}/snooze", Scope::Work, Unknown, r#"{"lease":"LEASE","delay":"1s"}"#),
    ("POST /v1/jobs/{id}/release", Scope::Work, Unknown, r#"{"lease":"LEASE"}"#),
    ("POST /v1/jobs/{id}/heartbeat", Scope::Work, Unknown, r#"{"lease":"LEASE"}"#),
    ("POST /v1/jobs/{id}/report", Scope::Work, Unknown, r#"{"lease":"LEASE","log":"x"}"#),
    (
        "POST /v1/workers",
        Scope::Work,
        Refused,
        r#"{"worker":"w-0000000000000009","host":"h","version":"1","queues":[{"queue":"secret-1","slots":1}]}"#,
    ),
    ("DELETE /v1/workers/{worker}", Scope::Work, Same, ""),
    ("GET /v1/workers", Scope::Read, Hides, ""),
    ("GET /v1/jobs", Scope::Read, Hides, ""),
    ("POST /v1/jobs/search", Scope::Read, Hides, r#"{"filter":{"id":"ID"}}"#),
    ("POST /v1/jobs/bodies", Scope::Payloads, Hides, r#"{"ids":["ID"]}"#),
    ("GET /v1/jobs/{id}", Scope::Read, Unknown, ""),
    ("GET /v1/jobs/{id}/flow", Scope::Read, Unknown, ""),
    ("GET /v1/jobs/{id}/why", Scope::Read, Unknown, ""),
    ("GET /v1/jobs/{id}/attempts/{attempt}/log", Scope::Payloads, Unknown, ""),
    ("PATCH /v1/jobs/{id}", Scope::Operate, Unknown, r#"{"priority":3}"#),
    ("DELETE /v1/jobs/{id}", Scope::Operate, Unknown, ""),
    ("POST /v1/jobs/{id}/cancel", Scope::Operate, Unknown, ""),
    ("POST /v1/jobs/{id}/retry", Scope::Operate, Unknown, ""),
    ("POST /v1/jobs/{id}/run-now", Scope::Operate, Unknown, ""),
    ("POST /v1/jobs/cancel", Scope::Operate, EachUnknown, r#"{"ids":["ID"]}"#),
    ("POST /v1/jobs/retry", Scope::Operate, EachUnknown, r#"{"ids":["ID"]}"#),
    ("POST /v1/jobs/run-now", Scope::Operate, EachUnknown, r#"{"ids":["ID"]}"#),
    ("POST /v1/jobs/delete", Scope::Operate, EachUnknown, r#"{"ids":["ID"]}"#),
    ("POST /v1/jobs/edit", Scope::Operate, EachUnknown, r#"{"edits":[{"id":"ID","priority":3}]}"#),
    ("GET /v1/bulk", Scope::Read, Hides, ""),
    ("POST /v1/bulk", Scope::Operate, Refused, r#"{"action":"retry","filter":"queue:secret-1"}"#),
    ("GET /v1/bulk/{id}", Scope::Read, Unknown, ""),
    ("POST /v1/bulk/{id}/pause", Scope::Operate, Unknown, ""),
    ("POST /v1/bulk/{id}/resume", Scope::Operate, Unknown, ""),
    ("POST /v1/bulk/{id}/abort", Scope::Operate, Unknown, ""),
    ("GET /v1/queues", Scope::Read, Hides, ""),
    ("GET /v1/queues/{queue}", Scope::Read, Refused, ""),
    ("GET /v1/queues/{queue}/scale", Scope::Read, Refused, ""),
    ("GET /v1/queues/{queue}/series", Scope::Read, Refused, ""),
    ("PUT /v1/queues/{queue}/settings", Scope::Operate, Refused, "{}"),
    ("PATCH /v1/queues/{queue}/settings", Scope::Operate, Refused, "{}"),
    ("POST /v1/queues/{queue}/pause", Scope::Operate, Refused, ""),
    ("POST /v1/queues/{queue}/resume", Scope::Operate, Refused, ""),
    ("GET /v1/queues/{queue}/groups", Scope::Read, Refused, ""),
    ("PUT /v1/queues/{queue}/groups/{group}/settings", Scope::Operate, Refused, "{}"),
    ("DELETE /v1/queues/{queue}/groups/{group}/settings", Scope::Operate, Refused, ""),
    ("PUT /v1/queues/{queue}/ungrouped/settings", Scope::Operate, Refused, "{}"),
    ("DELETE /v1/queues/{queue}/ungrouped/settings", Scope::Operate, Refused, ""),
    ("GET /v1/targets", Scope::Read, Hides, ""),
    ("GET /v1/queues/{queue}/target", Scope::Read, Refused, ""),
    ("PUT /v1/queues/{queue}/target", Scope::Admin, Never, ""),
    ("DELETE /v1/queues/{queue}/target", Scope::Admin, Never, ""),
    ("POST /v1/queues/{queue}/target/rotate", Scope::Admin, Never, ""),
    ("GET /v1/limits", Scope::Read, Refused, ""),
    ("PUT /v1/limits/{limit}", Scope::Operate, Refused, "{}"),
    ("DELETE /v1/limits/{limit}", Scope::Operate, Refused, ""),
    ("GET /v1/schedules", Scope::Read, Hides, ""),
    ("GET /v1/schedules/{schedule}", Scope::Read, Unknown, ""),
    (
        "PUT /v1/schedules/{schedule}",
        Scope::Operate,
        Refused,
        r#"{"timing":{"cron":{"expression":"0 3 * * *","time_zone":"UTC"}},"queue":"secret-1","kind":"k","payload":1}"#,
    ),
    ("DELETE /v1/schedules/{schedule}", Scope::Operate, Unknown, ""),
    ("GET /v1/events", Scope::Read, Hides, ""),
    ("GET /v1/readers", Scope::Read, Refused, ""),
    ("PUT /v1/readers/{reader}", Scope::Admin, Never, ""),
    ("DELETE /v1/readers/{reader}", Scope::Admin, Never, ""),
    ("GET /v1/errors", Scope::Read, Hides, ""),
    ("POST /v1/errors/{fingerprint}/mute", Scope::Operate, Refused, ""),
    ("POST /v1/errors/{fingerprint}/resolve", Scope::Operate, Refused, ""),
    ("POST /v1/errors/{fingerprint}/reopen", Scope::Operate, Refused, ""),
    ("GET /v1/monitor/rules", Scope::Read, Refused, ""),
    ("GET /v1/monitor/rules/{rule}", Scope::Read, Refused, ""),
    ("PUT /v1/monitor/rules/{rule}", Scope::Operate, Refused, r#"{"when":"dead","above":1}"#),
    ("DELETE /v1/monitor/rules/{rule}", Scope::Operate, Refused, ""),
    ("GET /v1/monitor/channels", Scope::Read, Refused, ""),
    ("GET /v1/monitor/channels/{channel}", Scope::Read, Refused, ""),
    ("PUT /v1/monitor/channels/{channel}", Scope::Admin, Never, ""),
    ("DELETE /v1/monitor/channels/{channel}", Scope::Admin, Never, ""),
    ("POST /v1/monitor/channels/{channel}/test", Scope::Operate, Refused, ""),
    ("GET /v1/monitor/incidents", Scope::Read, Refused, ""),
    ("POST /v1/monitor/incidents/{incident}/acknowledge", Scope::Operate, Refused, "{}"),
    ("POST /v1/monitor/incidents/{incident}/silence", Scope::Operate, Refused, "{}"),
    ("GET /v1/backup", Scope::Admin, Never, ""),
    ("GET /v1/info", Scope::Read, Hides, ""),
    ("POST /v1/upkeep", Scope::Admin, Never, ""),
    ("GET /v1/keys", Scope::Admin, Never, ""),
    ("POST /v1/keys", Scope::Admin, Never, ""),
    ("DELETE /v1/keys/{key}", Scope::Admin, Never, ""),
    ("GET /v1/audit", Scope::Admin, Never, ""),
    ("GET /v1/meta/{key}", Scope::Admin, Never, ""),
    ("PUT /v1/meta/{key}", Scope::Admin, Never, ""),
];

/// What nobody may find who is limited to other queues.
const CANARIES: [&str; 3] = ["secret-1", "canary-payload", "canary-error"];
const KEYED: [&str; 6] = ["produce", "work", "read", "payloads", "operate", "admin"];

/// Each attempt from an address of its own, so that wrong ones do not close the door to the next.
pub(crate) async fn asked(
    talk: &Talk,
    route: &str,
    path: &str,
    body: &str,
    token: Option<&str>,
    number: &mut u32,
) -> (u16, String) {
    *number += 1;
    let method = route.split(' ').next().expect("a method");
    let address = std::net::Ipv4Addr::from(0x0a00_0000 + *number).to_string();
    let mut request = talk.ask(method, path).header("x-forwarded-for", address);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if !path.starts_with("/v1") && path != "/metrics" {
        request =
            request.header("accept", "text/html").header("content-type", "application/x-www-form-urlencoded");
    }
    let answer = async {
        let response = request.body(body.to_owned()).send().await.expect("the server answers");
        let status = response.status().as_u16();
        // A stream has begun: whoever sees it was let in.
        let streams = response
            .headers()
            .get("content-type")
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        (status, if streams { String::new() } else { response.text().await.expect("a body") })
    };
    // Whoever waits for news was let in.
    tokio::time::timeout(Duration::from_secs(3), answer).await.unwrap_or((200, String::new()))
}

/// A server that wants to know who asks.
pub(crate) async fn guarded() -> Talk {
    let access = Access::Bearer(Secret::new(ROOT));
    Talk::with(Options { access, hosts: None, behind_proxy: true, ..Options::default() }).await
}

/// Makes a key.
pub(crate) async fn key(talk: &Talk, name: &str, scopes: &[&str], queues: &[&str]) -> String {
    let request = json!({ "name": name, "scopes": scopes, "queues": queues });
    let made = talk
        .send(
            talk.ask("POST", "/v1/keys")
                .header("authorization", format!("Bearer {ROOT}"))
                .body(request.to_string()),
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.text_at("/secret")
}

fn filled(path: &str, id: &str) -> String {
    path.replace("{id}", id)
        .replace("{group}", "~g")
        .replace("{reader}", "~r")
        .replace("/v1/keys/{key}", "/v1/keys/k")
        .replace("/keys/{key}", "/keys/k")
        .replace("{key}", "~k")
        .replace("{worker}", "w-0000000000000001")
        .replace("{attempt}", "1")
        .replace("{act}", "retry")
        .replace("{code}", "stale")
        .replace("{fingerprint}", "0000000000000001")
        .replace("{rule}", "r")
        .replace("{channel}", "log")
        .replace("{incident}", "i")
        .replace("{word}", "mute")
        .replace("{stage}", "pause")
        .replace("{queue}", "secret-1")
        .replace("{limit}", "l")
        .replace("{schedule}", "its-tick")
        .replace("{file}", "style.css")
}

#[test]
fn every_route_has_a_row_and_every_row_a_route() {
    let routes: BTreeSet<String> =
        table().into_iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    let rows: BTreeSet<String> = ROWS.iter().map(|(route, ..)| (*route).to_owned()).collect();
    assert_eq!(routes.difference(&rows).collect::<Vec<_>>(), Vec::<&String>::new(), "routes without a row");
    assert_eq!(rows.difference(&routes).collect::<Vec<_>>(), Vec::<&String>::new(), "rows without a route");
    for (method, path, scope) in table() {
        let row = ROWS.iter().find(|(route, ..)| *route == format!("{method} {path}")).expect("a row");
        assert_eq!(row.1, scope, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_lets_in_whom_its_scope_lets_in_and_nobody_else() {
    let talk = guarded().await;
    let mut keys = Vec::new();
    for scope in KEYED {
        keys.push((scope, key(&talk, scope, &[scope], &[]).await));
    }
    let nobodys = "01a20349-19a4-7000-a26a-6a7218659a2a";
    let mut number = 0;
    for (route, scope, _, _) in ROWS {
        let path = filled(route.split(' ').nth(1).expect("a path"), nobodys);
        let is_page = !path.starts_with("/v1") && path != "/metrics";
        let wrong = format!("wl_000000000000_{}", "0".repeat(64));
        for shown in [None, Some("wrong"), Some(wrong.as_str())] {
            let (status, text) = asked(&talk, route, &path, "{}", shown, &mut number).await;
            if *route == "GET /" || *scope != Scope::Open {
                assert_eq!(status, if is_page { 303 } else { 401 }, "{route} of {shown:?}: {text}");
                assert!(is_page || text.contains("unauthorized"), "{route}: {text}");
            } else {
                assert!(status != 401, "{route} is open");
            }
        }
        for (own, token) in &keys {
            let (status, text) = asked(&talk, route, &path, "{}", Some(token), &mut number).await;
            let wanted = if *route == "GET /" { Scope::Read } else { *scope };
            let may = wanted == Scope::Open
                || wanted.as_str() == *own
                || *own == "admin"
                || (*own == "payloads" && wanted == Scope::Read);
            assert_ne!(status, 401, "{route} of {own}: {text}");
            // Only whoever gets in can be told that the request makes no sense.
            assert_eq!(status != 403 || *route == "POST /login", may, "{route} of {own}: {status} {text}");
            if !may {
                assert!(text.contains(wanted.as_str()), "{route} says what is missing: {text}");
            }
        }
    }
}

/// A queue `secret-1` with a dead job, a job under a lease, a schedule, a worker, an operation; the lease.
async fn secrets(talk: &Talk) -> (String, String, String) {
    let as_root = |method: &str, path: &str, body: Value| {
        talk.ask(method, path).header("authorization", format!("Bearer {ROOT}")).body(body.to_string())
    };
    for kind in ["one", "two"] {
        let path = format!("/v1/queues/secret-1/jobs?kind={kind}&max_failures=1&group=canary-group");
        assert_eq!(talk.send(as_root("POST", &path, json!("canary-payload"))).await.status, 201);
    }
    let claim = json!({ "queues": ["secret-1"], "max": 2, "worker": "w-0000000000000001" });
    let claimed = talk.send(as_root("POST", "/v1/claim", claim)).await;
    let at = |pointer: &str| claimed.text_at(pointer);
    let fail = json!({ "lease": at("/jobs/0/lease"), "error": "canary-error", "fatal": true });
    let failed = talk.send(as_root("POST", &format!("/v1/jobs/{}/fail", at("/jobs/0/id")), fail)).await;
    assert_eq!(failed.status, 204, "{}", failed.text);
    let hello = json!({ "worker": "w-0000000000000001", "host": "canary-error", "version": "1", "queues": [{"queue": "secret-1", "slots": 1}] });
    assert_eq!(talk.send(as_root("POST", "/v1/workers", hello)).await.status, 204);
    let schedule = json!({ "timing": { "cron": { "expression": "0 3 * * *", "time_zone": "UTC" } }, "queue": "secret-1", "kind": "k", "payload": "canary-payload" });
    let set = talk.send(as_root("PUT", "/v1/schedules/its-tick", schedule)).await;
    assert_eq!(set.status, 204, "{}", set.text);
    let bulk = json!({ "action": "run_now", "filter": "queue:secret-1" });
    assert_eq!(talk.send(as_root("POST", "/v1/bulk", bulk)).await.status, 202);
    (at("/jobs/0/id"), at("/jobs/1/id"), at("/jobs/1/lease"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_other_queues_finds_of_a_queue_what_it_finds_of_none() {
    let talk = guarded().await;
    let (dead, held, lease) = secrets(&talk).await;
    let token = key(&talk, "other", &["produce", "work", "read", "payloads", "operate"], &["other-*"]).await;
    let state = || async {
        let store = talk.store.store();
        let mut told = Vec::new();
        for id in [&dead, &held] {
            let id: JobId = id.parse().expect("an id");
            let mut job = store.get(id).await.expect("the store").expect("a job");
            // It is told by two clocks, and may be a millisecond off; a heartbeat is answered as of no job, or fails.
            job.deadline = None;
            told.push(job);
        }
        (
            told,
            store.schedules().await.expect("the store"),
            store.queues(None, None).await.expect("the store")[0].settings.clone(),
        )
    };
    let before = state().await;
    let nobodys = "01a20349-19a4-7000-a26a-6a7218659a2a";
    let mut number = 0;
    for (route, _, beyond, body) in ROWS {
        let path = route.split(' ').nth(1).expect("a path");
        // Leases are of the job that is held; what ends jobs is tried on the dead one.
        let id = if body.contains("LEASE") { &held } else { &dead };
        let sent = body.replace("ID", id).replace("LEASE", &lease);
        let (status, text) = asked(&talk, route, &filled(path, id), &sent, Some(&token), &mut number).await;
        match beyond {
            Same => assert!(status < 500, "{route}: {status} {text}"),
            Never => {
                assert_eq!(status, 403, "{route}: {text}");
            }
            Refused => {
                assert_eq!(status, 403, "{route}: {text}");
                assert!(text.contains("other-*"), "{route} says what the key may: {text}");
            }
            Told => assert_eq!(status, 303, "{route}: {text}"),
            Hides => {
                assert_eq!(status, 200, "{route}: {text}");
                for canary in CANARIES {
                    assert!(!text.contains(canary), "{route} tells of {canary}: {text}");
                }
            }
            Unknown => {
                let other = if path.contains("{schedule}") {
                    filled(&path.replace("{schedule}", "nosuch"), id)
                } else {
                    filled(path, nobodys)
                };
                let sent = body.replace("ID", nobodys).replace("LEASE", &lease);
                let of_nobody = asked(&talk, route, &other, &sent, Some(&token), &mut number).await;
                let own = text.replace(id.as_str(), nobodys).replace("its-tick", "nosuch");
                assert!(matches!(status, 404 | 409), "{route}: {status} {text}");
                assert_eq!((status, own), of_nobody, "{route}");
            }
            EachUnknown => {
                assert_eq!(status, 200, "{route}: {text}");
                let sent = body.replace("ID", nobodys).replace("LEASE", &lease);
                let of_nobody =
                    asked(&talk, route, &filled(path, nobodys), &sent, Some(&token), &mut number).await;
                assert_eq!((status, text.replace(id.as_str(), nobodys)), of_nobody, "{route}");
                assert!(text.contains("\"error\""), "{route}: {text}");
            }
        }
    }
    assert_eq!(state().await, before, "nothing was changed");
}
