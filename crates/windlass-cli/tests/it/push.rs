//! Push, with the server of the command line: what is under way when it ends, by SIGTERM and by SIGKILL.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};

use crate::serve::{serve_at, until};
use crate::shell::Shell;

#[derive(Default)]
struct Inner {
    /// How often each job came.
    came: Mutex<BTreeMap<String, u32>>,
    answers: Mutex<bool>,
    changed: Condvar,
}

/// A receiver that keeps requests open until it is told to answer.
struct Receiver {
    address: SocketAddr,
    inner: Arc<Inner>,
}

impl Receiver {
    fn silent() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let inner = Arc::<Inner>::default();
        let kept = inner.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = kept.clone();
                std::thread::spawn(move || while receive(&stream, &kept).is_some() {});
            }
        });
        Self { address, inner }
    }

    fn came(&self) -> BTreeMap<String, u32> {
        self.inner.came.lock().expect("no panic").clone()
    }

    fn answer(&self) {
        *self.inner.answers.lock().expect("no panic") = true;
        self.inner.changed.notify_all();
    }
}

fn receive(mut stream: &TcpStream, inner: &Inner) -> Option<()> {
    let (headers, _) = read(stream)?;
    let id = headers.get("webhook-id")?.clone();
    *inner.came.lock().expect("no panic").entry(id).or_default() += 1;
    let answers = inner.answers.lock().expect("no panic");
    drop(inner.changed.wait_while(answers, |answers| !*answers).expect("no panic"));
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ntrue").ok()
}

