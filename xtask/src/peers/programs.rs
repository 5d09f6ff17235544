//! The two sides as programs: the peers' in `bench/`, installed into a temporary folder, and `windlass` itself.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::step::{Failure, Step};

/// The first Node that all peers run on; one is installed beside them where npm may run its installer.
const NODE_LEAST: (u32, u32) = (22, 18);

/// Bytes of a payload as JSON, as in `windlass bench` and in `bench/load.mjs`.
const PAYLOAD_BYTES: usize = 200;

/// The folder of one comparison; removed with all that is in it.
pub(crate) struct Room {
    path: PathBuf,
}

impl Room {
    /// A new folder where temporary files go; `TMPDIR` puts it on the disk that is to be measured.
    pub(crate) fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("windlass-peers-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(|error| cannot("make", &path, &error))?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("bench: {} could not be removed: {error}", self.path.display());
        }
    }
}

/// What has to be installed before the peers can be.
pub(crate) fn missing() -> Vec<&'static str> {
    let there = |program| Step::program("look", program, ["--version"]).succeeds(Path::new("."));
    let mut missing = Vec::new();
    if !there("node") {
        missing.push("node (Debian: apt-get install nodejs)");
    }
    if !there("npm") {
        missing.push("npm (Debian: apt-get install npm)");
    }
    missing
}

/// The peers' programs, installed.
pub(crate) struct Peers {
    folder: PathBuf,
    node: String,
}

impl Peers {
    /// Copies the programs to `room` and installs what they need there, at the versions that `package.json` names.
    pub(crate) fn install(sources: &Path, room: &Path) -> Result<Self, Failure> {
        let folder = room.join("peers");
        std::fs::create_dir(&folder).map_err(|error| cannot("make", &folder, &error))?;
        let files = std::fs::read_dir(sources).map_err(|error| cannot("read", sources, &error))?;
        for file in files.flatten().filter(|file| file.path().is_file()) {
            let to = folder.join(file.file_name());
            std::fs::copy(file.path(), &to).map_err(|error| cannot("write", &to, &error))?;
        }
        let arguments = ["install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"];
        Step::program("npm", "npm", arguments).output(&folder)?;
        let node = node(&folder)?;
        Ok(Self { folder, node })
    }

    /// One measurement: the object that the peer's program prints.
    pub(crate) fn run(&self, peer: &str, mode: &str, options: &str, url: &str) -> Result<Value, Failure> {
        let step = Step::program(peer_title(peer), &self.node, [format!("{peer}.mjs").as_str(), mode])
            .and(["--url", url])
            .and(options.split_whitespace());
        // The folder goes with the comparison, so the command alone repeats nothing.
        let output = step.output(&self.folder).map_err(|_| {
            Failure::plain(format!("bench: {peer} {mode} {options} failed; what it said stands above"))
        })?;
        last_object(&step, &output)
    }
}

/// A step's title is a constant; the peers' are few.
fn peer_title(peer: &str) -> &'static str {
    match peer {
        "bullmq" => "bullmq",
        "pg-boss" => "pg-boss",
        "graphile-worker" => "graphile-worker",
        _ => "peer",
    }
}

/// The Node that was installed with the peers, or else the machine's own if it is new enough.
fn node(folder: &Path) -> Result<String, Failure> {
    let installed = folder.join("node_modules/node/bin/node").display().to_string();
    let found = [installed.as_str(), "node"].into_iter().find(|node| {
        let version = Step::program("node", node, ["--version"]);
        version.succeeds(folder) && version.output(folder).is_ok_and(|said| is_new_enough(&said))
    });
    let (major, minor) = NODE_LEAST;
    found.map(str::to_owned).ok_or_else(|| {
        Failure::plain(format!(
            "bench: the peers need Node {major}.{minor} or later: install it, then run this again"
        ))
    })
}

fn is_new_enough(version: &str) -> bool {
    let mut parts = version.trim().trim_start_matches('v').split('.').map(str::parse);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= NODE_LEAST,
        _ => false,
    }
}

/// The `windlass` that is measured.
pub(crate) struct Windlass {
    binary: String,
}

impl Windlass {
    pub(crate) fn new(binary: &Path) -> Self {
        Self { binary: binary.display().to_string() }
    }

