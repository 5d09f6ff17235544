//! What the jobs of the torture are made of, known to the process that makes them and to the one that checks.
//!
//! An id tells its cycle, its task and its number, so that no two are alike.

use windlass_core::event::Cursor;
use windlass_core::job::{OnConflict, Unique, UniqueScope};
use windlass_core::limit::LimitSettings;
use windlass_core::name::UniqueKey;
use windlass_core::queue::{GroupSettings, OnHeadDeath, QueueSettings, Retention};
use windlass_core::rate::Rate;
use windlass_core::retry::RetryPolicy;
use windlass_core::store::{Reader, Store};
use windlass_core::{JobId, LimitName, QueueName, Time};

/// Every queue; the first letter of the story of each is in [`settings`].
pub(crate) const QUEUES: [&str; 6] = ["plain", "fair", "ordered", "parked", "limited", "later"];
/// Unique keys in play.
pub(crate) const KEYS: u64 = 60;

pub(crate) fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

/// Whether the groups of that queue are ordered.
pub(crate) fn is_ordered(queue: &str) -> bool {
    matches!(queue, "ordered" | "parked")
}

/// Whether a dead head shuts its group there.
pub(crate) fn is_blocking(queue: &str) -> bool {
    queue == "ordered"
}

/// Ended jobs go soon everywhere, so that pruning, remembering and reclaiming are always at work.
fn settings(name: &str) -> QueueSettings {
    let (ms, count) = match name {
        "plain" => (150, 300),
        "fair" => (10_000, 400),
        _ => (60_000, 250),
    };
    let ordered = is_ordered(name);
    let on_head_death = if is_blocking(name) { OnHeadDeath::Block } else { OnHeadDeath::Park };
    QueueSettings {
        retry: RetryPolicy::Fixed { delay_ms: 5, max_failures: 4 },
        retention: Retention {
            completed_ms: ms,
            completed_count: count,
            cancelled_ms: ms,
            cancelled_count: count,
            dead_ms: 60_000,
            dead_count: 200,
        },
        groups: GroupSettings { ordered, on_head_death, ..GroupSettings::default() },
        ..QueueSettings::default()
    }
}

pub(crate) fn limit(name: &str) -> LimitName {
    LimitName::new(name).unwrap()
}

/// The checker's place in the event log, which nothing may overtake.
pub(crate) const READER: &str = "torture";

/// Sets every queue and limit; the same again changes nothing.
pub(crate) async fn set_up(store: &impl Store) {
    if store.readers().await.unwrap().is_empty() {
        store.set_reader(Reader::of_log(READER, Cursor::default())).await.unwrap();
    }
    for name in QUEUES {
        store.set_queue(queue(name), settings(name), None).await.unwrap().unwrap();
    }
    let slots = LimitSettings { concurrency: Some(60), rate: None };
    store.set_limit(limit("slots"), Some(slots), None).await.unwrap().unwrap();
    let rate = Some(Rate { count: 20_000, period_ms: 1_000, burst: 2_000 });
    store
        .set_limit(limit("pace"), Some(LimitSettings { concurrency: None, rate }), None)
        .await
        .unwrap()
        .unwrap();
}

/// An id that is never made twice.
pub(crate) fn id(now: Time, cycle: u64, task: u64, number: u64) -> JobId {
    let low = (cycle & 0xfff) << 50 | (task & 0xff) << 42 | (number & 0x3ff_ffff) << 16;
    JobId::from_parts(now, u128::from(low))
}

/// The cycle that made the job.
pub(crate) fn cycle_of(job: JobId) -> u64 {
    (job.0 >> 50) as u64 & 0xfff
}

/// The unique key of that number.
pub(crate) fn unique(key: u64) -> Option<Unique> {
    let on_conflict = match key % 4 {
        0 => OnConflict::Refuse,
        1 => OnConflict::Replace,
        2 => OnConflict::Reschedule,
        _ => OnConflict::Existing,
    };
    let key = UniqueKey::new(format!("key-{key}")).unwrap();
    Some(Unique { key, scope: UniqueScope::WhileLive, on_conflict })
}