/// The headers of a message, and its body.
fn read(stream: &TcpStream) -> Option<(BTreeMap<String, String>, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut headers = BTreeMap::new();
    let mut line = String::new();
    while reader.read_line(&mut line).ok()? > 2 {
        if let Some((name, value)) = line.trim_end().split_once(": ") {
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        line.clear();
    }
    let length = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((headers, body))
}

/// Asks the server, without anything of ours.
pub(crate) fn ask(url: &str, method: &str, path: &str, body: &Value) -> Value {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("the server listens");
    let body = body.to_string();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("a request");
    let (_, body) = read(&stream).expect("an answer");
    serde_json::from_slice(&body).unwrap_or_default()
}

#[test]
fn a_server_that_is_killed_in_the_middle_of_pushes_loses_none() {
    let (shell, receiver) = (Shell::new(), Receiver::silent());
    let allow = ["--allow-target", "127.0.0.1"];
    let (server, url) = serve_at(&shell, "127.0.0.1:0", &allow);
    // What a killed server held is free again once its leases have run out.
    shell.ok(&["queues", "set", "q", "--lease", "1s", "--retry", "never"]);
    let target = json!({"url": format!("http://{}/in", receiver.address), "concurrency": 10});
    let made = ask(&url, "PUT", "/v1/queues/q/target", &target);
    assert!(made["secret"].is_string(), "{made}");
    let ids: Vec<String> = (0..25).map(|n| shell.enqueue(&["q", "k", &format!("{{\"n\":{n}}}")])).collect();
    until(|| receiver.came().len() == 10);
    drop(server);
    receiver.answer();
    let (_server, _) = serve_at(&shell, url.trim_start_matches("http://"), &allow);
    for id in &ids {
        until(|| shell.object(&["jobs", "get", id])["state"] == "completed");
    }
    let came = receiver.came();
    assert_eq!(came.len(), ids.len(), "each came, under its own id");
    assert!(came.values().all(|times| (1..=2).contains(times)), "{came:?}");
    let job = shell.object(&["jobs", "get", &ids[0]]);
    assert_eq!((&job["result"], &job["failures"]), (&json!(true), &json!(0)), "{job}");
}

#[test]
fn a_server_that_is_asked_to_end_finishes_the_pushes_that_are_under_way() {
    let (shell, receiver) = (Shell::new(), Receiver::silent());
    let (mut server, url) = serve_at(&shell, "127.0.0.1:0", &["--allow-target", "127.0.0.0/8"]);
    let target = json!({"url": format!("http://{}/in", receiver.address), "concurrency": 1});
    ask(&url, "PUT", "/v1/queues/q/target", &target);
    let ids = [shell.enqueue(&["q", "k"]), shell.enqueue(&["q", "k"])];
    until(|| receiver.came().len() == 1);
    server.ask_to_end();
    // It listens no more, and is still there for the one request.
    until(|| TcpStream::connect(url.trim_start_matches("http://")).is_err());
    assert!(server.0.try_wait().expect("a process").is_none());
    receiver.answer();
    assert!(server.0.wait().expect("it ends").success());
    let [first, second] = ids.map(|id| shell.object(&["jobs", "get", &id]));
    assert_eq!((&first["state"], &first["attempt"]), (&json!("completed"), &json!(1)), "{first}");
    assert_eq!((&second["state"], &second["losses"]), (&json!("ready"), &json!(0)), "{second}");
}

#[test]
fn what_may_be_pushed_to_is_said_when_the_server_is_started() {
    let shell = Shell::new();
    let (_server, url) = serve_at(&shell, "127.0.0.1:0", &[]);
    let told = ask(&url, "PUT", "/v1/queues/q/target", &json!({"url": "http://10.1.2.3/in"}));
    assert_eq!((&told["code"], &told["status"]), (&json!("target_forbidden"), &json!(422)), "{told}");
    assert!(told["hint"].as_str().is_some_and(|hint| hint.ends_with("--allow-target 10.1.2.3")), "{told}");
    let ran = shell.run(&["serve", "--listen", "127.0.0.1:0", "--allow-target", "everything/8"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("10.0.0.0/8"), "{}", ran.err);
}

#[test]
fn a_target_is_set_shown_and_taken_away_from_a_shell_and_its_secret_is_told_once() {
    let shell = Shell::new();
    let ran = shell.run(&["queues", "target", "set", "q"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    let set =
        ["queues", "target", "set", "q", "http://127.0.0.1:9/in?token=s3cret", "--header", "X-Key: s3cret"];
    let made = shell.object(&set);
    let secret = made["secret"].as_str().expect("a secret").to_owned();
    assert!(secret.starts_with("whsec_"));
    let plain = shell.run(&[&set[..], &["--concurrency", "3"]].concat());
    assert_eq!((plain.code, plain.out.contains("whsec_")), (0, false), "{}", plain.out);
    assert!(plain.err.contains("--allow-target"), "{}", plain.err);
    // By the server that owns the directory, too, which tells neither a query nor what headers say: these are named again.
    let (_server, url) = serve_at(&shell, "127.0.0.1:0", &["--allow-target", "127.0.0.1"]);
    let less = shell.run(&["queues", "target", "set", "q", "--timeout", "5s"]);
    assert!(less.code == 2 && less.err.contains("name all of it again"), "{}", less.err);
    let again = shell.object(&[&set[..], &["--timeout", "5s"]].concat());
    assert_eq!((&again["concurrency"], &again["timeout_ms"]), (&json!(3), &json!(5_000)), "{again}");
    let shown = shell.object(&["queues", "target", "show", "q"]);
    assert_eq!((&shown["url"], &shown["headers"]), (&json!("http://127.0.0.1:9/in?…"), &json!(["x-key"])));
    assert!(!shown.to_string().contains("s3cret") && !shown.to_string().contains(&secret), "{shown}");
    until(|| ask(&url, "GET", "/v1/queues/q/target", &json!({}))["health"]["works"] == true);
    let turned = shell.object(&["queues", "target", "rotate", "q"]);
    assert!(turned["secret"].is_string() && turned["secret"] != made["secret"]);
    assert_eq!(shell.json(&["queues", "target", "ls"]).len(), 1);
    shell.ok(&["queues", "target", "rm", "q"]);
    assert_eq!(shell.run(&["queues", "target", "show", "q"]).code, 3);
    assert_ne!(shell.run(&["queues", "target", "set", "q", "ftp://a"]).code, 0);
}
