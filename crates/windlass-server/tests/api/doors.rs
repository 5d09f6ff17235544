//! Who comes in, and what is said to those who do not.

use windlass_server::table;

use crate::talk::Talk;

#[tokio::test]
async fn a_name_that_is_not_the_servers_and_a_page_of_another_site_are_refused() {
    let talk = Talk::begin().await;
    for host in ["evil.example", "evil.example:7979", "localhost.evil.example", "", "[::2]"] {
        let reply = talk.send(talk.ask("GET", "/v1/queues").header("host", host)).await;
        assert!(matches!(reply.status, 400 | 421), "{host:?}: {}", reply.status);
    }
    for host in ["localhost", "LOCALHOST:80", "127.0.0.1:1", "[::1]:7979"] {
        assert_eq!(talk.send(talk.ask("GET", "/v1/queues").header("host", host)).await.status, 200, "{host}");
    }
    for (header, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "http://evil.example"),
        ("origin", "null"),
    ] {
        let reply = talk.send(talk.ask("POST", "/v1/queues/email/pause").header(header, value)).await;
        assert_eq!((reply.status, reply.text_at("/code")), (403, "cross_site".into()), "{header}: {value}");
    }
    let own = talk.ask("POST", "/v1/queues/email/pause").header("sec-fetch-site", "same-origin");
    assert_eq!(talk.send(own).await.status, 204);
}

