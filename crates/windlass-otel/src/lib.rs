//! OpenTelemetry for Windlass: one trace from the call that enqueued a job to each of its attempts, in whatever process
//! and however much later.
//!
//! ```no_run
//! use tracing_subscriber::prelude::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let export = windlass_otel::Export::from_env("billing")?;
//! tracing_subscriber::registry().with(export.layer()).init();
//! windlass::trace::set_tracer(windlass_otel::OpenTelemetry::default())?;
//! // … enqueue, work …
//! export.end()?; // what is still here is sent
//! # Ok(())
//! # }
//! ```
//!
//! - **[`OpenTelemetry`]** is the [`Tracer`](windlass::trace::Tracer): it makes the spans and carries their contexts
//!   in the job. It needs a layer of `tracing-opentelemetry` in the subscriber; a program that exports traces already has
//!   one, and sets this alone.
//! - **[`Export`]** is such a layer, with an OTLP exporter (HTTP, protobuf) that the standard's own environment variables
//!   set: `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_TRACES_SAMPLER`, `OTEL_SERVICE_NAME`,
//!   `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_BSP_*` and so on.
//!
//! Names follow the semantic conventions for messaging and for HTTP; those for messaging are still in
//! development (<https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/>), and are known in one file
//! here. Payloads are never in a span. Measurements are not exported this way: the server's `/metrics` has them.

mod export;
mod tracer;

pub use export::{Export, OtelError};
pub use tracer::{OpenTelemetry, Parents};
