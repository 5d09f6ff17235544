//! The spans of a queue in the words of OpenTelemetry.

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{Status, TraceContextExt as _};
use opentelemetry::{Context, Value};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use windlass::core::store::ClaimedJob;
use windlass::trace::{Operation, Tracer};

/// The messaging system, as the conventions want it named.
const SYSTEM: &str = "windlass";
/// The header, and the key, of W3C Trace Context.
const TRACEPARENT: &str = "traceparent";

/// How an attempt belongs to the span that enqueued its job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parents {
    /// It is its child: one trace from the enqueue to the end, which is easy to read.
    #[default]
    Child,
    /// It begins a trace of its own and links to it: for jobs that run days later or enqueue one another for ever, whose
    /// traces would have no end.
    Link,
}

/// Spans and their contexts by OpenTelemetry; see the [crate](crate).
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenTelemetry {
    parents: Parents,
}

impl OpenTelemetry {
    /// With attempts that belong to their enqueuers in that way.
    pub fn new(parents: Parents) -> Self {
        Self { parents }
    }

    fn process(self, job: &ClaimedJob) -> Span {
        let span = tracing::info_span!(
            "process",
            otel.name = format!("process {}", job.queue),
            otel.kind = "consumer",
            messaging.system = SYSTEM,
            messaging.operation.name = "process",
            "messaging.operation.type" = "process",
            messaging.destination.name = job.queue.as_str(),
            messaging.message.id = %job.lease.job,
            messaging.message.body.size = job.payload.len(),
            windlass.job.kind = job.kind.as_str(),
            windlass.job.attempt = job.lease.attempt,
            windlass.job.group = job.group.as_ref().map(|group| group.as_str()),
        );
        let Some(enqueuer) = job.trace.as_deref().and_then(read) else { return span };
        match self.parents {
            // A span that nobody records has no parent to set, and needs none.
            Parents::Child => drop(span.set_parent(enqueuer)),
            Parents::Link => span.add_link(enqueuer.span().span_context().clone()),
        }
        span
    }
}

impl Tracer for OpenTelemetry {
    fn span(&self, operation: Operation<'_>) -> Span {
        match operation {
            Operation::Send { queue, job, count } => tracing::info_span!(
                "send",
                otel.name = queue.map_or_else(|| "send".to_owned(), |queue| format!("send {queue}")),
                otel.kind = "producer",
                messaging.system = SYSTEM,
                messaging.operation.name = "send",
                "messaging.operation.type" = "send",
                messaging.destination.name = queue.map(|queue| queue.as_str()),
                messaging.message.id = job.map(tracing::field::display),
                messaging.batch.message_count = (count > 1).then_some(count),
            ),
            Operation::Process(job) => self.process(job),
            Operation::Request { method, route, parent } => {
                let span = tracing::info_span!(
                    "request",
                    otel.name = format!("{method} {route}"),
                    otel.kind = "server",
                    http.request.method = method,
                    http.route = route,
                    http.response.status_code = Empty,
                );
                if let Some(parent) = parent.and_then(read) {
                    let _ = span.set_parent(parent);
                }
                span
            }
            // What a later version of the library does is left to it.
            _ => Span::none(),
        }
    }

    fn context(&self, span: &Span) -> Option<String> {
        let context = span.context();
        if !context.span().span_context().is_valid() {
            return None;
        }
        let mut carrier = HashMap::new();
        TraceContextPropagator::new().inject_context(&context, &mut carrier);
        carrier.remove(TRACEPARENT)
    }

    fn failed(&self, span: &Span, class: &str, message: &str) {
        span.set_attribute("error.type", Value::from(class.to_owned()));
        span.set_status(Status::error(message.to_owned()));
    }

    fn answered(&self, span: &Span, status: u16) {
        span.set_attribute("http.response.status_code", Value::from(i64::from(status)));
        // What a client did wrong is no fault of a server's span, say the conventions.
        if status >= 500 {
            self.failed(span, &status.to_string(), "");
        }
    }
}

/// The context that a job or a request brought; none when it is not one.
fn read(traceparent: &str) -> Option<Context> {
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    // Of an empty context: what happens to be current here is no parent of what comes from elsewhere.
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    context.span().span_context().is_valid().then_some(context)
}