#[tokio::test]
async fn nonsense_is_refused_with_a_code_and_words() {
    let talk = Talk::begin().await;
    let id = "01a20349-19a4-7000-a26a-6a7218659a2a";
    for (method, path, body, status, code) in [
        ("GET", "/v1/nothing".to_owned(), "", 404, "no_such_route"),
        ("PUT", "/v1/queues".to_owned(), "", 405, "method_not_allowed"),
        ("GET", "/v1/jobs/7".to_owned(), "", 400, "invalid"),
        ("GET", format!("/v1/jobs/{id}"), "", 404, "not_found"),
        ("POST", format!("/v1/jobs/{id}/retry"), "", 404, "not_found"),
        ("POST", format!("/v1/jobs/{id}/complete"), "{}", 400, "bad_json"),
        ("POST", format!("/v1/jobs/{id}/complete"), r#"{"lease":"7"}"#, 400, "bad_json"),
        ("POST", format!("/v1/jobs/{id}/complete"), r#"{"lease":"1.1.1"}"#, 409, "stale"),
        ("POST", "/v1/jobs".to_owned(), "{", 400, "bad_json"),
        ("POST", "/v1/jobs".to_owned(), "{}", 400, "invalid"),
        ("POST", "/v1/jobs?atomic=true".to_owned(), "{}", 400, "bad_request"),
        ("POST", "/v1/jobs".to_owned(), r#"{"queue":"q","dealy":"1s"}"#, 400, "bad_json"),
        ("POST", "/v1/queues/a%20b/jobs".to_owned(), "{}", 400, "invalid"),
        ("POST", "/v1/queues/q/jobs?delay=soon".to_owned(), "{}", 400, "invalid"),
        ("POST", "/v1/queues/q/jobs?colour=red".to_owned(), "{}", 400, "bad_request"),
        ("POST", "/v1/claim".to_owned(), "[]", 400, "bad_json"),
        ("POST", "/v1/claim".to_owned(), "", 400, "bad_request"),
        ("POST", "/v1/claim".to_owned(), r#"{"queues":[],"settle":[]}"#, 400, "bad_request"),
        ("POST", "/v1/settle".to_owned(), r#"{"settle":[["complete"]]}"#, 400, "bad_json"),
        ("POST", "/v1/jobs".to_owned(), r#"{"queue":".."}"#, 400, "bad_json"),
        ("GET", "/v1/jobs?limit=0".to_owned(), "", 400, "bad_request"),
        ("GET", "/v1/jobs?limit=1001".to_owned(), "", 400, "bad_request"),
        ("GET", "/v1/events?limit=0".to_owned(), "", 400, "bad_request"),
        ("GET", "/v1/events?wait=soon&wait_ms=0".to_owned(), "", 400, "bad_request"),
        ("POST", "/v1/jobs/search".to_owned(), r#"{"budget":0}"#, 400, "bad_request"),
        ("GET", "/v1/queues/%ff".to_owned(), "", 400, "bad_request"),
        ("POST", "/v1/claim".to_owned(), r#"{"queues":["q"],"wait":"soon"}"#, 400, "bad_request"),
        ("POST", "/v1/jobs/search".to_owned(), r#"{"filter":[]}"#, 400, "bad_json"),
        ("POST", "/v1/jobs/search".to_owned(), r#"{"cursor":"x"}"#, 400, "bad_cursor"),
        ("GET", "/v1/jobs?filter=dead".to_owned(), "", 400, "bad_request"),
        ("GET", "/v1/jobs?limit=x".to_owned(), "", 400, "bad_request"),
        ("PUT", "/v1/queues/q/settings".to_owned(), r#"{"concurency":1}"#, 400, "bad_json"),
        ("PUT", "/v1/queues/q/settings".to_owned(), r#"{"lease_ms":1}"#, 400, "invalid"),
        ("PUT", "/v1/queues/q/groups/g/settings".to_owned(), "{}", 400, "bad_request"),
        ("DELETE", "/v1/workers/7".to_owned(), "", 400, "bad_request"),
    ] {
        let reply = talk.send(talk.ask(method, &path).body(body)).await;
        assert_eq!(
            (reply.status, reply.text_at("/code").as_str()),
            (status, code),
            "{method} {path} {body}: {}",
            reply.text
        );
        assert_eq!(reply.headers["content-type"], "application/problem+json");
        let kind = reply.text_at("/type");
        assert_eq!(talk.get(&kind).await.status, 200, "{kind} leads somewhere");
    }
    let many = talk
        .post("/v1/jobs/cancel", format!(r#"{{"ids":[{}"{id}"]}}"#, format!("\"{id}\",").repeat(1_000)))
        .await;
    assert_eq!((many.status, many.text_at("/code")), (400, "invalid".into()));
    assert!(many.text_at("/detail").contains("1001 items are more than 1000"), "{}", many.text);
    let random = talk.post("/v1/jobs", r#"{"queue":"q","id":"8e03978e-40d5-43dd-bc93-6894a57f9324"}"#).await;
    assert!(random.text_at("/detail").contains("version 4"), "{}", random.text);
    let large = talk.post("/v1/queues/q/jobs", vec![b'x'; (1 << 20) + 1]).await;
    assert_eq!((large.status, large.text_at("/code")), (400, "invalid".into()));
    let huge = talk.send(talk.ask("POST", "/v1/claim").body(vec![b' '; 65 << 20])).await;
    assert_eq!((huge.status, huge.text_at("/code")), (413, "too_large".into()));
}

#[test]
fn every_route_stands_in_the_documentation() {
    let docs = include_str!("../../../../docs/http-api.md");
    for (method, path, scope) in table().into_iter().filter(|(_, path, _)| path.starts_with("/v1")) {
        let row = format!("| `{method} {path}` | {} |", scope.as_str());
        assert!(docs.contains(&row), "docs/http-api.md has no row {row:?}");
    }
}

#[test]
fn every_test_that_the_security_page_names_is_there() {
    let docs = include_str!("../../../../docs/security.md");
    let table = docs.split("## Requirement and test").nth(1).expect("the table");
    let named: Vec<&str> =
        table.split('`').skip(1).step_by(2).filter(|word| word.matches('_').count() >= 3).collect();
    assert!(named.len() > 30, "{named:?}");
    let mut sources = String::new();
    let mut left = vec![std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&std::fs::read_to_string(&path).expect("a source"));
            }
        }
    }
    for test in named {
        let is_there = [format!("fn {test}("), format!("{test}:"), format!("fn {test}<")];
        assert!(is_there.iter().any(|form| sources.contains(form)), "there is no test {test}");
    }
}
