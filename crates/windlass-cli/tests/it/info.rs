//! `windlass info` on every kind of store.

use serde_json::Value;

use crate::shell::{Shell, keys, sorted, text};
use crate::{postgres, redis};

const FIELDS: &str = "store kind server namespace format windlass ack_level settings queues jobs workers schedules readers \
                      disk_bytes live_bytes event_bytes memory_bytes space_low opened warnings";

/// The store of that URL with two jobs in it, one of them not due.
fn told(shell: &Shell, url: &str) -> Value {
    shell.ok(&["enqueue", "q", "k", "--store", url]);
    shell.ok(&["enqueue", "other", "k", "--delay", "1h", "--store", url]);
    let told = shell.object(&["info", "--store", url]);
    assert_eq!(keys(&told), sorted(FIELDS));
    let counts = (&told["queues"], &told["jobs"]["ready"], &told["jobs"]["scheduled"], &told["jobs"]["dead"]);
    assert_eq!(counts, (&2.into(), &1.into(), &1.into(), &0.into()));
    let human = shell.ok(&["info", "--store", url]);
    assert!(human.contains("1 scheduled, 1 ready\n"), "{human}");
    assert_eq!(human.contains("of the whole server"), url.starts_with("redis"), "{human}");
    told
}

fn warned(told: &Value, of: &str) -> bool {
    told["warnings"].as_array().expect("a list").iter().any(|warning| text(warning).contains(of))
}

#[test]
fn a_directory_says_its_format_and_its_level() {
    let shell = Shell::new();
    let told = told(&shell, &format!("file:{}", shell.data()));
    assert_eq!((&told["kind"], &told["ack_level"]), (&"embedded".into(), &"power".into()));
    assert_eq!((&told["format"], &told["warnings"]), (&"version 1".into(), &serde_json::json!([])));
    assert_eq!(shell.run(&["info", "--store", "file:./nowhere"]).code, 5);
}

#[test]
fn a_redis_server_says_what_its_settings_give_and_what_to_change() {
    let shell = Shell::new();
    let options = ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory", "1gb"];
    let (server, address) = redis::Server::on_loopback(&options);
    let told = told(&shell, &format!("redis://{address}?namespace=mine"));
    assert_eq!((&told["namespace"], &told["ack_level"]), (&"mine".into(), &"power".into()));
    assert!(text(&told["server"]).starts_with("Redis 7.") || text(&told["server"]).starts_with("Valkey"));
    assert_eq!(
        (&told["settings"]["appendfsync"], &told["settings"]["maxmemory"]),
        (&"always".into(), &"1073741824".into())
    );
    assert!(told["event_bytes"].as_u64() > Some(0) && told["memory_bytes"].as_u64() > Some(0), "{told}");
    assert_eq!(told["warnings"], serde_json::json!([]));
    drop(server);
    let (server, address) = redis::Server::on_loopback(&["--appendonly", "no"]);
    let url = format!("redis://{address}");
    shell.ok(&["queues", "set", "q", "--concurrency", "1", "--store", &url]);
    let human = shell.ok(&["info", "--store", &url]);
    let says =
        |line: &str| human.lines().any(|told| told.split_whitespace().collect::<Vec<_>>().join(" ") == line);
    assert!(says("jobs none") && says("events 0 B"), "{human}");
    assert_eq!(human.matches(" of the whole server, none of it").count(), 3, "{human}");
    shell.ok(&["enqueue", "q", "k", "--store", &url]);
    let human = shell.ok(&["info", "--store", &url]);
    assert_eq!(human.matches(" of the whole server\n").count(), 3, "{human}");
    let told = shell.object(&["info", "--store", &url]);
    assert_eq!(told["ack_level"], "none");
    assert!(warned(&told, "set appendonly yes") && warned(&told, "maxmemory"), "{told}");
    drop(server);
}

#[test]
fn a_postgres_server_says_its_schema_and_what_to_change() {
    let (server, url) = postgres::server();
    let shell = Shell::new();
    let first = told(&shell, &url);
    assert_eq!((&first["namespace"], &first["ack_level"]), (&"windlass".into(), &"power".into()));
    assert!(text(&first["server"]).starts_with("PostgreSQL "), "{first}");
    assert!(text(&first["format"]).starts_with("schema version "), "{first}");
    assert_eq!((&first["settings"]["fsync"], &first["warnings"]), (&"on".into(), &serde_json::json!([])));
    server.sql("ALTER ROLE windlass SET synchronous_commit = off");
    let told = shell.object(&["info", "--store", &url]);
    assert_eq!(told["ack_level"], "window(1000 ms)");
    assert!(warned(&told, "synchronous_commit off"), "{told}");
}
