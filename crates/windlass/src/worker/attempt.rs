//! Runs one attempt to its end: timeout, panic, lost lease, and what the outcome means to the store.
//!
//! A handler that is done at its first poll costs neither a timer nor a registration.

use crate::clock::whole_ms;
use crate::ctx::{Ctx, Held};
use crate::handler::{Attempt, HandlerFuture, HandlerService, THREAD_LEFT, THREAD_NONE, THREAD_RUNS};
use crate::outcome::{JobError, Outcome, Verdict, report};
use crate::trace;
use std::any::Any;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tracing::Instrument as _;
use windlass_core::LeaseToken;
use windlass_core::store::{ReleaseReason, Settle};

/// What a worker knows how to run.
pub(crate) struct Routes {
    by_kind: HashMap<String, Route>,
    /// For every kind that has none of its own.
    any: Option<Route>,
    timeout: Option<Duration>,
}

pub(crate) struct Route {
    pub(crate) service: HandlerService,
    pub(crate) timeout: Option<Duration>,
}

impl Routes {
    pub(crate) fn new(
        by_kind: HashMap<String, Route>,
        any: Option<Route>,
        timeout: Option<Duration>,
    ) -> Self {
        Self { by_kind, any, timeout }
    }

    pub(crate) fn of(&self, kind: &str) -> Option<&Route> {
        self.by_kind.get(kind).or(self.any.as_ref())
    }

    /// How long an attempt may take: the job's own word, its handler's, the worker's.
    pub(crate) fn timeout(&self, kind: &str, timeout_ms: Option<u64>) -> Option<Duration> {
        let own = timeout_ms.map(Duration::from_millis);
        own.or_else(|| self.of(kind).and_then(|route| route.timeout)).or(self.timeout)
    }
}

/// An attempt that has ended, as its worker hears of it.
pub(crate) struct Ended {
    pub(crate) token: LeaseToken,
    pub(crate) lane: usize,
    /// What the store is told; nothing when the lease is lost.
    pub(crate) settle: Option<Settle>,
    /// Whether its slot is free: not while a thread that cannot be stopped still works.
    pub(crate) frees: bool,
    /// Whether this is the end of the attempt, not only of its thread.
    pub(crate) ran: bool,
}

/// How the handler stopped.
enum Stop {
    Returned(Result<Outcome, JobError>),
    Panicked(String),
    TimedOut(Duration),
    CutOff,
}

/// Runs the attempt; the worker hears of its end through [`Held::tell`].
pub(crate) async fn run(routes: Arc<Routes>, held: Arc<Held>) {
    let settle = settle(&routes, &held).await;
    // A blocking handler that was given up keeps its slot until its thread comes back.
    let left = held.thread.compare_exchange(THREAD_RUNS, THREAD_LEFT, Ordering::SeqCst, Ordering::SeqCst);
    let frees = left.is_err_and(|thread| thread == THREAD_NONE);
    held.tell(Ended { token: held.job.lease.token, lane: held.lane, settle, frees, ran: true });
}

/// Runs the attempt in a span of its own, and says what the store is to be told, if anything.
pub(crate) async fn settle(routes: &Routes, held: &Arc<Held>) -> Option<Settle> {
    let span = trace::process(&held.job);
    let settle = attempt(routes, held).instrument(span.clone()).await;
    trace::processed(&span, settle.as_ref());
    settle
}

async fn attempt(routes: &Routes, held: &Arc<Held>) -> Option<Settle> {
    let lease = held.job.lease;
    let Some(route) = routes.of(held.job.kind.as_str()) else {
        return Some(Settle::Release { lease, reason: ReleaseReason::NoHandler });
    };
    let stop = until_stop(&route.service, held).await;
    if held.is_lost() {
        return None;
    }
    if let Stop::Returned(Err(error)) = &stop
        && matches!(error.verdict(), Verdict::GivenBack)
    {
        // Giving back spends nothing and leaves no error: the log is where people look next.
        held.log(&format!("given back: {error}"));
    }
    held.close_log();
    if let Some(said) = held.take_report() {
        // What was said must arrive before the end: afterwards the lease is no longer current. A store
        // that cannot take it now will take the settlement later; the log is not worth holding it up.
        let reports = held.client.reports();
        let answer = reports.submit(said).await.unwrap_or_else(|_| Err(reports.dropped()));
        if let Err(error) = answer {
            tracing::warn!(job = %lease.job, %error, "the last log lines of an attempt are lost");
        }
    }
    Some(verdict(held, stop))
}

