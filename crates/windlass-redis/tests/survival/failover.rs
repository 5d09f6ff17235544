//! Another server takes over: a replica that Sentinel made the master, another node of a Cluster.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use windlass_check::FaultKind;
use windlass_core::store::{AckLevel, Queue, Settle};
use windlass_redis::{RedisOptions, RedisStore};

use crate::health::{claim, job};
use windlass_survival::History;

use crate::home::At;
use crate::server::Server;

/// A server that keeps nothing on disk is quick to start, and here every fault but the loss of a disk counts.
const IN_MEMORY: [&str; 4] = ["--appendonly", "no", "--repl-diskless-sync-delay", "0"];
/// Work goes on so long after another server took over, the time to notice included.
const RESUMED_WITHIN: Duration = Duration::from_secs(20);

/// A Sentinel that watches one master, called `jobs`.
struct Sentinel {
    _directory: tempfile::TempDir,
    child: Child,
    address: SocketAddr,
}

impl Sentinel {
    fn of(master: SocketAddr) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("sentinel.conf");
        let address = free();
        let mut file = std::fs::File::create(&config).unwrap();
        writeln!(file, "port {}\nbind 127.0.0.1\ndir {}", address.port(), directory.path().display())
            .unwrap();
        writeln!(file, "sentinel monitor jobs 127.0.0.1 {} 1", master.port()).unwrap();
        writeln!(file, "sentinel down-after-milliseconds jobs 500\nsentinel failover-timeout jobs 2000")
            .unwrap();
        let child = Command::new("redis-server")
            .arg(&config)
            .arg("--sentinel")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { _directory: directory, child, address }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

async fn ask(server: SocketAddr, command: &[&str]) -> redis::RedisResult<Value> {
    let client = redis::Client::open(format!("redis://{server}"))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    redis::cmd(command[0]).arg(&command[1..]).query_async(&mut connection).await
}

/// Asks until the answer contains that text.
async fn until(server: SocketAddr, command: &[&str], says: &str) {
    let mut last = String::new();
    for _ in 0..1_000 {
        last = format!("{:?}", ask(server, command).await.map(|value| text_of(&value)));
        if last.contains(says) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{command:?} at {server} never said {says:?}, but {last}");
}

/// Waits until a replica has what the master has answered so far.
async fn carried_over(master: SocketAddr) {
    let client = redis::Client::open(format!("redis://{master}")).unwrap();
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(RESUMED_WITHIN));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await.unwrap();
    // It waits for what its own connection has written, and for all before.
    let (): () = redis::cmd("SET").arg("mark").arg(1).query_async(&mut connection).await.unwrap();
    let replicas: u64 = redis::cmd("WAIT").arg(1).arg(0).query_async(&mut connection).await.unwrap();
    assert_eq!(replicas, 1);
}

fn text_of(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Array(items) => items.iter().map(text_of).collect::<Vec<_>>().join(" "),
        other => format!("{other:?}"),
    }
}

