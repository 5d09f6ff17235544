//! What makes a batch exactly one in the queue: a fence.
//!
//! A fence is a job that nobody runs. It is enqueued with its batch, all or nothing, and holds a unique key that only
//! this batch has. So the queue has the fence if and only if it has the batch's jobs, however their own ids have been
//! forgotten since; and a fence is live, so no retention removes it.
//! Whoever finds a batch begun asks for that key with a job of his own, a tombstone: if the fence holds it, the batch
//! was delivered; if the tombstone gets it, the batch was not, and can never be delivered any more under that fence.
//!
//! All of it is plain enqueue, cancel and delete: every store of the contract can do it.

use std::sync::Arc;
use uuid::Uuid;
use windlass_core::bounds::{DELAY_MS_MAX, LIST_BUDGET_DEFAULT, PAGE_MAX};
use windlass_core::error::Outcome;
use windlass_core::job::{OnConflict, Unique, UniqueScope};
use windlass_core::name::UniqueKey;
use windlass_core::store::{Filter, Store};
use windlass_core::{GroupKey, JobId, Kind, NewJob, QueueName, Rejection, StoreError, Time};

/// The queue of fences and tombstones. Nobody works on it.
const QUEUE: &str = "windlass.outbox";
/// A fence waits for a time that never comes: what is scheduled is live, and is not taken for work left undone.
const NEVER_MS: u64 = DELAY_MS_MAX - 24 * 3_600_000;
/// How long a tombstone stands: it must outlive any relay that was suspended in the middle of an enqueue.
const TOMBSTONE_MS: u64 = 30 * 24 * 3_600_000;
/// Pages of one look for what is left over: a bound on its time; the next relay goes on.
const LEFT_OVER_PAGES_MAX: usize = 100;

/// A new id for a fence or a tombstone.
pub(crate) fn new_id() -> JobId {
    JobId(Uuid::now_v7().as_u128())
}

/// The fences of one outbox in one store.
pub(crate) struct Fences {
    store: Arc<dyn Store>,
    group: GroupKey,
}

fn broken(why: Rejection) -> StoreError {
    StoreError {
        operation: "relay",
        cause: format!("the queue {QUEUE} takes no fence: {why}"),
        outcome: Outcome::NotDone,
        retryable: true,
        hint: None,
    }
}

impl Fences {
    pub(crate) fn new(store: Arc<dyn Store>, source: &str) -> Result<Self, StoreError> {
        Ok(Self { store, group: GroupKey::new(source).map_err(broken)? })
    }

    fn job(&self, id: JobId, kind: &str, fence: JobId, payload: Vec<u8>) -> Result<NewJob, Rejection> {
        let mut job = NewJob::new(id, QueueName::new(QUEUE)?, Kind::new(kind)?, payload);
        job.group = Some(self.group.clone());
        job.delay_ms = Some(NEVER_MS);
        job.unique = Some(Unique {
            key: UniqueKey::new(format!("{QUEUE}:{fence}"))?,
            scope: UniqueScope::WhileLive,
            on_conflict: OnConflict::Refuse,
        });
        Ok(job)
    }

    /// The fence of a batch, to be enqueued with its jobs, all or nothing.
    pub(crate) fn fence(&self, id: JobId, rows: usize) -> Result<NewJob, StoreError> {
        self.job(id, "fence", id, format!("{{\"rows\":{rows}}}").into_bytes()).map_err(broken)
    }

    /// Whether the batch of that fence was delivered. If it was not, it never will be under that fence, not even by a
    /// relay that was suspended on its way.
    pub(crate) async fn was_delivered(&self, fence: JobId) -> Result<bool, StoreError> {
        if self.is_there(fence).await? {
            return Ok(true);
        }
        let tombstone = self.job(new_id(), "tombstone", fence, b"{}".to_vec()).map_err(broken)?;
        let answers = self.store.enqueue(vec![tombstone], false, None).await?;
        match answers.into_iter().next() {
            Some(Err(Rejection::UniqueConflict { holder })) => Ok(holder == fence),
            Some(Err(why)) => Err(broken(why)),
            Some(Ok(_)) => Ok(false),
            None => Err(StoreError::stopped("relay", "the store gave no answer to an enqueue")),
        }
    }

