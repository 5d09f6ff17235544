//! A real PostgreSQL server for tests: its own directory, its own unix socket, stopped by its own process id.
#![allow(dead_code, reason = "each test target uses its part")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use tempfile::TempDir;

/// Where Debian, Fedora and Homebrew put the server's programs, if they are not in the path.
const PLACES: [&str; 5] = [
    "/usr/lib/postgresql/15/bin",
    "/usr/lib/postgresql/16/bin",
    "/usr/lib/postgresql/17/bin",
    "/usr/pgsql-15/bin",
    "/opt/homebrew/opt/postgresql@15/bin",
];

/// A server that runs until it is dropped.
pub(crate) struct Server {
    directory: TempDir,
    process: Mutex<Option<Child>>,
}

fn program(name: &str) -> PathBuf {
    let there = PLACES.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists());
    there.unwrap_or_else(|| PathBuf::from(name))
}

/// A command that does not run as root: the server refuses to.
fn command(name: &str) -> Command {
    let path = program(name);
    if !rustix::process::geteuid().is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"]).arg(path);
    command
}

impl Server {
    /// A fresh server, ready for connections.
    pub(crate) fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("windlass-pg").tempdir().expect("a temporary directory");
        if rustix::process::geteuid().is_root() {
            let owned = Command::new("chown").arg("postgres").arg(directory.path()).status().expect("chown runs");
            assert!(owned.success(), "the directory belongs to the server's user");
        }
        let made = command("initdb")
            .arg("-D")
            .arg(directory.path().join("data"))
            .args(["-U", "windlass", "-A", "trust", "-E", "UTF8", "--locale", "C", "--no-sync"])
            .stdout(Stdio::null())
            .status()
            .expect("initdb runs; install postgresql");
        assert!(made.success(), "initdb made a cluster");
        let server = Self { directory, process: Mutex::new(None) };
        server.run();
        server
    }

    /// Starts the process and waits until it takes connections.
    pub(crate) fn run(&self) {
        let child = command("postgres")
            .arg("-D")
            .arg(self.directory.path().join("data"))
            .arg("-k")
            .arg(self.directory.path())
            .args(["-c", "listen_addresses=", "-c", "shared_buffers=128MB", "-c", "max_connections=200"])
            .args(["-c", "max_wal_size=2GB", "-c", "log_min_messages=fatal"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        *self.process.lock().expect("no test panics while it holds this lock") = Some(child);
        let ready = || {
            command("pg_isready").arg("-q").arg("-h").arg(self.directory.path()).status().is_ok_and(|status| status.success())
        };
        let patience = std::time::Instant::now();
        while !ready() {
            assert!(patience.elapsed().as_secs() < 60, "the server takes connections within a minute");
        }
    }

    /// Its address.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("host={} user=windlass dbname={database}", self.directory.path().display())
    }

    /// The process that all others hang on.
    pub(crate) fn pid(&self) -> i32 {
        let file = std::fs::read_to_string(self.directory.path().join("data/postmaster.pid")).expect("a running server");
        file.lines().next().and_then(|line| line.trim().parse().ok()).expect("the process id")
    }

    /// Sends the postmaster a signal and waits for its end.
    pub(crate) fn end(&self, signal: rustix::process::Signal) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.pid()) {
            rustix::process::kill_process(pid, signal).expect("our own server");
        }
        if let Some(mut child) = self.process.lock().expect("no test panics while it holds this lock").take() {
            child.wait().expect("our own child");
        }
        // After kill -9 the other processes notice a moment later; a new server waits for them by itself.
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.lock().is_ok_and(|process| process.is_some()) {
            self.end(rustix::process::Signal::INT);
        }
    }
}
