//! Several relays, and the doorbell.

use crate::base::{known, on_each, relay};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use windlass_core::store::Admin;

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
        let why = relay(base.outbox(), &store).drain().await.expect_err("no table");
        assert!(why.cause.contains("windlass outbox schema"), "{why}");
        assert!(!why.retryable);
    });
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
