//! Push: jobs of a queue sent to a real receiver, and what its answers mean to them.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::Notify;
use windlass_server::{Options, Push};
use windlass_webhook::{Guard, Resolve, Resolving, Secret, verify};

use crate::talk::{Reply, Talk};

/// Something that must happen, and does not.
const NEVER: Duration = Duration::from_secs(60);

/// One request as it came.
#[derive(Clone, Debug)]
struct Came {
    headers: HeaderMap,
    body: Bytes,
}

impl Came {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("visible"))
    }

    /// Whether it was signed by that secret, a moment ago.
    fn is_signed_by(&self, secret: &str) -> bool {
        let secret = Secret::parse(secret).expect("a secret");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let [id, at, signature] =
            ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| self.header(name));
        verify(&[secret], id, at, signature, &self.body, now).is_ok()
    }
}

/// What a receiver answers.
type Told = (u16, &'static [(&'static str, &'static str)], &'static str);

#[derive(Default)]
struct Inner {
    came: Mutex<Vec<Came>>,
    answers: Mutex<VecDeque<Told>>,
    /// Whether answers wait until they are let go.
    held: Mutex<bool>,
    go: Notify,
}

/// A real receiver on a free port: it gives the answers that it was told, in their order, and 200 after them.
struct Receiver {
    address: SocketAddr,
    inner: Arc<Inner>,
    server: tokio::task::JoinHandle<()>,
}

impl Receiver {
    async fn answering(answers: &[Told]) -> Self {
        Self::at("127.0.0.1:0".parse().expect("an address"), answers).await
    }

    async fn at(address: SocketAddr, answers: &[Told]) -> Self {
        let inner =
            Arc::new(Inner { answers: Mutex::new(answers.iter().copied().collect()), ..Inner::default() });
        let kept = inner.clone();
        let handle = move |headers: HeaderMap, body: Bytes| answer(kept.clone(), headers, body);
        let listener = tokio::net::TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().fallback(handle);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { address, inner, server }
    }

    fn url(&self) -> String {
        format!("http://{}/in", self.address)
    }

    fn came(&self) -> Vec<Came> {
        self.inner.came.lock().expect("no panic").clone()
    }

