//! Everything that a store says of itself, in one text that can be compared.
//!
//! Left out is what a reopen may change: deadlines (every lease gets its full time again) and figures that are counted
//! in memory only (claims of a group since it is there, lanes that wait, charts by second).

use serde_json::{Value, json};
use windlass_core::job::JobView;
use windlass_core::store::{Admin, Filter, Queue};
use windlass_core::{JobId, StoreError};
use windlass_embedded::EmbeddedStore;

/// All jobs, in the order of their ids.
pub(crate) async fn list(store: &EmbeddedStore) -> Result<Vec<JobView>, StoreError> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.list(Filter::default(), cursor, 1_000, 100_000).await?.expect("a page");
        all.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            all.sort_by_key(|view| view.id);
            return Ok(all);
        }
    }
}

/// The text, one line a thing.
pub(crate) async fn dump(store: &EmbeddedStore) -> Result<String, StoreError> {
    let mut lines = Vec::new();
    for view in list(store).await? {
        lines.push(job(store, view.id).await?);
    }
    for info in store.queues(None, None).await? {
        let mut line = serde_json::to_value(&info).expect("plain data");
        for left_out in ["groups", "completed_last_minute"] {
            line[left_out] = Value::Null;
        }
        lines.push(json!({ "queue": line, "all": line_settings(&info.settings) }));
        for group in store.groups(info.name.clone(), None, 1_000).await?.items {
            if group.counts.0.iter().sum::<u64>() > 0 || group.own_settings {
                let mut line = serde_json::to_value(&group).expect("plain data");
                line["claimed"] = Value::Null;
                lines.push(json!({ "group": line, "of": info.name }));
            }
        }
    }
    for info in store.limits(None, 1_000).await?.items {
        let mut line = serde_json::to_value(&info).expect("plain data");
        line["waiting_lanes"] = Value::Null;
        lines.push(json!({ "limit": line }));
    }
    for info in store.schedules().await? {
        lines.push(json!({ "schedule": info }));
    }
    for mode in store.errors(None, 1_000).await? {
        lines.push(json!({ "error": mode }));
    }
    for reader in store.readers().await? {
        lines.push(json!({ "reader": reader.name }));
    }
    lines.push(json!({ "meta": store.meta("key".into()).await? }));
    Ok(lines.iter().map(|line| format!("{line}\n")).collect())
}

fn line_settings(settings: &windlass_core::queue::QueueSettings) -> Value {
    serde_json::to_value(settings).expect("plain data")
}

async fn job(store: &EmbeddedStore, id: JobId) -> Result<Value, StoreError> {
    let mut detail = store.get(id).await?.expect("a listed job is known");
    // A set, of which a copied record may change the order.
    detail.children.sort();
    let mut logs = Vec::new();
    for attempt in 1..=detail.view.attempt {
        logs.push(store.logs(id, attempt).await?.expect("a known job"));
    }
    let mut line = serde_json::to_value(&detail).expect("plain data");
    line["deadline"] = Value::Null;
    Ok(json!({ "job": line, "logs": logs }))
}

/// The first line in which two texts differ, for the message of a failure.
pub(crate) fn difference(one: &str, other: &str) -> String {
    let pairs = one.lines().zip(other.lines());
    match pairs.enumerate().find(|(_, (one, other))| one != other) {
        Some((number, (one, other))) => format!("line {number}:\n- {one}\n+ {other}"),
        None => format!("{} lines against {}", one.lines().count(), other.lines().count()),
    }
}

/// Whether the store still answers; for stores that are expected to be well.
pub(crate) async fn is_well(store: &EmbeddedStore) -> bool {
    store.heartbeat(Vec::new(), None).await.is_ok()
}
