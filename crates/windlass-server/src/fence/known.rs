//! Which queue a job belongs to, asked before anything is done to it by its id. A job never changes its queue, so the
//! answer stays true.

use std::collections::HashMap;

use windlass_core::bounds::PAGE_MAX;
use windlass_core::store::Filter;
use windlass_core::{JobId, QueueName, Rejection, StoreError};

use super::Fenced;

/// Where some jobs stand.
pub(super) struct Known(HashMap<JobId, QueueName>);

impl Fenced {
    /// The queues of those jobs; nothing is asked for a key without a limit.
    pub(super) async fn known(&self, ids: impl IntoIterator<Item = JobId>) -> Result<Known, StoreError> {
        let mut known = HashMap::new();
        if !self.fence.is_limited() {
            return Ok(Known(known));
        }
        let mut ids: Vec<JobId> = ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        for some in ids.chunks(PAGE_MAX) {
            let filter = Filter { ids: some.to_vec(), ..Filter::default() };
            let page = self.inner.list(filter, None, some.len(), some.len()).await?;
            let page = page.map_err(|why| StoreError::refused("list", why.to_string()))?;
            known.extend(page.items.into_iter().map(|job| (job.id, job.queue)));
        }
        Ok(Known(known))
    }

    /// Whether that job lies beyond the key's queues. One that does not exist does not.
    pub(super) fn is_beyond(&self, known: &Known, id: JobId) -> bool {
        known.0.get(&id).is_some_and(|queue| !self.fence.has(queue))
    }

    /// Whether that one job lies beyond.
    pub(super) async fn lies_beyond(&self, id: JobId) -> Result<bool, StoreError> {
        Ok(self.is_beyond(&self.known([id]).await?, id))
    }
}

/// What is said of a job that does not exist.
pub(super) fn no_such_job(id: JobId) -> Rejection {
    Rejection::NotFound { what: format!("job {id}") }
}
