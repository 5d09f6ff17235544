//! An application beside the dashboard: who comes in by which method and path, what is open to the world, and what is
//! written down.

use std::panic::{AssertUnwindSafe, catch_unwind};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::routing::{any, get, post};
use serde_json::Value;
use windlass_server::{Access, Beside, Options, Secret, Visitor};

use crate::matrix::{ROOT, asked, key};
use crate::talk::Talk;

async fn who(visitor: Visitor) -> String {
    let Visitor { name, from, may_see_payloads, may_operate, may_admin, .. } = visitor;
    format!("{name} from {from} payloads {may_see_payloads} operate {may_operate} admin {may_admin}")
}

async fn change(visitor: Visitor) -> &'static str {
    visitor.note("counted the stock");
    "counted"
}

async fn whole(request: Request) -> String {
    match to_bytes(request.into_body(), usize::MAX).await {
        Ok(body) => format!("{} bytes", body.len()),
        Err(error) => format!("cut off: {error}"),
    }
}

/// A program beside, with routes that look, that change, and that only admins use.
fn stock() -> Beside {
    Beside {
        path: "/stock",
        label: "Stock",
        key: "t",
        admin: vec!["/prices"],
        router: Router::new()
            .route("/", any(who))
            .route("/count", post(change).get(who))
            .route("/prices", any(who))
            .route("/prices/{item}", any(who))
            .route("/{shelf}/{item}", any(who))
            .route("/pricesless", any(who)),
        open: Router::new()
            .route("/told", any(|body: Bytes| async move { format!("{} bytes", body.len()) }))
            .route("/whole", post(whole))
            .route("/who", get(who))
            .route("/boom", get(|| async { panic!("as planned") as &'static str })),
        open_bytes: windlass_server::OPEN_BYTES_USUAL,
        of_job: |_, _| None,
    }
}

async fn guarded() -> Talk {
    let access = Access::Bearer(Secret::new(ROOT));
    let beside = vec![stock()];
    let hosts = Some(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]);
    Talk::with(Options { access, hosts, behind_proxy: true, beside, ..Options::default() }).await
}

/// What a request takes.
const ROWS: &[(&str, &str)] = &[
    ("GET /stock", "read"),
    ("HEAD /stock", "read"),
    ("POST /stock", "operate"),
    ("PUT /stock", "operate"),
    ("PATCH /stock", "operate"),
    ("DELETE /stock", "operate"),
    ("GET /stock/count", "read"),
    ("POST /stock/count", "operate"),
    ("GET /stock/pricesless", "read"),
    ("GET /stock/prices", "admin"),
    ("POST /stock/prices", "admin"),
    ("GET /stock/prices/7", "admin"),
    ("DELETE /stock/prices/7", "admin"),
    ("GET /stock/%70rices/7", "admin"),
    ("GET /stock/shelf/7", "read"),
    ("POST /stock/shelf/prices", "operate"),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_application_beside_lets_in_whom_its_methods_and_paths_let_in_and_nobody_else() {
    let talk = guarded().await;
    let mut number = 0;
    let scopes = ["produce", "work", "read", "payloads", "operate", "admin"];
    let mut keys = Vec::new();
    for scope in scopes {
        keys.push((scope, key(&talk, scope, &[scope], &[]).await));
    }
    for (route, takes) in ROWS {
        let path = route.split(' ').nth(1).expect("a path");
        for shown in [None, Some("wrong")] {
            // Whoever wants a page is led to the door.
            assert_eq!(
                asked(&talk, route, path, "", shown, &mut number).await.0,
                303,
                "{route} of {shown:?}"
            );
            let program = talk.ask(route.split(' ').next().expect("a method"), path);
            let told = talk.send(program.header("x-forwarded-for", format!("10.9.0.{number}"))).await;
            assert_eq!(told.status, 401, "{route} of a program: {}", told.text);
        }
        assert_eq!(
            asked(&talk, route, path, "", Some(ROOT), &mut number).await.0,
            200,
            "{route} of the root"
        );
        for (own, token) in &keys {
            let (status, text) = asked(&talk, route, path, "", Some(token), &mut number).await;
            let may = own == takes || *own == "admin" || (*own == "payloads" && *takes == "read");
            assert_eq!(status, if may { 200 } else { 403 }, "{route} of {own}: {text}");
            if !may && !route.starts_with("HEAD") {
                assert!(text.contains(takes), "{route} says what is missing: {text}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_some_queues_has_no_way_into_an_application() {
    let talk = guarded().await;
    let token = key(&talk, "limited", &["read", "payloads", "operate"], &["mail-*"]).await;
    let mut number = 0;
    for (route, takes) in ROWS {
        let path = route.split(' ').nth(1).expect("a path");
        let (status, text) = asked(&talk, route, path, "", Some(&token), &mut number).await;
        assert_eq!(status, 403, "{route}: {text}");
        let missing = if *takes == "admin" { "admin" } else { "mail-*" };
        assert!(route.starts_with("HEAD") || text.contains(missing), "{route}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_told_who_asks_and_what_they_may() {
    let talk = guarded().await;
    let ask = |token: String| {
        let request = talk.ask("GET", "/stock").header("x-forwarded-for", "10.1.2.3");
        talk.send(request.header("authorization", format!("Bearer {token}")))
    };
    let told = ask(ROOT.to_owned()).await.text;
    assert_eq!(told, "root from 10.1.2.3 payloads true operate true admin true");
    let reader = key(&talk, "reader", &["read"], &[]).await;
    assert_eq!(ask(reader).await.text, "key:reader from 10.1.2.3 payloads false operate false admin false");
    let operator = key(&talk, "op", &["payloads", "operate"], &[]).await;
    assert_eq!(ask(operator).await.text, "key:op from 10.1.2.3 payloads true operate true admin false");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_of_an_application_is_the_servers() {
    let talk = Talk::with(Options { beside: vec![stock()], ..Options::default() }).await;
    assert!(talk.get("/stock").await.text.starts_with("anyone from 127.0.0.1"));
    for host in ["evil.example", ""] {
        let reply = talk.send(talk.ask("GET", "/stock").header("host", host)).await;
        assert!(matches!(reply.status, 400 | 421), "{host:?}: {}", reply.status);
    }
    for (header, value) in [("sec-fetch-site", "cross-site"), ("origin", "http://evil.example")] {
        let reply = talk.send(talk.ask("POST", "/stock/count").header(header, value)).await;
        assert_eq!((reply.status, reply.text_at("/code")), (403, "cross_site".into()), "{header}");
    }
    let own = talk.send(talk.ask("POST", "/stock/count").header("sec-fetch-site", "same-origin")).await;
    assert_eq!((own.status, own.text.as_str()), (200, "counted"));
    assert_eq!(talk.get("/stock/no/such/route").await.text_at("/code"), "no_such_route");
    assert_eq!(own.headers["x-content-type-options"], "nosniff");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_is_reached_by_the_world_within_bounds() {
    let talk = guarded().await;
    let told = |request: reqwest::RequestBuilder| {
        let request = request.header("host", "mail.example").header("sec-fetch-site", "cross-site");
        talk.send(request.header("origin", "https://provider.example"))
    };
    let reply = told(talk.ask("POST", "/open/stock/told").body("12345")).await;
    assert_eq!((reply.status, reply.text.as_str()), (200, "5 bytes"));
    for (name, value) in [("x-content-type-options", "nosniff"), ("cache-control", "no-store")] {
        assert_eq!(reply.headers[name], value);
    }
    assert!(reply.headers["content-security-policy"].to_str().expect("text").contains("default-src 'none'"));

    // A bound holds for whoever extracts a body and for whoever reads it by hand.
    let large = vec![b'x'; (1 << 20) + 1];
    assert_eq!(told(talk.ask("POST", "/open/stock/told").body(large.clone())).await.status, 413);
    let whole = told(talk.ask("POST", "/open/stock/whole").body(large.clone())).await;
    assert!(whole.text.starts_with("cut off"), "{}", whole.text);
    assert_eq!(
        told(talk.ask("POST", "/open/stock/whole").body(large[1..].to_vec())).await.text,
        "1048576 bytes"
    );

    // Nobody is introduced there, and a panic ends its own request.
    assert_eq!(told(talk.ask("GET", "/open/stock/who")).await.status, 500);
    assert_eq!(told(talk.ask("GET", "/open/stock/boom")).await.status, 500);
    assert_eq!(told(talk.ask("GET", "/open/stock/told")).await.status, 200);
    // Nothing else is open: neither what stands behind the door nor the server.
    assert!(matches!(told(talk.ask("GET", "/stock")).await.status, 400 | 421));
    assert!(matches!(told(talk.ask("GET", "/open/stock/count")).await.status, 400 | 421));
    assert_eq!(talk.get("/stock/told").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_application_changes_is_in_the_audit_log_and_in_the_metrics() {
    let talk = guarded().await;
    let operator = key(&talk, "op", &["operate", "read"], &[]).await;
    let by = |token: &str, method: &str, path: &str| {
        talk.send(talk.ask(method, path).header("authorization", format!("Bearer {token}")))
    };
    assert_eq!(by(&operator, "GET", "/stock/count").await.status, 200);
    assert_eq!(by(&operator, "POST", "/stock/count").await.status, 200);
    assert_eq!(by(&operator, "POST", "/stock/prices").await.status, 403);
    let log = by(ROOT, "GET", "/v1/audit?limit=10").await;
    let items = log.at("/items");
    let of_stock: Vec<&Value> = items
        .as_array()
        .expect("records")
        .iter()
        .filter(|record| record["target"].as_str().is_some_and(|target| target.starts_with("/stock")))
        .collect();
    assert_eq!(of_stock.len(), 1, "{log:?}");
    let record = of_stock[0];
    assert_eq!(
        (record["who"].as_str(), record["action"].as_str()),
        (Some("key:op"), Some("POST /stock/count"))
    );
    assert_eq!(record["done"][0], "counted the stock");
    let metrics = by(ROOT, "GET", "/metrics").await.text;
    let counted = metrics.lines().any(|line| line.contains("\"/stock\"") && line.contains("403"));
    assert!(counted, "{metrics}");
}

#[tokio::test]
async fn an_application_that_takes_the_place_of_another_is_refused_at_the_start() {
    let client = windlass::open("memory:").await.expect("memory");
    let made = |beside: Vec<Beside>| {
        let options = Options { beside, monitors: false, ..Options::default() };
        catch_unwind(AssertUnwindSafe(|| windlass_server::router(&client, options))).is_ok()
    };
    assert!(made(vec![stock()]));
    assert!(made(vec![stock(), Beside { path: "/other", key: "y", ..stock() }]));
    for path in ["/jobs", "/v1", "/open", "/live", "stock", "/", "/a/b", "/Stock", "/{x}"] {
        assert!(!made(vec![Beside { path, ..stock() }]), "{path}");
    }
    assert!(!made(vec![Beside { key: "q", ..stock() }]));
    assert!(!made(vec![stock(), Beside { path: "/other", ..stock() }]));
    assert!(!made(vec![stock(), stock()]));
}
