//! What callers are told when nobody answers. The verbs themselves are tested against the server, in its crate.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use windlass_core::error::Outcome;
use windlass_core::store::{Admin, Queue, Upkeep};
use windlass_core::{JobId, Kind, NewJob, QueueName, Time};

use super::*;

fn job() -> NewJob {
    NewJob::new(
        JobId::from_parts(Time(1), 2),
        QueueName::new("q").expect("a name"),
        Kind::new("k").expect("a name"),
        *b"{}",
    )
}

fn store(url: &str) -> HttpStore {
    HttpStore::at(url, &HttpOptions::default()).expect("an address")
}

/// The address of a port at which nobody is.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("its address"))
}

#[tokio::test]
async fn a_call_that_nobody_takes_is_not_done_and_worth_trying_again() {
    let url = nobody();
    let error = store(&url).enqueue(vec![job()], false, None).await.expect_err("nobody is there");
    assert_eq!((error.operation, error.outcome, error.retryable), ("enqueue", Outcome::NotDone, true));
    assert!(error.cause.starts_with(&format!("cannot connect to {url}: ")), "{error}");
    assert!(error.cause.to_lowercase().contains("refused"), "{error}");
    let told = HttpStore::open(&url, HttpOptions::default()).await.expect_err("nobody is there");
    assert!(matches!(&told, OpenError::Unreachable(why) if why.contains(&url)), "{told}");
}

/// The address of somebody who answers once, with that.
fn somebody(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a caller");
        let read = stream.read(&mut [0; 1024]).expect("a request");
        assert!(read > 0);
        stream.write_all(answer.as_bytes()).expect("somebody listens");
    });
    url
}

fn answer(status: u16, version: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\n{version}content-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn whoever_answers_at_the_open_is_told_apart() {
    const OURS: &str = "windlass-version: 0.1.0\r\n";
    let open = async |answer| {
        HttpStore::open(&somebody(answer), HttpOptions::default()).await.expect_err("no store")
    };
    let told = open(answer(200, "", "<html>hello</html>")).await;
    assert!(matches!(&told, OpenError::NotAServer(why) if why.contains("<html>hello")), "{told}");
    let told = open(answer(404, OURS, "")).await;
    assert!(matches!(&told, OpenError::NotAServer(why) if why.contains("another path")), "{told}");
    let problem = |code| serde_json::to_string(&Problem::new(code, "who is there")).expect("json");
    let told = open(answer(401, OURS, &problem("unauthorized"))).await;
    assert!(matches!(&told, OpenError::Unauthorized { why, .. } if why == "who is there"), "{told}");
    let told = open(answer(503, OURS, &problem("shutting_down"))).await;
    assert!(matches!(&told, OpenError::Store(why) if why.retryable), "{told}");
    let told = open(answer(200, OURS, "{}")).await;
    assert!(matches!(&told, OpenError::Store(why) if why.cause.contains("missing field")), "{told}");
}

#[tokio::test]
#[cfg(unix)]
async fn a_socket_that_is_not_there_is_named() {
    let error = store("http+unix:/nowhere/windlass.sock").get(JobId(1)).await.expect_err("no socket");
    assert_eq!((error.outcome, error.retryable), (Outcome::NotDone, true));
    assert!(error.cause.contains("http+unix:/nowhere/windlass.sock: "), "{error}");
}

#[tokio::test]
async fn a_call_that_is_cut_off_may_have_been_done_unless_it_only_reads() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let store = store(&format!("http://{}", listener.local_addr().expect("its address")));
    // Takes each request and hangs up.
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().expect("a caller");
            let read = stream.read(&mut [0; 16]).expect("a request");
            assert!(read > 0);
        }
    });
    let error = store.enqueue(vec![job()], false, None).await.expect_err("no answer");
    assert_eq!((error.outcome, error.retryable), (Outcome::Unknown, true), "{error}");
    let error = store.get(JobId(1)).await.expect_err("no answer");
    assert_eq!((error.outcome, error.retryable), (Outcome::NotDone, true), "{error}");
    server.join().expect("both were taken");
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_not_waited_for_for_ever() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let options = HttpOptions { call_timeout: Duration::from_millis(50), ..HttpOptions::default() };
    let store = HttpStore::at(&url, &options).expect("an address");
    let error = store.pause(job().queue, true, None).await.expect_err("no answer");
    assert_eq!((error.outcome, error.retryable), (Outcome::Unknown, true));
    assert!(error.cause.contains("within 50ms"), "{error}");
}

#[tokio::test]
async fn the_time_is_the_servers() {
    let store = store(&nobody());
    let at = Some(Time(1));
    for (told, verb) in [
        (store.enqueue(vec![job()], false, at).await.map(drop), "enqueue"),
        (store.retry(vec![JobId(1)], at).await.map(drop), "retry"),
        (store.upkeep(1, at).await.map(drop), "upkeep"),
    ] {
        let error = told.expect_err("no clock");
        assert_eq!((error.operation, error.outcome, error.retryable), (verb, Outcome::NotDone, false));
        assert!(error.cause.contains("its server's clock"), "{error}");
    }
}

#[test]
fn no_log_shows_the_token() {
    let options = HttpOptions { token: Some("secret".into()), ..HttpOptions::default() };
    assert!(!format!("{options:?}").contains("secret"));
    let store = HttpStore::at("http://localhost:1", &options).expect("an address");
    assert_eq!(format!("{store:?}"), "HttpStore { server: \"http://localhost:1\", .. }");
}
