//! Several relays, and the doorbell.

use crate::base::{known, on_each, relay};
use crate::cut::{AWAY, Cut};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use windlass_core::StoreError;
use windlass_core::store::Admin;
use windlass_outbox::postgres::PostgresOutbox;
use windlass_outbox::{Outbox, Table};

async fn until(what: &str, is: impl AsyncFn() -> bool) {
    let patience = Instant::now();
    while !is().await {
        assert!(patience.elapsed().as_secs() < 30, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn one_relay_at_a_time_has_a_table_and_the_next_takes_over() {
    on_each("two", async |base, target| {
        let store = target.open();
        let (stop_first, stopping) = watch::channel(false);
        let (mut first, mut second) = (relay(base.outbox(), &store), relay(base.outbox(), &store));
        let first = tokio::spawn(async move { first.run(stopping).await.map(|()| first.relayed()) });
        until("the first relay has the table", async || base.outbox().standing().await.unwrap().relay).await;
        let (stop_second, stopping) = watch::channel(false);
        let second = tokio::spawn(async move { second.run(stopping).await.map(|()| second.relayed()) });
        for number in 0..50 {
            base.put("q", number, "{}").await;
        }
        until("all rows are jobs", async || known(&store, "q").await == 50).await;
        stop_first.send(true).unwrap();
        assert_eq!(first.await.unwrap().unwrap().rows, 50, "the second stood by");
        for number in 50..100 {
            base.put("q", number, "{}").await;
        }
        until("all rows are jobs", async || known(&store, "q").await == 100).await;
        until("all rows are gone", async || base.outbox().standing().await.unwrap().waiting == 0).await;
        stop_second.send(true).unwrap();
        assert_eq!(second.await.unwrap().unwrap().rows, 50);
        let info = store.info().await.unwrap();
        assert!(info.jobs >= 100, "{info:?}");
    });
}

#[test]
fn a_table_that_is_not_there_is_told_with_what_to_do() {
    on_each("no_table", async |base, target| {
        let store = target.open();
        base.run("DROP TABLE windlass_outbox_relay").await;
        let relayed = relay(base.outbox(), &store).drain().await.expect_err("no table");
        let looked = base.outbox().standing().await.expect_err("no table");
        let retried = base.outbox().retry(None).await.expect_err("no table");
        for why in [relayed, looked, retried] {
            assert!(why.operation == "open" && !why.retryable, "{why}");
            let piped =
                ["windlass outbox schema postgres | psql '", "windlass outbox schema sqlite | sqlite3 '"];
            assert!(piped.iter().any(|command| why.cause.contains(command)), "{why}");
        }
    });
}

#[test]
fn a_fault_is_told_with_what_was_wanted_of_whom_and_so_is_its_end() {
    on_each("over", async |base, target| {
        let store = target.open();
        // A step that is taken up (1), and one amid the work (2).
        for (step, number) in [(1, 0), (2, 1)] {
            let told = Arc::new(Mutex::new(Vec::new()));
            let hears = told.clone();
            let relay = relay(Cut::away_at(base.outbox(), step), &store);
            let mut relay = relay.telling(move |said| hears.lock().unwrap().push(said.to_owned()));
            let (stop, stopping) = watch::channel(false);
            let running = tokio::spawn(async move { relay.run(stopping).await.map(|()| relay.relayed()) });
            base.put("q", number, "{}").await;
            until("the row is a job", async || known(&store, "q").await == number + 1).await;
            stop.send(true).unwrap();
            assert_eq!(running.await.unwrap().unwrap().faults, 1);
            let told = told.lock().unwrap();
            let [fault, end] = &told[..] else { panic!("{told:?}") };
            assert_eq!(*fault, format!("{AWAY}; again in 50 ms"));
            assert!(end.contains("answer again; going on"), "{end}");
        }
    });
    let away = StoreError::stopped("info", "cannot reach the Redis server");
    assert_eq!(windlass_outbox::in_words(&away), "asking the queue: cannot reach the Redis server");
}

#[test]
fn a_database_that_is_away_is_named_and_its_password_is_not() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for address in
        ["postgres://ann:secret@127.0.0.1:1/app?sslmode=disable", "host=127.0.0.1 port=1 user=ann dbname=app"]
    {
        let mut outbox = PostgresOutbox::new(address, Table::default()).unwrap();
        let told =
            windlass_outbox::in_words(&runtime.block_on(outbox.standing()).expect_err("nobody listens"));
        assert!(told.starts_with("the outbox's database at postgres://ann@127.0.0.1:1/app: "), "{told}");
        assert!(!told.contains("secret"), "{told}");
    }
}

#[test]
fn a_table_of_another_version_is_refused() {
    on_each("version", async |base, target| {
        let store = target.open();
        base.run("UPDATE windlass_outbox_relay SET version = 2").await;
        let why = relay(base.outbox(), &store).drain().await.expect_err("another version");
        assert!(why.cause.contains("version 2"), "{why}");
    });
}

#[test]
fn a_store_that_keeps_nothing_is_refused() {
    on_each("nothing_kept", async |base, _| {
        let store: std::sync::Arc<dyn windlass_core::store::Store> =
            std::sync::Arc::new(windlass_embedded::EmbeddedStore::memory(Default::default()));
        let mut relay = windlass_outbox::Relay::new(base.outbox(), store, Default::default());
        assert!(relay.drain().await.expect_err("refused").cause.contains("keeps nothing"));
    });
}
