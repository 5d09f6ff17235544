//! What the queue's state does to rows: nothing is skipped, nobody is held up.

use crate::base::{drain, known, numbers, on_each, queue, work};
use windlass_core::queue::QueueSettings;
use windlass_core::store::Admin;

#[test]
fn rows_of_a_full_queue_wait_in_order_and_hold_up_no_other_queue() {
    on_each("full", async |base, target| {
        let store = target.open();
        let small = QueueSettings { max_waiting: Some(3), ..QueueSettings::default() };
        store.set_queue(queue("small"), small, None).await.unwrap().unwrap();
        for number in 0..8 {
            base.put("small", number, "{}").await;
            base.put("q", number, "{}").await;
        }
        let full = drain(&base, &store).await.expect_err("the queue is full");
        assert!(full.cause.contains("small"), "{full}");
        assert_eq!(known(&store, "q").await, 8, "the others are there");
        let mut seen = work(&store, "small").await;
        assert_eq!(seen.len(), 3, "as many as there is room for");
        for _ in 0..5 {
            let _ = drain(&base, &store).await;
            seen.extend(work(&store, "small").await);
        }
        assert_eq!(numbers(&seen), (0..8).collect::<Vec<_>>());
    });
}

#[test]
fn rows_with_the_same_unique_key_meet_each_other_as_in_the_queue() {
    on_each("unique", async |base, target| {
        let store = target.open();
        let options = r#"{"unique": {"key": "k", "on_conflict": "replace"}}"#;
        for number in 0..3 {
            base.put("q", number, options).await;
        }
        let relayed = drain(&base, &store).await.unwrap();
        assert_eq!((relayed.rows, relayed.known), (3, 2));
        assert_eq!(numbers(&work(&store, "q").await), [2], "one job, with the last payload");
    });
}

#[test]
fn a_row_whose_parent_is_a_row_that_waits_waits_too() {
    on_each("parents", async |base, target| {
        let store = target.open();
        let small = QueueSettings { max_waiting: Some(1), ..QueueSettings::default() };
        store.set_queue(queue("small"), small, None).await.unwrap().unwrap();
        base.put("small", 0, "{}").await;
        let parent = "0199f4f0-0000-7000-8000-000000000001";
        base.run(&format!(
            "INSERT INTO windlass_outbox (id, queue, kind, payload) VALUES ('{parent}', 'small', 'k', '1')"
        ))
        .await;
        base.put("q", 2, &format!(r#"{{"parents": [{{"id": "{parent}"}}]}}"#)).await;
        let _ = drain(&base, &store).await.expect_err("no room for the parent");
        assert_eq!(known(&store, "q").await, 0);
        let mut seen = work(&store, "small").await;
        drain(&base, &store).await.unwrap();
        seen.extend(work(&store, "small").await);
        seen.extend(work(&store, "q").await);
        assert_eq!(numbers(&seen), [0, 1, 2]);
        assert_eq!(base.outbox().standing().await.unwrap().refused, 0);
    });
}

#[test]
fn a_delay_counts_from_the_row_and_not_from_the_relay() {
    on_each("delay", async |base, target| {
        let store = target.open();
        base.put("q", 1, r#"{"delay_ms": 3600000}"#).await;
        drain(&base, &store).await.unwrap();
        assert_eq!(work(&store, "q").await.len(), 0);
        target.later(3_600_000 + 60_000);
        let patience = std::time::Instant::now();
        let mut seen = Vec::new();
        while seen.is_empty() {
            assert!(patience.elapsed().as_secs() < 20, "it becomes ready");
            tokio::task::yield_now().await;
            seen = work(&store, "q").await;
        }
        assert_eq!(numbers(&seen), [1]);
    });
}
