//! A redis-server of a test's own, in a temporary directory.
#![allow(dead_code, reason = "each test target uses its part")]

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A redis-server, stopped by its own process id.
pub(crate) struct Server {
    directory: TempDir,
    options: Vec<String>,
    child: Option<Child>,
}

impl Server {
    /// A server that loses nothing that it has answered.
    pub(crate) fn start() -> Self {
        Self::with(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// A server with these options.
    pub(crate) fn with(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut server = Self { directory, options, child: None };
        server.run();
        server
    }

    /// A server with these options that listens on the loopback too.
    pub(crate) fn on_loopback(options: &[&str]) -> (Self, SocketAddr) {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("its own address");
        drop(free);
        let port = address.port().to_string();
        (Self::with(&[options, &["--port", &port]].concat()), address)
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("s")
    }

    /// The file to which it appends, before it was ever rewritten.
    #[allow(dead_code, reason = "each test target uses its part")]
    pub(crate) fn appended(&self) -> PathBuf {
        self.directory.path().join("appendonlydir/appendonly.aof.1.incr.aof")
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Starts it, if it does not run.
    pub(crate) fn run(&mut self) {
        if self.child.is_some() {
            return;
        }
        let socket = self.socket();
        // A killed server leaves its socket behind.
        let _ = std::fs::remove_file(&socket);
        self.mend();
        let mut child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--daemonize", "no", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(self.directory.path())
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed: apt-get install redis-server");
        wait_until_it_serves(&mut child);
        self.child = Some(child);
    }

    /// What docs/redis.md has every server do before it starts: the beginning of a transaction that a kill has torn goes
    /// from the end of its append-only file. The server itself may leave it there, and apply it when it starts once more.
    fn mend(&self) {
        let manifest = self.directory.path().join("appendonlydir/appendonly.aof.manifest");
        if !manifest.exists() {
            return;
        }
        let mut check = Command::new("redis-check-aof")
            .arg("--fix")
            .arg(&manifest)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-check-aof is installed with redis-server");
        // It asks before it cuts, and is gone already when there is nothing to cut.
        let _ = check.stdin.take().expect("its input is ours").write_all(b"y\n");
        let done = check.wait_with_output().expect("our own child");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    }

    /// kill -9.
    #[allow(dead_code, reason = "each test target uses its part")]
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("our own child");
            child.wait().expect("our own child");
        }
    }

    /// A shutdown in good order.
    #[allow(dead_code, reason = "each test target uses its part")]
    pub(crate) fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let sent = Command::new("kill").arg(child.id().to_string()).status().expect("kill runs");
        assert!(sent.success(), "our own child takes a signal");
        child.wait().expect("our own child");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Reads what the server says until it says that it serves.
fn wait_until_it_serves(child: &mut Child) {
    use std::io::{BufRead, BufReader};
    let said = BufReader::new(child.stdout.take().expect("its output is ours"));
    let mut lines = Vec::new();
    for line in said.lines().map_while(Result::ok) {
        if line.to_lowercase().contains("ready to accept connections") {
            return;
        }
        lines.push(line);
    }
    panic!("redis-server ended before it served: {lines:#?}");
}