async fn until_stop(service: &HandlerService, held: &Arc<Held>) -> Stop {
    let started = held.started();
    let attempt = Attempt::new(Ctx::new(held.clone()));
    let mut running = match catch_unwind(AssertUnwindSafe(|| service.run(attempt))) {
        Ok(running) => Guarded(running),
        Err(panic) => return Stop::Panicked(panic_text(&*panic)),
    };
    let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut running).poll(cx))).await;
    if let Poll::Ready(done) = first {
        return returned(done);
    }
    let timeout = async {
        match held.timeout {
            Some(timeout) => {
                tokio::time::sleep(timeout.saturating_sub(started.elapsed())).await;
                timeout
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        done = &mut running => returned(done),
        () = held.stopped() => Stop::CutOff,
        timeout = timeout => {
            held.time_out();
            Stop::TimedOut(timeout)
        }
    }
}

fn returned(done: Result<Result<Outcome, JobError>, String>) -> Stop {
    match done {
        Ok(result) => Stop::Returned(result),
        Err(panic) => Stop::Panicked(panic),
    }
}

/// What the store is told of an attempt that stopped like that.
fn verdict(held: &Held, stop: Stop) -> Settle {
    match stop {
        Stop::Returned(Ok(outcome)) => by_outcome(held, outcome),
        Stop::Returned(Err(error)) => by_error(held, &error),
        Stop::Panicked(message) => failed(held, "panic", message, false),
        Stop::TimedOut(timeout) => failed(held, "timeout", format!("not done within {timeout:?}"), false),
        Stop::CutOff => Settle::Release { lease: held.job.lease, reason: ReleaseReason::Shutdown },
    }
}

fn failed(held: &Held, class: &str, message: String, fatal: bool) -> Settle {
    let error = report(held.job.kind.as_str(), Some(class.into()), message, None);
    Settle::Fail { lease: held.job.lease, error, retry_in_ms: None, fatal }
}

/// What the store is told when the handler returned an outcome.
pub(crate) fn by_outcome(held: &Held, outcome: Outcome) -> Settle {
    let lease = held.job.lease;
    match outcome {
        Outcome::Done => Settle::Complete { lease, result: None, then: held.take_follow_ups() },
        Outcome::DoneWith(result) => {
            Settle::Complete { lease, result: Some(result), then: held.take_follow_ups() }
        }
        Outcome::Snooze { delay, reason } => {
            Settle::Snooze { lease, delay_ms: whole_ms(delay), reason, holds: None }
        }
        Outcome::RateLimited { delay, hold } => {
            let reason = "rate limited".into();
            Settle::Snooze { lease, delay_ms: whole_ms(delay), reason, holds: Some(hold) }
        }
        Outcome::Discard { reason } => failed(held, "discarded", reason, true),
    }
}

/// What the store is told when the handler returned an error.
pub(crate) fn by_error(held: &Held, error: &JobError) -> Settle {
    let lease = held.job.lease;
    let fail = |retry_in_ms, fatal| Settle::Fail {
        lease,
        error: error.report(held.job.kind.as_str()),
        retry_in_ms,
        fatal,
    };
    match error.verdict() {
        Verdict::GivenBack => {
            tracing::warn!(job = %lease.job, %error, "given back");
            Settle::Release { lease, reason: ReleaseReason::NoHandler }
        }
        Verdict::Cancelled if held.is_shutting_down() => {
            Settle::Release { lease, reason: ReleaseReason::Shutdown }
        }
        Verdict::Snooze(delay) => {
            Settle::Snooze { lease, delay_ms: whole_ms(*delay), reason: error.to_string(), holds: None }
        }
        Verdict::RetryIn(delay) => fail(Some(whole_ms(*delay)), false),
        Verdict::Fatal => fail(None, true),
        Verdict::Retry | Verdict::Cancelled => fail(None, false),
    }
}

/// The handler's future with its panics caught.
struct Guarded(HandlerFuture);

impl Future for Guarded {
    type Output = Result<Result<Outcome, JobError>, String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The future is never polled again after a panic, so whatever it left half done stays unseen.
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
            Err(panic) => Poll::Ready(Err(panic_text(&*panic))),
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.map_or_else(|| "the handler panicked".into(), |text| format!("the handler panicked: {text}"))
}
