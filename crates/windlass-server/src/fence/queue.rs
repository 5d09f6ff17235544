//! The verbs of producers and workers, as one key may use them.

use std::collections::{HashMap, HashSet};

use windlass_core::job::OnConflict;
use windlass_core::store::{
    Beat, Cancelled, Claim, Claimed, EnqueueStatus, Enqueued, Hello, Hold, PerItem, Queue, Report, Settle,
    Signal, StoreFuture, Watch,
};
use windlass_core::{JobId, Lease, NewJob, Rejection, StoreError, Time, WorkerId};

use super::known::{Known, no_such_job};
use super::{Fenced, refused, veil};

/// Ids that stand for parents beyond the key's queues, which the store then does not know either; and the ids they
/// stand for, since a refusal names them.
type StandIns = HashMap<JobId, JobId>;

/// Some of a batch go on to the store, others are answered here.
struct Split<T, A> {
    on: Vec<T>,
    places: Vec<usize>,
    answers: Vec<Option<Result<A, Rejection>>>,
}

impl<T, A> Split<T, A> {
    fn new(
        items: impl IntoIterator<Item = T>,
        mut judge: impl FnMut(&mut T) -> Result<(), Rejection>,
    ) -> Self {
        let mut split = Self { on: Vec::new(), places: Vec::new(), answers: Vec::new() };
        for (place, mut item) in items.into_iter().enumerate() {
            match judge(&mut item) {
                Ok(()) => {
                    split.on.push(item);
                    split.places.push(place);
                    split.answers.push(None);
                }
                Err(rejection) => split.answers.push(Some(Err(rejection))),
            }
        }
        split
    }

    fn merge(mut self, done: PerItem<A>) -> PerItem<A> {
        for (place, answer) in self.places.iter().zip(done) {
            self.answers[*place] = Some(answer);
        }
        // A store that gave too few answers has refused the rest.
        self.answers.into_iter().map(|answer| answer.unwrap_or(Err(Rejection::BatchRefused))).collect()
    }
}

impl Fenced {
    /// Whether the key may enqueue that job. Parents beyond its queues get stand-ins.
    fn admit(
        &self,
        job: &mut NewJob,
        known: &Known,
        own: &HashSet<JobId>,
        stand_ins: &mut StandIns,
    ) -> Result<(), Rejection> {
        if job.payload == veil::TEXT.as_bytes() {
            self.sees("this payload is not a job's, it is what stands for one that is hidden")?;
        }
        if !self.fence.is_limited() {
            return Ok(());
        }
        self.named(&job.queue)?;
        let changes_holder = job
            .unique
            .as_ref()
            .is_some_and(|unique| matches!(unique.on_conflict, OnConflict::Replace | OnConflict::Reschedule));
        if changes_holder {
            // Unique keys are the whole store's: the holder may be a job of any queue.
            self.whole("unique keys, whose holders `replace` and `reschedule` change,")?;
        }
        for parent in &mut job.parents {
            if !own.contains(&parent.id) && self.is_beyond(known, parent.id) {
                let stand_in =
                    JobId::named(parent.id.time(), &format!("beyond {}: {}", self.name, parent.id));
                stand_ins.insert(stand_in, parent.id);
                parent.id = stand_in;
            }
        }
        Ok(())
    }

    /// A refusal in which each parent has its own id again.
    fn without_stand_ins(rejection: Rejection, stand_ins: &StandIns) -> Rejection {
        match rejection {
            Rejection::BadParents { why } if !stand_ins.is_empty() => {
                let own = |why: String, (stand_in, id): (&JobId, &JobId)| {
                    why.replace(&stand_in.to_string(), &id.to_string())
                };
                Rejection::BadParents { why: stand_ins.iter().fold(why, own) }
            }
            other => other,
        }
    }

