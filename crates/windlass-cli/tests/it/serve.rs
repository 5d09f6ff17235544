//! `windlass serve` and `windlass worker`: a queue over HTTP, and programs of any language on it.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::shell::{Shell, text};

/// How long something may take that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A process of ours, ended when dropped.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Asks it to end, and says how it did.
    pub(crate) fn end(mut self) -> i32 {
        self.ask_to_end();
        self.0.wait().expect("it ends").code().unwrap_or(-1)
    }
}

impl Running {
    /// Asks it to end (SIGTERM).
    pub(crate) fn ask_to_end(&self) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).expect("a process id")).expect("a process");
        kill_process(pid, Signal::TERM).expect("it runs");
    }
}

impl Running {
    /// It has been asked; says how it ended.
    pub(crate) fn end_by_itself(mut self) -> i32 {
        self.0.wait().expect("it ends").code().unwrap_or(-1)
    }
}

/// Killed (SIGKILL), without a chance to do anything more.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server on a free port, and its URL.
pub(crate) fn serve(shell: &Shell) -> (Running, String) {
    serve_at(shell, "127.0.0.1:0", &[])
}

/// The same at that address, with more arguments.
pub(crate) fn serve_at(shell: &Shell, address: &str, more: &[&str]) -> (Running, String) {
    started(shell.command(&[&["serve", "--listen", address, "--json", "--quiet"], more].concat()))
}

/// The same on a free port, with those variables.
pub(crate) fn serve_with(shell: &Shell, variables: &[(&str, String)]) -> (Running, String) {
    let mut command = shell.command(&["serve", "--listen", "127.0.0.1:0", "--json", "--quiet"]);
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    started(command)
}

/// The same with nothing but those variables.
pub(crate) fn serve_everywhere(shell: &Shell, variables: &[(&str, String)]) -> (Running, String) {
    let mut command = shell.command(&["serve", "--json", "--quiet"]);
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    started(command)
}

