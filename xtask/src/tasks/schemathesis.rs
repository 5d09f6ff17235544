//! `cargo xtask schemathesis`: the API's document against a running server, by somebody who knows neither.
//!
//! Schemathesis reads the OpenAPI document that a server gives and makes requests of it, valid ones and others. A run
//! fails on an answer that the document does not allow, on a request that should have been refused and was not, and on
//! every 5xx. The server is the debug build of the command line before a fresh store in memory, on a free port.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::step::{Failure, Step, timed};

/// The release that is run: another one may check more, and is taken up by hand.
const RELEASE: &str = "schemathesis==4.32.5";
/// Where its virtual environment is, below the workspace.
const PLACE: &str = "target/schemathesis";
/// What it has to be told about bodies of lines.
const LINES: &str = "xtask/src/tasks/schemathesis_lines.py";
/// Random requests of each operation unless said: a minute or two together with the others, which are systematic and
/// always made.
pub(crate) const EXAMPLES: u32 = 5;
/// What is not checked: a request that is valid by its schema may still be refused by a rule (a cursor that no store
/// gave, a time in the past, two options that exclude each other), and 400 says so.
const NOT_CHECKED: &str = "positive_data_acceptance";
/// What is not asked: it answers after half a minute when nothing happens, which is what it is for.
const NOT_ASKED: &str = "/v1/watch";

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schemathesis {
    /// Random requests of each operation and phase.
    pub(crate) examples: u32,
    /// The seed of all chance; drawn and printed when absent.
    pub(crate) seed: Option<u32>,
}

/// Runs it, or says what has to be installed.
pub(super) fn run(root: &Path, asked: Schemathesis) -> Result<(), Failure> {
    if !python_is_there(root) {
        return Err(Failure::plain(format!("schemathesis: {MISSING}")));
    }
    install(root)?;
    Step::cargo("server", ["build", "--package", "windlass-cli"]).run(root)?;
    let seed = asked.seed.unwrap_or_else(drawn);
    let server = Server::start(root)?;
    let repeat = format!("cargo xtask schemathesis --examples {} --seed {seed}", asked.examples);
    timed("schemathesis", &repeat, || {
        let done = step(&server.url, asked.examples, seed).run(root);
        done.map_err(|_| {
            Failure::with_command("schemathesis: the server and its document disagree", repeat.clone())
        })
    })
}

const MISSING: &str =
    "it needs Python 3.10 or later with venv (Debian: sudo apt-get install python3 python3-venv)";

fn python_is_there(root: &Path) -> bool {
    Step::program(
        "look",
        "python3",
        ["-c", "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))"],
    )
    .succeeds(root)
}

/// Sees to it that the release is in its virtual environment.
fn install(root: &Path) -> Result<(), Failure> {
    let python = format!("{PLACE}/bin/python");
    let version = RELEASE.trim_start_matches("schemathesis==");
    let look =
        format!("import importlib.metadata as m, sys; sys.exit(m.version('schemathesis') != '{version}')");
    if Step::program("look", &python, ["-c", &look]).succeeds(root) {
        return Ok(());
    }
    Step::program("environment", "python3", ["-m", "venv", "--clear", PLACE]).run(root)?;
    Step::program("install", &python, ["-m", "pip", "install", "--quiet", RELEASE]).run(root)
}

fn step(url: &str, examples: u32, seed: u32) -> Step {
    let program = format!("{PLACE}/bin/schemathesis");
    Step::program("requests", &program, ["run", "--no-color", "--warnings=off", "--continue-on-failure"])
        .and(["--checks=all".to_owned(), format!("--exclude-checks={NOT_CHECKED}")])
        .and([format!("--exclude-path={NOT_ASKED}"), "--request-timeout=60".to_owned()])
        // Some requests wait on purpose, for up to half a minute.
        .and(["--max-response-time=40".to_owned()])
        .and([format!("--max-examples={examples}"), format!("--seed={seed}"), format!("{url}/openapi.json")])
        .with("SCHEMATHESIS_HOOKS", LINES)
        // The cache of an earlier run would be read by this one.
        .with("HYPOTHESIS_STORAGE_DIRECTORY", format!("{PLACE}/hypothesis"))
}

/// A seed that nobody chose.
fn drawn() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.subsec_nanos() ^ std::process::id()
}

/// A server before a store in memory; it is ended with this value.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(root: &Path) -> Result<Self, Failure> {
        let failed = |why: String| Failure::plain(format!("schemathesis: windlass serve: {why}"));
        let mut child = Command::new(root.join("target/debug/windlass"))
            .args(["--store", "memory:", "--json", "serve", "--listen", "127.0.0.1:0"])
            // Every change is told to the audit log: thousands of lines that say nothing here.
            .env("WINDLASS_LOG", "warn,audit=off")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let out = child.stdout.take();
        // From here on it is ended whatever happens.
        let mut server = Self { child, url: String::new() };
        let mut line = String::new();
        if let Some(out) = out {
            BufReader::new(out).read_line(&mut line).map_err(|error| failed(error.to_string()))?;
        }
        let url = line.split("\"url\":\"").nth(1).and_then(|rest| rest.split('"').next());
        server.url = url.ok_or_else(|| failed(format!("said {line:?} and no address")))?.to_owned();
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It keeps nothing that a sudden end could spoil, and may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_repeated_by_its_seed() {
        let shown = step("http://127.0.0.1:1", 7, 42).to_string();
        assert!(shown.contains("--max-examples=7 --seed=42 http://127.0.0.1:1/openapi.json"), "{shown}");
        assert!(shown.contains("--checks=all --exclude-checks=positive_data_acceptance"), "{shown}");
    }
}
