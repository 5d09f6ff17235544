//! A real PostgreSQL server for tests: its own directory, its own unix socket, stopped by its own process id.
#![allow(dead_code, reason = "each test target uses its part")]

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use tempfile::TempDir;

/// Where Debian, Fedora and Homebrew put the server's programs, if they are not in the path.
const PLACES: [&str; 6] = [
    "/usr/lib/postgresql/15/bin",
    "/usr/lib/postgresql/16/bin",
    "/usr/lib/postgresql/17/bin",
    "/usr/pgsql-15/bin",
    "/opt/homebrew/opt/postgresql@15/bin",
    "/usr/sbin",
];

/// The number of the unix socket of a server that does not listen on the loopback.
const PORT: u16 = 5432;

/// A server that runs until it is dropped.
pub(crate) struct Server {
    directory: TempDir,
    /// Settings, each `name=value`.
    settings: Vec<String>,
    /// Where it listens on the loopback, if it does; its unix socket has the same number.
    port: Option<u16>,
    process: Mutex<Option<Child>>,
}

fn program(name: &str) -> PathBuf {
    let there = PLACES.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists());
    there.unwrap_or_else(|| PathBuf::from(name))
}

/// Gives a file or a directory to the user that servers run as.
pub(crate) fn give(path: &Path) {
    if rustix::process::geteuid().is_root() {
        let given = Command::new("chown").arg("postgres").arg(path).status().expect("chown runs");
        assert!(given.success(), "{} belongs to the server's user", path.display());
    }
}

/// An address of the loopback that nobody listens on.
pub(crate) fn free_address() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    free.local_addr().expect("its own address")
}