async fn opened(url: &str, namespace: &str) -> Arc<RedisStore> {
    let options = RedisOptions { namespace: namespace.into(), ..RedisOptions::default() };
    Arc::new(RedisStore::open(url, options).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_sentinel_makes_a_replica_the_master_work_goes_on_there() {
    let (mut master, at) = Server::on_loopback(&IN_MEMORY);
    let port = at.port().to_string();
    let (_replica, of) =
        Server::on_loopback(&[&IN_MEMORY[..], &["--replicaof", "127.0.0.1", &port]].concat());
    until(of, &["INFO", "replication"], "master_link_status:up").await;
    let sentinel = Sentinel::of(at);
    until(sentinel.address, &["SENTINEL", "REPLICAS", "jobs"], "127.0.0.1").await;

    let url = format!("redis+sentinel://{},{}/jobs", free(), sentinel.address);
    let store = opened(&url, "replicated").await;
    for n in 0..100 {
        store.enqueue(vec![job(n)], false, None).await.unwrap()[0].clone().unwrap();
    }
    let held = claim(&store, Vec::new(), 40).await;
    assert_eq!(held.len(), 40);
    carried_over(at).await;
    // That is with the replica too now. The load of the other namespace goes on while the master dies, and may lose what
    // replication had not carried over: it is asynchronous.
    let mut history = History::begin(Arc::new(At(url.clone())), AckLevel::None, 21);
    history.start().await;
    history.progress(20, RESUMED_WITHIN).await;
    // The settings of its queues at least must be there.
    carried_over(at).await;
    history.fault(FaultKind::Failover);
    master.kill();
    // What the master has answered last may be written down after it was killed: the fault takes that too.
    until(of, &["ROLE"], "master").await;
    history.fault(FaultKind::Failover);
    history.progress(200, RESUMED_WITHIN).await;
    history.must_be_clean().await;

    let settle =
        held.into_iter().map(|job| Settle::Complete { lease: job.lease, result: None, then: Vec::new() });
    let rest = claim(&store, settle.collect(), 100).await;
    assert_eq!(rest.len(), 60, "leases hold, and so does what waited");
}

#[tokio::test]
async fn a_sentinel_that_is_taken_for_a_server_says_what_to_write() {
    let (_master, at) = Server::on_loopback(&IN_MEMORY);
    let sentinel = Sentinel::of(at);
    until(sentinel.address, &["PING"], "PONG").await;
    let url = format!("redis://{}", sentinel.address);
    let refused = RedisStore::open(&url, RedisOptions::default()).await.unwrap_err().to_string();
    assert!(refused.contains("redis+sentinel://"), "{refused}");
    let url = format!("redis+sentinel://{}/nobody", sentinel.address);
    let refused = RedisStore::open(&url, RedisOptions::default()).await.unwrap_err().to_string();
    assert!(refused.contains("cannot reach"), "{refused}");
}

/// A Cluster of three masters, each with a replica.
struct Cluster {
    nodes: Vec<(Server, SocketAddr)>,
}

impl Cluster {
    async fn start() -> Self {
        let nodes: Vec<_> = (0..6)
            .map(|_| {
                let bus = free().port().to_string();
                let options =
                    ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port", &bus];
                Server::on_loopback(&[&IN_MEMORY[..], &options[..]].concat())
            })
            .collect();
        let addresses = nodes.iter().map(|(_, at)| at.to_string());
        let made = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .args(["--cluster-replicas", "1", "--cluster-yes"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
        for (_, at) in &nodes {
            until(*at, &["CLUSTER", "INFO"], "cluster_state:ok").await;
        }
        let cluster = Self { nodes };
        for (_, at) in &cluster.nodes {
            let role = text_of(&ask(*at, &["ROLE"]).await.unwrap());
            if role.starts_with("slave") {
                until(*at, &["INFO", "replication"], "master_link_status:up").await;
            }
        }
        cluster
    }

    fn url(&self) -> String {
        let addresses: Vec<String> = self.nodes.iter().map(|(_, at)| at.to_string()).collect();
        format!("redis+cluster://{}", addresses.join(","))
    }

    /// The node that owns the slot of a namespace, and its replica once it is one, by their places here.
    async fn owner(&self, namespace: &str) -> (usize, Option<usize>) {
        let any = self.alive().await;
        let slot = ask(any, &["CLUSTER", "KEYSLOT", &format!("{{{namespace}}}")]).await.unwrap();
        let Value::Int(slot) = slot else { panic!("{slot:?}") };
        let Value::Array(ranges) = ask(any, &["CLUSTER", "SLOTS"]).await.unwrap() else { panic!("slots") };
        for range in ranges {
            let Value::Array(parts) = range else { panic!("range") };
            let (Value::Int(from), Value::Int(to)) = (&parts[0], &parts[1]) else { panic!("numbers") };
            if (*from..=*to).contains(&slot) {
                let place = |part: Option<&Value>| {
                    let Value::Array(node) = part? else { panic!("node") };
                    let Value::Int(port) = node[1] else { panic!("port") };
                    self.nodes.iter().position(|(_, at)| i64::from(at.port()) == port)
                };
                return (place(parts.get(2)).unwrap(), place(parts.get(3)));
            }
        }
        panic!("nobody owns slot {slot}");
    }

    /// Where the replica of a namespace's owner is.
    async fn replica(&self, namespace: &str) -> SocketAddr {
        for _ in 0..1_000 {
            if let (_, Some(replica)) = self.owner(namespace).await {
                return self.nodes[replica].1;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the owner of {namespace} never had a replica");
    }

    async fn alive(&self) -> SocketAddr {
        for (_, at) in &self.nodes {
            if ask(*at, &["PING"]).await.is_ok() {
                return *at;
            }
        }
        panic!("all nodes are dead");
    }
}

/// Asks a replica to take its master's place in good order. The masters vote for a new one only so often, and a request
/// that got no votes is forgotten: then it is asked again.
async fn hand_over_to(replica: SocketAddr) {
    for _ in 0..20 {
        // While an earlier request is under way a second one is refused, which is as good.
        let _ = ask(replica, &["CLUSTER", "FAILOVER"]).await;
        for _ in 0..50 {
            if ask(replica, &["ROLE"]).await.is_ok_and(|role| text_of(&role).starts_with("master")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    panic!("{replica} never became the master");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_carries_many_namespaces_and_each_outlives_its_node() {
    let mut cluster = Cluster::start().await;
    let url = cluster.url();
    let mut owners = std::collections::BTreeSet::new();
    for namespace in ["a", "b", "c", "d", "e", "f"] {
        owners.insert(cluster.owner(namespace).await.0);
        let store = opened(&url, namespace).await;
        store.enqueue(vec![job(1)], false, None).await.unwrap()[0].clone().unwrap();
        assert_eq!(claim(&store, Vec::new(), 9).await.len(), 1, "namespace {namespace}");
    }
    assert_eq!(owners.len(), 3, "six namespaces lie on all three masters");

    // Handed over in order, again and again: nothing that was answered is lost.
    let mut history = History::begin(Arc::new(At(url.clone())), AckLevel::Process, 22);
    history.start().await;
    for _ in 0..5 {
        history.progress(50, RESUMED_WITHIN).await;
        let replica = cluster.replica("windlass").await;
        until(replica, &["INFO", "replication"], "master_link_status:up").await;
        history.fault(FaultKind::Connection);
        hand_over_to(replica).await;
    }
    history.progress(50, RESUMED_WITHIN).await;

    // Killed: what was not replicated may be lost, and the work goes on.
    let replica = cluster.replica("windlass").await;
    until(replica, &["INFO", "replication"], "master_link_status:up").await;
    let (owner, _) = cluster.owner("windlass").await;
    history.fault(FaultKind::Failover);
    cluster.nodes[owner].0.kill();
    until(replica, &["ROLE"], "master").await;
    history.fault(FaultKind::Failover);
    history.progress(200, RESUMED_WITHIN).await;
    history.must_be_clean().await;
}

#[tokio::test]
async fn a_node_of_a_cluster_that_is_taken_for_a_server_says_what_to_write() {
    let bus = free().port().to_string();
    let (_node, at) = Server::on_loopback(&["--cluster-enabled", "yes", "--cluster-port", &bus]);
    let refused =
        RedisStore::open(&format!("redis://{at}"), RedisOptions::default()).await.unwrap_err().to_string();
    assert!(refused.contains("redis+cluster://"), "{refused}");
}

#[tokio::test]
async fn a_url_that_names_nothing_says_what_to_write() {
    for (url, says) in [
        ("redis://", "names no server"),
        ("redis://a,b", "redis+cluster://"),
        ("redis+sentinel://a:1,b:2", "redis+sentinel://host:26379,host:26379/MASTER"),
        ("redis+cluster://a:1/3", "no numbered databases"),
        ("redis+cluster://a:x", "did not parse"),
        ("redis+mesh://a:1", "none of unix, sentinel, cluster"),
        ("redis+unix:///s?tls_ca=/x", "a socket has no option \"tls_ca\""),
        ("redis://a:1?tls=yes", "there is no option \"tls\""),
        ("redis://a:1?tls_ca=/nowhere", "certificates are for rediss://"),
    ] {
        let refused = RedisStore::open(url, RedisOptions::default()).await.unwrap_err().to_string();
        assert!(refused.contains(says), "{url}: {refused}");
    }
}
