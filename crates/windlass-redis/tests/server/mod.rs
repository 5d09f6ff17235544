//! A redis-server of a test's own, in a temporary directory.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A server that takes longer than this to answer will not.
const START_TIMEOUT: Duration = Duration::from_secs(20);

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
    #[allow(dead_code, reason = "each test target uses its part")]
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
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--daemonize", "no", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(self.directory.path())
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed: apt-get install redis-server");
        self.child = Some(child);
        wait_until_it_answers(&socket);
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("our own child");
            child.wait().expect("our own child");
        }
    }

    /// A shutdown in good order.
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

/// Asks until the server has loaded its data and answers.
fn wait_until_it_answers(socket: &Path) {
    use std::io::{Read, Write};
    let since = Instant::now();
    loop {
        let answered = std::os::unix::net::UnixStream::connect(socket).is_ok_and(|mut stream| {
            let mut answer = [0; 5];
            stream.write_all(b"PING\r\n").is_ok()
                && stream.read_exact(&mut answer).is_ok()
                && answer == *b"+PONG"
        });
        if answered {
            return;
        }
        assert!(since.elapsed() < START_TIMEOUT, "redis-server does not answer at {}", socket.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}
