//! Spans on their way to a collector.

use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::registry::LookupSpan;

/// How long the end of a program waits for its last spans: a collector that is there takes them in a moment.
const END_WITHIN: Duration = Duration::from_secs(5);
/// The name that a service has when nobody names it, in the standard's variable.
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
/// Where spans go, in the order in which the standard reads it.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Why spans are not exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OtelError {
    /// The environment asks for what cannot be.
    #[error("OpenTelemetry: {0}")]
    Settings(String),
    /// The last spans did not reach the collector.
    #[error("OpenTelemetry: the last spans were not exported: {0}")]
    Unsent(#[from] OTelSdkError),
}

/// An OTLP exporter of spans (HTTP, protobuf): in batches, from a thread of its own, never in anybody's way. What the
/// collector does not take in time is dropped.
#[derive(Debug)]
pub struct Export {
    provider: SdkTracerProvider,
}

impl Export {
    /// Whether the environment asks for an export: an endpoint is named, and neither `OTEL_SDK_DISABLED` nor
    /// `OTEL_TRACES_EXPORTER` says no.
    pub fn is_wanted() -> bool {
        let said = |name: &str| std::env::var(name).unwrap_or_default();
        ENDPOINTS.iter().any(|name| !said(name).is_empty())
            && !said("OTEL_SDK_DISABLED").eq_ignore_ascii_case("true")
            && !said("OTEL_TRACES_EXPORTER").eq_ignore_ascii_case("none")
    }

    /// An export as the environment wants it, of a service that has that name unless the environment has another.
    ///
    /// # Errors
    /// The environment asks for something that cannot be, such as an address that is none or a protocol other than
    /// `http/protobuf`.
    pub fn from_env(service: &str) -> Result<Self, OtelError> {
        let settings = |why: String| OtelError::Settings(why);
        let protocol = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|said| !said.is_empty()));
        if let Some(other) = protocol.filter(|said| said != "http/protobuf") {
            return Err(settings(format!("the protocol {other:?} is not spoken here; http/protobuf is")));
        }
        let client = std::thread::spawn(client).join().unwrap_or_else(|_| Err("no HTTP client".to_owned()));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client.map_err(settings)?)
            .build()
            .map_err(|why| settings(why.to_string()))?;
        let mut resource = Resource::builder();
        if std::env::var_os(SERVICE_NAME).is_none() {
            resource = resource.with_service_name(service.to_owned());
        }
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.build())
            .with_batch_exporter(exporter)
            .build();
        Ok(Self { provider })
    }

    /// The layer that hands spans of the level info and above to this export.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let tracer = self.provider.tracer("windlass");
        OpenTelemetryLayer::new(tracer)
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_filter(LevelFilter::INFO)
    }

    /// Sends what is still here, and ends.
    ///
    /// # Errors
    /// The collector did not take it within five seconds.
    pub fn end(self) -> Result<(), OtelError> {
        Ok(self.provider.shutdown_with_timeout(END_WITHIN)?)
    }
}

/// To be made on a thread that belongs to no runtime, since it waits by blocking.
fn client() -> Result<reqwest::blocking::Client, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|why| why.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::blocking::Client::builder().tls_backend_preconfigured(tls).build().map_err(|why| why.to_string())
}
