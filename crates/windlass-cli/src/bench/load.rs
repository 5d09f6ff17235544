//! The work that benchmarks are made of: jobs, batches, and callers that enqueue, claim and complete.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use windlass_core::bounds::BATCH_ITEMS_MAX;
use windlass_core::queue::QueueSettings;
use windlass_core::store::{Claim, Settle, Store};
use windlass_core::{GroupKey, Kind, NewJob, QueueName, WorkerId};

use super::latency::Latencies;
use crate::connect::{self, Intent, Open};
use crate::fault::Fault;

/// Bytes of every payload.
pub(super) const PAYLOAD_BYTES: usize = 200;
/// Jobs in one call of a preload, which nobody times.
pub(super) const PRELOAD_BATCH: usize = BATCH_ITEMS_MAX;
/// The kind of every job but those that a typed handler takes.
const KIND: &str = "bench_noop";
/// The queue of every job.
pub(super) const QUEUE: &str = "bench";

/// One open store with what is measured on it.
pub(super) struct Bench {
    open: Open,
    url: String,
    queue: QueueName,
    kind: Kind,
}

impl Bench {
    /// Opens the store at the URL.
    pub(super) async fn open(url: String) -> Result<Self, Fault> {
        let open = connect::open_url(&url, Intent::Work).await?;
        let (queue, kind) = (QueueName::new(QUEUE)?, Kind::new(KIND)?);
        Ok(Self { open, url, queue, kind })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn store(&self) -> &Arc<dyn Store> {
        self.open.store()
    }

    pub(super) fn client(&self) -> &windlass::Client {
        self.open.client()
    }

    pub(super) fn queue(&self) -> &QueueName {
        &self.queue
    }

    /// Keeps completed jobs that long, the rest as by default.
    pub(super) async fn keep_completed(&self, keep: Duration) -> Result<(), Fault> {
        let mut settings = QueueSettings::default();
        settings.retention.completed_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        self.store().set_queue(self.queue.clone(), settings, None).await?.map_err(Fault::from)
    }

    pub(super) async fn close(self) -> Result<(), Fault> {
        self.open.close().await
    }

    /// A job with a payload of the agreed size; its JSON is a string, whose text is `text` and then dots.
    pub(super) fn job(&self, text: &str) -> NewJob {
        let mut payload = Vec::with_capacity(PAYLOAD_BYTES);
        payload.push(b'"');
        payload.extend_from_slice(text.as_bytes());
        payload.resize(PAYLOAD_BYTES - 1, b'.');
        payload.push(b'"');
        NewJob::new(self.client().new_id(), self.queue.clone(), self.kind.clone(), payload)
    }

    pub(super) fn jobs(&self, n: usize) -> Vec<NewJob> {
        (0..n).map(|_| self.job("")).collect()
    }

    /// Enqueues and insists that every job is taken.
    pub(super) async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<(), Fault> {
        for answer in self.store().enqueue(jobs, false, None).await? {
            answer.map_err(Fault::from)?;
        }
        Ok(())
    }

    /// A worker's claim for `n` jobs that settles those before.
    pub(super) fn claim(&self, worker: WorkerId, settle_first: Vec<Settle>, n: usize) -> Claim {
        let wants = vec![(self.queue.clone(), u32::try_from(n).unwrap_or(u32::MAX))];
        Claim { settle_first, wants, worker, nonce: worker.0 }
    }

    /// Settles, claims, and answers the completions of what was claimed for the next call.
    pub(super) async fn turn(&self, worker: WorkerId, done: Vec<Settle>, n: usize) -> Result<Turn, Fault> {
        let completed = done.len() as u64;
        let claimed = self.store().claim(self.claim(worker, done, n), None).await?;
        for answer in claimed.settled {
            answer.map_err(Fault::from)?;
        }
        let next = claimed.jobs.into_iter().map(|job| Settle::Complete {
            lease: job.lease,
            result: None,
            then: vec![],
        });
        Ok(Turn { completed, next: next.collect() })
    }

    /// A worker id that no other caller has.
    pub(super) fn worker(&self) -> WorkerId {
        WorkerId(((self.client().new_id().0 as u64) ^ ((self.client().new_id().0 >> 64) as u64)) | 1)
    }
}

/// What one claim brought.
pub(super) struct Turn {
    /// Completions acknowledged.
    pub(super) completed: u64,
    /// Completions to send with the next claim.
    pub(super) next: Vec<Settle>,
}

/// Runs `callers` tasks to their end; the first fault is the answer.
pub(super) async fn together<F, Fut>(callers: usize, task: F) -> Result<(), Fault>
where
    F: Fn(usize) -> Fut,
    Fut: Future<Output = Result<(), Fault>> + Send + 'static,
{
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..callers {
        tasks.spawn(task(caller));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| Fault::failed(format!("a caller ended: {error}")))??;
    }
    Ok(())
}

