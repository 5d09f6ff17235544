//! PgBouncer in transaction mode between the clients and the server: any call may go over any connection.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::Arc;

use tempfile::TempDir;
use windlass_core::store::AckLevel;
use windlass_survival::{History, RESUMED_WITHIN};

use crate::home::At;
use crate::server::{Server, command, free_address, give};

/// Connections to the server, fewer than clients have: none of them is anybody's own.
const POOL: u32 = 3;
/// The first version that carries prepared statements in transaction mode.
const KNOWS_PREPARED: (u32, u32) = (1, 21);

/// A pooler, stopped by its own process id.
struct Pooler {
    process: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Pooler {
    fn start(server: SocketAddr, settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let address = free_address();
        let users = directory.path().join("users");
        let config = directory.path().join("config");
        std::fs::write(&users, "\"windlass\" \"\"\n").unwrap();
        let text = format!(
            "[databases]\npostgres = host={} port={}\n[pgbouncer]\npool_mode = transaction\ndefault_pool_size = {POOL}\n\
             listen_addr = {}\nlisten_port = {}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\n{settings}\n",
            server.ip(),
            server.port(),
            address.ip(),
            address.port(),
            users.display()
        );
        std::fs::write(&config, text).unwrap();
        [directory.path(), &users, &config].into_iter().for_each(give);
        let mut process = command("pgbouncer")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("pgbouncer runs; install pgbouncer");
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(log.any(|line| line.contains("process up")), "pgbouncer starts");
        std::thread::spawn(move || log.for_each(drop));
        Self { process, address, _directory: directory }
    }

    /// Its version, by its own word.
    fn version() -> (u32, u32) {
        let told = command("pgbouncer").arg("--version").output().expect("pgbouncer runs; install pgbouncer");
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        let numbers = told.split_whitespace().nth(1).unwrap().split('.').map(|n| n.parse().unwrap());
        let numbers: Vec<u32> = numbers.collect();
        (numbers[0], numbers[1])
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A whole load through the pooler, judged.
async fn work_through_a_pooler(settings: &str, query: &str, seed: u64) {
    let (_server, address) = Server::on_loopback();
    let pooler = Pooler::start(address, settings);
    let home = At(format!("postgres://windlass@{}/postgres?listen=false&{query}", pooler.address));
    let mut history = History::begin(Arc::new(home), AckLevel::Power, seed);
    history.start().await;
    for _ in 0..10 {
        history.progress(20, RESUMED_WITHIN).await;
    }
    history.must_be_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_in_transaction_mode_carries_everything_without_prepared_statements() {
    work_through_a_pooler("", "prepare=false", 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_knows_prepared_statements_carries_them() {
    let version = Pooler::version();
    if version < KNOWS_PREPARED {
        println!(
            "left out: PgBouncer {version:?} does not know prepared statements, {KNOWS_PREPARED:?} does"
        );
        return;
    }
    work_through_a_pooler("max_prepared_statements = 200", "prepare=true", 21).await;
}