    /// Keeps back which job holds an id or a unique key beyond the key's queues.
    async fn without_holders(&self, answers: &mut PerItem<Enqueued>) -> Result<(), StoreError> {
        let ids = |answer: &Result<Enqueued, Rejection>| match answer {
            Ok(enqueued) if enqueued.status != EnqueueStatus::Created => Some(enqueued.id),
            Err(Rejection::UniqueConflict { holder }) => Some(*holder),
            _ => None,
        };
        let asked: Vec<JobId> = answers.iter().filter_map(ids).collect();
        if asked.is_empty() || !self.fence.is_limited() {
            return Ok(());
        }
        let known = self.known(asked).await?;
        for answer in answers.iter_mut() {
            if ids(answer).is_some_and(|id| self.is_beyond(&known, id)) {
                let what =
                    format!("the id or the unique key is taken beyond the queues of key {}", self.name);
                *answer = Err(Rejection::Forbidden { what });
            }
        }
        Ok(())
    }

    fn admit_settle(
        &self,
        settle: &mut Settle,
        known: &Known,
        stand_ins: &mut StandIns,
    ) -> Result<(), Rejection> {
        if self.is_beyond(known, settle.lease().job) {
            // As of a lease that was never given.
            return Err(Rejection::Stale);
        }
        match settle {
            Settle::Complete { then, .. } => {
                let own: HashSet<JobId> = then.iter().map(|job| job.id).collect();
                then.iter_mut().try_for_each(|job| self.admit(job, known, &own, stand_ins))
            }
            Settle::Snooze { holds: Some(Hold::Limit(_)), .. } => {
                self.whole("named limits, which this would hold,")
            }
            _ => Ok(()),
        }
    }

    /// The jobs that settlements refer to.
    fn referred(settles: &[Settle]) -> Vec<JobId> {
        let mut ids = Vec::new();
        for settle in settles {
            ids.push(settle.lease().job);
            if let Settle::Complete { then, .. } = settle {
                ids.extend(then.iter().flat_map(|job| job.parents.iter().map(|parent| parent.id)));
            }
        }
        ids
    }
}

