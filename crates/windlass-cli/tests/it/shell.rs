//! A directory and a way to run the command in it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use windlass_core::job::ErrorReport;
use windlass_core::store::{Claim, Settle};
use windlass_core::{QueueName, WorkerId};

/// One directory with one store.
pub(crate) struct Shell {
    directory: tempfile::TempDir,
}

/// What a run came to.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Shell {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn data(&self) -> String {
        self.path("data").display().to_string()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
        command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        command
            .env("WINDLASS_STORE", format!("file:{}", self.data()))
            .env_remove("WINDLASS_LOG")
            .env_remove("NO_COLOR");
        command
    }

    /// Runs the command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().expect("the command runs").into()
    }

    /// Runs it with that on stdin.
    pub(crate) fn feed(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        // A command that refuses early may not read its input.
        let _ = child.stdin.take().expect("a pipe").write_all(input);
        child.wait_with_output().expect("the command ends").into()
    }

    /// Runs it and insists on success.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.err);
        ran.out
    }

    /// Runs it with `--json`, insists on success, and reads every line.
    pub(crate) fn json(&self, arguments: &[&str]) -> Vec<Value> {
        lines(&self.ok(&[arguments, &["--json"]].concat()))
    }

    /// The only object that it prints with `--json`.
    pub(crate) fn object(&self, arguments: &[&str]) -> Value {
        let mut objects = self.json(arguments);
        assert_eq!(objects.len(), 1, "{arguments:?}: {objects:?}");
        objects.remove(0)
    }

    /// Enqueues a job and answers its id.
    pub(crate) fn enqueue(&self, arguments: &[&str]) -> String {
        text(&self.object(&[&["enqueue"], arguments].concat())["id"])
    }

    /// Claims every ready job of the queue and fails it for good with that error.
    pub(crate) fn fail_all(&self, queue: &str, message: &str) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let client = windlass::open(&format!("file:{}", self.data())).await.expect("the store opens");
            let wants = vec![(QueueName::new(queue).expect("a name"), 100)];
            let claim = Claim { settle_first: vec![], wants, worker: WorkerId(7), nonce: 7 };
            let claimed = client.store().claim(claim, None).await.expect("a claim");
            assert!(!claimed.jobs.is_empty(), "nothing to fail in {queue}");
            let fail = claimed.jobs.into_iter().map(|job| Settle::Fail {
                lease: job.lease,
                error: ErrorReport {
                    class: Some("Oops".into()),
                    message: message.into(),
                    detail: None,
                    fingerprint: Default::default(),
                },
                retry_in_ms: None,
                fatal: true,
            });
            let settle = Claim { settle_first: fail.collect(), wants: vec![], worker: WorkerId(7), nonce: 7 };
            let settled = client.store().claim(settle, None).await.expect("a settlement").settled;
            assert!(settled.iter().all(Result::is_ok), "{settled:?}");
            client.store().close().await.expect("the store closes");
        });
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            err: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
        }
    }
}

impl Ran {
    /// The failure as `--json` tells it.
    pub(crate) fn error(&self) -> Value {
        let last = self.err.lines().last().unwrap_or_default();
        serde_json::from_str::<Value>(last).expect("a JSON object on stderr")["error"].clone()
    }
}

pub(crate) fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// The names of an object's fields, sorted.
pub(crate) fn keys(value: &Value) -> Vec<String> {
    let mut keys: Vec<String> = value.as_object().expect("an object").keys().cloned().collect();
    keys.sort();
    keys
}

pub(crate) fn sorted(names: &str) -> Vec<String> {
    let mut names: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
    names.sort();
    names
}
