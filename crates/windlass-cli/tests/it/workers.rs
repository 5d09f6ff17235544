//! The workers of `examples/workers`, each against a real server, with a fault in the middle: nothing is lost.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::push::ask;
use crate::serve::{Running, serve_at, until};
use crate::shell::{Shell, text};

/// The program of the shell's worker: what the handlers of the other two do.
const PROGRAM: &str = r#"case $WINDLASS_KIND in
  sleep) ms=$(jq .ms); sleep "$(jq -n "$ms / 1000")"; echo "{\"slept_ms\":$ms}" ;;
  fail) echo 'this kind of job always fails' >&2; exit 1 ;;
  later) exit 75 ;;
esac"#;

/// One of the three workers.
struct Language {
    program: &'static str,
    file: &'static str,
    /// What stands behind the queue's name.
    more: &'static [&'static str],
}

const SHELL: Language = Language { program: "bash", file: "worker.sh", more: &["sh", "-c", PROGRAM] };
const PYTHON: Language = Language { program: "python3", file: "worker.py", more: &["3"] };
const JAVASCRIPT: Language = Language { program: "node", file: "worker.mjs", more: &["3"] };

impl Language {
    fn start(&self, shell: &Shell, url: &str) -> Running {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/workers").join(self.file);
        let mut command = Command::new(self.program);
        command.arg(file).arg("work").args(self.more).current_dir(shell.path("."));
        command.env("WINDLASS_URL", url).env_remove("WINDLASS_TOKEN").stdin(Stdio::null());
        // What the worker of a killed shell has started must not hold this test's output open.
        command.env("PYTHONDONTWRITEBYTECODE", "1").stdout(Stdio::null()).stderr(Stdio::null());
        Running(command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.program)))
    }
}

fn sleeps(shell: &Shell, ms: u64) -> String {
    shell.enqueue(&["work", "sleep", &json!({ "ms": ms }).to_string()])
}

fn job(shell: &Shell, id: &str) -> Value {
    shell.object(&["jobs", "get", id])
}

fn until_state(shell: &Shell, id: &str, state: &str) -> Value {
    until(|| job(shell, id)["state"] == state);
    job(shell, id)
}

fn completed(url: &str) -> u64 {
    ask(url, "GET", "/v1/queues/work", &json!({}))["jobs"]["completed"].as_u64().expect("a count")
}

/// Heartbeats, failures, postponements; then the server is killed and started again, and the worker is.
fn survives(language: &Language) {
    let shell = Shell::new();
    let (server, url) = serve_at(&shell, "127.0.0.1:0", &[]);
    shell.ok(&["queues", "set", "work", "--lease", "4s", "--retry", "fixed(10ms,max=2)"]);
    let worker = language.start(&shell, &url);
    // Longer than its lease, which only heartbeats keep.
    let long = until_state(&shell, &sleeps(&shell, 5_000), "completed");
    assert_eq!((&long["attempt"], &long["losses"]), (&json!(1), &json!(0)), "{long}");
    assert_eq!(long["result"], json!({"slept_ms": 5_000}));
    let dead = until_state(&shell, &shell.enqueue(&["work", "fail", "{}"]), "dead");
    assert_eq!(dead["failures"], json!(2), "{dead}");
    let message = text(&dead["attempts"][1]["error"]["message"]);
    assert_eq!(message, "this kind of job always fails", "{dead}");
    let later = until_state(&shell, &shell.enqueue(&["work", "later", "{}"]), "scheduled");
    assert_eq!((&later["failures"], &later["losses"]), (&json!(0), &json!(0)), "{later}");

    shell.ok(&["queues", "pause", "work"]);
    let ids: Vec<String> = (0..24).map(|_| sleeps(&shell, 200)).collect();
    let done = completed(&url);
    shell.ok(&["queues", "resume", "work"]);
    until(|| completed(&url) >= done + 3);
    drop(server);
    let (_server, _) = serve_at(&shell, url.trim_start_matches("http://"), &[]);
    until(|| completed(&url) >= done + 8);
    drop(worker);
    assert!(completed(&url) < done + 24, "the faults came in the middle");
    let worker = language.start(&shell, &url);
    for id in &ids {
        let job = until_state(&shell, id, "completed");
        assert_eq!((&job["failures"], &job["result"]), (&json!(0), &json!({"slept_ms": 200})), "{job}");
    }
    // Asked to end, it finishes what it runs and takes nothing else.
    let last = sleeps(&shell, 4_500);
    until(|| job(&shell, &last)["state"] == "running");
    // A heartbeat says that it has begun; before that it would be given back. Two clocks tell a deadline, so it may be a
    // millisecond off by itself.
    let deadline = || {
        let at: jiff::Timestamp = text(&job(&shell, &last)["deadline"]).parse().expect("an instant");
        at.as_millisecond()
    };
    let claimed = deadline();
    until(|| deadline() > claimed + 500);
    worker.ask_to_end();
    let next = sleeps(&shell, 1);
    assert_eq!(worker.end(), 0);
    let last = job(&shell, &last);
    assert_eq!((&last["state"], &last["attempt"]), (&json!("completed"), &json!(1)), "{last}");
    let next = job(&shell, &next);
    assert_eq!((&next["state"], &next["losses"]), (&json!("ready"), &json!(0)), "{next}");
}

#[test]
fn a_worker_of_bash_and_curl_loses_nothing_when_the_server_or_it_is_killed() {
    survives(&SHELL);
}

#[test]
fn a_worker_of_pythons_standard_library_loses_nothing_when_the_server_or_it_is_killed() {
    survives(&PYTHON);
}

#[test]
fn a_worker_of_node_loses_nothing_when_the_server_or_it_is_killed() {
    survives(&JAVASCRIPT);
}

#[test]
fn each_worker_says_who_it_is_and_ends_while_it_waits() {
    for language in [&PYTHON, &JAVASCRIPT, &SHELL] {
        let shell = Shell::new();
        let (_server, url) = serve_at(&shell, "127.0.0.1:0", &[]);
        let worker = language.start(&shell, &url);
        // It has done something, so it waits for the next thing now, or soon.
        until_state(&shell, &sleeps(&shell, 1), "completed");
        let from = std::time::Instant::now();
        assert_eq!(worker.end(), 0, "{}", language.file);
        assert!(from.elapsed().as_secs() < 30, "{} does not end", language.file);
        let after = sleeps(&shell, 1);
        assert_eq!(job(&shell, &after)["state"], "ready", "{}", language.file);
    }
}