    /// Whether the fence is still there: a store that may lose its last moments has it, then, for good.
    pub(crate) async fn is_there(&self, fence: JobId) -> Result<bool, StoreError> {
        Ok(self.store.get(fence).await?.is_some())
    }

    /// Removes fences whose rows are gone from the database.
    pub(crate) async fn remove(&self, fences: Vec<JobId>) -> Result<(), StoreError> {
        for some in fences.chunks(PAGE_MAX) {
            // One that is gone already is what was wanted.
            self.store.cancel(some.to_vec(), None).await?;
            self.store.delete(some.to_vec(), None).await?;
        }
        Ok(())
    }

    /// What killed relays left: fences of no batch that is under way, and old tombstones. They may be removed once it
    /// is sure that the table was still ours after this answer: a fence of somebody who came after us is not for us.
    pub(crate) async fn left_over(&self, under_way: &[JobId], now: Time) -> Result<Vec<JobId>, StoreError> {
        let mut found = Vec::new();
        for (kind, before) in [("fence", None), ("tombstone", Some(now.minus_ms(TOMBSTONE_MS)))] {
            let filter = Filter {
                queue: Some(QueueName::new(QUEUE).map_err(broken)?),
                group: Some(self.group.clone()),
                kind: Some(Kind::new(kind).map_err(broken)?),
                before,
                ..Filter::default()
            };
            let mut cursor = None;
            for _ in 0..LEFT_OVER_PAGES_MAX {
                let page = self.store.list(filter.clone(), cursor, PAGE_MAX, LIST_BUDGET_DEFAULT).await?;
                let page = page.map_err(broken)?;
                found.extend(page.items.iter().map(|job| job.id).filter(|id| !under_way.contains(id)));
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::store::Queue;
    use windlass_embedded::EmbeddedStore;

    fn fences() -> (Arc<EmbeddedStore>, Fences) {
        let store = Arc::new(EmbeddedStore::memory(Default::default()));
        let fences = Fences::new(store.clone(), "outbox-1").expect("a group");
        (store, fences)
    }

    fn with_a_job(fences: &Fences, fence: JobId) -> Vec<NewJob> {
        let name = |text| QueueName::new(text).expect("a name");
        let job = NewJob::new(new_id(), name("q"), Kind::new("k").expect("a name"), *b"{}");
        vec![fences.fence(fence, 1).expect("a fence"), job]
    }

    #[tokio::test]
    async fn a_batch_that_was_asked_for_in_vain_is_refused_for_good() {
        let (store, fences) = fences();
        let fence = new_id();
        let suspended = with_a_job(&fences, fence);
        assert!(!fences.was_delivered(fence).await.expect("an answer"));
        assert!(!fences.was_delivered(fence).await.expect("an answer"), "and again after a crash");
        let job = suspended[1].id;
        let answers = store.enqueue(suspended, true, None).await.expect("an answer");
        assert!(answers.iter().all(Result::is_err), "{answers:?}");
        assert!(fences.store.get(job).await.expect("an answer").is_none());
    }

    #[tokio::test]
    async fn a_batch_that_was_delivered_is_found_until_its_fence_is_removed() {
        let (store, fences) = fences();
        let fence = new_id();
        store.enqueue(with_a_job(&fences, fence), true, None).await.expect("an answer");
        assert!(fences.was_delivered(fence).await.expect("an answer"));
        assert_eq!(fences.left_over(&[fence], Time(1)).await.expect("a list"), []);
        assert_eq!(fences.left_over(&[], Time(1)).await.expect("a list"), [fence]);
        fences.remove(vec![fence]).await.expect("removed");
        assert!(!fences.is_there(fence).await.expect("an answer"));
    }
}
