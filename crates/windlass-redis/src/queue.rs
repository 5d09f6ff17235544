//! The verbs of producers and workers.

use std::collections::HashSet;

use redis::Value;
use windlass_core::bounds::{self, cut};
use windlass_core::fingerprint::normalise;
use windlass_core::flow::{cycle_members, parents_first};
use windlass_core::store::{
    Beat, Cancelled, Claim, Claimed, ClaimedJob, EnqueueStatus, Enqueued, Hello, Hold, PerItem, Queue,
    ReleaseReason, Report, Settle, Signal, StoreFuture, Watch,
};
use windlass_core::{JobId, Lease, NewJob, Rejection, State, StoreError, Time, WorkerId};

use crate::RedisStore;
use crate::link::{Call, Failure};
use crate::record::{Record, body_of, names_of};
use crate::wire::{self, Misread, Read};

/// A refusal of every item, when there are too many of them.
pub(crate) fn too_many<T>(n: usize) -> Option<PerItem<T>> {
    (n > bounds::BATCH_ITEMS_MAX).then(|| {
        let why = format!("{n} items are more than 1,000; send several batches");
        (0..n).map(|_| Err(Rejection::Invalid { what: "batch", why: why.clone() })).collect()
    })
}

fn refusal(why: &Rejection) -> String {
    serde_json::to_string(why).expect("a rejection always serialises")
}

/// Adds a new job to a call. What no store takes is sent as its rejection, so that the batch keeps its order.
pub(crate) fn add_job(call: &mut Call, job: &NewJob, now: Time, cycle: Option<Rejection>) {
    let valid = match cycle {
        Some(why) => Err(why),
        None if job.id.0 == 0 => Err(Rejection::Invalid { what: "id", why: "must not be nil".into() }),
        None => job.validate(now),
    };
    call.id(job.id);
    match &valid {
        Ok(()) => call.text(""),
        Err(why) => call.text(&refusal(why)),
    };
    match (job.run_at, job.delay_ms) {
        (Some(at), _) => call.number(at.0),
        (None, Some(ms)) => call.text(&format!("+{ms}")),
        (None, None) => call.text(""),
    };
    let expires = job.expires_at.map_or(0, |at| at.0.min(MS_MAX));
    call.number(expires).text(&job.priority.to_string());
    // A payload that is refused need not travel.
    let (body, has_options) = match &valid {
        Ok(()) => body_of(job),
        Err(_) => body_of(&NewJob { payload: Vec::new(), ..job.clone() }),
    };
    call.flag(has_options).bytes(&body);
}

/// Whether each job has nothing but names and a payload, is valid whatever the time, and is another one.
fn are_plain(jobs: &[NewJob]) -> bool {
    let mut ids = HashSet::with_capacity(jobs.len());
    jobs.iter().all(|job| {
        // Every field is named, so that a new one is thought of here.
        let NewJob {
            id,
            queue: _,
            kind: _,
            payload,
            group: _,
            priority: 0,
            run_at: None,
            delay_ms: None,
            expires_at: None,
            retry: None,
            unique: None,
            limits,
            parents,
            tags,
            timeout_ms: None,
            trace: None,
        } = job
        else {
            return false;
        };
        id.0 != 0
            && payload.len() <= bounds::PAYLOAD_BYTES_MAX
            && limits.is_empty()
            && parents.is_empty()
            && tags.is_empty()
            && ids.insert(*id)
    })
}

/// The latest instant that a record holds, in the year 10889.
const MS_MAX: u64 = (1 << 48) - 1;

/// What became of one job; an answer without an id is about the job itself.
fn enqueued(job: JobId, answer: &[u8]) -> Read<Result<Enqueued, Rejection>> {
    if answer.first() == Some(&b'{') {
        return Ok(Err(wire::rejection(answer)?));
    }
    let [status, state, id @ ..] = answer else { return Err(Misread("enqueue")) };
    let status = match status {
        0 => EnqueueStatus::Created,
        1 => EnqueueStatus::Known,
        2 => EnqueueStatus::Existing,
        3 => EnqueueStatus::Replaced,
        4 => EnqueueStatus::Rescheduled,
        _ => return Err(Misread("enqueue status")),
    };
    let state = State::from_number(*state).ok_or(Misread("state"))?;
    let id = if id.is_empty() { job } else { wire::id(id)? };
    Ok(Ok(Enqueued { id, status, state }))
}

/// The lease of a completion that is nothing else.
fn plainly_completed(settle: &Settle) -> Option<&Lease> {
    match settle {
        Settle::Complete { lease, result: None, then } if then.is_empty() => Some(lease),
        _ => None,
    }
}