    /// Why this build cannot be measured at the URL; none when it can.
    pub(crate) fn absence(&self, url: &str) -> Result<Option<String>, Failure> {
        let arguments = ["bench", "--store", url, "--profile", "enqueue", "--jobs", "1"];
        let step = Step::program("windlass", &self.binary, arguments);
        let output = Command::new(&self.binary).args(arguments).output();
        let output = output.map_err(|error| step.failed(&error.to_string()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        match (output.status.success(), absent(&said)) {
            (true, _) => Ok(None),
            (false, Some(why)) => Ok(Some(why)),
            (false, None) => Err(step.failed(said.trim())),
        }
    }

    /// One profile of `windlass bench`: the object that it prints.
    pub(crate) fn profile(&self, profile: &str, options: &str, url: &str) -> Result<Value, Failure> {
        let arguments = ["bench", "--store", url, "--profile", profile, "--json", "--quiet"];
        let step = Step::program("windlass", &self.binary, arguments).and(options.split_whitespace());
        last_object(&step, &step.output(Path::new("."))?)
    }

    /// Leaves `jobs` jobs waiting: a profile would take its jobs with it when it ends.
    pub(crate) fn fill(&self, url: &str, jobs: u64) -> Result<(), Failure> {
        let arguments = ["enqueue", "bench", "noop", "--ndjson", "-", "--store", url, "--quiet"];
        let step = Step::program("windlass", &self.binary, arguments);
        let mut command = Command::new(&self.binary);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().map_err(|error| step.failed(&error.to_string()))?;
        let line = job_line();
        let written = child.stdin.take().map_or(Ok(()), |pipe| {
            let mut pipe = BufWriter::new(pipe);
            (0..jobs).try_for_each(|_| pipe.write_all(line.as_bytes())).and_then(|()| pipe.flush())
        });
        // It is waited for whatever happened: what it says about a refused line is the better message.
        let status = child.wait().map_err(|error| step.failed(&error.to_string()))?;
        match (status.success(), written) {
            (true, Ok(())) => Ok(()),
            (_, Err(error)) => Err(step.failed(&error.to_string())),
            (false, _) => Err(step.failed(&status.to_string())),
        }
    }
}

fn job_line() -> String {
    format!("{{\"payload\":\"{}\"}}\n", "x".repeat(PAYLOAD_BYTES - 2))
}

/// The build's own words for a store that it does not have.
fn absent(said: &str) -> Option<String> {
    let line = said.lines().find(|line| line.contains("this build has no"))?;
    Some(line.trim_start_matches("error: ").to_owned())
}

fn last_object(step: &Step, output: &str) -> Result<Value, Failure> {
    let objects = output.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    objects.into_iter().find(Value::is_object).ok_or_else(|| step.failed("it printed no JSON object"))
}

fn cannot(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::plain(format!("bench: cannot {verb} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_node_is_not_used() {
        for (version, enough) in [
            ("v22.18.0\n", true),
            ("v24.0.1", true),
            ("v22.17.9", false),
            ("v20.20.2", false),
            ("what", false),
        ] {
            assert_eq!(is_new_enough(version), enough, "{version}");
        }
    }

    #[test]
    fn a_store_that_a_build_lacks_is_told_from_a_store_that_fails() {
        let said = "error: this build has no postgres store; it has file:, memory: and redis:\n";
        assert_eq!(
            absent(said).as_deref(),
            Some("this build has no postgres store; it has file:, memory: and redis:")
        );
        assert_eq!(absent("error: cannot open postgres://x: connection refused\n"), None);
    }

    #[test]
    fn a_waiting_job_has_a_payload_of_the_agreed_size() {
        let job: Value = serde_json::from_str(&job_line()).expect("a line is one JSON object");
        assert_eq!(job["payload"].to_string().len(), PAYLOAD_BYTES);
    }

    #[test]
    fn a_room_is_gone_with_what_was_in_it() {
        let room = Room::new().expect("temporary files can be written");
        let path = room.path().to_owned();
        std::fs::write(path.join("file"), "x").expect("the folder is there");
        drop(room);
        assert!(!path.exists());
    }
}
