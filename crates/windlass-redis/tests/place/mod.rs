//! Where the tests open the store: a namespace of a Redis server that is started for it, in a directory of its own, on
//! a clock that they move.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use windlass_core::Time;
use windlass_core::store::Store;
use windlass_redis::{RedisOptions, RedisStore};
use windlass_testkit::{End, Place, START};

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

/// A namespace that a test keeps a hand on while a subject lives there.
#[derive(Clone)]
pub(crate) struct Spot {
    pub(crate) server: Arc<Mutex<Server>>,
    clock: Arc<AtomicU64>,
}

impl Spot {
    /// On a server of its own.
    pub(crate) fn new(server: Server) -> Self {
        Self { server: Arc::new(Mutex::new(server)), clock: Arc::new(AtomicU64::new(START.0)) }
    }

    /// What an open is given.
    pub(crate) fn options(&self) -> RedisOptions {
        let clock = Arc::clone(&self.clock);
        let now = move || Time(clock.load(Ordering::SeqCst));
        RedisOptions { upkeep: false, clock: Some(Arc::new(now)), ..RedisOptions::default() }
    }
}

impl Place for Spot {
    fn open(&mut self) -> Pin<Box<dyn Future<Output = Arc<dyn Store>> + '_>> {
        Box::pin(async {
            let url = {
                let mut server = self.server.lock().expect("no test panics while it holds this lock");
                server.run();
                server.url()
            };
            let store = RedisStore::open(&url, self.options()).await.expect("the server opens");
            Arc::new(store) as Arc<dyn Store>
        })
    }

    fn end(&mut self, how: End) {
        let mut server = self.server.lock().expect("no test panics while it holds this lock");
        match how {
            End::Killed => server.kill(),
            End::Quietly | End::WithWorkers => server.stop(),
        }
    }

    fn now(&self) -> Time {
        Time(self.clock.load(Ordering::SeqCst))
    }

    fn advance_ms(&self, ms: u64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
    }

    fn at(&self) -> Option<Time> {
        None
    }
}