impl Queue for Fenced {
    fn enqueue(
        &self,
        jobs: Vec<NewJob>,
        all_or_nothing: bool,
        at: Option<Time>,
    ) -> StoreFuture<'_, PerItem<Enqueued>> {
        Box::pin(async move {
            self.alive().await?;
            let own: HashSet<JobId> = jobs.iter().map(|job| job.id).collect();
            let parents = jobs.iter().flat_map(|job| job.parents.iter().map(|parent| parent.id));
            let known = self.known(parents.filter(|id| !own.contains(id)).collect::<Vec<_>>()).await?;
            let mut stand_ins = StandIns::new();
            let mut split = Split::new(jobs, |job| self.admit(job, &known, &own, &mut stand_ins));
            if all_or_nothing && split.on.len() < split.answers.len() {
                return Ok(split.merge(Vec::new()));
            }
            let on = std::mem::take(&mut split.on);
            let mut done =
                if on.is_empty() { Vec::new() } else { self.inner.enqueue(on, all_or_nothing, at).await? };
            self.without_holders(&mut done).await?;
            let done =
                done.into_iter().map(|answer| answer.map_err(|why| Self::without_stand_ins(why, &stand_ins)));
            let answers = split.merge(done.collect());
            self.note_jobs("enqueue", &answers);
            Ok(answers)
        })
    }

    fn claim(&self, claim: Claim, at: Option<Time>) -> StoreFuture<'_, Claimed> {
        Box::pin(async move {
            self.alive().await?;
            for (queue, _) in &claim.wants {
                self.named(queue).map_err(refused)?;
            }
            let Claim { settle_first, wants, worker, nonce } = claim;
            let known = if settle_first.is_empty() {
                self.known([]).await?
            } else {
                self.known(Self::referred(&settle_first)).await?
            };
            let mut stand_ins = StandIns::new();
            let mut split =
                Split::new(settle_first, |settle| self.admit_settle(settle, &known, &mut stand_ins));
            let settle_first = std::mem::take(&mut split.on);
            if settle_first.is_empty() && wants.is_empty() {
                return Ok(Claimed { settled: split.merge(Vec::new()), ..Claimed::default() });
            }
            let mut claimed = self.inner.claim(Claim { settle_first, wants, worker, nonce }, at).await?;
            let settled = std::mem::take(&mut claimed.settled).into_iter();
            let settled =
                settled.map(|answer| answer.map_err(|why| Self::without_stand_ins(why, &stand_ins)));
            claimed.settled = split.merge(settled.collect());
            Ok(claimed)
        })
    }

    fn heartbeat(&self, leases: Vec<Lease>, at: Option<Time>) -> StoreFuture<'_, PerItem<Beat>> {
        Box::pin(async move {
            self.alive().await?;
            let known = self.known(leases.iter().map(|lease| lease.job).collect::<Vec<_>>()).await?;
            let stale = |lease: &mut Lease| {
                if self.is_beyond(&known, lease.job) { Err(Rejection::Stale) } else { Ok(()) }
            };
            let mut split = Split::new(leases, stale);
            let on = std::mem::take(&mut split.on);
            let done = if on.is_empty() { Vec::new() } else { self.inner.heartbeat(on, at).await? };
            Ok(split.merge(done))
        })
    }

    fn report(&self, reports: Vec<Report>, at: Option<Time>) -> StoreFuture<'_, PerItem<()>> {
        Box::pin(async move {
            self.alive().await?;
            let known = self.known(reports.iter().map(|report| report.lease.job).collect::<Vec<_>>()).await?;
            let stale = |report: &mut Report| {
                if self.is_beyond(&known, report.lease.job) { Err(Rejection::Stale) } else { Ok(()) }
            };
            let mut split = Split::new(reports, stale);
            let on = std::mem::take(&mut split.on);
            let done = if on.is_empty() { Vec::new() } else { self.inner.report(on, at).await? };
            Ok(split.merge(done))
        })
    }

    fn cancel(&self, jobs: Vec<JobId>, at: Option<Time>) -> StoreFuture<'_, PerItem<Cancelled>> {
        Box::pin(async move { self.by_id("cancel", jobs, |store, jobs| store.cancel(jobs, at)).await })
    }

    fn watch(&self, watch: Watch) -> StoreFuture<'_, Signal> {
        Box::pin(async move {
            self.alive().await?;
            for (queue, _) in &watch.queues {
                self.named(queue).map_err(refused)?;
            }
            let signal = self.inner.watch(watch).await?;
            self.alive().await?;
            match signal {
                // A worker's id that somebody else has tells nothing of its jobs.
                Signal::Cancel(lease) if self.lies_beyond(lease.job).await? => Ok(Signal::Work),
                signal => Ok(signal),
            }
        })
    }

    fn hello(&self, hello: Hello, at: Option<Time>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.alive().await?;
            for (queue, _) in &hello.queues {
                self.named(queue).map_err(refused)?;
            }
            if self.is_others(hello.worker, at).await? {
                let what = format!("worker {} works beyond the queues of key {}", hello.worker, self.name);
                return Err(refused(Rejection::Forbidden { what }));
            }
            self.inner.hello(hello, at).await
        })
    }

    fn bye(&self, worker: WorkerId, at: Option<Time>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.alive().await?;
            // As of a worker that never said hello.
            if self.is_others(worker, at).await? { Ok(()) } else { self.inner.bye(worker, at).await }
        })
    }
}

impl Fenced {
    /// Does something to jobs by their ids: those beyond the key's queues are answered as ones that do not exist.
    pub(super) async fn by_id<'a, T>(
        &'a self,
        verb: &str,
        ids: Vec<JobId>,
        done: impl FnOnce(&'a dyn windlass_core::store::Store, Vec<JobId>) -> StoreFuture<'a, PerItem<T>>,
    ) -> Result<PerItem<T>, StoreError> {
        self.alive().await?;
        let known = self.known(ids.iter().copied()).await?;
        let judge = |id: &mut JobId| if self.is_beyond(&known, *id) { Err(no_such_job(*id)) } else { Ok(()) };
        let mut split = Split::new(ids, judge);
        let on = std::mem::take(&mut split.on);
        let done = if on.is_empty() { Vec::new() } else { done(self.inner.as_ref(), on).await? };
        let answers = split.merge(done);
        self.note_jobs(verb, &answers);
        Ok(answers)
    }

    /// Whether a worker of that id takes from queues beyond the key's.
    async fn is_others(&self, worker: WorkerId, at: Option<Time>) -> Result<bool, StoreError> {
        if !self.fence.is_limited() {
            return Ok(false);
        }
        let workers = self.inner.workers(at).await?;
        let known = workers.iter().find(|other| other.hello.worker == worker);
        Ok(known.is_some_and(|other| other.hello.queues.iter().any(|(queue, _)| !self.fence.has(queue))))
    }
}