/// Adds settlements; plain completions in a row go as one.
fn add_settlements(call: &mut Call, settlements: &[Settle], now: Time) {
    let both_plain =
        |a: &Settle, b: &Settle| plainly_completed(a).is_some() && plainly_completed(b).is_some();
    for run in settlements.chunk_by(both_plain) {
        if plainly_completed(&run[0]).is_none() {
            add_settle(call, &run[0], now);
            continue;
        }
        call.text("done").count(run.len());
        for lease in run.iter().filter_map(plainly_completed) {
            call.lease(lease);
        }
    }
}

fn add_settle(call: &mut Call, settle: &Settle, now: Time) {
    let lease = settle.lease();
    match settle {
        Settle::Complete { result, then, .. } => {
            call.text("complete").lease(lease);
            let bytes = result.as_ref().map_or(0, Vec::len);
            let refused = if bytes > bounds::RESULT_BYTES_MAX {
                let why = format!("{bytes} bytes are more than {}", bounds::RESULT_BYTES_MAX);
                Some(Rejection::Invalid { what: "result", why })
            } else if then.len() > bounds::FOLLOW_UPS_MAX {
                let why = format!("{} follow-ups are more than 1,000", then.len());
                Some(Rejection::Invalid { what: "batch", why })
            } else if parents_first(then).is_none() {
                let why = "the follow-ups wait for each other in a cycle".into();
                Some(Rejection::BadParents { why })
            } else {
                None
            };
            if let Some(why) = refused {
                call.text(&refusal(&why)).text("").count(0);
                return;
            }
            call.text("").maybe_bytes(result.as_deref()).count(then.len());
            for i in parents_first(then).unwrap_or_default() {
                add_job(call, &then[i], now, None);
            }
        }
        Settle::Fail { error, retry_in_ms, fatal, .. } => {
            let error = error.bounded();
            let json = serde_json::to_vec(&error).expect("a report always serialises");
            call.text("fail").lease(lease).bytes(&json).text(&normalise(&error.message));
            call.text(error.first_line()).text(cut(&error.message, bounds::EVENT_TEXT_BYTES_MAX));
            call.bytes(&error.fingerprint.0.to_be_bytes());
            call.maybe(retry_in_ms.map(|ms| ms.min(bounds::DELAY_MS_MAX))).flag(*fatal);
        }
        Settle::Snooze { delay_ms, reason, holds, .. } => {
            let refused = if reason.len() > bounds::EVENT_TEXT_BYTES_MAX {
                let why = format!("{} bytes are more than {}", reason.len(), bounds::EVENT_TEXT_BYTES_MAX);
                Some(Rejection::Invalid { what: "snooze", why })
            } else if *delay_ms > bounds::DELAY_MS_MAX {
                Some(Rejection::Invalid { what: "delay", why: "is more than ten years".into() })
            } else {
                None
            };
            call.text("snooze").lease(lease);
            match refused {
                Some(why) => call.text(&refusal(&why)).number(0u64).text("").text("").text(""),
                None => {
                    let (what, name) = match holds {
                        None => ("", ""),
                        Some(Hold::Queue) => ("queue", ""),
                        Some(Hold::Group) => ("group", ""),
                        Some(Hold::Limit(name)) => ("limit", name.as_str()),
                    };
                    call.text("").number(*delay_ms).text(reason).text(what).text(name)
                }
            };
        }
        Settle::Release { reason, .. } => {
            call.text("release").lease(lease).text(match reason {
                ReleaseReason::Shutdown => "shutdown",
                ReleaseReason::NoHandler => "no_handler",
                ReleaseReason::Unstarted => "unstarted",
            });
        }
    }
}

fn claimed(answer: Value) -> Read<Claimed> {
    let [settled, jobs, again] = wire::fields(answer)?;
    let mut parts = wire::items(jobs)?.into_iter();
    let mut jobs = Vec::with_capacity(parts.len() / 3);
    while let (Some(id), Some(record), Some(beside)) = (parts.next(), parts.next(), parts.next()) {
        jobs.push(claimed_job(id, record, beside)?);
    }
    Ok(Claimed { settled: wire::all_done(settled)?, jobs, try_again_at: wire::time(again)? })
}

/// A job's record, and what stands beside it: its head when the record still says that it waits, else its checkpoint.
fn claimed_job(id: Value, record: Value, beside: Value) -> Read<ClaimedJob> {
    let (id, record) = (wire::id(&wire::bytes(id)?)?, wire::bytes(record)?);
    let beside = match beside {
        Value::Nil => None,
        bytes => Some(wire::bytes(bytes)?),
    };
    let record = Record::read(id, &record)?;
    match beside {
        Some(head) if record.waits() => Ok(record.started(&head)?.claimed(None)),
        checkpoint => Ok(record.claimed(checkpoint)),
    }
}