fn started(mut command: Command) -> (Running, String) {
    let mut child = command.env_remove("WINDLASS_TOKEN").stdout(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let ready: Value = serde_json::from_str(&line).expect("JSON");
    (Running(child), text(&ready["url"]))
}

/// Asks until it is so.
pub(crate) fn until(mut is: impl FnMut() -> bool) {
    let from = Instant::now();
    while !is() {
        assert!(from.elapsed() < PATIENCE, "it does not come");
        std::thread::yield_now();
    }
}

#[test]
fn the_command_line_works_on_a_directory_that_a_server_owns() {
    let shell = Shell::new();
    let (server, url) = serve(&shell);
    let id = shell.enqueue(&["email", "send", "{\"n\":1}", "--delay", "1h"]);
    // By its socket, by its address, and by itself: one store.
    for store in [None, Some(url.as_str())] {
        let mut arguments = vec!["jobs", "get", &id];
        arguments.extend(store.iter().flat_map(|url| ["--store", url]));
        assert_eq!(shell.object(&arguments)["payload"], json!({"n": 1}), "{store:?}");
    }
    shell.ok(&["queues", "set", "email", "--concurrency", "3"]);
    shell.ok(&["jobs", "run-now", &id, "--yes"]);
    assert_eq!(shell.object(&["queues", "show", "email"])["jobs"]["ready"], json!(1));
    let socket = shell.path("data/windlass.sock");
    let found = std::fs::metadata(&socket).expect("a socket");
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    assert_eq!(server.end(), 0);
    assert!(!socket.exists(), "nothing is left behind");
    assert_eq!(shell.object(&["jobs", "get", &id])["state"], "ready");
}

#[test]
fn a_program_in_any_language_is_a_worker() {
    let shell = Shell::new();
    let (_server, url) = serve(&shell);
    let script = r#"payload=$(cat)
        echo "attempt $WINDLASS_ATTEMPT of $WINDLASS_KIND: $payload"
        echo "::progress 40 half way"
        case "$WINDLASS_KIND" in
          good) echo '::result {"ok":true}' ;;
          bad) echo "cannot read the image" >&2; exit 3 ;;
          fatal) echo "::fatal"; echo "never" >&2; exit 1 ;;
          later) echo "::snooze 1h provider busy"; exit 75 ;;
        esac"#;
    let arguments = ["worker", "--url", &url, "-q", "thumbs", "-c", "4", "--quiet", "--", "sh", "-c", script];
    let worker = Running(shell.command(&arguments).spawn().expect("it starts"));
    let ids = ["good", "bad", "fatal", "later"].map(|kind| shell.enqueue(&["thumbs", kind, "{\"n\":1}"]));
    let [good, bad, fatal, later] = ids.each_ref().map(String::as_str);
    let state = |id: &str| text(&shell.object(&["jobs", "get", id])["state"]);
    until(|| state(good) == "completed" && state(fatal) == "dead" && state(later) == "scheduled");
    until(|| shell.object(&["jobs", "get", bad])["failures"].as_u64() > Some(0));
    assert_eq!(shell.object(&["jobs", "get", good])["result"], json!({"ok": true}));
    let error = &shell.object(&["jobs", "get", bad])["attempts"][0]["error"];
    assert_eq!((&error["class"], &error["message"]), (&json!("exit 3"), &json!("cannot read the image")));
    let why = shell.object(&["jobs", "why", later]);
    assert_eq!(why["reason"], "snoozed");
    assert!(text(&why["detail"]).contains("provider busy"), "{why}");
    let log = shell.ok(&["jobs", "logs", good]);
    assert!(log.contains(r#"attempt 1 of good: {"n":1}"#), "{log}");
    assert_eq!(worker.end(), 0);
}

#[test]
fn a_program_that_runs_when_its_worker_ends_is_ended_and_its_job_given_back() {
    let shell = Shell::new();
    let (_server, url) = serve(&shell);
    let started = shell.path("started");
    let script = format!("echo $$ > {}; exec sleep 600", started.display());
    let arguments =
        ["worker", "--url", &url, "-q", "slow", "--grace", "100ms", "--quiet", "--", "sh", "-c", &script];
    let worker = Running(shell.command(&arguments).spawn().expect("it starts"));
    let id = shell.enqueue(&["slow", "slow"]);
    until(|| std::fs::read_to_string(&started).is_ok_and(|text| text.ends_with('\n')));
    assert_eq!(worker.end(), 0);
    let job = shell.object(&["jobs", "get", &id]);
    assert_eq!(
        (&job["state"], &job["failures"], &job["losses"]),
        (&json!("ready"), &json!(0), &json!(0)),
        "{job}"
    );
    let pid = std::fs::read_to_string(&started).expect("a process id");
    assert!(!std::path::Path::new("/proc").join(pid.trim()).exists(), "the program is gone");
}

/// A token of the length that is taken.
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn keys_are_made_through_the_server_and_on_the_store_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let shell = Shell::new();
    let made = shell.object(&["keys", "add", "before", "--scope", "read"]);
    assert!(text(&made["secret"]).starts_with("wl_"), "{made}");
    let mut command = shell.command(&["serve", "--listen", "127.0.0.1:0", "--json", "--quiet"]);
    let mut child = command.env("WINDLASS_TOKEN", TOKEN).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let (server, ready) = (Running(child), serde_json::from_str::<Value>(&line).expect("JSON"));
    let mode = |path: &Value| std::fs::metadata(text(path)).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(&ready["socket"]), 0o600);

    // Through the owner's socket, and through the server's address with the key that was made before.
    let limited = shell.object(&["keys", "add", "ci", "--scope", "produce", "--queue", "own-*"]);
    let by = |key: &Value, arguments: &[&str]| {
        let url = text(&ready["url"]);
        let arguments = [arguments, &["--store", &url]].concat();
        let output = shell.command(&arguments).env("WINDLASS_TOKEN", text(key)).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(by(&made["secret"], &["queues", "ls"]).0, Some(0));
    let (code, told) = by(&made["secret"], &["enqueue", "email", "send", "{}"]);
    assert!(code == Some(1) && told.contains("produce") && told.contains("WINDLASS_TOKEN"), "{told}");
    assert_eq!(by(&limited["secret"], &["enqueue", "own-1", "send", "{}"]).0, Some(0));
    let (code, told) = by(&limited["secret"], &["enqueue", "email", "send", "{}"]);
    assert!(code == Some(4) && told.contains("own-*") && told.contains("email"), "{told}");
    let (_, told) = by(&json!("wrong"), &["queues", "ls"]);
    assert!(told.contains("WINDLASS_TOKEN"), "{told}");

    shell.ok(&["keys", "revoke", "before"]);
    // Within a second: the socket and the address have heard of it each by itself.
    let since = std::time::Instant::now();
    while !by(&made["secret"], &["queues", "ls"]).1.contains("WINDLASS_TOKEN") {
        assert!(since.elapsed() < PATIENCE, "a revoked key is let in");
    }
    let audit = shell.ok(&["audit", "--plain"]);
    assert!(
        audit.contains("revoke key before") && audit.contains("socket") && audit.contains("command"),
        "{audit}"
    );
    assert_eq!(server.end(), 0);
    let left = shell.ok(&["keys", "ls", "--plain"]);
    assert!(left.contains("ci") && !left.contains("before"), "{left}");
}

