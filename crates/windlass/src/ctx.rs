//! What a handler knows of its attempt and may say about it while it runs.
//!
//! A [`Ctx`] is a handle: clones, also in other tasks and threads, speak of the same attempt. Logs and
//! progress are gathered here and go out with the next heartbeat, or before the attempt is settled.

use crate::client::Client;
use crate::draft::IntoDraft;
use crate::outcome::JobError;
use crate::worker::Ended;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};
use windlass_core::bounds::{CHECKPOINT_BYTES_MAX, FOLLOW_UPS_MAX, LOG_BYTES_MAX};
use windlass_core::job::Progress;
use windlass_core::name::Tag;
use windlass_core::store::{ClaimedJob, Report};
use windlass_core::{GroupKey, JobId, Kind, NewJob, QueueName, Rejection, Time};

/// The attempt was asked to stop by a person or program.
const REQUESTED: u8 = 1;
/// Its worker shuts down and the grace is over.
const SHUTDOWN: u8 = 2;
/// Its lease is no longer current: nothing that it does counts any more.
const LOST: u8 = 4;
/// Its time is up.
const TIMEOUT: u8 = 8;
/// The handler is cut off, not only asked.
const STOPPED: u8 = 16;

/// Why a handler is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelReason {
    /// Somebody cancelled the job: from now on only a completion completes it.
    Requested,
    /// The worker shuts down: return [`JobError::cancelled`] and the job goes back, no try spent.
    Shutdown,
    /// The lease is lost: another worker may have the job already.
    LeaseLost,
    /// The attempt's time is up.
    Timeout,
}

/// One attempt as its worker holds it, shared by the handler, the heartbeat and the dispatcher.
pub(crate) struct Held {
    pub(crate) job: ClaimedJob,
    pub(crate) client: Client,
    /// Which of its worker's queues it came from.
    pub(crate) lane: usize,
    started: OnceLock<Instant>,
    pub(crate) timeout: Option<Duration>,
    /// Where the worker hears of its end; none when nobody keeps slots.
    pub(crate) done: Option<mpsc::UnboundedSender<Ended>>,
    /// When the claim, or the last good heartbeat, was sent: milliseconds after the worker's start.
    pub(crate) good_ms: AtomicU64,
    /// Where the thread of a blocking handler stands.
    pub(crate) thread: AtomicU8,
    flags: AtomicU8,
    changed: Notify,
    said: Mutex<Said>,
}

/// What the handler has said and nobody has sent yet.
#[derive(Default)]
struct Said {
    log: String,
    log_bytes: usize,
    lines_dropped: u64,
    progress: Option<Progress>,
    follow_ups: Vec<NewJob>,
}

impl Held {
    pub(crate) fn new(
        job: ClaimedJob,
        client: Client,
        lane: usize,
        timeout: Option<Duration>,
        done: Option<mpsc::UnboundedSender<Ended>>,
        good_ms: u64,
    ) -> Self {
        Self {
            job,
            client,
            lane,
            started: OnceLock::new(),
            timeout,
            done,
            good_ms: AtomicU64::new(good_ms),
            thread: AtomicU8::new(0),
            flags: AtomicU8::new(0),
            changed: Notify::new(),
            said: Mutex::default(),
        }
    }

