//! Traces over OTLP: what a collector hears of a job on its way through a server, a worker and a program.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Known;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;

use crate::serve::{Running, serve_with, until};
use crate::shell::Shell;

/// A span, in the words of its test.
#[derive(Clone, Debug)]
struct Heard {
    service: String,
    name: String,
    kind: SpanKind,
    trace: String,
    id: String,
    parent: String,
    failed: Option<String>,
    attributes: HashMap<String, String>,
}

impl Heard {
    fn says(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// A collector that keeps what it is sent.
struct Collector {
    heard: Arc<Mutex<Vec<Heard>>>,
    url: String,
    _runtime: tokio::runtime::Runtime,
}

impl Collector {
    fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let kept = Arc::clone(&heard);
        let take = move |body: Bytes| async move {
            let request = ExportTraceServiceRequest::decode(body).expect("a request of the protocol");
            kept.lock().unwrap_or_else(PoisonError::into_inner).extend(spans(request));
        };
        let app = axum::Router::new().route("/v1/traces", axum::routing::post(take));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { heard, url, _runtime: runtime }
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a process needs to know in order to send its spans here.
    fn variables(&self) -> [(&'static str, String); 2] {
        // The default of five seconds is for people who wait less than a test does.
        [("OTEL_EXPORTER_OTLP_ENDPOINT", self.url.clone()), ("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned())]
    }
}

fn spans(request: ExportTraceServiceRequest) -> Vec<Heard> {
    let mut all = Vec::new();
    for of_process in request.resource_spans {
        let resource = texts(&of_process.resource.unwrap_or_default().attributes);
        for span in of_process.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let status = span.status.clone().unwrap_or_default();
            all.push(Heard {
                service: resource.get("service.name").cloned().unwrap_or_default(),
                kind: span.kind(),
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                failed: (status.code() == StatusCode::Error).then_some(status.message),
                attributes: texts(&span.attributes),
                name: span.name,
            });
        }
    }
    all
}

fn texts(attributes: &[KeyValue]) -> HashMap<String, String> {
    let text = |value: &AnyValue| match &value.value {
        Some(Known::StringValue(text)) => text.clone(),
        Some(Known::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes
        .iter()
        .map(|pair| (pair.key.clone(), pair.value.as_ref().map(text).unwrap_or_default()))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn one_trace_leads_from_the_caller_over_server_and_worker_to_the_program_and_what_it_enqueues() {
    let (shell, collector) = (Shell::new(), Collector::start());
    let (server, url) = serve_with(&shell, &collector.variables());
    // A job of kind good enqueues the next one, which fails.
    let script = r#"printf %s "$TRACEPARENT" > "$OUT/$WINDLASS_KIND"
        case "$WINDLASS_KIND" in
          good) "$WINDLASS" enqueue q bad --max-failures 1 --store "$URL" --quiet ;;
          bad) echo "no such file" >&2; exit 3 ;;
        esac"#;
    let arguments = ["worker", "--url", &url, "-q", "q", "--quiet", "--", "sh", "-c", script];
    let mut worker = shell.command(&arguments);
    worker.envs(collector.variables()).env("OTEL_SERVICE_NAME", "our worker");
    worker.env("OUT", shell.path(".")).env("URL", &url).env("WINDLASS", env!("CARGO_BIN_EXE_windlass"));
    let worker = Running(worker.spawn().expect("it starts"));
    let (trace, caller) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let client = std::process::Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--fail",
            "--header",
            &format!("traceparent: 00-{trace}-{caller}-01"),
        ])
        .args(["--data", "{}", &format!("{url}/v1/queues/q/jobs?kind=good")])
        .output()
        .expect("curl runs");
    assert!(client.status.success(), "{client:?}");

    let of_job =
        |kind: &str| collector.heard().into_iter().find(|span| span.says("windlass.job.kind") == kind);
    until(|| of_job("good").is_some() && of_job("bad").is_some());
    assert_eq!((worker.end(), server.end()), (0, 0));
    let all = collector.heard();
    let named = |name: &str, parent: &str| {
        let found = all.iter().find(|span| span.name == name && span.parent == parent);
        found.unwrap_or_else(|| panic!("no {name} below {parent:?} in {all:#?}"))
    };

    let request = named("POST /v1/queues/{queue}/jobs", caller);
    assert_eq!((&*request.service, request.kind, &*request.trace), ("windlass", SpanKind::Server, trace));
    assert_eq!(request.says("http.response.status_code"), "201");
    let sent = named("send q", &request.id);
    assert_eq!((sent.kind, sent.says("messaging.system")), (SpanKind::Producer, "windlass"));
    let good = named("process q", &sent.id);
    assert_eq!((&*good.service, good.kind, &*good.trace), ("our worker", SpanKind::Consumer, trace));
    assert_eq!(good.says("messaging.message.id"), sent.says("messaging.message.id"));
    assert_eq!((good.says("windlass.job.attempt"), good.failed.as_deref()), ("1", None));
    let told = |kind: &str| std::fs::read_to_string(shell.path(kind)).expect("what the program was told");
    assert_eq!(told("good"), format!("00-{trace}-{}-01", good.id));
    // The program's own command went on with its trace, over the remote store.
    let bad = of_job("bad").expect("it was heard");
    assert_eq!((&*bad.trace, &*bad.parent), (trace, &*good.id), "{all:#?}");
    assert_eq!(told("bad"), format!("00-{trace}-{}-01", bad.id));
    assert_eq!((bad.failed.as_deref(), bad.says("error.type")), (Some("no such file"), "exit 3"));
}

#[test]
fn without_a_collector_the_callers_trace_still_reaches_the_program() {
    let shell = Shell::new();
    let (_server, url) = serve_with(&shell, &[]);
    let context = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let post = |queue: &str, more: &[&str]| {
        let mut client = std::process::Command::new("curl");
        client.args(["--silent", "--show-error", "--fail", "--header", &format!("traceparent: {context}")]);
        let answer = client.args(more).arg(format!("{url}{queue}")).output().expect("curl runs");
        assert!(answer.status.success(), "{answer:?}");
        String::from_utf8(answer.stdout).expect("text")
    };
    post("/v1/queues/one/jobs", &["--data", "{}"]);
    let several = r#"[{"queue":"several","kind":"work"},{"queue":"own","kind":"work","trace":"00-its-own"}]"#;
    post("/v1/jobs", &["--data", several]);
    let lines =
        ["--header", "content-type: application/x-ndjson", "--data", r#"{"queue":"lines","kind":"work"}"#];
    post("/v1/jobs", &lines);
    for (queue, trace) in [("one", context), ("several", context), ("lines", context), ("own", "00-its-own")]
    {
        let jobs = shell.ok(&["jobs", "ls", "--queue", queue, "--plain"]);
        let id = jobs.split_whitespace().next().expect("a job");
        assert_eq!(shell.object(&["jobs", "get", id])["trace"], trace, "{queue}");
    }
}

#[test]
fn a_collector_that_cannot_be_is_told_at_once_and_one_that_is_away_holds_up_nobody() {
    let shell = Shell::new();
    let with = |name: &str, value: &str| {
        let mut command = shell.command(&["enqueue", "q", "work", "--quiet"]);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9").env(name, value);
        command.output().expect("it runs")
    };
    let refused = with("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("http/protobuf"), "{said}");
    // Port 9 refuses, or nobody is there: the job is enqueued all the same.
    assert!(with("OTEL_SERVICE_NAME", "shell").status.success());
}