impl RedisStore {
    /// The common case of an enqueue, in runs of jobs with equal names.
    async fn enqueue_plain(
        &self,
        jobs: &[NewJob],
        at: Option<Time>,
    ) -> Result<PerItem<Enqueued>, StoreError> {
        let now = self.now(at);
        if jobs.iter().any(|job| job.id.time() > now.plus_ms(bounds::ID_AHEAD_MS_MAX)) {
            return self.enqueue_any(jobs, false, at).await;
        }
        let same = |a: &NewJob, b: &NewJob| (&a.queue, &a.kind, &a.group) == (&b.queue, &b.kind, &b.group);
        let runs: Vec<&[NewJob]> = jobs.chunk_by(same).collect();
        let mut call = self.call("enqueue_plain", at);
        call.count(runs.len());
        for run in runs {
            call.bytes(&names_of(&run[0])).count(run.len());
            for job in run {
                call.id(job.id).bytes(&job.payload);
            }
        }
        self.enqueued(&call, jobs, 0..jobs.len()).await
    }

    /// Any enqueue, job by job: parents before their children.
    async fn enqueue_any(
        &self,
        jobs: &[NewJob],
        all_or_nothing: bool,
        at: Option<Time>,
    ) -> Result<PerItem<Enqueued>, StoreError> {
        let (order, in_cycle) = match parents_first(jobs) {
            Some(order) => (order, HashSet::new()),
            None => ((0..jobs.len()).collect(), cycle_members(jobs)),
        };
        let now = self.now(at);
        let mut call = self.call("enqueue", at);
        call.flag(all_or_nothing).count(jobs.len());
        for i in &order {
            let job = &jobs[*i];
            let cycle = in_cycle.contains(&job.id).then(|| Rejection::BadParents {
                why: format!("job {} waits for itself through its parents", job.id),
            });
            add_job(&mut call, job, now, cycle);
        }
        self.enqueued(&call, jobs, order).await
    }

    /// Makes the call of an enqueue; its answers come in that order of the jobs.
    async fn enqueued(
        &self,
        call: &Call,
        jobs: &[NewJob],
        order: impl IntoIterator<Item = usize>,
    ) -> Result<PerItem<Enqueued>, StoreError> {
        let value = match self.run(call, "enqueue").await {
            Ok(value) => value,
            Err(Failure::OutOfSpace) => return Ok(vec![Err(Rejection::OutOfSpace); jobs.len()]),
            Err(failure) => return Err(failure.into_error("enqueue")),
        };
        let read = || -> Read<PerItem<Enqueued>> {
            let mut answers = vec![Err(Rejection::BatchRefused); jobs.len()];
            for (i, answer) in order.into_iter().zip(wire::items(value)?) {
                answers[i] = enqueued(jobs[i].id, &wire::bytes(answer)?)?;
            }
            Ok(answers)
        };
        read().map_err(|why| why.into_error("enqueue"))
    }
}

