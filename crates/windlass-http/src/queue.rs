//! The verbs of producers and workers, each one request.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;
use windlass_api::page::Done;
use windlass_api::store::{HelloShape, Slots};
use windlass_api::work::{
    BeatShape, CancelledShape, ClaimRequest, ClaimedShape, EnqueuedShape, HeartbeatRequest, Held, Ids,
    JobRequest, ReportRequest, ReportShape, Settlement, SignalShape, Want, WatchRequest,
};
use windlass_core::bounds::{BATCH_BYTES_MAX, BATCH_ITEMS_MAX};
use windlass_core::store::{
    Beat, Cancelled, Claim, Claimed, Enqueued, Hello, PerItem, Queue, Report, Signal, StoreFuture, Watch,
};
use windlass_core::{JobId, Lease, NewJob, Rejection, StoreError, Time, WorkerId};

use crate::{HttpStore, by_the_servers_clock};

/// The longest that a server lets one request wait.
pub(crate) const WAIT_MOST: Duration = Duration::from_secs(30);
/// How long one round of waiting takes at least: a server that has nothing to say and says so at once is not asked in a
/// loop without a breath.
pub(crate) const ROUND_LEAST: Duration = Duration::from_millis(100);

/// A refusal of every item.
fn refuse_all<T>(n: usize, why: &str) -> PerItem<T> {
    (0..n).map(|_| Err(Rejection::Invalid { what: "batch", why: why.to_owned() })).collect()
}

/// A refusal of every item when there are too many of them, which need not travel for that.
pub(crate) fn too_many<T>(n: usize) -> Option<PerItem<T>> {
    let why = || format!("{n} items are more than 1,000; send several batches");
    (n > BATCH_ITEMS_MAX).then(|| refuse_all(n, &why()))
}

#[derive(Serialize)]
struct Batch<'a> {
    jobs: Vec<JobRequest<'a>>,
}

impl HttpStore {
    /// A verb on ids that answers nothing or a rejection for each.
    pub(crate) async fn on_each(
        &self,
        verb: &'static str,
        path: &'static str,
        ids: Vec<JobId>,
        at: Option<Time>,
    ) -> Result<PerItem<()>, StoreError> {
        by_the_servers_clock(verb, at)?;
        let asked = ids.len();
        if let Some(refused) = too_many(asked) {
            return Ok(refused);
        }
        let call = self.post(verb, path).json(&Ids { ids })?;
        call.done(|answer| answer.per_item(asked, |Done {}| ())).await
    }
}

impl Queue for HttpStore {
    fn enqueue(
        &self,
        jobs: Vec<NewJob>,
        all_or_nothing: bool,
        at: Option<Time>,
    ) -> StoreFuture<'_, PerItem<Enqueued>> {
        Box::pin(async move {
            by_the_servers_clock("enqueue", at)?;
            if let Some(refused) = too_many(jobs.len()) {
                return Ok(refused);
            }
            let bytes: usize = jobs.iter().map(|job| job.payload.len()).sum();
            if bytes > BATCH_BYTES_MAX {
                let why = format!("the batch has {bytes} bytes, more than 256 MiB; send several batches");
                return Ok(refuse_all(jobs.len(), &why));
            }
            let path = format!("/v1/jobs/batch?all_or_nothing={all_or_nothing}");
            let batch = Batch { jobs: jobs.iter().map(JobRequest::of).collect() };
            let call = self.post("enqueue", path).json(&batch)?;
            drop(batch);
            call.done(|answer| answer.per_item(jobs.len(), |shape: EnqueuedShape| shape.into())).await
        })
    }

    fn claim(&self, claim: Claim, at: Option<Time>) -> StoreFuture<'_, Claimed> {
        Box::pin(async move {
            by_the_servers_clock("claim", at)?;
            let settled = claim.settle_first.len();
            if settled == 0 && claim.wants.is_empty() {
                // Whoever asks a server for nothing has forgotten something; whoever asks a store gets nothing.
                return Ok(Claimed::default());
            }
            if settled > BATCH_ITEMS_MAX {
                let settled = refuse_all(settled, "more than 1,000 settlements; send several batches");
                return Ok(Claimed { settled, ..Claimed::default() });
            }
            let request = ClaimRequest {
                queues: claim.wants.into_iter().map(|(queue, max)| Want::Some { queue, max }).collect(),
                max: None,
                worker: Some(claim.worker),
                nonce: Some(format!("{:x}", claim.nonce).into()),
                wait: None,
                settle: claim.settle_first.iter().map(Settlement::of).collect(),
            };
            let call = self.post("claim", "/v1/claim").json(&request)?;
            drop(request);
            call.done(|answer| {
                let shape: ClaimedShape<'_> = answer.json()?;
                answer.as_many(shape.settled.len(), settled)?;
                shape.into_claimed().map_err(|why| answer.misread(why))
            })
            .await
        })
    }

    fn heartbeat(&self, leases: Vec<Lease>, at: Option<Time>) -> StoreFuture<'_, PerItem<Beat>> {
        Box::pin(async move {
            by_the_servers_clock("heartbeat", at)?;
            if let Some(refused) = too_many(leases.len()) {
                return Ok(refused);
            }
            let request = HeartbeatRequest { leases: leases.iter().map(Held::of).collect() };
            let call = self.post("heartbeat", "/v1/heartbeat").json(&request)?;
            call.done(|answer| answer.per_item(leases.len(), |shape: BeatShape| shape.into())).await
        })
    }

    fn report(&self, reports: Vec<Report>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        Box::pin(async move {
            by_the_servers_clock("report", at)?;
            if let Some(refused) = too_many(reports.len()) {
                return Ok(refused);
            }
            let request = ReportRequest { reports: reports.iter().map(ReportShape::of).collect() };
            let call = self.post("report", "/v1/report").json(&request)?;
            drop(request);
            call.done(|answer| answer.per_item(reports.len(), |Done {}| ())).await
        })
    }

    fn cancel(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<Cancelled>> {
        Box::pin(async move {
            by_the_servers_clock("cancel", at)?;
            let asked = jobs.len();
            if let Some(refused) = too_many(asked) {
                return Ok(refused);
            }
            let call = self.post("cancel", "/v1/jobs/cancel").json(&Ids { ids: jobs })?;
            call.done(|answer| answer.per_item(asked, |shape: CancelledShape| shape.cancelled)).await
        })
    }

    fn watch(&self, watch: Watch) -> StoreFuture<'_, Signal> {
        Box::pin(async move {
            let queues = watch.queues.into_iter().map(|(queue, slots)| Slots { queue, slots }).collect();
            let request = WatchRequest { worker: watch.worker, queues };
            loop {
                let round = Instant::now();
                let call = self.ask("watch", "/v1/watch").json(&request)?.waits(WAIT_MOST);
                if let Some(signal) = call.done(|answer| answer.json::<SignalShape>()).await?.signal() {
                    return Ok(signal);
                }
                tokio::time::sleep_until(round + ROUND_LEAST).await;
            }
        })
    }

    fn hello(&self, hello: Hello, at: Option<Time>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            by_the_servers_clock("hello", at)?;
            let call = self.post("hello", "/v1/workers").json(&HelloShape::from(hello))?;
            call.done(|_| Ok(())).await
        })
    }

    fn bye(&self, worker: WorkerId, at: Option<Time>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            by_the_servers_clock("bye", at)?;
            self.remove("bye", format!("/v1/workers/{worker}")).done(|_| Ok(())).await
        })
    }
}