#[test]
fn nobody_listens_beyond_this_machine_without_a_token() {
    let shell = Shell::new();
    for (arguments, word) in [
        (vec!["serve", "--listen", "0.0.0.0:0"], "no token"),
        (vec!["serve", "--listen", "0.0.0.0:0", "--token", TOKEN], "unencrypted"),
        (
            vec!["serve", "--listen", "127.0.0.1:0", "--tls-cert", "nowhere.pem", "--tls-key", "nowhere.pem"],
            "nowhere.pem",
        ),
        (vec!["serve", "--listen", "127.0.0.1:0", "--token", "short"], "guessed"),
        (vec!["serve", "--listen", "nowhere"], "invalid"),
    ] {
        let ran = shell.run(&arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains(word), "{arguments:?}: {}", ran.err);
    }
    assert!(!shell.path("data").exists(), "nothing was made");
}

#[test]
fn dev_is_a_server_with_somebody_who_works_and_leaves_nothing_behind() {
    let shell = Shell::new();
    let temporary = shell.path("tmp");
    std::fs::create_dir(&temporary).expect("a directory");
    let mut command = shell.command(&["dev", "--listen", "127.0.0.1:0", "--json", "--quiet"]);
    let mut child = command.env("TMPDIR", &temporary).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let (dev, ready) = (Running(child), serde_json::from_str::<Value>(&line).expect("JSON"));
    let store = ["--store", ready["url"].as_str().expect("a URL")];
    let id = shell.enqueue(&[&["demo", "hello", "{\"hi\":1}"][..], &store].concat());
    until(|| shell.object(&[&["jobs", "get", &id][..], &store].concat())["result"] == json!({"hi": 1}));
    assert_eq!(dev.end(), 0);
    assert_eq!(std::fs::read_dir(&temporary).expect("a directory").count(), 0);
    assert_eq!(shell.run(&["dev", "--listen", "0.0.0.0:0"]).code, 2);
}

#[test]
fn a_restart_of_the_server_ends_neither_its_workers_nor_their_leases() {
    let shell = Shell::new();
    let (server, url) = serve(&shell);
    let address = url.trim_start_matches("http://").to_owned();
    let (started, go) = (shell.path("started"), shell.path("go"));
    let script =
        format!("echo run >> {}; while [ ! -e {} ]; do sleep 0.05; done", started.display(), go.display());
    let arguments = ["worker", "--url", &url, "-q", "slow", "--quiet", "--", "sh", "-c", &script];
    let mut worker = Running(shell.command(&arguments).stderr(Stdio::null()).spawn().expect("it starts"));
    let id = shell.enqueue(&["slow", "slow"]);
    until(|| started.exists());
    assert_eq!(server.end(), 0);
    // Whoever looks at the directory meanwhile is its owner for a moment, and ends no lease either.
    for arguments in [&["jobs", "ls"][..], &["queues", "ls"], &["enqueue", "other", "k"]] {
        shell.ok(arguments);
    }
    let (_server, _) = serve_at(&shell, &address, &[]);
    let job = shell.object(&["jobs", "get", &id]);
    assert_eq!((&job["state"], &job["losses"]), (&json!("running"), &json!(0)), "{job}");
    std::fs::write(&go, "").expect("a file");
    until(|| shell.object(&["jobs", "get", &id])["state"] == "completed");
    assert_eq!(shell.object(&["jobs", "get", &id])["attempt"], json!(1));
    assert_eq!(std::fs::read_to_string(&started).expect("a file"), "run\n");
    assert!(worker.0.try_wait().expect("a process").is_none(), "the worker is still there");
}

