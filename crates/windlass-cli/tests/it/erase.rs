//! `windlass erase` on every kind of store: by its name only, and nothing else than a store.

use crate::server::Server;
use crate::shell::{Shell, keys, sorted};
use crate::{postgres, redis};

/// What is refused, what is erased, and what is left: the store has the name, and there is another one beside it.
fn is_erased_by_its_name_only(shell: &Shell, store: &str, name: &str, beside: &str) {
    for url in [store, beside] {
        shell.ok(&["enqueue", "q", "k", "--store", url]);
    }
    let jobs = |url: &str| shell.json(&["jobs", "ls", "--store", url]).len();
    let asked = shell.run(&["erase", "--store", store]);
    assert_eq!(asked.code, 4, "nobody can be asked here: {}", asked.err);
    assert!(asked.err.contains(&format!("--yes {name}")), "{}", asked.err);
    let other = shell.run(&["erase", "--store", store, "--yes", "other", "--json"]);
    assert_eq!((other.code, &other.error()["code"]), (4, &"not_confirmed".into()), "{}", other.err);
    assert_eq!(jobs(store), 1, "nothing was erased");
    let erased = shell.object(&["erase", "--store", store, "--yes", name]);
    assert_eq!(keys(&erased), sorted("store name erased"));
    let again = shell.run(&["erase", "--store", store, "--yes", name]);
    assert_eq!(again.code, 3, "there is none any more: {}", again.err);
    assert_eq!(jobs(beside), 1);
    shell.ok(&["enqueue", "q", "k", "--store", store]);
    assert_eq!(jobs(store), 1, "it begins anew");
}

#[test]
fn a_directory_is_erased_by_its_name_only() {
    let shell = Shell::new();
    let (store, beside) = (format!("file:{}?ack=process", shell.data()), "file:./beside");
    is_erased_by_its_name_only(&shell, &store, "data", beside);
    // Where the command stands has a name, too.
    let mut here = shell.command(&["erase", "--store", "file:.", "--yes", "data"]);
    let here = here.current_dir(shell.data()).output().expect("the command runs");
    assert!(here.status.success(), "{}", String::from_utf8_lossy(&here.stderr));
    assert!(std::fs::read_dir(shell.data()).map_or(0, Iterator::count) == 0);
}

#[test]
fn a_redis_namespace_is_erased_by_its_name_only() {
    let (server, address) = redis::Server::on_loopback(&["--appendonly", "no"]);
    let url = format!("redis://{address}");
    is_erased_by_its_name_only(&Shell::new(), &format!("{url}?namespace=old"), "old", &url);
    drop(server);
}

#[test]
fn a_postgres_namespace_is_erased_by_its_name_only() {
    let (server, url) = postgres::server();
    is_erased_by_its_name_only(&Shell::new(), &url, "windlass", &format!("{url}?namespace=beside"));
    drop(server);
}

#[test]
fn what_is_no_store_is_not_erased() {
    let shell = Shell::new();
    std::fs::create_dir(shell.path("data")).expect("a directory");
    std::fs::write(shell.path("data").join("thesis.txt"), "mine").expect("a file");
    let (server, url): (Server, String) = postgres::server();
    server.sql("CREATE SCHEMA theirs; CREATE TABLE theirs.orders (id int)");
    for (store, name) in
        [(format!("file:{}", shell.data()), "data"), (format!("{url}?namespace=theirs"), "theirs")]
    {
        let told = shell.run(&["erase", "--store", &store, "--yes", name, "--json"]);
        assert_eq!((told.code, &told.error()["code"]), (4, &"not_a_store".into()), "{}", told.err);
    }
    assert!(shell.path("data").join("thesis.txt").exists());
    assert_eq!(server.sql("SELECT count(*) FROM theirs.orders"), "0");
    assert_eq!(shell.run(&["erase", "--store", "memory:", "--yes", "memory"]).code, 2);
}

#[test]
fn a_directory_that_a_process_has_open_is_not_erased() {
    let shell = Shell::new();
    shell.enqueue(&["q", "k"]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let client =
        runtime.block_on(windlass::open(&format!("file:{}", shell.data()))).expect("the store opens");
    let told = shell.run(&["erase", "--yes", "data"]);
    assert_eq!(told.code, 5, "{}", told.err);
    assert!(told.err.contains(&std::process::id().to_string()), "the process is named: {}", told.err);
    runtime.block_on(client.store().close()).expect("the store closes");
    drop(client);
    assert_eq!(shell.json(&["jobs", "ls"]).len(), 1);
}
