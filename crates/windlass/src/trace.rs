//! Traces: every attempt runs in a span of its own, and goes on with the trace of whoever enqueued its job.
//!
//! With any subscriber of `tracing`, what a handler logs says its job, queue, kind and attempt. What connects an attempt
//! with the span that enqueued its job, in another process and days before, is a [`Tracer`]; the crate `windlass-otel`
//! has the one of OpenTelemetry. Without one no trace context is made, and one that a job was given is kept for it.

use std::sync::OnceLock;

use tracing::Span;
use windlass_core::store::{ClaimedJob, Settle};
use windlass_core::{JobId, NewJob, QueueName, Rejection};

use crate::error::Error;

/// What a span is of.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Operation<'a> {
    /// Jobs are enqueued in one call.
    Send {
        /// Their queue; none when they go to several.
        queue: Option<&'a QueueName>,
        /// The job, when it is one.
        job: Option<JobId>,
        /// How many they are.
        count: usize,
    },
    /// One attempt at a job, whose `trace` is the context that it was enqueued with.
    Process(&'a ClaimedJob),
    /// A server answers a request.
    Request {
        /// The method.
        method: &'a str,
        /// The pattern of its route, such as `/v1/jobs/{id}`.
        route: &'a str,
        /// What the client sent in `traceparent`.
        parent: Option<&'a str>,
    },
}

/// Makes the spans of this crate, and carries their contexts from process to process in the form of W3C `traceparent`.
pub trait Tracer: Send + Sync + 'static {
    /// A span of that operation: a child of the current one, or of the context that the operation names.
    fn span(&self, operation: Operation<'_>) -> Span;

    /// The context of that span as `traceparent`; none when it is not traced.
    fn context(&self, span: &Span) -> Option<String>;

    /// What the span is of has failed: `class` is one of few words, `message` is for people.
    fn failed(&self, span: &Span, class: &str, message: &str);

    /// The answer to a [`Operation::Request`] has that status.
    fn answered(&self, span: &Span, status: u16);
}

/// A tracer was set before in this process, and stays.
#[derive(Debug, thiserror::Error)]
#[error("this process has a tracer already; set one, at its start")]
pub struct TracerIsSet;

static TRACER: OnceLock<Box<dyn Tracer>> = OnceLock::new();

/// Sets the tracer of this process, once.
///
/// # Errors
/// There is one already.
pub fn set_tracer(tracer: impl Tracer) -> Result<(), TracerIsSet> {
    TRACER.set(Box::new(tracer)).map_err(|_| TracerIsSet)
}

/// The span in which those jobs are enqueued; jobs that were given no trace context get its own. To be entered while the
/// store is called. It is no span when there is no tracer.
pub fn send(jobs: &mut [NewJob]) -> Span {
    let (Some(tracer), Some(first)) = (TRACER.get(), jobs.first()) else { return Span::none() };
    let queue = jobs.iter().all(|job| job.queue == first.queue).then_some(&first.queue);
    let job = (jobs.len() == 1).then_some(first.id);
    let span = tracer.span(Operation::Send { queue, job, count: jobs.len() });
    give(jobs, || tracer.context(&span));
    span
}

/// Gives the context of the current span to those that have none.
pub(crate) fn continue_in(jobs: &mut [NewJob]) {
    if let Some(tracer) = TRACER.get() {
        give(jobs, || tracer.context(&Span::current()));
    }
}

fn give(jobs: &mut [NewJob], context: impl FnOnce() -> Option<String>) {
    if jobs.iter().all(|job| job.trace.is_some()) {
        return;
    }
    if let Some(context) = context() {
        jobs.iter_mut().filter(|job| job.trace.is_none()).for_each(|job| job.trace = Some(context.clone()));
    }
}

/// The span of a request, for servers.
pub fn request(method: &str, route: &str, parent: Option<&str>) -> Span {
    let operation = Operation::Request { method, route, parent };
    TRACER.get().map_or_else(Span::none, |tracer| tracer.span(operation))
}

/// Says how a request ended.
pub fn answered(span: &Span, status: u16) {
    if let Some(tracer) = TRACER.get() {
        tracer.answered(span, status);
    }
}

/// Says that what the span is of has failed.
pub fn failed(span: &Span, class: &str, message: &str) {
    if let Some(tracer) = TRACER.get() {
        tracer.failed(span, class, message);
    }
}

/// The context of that span, when there is a tracer and the span is traced.
pub fn context(span: &Span) -> Option<String> {
    TRACER.get().and_then(|tracer| tracer.context(span))
}

/// Says that a single job was not enqueued.
pub(crate) fn unsent(span: &Span, error: &Error) {
    let class = error.rejection().map_or("store", Rejection::code);
    failed(span, class, &error.to_string());
}

/// The span of an attempt.
pub(crate) fn process(job: &ClaimedJob) -> Span {
    match TRACER.get() {
        Some(tracer) => tracer.span(Operation::Process(job)),
        None => tracing::info_span!(
            "attempt",
            job = %job.lease.job,
            queue = %job.queue,
            kind = %job.kind,
            attempt = job.lease.attempt,
        ),
    }
}

/// Says how an attempt ended, if it failed.
pub(crate) fn processed(span: &Span, settle: Option<&Settle>) {
    match settle {
        Some(Settle::Fail { error, .. }) => {
            failed(span, error.class.as_deref().unwrap_or("error"), &error.message);
        }
        None => failed(span, "lease_lost", "the lease was lost before the attempt ended"),
        Some(_) => {}
    }
}
