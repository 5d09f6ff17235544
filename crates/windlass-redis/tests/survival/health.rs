//! A server that is not as it was: it lost its functions, has no memory left, is too old, or forgets jobs by itself.

use std::sync::Arc;
use std::time::Duration;

use windlass_core::queue::QueueSettings;
use windlass_core::store::{
    AckLevel, Admin, Claim, From, Queue, Reader, Settle, Signal, Store, Upkeep, Watch,
};
use windlass_core::{JobId, Kind, NewJob, QueueName, Rejection, Time, WorkerId};
use windlass_redis::{RedisOptions, RedisStore};

use crate::server::Server;

pub(crate) fn job(n: u64) -> NewJob {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let id = JobId::named(Time(now.as_millis() as u64), &n.to_string());
    NewJob::new(id, queue(), Kind::new("work").unwrap(), vec![b'.'; 1_000])
}

pub(crate) fn queue() -> QueueName {
    QueueName::new("q").unwrap()
}

pub(crate) async fn open(server: &Server) -> Arc<RedisStore> {
    Arc::new(RedisStore::open(&server.url(), RedisOptions::default()).await.unwrap())
}

pub(crate) async fn claim(
    store: &RedisStore,
    settle_first: Vec<Settle>,
    n: u32,
) -> Vec<windlass_core::store::ClaimedJob> {
    let claim = Claim { settle_first, wants: vec![(queue(), n)], worker: WorkerId(1), nonce: 9 };
    let claimed = store.claim(claim, None).await.unwrap();
    claimed.settled.into_iter().for_each(|settled| settled.unwrap());
    claimed.jobs
}

/// A command from outside.
pub(crate) async fn tell(server: &Server, command: &[&str]) -> redis::Value {
    let mut connection =
        redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let mut cmd = redis::cmd(command[0]);
    command[1..].iter().for_each(|argument| {
        cmd.arg(*argument);
    });
    cmd.query_async(&mut connection).await.unwrap()
}

#[tokio::test]
async fn a_server_that_lost_its_functions_is_given_them_again() {
    let server = Server::start();
    let store = open(&server).await;
    store.enqueue(vec![job(1)], false, None).await.unwrap()[0].clone().unwrap();
    tell(&server, &["FUNCTION", "FLUSH"]).await;
    store.enqueue(vec![job(2)], false, None).await.unwrap()[0].clone().unwrap();
    tell(&server, &["FUNCTION", "FLUSH"]).await;
    assert_eq!(claim(&store, Vec::new(), 9).await.len(), 2);
}

#[tokio::test]
async fn a_server_without_memory_refuses_new_jobs_and_lets_the_others_end() {
    let server = Server::start();
    let store = open(&server).await;
    for batch in 0..20 {
        let jobs = (0..100).map(|n| job(batch * 100 + n)).collect();
        store
            .enqueue(jobs, false, None)
            .await
            .unwrap()
            .into_iter()
            .for_each(|answer| assert!(answer.is_ok(), "{answer:?}"));
    }
    tell(&server, &["CONFIG", "SET", "maxmemory", "1mb"]).await;
    assert_eq!(store.enqueue(vec![job(9_999)], false, None).await.unwrap(), [Err(Rejection::OutOfSpace)]);
    assert!(store.info().await.unwrap().space_low);
    let mut done = 0;
    let mut settle = Vec::new();
    loop {
        let jobs = claim(&store, std::mem::take(&mut settle), 100).await;
        if jobs.is_empty() {
            break;
        }
        done += jobs.len();
        settle = jobs
            .into_iter()
            .map(|job| Settle::Complete { lease: job.lease, result: None, then: Vec::new() })
            .collect();
    }
    assert_eq!(done, 2_000);
    tell(&server, &["CONFIG", "SET", "maxmemory", "0"]).await;
    store.enqueue(vec![job(9_999)], false, None).await.unwrap()[0].clone().unwrap();
}

#[tokio::test]
async fn a_server_that_would_forget_jobs_is_refused_with_the_setting_to_change() {
    let server = Server::with(&["--maxmemory-policy", "allkeys-lru"]);
    let refused = RedisStore::open(&server.url(), RedisOptions::default()).await.unwrap_err().to_string();
    assert!(refused.contains("maxmemory-policy noeviction"), "{refused}");
}

