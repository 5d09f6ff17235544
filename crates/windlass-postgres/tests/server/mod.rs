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
        let directory =
            tempfile::Builder::new().prefix("windlass-pg").tempdir().expect("a temporary directory");
        if rustix::process::geteuid().is_root() {
            let owned =
                Command::new("chown").arg("postgres").arg(directory.path()).status().expect("chown runs");
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

    /// A server that ends with this process however it ends: the standard test harness runs no code at its end, so a
    /// shell waits for the closing of our pipe and stops the server by its id.
    pub(crate) fn start_for_this_process() -> Self {
        let server = Self::start();
        let script = format!(
            "cat >/dev/null; kill -INT {0} 2>/dev/null; while kill -0 {0} 2>/dev/null; do sleep 0.1; done; rm -rf -- '{1}'",
            server.pid(),
            server.directory.path().display()
        );
        let guard =
            Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        // The pipe's other end closes when this process is gone.
        std::mem::forget(guard.expect("a shell"));
        server
    }

    /// Starts the process and waits until it takes connections.
    pub(crate) fn run(&self) {
        let ready = || {
            command("pg_isready")
                .arg("-q")
                .arg("-h")
                .arg(self.directory.path())
                .status()
                .is_ok_and(|status| status.success())
        };
        let patience = std::time::Instant::now();
        let mut child = self.spawn();
        while !ready() {
            assert!(patience.elapsed().as_secs() < 60, "the server takes connections within a minute");
            // What is left of a killed server may still hold its memory for a moment: then the new one gives up.
            if child.try_wait().is_ok_and(|ended| ended.is_some()) {
                child = self.spawn();
            }
        }
        *self.process.lock().expect("no test panics while it holds this lock") = Some(child);
    }

    fn spawn(&self) -> Child {
        command("postgres")
            .arg("-D")
            .arg(self.directory.path().join("data"))
            .arg("-k")
            .arg(self.directory.path())
            .args(["-c", "listen_addresses=", "-c", "shared_buffers=128MB", "-c", "max_connections=200"])
            .args(["-c", "max_wal_size=2GB", "-c", "log_min_messages=fatal"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts")
    }

    /// Its address.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("host={} user=windlass dbname={database}", self.directory.path().display())
    }

    /// The process that all others hang on.
    pub(crate) fn pid(&self) -> i32 {
        let file = std::fs::read_to_string(self.directory.path().join("data/postmaster.pid"))
            .expect("a running server");
        file.lines().next().and_then(|line| line.trim().parse().ok()).expect("the process id")
    }

    /// Ends the server: kill -9 ends its processes all at once, as a failed machine does.
    pub(crate) fn end(&self, signal: rustix::process::Signal) {
        let main = self.pid();
        let mut all = vec![main];
        if signal == rustix::process::Signal::KILL {
            all.extend(children(main));
        }
        for pid in all.into_iter().filter_map(rustix::process::Pid::from_raw) {
            // A child may have ended by itself meanwhile.
            let _ = rustix::process::kill_process(pid, signal);
        }
        if let Some(mut child) = self.process.lock().expect("no test panics while it holds this lock").take()
        {
            child.wait().expect("our own child");
        }
        while !children(main).is_empty() {
            std::thread::yield_now();
        }
    }
}

/// The processes whose parent that one is.
fn children(parent: i32) -> Vec<i32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let parent_of = |pid: &i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse::<i32>().ok())
    };
    pids.filter(|pid| parent_of(pid) == Some(parent)).collect()
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.lock().is_ok_and(|process| process.is_some()) {
            self.end(rustix::process::Signal::INT);
        }
    }
}
