//! Rows that the queue refuses for good stand aside with their reason, and can be tried again.

use crate::base::{drain, numbers, on_each, queue, work};
use windlass_core::LimitName;
use windlass_core::limit::LimitSettings;
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::store::Admin;

#[test]
fn a_refused_row_stands_aside_with_its_reason_and_stops_no_other() {
    on_each("aside", async |base, target| {
        let store = target.open();
        let gpu = LimitName::new("gpu").unwrap();
        let one = LimitSettings { concurrency: Some(1), ..LimitSettings::default() };
        store.set_limit(gpu.clone(), Some(one), None).await.unwrap().unwrap();
        base.put("q", 1, "{}").await;
        base.put("bad name", 2, "{}").await;
        base.put("q", 3, r#"{"limits": [{"name": "gpu", "cost": 5}]}"#).await;
        base.put("q", 4, r#"{"dealy_ms": 5}"#).await;
        base.put("q", 5, r#"{"priority": 77}"#).await;
        let large = "x".repeat(1 << 20);
        base.run(&format!(
            "INSERT INTO windlass_outbox (queue, kind, payload) VALUES ('q', 'k', '\"{large}\"')"
        ))
        .await;
        base.put("q", 6, "{}").await;
        let relayed = drain(&base, &store).await.unwrap();
        assert_eq!((relayed.rows, relayed.refused), (2, 5));
        assert_eq!(numbers(&work(&store, "q").await), [1, 6]);
        let aside = base.outbox().refused(10).await.unwrap();
        let told: Vec<String> = aside
            .iter()
            .map(|row| format!("{}: {}", row.code.as_ref().unwrap(), row.reason.as_ref().unwrap()))
            .collect();
        for (told, says) in told.iter().zip([
            "invalid: queue name",
            "cost_too_high: limit gpu",
            "invalid: options: unknown field `dealy_ms`",
            "invalid: priority: 77",
            "invalid: payload: 10485",
        ]) {
            assert!(told.starts_with(says), "{told}");
        }

        // Once the limit is larger, that row goes; the others are refused again.
        let five = LimitSettings { concurrency: Some(5), ..LimitSettings::default() };
        store.set_limit(gpu, Some(five), None).await.unwrap().unwrap();
        assert_eq!(base.outbox().retry(Some(vec![aside[1].seq])).await.unwrap(), 1);
        drain(&base, &store).await.unwrap();
        assert_eq!(numbers(&work(&store, "q").await), [3]);
        assert_eq!(base.outbox().retry(None).await.unwrap(), 4);
        assert_eq!(drain(&base, &store).await.unwrap().refused, 4);
    });
}

#[test]
fn a_refused_row_of_an_ordered_group_holds_its_group_until_it_is_tried_again_or_deleted() {
    on_each("ordered", async |base, target| {
        let store = target.open();
        let groups = GroupSettings { ordered: true, ..GroupSettings::default() };
        let ordered = QueueSettings { groups, ..QueueSettings::default() };
        store.set_queue(queue("o"), ordered, None).await.unwrap().unwrap();
        let (a, b) = (r#"{"group": "a"}"#, r#"{"group": "b"}"#);
        base.put("o", 0, a).await;
        // An ordered group's jobs have priority 0.
        base.put("o", 1, r#"{"group": "a", "priority": 1}"#).await;
        base.put("o", 2, a).await;
        base.put("o", 3, b).await;
        drain(&base, &store).await.unwrap();
        base.put("o", 4, a).await;
        drain(&base, &store).await.unwrap();
        let standing = base.outbox().standing().await.unwrap();
        assert_eq!((standing.waiting, standing.refused, standing.held), (0, 1, 2));
        assert_eq!(numbers(&work(&store, "o").await), [0, 3], "the other group goes on");

        base.run(r#"UPDATE windlass_outbox_aside SET options = '{"group": "a"}' WHERE state = 'refused'"#)
            .await;
        base.put("o", 5, a).await;
        assert_eq!(base.outbox().retry(None).await.unwrap(), 1);
        drain(&base, &store).await.unwrap();
        assert_eq!(numbers(&work(&store, "o").await), [1, 2, 4, 5], "in the order of the rows");

        base.put("o", 6, r#"{"group": "a", "priority": 1}"#).await;
        base.put("o", 7, a).await;
        drain(&base, &store).await.unwrap();
        assert_eq!(work(&store, "o").await.len(), 0);
        base.run("DELETE FROM windlass_outbox_aside WHERE state = 'refused'").await;
        drain(&base, &store).await.unwrap();
        assert_eq!(numbers(&work(&store, "o").await), [7]);
    });
}

#[test]
fn a_refused_row_of_a_group_without_order_holds_nobody() {
    on_each("unordered", async |base, target| {
        let store = target.open();
        base.put("q", 0, r#"{"group": "a", "priority": 99}"#).await;
        base.put("q", 1, r#"{"group": "a"}"#).await;
        drain(&base, &store).await.unwrap();
        assert_eq!(numbers(&work(&store, "q").await), [1]);
    });
}
