//! What the libraries say, on stderr, and the spans of this process, to a collector.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::prelude::*;

use crate::commands::serve::LogFormat;
use crate::fault::Fault;

/// What goes on for as long as the process does.
pub(crate) struct Log {
    #[cfg(feature = "otel")]
    export: Option<windlass_otel::Export>,
}

impl Log {
    /// Begins. What the libraries log goes to stderr if `WINDLASS_LOG` asks for it (`WINDLASS_LOG=debug`); of a command
    /// that stays, what goes wrong does in any case, since nobody would learn of it otherwise, and who or which file
    /// changed what.
    /// Spans go where the variables of OpenTelemetry say, if they do.
    pub(crate) fn begin(stays: bool, format: LogFormat) -> Result<Self, Fault> {
        let filter = match std::env::var("WINDLASS_LOG") {
            Ok(filter) => Some(filter),
            Err(_) => stays.then(|| "warn,audit=info,config=info".to_owned()),
        };
        let color = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let stderr = filter.map(|filter| {
            let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
            match format {
                LogFormat::Text => lines.with_ansi(color).with_filter(EnvFilter::new(filter)).boxed(),
                LogFormat::Json => {
                    let lines = lines.json().with_ansi(false).flatten_event(true);
                    lines.with_filter(EnvFilter::new(filter)).boxed()
                }
            }
        });
        #[cfg(feature = "otel")]
        {
            let export =
                windlass_otel::Export::is_wanted().then(|| windlass_otel::Export::from_env("windlass"));
            let export = export.transpose().map_err(|why| {
                Fault::usage(why.to_string()).next("correct the variable, or set OTEL_SDK_DISABLED=true")
            })?;
            // Where nobody listens there is no subscriber, and a span costs nothing.
            if stderr.is_some() || export.is_some() {
                let spans = export.as_ref().map(windlass_otel::Export::layer);
                tracing_subscriber::registry().with(stderr).with(spans).init();
            }
            if export.is_some() {
                windlass::trace::set_tracer(windlass_otel::OpenTelemetry::default())
                    .map_err(|why| Fault::failed(why.to_string()))?;
            }
            Ok(Self { export })
        }
        #[cfg(not(feature = "otel"))]
        {
            if let Some(stderr) = stderr {
                tracing_subscriber::registry().with(stderr).init();
            }
            if std::env::var_os("OTEL_EXPORTER_OTLP_ENDPOINT").is_some() {
                tracing::warn!(
                    "this program was built without OpenTelemetry; build it with the feature otel"
                );
            }
            Ok(Self {})
        }
    }

    /// Sends the last spans. A collector that does not take them is no fault of the command's.
    pub(crate) fn end(self) {
        #[cfg(feature = "otel")]
        if let Some(Err(why)) = self.export.map(windlass_otel::Export::end) {
            tracing::warn!("{why}");
        }
    }
}