impl Queue for RedisStore {
    fn enqueue(
        &self,
        jobs: Vec<NewJob>,
        all_or_nothing: bool,
        at: Option<Time>,
    ) -> StoreFuture<'_, PerItem<Enqueued>> {
        Box::pin(async move {
            if let Some(refused) = too_many(jobs.len()) {
                return Ok(refused);
            }
            let bytes: usize = jobs.iter().map(|job| job.payload.len()).sum();
            if bytes > bounds::BATCH_BYTES_MAX {
                let why = format!("the batch has {bytes} bytes, more than 256 MiB; send several batches");
                let refused = |_: &NewJob| Err(Rejection::Invalid { what: "batch", why: why.clone() });
                return Ok(jobs.iter().map(refused).collect());
            }
            if jobs.is_empty() {
                return Ok(Vec::new());
            }
            if !all_or_nothing && are_plain(&jobs) {
                return self.enqueue_plain(&jobs, at).await;
            }
            self.enqueue_any(&jobs, all_or_nothing, at).await
        })
    }

    fn claim(&self, claim: Claim, at: Option<Time>) -> StoreFuture<'_, Claimed> {
        Box::pin(async move {
            if let Some(settled) = too_many(claim.settle_first.len()) {
                return Ok(Claimed { settled, ..Claimed::default() });
            }
            let now = self.now(at);
            let mut call = self.call("claim", at);
            call.worker(claim.worker).bytes(&claim.nonce.to_be_bytes());
            call.count(claim.settle_first.len()).count(claim.wants.len());
            add_settlements(&mut call, &claim.settle_first, now);
            let mut left = bounds::BATCH_ITEMS_MAX as u32;
            for (queue, n) in &claim.wants {
                let n = (*n).min(left);
                left -= n;
                call.text(queue.as_str()).number(n);
            }
            if !claim.wants.is_empty() {
                // Claimed twice, jobs would wait for a worker that never heard of them.
                call.once();
            }
            self.done(&call, "claim", claimed).await
        })
    }

    fn heartbeat(&self, leases: Vec<Lease>, at: Option<Time>) -> StoreFuture<'_, PerItem<Beat>> {
        Box::pin(async move {
            let mut call = self.call("heartbeat", at);
            call.count(leases.len());
            for lease in &leases {
                call.lease(lease);
            }
            let beat = |answer: Value| {
                let answer = wire::bytes(answer)?;
                match answer.split_first() {
                    Some((b'{', _)) => Ok(Err(wire::rejection(&answer)?)),
                    Some((asked, deadline)) => {
                        let deadline = std::str::from_utf8(deadline).ok().and_then(|ms| ms.parse().ok());
                        let deadline = Time(deadline.ok_or(Misread("deadline"))?);
                        Ok(Ok(Beat { deadline, cancel_requested: *asked == b'1' }))
                    }
                    None => Err(Misread("heartbeat")),
                }
            };
            self.done(&call, "heartbeat", |value| wire::items(value)?.into_iter().map(beat).collect()).await
        })
    }

    fn report(&self, reports: Vec<Report>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        Box::pin(async move {
            if let Some(refused) = too_many(reports.len()) {
                return Ok(refused);
            }
            let mut call = self.call("report", at);
            call.count(reports.len());
            // A log that is written twice would say what never happened twice.
            call.once();
            for report in &reports {
                call.lease(&report.lease);
                let bytes = report.checkpoint.as_ref().map_or(0, Vec::len);
                if bytes > bounds::CHECKPOINT_BYTES_MAX {
                    let why = format!("{bytes} bytes are more than {}", bounds::CHECKPOINT_BYTES_MAX);
                    let why = Rejection::Invalid { what: "checkpoint", why };
                    call.text(&refusal(&why)).text("").text("").text("");
                    continue;
                }
                let progress = report.progress.as_ref().map(|progress| {
                    let mut progress = progress.clone();
                    progress.percent = progress.percent.min(100);
                    progress.message =
                        progress.message.map(|text| cut(&text, bounds::EVENT_TEXT_BYTES_MAX).to_owned());
                    serde_json::to_string(&progress).expect("progress always serialises")
                });
                call.text("").text(progress.as_deref().unwrap_or(""));
                call.maybe_bytes(report.checkpoint.as_deref());
                // What is beyond the bound is dropped in any case; the byte more tells that it was.
                call.text(cut(report.log.as_deref().unwrap_or(""), bounds::LOG_BYTES_MAX + 4));
            }
            self.done(&call, "report", wire::all_done).await
        })
    }

    fn cancel(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<Cancelled>> {
        Box::pin(async move {
            if let Some(refused) = too_many(jobs.len()) {
                return Ok(refused);
            }
            let mut call = self.call("cancel", at);
            call.count(jobs.len());
            jobs.iter().for_each(|id| {
                call.id(*id);
            });
            let cancelled = |answer: Value| {
                let answer = wire::bytes(answer)?;
                Ok(match answer.as_slice() {
                    b"now" => Ok(Cancelled::Now),
                    b"requested" => Ok(Cancelled::Requested),
                    json => Err(wire::rejection(json)?),
                })
            };
            self.done(&call, "cancel", |value| wire::items(value)?.into_iter().map(cancelled).collect()).await
        })
    }

    fn watch(&self, watch: Watch) -> StoreFuture<'_, Signal> {
        Box::pin(async move {
            // Registered first: what becomes claimable while the server is asked rings already.
            let mut rung = self.0.hub.watch(watch.clone());
            if let Ok(signal) = rung.try_recv() {
                return Ok(signal);
            }
            let wanted: Vec<_> = watch.queues.iter().filter(|(_, slots)| *slots > 0).collect();
            if !wanted.is_empty() {
                let mut call = self.call("work", None);
                call.count(wanted.len());
                for (queue, _) in wanted {
                    call.text(queue.as_str());
                }
                let work = self.done(&call, "watch", wire::number).await?;
                if let Ok(signal) = rung.try_recv() {
                    return Ok(signal);
                }
                if work == 1 {
                    return Ok(Signal::Work);
                }
            }
            rung.await.or(Ok(Signal::Work))
        })
    }

    fn hello(&self, hello: Hello, at: Option<Time>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let mut call = self.call("hello", at);
            let text = serde_json::to_string(&hello).expect("a greeting always serialises");
            call.worker(hello.worker).text(&text);
            self.done(&call, "hello", |_| Ok(())).await
        })
    }

    fn bye(&self, worker: WorkerId, at: Option<Time>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.0.hub.forget(worker);
            let mut call = self.call("bye", at);
            call.worker(worker);
            self.done(&call, "bye", |_| Ok(())).await
        })
    }
}