#[test]
fn a_worker_is_known_again_to_a_server_that_was_restarted() {
    let shell = Shell::new();
    let (server, url) = serve(&shell);
    let arguments = ["worker", "--url", &url, "-q", "idle", "--quiet", "--", "true"];
    let _worker = Running(shell.command(&arguments).stderr(Stdio::null()).spawn().expect("it starts"));
    let known = || shell.object(&["info"])["workers"] == json!(1);
    until(known);
    drop(server);
    let (_server, _) = serve_at(&shell, url.trim_start_matches("http://"), &[]);
    until(known);
}

#[test]
fn a_server_that_listens_everywhere_names_an_address_that_can_be_reached() {
    let shell = Shell::new();
    let token = "0123456789abcdef0123456789abcdef";
    for (listen, at) in [("0.0.0.0:0", "http://127.0.0.1:"), ("[::]:0", "http://[::1]:")] {
        let arguments =
            ["serve", "--listen", listen, "--token", token, "--behind-proxy", "--json", "--quiet"];
        let mut child = shell.command(&arguments).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let _server = Running(child);
        let ready: Value = serde_json::from_str(&line).expect("JSON");
        assert!(text(&ready["url"]).starts_with(at), "{ready}");
    }
}

#[test]
fn a_worker_whose_program_is_not_there_does_not_start() {
    let shell = Shell::new();
    let id = shell.enqueue(&["q", "k"]);
    std::fs::write(shell.path("plain"), "").expect("a file");
    for (program, says, next) in [
        ("no-such-program", "in PATH", "name one"),
        ("plain", "in PATH", "./plain"),
        ("./plain", "may not be executed", "chmod +x"),
        ("./nowhere", "there is no program", "name one"),
    ] {
        let ran = shell.run(&["worker", "-q", "q", "--", program]);
        assert_eq!(ran.code, 2, "{program}: {}", ran.err);
        assert!(ran.err.contains(says) && ran.err.contains(next), "{program}: {}", ran.err);
    }
    assert_eq!(shell.object(&["jobs", "get", &id])["attempt"], json!(0));
}

#[test]
fn a_program_that_goes_away_costs_its_jobs_no_try() {
    let shell = Shell::new();
    let (_server, url) = serve(&shell);
    let program = shell.path("program");
    let write = || {
        std::fs::write(&program, "#!/bin/sh\n").expect("a file");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).expect("its mode");
    };
    write();
    let arguments = ["worker", "--url", &url, "-q", "q", "--", "./program"];
    let mut worker = shell.command(&arguments).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut says = BufReader::new(worker.stderr.take().expect("a pipe")).lines();
    let _worker = Running(worker);
    let ready = says.next().expect("a line").expect("text");
    assert!(ready.contains("works on q"), "{ready}");
    std::fs::remove_file(&program).expect("it goes");
    let id = shell.enqueue(&["q", "k", "--max-failures", "1"]);
    let told = says.find_map(|line| line.ok().filter(|line| line.contains("cannot be started")));
    assert!(told.is_some(), "the worker says so");
    let job = || shell.object(&["jobs", "get", &id]);
    until(|| job()["state"] == "scheduled");
    assert_eq!((&job()["failures"], &job()["losses"]), (&json!(0), &json!(0)));
    assert_eq!(shell.object(&["jobs", "why", &id])["reason"], "no_handler");
    assert!(shell.ok(&["jobs", "logs", &id]).contains("cannot be started"));
    write();
    until(|| job()["state"] == "completed");
}
