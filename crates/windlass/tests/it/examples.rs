//! The examples that people copy: each of them runs, and the web service answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The example's program, built by cargo next to this test.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test is a file");
    let target = test.ancestors().nth(2).expect("target/PROFILE/deps");
    let program = target.join("examples").join(name);
    if !program.exists() {
        // `cargo test --test it` alone builds no examples.
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let built =
            Command::new(cargo).args(["build", "--quiet", "-p", "windlass", "--example", name]).status();
        assert!(built.expect("cargo runs").success());
    }
    program
}

fn run(name: &str) -> String {
    let directory = tempfile::TempDir::new().expect("a directory");
    let ran = Command::new(program(name)).current_dir(directory.path()).output().expect("it runs");
    assert!(ran.status.success(), "{name}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).expect("text")
}

#[test]
fn hello_says_hello() {
    assert!(run("hello").contains("hello, world"));
}

#[test]
fn errors_are_retried_dropped_or_put_off() {
    let said = run("retries");
    let ends: Vec<_> = said.lines().rev().take(4).collect();
    assert_eq!(
        ends,
        [
            "completed after 2 attempts, 0 errors",
            "dead after 1 attempts, 1 errors",
            "completed after 2 attempts, 1 errors",
            "completed after 1 attempts, 0 errors",
        ]
    );
}

#[test]
fn a_small_campaign_does_not_wait_for_the_whale() {
    let said = run("fair_groups");
    let after = |campaign: &str| -> u64 {
        let line = said.lines().find(|line| line.contains(campaign)).expect("a line");
        line.split_whitespace().nth(4).and_then(|word| word.parse().ok()).expect("a number")
    };
    assert!(after("paying") < after("small") && after("small") < 1_000 && after("whale") == 10_200, "{said}");
}

#[test]
fn follow_ups_come_once_and_children_last() {
    let said = run("follow_ups");
    assert_eq!(said.matches("packed").count(), 3, "{said}");
    assert!(said.find("shipped") > said.rfind("packed"), "{said}");
}

#[test]
fn a_blocking_handler_gives_its_result() {
    assert!(run("blocking").contains("primes: 17984"));
}

/// Ends the service with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has told by then.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_request_to_the_web_service_becomes_a_job() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let mut service = Command::new(program("axum_service"));
    service.current_dir(directory.path()).env("LISTEN", "127.0.0.1:0").stdout(Stdio::piped());
    let mut service = Running(service.spawn().expect("it starts"));
    let mut lines = BufReader::new(service.0.stdout.take().expect("its output")).lines();
    let mut line = || lines.next().expect("a line").expect("text");
    let listening = line();
    let address = listening.strip_prefix("listening on ").expect("an address").to_owned();
    let post = || {
        let mut stream = TcpStream::connect(&address).expect("it listens");
        let request = "POST /welcome/7 HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer.rsplit("\r\n").next().expect("a body").to_owned()
    };
    let first = post();
    assert_eq!(first.len(), 36, "a job id: {first}");
    assert_eq!(line(), "welcome, user 7");
    assert_eq!(post(), first, "the same user within an hour is the same job");
}