#[tokio::test]
async fn what_an_acknowledged_write_survives_is_what_the_servers_settings_give() {
    for (options, level) in [
        (["--appendonly", "yes", "--appendfsync", "always"], AckLevel::Power),
        (["--appendonly", "yes", "--appendfsync", "everysec"], AckLevel::Window { ms: 2_000 }),
        (["--appendonly", "yes", "--appendfsync", "no"], AckLevel::None),
        (["--appendonly", "no", "--appendfsync", "always"], AckLevel::None),
    ] {
        let server = Server::with(&options);
        assert_eq!(open(&server).await.ack_level(), level, "{options:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_for_later_that_keep_coming_keep_upkeep_from_nothing() {
    let server = Server::with(&["--appendonly", "no"]);
    let store = open(&server).await;
    let settings = QueueSettings { lease_ms: 1_000, ..QueueSettings::default() };
    store.set_queue(queue(), settings, None).await.unwrap().unwrap();
    store.enqueue(vec![job(1)], false, None).await.unwrap()[0].clone().unwrap();
    let held = claim(&store, Vec::new(), 1).await.remove(0);
    // Its worker says nothing more, while others enqueue for later all the time.
    let mut n = 2;
    let lost = async {
        while store.get(held.lease.job).await.unwrap().unwrap().view.losses == 0 {
            let later = NewJob { delay_ms: Some(3_600_000), ..job(n) };
            store.enqueue(vec![later], false, None).await.unwrap()[0].clone().unwrap();
            n += 1;
        }
    };
    tokio::time::timeout(Duration::from_secs(6), lost).await.expect("a lease of a second runs out");
}

#[tokio::test]
async fn the_event_log_is_bounded_and_a_reader_that_was_passed_is_told_of_a_gap() {
    let server = Server::with(&["--appendonly", "no"]);
    let store = open(&server).await;
    let first = store.events(From::Earliest, 1, 0).await.unwrap().unwrap().next;
    // Each snooze leaves an event of 4 KiB, each batch an entry of 4 MiB.
    let reason = "x".repeat(4_096);
    store.enqueue((0..1_000).map(job).collect(), false, None).await.unwrap();
    let after_enqueues = store.events(From::Earliest, 1_000, 0).await.unwrap().unwrap().next;
    let mut seen_bytes = 0;
    for round in 0..20 {
        let jobs = claim(&store, Vec::new(), 1_000).await;
        assert_eq!(jobs.len(), 1_000, "round {round}");
        let snooze = |job: windlass_core::store::ClaimedJob| Settle::Snooze {
            lease: job.lease,
            delay_ms: 0,
            reason: reason.clone(),
            holds: None,
        };
        claim(&store, jobs.into_iter().map(snooze).collect(), 0).await;
        store.upkeep(1_000, None).await.unwrap();
        seen_bytes += 1_000 * reason.len();
        if round == 5 {
            let held = Reader::of_log("archive", after_enqueues);
            store.set_reader(held).await.unwrap();
        }
    }
    assert!(seen_bytes > 72 << 20, "beyond what is kept when nobody reads");
    // The registered reader holds the log back, so what follows its place is all there.
    let page = store.events(From::After(after_enqueues), 1_000, 0).await.unwrap().unwrap();
    assert!(!page.gap && !page.events.is_empty());
    // Once it is gone the log shrinks to its bound, and whoever reads on from the past is told.
    store.delete_reader("archive".into()).await.unwrap();
    for _ in 0..8 {
        let jobs = claim(&store, Vec::new(), 1_000).await;
        let release = |job: windlass_core::store::ClaimedJob| Settle::Release {
            lease: job.lease,
            reason: windlass_core::store::ReleaseReason::Unstarted,
        };
        claim(&store, jobs.into_iter().map(release).collect(), 0).await;
    }
    assert!(store.events(From::After(first), 1, 0).await.unwrap().unwrap().gap);
    let kept = tell(&server, &["MEMORY", "USAGE", "{windlass}v", "SAMPLES", "0"]).await;
    assert!(matches!(kept, redis::Value::Int(bytes) if bytes < 80 << 20), "{kept:?}");
}

#[tokio::test]
async fn an_erased_namespace_is_gone_and_its_neighbour_stays() {
    let server = Server::with(&["--appendonly", "no"]);
    let at = |namespace: &str| RedisOptions { namespace: namespace.into(), ..RedisOptions::default() };
    for namespace in ["a*", "ab"] {
        let store = RedisStore::open(&server.url(), at(namespace)).await.unwrap();
        store.enqueue(vec![job(1)], false, None).await.unwrap()[0].clone().unwrap();
        store.close().await.unwrap();
    }
    assert!(RedisStore::erase(&server.url(), "a*").await.unwrap() > 0);
    let left = |store: RedisStore| async move { store.info().await.unwrap().jobs };
    assert_eq!(left(RedisStore::open(&server.url(), at("a*")).await.unwrap()).await, 0);
    assert_eq!(left(RedisStore::open(&server.url(), at("ab")).await.unwrap()).await, 1);
}

#[tokio::test]
async fn what_is_no_stores_is_not_erased() {
    let server = Server::with(&["--appendonly", "no"]);
    let set = async |key: &str| drop(tell(&server, &["SET", key, "mine"]).await);
    let there = async |key: &str| tell(&server, &["EXISTS", key]).await == redis::Value::Int(1);
    set("{theirs}profile").await;
    let told = RedisStore::erase(&server.url(), "theirs").await.expect_err("not a store").to_string();
    assert!(told.contains("theirs is not a store of Windlass"), "{told}");
    // To look at it does not make it one.
    let at = |namespace: &str| RedisOptions { namespace: namespace.into(), ..RedisOptions::default() };
    for namespace in ["theirs", "nobodys"] {
        let store = RedisStore::open(&server.url(), at(namespace)).await.unwrap();
        store.upkeep(100, None).await.unwrap();
        assert_eq!(store.info().await.unwrap().jobs, 0);
        store.close().await.unwrap();
    }
    RedisStore::erase(&server.url(), "theirs").await.expect_err("still not a store");
    assert!(there("{theirs}profile").await);
    assert_eq!(RedisStore::erase(&server.url(), "nobodys").await.unwrap(), 0);
    assert_eq!(tell(&server, &["KEYS", "{nobodys}*"]).await, redis::Value::Array(Vec::new()));
    // Settings alone make a store.
    let store = RedisStore::open(&server.url(), at("settings")).await.unwrap();
    let settings = windlass_core::queue::QueueSettings::default();
    store.set_queue(windlass_core::QueueName::new("q").unwrap(), settings, None).await.unwrap().unwrap();
    store.close().await.unwrap();
    assert!(RedisStore::erase(&server.url(), "settings").await.unwrap() > 0);
    assert_eq!(tell(&server, &["KEYS", "{settings}*"]).await, redis::Value::Array(Vec::new()));
    // Beside a store, under the same name.
    set("{ours}:session").await;
    let store = RedisStore::open(&server.url(), at("ours")).await.unwrap();
    store.enqueue(vec![job(1)], false, None).await.unwrap()[0].clone().unwrap();
    store.close().await.unwrap();
    assert!(RedisStore::erase(&server.url(), "ours").await.unwrap() > 1);
    let left = redis::Value::Array(vec![redis::Value::BulkString(b"{ours}:session".to_vec())]);
    assert_eq!(tell(&server, &["KEYS", "{ours}*"]).await, left);
}

#[tokio::test]
async fn a_look_at_a_namespace_that_is_not_there_is_refused_and_makes_no_key() {
    let server = Server::with(&["--appendonly", "no"]);
    let looked = || RedisOptions { create: false, ..RedisOptions::default() };
    let create = |told: &str| format!("{}?create={told}", server.url());
    for (url, options) in [(server.url(), looked()), (create("false"), RedisOptions::default())] {
        let told = RedisStore::open(&url, options).await.unwrap_err().to_string();
        assert!(told.contains("there is no namespace windlass"), "{told}");
    }
    assert_eq!(tell(&server, &["KEYS", "*"]).await, redis::Value::Array(Vec::new()));
    let told = RedisStore::open(&create("maybe"), looked()).await.unwrap_err().to_string();
    assert!(told.contains("true or false"), "{told}");
    // Opened to work with, it is there, empty as it may be.
    RedisStore::open(&create("true"), looked()).await.unwrap().close().await.unwrap();
    let store = RedisStore::open(&server.url(), looked()).await.unwrap();
    store.enqueue(vec![job(1)], false, None).await.unwrap()[0].clone().unwrap();
    store.close().await.unwrap();
    // That key says nothing of whose the others are: without it the store is still there.
    tell(&server, &["DEL", "{windlass}n\u{1}server"]).await;
    assert_eq!(RedisStore::open(&server.url(), looked()).await.unwrap().info().await.unwrap().jobs, 1);
}

#[tokio::test]
async fn a_user_with_the_rights_that_the_docs_name_can_do_everything() {
    let server = Server::start();
    let rights = "on >secret ~{windlass}* &{windlass}:bell +@read +@write +@scripting +@connection +publish +subscribe \
                  +info +time";
    let user: Vec<&str> = ["ACL", "SETUSER", "worker"].into_iter().chain(rights.split_whitespace()).collect();
    tell(&server, &user).await;
    let url = format!("{}?user=worker&pass=secret", server.url());
    let store = RedisStore::open(&url, RedisOptions::default()).await.unwrap();
    // Without `+config|get` nobody can know that each write is synced.
    assert_eq!(store.ack_level(), AckLevel::Window { ms: 2_000 });
    store.enqueue(vec![job(1)], false, None).await.unwrap()[0].clone().unwrap();
    let held = claim(&store, Vec::new(), 1).await.remove(0);
    let done = Settle::Complete { lease: held.lease, result: None, then: Vec::new() };
    claim(&store, vec![done], 0).await;
    store.upkeep(100, None).await.unwrap();
    assert_eq!(store.sweep().await.unwrap(), 0);
    assert_eq!(store.info().await.unwrap().jobs, 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_in_words() {
    let mut server = Server::start();
    server.stop();
    let refused = RedisStore::open(&server.url(), RedisOptions::default()).await.unwrap_err().to_string();
    assert!(refused.contains("cannot reach the Redis server"), "{refused}");
}

#[tokio::test]
async fn a_refused_connection_is_told_with_what_to_write_instead() {
    let (closed, guarded) = Server::on_loopback(&["--appendonly", "no", "--requirepass", "secret"]);
    let (open, plain) = Server::on_loopback(&["--appendonly", "no"]);
    for (url, says) in [
        (format!("redis://{guarded}"), "redis://user:password@host"),
        (format!("redis://{guarded}/3"), "redis://user:password@host"),
        (closed.url(), "?user=USER&pass=PASSWORD"),
        (format!("redis://ann:hunter2@{guarded}"), "refused the user or the password"),
        (format!("redis+cluster://{guarded}"), "redis+cluster://user:password@host"),
        (format!("redis+sentinel://{guarded}/main"), "sentinel_password="),
        (format!("redis+cluster://{plain}"), "cluster support disabled"),
        (format!("redis://{plain}/99"), "DB index is out of range"),
        (format!("redis://{}", another_protocol()), "another protocol"),
    ] {
        let told = RedisStore::open(&url, RedisOptions::default()).await.unwrap_err().to_string();
        assert!(told.contains(says) && !told.contains("cannot reach"), "{url}: {told}");
        assert!(!told.contains("hunter2"), "no password is told: {told}");
    }
    drop(open);
}

/// Where somebody answers who is no Redis server.
fn another_protocol() -> std::net::SocketAddr {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // What was asked does not matter to it.
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        }
    });
    address
}

#[tokio::test]
async fn a_worker_that_waits_while_the_server_is_away_hears_of_work_when_it_is_back() {
    let mut server = Server::start();
    let store = open(&server).await;
    let waiting = {
        let store = Arc::clone(&store);
        tokio::spawn(
            async move { store.watch(Watch { worker: WorkerId(1), queues: vec![(queue(), 1)] }).await },
        )
    };
    // Another process enqueues once the server is back; this one has lost its connection meanwhile.
    server.kill();
    server.run();
    let other = open(&server).await;
    other.enqueue(vec![job(1)], false, None).await.unwrap()[0].clone().unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("it is rung").unwrap();
    // A watch that was asked while the server was away may fail instead; whoever asks again is told at once.
    assert!(heard.is_err() || heard.unwrap() == Signal::Work);
    assert_eq!(claim(&store, Vec::new(), 1).await.len(), 1);
}