    /// When the attempt began: a claimed job may have waited for a slot.
    pub(crate) fn started(&self) -> Instant {
        *self.started.get_or_init(Instant::now)
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn raise(&self, flags: u8) {
        self.flags.fetch_or(flags, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    fn has(&self, flags: u8) -> bool {
        self.flags.load(Ordering::SeqCst) & flags != 0
    }

    /// Somebody asked the job to stop; what its handler makes of it is its own business.
    pub(crate) fn request_cancel(&self) {
        self.raise(REQUESTED);
    }

    /// The worker shuts down: the handler is asked to stop.
    pub(crate) fn request_shutdown(&self) {
        self.raise(SHUTDOWN);
    }

    /// The lease is gone: the handler is cut off and nothing more is said.
    pub(crate) fn lose(&self) {
        self.raise(LOST | STOPPED);
    }

    /// The worker shuts down and waits no longer: the handler is cut off.
    pub(crate) fn cut_off(&self) {
        self.raise(SHUTDOWN | STOPPED);
    }

    /// The attempt's time is up; what the handler left running may look.
    pub(crate) fn time_out(&self) {
        self.raise(TIMEOUT);
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.has(LOST)
    }

    pub(crate) fn is_shutting_down(&self) -> bool {
        self.has(SHUTDOWN)
    }

    /// Whether the worker counts on nothing from the handler any more.
    pub(crate) fn is_over(&self) -> bool {
        self.has(TIMEOUT | STOPPED)
    }

    /// The thread of a blocking handler that was given up has come back: its slot is free.
    pub(crate) fn thread_ended(&self) {
        self.tell(Ended {
            token: self.job.lease.token,
            lane: self.lane,
            settle: None,
            frees: true,
            ran: false,
        });
    }

    /// Tells the worker; one that is gone needs no telling.
    pub(crate) fn tell(&self, ended: Ended) {
        if let Some(done) = &self.done {
            let _ = done.send(ended);
        }
    }

    pub(crate) async fn stopped(&self) {
        self.raised(STOPPED).await;
    }

    async fn raised(&self, flags: u8) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Registered before the look, so that a change in between is not missed.
            changed.as_mut().enable();
            if self.has(flags) {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn take_follow_ups(&self) -> Vec<NewJob> {
        std::mem::take(&mut self.said().follow_ups)
    }

    /// What has been said since the last time, if anything.
    pub(crate) fn take_report(&self) -> Option<Report> {
        let mut said = self.said();
        if said.log.is_empty() && said.progress.is_none() {
            return None;
        }
        let log = std::mem::take(&mut said.log);
        let log = (!log.is_empty()).then_some(log);
        Some(Report { lease: self.job.lease, progress: said.progress.take(), log, checkpoint: None })
    }

    /// A line of the attempt's log.
    pub(crate) fn log(&self, line: &str) {
        let mut said = self.said();
        if said.log_bytes + line.len() + 1 > LOG_BYTES_MAX {
            said.lines_dropped += 1;
            return;
        }
        said.log_bytes += line.len() + 1;
        said.log.push_str(line);
        said.log.push('\n');
    }

    /// The last line of a log that was longer than an attempt may keep.
    pub(crate) fn close_log(&self) {
        let mut said = self.said();
        if said.lines_dropped > 0 {
            let told = format!("({} more lines were dropped: a log holds 256 KiB)\n", said.lines_dropped);
            said.lines_dropped = 0;
            said.log.push_str(&told);
        }
    }
}

/// The running attempt, for its handler: who it is, how long it may take, whether it should stop; and
/// what it has to say: progress, log, checkpoint, follow-ups.
#[derive(Clone)]
pub struct Ctx {
    held: Arc<Held>,
}

impl std::fmt::Debug for Ctx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ctx")
            .field("id", &self.id())
            .field("kind", self.kind())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}

impl Ctx {
    pub(crate) fn new(held: Arc<Held>) -> Self {
        Self { held }
    }

    pub(crate) fn held(&self) -> &Arc<Held> {
        &self.held
    }

    /// The job's id: the same in every attempt, so the right key for making an effect idempotent.
    pub fn id(&self) -> JobId {
        self.held.job.lease.job
    }

    /// The attempt, numbered from 1 and never reset.
    pub fn attempt(&self) -> u32 {
        self.held.job.lease.attempt
    }

    /// Failures before this attempt.
    pub fn failures(&self) -> u32 {
        self.held.job.failures
    }

    /// Attempts before this one whose worker was lost; their effects may have happened.
    pub fn losses(&self) -> u32 {
        self.held.job.losses
    }

    /// The job's kind.
    pub fn kind(&self) -> &Kind {
        &self.held.job.kind
    }

    /// The job's queue.
    pub fn queue(&self) -> &QueueName {
        &self.held.job.queue
    }

    /// The job's group.
    pub fn group(&self) -> Option<&GroupKey> {
        self.held.job.group.as_ref()
    }

    /// The job's tags.
    pub fn tags(&self) -> &[Tag] {
        &self.held.job.tags
    }

    /// When the job was enqueued, by the store's clock.
    pub fn enqueued_at(&self) -> Time {
        self.held.job.enqueued_at
    }

    /// The W3C trace context of its enqueuer.
    pub fn trace(&self) -> Option<&str> {
        self.held.job.trace.as_deref()
    }

    /// The W3C trace context for calls to others: that of the current span when it is traced
    /// ([`trace`](crate::trace)), that of the job's enqueuer otherwise.
    pub fn traceparent(&self) -> Option<String> {
        crate::trace::context(&tracing::Span::current()).or_else(|| self.held.job.trace.clone())
    }

    /// The payload as it came.
    pub fn payload(&self) -> &[u8] {
        &self.held.job.payload
    }

    /// The client that the worker runs on.
    pub fn client(&self) -> &Client {
        &self.held.client
    }

    /// When the attempt's timeout ends it; none when it may take as long as it takes.
    pub fn deadline(&self) -> Option<Instant> {
        self.held.timeout.and_then(|timeout| self.held.started().checked_add(timeout))
    }

    /// Waits until the handler is asked to stop, and says why; for `select!` beside the work.
    pub async fn cancelled(&self) -> CancelReason {
        self.held.raised(REQUESTED | SHUTDOWN | LOST | TIMEOUT).await;
        self.cancel_reason().unwrap_or(CancelReason::Requested)
    }

    /// Whether the handler is asked to stop; for loops that never wait.
    pub fn is_cancelled(&self) -> bool {
        self.cancel_reason().is_some()
    }

    /// Why the handler is asked to stop, if it is.
    pub fn cancel_reason(&self) -> Option<CancelReason> {
        [
            (LOST, CancelReason::LeaseLost),
            (TIMEOUT, CancelReason::Timeout),
            (REQUESTED, CancelReason::Requested),
            (SHUTDOWN, CancelReason::Shutdown),
        ]
        .into_iter()
        .find_map(|(flag, reason)| self.held.has(flag).then_some(reason))
    }

    /// How far the attempt is, 0 to 100; the newest one goes out with the next heartbeat.
    pub fn progress(&self, percent: u8, message: impl Into<String>) {
        let message = Some(message.into()).filter(|message: &String| !message.is_empty());
        self.held.said().progress = Some(Progress { percent: percent.min(100), message });
    }

    /// A line of the attempt's log; at most 256 KiB are kept, what comes after is counted.
    pub fn log(&self, line: impl AsRef<str>) {
        self.held.log(line.as_ref());
    }

    /// Keeps `data` for the next attempt, durable when this returns; [`Ctx::resume`] gives it back.
    ///
    /// # Errors
    /// Data that does not serialise or is over 64 KiB, a lease that is lost, or the store's failure.
    pub async fn checkpoint<T: Serialize + ?Sized>(&self, data: &T) -> Result<(), JobError> {
        let data = serde_json::to_vec(data)?;
        if data.len() > CHECKPOINT_BYTES_MAX {
            return Err(JobError::msg(format!("a checkpoint of {} bytes is more than 64 KiB", data.len())));
        }
        let said = self.held.take_report();
        let lease = self.held.job.lease;
        let (progress, log) = said.map_or((None, None), |said| (said.progress, said.log));
        let report = Report { lease, progress, log, checkpoint: Some(data) };
        let reports = self.held.client.reports();
        match reports.submit(report).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(crate::Error::Rejected(Rejection::Stale))) => {
                self.held.lose();
                Err(JobError::msg("the lease of this attempt is lost"))
            }
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(reports.dropped().into()),
        }
    }

    /// What an earlier attempt left by [`Ctx::checkpoint`]; none if there is nothing.
    ///
    /// # Errors
    /// A checkpoint that is not of this type.
    pub fn resume<T: DeserializeOwned>(&self) -> Result<Option<T>, JobError> {
        match &self.held.job.checkpoint {
            Some(data) => Ok(Some(serde_json::from_slice(data)?)),
            None => Ok(None),
        }
    }

    /// Enqueues a follow-up in the same step as this attempt's completion: it exists if and only if
    /// the completion does. Its id is known at once.
    ///
    /// # Errors
    /// An option that is wrong, a payload that does not serialise, or more than 1,000 follow-ups.
    pub fn enqueue(&self, job: impl IntoDraft) -> Result<JobId, JobError> {
        let mut job = job.into_draft().into_new_job(self.held.client.now())?;
        crate::trace::continue_in(std::slice::from_mut(&mut job));
        let id = job.id;
        let mut said = self.held.said();
        if said.follow_ups.len() >= FOLLOW_UPS_MAX {
            return Err(JobError::msg("an attempt may enqueue at most 1,000 follow-ups"));
        }
        said.follow_ups.push(job);
        Ok(id)
    }
}
