//! What spans a client and a worker of one process make, and how they belong together.

use std::sync::OnceLock;

use opentelemetry::trace::{SpanId, SpanKind, Status, TracerProvider as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tracing_subscriber::prelude::*;
use windlass::testing::TestQueue;
use windlass::{Ctx, Draft, JobError, RawJob};
use windlass_otel::{OpenTelemetry, Parents};

/// The subscriber and the tracer are the process's: every test of this file links, and looks at its own queue alone.
fn exported() -> &'static InMemorySpanExporter {
    static EXPORTED: OnceLock<InMemorySpanExporter> = OnceLock::new();
    EXPORTED.get_or_init(|| {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing_subscriber::registry().with(layer).init();
        windlass::trace::set_tracer(OpenTelemetry::new(Parents::Link)).expect("the first one");
        exporter
    })
}

fn named(name: &str) -> SpanData {
    let all = exported().get_finished_spans().expect("spans");
    let found = all.iter().find(|span| span.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {all:#?}")).clone()
}

#[tokio::test]
async fn an_attempt_links_to_its_enqueuer_and_its_follow_up_belongs_to_the_attempt() {
    let spans = exported();
    let queue = TestQueue::new();
    let caller = tracing::info_span!("caller");
    let draft = Draft::raw("mail", "first", *b"\"hush\"");
    tracing::Instrument::instrument(async { queue.client().enqueue(draft).await }, caller)
        .await
        .expect("an enqueue");
    let worker = queue.client().worker(()).queue("mail", 1).queue("next", 1);
    let worker = worker.handle_kind("first", async |_: RawJob, cx: Ctx| -> Result<(), JobError> {
        cx.enqueue(Draft::raw("next", "second", *b"{}"))?;
        Ok(())
    });
    let worker =
        worker.handle_kind("second", async |_: RawJob| -> Result<(), JobError> { Err(JobError::msg("no")) });
    let drained = queue.drain(worker).await.expect("a drain");
    assert_eq!((drained.completed, drained.failed), (1, 1));

    let (caller, sent) = (named("caller"), named("send mail"));
    assert_eq!((sent.parent_span_id, &sent.span_kind), (caller.span_context.span_id(), &SpanKind::Producer));
    let (first, second) = (named("process mail"), named("process next"));
    for (attempt, enqueuer) in [(&first, &sent), (&second, &first)] {
        assert_eq!((attempt.parent_span_id, &attempt.span_kind), (SpanId::INVALID, &SpanKind::Consumer));
        let links: Vec<_> = attempt.links.iter().map(|link| link.span_context.span_id()).collect();
        assert_eq!(links, [enqueuer.span_context.span_id()]);
        assert_ne!(attempt.span_context.trace_id(), enqueuer.span_context.trace_id());
    }
    assert_eq!((&first.status, &second.status), (&Status::Unset, &Status::error("no")));
    assert!(!format!("{:?}", spans.get_finished_spans()).contains("hush"), "payloads are in no span");
}
