//! `windlass sim`: providers that stand on this machine.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use serde_json::Value;

use crate::serve::Running;
use crate::shell::Shell;

/// A double on a free port, and what it said when it was ready.
fn double(shell: &Shell, arguments: &[&str]) -> (Running, BufReader<std::process::ChildStdout>, Value) {
    let mut command = shell.command(&[&["sim"], arguments, &["--json", "--quiet"]].concat());
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    out.read_line(&mut line).expect("a line");
    (Running(child), out, serde_json::from_str(&line).expect("JSON"))
}

/// Says all of it at once, and gives all that is answered until the server closes.
fn said(url: &Value, words: &str) -> String {
    let address = url.as_str().expect("a URL").split_once("://").expect("a scheme").1;
    let mut socket = TcpStream::connect(address).expect("it listens");
    socket.write_all(words.as_bytes()).expect("it reads");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("it answers");
    answer
}

fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
}

/// Ends it, and gives what it says at its end.
fn ended(double: Running, mut out: BufReader<std::process::ChildStdout>) -> Value {
    assert_eq!(double.end(), 0);
    let mut line = String::new();
    out.read_line(&mut line).expect("a line");
    serde_json::from_str(&line).expect("JSON")
}

#[test]
fn each_double_takes_what_it_is_for_obeys_its_rules_and_says_at_its_end_what_it_did() {
    let shell = Shell::new();
    let port = ["--addr", "127.0.0.1:0"];

    let arguments = [&["smtp", "--inbox", "127.0.0.1:0", "--rule", "gone@*=550"], &port[..]].concat();
    let (smtp, out, ready) = double(&shell, &arguments);
    let mail = "HELO me\r\nMAIL FROM:<a@x.org>\r\nRCPT TO:<gone@x.org>\r\nRCPT TO:<b@x.org>\r\nDATA\r\nSubject: hi\r\n\r\n.\r\nQUIT\r\n";
    assert!(said(&ready["url"], mail).contains("\r\n550 5.1.1 "));
    let inbox = "GET /messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert!(said(&ready["page"], inbox).contains("\"subject\":\"hi\""));
    let done = ended(smtp, out);
    assert_eq!((&done["accepted"], &done["refused"]), (&1.into(), &1.into()), "{done}");
    let log = std::fs::read_to_string(shell.path("windlass-sim-smtp.jsonl")).expect("the log");
    assert!(log.contains("\"to\":\"b@x.org\"") && log.lines().count() == 1, "{log}");

    let arguments =
        [&["twilio", "--rule", "*=429:3s", "--account-sid", "AC1", "--auth-token", "t"], &port[..]].concat();
    let (twilio, out, ready) = double(&shell, &arguments);
    assert_eq!(ready["account_sid"], "AC1");
    // AC1:t
    let headers = "Authorization: Basic QUMxOnQ=\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    let form = "To=%2B15550000001&From=%2B15005550006&Body=hi";
    let answer = said(&ready["url"], &post("/2010-04-01/Accounts/AC1/Messages.json", headers, form));
    assert!(answer.contains("retry-after: 3") && answer.contains("20429"), "{answer}");
    assert_eq!(ended(twilio, out)["deferred"], 1);

    let (mail, out, ready) =
        double(&shell, &[&["mail", "--key", "SG.k", "--log", "mail.jsonl"], &port[..]].concat());
    assert!(ready["public_key"].as_str().is_some_and(|key| key.starts_with("MFkw")), "{ready}");
    let body = r#"{"personalizations":[{"to":[{"email":"b@x.org"}]}],"from":{"email":"a@x.org"},"subject":"hi","content":[{"type":"text/plain","value":"x"}]}"#;
    let answer = said(&ready["url"], &post("/v3/mail/send", "Authorization: Bearer SG.k\r\n", body));
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert_eq!(ended(mail, out)["accepted"], 1);
}

#[test]
fn a_double_that_cannot_be_is_refused_before_it_begins() {
    let shell = Shell::new();
    for (arguments, code, word) in [
        (&["sim", "twilio", "--addr", "0.0.0.0:0"][..], 2, "--insecure"),
        (&["sim", "smtp", "--addr", "127.0.0.1:0", "--inbox", "0.0.0.0:0"], 2, "--insecure"),
        (&["sim", "smtp", "--rule", "550"], 2, "WHO=FAULT"),
        (&["sim", "mail", "--rule", "*=21610"], 2, "spamreport"),
        (&["sim", "smtp", "--user", "ann"], 2, "--password"),
        (&["sim", "smtp", "--tls-cert", "no.pem", "--tls-key", "no.pem"], 2, "no.pem"),
        (&["sim", "twilio", "--addr", "127.0.0.1:0", "--log", "no/such/folder"], 1, "no start"),
    ] {
        let ran = shell.run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains(word), "{arguments:?}: {}", ran.err);
    }
}