/// A command that does not run as root: the server refuses to.
pub(crate) fn command(name: &str) -> Command {
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
        Self::with(&[])
    }

    /// A fresh server with these settings, each `name=value`.
    pub(crate) fn with(settings: &[&str]) -> Self {
        let server = Self::prepare(settings, None);
        server.run();
        server
    }

    /// A fresh server that listens on the loopback too, with its address there.
    pub(crate) fn on_loopback() -> (Self, SocketAddr) {
        let address = free_address();
        let server = Self::prepare(&[], Some(address.port()));
        server.run();
        (server, address)
    }

    /// A cluster that does not run yet.
    pub(crate) fn prepare(settings: &[&str], port: Option<u16>) -> Self {
        let server = Self::empty(settings, port);
        let made = command("initdb")
            .arg("-D")
            .arg(server.directory.path().join("data"))
            .args(["-U", "windlass", "-A", "trust", "-E", "UTF8", "--locale", "C", "--no-sync"])
            .stdout(Stdio::null())
            .status()
            .expect("initdb runs; install postgresql");
        assert!(made.success(), "initdb made a cluster");
        server
    }

    fn empty(settings: &[&str], port: Option<u16>) -> Self {
        let directory =
            tempfile::Builder::new().prefix("windlass-pg").tempdir().expect("a temporary directory");
        give(directory.path());
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        Self { directory, settings, port, process: Mutex::new(None) }
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
        // What outlives a test must not hold its output open.
        let guard = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        // The pipe's other end closes when this process is gone.
        std::mem::forget(guard.expect("a shell"));
        server
    }

    /// A streaming standby of a running server, which does not run yet.
    pub(crate) fn standby_of(primary: &Server, port: u16) -> Self {
        let standby = Self::empty(&[], Some(port));
        let copied = command("pg_basebackup")
            .args(["-R", "-X", "stream", "-c", "fast", "--no-sync", "-U", "windlass", "-h"])
            .arg(primary.directory.path())
            .args(["-p", &primary.port().to_string(), "-D"])
            .arg(standby.directory.path().join("data"))
            .status()
            .expect("pg_basebackup runs");
        assert!(copied.success(), "the standby begins as a copy");
        standby
    }

    /// Starts the process and waits until it takes connections.
    pub(crate) fn run(&self) {
        let since = std::time::Instant::now();
        loop {
            let mut child = self.spawn();
            let said = child.stderr.take().expect("its log is ours");
            let mut log = BufReader::new(said).lines().map_while(Result::ok);
            if log.any(|line| line.contains("ready to accept")) {
                // Nobody reads on, and a log that is full would hold up the server.
                std::thread::spawn(move || log.for_each(drop));
                *self.process.lock().expect("no test panics while it holds this lock") = Some(child);
                return;
            }
            // What is left of a killed server may still hold its memory for a moment: then the new one gives up.
            child.wait().expect("our own child");
            assert!(since.elapsed().as_secs() < 60, "the server takes connections within a minute");
        }
    }

    fn port(&self) -> u16 {
        self.port.unwrap_or(PORT)
    }

    fn spawn(&self) -> Child {
        let listen = if self.port.is_some() { "listen_addresses=127.0.0.1" } else { "listen_addresses=" };
        command("postgres")
            .arg("-D")
            .arg(self.directory.path().join("data"))
            .arg("-k")
            .arg(self.directory.path())
            .args(["-p", &self.port().to_string(), "-c", listen])
            .args(["-c", "shared_buffers=128MB", "-c", "max_connections=200"])
            .args(["-c", "max_wal_size=2GB", "-c", "log_min_messages=log", "-c", "log_checkpoints=off"])
            .args(self.settings.iter().flat_map(|setting| ["-c", setting]))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts")
    }

    /// What a statement answers, by the server's own client.
    pub(crate) fn sql(&self, statement: &str) -> String {
        let told = command("psql")
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement])
            .arg(self.url("postgres"))
            .output()
            .expect("psql runs");
        assert!(told.status.success(), "{statement}: {}", String::from_utf8_lossy(&told.stderr));
        String::from_utf8_lossy(&told.stdout).trim().to_owned()
    }

    /// Puts a file into the data of a server that does not run yet, for it alone to read.
    pub(crate) fn put(&self, name: &str, text: &str) {
        let path = self.directory.path().join("data").join(name);
        std::fs::write(&path, text).expect("our own directory");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("our own file");
        give(&path);
    }

    /// Keeps a copy of a stopped server's data.
    pub(crate) fn keep_copy(&self) {
        self.copy("data", "copy");
    }

    /// Puts the copy in the place of a stopped server's data.
    pub(crate) fn restore_copy(&self) {
        std::fs::remove_dir_all(self.directory.path().join("data")).expect("our own directory");
        self.copy("copy", "data");
    }

    fn copy(&self, from: &str, to: &str) {
        let path = |name| self.directory.path().join(name);
        let copied = Command::new("cp").arg("-a").arg(path(from)).arg(path(to)).status().expect("cp runs");
        assert!(copied.success(), "the data is copied");
    }

    /// The directory of its unix socket, and the socket's number.
    pub(crate) fn place(&self) -> (&Path, u16) {
        (self.directory.path(), self.port())
    }

    /// Its address.
    pub(crate) fn url(&self, database: &str) -> String {
        let (host, port) = (self.directory.path().display(), self.port());
        format!("host={host} port={port} user=windlass dbname={database}")
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
            // One that is forked after the look would live on, hold the memory and keep the next server from starting.
            stop(main);
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

/// Holds a process; it forks none from here on.
fn stop(pid: i32) {
    let process = rustix::process::Pid::from_raw(pid).expect("the process id of a server");
    // It may have ended by itself, or be on its way.
    let _ = rustix::process::kill_process(process, rustix::process::Signal::STOP);
    let runs = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let state = status.lines().find_map(|line| line.strip_prefix("State:")?.trim().chars().next());
        state.is_some_and(|state| !matches!(state, 'T' | 't' | 'Z' | 'X'))
    };
    while runs() {
        std::thread::yield_now();
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