/// Enqueues `jobs` jobs in full batches from several callers, none timed by itself.
pub(super) async fn preload(
    bench: &Arc<Bench>,
    jobs: u64,
    progress: &indicatif::ProgressBar,
    make: impl Fn(&Bench, u64) -> NewJob + Clone + Send + Sync + 'static,
) -> Result<(), Fault> {
    /// Enough to keep the committer busy while the other one makes its batch.
    const CALLERS: usize = 2;
    let taken = Arc::new(AtomicU64::new(0));
    together(CALLERS, |_| {
        let (bench, taken, progress, make) =
            (Arc::clone(bench), Arc::clone(&taken), progress.clone(), make.clone());
        async move {
            loop {
                let from = taken.fetch_add(PRELOAD_BATCH as u64, Ordering::Relaxed);
                if from >= jobs {
                    return Ok(());
                }
                let to = jobs.min(from + PRELOAD_BATCH as u64);
                bench.enqueue((from..to).map(|number| make(&bench, number)).collect()).await?;
                progress.inc(to - from);
            }
        }
    })
    .await
}

/// The steady mix: each caller enqueues a batch, and beside it completes the last batch and claims the next.
pub(super) struct Mix {
    pub(super) callers: usize,
    pub(super) batch: usize,
    pub(super) time: Duration,
    /// Jobs of the mix share the queue in that many groups; 0: without a group.
    pub(super) groups: usize,
}

/// What a mix came to.
pub(super) struct MixResult {
    pub(super) completed: u64,
    pub(super) took: Duration,
    /// Completions by second.
    pub(super) seconds: Vec<u64>,
}

impl Mix {
    /// Runs it; the latencies are of both calls.
    pub(super) async fn run(
        &self,
        bench: &Arc<Bench>,
        latencies: &Arc<Latencies>,
    ) -> Result<MixResult, Fault> {
        let whole_seconds = usize::try_from(self.time.as_secs()).unwrap_or(0) + 1;
        let by_second: Arc<Vec<AtomicU64>> =
            Arc::new(std::iter::repeat_with(AtomicU64::default).take(whole_seconds).collect());
        let keys = (0..self.groups).map(group_key).collect::<Result<Vec<_>, _>>()?;
        let keys = Arc::new(keys);
        let start = Instant::now();
        together(self.callers, |caller| {
            let (bench, latencies, by_second, keys) =
                (Arc::clone(bench), Arc::clone(latencies), Arc::clone(&by_second), Arc::clone(&keys));
            let (batch, end) = (self.batch, start + self.time);
            async move {
                let worker = bench.worker();
                let mut done = Vec::new();
                let mut number = caller;
                while Instant::now() < end {
                    let mut jobs = bench.jobs(batch);
                    for job in &mut jobs {
                        // A stride that has no factor with the number of groups visits all of them.
                        number = number.wrapping_add(7_919);
                        job.group = (!keys.is_empty()).then(|| keys[number % keys.len()].clone());
                    }
                    let (enqueued, turn) = tokio::join!(
                        timed(&latencies, bench.enqueue(jobs)),
                        timed(&latencies, bench.turn(worker, std::mem::take(&mut done), batch)),
                    );
                    enqueued?;
                    let turn = turn?;
                    let second = usize::try_from(start.elapsed().as_secs()).unwrap_or(usize::MAX);
                    by_second[second.min(by_second.len() - 1)].fetch_add(turn.completed, Ordering::Relaxed);
                    done = turn.next;
                }
                let turn = bench.turn(worker, done, 0).await?;
                by_second[by_second.len() - 1].fetch_add(turn.completed, Ordering::Relaxed);
                Ok(())
            }
        })
        .await?;
        let took = start.elapsed();
        let mut seconds: Vec<u64> = by_second.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let completed = seconds.iter().sum();
        // The last one is what remained after the end, not a second.
        seconds.pop();
        Ok(MixResult { completed, took, seconds })
    }
}

/// The n-th group.
pub(super) fn group_key(number: usize) -> Result<GroupKey, Fault> {
    GroupKey::new(format!("group-{number:05}")).map_err(Fault::from)
}

/// Times one call that came to a good end.
pub(super) async fn timed<T>(
    latencies: &Latencies,
    call: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let start = Instant::now();
    let answer = call.await?;
    latencies.record(start.elapsed());
    Ok(answer)
}