    async fn until_came(&self, n: usize) -> Vec<Came> {
        until("requests come", async || Some(self.came()).filter(|came| came.len() >= n)).await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(inner: Arc<Inner>, headers: HeaderMap, body: Bytes) -> Response {
    let go = inner.go.notified();
    inner.came.lock().expect("no panic").push(Came { headers, body });
    let held = *inner.held.lock().expect("no panic");
    if held {
        go.await;
    }
    let told = inner.answers.lock().expect("no panic").pop_front().unwrap_or((200, &[], r#"{"ok":true}"#));
    let mut response = (StatusCode::from_u16(told.0).expect("a status"), told.2).into_response();
    for (name, value) in told.1 {
        response.headers_mut().insert(*name, value.parse().expect("a value"));
    }
    response
}

async fn until<T>(what: &str, mut is: impl AsyncFnMut() -> Option<T>) -> T {
    let seen = async {
        loop {
            if let Some(seen) = is().await {
                return seen;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(NEVER, seen).await.unwrap_or_else(|_| panic!("{what}: it does not come"))
}

/// A server that may send to this machine.
async fn begin() -> Talk {
    with(Guard::new(["127.0.0.1".parse().expect("something to allow")])).await
}

async fn with(guard: Guard) -> Talk {
    Talk::with(Options { push: Push::new(guard), ..Options::default() }).await
}

async fn set(talk: &Talk, request: Value) -> Reply {
    talk.send(talk.ask("PUT", "/v1/queues/q/target").body(request.to_string())).await
}

async fn enqueue(talk: &Talk, query: &str, payload: &'static str) -> String {
    talk.post(&format!("/v1/queues/q/jobs{query}"), payload).await.text_at("/id")
}

/// The job once it is so.
async fn job(talk: &Talk, id: &str, is: impl Fn(&Value) -> bool) -> Value {
    let path = format!("/v1/jobs/{id}");
    let mut last = Value::Null;
    let seen = async {
        loop {
            last = talk.get(&path).await.json();
            if is(&last) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let came = tokio::time::timeout(NEVER, seen).await;
    assert!(came.is_ok(), "it stays at {last}");
    last
}

#[tokio::test]
async fn a_job_is_sent_signed_and_completed_with_the_answer() {
    let (talk, receiver) = (begin().await, Receiver::answering(&[]).await);
    let made = set(&talk, json!({"url": receiver.url(), "headers": {"authorization": "Bearer abc"}})).await;
    let secret = made.text_at("/secret");
    let id = enqueue(&talk, "?kind=hello&group=west", r#"{"n": 1}"#).await;
    let done = job(&talk, &id, |job| job["state"] == "completed").await;
    assert_eq!((&done["result"], &done["attempt"]), (&json!({"ok": true}), &json!(1)), "{done}");
    let came = &receiver.came()[0];
    assert!(came.is_signed_by(&secret));
    assert_eq!(&came.body[..], br#"{"n": 1}"#, "byte by byte");
    for (name, value) in [
        ("content-type", "application/json"),
        ("authorization", "Bearer abc"),
        ("webhook-id", id.as_str()),
        ("windlass-job-id", &id),
        ("windlass-queue", "q"),
        ("windlass-kind", "hello"),
        ("windlass-attempt", "1"),
        ("windlass-group", "west"),
    ] {
        assert_eq!(came.header(name), value, "{name}");
    }
    assert!(came.header("windlass-deadline").starts_with("20"), "{came:?}");
    let log = talk.get(&format!("/v1/jobs/{id}/attempts/1/log")).await.text;
    assert!(log.contains("answered 200"), "{log}");
    // It is seen among the workers.
    let workers = talk.get("/v1/workers").await;
    assert_eq!(workers.at("/items/0/host"), json!("push:127.0.0.1"));
    assert_eq!(workers.at("/items/0/queues/0"), json!({"queue": "q", "slots": 10}));
    let health = talk.get("/v1/queues/q/target").await.at("/health");
    assert_eq!((&health["requests"], &health["last_status"]), (&json!(1), &json!(200)), "{health}");
}

#[tokio::test]
async fn what_an_answer_means_to_the_job_is_the_documented_table() {
    let (talk, receiver) = (begin().await, Receiver::answering(&[]).await);
    set(&talk, json!({"url": receiver.url(), "concurrency": 1})).await;
    let told = |answers: &[Told]| receiver.inner.answers.lock().expect("no panic").extend(answers);

    told(&[(500, &[], "no database"), (204, &[], "")]);
    let id = enqueue(&talk, "?retry=fixed(1ms,max=3)", "{}").await;
    let done = job(&talk, &id, |job| job["state"] == "completed").await;
    assert_eq!((&done["failures"], &done["attempt"], &done["result"]), (&json!(1), &json!(2), &Value::Null));
    let error = &done["attempts"][0]["error"];
    assert_eq!(error["message"], "500 Internal Server Error: no database", "{done}");
    assert_eq!(error["class"], "http 500");
    let ids: Vec<_> = receiver.came().iter().map(|came| came.header("webhook-id").to_owned()).collect();
    assert_eq!(ids, [id.as_str(), id.as_str()], "the same in every attempt");

    told(&[(400, &[("windlass-retry", "no")], "never")]);
    let id = enqueue(&talk, "?retry=fixed(1ms,max=3)", "{}").await;
    let dead = job(&talk, &id, |job| job["state"] == "dead").await;
    assert_eq!(dead["attempt"], json!(1), "{dead}");

    told(&[(404, &[], ""), (302, &[("location", "http://169.254.169.254/")], "")]);
    let id = enqueue(&talk, "?retry=fixed(1ms,max=2)", "{}").await;
    let dead = job(&talk, &id, |job| job["state"] == "dead").await;
    assert_eq!((&dead["failures"], &dead["attempts"][1]["error"]["class"]), (&json!(2), &json!("http 302")));

    told(&[(422, &[("retry-after", "3600")], "")]);
    let id = enqueue(&talk, "?retry=fixed(1ms,max=3)", "{}").await;
    let later = job(&talk, &id, |job| job["state"] == "retrying").await;
    assert_eq!(talk.get(&format!("/v1/jobs/{id}/why")).await.text_at("/reason"), "retry_backoff", "{later}");

    for status in [429, 503] {
        let before = receiver.came().len();
        told(&[(status, &[("retry-after", "1")], "slowly")]);
        let ids = [enqueue(&talk, "", "{}").await, enqueue(&talk, "", "{}").await];
        receiver.until_came(before + 1).await;
        for id in ids {
            let done = job(&talk, &id, |job| job["state"] == "completed").await;
            assert_eq!(done["failures"], json!(0), "{done}");
        }
        assert_eq!(receiver.came().len(), before + 3);
    }

    told(&[(410, &[], "gone")]);
    let (id, path) = (enqueue(&talk, "", "{}").await, "/v1/queues/q");
    until("the queue is paused", async || {
        (talk.get(path).await.at("/settings/paused") == true).then_some(())
    })
    .await;
    let waits = job(&talk, &id, |job| job["state"] != "running").await;
    assert_eq!((&waits["failures"], &waits["losses"]), (&json!(0), &json!(0)), "{waits}");
    talk.post("/v1/queues/q/resume", "").await;
    job(&talk, &id, |job| job["state"] == "completed").await;
}

#[tokio::test]
async fn the_queue_waits_as_long_as_its_target_asks_for() {
    let answers: [Told; 1] = [(429, &[("retry-after", "3600")], "")];
    let (talk, receiver) = (begin().await, Receiver::answering(&answers).await);
    set(&talk, json!({"url": receiver.url(), "concurrency": 1})).await;
    let first = enqueue(&talk, "", "{}").await;
    job(&talk, &first, |job| job["state"] == "scheduled").await;
    let second = enqueue(&talk, "", "{}").await;
    let why = talk.get(&format!("/v1/jobs/{second}/why")).await;
    assert_eq!(why.text_at("/reason"), "rate_limited", "{}", why.text);
    assert_eq!(receiver.came().len(), 1);
}

#[tokio::test]
async fn while_a_target_is_down_jobs_wait_without_spending_tries_and_go_on_once_it_is_back() {
    let talk = begin().await;
    let down = Receiver::answering(&[]).await;
    let address = down.address;
    set(&talk, json!({"url": down.url(), "concurrency": 2})).await;
    drop(down);
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(enqueue(&talk, "?retry=fixed(1ms,max=10)", "{}").await);
    }
    let open = until("the circuit opens", async || {
        let health = talk.get("/v1/queues/q/target").await.at("/health");
        (health["circuit"] == "open").then_some(health)
    })
    .await;
    assert!(open["last_error"].as_str().is_some_and(|error| error.contains("cannot connect")), "{open}");
    assert!(open["open_until"].is_string(), "{open}");
    let why = talk.get(&format!("/v1/jobs/{}/why", ids[19])).await;
    assert_eq!(why.text_at("/reason"), "rate_limited", "{}", why.text);
    let back = Receiver::at(address, &[]).await;
    let mut failures = 0;
    for id in ids {
        let done = job(&talk, &id, |job| job["state"] == "completed").await;
        failures += done["failures"].as_u64().expect("a count");
    }
    assert!((1..=6).contains(&failures), "{failures} tries were spent");
    assert_eq!(back.came().len(), 20);
    assert_eq!(talk.get("/v1/queues/q/target").await.at("/health/circuit"), "closed");
}

/// A resolver that gives one address after the other, and the last one from then on.
#[derive(Clone)]
struct Liar(Arc<Mutex<Vec<&'static str>>>);

impl Resolve for Liar {
    fn resolve(&self, _: String) -> Resolving {
        let mut all = self.0.lock().expect("no panic");
        let ip: IpAddr = if all.len() > 1 { all.remove(0) } else { all[0] }.parse().expect("an address");
        Box::pin(async move { Ok(vec![ip]) })
    }
}

#[tokio::test]
async fn nothing_is_sent_to_what_the_operator_has_not_opened() {
    let receiver = Receiver::answering(&[]).await;
    let talk = with(Guard::default()).await;
    for url in [
        receiver.url(),
        "https://169.254.169.254/".into(),
        "https://[::1]/".into(),
        "https://2130706433/".into(),
    ] {
        let told = set(&talk, json!({"url": url})).await;
        assert_eq!((told.status, told.text_at("/code")), (422, "target_forbidden".into()), "{url}");
        assert_eq!(told.headers["content-type"], "application/problem+json");
        assert!(told.text_at("/hint").contains("--allow-target"), "{}", told.text);
    }
    assert_eq!(talk.get("/v1/queues/q/target").await.status, 404);
    // Public when it is set, this machine when a job is sent.
    let liar = Liar(Arc::new(Mutex::new(vec!["8.8.8.8", "127.0.0.1"])));
    let talk = with(Guard::default().resolving_by(liar)).await;
    assert_eq!(set(&talk, json!({"url": "https://hook.example/"})).await.status, 200);
    let id = enqueue(&talk, "?retry=never", "{}").await;
    let dead = job(&talk, &id, |job| job["state"] == "dead").await;
    let error = &dead["attempts"][0]["error"];
    assert_eq!(error["class"], "target forbidden", "{dead}");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("127.0.0.1, which is this machine")));
    assert!(receiver.came().is_empty());
}

#[tokio::test]
async fn settings_take_hold_while_it_runs_and_secrets_are_shown_once() {
    let (talk, first, second) =
        (begin().await, Receiver::answering(&[]).await, Receiver::answering(&[]).await);
    let made =
        set(&talk, json!({"url": format!("{}?token=s3cret", first.url()), "headers": {"x-key": "s3cret"}}))
            .await;
    let secret = made.text_at("/secret");
    let shown = talk.get("/v1/queues/q/target").await;
    assert!(!shown.text.contains("s3cret") && !shown.text.contains(&secret), "{}", shown.text);
    assert_eq!(shown.at("/headers"), json!(["x-key"]));
    let id = enqueue(&talk, "", "{}").await;
    job(&talk, &id, |job| job["state"] == "completed").await;
    // Another address; the secret stays, and is not told again.
    let moved = set(&talk, json!({"url": second.url(), "concurrency": 3, "timeout": "2s"})).await;
    assert_eq!((moved.at("/concurrency"), moved.at("/timeout_ms")), (json!(3), json!(2_000)));
    assert!(!moved.text.contains("whsec_"), "{}", moved.text);
    let slots = async || {
        let workers = talk.get("/v1/workers").await;
        (workers.json().pointer("/items/0/queues/0/slots") == Some(&json!(3))).then_some(())
    };
    until("the concurrency changes", slots).await;
    let id = enqueue(&talk, "", "{}").await;
    job(&talk, &id, |job| job["state"] == "completed").await;
    assert!(second.came()[0].is_signed_by(&secret));
    // Two secrets, until the old one is given up.
    let turned = talk.post("/v1/queues/q/target/rotate", r#"{"keep":"1h"}"#).await;
    let new = turned.text_at("/secret");
    assert_eq!(turned.at("/secrets"), json!(2));
    until("the new secret signs", async || {
        let id = enqueue(&talk, "", "{}").await;
        job(&talk, &id, |job| job["state"] == "completed").await;
        second.came().last().is_some_and(|came| came.is_signed_by(&new)).then_some(())
    })
    .await;
    assert!(second.came().last().is_some_and(|came| came.is_signed_by(&secret)), "the old one too");
    let turned = talk.post("/v1/queues/q/target/rotate", r#"{"keep":"0s"}"#).await;
    assert_eq!(turned.at("/secrets"), json!(1));
    // Taken away, nothing more is sent.
    assert_eq!(talk.send(talk.ask("DELETE", "/v1/queues/q/target")).await.status, 204);
    let gone = async || {
        talk.get("/v1/workers").await.at("/items").as_array().is_some_and(Vec::is_empty).then_some(())
    };
    until("its worker leaves", gone).await;
    let sent = second.came().len();
    let id = enqueue(&talk, "", "{}").await;
    assert_eq!(talk.get(&format!("/v1/jobs/{id}")).await.text_at("/state"), "ready");
    assert_eq!((first.came().len(), second.came().len()), (1, sent));
}

#[tokio::test]
async fn requests_that_are_under_way_when_the_server_ends_are_finished() {
    let (talk, receiver) = (begin().await, Receiver::answering(&[]).await);
    *receiver.inner.held.lock().expect("no panic") = true;
    set(&talk, json!({"url": receiver.url()})).await;
    let id = enqueue(&talk, "", "{}").await;
    receiver.until_came(1).await;
    let (store, address) = (talk.store.clone(), talk.address());
    // Ending waits for the server's thread; the receiver lives on this one.
    let ending = tokio::task::spawn_blocking(move || talk.end());
    until("nobody listens any more", async || tokio::net::TcpStream::connect(address).await.err()).await;
    *receiver.inner.held.lock().expect("no panic") = false;
    receiver.inner.go.notify_waiters();
    tokio::time::timeout(NEVER, ending).await.expect("the server ends").expect("without panic");
    let job = store.get(id.parse().expect("an id")).await.expect("the store").expect("the job");
    assert_eq!(job.view.state, windlass_core::State::Completed, "it waited for the answer");
    assert_eq!(receiver.came().len(), 1);
}

#[tokio::test]
async fn a_request_that_is_cut_off_by_a_cancellation_ends_the_job() {
    let (talk, receiver) = (begin().await, Receiver::answering(&[]).await);
    *receiver.inner.held.lock().expect("no panic") = true;
    talk.post("/v1/queues/q/pause", "").await;
    let leases = talk.ask("PATCH", "/v1/queues/q/settings").body(r#"{"lease_ms":1000}"#);
    talk.send(leases).await;
    talk.post("/v1/queues/q/resume", "").await;
    set(&talk, json!({"url": receiver.url()})).await;
    let id = enqueue(&talk, "", "{}").await;
    receiver.until_came(1).await;
    talk.post(&format!("/v1/jobs/{id}/cancel"), "").await;
    job(&talk, &id, |job| job["state"] == "cancelled").await;
    assert_eq!(receiver.came().len(), 1);
}

#[tokio::test]
async fn a_target_that_makes_no_sense_is_refused_with_the_reason() {
    let talk = begin().await;
    for (request, word) in [
        (json!({}), "url"),
        (json!({"url": "hook.example"}), "no URL"),
        (json!({"url": "ftp://hook.example"}), "another protocol"),
        (json!({"url": "https://user:pw@hook.example"}), "header"),
        (json!({"url": "https://127.0.0.1/", "concurrency": 0}), "pause the queue"),
        (json!({"url": "https://127.0.0.1/", "concurrency": 1_000_000}), "1000"),
        (json!({"url": "https://127.0.0.1/", "timeout": "soon"}), "span"),
        (json!({"url": "https://127.0.0.1/", "timeout": "2h"}), "1h"),
        (json!({"url": "https://127.0.0.1/", "secrets": ["password"]}), "whsec_"),
        (json!({"url": "https://127.0.0.1/", "secrets": ["a", "b", "c"]}), "at most 2"),
        (json!({"url": "https://127.0.0.1/", "headers": {"webhook-id": "x"}}), "set by whoever sends"),
        (json!({"url": "https://127.0.0.1/", "headers": {"a b": "x"}}), "no header's name"),
        (json!({"url": "https://127.0.0.1/", "retries": 7}), "unknown field"),
    ] {
        let told = set(&talk, request.clone()).await;
        assert_eq!(told.status, 400, "{request}: {}", told.text);
        assert!(told.text_at("/detail").contains(word), "{request}: {}", told.text);
    }
    assert_eq!(talk.get("/v1/targets").await.at("/items"), json!([]));
    assert_eq!(talk.post("/v1/queues/q/target/rotate", "").await.status, 404);
    assert_eq!(talk.send(talk.ask("DELETE", "/v1/queues/q/target")).await.status, 404);
}
